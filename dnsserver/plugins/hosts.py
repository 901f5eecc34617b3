"""`hosts [FILE [ZONES...]] { inline lines; ttl; no_reverse; reload; fallthrough; ... }`: names from a hosts(5) file.

Answers A, AAAA and, for every address in it, PTR. The file is looked at again every few seconds and read where its
time or size has changed; one that is missing is waited for, and one that goes away leaves its names behind.
"""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

from asyncio_extras import call_in_executor
from prometheus_client.core import GaugeMetricFamily, Metric

from dnsserver.admin.metrics import Metrics
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.message import Reply
from dnsserver.names import (
    ROOT,
    Name,
    from_text,
    intersection,
    is_at_or_below,
    parent,
    reverse_address,
    to_text,
)
from dnsserver.plugins.hosting.table import WILDCARD, Table, names_in, parse_hosts
from dnsserver.plugins.options import arguments, duration, once
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request, Runtime
from dnsserver.records import Rcode, RRClass, RRset, RRType, address_type

_DEFAULT_FILE = "/etc/hosts"
_MAX_TTL = 65535  # seconds, as in CoreDNS
_MAX_COMPLAINTS = 10  # warnings about one version of a file; block lists of a million lines are common
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_TYPES = (RRType.A, RRType.AAAA, RRType.PTR)  # what this plugin has records of
_TRANSFERS = (RRType.AXFR, RRType.IXFR)

# No SOA could say how long SERVFAIL or NODATA hold: a hosts file is no zone (RFC 2308, section 2.2, NODATA type 3).
_UNKNOWN = Reply(rcode=Rcode.SERVFAIL, authoritative=False)
_NODATA = Reply()

_log = logging.getLogger("plugin/hosts")


@dataclass(frozen=True, slots=True)
class Config:
    """The plugin's options."""

    zones: tuple[Name, ...]  # names elsewhere are not looked up, but addresses anywhere are
    file: Path = Path(_DEFAULT_FILE)
    label: str = _DEFAULT_FILE  # the file as the Corefile spells it, for metrics
    ttl: int = 3600  # seconds
    reverse: bool = True  # whether addresses lead back to names
    reload: float = 5.0  # seconds from one look at the file to the next; 0 is never
    fall_through: tuple[Name, ...] | None = None  # None: never; the root: for every name
    fall_through_unsupported: bool = False  # also where the name is known, and the type is none of ours

    def falls_through(self, name: Name) -> bool:
        """Say whether the next plugin is asked for a name that is not known here."""
        return any(is_at_or_below(name, zone) for zone in self.fall_through or ())


@dataclass(frozen=True, slots=True)
class Version:
    """What makes a file the same as at the last look."""

    modified: int = 0  # nanoseconds since the epoch
    size: int = -1  # octets; the default is no file's
    inode: int = 0


class HostsFile:
    """A file and the inline lines that go with it; only its content changes."""

    def __init__(self, config: Config, inline: Table) -> None:
        self.config = config
        self._inline = inline
        self._table = Table()
        self._version = Version()
        self._complaint = ""  # about the file as a whole, so that each is made once
        self.followers: list[Callable[[], None]] = []  # called when the content has changed

    @property
    def entries(self) -> int:
        """How many there are, of the file and of the inline lines."""
        return self._inline.entries + self._table.entries

    @property
    def modified(self) -> float:
        """When the content was last changed, in seconds since the epoch; 0 before it has been read."""
        return self._version.modified / 1e9

    def addresses(self, name: Name) -> tuple[bytes, ...]:
        """Return the addresses of a name, of a wildcard for it only where the name itself is not there (RFC 4592).

        As in CoreDNS, a wildcard stands for one label.
        """
        found = _both(self._table.addresses, self._inline.addresses, name)
        if not found and (above := parent(name)) != ROOT:
            found = _both(self._table.addresses, self._inline.addresses, Name(WILDCARD + above))
        return found

    def names(self, address: bytes) -> tuple[Name, ...]:
        """Return the names of an address."""
        return _both(self._table.names, self._inline.names, address)

    def names_in(self, origin: Name) -> set[Name]:
        """Return names at or below `origin`: whatever there is here of that zone is at or below one of them."""
        return names_in(origin, self._table, self._inline)

    async def update(self) -> None:
        """Read the file where it has changed since the last time; what is wrong with it is logged once."""
        try:
            changed = await call_in_executor(self._read, self._version)
        except (OSError, ValueError) as error:
            self._complain(error)
            return
        self._complaint = ""
        if changed is not None:
            self._version, self._table = changed
            for follower in self.followers:
                follower()
            _log.debug("Parsed hosts file into %d entries", self._table.entries)

    async def watch(self) -> None:
        """Look at the file again and again; returns at once where it is never reloaded."""
        while self.config.reload:
            await asyncio.sleep(self.config.reload)
            await self.update()

    def _read(self, last: Version) -> tuple[Version, Table] | None:
        """Return the file's present version and content, None where the version is `last`. For a thread of its own."""
        config = self.config
        status = config.file.stat()
        version = Version(status.st_mtime_ns, status.st_size, status.st_ino)
        if version == last:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"hosts file {config.file} is not a regular file")
        lines = config.file.read_bytes().split(b"\n")
        complaints = _Complaints(config.file)
        table = parse_hosts(lines, config.zones, reverse=config.reverse, complain=complaints.add)
        complaints.end()
        return version, table

    def _complain(self, error: OSError | ValueError) -> None:
        """Log why the file cannot be read, unless that has been said, or it never was there (`parse` says that)."""
        text = str(error)
        if text != self._complaint and not (isinstance(error, FileNotFoundError) and self._version == Version()):
            _log.warning("%s; its last content is kept", text)
        self._complaint = text


