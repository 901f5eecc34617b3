"""Transaction signatures: what counts as signed, what wrong ones get, and how responses are signed."""

import hmac
import struct
from collections.abc import Iterator

import msgspec
import pytest

from dnsserver.message import Edns, Query, Transport
from dnsserver.names import from_text
from dnsserver.records import Opcode, Rcode, RRset, RRType
from dnsserver.signatures import (
    ALGORITHMS,
    BADSIG,
    BADTIME,
    DEFAULT_ALGORITHM,
    FUDGE,
    Key,
    Signed,
    Signer,
    take_apart,
)
from dnsserver.wire import (
    Tsig,
    append_record,
    digest_input,
    encode_notify,
    encode_query,
    encode_tsig,
    parse_response,
    split_tsig,
)
from tests.harness import question

NOW = 1_700_000_000
NAME = from_text("transfer.example")
KEY = Key(NAME, b"a secret of these tests")
KEYS = {NAME: KEY}
QUERY = encode_query(question("www.example.org", "SOA", edns=Edns(1232)))


def signed(message: bytes = QUERY, *, key: Key = KEY, now: float = NOW) -> bytes:
    """Return a message with its signature."""
    return Signer(key, key.algorithm or DEFAULT_ALGORITHM).sign(message, now)[0]


def edited(wire: bytes, **fields: object) -> bytes:
    """Return a signed message with other fields in its TSIG, which then may be wrong."""
    split = split_tsig(wire)
    assert split is not None
    message, tsig = split
    return append_record(message, encode_tsig(msgspec.structs.replace(tsig, **fields)))


def tsig_of(response: bytes) -> Tsig:
    """Return a response's TSIG."""
    split = split_tsig(response)
    assert split is not None
    return split[1]


def refused(wire: bytes, now: float = NOW) -> bytes:
    """Return the response to a query that is not signed as it should be."""
    found = take_apart(wire, Transport.UDP, KEYS, now)
    assert isinstance(found, bytes)
    assert len(found) <= len(wire) + 6  # what BADTIME says besides
    return found


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS), ids=str)
def test_round_trip(algorithm: bytes) -> None:
    """A query is taken apart into what was signed; each side verifies the other's signature."""
    key = Key(NAME, b"secret", algorithm)  # type: ignore[arg-type]  # a name is octets
    query_signer = Signer(key, key.algorithm or DEFAULT_ALGORITHM)
    wire, mac = query_signer.sign(QUERY, NOW)
    assert len(wire) == len(QUERY) + query_signer.size
    found = take_apart(wire, Transport.UDP, {NAME: key}, NOW + FUDGE)
    assert isinstance(found, Signed)
    assert found.message == QUERY
    response = encode_notify(0x1234, RRset(NAME, RRType.SOA, 5, (b"\0\0" + bytes(20),)))
    answer = found.signer.sign(response, NOW)[0]
    client = Signer(key, query_signer.algorithm, mac)
    assert client.check(answer, NOW) == response
    assert client.check(answer, NOW + FUDGE + 1) is None
    assert query_signer.check(answer, NOW) is None  # it answers another query
    assert client.check(response, NOW) is None
    assert client.check(append_record(answer[:-1] + bytes((answer[-1] ^ 1,)), b""), NOW) is None


NOT_OURS = [
    ("not signed", QUERY),
    ("no header", QUERY[:11]),
    ("a key that is not known", signed(key=Key(from_text("other.example"), b"x"))),
    ("an algorithm that is not known", edited(signed(), algorithm=from_text("hmac-sha1"))),
    ("a response", QUERY[:2] + b"\x80" + signed()[3:]),
    ("cut short", signed()[:-1]),
    ("of another class", signed().replace(b"\x00\xfa\x00\xff", b"\x00\xfa\x00\x01")),
    ("with a TTL", signed().replace(b"\x00\xfa\x00\xff\x00\x00\x00\x00", b"\x00\xfa\x00\xff\x00\x00\x00\x01")),
    ("not the last", append_record(signed(encode_query(question("www.example.org"))), b"\0\0\x29" + bytes(8))),
]


@pytest.mark.parametrize("wire", [case[1] for case in NOT_OURS], ids=[case[0] for case in NOT_OURS])
def test_not_taken_apart(wire: bytes) -> None:
    """What is not signed with one of the keys is as it was: the responder's, which has its answers for such."""
    assert take_apart(wire, Transport.UDP, KEYS, NOW) is None


def test_a_key_for_one_algorithm() -> None:
    """A key that says what it is for is for nothing else."""
    key = Key(NAME, KEY.secret, from_text("hmac-sha512"))
    assert take_apart(signed(), Transport.UDP, {NAME: key}, NOW) is None
    assert isinstance(take_apart(signed(key=key), Transport.UDP, {NAME: key}, NOW), Signed)
    assert isinstance(take_apart(signed(key=key), Transport.UDP, KEYS, NOW), Signed)


