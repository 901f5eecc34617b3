"""From a parsed Corefile to server blocks with their plugins, and the addresses that each listens on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from ssl import SSLContext

from dnsserver.corefile import (
    Corefile,
    CorefileError,
    Key,
    ServerBlock,
    check_duplicates,
    fingerprint,
)
from dnsserver.names import Name, from_text
from dnsserver.plugins.bind import Bind
from dnsserver.plugins.order import ORDER, available, check
from dnsserver.plugins.plugin import Context, Parse, Plugin
from dnsserver.plugins.timeouts import Limit, Timeouts
from dnsserver.plugins.tls import Tls
from dnsserver.server import Block
from dnsserver.transports import TcpLimits

ANYWHERE = ""  # the address of a block without `bind`: every address of the host
TLS = "tls"
SCHEMES = ("dns", TLS)  # what there are listeners for


@dataclass(frozen=True, slots=True, order=True)
class ListenAddress:
    """Where a server block listens."""

    scheme: str
    address: str  # IP address, or ANYWHERE
    port: int

    @property
    def server(self) -> str:
        """What logs and metrics call it: "dns://:53", "dns://[::1]:53"."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a Corefile asks for."""

    blocks: tuple[Block, ...]
    listeners: Mapping[ListenAddress, tuple[Block, ...]]
    banner: tuple[str, ...]  # a line for each zone and address, as CoreDNS prints them
    warnings: tuple[str, ...]
    terms: Mapping["ListenAddress", "Terms"] = field(default_factory=dict)  # where they are not the usual ones
    fingerprint: str = ""  # of the Corefile

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin of every block."""
        return tuple(plugin for block in self.blocks for plugin in block.plugins)

    def with_plugins(self, others: Mapping[Plugin, Plugin]) -> "Setup":
        """Return the same with some plugins in place of others."""
        changed = {
            id(block): replace(block, plugins=tuple(others.get(plugin, plugin) for plugin in block.plugins))
            for block in self.blocks
        }
        return replace(
            self,
            blocks=tuple(changed[id(block)] for block in self.blocks),
            listeners={
                place: tuple(changed[id(block)] for block in serving) for place, serving in self.listeners.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What TCP clients are granted at one address, and how the server shows who it is."""

    limits: TcpLimits = field(default_factory=TcpLimits)
    ssl: SSLContext | None = None  # None: in the clear


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from, to be read again at every reload."""

    read: Callable[[], Corefile]  # raises CorefileError
    folder: Path
    port: int

    def set_up(self, corefile: Corefile) -> Setup:
        """Make a set-up of a Corefile that was read. Raises `CorefileError`."""
        return set_up(corefile, folder=self.folder, port=self.port)


def set_up(corefile: Corefile, *, folder: Path, port: int) -> Setup:
    """Make server blocks of a Corefile. `port` is the one of keys that name none.

    Raises `CorefileError` for whatever in it cannot be done.
    """
    known = available()
    check(corefile)
    _check_schemes(corefile)
    blocks: list[Block] = []
    addresses: dict[ServerBlock, tuple[str, ...]] = {}
    listeners: dict[ListenAddress, list[Block]] = {}
    terms = _TermsOfListeners(warnings := list(corefile.warnings))
    banner: list[str] = []
    for written in corefile.blocks:
        plugins = _plugins(written, known, folder, port, warnings.append)
        warnings += _idle_tls(written)
        bound = tuple(dict.fromkeys(one for plugin in plugins if isinstance(plugin, Bind) for one in plugin.addresses))
        addresses[written] = bound
        for place, keys in _places(written, bound or (ANYWHERE,), port).items():
            block = Block(tuple(from_text(key.zone) for key in keys), plugins)
            blocks.append(block)
            listeners.setdefault(place, []).append(block)
            terms.add(place, keys[0], plugins)
            banner += [_banner_line(key, place) for key in keys]
    check_duplicates(corefile, addresses, dns_port=port)
    return Setup(
        tuple(blocks),
        {place: tuple(serving) for place, serving in listeners.items()},
        tuple(banner),
        tuple(warnings),
        terms.all(),
        fingerprint(corefile),
    )


def _idle_tls(block: ServerBlock) -> Iterator[str]:
    """Yield a warning where a certificate would be shown to nobody."""
    directive = next(block.find(TLS), None)
    if directive is not None and all(key.scheme != TLS for key in block.keys):
        yield f"{directive.file}:{directive.line} - plugin/tls: no effect in a server block without a tls:// zone"


def _check_schemes(corefile: Corefile) -> None:
    """Raise `CorefileError` at the first key that asks for a transport that does not exist here."""
    for key in (key for block in corefile.blocks for key in block.keys if key.scheme not in SCHEMES):
        message = f"scheme '{key.scheme}' of {key.zone} is not supported, expecting {' or '.join(SCHEMES)}"
        raise CorefileError(message, key.file, key.line)


class _TermsOfListeners:
    """Gathers what the server blocks at each address say of TCP and TLS."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings
        self._limits: dict[ListenAddress, dict[str, Limit]] = {}
        self._certificates: dict[ListenAddress, Tls] = {}
        self._schemes: dict[tuple[str, int], ListenAddress] = {}

    def add(self, place: ListenAddress, key: Key, plugins: Sequence[Plugin]) -> None:
        """Add one block. Raises `CorefileError` at its key for what the others there contradict."""
        other = self._schemes.setdefault((place.address, place.port), place)
        if place.port and other != place:
            raise CorefileError(f"cannot serve {place.server}: {other.server} is already there", key.file, key.line)
        for plugin in plugins:
            if isinstance(plugin, Timeouts):
                self._add_limits(place, plugin)
        if place.scheme == TLS:
            self._add_certificate(place, key, next((one for one in plugins if isinstance(one, Tls)), None))

    def _add_limits(self, place: ListenAddress, timeouts: Timeouts) -> None:
        """Let the last block that sets a limit decide, as CoreDNS does, and say so."""
        there = self._limits.setdefault(place, {})
        for name, limit in timeouts.limits.items():
            if name in there and there[name].value != limit.value:
                text = f"{limit.place} - plugin/timeouts: overrides {there[name].place} for all of {place.server}"
                self._warnings.append(text)
            there[name] = limit

    def _add_certificate(self, place: ListenAddress, key: Key, tls: Tls | None) -> None:
        """Take one certificate a listener: which of several to show could only be guessed."""
        if tls is None:
            message = f"{place.scheme}://{key.zone} has no certificate, expecting tls CERT KEY [CA] in its server block"
            raise CorefileError(message, key.file, key.line)
        if self._certificates.setdefault(place, tls).settings != tls.settings:
            message = f"tls differs from that of another server block at {place.server}, expecting the same"
            raise CorefileError(message, key.file, key.line, plugin="tls")

    def all(self) -> Mapping[ListenAddress, Terms]:
        """Return the terms where they are not the usual ones."""
        return {
            place: Terms(
                Timeouts(self._limits.get(place, {})).apply(TcpLimits()),
                self._certificates[place].context if place in self._certificates else None,
            )
            for place in dict.fromkeys((*self._limits, *self._certificates))
        }


