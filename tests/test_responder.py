"""The rules before and after a zone: a table of packets, then properties over whatever octets there are."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dnsserver.message import Edns, Query, Reply, Transport
from dnsserver.names import from_text, spelled_from_text
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.responder import STREAM_MESSAGE, IncrementalQuery, finish, finish_stream, receive, reply_limit
from dnsserver.wire import ParsedResponse, parse_response

NAME = from_text("kubernetes.default.svc.cluster.local")
OPT = "00 0029 04d0 0000 0000 0000"
TSIG = "036b657900 00fa 00ff 00000000 0015 0368736800 000065000000 012c 0000 1234 0000 0000"


def packet(
    flags: int = 0, qtype: int = 1, qclass: int = 1, *, counts: tuple[int, ...] = (1, 0, 0, 0), rest: str = ""
) -> bytes:
    """Return a query for the known name, followed by `rest`."""
    header = struct.pack("!6H", 0x1234, flags, *counts)
    return header + NAME + struct.pack("!HH", qtype, qclass) + bytes.fromhex(rest)


def edns(flags: int = 0, qtype: int = 1, qclass: int = 1, *, opt: str = OPT) -> bytes:
    """Return the same with OPT."""
    return packet(flags, qtype, qclass, counts=(1, 0, 0, 1), rest=opt)


SILENCE = [
    *[bytes(size) for size in range(12)],
    packet(0x8000),
    packet(0x8001),
    packet(0xA000),
    packet(0xA800),
    packet(0xF800),
    edns(0x8000),
    bytes.fromhex("1234 8000 0000 0000 0000 0000"),
    bytes.fromhex("1234 ffff ffff ffff ffff ffff ff"),
    edns(0x8000, opt="00 0029 04d0 0001 0000 0000"),
    packet(0x8000, counts=(2, 0, 0, 0)),
    packet(0x8000, qclass=3),
]


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("wire", SILENCE)
def test_silence(wire: bytes, transport: Transport) -> None:
    """Messages without a header and responses get nothing (protocol rows 38, 48)."""
    assert receive(wire, transport) is None


QUERIES = [
    ("plain", packet(), None),
    ("all flags", packet(0x07F5), None),
    ("EDNS", edns(), Edns(1232)),
    *[(f"class {qclass}", packet(qclass=qclass), None) for qclass in (0, 3, 4, 254, 255, 65535)],  # a server block's
    *[(f"type {qtype}", packet(qtype=qtype), None) for qtype in (251, 252)],  # the `transfer` plugin's
    ("unknown type", packet(qtype=666), None),
    ("type 65535", packet(qtype=65535), None),
    ("type ANY", packet(qtype=255), None),
    ("RRSIG", packet(qtype=46), None),
    ("junk after the question", packet(rest="ff" * 40), None),
    ("extra record", packet(counts=(1, 1, 0, 0), rest="c00c 0001 0001 00000005 0004 0a000001"), None),
]


@pytest.mark.parametrize(("wire", "expected"), [case[1:] for case in QUERIES], ids=[case[0] for case in QUERIES])
def test_queries_for_the_zones(wire: bytes, expected: Edns | None) -> None:
    """Everything else is a zone's to answer."""
    query = receive(wire, Transport.UDP)
    assert isinstance(query, Query)
    assert (query.name, query.edns) == (NAME, expected)