K = TypeVar("K")
V = TypeVar("V")


def _both(first: Mapping[K, tuple[V, ...]], second: Mapping[K, tuple[V, ...]], key: K) -> tuple[V, ...]:
    """Return what two mappings have of a key, each value once."""
    a, b = first.get(key, ()), second.get(key, ())
    return tuple(dict.fromkeys(a + b)) if a and b else a or b


class _Complaints:
    """The warnings about one version of a file: the first few, then how many more there are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0

    def add(self, line: int, text: str) -> None:
        """Warn about a line."""
        self._count += 1
        if self._count <= _MAX_COMPLAINTS:
            _log.warning("%s:%d is skipped: %s", self._file, line, text)

    def end(self) -> None:
        """Say how many lines there were no warnings about."""
        if self._count > _MAX_COMPLAINTS:
            _log.warning("%s: %d more lines are skipped", self._file, self._count - _MAX_COMPLAINTS)


class Hosts(Plugin):
    """Answers for the names and addresses of its file and of its inline lines."""

    name = "hosts"

    def __init__(self, config: Config, inline: Table) -> None:
        self.config = config
        self.file = HostsFile(config, inline)

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer what is known; the rest goes to the next plugin, or is SERVFAIL in the zones without `fallthrough`."""
        query = request.query
        if query.qclass not in _CLASSES or query.qtype in _TRANSFERS:
            return await call_next(request)
        if query.qtype == RRType.PTR:
            address = reverse_address(query.name)
            names = () if address is None else self.file.names(address)
            return self._answer(query.name, RRType.PTR, names) if names else await call_next(request)
        if not any(is_at_or_below(query.name, zone) for zone in self.config.zones):
            return await call_next(request)
        addresses = self.file.addresses(query.name)
        passes = not addresses or (self.config.fall_through_unsupported and query.qtype not in _TYPES)
        if passes and self.config.falls_through(query.name):
            return await call_next(request)
        if not addresses:
            return _UNKNOWN
        return self._answer(query.name, query.qtype, [one for one in addresses if address_type(one) == query.qtype])

    def keeps(self, origin: Name, ttl: int) -> Iterable[Name]:
        """Keep the names that the file has, and those that do not fall through where it has none."""
        del ttl
        common = (intersection(zone, origin) for zone in self.config.zones)
        return self.file.names_in(origin) | {
            one for one in common if one is not None and not self.config.falls_through(one)
        }

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called whenever the file has changed; returns what ends that."""
        self.file.followers.append(changed)
        return lambda: self.file.followers.remove(changed)

    def _answer(self, owner: Name, rrtype: int, rdatas: Sequence[bytes]) -> Reply:
        """Return the RRset, or NODATA where it is empty."""
        return Reply(answer=(RRset(owner, rrtype, self.config.ttl, tuple(rdatas)),)) if rdatas else _NODATA

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Read the file before anything is answered, then keep up with it."""
        await self.file.update()
        served = _served(runtime.metrics)
        served[self] = None
        watching = asyncio.create_task(self.file.watch())
        try:
            yield
        finally:
            del served[self]
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


# The plugins that run, by the process's metrics: one gauge has no label, so it has to be made of all of them.
_running: WeakKeyDictionary[Metrics, dict[Hosts, None]] = WeakKeyDictionary()


def _served(metrics: Metrics) -> dict[Hosts, None]:
    """Return the plugins whose files the metrics report."""
    served = _running.get(metrics)
    if served is None:
        served = _running[metrics] = {}
        metrics.register(partial(_families, served))
    return served


