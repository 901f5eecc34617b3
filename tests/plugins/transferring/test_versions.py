"""Which version a secondary gets: differences from a journal, whole zones, one SOA; never one that may still change."""

import asyncio
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsserver.message import Client, Edns, Reply, Transport, uncompressed_size
from dnsserver.names import Name, from_text, parent, to_text
from dnsserver.plugins.plugin import Plugin, PluginError, Request
from dnsserver.plugins.transfer import Transfer
from dnsserver.plugins.transferring.versions import Followed, Journaled, Settling, settled
from dnsserver.plugins.tsig import Tsig
from dnsserver.records import Rcode, RRset, RRType, srv
from dnsserver.responder import IncrementalQuery, finish, finish_stream
from dnsserver.signatures import Key
from dnsserver.store.journal import Journal
from dnsserver.wire import parse_response
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.harness import ask_tcp, serving
from tests.plugins.conftest import SERVER, World, answering, parse, request
from tests.plugins.transferring.test_notify import Told
from tests.transports.support import eventually

ORIGIN = from_text("cluster.local")
NAME = from_text("transfer.example")
NEXT = Reply(rcode=Rcode.NXDOMAIN)
LONG_AGO = -100.0  # by the clock of `time.monotonic`
HOSTS = 40


class Source(Plugin):
    """Has one zone, of which it knows what it was like."""

    name = "kubernetes"
    origins = (ORIGIN,)

    def __init__(self) -> None:
        self.editor = ZoneEditor(ORIGIN, 5)
        self.kept = Journal()
        self.zone: Zone | None = None
        self.followers: list[Callable[[], None]] = []
        for number in range(HOSTS):
            self.give(f"_http._tcp.s{number}.ns.svc", 0)

    def give(self, owner: str, value: int) -> None:
        """Set a name's record."""
        name = from_text(owner, ORIGIN)
        self.editor.set(name, Fixed((RRset(name, RRType.SRV, 5, (srv(0, 1, value, parent(parent(name))),)),)))

    def publish(self, serial: int, now: float = LONG_AGO) -> None:
        """Make the next version."""
        self.zone = self.editor.publish(serial)
        self.kept.note(self.zone, now)
        for follower in self.followers:
            follower()

    def transferable(self, name: Name) -> Zone | None:
        return self.zone if name == ORIGIN else None

    def journal(self, origin: Name) -> Journal | None:
        return self.kept if origin == ORIGIN else None

    def follow(self, published: Callable[[], None]) -> Callable[[], None]:
        self.followers.append(published)
        return lambda: self.followers.remove(published)


def asked(serial: int, *, client: Client | None = None, edns: Edns | None = None) -> Request:
    """Return an IXFR query."""
    query = IncrementalQuery(id=1, qname=ORIGIN, name=ORIGIN, qtype=RRType.IXFR, serial=serial, edns=edns)
    one = request("cluster.local.", client=client or Client("127.0.0.1", 4242, Transport.TCP, SERVER))
    return Request(query, one.client, one.zone, one.started)


async def reply(world: World, source: Source, wanted: Request, rule: str = "to *") -> Reply:
    """Return what `transfer` answers."""
    (plugin,) = parse("transfer", f"transfer . {{\n{rule}\n}}")
    world.block(plugin, source)
    async with plugin.running(world.runtime):
        found = await plugin.handle(wanted, answering(NEXT))
    world.blocks.clear()
    return found


def rows(found: Reply) -> list[tuple[str, int]]:
    """Return the first label of each record, or the serial of an SOA; of a stream or of an answer."""
    rrsets = found.answer if found.stream is None else found.stream
    return [
        (to_text(one.owner).split(".")[2] if one.rrtype == RRType.SRV else "SOA", int.from_bytes(rdata[-20:-16], "big"))
        if one.rrtype == RRType.SOA
        else (to_text(one.owner).split(".")[2], rdata[5])
        for one in found.stream or rrsets
        for rdata in one.rdatas
    ]


async def test_differences(world: World) -> None:
    """From any version that is known, condensed; from others the whole zone."""
    source = Source()
    source.publish(10)
    source.give("_http._tcp.s1.ns.svc", 1)
    source.publish(11)
    for value in (2, 3, 4):
        source.give("_http._tcp.s1.ns.svc", value)
        source.give("_http._tcp.s2.ns.svc", value)
        source.publish(12)
    assert rows(await reply(world, source, asked(10))) == [
        ("SOA", 12), ("SOA", 10), ("s1", 0), ("s2", 0), ("SOA", 12), ("s1", 4), ("s2", 4), ("SOA", 12),
    ]  # fmt: skip
    assert rows(await reply(world, source, asked(11)))[2:4] == [("s1", 1), ("s2", 0)]
    assert rows(await reply(world, source, asked(12))) == rows(await reply(world, source, asked(13))) == [("SOA", 12)]
    assert len(rows(await reply(world, source, asked(9)))) == HOSTS + 2


