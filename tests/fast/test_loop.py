"""The compiled loop on real sockets: what is ready is answered by its threads, everything else by the event loop."""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dnsserver.fast.best import Loop, new_loop, new_table
from dnsserver.fast.table import Answers, Way
from dnsserver.message import Client
from dnsserver.names import from_text, to_text
from dnsserver.records import RRset, RRType
from dnsserver.transports import ListenerLostError, TransportStats, serve_udp, serveudp, udp
from dnsserver.transports.dispatch import bind
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.build import ZONE
from tests.fast import support
from tests.fast.support import responder
from tests.fast.test_table import fast_zones, plain, prepared
from tests.harness import get, serving
from tests.transports.support import SERVER, answered, echo, eventually, udp_client

pytestmark = pytest.mark.skipif(new_loop is None, reason="needs the compiled loop, which was not built")

READY = "vm1.db.ns1.svc.cluster.local"
RARE = "example.org"  # for the event loop


def table_of(zones: tuple[Zone, ...]) -> Answers:
    """Return a table that knows them, with what is asked for here rendered."""
    table = new_table()
    table.serve(fast_zones(zones))
    prepared(table)
    for name in (READY, "vm2.db.ns1.svc.cluster.local"):
        assert table.respond(plain(name)) is not None
    table.tallies()
    return table


@pytest.fixture
def table() -> Answers:
    """Return a table."""
    return table_of(support.store().zones)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one socket and one thread, whose order can be told."""
    monkeypatch.setattr(serveudp, "_threads", lambda table: 1)


@contextlib.contextmanager
def plain_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Open a socket that answers are waited for with."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind((host, 0))
        yield sock


def renumbered(wire: bytes, ident: int) -> bytes:
    """Return a query with another ID."""
    return ident.to_bytes(2, "big") + wire[2:]


def unasked(message: bytes, client: Client) -> bytes:
    """Fail: it should have been ready."""
    raise AssertionError(message.hex())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("name", "qtype"), [(READY, 1), (READY, 28), (READY, 16), ("nowhere.cluster.local", 1)])
async def test_answers_what_is_ready(table: Answers, host: str, name: str, qtype: int) -> None:
    """Records, NODATA and NXDOMAIN, over IPv4 and IPv6: octet for octet the responder's, and nobody else is asked."""
    wire = plain(name, qtype)
    stats = TransportStats()
    async with (
        serve_udp(unasked, host, 0, server_name=SERVER, table=table, stats=stats) as address,
        udp_client(host) as client,
    ):
        assert await client.ask(wire, address) == responder(support.store().zones, wire)
    assert (stats.messages, stats.responses, stats.failures) == (1, 1, 0)