def _families(plugins: Iterable[Hosts]) -> Iterator[Metric]:
    """Yield CoreDNS's gauges; where two plugins read the same file, the later one counts."""
    plugins = tuple(plugins)
    entries = GaugeMetricFamily(
        "coredns_hosts_entries", "The combined number of entries in hosts and Corefile.", labels=("hostsfile",)
    )
    for label, count in {plugin.config.label: plugin.file.entries for plugin in plugins}.items():
        entries.add_metric((label,), count)
    yield entries
    yield GaugeMetricFamily(
        "coredns_hosts_reload_timestamp_seconds",
        "The timestamp of the last reload of hosts file.",
        value=max((plugin.file.modified for plugin in plugins), default=0.0),
    )


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `hosts`. Warns of a file that is not there (yet)."""
    directive = once(directives)
    zones = plugin_zones(directive.args[1:], [to_text(zone) for zone in context.zones])
    config = Config(zones=tuple(from_text(zone) for zone in zones))
    if directive.args:
        label = directive.args[0]
        config = replace(config, file=context.folder / label, label=label)
        _check_file(directive, config.file, context.warn)
    inline: list[Property] = []
    for prop in directive.properties:
        option = _OPTIONS.get(prop.name)
        if option is not None:
            config = option(config, prop)
        elif config.fall_through is not None:
            raise prop.error(f"unknown property '{prop.name}', expecting inline lines before fallthrough")
        else:
            inline.append(prop)
    if config.fall_through_unsupported and config.fall_through is None:
        raise directive.error("fallthrough_unsupported has no effect alone, expecting fallthrough as well")
    return (Hosts(config, _inline(inline, config)),)


def _check_file(directive: Directive, file: Path, warn: Callable[[str], None]) -> None:
    """Warn where there is no file; raise `CorefileError` where nobody can tell, as CoreDNS does."""
    try:
        status = file.stat()
    except FileNotFoundError:
        warn(f"plugin/hosts: file does not exist: {file}; it is read when it appears")
    except (OSError, ValueError) as error:
        raise directive.error(f"unable to access hosts file '{file}': {error}", 0) from error
    else:
        if stat.S_ISDIR(status.st_mode):
            warn(f'plugin/hosts: hosts file "{file}" is a directory')


def _inline(properties: Sequence[Property], config: Config) -> Table:
    """Parse the inline lines; a bad one is an error here, for it may be an option that is misspelled."""

    def refuse(number: int, text: str) -> None:
        raise properties[number - 1].error(f"{text}, expecting ADDRESS NAME... or one of {', '.join(_OPTIONS)}")

    for prop in properties:
        if prop.properties:
            raise prop.error(f"'{prop.name}' has no block of its own")
    lines = (" ".join((prop.name, *prop.args)).encode() for prop in properties)
    return parse_hosts(lines, config.zones, reverse=config.reverse, complain=refuse)


def _without_block(prop: Property, usage: str, minimum: int, maximum: int | None) -> tuple[str, ...]:
    """Return an option's arguments."""
    if prop.properties:
        raise prop.error(f"'{prop.name}' has no block of its own")
    return arguments(prop, usage, minimum, maximum)


def _ttl(config: Config, prop: Property) -> Config:
    (text,) = _without_block(prop, "ttl SECONDS", 1, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= _MAX_TTL):
        raise prop.error(f"ttl provided is invalid: {text}, expecting 1 to {_MAX_TTL} seconds", 0)
    return replace(config, ttl=int(text))


def _no_reverse(config: Config, prop: Property) -> Config:
    _without_block(prop, "no_reverse", 0, 0)
    return replace(config, reverse=False)


def _reload(config: Config, prop: Property) -> Config:
    _without_block(prop, "reload DURATION", 1, 1)
    return replace(config, reload=duration(prop))


def _fallthrough(config: Config, prop: Property) -> Config:
    zones = plugin_zones(_without_block(prop, "fallthrough [ZONES...]", 0, None), ["."])
    return replace(config, fall_through=tuple(from_text(zone) for zone in zones))


def _fallthrough_unsupported(config: Config, prop: Property) -> Config:
    _without_block(prop, "fallthrough_unsupported", 0, 0)
    return replace(config, fall_through_unsupported=True)


_OPTIONS: dict[str, Callable[[Config, Property], Config]] = {
    "ttl": _ttl,
    "no_reverse": _no_reverse,
    "reload": _reload,
    "fallthrough": _fallthrough,
    "fallthrough_unsupported": _fallthrough_unsupported,
}
