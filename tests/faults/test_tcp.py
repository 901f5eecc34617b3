"""TCP clients that mean harm, and a process that runs out of descriptors (S2, S3, S4, S12; rows 52, 74 to 78)."""

import asyncio
import contextlib
import os
import random
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dnsserver.message import Client, Query, Transport
from dnsserver.names import from_text
from dnsserver.responder import receive
from dnsserver.transports import Roster, RosterLimits, TcpLimits, TransportStats, descriptors, raise_limit, serve_tcp
from dnsserver.transports.connection import READ_BUFFER, Connection
from dnsserver.transports.dispatch import Dispatcher
from dnsserver.transports.turns import Turns
from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import ask_tcp, ask_udp, question, rdata_text, serving
from tests.transports.support import SERVER, answered, echo, eventually, framed, query, tcp_client

CLIENT = Client("192.0.2.1", 1, Transport.TCP, SERVER)


class FakeTransport(asyncio.Transport):
    """Takes what is written, and says how much of it the client has left unread."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = 0
        self.ended = ""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unread

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread += len(data)

    def is_closing(self) -> bool:
        return self.ended != ""

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        pass


def connected(stats: TransportStats | None = None) -> tuple[Connection, FakeTransport]:
    """Return a connection whose client is a fake."""
    dispatcher = Dispatcher(echo, stats or TransportStats(), 1)
    connection = Connection(dispatcher, CLIENT, lambda _: None, lambda _: None, Turns())
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport


def feed(connection: Connection, data: bytes) -> None:
    """Hand octets to a connection as the event loop does, as many at a time as it has room for."""
    while data:
        view = connection.get_buffer(-1)
        count = min(len(view), len(data))
        view[:count] = data[:count]
        connection.buffer_updated(count)
        data = data[count:]


# --- clients that stall --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 10, 1000], ids=["nothing", "a little", "all"])
async def test_s2_unread_octets_have_a_deadline(taken: int) -> None:
    """A few octets that are left unread end the connection in time, though the buffer is far from full."""
    stats = TransportStats()
    connection, transport = connected(stats)
    now = asyncio.get_running_loop().time()
    for second in range(10):
        feed(connection, framed(query(second)))
        await asyncio.sleep(0)
        connection.expire(now + second, idle=100, message=100, write=4)
        transport.unread = max(0, transport.unread - taken)
        if transport.ended:
            break
    assert (transport.ended, stats.write_timeouts) == (("", 0) if taken == 1000 else ("abort", 1))


async def test_s2_a_reader_that_keeps_up_has_no_deadline() -> None:
    """Something is always unread, but never the same octets."""
    connection, transport = connected()
    now = asyncio.get_running_loop().time()
    for second in range(30):
        transport.unread = 0  # all that was there before
        feed(connection, framed(query(second)))
        await asyncio.sleep(0)
        assert transport.unread
        connection.expire(now + second, idle=100, message=100, write=2)
        assert not transport.ended


async def test_s2_a_length_is_only_a_promise() -> None:
    """A connection that promises 64 KiB costs what it sends: a thousand of them are not 64 MiB."""
    connection, _ = connected()
    feed(connection, b"\xff\xff" + bytes(10))
    assert len(connection._buffer) == READ_BUFFER
    feed(connection, bytes(READ_BUFFER))
    assert len(connection._buffer) <= 2 * (READ_BUFFER + 12)


async def test_s2_times_are_bounds() -> None:
    """The sweeper looks ahead: what it ends by the next look is not over its time then."""
    limits = TcpLimits()
    assert 5 <= limits.idle + limits.sweep <= 30
    assert limits.message <= 10
    assert limits.write <= 5
    assert 2 * limits.sweep < min(limits.message, limits.write)


_LISTENER = """
import asyncio, sys, uvloop
from dnsserver.transports import Roster, RosterLimits, TcpLimits, raise_limit, serve_tcp
async def main():
    raise_limit()
    roster = Roster(RosterLimits(5000, 5000))
    limits = TcpLimits(idle=60, message=60)
    async with serve_tcp(lambda wire, client: wire, "127.0.0.1", 0, server_name="", roster=roster, limits=limits) as at:
        print(at[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
uvloop.run(main())
"""


async def test_s3_memory_of_idle_connections() -> None:
    """Two thousand connections that have asked once cost less than 50 KiB each."""
    count = 2000
    if raise_limit() < count + 200:
        pytest.skip("needs more descriptors than this machine gives")
    process = subprocess.Popen(  # noqa: ASYNC220 -- begins in a moment, and its pipes are read in a thread
        [sys.executable, "-c", _LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.to_thread(process.stdout.readline))
        before = resident(process.pid)
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(ask_from_each, stack, port, count)
            each = (resident(process.pid) - before) / count
            assert len(os.listdir(f"/proc/{process.pid}/fd")) >= count
    finally:
        process.communicate()
    assert each < 50


def ask_from_each(stack: contextlib.ExitStack, port: int, count: int) -> None:
    """Open connections and ask one query on each."""
    for ident in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        client.sendall(framed(query(ident)))
        assert client.recv(4096)


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS:")]
    return int(line.split()[1])


async def test_s3_a_thousand_that_do_not_read_keep_nobody_out() -> None:
    """Where no connection is idle, one goes whose client has left its answers unread."""
    roster = Roster(RosterLimits(connections=2))
    stuck, transport = connected()
    waiting, _ = connected()
    for connection in (stuck, waiting):
        roster.add(connection)
        connection._in_flight = 1
    stats = TransportStats()
    assert not roster.make_room("192.0.2.2", 5, stats)
    feed(stuck, framed(query(1)))
    stuck.expire(asyncio.get_running_loop().time() - 5, idle=100, message=100, write=100)
    assert roster.make_room("192.0.2.2", 5, stats)
    assert (transport.ended, stats.connections_evicted, len(roster)) == ("abort", 1, 1)


# --- descriptors ----------------------------------------------------------------------------------------------------


async def test_s4_listeners_share_the_number_of_connections() -> None:
    """A connection to one listener takes the place of the oldest, though that is another's."""
    roster = Roster(RosterLimits(connections=2))
    stats = TransportStats()
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, roster=roster) as one,
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, roster=roster, stats=stats) as other,
        tcp_client(one) as first,
        tcp_client(one) as second,
    ):
        for client in (first, second):
            assert await client.ask(query(1)) == answered(query(1))
        async with tcp_client(other) as third:
            assert await third.ask(query(2)) == answered(query(2))
            assert await first.closed()
            assert await second.ask(query(3)) == answered(query(3))
    assert (stats.connections_evicted, len(roster)) == (1, 0)


