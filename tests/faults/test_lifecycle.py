"""From start to exit: who is ready when, who is answered until when, what an update or a bug costs (L1-L6, S9-S11)."""

import asyncio
import signal
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, closing, suppress
from pathlib import Path

import pytest
import uvloop

from dnsserver import listening
from dnsserver.app import App
from dnsserver.message import Edns, Reply
from dnsserver.plugins.plugin import Handler, Request, leave_fast_lane
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.records import Rcode
from dnsserver.sources import watch
from dnsserver.sources.backoff import Backoff, SystemClock
from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.fakes.api_faults import refuse
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import TIMEOUT, Serving, ask_tcp, ask_udp, get, http_url, question, serving
from tests.test_app import (
    ANSWER,
    HTTP,
    Probe,
    addresses,
    bound,
    free_port,
    has_ipv6,
    refused,
    running,
    setup_with,
    until,
)
from tests.test_cli import NAME, Process, started, write_corefile

LAMEDUCK = 0.5  # seconds
EVERY = 0.002  # seconds between two queries of a client
RDATA = [bytes([10, 244, 0, 7])]
NOT_READY = 14  # INFO-CODE of an extended error (RFC 8914, section 4.15)
REQUIRED = ("namespaces", "services", "endpointslices", VMIS)
READY, HEALTH = "127.0.0.1:0", "localhost:0"  # two listeners: `/ready` closes before `/health`

API = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    ready 127.0.0.1:0
    health localhost:0 {{
        lameduck {lameduck}
    }}
    kubernetes {{
        endpoint {url}
        startup_timeout 50ms
    }}
}}
"""


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    """An API server with one published VMI; what fails is tried again at once, more or less."""

    class Timing(watch.Timing):
        def __init__(self) -> None:
            super().__init__(backoff_first=0.02, backoff_cap=0.05)

    monkeypatch.setattr(watch, "Timing", Timing)
    async with FakeApiServer() as server:
        for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
            server.put(value)
        yield server


def following(api: FakeApiServer, folder: Path, lameduck: str = "0s") -> AbstractAsyncContextManager[Serving]:
    """Run a server on an API server."""
    return serving(API.format(url=api.url, lameduck=lameduck), folder)


async def status(server: Serving, listen: str, path: str) -> int:
    """Return what a probe is told."""
    return (await get(server.http(listen, path)))[0]


# Start, and the probes


@pytest.mark.parametrize("late", REQUIRED)
async def test_l1_ready_once_every_resource_is_there(late: str, api: FakeApiServer, tmp_path: Path) -> None:
    """While any one resource is missing: alive, not ready, SERVFAIL with the reason, and never NXDOMAIN."""
    api.fault(late, "list", refuse(503, "ServiceUnavailable"), times=None)
    async with following(api, tmp_path) as server:
        for other in REQUIRED:
            if other != late:
                await api.seen(other, "watch")
        for name in (NAME, "nobody.db.ns1.svc.cluster.local"):
            response = await server.ask(name, edns=Edns(1232))
            assert (response.rcode, response.extended_error) == (Rcode.SERVFAIL, (NOT_READY, ""))
        assert await status(server, READY, "/ready") == 503
        assert await status(server, HEALTH, "/health") == 200
        api.heal(late, "list")
        await server.until(NAME, "A", ["10.244.0.7"])
        assert await status(server, READY, "/ready") == 200
        assert (await server.ask("nobody.db.ns1.svc.cluster.local")).rcode == Rcode.NXDOMAIN


async def test_l2_loss_of_the_api_affects_neither_probe(api: FakeApiServer, tmp_path: Path) -> None:
    """Without an API server, and with one that refuses everything, the process is alive and ready, and answers."""
    async with following(api, tmp_path) as server:
        for resource in REQUIRED:
            await api.seen(resource, "watch")
        await api.stop()
        for _ in range(20):
            assert await status(server, READY, "/ready") == await status(server, HEALTH, "/health") == 200
            assert await server.texts(NAME) == ["10.244.0.7"]
        before = len(api.requests)
        for resource in REQUIRED:
            for verb in ("list", "watch", "stream"):
                api.fault(resource, verb, refuse(500, "InternalError"), times=None)
        await api.start()
        await until(lambda: len(api.requests) > before + 20)
        assert await status(server, READY, "/ready") == await status(server, HEALTH, "/health") == 200
        assert await server.texts(NAME) == ["10.244.0.7"]


# SIGTERM, as clients see it


class Load:
    """A client that asks one question every few milliseconds, in a thread of its own, until nobody listens any more."""

    kind: socket.SocketKind

    def __init__(self, address: tuple[str, int]) -> None:
        self.sent: list[float] = []  # time.monotonic() of each query; its index is its ID
        self.answered: set[int] = set()
        self.end: OSError | None = None  # what told that nobody listens
        self.ended = 0.0  # and when
        self._address = address
        self._wire = encode_query(question(NAME))[2:]
        self._thread = threading.Thread(target=self._run)

    def unanswered(self) -> list[int]:
        """Return which queries got no answer, counted from the last one: -1."""
        return [number - len(self.sent) for number in range(len(self.sent)) if number not in self.answered]

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, self.kind) as sock:
            sock.settimeout(5)
            sock.connect(self._address)
            try:
                while len(self.sent) <= 0xFFFF:
                    self.sent.append(time.monotonic())
                    self._send(sock, struct.pack("!H", len(self.sent) - 1) + self._wire)
                    time.sleep(EVERY)
                    self._receive(sock, 0.0)
            except OSError as error:
                self.end, self.ended = error, time.monotonic()
            with suppress(OSError):
                while self.unanswered():
                    self._receive(sock, 0.2)

    def _send(self, sock: socket.socket, message: bytes) -> None:
        raise NotImplementedError

    def _receive(self, sock: socket.socket, seconds: float) -> None:
        """Take what comes within a time, 0 for what has come. Raises `OSError` where nobody listens, or too late."""
        raise NotImplementedError

    def _take(self, message: bytes) -> None:
        assert [record.rdata for record in parse_response(message).answer] == RDATA
        self.answered.add(int.from_bytes(message[:2], "big"))


class UdpLoad(Load):
    """Over one connected socket: the kernel tells of a port that is closed."""

    kind = socket.SOCK_DGRAM

    def _send(self, sock: socket.socket, message: bytes) -> None:
        sock.send(message)

    def _receive(self, sock: socket.socket, seconds: float) -> None:
        sock.settimeout(seconds)
        try:
            while True:
                self._take(sock.recv(4096))
        except BlockingIOError:
            return


class TcpLoad(Load):
    """Over one connection, whose end is told."""

    kind = socket.SOCK_STREAM
    _buffer = b""

    def _send(self, sock: socket.socket, message: bytes) -> None:
        sock.sendall(framed(message))

    def _receive(self, sock: socket.socket, seconds: float) -> None:
        sock.settimeout(seconds)
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError
        messages, self._buffer = unframed(self._buffer + data)
        for message in messages:
            self._take(message)


def framed(message: bytes) -> bytes:
    """Return a message behind its length."""
    return struct.pack("!H", len(message)) + message


def unframed(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole messages of a stream, and what is left of it."""
    messages = []
    while len(data) >= 2 and len(data) >= 2 + (size := int.from_bytes(data[:2], "big")):
        messages.append(data[2 : 2 + size])
        data = data[2 + size :]
    return messages, data


