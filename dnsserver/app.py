"""Wires everything in one place: start, serve, reload, lame duck, stop. One task starts and ends everything."""

import asyncio
import gc
import ipaddress
import logging
import os
import platform
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import NamedTuple

from dnsserver import __version__
from dnsserver.admin.http import AdminError, AdminServers
from dnsserver.admin.lag import LoopLag
from dnsserver.admin.lines import stdout
from dnsserver.admin.metrics import DROPPED, Metrics
from dnsserver.admin.own_metrics import loop_families, transport_families
from dnsserver.corefile import Corefile, CorefileError
from dnsserver.fast.best import COMPILED
from dnsserver.fastpath import ReadyAnswers
from dnsserver.generation import Generation, inherited
from dnsserver.listening import GRACE, Listener, ListenError, clash
from dnsserver.message import Client, Query, Reply, uncompressed_size
from dnsserver.plugins.bind import interface_addresses
from dnsserver.plugins.health import Health
from dnsserver.plugins.plugin import MAX_DEPTH, Plugin, PluginError, ReloadError, Request, Runtime
from dnsserver.plugins.ready import Ready
from dnsserver.plugins.reload import Reload
from dnsserver.setup import ListenAddress, Setup, Source
from dnsserver.transports import Roster, TransportStats

_log = logging.getLogger("dnsserver")

EXIT_OK, EXIT_FAILED, EXIT_NOW = 0, 1, 2


class StartError(Exception):
    """The server cannot start; the text is for the user."""


class _Wish(NamedTuple):
    """A reload that somebody has asked for."""

    corefile: Corefile | None  # None: read it
    done: "asyncio.Future[None]"


