"""`local { localhost_prefix on|off }`: names that mean this machine are answered, and never asked of anybody else.

Those are `localhost.` and whatever is below it (RFC 6761, section 6.3), the same as the first label of any other name,
which search paths make of it, and the reverse zones of addresses that no other host can have (RFC 6303, section 4.2).
"""

import ipaddress
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from prometheus_client.core import CounterMetricFamily, Metric

from dnsserver.admin.metrics import Metrics
from dnsserver.corefile import Directive
from dnsserver.message import Query, Reply
from dnsserver.names import Name, from_text, is_at_or_below, reverse_name, to_text
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request, Runtime
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa, address_type
from dnsserver.wire import type_to_text
from dnsserver.zone import find_origin

_TTL = 604800  # seconds: a week, as in CoreDNS
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_TRANSFERS = (RRType.AXFR, RRType.IXFR)

_LOCALHOST = from_text("localhost")
_ZONES = (_LOCALHOST, *(from_text(f"{number}.in-addr.arpa") for number in (0, 127, 255)))
_PREFIX = _LOCALHOST[:-1]  # the first label of a longer name
_ADDRESSES = (ipaddress.ip_address("127.0.0.1").packed, ipaddress.ip_address("::1").packed)
_RDATA = {int(address_type(address)): address for address in _ADDRESSES}
_REVERSE = reverse_name(_ADDRESSES[0])
_SOA = Soa(_LOCALHOST, from_text("root.localhost"), 1, 0, 0, 0, _TTL).rdata()

_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)

_log = logging.getLogger("plugin/local")


class Local(Plugin):
    """Answers for the local zones; AA is clear, as in CoreDNS."""

    name = "local"

    def __init__(self, *, prefix: bool = True) -> None:
        self.prefix = prefix  # whether `localhost.example.com` is this machine as well
        self._count = Count()

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        if query.qclass not in _CLASSES:
            return await call_next(request)
        if self._is_localhost(query.name):
            self._count.requests += 1
            if _log.isEnabledFor(logging.DEBUG):
                name, rrtype = to_text(query.name), type_to_text(query.qtype)
                _log.debug('Intercepting localhost query for "%s" %s, from %s', name, rrtype, request.client.address)
            return _loopback(query, query.name)
        zone = find_origin(_ZONES, query.name)
        if zone is None:
            return await call_next(request)
        return _REFUSED if query.qtype in _TRANSFERS else _answer(query, zone)

    def _is_localhost(self, name: Name) -> bool:
        """Say whether a name, other than `localhost.` itself, stands for this machine."""
        if name == _LOCALHOST:
            return False
        return is_at_or_below(name, _LOCALHOST) or (self.prefix and name.startswith(_PREFIX))

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._count = _count_of(runtime.metrics)
        yield


def _answer(query: Query, zone: Name) -> Reply:
    """Return the reply to a query in one of the zones."""
    name = query.name
    if name == _LOCALHOST and query.qtype in _RDATA:
        return _loopback(query, zone)
    if name == zone and query.qtype == RRType.SOA:
        return Reply(authoritative=False, answer=(_soa(zone),))
    if name == zone and query.qtype == RRType.NS:
        return _data(query, _LOCALHOST)
    if name == _REVERSE and query.qtype == RRType.PTR:
        return _data(query, _LOCALHOST)
    # what is between 127.in-addr.arpa and the one name below it exists (RFC 8020, section 2)
    exists = name == zone or is_at_or_below(_REVERSE, name)
    rcode = Rcode.NOERROR if exists else Rcode.NXDOMAIN
    return Reply(rcode=rcode, authoritative=False, authority=(_soa(zone),))


def _loopback(query: Query, zone: Name) -> Reply:
    """Return the loopback address of the family asked for, or NODATA."""
    rdata = _RDATA.get(query.qtype)
    return Reply(authoritative=False, authority=(_soa(zone),)) if rdata is None else _data(query, rdata)


def _data(query: Query, rdata: bytes) -> Reply:
    return Reply(authoritative=False, answer=(RRset(query.name, query.qtype, _TTL, (rdata,)),))


def _soa(zone: Name) -> RRset:
    return RRset(zone, RRType.SOA, _TTL, (_SOA,))


class Count:
    """How many queries there were for names other than `localhost.` that stand for this machine."""

    def __init__(self) -> None:
        self.requests = 0

    def families(self) -> Iterator[Metric]:
        """Yield CoreDNS's counter; it has no label, so all plugins of the process share one."""
        yield CounterMetricFamily(
            "coredns_local_localhost_requests", "Counter of localhost.<domain> requests.", value=self.requests
        )


_counts: WeakKeyDictionary[Metrics, Count] = WeakKeyDictionary()


def _count_of(metrics: Metrics) -> Count:
    """Return the count that the metrics report; it outlives a reload."""
    count = _counts.get(metrics)
    if count is None:
        count = _counts[metrics] = Count()
        metrics.register(count.families)
    return count


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `local`."""
    directive = once(directives)
    arguments(directive, "local", 0, 0)
    prefix = True
    for prop in properties(directive, "localhost_prefix"):
        (word,) = arguments(prop, "localhost_prefix on|off", 1, 1)
        if word not in ("on", "off"):
            raise prop.error(f"localhost_prefix expects 'on' or 'off', got '{word}'", 0)
        prefix = word == "on"
    return (Local(prefix=prefix),)