async def test_s4_the_last_descriptors_are_not_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the limit may be connections; one that gets a descriptor of the last quarter costs an idle one."""
    monkeypatch.setattr(descriptors, "limit", lambda: 64)
    stats = TransportStats()
    roster = Roster()
    for _ in range(32):
        assert roster.make_room("192.0.2.1", 47, stats)
        roster.add(connected()[0])
    assert stats.connections_evicted == 0
    assert roster.make_room("192.0.2.2", 20, stats)
    assert (stats.connections_evicted, len(roster)) == (1, 31)
    assert roster.make_room("192.0.2.2", 48, stats)
    assert (stats.connections_evicted, len(roster)) == (2, 30)
    assert not Roster().make_room("192.0.2.2", 48, stats)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 4096, 4096),
        (1024, 1 << 20, 65536),
        (1 << 20, 1 << 20, 1 << 20),
        (1024, resource.RLIM_INFINITY, 65536),
        (64, 64, 64),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 65536),
    ],
)
def test_s4_the_limit_is_raised(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, expected: int) -> None:
    """To the hard limit, within reason; never lowered."""
    now = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: now.append(limits))
    assert raise_limit() == expected
    assert len(now) == 1 or now[1] == (expected, hard)


_COREFILE = """
cluster.local:{port} {{
    bind 127.0.0.1
    errors
    kubernetes {{
        endpoint {url}
    }}
}}
"""


@contextlib.asynccontextmanager
async def limited(api: FakeApiServer, folder: Path, most: int) -> AsyncIterator[tuple[int, tuple[str, int]]]:
    """Run a server that may have `most` descriptors, if it asks for them; yields its process id and its address."""
    port = free_port()
    path = folder / "Corefile"
    path.write_text(_COREFILE.format(port=port, url=api.url))
    command = (
        "prlimit",
        f"--nofile={most // 2}:{most}",
        sys.executable,
        "-m",
        "dnsserver",
        "-quiet",
        "-conf",
        str(path),
    )
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        yield process.pid, ("127.0.0.1", port)
    finally:
        process.terminate()
        assert await process.wait() == 0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def becomes(address: tuple[str, int], name: str, expected: list[str], *, tcp: bool = False) -> None:
    """Ask until the answer is as expected."""
    wire = encode_query(question(name))
    async with asyncio.timeout(20):  # a whole interpreter starts meanwhile, on a machine that does other things
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                answer = parse_response(await asyncio.wait_for((ask_tcp if tcp else ask_udp)(address, wire), 1.0))
                if sorted(map(rdata_text, answer.answer)) == expected:
                    return
            await asyncio.sleep(0.02)


async def test_s4_sixty_four_descriptors(tmp_path: Path) -> None:
    """With connections to spare, UDP and new ones are served, and the API server's watches can begin again."""
    db = "db.ns1.svc.cluster.local"
    async with FakeApiServer() as api:
        for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
            api.put(value)
        async with limited(api, tmp_path, 64) as (pid, address), contextlib.AsyncExitStack() as stack:
            await becomes(address, f"vm1.{db}", ["10.244.0.7"])
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (64, 64)
            for ident in range(100):
                client = await stack.enter_async_context(tcp_client(address))
                with contextlib.suppress(OSError):
                    client.send(query(ident))
            await becomes(address, f"vm1.{db}", ["10.244.0.7"])
            await becomes(address, f"vm1.{db}", ["10.244.0.7"], tcp=True)
            assert len(os.listdir(f"/proc/{pid}/fd")) < 64  # its own depend on the processors; some are always left
            assert 0 < established(address[1]) <= 32  # half of the limit
            api.end_watches(VMIS)
            api.put(build.vmi_json("vm2", addresses=("10.244.0.8",)))
            await becomes(address, f"vm2.{db}", ["10.244.0.8"])


