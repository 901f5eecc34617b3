"""Messages of other servers to replies: what is kept, what is dropped, and that no octets do harm."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.message import Edns, Query, Reply
from dnsserver.names import ROOT, Name, from_text, spelled_from_text
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa
from dnsserver.upstream import UpstreamError, is_answer, to_reply
from dnsserver.upstream.response import read_response
from dnsserver.wire import encode_reply, parse_response
from tests.upstream.support import question

NAME = from_text("www.example.com")
OTHER = from_text("other.example.com")
SOA = Soa(NAME, NAME, 1, 2, 3, 4, 5).rdata()
EDNS = Edns(1232, dnssec_ok=True)


def rrset(owner: bytes, rrtype: int, *rdatas: bytes, ttl: int = 60) -> RRset:
    return RRset(Name(owner), rrtype, ttl, rdatas)


FULL = Reply(
    rcode=Rcode.NOERROR,
    authoritative=True,
    answer=(
        rrset(NAME, RRType.CNAME, OTHER),
        rrset(OTHER, RRType.A, b"\1\1\1\1", b"\2\2\2\2"),
        rrset(OTHER, RRType.A, b"\3\3\3\3", ttl=61),
        rrset(OTHER, RRType.RRSIG, b"signature"),
    ),
    authority=(rrset(ROOT, RRType.SOA, SOA),),
    additional=(rrset(NAME, 65280, b"unknown"),),
    recursion_available=True,
    authenticated=True,
    truncated=True,
    extended_error=(3, "stale"),
    options=((10, b"cookie87"), (3, b"nsid")),
)


def passed(query: Query, reply: Reply) -> Reply:
    """Return what becomes of another server's reply."""
    response = read_response(encode_reply(query, reply, limit=65535), datagram=True)
    assert is_answer(query, response)
    return to_reply(query, response)


def test_all_is_kept() -> None:
    """Sections in their order, flags, EDNS options."""
    assert passed(question(edns=EDNS), FULL) == FULL


@pytest.mark.parametrize("rcode", [Rcode.NXDOMAIN, Rcode.SERVFAIL, 11, Rcode.BADCOOKIE, 3841])
def test_rcodes(rcode: int) -> None:
    """Every RCODE, the extended ones with EDNS."""
    assert passed(question(edns=EDNS), Reply(rcode=rcode)).rcode == rcode


def test_spelling() -> None:
    """Names keep their case; the question's own follows the question, whatever the other server makes of it."""
    query = question("WWW.example.com")
    mixed = Name(spelled_from_text("Other.EXAMPLE.com"))
    reply = passed(query, Reply(answer=(rrset(NAME, RRType.CNAME, mixed), rrset(mixed, RRType.A, b"\1\1\1\1"))))
    assert [one.owner for one in reply.answer] == [NAME, mixed]
    assert reply.answer[0].rdatas == (mixed,)
    sent = parse_response(encode_reply(query, reply, limit=512))
    assert [record.owner for record in sent.answer] == [query.qname, mixed]


def message(*records: tuple[bytes, int, int, int, bytes], questions: int = 1, flags: int = 0x8180) -> bytes:
    """Return a response to `question()` with these answer records, as they are."""
    wire = struct.pack("!6H", 0x1234, flags, questions, len(records), 0, 0)
    wire += (NAME + struct.pack("!HH", RRType.A, RRClass.IN)) * questions
    for owner, rrtype, rrclass, ttl, rdata in records:
        wire += owner + struct.pack("!HHIH", rrtype, rrclass, ttl, len(rdata)) + rdata
    return wire


def test_records_without_a_place() -> None:
    """Records of another class and names that are missing are left out; TTLs that are negative are 0."""
    wire = message(
        (NAME, RRType.A, RRClass.IN, 2**31, b"\1\1\1\1"),
        (NAME, RRType.A, RRClass.CH, 60, b"\2\2\2\2"),
        *((NAME, rrtype, RRClass.IN, 60, b"") for rrtype in (RRType.NS, RRType.CNAME, RRType.SOA, RRType.MX)),
        (NAME, RRType.TXT, RRClass.IN, 60, b""),
        (NAME, RRType.TXT, RRClass.IN, 60, b""),
    )
    reply = to_reply(question(), read_response(wire, datagram=True))
    assert reply.answer == (rrset(NAME, RRType.A, b"\1\1\1\1", ttl=0), rrset(NAME, RRType.TXT, b""))
    assert parse_response(encode_reply(question(), reply, limit=512)).rcode == 0


def test_classes() -> None:
    """A reply has the records of the question's class; a question for any class has those of IN."""
    records = [(NAME, RRType.A, rrclass, 60, bytes((rrclass,) * 4)) for rrclass in (RRClass.IN, RRClass.CH)]
    response = read_response(message(*records), datagram=True)
    for qclass, first in ((RRClass.IN, 1), (RRClass.CH, 3), (RRClass.ANY, 1)):
        assert [one.rdatas for one in to_reply(question(qclass=qclass), response).answer] == [(bytes((first,) * 4),)]


@pytest.mark.parametrize(
    ("wire", "query", "expected"),
    [
        (message(), question(), True),
        (message(), question("WWW.EXAMPLE.COM"), True),
        (message(), question("mail.example.com"), False),
        (message(), question(qtype=RRType.AAAA), False),
        (message(questions=0), question(), False),
        (message(questions=2), question(), False),
        (message(flags=0x0100), question(), False),  # a query
    ],
)
def test_is_answer(wire: bytes, query: Query, expected: bool) -> None:
    """A response with one question, the one that was asked."""
    assert is_answer(query, read_response(wire, datagram=False)) is expected


def test_cut_short() -> None:
    """A datagram that ends early is truncated and empty; over TCP, or without a whole question, it is an error."""
    whole = message((NAME, RRType.A, RRClass.IN, 60, b"\1\1\1\1"))
    for length in range(len(message()), len(whole)):
        response = read_response(whole[:length], datagram=True)
        assert (response.truncated, response.answer) == (True, ())
        assert is_answer(question(), response)
        with pytest.raises(UpstreamError, match="dns: "):
            read_response(whole[:length], datagram=False)
    for length in range(len(message())):
        with pytest.raises(UpstreamError, match="dns: "):
            read_response(whole[:length], datagram=True)


SEED = encode_reply(question(edns=EDNS), FULL, limit=65535)


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(SEED)))
def test_hostile_octets(changes: list[tuple[int, int]], length: int) -> None:
    """Whatever comes is a reply that can be sent, or an `UpstreamError`."""
    octets = bytearray(SEED)
    for index, value in changes:
        octets[index] = value
    query = question(edns=EDNS)
    for datagram in (True, False):
        try:
            response = read_response(bytes(octets[: length or None]), datagram=datagram)
        except UpstreamError:
            continue
        for limit in (512, 65535):
            parse_response(encode_reply(query, to_reply(query, response), limit=limit))
