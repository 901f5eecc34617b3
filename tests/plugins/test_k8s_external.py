"""`k8s_external`: names from outside as a table, the apex, reverse names, whole zones, aliases, and refusals."""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import replace

import pytest

from dnsserver.derive.endpoint import Endpoint
from dnsserver.message import Query, Reply
from dnsserver.names import ROOT, from_text, spelled_from_text, to_text
from dnsserver.objects import Port, Service
from dnsserver.objects.service import ServicePort
from dnsserver.plugins.k8s_external import Config, External, ExternalSource
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.transferring.content import Content, in_order
from dnsserver.plugins.transferring.versions import Transferable
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.wire import Record, rcode_to_text, record_to_text, text_to_type
from tests.plugins.conftest import World, answering, parse, refusal, request, rrset

NEXT = Reply(rcode=Rcode.YXDOMAIN)
HTTP = ServicePort("http", "TCP", 80, 8080)
DNS = ServicePort("", "UDP", 53, 53)
OWN = ("10.244.0.9", "fd00::9")  # of the host that the server is on


def packed(*texts: str) -> tuple[bytes, ...]:
    """Return packed addresses."""
    return tuple(ipaddress.ip_address(text).packed for text in texts)


def service(
    name: str,
    *external_ips: str,
    ingress: tuple[bytes | str, ...] = (),
    namespace: str = "testns",
    headless: bool = False,
    ports: tuple[ServicePort, ...] = (HTTP,),
) -> Service:
    """Return a Service with external addresses."""
    return Service(
        namespace=namespace,
        name=name,
        uid=name,
        headless=headless,
        external_name="",
        cluster_ips=() if headless else packed("10.0.0.1"),
        selector={},
        families=frozenset({4, 6}),
        publish_not_ready=False,
        ports=ports,
        external_ips=packed(*external_ips),
        ingress=ingress,
    )


def endpoint(label: str, *addresses: str, ports: tuple[Port, ...] = (Port("http", "TCP", 8080),)) -> Endpoint:
    """Return an endpoint."""
    return Endpoint(label.encode(), packed(*addresses), ports)


SERVICES = (
    service("svc1", "192.0.2.1"),
    service("dual", "192.0.2.2", "2001:db8::2", ports=(HTTP, DNS)),
    service("lb", "192.0.2.3", ingress=(*packed("192.0.2.4", "192.0.2.3"), "lb.example.net")),
    service("host", ingress=("LB.Example.net", "lb2.example.net")),
    service("bad-host", ingress=("a..b", "")),
    service("portless", "192.0.2.1", ports=()),
    service("internal"),
    service("hdls", headless=True),
    service("hdls-ext", "192.0.2.5", headless=True),
    service("empty", headless=True),
    service("web", "192.0.2.6", namespace="other"),
    service("in-apex", "192.0.2.7", namespace="dns"),
    service("x" * 64, "192.0.2.8"),
)
ENDPOINTS = {
    "internal": (endpoint("pod1", "10.1.0.1"),),
    "hdls": (
        endpoint("vm1", "10.1.0.2"),
        endpoint("vm2", "10.1.0.3", "fd00::3"),
        endpoint("plain", "10.1.0.4", ports=()),
    ),
    "hdls-ext": (endpoint("vm9", "10.1.0.9"),),
    "svc1": (endpoint("pod1", "10.1.0.1"),),
}


class Source(Plugin):
    """Stands for the `kubernetes` plugin."""

    name = "kubernetes"

    def __init__(self, services: Iterable[Service] = SERVICES) -> None:
        self.synced = True
        self.serial = 1700000000
        self.left = 0.0  # seconds
        self.all = {one.key: one for one in services}
        self.looked = 0

    @property
    def version(self) -> int:
        """As the serial."""
        return self.serial

    def seal(self) -> float:
        """Say how long the serial may still be shared."""
        return self.left

    def services(self) -> Iterable[Service]:
        """Return all."""
        self.looked += 1
        return self.all.values()

    def service(self, namespace: str, name: str) -> Service | None:
        """Return one."""
        return self.all.get((namespace, name))

    def endpoints(self, namespace: str, name: str) -> tuple[Endpoint, ...]:
        """Return those of a Service."""
        return ENDPOINTS.get(name, ()) if namespace == "testns" else ()

    def exposed(self, namespace: str) -> bool:
        """Say whether there is one."""
        return namespace in ("testns", "other", "dns", "bare")


