"""`bind ADDRESS|INTERFACE... { except ADDRESS|INTERFACE... }`: where a server block listens.

The addresses are those that the interfaces have when the Corefile is read.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence

from dnsserver.corefile import Directive, Property
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Plugin

_USAGE = "bind ADDRESS|INTERFACE... { except ADDRESS|INTERFACE... }"


class Bind(Plugin):
    """Takes no part in answering: the app listens on `addresses` instead of everywhere."""

    name = "bind"

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses  # distinct, as written; a link-local one names its interface: "fe80::1%eth0"


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Join the addresses of every `bind` of the block; `except` is for its own directive only."""
    addresses: dict[str, None] = {}
    interfaces = _interfaces(directives[0])
    for directive in directives:
        arguments(directive, _USAGE, 1)
        excluded: set[str] = set()
        for prop in properties(directive, "except"):
            arguments(prop, "except ADDRESS|INTERFACE...", 1)
            excluded.update(_addresses(prop, interfaces))
        kept = [address for address in _addresses(directive, interfaces) if address not in excluded]
        if not kept:
            raise directive.error("no address is left to bind to, expecting at least one")
        addresses.update(dict.fromkeys(kept))
    return (Bind(tuple(addresses)),)


def _interfaces(directive: Directive) -> Mapping[str, tuple[str, ...]]:
    try:
        return interface_addresses()
    except OSError as error:
        raise directive.error(f"failed to get interfaces list: {error}") from error


def _addresses(statement: Directive | Property, interfaces: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the addresses that the arguments stand for; an interface's name wins, as in CoreDNS."""
    for index, argument in enumerate(statement.args):
        if argument in interfaces:
            yield from interfaces[argument]
            continue
        try:
            yield str(ipaddress.ip_address(argument))
        except ValueError as error:
            known = ", ".join(sorted(interfaces))
            raise statement.error(
                f"not a valid IP address or interface name: '{argument}', expecting an address or one of {known}", index
            ) from error


_NETLINK_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ADDRESS_HEADER = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR, _DONE, _NEW_ADDRESS, _GET_ADDRESS = 2, 3, 20, 22  # message types (linux/netlink.h, linux/rtnetlink.h)
_REQUEST_DUMP = 0x301
_PEER, _LOCAL = 1, 2  # attributes: on a point-to-point link the first is the other end's


def interface_addresses() -> dict[str, tuple[str, ...]]:
    """Return the addresses of each network interface, IPv4 first; link-local ones with `%` and the interface.

    Asks the kernel over netlink (Linux only). An interface without an address is there with none. Raises `OSError`.
    """
    found: dict[str, list[str]] = {name: [] for _, name in socket.if_nameindex()}
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("interfaces can be listed on Linux only")
    for index, packed in _dump_addresses():
        try:
            name = socket.if_indextoname(index)
        except OSError:
            continue  # it went away meanwhile
        address = ipaddress.ip_address(packed)
        found.setdefault(name, []).append(f"{address}%{name}" if address.is_link_local else str(address))
    return {name: tuple(sorted(addresses, key=lambda text: ":" in text)) for name, addresses in found.items()}


def _dump_addresses() -> Iterator[tuple[int, bytes]]:
    """Yield (interface index, packed address) of every address of this machine."""
    body = _ADDRESS_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    request = _NETLINK_HEADER.pack(_NETLINK_HEADER.size + len(body), _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(5)  # the kernel answers at once; a sandbox may not at all
        netlink.bind((0, 0))
        netlink.sendto(request, (0, 0))
        while True:
            for kind, message in _records(netlink.recv(1 << 16), _NETLINK_HEADER):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError("the kernel refused to list addresses")
                if kind == _NEW_ADDRESS and (entry := _address(message)) is not None:
                    yield entry


def _address(message: bytes) -> tuple[int, bytes] | None:
    """Return (interface index, packed address) of one netlink message, without its header."""
    family, _, _, _, index = _ADDRESS_HEADER.unpack_from(message)
    attributes = dict(_records(message[_ADDRESS_HEADER.size :], _ATTRIBUTE))
    packed = attributes.get(_LOCAL) or attributes.get(_PEER)
    if family not in (socket.AF_INET, socket.AF_INET6) or not packed:
        return None
    return index, packed


def _records(data: bytes, header: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Yield (type, body) of each record; all begin with length and type, and start at multiples of 4 octets."""
    at = 0
    while at + header.size <= len(data):
        length, kind = header.unpack_from(data, at)[:2]
        if length < header.size:
            return
        yield kind, data[at + header.size : at + length]
        at += (length + 3) & ~3