class App:
    """One serving process; made on the event loop that it is to run on."""

    def __init__(self, setup: Setup, *, quiet: bool = False, source: Source | None = None) -> None:
        self._quiet = quiet
        self._source = source
        self._metrics = Metrics(__version__)
        self._http = AdminServers()
        self._lag = LoopLag()
        self._stats: dict[str, TransportStats] = {}  # by server label
        self._listeners: dict[str, Listener] = {}  # by server label
        self._roster = Roster()  # of the connections of all listeners
        self._ready: dict[str, ReadyAnswers] = {}  # by server label
        self._current = Generation(setup, _Counters(self._metrics), self._ready)
        self._generations = [self._current]  # those that have plugins running, the newest first
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # the fault, "" for none
        self._starting: asyncio.Timeout | None = None  # while plugins start
        self._wishes: deque[_Wish] = deque()
        self._wake = asyncio.Event()
        self.bound: dict[str, tuple[str, int]] = {}  # server label -> an address bound, for ports that were 0

    async def run(self, started: Callable[[], None] = lambda: None) -> int:
        """Serve until a signal, `stop` or a fault; return the exit code. Raises `StartError`."""
        with _signals(self.stop, self._reload_at_signal), self._measured():
            try:
                async with self._interruptible():
                    await self._start()
                if not self._stopped.done():
                    started()
                    await self._serve()
                    if not self._stopped.result():
                        await self._drain()
            finally:
                await self._end()
        if fault := self._stopped.result():
            _log.error("%s", fault)
            return EXIT_FAILED
        return EXIT_OK

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Report how the sockets and the event loop fare."""
        with ExitStack() as stack:
            stack.callback(self._metrics.register(lambda: transport_families(self._stats)))
            stack.callback(self._metrics.register(lambda: loop_families(self._lag)))
            stack.enter_context(self._lag.watching())
            yield

    def stop(self, fault: str = "") -> None:
        """End serving, starting or reloading; with a fault, at once and as a failure."""
        if self._stopped.done():
            return
        self._stopped.set_result(fault)
        self._wake.set()
        if self._starting is not None:
            self._starting.reschedule(0.0)

    @property
    def fingerprint(self) -> str:
        """What `corefile.fingerprint` says of the Corefile that runs."""
        return self._current.setup.fingerprint

    async def read(self) -> Corefile:
        """Return the Corefile as it is written now. Raises `CorefileError`."""
        if self._source is None:
            raise CorefileError("there is no Corefile to read again", "Corefile")
        return await asyncio.to_thread(self._source.read)

    async def reload(self, corefile: Corefile) -> None:
        """Run on another Corefile. Raises `ReloadError`, and then the old one goes on."""
        await self._wish(corefile)

    def _reload_at_signal(self) -> None:
        """Reload, whether or not the Corefile has changed: files that it names may have."""
        _log.info("SIGUSR1: Reloading")
        self._wish(None).add_done_callback(_log_failure)

    def _wish(self, corefile: Corefile | None) -> "asyncio.Future[None]":
        """Have the main task reload when it gets to it."""
        wish = _Wish(corefile, asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        self._wake.set()
        return wish.done

    @asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """Start plugins, but not for longer than until `stop`: one may wait for minutes (`startup_timeout`)."""
        try:
            async with asyncio.timeout(0.0 if self._stopped.done() else None) as self._starting:
                yield
        except TimeoutError:
            if not self._stopped.done():
                raise
        finally:
            self._starting = None

    async def _start(self) -> None:
        """Start the plugins, then listen: nobody is answered by half a chain."""
        for line in self._current.setup.warnings:
            _log.warning("%s", line)
        if not COMPILED:
            _log.info("The compiled part is missing: UDP is answered in Python, at a higher cost")
        runtime = self._runtime(self._current)
        plugins = self._current.setup.plugins
        try:
            await self._current.start((one for one in plugins if not isinstance(one, Reload)), runtime)
            self._current.enable(self._metrics)
            for place in self._current.setup.listeners:
                await self._open(self._listener(place, self._current))
            await self._current.start(plugins, runtime)
        except (PluginError, AdminError, ListenError) as error:
            raise StartError(str(error)) from error
        _settle_heap()
        if not self._quiet:
            self._print_banner()

    async def _serve(self) -> None:
        """Reload as often as somebody wishes, until stopped."""
        while not self._stopped.done():
            await self._wake.wait()
            self._wake.clear()
            while self._wishes and not self._stopped.done():
                wish = self._wishes.popleft()
                if not wish.done.cancelled():  # as when whoever wished has been replaced meanwhile
                    await self._grant(wish)

    async def _grant(self, wish: _Wish) -> None:
        """Reload; whatever goes wrong before the new configuration serves, the old one goes on."""
        try:
            await self._replace(await self._set_up(wish.corefile))
        except (CorefileError, PluginError, AdminError, ListenError) as error:
            self._refuse(wish, str(error))
        except Exception as error:
            _log.exception("a fault while reloading")
            self._refuse(wish, f"{type(error).__name__}: {error}")
        else:
            if not wish.done.done():
                wish.done.set_result(None)

    def _refuse(self, wish: _Wish, reason: str) -> None:
        """Tell who wished, if they are still there."""
        if not wish.done.done():
            wish.done.set_exception(ReloadError(reason))

    async def _set_up(self, corefile: Corefile | None) -> Setup:
        """Return the next set-up; files are read in a thread. Raises `CorefileError`."""
        _log.info("Reloading")
        if self._source is None:
            return self._current.setup
        return await asyncio.to_thread(self._source.set_up, corefile or await self.read())

    async def _replace(self, setup: Setup) -> None:
        """Start the next configuration beside the one that serves, change over in one step, then end the old one."""
        for line in setup.warnings:
            _log.warning("%s", line)
        old = self._current
        new = Generation(inherited(setup, old.setup), _Counters(self._metrics), self._ready)
        self._generations.insert(0, new)
        opened: list[Listener] = []
        try:
            async with self._interruptible():
                await self._start_next(new, old, opened)
                self._change_over(new, old)
        finally:
            if self._current is old:
                await self._close(opened)
                await self._finish(new)
        if self._current is new:
            await self._retire(old)
            _log.info("Reloading complete")

    async def _start_next(self, new: Generation, old: Generation, opened: list[Listener]) -> None:
        """Start what is new; `/ready` goes on speaking of the old configuration until all the rest is there."""
        runtime = self._runtime(new)
        kept = set(old.setup.plugins)
        plugins = [plugin for plugin in new.setup.plugins if plugin not in kept]
        await new.start((one for one in plugins if not isinstance(one, (Ready, Reload))), runtime)
        places = [place for place in new.services if place.server not in self._listeners]
        in_the_way = [one for one in self._gone(new) if any(clash(one.place, place) for place in places)]
        await asyncio.gather(*(listener.close() for listener in in_the_way))
        try:
            for place in places:
                listener = self._listener(place, new)
                opened.append(listener)
                await self._open(listener)
            await new.start((one for one in plugins if isinstance(one, Ready)), runtime)
        except BaseException:
            await self._reopen(in_the_way, opened)
            raise

    async def _reopen(self, listeners: Sequence[Listener], opened: list[Listener]) -> None:
        """Listen again where that had been ended for listeners that now are not to be; ends the server if it cannot."""
        if listeners:
            await self._close(opened)
            opened.clear()
        for listener in listeners:
            try:
                await self._open(listener)
            except ListenError as error:
                self.stop(str(error))

    def _change_over(self, new: Generation, old: Generation) -> None:
        """Let every listener answer by the new configuration, in one step: nothing here waits."""
        for place, service in new.services.items():
            self._listeners[place.server].service = service
        new.take_over(old)
        new.enable(self._metrics)
        self._current = new

    async def _retire(self, old: Generation) -> None:
        """End what only the old configuration needs, once it has given its answers."""
        await self._current.start(self._current.setup.plugins, self._runtime(self._current))
        await self._close(self._gone(self._current))
        answered = asyncio.ensure_future(old.in_flight.none())
        await asyncio.wait((answered, self._stopped), timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        await self._finish(old)

    def _gone(self, new: Generation) -> list[Listener]:
        """Return the listeners that a configuration has no use for."""
        labels = {place.server for place in new.services}
        return [listener for label, listener in self._listeners.items() if label not in labels]

    async def _finish(self, generation: Generation) -> None:
        """End a generation's plugins, but those that another has taken over."""
        try:
            await generation.end()
        finally:
            self._generations.remove(generation)

    def _runtime(self, generation: Generation) -> Runtime:
        """Return what the plugins that start with a generation may use; some of them live on in later ones."""

        def plugins() -> Sequence[Plugin]:
            starting = generation is self._generations[0]
            return (generation if starting else self._current).setup.plugins

        return Runtime(
            metrics=self._metrics,
            http=self._http,
            fail=self.stop,
            plugins=plugins,
            block=self._block_of,
            server=self._server_of,
            ask=self._ask,
            addresses=host_addresses(),
            configuration=self if self._source is not None else None,
        )

    async def _ask(self, request: Request, query: Query) -> Reply:
        """Ask the whole server a question that answering a client's raised, at the listener that the client asked."""
        if request.depth >= MAX_DEPTH:
            raise PluginError("", "the server asks itself in circles")
        dispatcher = self._listeners[request.client.server].service.dispatcher
        return await dispatcher.resolve(query, request.client, request.started, request.depth + 1)

    def _block_of(self, plugin: Plugin) -> Sequence[Plugin]:
        """Return the plugins of a plugin's own server block."""
        return next((block for one in self._generations if (block := one.block(plugin))), ())

    def _server_of(self, plugin: Plugin) -> str:
        """Return the label of a plugin's server block: that of the first place it listens at."""
        return next((server for one in self._generations if (server := one.server(plugin))), "")

    def _listener(self, place: ListenAddress, generation: Generation) -> Listener:
        """Return a listener for a configuration, not open yet."""
        label = place.server
        stats = self._stats.setdefault(label, TransportStats())
        service = generation.services[place]
        listener = self._listeners[label] = Listener(place, service, stats, self._lost(label), self._roster)
        return listener

    async def _open(self, listener: Listener) -> None:
        """Listen. Raises `ListenError`."""
        self.bound[listener.place.server] = await listener.open()

    async def _close(self, listeners: Sequence[Listener]) -> None:
        """Close listeners, all at the same time: each may wait for its clients."""
        await asyncio.gather(*(listener.close() for listener in listeners))
        for listener in listeners:
            del self._listeners[listener.place.server]
            self._ready.pop(listener.place.server, None)
            self.bound.pop(listener.place.server, None)

    def _lost(self, name: str) -> Callable[[Exception | None], None]:
        """Return what is called when a listener ends by itself: its supervisor has to start the process again."""
        return lambda error: self.stop(f"a socket of {name} was lost: {error or 'closed'}")

    async def _drain(self) -> None:
        """Stop being ready, and go on answering while the cluster takes notice (`health { lameduck }`)."""
        await self._current.end(lambda plugin: isinstance(plugin, Ready))
        plugins = self._current.setup.plugins
        lameduck = max((plugin.lameduck for plugin in plugins if isinstance(plugin, Health)), default=0.0)
        if lameduck:
            _log.info("Going into lameduck mode for %gs", lameduck)
            await asyncio.sleep(lameduck)

    async def _end(self) -> None:
        """Close every listener, then end every plugin."""
        try:
            await self._close(list(self._listeners.values()))
        finally:
            for generation in list(self._generations):
                await self._finish(generation)

    def _print_banner(self) -> None:
        """Print what is served, as CoreDNS does, by what writes the log too: output that fails ends nothing."""
        for line in (*self._current.setup.banner, *version_lines()):
            stdout.write(line)


