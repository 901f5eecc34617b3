"""Wires everything in one place: start, serve, lame duck, stop. One context owns every task and socket."""

import asyncio
import ipaddress
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from errno import EADDRNOTAVAIL, EAFNOSUPPORT

from dnsserver import __version__
from dnsserver.admin.http import AdminError, AdminServers
from dnsserver.admin.metrics import DROPPED, Metrics
from dnsserver.admin.own_metrics import transport_families
from dnsserver.message import Client, Query, Reply, uncompressed_size
from dnsserver.names import to_text
from dnsserver.plugins.bind import interface_addresses
from dnsserver.plugins.health import Health
from dnsserver.plugins.plugin import MAX_DEPTH, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.ready import Ready
from dnsserver.server import Dispatcher
from dnsserver.setup import ANYWHERE, ListenAddress, Setup
from dnsserver.transports import ListenerLostError, TransportStats, serve_tcp, serve_udp

_log = logging.getLogger("dnsserver")

EXIT_OK, EXIT_FAILED, EXIT_NOW = 0, 1, 2
TCP_GRACE = 5.0  # seconds that open TCP connections get at the end


class StartError(Exception):
    """The server cannot start; the text is for the user."""


class App:
    """One serving process; made on the event loop that it is to run on."""

    def __init__(self, setup: Setup, *, quiet: bool = False) -> None:
        self._setup = setup
        self._quiet = quiet
        self._metrics = Metrics(__version__)
        self._http = AdminServers()
        self._stats: dict[str, TransportStats] = {}  # by server label
        self._dispatchers: dict[str, Dispatcher] = {}  # by server label
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # the fault, "" for none
        self._starting: asyncio.Timeout | None = None  # while `_start` runs
        self.bound: dict[str, tuple[str, int]] = {}  # server label -> an address bound, for ports that were 0

    async def run(self, started: Callable[[], None] = lambda: None) -> int:
        """Serve until a signal, `stop` or a fault; return the exit code. Raises `StartError`."""
        with _signals(self.stop):
            async with AsyncExitStack() as stack, AsyncExitStack() as readiness:
                await self._start_unless_stopped(stack, readiness)
                if not self._stopped.done():
                    started()
                    if not await self._stopped:
                        await self._drain(readiness)
        if fault := self._stopped.result():
            _log.error("%s", fault)
            return EXIT_FAILED
        return EXIT_OK

    def stop(self, fault: str = "") -> None:
        """End serving, or starting; with a fault, at once and as a failure."""
        if self._stopped.done():
            return
        self._stopped.set_result(fault)
        if self._starting is not None:
            self._starting.reschedule(0.0)

    async def _start_unless_stopped(self, stack: AsyncExitStack, readiness: AsyncExitStack) -> None:
        """Start, but not for longer than until `stop`: a plugin may wait for minutes (`startup_timeout`)."""
        try:
            async with asyncio.timeout(None) as self._starting:
                await self._start(stack, readiness)
        except TimeoutError:
            if not self._stopped.done():
                raise
        finally:
            self._starting = None

    async def _start(self, stack: AsyncExitStack, readiness: AsyncExitStack) -> None:
        """Start the plugins, then listen: nobody is answered by half a chain."""
        for line in self._setup.warnings:
            _log.warning("%s", line)
        runtime = Runtime(
            metrics=self._metrics,
            http=self._http,
            fail=self.stop,
            plugins=lambda: self._setup.plugins,
            block=self._block_of,
            server=self._server_of,
            ask=self._ask,
            addresses=host_addresses(),
        )
        stack.callback(self._metrics.register(lambda: transport_families(self._stats)))
        for plugin in dict.fromkeys(self._setup.plugins):
            try:
                await (readiness if isinstance(plugin, Ready) else stack).enter_async_context(plugin.running(runtime))
            except (PluginError, AdminError) as error:
                raise StartError(str(error)) from error
        for place in self._setup.listeners:
            await self._listen(place, stack)
        if not self._quiet:
            self._print_banner()

    async def _ask(self, request: Request, query: Query) -> Reply:
        """Ask the whole server a question that answering a client's raised, at the listener that the client asked."""
        if request.depth >= MAX_DEPTH:
            raise PluginError("", "the server asks itself in circles")
        dispatcher = self._dispatchers[request.client.server]
        return await dispatcher.resolve(query, request.client, request.started, request.depth + 1)

    def _block_of(self, plugin: Plugin) -> Sequence[Plugin]:
        """Return the plugins of a plugin's own server block."""
        return next((block.plugins for block in self._setup.blocks if plugin in block.plugins), ())

    def _server_of(self, plugin: Plugin) -> str:
        """Return the label of a plugin's server block: that of the first place it listens at."""
        places = self._setup.listeners.items()
        return next((place.server for place, blocks in places if any(plugin in one.plugins for one in blocks)), "")

    async def _listen(self, place: ListenAddress, stack: AsyncExitStack) -> None:
        """Listen at one place, over UDP and TCP; everywhere means IPv4 and, where the host has any, IPv6."""
        blocks = self._setup.listeners[place]
        for block in blocks:
            names = [plugin.name for plugin in block.plugins if type(plugin).handle is not Plugin.handle]
            stack.enter_context(self._metrics.enabled(place.server, map(to_text, block.zones), names))
        dispatch = self._dispatchers[place.server] = Dispatcher(blocks, _Counters(self._metrics))
        hosts = ("0.0.0.0", "::") if place.address == ANYWHERE else (place.address,)  # noqa: S104 -- as asked for
        for host in hosts:
            try:
                await self._bind(place, host, dispatch, stack)
            except OSError as error:
                if host == "::" and len(hosts) > 1 and error.errno in (EAFNOSUPPORT, EADDRNOTAVAIL):
                    continue  # a host without IPv6
                raise StartError(
                    f"cannot listen on {host} port {place.port}: {os.strerror(error.errno or 0)}"
                ) from error

    async def _bind(self, place: ListenAddress, host: str, dispatch: Dispatcher, stack: AsyncExitStack) -> None:
        """Listen at one address: TCP first, so that a port that was 0 is the same for both."""
        name = place.server
        stats = self._stats.setdefault(name, TransportStats())
        lost = self._lost(name)
        tcp = serve_tcp(dispatch, host, place.port, server_name=name, stats=stats, on_lost=lost, grace=TCP_GRACE)
        bound = await stack.enter_async_context(_already_told(tcp))
        udp = serve_udp(dispatch, host, bound[1], server_name=name, stats=stats, on_lost=lost, grace=TCP_GRACE)
        await stack.enter_async_context(_already_told(udp))
        self.bound.setdefault(name, bound)

    def _lost(self, name: str) -> Callable[[Exception | None], None]:
        """Return what is called when a listener ends by itself: its supervisor has to start the process again."""
        return lambda error: self.stop(f"a socket of {name} was lost: {error or 'closed'}")

    async def _drain(self, readiness: AsyncExitStack) -> None:
        """Stop being ready, and go on answering while the cluster takes notice (`health { lameduck }`)."""
        await readiness.aclose()
        lameduck = max((plugin.lameduck for plugin in self._setup.plugins if isinstance(plugin, Health)), default=0.0)
        if lameduck:
            _log.info("Going into lameduck mode for %gs", lameduck)
            await asyncio.sleep(lameduck)

    def _print_banner(self) -> None:
        """Print what is served, as CoreDNS does."""
        sys.stdout.write("\n".join((*self._setup.banner, *version_lines())) + "\n")
        sys.stdout.flush()


