"""Replies and queries to octets: compression, EDNS, truncation; no I/O."""

from collections.abc import Iterable, Iterator

import msgspec

from dnsserver import names
from dnsserver.message import OWN_UDP_SIZE, Edns, Query, Reply
from dnsserver.names import ROOT, Name
from dnsserver.records import Opcode, Rcode, RRClass, RRset, RRType
from dnsserver.wire.format import (
    AA,
    AD,
    CD,
    COMPRESSED,
    DO,
    EDE_OPTION,
    FIXED,
    HEADER,
    HEADER_SIZE,
    NAMES_IN_RDATA,
    PADDING_OPTION,
    QR,
    RA,
    RD,
    RECORD,
    TC,
    TYPE_CLASS,
)

_IN, _ANY_CLASS = int(RRClass.IN), int(RRClass.ANY)  # plain: read often
_POINTER_TO_QNAME = b"\xc0\x0c"
_PAUSE = 200  # records of a stream that are encoded in one go: a millisecond or less
_MAX_POINTER = 0x4000
PLAIN_OPT = b"\0" + RECORD.pack(RRType.OPT, OWN_UDP_SIZE, 0, 0)
DO_OPT = b"\0" + RECORD.pack(RRType.OPT, OWN_UDP_SIZE, DO, 0)


def encode_error(wire: bytes, rcode: int) -> bytes:
    """Return a header-only error for a message of at least a header; nothing of its body is repeated."""
    ident, flags = TYPE_CLASS.unpack_from(wire)
    kept = flags & (RD | CD) if not flags & 0x7800 else flags & 0x7800
    return HEADER.pack(ident, QR | kept | (rcode if rcode < 16 else Rcode.SERVFAIL), 0, 0, 0, 0)


def encode_question_free(wire: bytes, edns: Edns, reply: Reply) -> bytes:
    """Return a response of a header and OPT alone (RFC 7873, section 5.4)."""
    return append_record(encode_error(wire, reply.rcode & 15), _encode_opt(edns, reply))


def append_record(response: bytes, record: bytes) -> bytes:
    """Return the response with one more additional record, already encoded, at its end."""
    count = int.from_bytes(response[10:12], "big") + 1
    return response[:10] + count.to_bytes(2, "big") + response[12:] + record


def encode_query(query: Query) -> bytes:
    """Return the message that asks `query`, with OPT where it has EDNS."""
    flags = query.opcode << 11 | query.recursion_desired << 8 | query.checking_disabled << 4
    edns = query.edns
    message = HEADER.pack(query.id, flags, 1, 0, 0, edns is not None)
    message += query.qname + TYPE_CLASS.pack(query.qtype, query.qclass)
    if edns is not None:
        options = b"".join(TYPE_CLASS.pack(code, len(data)) + data for code, data in edns.options)
        ttl = edns.version << 16 | edns.dnssec_ok << 15
        message += b"\0" + RECORD.pack(RRType.OPT, edns.udp_size, ttl, len(options)) + options
    return message


def encode_notify(ident: int, soa: RRset) -> bytes:
    """Return the message that tells a secondary which version of a zone there is (RFC 1996, section 3.7)."""
    question = soa.owner + TYPE_CLASS.pack(RRType.SOA, _IN)
    (rdata,) = soa.rdatas
    record = _POINTER_TO_QNAME + FIXED.pack(RRType.SOA, _IN, soa.ttl) + len(rdata).to_bytes(2, "big") + rdata
    return HEADER.pack(ident, Opcode.NOTIFY << 11 | AA, 1, 1, 0, 0) + question + record


def encode_reply(query: Query, reply: Reply, *, limit: int, padded_to: int = 0) -> bytes:
    """Return the response, of at most `limit` octets: 512 or more, so that question and OPT always fit.

    What does not fit is dropped from the end by whole records; TC says so unless only additional data is missing
    (RFC 2181, section 9), which a referral's glue is not (RFC 9471, section 3.1). Zeros make its length a multiple of
    `padded_to` where the query has EDNS (RFC 7830).
    """
    opt = b"" if query.edns is None else _encode_opt(query.edns, reply)
    padded_to = padded_to if opt else 0
    writer = _Writer(query, reply.origin, limit - len(opt) - (TYPE_CLASS.size if padded_to else 0))
    if writer.room < len(writer.out) and (reply.extended_error is not None or reply.options):
        return encode_reply(query, _with_less(reply), limit=limit, padded_to=padded_to)
    answers, whole = writer.put_section(reply.answer) if reply.answer else (0, True)
    authorities = additionals = 0
    if whole and reply.authority:
        authorities, whole = writer.put_section(reply.authority)
    if whole and reply.additional:
        written = [writer.put_whole(rrset) for rrset in reply.additional]
        additionals = sum(written)
        whole = all(written) or not _is_referral(reply)
    if not whole and reply.extended_error is not None and reply.extended_error[1]:
        # Records go before text that is for people (RFC 8914, section 3).
        less = msgspec.structs.replace(reply, extended_error=(reply.extended_error[0], ""))
        return encode_reply(query, less, limit=limit, padded_to=padded_to)
    out = writer.out
    if opt:
        out += opt
        additionals += 1
    if padded_to:
        _pad(out, len(out) - len(opt), padded_to, limit)
    flags = _encode_flags(query, reply, truncated=reply.truncated or not whole)
    HEADER.pack_into(out, 0, query.id, flags, 1, answers, authorities, additionals)
    return bytes(out)


