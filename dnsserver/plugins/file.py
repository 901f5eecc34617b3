"""`file DBFILE [ZONES...] { reload; reload_by_mtime; fallthrough; upstream }`: zones from zone files.

CoreDNS plugin/file: an authoritative server of the classic kind. One file can be the content of several zones, where
its names are relative.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from dnsserver.corefile import CorefileError, Directive, Property, plugin_zones
from dnsserver.corefile.files import reason
from dnsserver.message import Query, Reply
from dnsserver.names import Name, fold, from_text, is_at_or_below, to_text
from dnsserver.plugins.options import arguments, duration, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.zonefile.lookup import Answer, answer
from dnsserver.plugins.zonefile.reading import ZoneFile
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.wire.masterfile import MasterFileError
from dnsserver.zone import Zone, find_origin

_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
# what gets here was not answered by the `transfer` plugin; INFO-CODE 21 is Not Supported (RFC 8914, section 4.22)
_NO_TRANSFER = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(21, ""))
_KEPT_RCODES = (Rcode.NXDOMAIN, Rcode.SERVFAIL)  # of an alias's target (RFC 6604, section 3)


@dataclass(frozen=True, slots=True)
class Config:
    """The options of one directive."""

    reload: float = 60.0  # seconds from one look at the file to the next; 0 is never
    by_time: bool = False  # reload what has another time of modification, whatever its serial
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every name

    def falls_through(self, name: Name) -> bool:
        """Say whether the next plugin is asked for a name that does not exist here."""
        return any(is_at_or_below(name, zone) for zone in self.fall_through or ())


@dataclass(frozen=True, slots=True)
class Served:
    """A zone, with the options of its directive."""

    file: ZoneFile
    config: Config


class File(Plugin):
    """Answers for the zones of its files."""

    name = "file"

    def __init__(self, zones: Mapping[Name, Served]) -> None:
        self.zones = zones
        self._origins = tuple(zones)
        self._runtime: Runtime | None = None
        self._followers: list[Callable[[], None]] = []
        self._last = False  # whether no plugin behind this one answers anything

    # -- queries -------------------------------------------------------------------------------------------------------

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer a name in one of the zones; pass on any other, and NXDOMAIN where `fallthrough` says so."""
        query = request.query
        origin = self._origin(query)
        if origin is None or query.qclass not in _CLASSES:
            # with nobody left to ask this is no failure, as an alias that leads out of the zones must not be one
            return _REFUSED if self._last else await call_next(request)
        if query.qtype in _TRANSFERS:
            return _NO_TRANSFER
        served = self.zones[origin]
        if served.file.content is None:
            raise PluginError(self.name, f"zone {to_text(origin)} has not been loaded")
        found = answer(served.file.content, query)
        missing = found.reply.rcode == Rcode.NXDOMAIN and not found.reply.answer
        if missing and served.config.falls_through(query.name):
            return await call_next(request)
        return found.reply if found.target is None else await self._follow(request, found, found.target)

    def _origin(self, query: Query) -> Name | None:
        """Return the zone that a name is in; a DS RRset is its parent's (RFC 4035, section 3.1.4.1)."""
        origin = find_origin(self._origins, query.name)
        if query.qtype == RRType.DS and origin == query.name:
            above = tuple(one for one in self._origins if one != query.name)
            return find_origin(above, query.name) or origin
        return origin

    async def _follow(self, request: Request, found: Answer, target: bytes) -> Reply:
        """Ask the whole server for what an alias leads to; without an answer the alias stands alone.

        The alias is our own data, so the answer stays authoritative. That the target does not exist, or cannot be told,
        is what the code says (RFC 6604, section 3); that nobody here knows it is not.
        """
        if self._runtime is None:
            return found.reply
        query = request.query
        further = msgspec.structs.replace(query, qname=target, name=fold(target))
        try:
            other = await self._runtime.ask(request, further)
        except PluginError:
            return msgspec.structs.replace(found.reply, rcode=Rcode.SERVFAIL)
        return msgspec.structs.replace(
            found.reply,
            rcode=other.rcode if other.rcode in _KEPT_RCODES else Rcode.NOERROR,
            extended_error=other.extended_error if other.rcode in _KEPT_RCODES else None,
            answer=_joined(found.reply.answer, other.answer),
            authority=_authority(found.reply, other, further.name),
            additional=other.additional if is_at_or_below(further.name, found.reply.origin) else (),
            truncated=other.truncated,
        )

    # -- what other plugins ask ----------------------------------------------------------------------------------------

    @property
    def origins(self) -> tuple[Name, ...]:
        """The zones (`transfer`)."""
        return self._origins

    def follow(self, published: Callable[[], None]) -> Callable[[], None]:
        """Have `published` called whenever a zone has changed; returns what ends that."""
        self._followers.append(published)
        return lambda: self._followers.remove(published)

    def _published(self) -> None:
        """Tell those who follow."""
        for published in self._followers:
            published()

    def transferable(self, name: Name) -> Zone | None:
        """Return the zone with that origin (`transfer`)."""
        served = self.zones.get(name)
        return served.file.content.zone if served is not None and served.file.content is not None else None

    # -- life ----------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Keep up with the files."""
        self._runtime = runtime
        answering = [one for one in runtime.block(self) if type(one).handle is not Plugin.handle]
        self._last = bool(answering) and answering[-1] is self
        watching = [
            asyncio.create_task(served.file.watch(served.config.reload, self._published))
            for served in self.zones.values()
            if served.config.reload
        ]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


