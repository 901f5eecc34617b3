"""One process, whole: what starts when, who answers while it stops, and what ends it."""

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import pytest

from dnsserver.admin.lines import stdout
from dnsserver.app import App, StartError, host_addresses, version_lines
from dnsserver.listening import Listener
from dnsserver.message import Reply
from dnsserver.names import ROOT, from_text
from dnsserver.plugins.bind import Bind
from dnsserver.plugins.health import Health
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.plugins.ready import Ready
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.server import Block
from dnsserver.setup import ListenAddress, Setup
from dnsserver.wire import encode_query, parse_response
from tests.harness import ask_tcp, ask_udp, get, http_url, question, serving

HTTP, OTHER_HTTP = "127.0.0.1:0", "localhost:0"  # two listeners: health and metrics on one, ready on the other
EXAMPLES = Path(__file__).parent.parent / "examples"


class Probe(Plugin):
    """Answers, and notes when it runs."""

    name = "probe"

    def __init__(self, notes: list[str], name: str = "probe") -> None:
        self.name = name
        self.runtime: Runtime | None = None
        self.go = asyncio.Event()  # until it is set, the plugin is starting
        self.go.set()
        self.is_ready = True
        self.error: Exception | None = None
        self._notes = notes

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer with one address; a name that begins with `boom` is a fault."""
        assert not request.query.name.startswith(b"\x04boom")
        return Reply(answer=(RRset(request.query.name, RRType.A, 5, (bytes([10, 0, 0, 1]),)),))

    def ready(self) -> bool:
        """Say what the test has said."""
        return self.is_ready

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Note the start and the end."""
        self.runtime = runtime
        self._notes.append(f"{self.name} starts")
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self._notes.append(f"{self.name} runs")
        try:
            yield
        finally:
            await asyncio.sleep(0)
            self._notes.append(f"{self.name} ends")


def setup_with(*plugins: Plugin, address: str = "127.0.0.1", port: int = 0, warnings: tuple[str, ...] = ()) -> Setup:
    """Return a server block for every name."""
    block = Block((ROOT,), plugins)
    return Setup((block,), {ListenAddress("dns", address, port): (block,)}, (".:0",), warnings)


@asynccontextmanager
async def running(app: App, *, code: int = 0) -> AsyncIterator["asyncio.Task[int]"]:
    """Run an app within the block, started or not; it must end with this exit code."""
    task = asyncio.create_task(app.run())
    try:
        async with asyncio.timeout(10):
            yield task
    finally:
        app.stop()
        assert await task == code


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- conditions of many kinds
            await asyncio.sleep(0.001)


async def bound(app: App) -> None:
    """Wait until an app listens."""
    await until(lambda: app.bound)


async def addresses(where: tuple[str, int], *, tcp: bool = False, qname: str = "a.b") -> list[bytes]:
    """Return the addresses that a server answers with."""
    response = await (ask_tcp if tcp else ask_udp)(where, encode_query(question(qname)))
    return [record.rdata for record in parse_response(response).answer]


ANSWER = [bytes([10, 0, 0, 1])]


async def refused(url: str) -> bool:
    """Say whether nothing listens at a URL."""
    try:
        await get(url)
    except aiohttp.ClientConnectorError:
        return True
    return False


# Starting


async def test_start_order() -> None:
    """Plugins start one after the other, and nothing is answered before the last of them runs."""
    notes: list[str] = []
    first, second = Probe(notes, "first"), Probe(notes, "second")
    second.go.clear()
    app = App(setup_with(Health(HTTP), first, second), quiet=True)
    async with running(app):
        await until(lambda: "second starts" in notes)
        assert notes == ["first starts", "first runs", "second starts"]
        assert not app.bound
        assert (await get(http_url(app, HTTP, "/health"))) == (200, "OK")  # already alive
        second.go.set()
        await bound(app)
        assert notes[-1] == "second runs"
        assert await addresses(app.bound["dns://127.0.0.1:0"]) == ANSWER
    assert notes[-2:] == ["second ends", "first ends"]