ZONES = tuple(map(from_text, ("10.in-addr.arpa", "example.com", "2.0.192.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")))


async def nobody(request: Request, query: Query) -> Reply:
    """Know nothing."""
    raise PluginError("forward", "no upstream")


async def ask(
    qname: str,
    qtype: str = "A",
    *,
    source: Source | None = None,
    call_next: Handler | None = None,
    runtime: Runtime | None = None,
    **options: object,
) -> Reply:
    """Return the plugin's reply."""
    plugin = External(replace(Config(ZONES), **options))  # type: ignore[arg-type]  # the fields of Config
    plugin._source = source or Source()
    plugin._runtime = runtime
    asked = request(qname, text_to_type(qtype), qname=spelled_from_text(qname))
    return await plugin.handle(asked, call_next or answering(NEXT))


def records(rrsets: Iterable[RRset]) -> list[str]:
    """Return records as a zone file has them, without TTL and class."""
    found = []
    for one in rrsets:
        for rdata in one.rdatas:
            owner, _, _, *rest = record_to_text(Record(one.owner, one.rrtype, 1, one.ttl, rdata)).split()
            found.append(" ".join((owner, *rest)))
    return found


def outcome(reply: Reply) -> str | list[str]:
    """Return the answer; without one, NODATA or the code of a reply that has the zone's SOA."""
    if reply.answer:
        assert (reply.rcode, reply.authoritative, reply.authority) == (Rcode.NOERROR, True, ())
        return records(reply.answer)
    assert [one.rrtype for one in reply.authority] == [RRType.SOA]
    return "NODATA" if reply.rcode == Rcode.NOERROR else rcode_to_text(reply.rcode)


