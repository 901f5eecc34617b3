"""What the plugin answers, by its options: tables of questions to one small cluster that it follows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.cluster import Cluster
from dnsserver.events import Changed, Deleted, Event
from dnsserver.message import Edns, Query, Reply
from dnsserver.names import from_text, labels, spelled_from_text, to_text
from dnsserver.objects import Kind, Object, Service
from dnsserver.plugins.kubernetes import Kubernetes, parse
from dnsserver.plugins.plugin import Context, PluginError, Request
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.sources.source import Source, SourceStatus
from dnsserver.store import Store
from tests.build import (
    endpoint_json,
    endpoint_slice,
    lists,
    namespace,
    namespace_json,
    packed,
    pod,
    port_json,
    rdata_texts,
    service,
    service_import,
    service_json,
    vmi,
)
from tests.fakes.api_server import FakeApiServer
from tests.harness import serving
from tests.plugins.conftest import World, answering, request

NODATA, NXDOMAIN, SERVFAIL = "NODATA", "NXDOMAIN", "SERVFAIL"
ZONES = "cluster.local in-addr.arpa ip6.arpa"
HTTP = [port_json(80, "http", target=8080)]
SLICE_HTTP = [port_json(8080, "http")]


class Told:
    """A source that tells some events, and then what the test sends."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.kinds = frozenset(Kind)
        self.status = SourceStatus()
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        for event in events:
            self.queue.put_nowait(event)

    async def events(self) -> AsyncIterator[Event]:
        """Yield them."""
        while True:
            yield await self.queue.get()


def unsynced(
    options: str, *, zones: str = ZONES, addresses: Sequence[str] = (), source: Source | None = None
) -> Kubernetes:
    """Return the plugin with these options, which has not read anything yet."""
    (block,) = corefile.parse(f". {{\nkubernetes {zones} {{\n{options}\n}}\n}}\n").blocks
    (plugin,) = parse(block.directives, Context(zones=(), folder=Path("/etc/dns"), port=53))
    assert isinstance(plugin, Kubernetes)
    own = tuple(packed(text) for text in addresses)
    imported = plugin.config.imported_store(own)
    plugin.cluster = Cluster(
        Store(plugin.config.store(own)),
        [] if source is None else [source],
        imported=None if imported is None else Store(imported),
    )
    return plugin


async def following(
    objects: Iterable[Object], options: str = "", *, zones: str = ZONES, addresses: Sequence[str] = ()
) -> Kubernetes:
    """Return the plugin once it has read these objects."""
    plugin = unsynced(options, zones=zones, addresses=addresses, source=Told(lists(objects, Kind)))
    assert plugin.cluster is not None
    task = asyncio.create_task(plugin.cluster.run())
    await plugin.cluster.wait_synced()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return plugin


def texts(sets: Iterable[RRset]) -> list[str]:
    """Return records as `type rdata`, sorted, without the first zone."""
    return sorted(
        f"{RRType(one.rrtype).name} {text.removesuffix('.cluster.local.')}" for one in sets for text in rdata_texts(one)
    )


def outcome(reply: Reply) -> str | list[str]:
    """Return an answer's records, or which of the negative answers it is; those carry the SOA and nothing else."""
    if reply.answer:
        assert (reply.rcode, reply.authority) == (Rcode.NOERROR, ())
        return texts(reply.answer)
    assert [one.rrtype for one in reply.authority] == [RRType.SOA]
    assert (reply.additional, reply.authority[0].owner) == ((), reply.origin)
    return NODATA if reply.rcode == Rcode.NOERROR else Rcode(reply.rcode).name


NEXT = answering(Reply(rcode=Rcode.NOTAUTH))


async def ask(plugin: Kubernetes, name: str, qtype: str = "A") -> Reply:
    """Ask for a name, below the zone unless it ends in a dot; what the plugin passes on is NOTAUTH."""
    absolute = name if name.endswith(".") else f"{name}.cluster.local." if name else "cluster.local."
    return await plugin.handle(request(absolute, RRType[qtype]), NEXT)


WORLD: list[Object] = [
    *(namespace(name) for name in ("ns1", "ns2", "bare-ns")),
    service(
        "web",
        cluster_ip="10.96.0.10",
        ports=[*HTTP, port_json(53, "dns"), port_json(53, "dns", "UDP")],
        external_ips=["192.0.2.80"],
    ),
    endpoint_slice(
        endpoint_json("10.244.0.10", hostname="Web-A"),
        endpoint_json("10.244.0.11", pod_name="web-1"),
        endpoint_json("10.244.0.12", ready=False),
        endpoint_json("10.244.5.5"),
        name="web-1",
        service="web",
        ports=SLICE_HTTP,
    ),
    service("dual", cluster_ip="10.96.0.11", cluster_ips=["10.96.0.11", "fd00:10::11"], ports=HTTP),
    service("four", cluster_ip="10.96.0.12", ports=[port_json(number, f"p{number}") for number in (1, 2, 3, 4)]),
    service("portless", cluster_ip="10.96.0.13"),
    service("unnamed", cluster_ip="10.96.0.14", ports=[port_json(80)]),
    service("idle", cluster_ip="10.96.0.15", ports=HTTP),
    endpoint_slice(endpoint_json("10.244.0.15", ready=False), name="idle-1", service="idle"),
    service("six", cluster_ip="fd00:10::16", ports=HTTP),
    service("hl", ports=HTTP),
    endpoint_slice(
        *(endpoint_json(f"10.244.1.{number}") for number in (1, 2, 3)), name="hl-1", service="hl", ports=SLICE_HTTP
    ),
    endpoint_slice(
        *(endpoint_json(f"10.244.1.{number}", ready=None) for number in (4, 5)),
        endpoint_json("10.244.5.5"),
        name="hl-2",
        service="hl",
        ports=SLICE_HTTP,
    ),
    service("twins", ports=HTTP),
    endpoint_slice(
        endpoint_json("10.244.2.1", hostname="node"),
        endpoint_json("10.244.2.2", hostname="node"),
        name="twins-1",
        service="twins",
        ports=SLICE_HTTP,
    ),
    service("unready", ports=HTTP),
    endpoint_slice(endpoint_json("10.244.3.1", ready=False), name="unready-1", service="unready", ports=SLICE_HTTP),
    service("silent"),
    service("anyport"),
    endpoint_slice(endpoint_json("10.244.3.2"), name="anyport-1", service="anyport", ports=[{"port": None}]),
    service("v6hl", families=["IPv6"]),
    endpoint_slice(endpoint_json("fd00:244::"), name="v6hl-1", service="v6hl", ports=SLICE_HTTP),
    endpoint_slice(endpoint_json("10.244.9.9"), name="orphan-1", service="orphan"),
    *(
        service(name, external_name=target)
        for name, target in {
            "out": "Target.Example.ORG",
            "in": "web.ns1.svc.cluster.local",
            "spelled": "WEB.ns1.SVC.Cluster.Local.",
            "to-six": "six.ns1.svc.cluster.local",
            "to-nothing": "nobody.ns1.svc.cluster.local",
            "to-endpoint": "web-a.web.ns1.svc.cluster.local",
            "to-out": "out.ns1.svc.cluster.local",
            "itself": "itself.ns1.svc.cluster.local",
            "loop-a": "loop-b.ns1.svc.cluster.local",
            "loop-b": "loop-a.ns1.svc.cluster.local",
            "ip4": "10.0.0.1",
            "ip6": "fd00::1",
            "nowhere": "",
        }.items()
    ),
    *(service(f"hop{number}", external_name=f"hop{number - 1}.ns1.svc.cluster.local") for number in range(2, 12)),
    service("hop1", external_name="web.ns1.svc.cluster.local"),
    endpoint_slice(endpoint_json("10.244.4.1", hostname="below"), name="out-1", service="out", ports=SLICE_HTTP),
    service("web", namespace="ns2", cluster_ip="10.96.2.10", ports=HTTP),
]

