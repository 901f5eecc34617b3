"""Parsing queries and encoding replies: tables of packets, then properties over packets nobody thought of."""

import contextlib
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver import names
from dnsserver.message import Edns, Query, Reply
from dnsserver.names import ROOT, Name, from_labels, from_text, to_text
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa, srv, txt
from dnsserver.wire import (
    HEADER_SIZE,
    MalformedMessageError,
    MalformedQueryError,
    ParsedResponse,
    Record,
    class_to_text,
    encode_error,
    encode_query,
    encode_reply,
    encode_stream,
    message_to_text,
    parse_query,
    parse_response,
    rcode_to_text,
    rdata_to_text,
    record_to_text,
    text_to_type,
    type_to_text,
)
from tests.fuzz.work import lines_of

ZONE = from_text("cluster.local")
NAME = from_text("kubernetes.default.svc.cluster.local")
QUESTION = NAME + bytes.fromhex("00010001")
OPT = bytes.fromhex("00 0029 04d0 0000 0000 0000")
SOA = RRset(
    ZONE,
    RRType.SOA,
    5,
    (Soa(from_text("ns.dns", ZONE), from_text("hostmaster", ZONE), 7, 7200, 1800, 86400, 5).rdata(),),
)
TSIG_RDATA = from_text("hmac-sha256") + bytes.fromhex("000065000000 012c 0004 aabbccdd 1234 0000 0000")


def packet(
    *records: bytes, question: bytes = QUESTION, flags: int = 0, counts: tuple[int, int, int, int] | None = None
) -> bytes:
    """Return a query whose records, if not counted otherwise, are additional ones."""
    return struct.pack("!6H", 0x1234, flags, *(counts or (1, 0, 0, len(records)))) + question + b"".join(records)


def record(rrtype: int, rdata: bytes = b"", *, owner: bytes = b"\0", rrclass: int = 1, ttl: int = 0) -> bytes:
    """Return one encoded record."""
    return owner + struct.pack("!HHIH", rrtype, rrclass, ttl, len(rdata)) + rdata


def opt(rdata: bytes = b"", *, owner: bytes = b"\0", size: int = 1232, ttl: int = 0) -> bytes:
    """Return one encoded OPT record."""
    return record(RRType.OPT, rdata, owner=owner, rrclass=size, ttl=ttl)


def tsig(rdata: bytes = TSIG_RDATA, *, rrclass: int = 255, ttl: int = 0) -> bytes:
    """Return one encoded TSIG record of the key `key.test`."""
    return record(RRType.TSIG, rdata, owner=from_text("key.test"), rrclass=rrclass, ttl=ttl)