INVALID_TYPE, NOT_SERVED, NOT_SUPPORTED = (30, ""), (20, ""), (21, "")
DECIDED = [  # packet, then flags with RCODE, question repeated, OPT, EDE
    ("no question", bytes.fromhex("1234 0000 0000 0000 0000 0000"), 0x8001, False, False, None),
    ("two questions", packet(0x0100, counts=(2, 0, 0, 0)), 0x8101, False, False, None),
    ("pointer to itself", bytes.fromhex("1234 0000 0001 0000 0000 0000 c00c 0001 0001"), 0x8001, False, False, None),
    ("80 records", packet(counts=(1, 0, 80, 0)), 0x8001, False, False, None),
    ("absent record", packet(0x0110, counts=(1, 0, 0, 1)), 0x8111, True, False, None),
    ("two OPT", packet(counts=(1, 0, 0, 2), rest=OPT + OPT), 0x8001, True, True, None),
    ("broken option", edns(opt="00 0029 04d0 0000 8000 0001 00"), 0x8001, True, True, None),
    ("opcode 15 header only", bytes.fromhex("1234 7800 0000 0000 0000 0000"), 0xF804, False, False, None),
    ("opcode 15 all flags", bytes.fromhex("1234 7ff0 0000 0000 0000 0000"), 0xF804, False, False, None),
    ("IQUERY", packet(0x0800), 0x8804, True, False, None),
    ("STATUS", packet(0x1100), 0x9004, True, False, None),
    ("opcode 3 with EDNS", edns(0x1800), 0x9804, True, True, None),
    (
        "UPDATE",
        packet(0x2800, counts=(1, 0, 1, 0), rest="c00c 0001 0001 00000005 0004 0a000001"),
        0xA804,
        True,
        False,
        None,
    ),
    ("UPDATE with 80 records", packet(0x2800, counts=(1, 0, 80, 0)), 0xA804, False, False, None),
    ("UPDATE with TSIG", packet(0x2800, counts=(1, 0, 0, 1), rest=TSIG), 0xA804, True, False, None),
    ("DSO", bytes.fromhex("1234 3000 0000 0000 0000 0000 0001 0008 0000000000000000"), 0xB004, False, False, None),
    ("NOTIFY", packet(0x2400, 6), 0xA005, True, False, None),
    ("NOTIFY without a question", bytes.fromhex("1234 2000 0000 0000 0000 0000"), 0xA001, False, False, None),
    ("EDNS version 1", edns(opt="00 0029 1000 0001 8000 0000"), 0x8000, True, True, None),
    ("EDNS version 255, class CH", edns(qclass=3, opt="00 0029 1000 00ff 0000 0000"), 0x8000, True, True, None),
    *[(f"type {qtype}", edns(qtype=qtype), 0x8001, True, True, INVALID_TYPE) for qtype in (0, 41, 128, 250)],
    *[(f"type {qtype}", edns(qtype=qtype), 0x8004, True, True, None) for qtype in (249, 253, 254)],
]


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize(
    ("wire", "flags", "question", "opt", "extended"), [case[1:] for case in DECIDED], ids=[case[0] for case in DECIDED]
)
def test_decided(
    wire: bytes, flags: int, question: bool, opt: bool, extended: tuple[int, str] | None, transport: Transport
) -> None:
    """The rules answer these themselves, over every transport alike, and never with data."""
    parsed = response_of(wire, transport)
    assert f"{parsed.flags:04x}" == f"{flags:04x}"
    assert bool(parsed.question) == question
    assert (parsed.edns is not None) == opt
    assert parsed.extended_error == extended
    if question:
        assert wire[12 : 12 + len(NAME) + 4] == receive(wire, transport)[12 : 12 + len(NAME) + 4]  # type: ignore[index]  # octets: `response_of` says so


def response_of(wire: bytes, transport: Transport = Transport.UDP) -> ParsedResponse:
    """Return the response that needs no zone, checked for what holds for all of them."""
    response = receive(wire, transport)
    assert isinstance(response, bytes)
    parsed = parse_response(response)
    assert parsed.id == 0x1234
    assert (parsed.answer, parsed.authority) == ((), ())
    assert parsed.size == len(response) <= len(wire) + 11 + 6  # OPT and EDE (protocol row 51)
    return parsed


@pytest.mark.parametrize("version", [1, 2, 255])
def test_bad_version(version: int) -> None:
    """BADVERS, our version 0, DO copied, no option echoed (protocol row 58)."""
    parsed = response_of(edns(opt=f"00 0029 1000 00{version:02x} 8000 0004 00640000"))
    assert parsed.rcode == Rcode.BADVERS
    assert parsed.edns == Edns(1232, 0, True)