WEB = ["A 10.96.0.10"]
GRAMMAR: list[tuple[str, str | list[str]]] = [  # name, its A records
    ("", NODATA),
    ("svc", NODATA),
    ("pod", NODATA),
    ("ns1.svc", NODATA),
    ("bare-ns.svc", NODATA),
    ("no-ns.svc", NXDOMAIN),
    ("ns1.pod", NXDOMAIN),
    ("10-244-0-10.ns1.pod", NXDOMAIN),
    ("foo", NXDOMAIN),
    ("svc.svc", NXDOMAIN),
    ("web", NXDOMAIN),
    ("web.ns1", NXDOMAIN),
    ("web.ns1.foo", NXDOMAIN),
    ("web.ns1.svc.foo", NXDOMAIN),
    ("web.ns1.svc", WEB),
    ("WEB.Ns1.sVC.Cluster.LOCAL.", WEB),
    ("web.ns2.svc", ["A 10.96.2.10"]),
    ("web.bare-ns.svc", NXDOMAIN),
    ("web.no-ns.svc", NXDOMAIN),
    ("nobody.ns1.svc", NXDOMAIN),
    ("*.ns1.svc", NXDOMAIN),  # no wildcards since 1.9.0
    ("any.ns1.svc", NXDOMAIN),
    ("web.*.svc", NXDOMAIN),
    ("web.any.svc", NXDOMAIN),
    ("*.web.ns1.svc", NXDOMAIN),
    ("_http._tcp.*.ns1.svc", NXDOMAIN),
    ("*._tcp.web.ns1.svc", NXDOMAIN),
    ("web-a.web.ns1.svc", ["A 10.244.0.10"]),
    ("10-244-0-10.web.ns1.svc", NXDOMAIN),  # it has a host name, and only that
    ("10-244-0-11.web.ns1.svc", ["A 10.244.0.11"]),
    ("web-1.web.ns1.svc", NXDOMAIN),
    ("10-244-0-12.web.ns1.svc", NXDOMAIN),  # not ready
    ("node.twins.ns1.svc", ["A 10.244.2.1", "A 10.244.2.2"]),
    ("fd00-244--0.v6hl.ns1.svc", NODATA),
    ("fd00-244--.v6hl.ns1.svc", NXDOMAIN),
    ("10-244-9-9.orphan.ns1.svc", NXDOMAIN),
    ("orphan.ns1.svc", NXDOMAIN),
    ("_http._tcp.web.ns1.svc", WEB),
    ("http.tcp.web.ns1.svc", WEB),
    ("_HTTP.TCP.Web.ns1.svc", WEB),
    ("dns.udp.web.ns1.svc", WEB),
    ("_dns._tcp.web.ns1.svc", WEB),
    ("_http._udp.web.ns1.svc", NXDOMAIN),
    ("_dns._sctp.web.ns1.svc", NXDOMAIN),
    ("_none._tcp.web.ns1.svc", NXDOMAIN),
    ("_tcp.web.ns1.svc", NODATA),  # an empty non-terminal
    ("tcp.web.ns1.svc", NODATA),
    ("_sctp.web.ns1.svc", NXDOMAIN),
    ("_http._tcp.web-a.web.ns1.svc", NXDOMAIN),
    ("x._http._tcp.web.ns1.svc", NXDOMAIN),
    ("x.http.tcp.web.ns1.svc", NXDOMAIN),
    ("a.b.c.web.ns1.svc", NXDOMAIN),
    ("x.web-a.web.ns1.svc", NXDOMAIN),
    ("_80._tcp.unnamed.ns1.svc", NXDOMAIN),
    ("_._tcp.unnamed.ns1.svc", NXDOMAIN),
    ("_http._tcp.hl.ns1.svc", [f"A 10.244.{last}" for last in ("1.1", "1.2", "1.3", "1.4", "1.5", "5.5")]),
    ("web.ns1.svc.example.org.", "NOTAUTH"),
]


@pytest.fixture(scope="module")
def world_plugin() -> Kubernetes:
    """Return the plugin without options, once it has read WORLD: nothing changes it."""
    return asyncio.run(following(WORLD))


async def seen(plugin: Kubernetes, name: str, qtype: str = "A") -> str | list[str]:
    """Return what a question comes to."""
    reply = await ask(plugin, name, qtype)
    return "NOTAUTH" if reply.rcode == Rcode.NOTAUTH else outcome(reply)


async def until_seen(plugin: Kubernetes, name: str, expected: str | list[str]) -> None:
    """Ask again and again until the answer is as expected."""
    async with asyncio.timeout(5):
        while await seen(plugin, name) != expected:  # noqa: ASYNC110 -- a new zone is announced to nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize(("name", "expected"), GRAMMAR, ids=[row[0] or "apex" for row in GRAMMAR])
async def test_names(world_plugin: Kubernetes, name: str, expected: str | list[str]) -> None:
    """Which names there are, and which only exist."""
    assert await seen(world_plugin, name) == expected