def query(name: str = "kubernetes.default.svc.cluster.local", qtype: int = RRType.A, **fields: object) -> Query:
    """Return a query for a name in the case it is written in."""
    qname = b"".join(bytes((len(label),)) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
    return Query(0x1234, qname, names.fold(qname), qtype, **fields)  # type: ignore[arg-type]  # fields of Query


def addresses(count: int, owner: Name = NAME) -> RRset:
    """Return an RRset of so many A records."""
    return RRset(owner, RRType.A, 5, tuple(struct.pack("!I", 0x0A000000 + number) for number in range(count)))


# --- queries -------------------------------------------------------------------------------------------------------


def test_the_base_query() -> None:
    """Every field comes from its place in the packet (protocol row 1)."""
    assert parse_query(packet()) == Query(0x1234, NAME, NAME, RRType.A, size=54)
    assert parse_query(packet(OPT, flags=0x7FF0 & ~0x7800)) == Query(
        0x1234, NAME, NAME, 1, recursion_desired=True, checking_disabled=True, edns=Edns(1232), size=65
    )


def test_case_is_kept_and_folded() -> None:
    """The question is kept octet for octet; only ASCII letters fold (RFC 4343, section 3)."""
    qname = b"\x05AbC[\xc1\x05LOCAL\0"
    parsed = parse_query(packet(question=qname + b"\0\1\0\1"))
    assert (parsed.qname, parsed.name) == (qname, b"\x05abc[\xc1\x05local\0")


def test_a_dot_inside_a_label_is_data() -> None:
    """Two labels are not one with a dot in it (protocol row 11)."""
    parsed = parse_query(packet(question=b"\x12kubernetes.default\x03svc\0\0\1\0\1"))
    assert to_text(parsed.name) == "kubernetes\\.default.svc."
    assert parsed.name != from_text("kubernetes.default.svc")


WELL_FORMED = [
    ("root", packet(question=b"\0\0\2\0\1"), None),
    ("label of 63 octets", packet(question=b"\x3f" + b"a" * 63 + QUESTION), None),
    ("name of 255 octets", packet(question=(b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0\0\1\0\1"), None),
    ("127 labels", packet(question=b"\1a" * 127 + b"\0\0\1\0\1"), None),
    ("octets after the message", packet() + b"\xff" * 40, None),
    ("octets after EDNS", packet(OPT) + b"\xff" * 40, Edns(1232)),
    ("size 0", packet(opt(size=0)), Edns(0)),
    ("DO", packet(opt(ttl=0x8000)), Edns(1232, 0, True)),
    ("other flags and the extended RCODE", packet(opt(ttl=0xFF007FFF)), Edns(1232)),
    ("version 1, RDATA of unknown meaning", packet(opt(b"\1", ttl=0x10000)), Edns(1232, 1)),
    (
        "options",
        packet(opt(bytes.fromhex("0064 0000 fde9 0003 616263"))),
        Edns(1232, options=((100, b""), (65001, b"abc"))),
    ),
    ("60 options", packet(opt(bytes.fromhex("00640000") * 60)), Edns(1232, options=((100, b""),) * 60)),
    ("OPT before another record", packet(OPT, record(1, b"abcd", owner=b"\xc0\x0c")), Edns(1232)),
    ("OPT after another record", packet(record(1, b"abcd", owner=b"\xc0\x0c"), OPT), Edns(1232)),
    ("a record in every section", packet(*[record(1, b"abcd")] * 3, counts=(1, 1, 1, 1)), None),
    ("SIG(0)", packet(record(24, bytes(18), rrclass=255)), None),
]


@pytest.mark.parametrize(("wire", "edns"), [case[1:] for case in WELL_FORMED], ids=[case[0] for case in WELL_FORMED])
def test_well_formed_queries(wire: bytes, edns: Edns | None) -> None:
    """What is unusual and allowed is parsed (protocol rows 14, 46, 47, 53 to 60)."""
    parsed = parse_query(wire)
    assert parsed.edns == edns
    assert parsed.size == len(wire)


# Whether the error can carry the question, and whether it can carry OPT, follows from what was read before the fault.
MALFORMED = [
    ("empty", b"", False, False),
    ("11 octets", bytes(11), False, False),
    ("no question", bytes.fromhex("1234 0000 0000 0000 0000 0000"), False, False),
    ("two questions", packet(QUESTION, counts=(2, 0, 0, 0)), False, False),
    ("65535 questions", packet(counts=(65535, 0, 0, 0)), False, False),
    *[(f"question cut at {cut}", packet()[: 12 + cut], False, False) for cut in range(len(QUESTION))],
    *[
        (f"label octet {octet:02x}", packet(question=bytes((octet,)) + b"a" * 300), False, False)
        for octet in b"@A\x7f\x80\xbf"
    ],
    *[
        (f"pointer {pointer}", packet(question=bytes.fromhex(pointer) + b"\0\1\0\1"), False, False)
        for pointer in ("c00c", "c00ec00c", "0161c00c", "c0ff", "ffff", "c000", "c00b", "c010")
    ],
    (
        "name of 256 octets",
        packet(question=(b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + b"\0\0\1\0\1"),
        False,
        False,
    ),
    ("name of 257 octets", packet(question=b"\1a" * 128 + b"\0\0\1\0\1"), False, False),
    ("name of 500 octets", packet(question=b"\x31" + (b"a" * 49 + b"\x31") * 10), False, False),
    ("two answers", packet(counts=(1, 2, 0, 0)), False, False),
    ("two authorities", packet(counts=(1, 0, 2, 0)), False, False),
    ("three additionals", packet(OPT, OPT, OPT), False, False),
    ("an answer that is not there", packet(counts=(1, 1, 0, 0)), True, False),
    ("an additional that is not there", packet(OPT, counts=(1, 0, 0, 2)), True, True),
    ("OPT cut short", packet(OPT)[:-1], True, False),
    ("OPT RDATA past the message", packet(OPT[:-1] + b"\1"), True, False),
    ("owner with a bad label", packet(record(1, owner=b"\x40" + b"a" * 64 + b"\0")), True, False),
    ("owner of 257 octets", packet(record(1, owner=b"\1a" * 128 + b"\0")), True, False),
    ("owner cut short", packet(b"\xc0"), True, False),
    ("two OPT", packet(OPT, OPT), True, True),
    ("OPT owner", packet(opt(owner=b"\1a\0")), True, True),
    ("OPT owner is a pointer", packet(opt(owner=b"\xc0\x0c")), True, True),
    ("OPT in answer", packet(OPT, counts=(1, 1, 0, 0)), True, True),
    ("OPT in authority", packet(OPT, counts=(1, 0, 1, 0)), True, True),
    ("partial option", packet(opt(b"\0")), True, True),
    ("option without its length", packet(opt(b"\0\x64\0")), True, True),
    ("option past OPT", packet(opt(bytes.fromhex("00640005616263"))), True, True),
    ("TSIG before OPT", packet(tsig(), OPT), True, False),
    ("TSIG in answer", packet(tsig(), counts=(1, 1, 0, 0)), True, False),
    ("TSIG of class IN", packet(tsig(rrclass=1)), True, False),
    ("TSIG with a TTL", packet(tsig(ttl=1)), True, False),
    ("TSIG cut short", packet(OPT, tsig(TSIG_RDATA[:-1])), True, True),
    ("TSIG too long", packet(tsig(TSIG_RDATA + b"\0")), True, False),
    ("TSIG without RDATA", packet(tsig(b"")), True, False),
    ("TSIG with a broken algorithm", packet(tsig(b"\xff\xff" + TSIG_RDATA)), True, False),
]


@pytest.mark.parametrize(
    ("wire", "question", "edns"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_malformed_queries(wire: bytes, question: bool, edns: bool) -> None:
    """What is not allowed is FORMERR with what could be read (protocol rows 38 to 47, 53 to 55)."""
    with pytest.raises(MalformedQueryError) as raised:
        parse_query(wire)
    assert raised.value.rcode == Rcode.FORMERR
    assert raised.value.tsig == b""
    assert (raised.value.query is not None) == question
    assert (raised.value.query is not None and raised.value.query.edns is not None) == edns


def test_an_unknown_key_is_notauth_and_badkey() -> None:
    """The error carries the key's name and times, no MAC, and error 17 (RFC 8945, section 5.3.2; protocol row 50)."""
    with pytest.raises(MalformedQueryError) as raised:
        parse_query(packet(OPT, tsig()))
    assert raised.value.rcode == Rcode.NOTAUTH
    assert raised.value.query is not None
    assert raised.value.query.edns == Edns(1232)
    rdata = from_text("hmac-sha256") + bytes.fromhex("000065000000 012c 0000 1234 0011 0000")
    assert raised.value.tsig == tsig(rdata)


LADDER = b"".join(b"\1a" + struct.pack("!H", 0xC000 | max(12, 12 + 4 * n - 4)) for n in range(4000))


@pytest.mark.parametrize(
    "wire",
    [
        packet(LADDER, counts=(1, 0, 0, 65535)),
        packet(*[opt(bytes(60_000))] * 1),
        packet(b"\1a" * 30_000, counts=(1, 1, 1, 2)),
        b"\xff" * 65535,
        bytes(65535),
    ],
    ids=["pointer ladder", "empty options", "endless owner", "ones", "zeros"],
)
def test_work_is_bounded(wire: bytes) -> None:
    """A large message is judged by its counts and costs no more than its length (protocol row 52); see the timeout."""
    for _ in range(20):
        assert refused_with(wire) in (None, Rcode.FORMERR)


def refused_with(wire: bytes) -> int | None:
    """Return the response code of a query that is not parsed, None for one that is."""
    try:
        parse_query(wire)
    except MalformedQueryError as error:
        return error.rcode
    return None


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "rcode", "expected"),
    [
        ("1234 0000 0000 0000 0000 0000", Rcode.FORMERR, "1234 8001 0000 0000 0000 0000"),
        ("1234 7800 0000 0000 0000 0000", Rcode.NOTIMP, "1234 f804 0000 0000 0000 0000"),
        ("1234 7fff 0000 0000 0000 0000", Rcode.NOTIMP, "1234 f804 0000 0000 0000 0000"),
        ("1234 07ff 0001 0001 0001 0001 ff", Rcode.FORMERR, "1234 8111 0000 0000 0000 0000"),
        ("1234 0000 0000 0000 0000 0000", Rcode.BADVERS, "1234 8002 0000 0000 0000 0000"),
    ],
)
def test_header_only_errors(sent: str, rcode: Rcode, expected: str) -> None:
    """The opcode is echoed, RD and CD only for QUERY, and nothing of the body (protocol rows 35, 39, 51)."""
    assert encode_error(bytes.fromhex(sent), rcode) == bytes.fromhex(expected)


# --- replies -------------------------------------------------------------------------------------------------------


def test_one_address() -> None:
    """The reply in every octet: AA, the question repeated, a pointer to it as the owner (protocol rows 1, 10)."""
    wire = encode_reply(query(), Reply(answer=(addresses(1),)), limit=512)
    assert wire == bytes.fromhex("1234 8400 0001 0001 0000 0000") + QUESTION + bytes.fromhex(
        "c00c 0001 0001 00000005 0004 0a000000"
    )


FLAGS = [
    (query(), Reply(), 0x8400),
    (query(recursion_desired=True, checking_disabled=True), Reply(), 0x8510),
    (query(opcode=5, recursion_desired=True, checking_disabled=True), Reply(rcode=4, authoritative=False), 0xA804),
    (query(), Reply(authoritative=False, recursion_available=True, truncated=True), 0x8280),
    (query(), Reply(rcode=Rcode.NXDOMAIN), 0x8403),
    (query(), Reply(rcode=Rcode.REFUSED, authoritative=False), 0x8005),
    (query(qclass=255), Reply(), 0x8000),
    (query(), Reply(authenticated=True), 0x8400),
    (query(edns=Edns(512, 0, True)), Reply(authenticated=True), 0x8420),
    (query(edns=Edns(512)), Reply(rcode=Rcode.BADVERS, authoritative=False), 0x8000),
    (query(), Reply(rcode=Rcode.BADVERS, authoritative=False), 0x8002),
    (query(), Reply(rcode=Rcode.SERVFAIL), 0x8402),  # a zone that has not been read yet is ours all the same
]


@pytest.mark.parametrize(("asked", "reply", "flags"), FLAGS)
def test_header_bits(asked: Query, reply: Reply, flags: int) -> None:
    """RD and CD are copied for QUERY only, AA is for answers, AD only for who can read it (protocol rows 1 to 6)."""
    assert parse_response(encode_reply(asked, reply, limit=512)).flags == flags


OPTS = [
    (Edns(512), Reply(), "00 0029 04d0 00 00 0000 0000"),
    (Edns(9999, 0, True, ((100, b"x"),)), Reply(), "00 0029 04d0 00 00 8000 0000"),
    (Edns(512, 1, True), Reply(rcode=Rcode.BADVERS), "00 0029 04d0 01 00 8000 0000"),
    (Edns(512), Reply(extended_error=(20, "")), "00 0029 04d0 00 00 0000 0006 000f 0002 0014"),
    (Edns(512), Reply(extended_error=(0, "é")), "00 0029 04d0 00 00 0000 0008 000f 0004 0000 c3a9"),
]


@pytest.mark.parametrize(("edns", "reply", "expected"), OPTS)
def test_opt(edns: Edns, reply: Reply, expected: str) -> None:
    """Our size, version 0, DO as sent, no option echoed, EDE where there is one (protocol rows 57 to 61, 66)."""
    wire = encode_reply(query(edns=edns), reply, limit=512)
    assert wire[12 + len(QUESTION) :] == bytes.fromhex(expected)
    assert parse_response(wire).extended_error == reply.extended_error


LONGEST = from_labels((b"a" * 63, b"a" * 63, b"a" * 63, b"a" * 61))


def test_options_that_do_not_fit() -> None:
    """The extended error goes first, then the last option; what is left is a whole message."""
    options = ((10, bytes(24)), (3, bytes(226)))
    query = Query(1, LONGEST, LONGEST, 1, edns=Edns(512))
    response = encode_reply(query, Reply(options=options, extended_error=(15, "")), limit=512)
    parsed = parse_response(response)
    assert parsed.size == len(response) <= 512
    assert parsed.edns == Edns(1232, options=options[:1])


@pytest.mark.parametrize(
    ("count", "limit", "size"), [(0, 65535, 468), (50, 65535, 936), (50, 900, 900), (70, 512, 512)]
)
def test_padding(count: int, limit: int, size: int) -> None:
    """The length is a multiple of the block, or the limit; the last option is the padding, zeros."""
    owner = from_text("a.b")
    reply = Reply(answer=(RRset(owner, RRType.A, 5, tuple(struct.pack("!I", n) for n in range(count))),))
    response = encode_reply(Query(1, owner, owner, 1, edns=Edns(1232)), reply, limit=limit, padded_to=468)
    parsed = parse_response(response)
    assert len(response) == parsed.size == size
    assert parsed.edns is not None
    ((code, data),) = parsed.edns.options
    assert (code, data.strip(b"\0")) == (12, b"")
    assert parsed.truncated == (len(parsed.answer) < count)


def test_srv_targets_are_pointed_to() -> None:
    """Whole themselves, they shorten the owners of the addresses behind them."""
    target = from_text("vm-1.group", ZONE)
    reply = Reply(answer=(RRset(NAME, RRType.SRV, 5, (srv(0, 100, 443, target),)),), additional=(addresses(1, target),))
    wire = encode_reply(query(), reply, limit=512)
    assert wire.count(b"\4vm-1") == 1
    assert sections(parse_response(wire)) == expected_sections(reply)


def test_no_opt_without_edns() -> None:
    """A client that did not speak EDNS gets none, whatever the reply says."""
    wire = encode_reply(query(), Reply(extended_error=(20, "nobody reads this")), limit=512)
    assert parse_response(wire).edns is None


def test_names_are_compressed_where_rfc_1035_says_so() -> None:
    """Owners and SOA, MX, NS names are; SRV targets never are (RFC 3597, section 4; protocol row 70)."""
    reply = Reply(
        answer=(RRset(NAME, RRType.SRV, 5, (srv(0, 100, 443, NAME),)), RRset(ZONE, RRType.MX, 5, (b"\0\1" + NAME,))),
        authority=(SOA, RRset(ZONE, RRType.NS, 5, (from_text("ns.dns", ZONE),))),
        additional=(addresses(2, from_text("ns.dns", ZONE)),),
    )
    wire = encode_reply(query(), reply, limit=512)
    zone = 12 + NAME.index(ZONE)
    ns = wire.index(b"\2ns")
    assert wire.count(b"\7cluster") == 2  # the question and the SRV target
    assert wire.count(b"\2ns") == 1
    assert wire[ns : ns + 9] == b"\2ns\3dns" + struct.pack("!H", 0xC000 | zone)
    parsed = parse_response(wire)
    assert sections(parsed) == expected_sections(reply)
    assert parsed.size == len(wire)


def test_a_name_far_into_the_message_is_not_pointed_to() -> None:
    """A pointer has 14 bits; what it cannot reach is written out again."""
    far = from_text("far.test")
    reply = Reply(answer=(addresses(1100), RRset(far, RRType.CNAME, 5, (far, from_text("a", far)))))
    wire = encode_reply(query(), reply, limit=65535)
    assert sections(parse_response(wire)) == expected_sections(reply)
    assert wire.count(b"\3far\4test\0") == 4


A_ZONE = from_text("a", ZONE)
LOWER_SOA = "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5"
CASES_OF_ORIGIN = [  # question, records, origin, and the first record as it is sent
    ("Cluster.local.", SOA, ZONE, LOWER_SOA.replace("cluster", "Cluster")),
    ("X.cluster.LOCAL.", SOA, ZONE, LOWER_SOA.replace("local", "LOCAL")),
    ("X.CLUSTER.local.", SOA, ROOT, LOWER_SOA),
    ("A.Xcluster.local.", SOA, ZONE, LOWER_SOA),
    (
        "A.Cluster.local.",
        RRset(A_ZONE, RRType.SRV, 5, (srv(0, 1, 2, from_text("b", ZONE)),)),
        ZONE,
        "A.Cluster.local. 5 IN SRV 0 1 2 b.Cluster.local.",
    ),
    (
        "A.Cluster.local.",
        RRset(A_ZONE, RRType.CNAME, 5, (b"\7Foreign\4Test\0",)),
        ZONE,
        "A.Cluster.local. 5 IN CNAME Foreign.Test.",
    ),
    (
        "A.Cluster.local.",
        RRset(A_ZONE, RRType.CNAME, 5, (b"\1B\7CLUSTER\5LOCAL\0",)),
        ZONE,
        "A.Cluster.local. 5 IN CNAME B.Cluster.local.",
    ),
    ("A.Cluster.local.", RRset(A_ZONE, RRType.TXT, 5, (txt(b"a"),)), ZONE, 'A.Cluster.local. 5 IN TXT "a"'),
]


@pytest.mark.parametrize(("name", "rrset", "origin", "expected"), CASES_OF_ORIGIN)
def test_the_case_of_the_question(name: str, rrset: RRset, origin: Name, expected: str) -> None:
    """The question's own name and the origin's labels are spelled as they were asked, all else as it is."""
    parsed = parse_response(encode_reply(query(name), Reply(answer=(rrset,), origin=origin), limit=512))
    assert record_to_text(parsed.answer[0]) == expected


def test_the_class_of_records() -> None:
    """Records have the question's class; a question for any class is answered in IN."""
    for qclass, rrclass in ((RRClass.CH, RRClass.CH), (RRClass.ANY, RRClass.IN)):
        wire = encode_reply(query(qclass=qclass), Reply(answer=(addresses(1),)), limit=512)
        assert parse_response(wire).answer[0].rrclass == rrclass


# --- truncation ----------------------------------------------------------------------------------------------------

TRUNCATED = [  # limit, EDNS, counts of A in each section, then what is sent of them and TC
    (512, None, (28, 0, 0), (28, 0, 0), False),
    (512, None, (29, 0, 0), (28, 0, 0), True),
    (512, Edns(512), (28, 0, 0), (27, 0, 0), True),
    (1232, Edns(4096), (100, 0, 0), (72, 0, 0), True),
    (512, None, (29, 1, 1), (28, 0, 0), True),
    (512, None, (20, 9, 1), (20, 8, 0), True),
    (512, None, (20, 0, 9), (20, 0, 0), False),  # an additional RRset is sent whole or not at all
    (65535, None, (2200, 0, 0), (2200, 0, 0), False),
]


@pytest.mark.parametrize(("limit", "edns", "counts", "sent", "truncated"), TRUNCATED)
def test_truncation(
    limit: int, edns: Edns | None, counts: tuple[int, int, int], sent: tuple[int, int, int], truncated: bool
) -> None:
    """Whole records, filled as far as it goes; TC unless only additional data is missing (protocol rows 67 to 70)."""
    answer, authority, additional = ((addresses(count),) if count else () for count in counts)
    wire = encode_reply(query(edns=edns), Reply(answer=answer, authority=authority, additional=additional), limit=limit)
    parsed = parse_response(wire)
    assert (len(parsed.answer), len(parsed.authority), len(parsed.additional)) == sent
    assert parsed.truncated == truncated
    assert (parsed.edns is not None) == (edns is not None)
    assert parsed.size == len(wire) <= limit


def test_an_additional_rrset_that_does_not_fit_leaves_room_for_a_smaller_one() -> None:
    """And nothing points to the names of the one that was taken back."""
    big, small = from_text("big.test"), from_text("small.big.test")
    reply = Reply(answer=(addresses(20),), additional=(addresses(20, big), addresses(1, small)))
    parsed = parse_response(encode_reply(query(), reply, limit=512))
    assert [one.owner for one in parsed.additional] == [small]
    assert not parsed.truncated


def test_names_that_do_not_fit() -> None:
    """A record with names in it is taken back whole when it turns out too long."""
    targets = tuple(from_labels((bytes((97 + number,)) * 60,), ZONE) for number in range(10))
    parsed = parse_response(encode_reply(query(), Reply(answer=(RRset(NAME, RRType.NS, 5, targets),)), limit=512))
    assert tuple(one.rdata for one in parsed.answer) == targets[:6]
    assert parsed.truncated


def test_text_for_people_yields_to_records() -> None:
    """EXTRA-TEXT is dropped before records are (RFC 8914, section 3), and all of EDE before question and OPT."""
    reply = Reply(answer=(addresses(27),), extended_error=(3, "t" * 60))
    parsed = parse_response(encode_reply(query(edns=Edns(512)), reply, limit=512))
    assert (len(parsed.answer), parsed.extended_error, parsed.truncated) == (27, (3, ""), False)
    parsed = parse_response(encode_reply(query(edns=Edns(512)), Reply(extended_error=(3, "t" * 600)), limit=512))
    assert (parsed.edns is not None, parsed.extended_error) == (True, None)


# --- responses -----------------------------------------------------------------------------------------------------

RESPONSES = [
    ("short", "1234"),
    ("a query", "1234 0000 0000 0000 0000 0000"),
    ("question cut short", "1234 8000 0001 0000 0000 0000 00 0001 00"),
    ("record cut short", "1234 8000 0000 0001 0000 0000 00 0001 0001 00000000"),
    ("RDATA past the message", "1234 8000 0000 0001 0000 0000 00 0001 0001 00000000 0004 000000"),
    ("name past its RDATA", "1234 8000 0000 0001 0000 0000 00 0005 0001 00000000 0001 0161 00"),
    ("pointer to itself", "1234 8000 0001 0000 0000 0000 c00c 0001 0001"),
    ("pointer forward", "1234 8000 0001 0000 0000 0000 c010 0001 0001"),
    ("pointer into the header", "1234 8000 0001 0000 0000 0000 c000 0001 0001"),
    ("pointer cut short", "1234 8000 0001 0000 0000 0000 c0"),
    ("label too long", "1234 8000 0001 0000 0000 0000 40" + "61" * 64 + "00 0001 0001"),
    ("name too long", "1234 8000 0001 0000 0000 0000" + "0161" * 128 + "00 0001 0001"),
    ("two OPT", "1234 8000 0000 0000 0000 0002" + OPT.hex() * 2),
    ("OPT in answer", "1234 8000 0000 0001 0000 0000" + OPT.hex()),
    ("OPT owner", "1234 8000 0000 0000 0000 0001 0161" + OPT.hex()),
    ("OPT option", "1234 8000 0000 0000 0000 0001" + opt(b"\0").hex()),
]


@pytest.mark.parametrize("wire", [case[1] for case in RESPONSES], ids=[case[0] for case in RESPONSES])
def test_malformed_responses(wire: str) -> None:
    """Whatever is wrong with a response, it is one kind of error."""
    with pytest.raises(MalformedMessageError):
        parse_response(bytes.fromhex(wire))


def test_a_name_made_too_long_by_a_pointer() -> None:
    """255 octets hold for what a name expands to, a remembered suffix included."""
    long = b"\1a" * 120 + b"\0"
    wire = struct.pack("!6H", 1, 0x8000, 3, 0, 0, 0)
    wire += long + b"\0\1\0\1" + b"\xc0\x0c\0\1\0\1" + b"\1b" * 8 + b"\xc0\x0c\0\1\0\1"
    with pytest.raises(MalformedMessageError, match="too long"):
        parse_response(wire)


def test_pointer_ladders_cost_no_more_than_their_length() -> None:
    """Thousands of owners up a long chain of pointers; the time limit of the test is the assertion."""
    rungs = 5000
    ladder = b"\0" + b"".join(struct.pack("!H", 0xC000 | 12 + 11 + max(0, 2 * n - 1)) for n in range(rungs))
    chain = record(10, ladder)
    steps = range(100, rungs, 100)  # each leads to the one before, by a hundred pointers
    climb = [record(1, b"abcd", owner=struct.pack("!H", 0xC000 | 12 + 11 + 1 + 2 * n)) for n in steps]
    owners = climb + climb[-1:] * 2000
    parsed = parse_response(struct.pack("!6H", 1, 0x8000, 0, 1 + len(owners), 0, 0) + chain + b"".join(owners))
    assert {one.owner for one in parsed.answer} == {ROOT}


def test_row52_more_pointers_than_labels() -> None:
    """A name has at most 127 labels, so nobody needs more pointers on the way to one, the first of them included."""
    for rungs, refused in ((126, False), (127, True), (5000, True)):
        ladder = b"\0" + b"".join(struct.pack("!H", 0xC000 | 12 + 11 + max(0, 2 * n - 1)) for n in range(rungs))
        chain = record(10, ladder)
        last = record(1, b"abcd", owner=struct.pack("!H", 0xC000 | 12 + len(chain) - 2))
        wire = struct.pack("!6H", 1, 0x8000, 0, 2, 0, 0) + chain + last
        with pytest.raises(MalformedMessageError) if refused else contextlib.nullcontext():
            parse_response(wire)


# --- text ----------------------------------------------------------------------------------------------------------

TEXTS = [
    (RRType.A, "0a000001", "10.0.0.1"),
    (RRType.A, "0a0000", "\\# 3 0a0000"),
    (RRType.AAAA, "20010db8" + "00" * 11 + "01", "2001:db8::1"),
    (RRType.NS, "036e732e00", "ns\\.."),
    (RRType.NS, "0361", "\\# 2 0361"),
    (RRType.MX, "000a 0161 00", "10 a."),
    (RRType.MX, "00", "\\# 1 00"),
    (RRType.SRV, "0000 0064 01bb 0161 00", "0 100 443 a."),
    (RRType.SRV, "0000 0064 01bb 0161 00 00", "\\# 10 0000006401bb01610000"),
    (RRType.SOA, "00 00 00000001 00000002 00000003 00000004 00000005", ". . 1 2 3 4 5"),
    (RRType.TXT, "03612022 01ff", '"a \\"" "\\255"'),
    (RRType.TXT, "0561", "\\# 2 0561"),
    (RRType.TXT, "", "\\# 0"),
    (257, "00 05 6973737565 63612e74657374", '0 issue "ca.test"'),
    (257, "00 ff", "\\# 2 00ff"),
    (RRType.DS, "1234 08 02 abcd", "4660 8 2 ABCD"),
    (RRType.NSEC, "00", "\\# 1 00"),
    (666, "abcd", "\\# 2 abcd"),
]


@pytest.mark.parametrize(("rrtype", "rdata", "text"), TEXTS)
def test_rdata_to_text(rrtype: int, rdata: str, text: str) -> None:
    """Known types in their own form, broken and unknown ones in the generic one; a dot in a label is escaped."""
    assert rdata_to_text(rrtype, bytes.fromhex(rdata)) == text


@pytest.mark.parametrize(
    ("code", "text"), [(1, "A"), (28, "AAAA"), (53, "SMIMEA"), (255, "ANY"), (0, "TYPE0"), (666, "TYPE666")]
)
def test_types(code: int, text: str) -> None:
    """Mnemonics go both ways, in any case."""
    assert type_to_text(code) == text
    assert text_to_type(text) == text_to_type(text.lower()) == code


@pytest.mark.parametrize("text", ["", "NOPE", "TYPE", "TYPE65536", "TYPE-1", "TYPE\u0661", "1"])
def test_no_types(text: str) -> None:
    """What names no type is an error."""
    with pytest.raises(ValueError, match="not a resource record type"):
        text_to_type(text)


def test_classes_and_rcodes() -> None:
    """Mnemonics where there are some, numbers where there are none."""
    assert [class_to_text(code) for code in (1, 3, 254, 255, 5)] == ["IN", "CH", "NONE", "ANY", "CLASS5"]
    assert [rcode_to_text(code) for code in (0, 3, 16, 11)] == ["NOERROR", "NXDOMAIN", "BADVERS", "RCODE11"]


def test_message_to_text() -> None:
    """A message for people, in full."""
    reply = Reply(answer=(addresses(1),), authority=(SOA,), additional=(addresses(1, ZONE),), extended_error=(3, "old"))
    wire = encode_reply(query(edns=Edns(1232, 0, True)), reply, limit=512)
    assert message_to_text(wire) == (
        ";; opcode: QUERY, status: NOERROR, id: 4660, flags: qr aa\n"
        ";; EDNS: version 0, udp 1232, flags: do\n"
        ";; OPT 15: 00036f6c64\n"
        ";; EDE 3: 'old'\n"
        ";kubernetes.default.svc.cluster.local. IN A\n"
        ";; ANSWER:\n"
        "kubernetes.default.svc.cluster.local. 5 IN A 10.0.0.0\n"
        ";; AUTHORITY:\n"
        "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5\n"
        ";; ADDITIONAL:\n"
        "cluster.local. 5 IN A 10.0.0.0\n"
    )
    assert message_to_text(encode_query(query(opcode=15))).startswith(";; opcode: OPCODE15, status: NOERROR")
    assert message_to_text(b"\1\2") == ";; malformed message of 2 octets: the header is cut short\n;; 0102\n"


def test_flags_of_a_parsed_response() -> None:
    """Each bit has its name."""
    parsed = parse_response(bytes.fromhex("1234 f7b0 0000 0000 0000 0000"))
    assert parsed.opcode == 14
    assert parsed.authoritative
    assert parsed.truncated
    assert parsed.recursion_desired
    assert parsed.recursion_available
    assert parsed.authenticated
    assert parsed.checking_disabled
    assert parsed.extended_error is None


# --- properties ----------------------------------------------------------------------------------------------------

labels = st.binary(min_size=1, max_size=20)
any_names = st.lists(labels, max_size=8).map(
    lambda parts: b"".join(bytes((len(part),)) + part for part in parts) + b"\0"
)
canonical_names = any_names.map(names.fold)
any_edns = st.builds(
    Edns,
    st.integers(0, 65535),
    st.just(0),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=20)), max_size=4).map(tuple),
)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Queries of every kind that a message can carry."""
    qname = draw(any_names)
    number = st.integers(0, 65535)
    return Query(
        draw(number),
        qname,
        names.fold(qname),
        draw(number),
        draw(number),
        draw(st.integers(0, 15)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.none() | any_edns),
    )


@st.composite
def rrsets(draw: st.DrawFn, owners: st.SearchStrategy[Name]) -> RRset:
    """RRsets of types with and without names in their RDATA."""
    soas = st.builds(Soa, canonical_names, canonical_names, *[st.integers(0, 2**32 - 1)] * 5).map(Soa.rdata)
    services = st.builds(srv, *[st.integers(0, 65535)] * 3, canonical_names)
    rrtype, rdatas = draw(
        st.sampled_from(
            [
                (RRType.A, st.binary(min_size=4, max_size=4)),
                (RRType.TXT, st.binary(max_size=40)),
                (RRType.NS, any_names),
                (RRType.PTR, any_names),
                (RRType.MX, any_names.map(lambda name: b"\0\1" + name)),
                (RRType.SOA, soas),
                (RRType.SRV, services),
            ]
        )
    )
    return RRset(draw(owners), rrtype, draw(st.integers(0, 2**31 - 1)), tuple(draw(st.lists(rdatas, max_size=6))))


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Query, Reply]:
    """A query and some reply to it, with owners that share labels."""
    asked = draw(queries())
    near = st.sampled_from([asked.name, *[Name(asked.name[index:]) for index in label_starts(asked.name)]])
    sections = st.lists(rrsets(near | canonical_names), max_size=4).map(tuple)
    reply = Reply(answer=draw(sections), authority=draw(sections), additional=draw(sections))
    return asked, reply


def label_starts(name: bytes) -> list[int]:
    """Return where each label of a name starts, and the root."""
    starts = [0]
    while name[starts[-1]]:
        starts.append(starts[-1] + 1 + name[starts[-1]])
    return starts


Sections = list[list[tuple[bytes, int, int, bytes]]]


def sections(parsed: ParsedResponse) -> Sections:
    """Return owner, type, TTL and RDATA of every record."""
    return [
        [(one.owner.lower(), one.rrtype, one.ttl, one.rdata) for one in section]
        for section in (parsed.answer, parsed.authority, parsed.additional)
    ]


def expected_sections(reply: Reply) -> Sections:
    """Return the same of a reply."""
    return [
        [(rrset.owner, int(rrset.rrtype), rrset.ttl, rdata) for rrset in section for rdata in rrset.rdatas]
        for section in (reply.answer, reply.authority, reply.additional)
    ]


@given(queries())
def test_a_query_survives_the_wire(asked: Query) -> None:
    """What is encoded is what is parsed, names of any octets included."""
    wire = encode_query(asked)
    parsed = parse_query(wire)
    assert encode_query(parsed) == wire
    assert (parsed.qname, parsed.name, parsed.edns) == (asked.qname, asked.name, asked.edns)
    assert parsed.size == len(wire)


@given(exchanges())
def test_a_reply_survives_the_wire(exchange: tuple[Query, Reply]) -> None:
    """With room enough every record comes out as it went in, through compression and back."""
    asked, reply = exchange
    wire = encode_reply(asked, reply, limit=65535)
    parsed = parse_response(wire)
    assert sections(parsed) == expected_sections(reply)
    assert parsed.question[0].qname == asked.qname
    assert parsed.size == len(wire)
    assert not parsed.truncated


@given(exchanges(), st.integers(512, 1300))
def test_a_reply_keeps_its_limit(exchange: tuple[Query, Reply], limit: int) -> None:
    """Never over the limit; what is sent is a start of what there was, and TC says when it is not all."""
    asked, reply = exchange
    wire = encode_reply(asked, reply, limit=limit)
    parsed = parse_response(wire)
    assert parsed.size == len(wire) <= limit
    assert (parsed.edns is not None) == (asked.edns is not None)
    sent, whole = sections(parsed), expected_sections(reply)
    required, wanted = sent[0] + sent[1], whole[0] + whole[1]
    assert required == wanted[: len(required)]
    assert parsed.truncated == (required != wanted)
    assert not (parsed.truncated and sent[2])
    for one in sent[2]:
        assert one in whole[2]


@given(exchanges(), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), st.integers(0, 2000))
def test_broken_messages_raise_one_kind_of_error(
    exchange: tuple[Query, Reply], changes: list[tuple[int, int]], cut: int
) -> None:
    """Octets changed and cut off: parsed or refused, as query, response and text."""
    wire = bytearray(encode_reply(*exchange, limit=65535))
    for position, octet in changes:
        wire[position % len(wire)] = octet
    check_parsers(bytes(wire))
    check_parsers(bytes(wire[:cut]))


@given(st.binary(max_size=300))
def test_random_octets_raise_one_kind_of_error(wire: bytes) -> None:
    """The same for octets that never were a message."""
    check_parsers(wire)
    rdata_to_text(int.from_bytes(wire[:2], "big") % 300, wire)


def check_parsers(wire: bytes) -> None:
    """Parse in each way; what is parsed can be printed."""
    assert message_to_text(wire)
    assert refused_with(wire) in (None, Rcode.FORMERR, Rcode.NOTAUTH)
    try:
        parsed = parse_response(wire)
    except MalformedMessageError:
        return
    for one in (*parsed.answer, *parsed.authority, *parsed.additional):
        assert isinstance(one, Record)
        assert len(one.owner) <= 255


# --- streams --------------------------------------------------------------------------------------------------------


def stream(rrsets: list[RRset], *, limit: int = 63_000, **fields: object) -> list[ParsedResponse]:
    """Return the messages of a stream, without the pauses, each checked for what holds for all of them."""
    asked = query("CLUSTER.local", RRType.AXFR, **fields)
    messages = [wire for wire in encode_stream(asked, Reply(origin=ZONE), rrsets, limit=limit) if wire]
    parsed = [parse_response(wire) for wire in messages]
    for wire, one in zip(messages, parsed, strict=True):
        assert one.size == len(wire) <= limit
        assert (one.id, one.flags, one.authority, one.additional) == (asked.id, 0x8400, (), ())
        assert [(part.qname, part.qtype) for part in one.question] == [(asked.qname, RRType.AXFR)]
        assert (one.edns is None) == (asked.edns is None)
    return parsed


@pytest.mark.parametrize("edns", [None, Edns(1232), Edns(512, dnssec_ok=True)])
def test_a_stream_of_one_message(edns: Edns | None) -> None:
    """Question, AA and OPT are those of any reply, and names follow the question's spelling."""
    (message,) = stream([SOA, addresses(3), SOA], edns=edns)
    assert [record.rrtype for record in message.answer] == [6, 1, 1, 1, 6]
    assert message.answer[1].owner == b"\x0akubernetes\x07default\x03svc\x07CLUSTER\x05local\0"


def test_a_stream_of_many_messages() -> None:
    """No record is lost, doubled or torn at the boundaries; all messages but the last are full; an RRset may go on."""
    names_and_many = [addresses(1, from_labels((b"vm%d" % number,), ZONE)) for number in range(3000)]
    rrsets = [SOA, *names_and_many, addresses(9000), SOA]
    for limit in (512, 4000, 63_000):
        messages = stream(rrsets, limit=limit)
        records = [(names.fold(one.owner), one.rdata) for message in messages for one in message.answer]
        expected = [(one.owner, rdata) for one in rrsets for rdata in one.rdatas]
        assert [one for one in records if len(one[1]) == 4] == [one for one in expected if len(one[1]) == 4]
        assert len(records) == len(expected)
        assert all(message.size > limit - 60 for message in messages[:-1])


def test_a_stream_pauses() -> None:
    """After some hundred records, and at an RRset without any, others get their turn; nothing is made ahead."""
    made = 0

    def rrsets() -> Iterator[RRset]:
        nonlocal made
        for number in range(1000):
            made += 1
            yield addresses(1, from_labels((b"vm%d" % number,), ZONE))

    messages = encode_stream(query("cluster.local", RRType.AXFR), Reply(), rrsets(), limit=63_000)
    assert [(next(messages), made) for _ in range(4)] == [(b"", 200), (b"", 400), (b"", 600), (b"", 800)]
    nothing = RRset(ZONE, RRType.A, 0, ())
    wires = list(encode_stream(query("cluster.local", RRType.AXFR), Reply(), [SOA, nothing, SOA], limit=63_000))
    assert [bool(wire) for wire in wires] == [False, True]


def test_an_empty_stream_is_one_message() -> None:
    """The client waits for an answer whatever there is to say."""
    (message,) = stream([])
    assert message.answer == ()


def test_a_record_that_no_message_holds() -> None:
    """It is said, not left out, whether it comes first or not."""
    huge = RRset(NAME, RRType.TXT, 5, (txt(b"x" * 200) * 3,))
    for rrsets in ([huge], [SOA, addresses(5), huge]):
        with pytest.raises(ValueError, match=r"no message of 512 octets can hold a record of kubernetes\.default\."):
            stream(rrsets, limit=512)


def test_pointers_to_every_label() -> None:
    """Labels that many pointers lead to are read once: work is in proportion to the octets."""

    def octets(chains: int) -> bytes:
        body, targets = b"", []
        for _ in range(chains):
            targets += [HEADER_SIZE + len(body) + 2 * number for number in range(120)]
            body += b"\x01a" * 120 + bytes(11)
        body += b"".join((0xC000 | target).to_bytes(2, "big") + bytes(10) for target in targets)
        return b"\0\0\x80\0\0\0" + (chains * 121).to_bytes(2, "big") + bytes(4) + body

    assert parse_response(octets(2)).answer[-1].owner == b"\x01a\0"
    data = octets(40)
    lines = lines_of(lambda: parse_response(data))
    assert lines < 6 * len(data)
