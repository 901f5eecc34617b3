"""Addresses, host names and files as `forward` takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.upstream import Endpoint, HostName, InvalidTargetError, parse_address, parse_target
from dnsserver.upstream.endpoint import Target

RESOLV_CONF = """
# nameserver 10.9.9.9
;nameserver 10.9.9.8
search example.org
nameserver 10.0.0.1
nameserver\t2001:db8::1
nameserver fe80::1%eth0
nameserver
nameserver localhost
options ndots:5
"""
FILES = {"/etc/resolv.conf": RESOLV_CONF, "/dev/null": "", "a:b%c": "nameserver 10.0.0.7\n"}


def read(path: str) -> str:
    """Read one of the files above."""
    try:
        return FILES[path]
    except KeyError:
        raise FileNotFoundError(path) from None


def dns(host: str, port: int = 53) -> Endpoint:
    return Endpoint("dns", host, port)


def tls(host: str, port: int = 853, name: str = "") -> Endpoint:
    return Endpoint("tls", host, port, name)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("10.0.0.1", [dns("10.0.0.1")]),
        ("10.0.0.1:1053", [dns("10.0.0.1", 1053)]),
        ("dns://10.0.0.1", [dns("10.0.0.1")]),
        ("::1", [dns("::1")]),
        ("2001:db8::1:53", [dns("2001:db8::1:53")]),  # without brackets it is all address
        ("[::1]", [dns("::1")]),
        ("[2001:db8::1]:5353", [dns("2001:db8::1", 5353)]),
        ("dns://[::1]:53", [dns("::1")]),
        ("fe80::1%eth0", [dns("fe80::1%eth0")]),
        ("[fe80::1%eth0]:54", [dns("fe80::1%eth0", 54)]),
        ("tls://9.9.9.9", [tls("9.9.9.9")]),
        ("tls://9.9.9.9:8853", [tls("9.9.9.9", 8853)]),
        ("tls://[2620:fe::fe]:853", [tls("2620:fe::fe")]),
        ("tls://9.9.9.9%dns.quad9.net", [tls("9.9.9.9", name="dns.quad9.net")]),
        ("tls://9.9.9.9%dns.quad9.net:10853", [tls("9.9.9.9", 10853, "dns.quad9.net")]),
        ("tls://2620:fe::fe%dns.quad9.net", [tls("2620:fe::fe", name="dns.quad9.net")]),
        ("tls://[2620:fe::fe%dns.quad9.net]:853", [tls("2620:fe::fe", name="dns.quad9.net")]),
        ("tls://[2620:fe::fe]%dns.quad9.net:853", [tls("2620:fe::fe", name="dns.quad9.net")]),
        ("https://9.9.9.9", [Endpoint("https", "9.9.9.9", 443)]),
        ("https://[::1]:8443/other", [Endpoint("https", "::1", 8443, path="/other")]),
        ("/etc/resolv.conf", [dns("10.0.0.1"), dns("2001:db8::1"), dns("fe80::1%eth0")]),
        ("tls:///etc/resolv.conf", [dns("10.0.0.1"), dns("2001:db8::1"), dns("fe80::1%eth0")]),  # as in CoreDNS
        ("a:b%c", [dns("10.0.0.7")]),
        ("dns.example.com", [HostName("dns", "dns.example.com", 53)]),
        ("dns.example.com:5353", [HostName("dns", "dns.example.com", 5353)]),
        ("tls://dns.example.com", [HostName("tls", "dns.example.com", 853)]),
        ("tls://dns.example.com%other.example", [HostName("tls", "dns.example.com", 853, "other.example")]),
    ],
)
def test_targets(text: str, targets: list[Target]) -> None:
    """Each form, with the port of its protocol where none is given."""
    assert list(parse_target(text, read)) == targets


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/dev/null", "no nameservers found in /dev/null"),
        ("/etc/resolv.cnf", 'not an IP address, file, or valid domain: "/etc/resolv.cnf"'),
        ("grpc://10.0.0.1", "'grpc' is not supported as a destination protocol in forward: grpc://10.0.0.1"),
        ("quic://10.0.0.1", "'quic' is not supported as a destination protocol in forward: quic://10.0.0.1"),
        ("http://10.0.0.1", "not an IP address, file, or valid domain"),
        ("https://dns.example.com", "not an IP address, file, or valid domain"),
        ("10.0.0.1:", "not an IP address, file, or valid domain"),
        ("10.0.0.1:65536", "not an IP address, file, or valid domain"),
        ("10.0.0.1%eth0", "not an IP address, file, or valid domain"),
        ("[::1", "not an IP address, file, or valid domain"),
        ("[::1]53", "not an IP address, file, or valid domain"),
        ("a..b", "not an IP address, file, or valid domain"),
        ("dns.example%name", "not an IP address, file, or valid domain"),
        ("", "not an IP address, file, or valid domain"),
    ],
)
def test_no_targets(text: str, message: str) -> None:
    """What is no server is refused in words."""
    with pytest.raises(InvalidTargetError) as caught:
        parse_target(text, read)
    assert message in str(caught.value)


@given(st.text(st.sampled_from("1.:[]%/ae0~\ud800é") | st.characters(), max_size=20))
def test_any_text(text: str) -> None:
    """Whatever it is, it is a server or an `InvalidTargetError`."""
    for prefix in ("", "tls://", "https://"):
        try:
            targets = parse_target(prefix + text, read)
        except InvalidTargetError:
            continue
        assert targets


def test_addresses() -> None:
    """Addresses are spelled with brackets where they need them, names become addresses later."""
    assert [dns("10.0.0.1").address, dns("::1").address] == ["10.0.0.1:53", "[::1]:53"]
    assert HostName("tls", "a.example", 853, "b").at("::1") == tls("::1", name="b")
    assert [parse_address("10.0.0.1", 53), parse_address("[::1]:54", 53)] == [dns("10.0.0.1"), dns("::1", 54)]
    for text in ("dns.example", "10.0.0.1:x", "fe80::1%eth0"):
        with pytest.raises(InvalidTargetError, match="not an IP address or IP:port"):
            parse_address(text, 53)
