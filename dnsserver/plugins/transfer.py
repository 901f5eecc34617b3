"""`transfer [ZONES...] { to ADDRESS|*...; key NAME }`: zones for secondaries (RFC 5936, 1995, 1996; plugin/transfer).

What a transfer holds is said in `transferring.content`, which version it is in `transferring.versions`.
"""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from dnsserver.admin.addresses import Address, InvalidAddressError, parse_address
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.message import Query, Reply, Transport, uncompressed_size
from dnsserver.names import InvalidNameError, Name, from_text, to_text
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime, leave_fast_lane
from dnsserver.plugins.transferring.content import in_order
from dnsserver.plugins.transferring.differences import affected, differences
from dnsserver.plugins.transferring.metrics import Counts
from dnsserver.plugins.transferring.notify import Notifier, Secondary
from dnsserver.plugins.transferring.versions import Followed, Journaled, Settled, Transferable, settled
from dnsserver.plugins.tsig import Tsig
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.responder import IncrementalQuery, reply_limit
from dnsserver.signatures import Key
from dnsserver.zone import MAX_CHANGED, Zone, find_origin

_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_ANYBODY = "*"
_PORT = 53
_FEW = 8  # names: differences in so many are worth a transfer of them, however small the zone is
_HALF = 1 << 31  # of the serial number space (RFC 1982)

_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
_PROHIBITED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(18, ""))  # RFC 8914, section 4.19
_MALFORMED = Reply(rcode=Rcode.FORMERR, authoritative=False)

_T = TypeVar("_T")

