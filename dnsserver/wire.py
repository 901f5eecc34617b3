"""DNS messages between octets and values, and the only door to `dnslib`; no I/O.

Invariant: octets from the network are read by this module alone, in time proportional to their number. `dnslib` only
ever prints RDATA that holds no name: it prints a dot inside a label unescaped, and hostile names exhaust its stack.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import dnslib
import msgspec

from dnsserver import names
from dnsserver.message import OWN_UDP_SIZE, Edns, Query, Reply
from dnsserver.names import MAX_LABEL, MAX_NAME, ROOT, Name
from dnsserver.records import Opcode, Rcode, RRClass, RRset, RRType

HEADER_SIZE = 12  # octets (RFC 1035, section 4.1.1)
MAX_MESSAGE = 65535  # octets: what a TCP length prefix can say

QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010
DO = 0x8000  # in the flags of OPT (RFC 3225, section 3)

EDE_OPTION = 15  # RFC 8914, section 2
BADKEY = 17  # TSIG error (RFC 8945, section 5.2.1)

# More records than these are not a query: counts are checked before anything is parsed, so work stays constant.
_MAX_ANSWERS = 1  # NOTIFY carries the new SOA (RFC 1996, section 3.7)
_MAX_AUTHORITIES = 1  # IXFR carries the client's SOA (RFC 1995, section 3)
_MAX_ADDITIONALS = 2  # OPT and TSIG

_HEADER = struct.Struct("!6H")
_TYPE_CLASS = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, RDLENGTH
_FIXED = struct.Struct("!HHI")
_IN, _ANY_CLASS, _OPT, _TSIG = map(int, (RRClass.IN, RRClass.ANY, RRType.OPT, RRType.TSIG))  # plain: read often
_POINTER_TO_QNAME = b"\xc0\x0c"
_POINTER_BITS = 0xC0
_MAX_POINTER = 0x4000
_PLAIN_OPT = b"\0" + _RECORD.pack(RRType.OPT, OWN_UDP_SIZE, 0, 0)
_DO_OPT = b"\0" + _RECORD.pack(RRType.OPT, OWN_UDP_SIZE, DO, 0)

# An error says nothing about a zone; YXDOMAIN is the end of a DNAME (RFC 6672, section 2.2).
_AUTHORITATIVE_RCODES = frozenset({Rcode.NOERROR, Rcode.NXDOMAIN, Rcode.YXDOMAIN})

# Names in RDATA: (octets before them, how many). Senders compress only RFC 1035's (RFC 3597, section 4).
_COMPRESSED: dict[int, tuple[int, int]] = {
    RRType.NS: (0, 1),
    RRType.CNAME: (0, 1),
    RRType.SOA: (0, 2),
    RRType.PTR: (0, 1),
    RRType.MX: (2, 1),
}
_NAMES_IN_RDATA: dict[int, tuple[int, int]] = {**_COMPRESSED, RRType.SRV: (6, 1)}
_MAY_ARRIVE_COMPRESSED: dict[int, tuple[int, int]] = {
    **_NAMES_IN_RDATA,
    **dict.fromkeys((3, 4, 7, 8, 9), (0, 1)),  # MD, MF, MB, MG, MR
    **dict.fromkeys((14, 17), (0, 2)),  # MINFO, RP
    **dict.fromkeys((18, 21, 36), (2, 1)),  # AFSDB, RT, KX
    39: (0, 1),  # DNAME
}

_TYPES_WITHOUT_NAMES = frozenset({"CAA", "DNSKEY", "DS", "LOC", "SSHFP", "TLSA"})  # what dnslib may print
_TYPE_NAMES = {**dnslib.QTYPE.forward, 53: "SMIMEA", 128: "NXNAME", 253: "MAILB", 254: "MAILA"}
_TYPE_CODES = {text: code for code, text in _TYPE_NAMES.items()}
_CLASS_NAMES = {int(known): known.name for known in RRClass}
_RCODE_NAMES = {int(known): known.name for known in Rcode}
_OPCODE_NAMES = {int(known): known.name for known in Opcode}


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


def parse_query(wire: bytes) -> Query:
    """Return the question of a message, with the header bits and EDNS that decide the reply.

    Reads no QR bit. Raises `MalformedQueryError`, and nothing else, for any octets. Octets after the last record
    are ignored; so are records other than OPT and TSIG, as long as they are whole.
    """
    size = len(wire)
    if size < HEADER_SIZE:
        raise MalformedQueryError("the header is cut short")
    ident, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    if questions != 1:
        raise MalformedQueryError("a query has one question (RFC 9619, section 4)")
    if answers > _MAX_ANSWERS or authorities > _MAX_AUTHORITIES or additionals > _MAX_ADDITIONALS:
        raise MalformedQueryError("more records than a query has")
    end = _question_end(wire)
    if end + 4 > size:
        raise MalformedQueryError("the question is cut short")
    edns = fault = None
    before = answers + authorities
    if before or additionals:
        edns, fault = _parse_extra_records(wire, end + 4, before, before + additionals)
    qname = wire[HEADER_SIZE:end]
    qtype, qclass = _TYPE_CLASS.unpack_from(wire, end)
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


def _question_end(wire: bytes) -> int:
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
            rrtype, rrclass, ttl, index, end = _next_record(wire, index)
            if rrtype == _OPT:
                misplaced = edns is not None or wire[owner] != 0 or position < before
                edns = Edns(rrclass, ttl >> 16 & 0xFF, ttl & DO != 0)
                _require(not misplaced, "one OPT, owned by the root, in the additional section (RFC 6891, 6.1.1)")
                if index < end and not edns.version:  # what the RDATA of another version means is not known
                    edns = Edns(rrclass, 0, edns.dnssec_ok, _parse_options(wire, index, end))
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


def _next_record(wire: bytes, index: int) -> tuple[int, int, int, int, int]:
    """Return type, class, TTL, and where RDATA starts and ends, of the record at an index."""
    try:
        index = _name_end(wire, index)
        rrtype, rrclass, ttl, length = _RECORD.unpack_from(wire, index)
    except (IndexError, struct.error):
        raise MalformedQueryError("a record is cut short") from None
    start = index + _RECORD.size
    if start + length > len(wire):
        raise MalformedQueryError("RDATA runs past the message")
    return rrtype, rrclass, ttl, start, start + length


def _name_end(wire: bytes, index: int) -> int:
    """Return the index behind an owner name without following its pointer; IndexError where the message ends."""
    limit = index + MAX_NAME
    while length := wire[index]:
        if length >= _POINTER_BITS:
            return index + 2
        index += 1 + length
        if length > MAX_LABEL or index >= limit:
            raise MalformedQueryError("a label or an owner name is too long")
    return index + 1


def _parse_options(wire: bytes, index: int, end: int) -> tuple[tuple[int, bytes], ...]:
    """Return the EDNS options between two indexes (RFC 6891, section 6.1.2)."""
    options = []
    while index < end:
        start = index + 4
        if start > end:
            raise MalformedQueryError("an EDNS option is cut short")
        code, length = _TYPE_CLASS.unpack_from(wire, index)
        index = start + length
        if index > end:
            raise MalformedQueryError("an EDNS option runs past OPT")
        options.append((code, wire[start:index]))
    return tuple(options)


def _tsig_refusal(wire: bytes, owner: int, start: int, end: int) -> MalformedQueryError:
    """Return the answer to a key that is not ours, and none is: NOTAUTH and BADKEY, unsigned (RFC 8945, 5.2.1)."""
    try:
        key, _ = _read_name(wire, owner, {})
        algorithm, index = _read_name(wire[:end], start, {})
        mac_size = int.from_bytes(wire[index + 8 : index + 10], "big")
        rest = index + 10 + mac_size
        other_size = int.from_bytes(wire[rest + 4 : rest + 6], "big")
    except MalformedMessageError:
        return MalformedQueryError("a name in TSIG is broken")
    if rest + 6 + other_size != end:
        return MalformedQueryError("TSIG is cut short or too long")
    times, ident = wire[index : index + 8], wire[rest : rest + 2]
    rdata = algorithm + times + struct.pack("!H2sHH", 0, ident, BADKEY, 0)
    tsig = key + _RECORD.pack(RRType.TSIG, RRClass.ANY, 0, len(rdata)) + rdata
    return MalformedQueryError("signed with a key that is not known", Rcode.NOTAUTH, tsig=tsig)


def _read_name(wire: bytes, index: int, known: dict[int, bytes]) -> tuple[bytes, int]:
    """Return an uncompressed name and the index behind it (RFC 1035, section 4.1.4; RFC 9267, section 2).

    A pointer must point before the labels read so far, so a name ends. `known` remembers what pointers led to: a
    message of pointer ladders then costs no more than its length. Raises `MalformedMessageError`.
    """
    wire_name = bytearray()
    targets = []
    start, end = index, 0
    try:
        while length := wire[index]:
            if length >= _POINTER_BITS:
                target = (length & MAX_LABEL) << 8 | wire[index + 1]
                end = end or index + 2
                if not HEADER_SIZE <= target < start:
                    raise MalformedMessageError("a pointer does not point backwards")
                if (suffix := known.get(target)) is not None:
                    wire_name += suffix
                    break
                targets.append((target, len(wire_name)))
                start = index = target
                continue
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


def encode_error(wire: bytes, rcode: int) -> bytes:
    """Return a header-only error for a message of at least a header; nothing of its body is repeated."""
    ident, flags = _TYPE_CLASS.unpack_from(wire)
    kept = flags & (RD | CD) if not flags & 0x7800 else flags & 0x7800
    return _HEADER.pack(ident, QR | kept | (rcode if rcode < 16 else Rcode.SERVFAIL), 0, 0, 0, 0)


def append_record(response: bytes, record: bytes) -> bytes:
    """Return the response with one more additional record, already encoded, at its end."""
    count = int.from_bytes(response[10:12], "big") + 1
    return response[:10] + count.to_bytes(2, "big") + response[12:] + record


def encode_query(query: Query) -> bytes:
    """Return the message that asks `query`, with OPT where it has EDNS."""
    flags = query.opcode << 11 | query.recursion_desired << 8 | query.checking_disabled << 4
    edns = query.edns
    message = _HEADER.pack(query.id, flags, 1, 0, 0, edns is not None)
    message += query.qname + _TYPE_CLASS.pack(query.qtype, query.qclass)
    if edns is not None:
        options = b"".join(_TYPE_CLASS.pack(code, len(data)) + data for code, data in edns.options)
        ttl = edns.version << 16 | edns.dnssec_ok << 15
        message += b"\0" + _RECORD.pack(RRType.OPT, edns.udp_size, ttl, len(options)) + options
    return message


def encode_reply(query: Query, reply: Reply, *, limit: int) -> bytes:
    """Return the response, of at most `limit` octets: 512 or more, so that question and OPT always fit.

    What does not fit is dropped from the end by whole records; TC says so unless only additional data is missing
    (RFC 2181, section 9).
    """
    opt = b"" if query.edns is None else _encode_opt(query.edns, reply)
    writer = _Writer(query, reply.origin, limit - len(opt))
    if writer.room < len(writer.out) and reply.extended_error is not None:
        return encode_reply(query, msgspec.structs.replace(reply, extended_error=None), limit=limit)
    answers, whole = writer.put_section(reply.answer) if reply.answer else (0, True)
    authorities = additionals = 0
    if whole and reply.authority:
        authorities, whole = writer.put_section(reply.authority)
    if whole and reply.additional:
        additionals = sum(map(writer.put_whole, reply.additional))
    if not whole and reply.extended_error is not None and reply.extended_error[1]:
        # Records go before text that is for people (RFC 8914, section 3).
        return encode_reply(
            query, msgspec.structs.replace(reply, extended_error=(reply.extended_error[0], "")), limit=limit
        )
    out = writer.out
    if opt:
        out += opt
        additionals += 1
    flags = _encode_flags(query, reply, truncated=reply.truncated or not whole)
    _HEADER.pack_into(out, 0, query.id, flags, 1, answers, authorities, additionals)
    return bytes(out)


def _encode_flags(query: Query, reply: Reply, *, truncated: bool) -> int:
    """Return the second word of the header; what the query set is kept only where a rule says so."""
    rcode = reply.rcode
    if rcode > 15:
        rcode = rcode & 15 if query.edns is not None else Rcode.SERVFAIL
    flags = QR | query.opcode << 11 | rcode
    # Nobody is the authority for every class (RFC 1035, section 6.2).
    if reply.authoritative and reply.rcode in _AUTHORITATIVE_RCODES and query.qclass != _ANY_CLASS:
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
    if reply.rcode < 16 and reply.extended_error is None:
        return _DO_OPT if edns.dnssec_ok else _PLAIN_OPT
    options = b""
    if reply.extended_error is not None:
        code, text = reply.extended_error
        data = code.to_bytes(2, "big") + text.encode()
        options = _TYPE_CLASS.pack(EDE_OPTION, len(data)) + data
    ttl = reply.rcode >> 4 << 24 | edns.dnssec_ok << 15
    return b"\0" + _RECORD.pack(RRType.OPT, OWN_UDP_SIZE, ttl, len(options)) + options


class _Writer:
    """A response under construction: header, question, then records for as long as there is room."""

    __slots__ = ("known", "name", "origin", "out", "qname", "room", "rrclass", "spelled")

    def __init__(self, query: Query, origin: Name, room: int) -> None:
        self.qname = query.qname
        self.name = query.name
        self.out = bytearray(HEADER_SIZE) + query.qname + _TYPE_CLASS.pack(query.qtype, query.qclass)
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
        fixed = _FIXED.pack(rrtype, self.rrclass, rrset.ttl)
        if rrtype in _NAMES_IN_RDATA or rrset.owner != self.name:
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
        layout = _NAMES_IN_RDATA.get(rrset.rrtype)
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
                self.put_rdata(rdata, layout, compress=rrset.rrtype in _COMPRESSED)
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
        if not known:
            self._learn(self.qname, HEADER_SIZE)
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

    def _learn(self, name: bytes, offset: int) -> None:
        """Remember where a name and its ancestors stand."""
        index = 0
        while name[index]:
            self.known[name[index:]] = offset + index
            index += 1 + name[index]


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
    message = _parse_message(wire)
    if not message.flags & QR:
        raise MalformedMessageError("a query where a response was expected")
    return message


def _parse_message(wire: bytes) -> ParsedResponse:
    """Return all of a query or response; raises `MalformedMessageError`."""
    if len(wire) < HEADER_SIZE:
        raise MalformedMessageError("the header is cut short")
    ident, flags, questions, *counts = _HEADER.unpack_from(wire)
    index = HEADER_SIZE
    known: dict[int, bytes] = {}
    asked = []
    for _ in range(questions):
        qname, index = _read_name(wire, index, known)
        if index + 4 > len(wire):
            raise MalformedMessageError("the question is cut short")
        asked.append(Question(qname, *_TYPE_CLASS.unpack_from(wire, index)))
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
        owner, index = _read_name(wire, index, known)
        start = index + _RECORD.size
        if start > len(wire):
            raise MalformedMessageError("a record is cut short")
        rrtype, rrclass, ttl, length = _RECORD.unpack_from(wire, index)
        index = start + length
        if index > len(wire):
            raise MalformedMessageError("RDATA runs past the message")
        layout = _MAY_ARRIVE_COMPRESSED.get(rrtype)
        rdata = wire[start:index] if layout is None or not length else _expand(wire, start, index, layout, known)
        records.append(Record(owner, rrtype, rrclass, ttl, rdata))
    return records, index


def _expand(wire: bytes, index: int, end: int, layout: tuple[int, int], known: dict[int, bytes]) -> bytes:
    """Return RDATA with its names uncompressed."""
    prefix, count = layout
    rdata = wire[index : index + prefix]
    index += prefix
    for _ in range(count):
        name, index = _read_name(wire, index, known)
        rdata += name
    if index > end:
        raise MalformedMessageError("a name runs past its RDATA")
    return rdata + wire[index:end]


def _response_edns(opt: Record) -> tuple[Edns, int]:
    """Return EDNS and the upper bits of RCODE from an OPT record."""
    if opt.owner != ROOT:
        raise MalformedMessageError("OPT is owned by the root")
    options = _parse_options(opt.rdata, 0, len(opt.rdata))
    return Edns(opt.rrclass, opt.ttl >> 16 & 0xFF, opt.ttl & DO != 0, options), opt.ttl >> 24


def type_to_text(rrtype: int) -> str:
    """Return the mnemonic of a type, `TYPE666` for one without (RFC 3597, section 5)."""
    return _TYPE_NAMES.get(rrtype) or f"TYPE{rrtype}"


def text_to_type(text: str) -> int:
    """Return the type of a mnemonic or of `TYPE666`, in any case; raises ValueError."""
    text = text.upper()
    if (code := _TYPE_CODES.get(text)) is not None:
        return code
    digits = text.removeprefix("TYPE")
    if digits != text and digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFF:
        return int(digits)
    raise ValueError(f"not a resource record type: {text!r}")


def class_to_text(rrclass: int) -> str:
    """Return the mnemonic of a class, `CLASS5` for one without (RFC 3597, section 5)."""
    return _CLASS_NAMES.get(rrclass) or f"CLASS{rrclass}"


def rcode_to_text(rcode: int) -> str:
    """Return the mnemonic of a response code, `RCODE11` for one without."""
    return _RCODE_NAMES.get(rcode) or f"RCODE{rcode}"


def rdata_to_text(rrtype: int, rdata: bytes) -> str:
    """Return RDATA in presentation format, `\\# 2 abcd` for what has none here (RFC 3597, section 5); never raises."""
    try:
        return " ".join(_presentation(rrtype, rdata))
    except (ValueError, IndexError, struct.error):
        return f"\\# {len(rdata)} {rdata.hex()}".rstrip()


def _presentation(rrtype: int, rdata: bytes) -> Iterator[str]:
    """Yield the fields of RDATA; raises ValueError, IndexError or struct.error where it has not that form."""
    if rrtype == RRType.A:
        yield str(IPv4Address(rdata))
    elif rrtype == RRType.AAAA:
        yield str(IPv6Address(rdata))
    elif rrtype == RRType.TXT and rdata:
        yield from _character_strings(rdata)
    elif (layout := _MAY_ARRIVE_COMPRESSED.get(rrtype)) is not None:
        prefix, count = layout
        yield from map(str, struct.unpack(f"!{prefix // 2}H", rdata[:prefix]))
        index = prefix
        for _ in range(count):
            name, index = _read_name(rdata, index, {})
            yield names.to_text(name)
        yield from map(str, struct.unpack("!5I" if rrtype == RRType.SOA else "", rdata[index:]))
    else:
        yield _dnslib_text(rrtype, rdata)


def _character_strings(rdata: bytes) -> Iterator[str]:
    """Yield character strings in quotes (RFC 1035, section 5.1)."""
    index = 0
    while index < len(rdata):
        end = index + 1 + rdata[index]
        if end > len(rdata):
            raise ValueError("a character string is cut short")
        printable = (
            f"\\{chr(octet)}" if octet in b'"\\' else chr(octet) if 0x20 <= octet <= 0x7E else f"\\{octet:03d}"
            for octet in rdata[index + 1 : end]
        )
        yield f'"{"".join(printable)}"'
        index = end


def _dnslib_text(rrtype: int, rdata: bytes) -> str:
    """Let dnslib print a type whose RDATA holds no name; raises ValueError for any other and for broken RDATA."""
    mnemonic = type_to_text(rrtype)
    if mnemonic not in _TYPES_WITHOUT_NAMES:
        raise ValueError(f"no presentation format for {mnemonic}")
    try:
        return str(dnslib.RDMAP[mnemonic].parse(dnslib.DNSBuffer(rdata), len(rdata)))
    except Exception as error:  # its parsers leak IndexError, struct.error, UnicodeDecodeError and their own kinds
        raise ValueError(f"broken RDATA of {mnemonic}") from error


def message_to_text(wire: bytes) -> str:
    """Return a message as dig prints it, for people; says what is wrong with one that is broken, and never raises."""
    try:
        message = _parse_message(wire)
    except MalformedMessageError as error:
        return f";; malformed message of {len(wire)} octets: {error}\n;; {wire.hex()}\n"
    return "".join(f"{line}\n" for line in _message_lines(message))


def _message_lines(message: ParsedResponse) -> Iterator[str]:
    """Yield the lines of a message: header, EDNS, then the sections that are not empty."""
    bits = (("qr", QR), ("aa", AA), ("tc", TC), ("rd", RD), ("ra", RA), ("ad", AD), ("cd", CD))
    flags = " ".join(text for text, bit in bits if message.flags & bit)
    opcode = _OPCODE_NAMES.get(message.opcode) or f"OPCODE{message.opcode}"
    yield f";; opcode: {opcode}, status: {rcode_to_text(message.rcode)}, id: {message.id}, flags: {flags}"
    if (edns := message.edns) is not None:
        yield f";; EDNS: version {edns.version}, udp {edns.udp_size}, flags:{' do' if edns.dnssec_ok else ''}"
        for code, data in edns.options:
            yield f";; OPT {code}: {data.hex()}"
        if (extended := message.extended_error) is not None:
            yield f";; EDE {extended[0]}: {extended[1]!r}"
    for asked in message.question:
        yield f";{names.to_text(asked.qname)} {class_to_text(asked.qclass)} {type_to_text(asked.qtype)}"
    for title, records in (
        ("ANSWER", message.answer),
        ("AUTHORITY", message.authority),
        ("ADDITIONAL", message.additional),
    ):
        if records:
            yield f";; {title}:"
        for record in records:
            yield record_to_text(record)


def record_to_text(record: Record) -> str:
    """Return one line of a zone file."""
    kind = f"{class_to_text(record.rrclass)} {type_to_text(record.rrtype)}"
    return f"{names.to_text(record.owner)} {record.ttl} {kind} {rdata_to_text(record.rrtype, record.rdata)}"
