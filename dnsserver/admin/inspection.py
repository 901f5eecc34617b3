"""The page of `inspect`, and the answers that it is made from: `/api/search`, `/api/records`, `/api/status`."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files

from aiohttp import web

from dnsserver.admin.guard import failure
from dnsserver.admin.http import Handler
from dnsserver.admin.inspected import Inspected, InspectedCluster, Route
from dnsserver.admin.looking import at_a_glance, describe
from dnsserver.admin.texts import one_line
from dnsserver.names import InvalidNameError, Name, from_text, to_text
from dnsserver.objects import Kind
from dnsserver.search import Found, Search
from dnsserver.zone import Zone, find_origin

LIMIT = 50  # names that one search returns,
_AT_ONCE = 10  # and so many of them are described between two chances to give way: about 0.3 ms
MAX_TEXT = 1100  # characters of a name: 255 octets, each of which may be escaped

# Nothing from elsewhere, nothing inline, nothing that sends or frames: even a hostile name that became markup would
# have nothing to run with.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(inspected: Inspected) -> Sequence[Route]:
    """Return the routes: the page at `/`, its files below `/page/`, and what it asks."""
    return (
        *_page(),
        ("/api/search", partial(_search, inspected)),
        ("/api/records", partial(_records, inspected)),
        ("/api/status", partial(_status, inspected)),
    )


def _page() -> Iterator[Route]:
    """Yield the routes of the files that the page is made of."""
    for one in files("dnsserver.admin").joinpath("page").iterdir():
        kind = _TYPES.get(one.name[one.name.rfind(".") :])
        if kind is not None:
            path = "/" if one.name == "index.html" else f"/page/{one.name}"
            yield path, _file(one.read_bytes(), kind)


def _file(body: bytes, kind: str) -> Handler:
    """Return a handler that answers with a file."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)

    return answer


async def _search(inspected: Inspected, request: web.Request) -> web.Response:
    """Answer `?q=TEXT` with the names of all zones that have it, the likeliest first."""
    zones = [zone for one in inspected.clusters() for zone in one.cluster.zones]
    search = Search(zones, request.query.get("q", "")[:MAX_TEXT], LIMIT)
    for _ in search.steps():
        await asyncio.sleep(0)  # queries first
        if request.transport is None or request.transport.is_closing():
            break  # whoever asked types on, and has asked something else by now
    names = []
    for one in search.names:
        names.append(_found(one))
        if len(names) % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return web.json_response(
        {
            "names": names,
            "more": search.more,
            "limit": LIMIT,
            "total": sum(zone.size for zone in zones),
        }
    )


def _found(found: Found) -> dict[str, object]:
    """Return what a list says of a name."""
    zone = to_text(found.zone.origin)
    return {"name": to_text(found.name), "zone": zone} | at_a_glance(found.zone, found.name)


async def _records(inspected: Inspected, request: web.Request) -> web.Response:
    """Answer `?name=NAME` with the records of a name and the objects that they come from."""
    try:
        name = from_text(request.query.get("name", "")[:MAX_TEXT])
    except InvalidNameError as error:
        return failure(400, one_line(str(error)))
    found = _zone_of(inspected.clusters(), name)
    if found is None:
        return web.json_response({"name": to_text(name), "zone": None})
    one, zone = found
    return web.json_response(
        {
            "name": to_text(name),
            "zone": to_text(zone.origin),
            "server": one.server,
            "serial": zone.serial,
            "synced": one.cluster.synced,
            **await describe(one.cluster, zone, name),
        }
    )


def _zone_of(clusters: Sequence[InspectedCluster], name: Name) -> tuple[InspectedCluster, Zone] | None:
    """Return the zone of the longest origin that a name is in, and whose it is."""
    zones = {zone.origin: (one, zone) for one in reversed(clusters) for zone in one.cluster.zones}
    origin = find_origin(tuple(zones), name)
    return None if origin is None else zones[origin]


async def _status(inspected: Inspected, _request: web.Request) -> web.Response:
    """Answer with what the server knows of its clusters and of itself."""
    metrics = inspected.metrics
    types, rcodes = metrics.queries()
    return web.json_response(
        {
            "version": metrics.version,
            "uptime": time.monotonic() - metrics.began,
            "now": time.time(),
            "queries": {"types": types, "rcodes": rcodes} if metrics.counts_queries else None,
            "clusters": [_cluster(one) for one in inspected.clusters()],
        }
    )


def _cluster(one: InspectedCluster) -> dict[str, object]:
    """Return what is known of one cluster."""
    cluster = one.cluster
    kinds = {kind: None for store in cluster.stores for kind in store.counts()}
    return {
        "server": one.server,
        "synced": cluster.synced,
        "version": [store.version for store in cluster.stores],  # others with every change of an object
        "zones": [{"zone": to_text(zone.origin), "serial": zone.serial, "names": zone.size} for zone in cluster.zones],
        "resources": [_resource(one, kind) for kind in kinds],
    }


def _resource(one: InspectedCluster, kind: Kind) -> dict[str, object]:
    """Return how far the objects of one kind are known, and since when nothing was heard of them."""
    cluster = one.cluster
    statuses = [source.status for source in cluster.sources if kind in source.kinds]
    sort, reason = next((status.troubles[kind] for status in statuses if kind in status.troubles), ("", ""))
    missing = any(kind in store.missing for store in cluster.stores)
    heard = [status.last_contact[kind] for status in statuses if kind in status.last_contact]
    return {
        "kind": kind.value,
        "resource": f"{kind.resource}.{kind.group}".rstrip("."),
        "state": _state(sort, missing=missing),
        "missing": missing,  # the first sync waits for it
        "reason": one_line(f"{sort}: {reason}") if sort else "",
        "objects": sum(store.counts().get(kind, 0) for store in cluster.stores),
        "heard": time.monotonic() - max(heard) if heard else None,
        "lists": sum(status.lists[kind] for status in statuses),
        "refused": sum(status.refused[kind] for status in statuses),
        "errors": sum(status.watch_errors[kind] for status in statuses),
        "missed": sum(status.relist_differences[kind] for status in statuses),
    }


def _state(sort: str, *, missing: bool) -> str:
    """Return in one word how a kind is doing."""
    if sort == "absent":
        return "not served"
    if sort == "forbidden":
        return sort
    return "waiting" if missing else "failing" if sort else "synced"