SVC1 = "svc1.testns.example.com."
CASES = [  # name without the zone, type, answer
    ("svc1.testns", "A", [f"{SVC1} A 192.0.2.1"]),
    ("SVC1.testNS", "A", [f"{SVC1} A 192.0.2.1"]),
    ("svc1.testns", "AAAA", "NODATA"),
    ("svc1.testns", "TXT", "NODATA"),
    ("svc1.testns", "NS", "NODATA"),
    ("svc1.testns", "SOA", "NODATA"),
    ("svc1.testns", "ANY", "NODATA"),
    ("svc1.testns", "PTR", "NODATA"),
    ("svc1.testns", "SRV", [f"{SVC1} SRV 0 100 80 {SVC1}"]),
    ("_http._tcp.svc1.testns", "SRV", [f"_http._tcp.{SVC1} SRV 0 100 80 {SVC1}"]),
    ("_http._tcp.svc1.testns", "A", [f"_http._tcp.{SVC1} A 192.0.2.1"]),
    ("HTTP.tcp.svc1.testns", "SRV", [f"http.tcp.{SVC1} SRV 0 100 80 {SVC1}"]),
    ("_tcp.svc1.testns", "A", "NODATA"),  # an empty non-terminal
    ("_udp.svc1.testns", "A", "NXDOMAIN"),
    ("_http._udp.svc1.testns", "SRV", "NXDOMAIN"),
    ("_https._tcp.svc1.testns", "SRV", "NXDOMAIN"),
    ("_dns._udp.dual.testns", "SRV", "NXDOMAIN"),  # a port without a name
    ("x._http._tcp.svc1.testns", "A", "NXDOMAIN"),
    ("anything.svc1.testns", "A", "NXDOMAIN"),
    ("pod1.svc1.testns", "A", "NXDOMAIN"),
    ("testns", "A", "NODATA"),
    ("bare", "A", "NODATA"),
    ("nons", "A", "NXDOMAIN"),
    ("svc1.nons", "A", "NXDOMAIN"),
    ("nosvc.testns", "A", "NXDOMAIN"),
    ("*.testns", "A", "NXDOMAIN"),
    ("\\255.testns", "A", "NXDOMAIN"),
    ("dual.testns", "A", ["dual.testns.example.com. A 192.0.2.2"]),
    ("dual.testns", "AAAA", ["dual.testns.example.com. AAAA 2001:db8::2"]),
    (
        "dual.testns",
        "SRV",  # two addresses and two ports: a weight of 25
        [f"dual.testns.example.com. SRV 0 25 {port} dual.testns.example.com." for port in (53, 80)],
    ),
    ("lb.testns", "A", [f"lb.testns.example.com. A 192.0.2.{last}" for last in (3, 4)]),  # addresses before host names
    (
        "lb.testns",
        "SRV",
        [f"lb.testns.example.com. SRV 0 33 80 {target}." for target in ("lb.testns.example.com", "lb.example.net")],
    ),
    ("host.testns", "CNAME", ["host.testns.example.com. CNAME LB.Example.net."]),
    ("host.testns", "A", ["host.testns.example.com. CNAME LB.Example.net."]),
    (
        "_http._tcp.host.testns",
        "SRV",
        [f"_http._tcp.host.testns.example.com. SRV 0 50 80 {host}." for host in ("LB.Example.net", "lb2.example.net")],
    ),
    ("_http._tcp.host.testns", "A", "NODATA"),
    ("bad-host.testns", "A", "NXDOMAIN"),
    ("portless.testns", "A", ["portless.testns.example.com. A 192.0.2.1"]),
    ("portless.testns", "SRV", "NODATA"),
    ("internal.testns", "A", "NXDOMAIN"),
    ("hdls.testns", "A", "NXDOMAIN"),
    ("vm1.hdls.testns", "A", "NXDOMAIN"),
    ("hdls-ext.testns", "A", ["hdls-ext.testns.example.com. A 192.0.2.5"]),
    (f"{'x' * 64}"[:63] + ".testns", "A", "NXDOMAIN"),
    ("web.other", "A", ["web.other.example.com. A 192.0.2.6"]),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), CASES)
async def test_names(name: str, qtype: str, expected: str | list[str]) -> None:
    """Services with externalIPs or a load balancer have names, and nothing else has."""
    reply = await ask(f"{name}.example.com.", qtype)
    assert outcome(reply) == expected
    assert reply.origin == from_text("example.com")
    assert all(one.ttl == 5 for one in (*reply.answer, *reply.authority))


HEADLESS = [
    ("hdls.testns", "A", [f"hdls.testns.example.com. A 10.1.0.{last}" for last in (2, 3, 4)]),
    ("hdls.testns", "AAAA", ["hdls.testns.example.com. AAAA fd00::3"]),
    ("hdls.testns", "SRV", [f"hdls.testns.example.com. SRV 0 33 8080 vm{n}.hdls.testns.example.com." for n in (1, 2)]),
    ("_http._tcp.hdls.testns", "A", [f"_http._tcp.hdls.testns.example.com. A 10.1.0.{last}" for last in (2, 3)]),
    ("_tcp.hdls.testns", "A", "NODATA"),
    ("_http._udp.hdls.testns", "A", "NXDOMAIN"),
    ("vm2.hdls.testns", "A", ["vm2.hdls.testns.example.com. A 10.1.0.3"]),
    ("vm2.hdls.testns", "SRV", ["vm2.hdls.testns.example.com. SRV 0 50 8080 vm2.hdls.testns.example.com."]),
    ("plain.hdls.testns", "SRV", "NODATA"),
    ("vm3.hdls.testns", "A", "NXDOMAIN"),
    ("empty.testns", "A", "NXDOMAIN"),
    ("hdls-ext.testns", "A", ["hdls-ext.testns.example.com. A 192.0.2.5"]),  # external addresses go first
    ("vm9.hdls-ext.testns", "A", "NXDOMAIN"),
    ("pod1.internal.testns", "A", ["pod1.internal.testns.example.com. A 10.1.0.1"]),
    ("internal.testns", "A", "NODATA"),  # exists, for a name is below it
    ("_http._tcp.internal.testns", "A", "NXDOMAIN"),
    ("svc1.testns", "A", [f"{SVC1} A 192.0.2.1"]),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), HEADLESS)
