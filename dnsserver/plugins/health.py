"""`health [ADDRESS] { lameduck DURATION }`: `/health` answers 200 OK for as long as the event loop turns.

The loop that answers queries answers here too: one that stands still answers neither, and the prober's own timeouts say
after how long that is too long. A thread would answer for a loop that does not, or stand still with it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from dnsserver.admin.addresses import Address
from dnsserver.admin.metrics import Metrics
from dnsserver.corefile import Directive
from dnsserver.plugins.options import arguments, duration, format_duration, listen_address, properties
from dnsserver.plugins.plugin import Context, Plugin, Runtime

_DEFAULT = ":8080"
_PATH = "/health"
_TIMEOUT = 3.0  # seconds
_SLOW = 1.0  # seconds: a request of this machine to itself that takes longer is worth a line
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what to connect to, not what to listen on

_log = logging.getLogger("plugin/health")


class Health(Plugin):
    """Answers `/health`, and asks itself once an interval to measure how busy the process is."""

    name = "health"

    def __init__(self, address: str = _DEFAULT, lameduck: float = 0.0, *, interval: float = 1.0) -> None:
        self.address = address
        self.lameduck = lameduck  # seconds that the app goes on serving after it was told to stop
        self._interval = interval  # seconds

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        async with runtime.http.route(self.address, _PATH, _healthy) as bound:
            probing = asyncio.create_task(self._probe(bound, runtime.metrics))
            try:
                yield
            finally:
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)

    async def _probe(self, bound: Address, metrics: Metrics) -> None:
        """Request `/health` once an interval and put the time into the metrics, for ever."""
        url = f"http://{Address(_ANYWHERE.get(bound.host, bound.host), bound.port)}{_PATH}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
            while True:
                await asyncio.sleep(self._interval)
                started = time.perf_counter()
                try:
                    async with session.get(url) as response:
                        await response.read()
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    metrics.health_failures += 1
                    _log.warning('Local health request to "%s" failed: %r', url, error)
                elapsed = time.perf_counter() - started
                metrics.health_duration.observe(elapsed)
                if elapsed > _SLOW:
                    _log.warning('Local health request to "%s" took more than 1s: %s', url, format_duration(elapsed))


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="OK")


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return one plugin for each directive: each is a listener of its own."""
    return tuple(_parse(directive) for directive in directives)


def _parse(directive: Directive) -> Health:
    lameduck = 0.0
    address = listen_address(directive, _DEFAULT)
    for prop in properties(directive, "lameduck"):
        arguments(prop, "lameduck DURATION", 1, 1)
        lameduck = duration(prop)
    return Health(address, lameduck)
