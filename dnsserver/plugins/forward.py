"""`forward FROM TO... { ... }`: other servers answer what this one does not know.

Follows CoreDNS 1.14.7, plugin/forward: which server is tried when, how often, and what its answers become. How one
server is asked is `dnsserver.upstream`'s.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from dnsserver.corefile import Directive
from dnsserver.message import Reply, Transport
from dnsserver.names import Name, is_at_or_below
from dnsserver.plugins.forwarding.metrics import ForwardMetrics
from dnsserver.plugins.forwarding.options import Options, Statement, parse_statement
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime, leave_fast_lane
from dnsserver.records import Rcode
from dnsserver.upstream import Endpoint, HostName, Upstream, UpstreamError, is_answer, resolve, to_reply
from dnsserver.wire import ParsedResponse

_DEADLINE = 5.0  # seconds: after that no further server is tried
_PAUSE = 0.1  # seconds before all servers are tried again: one that refuses at once would be asked without end
_NO_SERVER = "no healthy proxies"

# INFO-CODEs of extended errors; which server it was is nothing for the client (RFC 8914, sections 4.23 and 4.24)
_NO_REACHABLE_AUTHORITY = 22
_NETWORK_ERROR = 23

_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
_FORMERR = Reply(rcode=Rcode.FORMERR, authoritative=False)


class Forward(Plugin):
    """Asks other servers for the names at or below one; while it does not run it has none to ask."""

    name = "forward"
    any_class = True

    def __init__(
        self,
        statement: Statement,
        *,
        source: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.zone = statement.zone
        self.targets = statement.targets
        self.options = statement.options
        self.before_another = False  # the next plugin is a `forward` as well: `next` leads there
        self._random = source or random.SystemRandom()
        self._clock = clock
        self._metrics = ForwardMetrics()
        self._upstreams: Sequence[Upstream] = ()
        self._concurrent = 0

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        if not self._takes(request.query.name):
            return await call_next(request)
        if 0 < self.options.max_concurrent <= self._concurrent:
            self._metrics.rejected += 1
            return _REFUSED
        self._concurrent += 1
        try:
            await leave_fast_lane()
            response = await _Attempt(self, request).run()
        finally:
            self._concurrent -= 1
        if not is_answer(request.query, response):
            return _FORMERR
        if self.before_another and self._leads_on(response):
            return await call_next(request)
        return to_reply(request.query, response)

    def _takes(self, name: Name) -> bool:
        """Say whether a name is forwarded; `except` never excludes the zone itself."""
        if not is_at_or_below(name, self.zone):
            return False
        return name == self.zone or not any(is_at_or_below(name, zone) for zone in self.options.ignored)

    def _leads_on(self, response: ParsedResponse) -> bool:
        """Say whether a response is for the next `forward` to better (`next`, `next_on_nodata`)."""
        nodata = response.rcode == Rcode.NOERROR and not response.answer
        return response.rcode in self.options.next_rcodes or (nodata and self.options.next_on_nodata)

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Look host names up, once, and hold the connections. Raises `PluginError` for a host without addresses."""
        self._metrics = ForwardMetrics.of(runtime.metrics)
        endpoints = await self._endpoints()
        self._upstreams = [Upstream(one, self.options.upstream, self._metrics) for one in endpoints]
        try:
            yield
        finally:
            stopped, self._upstreams = self._upstreams, ()
            for upstream in stopped:
                await upstream.close()

    async def _endpoints(self) -> Sequence[Endpoint]:
        """Return every server once, in the order written."""
        found: dict[str, Endpoint] = {}
        for target in self.targets:
            for endpoint in [target] if isinstance(target, Endpoint) else await self._look_up(target):
                found.setdefault(endpoint.address, endpoint)
        return tuple(found.values())

    async def _look_up(self, host: HostName) -> Sequence[Endpoint]:
        try:
            return [host.at(address) for address in await resolve(host.name, self.options.resolvers)]
        except UpstreamError as error:
            raise PluginError("forward", str(error)) from error

    def order(self) -> Sequence[Upstream]:
        """Return the servers in the order in which one query tries them."""
        return self.options.order(self._upstreams, self._random) if self._upstreams else ()

    def anyone(self, upstreams: Sequence[Upstream]) -> Upstream:
        """Return a server to try although all are down: the health checks may be what is broken."""
        self._metrics.broken += 1
        return self._random.choice(upstreams)

    def now(self) -> float:
        """Return the time in seconds."""
        return self._clock()


class _Attempt:
    """One query on its way past the servers."""

    def __init__(self, forward: Forward, request: Request) -> None:
        self._forward = forward
        self._options: Options = forward.options
        self._request = request
        self._upstreams = forward.order()
        self._deadline = forward.now() + _DEADLINE
        self._down = 0  # servers that were down, in this round
        self._failures = 0
        self._failovers = 0
        self._fault = _NO_SERVER

    async def run(self) -> ParsedResponse:
        """Return the response that decides. Raises `PluginError` with the last server's error."""
        while self._upstreams and self._may_go_on():
            self._down = 0
            for upstream in self._upstreams:
                if not self._may_go_on():
                    break
                chosen = self._choose(upstream)
                if chosen is None:
                    continue
                response = await self._try(chosen)
                if response is not None:
                    return response
                if self._down >= len(self._upstreams):
                    raise self._failed()
            if self._may_go_on():
                await asyncio.sleep(_PAUSE)
        raise self._failed()

    def _failed(self) -> PluginError:
        """Return the last server's error, for the caller to raise."""
        return PluginError("", self._fault, _NETWORK_ERROR if self._failures else _NO_REACHABLE_AUTHORITY)

    def _may_go_on(self) -> bool:
        limit = self._options.max_connect_attempts
        return self._forward.now() < self._deadline and (not limit or self._failures < limit)

    def _choose(self, upstream: Upstream) -> Upstream | None:
        """Return the server to try: this one, None while it is down, another at random once all have been."""
        if not upstream.is_down(self._options.max_fails):
            return upstream
        self._down += 1
        if self._down < len(self._upstreams):
            return None
        anyone = self._forward.anyone(self._upstreams)
        if self._options.fail_fast:
            raise self._failed()
        return anyone

    async def _try(self, upstream: Upstream) -> ParsedResponse | None:
        """Ask one server; return None where the next one is to be tried."""
        try:
            response = await self._ask(upstream)
        except UpstreamError as error:
            self._fault = str(error)
            self._failures += 1
            if self._options.max_fails:
                upstream.check()
            return None
        if response.rcode in self._options.failover_rcodes and is_answer(self._request.query, response):
            self._failovers += 1
            if self._failovers < len(self._upstreams):
                self._fault = _NO_SERVER
                return None
        return response

    async def _ask(self, upstream: Upstream) -> ParsedResponse:
        """Ask over the client's protocol or as configured; `prefer_udp` goes on over TCP if UDP was not enough."""
        query, udp = self._request.query, self._options.prefer_udp
        tcp = self._options.upstream.force_tcp
        over_tcp = tcp or (not udp and self._request.client.transport is not Transport.UDP)
        response = await upstream.exchange(query, tcp=over_tcp, patience=self._patience())
        if response.truncated and udp and not tcp:
            response = await upstream.exchange(query, tcp=True, patience=self._patience())
        return response

    def _patience(self) -> float:
        return self._deadline - self._forward.now()


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return a plugin for each directive, in the order written."""
    plugins = tuple(Forward(parse_statement(directive, context)) for directive in directives)
    for plugin in plugins[:-1]:
        plugin.before_another = True
    return plugins
