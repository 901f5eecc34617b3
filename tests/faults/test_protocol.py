"""Rows of the protocol that need more than one packet and its answer: 13, 24, 25, 73; and CVE-2026-26017."""

from pathlib import Path

import pytest

from dnsserver.message import Edns
from dnsserver.names import fold
from dnsserver.records import Rcode, RRType
from dnsserver.wire import encode_query, parse_response
from tests.faults.test_tcp import FakeTransport, connected, feed
from tests.harness import ask_udp, question, serving
from tests.transports.support import answered, eventually, framed, query

SERVERS = range(1, 14)
ZONE_FILE = """
$ORIGIN rows.test.
@ 60 IN SOA ns hostmaster 7 3600 600 86400 30
@ 60 NS ns
ns 60 A 192.0.2.1
*.wild 60 A 192.0.2.2
mail 60 MX 10 many
""" + "".join(
    f"cut 60 NS ns{n}.cut\nns{n}.cut 60 A 192.0.2.{n}\nns{n}.cut 60 AAAA 2001:db8::{n}\nmany 60 A 10.0.{n}.1\n"
    + "".join(f"many 60 A 10.0.{n}.{host}\n" for host in range(2, 10))
    for n in SERVERS
)
FILE = "rows.test {\n bind 127.0.0.1\n file rows.zone\n}\n"


def test_row13_only_letters_fold() -> None:
    """Of all octets A to Z alone have another form: `[` is not `{`, nor `@` a backquote, nor 0xC1 0xE1."""
    every = bytes(range(256))
    for start in range(0, 256, 32):
        label = every[start : start + 32]
        wire = bytes((len(label),)) + label + b"\0"
        expected = bytes(octet + 32 if 0x41 <= octet <= 0x5A else octet for octet in label)
        assert fold(wire) == wire[:1] + expected + b"\0"


async def test_row24_wildcard_owner(tmp_path: Path) -> None:
    """What a wildcard makes has the name that was asked for, in its case."""
    (tmp_path / "rows.zone").write_text(ZONE_FILE)
    async with serving(FILE, tmp_path) as server:
        wire = encode_query(question("X.y.WiLd.rows.test"))
        response = await ask_udp(server.address, wire)
        assert response[12 : len(wire) + 2] == wire[12:] + b"\xc0\x0c"
        assert parse_response(response).answer[0].rdata == bytes((192, 0, 2, 2))


@pytest.mark.parametrize(
    ("edns", "tcp", "whole"), [(None, False, False), (Edns(1232), False, True), (None, True, True)]
)
async def test_row25_glue_that_does_not_fit(tmp_path: Path, edns: Edns | None, tcp: bool, whole: bool) -> None:
    """A referral has the addresses of every name server below the cut, or TC (RFC 9471, section 3.1)."""
    (tmp_path / "rows.zone").write_text(ZONE_FILE)
    async with serving(FILE, tmp_path) as server:
        response = await server.ask("www.cut.rows.test", edns=edns, tcp=tcp)
        assert (len(response.authority), response.authoritative) == (len(SERVERS), False)
        assert (len(response.additional) == 2 * len(SERVERS)) == whole
        assert response.truncated != whole


async def test_row25_other_additional_records(tmp_path: Path) -> None:
    """Those of an answer that is whole are no glue: without them there is no TC."""
    (tmp_path / "rows.zone").write_text(ZONE_FILE)
    async with serving(FILE, tmp_path) as server:
        response = await server.ask("mail.rows.test", "MX")
        assert [record.rrtype for record in response.answer] == [RRType.MX]
        assert RRType.A not in {record.rrtype for record in response.additional if record.rdata[:1] == b"\x0a"}
        assert not response.truncated


async def test_row73_length_and_body_in_one_write() -> None:
    """So that a client that reads a segment at a time never gets the two octets alone (RFC 7766, section 8)."""
    written: list[bytes] = []

    class Recording(FakeTransport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            written.append(bytes(data))

    connection, _ = connected()
    connection._transport = Recording()
    for ident in range(3):
        feed(connection, framed(query(ident)))
        await eventually(lambda: len(written) == ident + 1)  # noqa: B023 -- awaited within the loop's body
    assert written == [framed(answered(query(ident))) for ident in range(3)]


async def test_cve_2026_26017_acl_after_rewrite(tmp_path: Path) -> None:
    """`acl` judges the name that is looked up, so that no other name which is rewritten to it is a way around."""
    text = """. {
        bind 127.0.0.1
        acl secret.test {
            block
        }
        rewrite name public.test secret.test
        hosts {
            10.0.0.1 secret.test other.test
        }
    }"""
    async with serving(text, tmp_path) as server:
        for name in ("secret.test", "public.test", "PUBLIC.test"):
            response = await server.ask(name)
            assert (response.rcode, response.answer) == (Rcode.REFUSED, ())
        assert await server.texts("other.test") == ["10.0.0.1"]