@pytest.mark.parametrize(("wildcard", "asked"), [("0.0.0.0", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")])
@pytest.mark.parametrize("name", [READY, RARE])
async def test_answers_from_the_address_asked(table: Answers, wildcard: str, asked: str, name: str) -> None:
    """Also where everything is bound, and whoever answers."""
    async with (
        serve_udp(echo, wildcard, 0, server_name=SERVER, table=table) as (_, port),
        udp_client(asked) as client,
    ):
        client.send(plain(name), (asked, port))
        async with asyncio.timeout(5):
            data, source = await client.received.get()
        assert source == asked
        assert (data == answered(plain(name))) == (name == RARE)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_hands_over_what_is_not_ready(table: Answers, host: str) -> None:
    """The dispatch gets it whole and hears who asked; what it says is sent. Octets of any kind and number."""
    seen: list[tuple[bytes, Client]] = []

    def dispatch(message: bytes, client: Client) -> bytes | None:
        seen.append((message, client))
        return echo(message, client)

    stats = TransportStats()
    sizes = (0, 1, 11, 12, 4096, 65_000)
    async with serve_udp(dispatch, host, 0, server_name=SERVER, table=table, stats=stats) as address:
        with plain_socket(host) as sock:
            port = sock.getsockname()[1]
            sock.sendto(plain(RARE), address)
            assert await asyncio.to_thread(sock.recv, 4096) == answered(plain(RARE))
            for size in sizes:
                sock.sendto(b"\xff" * size, address)
            await eventually(lambda: len(seen) == 1 + len(sizes))
    assert [message for message, _ in seen] == [plain(RARE), *(b"\xff" * size for size in sizes)]
    assert {(one.address, one.port) for _, one in seen} == {(host, port)}
    assert (stats.messages, stats.responses) == (1 + len(sizes), 1)


async def test_s7_what_waits_too_long_is_dropped(table: Answers, one_thread: None) -> None:
    """The oldest first, and counted; the thread goes on answering what is ready while the event loop does nothing."""
    sent, most = 1500, 1024
    seen: list[int] = []
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> None:
        seen.append(int.from_bytes(message[:2], "big"))

    async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, table=table, stats=stats) as address:
        with plain_socket() as sock:
            for ident in range(sent):  # this blocks the event loop
                sock.sendto(renumbered(plain(RARE), ident), address)
                if ident % 50 == 49:  # the thread has read all that when it answers this
                    sock.sendto(plain(READY), address)
                    assert len(sock.recv(4096)) > len(plain(READY))
        await eventually(lambda: len(seen) == most)
    assert seen == list(range(sent - most, sent))
    assert stats.shed == sent - most


async def test_large_datagrams_take_no_more_memory(table: Answers, one_thread: None) -> None:
    """What waits is bounded in octets as well."""
    sent, size = 200, 60_000
    seen: list[bytes] = []
    stats = TransportStats()
    async with serve_udp(
        lambda message, client: seen.append(message), "127.0.0.1", 0, server_name=SERVER, table=table, stats=stats
    ) as address:
        with plain_socket() as sock:
            for _ in range(sent):
                sock.sendto(bytes(size), address)
                sock.sendto(plain(READY), address)
                assert len(sock.recv(4096)) > len(plain(READY))
        await eventually(lambda: len(seen) + stats.shed >= sent or len(seen) == (2 << 20) // size)
    assert len(seen) == (2 << 20) // size
    assert stats.shed == sent - len(seen)


async def test_one_batch_a_turn(table: Answers, one_thread: None) -> None:
    """However often the event loop is woken up while more waits, everything else has its turn after one batch."""
    asked, turns = [0], [0]
    stats = TransportStats()

    def turn() -> None:
        turns.append(asked[0])
        if asked[0] < 100 * udp.BATCH:
            asyncio.get_running_loop().call_soon(turn)

    with plain_socket() as sock:

        def dispatch(message: bytes, client: Client) -> None:
            asked[0] += 1
            if asked[0] < 100 * udp.BATCH:
                sock.sendto(plain(RARE), address)  # so that there is always more

        async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, table=table, stats=stats) as address:
            for _ in range(8 * udp.BATCH):
                sock.sendto(plain(RARE), address)
            turn()
            await eventually(lambda: asked[0] >= 100 * udp.BATCH)
    assert max(after - before for before, after in pairwise(turns)) <= udp.BATCH


CHANGING = from_text("x.ns1.svc.cluster.local")


def versions(count: int) -> Iterator[Zone]:
    """Yield versions of a zone: a name has an address, another, no records, and is gone."""
    editor = ZoneEditor(ZONE, 5)
    for serial in range(1, count + 1):
        address = RRset(CHANGING, RRType.A, 5, (serial.to_bytes(4, "big"),))
        records = (None, Fixed((address,)), Fixed((address,)), Fixed())[serial % 4]
        editor.set(CHANGING, records)
        yield editor.publish(serial)


def ask_all_the_time(address: tuple[str, int], published: list[Zone], ended: threading.Event) -> list[str]:
    """Ask for the name that changes until told to end; return what was wrong."""
    wires = [plain(to_text(CHANGING), qtype) for qtype in (RRType.A, RRType.AAAA)]
    found: list[tuple[bytes, bytes, int, int]] = []
    with plain_socket() as sock:
        sock.connect(address)
        while not ended.is_set():
            for wire in wires:
                since = len(published) - 1
                sock.send(wire)
                found.append((wire, sock.recv(4096), since, len(published)))
    return [
        f"versions {since} to {until}: {response.hex()}"
        for wire, response, since, until in found
        if response not in [responder((zone,), wire) for zone in published[since : until + 1]]
    ] + ([] if len(found) > 100 else [f"only {len(found)} questions"])


async def test_changes_while_queries_run() -> None:
    """Every question gets an answer, and it is that of a version that was published meanwhile, or of the one before."""
    coming = versions(250)
    published = [next(coming)]
    (fast,) = fast_zones(published)
    table = new_table()
    table.serve([fast])
    prepared(table)
    ended = threading.Event()
    async with serve_udp(
        lambda message, client: responder((published[-1],), message), "127.0.0.1", 0, server_name=SERVER, table=table
    ) as address:
        asking = asyncio.create_task(asyncio.to_thread(ask_all_the_time, address, published, ended))
        for zone in coming:
            published.append(zone)  # before the move: what the thread sees first must be known
            table.move(fast, zone if zone.serial % 50 else replace(zone, changed=None))
            while not table.prepare(1):  # noqa: ASYNC110 -- it works, not waits
                await asyncio.sleep(0)
            await asyncio.sleep(0.002)  # for some answers of this version
        ended.set()
        assert await asking == []


@pytest.mark.parametrize("name", [READY, RARE])
@pytest.mark.parametrize("threads", [1, 3])
async def test_nothing_is_lost_at_the_end(
    table: Answers, monkeypatch: pytest.MonkeyPatch, name: str, threads: int
) -> None:
    """What the kernel holds and what waits for the event loop is answered before the sockets close."""
    monkeypatch.setattr(serveudp, "_threads", lambda table: threads)
    count = 100
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(udp_client()) for _ in range(4)]
        async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, table=table) as address:
            for ident in range(count):
                for client in clients:
                    client.send(renumbered(plain(name), ident), address)
        for client in clients:
            await eventually(lambda client=client: client.received.qsize() == count)  # type: ignore[misc]  # a default
    assert [one for one in threading.enumerate() if SERVER in one.name] == []


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what will hold the descriptors of the sockets that are bound from now on."""
    made: list[int] = []

    def kept(host: str, port: int, kind: socket.SocketKind, *, shared: bool = False) -> socket.socket:
        sock = bind(host, port, kind, shared=shared)
        made.append(sock.fileno())
        return sock

    monkeypatch.setattr(serveudp, "bind", kept)
    monkeypatch.setattr(udp, "CHECK_EVERY", 0.05)
    return made


@pytest.mark.parametrize("taken", [False, True])
async def test_a_lost_socket_is_told(table: Answers, descriptors: list[int], one_thread: None, taken: bool) -> None:
    """The thread neither hangs in what has the number now, nor reads from it; leaving raises."""
    losses: list[Exception | None] = []

    async def serve(other: socket.socket) -> None:
        async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, table=table, on_lost=losses.append) as address:
            async with udp_client() as client:
                await client.ask(plain(READY), address)
            if taken:
                os.dup2(other.fileno(), descriptors[0])
                with plain_socket() as sock:
                    sock.sendto(b"for another", other.getsockname())
            else:
                os.close(descriptors[0])
            await eventually(lambda: losses)

    with plain_socket() as other:
        other.settimeout(None)  # a read of it would last forever
        async with asyncio.timeout(10):
            with pytest.raises(ListenerLostError, match=SERVER) as caught:
                await serve(other)
        if taken:
            os.close(descriptors[0])
            assert other.recv(100, socket.MSG_DONTWAIT) == b"for another"
    assert losses == [caught.value.__cause__]
    assert isinstance(losses[0], OSError)
    assert losses[0].errno == errno.EBADF


async def test_a_thread_that_cannot_start(table: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the error that is told, and the port is free again."""

    begin = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if SERVER in self.name:
            raise RuntimeError("can't start new thread")
        begin(self)

    with bind("127.0.0.1", 0, socket.SOCK_DGRAM) as sock:
        port = sock.getsockname()[1]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            async with serve_udp(echo, "127.0.0.1", port, server_name=SERVER, table=table):
                raise AssertionError("never reached")
    bind("127.0.0.1", port, socket.SOCK_DGRAM).close()


