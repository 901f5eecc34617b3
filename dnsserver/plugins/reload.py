"""`reload [INTERVAL [JITTER]]`: follow the Corefile, imports included, and run on what it says now."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dnsserver.corefile import CorefileError, Directive, fingerprint
from dnsserver.plugins.options import arguments, format_duration, once, parse_duration
from dnsserver.plugins.plugin import Configuration, Context, Directives, Plugin, ReloadError, Runtime

_INTERVAL, _JITTER = 30.0, 15.0  # seconds
_MIN_INTERVAL, _MIN_JITTER = 2.0, 1.0  # seconds
_USAGE = "reload [INTERVAL] [JITTER]"

_log = logging.getLogger("plugin/reload")


class Reload(Plugin):
    """Looks once an interval; of several server blocks with `reload` the last one's interval counts, as in CoreDNS.

    The jitter is drawn once, so that servers started together look at different times, each at its own regular ones.
    """

    name = "reload"

    def __init__(
        self,
        interval: float = _INTERVAL,
        jitter: float = _JITTER,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.interval = interval + uniform(-jitter / 2, jitter / 2)  # seconds
        self.failed = 0
        self._sleep = sleep

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Follow the Corefile; the app starts this when everything else serves."""
        configuration = runtime.configuration
        others = [plugin for plugin in runtime.plugins() if isinstance(plugin, Reload)]
        if configuration is None or (others and others[-1] is not self):
            yield
            return
        _log.info("Running configuration SHA512 = %s", configuration.fingerprint)
        end = runtime.metrics.register(lambda: self._families(configuration))
        task = asyncio.create_task(self._follow(configuration))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            end()

    async def _follow(self, configuration: Configuration) -> None:
        """Look for a change, for ever; what has failed is not tried again until it changes."""
        seen = configuration.fingerprint
        while True:
            await self._sleep(self.interval)
            seen = await self._look(configuration, seen)

    async def _look(self, configuration: Configuration, seen: str) -> str:
        """Reload if the Corefile is not the one seen last; return what it is now, or what is wrong with it."""
        try:
            corefile = await configuration.read()
        except CorefileError as error:
            return self._fail(error) if str(error) != seen else seen
        found = fingerprint(corefile)
        if found != seen:
            try:
                await configuration.reload(corefile)
            except ReloadError as error:
                self._fail(error)
        return found

    def _fail(self, error: Exception) -> str:
        """Count and log a Corefile that cannot be used; return what is wrong with it."""
        self.failed += 1
        _log.error("Corefile changed but reload failed: %s", error)
        return str(error)

    def _families(self, configuration: Configuration) -> Iterator[Metric]:
        """Yield CoreDNS's metrics; the hash is always that of the configuration that runs."""
        yield CounterMetricFamily("coredns_reload_failed", "Reloads that failed.", value=self.failed)
        version = GaugeMetricFamily(
            "coredns_reload_version_info",
            "A metric with a constant '1' value labeled by the hash of the configuration that runs.",
            labels=("hash", "value"),
        )
        version.add_metric(("sha512", configuration.fingerprint), 1)
        yield version


def parse(directives: Directives, _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `reload`; a jitter of more than half the interval becomes half of it."""
    directive = once(directives)
    args = arguments(directive, _USAGE, 0, 2)
    if directive.properties:
        raise directive.properties[0].error(f"reload has no block, expecting {_USAGE}")
    interval = _duration(directive, 0) if args else _INTERVAL
    if interval < _MIN_INTERVAL:
        raise directive.error(f"interval value must be greater or equal to {format_duration(_MIN_INTERVAL)}", 0)
    jitter = _duration(directive, 1) if len(args) > 1 else _JITTER
    if jitter and jitter < _MIN_JITTER:
        raise directive.error(f"jitter value must be 0 or greater or equal to {format_duration(_MIN_JITTER)}", 1)
    return (Reload(interval, min(jitter, interval / 2)),)


def _duration(directive: Directive, index: int) -> float:
    """Return an argument in seconds, whatever its sign: what is too small is refused with its minimum."""
    try:
        return parse_duration(directive.args[index])
    except ValueError as error:
        raise directive.error(f"{error}, expecting {_USAGE} such as reload 30s 15s", index) from error