TYPES = ["AAAA", "SRV", "TXT", "MX", "HTTPS", "SVCB", "ANY", "CNAME", "DS", "NS", "PTR", "SOA", "HINFO", "DNSKEY"]
EXISTING = {  # name: the types besides A that it has
    "svc": [],
    "pod": [],
    "ns1.svc": [],
    "dns": [],
    "web.ns1.svc": ["SRV"],
    "dual.ns1.svc": ["AAAA", "SRV"],
    "portless.ns1.svc": [],
    "_http._tcp.web.ns1.svc": ["SRV"],
    "http.tcp.web.ns1.svc": ["SRV"],
    "_tcp.web.ns1.svc": [],
    "tcp.web.ns1.svc": [],
    "hl.ns1.svc": ["SRV"],
    "v6hl.ns1.svc": ["AAAA", "SRV"],
    "anyport.ns1.svc": [],
    "web-a.web.ns1.svc": ["SRV"],
    "to-nothing.ns1.svc": ["CNAME"],
    "itself.ns1.svc": ["CNAME"],
    "dns-version": ["TXT"],
    "ns.dns": [],
    "": ["SOA", "NS"],
    "in-addr.arpa.": ["SOA", "NS"],
    "96.10.in-addr.arpa.": [],
    "10.0.96.10.in-addr.arpa.": ["PTR"],
}
MISSING = [
    "nobody.ns1.svc",
    "nobody.web.ns1.svc",
    "_none._tcp.web.ns1.svc",
    "unready.ns1.svc",
    "silent.ns1.svc",
    "_http._tcp.unready.ns1.svc",
    "below.out.ns1.svc",
    "_http._tcp.out.ns1.svc",
    "ip4.ns1.svc",
    "ip6.ns1.svc",
    "nowhere.ns1.svc",
    "ns1.pod",
    "foo",
    "99.99.99.10.in-addr.arpa.",
]


async def test_types_of_names_that_exist(world_plugin: Kubernetes) -> None:
    """A name that exists has NODATA for every type but its own; ANY is no type of its own, and has none either."""
    for (name, own), qtype in product(EXISTING.items(), TYPES):
        answered = await seen(world_plugin, name, qtype)
        assert (answered != NODATA) == (qtype in own), (name, qtype, answered)
        assert answered != NXDOMAIN, (name, qtype)


async def test_types_of_names_that_do_not(world_plugin: Kubernetes) -> None:
    """A name that does not exist does not for any type, a headless Service without a ready endpoint included."""
    for name, qtype in product(MISSING, ["A", *TYPES]):
        assert await seen(world_plugin, name, qtype) == NXDOMAIN, (name, qtype)


async def test_transfers_are_the_plugins_of_that_name(world_plugin: Kubernetes) -> None:
    """What `transfer` has not answered is REFUSED, with a reason."""
    for qtype, name in product(("AXFR", "IXFR"), ("", "web.ns1.svc", "in-addr.arpa.")):
        reply = await ask(world_plugin, name, qtype)
        assert (reply.rcode, reply.authoritative, reply.extended_error) == (Rcode.REFUSED, False, (21, ""))


@pytest.mark.parametrize(("qclass", "rcode"), [(1, Rcode.NOERROR), (255, Rcode.NOERROR), (3, Rcode.NOTAUTH)])
async def test_classes(world_plugin: Kubernetes, qclass: int, rcode: int) -> None:
    """The cluster's data is of class IN; other classes are for other plugins."""
    reply = await world_plugin.handle(request("web.ns1.svc.cluster.local.", qclass=qclass), NEXT)
    assert reply.rcode == rcode


SRVS: list[tuple[str, list[str], list[str]]] = [  # name, its SRV records, the addresses beside them
    ("web.ns1.svc", ["SRV 0 33 53 web.ns1.svc", "SRV 0 33 80 web.ns1.svc"], WEB),
    ("_dns._udp.web.ns1.svc", ["SRV 0 100 53 web.ns1.svc"], WEB),
    ("dns.tcp.web.ns1.svc", ["SRV 0 100 53 web.ns1.svc"], WEB),
    ("dual.ns1.svc", ["SRV 0 50 80 dual.ns1.svc"], ["A 10.96.0.11", "AAAA fd00:10::11"]),
    ("_http._tcp.dual.ns1.svc", ["SRV 0 50 80 dual.ns1.svc"], ["A 10.96.0.11", "AAAA fd00:10::11"]),
    ("four.ns1.svc", [f"SRV 0 25 {number} four.ns1.svc" for number in (1, 2, 3, 4)], ["A 10.96.0.12"]),
    ("unnamed.ns1.svc", ["SRV 0 100 80 unnamed.ns1.svc"], ["A 10.96.0.14"]),
    ("idle.ns1.svc", ["SRV 0 100 80 idle.ns1.svc"], ["A 10.96.0.15"]),
    ("six.ns1.svc", ["SRV 0 100 80 six.ns1.svc"], ["AAAA fd00:10::16"]),
    (
        "hl.ns1.svc",
        [f"SRV 0 16 8080 10-244-{last}.hl.ns1.svc" for last in ("1-1", "1-2", "1-3", "1-4", "1-5", "5-5")],
        [f"A 10.244.{last}" for last in ("1.1", "1.2", "1.3", "1.4", "1.5", "5.5")],
    ),
    ("twins.ns1.svc", ["SRV 0 50 8080 node.twins.ns1.svc"], ["A 10.244.2.1", "A 10.244.2.2"]),
    ("node.twins.ns1.svc", ["SRV 0 50 8080 node.twins.ns1.svc"], ["A 10.244.2.1", "A 10.244.2.2"]),
    ("web-a.web.ns1.svc", ["SRV 0 100 8080 web-a.web.ns1.svc"], ["A 10.244.0.10"]),
    ("v6hl.ns1.svc", ["SRV 0 100 8080 fd00-244--0.v6hl.ns1.svc"], ["AAAA fd00:244::"]),
]


@pytest.mark.parametrize(("name", "records", "beside"), SRVS, ids=[row[0] for row in SRVS])
async def test_srv(world_plugin: Kubernetes, name: str, records: list[str], beside: list[str]) -> None:
    """Weights count every address and port before equal records become one; each target's addresses come along."""
    reply = await ask(world_plugin, name, "SRV")
    assert outcome(reply) == records
    assert texts(reply.additional) == beside
    targets = {record.rsplit(" ", 1)[1] for record in records}
    assert {to_text(one.owner).removesuffix(".cluster.local.") for one in reply.additional} == targets


async def test_the_lightest_weight() -> None:
    """Where many endpoints share the weight each still has 1."""
    endpoints = [endpoint_json(f"10.244.{high}.{low}") for high, low in product((1, 2), range(101))]
    plugin = await following([service(), endpoint_slice(*endpoints, ports=SLICE_HTTP)])
    found = outcome(await ask(plugin, "db.ns1.svc", "SRV"))
    assert len(found) == 202
    assert all(record.startswith("SRV 0 1 8080 ") for record in found)