def version_lines() -> tuple[str, str]:
    """Return the version, and what it runs on."""
    machine = f"{platform.system()}/{platform.machine()}".lower()
    return f"dnsserver-{__version__}", f"{machine}, {platform.python_implementation()} {platform.python_version()}"


def host_addresses() -> tuple[bytes, ...]:
    """Return the host's own addresses, packed, but loopback and link-local ones: where NS records can lead."""
    try:
        texts = [text for addresses in interface_addresses().values() for text in addresses]
    except OSError:
        return ()
    found = (ipaddress.ip_address(text.partition("%")[0]) for text in texts)
    return tuple(address.packed for address in found if not (address.is_loopback or address.is_link_local))


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop`, and a second one end the process; SIGHUP is ignored, as CoreDNS does."""
    loop = asyncio.get_running_loop()
    asked = False

    def end() -> None:
        nonlocal asked
        if asked:
            os._exit(EXIT_NOW)
        asked = True
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class _Counters:
    """What a dispatcher counts, as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def count_dropped(self, query: Query, client: Client, reply: Reply, started: float) -> None:
        """Count a query that no server block owns."""
        size = uncompressed_size(query, reply)
        self._metrics.count(query, client, DROPPED, reply.rcode, size, time.perf_counter() - started)

    def count_panic(self) -> None:
        """Count a fault of our own."""
        self._metrics.panics += 1


@asynccontextmanager
async def _already_told(listener: AbstractAsyncContextManager[tuple[str, int]]) -> AsyncIterator[tuple[str, int]]:
    """Hold a listener; its loss has stopped the server by the time it is raised here."""
    with suppress(ListenerLostError):
        async with listener as bound:
            yield bound