def a_loop(table: Answers, sock: socket.socket) -> Loop:
    """Return a loop that nobody runs."""
    assert new_loop is not None
    return new_loop(table, sock.fileno(), sock.getsockname()[1], Way.UDP4)


def test_what_cannot_be_read_ends_the_loop(table: Answers) -> None:
    """Where every call says the same; a descriptor that is none is an error at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        loop = a_loop(table, sock)
        loop.run()
        assert loop.error() == errno.ENOTCONN
        assert loop.counters()[2] == udp.BATCH
    with pytest.raises(OSError, match="Bad file descriptor"):
        new_loop(table, -1, 53, Way.UDP4)  # type: ignore[misc]  # it is there, else this is skipped


def test_any_number_of_loops_one_after_the_other(table: Answers) -> None:
    """A listener may be opened again and again; what each has counted stays counted, and no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))
    with bind("127.0.0.1", 0, socket.SOCK_DGRAM) as sock, plain_socket() as client:
        for _ in range(100):
            loop = a_loop(table, sock)
            client.sendto(plain(READY), sock.getsockname())
            client.sendto(plain(RARE), sock.getsockname())
            loop.stop()
            loop.run()
            assert loop.counters()[:2] == (1, 1)
    assert [(cell.way, sum(tally.durations)) for cell, tally in table.tallies().items()] == [(Way.UDP4, 100)]
    del loop
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("host", "way"), [("127.0.0.1", Way.UDP4), ("::1", Way.UDP6)])
async def test_several_threads(table: Answers, monkeypatch: pytest.MonkeyPatch, host: str, way: Way) -> None:
    """The kernel shares out clients among them, the table counts for all, and no thread is left at the end."""
    loops: list[Loop] = []

    def kept(*args: Any) -> Loop:
        assert new_loop is not None
        loops.append(new_loop(*args))
        return loops[-1]

    monkeypatch.setattr(serveudp, "_threads", lambda table: 4)
    monkeypatch.setattr(serveudp, "new_loop", kept)
    count = 60
    async with serve_udp(unasked, host, 0, server_name=SERVER, table=table) as address:
        for ident in range(count):
            with plain_socket(host) as sock:
                sock.sendto(renumbered(plain(READY), ident), address)
                assert (await asyncio.to_thread(sock.recv, 4096))[:2] == ident.to_bytes(2, "big")
    shares = [loop.counters()[0] for loop in loops]
    assert (len(shares), sum(shares)) == (4, count)
    assert max(shares) < count
    assert [(cell.way, cell.qtype, sum(tally.durations)) for cell, tally in table.tallies().items()] == [
        (way, 1, count)
    ]
    assert [one for one in threading.enumerate() if SERVER in one.name] == []