async def test_l3_no_query_is_lost_at_sigterm(tmp_path: Path) -> None:
    """Clients that ask every 2 ms: `/ready` goes at once, and every answer comes until the lame duck time is over.

    Unanswered is only what met the end itself: the query that is told of the closed port, and with bad luck the one
    that came in between the last look at the socket and its closing, which the kernel does not make one step.
    """
    ready = free_port()
    write_corefile(tmp_path, f" ready 127.0.0.1:{ready}\n health 127.0.0.1:0 {{\n  lameduck {LAMEDUCK}s\n }}")
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        address = ("127.0.0.1", server.port())
        loads: Sequence[Load] = [UdpLoad(address), UdpLoad(address), TcpLoad(address)]
        for load in loads:
            load.start()
        await until(lambda: all(len(load.answered) > 20 for load in loads))
        url = f"http://127.0.0.1:{ready}/ready"
        assert await get(url) == (200, "OK")
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await server.line("lameduck")
        assert await refused(url)
        assert await server.end() == (0, "")
        ended = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(load.join) for load in loads))
    assert ended - told < 10  # the requirement is 30 s; the rest of it is the lame duck time that an operator chooses
    for load in loads:
        assert isinstance(load.end, ConnectionError)
        assert load.ended >= told + LAMEDUCK
        assert set(load.unanswered()) <= {-1, -2}
        late = [number for number in load.unanswered() if load.sent[number] < told + LAMEDUCK]
        assert not late


