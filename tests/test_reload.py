"""Changing the configuration under load: who goes on, who is new, who ends when, and what happens to a bad one."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dnsserver import corefile
from dnsserver.app import App
from dnsserver.corefile import Corefile, CorefileError, load
from dnsserver.listening import Listener, ListenError
from dnsserver.message import Reply
from dnsserver.names import ROOT
from dnsserver.plugins import reload as reload_plugin
from dnsserver.plugins.health import Health
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, ReloadError, Request, Runtime, leave_fast_lane
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.plugins.ready import Ready
from dnsserver.plugins.reload import Reload
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.server import Block
from dnsserver.setup import ListenAddress, Setup, Source, Terms
from dnsserver.transports import TcpLimits
from dnsserver.wire import encode_query, parse_response
from tests import build
from tests.harness import ask_tcp, ask_udp, get, http_url, question

CERTIFICATES = Path(__file__).parent / "certificates"
HTTP, OTHER_HTTP = "127.0.0.1:0", "localhost:0"
NEXT = corefile.parse("a.test {\n}")  # what a scripted source is asked for says nothing
HERE, THERE = ListenAddress("dns", "127.0.0.1", 0), ListenAddress("dns", "127.0.0.2", 0)


class Probe(Plugin):
    """Answers with an address of its own; those of the same `kind` are configured alike."""

    name = "probe"

    def __init__(self, number: int, notes: list[str], *, kind: str = "") -> None:
        self.number = number
        self.kind = kind
        self.notes = notes
        self.runtime: Runtime | None = None
        self.is_ready = True
        self.error: Exception | None = None
        self.go = asyncio.Event()  # until it is set, the plugin is starting
        self.go.set()
        self.answer_now = asyncio.Event()  # until it is set, names below `slow` wait
        self.waiting = 0

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer, and say in the TTL whether the plugin still runs."""
        if request.query.name.startswith(b"\x04slow"):
            await leave_fast_lane()
            self.waiting += 1
            await self.answer_now.wait()
        if request.query.name.startswith(b"\x04asks"):
            assert self.runtime is not None
            return await self.runtime.ask(request, question("x.b"))
        rdata = bytes([10, 0, 0, self.number])
        return Reply(answer=(RRset(request.query.name, RRType.A, 0 if self.runtime is None else 5, (rdata,)),))

    def ready(self) -> bool:
        return self.is_ready

    def same_as(self, old: Plugin) -> bool:
        return isinstance(old, Probe) and bool(self.kind) and self.kind == old.kind

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self.runtime = runtime
        self.notes.append(f"{self.number} starts")
        await self.go.wait()
        if self.error is not None:
            raise self.error
        try:
            yield
        finally:
            self.runtime = None
            self.notes.append(f"{self.number} ends")


class Script:
    """Stands for a `Source`: the next set-up is the test's."""

    def __init__(self) -> None:
        self.next: Setup | Exception | None = None

    def read(self) -> Corefile:
        return NEXT

    def set_up(self, corefile: Corefile) -> Setup:
        if isinstance(self.next, Exception):
            raise self.next
        assert self.next is not None
        return self.next


def setup_of(*plugins: Plugin, places: Sequence[ListenAddress] = (HERE,), **fields: object) -> Setup:
    """Return a server block for every name, at these places."""
    block = Block((ROOT,), plugins)
    return Setup((block,), dict.fromkeys(places, (block,)), (), (), **fields)  # type: ignore[arg-type]  # fields of Setup


class Server:
    """An app and the script of its configurations."""

    def __init__(self, app: App, script: Script) -> None:
        self.app = app
        self.script = script

    async def change(self, setup: Setup) -> None:
        """Reload. Raises `ReloadError`."""
        self.script.next = setup
        await self.app.reload(NEXT)

    async def answer(self, qname: str = "a.test", *, at: ListenAddress = HERE, tcp: bool = False) -> list[int]:
        """Return the last octet of each address in the answer, or else -1 and the response code."""
        wire = encode_query(question(qname))
        response = parse_response(await (ask_tcp if tcp else ask_udp)(self.app.bound[at.server], wire))
        assert all(record.ttl for record in response.answer), "the plugin that answered had ended"
        return [record.rdata[3] for record in response.answer] or [-1, int(response.rcode)]


