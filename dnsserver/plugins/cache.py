"""`cache [TTL] [ZONES...] { success; denial; prefetch; serve_stale; serve_stale_policy; servfail; disable; keepttl }`.

Two stores, of answers and of denials, in front of the rest of the chain. Whatever passes gets one TTL on all its
records: the shortest of them, within bounds. Names follow the question's spelling, since entries are canonical;
CoreDNS sends the spelling of whoever asked first.
"""

import logging
import math
import time
from asyncio import Task, wait
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import msgspec

from dnsserver.corefile import Directive
from dnsserver.message import Query, Reply, Transport
from dnsserver.names import Name, is_at_or_below, to_text
from dnsserver.plugins.caching.counts import DENIAL, SUCCESS, Counts, families
from dnsserver.plugins.caching.entry import Entry, Key, with_ttl
from dnsserver.plugins.caching.options import Options, parse_options
from dnsserver.plugins.caching.refresh import Refreshes
from dnsserver.plugins.caching.store import Store
from dnsserver.plugins.caching.verdict import Kind, Verdict, judge, ttl_of
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime, leave_fast_lane
from dnsserver.records import Rcode, RRType

_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_FRESH = (Rcode.NOERROR, Rcode.NXDOMAIN)  # what replaces an expired entry (RFC 8767, section 4)

_log = logging.getLogger("plugin/cache")