async def test_headless(name: str, qtype: str, expected: str | list[str]) -> None:
    """With the option endpoints have names too, where the Service has no external address."""
    assert outcome(await ask(f"{name}.example.com.", qtype, headless=True)) == expected


ADDITIONAL = [
    ("dual.testns", ["dual.testns.example.com. A 192.0.2.2", "dual.testns.example.com. AAAA 2001:db8::2"]),
    ("_http._tcp.host.testns", []),
    (
        "hdls.testns",
        [
            "vm1.hdls.testns.example.com. A 10.1.0.2",
            "vm2.hdls.testns.example.com. A 10.1.0.3",
            "vm2.hdls.testns.example.com. AAAA fd00::3",
        ],
    ),
]


@pytest.mark.parametrize(("name", "expected"), ADDITIONAL)
async def test_additional(name: str, expected: list[str]) -> None:
    """SRV comes with the addresses of its targets in the zone."""
    reply = await ask(f"{name}.example.com.", "SRV", headless=True)
    assert sorted(records(reply.additional)) == expected


async def test_ttl() -> None:
    """It is that of every record, and of negative answers."""
    reply = await ask("svc1.testns.example.com.", ttl=0)
    assert reply.answer[0].ttl == 0
    reply = await ask("nosvc.testns.example.com.", ttl=3600)
    assert reply.authority[0].ttl == 3600
    assert records(reply.authority)[0].endswith(" 7200 1800 86400 3600")


# -- the apex ----------------------------------------------------------------------------------------------------------

APEX_SOA = "example.com. SOA ns1.dns.example.com. hostmaster.dns.example.com. 1700000000 7200 1800 86400 5"
APEX = [
    ("example.com.", "SOA", [APEX_SOA]),
    ("EXAMPLE.com.", "NS", ["example.com. NS ns1.dns.example.com."]),
    ("example.com.", "A", "NODATA"),
    ("dns.example.com.", "A", "NODATA"),
    ("ns1.dns.example.com.", "A", ["ns1.dns.example.com. A 10.244.0.9"]),
    ("ns1.dns.example.com.", "AAAA", ["ns1.dns.example.com. AAAA fd00::9"]),
    ("ns1.dns.example.com.", "TXT", "NODATA"),
    ("ns2.dns.example.com.", "A", "NXDOMAIN"),
    ("in-apex.dns.example.com.", "A", "NXDOMAIN"),  # the namespace `dns` is in the way of the apex
    ("x.ns1.dns.example.com.", "A", "NXDOMAIN"),
    ("2.0.192.in-addr.arpa.", "NS", ["2.0.192.in-addr.arpa. NS ns1.dns.2.0.192.in-addr.arpa."]),
    ("ns1.dns.2.0.192.in-addr.arpa.", "A", ["ns1.dns.2.0.192.in-addr.arpa. A 10.244.0.9"]),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), APEX)
async def test_apex(world: World, name: str, qtype: str, expected: str | list[str]) -> None:
    """SOA, NS and `ns1.dns`, whatever the cluster has there."""
    runtime = replace(world.runtime, addresses=packed(*OWN))
    reply = await ask(name, qtype, runtime=runtime)
    assert outcome(reply) == expected
    if qtype == "NS":
        assert [(one.owner, one.rrtype) for one in reply.additional] == [
            (reply.answer[0].rdatas[0], RRType.A),
            (reply.answer[0].rdatas[0], RRType.AAAA),
        ]


