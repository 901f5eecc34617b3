"""RDATA octets of the types that this server makes itself."""

import pytest

from dnsserver.names import from_text
from dnsserver.records import Soa, address_type, srv, srv_target, txt


def test_soa_rdata() -> None:
    """SOA RDATA is two names and five 32-bit numbers (RFC 1035, section 3.3.13)."""
    soa = Soa(from_text("ns.a"), from_text("h.a"), serial=2**32 - 1, refresh=7200, retry=1800, expire=86400, minimum=5)
    assert soa.rdata() == b"\2ns\1a\0\1h\1a\0" + bytes.fromhex("ffffffff 00001c20 00000708 00015180 00000005")


def test_srv() -> None:
    """SRV RDATA is three 16-bit numbers and a name, whose canonical form can be had back (RFC 2782)."""
    rdata = srv(0, 100, 65535, from_text("vm1.db"))
    assert rdata == bytes.fromhex("0000 0064 ffff") + b"\3vm1\2db\0"
    assert srv_target(rdata) == from_text("vm1.db")
    assert srv_target(rdata.upper()) == from_text("vm1.db")


@pytest.mark.parametrize(
    ("strings", "rdata"),
    [((b"1.1.0",), b"\0051.1.0"), ((b"", b"ab"), b"\0\2ab"), ((b"x" * 255,), b"\xff" + b"x" * 255)],
)
def test_txt(strings: tuple[bytes, ...], rdata: bytes) -> None:
    """TXT RDATA is strings, each behind its length (RFC 1035, section 3.3.14)."""
    assert txt(*strings) == rdata


def test_address_type() -> None:
    """Four octets are an A record's, sixteen an AAAA record's."""
    assert address_type(bytes(4)).name == "A"
    assert address_type(bytes(16)).name == "AAAA"