@asynccontextmanager
async def serving(setup: Setup, *, code: int = 0) -> AsyncIterator[Server]:
    """Serve a first configuration within the block."""
    script = Script()
    app = App(setup, quiet=True, source=cast("Source", script))
    started = asyncio.Event()
    task = asyncio.create_task(app.run(started.set))
    try:
        async with asyncio.timeout(20):
            await started.wait()
            yield Server(app, script)
    finally:
        app.stop()
        assert await task == code


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- conditions of many kinds
            await asyncio.sleep(0.001)


# Plugins


async def test_the_next_configuration() -> None:
    """It starts beside the old one, takes over, and then the old one ends; the sockets stay."""
    notes: list[str] = []
    second = Probe(2, notes)
    second.go.clear()
    async with serving(setup_of(Probe(1, notes))) as server:
        address = server.app.bound[HERE.server]
        change = asyncio.create_task(server.change(setup_of(second)))
        await until(lambda: "2 starts" in notes)
        for tcp in (False, True):
            assert await server.answer(tcp=tcp) == [1]
        second.go.set()
        await change
        for tcp in (False, True):
            assert await server.answer(tcp=tcp) == [2]
        assert server.app.bound[HERE.server] == address
        assert notes == ["1 starts", "2 starts", "1 ends"]
    assert notes[3:] == ["2 ends"]


async def test_a_plugin_that_stays() -> None:
    """One that is configured alike goes on, wherever it is now, and knows its new surroundings."""
    notes: list[str] = []
    first, other = Probe(1, notes, kind="a"), Probe(3, notes)
    async with serving(setup_of(first)) as server:
        runtime = first.runtime
        assert runtime is not None
        await server.change(setup_of(other, Probe(2, notes, kind="a"), places=(THERE, HERE)))
        assert notes == ["1 starts", "3 starts"]
        assert list(dict.fromkeys(runtime.plugins())) == [other, first]
        assert list(runtime.block(first)) == [other, first]
        assert runtime.server(first) == THERE.server
        assert first.runtime is runtime
        await server.change(setup_of(Probe(4, notes)))
        assert notes[2:] == ["4 starts", "1 ends", "3 ends"]


async def test_one_plugin_cannot_stand_for_two() -> None:
    """Of two alike, the second is new."""
    notes: list[str] = []
    async with serving(setup_of(Probe(1, notes, kind="a"))) as server:
        await server.change(setup_of(Probe(2, notes, kind="a"), Probe(3, notes, kind="a")))
        assert notes == ["1 starts", "3 starts"]
        await server.change(setup_of(Probe(4, notes, kind="a")))
        assert notes[2:] == ["3 ends"]


async def test_reloading_the_same() -> None:
    """A set-up that is the one that runs changes nothing."""
    notes: list[str] = []
    setup = setup_of(Probe(1, notes))
    async with serving(setup) as server:
        await server.change(setup)
        assert await server.answer() == [1]
        assert notes == ["1 starts"]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_answers_in_flight(tcp: bool) -> None:
    """A query that the old configuration has begun to answer, it answers; until then its plugins run."""
    notes: list[str] = []
    first = Probe(1, notes)
    async with serving(setup_of(first)) as server:
        slow = asyncio.create_task(server.answer("slow.test", tcp=tcp))
        await until(lambda: first.waiting)
        change = asyncio.create_task(server.change(setup_of(Probe(2, notes))))
        while await server.answer() == [1]:
            pass
        assert await server.answer() == [2]
        assert not change.done()
        assert "1 ends" not in notes
        first.answer_now.set()
        assert await slow == [1]
        await change
        assert notes[-1] == "1 ends"