_log = logging.getLogger("plugin/transfer")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may have which zones."""

    zones: tuple[Name, ...]  # these and what is below them
    to: frozenset[bytes] | None  # packed addresses; None is anybody
    notify: tuple[Address, ...] = ()  # who is told of changes
    key: Name | None = None  # the TSIG key that a query has to be signed with, and that NOTIFY is signed with

    def allows(self, address: str, key: Name | None = None) -> bool:
        """Say whether a client with this address may have a transfer; `key` is what it has signed the query with."""
        if self.key not in (None, key):
            return False
        return self.to is None or ipaddress.ip_address(address).packed in self.to


class Transfer(Plugin):
    """Answers AXFR and IXFR for the zones of its server block's other plugins, and sends NOTIFY."""

    name = "transfer"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._sources: tuple[Transferable, ...] = ()
        self._notifiers: dict[Name, list[Notifier]] = {}
        self._followed: dict[Name, Followed] = {}  # by zone; of some zones nobody is told
        self._serials: dict[Name, int] = {}  # that there was last
        self._counts = Counts()

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Keep the journals, and tell the secondaries. Raises `PluginError` for a key that there is not."""
        self._sources = tuple(plugin for plugin in runtime.block(self) if isinstance(plugin, Transferable))
        keys = self._keys(runtime)
        for source in (one for one in self._sources if isinstance(one, Followed)):
            for origin in source.origins:
                if self._rule(origin) is not None:
                    self._followed.setdefault(origin, source)
        for origin, source in self._followed.items():
            self._notifiers[origin] = [self._notifier(origin, source, one) for one in self._secondaries(origin, keys)]
        async with AsyncExitStack() as stack:
            stack.callback(runtime.metrics.register(self._counts.families))
            tasks = [asyncio.create_task(one.run()) for group in self._notifiers.values() for one in group]
            stack.push_async_callback(_end, tasks)
            for source in dict.fromkeys(self._followed.values()):
                stack.callback(source.follow(self._published))
            yield

    def _keys(self, runtime: Runtime) -> dict[Name, Key]:
        """Return the keys that the rules name, of the blocks that listen where this one does."""
        server = runtime.server(self)
        known = [one.keys for one in runtime.plugins() if isinstance(one, Tsig) and runtime.server(one) == server]
        found = {}
        for name in {rule.key for rule in self.rules if rule.key is not None}:
            key = next((keys[name] for keys in known if name in keys), None)
            if key is None:
                raise PluginError(self.name, f"no key {to_text(name)}, expecting one of a 'tsig' that listens here")
            found[name] = key
        return found

    def _secondaries(self, origin: Name, keys: dict[Name, Key]) -> Iterator[Secondary]:
        """Yield who is told of changes of a zone."""
        rule = self._rule(origin)
        for address in rule.notify if rule is not None else ():
            yield Secondary(address, keys[rule.key] if rule is not None and rule.key is not None else None)

    def _notifier(self, origin: Name, source: Followed, secondary: Secondary) -> Notifier:
        async def latest() -> Zone | None:
            found = await settled(source, origin)
            return found.zone if found is not None else None

        return Notifier(origin, secondary, latest, self._counts)

    def _published(self) -> None:
        """Keep the journals from the first version on, and wake those who tell of others."""
        for origin, source in self._followed.items():
            if isinstance(source, Journaled):
                source.journal(origin)
            zone = source.transferable(origin)
            if zone is not None and zone.serial != self._serials.get(origin):
                self._serials[origin] = zone.serial
                for notifier in self._notifiers[origin]:
                    notifier.changed()

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
        if not rule.allows(request.client.address, request.client.key):
            return _PROHIBITED
        source = next((one for one in self._sources if one.transferable(query.name) is not None), None)
        if source is None:
            return await call_next(request)
        if query.qtype == RRType.IXFR and not isinstance(query, IncrementalQuery):
            return _MALFORMED  # it does not say which version it has (RFC 1995, section 3)
        found = await settled(source, query.name)
        if found is None:
            raise PluginError(self.name, f"zone {to_text(query.name)} has not been loaded yet")
        return await self._transfer(request, found)

    def _rule(self, name: Name) -> Rule | None:
        """Return the rule of the longest zone that the name is in."""
        matches = [(len(origin), rule) for rule in self.rules if (origin := find_origin(rule.zones, name)) is not None]
        return max(matches, key=lambda match: match[0])[1] if matches else None

    async def _transfer(self, request: Request, found: Settled) -> Reply:
        """Return the reply to a transfer that is allowed: one SOA, differences, or the whole zone."""
        query, zone = request.query, found.zone
        over_udp = request.client.transport is Transport.UDP
        if isinstance(query, IncrementalQuery):
            if (zone.serial - query.serial) % 2**32 >= _HALF or query.serial == zone.serial:
                text = "Outgoing noop, incremental transfer for up to date zone %s to %s for %d SOA serial"
                _log.info(text, to_text(zone.origin), request.client.address, zone.serial)
                return self._soa(zone)
            rrsets = await _incremental(found, query.serial)
            if over_udp:
                fitting = _fitting(request, rrsets or ())
                return Reply(answer=fitting, origin=zone.origin) if fitting else self._soa(zone)
            if rrsets is not None:
                return self._stream(request, zone, "ixfr", f"incremental transfer from {query.serial}", rrsets)
        return self._stream(request, zone, "axfr", "transfer", in_order(found.content))

    def _soa(self, zone: Zone) -> Reply:
        """Return what there is: enough for one who has it, and over UDP to ask again (RFC 1995, sections 2 and 4)."""
        self._counts.transfers[to_text(zone.origin), "soa"] += 1
        return Reply(answer=(zone.soa,), origin=zone.origin)

    def _stream(self, request: Request, zone: Zone, kind: str, what: str, rrsets: Iterable[RRset]) -> Reply:
        """Return the reply that is sent in as many messages as it takes."""
        self._counts.transfers[to_text(zone.origin), kind] += 1
        return Reply(origin=zone.origin, stream=_logged(rrsets, zone, request.client.address, what))


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _incremental(found: Settled, serial: int) -> Iterator[RRset] | None:
    """Return the differences from a version; None where they are not known, or would be longer than the zone."""
    since = found.since(serial)
    if since is None:
        return None
    old, new = found.of(since[0]), found.content
    names = await _in_turns(affected(old, new, since[1], min(MAX_CHANGED, found.zone.size // 2 + _FEW)))
    return differences(old, new, names) if names is not None else None


async def _in_turns(work: Generator[None, None, _T]) -> _T:
    """Return what comes of work in small steps, with queries having their turn between them."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: _T = done.value
            return result
        await leave_fast_lane()