def _settle_heap() -> None:
    """Take all that is there out of the garbage collector's sight: looking through it took 70 ms, and found nothing.

    Once, at the start: a generation that a reload ends is in cycles, and is to be found.
    """
    gc.collect()
    gc.freeze()


def _log_failure(done: "asyncio.Future[None]") -> None:
    """Say why a reload that a signal asked for has failed."""
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("SIGUSR1: %s", error)


def version_lines() -> tuple[str, str]:
    """Return the version, and what it runs on."""
    machine = f"{platform.system()}/{platform.machine()}".lower()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"dnsserver-{__version__}", f"{machine}, {python}, {'compiled' if COMPILED else 'not compiled'}"


def host_addresses() -> tuple[bytes, ...]:
    """Return the host's own addresses, packed, but loopback and link-local ones: where NS records can lead."""
    try:
        texts = [text for addresses in interface_addresses().values() for text in addresses]
    except OSError:
        return ()
    found = (ipaddress.ip_address(text.partition("%")[0]) for text in texts)
    return tuple(address.packed for address in found if not (address.is_loopback or address.is_link_local))


@contextmanager
def _signals(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop`, and a second one end the process; SIGUSR1 calls `reload`.

    SIGHUP is ignored, as CoreDNS does.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def end() -> None:
        nonlocal asked
        if asked:
            os._exit(EXIT_NOW)
        asked = True
        stop()

    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: end,
        signal.SIGINT: end,
        signal.SIGHUP: lambda: None,
        signal.SIGUSR1: reload,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
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