async def test_runtime() -> None:
    """What plugins are told of the process around them."""
    notes: list[str] = []
    plugin, other = Probe(notes), Probe(notes)
    first, second = Block((ROOT,), (plugin,)), Block((ROOT,), (other,))
    places = {ListenAddress("dns", "127.0.0.1", 0): (first,), ListenAddress("dns", "127.0.0.2", 0): (first, second)}
    app = App(Setup((first, second), places, (), ()), quiet=True)
    async with running(app):
        await until(lambda: len(app.bound) == 2)
        runtime = plugin.runtime
        assert runtime is not None
        assert list(runtime.plugins()) == [plugin, other]
        assert [list(runtime.block(one)) for one in (plugin, other)] == [[plugin], [other]]
        assert [runtime.server(one) for one in (plugin, other)] == ["dns://127.0.0.1:0", "dns://127.0.0.2:0"]
        assert (list(runtime.block(Probe(notes))), runtime.server(Probe(notes))) == ([], "")


async def test_asking_the_whole_server() -> None:
    """A plugin that asks for another name gets it from whichever block owns that; in circles, an error."""

    class Asks(Probe):
        async def handle(self, request: Request, call_next: Handler) -> Reply:
            assert self.runtime is not None
            target = question("loop.a" if request.query.qname.startswith(b"\x04loop") else "x.b")
            reply = await self.runtime.ask(request, target)
            return Reply(answer=reply.answer, rcode=reply.rcode)

    asking, answering = Block((from_text("a"),), (Asks([]),)), Block((from_text("b"),), (Probe([]),))
    app = App(
        Setup((asking, answering), {ListenAddress("dns", "127.0.0.1", 0): (asking, answering)}, (), ()), quiet=True
    )
    async with running(app):
        await bound(app)
        where = app.bound["dns://127.0.0.1:0"]
        assert await addresses(where, qname="x.a") == ANSWER
        response = parse_response(await ask_udp(where, encode_query(question("loop.a"))))
        assert response.rcode == Rcode.SERVFAIL


async def test_plugin_of_two_places_starts_once() -> None:
    """A block on two addresses runs its plugins once, and both answer."""
    notes: list[str] = []
    block = Block((ROOT,), (Probe(notes),))
    places = {ListenAddress("dns", "127.0.0.1", 0): (block,), ListenAddress("dns", "127.0.0.2", 0): (block,)}
    app = App(Setup((block,), places, (), ()), quiet=True)
    async with running(app):
        await until(lambda: len(app.bound) == 2)
        for where in app.bound.values():
            assert await addresses(where) == ANSWER
    assert notes == ["probe starts", "probe runs", "probe ends"]


@pytest.mark.parametrize("fault", ["", "plugin/probe: gave up"])
async def test_stopped_while_starting(fault: str) -> None:
    """A plugin that takes its time to start does not hold up the end."""
    notes: list[str] = []
    first, slow = Probe(notes, "first"), Probe(notes, "slow")
    slow.go.clear()
    app = App(setup_with(Health(HTTP, lameduck=60.0), first, slow), quiet=True)
    started = False

    def note() -> None:
        nonlocal started
        started = True

    task = asyncio.create_task(app.run(note))
    await until(lambda: "slow starts" in notes)
    app.stop(fault)
    assert await asyncio.wait_for(task, 2) == (1 if fault else 0)
    assert notes == ["first starts", "first runs", "slow starts", "first ends"]
    assert not started
    assert not app.bound


async def test_timeout_of_a_plugin_is_not_mistaken_for_a_stop() -> None:
    """An exception of a plugin that nobody expects reaches the caller, and everything is closed."""
    notes: list[str] = []
    first, bad = Probe(notes, "first"), Probe(notes, "bad")
    bad.error = TimeoutError("too slow")
    with pytest.raises(TimeoutError, match="too slow"):
        await App(setup_with(first, bad), quiet=True).run()
    assert notes[-1] == "first ends"


async def test_plugin_error_at_start() -> None:
    """What a plugin cannot do is a StartError with its text, and what had started is stopped."""
    notes: list[str] = []
    first, bad = Probe(notes, "first"), Probe(notes, "bad")
    bad.error = PluginError("bad", "no such cluster")
    with pytest.raises(StartError, match=r"^plugin/bad: no such cluster$"):
        await App(setup_with(first, bad), quiet=True).run()
    assert notes == ["first starts", "first runs", "bad starts", "first ends"]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
async def test_dns_listener_in_use(kind: socket.SocketKind) -> None:
    """The error names the address, the port and the reason; plugins that had started are stopped.

    An address that another process would share gets no share of its queries.
    """
    notes: list[str] = []
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            await App(setup_with(Probe(notes), port=port), quiet=True).run()
    assert str(caught.value) == f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert notes[-1] == "probe ends"


