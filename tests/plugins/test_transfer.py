"""`transfer`: who may have which zone, what a transfer holds, versions, and CoreDNS's own case over TCP."""

import ipaddress
import json
import logging
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from dnsserver import app
from dnsserver.admin.addresses import Address
from dnsserver.message import Client, Query, Reply, Transport
from dnsserver.names import Name, from_text, to_text
from dnsserver.plugins.plugin import Plugin, PluginError, Request
from dnsserver.plugins.transfer import Rule, Transfer
from dnsserver.plugins.transferring.content import Content, in_order
from dnsserver.plugins.transferring.versions import Transferable
from dnsserver.records import Rcode, RRset, RRType, srv
from dnsserver.responder import IncrementalQuery
from dnsserver.wire import Record, parse_response, record_to_text
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.fakes.api_server import FakeApiServer
from tests.harness import question, serving
from tests.plugins.conftest import SERVER, World, answering, parse, refusal, request
from tests.transports.support import tcp_client

CASE = json.loads((Path(__file__).parent.parent / "cases" / "coredns" / "axfr.json").read_text())
ORIGIN = from_text("cluster.local")
NEXT = Reply(rcode=Rcode.NXDOMAIN)
SERIAL = 1700000000


def name(text: str) -> Name:
    """Return a name below the zone; "@" is the zone."""
    return ORIGIN if text == "@" else from_text(text, ORIGIN)


def addresses(owner: str, *texts: str) -> RRset:
    """Return an address RRset."""
    packed = tuple(ipaddress.ip_address(text).packed for text in texts)
    return RRset(name(owner), RRType.A if len(packed[0]) == 4 else RRType.AAAA, 5, packed)


def services(owner: str, *targets: str) -> RRset:
    """Return an SRV RRset."""
    return RRset(name(owner), RRType.SRV, 5, tuple(srv(0, 100, 80, name(target)) for target in targets))


def servers(*targets: str) -> RRset:
    """Return the NS RRset; a target with a final dot is not in the zone."""
    wire = (from_text(text) if text.endswith(".") else name(text) for text in targets)
    return RRset(ORIGIN, RRType.NS, 5, tuple(wire))


def zone(*rrsets: RRset, serial: int = SERIAL) -> Zone:
    """Return a zone that holds these."""
    editor = ZoneEditor(ORIGIN, 5)
    owners: dict[Name, list[RRset]] = {ORIGIN: []}
    for one in rrsets:
        owners.setdefault(one.owner, []).append(one)
    for owner, sets in owners.items():
        editor.set(owner, Fixed(tuple(sets)))
    return editor.publish(serial)


HEADLESS = (
    addresses("db.ns.svc", "10.1.0.1", "10.1.0.2"),
    services("db.ns.svc", "vm1.db.ns.svc", "vm2.db.ns.svc"),
    addresses("vm1.db.ns.svc", "10.1.0.1"),
    services("vm1.db.ns.svc", "vm1.db.ns.svc"),
    addresses("vm2.db.ns.svc", "10.1.0.2"),
    addresses("_http._tcp.db.ns.svc", "10.1.0.1"),
    services("_http._tcp.db.ns.svc", "vm1.db.ns.svc", "vm2.db.ns.svc"),
)
CLUSTER_IP = (
    addresses("web.ns.svc", "10.0.0.1"),
    services("web.ns.svc", "web.ns.svc"),
    addresses("_http._tcp.web.ns.svc", "10.0.0.1"),
    services("_http._tcp.web.ns.svc", "web.ns.svc"),
    addresses("pod1.web.ns.svc", "10.2.0.1"),
)


class Source(Plugin):
    """Has one zone."""

    def __init__(self, has: Zone | None, plugin: str = "kubernetes") -> None:
        self.name = plugin
        self._zone = has

    def transferable(self, name: Name) -> Zone | None:
        """Return it where it is meant."""
        return self._zone if self._zone is not None and self._zone.origin == name else None


async def transfer(
    source: Source | None,
    *,
    world: World,
    qname: str = "cluster.local.",
    qtype: int = RRType.AXFR,
    rule: str = "transfer . {\nto *\n}",
    transport: Transport = Transport.TCP,
    address: str = "192.0.2.1",
    serial: int | None = None,
) -> Reply:
    """Return the reply to a query; `serial` is the client's, of an IXFR."""
    (plugin,) = parse("transfer", rule)
    world.block(plugin, *([source] if source else []))
    asked = request(qname, qtype, client=Client(address, 4242, transport, SERVER))
    if serial is not None:
        query = IncrementalQuery(id=1, qname=from_text(qname), name=from_text(qname), qtype=qtype, serial=serial)
        asked = Request(query, asked.client, asked.zone, asked.started)
    async with plugin.running(world.runtime):
        return await plugin.handle(asked, answering(NEXT))