def established(port: int) -> int:
    """Return how many connections over IPv4 the kernel has on the server's side of a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in lines)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(20)]  # fills the gaps below the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(one.fileno() for one in sockets) + 1, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.enter_context(socket.socket())
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_s4_a_shortage_ends_an_idle_connection() -> None:
    """Where accepting fails for want of a descriptor, idle connections give theirs, one to the reserve."""
    stats = TransportStats()
    loop = asyncio.get_running_loop()
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        tcp_client(address) as first,
        tcp_client(address) as second,
    ):
        for idle in (first, second):
            assert await idle.ask(query(1)) == answered(query(1))
        with socket.socket() as client:
            client.setblocking(False)
            with no_descriptor_left():
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, framed(query(2)))
                async with asyncio.timeout(5):
                    assert await loop.sock_recv(client, 4096) == framed(answered(query(2)))
        assert await first.closed()  # for want of a descriptor
        assert await second.closed()  # because the one that this left free is of those in reserve
    assert stats.accept_errors >= 1
    assert stats.connections_evicted == 2


# --- messages that are made to be slow ------------------------------------------------------------------------------


def message(*, opcode: int = 0, counts: tuple[int, int, int] = (0, 0, 0), qtype: int = 1, rest: bytes = b"") -> bytes:
    """Return a query for `k.` with records behind it."""
    head = struct.pack("!6H", 7, opcode << 11, 1, *counts) + b"\1k\0" + struct.pack("!2H", qtype, 1)
    return (head + rest)[:65535]


def record(rrtype: int, rdata: bytes, *, owner: bytes = b"\0", rrclass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", rrtype, rrclass, 0, len(rdata)) + rdata


RUNGS = 8000
AT = 12 + 3 + 4 + 11  # where the ladder starts, in the RDATA of the first record
LADDER = record(65280, b"\0" + b"".join(struct.pack("!H", 0xC000 | AT + max(0, 2 * n - 1)) for n in range(RUNGS)))
TOP = struct.pack("!H", 0xC000 | AT + 1 + 2 * (RUNGS - 1))
OWNERS = record(1, b"", owner=TOP) * 4000
OPTIONS = struct.pack("!HH", 65001, 0)

BY_COUNTS = [
    pytest.param(message(opcode=opcode, counts=counts, rest=rest), id=f"{name}, opcode {opcode}")
    for opcode in (0, 4, 5)
    for name, counts, rest in (
        ("ladders", (1, 0, 4000), LADDER + OWNERS),
        ("ladders of 8 KiB", (1, 0, 4000), (LADDER + OWNERS)[:8000]),
        ("5000 records", (5000, 0, 0), record(1, b"") * 5000),
    )
]
TSIG = record(250, TOP + bytes(16), owner=TOP, rrclass=255)
SOA = record(6, TOP * 2 + bytes(20), owner=TOP)
BY_CONTENT = {
    "TSIG": message(counts=(1, 0, 1), rest=LADDER + TSIG),
    "IXFR": message(counts=(1, 1, 0), qtype=251, rest=LADDER + SOA),
    "options": message(counts=(0, 0, 1), rest=record(41, OPTIONS * 16_000)),
    "one option": message(counts=(0, 0, 1), rest=record(41, struct.pack("!HH", 65001, 60_000) + bytes(60_000))),
    "labels": struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\1a" * 126 + b"\0\0\1\0\1",
}


def steps(wire: bytes) -> int:
    """Return how many instructions of Python it takes to receive a message, the response to it included.

    Unlike time, they are the same on every run; what C does between them is in proportion to the octets at most.
    """
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        receive(wire, Transport.TCP)
    finally:
        sys.settrace(before)
    return count


def ordinary() -> bytes:
    """Return a query as they come."""
    name = from_text("vm1.db.ns1.svc.cluster.local")
    return encode_query(Query(1, name, name, 1))


@pytest.mark.parametrize("wire", BY_COUNTS)
def test_s12_row52_rejected_by_counts(wire: bytes) -> None:
    """Ladders of 8,000 pointers, and thousands of records, cost less than a query that is answered."""
    assert steps(wire) <= steps(ordinary())


@pytest.mark.parametrize("wire", BY_CONTENT.values(), ids=BY_CONTENT)
def test_s12_row52_slow_to_read(wire: bytes) -> None:
    """What the counts allow is bounded by other means: it costs no more than some 30 queries of the same size would."""
    assert steps(wire) <= 40 * steps(ordinary())


# --- many connections and many queries ------------------------------------------------------------------------------

_HOSTS = """
example.test {
    bind 127.0.0.1
    errors
    hosts {
        10.0.0.1 a.example.test
    }
}
"""


async def test_row78_250_connections(tmp_path: Path) -> None:
    """Connections with octets at random, of which some end, some are reset and some stay: all else goes on."""
    rng = random.Random(78)
    wire = encode_query(question("a.example.test"))
    async with serving(_HOSTS, tmp_path) as server, contextlib.AsyncExitStack() as stack:
        for number in range(250):
            client = await stack.enter_async_context(tcp_client(server.address))
            octets = rng.randbytes(rng.randrange(1, 2000))
            client.writer.write(octets if number % 2 else len(octets).to_bytes(2, "big") + octets)
            if number % 5 == 0:
                client.writer.transport.abort()
            elif number % 5 == 1:
                client.writer.write_eof()
        for _ in range(20):
            assert (await ask_tcp(server.address, wire))[3] & 15 == 0
            assert (await ask_udp(server.address, wire))[3] & 15 == 0
        assert await server.texts("a.example.test") == ["10.0.0.1"]


async def test_cve_2019_6477_sources_take_turns() -> None:
    """A source with many connections and queries has no more turns than one with a single query at a time."""
    turns = Turns()
    order: list[str] = []

    def asker(source: str, queries: int) -> Callable[[], bool]:
        left = iter(range(queries - 1, -1, -1))

        def ask() -> bool:
            order.append(source)
            return next(left) > 0

        return ask

    for _ in range(50):
        turns.take("192.0.2.66", asker("many", 100))
    turns.take("192.0.2.1", asker("few", 5))
    await eventually(lambda: len(order) == 5005)
    last = len(order) - order[::-1].index("few")
    assert last <= 12


async def test_cve_2019_6477_others_have_their_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many queries wait, the event loop sees to all else after each turn."""
    monkeypatch.setattr("dnsserver.transports.turns.TURN", 0.0)
    turns = Turns()
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return asked < 100

    turns.take("192.0.2.66", ask)
    rounds = 0
    while asked < 100:
        before = asked
        await asyncio.sleep(0)
        rounds += 1
        assert asked - before <= 1
    assert rounds >= 99
