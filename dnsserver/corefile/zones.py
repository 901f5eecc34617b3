"""Server block keys and plugin zone arguments to zone names; no I/O.

Zones leave here absolute and lower case in presentation format, so equal zones are equal text.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dnsserver.names import InvalidNameError, from_text, parent, reverse_name, to_text

DEFAULT_PORTS = {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}

_KEY = re.compile(r"(?:(?P<scheme>[^:/]*)://)?(?P<zone>.*?)(?::(?P<port>[0-9]+))?", re.DOTALL)
_NETWORK = re.compile(r"(?P<address>[0-9a-fA-F:.]+)/(?P<prefix>[0-9]{1,3})")
_FORBIDDEN = re.compile(r"[(){}:]")


class InvalidZoneError(ValueError):
    """A key or zone argument that names no zone; the text says what was expected."""


class KeyParts(NamedTuple):
    """What one key says; a network stands for several zones."""

    scheme: str
    zones: tuple[str, ...]
    port: int | None


def default_port(scheme: str, dns_port: int = 53) -> int:
    """Return the port of a key that names none; the command line moves plain DNS only."""
    return dns_port if scheme == "dns" else DEFAULT_PORTS[scheme]


def parse_key(text: str) -> KeyParts:
    """Parse `[scheme://]zone-or-network[:port]`.

    A final `:digits` is the port, so an IPv6 network needs its `/prefix` to be one. Raises `InvalidZoneError`.
    """
    match = _KEY.fullmatch(text)
    assert match is not None  # noqa: S101  # every part of the pattern may be empty: it fits any text
    scheme = match["scheme"] if match["scheme"] is not None else "dns"
    if scheme not in DEFAULT_PORTS:
        raise InvalidZoneError(
            f"unknown scheme '{_clip(scheme)}' in '{_clip(text)}', expecting one of {', '.join(DEFAULT_PORTS)}"
        )
    if not match["zone"]:
        raise InvalidZoneError(f"no zone in '{_clip(text)}', expecting a name, a network or '.' for the root")
    return KeyParts(scheme, zones_from_text(match["zone"]), _port(match["port"]))


def _port(digits: str | None) -> int | None:
    if digits is None:
        return None
    # int() refuses thousands of digits with an error of its own, so the length is looked at first
    if len(digits) > 5 or int(digits) > 65535:
        raise InvalidZoneError(f"port {digits[:20]} is not a number from 0 to 65535")
    return int(digits)


def _clip(text: str) -> str:
    """Return text that fits into a message."""
    return text if len(text) <= 100 else f"{text[:100]}..."


def zones_from_text(text: str) -> tuple[str, ...]:
    """Return the zones that a name (one) or a network (its reverse zones) stands for.

    Raises `InvalidZoneError`. CoreDNS takes some typing errors for names (`example.org{`, `example.org:dns`) and
    then serves a zone nobody asks for; here they are errors.
    """
    if (network := _NETWORK.fullmatch(text)) and (zones := _network_zones(text, network)):
        return zones
    if _FORBIDDEN.search(text):
        raise InvalidZoneError(
            f"'{_clip(text)}' is not a zone: expecting a name, a network such as 10.0.0.0/8, an optional ':port', "
            "and a space before '{'"
        )
    try:
        return (to_text(from_text(text)),)
    except InvalidNameError as error:
        raise InvalidZoneError(f"{_clip(text)!r} is not a valid domain name: {error}") from error


def _network_zones(text: str, match: re.Match[str]) -> tuple[str, ...]:
    """Return the reverse zones of a network, or nothing for a name that only looks like one.

    `0/25.2.0.192.in-addr.arpa` and its like are names (RFC 2317); an address before the slash is a network.
    """
    try:
        version = ipaddress.ip_address(match["address"]).version
    except ValueError:
        return ()
    try:
        # host bits may be set: the network they are in is meant, as in Go's ParseCIDR
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        limit = 32 if version == 4 else 128
        raise InvalidZoneError(f"'{_clip(text)}' is not a network, expecting a prefix of 0 to {limit}") from None
    return reverse_zones(network)


def reverse_zones(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[str, ...]:
    """Return the reverse zones that cover a network exactly, lowest address first.

    Reverse names have a label an octet (IPv4; RFC 1035, section 3.5) or a nibble (IPv6; RFC 3596, section 2.5), so
    a network between two such boundaries is split at the next longer one: at most 128 zones.
    """
    bits = 8 if network.version == 4 else 4
    boundary = -(-network.prefixlen // bits) * bits
    dropped = (network.max_prefixlen - boundary) // bits
    return tuple(_reverse_zone(part.network_address.packed, dropped) for part in network.subnets(new_prefix=boundary))


def _reverse_zone(address: bytes, dropped: int) -> str:
    """Return the PTR owner of an address without its first labels."""
    name = reverse_name(address)
    for _ in range(dropped):
        name = parent(name)
    return to_text(name)


def plugin_zones(args: Iterable[str], default: Sequence[str]) -> tuple[str, ...]:
    """Return the zones a plugin is for: its arguments', or the server block's where it has none.

    As in CoreDNS a scheme or port is dropped and an argument that names no zone is skipped in silence, so bad
    arguments alone leave no zone at all and not the default.
    """
    args = tuple(args)
    if not args:
        return tuple(default)
    zones: dict[str, None] = {}
    for arg in args:
        try:
            zones.update(dict.fromkeys(parse_key(arg).zones))
        except InvalidZoneError:
            continue
    return tuple(zones)
