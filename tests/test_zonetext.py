"""Records from zone-file text: tables of types, refusals, and properties over text nobody thought of."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.message import Query, Reply
from dnsserver.names import ROOT, Name, fold, from_text, spelled_from_text
from dnsserver.records import RRClass, RRset, RRType, Soa
from dnsserver.wire import encode_reply, parse_response, rdata_to_text
from dnsserver.wire.zonetext import ZoneTextError, parse_record, text_to_class

HOST = from_text("host.example")


def test_record() -> None:
    """Owner, TTL, class, type and RDATA; names are below the root, and keep their case."""
    record = parse_record("Www.Example.org. 60 IN CNAME Google.com")
    assert record.owner == spelled_from_text("Www.Example.org")
    assert (record.ttl, record.rrclass, record.rrtype) == (60, RRClass.IN, RRType.CNAME)
    assert record.rdata == spelled_from_text("Google.com")


@pytest.mark.parametrize(
    ("text", "ttl", "rrclass", "owner"),
    [
        ("a.example. A 192.0.2.1", 3600, 1, "a.example"),
        ("a.example. IN A 192.0.2.1", 3600, 1, "a.example"),
        ("a.example. CH 5 A 192.0.2.1", 5, 3, "a.example"),
        ("a.example. 1h30M IN A 192.0.2.1", 5400, 1, "a.example"),
        ("a.example.\t2147483647\tCLASS4 a 192.0.2.1\n", 2**31 - 1, 4, "a.example"),
        ("@ 0 A 192.0.2.1 ; a comment (", 0, 1, "."),
        (" 7 IN A 192.0.2.1", 7, 1, "."),
        ("a\\.b.example 1 A ( ; one\n 192.0.2.1\n)\n\n; the end", 1, 1, "a\\.b.example"),
        ("a.example 1w2d A 192.0.2.1", 777600, 1, "a.example"),
    ],
)
def test_head(text: str, ttl: int, rrclass: int, owner: str) -> None:
    """TTL and class may change places or be missing; parentheses span lines."""
    record = parse_record(text)
    assert (record.owner, record.ttl, record.rrclass, record.rrtype) == (from_text(owner), ttl, rrclass, RRType.A)
    assert record.rdata == bytes((192, 0, 2, 1))


RDATA = [
    ("AAAA 2001:db8::1", bytes.fromhex("20010db8000000000000000000000001")),
    ("NS host.example.", HOST),
    ("PTR host.example", HOST),
    ("DNAME .", ROOT),
    (
        "SOA host.example. admin.host.example. (1 2h 3m 4 5)",
        Soa(HOST, from_text("admin.host.example"), 1, 7200, 180, 4, 5).rdata(),
    ),
    ("MX 10 host.example", b"\0\x0a" + HOST),
    ("AFSDB 1 host.example", b"\0\x01" + HOST),
    ("RP host.example .", HOST + ROOT),
    ("SRV 1 2 65535 host.example", b"\0\x01\0\x02\xff\xff" + HOST),
    ('TXT "a b" c\\;\\100 ""', b"\x03a b\x03c;d\0"),
    ("TXT " + "x" * 300, b"\xff" + b"x" * 255 + b"\x2d" + b"x" * 45),
    ('HINFO "ANY obsoleted" "See RFC 8482"', b"\x0dANY obsoleted\x0cSee RFC 8482"),
    ('CAA 0 issue "ca.example; x=y"', b"\0\x05issueca.example; x=y"),
    ('URI 1 2 "https://a/"', b"\0\x01\0\x02https://a/"),
    ('NAPTR 1 2 "s" "x" "" host.example', b"\0\x01\0\x02\x01s\x01x\0" + HOST),
    ("DS 1 8 2 ab cd", b"\0\x01\x08\x02\xab\xcd"),
    ("DNSKEY 257 3 8 AQ ID", b"\x01\x01\x03\x08\x01\x02\x03"),
    ("TLSA 3 1 1 abcd", b"\x03\x01\x01\xab\xcd"),
    ("SSHFP 1 2 abcd", b"\x01\x02\xab\xcd"),
    ("OPENPGPKEY AQID", b"\x01\x02\x03"),
    ("HTTPS 0 host.example", b"\0\0" + HOST),
    (
        'HTTPS 1 . port=443 alpn="h2,h3" ipv4hint=192.0.2.1,192.0.2.2',
        b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xbb\0\x04\0\x08\xc0\0\x02\x01\xc0\0\x02\x02",
    ),
    (
        "SVCB 1 . mandatory=port,alpn alpn=a\\\\,b no-default-alpn port=1 ech=AQID key667=x\\032y ipv6hint=::1",
        b"\0\x01\0\0\0\0\x04\0\x01\0\x03\0\x01\0\x04\x03a,b\0\x02\0\0\0\x03\0\x02\0\x01\0\x05\0\x03\x01\x02\x03"
        b"\0\x06\0\x10" + bytes(15) + b"\x01\x02\x9b\0\x03x y",
    ),
    ("TYPE65280 \\# 3 ab CD 01", b"\xab\xcd\x01"),
    ("TYPE1 \\# 4 C0000201", b"\xc0\0\x02\x01"),
    ("TXT \\# 0", b""),
    ("CNAME \\# 3 016100", b"\x01a\0"),
]


@pytest.mark.parametrize(("text", "rdata"), RDATA)
def test_rdata(text: str, rdata: bytes) -> None:
    """Each type's RDATA, and octets for those without a form."""
    assert parse_record(f"x.example. 5 IN {text}").rdata == rdata


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no resource record"),
        (" ; only a comment", "no resource record"),
        ("$ORIGIN example.", "directive"),
        ("a.example.", "no type"),
        ("a.example. 5 IN", "no type"),
        ("a.example. 5 6 A 192.0.2.1", "'6' is not a TTL, a class or a type"),
        ("a.example. <no value> A 192.0.2.1", "'<no' is not"),
        ("a.example. 2147483648 A 192.0.2.1", "more than"),
        ("a.example. 5 IN ANY x", "for questions"),
        ("a.example. 5 IN OPT x", "for questions"),
        ("a.example. 5 IN TYPE65280 x", "\\# LENGTH HEX"),
        ("a..example. 5 IN A 192.0.2.1", "not a name"),
        ("x" * 64 + " 5 IN A 192.0.2.1", "not a name"),
        ("a 5 IN A", "ends after 0 of 1"),
        ("a 5 IN A 192.0.2.01", "not an IPv4 address"),
        ("a 5 IN A 192.0.2.1 192.0.2.2", "more than its 1 fields"),
        ("a 5 IN AAAA fe80::1%eth0", "zone index"),
        ("a 5 IN AAAA 192.0.2.1", "not an IPv6 address"),
        ("a 5 IN MX 65536 b", "0 to 65535"),
        ("a 5 IN MX -1 b", "0 to 65535"),
        ("a 5 IN MX ten b", "0 to 65535"),
        ('a 5 IN MX 1 "b"', "expecting a name"),
        ("a 5 IN SOA a b 1 2 3 4", "ends after 6 of 7"),
        ("a 5 IN SOA a b 1 2x 3 4 5", "not a time"),
        ("a 5 IN TXT \\999", "not a string"),
        ("a 5 IN HINFO x " + "y" * 256, "256 octets"),
        ('a 5 IN TXT "x', "without its end"),
        ("a 5 IN TXT x\\", "backslash"),
        ("a 5 IN TXT (x", "'(' without"),
        ("a 5 IN TXT x)", "')' without"),
        ("a 5 IN A 192.0.2.1\nb 5 IN A 192.0.2.1", "more than one"),
        ("a 5 IN CAA 0 a-b x", "CAA tag"),
        ("a 5 IN DS 1 1 1 abc", "hexadecimal"),
        ("a 5 IN DS 1 1 1 xy", "hexadecimal"),
        ("a 5 IN DNSKEY 1 1 1 !", "base64"),
        ("a 5 IN A \\# 3 010203", "not RDATA of that type"),
        ("a 5 IN TYPE9999 \\#", "no length"),
        ("a 5 IN TYPE9999 \\# 2 01", "1 octets of RDATA"),
        ("a 5 IN CNAME \\# 2 0161", "not RDATA of that type"),
        ("a 5 IN CNAME \\# 4 01610000", "not RDATA of that type"),
        ("a 5 IN CNAME \\# 16 0161000161000161000161000161c00c", "not RDATA of that type"),
        ("a 5 IN SOA \\# 2 0000", "not RDATA of that type"),
        ("a 5 IN RP \\# 15 0b616161616161616161616100c00c", "not RDATA of that type"),
        ('a 5 IN DS 1 1 1 ""', "no octets"),
        ("a 5 IN HTTPS 1", "after the priority"),
        ("a 5 IN HTTPS 1 . prot=1", "not a service parameter"),
        ("a 5 IN HTTPS 1 . key65535=1", "not a service parameter"),
        ("a 5 IN HTTPS 1 . port=1 port=2", "given twice"),
        ("a 5 IN HTTPS 1 . port", "needs a value"),
        ("a 5 IN HTTPS 1 . port=70000", "0 to 65535"),
        ("a 5 IN HTTPS 1 . no-default-alpn=1", "takes no value"),
        ("a 5 IN HTTPS 1 . no-default-alpn", "needs alpn"),
        ("a 5 IN HTTPS 1 . alpn=a,,b", "empty"),
        ("a 5 IN HTTPS 1 . alpn=a\\\\x", "comma or a backslash"),
        ("a 5 IN HTTPS 1 . alpn=" + "a" * 256, "255 octets"),
        ("a 5 IN HTTPS 1 . mandatory=port", "missing"),
        ("a 5 IN HTTPS 1 . mandatory=port,port port=1", "twice"),
        ("a 5 IN HTTPS 1 . ipv4hint=x", "cannot be"),
        ("a 5 IN HTTPS 1 . ipv6hint=fe80::1%1", "zone index"),
        ("a 5 IN HTTPS 1 . key9=\\300", "backslash"),
        ("a 5 IN HTTPS 1 . key9=" + "x" * 65536, "at most 65535 octets"),
        ("a 5 IN HTTPS 1 . key9=xxxxx ipv6hint=::" + ",::" * 4094, "RDATA of 65536"),
        ('a 5 IN HTTPS 1 . "x"', "expecting KEY=VALUE"),
        ("a " + "x" * 262144, "a record of"),
        ("\ud800 5 IN A 192.0.2.1", "not a name"),
        ("a 5 IN TXT \ud800", "not a string"),
    ],
)  # fmt: skip  # a refusal a line
def test_refusals(text: str, reason: str) -> None:
    """What is not one whole record is refused with the word that is wrong."""
    with pytest.raises(ZoneTextError) as caught:
        parse_record(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("text", "code"), [("IN", 1), ("in", 1), ("CS", 2), ("ANY", 255), ("CLASS5", 5)])