def _fitting(request: Request, rrsets: Iterable[RRset]) -> tuple[RRset, ...]:
    """Return RRsets if all of them fit into one datagram, or else none."""
    room = reply_limit(request.query, Transport.UDP) - request.client.reserved
    kept: list[RRset] = []
    for rrset in rrsets:
        kept += [rrset] if rrset.rdatas else []
        room -= sum(_size(request.query, rrset, rdata) for rdata in rrset.rdatas)
        if room < uncompressed_size(request.query, Reply()):
            return ()
    return tuple(kept)


def _size(query: Query, rrset: RRset, rdata: bytes) -> int:
    """Return the octets of one record without compression."""
    one = RRset(rrset.owner, rrset.rrtype, rrset.ttl, (rdata,))
    return uncompressed_size(query, Reply(answer=(one,))) - uncompressed_size(query, Reply())


def _logged(rrsets: Iterable[RRset], zone: Zone, address: str, what: str) -> Iterator[RRset]:
    """Yield the RRsets; log a transfer that came to its end."""
    count = 0
    for rrset in rrsets:
        count += len(rrset.rdatas)
        yield rrset
    text = "Outgoing %s of %d records of zone %s to %s for %d SOA serial"
    _log.info(text, what, count, to_text(zone.origin), address, zone.serial)


# -- configuration -----------------------------------------------------------------------------------------------------


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin for all the block's `transfer` directives."""
    return (Transfer(tuple(_parse_rule(directive, context) for directive in directives)),)


def _parse_rule(directive: Directive, context: Context) -> Rule:
    """Return what one directive allows; raises `CorefileError`."""
    zones = plugin_zones(directive.args, [to_text(zone) for zone in context.zones])
    addresses: dict[Address, None] = {}
    anybody, key = False, None
    for option in properties(directive, "to", "key"):
        if option.name == "key":
            if key is not None:
                raise option.error("a second 'key', expecting key NAME")
            key = _key(option)
            continue
        for index, text in enumerate(arguments(option, "to ADDRESS|*...", 1)):
            if text == _ANYBODY:
                anybody = True
            else:
                addresses[_address(option, index)] = None
    if not addresses and not anybody:
        raise directive.error("'to' is required, expecting to ADDRESS|*...")
    allowed = frozenset(ipaddress.ip_address(one.host).packed for one in addresses)
    return Rule(tuple(from_text(zone) for zone in zones), None if anybody else allowed, tuple(addresses), key)


def _key(option: Property) -> Name:
    """Return the name of the key."""
    (text,) = arguments(option, "key NAME", 1, 1)
    try:
        return from_text(text)
    except InvalidNameError as error:
        raise option.error(f"key '{text}' is no domain name, expecting key NAME", 0) from error


def _address(option: Property, index: int) -> Address:
    """Return an address of `to`, with the port that NOTIFY goes to; raises `CorefileError`."""
    text = option.args[index]
    try:
        return Address(str(ipaddress.ip_address(text)), _PORT)
    except ValueError:
        pass
    try:
        address = parse_address(text)
        host = str(ipaddress.ip_address(address.host))
    except (InvalidAddressError, ValueError) as error:
        expected = "expecting '*' or an address such as 192.0.2.1 or 2001:db8::1"
        raise option.error(f"invalid address '{text}', {expected}", index) from error
    if not address.port:
        raise option.error(f"invalid address '{text}', expecting a port from 1 to 65535", index)
    return Address(host, address.port)