async def test_another_apex() -> None:
    """The label is an option; then the default one is a namespace like others."""
    assert records((await ask("example.com.", "NS", apex=b"zz")).answer) == ["example.com. NS ns1.zz.example.com."]
    found = await ask("in-apex.dns.example.com.", apex=b"zz")
    assert outcome(found) == ["in-apex.dns.example.com. A 192.0.2.7"]


async def test_the_servers_own_service(world: World) -> None:
    """Where a Service leads to this host, its external addresses are the name server's; found once per version."""
    runtime = replace(world.runtime, addresses=packed("10.1.0.9", "fd00::9"))
    source = Source()
    plugin = External(Config(ZONES))
    world.block(plugin, source)
    async with plugin.running(runtime):
        for _ in range(3):
            reply = await plugin.handle(request("ns1.dns.example.com."), answering(NEXT))
            assert outcome(reply) == ["ns1.dns.example.com. A 192.0.2.5"]
        assert source.looked == 1
        source.serial += 1
        del source.all["testns", "hdls-ext"]
        reply = await plugin.handle(request("ns1.dns.example.com."), answering(NEXT))
        assert outcome(reply) == ["ns1.dns.example.com. A 10.1.0.9"]
        assert source.looked == 2
    runtime = replace(world.runtime, addresses=packed("10.1.0.2"))
    found = await ask("ns1.dns.example.com.", runtime=runtime, headless=True)
    assert outcome(found) == [f"ns1.dns.example.com. A 10.1.0.{last}" for last in (2, 3, 4)]


# -- reverse names -----------------------------------------------------------------------------------------------------