async def test_a_port_that_is_free_for_tcp_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where any port will do, another one is taken."""
    original, tried = Listener._udp, list[int]()

    def udp(self: Listener, host: str, port: int) -> AbstractAsyncContextManager[tuple[str, int]]:
        tried.append(port)
        if len(tried) == 1:
            taken.bind((host, port))
        return original(self, host, port)

    monkeypatch.setattr(Listener, "_udp", udp)
    app = App(setup_with(Probe([])), quiet=True)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        async with running(app):
            await bound(app)
            (address,) = app.bound.values()
            assert address[1] == tried[1] != tried[0]
            assert await addresses(address) == ANSWER


async def test_http_listener_in_use() -> None:
    """The same for HTTP."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            await App(setup_with(Health(f"127.0.0.1:{port}"), Probe([])), quiet=True).run()
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_address_of_another_machine() -> None:
    """An address that this machine does not have is named, too."""
    with pytest.raises(StartError) as caught:
        await App(setup_with(Probe([]), address="192.0.2.1"), quiet=True).run()
    assert str(caught.value) == "cannot listen on 192.0.2.1 port 0: Cannot assign requested address"


async def test_banner(capfd: pytest.CaptureFixture[str]) -> None:
    """CoreDNS's lines, once everything listens; none where quiet was asked for."""
    for quiet in (False, True):
        app = App(setup_with(Probe([])), quiet=quiet)
        async with running(app):
            await bound(app)
        stdout.drain()
        lines = capfd.readouterr().out.splitlines()
        assert lines == ([] if quiet else [".:0", *version_lines()])
    assert re.fullmatch(r"dnsserver-\d+\.\d+\.\d+\S*", version_lines()[0])


async def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What the Corefile's parser warned of."""
    app = App(setup_with(Probe([]), warnings=("no such file",)), quiet=True)
    async with running(app):
        await bound(app)
    assert "no such file" in caplog.text


def test_host_addresses() -> None:
    """NS records never lead to this machine's loopback."""
    found = host_addresses()
    assert all(len(address) in (4, 16) for address in found)
    assert bytes([127, 0, 0, 1]) not in found
    assert bytes(15) + b"\x01" not in found


# Serving


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_udp_and_tcp_on_one_port(tcp: bool) -> None:
    """Port 0 is the same free port for both."""
    app = App(setup_with(Probe([])), quiet=True)
    async with running(app):
        await bound(app)
        assert await addresses(app.bound["dns://127.0.0.1:0"], tcp=tcp) == ANSWER


def has_ipv6() -> bool:
    """Say whether this machine has an IPv6 loopback address."""
    with suppress(OSError), closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_ipv6(tcp: bool) -> None:
    """An IPv6 address is bound alone."""
    app = App(setup_with(Probe([]), address="::1"), quiet=True)
    async with running(app):
        await bound(app)
        assert await addresses(app.bound["dns://[::1]:0"], tcp=tcp) == ANSWER


def free_port() -> int:
    """Return a port that is free on every address, over UDP and TCP, at least for the moment."""
    while True:
        with closing(socket.socket()) as tcp, closing(socket.socket(type=socket.SOCK_DGRAM)) as udp:
            tcp.bind(("", 0))
            with suppress(OSError):
                udp.bind(("", tcp.getsockname()[1]))
                return int(tcp.getsockname()[1])


async def test_everywhere() -> None:
    """A block without `bind` answers on IPv4 and, where there is any, IPv6, on the port it was given."""
    for _ in range(5):
        port = free_port()
        app = App(setup_with(Probe([]), address="", port=port), quiet=True)
        task = asyncio.create_task(app.run())
        await until(lambda running=app, ended=task: running.bound or ended.done())  # type: ignore[misc]  # bound early
        if not task.done():
            break
        with pytest.raises(StartError):  # somebody else was faster
            await task
    hosts = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]
    for host in hosts:
        for tcp in (False, True):
            assert await addresses((host, port), tcp=tcp) == ANSWER
    app.stop()
    assert await task == 0


