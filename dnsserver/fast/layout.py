"""What the compiled table reads, octet by octet: from zones and rendered names to the structs of loop.h, and back.

Numbers stand as the machine has them. `SIZES_IN_C` holds both sides together: ready.py compares it with what was
compiled.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from dnsserver.fast.rendering import OTHER_TYPES, Node
from dnsserver.fast.table import COUNTED_TYPES, DURATIONS, MAX_KEPT, QUICK, SIZES, FastZone, Tally
from dnsserver.names import Name, labels

MAX_ZONES = 32
MAX_READERS = 32

_OTHERS = 255  # in place of a type's number: the responder's
_TYPES = (0, *sorted(COUNTED_TYPES))
_BARS = 1 << 17  # octets of responses without compression, at most
_POINTERS = 3  # in an SOA of a denial: owner, MNAME, RNAME

_SETTINGS = struct.Struct(f"@2Q256s{_BARS}s")
_NODE = struct.Struct("@PHHB0P")
_KIND = struct.Struct("@4HI2B0I")
_ZONES = struct.Struct("@PQ")
_ZONE = struct.Struct("@2I7H4B0I")
_SIZE_BARS, _TIME_BARS = len(SIZES) + 1, len(DURATIONS) + 1
_CELL = struct.Struct(f"@{3 + 2 * _SIZE_BARS + _TIME_BARS}Q")  # octets of queries and of responses, nanoseconds, bars
_CELLS = len(_TYPES) * 4  # of one zone, by type, NXDOMAIN and DO
_READER = struct.Struct(f"@2Q{MAX_ZONES * _CELLS * _CELL.size}s")
_FIRST_CELL = 16  # octets of a reader in front of it
WAITING = struct.Struct("@Q28sI128s")  # size of all, peer, length of control messages, control messages; then the data
STATE = struct.Struct("@7Q")  # stop, errno, messages, responses, send errors, send drops, shed

SIZES_IN_C = (
    MAX_ZONES,
    MAX_READERS,
    len(_TYPES),
    _SIZE_BARS,
    _TIME_BARS,
    _SETTINGS.size,
    _NODE.size,
    _KIND.size,
    _ZONES.size,
    _ZONE.size,
    _READER.size,
    WAITING.size,
)


class Counted(NamedTuple):
    """A cell of a reader, and what was counted in it."""

    zone: int  # its place in the table
    qtype: int
    rcode: int
    dnssec_ok: bool
    values: tuple[int, ...]


@cache
def settings() -> bytes:
    """Return what is the same for every table."""
    types = bytearray(256)
    for number, qtype in enumerate(_TYPES):
        types[qtype] = number
    for qtype in OTHER_TYPES:
        types[qtype] = _OTHERS
    bars = bytes(bisect_left(SIZES, size) for size in range(_BARS))
    return _SETTINGS.pack(MAX_KEPT, QUICK, bytes(types), bars)


def node(name: Name, found: Node) -> bytes:
    """Return what a name answers."""
    kinds, bodies, start = [], [name], len(name)
    for qtype, one in found.types.items():
        if one is None:
            kinds.append(_KIND.pack(qtype, 0, 0, 0, 0, 0, 0))
        else:
            kinds.append(_KIND.pack(qtype, one.records, len(one.body), one.size, start, one.lower, one.rotates))
            bodies.append(Name(one.body))
            start += len(one.body)
    return b"".join((_NODE.pack(0, len(name), len(kinds), found.closed), *kinds, *bodies))


def zones(served: Sequence[FastZone], *, all_noted: bool) -> bytes:
    """Return one version of all zones; nothing is missing before all names are noted."""
    suffixes = [(index, fast, name) for index, fast in enumerate(served) for name in (*_apart(fast), fast.zone.origin)]
    start = _ZONES.size + _ZONE.size * len(suffixes)
    heads, tail = [_ZONES.pack(0, len(suffixes))], bytearray()
    for index, fast, name in suffixes:
        pieces = fast.denial.pieces
        body = b"\0\0".join(pieces)
        places = [sum(map(len, pieces[: count + 1])) + 2 * count for count in range(_POINTERS)]
        listed = name == fast.zone.origin and len(pieces) == _POINTERS + 1
        heads.append(
            _ZONE.pack(
                start + len(tail),
                start + len(tail) + len(name),
                len(name),
                len(labels(name)),
                len(body),
                fast.denial.size,
                *places,
                index,
                listed,
                fast.missing and all_noted,
                fast.rotates,
            )
        )
        tail += name + body
    return b"".join((*heads, tail))


def _apart(fast: FastZone) -> tuple[Name, ...]:
    """Return the suffixes of names that may exist though the zone does not list them, or that are not its own."""
    return (*fast.outside, *fast.made)


def reader_size(count: int) -> int:
    """Return the octets of a reader's memory up to those of so many zones."""
    return _FIRST_CELL + count * _CELLS * _CELL.size


def counted(before: bytes, now: bytes) -> Iterator[Counted]:
    """Yield what a reader has counted since the beginning of its memory was `before`."""
    before = before.ljust(len(now), b"\0")
    for number in range((len(now) - _FIRST_CELL) // _CELL.size):
        start = _FIRST_CELL + number * _CELL.size
        if now[start : start + _CELL.size] == before[start : start + _CELL.size]:
            continue
        pairs = zip(_CELL.unpack_from(now, start), _CELL.unpack_from(before, start), strict=True)
        zone, cell = divmod(number, _CELLS)
        qtype, rcode, dnssec_ok = _TYPES[cell // 4], 3 if cell & 2 else 0, bool(cell & 1)
        yield Counted(zone, qtype, rcode, dnssec_ok, tuple(new - old for new, old in pairs))


def add(tally: Tally, values: Sequence[int]) -> None:
    """Add what was counted to a tally."""
    tally.query_octets += values[0]
    tally.response_octets += values[1]
    tally.nanoseconds += values[2]
    start = 3
    for bars in (tally.query_sizes, tally.response_sizes, tally.durations):
        for index in range(len(bars)):
            bars[index] += values[start + index]
        start += len(bars)