def sent(reply: Reply) -> list[tuple[str, int]]:
    """Return owner and type of each RRset of a stream, without those that are only a pause."""
    assert reply.stream is not None
    return [(to_text(one.owner), one.rrtype) for one in reply.stream if one.rdatas]


# -- who, and which zone -----------------------------------------------------------------------------------------------

ALLOWED = [  # rule, client, allowed
    ("to *", "192.0.2.1", True),
    ("to 192.0.2.1", "192.0.2.1", True),
    ("to 192.0.2.1", "192.0.2.2", False),
    ("to 192.0.2.2 2001:DB8::1\nto 192.0.2.1:5300", "192.0.2.1", True),
    ("to 192.0.2.2 2001:DB8:0::1", "2001:db8::1", True),
    ("to [2001:db8::1]:53", "2001:db8::1", True),
    ("to 192.0.2.9 *", "192.0.2.1", True),
]


@pytest.mark.parametrize(("options", "client", "allowed"), ALLOWED)
async def test_who_may(world: World, options: str, client: str, allowed: bool) -> None:
    """Exactly the addresses of `to`; a port means nothing, nor does the spelling."""
    reply = await transfer(Source(zone()), world=world, rule=f"transfer . {{\n{options}\n}}", address=client)
    assert (reply.stream is not None) == allowed
    assert allowed or (reply.rcode, reply.authoritative, reply.extended_error) == (Rcode.REFUSED, False, (18, ""))


async def test_other_types_pass(world: World) -> None:
    """All that is not a transfer is the next plugin's."""
    assert await transfer(Source(zone()), world=world, qtype=RRType.SOA) is NEXT


PASSED_ON = [
    ("a zone of no rule", "cluster.local.", "transfer example.org {\nto *\n}"),
    ("a zone that nobody has", "example.org.", "transfer . {\nto *\n}"),
    ("a name in a zone", "svc.cluster.local.", "transfer cluster.local {\nto *\n}"),
    ("the name above", "local.", "transfer . {\nto *\n}"),
]


@pytest.mark.parametrize(("qname", "rule"), [case[1:] for case in PASSED_ON], ids=[case[0] for case in PASSED_ON])
async def test_zones_that_are_not_here(world: World, qname: str, rule: str) -> None:
    """Only a zone that a rule covers and a plugin of the block has is transferred, never a part of one."""
    assert await transfer(Source(zone()), world=world, qname=qname, rule=rule) is NEXT
    assert await transfer(None, world=world, qname=qname, rule=rule) is NEXT


async def test_the_longest_zone_decides(world: World) -> None:
    """The order of rules means nothing, nor does the alphabet."""
    rule = "transfer . {\nto *\n}\ntransfer cluster.local {\nto 192.0.2.2\n}\ntransfer local {\nto *\n}"
    assert (await transfer(Source(zone()), world=world, rule=rule)).rcode == Rcode.REFUSED
    assert (await transfer(Source(zone()), world=world, rule=rule, address="192.0.2.2")).stream is not None


async def test_the_first_plugin_that_has_the_zone(world: World) -> None:
    """Others of the block are asked in turn, and those that cannot be transferred not at all."""
    (plugin,) = parse("transfer", "transfer . {\nto *\n}")
    world.block(plugin, Plugin(), Source(None), Source(zone(serial=7)), Source(zone(serial=8)))
    async with plugin.running(world.runtime):
        client = Client("192.0.2.1", 1, Transport.TCP, SERVER)
        reply = await plugin.handle(request("cluster.local.", RRType.AXFR, client=client), answering(NEXT))
    assert reply.stream is not None
    assert next(iter(reply.stream)) == zone(serial=7).soa
    assert isinstance(Source(None), Transferable)
    assert not isinstance(Plugin(), Transferable)


@pytest.mark.parametrize("qtype", [RRType.AXFR, RRType.IXFR])
async def test_before_the_first_sync(world: World, qtype: RRType) -> None:
    """A zone without a serial is not given away: a secondary would serve it."""
    with pytest.raises(PluginError, match=r"^plugin/transfer: zone cluster.local. has not been loaded yet$"):
        await transfer(Source(zone(serial=0)), world=world, qtype=qtype, serial=0)