async def test_stopped_while_answers_are_in_flight() -> None:
    """The end does not wait for the change."""
    first = Probe(1, [])
    loop = asyncio.get_running_loop()
    async with serving(setup_of(first)) as server:
        slow = asyncio.create_task(server.answer("slow.test"))
        await until(lambda: first.waiting)
        asyncio.create_task(server.change(setup_of(Probe(2, [])))).add_done_callback(lambda done: done.exception())
        while await server.answer() == [1]:
            pass
        started = loop.time()
        server.app.stop()
        first.answer_now.set()
        with suppress(TimeoutError):
            await slow
    assert loop.time() - started < 4


async def test_asking_the_whole_server_during_a_change() -> None:
    """A question behind a question is answered by the configuration of now, at the listener that was asked."""
    async with serving(setup_of(Probe(1, []))) as server:
        assert await server.answer("asks.test") == [1]
        await server.change(setup_of(Probe(2, []), places=(HERE, THERE)))
        assert await server.answer("asks.test", at=THERE) == [2]


# Listeners


async def test_listeners_come_and_go() -> None:
    """New ones answer once the change is over, and those that are gone refuse."""
    async with serving(setup_of(Probe(1, []))) as server:
        await server.change(setup_of(Probe(2, []), places=(HERE, THERE)))
        assert await server.answer(at=THERE, tcp=True) == [2]
        here = server.app.bound[HERE.server]
        await server.change(setup_of(Probe(3, []), places=(THERE,)))
        assert await server.answer(at=THERE) == [3]
        assert list(server.app.bound) == [THERE.server]
        with pytest.raises(ConnectionError):
            await ask_tcp(here, encode_query(question("a.test")))
        await server.change(setup_of(Probe(4, []), places=(HERE, THERE)))
        assert await server.answer(at=HERE) == [4]


async def test_a_listener_that_goes_gives_its_answers() -> None:
    """Before it closes, and by plugins that still run."""
    notes: list[str] = []
    first = Probe(1, notes)
    async with serving(setup_of(first, places=(HERE, THERE))) as server:
        slow = [asyncio.create_task(server.answer("slow.test", at=THERE, tcp=tcp)) for tcp in (False, True)]
        await until(lambda: first.waiting == 2)
        change = asyncio.create_task(server.change(setup_of(Probe(2, notes))))
        while await server.answer() == [1]:
            pass
        first.answer_now.set()
        assert [await one for one in slow] == [[1], [1]]
        await change
        assert notes[-1] == "1 ends"


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free over UDP and TCP, at least for the moment."""
    while True:
        with closing(socket.socket()) as tcp, closing(socket.socket(type=socket.SOCK_DGRAM)) as udp:
            tcp.bind(("127.0.0.1", 0))
            with suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])


def server_context(name: str = "server") -> ssl.SSLContext:
    """Return what a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    return context


async def test_another_scheme_at_the_same_port() -> None:
    """What is in the way closes first; where the new one cannot open then, the old one listens again."""
    plain, tls = (ListenAddress(scheme, "127.0.0.1", free_port()) for scheme in ("dns", "tls"))
    tls = ListenAddress("tls", "127.0.0.1", plain.port)
    async with serving(setup_of(Probe(1, []), places=(plain,))) as server:
        terms = {tls: Terms(ssl=server_context())}
        nowhere = ListenAddress("dns", "192.0.2.1", 0)
        bad = setup_of(Probe(2, []), places=(tls, nowhere), terms=terms)
        with pytest.raises(
            ReloadError, match=r"^cannot listen on 192\.0\.2\.1 port 0: Cannot assign requested address$"
        ):
            await server.change(bad)
        assert list(server.app.bound) == [plain.server]
        for tcp in (False, True):
            assert await server.answer(at=plain, tcp=tcp) == [1]
        await server.change(setup_of(Probe(3, []), places=(tls,), terms=terms))
        assert list(server.app.bound) == [tls.server]
        assert await ask_tls(server.app.bound[tls.server]) == ("server", 3)