REVERSE = [
    ("1.2.0.192.in-addr.arpa.", "PTR", ["portless.testns", "svc1.testns"]),
    ("4.2.0.192.in-addr.arpa.", "PTR", ["lb.testns"]),
    ("6.2.0.192.in-addr.arpa.", "PTR", ["web.other"]),
    ("1.2.0.192.in-addr.arpa.", "A", "NODATA"),
    ("9.2.0.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
    ("8.2.0.192.in-addr.arpa.", "PTR", "NXDOMAIN"),  # of a Service whose name is no label
    ("1.0.0.10.in-addr.arpa.", "PTR", "NXDOMAIN"),  # a cluster IP
    (f"2.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa.", "PTR", ["dual.testns"]),
    ("0.0.8.b.d.0.1.0.0.2.ip6.arpa.", "PTR", "NODATA"),  # an empty non-terminal
]


@pytest.mark.parametrize(("name", "qtype", "expected"), REVERSE)
async def test_reverse(name: str, qtype: str, expected: str | list[str]) -> None:
    """External addresses lead back to their Services, in the first zone that is not a reverse one."""
    targets = [f"{name} PTR {target}.example.com." for target in expected] if expected[0].islower() else expected
    found = outcome(await ask(name, qtype))
    assert sorted(found) == sorted(targets)


async def test_reverse_names_follow_the_cluster() -> None:
    """They are made anew with every version, and always before the first."""
    source = Source()
    plugin = External(Config(ZONES))
    plugin._source = source
    asked = request("1.2.0.192.in-addr.arpa.", RRType.PTR)
    assert len((await plugin.handle(asked, answering(NEXT))).answer[0].rdatas) == 2
    del source.all["testns", "svc1"]
    assert len((await plugin.handle(asked, answering(NEXT))).answer[0].rdatas) == 2
    for serial in (source.serial + 1, 0):
        source.serial = serial
        assert len((await plugin.handle(asked, answering(NEXT))).answer[0].rdatas) == 1
    del source.all["testns", "portless"]
    assert outcome(await plugin.handle(asked, answering(NEXT))) == "NXDOMAIN"


# -- the chain ---------------------------------------------------------------------------------------------------------


async def test_passed_on() -> None:
    """Other zones and classes are the next plugin's; transfers without `transfer` are refused."""
    assert await ask("svc1.testns.example.org.") is NEXT
    plugin = External(Config(ZONES))
    plugin._source = Source()
    assert await plugin.handle(request("svc1.testns.example.com.", qclass=3), answering(NEXT)) is NEXT
    reply = await ask("example.com.", "AXFR")
    assert (reply.rcode, reply.authoritative, reply.extended_error) == (Rcode.REFUSED, False, (21, ""))


FALLTHROUGH = [
    (None, "nosvc.testns.example.com.", False),
    ((ROOT,), "nosvc.testns.example.com.", True),
    ((ROOT,), "9.2.0.192.in-addr.arpa.", True),
    ((ROOT,), "testns.example.com.", False),  # NODATA is an answer
    ((from_text("192.in-addr.arpa"),), "nosvc.testns.example.com.", False),
    ((from_text("testns.example.com"),), "nosvc.testns.example.com.", True),
]


@pytest.mark.parametrize(("zones", "name", "passed"), FALLTHROUGH)
async def test_fallthrough(zones: object, name: str, passed: bool) -> None:
    """What does not exist is passed on, for all zones or some."""
    assert (await ask(name, fall_through=zones) is NEXT) == passed


async def test_before_the_first_sync() -> None:
    """A name may only not be there yet: SERVFAIL, which nobody keeps; what is there is answered."""
    source = Source()
    source.synced, source.serial = False, 0
    missing = await ask("nosvc.testns.example.com.", source=source)
    assert (outcome(missing), missing.extended_error) == ("SERVFAIL", (14, ""))  # Not Ready
    assert outcome(await ask("svc1.testns.example.com.", source=source)) == [f"{SVC1} A 192.0.2.1"]
    assert await ask("nosvc.testns.example.com.", source=source, fall_through=(ROOT,)) is NEXT


async def test_aliases(world: World) -> None:
    """A load balancer's host name is asked of the whole server, as it is spelled; without an answer it stands alone."""
    asked: list[Query] = []
    answer = Reply(
        rcode=Rcode.NXDOMAIN,
        authoritative=False,
        answer=(rrset("lb.example.net", RRType.A, "198.51.100.1"),),
        truncated=True,
    )

    async def somebody(request: Request, query: Query) -> Reply:
        asked.append(query)
        return answer

    reply = await ask("host.testns.example.com.", runtime=replace(world.runtime, ask=somebody))
    assert [(to_text(one.qname), to_text(one.name), one.qtype) for one in asked] == [
        ("LB.Example.net.", "lb.example.net.", RRType.A)
    ]
    assert outcome(reply) == [
        "host.testns.example.com. CNAME LB.Example.net.",
        "lb.example.net. A 198.51.100.1",
    ]
    assert reply.truncated
    reply = await ask("host.testns.example.com.", "AAAA", runtime=replace(world.runtime, ask=nobody))
    assert outcome(reply) == ["host.testns.example.com. CNAME LB.Example.net."]


async def test_sources(world: World) -> None:
    """There must be a `kubernetes` in the same server block, and it must know Services."""
    plugin = External(Config(ZONES))
    with pytest.raises(PluginError, match=r"^plugin/k8s_external: not running$"):
        await plugin.handle(request("svc1.testns.example.com."), answering(NEXT))
    assert plugin.transferable(from_text("example.com")) is None
    world.block(plugin, Plugin())
    with pytest.raises(PluginError, match=r"^plugin/k8s_external: kubernetes plugin not loaded$"):
        await plugin.running(world.runtime).__aenter__()
    other = Plugin()
    other.name = "kubernetes"
    world.blocks.clear()
    world.block(plugin, other)
    with pytest.raises(PluginError, match="does not implement the Externaler interface"):
        await plugin.running(world.runtime).__aenter__()
    assert isinstance(Source(), ExternalSource)
    assert isinstance(plugin, Transferable)


# -- transfers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headless", [False, True])
async def test_whole_zones(headless: bool) -> None:
    """A transfer has exactly what queries are answered with, and all of it."""
    plugin = External(Config(ZONES, headless=headless))
    plugin._source = Source()
    for origin in ZONES:
        zone = plugin.transferable(origin)
        assert zone is not None
        assert zone.serial == 1700000000
        rrsets = [one for one in in_order(Content(zone)) if one.rdatas]
        assert rrsets[0] == rrsets[-1] == zone.soa
        for one in rrsets:
            reply = await plugin.handle(request(to_text(one.owner), one.rrtype), answering(NEXT))
            assert reply.answer[0] == one
    forward = plugin.transferable(from_text("example.com"))
    assert forward is not None
    owners = {to_text(one.owner) for one in in_order(Content(forward)) if one.rdatas}
    answered = [(case[0], case[1]) for case in (HEADLESS if headless else CASES) if isinstance(case[2], list)]
    assert {f"{name}.example.com.".lower() for name, _ in answered if not name.startswith("HTTP.")} <= owners
    assert not any("in-apex" in owner for owner in owners)
    assert plugin.transferable(from_text("testns.example.com")) is None


async def test_a_transfer_waits() -> None:
    """A zone is given away once nothing else can have its serial, as it was when it was asked for."""
    plugin = External(Config(ZONES))
    plugin._source = source = Source()
    source.left = 0.05
    origin = from_text("example.com")
    before = plugin.transferable(origin)
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.create_task(plugin.settled(origin))
    await asyncio.sleep(0)
    source.serial += 1
    assert await waiting is before
    assert loop.time() - began >= 0.049  # timers are a millisecond early at most
    assert await plugin.settled(from_text("example.org")) is None


# -- options -----------------------------------------------------------------------------------------------------------


def option(text: str) -> Config:
    """Return the configuration with some options."""
    (plugin,) = parse("k8s_external", f"k8s_external {{\n{text}\n}}")
    assert isinstance(plugin, External)
    return plugin.config


GOOD = [
    ("", Config((from_text("example.com"),))),
    ("apex DNS2", Config((from_text("example.com"),), apex=b"dns2")),
    ("ttl 0", Config((from_text("example.com"),), ttl=0)),
    ("ttl 3600\nheadless", Config((from_text("example.com"),), ttl=3600, headless=True)),
    ("fallthrough", Config((from_text("example.com"),), fall_through=(ROOT,))),
    ("fallthrough a.b 10.0.0.0/8", Config((from_text("example.com"),), fall_through=(from_text("a.b"), ZONES[0]))),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_options(text: str, expected: Config) -> None:
    """Each lands in the configuration; without zones they are the server block's."""
    assert option(text) == expected


def test_zones() -> None:
    """Those of the line; PTR records lead to the first that is not a reverse zone."""
    (plugin,) = parse("k8s_external", "k8s_external 10.0.0.0/8 A.example b.example")
    assert isinstance(plugin, External)
    assert plugin.config.zones == (ZONES[0], from_text("a.example"), from_text("b.example"))
    assert plugin.config.primary == from_text("a.example")


REFUSALS = [
    ("k8s_external {\napex\n}", "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending"),
    ("k8s_external {\napex a.b\n}", "apex is one label such as dns, not 'a.b'"),
    ("k8s_external {\nttl\n}", "Wrong argument count or unexpected line ending after 'ttl', expecting ttl SECONDS"),
    ("k8s_external {\nttl 3601\n}", "ttl must be in range [0, 3600]: 3601"),
    ("k8s_external {\nttl -1\n}", "ttl must be in range [0, 3600]: -1"),
    ("k8s_external {\nheadless yes\n}", "Wrong argument count or unexpected line ending after 'yes'"),
    ("k8s_external {\nupstream\n}", "unknown property 'upstream', expecting apex or ttl or headless or fallthrough"),
    ("k8s_external 10.0.0.0/8", "Corefile:2 - Error during parsing: non-reverse zone name must be used"),
    ("k8s_external\nk8s_external", "Corefile:3 - Error during parsing: this plugin can only be used once"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(text: str, message: str) -> None:
    """Each says where, and what was expected."""
    assert message in refusal("k8s_external", text)