def test_class(text: str, code: int) -> None:
    """Mnemonics and numbers, in any case."""
    assert text_to_class(text) == code


@pytest.mark.parametrize("text", ["", "XX", "CLASS", "CLASS65536", "CLASS-1", "CLASS" + "1" * 5000])
def test_no_class(text: str) -> None:
    """Anything else is none."""
    with pytest.raises(ValueError, match="not a class"):
        text_to_class(text)


WORDS = r'a.example. 5 IN CNAME SOA MX TXT SVCB HTTPS NAPTR \# ( ) " \ ; @ alpn=h2 1 0 ab . TYPE65280 CH é \200 1h'


@given(st.lists(st.sampled_from(WORDS.split()) | st.text(max_size=4) | st.just("\n"), max_size=14).map(" ".join))
def test_any_text(text: str) -> None:
    """Whatever the text, there is a record that can be sent and read again, or an error of its own kind."""
    try:
        record = parse_record(text)
    except ZoneTextError:
        return
    owner = fold(record.owner)
    query = Query(id=1, qname=HOST, name=HOST, qtype=record.rrtype, qclass=RRClass.IN)
    wire = encode_reply(query, Reply(answer=(RRset(owner, record.rrtype, record.ttl, (record.rdata,)),)), limit=65535)
    (answer,) = parse_response(wire).answer
    assert (fold(answer.owner), answer.rrtype, answer.rdata) == (owner, record.rrtype, record.rdata)


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3), st.integers(0, 65535))
def test_round_trip(labels: list[bytes], preference: int) -> None:
    """What the server prints of a record, it reads."""
    name = Name(b"".join(bytes((len(label),)) + label for label in labels) + b"\0")
    rdata = struct.pack("!H", preference) + name
    assert parse_record(f"a 5 IN MX {rdata_to_text(RRType.MX, rdata)}").rdata == rdata