async def test_the_old_listener_that_cannot_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then nobody is served there, and the supervisor has to know."""
    plain = ListenAddress("dns", "127.0.0.1", free_port())
    tls = ListenAddress("tls", "127.0.0.1", plain.port)

    async def open_nothing(self: Listener) -> tuple[str, int]:
        raise ListenError(f"cannot listen at {self.place.server}")

    async with serving(setup_of(Probe(1, []), places=(plain,)), code=1) as server:
        monkeypatch.setattr(Listener, "open", open_nothing)
        with pytest.raises(ReloadError, match=f"^cannot listen at {tls.server}$"):
            await server.change(setup_of(Probe(2, []), places=(tls,), terms={tls: Terms(ssl=server_context())}))
    assert f"cannot listen at {plain.server}" in caplog.text


async def ask_tls(address: tuple[str, int]) -> tuple[str, int]:
    """Return whose certificate a server shows, and the last octet of its answer."""
    reader, writer = await asyncio.open_connection(
        *address, ssl=ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    )
    try:
        certificate = writer.get_extra_info("peercert")
        return dict(entry[0] for entry in certificate["subject"])["commonName"], await asked(reader, writer)
    finally:
        writer.transport.abort()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Ask one question on a connection; return the last octet of the answer."""
    wire = encode_query(question("a.test"))
    writer.write(len(wire).to_bytes(2, "big") + wire)
    response = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    return parse_response(response).answer[0].rdata[3]


async def test_connections_outlive_a_change() -> None:
    """A client that is connected does not notice, but its next answer is the new configuration's."""
    async with serving(setup_of(Probe(1, []))) as server:
        reader, writer = await asyncio.open_connection(*server.app.bound[HERE.server])
        assert await asked(reader, writer) == 1
        await server.change(setup_of(Probe(2, [])))
        assert await asked(reader, writer) == 2
        terms = {HERE: Terms(TcpLimits(queries=1))}
        await server.change(setup_of(Probe(3, []), terms=terms))
        assert await asked(reader, writer) == 3  # the number of queries is one of connections to come
        other_reader, other_writer = await asyncio.open_connection(*server.app.bound[HERE.server])
        assert await asked(other_reader, other_writer) == 3
        assert await other_reader.read() == b""
        other_writer.close()
        writer.close()


# What goes wrong