def _joined(answer: tuple[RRset, ...], further: Iterable[RRset]) -> tuple[RRset, ...]:
    """Return two answers as one; where aliases go in circles, each RRset is there once."""
    return tuple(dict.fromkeys((*answer, *further)))


def _authority(reply: Reply, other: Reply, target: Name) -> tuple[RRset, ...]:
    """Return the authority section: the target's where it says more than who serves our zone.

    That is so for a target in the zone itself, and where an SOA says how long a negative answer holds (RFC 2308,
    section 2.1).
    """
    inside = is_at_or_below(target, reply.origin) and other.authority
    if inside or any(one.rrtype == RRType.SOA for one in other.authority):
        return other.authority
    return reply.authority


# -- configuration -----------------------------------------------------------------------------------------------------


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin for all the block's `file` directives. Raises `CorefileError`, also for a broken zone file."""
    zones: dict[Name, Served] = {}
    for directive in directives:
        for zone in _zones(directive, context):
            if zone in zones:
                raise directive.error(f"zone {to_text(zone)} has a file already, expecting one")
            zones[zone] = _served(directive, zone, context)
    return (File(zones),)


def _zones(directive: Directive, context: Context) -> list[Name]:
    """Return the zones of one directive."""
    args = arguments(directive, "file DBFILE [ZONES...]", 1)
    zones = plugin_zones(args[1:], [to_text(zone) for zone in context.zones])
    if not zones:
        raise directive.error(f"no zone in '{' '.join(args[1:])}', expecting file DBFILE [ZONES...]", 1)
    return [from_text(zone) for zone in zones]


def _served(directive: Directive, zone: Name, context: Context) -> Served:
    """Return one zone of a directive, its file read."""
    config = Config()
    for prop in properties(directive, *_OPTIONS):
        config = _OPTIONS[prop.name](config, prop, context)
    path = context.folder / directive.args[0]
    file = ZoneFile(path, zone, by_time=config.by_time)
    try:
        file.load(context.warn)
    except MasterFileError as error:
        raise CorefileError(error.message, error.file, error.line, plugin=directive.name) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise directive.error(f"cannot read zone file '{path}': {reason(error)}", 0) from error
    return Served(file, config)


def _reload(config: Config, prop: Property, context: Context) -> Config:
    del context
    arguments(prop, "reload DURATION", 1, 1)
    return replace(config, reload=duration(prop))


def _reload_by_mtime(config: Config, prop: Property, context: Context) -> Config:
    del context
    arguments(prop, "reload_by_mtime", 0, 0)
    return replace(config, by_time=True)


def _fallthrough(config: Config, prop: Property, context: Context) -> Config:
    del context
    zones = plugin_zones(prop.args, ["."])
    return replace(config, fall_through=tuple(from_text(zone) for zone in zones))


def _upstream(config: Config, prop: Property, context: Context) -> Config:
    """Accept an option of old Corefiles, as CoreDNS does."""
    context.warn(f"plugin/file: {prop.file}:{prop.line}: 'upstream' has no effect: the server asks itself")
    return config


_OPTIONS: dict[str, Callable[[Config, Property, Context], Config]] = {
    "reload": _reload,
    "reload_by_mtime": _reload_by_mtime,
    "fallthrough": _fallthrough,
    "upstream": _upstream,
}
