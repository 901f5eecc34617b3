"""Cookies: the standards' own examples, and what becomes of those that are not good."""

from ipaddress import ip_address

import pytest

from dnsserver.cookies import is_malformed, proves_address, reply_cookie, siphash

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
OLD_SECRET, NEW_SECRET = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
V4, OTHER, V6 = "198.51.100.100", "203.0.113.203", "2001:db8:220:1:59de:d0f4:8769:82b8"
CLIENT = "2464c4abcf10c957"
MADE = 1559731985
FIRST = f"{CLIENT}010000005cf79f111f8130c3eee29480"

EXAMPLES = [  # what, query's option, client, secret, time, response's option (RFC 9018, appendix A)
    ("a first cookie", CLIENT, V4, SECRET, MADE, FIRST),
    ("renewed", FIRST, V4, SECRET, 1559734385, f"{CLIENT}010000005cf7a871d4a564a1442aca77"),
    (
        "reserved octets of another server",
        "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
        OTHER,
        SECRET,
        1559734700,
        "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
    ),
    (
        "another secret, IPv6",
        "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        V6,
        NEW_SECRET,
        1559741961,
        "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
    ),
    (
        "the old secret, IPv6",
        "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        V6,
        OLD_SECRET,
        1559741961,
        "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
    ),
    ("good until then", FIRST, V4, SECRET, MADE + 1799, FIRST),
    ("a clock that is behind", FIRST, V4, SECRET, MADE - 300, FIRST),
]


@pytest.mark.parametrize(
    ("data", "client", "secret", "now", "expected"), [case[1:] for case in EXAMPLES], ids=[case[0] for case in EXAMPLES]
)
def test_examples(data: str, client: str, secret: str, now: int, expected: str) -> None:
    """What goes out is what every other implementation would send."""
    address = ip_address(client).packed
    assert reply_cookie(bytes.fromhex(data), address, bytes.fromhex(secret), now).hex() == expected


FOREIGN = [  # option, client, time
    (FIRST, OTHER, MADE),
    (FIRST, V4, MADE + 1800),
    (FIRST, V4, MADE - 301),
    (FIRST[:-2] + "00", V4, MADE),
    (FIRST.replace("0100", "0200", 1), V4, MADE),
    (FIRST + "00" * 16, V4, MADE),
    (FIRST[:-16], V4, MADE),
]


@pytest.mark.parametrize(("data", "client", "now"), FOREIGN)
def test_not_good(data: str, client: str, now: int) -> None:
    """Made for somebody else, too old, too new, changed, of another version or length: there is a new one."""
    address, secret = ip_address(client).packed, bytes.fromhex(SECRET)
    found = reply_cookie(bytes.fromhex(data), address, secret, now)
    assert found == reply_cookie(bytes.fromhex(CLIENT), address, secret, now)
    assert found != bytes.fromhex(data)
    assert reply_cookie(found, address, secret, now) == found


PROOFS = [  # option, client, time, whether it proves that the address is the client's
    (FIRST, V4, MADE, True),
    (FIRST, V4, MADE - 300, True),
    (FIRST, V4, MADE - 301, False),
    (FIRST, V4, MADE + 3599, True),  # for half an hour after there has been a new one
    (FIRST, V4, MADE + 3600, False),
    (FIRST, OTHER, MADE, False),
    (FIRST[:-2] + "00", V4, MADE, False),
    (CLIENT, V4, MADE, False),
    (FIRST + "00" * 16, V4, MADE, False),
    ("", V4, MADE, False),
]


@pytest.mark.parametrize(("data", "client", "now", "expected"), PROOFS)
def test_proof_of_an_address(data: str, client: str, now: int, expected: bool) -> None:
    """Only what we sent there, within the last hour, proves an address (RFC 9018, section 4.3)."""
    found = proves_address(bytes.fromhex(data), ip_address(client).packed, bytes.fromhex(SECRET), now)
    assert found is expected


def test_time_wraps() -> None:
    """Timestamps are 32 bits, compared by their distance (RFC 9018, section 4.3)."""
    address, secret = ip_address(V4).packed, bytes.fromhex(SECRET)
    made = reply_cookie(bytes.fromhex(CLIENT), address, secret, 2**32 - 5)
    assert reply_cookie(made, address, secret, 2**32 + 5) == made


def test_lengths() -> None:
    """A client cookie alone, or with a server cookie of 8 to 32 octets."""
    assert [size for size in range(50) if not is_malformed(bytes(size))] == [8, *range(16, 41)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "310e0edd47db6f72"), (1, "fd67dc93c539f874"), (8, "6224939a79f5f593"), (15, "e545be4961ca29a1")],
)
def test_siphash(size: int, expected: str) -> None:
    """The vectors of its authors: the octets 0, 1, 2... as key and as message."""
    assert siphash(bytes(range(16)), bytes(range(size))).hex() == expected
