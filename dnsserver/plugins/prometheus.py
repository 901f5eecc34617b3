"""`prometheus [ADDRESS]`: counts every query of its server block, and answers `/metrics`."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from dnsserver.admin.metrics import CONTENT_TYPE, Metrics
from dnsserver.corefile import Directive
from dnsserver.message import Reply, uncompressed_size
from dnsserver.plugins.options import listen_address, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode

_DEFAULT = "localhost:9153"
_PATH = "/metrics"
_FAILURE = Reply(rcode=Rcode.SERVFAIL, authoritative=False)  # what the server sends for a `PluginError`


class Prometheus(Plugin):
    """Counts on the way back; a query that fails below counts as the SERVFAIL that the server sends."""

    name = "prometheus"

    def __init__(self, address: str = _DEFAULT) -> None:
        self.address = address
        self._metrics: Metrics | None = None

    def lets_pass(self, ttl: int) -> bool:
        """What goes around it is counted all the same."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        try:
            reply = await call_next(request)
        except PluginError:
            self._count(request, _FAILURE)
            raise
        self._count(request, reply)
        return reply

    def _count(self, request: Request, reply: Reply) -> None:
        """Count one query; none while the plugin does not run."""
        if self._metrics is not None:
            size = uncompressed_size(request.query, reply)
            seconds = time.perf_counter() - request.started
            self._metrics.count(request.query, request.client, request.zone, reply.rcode, size, seconds)

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._metrics = runtime.metrics

        async def scrape(_request: web.Request) -> web.Response:
            return web.Response(body=await runtime.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

        async with runtime.http.route(self.address, _PATH, scrape):
            yield


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `prometheus`."""
    directive = once(directives)
    address = listen_address(directive, _DEFAULT)
    tuple(properties(directive))  # refuses whatever there is
    return (Prometheus(address),)