async def test_longer_than_the_zone(world: World) -> None:
    """Where half of the zone has changed the zone is sent."""
    source = Source()
    source.publish(10)
    for number in range(HOSTS):
        source.give(f"_http._tcp.s{number}.ns.svc", 1)
    source.publish(11)
    assert len(rows(await reply(world, source, asked(10)))) == HOSTS + 2


async def test_over_udp(world: World) -> None:
    """Differences that fit are an answer, with what a signature needs; or else one SOA says to ask over TCP."""
    source = Source()
    source.publish(10)
    source.give("_http._tcp.s1.ns.svc", 1)
    source.publish(11)
    whole = rows(await reply(world, source, asked(10)))
    over_udp = Client("127.0.0.1", 4242, Transport.UDP, SERVER)
    for size, reserved in ((1232, 0), (1232, 100), (512, 0)):
        wanted = asked(10, client=Client("127.0.0.1", 1, Transport.UDP, SERVER, reserved=reserved), edns=Edns(size))
        found = await reply(world, source, wanted)
        room = size - reserved
        long = uncompressed_size(wanted.query, found) > room
        assert rows(found) in (whole, [("SOA", 11)])
        assert not long
        response = finish(wanted.query, found, Transport.UDP, reserved=reserved)
        assert not parse_response(response).truncated
        assert len(response) <= room
    assert rows(await reply(world, source, asked(10, client=over_udp, edns=Edns(1232)))) == whole
    for number in range(12):
        source.give(f"_http._tcp.s{number}.ns.svc", 7)
    source.publish(12)
    assert rows(await reply(world, source, asked(10, client=over_udp, edns=Edns(4096)))) == [("SOA", 12)]
    assert rows(await reply(world, source, asked(1, client=over_udp))) == [("SOA", 12)]


async def test_it_waits(world: World) -> None:
    """A content that others may still share the serial of is not given away: its last one is, a second later."""
    source = Source()
    source.publish(10)
    source.give("_http._tcp.s1.ns.svc", 1)
    began = time.monotonic()
    source.publish(11, began)
    task = asyncio.create_task(reply(world, source, asked(10)))
    await asyncio.sleep(0.1)
    source.give("_http._tcp.s1.ns.svc", 2)
    source.publish(11, time.monotonic())
    found = await task
    assert time.monotonic() - began >= 1.0
    assert rows(found) == [("SOA", 11), ("SOA", 10), ("s1", 0), ("SOA", 11), ("s1", 2), ("SOA", 11)]


async def test_it_waits_for_what_was_asked(world: World) -> None:
    """A zone that changes in every second is transferred all the same: as it was at the end of the second asked in."""
    source = Source()
    source.publish(10)
    source.give("_http._tcp.s1.ns.svc", 1)
    source.publish(11, time.monotonic())
    task = asyncio.create_task(reply(world, source, asked(10)))
    await asyncio.sleep(0.05)
    source.give("_http._tcp.s1.ns.svc", 2)
    source.publish(12, time.monotonic())
    assert rows(await task) == [("SOA", 11), ("SOA", 10), ("s1", 0), ("SOA", 11), ("s1", 1), ("SOA", 11)]


async def test_settled() -> None:
    """Sources without a journal say themselves when a zone is settled, or have serials of their authors."""
    source = Source()
    assert isinstance(source, Journaled)
    assert await settled(source, ORIGIN) is None
    source.publish(1)
    found = await settled(source, ORIGIN)
    assert found is not None
    assert (found.zone, found.since(7)) == (source.zone, None)

    class Made(Plugin):
        name = "k8s_external"

        def transferable(self, name: Name) -> Zone | None:
            raise AssertionError

        async def settled(self, name: Name) -> Zone | None:
            return source.zone

    made = Made()
    assert isinstance(made, Settling)
    assert not isinstance(made, Followed)
    found = await settled(made, ORIGIN)
    assert found is not None
    assert (found.zone, found.journal, found.since(1)) == (source.zone, None, None)


