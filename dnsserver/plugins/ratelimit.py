"""`ratelimit RATE { nodata; nxdomain; errors; all; slip; window; prefix; exempt; max_table; log_only }`.

Response rate limiting as BIND, NSD and Knot do it, a directive of this server alone: whoever forges a victim's address
gets few responses sent there. Only responses over UDP count, to clients that have not proven their address by a cookie.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dnsserver.admin.texts import one_line
from dnsserver.message import Reply, Transport
from dnsserver.names import ROOT, Name, to_text
from dnsserver.plugins.acl import Networks
from dnsserver.plugins.plugin import Context, Directives, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.ratelimiting.account import Account, Kind, account_of, shortened, silence
from dnsserver.plugins.ratelimiting.buckets import Buckets, Verdict
from dnsserver.plugins.ratelimiting.counts import Counts
from dnsserver.plugins.ratelimiting.options import Options, parse_options
from dnsserver.plugins.ratelimiting.prefixes import Prefixes
from dnsserver.plugins.ratelimiting.report import MAX_REPORTED, Report

_LOOK_EVERY = 1.0  # seconds between looks for networks that are limited no more
_EVERYTHING: Account = (Kind.ALL, ROOT, 0)

_log = logging.getLogger("plugin/ratelimit")


class RateLimit(Plugin):
    """Charges each response to an account of the client's network; over the limit it is dropped or cut short."""

    name = "ratelimit"

    def __init__(self, options: Options, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.buckets = Buckets(options.max_table, options.window, options.slip)
        self._clock = clock
        # the kind as plain text, for the collector tracks members of an Enum and every key with one; seconds
        self._limits = {kind: (kind.value, 1 / rate) for kind, rate in options.rates.items()}
        self._prefixes = Prefixes(*options.prefix, Networks(options.exempt))
        self._counts = Counts()
        self._report = Report(options.window)
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._timer: asyncio.TimerHandle | None = None

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        client = request.client
        if client.transport is not Transport.UDP or client.proven or request.depth:
            return await call_next(request)  # what the server asks itself is no response of its own
        prefix = self._prefixes.of(client.address)
        if prefix is None:
            return await call_next(request)
        try:
            reply = await call_next(request)
        except PluginError as error:
            limited = self._limit(request, prefix, error.reply)
            if not limited.silent:
                raise
            return limited  # and no line of `errors`, which a flood would fill
        return self._limit(request, prefix, reply)

    def _limit(self, request: Request, prefix: bytes, reply: Reply) -> Reply:
        """Return what is sent for a reply: the reply itself where that is within the limits."""
        if reply.silent:
            return reply
        now = self._clock()
        account = account_of(request.query, reply)
        verdict = self._charge(prefix, account, now)
        if verdict is Verdict.PASS:
            account = _EVERYTHING
            verdict = self._charge(prefix, account, now)
            if verdict is Verdict.PASS:
                return reply
        self._note(request, prefix, account, verdict, now)
        if self.options.log_only:
            return reply
        return shortened(reply) if verdict is Verdict.SLIP else silence(reply)

    def _charge(self, prefix: bytes, account: Account, now: float) -> Verdict:
        """Charge one response to an account, if its kind is limited."""
        kind, name, qtype = account
        limit = self._limits.get(kind)
        if limit is None:
            return Verdict.PASS
        word, interval = limit
        return self.buckets.take((prefix, word, name, qtype), interval, now)

    # -- counters and log lines ----------------------------------------------------------------------------------------

    def _note(self, request: Request, prefix: bytes, account: Account, verdict: Verdict, now: float) -> None:
        """Count a limited response, and log the first to its network."""
        kind, name, _ = account
        self._counts.add(request.client.server, kind, verdict, log_only=self.options.log_only)
        if self._loop is None:
            return
        if self._report.add(prefix, now, slipped=verdict is Verdict.SLIP):
            _log.warning("%s", self._line(prefix, kind, name))
            if self._timer is None:
                self._timer = self._loop.call_later(_LOOK_EVERY, self._look)
        if self._report.overflows():
            _log.warning("%d networks are being limited; further ones are not logged", MAX_REPORTED)

    def _line(self, prefix: bytes, kind: Kind, name: Name) -> str:
        """Return the line that says that a network begins to be limited, and on account of what."""
        what = "" if kind in (Kind.ALL, Kind.ERROR) else f" for {one_line(to_text(name))}"
        verb = "would limit" if self.options.log_only else "limit"
        return f"{verb} responses to {self._prefixes.text(prefix)}: {kind.value}{what}"

    def _look(self) -> None:
        """Log which networks are limited no more; look again while there are others."""
        self._tell(self._clock())
        self._timer = self._loop.call_later(_LOOK_EVERY, self._look) if self._report and self._loop else None

    def _tell(self, now: float) -> None:
        for prefix, sums in self._report.end(now):
            _log.info("stop limiting responses to %s: %s", self._prefixes.text(prefix), sums)

    # -- life ----------------------------------------------------------------------------------------------------------

    def same_as(self, old: Plugin) -> bool:
        """Say whether `old` has the same options: then a reload keeps its buckets."""
        return isinstance(old, RateLimit) and old.options == self.options

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._counts = Counts.of(runtime.metrics)
        self._counts.tables.add(self.buckets)
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            self._loop = None
            self._counts.tables.discard(self.buckets)
            self._tell(math.inf)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None


def parse(directives: Directives, _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `ratelimit`."""
    return (RateLimit(parse_options(directives)),)
