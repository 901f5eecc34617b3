"""`interfaces` of the plugin `kubernetes`: zones with names of VMIs that need no Service, from Corefile to values.

interfaces ZONE... {
    ttl SECONDS
    nameserver NAME [ADDRESS...]
    networks NAME...
    guest_agent on|off
}
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dnsserver.corefile import Property, plugin_zones
from dnsserver.derive.apex import NameServer
from dnsserver.names import (
    MAX_NAME,
    ROOT,
    InvalidNameError,
    Name,
    from_labels,
    from_text,
    is_at_or_below,
    labels,
    to_text,
)
from dnsserver.objects import Further
from dnsserver.objects.views import packed
from dnsserver.store.config import InterfacesConfig

MAX_TTL = 3600  # seconds

_REVERSE = (from_text("in-addr.arpa"), from_text("ip6.arpa"))
# what a zone of Services has right below it, where VMIs' names would hide it
_TAKEN = (b"svc", b"pod", b"dns", b"dns-version")
_ROOM = 2 + 2 + 2  # octets of the shortest names of an interface, a VMI and a namespace
_USAGE = {  # each option as it should be written
    "ttl": "ttl SECONDS",
    "nameserver": "nameserver NAME [ADDRESS...]",
    "networks": "networks NAME...",
    "guest_agent": "guest_agent on|off",
}
_NETWORK = re.compile(r"[A-Za-z0-9_-]+|[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_ON = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The option."""

    zones: tuple[Name, ...]
    ttl: int | None = None  # seconds; None: the plugin's
    servers: tuple[NameServer, ...] = ()
    further: Further = field(default_factory=Further)

    def store(self, ttl: int, apart: tuple[Name, ...]) -> InterfacesConfig:
        """Return what the store needs to know; `ttl` is the plugin's, `apart` are zones that another store makes."""
        return InterfacesConfig(self.zones, ttl if self.ttl is None else self.ttl, self.further, self.servers, apart)


def parse_interfaces(option: Property, block: Iterable[Name]) -> Interfaces:
    """Parse the option in a server block of those zones. Raises `CorefileError`."""
    if not option.args:
        raise option.argument_error("interfaces ZONE...")
    found = Interfaces(_zones(option, tuple(block)))
    for one in option.properties:
        known = _OPTIONS.get(one.name)
        if known is None:
            raise one.unknown(" or ".join(_USAGE.values()))
        if one.properties:
            raise one.error(f"'{one.name}' takes no block")
        found = known(found, one)
    return found


def check_interfaces(option: Property, found: Interfaces, zones: Iterable[Name]) -> None:
    """Raise `CorefileError` for a zone that cannot stand beside the plugin's other `zones`."""
    for index, origin in enumerate(found.zones):
        for other in zones:
            if origin == other:
                raise option.error(f"interfaces: {to_text(origin)} has the names of Services already", index)
            for taken in (from_labels((label,), other) for label in _TAKEN):
                if is_at_or_below(origin, taken):
                    raise option.error(
                        f"interfaces: {to_text(origin)} would hide names of {to_text(other)}, "
                        f"expecting a zone that is not at or below {to_text(taken)}",
                        index,
                    )


def _zones(option: Property, block: tuple[Name, ...]) -> tuple[Name, ...]:
    """Return the zones."""
    found: list[Name] = []
    for index, text in enumerate(option.args):
        (origin,) = [from_text(zone) for zone in plugin_zones((text,), ())][:1] or (ROOT,)
        if origin == ROOT or any(is_at_or_below(origin, root) for root in _REVERSE):
            raise option.error(f"interfaces: '{text}' is no zone of names, expecting one such as vm.example.org", index)
        if len(origin) + _ROOM > MAX_NAME:
            raise option.error(f"interfaces: below '{text}' there is no room for names", index)
        if not any(is_at_or_below(origin, zone) for zone in block):
            there = ", ".join(map(to_text, block))
            raise option.error(
                f"interfaces: no question for {to_text(origin)} gets here, expecting it at or below a zone of the "
                f"server block: {there}",
                index,
            )
        for other in found:
            if is_at_or_below(origin, other) or is_at_or_below(other, origin):
                raise option.error(f"interfaces: {to_text(origin)} and {to_text(other)} would hide each other", index)
        found.append(origin)
    return tuple(found)


def _arguments(option: Property, least: int, most: int | None = None) -> tuple[str, ...]:
    """Return an option's arguments if their number is right."""
    if len(option.args) < least or (most is not None and len(option.args) > most):
        raise option.argument_error(_USAGE[option.name])
    return option.args


def ttl_of(option: Property) -> int:
    """Return the argument of `ttl`, seconds. Raises `CorefileError`."""
    if len(option.args) != 1:
        raise option.argument_error(_USAGE["ttl"])
    (text,) = option.args
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_TTL):
        raise option.error(f"ttl must be in range [0, {MAX_TTL}]: {text}", 0)
    return int(text)


def _ttl(found: Interfaces, option: Property) -> Interfaces:
    return replace(found, ttl=ttl_of(option))


def _nameserver(found: Interfaces, option: Property) -> Interfaces:
    text, *texts = _arguments(option, 1)
    try:
        name = from_text(text)
    except InvalidNameError as error:
        raise option.error(f"nameserver: {error}", 0) from error
    if name == ROOT or packed(text) is not None:
        raise option.error(f"nameserver: '{text}' is no host name, expecting {_USAGE['nameserver']}", 0)
    if any(one.name == name for one in found.servers):
        raise option.error(f"nameserver: {to_text(name)} is named twice", 0)
    origin = next((one for one in found.zones if is_at_or_below(name, one)), None)
    if origin is None and texts:
        raise option.error(
            f"nameserver: {to_text(name)} is in no zone of interfaces, which so cannot hold addresses", 1
        )
    if origin is not None and len(labels(name)) != len(labels(origin)) + 1:
        raise option.error(
            f"nameserver: {to_text(name)} could be a VMI's name, expecting one label below {to_text(origin)}", 0
        )
    addresses = tuple(_address(option, index) for index in range(1, len(option.args)))
    return replace(found, servers=(*found.servers, NameServer(name, tuple(dict.fromkeys(addresses)))))


def _address(option: Property, index: int) -> bytes:
    """Return an argument, an address, packed."""
    address = packed(option.args[index])
    if address is None:
        raise option.error(f"nameserver: '{option.args[index]}' is not an IP address", index)
    return address


def _networks(found: Interfaces, option: Property) -> Interfaces:
    names = _arguments(option, 1)
    for index, name in enumerate(names):
        if not _NETWORK.fullmatch(name):
            expected = "the name of a network in spec.networks, or NAMESPACE/NAME of its NetworkAttachmentDefinition"
            raise option.error(f"networks: '{name}' is not {expected}", index)
    further = Further(found.further.networks | frozenset(names), found.further.guest_agent)
    return replace(found, further=further)


def _guest_agent(found: Interfaces, option: Property) -> Interfaces:
    (word,) = _arguments(option, 1, 1)
    if word not in _ON:
        raise option.error(f"guest_agent is on or off, not '{word}'", 0)
    return replace(found, further=Further(found.further.networks, _ON[word]))


_OPTIONS: dict[str, Callable[[Interfaces, Property], Interfaces]] = {
    "ttl": _ttl,
    "nameserver": _nameserver,
    "networks": _networks,
    "guest_agent": _guest_agent,
}