def test_an_unknown_key() -> None:
    """NOTAUTH, the TSIG last and without a MAC (protocol row 50)."""
    wire = packet(counts=(1, 0, 0, 2), rest=OPT + TSIG)
    parsed = response_of(wire)
    assert (parsed.rcode, parsed.edns) == (Rcode.NOTAUTH, Edns(1232))
    assert [(one.owner, one.rrtype, one.rrclass) for one in parsed.additional] == [(b"\3key\0", RRType.TSIG, 255)]
    assert parsed.additional[0].rdata == bytes.fromhex("0368736800 000065000000 012c 0000 1234 0011 0000")


def test_an_unknown_key_with_names_too_long_for_the_limit() -> None:
    """TSIG is left out where it does not fit, never the response."""
    long = b"\1a" * 127 + b"\0"
    rdata = long + bytes.fromhex("000065000000 012c 0000 1234 0000 0000")
    tsig = long + struct.pack("!HHIH", RRType.TSIG, 255, 0, len(rdata)) + rdata
    wire = packet(counts=(1, 0, 0, 1), rest=tsig.hex())
    assert response_of(wire).additional == ()
    assert len(response_of(wire, Transport.TCP).additional) == 1


LIMITS = [
    (Transport.UDP, None, 512),
    *[(Transport.UDP, Edns(size), 512) for size in (0, 1, 511, 512)],
    (Transport.UDP, Edns(700), 700),
    *[(Transport.UDP, Edns(size), 1232) for size in (1232, 1400, 4096, 65535)],
    *[(transport, edns, 65535) for transport in (Transport.TCP, Transport.TLS) for edns in (None, Edns(512))],
]


@pytest.mark.parametrize(("transport", "edns", "limit"), LIMITS)
def test_limits(transport: Transport, edns: Edns | None, limit: int) -> None:
    """What the client can take, at most what we send over UDP (protocol rows 56, 65 to 69)."""
    query = Query(1, NAME, NAME, 1, edns=edns)
    assert reply_limit(query, transport) == limit
    addresses = RRset(NAME, RRType.A, 5, tuple(struct.pack("!I", number) for number in range(2200)))
    response = finish(query, Reply(answer=(addresses,)), transport)
    parsed = parse_response(response)
    assert limit - 16 < len(response) <= limit or not parsed.truncated
    assert parsed.truncated == (transport is Transport.UDP)
    assert (parsed.edns is not None) == (edns is not None)


# --- zone transfers -------------------------------------------------------------------------------------------------

SOA_RECORD = "c00c 0006 0001 00000000 0018 0161 00 0162 00"  # behind it 5 numbers, the serial first
OTHER_RECORD = "c00c 0001 0001 00000000 0004 0a000001"
SERIALS = [  # authority section, serial
    (1, SOA_RECORD.replace("0018", "001a") + "00000007" + "00000000" * 4, 7),
    (1, SOA_RECORD.replace("0018", "001a") + "ffffffff" + "00000000" * 4, 2**32 - 1),
    (1, "c00c 0006 0001 00000000 0018 c00c c00c 00000009" + "00000000" * 4, 9),  # compressed names
    (0, "", None),
    (1, OTHER_RECORD, None),
    (1, "c00c 0006 0001 00000000 0004 00000000", None),  # no SOA has so few octets
]


@pytest.mark.parametrize(("count", "authority", "serial"), SERIALS)
def test_an_ixfr_says_its_version(count: int, authority: str, serial: int | None) -> None:
    """It is in the SOA of the authority section (RFC 1995, section 3); without it the query is one like others."""
    query = receive(packet(qtype=RRType.IXFR, counts=(1, 0, count, 0), rest=authority), Transport.TCP)
    assert isinstance(query, Query)
    assert (query.qtype, query.name) == (RRType.IXFR, NAME)
    assert (query.serial if isinstance(query, IncrementalQuery) else None) == serial


