"""A name as the page of `inspect` shows it: at a glance in a list, or with its records and the objects behind them."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from dnsserver.admin.texts import one_line
from dnsserver.cluster import Cluster
from dnsserver.derive.endpoint import Host, HostRecords, address_rrsets
from dnsserver.derive.reverse import Pointer, PointerRecords
from dnsserver.derive.service import PortRecords, ServiceView
from dnsserver.names import Name, labels, parent
from dnsserver.records import RRset, RRType
from dnsserver.store.owners import Owner, owners
from dnsserver.wire import rdata_to_text, type_to_text
from dnsserver.zone import Children, Records, Zone, find_origin

SHOWN = 100  # records of one type, and endpoints of a Service: with more of them its records are not all derived
OBJECTS = 12  # objects behind a name
STEPS = 250  # looked at for them between two chances to give way: about 0.3 ms

_IN_A_LIST = 2  # data of a name
_TELLING = (RRType.A, RRType.AAAA, RRType.CNAME, RRType.PTR, RRType.NS)
_POINTS = 5  # names of an address that the objects are looked for of

_SORTS: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("service", ServiceView),
    ("port", PortRecords),
    ("reverse", (Pointer, PointerRecords)),
    ("endpoint", (Host, HostRecords)),
)


def at_a_glance(zone: Zone, name: Name) -> dict[str, object]:
    """Return what sort of name it is, the first of its data, and of how many; costs little whatever the name has."""
    records = zone.node(name)
    crowd = _crowd(zone, name, records, more_than=_IN_A_LIST)
    if crowd:
        sets = _addresses(name, records, crowd, _IN_A_LIST)
    else:
        sets = tuple(one for one in zone.rrsets(name) or () if one.rrtype in _TELLING)
    data = [(one.rrtype, rdata) for one in sets for rdata in one.rdatas]
    return {
        "sort": _sort(zone, name, records),
        "data": [rdata_to_text(*one) for one in data[:_IN_A_LIST]],
        "count": len(crowd) if crowd else len(data),
    }


async def describe(cluster: Cluster, zone: Zone, name: Name) -> dict[str, object]:
    """Return all that there is to say of a name; gives way while it looks for objects."""
    records = zone.node(name)
    crowd = _crowd(zone, name, records, more_than=SHOWN)
    sets = _addresses(name, records, crowd, SHOWN) if crowd else zone.rrsets(name)
    found = await _objects(cluster, zone, name, sets or ())
    return {
        "sort": _sort(zone, name, records),
        "exists": sets is not None,
        "listed": zone.lists(name),  # and not only made when it is asked for
        "endpoints": len(crowd) if crowd else None,  # of which only some are shown
        "sets": [
            {
                "type": type_to_text(one.rrtype),
                "ttl": one.ttl,
                "count": len(one.rdatas),
                "data": [rdata_to_text(one.rrtype, rdata) for rdata in one.rdatas[:SHOWN]],
            }
            for one in sets or ()
        ],
        "objects": [_object(one) for one in found[:OBJECTS]],
        "more": len(found) > OBJECTS,
    }


def _sort(zone: Zone, name: Name, records: Records | None) -> str:
    """Return in one word what a name is."""
    if name == zone.origin:
        return "zone"
    sort = next((sort for sort, of in _SORTS if isinstance(records, of)), "name")
    below = labels(name[: len(name) - len(zone.origin)] + b"\0")
    return "pod" if sort == "endpoint" and below[-1] == b"pod" else sort


def _crowd(
    zone: Zone, name: Name, records: Records | None, *, more_than: int
) -> Mapping[bytes, Host | HostRecords] | None:
    """Return the endpoints that the name of a headless Service, or of its port, stands for, where they are many."""
    if not isinstance(records, ServiceView | PortRecords):
        return None
    service = name if isinstance(records, ServiceView) else parent(parent(name))
    view, below = zone.node(service), zone.tree.get(service)
    if not (isinstance(view, ServiceView) and view.headless and isinstance(below, Children)):
        return None
    return below.shared if len(below.shared) > more_than else None  # type: ignore[return-value]  # shares endpoints only


def _addresses(
    name: Name, records: Records | None, crowd: Mapping[bytes, Host | HostRecords], limit: int
) -> tuple[RRset, ...]:
    """Return the address RRsets of the first of many endpoints; for a port, of those that have it."""
    port = labels(name)[:2] if isinstance(records, PortRecords) else ()
    endpoints = (one for host in islice(crowd.values(), limit) for one in host.endpoints)
    addresses = [
        address
        for one in endpoints
        if not port or any(each.name and each.labels == port for each in one.ports)
        for address in one.addresses
    ]
    first = next(iter(crowd.values()))
    ttl = first.group.ttl if isinstance(first, Host) else first.ttl
    return address_rrsets(name, ttl, addresses)


async def _objects(cluster: Cluster, zone: Zone, name: Name, sets: tuple[RRset, ...]) -> list[Owner]:
    """Return the objects that a name's records come from, one more than are shown at the most."""
    found: dict[Owner, None] = {}
    for number, owner in enumerate(_owners(cluster, zone, name, sets)):
        if owner is not None:
            found[owner] = None
        if len(found) > OBJECTS:
            break
        if number % STEPS == STEPS - 1:
            await asyncio.sleep(0)
    return list(found)


def _owners(cluster: Cluster, zone: Zone, name: Name, sets: tuple[RRset, ...]) -> Iterator[Owner | None]:
    """Yield the objects behind a name; behind an address those of the names that it has."""
    targets = [Name(rdata) for one in sets if one.rrtype == RRType.PTR for rdata in one.rdatas[:_POINTS]]
    places = [(zone, name), *((_zone_of(cluster, target), target) for target in targets)]
    return chain.from_iterable(
        owners(store, where, what) for where, what in places for store in cluster.stores if where is not None
    )


def _zone_of(cluster: Cluster, name: Name) -> Zone | None:
    """Return the cluster's zone that a name is in."""
    origin = find_origin(tuple(zone.origin for zone in cluster.zones), name)
    return next((zone for zone in cluster.zones if zone.origin == origin), None)


def _object(owner: Owner) -> dict[str, object]:
    """Return what is said of an object."""
    return {
        "kind": owner.kind.value,
        "namespace": one_line(owner.namespace),
        "name": one_line(owner.name),
        "created": owner.created or None,
    }