# -- transports and versions -------------------------------------------------------------------------------------------


async def test_udp(world: World) -> None:
    """AXFR is for TCP (RFC 5936, section 4.2); IXFR over UDP says which version there is (RFC 1995, section 2)."""
    reply = await transfer(Source(zone()), world=world, transport=Transport.UDP)
    assert (reply.rcode, reply.authoritative, reply.stream) == (Rcode.REFUSED, False, None)
    reply = await transfer(Source(zone()), world=world, transport=Transport.UDP, qtype=RRType.IXFR, serial=1)
    assert (reply.answer, reply.authoritative, reply.stream) == ((zone().soa,), True, None)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_versions(world: World, transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    """The present version and newer ones are one SOA (RFC 1995, section 2); an older one is the whole zone."""
    caplog.set_level(logging.INFO)
    for serial in (SERIAL, SERIAL + 1, SERIAL + 2**31):
        same = await transfer(Source(zone()), world=world, transport=transport, qtype=RRType.IXFR, serial=serial)
        assert (same.answer, same.authoritative, same.stream) == ((zone().soa,), True, None)
    caplog.records[1:] = []
    for serial in (0, 1, SERIAL - 1, SERIAL + 1 + 2**31, 2**32 - 1):
        reply = await transfer(Source(zone()), world=world, transport=transport, qtype=RRType.IXFR, serial=serial)
        assert sent(reply) == [("cluster.local.", RRType.SOA)] * 2
    assert [record.getMessage() for record in caplog.records][:2] == [
        f"Outgoing noop, incremental transfer for up to date zone cluster.local. to 192.0.2.1 for {SERIAL} SOA serial",
        f"Outgoing transfer of 2 records of zone cluster.local. to 192.0.2.1 for {SERIAL} SOA serial",
    ]


async def test_an_ixfr_that_says_no_version(world: World) -> None:
    """Without the SOA there is no telling what to send."""
    reply = await transfer(Source(zone()), world=world, qtype=RRType.IXFR)
    assert (reply.rcode, reply.authoritative, reply.stream) == (Rcode.FORMERR, False, None)


# -- content -----------------------------------------------------------------------------------------------------------


async def test_order_and_choice(world: World) -> None:
    """SOA, NS, glue, then each name before those below it, SOA; of a cluster what CoreDNS lists."""
    version = RRset(name("dns-version"), RRType.TXT, 28800, (b"\x051.1.0",))
    pod = addresses("10-2-0-1.ns.pod", "10.2.0.1")
    near = addresses("az1.pin._zone.db.ns.svc", "10.1.0.1")
    own = addresses("ns.dns", "192.0.2.53")
    full = zone(servers("ns.dns"), own, version, pod, near, *CLUSTER_IP, *HEADLESS)
    reply = await transfer(Source(full), world=world)
    assert (reply.origin, reply.authoritative, reply.answer) == (ORIGIN, True, ())
    assert sent(reply) == [
        ("cluster.local.", RRType.SOA),
        ("cluster.local.", RRType.NS),
        ("ns.dns.cluster.local.", RRType.A),
        ("db.ns.svc.cluster.local.", RRType.A),
        ("_http._tcp.db.ns.svc.cluster.local.", RRType.SRV),
        ("vm1.db.ns.svc.cluster.local.", RRType.A),
        ("vm2.db.ns.svc.cluster.local.", RRType.A),
        ("web.ns.svc.cluster.local.", RRType.A),
        ("web.ns.svc.cluster.local.", RRType.SRV),
        ("_http._tcp.web.ns.svc.cluster.local.", RRType.SRV),
        ("cluster.local.", RRType.SOA),
    ]
    whole = sent(await transfer(Source(full, "file"), world=world))
    assert len(whole) == len(set(whole)) + 1 == 4 + 3 + len(CLUSTER_IP) + len(HEADLESS)


NAME_SERVERS = [
    ("none", ()),
    ("a Service", (servers("web.ns.svc"),)),
    ("an endpoint and a Service", (servers("vm1.db.ns.svc", "web.ns.svc"),)),
    ("outside and the apex", (servers("ns.example.org.", "@"),)),
]


@pytest.mark.parametrize("ns", [case[1] for case in NAME_SERVERS], ids=[case[0] for case in NAME_SERVERS])
async def test_no_record_twice(world: World, ns: tuple[RRset, ...]) -> None:
    """Whatever the name servers are, and none or many: glue comes first and not again."""
    reply = await transfer(Source(zone(*ns, *CLUSTER_IP, *HEADLESS)), world=world)
    without_soa = sent(reply)[1:-1]
    assert len(set(without_soa)) == len(without_soa)
    assert set(without_soa) - {("cluster.local.", RRType.NS)} == {
        ("db.ns.svc.cluster.local.", RRType.A),
        ("_http._tcp.db.ns.svc.cluster.local.", RRType.SRV),
        ("vm1.db.ns.svc.cluster.local.", RRType.A),
        ("vm2.db.ns.svc.cluster.local.", RRType.A),
        ("web.ns.svc.cluster.local.", RRType.A),
        ("web.ns.svc.cluster.local.", RRType.SRV),
        ("_http._tcp.web.ns.svc.cluster.local.", RRType.SRV),
    }


async def test_reverse_zones_are_whole(world: World) -> None:
    """PTR and every other name outside `svc` is transferred as it is."""
    pointer = RRset(name("1.0.0.10"), RRType.PTR, 5, (name("web.ns.svc"),))
    assert sent(await transfer(Source(zone(pointer)), world=world))[1:-1] == [("1.0.0.10.cluster.local.", RRType.PTR)]


async def test_multicluster_and_orphans(world: World) -> None:
    """An imported endpoint has a label more; what is below no Service is no endpoint of the one before."""
    imported = addresses("ep.cluster2.db.ns.svc", "10.1.0.2")
    orphan = addresses("vm1.gone.ns.svc", "10.1.0.1")
    owners = [owner for owner, _ in sent(await transfer(Source(zone(*HEADLESS, imported, orphan)), world=world))]
    assert "ep.cluster2.db.ns.svc.cluster.local." in owners
    assert "vm1.gone.ns.svc.cluster.local." not in owners


def test_very_many_names() -> None:
    """They come in the order of their labels from the right, and no step to the next of them is a long one."""
    total = 4000
    names = (f"vm{number}.s{number % 2}.ns.svc" for number in range(total))
    rrsets = in_order(Content(zone(*(addresses(one, "10.0.0.1") for one in names))))
    owners = [to_text(one.owner) if one.rdatas else "" for one in rrsets]
    assert ",".join(owners).count(",,,") >= 2  # one pause for each run that was sorted: four for each Service
    pauses = [place for place, owner in enumerate(owners) if not owner]
    assert max(after - before for before, after in pairwise(pauses)) <= 501
    found = [owner for owner in owners if owner][1:-1]
    assert len(found) == total
    assert found == sorted(found, key=lambda text: text.split(".")[::-1])


# -- the whole server --------------------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """Return a record without what differs on purpose: an SOA's serial, glue's TTL, an SRV record's weight.

    CoreDNS sends glue with TTL 0, and weights that are not those of its own answers.
    """
    words = text.split()
    if words[3] == "SOA":
        words[6] = "*"
    if words[3] == "SRV":
        words[5] = "*"
    if words[0].startswith("ns.dns."):
        words[1] = "*"
    return " ".join(words)


async def answers(address: tuple[str, int], wire: bytes) -> list[Record]:
    """Return the answer section of a transfer: all of its messages, up to the second SOA."""
    records: list[Record] = []
    async with tcp_client(address) as client:
        client.send(wire)
        while sum(one.rrtype == RRType.SOA for one in records) < 2:
            message = parse_response(await client.receive())
            assert (message.rcode, message.authoritative, len(message.question)) == (Rcode.NOERROR, True, 1)
            records += message.answer
    return records


def ixfr(query: Query, serial: int) -> bytes:
    """Return the message of an IXFR query (RFC 1995, section 3)."""
    rdata = ORIGIN + ORIGIN + struct.pack("!5I", serial, 0, 0, 0, 0)
    header = struct.pack("!6H", query.id, 0, 1, 0, 1, 0)
    soa = ORIGIN + struct.pack("!HHIH", RRType.SOA, 1, 0, len(rdata)) + rdata
    return header + query.qname + struct.pack("!HH", RRType.IXFR, 1) + soa


async def test_coredns_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CoreDNS's case says is what comes over TCP; nothing comes over UDP; zones of nobody fail."""
    monkeypatch.setattr(app, "host_addresses", lambda: (ipaddress.ip_address("10.66.0.53").packed,))
    axfr, over_udp, foreign, older = CASE["queries"]
    expected = set(map(masked, axfr["answer"]))  # a set: CoreDNS sends some records twice
    async with FakeApiServer() as api:
        for value in CASE["objects"]:
            api.put(value)
        text = CASE["corefile"].replace("@API@", api.url).replace(":@PORT@", "").replace("{", "{\nbind 127.0.0.1\n", 1)
        async with serving(text, tmp_path) as server:
            wire = question(axfr["qname"], "SOA")
            records = await answers(server.address, _axfr(wire))
            assert {masked(record_to_text(one)) for one in records} == expected
            assert len({record_to_text(one) for one in records}) == len(records) - 1
            incremental = await answers(server.address, ixfr(wire, older["serial"]))
            assert incremental == records
            assert (await server.ask(over_udp["qname"], "AXFR")).rcode == Rcode.REFUSED
            assert (await server.ask(foreign["qname"], "AXFR", tcp=True)).rcode == Rcode.SERVFAIL
            async with tcp_client(server.address) as client:
                same = int.from_bytes(records[0].rdata[-20:-16], "big")
                noop = parse_response(await client.ask(ixfr(wire, same)))
                assert (noop.authoritative, noop.answer) == (True, (records[0],))
                assert parse_response(await client.ask(_axfr(wire, "svc.cluster.local"))).rcode == Rcode.REFUSED


def _axfr(query: Query, qname: str = "cluster.local") -> bytes:
    """Return the message of an AXFR query."""
    return struct.pack("!6H", query.id, 0, 1, 0, 0, 0) + from_text(qname) + struct.pack("!HH", RRType.AXFR, 1)


# -- options -----------------------------------------------------------------------------------------------------------


def test_zones_of_the_rule() -> None:
    """Those of the line, or the server block's; a network stands for its reverse zones."""
    (plugin,) = parse("transfer", "transfer {\nto 192.0.2.1\n}\ntransfer CLUSTER.local 10.0.0.0/8 {\nto *\n}")
    assert isinstance(plugin, Transfer)
    assert plugin.rules == (
        Rule((from_text("example.com"),), frozenset({bytes((192, 0, 2, 1))}), (Address("192.0.2.1", 53),)),
        Rule((ORIGIN, from_text("10.in-addr.arpa")), None),
    )


REFUSALS = [
    ("transfer", "Corefile:2 - Error during parsing: 'to' is required, expecting to ADDRESS|*..."),
    (
        "transfer {\nto\n}",
        "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'to'",
    ),
    ("transfer {\nfrom 1.2.3.4\n}", "unknown property 'from', expecting to or key"),
    ("transfer {\nto *\nkey\n}", "Wrong argument count or unexpected line ending after 'key', expecting key NAME"),
    ("transfer {\nto *\nkey a\nkey b\n}", "Corefile:5 - Error during parsing: a second 'key', expecting key NAME"),
    ("transfer {\nto *\nkey a..b\n}", "key 'a..b' is no domain name, expecting key NAME"),
    ("transfer {\nto * {\nx\n}\n}", "'to' has no block of its own"),
    ("transfer {\nto 192.0.2.0/24\n}", "invalid address '192.0.2.0/24', expecting '*' or an address such as"),
    ("transfer {\nto 192.0.2.1 ns.example.org\n}", "invalid address 'ns.example.org', expecting"),
    ("transfer {\nto ns.example.org:53\n}", "invalid address 'ns.example.org:53', expecting"),
    ("transfer {\nto 192.0.2.1:0\n}", "invalid address '192.0.2.1:0', expecting a port from 1 to 65535"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(text: str, message: str) -> None:
    """Each says where, and what was expected."""
    assert message in refusal("transfer", text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("to 192.0.2.1:5300 192.0.2.2", ["192.0.2.1:5300", "192.0.2.2:53"]),
        ("to * [2001:db8::1]:54\nto 2001:db8::1 *", ["[2001:db8::1]:54", "[2001:db8::1]:53"]),
        ("to *", []),
    ],
)
def test_who_is_told(options: str, told: list[str]) -> None:
    """NOTIFY goes to every address, at its port; anybody is nobody."""
    (plugin,) = parse("transfer", f"transfer {{\n{options}\n}}")
    assert isinstance(plugin, Transfer)
    assert [str(one) for one in plugin.rules[0].notify] == told