def test_bad_signature() -> None:
    """Whatever octet differs, the signature is wrong, and the response says so without one (RFC 8945, 5.2.2)."""
    wire = signed()
    wrong = 0
    for index in range(len(wire)):
        found = take_apart(wire[:index] + bytes((wire[index] ^ 1,)) + wire[index + 1 :], Transport.UDP, KEYS, NOW)
        assert not isinstance(found, Signed) or found.message[:2] != QUERY[:2]  # a forwarder's ID is not signed
        wrong += isinstance(found, bytes)
    assert wrong > len(wire) // 2
    response = refused(signed(key=Key(NAME, b"another secret")))
    parsed, tsig = parse_response(response), tsig_of(response)
    assert (parsed.rcode, parsed.id, len(parsed.question), parsed.edns is not None) == (Rcode.NOTAUTH, 0x1234, 1, True)
    assert (tsig.error, tsig.mac, tsig.other) == (BADSIG, b"", b"")


@pytest.mark.parametrize("off", [-FUDGE - 1, FUDGE + 1, 10**9])
def test_bad_time(off: int) -> None:
    """The response is signed, repeats the query's time, and says what time it is (RFC 8945, section 5.2.3)."""
    wire = signed(now=NOW + off)
    response = refused(wire)
    tsig = tsig_of(response)
    assert parse_response(response).rcode == Rcode.NOTAUTH
    assert (tsig.error, tsig.time, tsig.other) == (BADTIME, NOW + off, NOW.to_bytes(6, "big"))
    message = split_tsig(response)
    assert message is not None
    data = digest_input(message[0], tsig, tsig_of(wire).mac)

    assert hmac.digest(KEY.secret, data, "sha256") == tsig.mac
    for within in (-FUDGE, FUDGE):
        assert isinstance(take_apart(signed(now=NOW + within), Transport.UDP, KEYS, NOW), Signed)


def test_truncated() -> None:
    """Half of the hash is enough, less is a format error, as is more than the whole (RFC 8945, section 5.2.2.1)."""
    wire = signed()
    mac = tsig_of(wire).mac
    for size in (16, 17, 31):
        assert isinstance(take_apart(edited(wire, mac=mac[:size]), Transport.UDP, KEYS, NOW), Signed)
    for wrong in (b"", mac[:10], mac[:15], mac + b"\0"):
        response = refused(edited(wire, mac=wrong))
        assert (parse_response(response).rcode, split_tsig(response)) == (Rcode.FORMERR, None)
    short = from_text("hmac-sha256-128")
    wire = signed(key=Key(NAME, KEY.secret, short))
    assert len(tsig_of(wire).mac) == 16
    assert parse_response(refused(edited(wire, mac=tsig_of(wire).mac[:15]))).rcode == Rcode.FORMERR


def test_through_a_forwarder() -> None:
    """The ID that was signed is the TSIG's; the response has the one that came (RFC 8945, section 5.3)."""
    found = take_apart(b"\x43\x21" + signed()[2:], Transport.UDP, KEYS, NOW)
    assert isinstance(found, Signed)
    assert found.message == b"\x43\x21" + QUERY[2:]


def test_names_in_any_case() -> None:
    """Key and algorithm are names."""
    wire = edited(signed(), key=NAME.upper(), algorithm=DEFAULT_ALGORITHM.upper())
    assert isinstance(take_apart(wire, Transport.UDP, KEYS, NOW), Signed)


def test_other_opcodes() -> None:
    """The opcode is signed like all else; its answer is the responder's."""
    query = encode_query(Query(1, NAME, NAME, RRType.SOA, opcode=Opcode.NOTIFY))
    assert isinstance(take_apart(signed(query), Transport.UDP, KEYS, NOW), Signed)


def test_a_message_that_cannot_be_read() -> None:
    """What is signed wrongly and broken besides is answered as far as it can be."""
    broken = QUERY[:-11] + b"\0\0\x29" + struct.pack("!HIH", 1232, 0, 4) + b"\0\1\0\5"
    response = refused(edited(signed(broken), mac=bytes(32)))
    assert parse_response(response).rcode == Rcode.NOTAUTH


def test_many_messages() -> None:
    """The first answers the query, each later one follows the one before; a pause is none of them."""
    wire = signed()
    found = take_apart(wire, Transport.TCP, KEYS, NOW)
    assert isinstance(found, Signed)
    plain = [struct.pack("!6H", 0x1234, 0x8000, 1, 0, 0, 0) + QUERY[12:33] + bytes((n,)) * 0 for n in range(3)]
    now = iter(range(NOW, NOW + 100))
    made = list(found.signer.sign_all(_paused(plain), lambda: next(now)))
    assert [not one for one in made] == [False, True, False, True, False, True]
    before = tsig_of(wire).mac
    for index, message in enumerate(one for one in made if one):
        split = split_tsig(message)
        assert split is not None
        rest, tsig = split
        assert (rest, tsig.time) == (plain[index], NOW + index)
        assert Signer(KEY, DEFAULT_ALGORITHM, before)._signed(
            rest, msgspec.structs.replace(tsig, mac=b""), timers_only=index > 0
        ) == (message, tsig.mac)
        before = tsig.mac


def _paused(messages: list[bytes]) -> Iterator[bytes]:
    for message in messages:
        yield message
        yield b""


def test_keys_are_not_printed() -> None:
    """Neither a key nor what has one says the secret."""
    assert "secret" not in f"{KEY} {KEY!r} {Signer(KEY, DEFAULT_ALGORITHM)!r}".replace("secrets", "")