class Cache(Plugin):
    """Answers from what it has; identical misses at the same time each go on, as in CoreDNS."""

    name = "cache"

    def __init__(
        self,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        refreshes: Refreshes | None = None,
    ) -> None:
        self.options = options
        self._clock = clock
        self._wall_clock = wall_clock
        self._success = Store(options.success.capacity)
        self._denial = Store(options.denial.capacity)
        self._refreshes = refreshes or Refreshes()
        self._counts: dict[str, Counts] = {}  # by server

    def lets_pass(self, ttl: int) -> bool:
        """A ready answer needs no cache, unless that shortens TTLs."""
        return ttl <= min(self.options.success.max_ttl, self.options.denial.max_ttl)

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        edns = query.edns
        key = (query.name, query.qtype, query.qclass, edns is not None and edns.dnssec_ok, query.checking_disabled)
        now = self._clock()
        entry = self._find(key, now)
        if entry is None:
            return await self._miss(key, request, call_next)
        counts = self._counts_of(request)
        counts.requests += 1
        if entry.denies:
            counts.denial_hits += 1
        else:
            counts.success_hits += 1
        if now >= entry.expires:
            return await self._stale(entry, key, request, call_next, now)
        left = entry.remaining(now)
        if self.options.prefetch.amount and self._is_due(entry, left, now):
            self._prefetch(entry, key, request, call_next, now)
        return entry.render(entry.ttl if self.options.keepttl else left)

    def _find(self, key: Key, now: float) -> Entry | None:
        """Return the entry to answer with, fresh or not too old, None for a miss.

        A denial is newer than an answer, which would have removed it, and wins; a failure never does, nor is it ever
        served stale (RFC 8767, section 4). With `prefer_positive` the answer wins.
        """
        oldest = now - self.options.stale.keep
        denial, success = self._denial.get(key), self._success.get(key)
        if denial is not None and denial.expires <= (now if denial.failed else oldest):
            denial = None
        if success is None:
            return denial
        if self.options.stale.prefer_positive and self.options.stale.keep:
            good = success.answering
            if good is not None and good.expires > oldest:
                return good
        if success.expires <= oldest:
            return denial
        return success if denial is None or denial.failed else denial

    async def _miss(self, key: Key, request: Request, call_next: Handler) -> Reply:
        """Ask the rest of the chain and keep what it says; a `PluginError` is not kept."""
        query = request.query
        if query.qtype in _TRANSFERS or not _is_in(query.name, self.options.zones):
            return await call_next(request)
        counts = self._counts_of(request)
        counts.requests += 1
        counts.misses += 1
        reply = await call_next(request)
        return self._keep(key, query, reply, judge(query, reply, self._wall_clock()), counts)[0]

    async def _stale(self, entry: Entry, key: Key, request: Request, call_next: Handler, now: float) -> Reply:
        """Answer with an expired entry, or with what `verify` found instead of it."""
        stale = self.options.stale
        if not stale.verify:
            self._prefetch(entry, key, request, call_next, now)
        elif (fresh := await self._verify(entry, key, request, call_next, now)) is not None:
            return fresh
        self._counts_of(request).served_stale += 1
        return entry.render_stale(stale.ttl or (entry.ttl if self.options.keepttl else 0))

    async def _verify(self, entry: Entry, key: Key, request: Request, call_next: Handler, now: float) -> Reply | None:
        """Return what replaces an expired entry, as soon as it is known; None where nothing does, or not in time.

        Whoever comes while an attempt is under way waits for its result. Only a question that the server asks itself
        does not: the attempt may be waiting for the answer to just that one.
        """
        if request.depth:
            return await self._ask_again(entry, key, request, call_next) if now >= entry.retry_after else None
        task = self._refresh(entry, key, request, call_next, now)
        if task is None:
            return None
        await leave_fast_lane()
        await wait((task,), timeout=self.options.stale.verify_timeout or None)
        return task.result() if task.done() and not task.cancelled() else None

    def _prefetch(self, entry: Entry, key: Key, request: Request, call_next: Handler, now: float) -> None:
        """Start to replace an entry that goes on being served meanwhile."""
        if entry.refresh is None and self._refresh(entry, key, request, call_next, now) is not None:
            self._counts_of(request).prefetches += 1

    def _is_due(self, entry: Entry, left: int, now: float) -> bool:
        """Count a hit, and say whether the entry is popular and about to expire, with `left` seconds to go."""
        prefetch = self.options.prefetch
        hits = entry.count_hit(now, prefetch.longest_pause)
        return hits >= prefetch.amount and left <= math.ceil(prefetch.percentage * entry.ttl / 100)

    def _refresh(
        self, entry: Entry, key: Key, request: Request, call_next: Handler, now: float
    ) -> Task[Reply | None] | None:
        """Return the attempt to replace an entry, which may be under way; None where there is to be none now."""
        if entry.refresh is None and now >= entry.retry_after:
            entry.refresh = self._refreshes.start(partial(self._ask_in_background, entry, key, request, call_next))
        return entry.refresh

    async def _ask_in_background(self, entry: Entry, key: Key, request: Request, call_next: Handler) -> Reply | None:
        """Do what `_ask_again` does, for a task of its own."""
        client = request.client
        if client.transport is Transport.UDP:  # this reply is no datagram: an upstream need not cut it short
            request = replace(request, client=msgspec.structs.replace(client, transport=Transport.TCP))
        try:
            return await self._ask_again(entry, key, request, call_next)
        finally:
            entry.refresh = None

    async def _ask_again(self, entry: Entry, key: Key, request: Request, call_next: Handler) -> Reply | None:
        """Ask the rest of the chain for a reply that replaces an entry; None where there is none. Never raises."""
        fresh = None
        try:
            fresh = self._replace(entry, key, request, await call_next(request))
        except PluginError as error:
            _log.debug("Failed to refresh %s: %s", to_text(request.query.name), error)
        except Exception:
            _log.exception("Recovered from a fault while refreshing %s", to_text(request.query.name))
        if fresh is None:
            entry.retry_after = self._clock() + self.options.stale.recheck
        return fresh

    def _replace(self, entry: Entry, key: Key, request: Request, reply: Reply) -> Reply | None:
        """Keep a reply in the place of an entry and return it as it is sent; None where it is no replacement.

        A failure leaves the entry in its place. With `prefer_positive` so does a denial, but it is kept as well.
        """
        query = request.query
        verdict = judge(query, reply, self._wall_clock())
        fresh = verdict.kind is not Kind.OTHER and reply.rcode in _FRESH and not reply.truncated
        preferred = self.options.stale.prefer_positive and entry.answers
        if preferred:
            fresh = fresh and verdict.answers
        if not fresh and not preferred:
            return None
        sent, kept = self._keep(key, query, reply, verdict, self._counts_of(request))
        if kept is not None:
            kept.popularity = entry.popularity
        return sent if fresh else None

    def _keep(
        self, key: Key, query: Query, reply: Reply, verdict: Verdict, counts: Counts
    ) -> tuple[Reply, Entry | None]:
        """Return a reply with its one TTL, and its new entry where it may be kept."""
        if reply.silent or reply.stream is not None:
            return reply, None
        ttl = self._ttl(reply, verdict.kind)
        sent = with_ttl(reply, ttl)
        place = SUCCESS if verdict.kind.positive else DENIAL
        if not ttl or not verdict.storable or _is_in(query.name, self.options.disabled.get(place, ())):
            return sent, None
        entry = Entry(sent, ttl, self._clock(), denies=place == DENIAL, answers=verdict.answers)
        if entry.denies:
            counts.denial_evictions += self._denial.put(key, entry)
        else:
            counts.success_evictions += self._put_success(key, entry)
        return sent, entry

    def _put_success(self, key: Key, entry: Entry) -> bool:
        """Add an entry to the answers; say whether another one had to go. What answers ends a denial."""
        if self.options.stale.prefer_positive and not entry.answers:
            previous = self._success.get(key)
            entry.last_good = previous.answering if previous is not None else None
        else:
            self._denial.remove(key)
        return self._success.put(key, entry)

    def _ttl(self, reply: Reply, kind: Kind) -> int:
        """Return the seconds that a reply is kept and that its records say."""
        if kind is Kind.FAILURE:
            return self.options.servfail
        limits = self.options.denial if kind.negative else self.options.success
        return min(max(ttl_of(reply, kind, limits.max_ttl), limits.min_ttl), limits.max_ttl)

    def _counts_of(self, request: Request) -> Counts:
        """Return the counts of the listener that was asked."""
        server = request.client.server
        counts = self._counts.get(server)
        if counts is None:
            counts = self._counts[server] = Counts()
        return counts

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        unregister = runtime.metrics.register(
            lambda: families(self._counts, self.options.zones_label, len(self._success), len(self._denial))
        )
        try:
            async with self._refreshes.running():
                yield
        finally:
            unregister()


def _is_in(name: Name, zones: tuple[Name, ...]) -> bool:
    """Say whether a name is at or below one of the zones."""
    return any(is_at_or_below(name, zone) for zone in zones)


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `cache`."""
    return (Cache(parse_options(directives, context)),)