CHAINS: list[tuple[str, str, str | list[str]]] = [
    ("in.ns1.svc", "A", ["A 10.96.0.10", "CNAME web.ns1.svc"]),
    ("in.ns1.svc", "CNAME", ["CNAME web.ns1.svc"]),
    ("in.ns1.svc", "AAAA", NODATA),
    ("in.ns1.svc", "SRV", ["CNAME web.ns1.svc", "SRV 0 33 53 web.ns1.svc", "SRV 0 33 80 web.ns1.svc"]),
    ("in.ns1.svc", "TXT", NODATA),
    ("in.ns1.svc", "ANY", NODATA),
    ("spelled.ns1.svc", "CNAME", ["CNAME WEB.ns1.SVC.Cluster.Local."]),
    ("spelled.ns1.svc", "A", ["A 10.96.0.10", "CNAME WEB.ns1.SVC.Cluster.Local."]),
    ("to-six.ns1.svc", "A", NODATA),
    ("to-six.ns1.svc", "AAAA", ["AAAA fd00:10::16", "CNAME six.ns1.svc"]),
    ("to-endpoint.ns1.svc", "A", ["A 10.244.0.10", "CNAME web-a.web.ns1.svc"]),
    ("to-nothing.ns1.svc", "A", NODATA),
    ("to-nothing.ns1.svc", "CNAME", ["CNAME nobody.ns1.svc"]),
    ("itself.ns1.svc", "A", NODATA),
    ("itself.ns1.svc", "CNAME", ["CNAME itself.ns1.svc"]),
    ("loop-a.ns1.svc", "A", NODATA),
    ("loop-b.ns1.svc", "CNAME", ["CNAME loop-a.ns1.svc"]),
    (
        "hop10.ns1.svc",
        "A",
        ["A 10.96.0.10", *sorted(f"CNAME {name}.ns1.svc" for name in ("web", *(f"hop{n}" for n in range(1, 10))))],
    ),
    ("hop11.ns1.svc", "A", NODATA),
    ("hop11.ns1.svc", "CNAME", ["CNAME hop10.ns1.svc"]),
    ("out.ns1.svc", "A", ["CNAME Target.Example.ORG."]),
    ("out.ns1.svc", "AAAA", ["CNAME Target.Example.ORG."]),
    ("out.ns1.svc", "CNAME", ["CNAME Target.Example.ORG."]),
    ("to-out.ns1.svc", "A", ["CNAME Target.Example.ORG.", "CNAME out.ns1.svc"]),
    ("to-out.ns1.svc", "CNAME", ["CNAME out.ns1.svc"]),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), CHAINS, ids=[f"{row[0]} {row[1]}" for row in CHAINS])
async def test_external_names(world_plugin: Kubernetes, name: str, qtype: str, expected: str | list[str]) -> None:
    """An alias comes with its target's records; one that leads nowhere inside the zone is no answer."""
    assert await seen(world_plugin, name, qtype) == expected


# Targets outside of the zone


class Server:
    """The whole server, as a plugin asks it: notes the questions and gives one reply, or none."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply = reply
        self.asked: list[tuple[Request, Query]] = []

    async def ask(self, request: Request, query: Query) -> Reply:
        """Answer."""
        self.asked.append((request, query))
        if self.reply is None:
            raise PluginError("forward", "no upstream")
        return self.reply


async def running(
    world: World,
    server: Server,
    objects: Iterable[Object],
    monkeypatch: pytest.MonkeyPatch,
    stack: contextlib.AsyncExitStack,
) -> Kubernetes:
    """Return a plugin that runs, as part of this server."""
    source = Told(lists(objects, Kind))

    async def give(plugin: Kubernetes, stack: object, runtime: object) -> list[Source]:
        return [source]

    monkeypatch.setattr(Kubernetes, "_sources", give)
    plugin = unsynced("")
    await stack.enter_async_context(plugin.running(replace(world.runtime, ask=server.ask)))
    return plugin


FOUND = RRset(from_text("target.example.org"), RRType.A, 300, (packed("192.0.2.1"),))
OUTSIDE: list[tuple[str, Reply | None, list[str], bool]] = [  # what the server answers, what the client gets, TC
    ("found", Reply(answer=(FOUND,), authoritative=False, recursion_available=True), ["A 192.0.2.1"], False),
    ("cut short", Reply(answer=(FOUND,), truncated=True), ["A 192.0.2.1"], True),
    ("no such name", Reply(rcode=Rcode.NXDOMAIN, authority=(FOUND,)), [], False),
    ("no data", Reply(authority=(FOUND,)), [], False),
    ("refused", Reply(rcode=Rcode.REFUSED, authoritative=False), [], False),
    ("failed with something", Reply(rcode=Rcode.SERVFAIL, answer=(FOUND,)), ["A 192.0.2.1"], False),
    ("nothing can be asked", None, [], False),
]


@pytest.mark.parametrize(
    ("reply", "records", "truncated"), [row[1:] for row in OUTSIDE], ids=[row[0] for row in OUTSIDE]
)
async def test_target_outside(
    world: World, monkeypatch: pytest.MonkeyPatch, reply: Reply | None, records: list[str], truncated: bool
) -> None:
    """The target's records follow the alias, whose code and authority they do not change."""
    server = Server(reply)
    async with contextlib.AsyncExitStack() as stack:
        plugin = await running(world, server, WORLD, monkeypatch, stack)
        got = await ask(plugin, "to-out.ns1.svc")
    assert [one.rrtype for one in got.answer[:2]] == [RRType.CNAME, RRType.CNAME]
    assert texts(got.answer[2:]) == records
    assert (got.rcode, got.authoritative, got.authority, got.truncated) == (Rcode.NOERROR, True, (), truncated)
    assert got.origin == from_text("cluster.local")