async def test_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPv6 is turned off, IPv4 is all there is to listen on, and any other error still counts."""
    original = Listener._bind

    codes = [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EADDRINUSE]

    async def bind(self: Listener, host: str) -> tuple[str, int]:
        if host == "::":
            raise OSError(codes.pop(0), "no")
        return await original(self, host)

    monkeypatch.setattr(Listener, "_bind", bind)
    while len(codes) > 1:
        app = App(setup_with(Probe([]), address=""), quiet=True)
        async with running(app):
            await bound(app)
            assert await addresses(("127.0.0.1", app.bound["dns://:0"][1])) == ANSWER
    with pytest.raises(StartError, match=r"^cannot listen on :: port 0: Address already in use$"):
        await App(setup_with(Probe([]), address=""), quiet=True).run()


async def test_ready_follows_the_plugins() -> None:
    """503 with the names of those that are not, 200 once all have been; also while the others still start."""
    plugin = Probe([])
    plugin.is_ready = False
    plugin.go.clear()
    app = App(setup_with(Ready(OTHER_HTTP), plugin), quiet=True)
    async with running(app):
        await until(lambda: plugin.runtime)
        url = http_url(app, OTHER_HTTP, "/ready")
        assert await get(url) == (503, "probe")
        plugin.go.set()
        await bound(app)
        assert await get(url) == (503, "probe")
        plugin.is_ready = True
        assert await get(url) == (200, "OK")
        plugin.is_ready = False
        assert await get(url) == (200, "OK")  # once is enough


async def test_metrics() -> None:
    """Queries, refusals, faults of ours, enabled plugins and sockets, in one scrape; bind and health handle nothing."""
    plugin = Probe([])
    block = Block((from_text("b"),), (Bind(("127.0.0.1",)), Health(HTTP), Prometheus(HTTP), plugin))
    app = App(Setup((block,), {ListenAddress("dns", "127.0.0.1", 0): (block,)}, (), ()), quiet=True)
    async with running(app):
        await bound(app)
        where = app.bound["dns://127.0.0.1:0"]
        assert await addresses(where, qname="a.b") == ANSWER
        assert await addresses(where, tcp=True) == ANSWER
        for qname, rcode in (("boom.b", Rcode.SERVFAIL), ("other", Rcode.REFUSED)):
            response = parse_response(await ask_udp(where, encode_query(question(qname))))
            assert response.rcode == rcode
        status, text = await get(http_url(app, HTTP, "/metrics"))
        assert (await get(http_url(app, HTTP, "/nothing")))[0] == 404
    assert status == 200
    label = 'server="dns://127.0.0.1:0"'
    for line in (
        f'coredns_dns_requests_total{{{label},zone="b.",view="",proto="udp",family="1",type="A"}} 1.0',
        f'coredns_dns_requests_total{{{label},zone="b.",view="",proto="tcp",family="1",type="A"}} 1.0',
        f'coredns_dns_responses_total{{{label},zone="dropped",view="",rcode="REFUSED",plugin=""}} 1.0',
        "coredns_panics_total 1.0",
        f'coredns_plugin_enabled{{{label},zone="b.",view="",name="probe"}} 1.0',
        f'dnsserver_transport_events_total{{event="connections",{label}}} 1.0',
    ):
        parts = set(re.split(r"[{},]", line))
        assert any(parts <= set(re.split(r"[{},]", found)) for found in text.splitlines()), line
    assert not re.search(r'coredns_plugin_enabled\{[^}]*name="(bind|health)"', text)


async def test_sigterm_hook_is_gone_afterwards() -> None:
    """The process's signals are its own again once the app has ended."""
    app = App(setup_with(Probe([])), quiet=True)
    async with running(app):
        await bound(app)
    loop = asyncio.get_running_loop()

    hooked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    assert not any(loop.remove_signal_handler(one) for one in hooked)


# Stopping


async def test_lameduck() -> None:
    """`/ready` refuses connections at once; DNS, `/health` and `/metrics` go on until the lame duck time is over."""
    notes: list[str] = []
    plugins: Sequence[Plugin] = (
        Health(HTTP, lameduck=0.6),
        Ready(OTHER_HTTP),
        Prometheus(HTTP),
        Probe(notes),
    )
    app = App(setup_with(*plugins), quiet=True)
    loop = asyncio.get_running_loop()
    async with running(app) as task:
        await bound(app)
        where = app.bound["dns://127.0.0.1:0"]
        ready, health, metrics = (
            http_url(app, *rest) for rest in ((OTHER_HTTP, "/ready"), (HTTP, "/health"), (HTTP, "/metrics"))
        )
        assert await get(ready) == (200, "OK")
        stopped = loop.time()
        app.stop()
        await until(lambda: len(app._http._listeners) == 1)
        assert loop.time() - stopped < 0.3
        assert await refused(ready)
        while loop.time() - stopped < 0.4:
            assert await addresses(where) == ANSWER
            assert await addresses(where, tcp=True) == ANSWER
            await asyncio.sleep(0.01)
        assert await get(health) == (200, "OK")
        assert (await get(metrics))[0] == 200
        assert "probe ends" not in notes
        assert await task == 0
        assert 0.55 < loop.time() - stopped < 3
        assert await refused(health)
    with pytest.raises((TimeoutError, OSError)):
        await addresses(where, tcp=True)