FAULTS = [  # what is raised where the next configuration is made, the reason
    (CorefileError("Unknown directive 'x'", "Corefile", 2), "Corefile:2 - Error during parsing: Unknown directive 'x'"),
    (RuntimeError("a bug"), "RuntimeError: a bug"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
async def test_a_bad_file(fault: Exception, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """The old configuration goes on, whatever is wrong with the new one; what is merely odd is said and done."""
    async with serving(setup_of(Probe(1, []))) as server:
        await server.change(replace(setup_of(Probe(3, [])), warnings=("has no effect",)))
        assert "has no effect" in caplog.text
        await server.change(setup_of(Probe(1, [])))
        server.script.next = fault
        with pytest.raises(ReloadError) as caught:
            await server.app.reload(NEXT)
        assert str(caught.value) == reason
        assert await server.answer() == [1]
        await server.change(setup_of(Probe(2, [])))
        assert await server.answer() == [2]


@pytest.mark.parametrize("error", [PluginError("probe", "no such cluster"), TimeoutError("too slow")])
async def test_a_plugin_that_cannot_start(error: Exception) -> None:
    """What had started for it ends, and nothing of the old configuration does."""
    notes: list[str] = []
    kept, good, bad = Probe(1, notes, kind="a"), Probe(2, notes), Probe(3, notes)
    bad.error = error
    async with serving(setup_of(kept)) as server:
        with pytest.raises(ReloadError, match=str(error)):
            await server.change(setup_of(Probe(4, notes, kind="a"), good, bad, places=(HERE, THERE)))
        assert notes == ["1 starts", "2 starts", "3 starts", "2 ends"]
        assert await server.answer() == [1]
        assert list(server.app.bound) == [HERE.server]


async def test_an_address_in_use() -> None:
    """Neither the new listeners nor the new plugins stay."""
    notes: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        async with serving(setup_of(Probe(1, notes))) as server:
            places = (THERE, ListenAddress("dns", "127.0.0.1", port))
            with pytest.raises(ReloadError, match=f"^cannot listen on 127.0.0.1 port {port}: Address already in use$"):
                await server.change(setup_of(Probe(2, notes), places=places))
            assert notes == ["1 starts", "2 starts", "2 ends"]
            assert await server.answer() == [1]
            assert list(server.app.bound) == [HERE.server]


@pytest.mark.parametrize("fault", ["", "plugin/probe: gave up"])
async def test_stopped_while_the_next_one_starts(fault: str) -> None:
    """A plugin that takes its time does not hold up the end, and the lame duck time is the old configuration's."""
    notes: list[str] = []
    slow = Probe(2, notes)
    slow.go.clear()
    loop = asyncio.get_running_loop()
    async with serving(setup_of(Health(HTTP, lameduck=0.6), Probe(1, notes)), code=1 if fault else 0) as server:
        asyncio.create_task(server.change(setup_of(Health(HTTP, lameduck=60), slow))).add_done_callback(
            lambda done: done.exception()
        )
        await until(lambda: "2 starts" in notes)
        stopped = loop.time()
        server.app.stop(fault)
        if not fault:
            assert await server.answer() == [1]
    assert (loop.time() - stopped >= 0.59) == (not fault)
    assert notes == ["1 starts", "2 starts", "1 ends"]


async def test_lameduck_is_the_new_configuration_s() -> None:
    """Of the one that serves at the end."""
    loop = asyncio.get_running_loop()
    async with serving(setup_of(Health(HTTP, lameduck=60), Probe(1, []))) as server:
        await server.change(setup_of(Health(HTTP, lameduck=0.2), Probe(2, [])))
        stopped = loop.time()
    assert 0.19 <= loop.time() - stopped < 10


async def test_two_wishes() -> None:
    """One after the other; one whose wisher is gone is not granted."""
    notes: list[str] = []
    async with serving(setup_of(Probe(1, notes))) as server:
        slow, second, third = Probe(2, notes), Probe(3, notes), Probe(4, notes)
        slow.go.clear()
        first = asyncio.create_task(server.change(setup_of(slow)))
        await until(lambda: "2 starts" in notes)
        gone = asyncio.create_task(server.app.reload(NEXT))
        await asyncio.sleep(0)
        gone.cancel()
        later = asyncio.create_task(server.change(setup_of(second)))
        slow.go.set()
        await first
        await later
        assert await server.answer() == [3]
        await server.change(setup_of(third))
        assert notes.count("3 starts") == 1


async def test_nothing_to_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """An app that was given only a set-up keeps it, also when a signal says otherwise."""
    caplog.set_level(logging.INFO)
    notes: list[str] = []
    app = App(setup_of(Probe(1, notes), Reload()), quiet=True)
    task = asyncio.create_task(app.run())
    await until(lambda: app.bound)
    os.kill(os.getpid(), signal.SIGUSR1)
    await until(lambda: "Reloading complete" in caplog.text)
    with pytest.raises(CorefileError):
        await app.read()
    app.stop()
    assert await task == 0
    assert notes == ["1 starts", "1 ends"]


# HTTP


async def test_ready_and_health(caplog: pytest.LogCaptureFixture) -> None:
    """`/ready` speaks of the configuration that serves, and neither it nor `/health` is ever refused."""
    second = Probe(2, [])
    second.go.clear()
    second.is_ready = False
    async with serving(setup_of(Ready(OTHER_HTTP), Health(HTTP), Probe(1, []))) as server:
        ready, health = http_url(server.app, OTHER_HTTP, "/ready"), http_url(server.app, HTTP, "/health")
        assert await get(ready) == (200, "OK")
        change = asyncio.create_task(server.change(setup_of(Ready(OTHER_HTTP), Health(HTTP), second)))
        await until(lambda: second.runtime)
        assert await get(ready) == (200, "OK")
        assert await get(health) == (200, "OK")
        second.go.set()
        await change
        assert await get(ready) == (503, "probe")
        second.is_ready = True
        assert await get(ready) == (200, "OK")
        assert await get(health) == (200, "OK")


async def test_counters_go_on() -> None:
    """A scrape after the change has what was counted before; a plugin is enabled once, and the old ones no more."""
    async with serving(setup_of(Prometheus(HTTP), Probe(1, []))) as server:
        metrics = http_url(server.app, HTTP, "/metrics")
        for number in range(3):
            await server.answer()
            await server.change(setup_of(Prometheus(HTTP), Probe(number, [])))
        text = (await get(metrics))[1]
    assert re.search(r'coredns_dns_requests_total\{[^}]*type="A"[^}]*\} 3\.0\n', text)
    assert re.search(r'dnsserver_transport_events_total\{event="messages"[^}]*\} 3\.0\n', text)
    assert len(re.findall(r"coredns_plugin_enabled\{.*\} 1\.0\n", text)) == 2


# From a file


def write_objects(folder: Path) -> None:
    """Write one published VMI."""
    items = [build.namespace_json(), build.service_json(), build.vmi_json()]
    (folder / "objects").mkdir()
    (folder / "objects" / "vm1.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def write(path: Path, text: str) -> None:
    """Replace a file in one step, as a ConfigMap's is."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


@asynccontextmanager
async def serving_file(path: Path) -> AsyncIterator[App]:
    """Serve a Corefile, and follow it where it says so."""
    source = Source(lambda: load(path), path.parent, 0)
    app = App(source.set_up(source.read()), quiet=True, source=source)
    started = asyncio.Event()
    task = asyncio.create_task(app.run(started.set))
    try:
        async with asyncio.timeout(30):
            await started.wait()
            yield app
    finally:
        app.stop()
        assert await task == 0


class Load(asyncio.DatagramProtocol):
    """A client that asks at a rate, whatever comes back, and counts what does."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.answers: dict[int, list[bytes]] = {}
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        response = parse_response(data)
        rdatas = [record.rdata for record in response.answer] if response.rcode == Rcode.NOERROR else []
        self.answers.setdefault(int.from_bytes(data[:2], "big"), []).extend(rdatas)

    async def run(self, rate: int, ended: Callable[[], bool]) -> None:
        """Ask so many questions a second, until it is said to be enough, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not ended():
            while self.asked < (loop.time() - started) * rate:
                wire = encode_query(question(self.names[self.asked % len(self.names)]))
                self.transport.sendto(self.asked.to_bytes(2, "big") + wire[2:])
                self.asked += 1
            await asyncio.sleep(0.002)
        with suppress(TimeoutError):
            await until(lambda: len(self.answers) == self.asked)


TEXT = """
cluster.local {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:0
    reload 50ms 0s
    kubernetes {{
        ttl {ttl}
        manifests objects
    }}
    {more}
}}
"""
NAME, RDATA = "vm1.db.ns1.svc.cluster.local", bytes([10, 244, 0, 7])


async def test_no_query_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is edited while 500 queries a second come in; each has its one right answer, through ten changes."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(reload_plugin, "_MIN_INTERVAL", 0.01)
    write_objects(tmp_path)
    path = tmp_path / "Corefile"
    write(path, TEXT.format(ttl=5, more=""))
    done = False

    async def edit(app: App) -> None:
        nonlocal done
        for number in range(10):
            before, count = app.fingerprint, caplog.text.count("Reloading complete")
            changes = {"ttl": 5 + number % 3, "more": ("log . { class error }", "loadbalance", "")[number % 3]}
            if number == 5:
                write(path, "cluster.local {\n nonsense\n}")
                await until(lambda: "reload failed" in caplog.text)
            write(path, TEXT.format(**changes).replace("{ class error }", "{\n class error\n }"))
            await until(lambda before=before: app.fingerprint != before)  # type: ignore[misc]  # bound early
            await until(lambda count=count: caplog.text.count("Reloading complete") > count)  # type: ignore[misc]  # as above
        done = True

    async with serving_file(path) as app:
        loop = asyncio.get_running_loop()
        address = app.bound["dns://127.0.0.1:0"]
        transport, client = await loop.create_datagram_endpoint(lambda: Load([NAME]), remote_addr=address)
        editing = asyncio.create_task(edit(app))
        await client.run(500, lambda: done or editing.done())
        await editing
        transport.close()
        text = (await get(http_url(app, HTTP, "/metrics")))[1]
        fingerprint = app.fingerprint
    assert client.asked > 250
    wrong = Counter(tuple(rdatas) for rdatas in client.answers.values() if rdatas != [RDATA])
    assert (len(client.answers), wrong) == (client.asked, Counter())
    assert f'coredns_reload_version_info{{hash="sha512",value="{fingerprint}"}} 1.0' in text
    assert "coredns_reload_failed_total 1.0" in text
    assert re.search(rf"coredns_dns_requests_total{{.*}} {client.asked}\.0\n", text)
    lines = [f"[{one.levelname}] {one.name}: {one.getMessage()}" for one in caplog.records]
    place = f"{path}:2 - Error during parsing: Unknown directive 'nonsense'"
    assert [line for line in lines if "ERROR" in line] == [
        f"[ERROR] plugin/reload: Corefile changed but reload failed: {place}"
    ]
    assert [line for line in lines if "plugin/kubernetes" not in line][-3:] == [
        "[INFO] dnsserver: Reloading",
        f"[INFO] plugin/reload: Running configuration SHA512 = {fingerprint}",
        "[INFO] dnsserver: Reloading complete",
    ]


async def at_signal(caplog: pytest.LogCaptureFixture, check: Callable[[], Awaitable[None]]) -> None:
    """Send SIGUSR1, and check once the change is over."""
    caplog.clear()
    os.kill(os.getpid(), signal.SIGUSR1)
    await until(lambda: "Reloading complete" in caplog.text)
    await check()


async def test_certificates_are_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At a reload, which SIGUSR1 asks for where the Corefile itself is as it was."""
    caplog.set_level(logging.INFO)
    write_objects(tmp_path)
    for kind in ("pem", "key"):
        shutil.copy(CERTIFICATES / f"server.{kind}", tmp_path / f"mine.{kind}")
    path = tmp_path / "Corefile"
    write(
        path,
        "tls://cluster.local:0 {\n bind 127.0.0.1\n tls mine.pem mine.key\n kubernetes {\n  manifests objects\n }\n"
        " log\n}\n",
    )
    async with serving_file(path) as app:
        address = app.bound["tls://127.0.0.1:0"]
        assert await name_shown(address) == "server"
        for kind in ("pem", "key"):
            shutil.copy(CERTIFICATES / f"server2.{kind}", tmp_path / f"mine.{kind}")
        assert await name_shown(address) == "server"

        async def check() -> None:
            assert await name_shown(address) == "server2"

        await at_signal(caplog, check)
        (tmp_path / "mine.key").write_text("rubbish")
        caplog.clear()
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: "SIGUSR1: plugin/tls" in caplog.text)
        assert await name_shown(address) == "server2"


async def name_shown(address: tuple[str, int]) -> str:
    """Return whose certificate a server shows, once it has answered a query."""
    context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    reader, writer = await asyncio.open_connection(*address, ssl=context)
    wire = encode_query(question(NAME))
    writer.write(len(wire).to_bytes(2, "big") + wire)
    response = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    assert [record.rdata for record in parse_response(response).answer] == [RDATA]
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    return str(dict(entry[0] for entry in certificate["subject"])["commonName"])


async def test_a_listener_lost_after_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """The fault of a plugin that a change has brought ends the process, as at any other time."""
    plugin = Probe(2, [])
    async with serving(setup_of(Probe(1, [])), code=1) as server:
        await server.change(setup_of(plugin))
        assert plugin.runtime is not None
        plugin.runtime.fail("plugin/probe: gave up")
    assert "plugin/probe: gave up" in caplog.text