def test_a_stream() -> None:
    """Over TCP it takes as many messages as it must, each with the question; over UDP there is none (RFC 5936, 4.2)."""
    qname = spelled_from_text("Kubernetes.default.svc.cluster.LOCAL")
    query = Query(1, qname, NAME, RRType.AXFR, edns=Edns(1232))
    addresses = RRset(NAME, RRType.A, 5, tuple(struct.pack("!I", number) for number in range(10_000)))
    reply = Reply(stream=(addresses,))
    messages = [wire for wire in finish_stream(query, reply) if wire]
    assert len(messages) == 3
    assert max(map(len, messages)) <= STREAM_MESSAGE < 65535
    parsed = [parse_response(wire) for wire in messages]
    assert sum(len(one.answer) for one in parsed) == 10_000
    assert all(one.authoritative and one.question[0].qname == qname and one.edns == Edns(1232) for one in parsed)
    refused = parse_response(finish(query, reply, Transport.UDP))
    assert (refused.rcode, refused.authoritative, refused.answer) == (Rcode.REFUSED, False, ())


# --- properties ----------------------------------------------------------------------------------------------------

SEEDS = [
    *SILENCE,
    *[case[1] for case in QUERIES],
    *[case[1] for case in DECIDED],
    packet(counts=(1, 0, 0, 1), rest=TSIG),
]


@given(st.binary(max_size=400), st.sampled_from(Transport))
@example(b"\0" * 4096, Transport.UDP)
@example(b"\xff\xff\x7f" + b"\xff" * 61, Transport.UDP)
def test_any_octets(wire: bytes, transport: Transport) -> None:
    """Nothing raises; what is answered can be parsed and is a response to that message."""
    check(wire, transport)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=4)), max_size=4),
    st.integers(12, 200),
    st.sampled_from(Transport),
)
def test_mutated_packets(seed: bytes, changes: list[tuple[int, bytes]], cut: int, transport: Transport) -> None:
    """The same for packets that nearly are queries: octets replaced, the end cut off."""
    wire = bytearray(seed)
    for position, octets in changes:
        wire[position : position + len(octets)] = octets
    check(bytes(wire[:cut]), transport)


labels = st.lists(st.binary(min_size=1, max_size=63), max_size=6).map(
    lambda parts: b"".join(bytes((len(part),)) + part for part in parts) + b"\0"
)
records = st.builds(
    lambda owner, head, rdata: owner + head + struct.pack("!IH", 0, len(rdata)) + rdata,
    labels | st.just(b"\0") | st.just(b"\xc0\x0c"),
    st.sampled_from([b"\0\x29\4\xd0", b"\0\xfa\0\xff", b"\0\1\0\1", b"\0\6\0\1"]),
    st.binary(max_size=30) | st.just(bytes.fromhex(TSIG)[15:]) | st.just(b"\0\x0a\0\x08abcdefgh"),
)


@given(
    st.integers(0, 0x7FFF),
    st.lists(labels, min_size=1, max_size=2),
    st.tuples(st.integers(0, 300), st.integers(0, 300)),
    st.lists(records, max_size=4),
    st.tuples(st.integers(0, 1), st.integers(0, 1)),
    st.sampled_from(Transport),
)
def test_structured_messages(
    flags: int,
    questions: list[bytes],
    asked: tuple[int, int],
    extra: list[bytes],
    before: tuple[int, int],
    transport: Transport,
) -> None:
    """The same for messages that are well-formed on the outside."""
    counts = (len(questions), *before, max(0, len(extra) - sum(before)))
    body = b"".join(qname + struct.pack("!HH", *asked) for qname in questions) + b"".join(extra)
    check(struct.pack("!6H", 7, flags, *counts) + body, transport)


def check(wire: bytes, transport: Transport) -> None:
    """Assert what holds for every message."""
    result = receive(wire, transport)
    if len(wire) < 12 or wire[2] & 0x80:
        assert result is None
        return
    assert result is not None
    if isinstance(result, Query):
        assert result.id.to_bytes(2, "big") == wire[:2]
        result = finish(result, Reply(rcode=Rcode.NXDOMAIN), transport)
    parsed = parse_response(result)
    assert result[:2] == wire[:2]
    assert parsed.opcode == wire[2] >> 3 & 15
    assert parsed.size == len(result) <= len(wire) + 11 + 6
    assert (parsed.answer, parsed.authority) == ((), ())
    assert not parsed.flags & 0x0040  # Z
    assert parsed.recursion_desired == (parsed.opcode == 0 and wire[2] & 1 == 1)
