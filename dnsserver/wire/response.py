"""Responses of other servers: octets in, typed sections out; no I/O."""

import msgspec

from dnsserver.message import Edns
from dnsserver.names import ROOT
from dnsserver.records import RRType
from dnsserver.wire.format import (
    AA,
    AD,
    CD,
    DO,
    EDE_OPTION,
    HEADER,
    HEADER_SIZE,
    MAY_ARRIVE_COMPRESSED,
    QR,
    RA,
    RD,
    RECORD,
    TC,
    TYPE_CLASS,
    MalformedMessageError,
    parse_options,
    read_name,
)


class Question(msgspec.Struct, frozen=True, gc=False):
    """One entry of a question section."""

    qname: bytes  # uncompressed wire form, in the case it came in
    qtype: int
    qclass: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One resource record as it came."""

    owner: bytes  # uncompressed wire form, in the case it came in
    rrtype: int
    rrclass: int
    ttl: int  # seconds
    rdata: bytes  # names in it uncompressed


class ParsedResponse(msgspec.Struct, frozen=True):
    """A whole message; OPT is `edns` and not among the additional records."""

    id: int
    flags: int  # the second word of the header, RCODE included
    rcode: int  # with the upper bits that OPT carries
    question: tuple[Question, ...]
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    edns: Edns | None
    size: int  # octets up to the end of the last record

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 15

    @property
    def authoritative(self) -> bool:
        return self.flags & AA != 0

    @property
    def truncated(self) -> bool:
        return self.flags & TC != 0

    @property
    def recursion_desired(self) -> bool:
        return self.flags & RD != 0

    @property
    def recursion_available(self) -> bool:
        return self.flags & RA != 0

    @property
    def authenticated(self) -> bool:
        return self.flags & AD != 0

    @property
    def checking_disabled(self) -> bool:
        return self.flags & CD != 0

    @property
    def extended_error(self) -> tuple[int, str] | None:
        """The first EDE option as (INFO-CODE, EXTRA-TEXT), None without one (RFC 8914, section 2)."""
        for code, data in self.edns.options if self.edns is not None else ():
            if code == EDE_OPTION and len(data) >= 2:
                return int.from_bytes(data[:2], "big"), data[2:].decode(errors="replace")
        return None


def parse_response(wire: bytes) -> ParsedResponse:
    """Return all of a response (QR=1), names uncompressed; raises `MalformedMessageError`, and nothing else.

    Octets after the last record are ignored: compare `size` with the length of the message.
    """
    message = parse_message(wire)
    if not message.flags & QR:
        raise MalformedMessageError("a query where a response was expected")
    return message


def parse_message(wire: bytes) -> ParsedResponse:
    """Return all of a query or response; raises `MalformedMessageError`."""
    if len(wire) < HEADER_SIZE:
        raise MalformedMessageError("the header is cut short")
    ident, flags, questions, *counts = HEADER.unpack_from(wire)
    index = HEADER_SIZE
    known: dict[int, bytes] = {}
    asked = []
    for _ in range(questions):
        qname, index = read_name(wire, index, known)
        if index + 4 > len(wire):
            raise MalformedMessageError("the question is cut short")
        asked.append(Question(qname, *TYPE_CLASS.unpack_from(wire, index)))
        index += 4
    sections = []
    for count in counts:
        records, index = _read_section(wire, index, count, known)
        sections.append(records)
    opts = [record for section in sections for record in section if record.rrtype == RRType.OPT]
    additional = [record for record in sections[2] if record.rrtype != RRType.OPT]
    if len(opts) > len(sections[2]) - len(additional) or len(opts) > 1:
        raise MalformedMessageError("more than one OPT, or not in the additional section")
    edns, upper = _response_edns(opts[0]) if opts else (None, 0)
    return ParsedResponse(
        ident,
        flags,
        upper << 4 | flags & 15,
        tuple(asked),
        tuple(sections[0]),
        tuple(sections[1]),
        tuple(additional),
        edns,
        index,
    )


def _read_section(wire: bytes, index: int, count: int, known: dict[int, bytes]) -> tuple[list[Record], int]:
    """Return `count` records and the index behind them."""
    records = []
    for _ in range(count):
        owner, index = read_name(wire, index, known)
        start = index + RECORD.size
        if start > len(wire):
            raise MalformedMessageError("a record is cut short")
        rrtype, rrclass, ttl, length = RECORD.unpack_from(wire, index)
        index = start + length
        if index > len(wire):
            raise MalformedMessageError("RDATA runs past the message")
        layout = MAY_ARRIVE_COMPRESSED.get(rrtype)
        rdata = wire[start:index] if layout is None or not length else _expand(wire, start, index, layout, known)
        records.append(Record(owner, rrtype, rrclass, ttl, rdata))
    return records, index


def _expand(wire: bytes, index: int, end: int, layout: tuple[int, int], known: dict[int, bytes]) -> bytes:
    """Return RDATA with its names uncompressed."""
    prefix, count = layout
    rdata = wire[index : index + prefix]
    index += prefix
    for _ in range(count):
        name, index = read_name(wire, index, known)
        rdata += name
    if index > end:
        raise MalformedMessageError("a name runs past its RDATA")
    return rdata + wire[index:end]


def _response_edns(opt: Record) -> tuple[Edns, int]:
    """Return EDNS and the upper bits of RCODE from an OPT record."""
    if opt.owner != ROOT:
        raise MalformedMessageError("OPT is owned by the root")
    options = parse_options(opt.rdata, 0, len(opt.rdata))
    return Edns(opt.rrclass, opt.ttl >> 16 & 0xFF, opt.ttl & DO != 0, options), opt.ttl >> 24