async def test_longest_lameduck_counts() -> None:
    """Of several `health`, the longest."""
    app = App(setup_with(Health(HTTP, lameduck=0.05), Health(HTTP, lameduck=0.3), Probe([])), quiet=True)
    loop = asyncio.get_running_loop()
    async with running(app) as task:
        await bound(app)
        stopped = loop.time()
        app.stop()
        await task
        assert loop.time() - stopped >= 0.29


async def test_fault_of_a_plugin(caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that gives up ends the process at once, lame duck or not, with an exit code for the supervisor."""
    plugin = Probe([])
    app = App(setup_with(Health(HTTP, lameduck=60.0), plugin), quiet=True)
    with caplog.at_level(logging.ERROR):
        async with running(app, code=1) as task:
            await bound(app)
            assert plugin.runtime is not None
            plugin.runtime.fail("plugin/probe: gave up")
            plugin.runtime.fail("plugin/probe: a second time")
            assert await asyncio.wait_for(task, 5) == 1
    assert [record.getMessage() for record in caplog.records] == ["plugin/probe: gave up"]


def socket_at(where: tuple[str, int], kind: socket.SocketKind) -> socket.socket:
    """Return another handle of the socket that this process has bound to an address."""
    for text in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            number = int(text)
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found = socket.socket(fileno=os.dup(number))
                if found.type == kind and found.family == socket.AF_INET and found.getsockname() == where:
                    return found
                found.close()
    raise AssertionError("no such socket")


async def test_tcp_listener_lost(caplog: pytest.LogCaptureFixture) -> None:
    """A listening socket that ends under the server ends the process: half a server is worse than none."""
    app = App(setup_with(Health(HTTP, lameduck=60.0), Probe([])), quiet=True)
    async with running(app, code=1) as task:
        await bound(app)
        with closing(socket_at(app.bound["dns://127.0.0.1:0"], socket.SOCK_STREAM)) as listener:
            listener.shutdown(socket.SHUT_RDWR)
        assert await asyncio.wait_for(task, 5) == 1
    assert "a socket of dns://127.0.0.1:0 was lost" in caplog.text


async def test_stop_twice() -> None:
    """Telling it twice is the same as once."""
    app = App(setup_with(Probe([])), quiet=True)
    async with running(app) as task:
        await bound(app)
        app.stop()
        app.stop("too late")
        assert await task == 0


# The example


async def test_the_example(tmp_path: Path) -> None:
    """The Corefile that `make run` serves, on free ports."""
    text = (EXAMPLES / "Corefile").read_text()
    text = re.sub(r"127\.0\.0\.1:(8080|9153)", HTTP, text).replace("127.0.0.1:8181", OTHER_HTTP)
    async with serving(text, EXAMPLES) as server:
        assert await server.texts("myvmi.mysubdomain.default.svc.cluster.local") == ["10.244.0.57"]
        assert await server.texts("57.0.244.10.in-addr.arpa", "PTR") == ["myvmi.mysubdomain.default.svc.cluster.local."]
        assert await get(server.http(OTHER_HTTP, "/ready")) == (200, "OK")
        assert await get(server.http(HTTP, "/health")) == (200, "OK")
        assert 'dnsserver_synced{cluster="cluster.local."} 1.0' in (await get(server.http(HTTP, "/metrics")))[1]


async def test_two_blocks_on_one_listener(tmp_path: Path) -> None:
    """Blocks that share an address are told apart by the name asked."""
    (tmp_path / "empty").mkdir()
    one = "{zone} {{\n bind 127.0.0.1\n kubernetes {{\n manifests empty\n }}\n}}\n"
    text = one.format(zone="a.test") + one.format(zone="b.test")
    async with serving(text, tmp_path) as server:
        for qname, rcode in (("x.a.test", "NXDOMAIN"), ("x.b.test", "NXDOMAIN"), ("x.c.test", "REFUSED")):
            assert (await server.ask(qname)).rcode == Rcode[rcode]
        origins = [(await server.ask(f"x.{zone}.test")).authority[0].owner for zone in "ab"]
        assert origins == [b"\x01a\x04test\x00", b"\x01b\x04test\x00"]