async def test_key(world: World) -> None:
    """With a key, the query has to be signed with it, wherever it comes from; it has to be a key that is known."""
    source = Source()
    source.publish(10)
    rule = "to 127.0.0.1\nkey transfer.example"
    (plugin,) = parse("transfer", f"transfer . {{\n{rule}\n}}")
    keys = Tsig((ORIGIN,), {NAME: Key(NAME, b"x")}, frozenset())
    world.block(plugin, keys, source)
    async with plugin.running(world.runtime):
        for key, address, allowed in (
            (NAME, "127.0.0.1", True),
            (None, "127.0.0.1", False),
            (from_text("other"), "127.0.0.1", False),
            (NAME, "127.0.0.2", False),
        ):
            client = Client(address, 4242, Transport.TCP, SERVER, key=key)
            found = await plugin.handle(asked(1, client=client), answering(NEXT))
            assert (found.stream is not None) == allowed
            assert allowed or (found.rcode, found.extended_error) == (Rcode.REFUSED, (18, ""))
    world.blocks.clear()
    (other,) = parse("transfer", f"transfer . {{\n{rule}\n}}")
    world.block(other, source)
    world.block(keys, server="dns://:54")
    with pytest.raises(PluginError, match=r"no key transfer\.example\., expecting one of a 'tsig' that listens here"):
        async with other.running(world.runtime):
            pass


async def test_who_follows(world: World) -> None:
    """Zones of the rules are followed, each by its secondaries; what has come to an end is not."""
    source = Source()
    (plugin,) = parse("transfer", "transfer . {\nto 127.0.0.1:9 127.0.0.2:9\n}\ntransfer sub.cluster.local {\nto *\n}")
    assert isinstance(plugin, Transfer)
    world.block(plugin, source)
    async with plugin.running(world.runtime):
        assert len(source.followers) == 1
        source.publish(5)
        await eventually(lambda: sum(plugin._counts.notifies.values()) >= 2)
        text = (await world.runtime.metrics.render()).decode()
        assert 'dnsserver_notifies_total{result="unanswered",to="127.0.0.1:9",zone="cluster.local."}' in text
    assert source.followers == []
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not [task for task in tasks if "run" in repr(task.get_coro()) and "Notifier" in repr(task.get_coro())]


ZONE_FILE = """$ORIGIN example.org.
@ 60 IN SOA ns hostmaster {serial} 7200 1800 86400 60
@ 60 IN NS ns
ns 60 IN A 192.0.2.53
"""
COREFILE = """
example.org {{
    bind 127.0.0.1
    transfer {{
        to {to}
    }}
    file db {{
        reload 50ms
    }}
}}
"""


async def test_zone_files(tmp_path: Path) -> None:
    """Secondaries of zone files are told of them too, and get the whole zone; their serials are the author's."""
    (tmp_path / "db").write_text(ZONE_FILE.format(serial=7))
    loop = asyncio.get_running_loop()
    transport, told = await loop.create_datagram_endpoint(
        lambda: Told(from_text("example.org")), local_addr=("127.0.0.1", 0)
    )
    to = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    async with serving(COREFILE.format(to=to), tmp_path) as server:
        await eventually(lambda: told.serials == [7])
        (tmp_path / "db").write_text(ZONE_FILE.format(serial=8))
        await eventually(lambda: told.serials == [7, 8])
        whole = parse_response(await ask_tcp(server.address, ixfr("example.org", 7)))
        assert len(whole.answer) == 4
        assert len(parse_response(await ask_tcp(server.address, ixfr("example.org", 8))).answer) == 1
    transport.close()


def ixfr(zone: str, serial: int) -> bytes:
    """Return the message of an IXFR query (RFC 1995, section 3)."""
    name = from_text(zone)
    rdata = name + name + struct.pack("!5I", serial, 0, 0, 0, 0)
    soa = name + struct.pack("!HHIH", RRType.SOA, 1, 0, len(rdata)) + rdata
    return struct.pack("!6H", 1, 0, 1, 0, 1, 0) + name + struct.pack("!HH", RRType.IXFR, 1) + soa


def test_streams_are_encoded() -> None:
    """The differences of a stream are messages like those of a whole zone."""
    query = asked(1).query
    stream = Reply(origin=ORIGIN, stream=[ZoneEditor(ORIGIN, 5).publish(3).soa])
    (message,) = [one for one in finish_stream(query, stream) if one]
    assert len(parse_response(message).answer) == 1
