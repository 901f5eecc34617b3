"""`transfer [ZONES...] { to ADDRESS|*... }`: whole zones for secondaries (RFC 5936; RFC 1995; CoreDNS plugin/transfer).

Every RRset of a transfer is the one that queries get; which of them a transfer holds is `cluster_rrsets`'s to say.
"""

import heapq
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

from dnsserver.admin.addresses import InvalidAddressError, parse_address
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.message import Reply, Transport
from dnsserver.names import ROOT, Name, from_labels, from_text, is_at_or_below, join, labels, to_text
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRset, RRType, srv_target
from dnsserver.responder import IncrementalQuery
from dnsserver.zone import Zone, find_origin

_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_ADDRESSES = (RRType.A, RRType.AAAA)
_RUN = 500  # names that are sorted in one go: about a millisecond
_ANYBODY = "*"
_PAUSE = RRset(ROOT, RRType.SOA, 0, ())

_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
_PROHIBITED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(18, ""))  # RFC 8914, section 4.19

_log = logging.getLogger("plugin/transfer")


@runtime_checkable
class Transferable(Protocol):
    """A plugin with zones that can be transferred."""

    name: str  # the directive

    def transferable(self, name: Name) -> Zone | None:
        """Return the present version of the zone whose origin is `name`; None where it has no such zone."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may have which zones."""

    zones: tuple[Name, ...]  # these and what is below them
    to: frozenset[bytes] | None  # packed addresses; None is anybody

    def allows(self, address: str) -> bool:
        """Say whether a client may have a transfer."""
        return self.to is None or ipaddress.ip_address(address).packed in self.to


class Transfer(Plugin):
    """Answers AXFR and IXFR for the zones of its server block's other plugins."""

    name = "transfer"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._sources: tuple[Transferable, ...] = ()

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._sources = tuple(plugin for plugin in runtime.block(self) if isinstance(plugin, Transferable))
        yield

    def lets_pass(self, ttl: int) -> bool:
        """Transfers and NOTIFY are not plain."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer a transfer to whom it is allowed; pass on other queries, and zones that nobody here has."""
        query = request.query
        if query.qtype not in _TRANSFERS:
            return await call_next(request)
        if query.qtype == RRType.AXFR and request.client.transport is Transport.UDP:
            return _REFUSED  # RFC 5936, section 4.2
        rule = self._rule(query.name)
        if rule is None:
            return await call_next(request)
        if not rule.allows(request.client.address):
            return _PROHIBITED
        source, zone = self._find(query.name)
        if source is None or zone is None:
            return await call_next(request)
        return _transfer(request, source, zone)

    def _rule(self, name: Name) -> Rule | None:
        """Return the rule of the longest zone that the name is in."""
        matches = [(len(origin), rule) for rule in self.rules if (origin := find_origin(rule.zones, name)) is not None]
        return max(matches, key=lambda match: match[0])[1] if matches else None

    def _find(self, name: Name) -> tuple[Transferable | None, Zone | None]:
        """Return the first plugin that has a zone of that very name, and the zone."""
        for source in self._sources:
            if (zone := source.transferable(name)) is not None:
                return source, zone
        return None, None


def _transfer(request: Request, source: Transferable, zone: Zone) -> Reply:
    """Return the reply to a transfer that is allowed.

    Over UDP, and where the client has the version already, that is one SOA (RFC 1995, sections 2 and 4); for every
    other version it is the whole zone. Raises `PluginError`.
    """
    query = request.query
    name, address = to_text(zone.origin), request.client.address
    if not zone.serial:
        raise PluginError(Transfer.name, f"zone {name} has not been loaded yet")
    if query.qtype == RRType.IXFR and not isinstance(query, IncrementalQuery):
        raise PluginError(
            Transfer.name, f"an IXFR query of {address} for {name} without one SOA in its authority section"
        )
    only_soa = request.client.transport is Transport.UDP
    if isinstance(query, IncrementalQuery) and query.serial == zone.serial:
        only_soa = True
        _log.info(
            "Outgoing noop, incremental transfer for up to date zone %s to %s for %d SOA serial",
            name,
            address,
            zone.serial,
        )
    if only_soa:
        return Reply(answer=(zone.soa,), origin=zone.origin)
    rrsets = cluster_rrsets(zone) if source.name == "kubernetes" else whole_rrsets(zone)
    return Reply(origin=zone.origin, stream=_logged(rrsets, name, address, zone.serial))


def _logged(rrsets: Iterable[RRset], zone: str, address: str, serial: int) -> Iterator[RRset]:
    """Yield the RRsets; log a transfer that came to its end."""
    count = 0
    for rrset in rrsets:
        count += len(rrset.rdatas)
        yield rrset
    _log.info("Outgoing transfer of %d records of zone %s to %s for %d SOA serial", count, zone, address, serial)


def whole_rrsets(zone: Zone) -> Iterator[RRset]:
    """Yield all of a zone: SOA, NS, glue, the rest by name, SOA."""
    return _in_order(zone, lambda _, rrsets: rrsets)


def cluster_rrsets(zone: Zone) -> Iterator[RRset]:
    """Yield what CoreDNS transfers of a zone of the `kubernetes` plugin (plugin/kubernetes, xfr.go), in that order.

    Of a cluster's zone these are the Services' own names, `_port._protocol` names and, below headless Services only,
    endpoints; nothing of `dns-version`, of pods, of topology zones. Reverse zones are whole. A name has the records
    that CoreDNS lists there: SRV at `_port._protocol` names and at Services that are their own target, addresses at
    every name but those.
    """
    return _in_order(zone, _ClusterContent(zone).rrsets)