def _is_referral(reply: Reply) -> bool:
    """Say whether all that the reply has is where to ask instead."""
    return not reply.authoritative and not reply.answer and any(one.rrtype == RRType.NS for one in reply.authority)


def _with_less(reply: Reply) -> Reply:
    """Return the reply without its extended error, or else without the last of its options."""
    if reply.extended_error is not None:
        return msgspec.structs.replace(reply, extended_error=None)
    return msgspec.structs.replace(reply, options=reply.options[:-1])


def _pad(out: bytearray, opt: int, block: int, limit: int) -> None:
    """Add PADDING to a message that ends with its OPT, which begins at an index."""
    size = len(out) + TYPE_CLASS.size
    padding = min(-size % block, limit - size)
    out += TYPE_CLASS.pack(PADDING_OPTION, padding) + bytes(padding)
    rdata = opt + 1 + RECORD.size
    out[rdata - 2 : rdata] = (len(out) - rdata).to_bytes(2, "big")


def encode_stream(query: Query, reply: Reply, rrsets: Iterable[RRset], *, limit: int) -> Iterator[bytes]:
    """Yield messages of at most `limit` octets that carry `rrsets` in their order (RFC 5936, section 2.2).

    Each has the question and the reply's header and OPT. Empty octets are no message but a pause, so that encoding many
    records, or an RRset without any, lets others have their turn. Raises ValueError at a record that fits nowhere.
    """
    opt = b"" if query.edns is None else _encode_opt(query.edns, reply)
    writer = _Writer(query, reply.origin, limit - len(opt))
    count = since_pause = 0
    for left in _pieces(rrsets):
        while (written := writer.put(left)) < len(left.rdatas):
            if not count + written:
                raise ValueError(f"no message of {limit} octets can hold a record of {names.to_text(left.owner)}")
            yield _stream_message(writer, query, reply, count + written, opt)
            writer, count = _Writer(query, reply.origin, limit - len(opt)), 0
            left = RRset(left.owner, left.rrtype, left.ttl, left.rdatas[written:])  # noqa: PLW2901  # what is left of it
        count += written
        since_pause += written or _PAUSE
        if since_pause >= _PAUSE:
            yield b""
            since_pause = 0
    yield _stream_message(writer, query, reply, count, opt)


def _pieces(rrsets: Iterable[RRset]) -> Iterator[RRset]:
    """Yield RRsets in pieces that are quickly encoded."""
    for rrset in rrsets:
        if len(rrset.rdatas) <= _PAUSE:
            yield rrset
            continue
        for start in range(0, len(rrset.rdatas), _PAUSE):
            yield RRset(rrset.owner, rrset.rrtype, rrset.ttl, rrset.rdatas[start : start + _PAUSE])


def _stream_message(writer: "_Writer", query: Query, reply: Reply, count: int, opt: bytes) -> bytes:
    """Return one finished message of a stream, with `count` records."""
    out = writer.out + opt
    HEADER.pack_into(out, 0, query.id, _encode_flags(query, reply, truncated=False), 1, count, 0, bool(opt))
    return bytes(out)


def _encode_flags(query: Query, reply: Reply, *, truncated: bool) -> int:
    """Return the second word of the header; what the query set is kept only where a rule says so."""
    rcode = reply.rcode
    if rcode > 15:
        rcode = rcode & 15 if query.edns is not None else Rcode.SERVFAIL
    flags = QR | query.opcode << 11 | rcode
    # Nobody is the authority for every class (RFC 1035, section 6.2).
    if reply.authoritative and query.qclass != _ANY_CLASS:
        flags |= AA
    if truncated:
        flags |= TC
    if query.opcode == Opcode.QUERY:
        flags |= query.recursion_desired << 8 | query.checking_disabled << 4
    if reply.recursion_available:
        flags |= RA
    if reply.authenticated and query.edns is not None and query.edns.dnssec_ok:
        flags |= AD
    return flags


def _encode_opt(edns: Edns, reply: Reply) -> bytes:
    """Return our OPT: our size, version 0, DO as it was sent (RFC 3225, section 3), no option echoed."""
    if reply.rcode < 16 and reply.extended_error is None and not reply.options:
        return DO_OPT if edns.dnssec_ok else PLAIN_OPT
    options = b"".join(TYPE_CLASS.pack(code, len(data)) + data for code, data in reply.options)
    if reply.extended_error is not None:
        code, text = reply.extended_error
        data = code.to_bytes(2, "big") + text.encode()
        options += TYPE_CLASS.pack(EDE_OPTION, len(data)) + data
    ttl = reply.rcode >> 4 << 24 | edns.dnssec_ok << 15
    return b"\0" + RECORD.pack(RRType.OPT, OWN_UDP_SIZE, ttl, len(options)) + options


