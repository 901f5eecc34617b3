"""From a parsed Corefile to server blocks with their plugins, and the addresses that each listens on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dnsserver.corefile import Corefile, CorefileError, Key, ServerBlock, check_directives, check_duplicates
from dnsserver.names import Name, from_text
from dnsserver.plugins.bind import Bind
from dnsserver.plugins.order import ORDER, available
from dnsserver.plugins.plugin import Context, Parse, Plugin
from dnsserver.server import Block

ANYWHERE = ""  # the address of a block without `bind`: every address of the host
SCHEMES = ("dns",)  # what there are listeners for


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

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin of every block."""
        return tuple(plugin for block in self.blocks for plugin in block.plugins)


def set_up(corefile: Corefile, *, folder: Path, port: int) -> Setup:
    """Make server blocks of a Corefile. `port` is the one of keys that name none.

    Raises `CorefileError` for whatever in it cannot be done.
    """
    known = available()
    check_directives(corefile, known)
    _check_schemes(corefile)
    blocks: list[Block] = []
    addresses: dict[ServerBlock, tuple[str, ...]] = {}
    listeners: dict[ListenAddress, list[Block]] = {}
    banner: list[str] = []
    warnings = list(corefile.warnings)
    for written in corefile.blocks:
        plugins = _plugins(written, known, folder, port, warnings.append)
        bound = tuple(dict.fromkeys(one for plugin in plugins if isinstance(plugin, Bind) for one in plugin.addresses))
        addresses[written] = bound
        for place, keys in _places(written, bound or (ANYWHERE,), port).items():
            block = Block(tuple(from_text(key.zone) for key in keys), plugins)
            blocks.append(block)
            listeners.setdefault(place, []).append(block)
            banner += [_banner_line(key, place) for key in keys]
    check_duplicates(corefile, addresses, dns_port=port)
    return Setup(
        tuple(blocks),
        {place: tuple(serving) for place, serving in listeners.items()},
        tuple(banner),
        tuple(warnings),
    )


def _check_schemes(corefile: Corefile) -> None:
    """Raise `CorefileError` at the first key that asks for a transport that does not exist here."""
    for key in (key for block in corefile.blocks for key in block.keys if key.scheme not in SCHEMES):
        message = f"scheme '{key.scheme}' of {key.zone} is not supported, expecting {' or '.join(SCHEMES)}"
        raise CorefileError(message, key.file, key.line)


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