async def test_port_zero_and_our_own_port(table: Answers, one_thread: None) -> None:
    """A query from our own port is not answered by the thread: it might be forged to have us answer ourselves."""
    stats = TransportStats()
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, table=table, stats=stats) as address:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.2", address[1]))  # with the same port, but another host's: answered, by the event loop
            sock.settimeout(5)
            sock.sendto(plain(READY), address)
            assert len(await asyncio.to_thread(sock.recv, 4096)) > len(plain(READY))
    assert stats.messages == 1
    assert sum(sum(tally.durations) for tally in table.tallies().values()) == 1


async def test_counts_reach_the_metrics(tmp_path: Path) -> None:
    """A scrape has the queries that threads have answered, with those that the event loop has."""
    name = "myvmi.mysubdomain.default.svc.cluster.local"
    corefile = f"""
cluster.local {{
    bind 127.0.0.1
    prometheus 127.0.0.1:0
    kubernetes {{
        manifests {Path(__file__).parents[2] / "examples" / "manifests"}
    }}
}}
"""
    async with serving(corefile, tmp_path) as server:
        for _ in range(5):
            assert len(await server.texts(name)) == 1
        _, text = await get(server.http("127.0.0.1:0", "/metrics"))
        asked = [line for line in text.splitlines() if line.startswith("coredns_dns_requests_total{")]
        assert sum(float(line.rpartition(" ")[2]) for line in asked if 'type="A"' in line) == 5
        counted = [table.table.tallies() for table in server.app._ready.values()]
    assert not any(counted)  # all of it was handed in