class _Writer:
    """A response under construction: header, question, then records for as long as there is room."""

    __slots__ = ("known", "name", "origin", "out", "qname", "room", "rrclass", "spelled")

    def __init__(self, query: Query, origin: Name, room: int) -> None:
        self.qname = query.qname
        self.name = query.name
        self.out = bytearray(HEADER_SIZE) + query.qname + TYPE_CLASS.pack(query.qtype, query.qclass)
        self.room = room  # octets
        self.rrclass = _IN if query.qclass == _ANY_CLASS else query.qclass
        self.known: dict[bytes, int] = {}  # where each name was written, octet for octet
        self.origin = origin
        self.spelled = origin  # the origin as the question spells it
        if query.qname != query.name and origin != ROOT and names.is_at_or_below(query.name, origin):
            self.spelled = Name(query.qname[len(query.qname) - len(origin) :])

    def put_section(self, rrsets: tuple[RRset, ...]) -> tuple[int, bool]:
        """Write records until one does not fit; return how many were written and whether that was all."""
        count = 0
        for rrset in rrsets:
            written = self.put(rrset)
            count += written
            if written < len(rrset.rdatas):
                return count, False
        return count, True

    def put_whole(self, rrset: RRset) -> int:
        """Write an RRset, or nothing where all of it does not fit; return the number of records."""
        start = len(self.out)
        written = self.put(rrset)
        if written == len(rrset.rdatas):
            return written
        del self.out[start:]
        self.known = {name: offset for name, offset in self.known.items() if offset < start}
        return 0

    def put(self, rrset: RRset) -> int:
        """Write the records of one RRset until one does not fit; return how many were written."""
        rrtype = rrset.rrtype
        fixed = FIXED.pack(rrtype, self.rrclass, rrset.ttl)
        if rrtype in NAMES_IN_RDATA or rrset.owner != self.name:
            return self._put_with_names(rrset, fixed)
        out, room = self.out, self.room
        fixed = _POINTER_TO_QNAME + fixed
        written = 0
        for rdata in rrset.rdatas:
            size = len(rdata)
            if len(out) + 12 + size > room:
                break
            out += fixed + size.to_bytes(2, "big") + rdata
            written += 1
        return written

    def _put_with_names(self, rrset: RRset, fixed: bytes) -> int:
        """Do what `put` does where the owner is not the question's or RDATA holds names."""
        out = self.out
        layout = NAMES_IN_RDATA.get(rrset.rrtype)
        owner = None if rrset.owner == self.name else self.spell(rrset.owner)
        for written, rdata in enumerate(rrset.rdatas):
            start = len(out)
            if owner is None:
                out += _POINTER_TO_QNAME
            else:
                self.put_name(owner)
            out += fixed + b"\0\0"
            rdata_start = len(out)
            if layout is None:
                out += rdata
            else:
                self.put_rdata(rdata, layout, compress=rrset.rrtype in COMPRESSED)
            if len(out) > self.room:
                del out[start:]
                return written
            out[rdata_start - 2 : rdata_start] = (len(out) - rdata_start).to_bytes(2, "big")
        return len(rrset.rdatas)

    def put_rdata(self, rdata: bytes, layout: tuple[int, int], *, compress: bool) -> None:
        """Write RDATA that holds names."""
        index, count = layout
        self.out += rdata[:index]
        for _ in range(count):
            start = index
            while rdata[index]:
                index += 1 + rdata[index]
            index += 1
            name = self.spell(rdata[start:index])
            if compress:
                self.put_name(name)
            else:
                self._learn_question()
                self._learn(name, len(self.out))
                self.out += name
        self.out += rdata[index:]

    def spell(self, name: bytes) -> bytes:
        """Return the name with the origin's labels in the question's case, the others as they are."""
        if self.spelled is self.origin or not names.is_at_or_below(names.fold(name), self.origin):
            return name
        return name[: len(name) - len(self.origin)] + self.spelled

    def put_name(self, name: bytes) -> None:
        """Write a name, compressed against those written before; labels match octet by octet, so case survives."""
        known, out = self.known, self.out
        self._learn_question()
        position = len(out)
        index = 0
        while name[index]:
            suffix = name[index:]
            offset = known.get(suffix)
            if offset is not None:
                out += name[:index] + (0xC000 | offset).to_bytes(2, "big")
                return
            if position + index < _MAX_POINTER:
                known[suffix] = position + index
            index += 1 + name[index]
        out += name

    def _learn_question(self) -> None:
        """Remember where the question's name stands, before any other."""
        if not self.known:
            self._learn(self.qname, HEADER_SIZE)

    def _learn(self, name: bytes, offset: int) -> None:
        """Remember where a name and its ancestors stand, as far as a pointer reaches; what is known stays."""
        index = 0
        while name[index] and offset + index < _MAX_POINTER:
            self.known.setdefault(name[index:], offset + index)
            index += 1 + name[index]