def state(process: Process) -> str:
    """Return the state of a process, "T" while it is stopped."""
    return Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_l3_what_waits_in_the_sockets_is_answered(tmp_path: Path) -> None:
    """What has come in by the time that the server closes is answered, over UDP and over connections old and new.

    The process is held until its lame duck time is over, so that everything is still to be read when it wakes up.
    """
    write_corefile(tmp_path, " health 127.0.0.1:0 {\n  lameduck 200ms\n }")
    messages = [struct.pack("!H", number) + encode_query(question(NAME))[2:] for number in range(200)]
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        address = ("127.0.0.1", server.port())
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as udp, socket.create_connection(address) as old:
            udp.connect(address)
            assert await server.answer(tcp=True) == RDATA  # so the connection before it has been accepted
            server.process.send_signal(signal.SIGTERM)
            await server.line("lameduck")
            server.process.send_signal(signal.SIGSTOP)
            await until(lambda: state(server) == "T")
            for message in messages:  # 200 fit into the receive buffer that Linux gives by default
                udp.send(message)
            old.sendall(b"".join(map(framed, messages[:50])))
            with socket.create_connection(address) as new:
                new.sendall(b"".join(map(framed, messages[:10])))
                await asyncio.sleep(0.25)  # until the lame duck time is over
                server.process.send_signal(signal.SIGCONT)
                assert await server.end() == (0, "")
                assert len(datagrams(udp)) == 200
                assert len(unframed(stream(old))[0]) == 50
                assert len(unframed(stream(new))[0]) == 10


def datagrams(sock: socket.socket) -> list[bytes]:
    """Return what has come."""
    sock.setblocking(False)
    found = []
    with suppress(OSError):
        while True:
            found.append(sock.recv(4096))
    return found


def stream(sock: socket.socket) -> bytes:
    """Return what has come on a connection that has ended."""
    found = b""
    with suppress(ConnectionError):
        while data := sock.recv(65536):
            found += data
    return found


@pytest.mark.skipif(not has_ipv6(), reason="needs the sockets of two address families")
async def test_l3_one_grace_for_all_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that never come hold up the end for the grace once, not for each of four sockets.

    With a grace of 5 s and the usual lame duck time of 5 s, one after the other would leave no time of 30 s.
    """
    monkeypatch.setattr(listening, "GRACE", 0.6)

    class Never(Probe):
        async def handle(self, request: Request, call_next: Handler) -> Reply:
            self._notes.append("asked")
            await leave_fast_lane()
            await asyncio.Event().wait()
            raise AssertionError

    notes: list[str] = []
    loop = asyncio.get_running_loop()
    app = App(setup_with(Never(notes), address="", port=free_port()), quiet=True)
    async with running(app) as task:
        await bound(app)
        port = next(iter(app.bound.values()))[1]
        wire = encode_query(question("a.b"))
        with ExitStack() as stack:
            for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
                udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                udp.sendto(wire, (host, port))
                stack.enter_context(socket.create_connection((host, port))).sendall(framed(wire))
            await until(lambda: len(notes) >= 2 + 4)
            told = loop.time()
            app.stop()
            assert await task == 0
            assert 0.5 < loop.time() - told < 2.0  # one after the other takes at least 2.4 s


# An update, and a loop of crashes


async def test_l5_rolling_update_never_without_a_ready_replica(api: FakeApiServer, tmp_path: Path) -> None:
    """With maxUnavailable 0 the old one is told to stop once the new one is ready, and answers on as a lame duck.

    What the Deployment has to say for that (its strategy, its disruption budget) is the manifests' to hold.
    """
    async with following(api, tmp_path, lameduck="700ms") as old:
        async with asyncio.timeout(TIMEOUT):
            while await status(old, READY, "/ready") != 200:  # noqa: ASYNC110 -- what is awaited is another process's view
                await asyncio.sleep(0.01)
        api.fault("services", "list", refuse(503, "ServiceUnavailable"), times=None)
        async with following(api, tmp_path) as new:
            for _ in range(20):  # as long as the new one knows nothing, it is not sent any queries
                assert (await status(old, READY, "/ready"), await status(new, READY, "/ready")) == (200, 503)
            api.heal("services", "list")
            await until_ready(new)
            assert await status(old, READY, "/ready") == 200
            url, address = old.http(READY, "/ready"), old.address
            old.app.stop()
            await until(lambda: READY not in {str(one.address) for one in old.app._http._listeners.values()})
            assert await refused(url)
            told = time.monotonic()
            while time.monotonic() < told + 0.3:  # a node that has not heard of it yet still sends queries there
                assert await addresses(address, qname=NAME) == RDATA
                assert await new.texts(NAME) == ["10.244.0.7"]
                assert await status(new, READY, "/ready") == 200


async def until_ready(server: Serving) -> None:
    """Wait until a server is ready."""
    async with asyncio.timeout(5):
        while await status(server, READY, "/ready") != 200:  # noqa: ASYNC110 -- as a kubelet does
            await asyncio.sleep(0.01)


async def test_l6_a_start_asks_for_everything_once(api: FakeApiServer, tmp_path: Path) -> None:
    """Whoever starts again and again costs the API server one list and one watch of each resource a start.

    The first list is of any age, so that it comes from the API server's memory, and its age is no load on etcd.
    """
    for start in range(1, 4):
        async with following(api, tmp_path):
            for resource in REQUIRED:
                await api.seen(resource, "watch", start)
        for resource in REQUIRED:
            lists = api.asked(resource, "list")
            assert len(lists) == len(api.asked(resource, "watch")) == start
            assert lists[-1].query["resourceVersion"] == "0"


def test_l6_replicas_that_fail_together_do_not_come_back_together() -> None:
    """After a failure of the first contact every source of every replica waits for a time of its own."""
    pauses = [Backoff(SystemClock(), first=0.8, cap=30.0, reset=120.0).pause() for _ in range(20)]
    assert all(0.8 <= pause < 1.6 for pause in pauses)
    assert len({round(pause, 3) for pause in pauses}) > 10


# A bug in one handler


class Faulty(Probe):
    """Fails, with what the first label of a name says, before or after a wait; other names get an answer."""

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        kind, wait = request.query.name[1 : 1 + request.query.name[0]].decode().partition("-")[::2]
        if wait:
            await leave_fast_lane()
            await asyncio.sleep(0)
        if kind == "recursion":
            return await self.handle(request, call_next)
        if kind in FAULTS:
            raise FAULTS[kind]
        return await super().handle(request, call_next)


FAULTS: dict[str, BaseException] = {
    "memory": MemoryError(),
    "key": KeyError("x"),
    "assertion": AssertionError(),
    "os": OSError(5, "Input/output error"),
    "timeout": TimeoutError(),
    "stop": StopAsyncIteration(),
    "cancelled": asyncio.CancelledError(),  # of something that the handler waited for, not of the answer
}


@pytest.mark.parametrize("uvloop_too", [False, True], ids=["asyncio", "uvloop"])
def test_s9_one_handler_bug(uvloop_too: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever one handler raises costs that query its answer: SERVFAIL, a count, a line; the next one is answered.

    On both loops, for what an exception does that reaches them is another matter on each.
    """
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop_too else None)
    with runner:
        runner.run(break_everything())
    assert not [record for record in caplog.records if record.name == "asyncio"]  # nothing has reached the loop