class _ClusterContent:
    """The choice that `cluster_rrsets` makes; asked about a Service before the names below it."""

    def __init__(self, zone: Zone) -> None:
        self._services = from_labels((b"svc",), zone.origin)
        self._depth = len(labels(self._services))
        self._left_out = tuple(from_labels((label,), zone.origin) for label in (b"dns-version", b"dns", b"pod"))
        self._service = self._services  # the one asked about last
        self._addresses: frozenset[bytes] = frozenset()  # its own

    def rrsets(self, name: Name, found: tuple[RRset, ...]) -> tuple[RRset, ...]:
        """Return those of a name's RRsets that are transferred."""
        if any(is_at_or_below(name, one) for one in self._left_out):
            return ()
        if not is_at_or_below(name, self._services):
            return found
        parts = labels(name)
        depth = len(parts) - self._depth
        if depth <= 2:  # <service>.<namespace>
            return self._of_service(name, found)
        if depth == 4 and parts[1].startswith(b"_"):  # _port._protocol.<service>.<namespace>
            return tuple(one for one in found if one.rrtype == RRType.SRV)
        if depth > 4 or not is_at_or_below(name, self._service):
            return ()
        # an endpoint: its addresses are among the Service's own where that is headless
        return tuple(one for one in found if one.rrtype in _ADDRESSES and self._addresses.issuperset(one.rdatas))

    def _of_service(self, name: Name, found: tuple[RRset, ...]) -> tuple[RRset, ...]:
        """Return a Service's own records; SRV leads to the Service itself only where it has a cluster IP."""
        self._service = name
        self._addresses = frozenset(rdata for one in found if one.rrtype in _ADDRESSES for rdata in one.rdatas)
        return tuple(
            one for one in found if one.rrtype != RRType.SRV or all(srv_target(rdata) == name for rdata in one.rdatas)
        )


_Choose = Callable[[Name, tuple[RRset, ...]], tuple[RRset, ...]]


def _in_order(zone: Zone, choose: _Choose) -> Iterator[RRset]:
    """Yield SOA, NS, glue, then what `choose` takes of every name's RRsets, each once, then SOA.

    That is the order of RFC 5936, section 2.2, and CoreDNS's. RRsets without records are among them, wherever finding
    the next one takes long (`encode_stream`).
    """
    apex = zone.rrsets(zone.origin) or ()
    servers = next((one for one in apex if one.rrtype == RRType.NS), None)
    glue = tuple(_glue(zone, servers)) if servers is not None else ()
    yield zone.soa
    yield from (one for one in apex if one.rrtype != RRType.SOA)
    yield from glue
    sent = {(one.owner, one.rrtype) for one in glue}
    for count, name in enumerate(by_name(zone)):
        if name is None or not count % _RUN:
            yield _PAUSE
        if name is not None and name != zone.origin:
            chosen = choose(name, zone.nodes[name].rrsets(name))
            yield from (one for one in chosen if (one.owner, one.rrtype) not in sent)
    yield zone.soa


def _glue(zone: Zone, servers: RRset) -> Iterator[RRset]:
    """Yield the addresses of the name servers that are in the zone."""
    for target in dict.fromkeys(Name(rdata.lower()) for rdata in servers.rdatas):
        if is_at_or_below(target, zone.origin) and target != zone.origin:
            yield from (one for one in zone.rrsets(target) or () if one.rrtype in _ADDRESSES)


def by_name(zone: Zone) -> Iterator[Name | None]:
    """Yield the zone's names in the order of RFC 4034, section 6.1: a name before all that is below it.

    What is held meanwhile is labels, of the names on the way down. Sorting very many takes long, so they are sorted in
    short runs, with None after each of them.
    """
    if zone.node(zone.origin) is not None:
        yield zone.origin
    stack = [_sorted_below(zone, zone.origin)]
    while stack:
        try:
            name = next(stack[-1])
        except StopIteration:
            stack.pop()
            continue
        if name is None:
            yield None
            continue
        if zone.node(name) is not None:
            yield name
        if name in zone.tree:
            stack.append(_sorted_below(zone, name))


def _sorted_below(zone: Zone, above: Name) -> Iterator[Name | None]:
    """Yield the names directly below one, in the order of their labels, and None after each long run."""
    found = iter(zone.labels_below(above))
    runs = []
    while run := sorted(islice(found, _RUN)):
        runs.append(run)
        if len(run) == _RUN:
            yield None
    for label in heapq.merge(*runs):
        yield join(label, above)


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin for all the block's `transfer` directives."""
    return (Transfer(tuple(_rule(directive, context) for directive in directives)),)


def _rule(directive: Directive, context: Context) -> Rule:
    """Return what one directive allows; raises `CorefileError`."""
    zones = plugin_zones(directive.args, [to_text(zone) for zone in context.zones])
    addresses: set[bytes] = set()
    anybody = False
    for option in properties(directive, "to"):
        for index, text in enumerate(arguments(option, "to ADDRESS|*...", 1)):
            if text == _ANYBODY:
                anybody = True
            else:
                addresses.add(_address(option, index, context))
    if not addresses and not anybody:
        raise directive.error("'to' is required, expecting to ADDRESS|*...")
    return Rule(tuple(from_text(zone) for zone in zones), None if anybody else frozenset(addresses))


def _address(option: Property, index: int, context: Context) -> bytes:
    """Return an address of `to`, packed; raises `CorefileError`."""
    text = option.args[index]
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        pass
    try:
        packed = ipaddress.ip_address(parse_address(text).host).packed
    except (InvalidAddressError, ValueError) as error:
        expected = "expecting '*' or an address such as 192.0.2.1 or 2001:db8::1"
        raise option.error(f"invalid address '{text}', {expected}", index) from error
    context.warn(f"plugin/transfer: the port of '{text}' has no effect: secondaries are not notified")
    return packed
