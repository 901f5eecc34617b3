"""The content of a hosts file: its lines, and which names of a zone are among them. No I/O."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dnsserver.names import InvalidNameError, Name, from_text, is_at_or_below, parent, reverse_name

WILDCARD = b"\x01*"  # a label, in wire form
MAX_LOOKED_AT = 10_000  # names that are compared with those of a zone, which takes 1 ms


@dataclass(frozen=True, slots=True)
class Table:
    """The content of a hosts file; an address or name that stands there twice is in it once."""

    addresses: Mapping[Name, tuple[bytes, ...]] = field(default_factory=dict)  # packed, by name; `*` is a label
    names: Mapping[bytes, tuple[Name, ...]] = field(default_factory=dict)  # by packed address
    entries: int = 0  # of both mappings together, as CoreDNS counts them
    pointers: tuple[Name, ...] = ()  # the owners of PTR records


class BadLineError(ValueError):
    """A line that says nothing about a name; the text says why."""


def parse_line(line: bytes) -> tuple[bytes, list[Name]] | None:
    """Return the packed address and the names of one line, None where it is empty or a comment.

    An IPv6 zone identifier is dropped, an IPv4-mapped address is IPv4. Raises `BadLineError`.
    """
    fields = line.partition(b"#")[0].split()
    if not fields:
        return None
    try:
        words = [word.decode() for word in fields]
    except UnicodeDecodeError:
        raise BadLineError("not UTF-8") from None
    if len(words) < 2:
        raise BadLineError(f"no name after '{words[0][:100]}'")
    return _packed(words[0]), [_name(word) for word in words[1:]]


def _packed(word: str) -> bytes:
    try:
        address = ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        raise BadLineError(f"'{word[:100]}' is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def _name(word: str) -> Name:
    try:
        return from_text(word)
    except InvalidNameError as error:
        raise BadLineError(str(error)) from None


def parse_hosts(
    lines: Iterable[bytes], zones: Sequence[Name], *, reverse: bool, complain: Callable[[int, str], None]
) -> Table:
    """Parse a hosts file's lines; names outside the zones are left out, and bad lines, after a complaint."""
    addresses: dict[Name, dict[bytes, None]] = {}
    names: dict[bytes, dict[Name, None]] = {}
    for number, line in enumerate(lines, 1):
        try:
            parsed = parse_line(line)
        except BadLineError as error:
            complain(number, str(error))
            continue
        packed, written = parsed or (b"", [])
        for name in written:
            if not any(is_at_or_below(name, zone) for zone in zones):
                continue
            addresses.setdefault(name, {})[packed] = None
            if reverse and not name.startswith(WILDCARD):
                names.setdefault(packed, {})[name] = None
    entries = sum(map(len, addresses.values())) + sum(map(len, names.values()))
    return Table(
        {name: tuple(found) for name, found in addresses.items()},
        {packed: tuple(found) for packed, found in names.items()},
        entries,
        tuple(map(reverse_name, names)),
    )


def names_in(origin: Name, *tables: Table) -> set[Name]:
    """Return names at or below `origin`: whatever the tables have of that zone is at or below one of them.

    That may be too much: of tables that are too long to be looked through, it is all of the zone.
    """
    if sum(len(table.addresses) + len(table.pointers) for table in tables) > MAX_LOOKED_AT:
        return {origin}
    found = (_name_in(origin, name) for table in tables for name in (*table.addresses, *table.pointers))
    return {name for name in found if name is not None}


def _name_in(origin: Name, name: Name) -> Name | None:
    """Return the name at or below which an entry has answers in a zone; None where it has none there."""
    if name.startswith(WILDCARD):  # any label below the next name
        name = parent(name)
        if name == parent(origin):
            return origin
    return name if is_at_or_below(name, origin) else None