async def break_everything() -> None:
    """Ask for every fault over UDP and over one TCP connection."""
    app = App(setup_with(Prometheus(HTTP), Faulty([])), quiet=True)
    async with running(app):
        await bound(app)
        address = app.bound["dns://127.0.0.1:0"]
        asked = 0
        for kind in ("recursion", *FAULTS):
            for wait in ("", "-w"):
                wire = encode_query(question(f"{kind}{wait}.test"))
                for ask in (ask_udp, ask_tcp):
                    assert parse_response(await ask(address, wire)).rcode == Rcode.SERVFAIL, (kind, wait)
                    assert await addresses(address, tcp=ask is ask_tcp) == ANSWER
                    asked += 1
        _, text = await get(http_url(app, HTTP, "/metrics"))
    counted = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    failures = next(value for name, value in counted.items() if 'event="failures"' in name)
    # Cancellation alone is seen by the sockets only: it goes through a chain as what ends a query.
    assert (counted["coredns_panics_total"], failures) == (asked - 4, 4)


# An event loop that stands still


async def test_s11_health_while_the_loop_stands_still(tmp_path: Path) -> None:
    """`/health` is answered if the loop turns: not while it stands still, and then again; the stall is told of.

    So nothing but a stall longer than a kubelet's patience ends the process: 45 s with CoreDNS's usual probe.
    """
    health, metrics = free_port(), free_port()
    write_corefile(tmp_path, f" health 127.0.0.1:{health}\n prometheus 127.0.0.1:{metrics}")
    async with started("-p", "0", cwd=tmp_path) as server:
        await server.line(r"^dnsserver-")
        url = f"http://127.0.0.1:{health}/health"
        assert await get(url) == (200, "OK")
        server.process.send_signal(signal.SIGSTOP)
        await until(lambda: state(server) == "T")
        probe = asyncio.create_task(get(url))
        assert not (await asyncio.wait((probe,), timeout=1.2))[0]
        server.process.send_signal(signal.SIGCONT)
        assert await probe == (200, "OK")  # a probe that is patient enough
        assert await server.line("stood still for") == server.lines[-1]
        assert float(server.lines[-1].partition("stood still for ")[2].partition("s")[0]) > 1.1
        _, text = await get(f"http://127.0.0.1:{metrics}/metrics")
        assert "dnsserver_event_loop_stalls_total 0.0" not in text
        assert 'dnsserver_event_loop_lag_seconds_bucket{le="10"}' in text
        assert 'dnsserver_gc_pause_seconds_count{generation="2"}' in text
        assert await server.answer() == RDATA
