"""What all parts of the message format share: sizes, layouts, names and options; no I/O."""

import struct

from dnsserver.message import Query
from dnsserver.names import MAX_LABEL, MAX_NAME
from dnsserver.records import Rcode, RRType

HEADER_SIZE = 12  # octets (RFC 1035, section 4.1.1)
MAX_MESSAGE = 65535  # octets: what a TCP length prefix can say
MAX_POINTERS = 127  # on the way to a name: more than it can have labels
MAX_OPTIONS = 100  # of EDNS: a message of 64 KiB could have 16,000, and every one would be looked at

QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010
DO = 0x8000  # in the flags of OPT (RFC 3225, section 3)

PADDING_OPTION = 12  # RFC 7830, section 3
EDE_OPTION = 15  # RFC 8914, section 2
BADKEY = 17  # TSIG error (RFC 8945, section 5.2.1)

HEADER = struct.Struct("!6H")
TYPE_CLASS = struct.Struct("!HH")
RECORD = struct.Struct("!HHIH")  # type, class, TTL, RDLENGTH
FIXED = struct.Struct("!HHI")
POINTER_BITS = 0xC0

# Names in RDATA: (octets before them, how many). Senders compress only RFC 1035's (RFC 3597, section 4).
COMPRESSED: dict[int, tuple[int, int]] = {
    RRType.NS: (0, 1),
    RRType.CNAME: (0, 1),
    RRType.SOA: (0, 2),
    RRType.PTR: (0, 1),
    RRType.MX: (2, 1),
}
NAMES_IN_RDATA: dict[int, tuple[int, int]] = {**COMPRESSED, RRType.SRV: (6, 1)}
MAY_ARRIVE_COMPRESSED: dict[int, tuple[int, int]] = {
    **NAMES_IN_RDATA,
    **dict.fromkeys((3, 4, 7, 8, 9), (0, 1)),  # MD, MF, MB, MG, MR
    **dict.fromkeys((14, 17), (0, 2)),  # MINFO, RP
    **dict.fromkeys((18, 21, 36), (2, 1)),  # AFSDB, RT, KX
    39: (0, 1),  # DNAME
}


class MalformedMessageError(ValueError):
    """Octets that are not a DNS message."""


class MalformedQueryError(MalformedMessageError):
    """A query that gets an error instead of an answer.

    `query` is what could be read of it, None where even the question could not. `tsig` is the record that ends the
    error response to a signed query (RFC 8945, section 5.3.2), empty otherwise.
    """

    def __init__(self, reason: str, rcode: int = Rcode.FORMERR, *, tsig: bytes = b"") -> None:
        super().__init__(reason)
        self.rcode = rcode
        self.tsig = tsig
        self.query: Query | None = None


def read_name(wire: bytes, index: int, known: dict[int, bytes]) -> tuple[bytes, int]:
    """Return an uncompressed name and the index behind it (RFC 1035, section 4.1.4; RFC 9267, section 2).

    A pointer must point before the labels read so far, so a name ends. `known` remembers what pointers led to, label by
    label: a message of pointer ladders, or of pointers to every label of long names, costs no more than its length.
    Raises `MalformedMessageError`.
    """
    wire_name = bytearray()
    targets: list[tuple[int, int]] = []
    start, end, pointers = index, 0, 0
    try:
        while length := wire[index]:
            if length >= POINTER_BITS:
                target = (length & MAX_LABEL) << 8 | wire[index + 1]
                end = end or index + 2
                if not HEADER_SIZE <= target < start or pointers == MAX_POINTERS:
                    raise MalformedMessageError("a pointer does not point backwards, or is one of too many")
                if (suffix := known.get(target)) is not None:
                    wire_name += suffix
                    break
                pointers += 1
                targets.append((target, len(wire_name)))
                start = index = target
                continue
            if pointers and index != start:
                if (suffix := known.get(index)) is not None:
                    wire_name += suffix
                    break
                targets.append((index, len(wire_name)))
            wire_name += wire[index : index + 1 + length]
            index += 1 + length
            if length > MAX_LABEL or len(wire_name) >= MAX_NAME:
                raise MalformedMessageError("a label or a name is too long")
        else:
            wire_name.append(0)
            end = end or index + 1
    except IndexError:
        raise MalformedMessageError("a name runs past the message") from None
    if len(wire_name) > MAX_NAME:
        raise MalformedMessageError("a name is too long")
    name = bytes(wire_name)
    for target, position in targets:
        known[target] = name[position:]
    return name, end


def parse_options(wire: bytes, index: int, end: int) -> tuple[tuple[int, bytes], ...]:
    """Return the EDNS options between two indexes (RFC 6891, section 6.1.2)."""
    options: list[tuple[int, bytes]] = []
    while index < end:
        start = index + 4
        if start > end or len(options) == MAX_OPTIONS:
            raise MalformedQueryError("an EDNS option is cut short, or is one of too many")
        code, length = TYPE_CLASS.unpack_from(wire, index)
        index = start + length
        if index > end:
            raise MalformedQueryError("an EDNS option runs past OPT")
        options.append((code, wire[start:index]))
    return tuple(options)
