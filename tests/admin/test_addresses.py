"""Listen addresses: what is one, and what the refusal of anything else says."""

import pytest

from dnsserver.admin.addresses import Address, InvalidAddressError, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8080", "", 8080),
        ("localhost:9153", "localhost", 9153),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:9153", "::1", 9153),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    """An address is read, and printed as it was written."""
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bla", "missing port"),
        ("", "missing port"),
        ("[::1]", "missing port"),
        ("::1:80", "too many colons"),
        ("localhost:", "invalid port"),
        ("localhost:http", "invalid port"),
        ("localhost:65536", "invalid port"),
        ("localhost:-1", "invalid port"),
        ("localhost:" + "9" * 5000, "invalid port"),
        ("loc[al]host:80", "unexpected character"),
    ],
)
def test_not_an_address(text: str, reason: str) -> None:
    """The refusal names the text and the reason."""
    with pytest.raises(InvalidAddressError, match=reason):
        parse_address(text)
