"""Queries: octets in, a question out; no I/O.

Octets are read in time proportional to their number, and counts are checked before anything is parsed.
"""

import struct

import msgspec

from dnsserver.message import Edns, Query
from dnsserver.names import MAX_LABEL, MAX_NAME, Name
from dnsserver.records import Rcode, RRClass, RRType
from dnsserver.wire.format import (
    BADKEY,
    CD,
    DO,
    HEADER,
    HEADER_SIZE,
    POINTER_BITS,
    RD,
    RECORD,
    TYPE_CLASS,
    MalformedMessageError,
    MalformedQueryError,
    parse_options,
)
from dnsserver.wire.signature import Tsig, encode_tsig, read_tsig, without_last

# More records than these are not a query: counts are checked before anything is parsed, so work stays constant.
_MAX_ANSWERS = 1  # NOTIFY carries the new SOA (RFC 1996, section 3.7)
_MAX_AUTHORITIES = 1  # IXFR carries the client's SOA (RFC 1995, section 3)
_MAX_ADDITIONALS = 2  # OPT and TSIG
_ANY_CLASS, _OPT, _TSIG = map(int, (RRClass.ANY, RRType.OPT, RRType.TSIG))  # plain: read often


def parse_query(wire: bytes) -> Query:
    """Return the question of a message, with the header bits and EDNS that decide the reply.

    Reads no QR bit. Raises `MalformedQueryError`, and nothing else, for any octets. Octets after the last record
    are ignored; so are records other than OPT and TSIG, as long as they are whole.
    """
    size = len(wire)
    if size < HEADER_SIZE:
        raise MalformedQueryError("the header is cut short")
    ident, flags, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
    if questions != 1:
        raise MalformedQueryError("a query has one question (RFC 9619, section 4)")
    if answers > _MAX_ANSWERS or authorities > _MAX_AUTHORITIES or additionals > _MAX_ADDITIONALS:
        raise MalformedQueryError("more records than a query has")
    end = question_end(wire)
    if end + 4 > size:
        raise MalformedQueryError("the question is cut short")
    edns = fault = None
    before = answers + authorities
    if before or additionals:
        edns, fault = _parse_extra_records(wire, end + 4, before, before + additionals)
    qname = wire[HEADER_SIZE:end]
    qtype, qclass = TYPE_CLASS.unpack_from(wire, end)
    query = Query(
        ident,
        qname,
        Name(qname.lower()),
        qtype,
        qclass,
        flags >> 11 & 15,
        flags & RD != 0,
        flags & CD != 0,
        edns,
        size,
    )
    if fault is not None:
        fault.query = query
        raise fault
    return query


def parse_question_free(wire: bytes) -> Edns | None:
    """Return the EDNS of a message that is nothing but a header and OPT (RFC 7873, section 5.4); None for any other."""
    if len(wire) < HEADER_SIZE or wire[4:HEADER_SIZE] != b"\0\0\0\0\0\0\0\1":
        return None
    edns, fault = _parse_extra_records(wire, HEADER_SIZE, 0, 1)
    return edns if fault is None else None


def question_end(wire: bytes) -> int:
    """Return the index behind QNAME, which starts the message and so has nothing to point to."""
    index = HEADER_SIZE
    try:
        while length := wire[index]:
            index += 1 + length
            if length > MAX_LABEL or index >= HEADER_SIZE + MAX_NAME:
                raise MalformedQueryError("a label or the name is too long, or is a pointer")
    except IndexError:
        raise MalformedQueryError("the question is cut short") from None
    return index + 1


def _parse_extra_records(
    wire: bytes, index: int, before: int, total: int
) -> tuple[Edns | None, MalformedQueryError | None]:
    """Return the EDNS of a query, and what is wrong with its records, if anything is.

    `before` records come before the additional section, `total` is the count of all. A broken OPT is still EDNS: the
    error response then carries OPT too (RFC 6891, section 7).
    """
    edns = None
    try:
        for position in range(total):
            owner = index
            rrtype, rrclass, ttl, index, end = next_record(wire, index)
            if rrtype == _OPT:
                misplaced = edns is not None or wire[owner] != 0 or position < before
                edns = Edns(rrclass, ttl >> 16 & 0xFF, ttl & DO != 0)
                _require(not misplaced, "one OPT, owned by the root, in the additional section (RFC 6891, 6.1.1)")
                if index < end and not edns.version:  # what the RDATA of another version means is not known
                    edns = Edns(rrclass, 0, edns.dnssec_ok, parse_options(wire, index, end))
            elif rrtype == _TSIG:
                last = before <= position == total - 1
                _require(last and rrclass == _ANY_CLASS and not ttl, "TSIG is last, of class ANY (RFC 8945, 5.1)")
                return edns, _tsig_refusal(wire, owner, index, end)
            index = end
    except MalformedQueryError as fault:
        return edns, fault
    return edns, None


def _require(condition: bool, reason: str) -> None:
    """Raise MalformedQueryError for the reason unless the condition holds."""
    if not condition:
        raise MalformedQueryError(reason)


def next_record(wire: bytes, index: int) -> tuple[int, int, int, int, int]:
    """Return type, class, TTL, and where RDATA starts and ends, of the record at an index."""
    try:
        index = _name_end(wire, index)
        rrtype, rrclass, ttl, length = RECORD.unpack_from(wire, index)
    except (IndexError, struct.error):
        raise MalformedQueryError("a record is cut short") from None
    start = index + RECORD.size
    if start + length > len(wire):
        raise MalformedQueryError("RDATA runs past the message")
    return rrtype, rrclass, ttl, start, start + length


def _name_end(wire: bytes, index: int) -> int:
    """Return the index behind an owner name without following its pointer; IndexError where the message ends."""
    limit = index + MAX_NAME
    while length := wire[index]:
        if length >= POINTER_BITS:
            return index + 2
        index += 1 + length
        if length > MAX_LABEL or index >= limit:
            raise MalformedQueryError("a label or an owner name is too long")
    return index + 1


def _tsig_refusal(wire: bytes, owner: int, start: int, end: int) -> MalformedQueryError:
    """Return the answer to a key that is not ours, and none is: NOTAUTH and BADKEY, unsigned (RFC 8945, 5.2.1)."""
    try:
        tsig = read_tsig(wire, owner, start, end)
    except MalformedMessageError as error:
        return MalformedQueryError(str(error))
    refusal = encode_tsig(msgspec.structs.replace(tsig, mac=b"", error=BADKEY, other=b""))
    if len(refusal) > end - owner:  # names that were compressed: an error larger than its query serves attackers alone
        refusal = b""
    return MalformedQueryError("signed with a key that is not known", Rcode.NOTAUTH, tsig=refusal)


def split_tsig(wire: bytes) -> tuple[bytes, Tsig] | None:
    """Return a message without its TSIG, and the TSIG; None where it has none, or is not whole.

    It is a message of one question and no more records than a query has.
    """
    size = len(wire)
    if size < HEADER_SIZE or not wire[11]:
        return None
    _, _, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
    if questions != 1 or answers > _MAX_ANSWERS or authorities > _MAX_AUTHORITIES or additionals > _MAX_ADDITIONALS:
        return None
    try:
        owner = index = question_end(wire) + 4
        for _ in range(answers + authorities + additionals):
            owner = index
            rrtype, rrclass, ttl, start, index = next_record(wire, owner)
        if rrtype != _TSIG or rrclass != _ANY_CLASS or ttl:
            return None
        return without_last(wire, owner), read_tsig(wire, owner, start, index)
    except MalformedMessageError:
        return None