async def test_question_about_a_target(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked the client's own question for the target as it is spelled; what is inside is not asked."""
    server = Server(Reply())
    edns = Edns(1232, dnssec_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        plugin = await running(world, server, WORLD, monkeypatch, stack)
        one = request(
            "out.ns1.svc.cluster.local.", RRType.AAAA, recursion_desired=True, checking_disabled=True, edns=edns
        )
        await plugin.handle(one, NEXT)
        for name, qtype in (
            ("out.ns1.svc", "CNAME"),
            ("in.ns1.svc", "A"),
            ("web.ns1.svc", "A"),
            ("loop-a.ns1.svc", "A"),
        ):
            await ask(plugin, name, qtype)
    ((asker, query),) = server.asked
    assert asker is one
    assert query == Query(
        id=77,
        qname=spelled_from_text("Target.Example.ORG"),
        name=from_text("target.example.org"),
        qtype=RRType.AAAA,
        recursion_desired=True,
        checking_disabled=True,
        edns=edns,
        size=46,
    )


async def test_before_it_runs(world_plugin: Kubernetes) -> None:
    """Without a server around it the alias stands alone."""
    assert await seen(world_plugin, "out.ns1.svc") == ["CNAME Target.Example.ORG."]


ALIASES = """
cluster.local other.test {
    bind 127.0.0.1
    kubernetes cluster.local other.test {
        endpoint @API@
    }
}
example.org {
    bind 127.0.0.1
    hosts {
        192.0.2.1 target.example.org
    }
}
"""


async def test_aliases_through_a_server(tmp_path: Path) -> None:
    """Over a socket: another block, another zone of the same plugin, nobody, and two zones in a circle."""
    targets = {
        "out": "Target.Example.ORG",
        "other": "web.ns1.svc.other.test",
        "nobody": "example.net",
        "to": "fro.ns1.svc.other.test",
        "fro": "to.ns1.svc.cluster.local",
    }
    async with FakeApiServer() as api:
        for value in (
            namespace_json(),
            service_json("web", cluster_ip="10.96.0.10"),
            *(service_json(name, external_name=target) for name, target in targets.items()),
        ):
            api.put(value)
        async with serving(ALIASES.replace("@API@", api.url), tmp_path) as server:
            assert await server.texts("out.ns1.svc.cluster.local") == ["192.0.2.1", "Target.Example.ORG."]
            assert await server.texts("other.ns1.svc.Cluster.Local") == ["10.96.0.10", "web.ns1.svc.other.test."]
            assert await server.texts("nobody.ns1.svc.cluster.local") == ["example.net."]
            assert await server.texts("to.ns1.svc.cluster.local") == [
                "fro.ns1.svc.other.test.",
                "to.ns1.svc.cluster.local.",
            ]
            spelled = await server.ask("OUT.ns1.SVC.cluster.LOCAL")
            assert [to_text(record.owner) for record in spelled.answer[:1]] == ["OUT.ns1.SVC.cluster.LOCAL."]


# Reverse names

REVERSE: list[tuple[str, str, str | list[str]]] = [
    ("10.0.96.10.in-addr.arpa.", "PTR", ["PTR web.ns1.svc"]),
    ("11.0.96.10.in-addr.arpa.", "PTR", ["PTR dual.ns1.svc"]),
    ("10.2.96.10.in-addr.arpa.", "PTR", ["PTR web.ns2.svc"]),
    ("10.0.244.10.in-addr.arpa.", "PTR", ["PTR web-a.web.ns1.svc"]),
    ("5.5.244.10.in-addr.arpa.", "PTR", ["PTR 10-244-5-5.hl.ns1.svc", "PTR 10-244-5-5.web.ns1.svc"]),
    ("1.2.244.10.in-addr.arpa.", "PTR", ["PTR node.twins.ns1.svc"]),
    ("12.0.244.10.in-addr.arpa.", "PTR", NXDOMAIN),  # not ready
    ("1.4.244.10.in-addr.arpa.", "PTR", NXDOMAIN),  # below an alias
    ("80.2.0.192.in-addr.arpa.", "PTR", NXDOMAIN),  # an external IP
    ("9.9.244.10.in-addr.arpa.", "PTR", NXDOMAIN),  # without a Service
    ("9.9.9.9.in-addr.arpa.", "PTR", NXDOMAIN),
    ("in-addr.arpa.", "PTR", NODATA),
    ("0.96.10.in-addr.arpa.", "PTR", NODATA),
    ("1.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("010.0.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("x.10.0.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("10.0.96.10.in-addr.arpa.", "A", NODATA),
    ("web.ns1.svc.in-addr.arpa.", "A", NXDOMAIN),
    ("svc.in-addr.arpa.", "A", NXDOMAIN),
    ("dns-version.in-addr.arpa.", "TXT", NXDOMAIN),
    (f"1.1.{'0.' * 22}0.1.0.0.0.0.d.f.ip6.arpa.", "PTR", ["PTR dual.ns1.svc"]),
    (f"{'0.' * 24}4.4.2.0.0.0.d.f.ip6.arpa.", "PTR", ["PTR fd00-244--0.v6hl.ns1.svc"]),
    (f"{'0.' * 23}4.4.2.0.0.0.d.f.ip6.arpa.", "PTR", NODATA),
    (f"1.{'0.' * 23}4.4.2.0.0.0.d.f.ip6.arpa.", "PTR", NXDOMAIN),
    ("10.0.96.10.cluster.local.", "PTR", NXDOMAIN),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), REVERSE, ids=[f"{row[0]} {row[1]}" for row in REVERSE])
async def test_reverse(world_plugin: Kubernetes, name: str, qtype: str, expected: str | list[str]) -> None:
    """A cluster IP leads to its Service alone, another address to every endpoint that has it."""
    if name.endswith("ip6.arpa."):
        name = name if len(labels(from_text(name))) <= 34 else "too long"
    assert await seen(world_plugin, name, qtype) == expected


async def test_reverse_names_lead_into_the_first_forward_zone() -> None:
    """Only zones that are listed have reverse names; where they lead is the first zone that is no reverse one."""
    plugin = await following(WORLD, zones="10.96.0.0/16 a.test b.test")
    assert outcome(await ask(plugin, "10.0.96.10.in-addr.arpa.", "PTR")) == ["PTR web.ns1.svc.a.test."]
    assert await seen(plugin, "96.10.in-addr.arpa.", "PTR") == NODATA
    assert await seen(plugin, "10.0.244.10.in-addr.arpa.", "PTR") == "NOTAUTH"
    assert await seen(plugin, "web.ns1.svc.b.test.") == WEB


# Options: each with the names whose answers it changes

PODS: list[Object] = [
    pod("one", "10.244.0.7"),
    pod("six", "fd00::7"),
    pod("host-a", "192.0.2.7"),
    pod("host-b", "192.0.2.7"),
    pod("other", "192.0.2.7", namespace="ns2"),
    pod("pending", None),
    pod("ended", "10.244.0.8", phase="Succeeded"),
    pod("going", "10.244.0.9", deleting=True),
    pod("lost", "10.244.0.7", namespace="no-ns"),
]
IMPORTS: list[Object] = [
    service_import("web", ips=["10.112.0.10"], ports=HTTP),
    service_import("hl"),
    service_import("empty"),
    endpoint_slice(
        endpoint_json("10.130.0.1", hostname="Ep"),
        name="i1",
        service=None,
        imported="hl",
        cluster="East",
        ports=SLICE_HTTP,
    ),
    endpoint_slice(
        endpoint_json("10.140.0.1", hostname="ep"),
        endpoint_json("10.140.0.2"),
        endpoint_json("10.140.0.3", ready=False),
        name="i2",
        service=None,
        imported="hl",
        cluster="west",
        ports=SLICE_HTTP,
    ),
    endpoint_slice(
        endpoint_json("10.150.0.1"), name="i3", service=None, imported="web", cluster="west", ports=SLICE_HTTP
    ),
    endpoint_slice(endpoint_json("10.160.0.1"), name="i4", service=None, imported="hl", cluster="not.a.label"),
    endpoint_slice(
        endpoint_json("10.170.0.1", hostname="d"), name="i5", service="derived", imported="web", cluster="west"
    ),
    service("derived"),
]
NEARBY: list[Object] = [
    service("zoned", ports=HTTP),
    endpoint_slice(
        endpoint_json("10.244.7.1", zone="Zone-A"),
        endpoint_json("10.244.7.2", zone="zone-b"),
        endpoint_json("10.244.7.3"),
        name="zoned-1",
        service="zoned",
        ports=SLICE_HTTP,
    ),
]
CLUSTERSET = f"{ZONES} clusterset.local"
HL = [f"A 10.244.{last}" for last in ("1.1", "1.2", "1.3", "1.4", "1.5", "5.5")]
IMPORTED_HL = ["A 10.130.0.1", "A 10.140.0.1", "A 10.140.0.2"]
ZONED = ["A 10.244.7.1", "A 10.244.7.2", "A 10.244.7.3"]

OPTIONS: list[tuple[str, str, str, str | list[str]]] = [  # options, name, type, answer
    ("pods disabled", "pod", "A", NODATA),
    ("pods disabled", "ns1.pod", "A", NXDOMAIN),
    ("pods disabled", "10-244-0-7.ns1.pod", "A", NXDOMAIN),
    ("pods insecure", "ns1.pod", "A", NODATA),
    ("pods insecure", "bare-ns.pod", "A", NODATA),
    ("pods insecure", "no-ns.pod", "A", NXDOMAIN),
    ("pods insecure", "10-244-0-7.ns1.pod", "A", ["A 10.244.0.7"]),
    ("pods insecure", "10-244-0-7.ns1.pod", "AAAA", NODATA),
    ("pods insecure", "10-244-0-7.ns1.pod", "TXT", NODATA),
    ("pods insecure", "10-244-0-7.ns1.pod", "SRV", NODATA),
    ("pods insecure", "1-2-3-4.bare-ns.pod", "A", ["A 1.2.3.4"]),
    ("pods insecure", "1-2-3-4.no-ns.pod", "A", NXDOMAIN),
    ("pods insecure", "FD00--7.ns1.pod", "AAAA", ["AAAA fd00::7"]),
    ("pods insecure", "web.ns1.pod", "A", NXDOMAIN),
    ("pods insecure", "1-2-3-400.ns1.pod", "A", NXDOMAIN),
    ("pods insecure", "x.1-2-3-4.ns1.pod", "A", NXDOMAIN),
    ("pods insecure\nnamespaces ns2", "1-2-3-4.ns1.pod", "A", NXDOMAIN),
    ("pods insecure\nnamespaces ns2", "1-2-3-4.ns2.pod", "A", ["A 1.2.3.4"]),
    ("pods verified", "ns1.pod", "A", NODATA),
    ("pods verified", "bare-ns.pod", "A", NODATA),
    ("pods verified", "no-ns.pod", "A", NXDOMAIN),
    ("pods verified", "10-244-0-7.ns1.pod", "A", ["A 10.244.0.7"]),
    ("pods verified", "10-244-0-7.ns1.pod", "AAAA", NODATA),
    ("pods verified", "10-244-0-7.ns1.pod", "MX", NODATA),
    ("pods verified", "10-244-0-7.ns2.pod", "A", NXDOMAIN),
    ("pods verified", "10-244-0-7.no-ns.pod", "A", NXDOMAIN),
    ("pods verified", "fd00--7.ns1.pod", "AAAA", ["AAAA fd00::7"]),
    ("pods verified", "fd00-0--7.ns1.pod", "AAAA", NXDOMAIN),
    ("pods verified", "192-0-2-7.ns1.pod", "A", ["A 192.0.2.7"]),
    ("pods verified", "192-0-2-7.ns2.pod", "A", ["A 192.0.2.7"]),
    ("pods verified", "10-244-0-8.ns1.pod", "A", NXDOMAIN),
    ("pods verified", "10-244-0-9.ns1.pod", "A", NXDOMAIN),
    ("pods verified", "1-2-3-4.ns1.pod", "A", NXDOMAIN),
    ("pods verified", "x.10-244-0-7.ns1.pod", "A", NXDOMAIN),
    ("pods verified\nnamespaces ns2", "192-0-2-7.ns1.pod", "A", NXDOMAIN),
    ("pods verified\nnamespaces ns2", "192-0-2-7.ns2.pod", "A", ["A 192.0.2.7"]),
    ("endpoint_pod_names", "web-1.web.ns1.svc", "A", ["A 10.244.0.11"]),
    ("endpoint_pod_names", "10-244-0-11.web.ns1.svc", "A", NXDOMAIN),
    ("endpoint_pod_names", "web-a.web.ns1.svc", "A", ["A 10.244.0.10"]),
    ("endpoint_pod_names", "10-244-1-1.hl.ns1.svc", "A", ["A 10.244.1.1"]),
    ("endpoint_pod_names", "11.0.244.10.in-addr.arpa.", "PTR", ["PTR web-1.web.ns1.svc"]),
    ("noendpoints", "web.ns1.svc", "A", WEB),
    ("noendpoints", "idle.ns1.svc", "A", ["A 10.96.0.15"]),
    ("noendpoints", "web.ns1.svc", "SRV", ["SRV 0 33 53 web.ns1.svc", "SRV 0 33 80 web.ns1.svc"]),
    ("noendpoints", "web-a.web.ns1.svc", "A", NXDOMAIN),
    ("noendpoints", "hl.ns1.svc", "A", NXDOMAIN),
    ("noendpoints", "_http._tcp.hl.ns1.svc", "SRV", NXDOMAIN),
    ("noendpoints", "in.ns1.svc", "A", ["A 10.96.0.10", "CNAME web.ns1.svc"]),
    ("noendpoints", "10.0.96.10.in-addr.arpa.", "PTR", ["PTR web.ns1.svc"]),
    ("noendpoints", "10.0.244.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("noendpoints\nignore empty_service", "web.ns1.svc", "A", NXDOMAIN),
    ("noendpoints\nignore empty_service", "web.ns2.svc", "A", NXDOMAIN),
    ("noendpoints\nignore empty_service", "10.0.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("noendpoints\nignore empty_service", "ns1.svc", "A", NODATA),
    ("noendpoints\nignore empty_service", "in.ns1.svc", "CNAME", ["CNAME web.ns1.svc"]),
    ("noendpoints\nignore empty_service", "in.ns1.svc", "A", NODATA),
    ("ignore empty_service", "web.ns1.svc", "A", WEB),
    ("ignore empty_service", "web.ns2.svc", "A", NXDOMAIN),
    ("ignore empty_service", "idle.ns1.svc", "A", NXDOMAIN),
    ("ignore empty_service", "idle.ns1.svc", "TXT", NXDOMAIN),
    ("ignore empty_service", "_http._tcp.idle.ns1.svc", "SRV", NXDOMAIN),
    ("ignore empty_service", "tcp.idle.ns1.svc", "A", NXDOMAIN),
    ("ignore empty_service", "15.0.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("ignore empty_service", "hl.ns1.svc", "A", HL),
    ("ignore empty_service", "silent.ns1.svc", "A", NXDOMAIN),
    ("ignore empty_service", "out.ns1.svc", "CNAME", ["CNAME Target.Example.ORG."]),
    ("namespaces ns2", "web.ns2.svc", "A", ["A 10.96.2.10"]),
    ("namespaces ns2", "web.ns1.svc", "A", NXDOMAIN),
    ("namespaces ns2", "ns1.svc", "A", NXDOMAIN),
    ("namespaces ns2", "ns2.svc", "A", NODATA),
    ("namespaces ns2", "web-a.web.ns1.svc", "A", NXDOMAIN),
    ("namespaces ns2", "10.0.96.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("namespaces ns2", "10.0.244.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("namespaces ns2", "10.2.96.10.in-addr.arpa.", "PTR", ["PTR web.ns2.svc"]),
    ("namespaces no-ns", "no-ns.svc", "A", NXDOMAIN),
    ("namespaces ns1 ns2", "web.ns1.svc", "A", WEB),
    ("zonal", "zone-a.pin._zone.zoned.ns1.svc", "A", ["A 10.244.7.1"]),
    ("zonal", "ZONE-B.PIN._ZONE.zoned.ns1.svc", "A", ["A 10.244.7.2"]),
    ("zonal", "zone-c.pin._zone.zoned.ns1.svc", "A", NODATA),
    ("zonal", "zone-a.pin._zone.zoned.ns1.svc", "AAAA", NODATA),
    ("zonal", "zone-a.prefer._zone.zoned.ns1.svc", "A", ["A 10.244.7.1"]),
    ("zonal", "zone-c.prefer._zone.zoned.ns1.svc", "A", ZONED),
    ("zonal", "zone-c.prefer._zone.zoned.ns1.svc", "SRV", NODATA),
    ("zonal", "pin._zone.zoned.ns1.svc", "A", NODATA),
    ("zonal", "_zone.zoned.ns1.svc", "A", NODATA),
    ("zonal", "zone-a.other._zone.zoned.ns1.svc", "A", NXDOMAIN),
    ("zonal", "x.zone-a.pin._zone.zoned.ns1.svc", "A", NXDOMAIN),
    ("zonal", "zone-a.pin._zone.web.ns1.svc", "A", NXDOMAIN),
    ("zonal", "_zone.web.ns1.svc", "A", NXDOMAIN),
    ("zonal", "zone-a.pin._zone.out.ns1.svc", "A", NXDOMAIN),
    ("zonal", "zone-a.pin._zone.silent.ns1.svc", "A", NXDOMAIN),
    ("zonal", "zone-a.pin._zone.nobody.ns1.svc", "A", NXDOMAIN),
    ("zonal", "zoned.ns1.svc", "A", ZONED),
    ("", "zone-a.pin._zone.zoned.ns1.svc", "A", NXDOMAIN),
    ("", "_zone.zoned.ns1.svc", "A", NXDOMAIN),
    ("multicluster clusterset.local", "web.ns1.svc", "A", WEB),
    ("multicluster clusterset.local", "web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    (
        "multicluster clusterset.local",
        "web.ns1.svc.clusterset.local.",
        "SRV",
        ["SRV 0 100 80 web.ns1.svc.clusterset.local."],
    ),
    ("multicluster clusterset.local", "_http._tcp.web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    ("multicluster clusterset.local", "_http.tcp.web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    ("multicluster clusterset.local", "http._tcp.web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    ("multicluster clusterset.local", "http.tcp.web.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "10-150-0-1.west.web.ns1.svc.clusterset.local.", "A", ["A 10.150.0.1"]),
    ("multicluster clusterset.local", "10-150-0-1.web.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "hl.ns1.svc.clusterset.local.", "A", IMPORTED_HL),
    ("multicluster clusterset.local", "ep.east.hl.ns1.svc.clusterset.local.", "A", ["A 10.130.0.1"]),
    ("multicluster clusterset.local", "ep.west.hl.ns1.svc.clusterset.local.", "A", ["A 10.140.0.1"]),
    ("multicluster clusterset.local", "10-140-0-2.WEST.hl.ns1.svc.clusterset.local.", "A", ["A 10.140.0.2"]),
    ("multicluster clusterset.local", "ep.north.hl.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "west.hl.ns1.svc.clusterset.local.", "A", NODATA),
    ("multicluster clusterset.local", "ep.hl.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "empty.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "four.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "derived.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "d.derived.ns1.svc", "A", ["A 10.170.0.1"]),
    ("multicluster clusterset.local", "d.west.web.ns1.svc.clusterset.local.", "A", ["A 10.170.0.1"]),
    ("multicluster clusterset.local", "empty.ns1.svc", "A", NXDOMAIN),
    ("multicluster clusterset.local", "ns1.svc.clusterset.local.", "A", NODATA),
    ("multicluster clusterset.local", "no-ns.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "ns1.pod.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local", "clusterset.local.", "A", NODATA),
    ("multicluster clusterset.local", "10.0.112.10.in-addr.arpa.", "PTR", NXDOMAIN),
    ("multicluster clusterset.local\npods insecure", "1-2-3-4.ns1.pod.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local\nnamespaces ns2", "web.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local\nnoendpoints", "hl.ns1.svc.clusterset.local.", "A", NXDOMAIN),
    ("multicluster clusterset.local\nnoendpoints", "web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    ("multicluster clusterset.local\nignore empty_service", "web.ns1.svc.clusterset.local.", "A", ["A 10.112.0.10"]),
    ("multicluster clusterset.local\nzonal", "west.pin._zone.hl.ns1.svc.clusterset.local.", "A", NXDOMAIN),
]


@pytest.mark.parametrize("options", list(dict.fromkeys(row[0] for row in OPTIONS)))
async def test_options(options: str) -> None:
    """What each option adds, changes and takes away."""
    zones = CLUSTERSET if "multicluster" in options else ZONES
    plugin = await following([*WORLD, *PODS, *IMPORTS, *NEARBY], options, zones=zones)
    for _, name, qtype, expected in (row for row in OPTIONS if row[0] == options):
        assert await seen(plugin, name, qtype) == expected, (name, qtype)


async def test_imported_srv() -> None:
    """SRV records of a headless import lead to endpoints of all clusters, with their addresses."""
    plugin = await following(IMPORTS, "multicluster clusterset.local", zones=CLUSTERSET)
    reply = await ask(plugin, "hl.ns1.svc.clusterset.local.", "SRV")
    assert outcome(reply) == [
        "SRV 0 33 8080 10-140-0-2.west.hl.ns1.svc.clusterset.local.",
        "SRV 0 33 8080 ep.east.hl.ns1.svc.clusterset.local.",
        "SRV 0 33 8080 ep.west.hl.ns1.svc.clusterset.local.",
    ]
    assert texts(reply.additional) == IMPORTED_HL


TTLS = [("", 5, 5), ("ttl 0", 0, 0), ("ttl 30", 30, 30), ("ttl 3600", 3600, 300)]


@pytest.mark.parametrize(("options", "ttl", "of_soa"), TTLS)
async def test_ttl(options: str, ttl: int, of_soa: int) -> None:
    """All records have it, the SOA at most 300 seconds of it, and the schema's version one of its own."""
    objects = [*WORLD, *PODS]
    plugin = await following(objects, f"{options}\npods insecure", addresses=["192.0.2.53"])
    questions = [
        ("web.ns1.svc", "A"),
        ("web.ns1.svc", "SRV"),
        ("hl.ns1.svc", "SRV"),
        ("web-a.web.ns1.svc", "A"),
        ("in.ns1.svc", "A"),
        ("1-2-3-4.ns1.pod", "A"),
        ("10.0.96.10.in-addr.arpa.", "PTR"),
        ("", "NS"),
        ("ns.dns", "A"),
    ]
    for name, qtype in questions:
        reply = await ask(plugin, name, qtype)
        assert {one.ttl for one in (*reply.answer, *reply.additional)} == {ttl}, name
    (soa,) = (await ask(plugin, "nobody")).authority
    assert (soa.ttl, int.from_bytes(soa.rdatas[0][-4:], "big")) == (of_soa, ttl)
    assert (await ask(plugin, "dns-version", "TXT")).answer[0].ttl == 28800


# Before the first sync, and changes after it

EARLY: list[tuple[str, str, str | list[str]]] = [
    ("", "A", NODATA),
    ("svc", "A", NODATA),
    ("pod", "A", NODATA),
    ("web.ns1.svc", "A", SERVFAIL),
    ("ns1.svc", "A", SERVFAIL),
    ("1-2-3-4.ns1.pod", "A", SERVFAIL),
    ("foo", "TXT", SERVFAIL),
    ("9.9.9.9.in-addr.arpa.", "PTR", SERVFAIL),
    ("in-addr.arpa.", "PTR", NODATA),
    ("web.ns1.svc.clusterset.local.", "A", SERVFAIL),
    ("", "NS", ["NS ns.dns"]),
    ("ns.dns", "A", ["A 192.0.2.53"]),
]


@pytest.mark.parametrize(
    ("fallthrough", "falls"), [("", False), ("fallthrough", True), ("fallthrough example.org", False)]
)
async def test_before_the_sync(fallthrough: str, falls: bool) -> None:
    """What may only be not there yet is SERVFAIL, or the next plugin's; what is there is answered as ever."""
    options = f"pods insecure\nmulticluster clusterset.local\n{fallthrough}"
    plugin = unsynced(options, zones=CLUSTERSET, addresses=["192.0.2.53"])
    assert not plugin.ready()
    for name, qtype, expected in EARLY:
        wanted = "NOTAUTH" if falls and expected == SERVFAIL else expected
        reply = await ask(plugin, name, qtype)
        assert reply.rcode == Rcode.NOTAUTH if wanted == "NOTAUTH" else outcome(reply) == wanted, name
        assert all(one.rdatas[0][-20:-16] == bytes(4) for one in reply.authority)  # the serial


async def test_one_zone_waits_for_the_other() -> None:
    """Until ServiceImports have been listed as well, nothing counts as missing."""
    events = lists(WORLD, [kind for kind in Kind if kind is not Kind.SERVICE_IMPORT])
    source = Told(events)
    plugin = unsynced("multicluster clusterset.local", zones=CLUSTERSET, source=source)
    assert plugin.cluster is not None
    task = asyncio.create_task(plugin.cluster.run())
    await until_seen(plugin, "web.ns1.svc", WEB)
    assert (await seen(plugin, "nobody.ns1.svc"), plugin.synced) == (SERVFAIL, False)
    for event in lists(IMPORTS, [Kind.SERVICE_IMPORT]):
        source.queue.put_nowait(event)
    await plugin.cluster.wait_synced()
    assert (await seen(plugin, "nobody.ns1.svc"), plugin.synced) == (NXDOMAIN, True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes is seen, and is gone again."""
    source = Told(lists([*WORLD, *PODS], Kind))

    async def give(plugin: Kubernetes, stack: object, runtime: object) -> list[Source]:
        return [source]

    monkeypatch.setattr(Kubernetes, "_sources", give)
    plugin = unsynced("pods verified")
    async with plugin.running(world.runtime):
        for event, name, expected in (
            (Changed(Kind.POD, pod("new", "10.244.0.77")), "10-244-0-77.ns1.pod", ["A 10.244.0.77"]),
            (Changed(Kind.POD, pod("new", "10.244.0.78")), "10-244-0-77.ns1.pod", NXDOMAIN),
            (Deleted(Kind.NAMESPACE, ("", "ns2")), "web.ns2.svc", NXDOMAIN),
            (Changed(Kind.NAMESPACE, namespace("ns2")), "192-0-2-7.ns2.pod", ["A 192.0.2.7"]),
        ):
            source.queue.put_nowait(event)
            await until_seen(plugin, name, expected)


# What other plugins ask


async def test_what_others_ask() -> None:
    """`k8s_external`, `autopath` and `transfer` see what is published, and nothing else."""
    plugin = await following([*WORLD, *PODS], "pods verified\nnamespaces ns1 no-ns")
    assert {one.name for one in plugin.services()} == {
        one.name for one in WORLD if getattr(one, "namespace", "") == "ns1" and is_service(one)
    }
    assert plugin.service("ns1", "web") in list(plugin.services())
    assert (plugin.service("ns2", "web"), plugin.service("ns1", "nobody")) == (None, None)
    assert sorted(one.label for one in plugin.endpoints("ns1", "web")) == [b"10-244-0-11", b"10-244-5-5", b"web-a"]
    assert plugin.endpoints("ns2", "web") == plugin.endpoints("ns1", "nobody") == ()
    assert [plugin.exposed(name) for name in ("ns1", "ns2", "no-ns")] == [True, False, False]
    zone = plugin.transferable(from_text("cluster.local"))
    assert zone is not None
    assert zone.origin == from_text("cluster.local")
    assert plugin.transferable(from_text("svc.cluster.local")) is None
    assert plugin.synced


def is_service(one: Object) -> bool:
    """Say whether an object is a Service."""
    return isinstance(one, Service)


async def test_vmis_are_pods_and_endpoints() -> None:
    """A VMI's own name and its pod's stand side by side."""
    objects: list[Object] = [namespace(), service(), vmi(), pod("virt-launcher-vm1-abcde", "10.244.0.7")]
    plugin = await following(objects, "pods verified")
    assert await seen(plugin, "vm1.db.ns1.svc") == await seen(plugin, "10-244-0-7.ns1.pod") == ["A 10.244.0.7"]
    assert await seen(plugin, "7.0.244.10.in-addr.arpa.", "PTR") == ["PTR vm1.db.ns1.svc"]