def _plugins(
    block: ServerBlock, known: Mapping[str, Parse], folder: Path, port: int, warn: Callable[[str], None]
) -> tuple[Plugin, ...]:
    """Return a block's plugins in CoreDNS's order, whatever the order in the file."""
    zones: tuple[Name, ...] = tuple(from_text(zone) for zone in block.zones)
    first = block.keys[0].listen_port(port) if block.keys else port
    context = Context(zones=zones, folder=folder, port=first, warn=warn)
    plugins: list[Plugin] = []
    for name in ORDER:
        directives = tuple(block.find(name))
        if directives:
            plugins += known[name](directives, context)
    return tuple(plugins)


def _places(block: ServerBlock, addresses: tuple[str, ...], port: int) -> dict[ListenAddress, list[Key]]:
    """Return the places a block listens at, with the keys that it serves there."""
    places: dict[ListenAddress, list[Key]] = {}
    for key in block.keys:
        for address in addresses:
            places.setdefault(ListenAddress(key.scheme, address, key.listen_port(port)), []).append(key)
    return places


def _banner_line(key: Key, place: ListenAddress) -> str:
    """Return CoreDNS's start-up line of one zone."""
    scheme = "" if place.scheme == "dns" else f"{place.scheme}://"
    return f"{scheme}{key.zone}:{place.port}{f' on {place.address}' if place.address else ''}"
