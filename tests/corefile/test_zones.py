"""Keys and plugin zone arguments."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.corefile.zones import (
    DEFAULT_PORTS,
    InvalidZoneError,
    default_port,
    parse_key,
    plugin_zones,
    reverse_zones,
    zones_from_text,
)
from dnsserver.names import from_text, is_at_or_below, reverse_name

KEYS = [
    (".", ("dns", (".",), None)),
    (".:53", ("dns", (".",), 53)),
    (".:0", ("dns", (".",), 0)),
    (".:65535", ("dns", (".",), 65535)),
    ("example.org", ("dns", ("example.org.",), None)),
    ("example.org.", ("dns", ("example.org.",), None)),
    ("Example.ORG", ("dns", ("example.org.",), None)),
    ("example.org:1053", ("dns", ("example.org.",), 1053)),
    ("example.org.:1053", ("dns", ("example.org.",), 1053)),
    ("dns://example.org", ("dns", ("example.org.",), None)),
    ("dns://.:1053", ("dns", (".",), 1053)),
    ("tls://example.org", ("tls", ("example.org.",), None)),
    ("quic://example.org:8853", ("quic", ("example.org.",), 8853)),
    ("grpc://.", ("grpc", (".",), None)),
    ("https://example.org:8443", ("https", ("example.org.",), 8443)),
    ("https3://example.org", ("https3", ("example.org.",), None)),
    ("_tcp.example.org", ("dns", ("_tcp.example.org.",), None)),
    ("*.example.org", ("dns", ("*.example.org.",), None)),
    (r"a\.b.example.org", ("dns", (r"a\.b.example.org.",), None)),
    (r"example.org\.", ("dns", (r"example.org\..",), None)),  # an escaped dot does not end the name
    ("bücher.example", ("dns", (r"b\195\188cher.example.",), None)),
    ("10.0.0.0/24", ("dns", ("0.0.10.in-addr.arpa.",), None)),
    ("10.0.0.0/24:1053", ("dns", ("0.0.10.in-addr.arpa.",), 1053)),
    ("dns://10.0.0.0/8:53", ("dns", ("10.in-addr.arpa.",), 53)),
    ("2001:db8::/32", ("dns", ("8.b.d.0.1.0.0.2.ip6.arpa.",), None)),
    ("2001:db8::/32:1053", ("dns", ("8.b.d.0.1.0.0.2.ip6.arpa.",), 1053)),
    ("2001:DB8::/32", ("dns", ("8.b.d.0.1.0.0.2.ip6.arpa.",), None)),
    ("0/25.2.0.192.in-addr.arpa", ("dns", ("0/25.2.0.192.in-addr.arpa.",), None)),  # RFC 2317: a name
    ("1.2/24", ("dns", ("1.2/24.",), None)),  # not an address before the slash
    ("in-addr.arpa", ("dns", ("in-addr.arpa.",), None)),
]


@pytest.mark.parametrize(("text", "parts"), KEYS)
def test_parse_key(text: str, parts: tuple[str, tuple[str, ...], int | None]) -> None:
    """A key has a scheme, zones that are absolute and lower case, and perhaps a port."""
    assert parse_key(text) == parts


BAD_KEYS = [
    ("", "no zone in '', expecting a name, a network or '.' for the root"),
    (":53", "no zone in ':53', expecting a name, a network or '.' for the root"),
    ("dns://", "no zone in 'dns://', expecting a name, a network or '.' for the root"),
    (
        "http://example.org",
        "unknown scheme 'http' in 'http://example.org', expecting one of dns, tls, quic, grpc, https, https3",
    ),
    ("unix:///run/dns", "unknown scheme 'unix' in 'unix:///run/dns', expecting one of"),
    ("://example.org", "unknown scheme '' in '://example.org'"),
    ("example.org:65536", "port 65536 is not a number from 0 to 65535"),
    ("example.org:" + "9" * 5000, f"port {'9' * 20} is not a number from 0 to 65535"),
    (".:", "'.:' is not a zone"),
    ("example.org:dns", "'example.org:dns' is not a zone"),
    ("example.org:-1", "'example.org:-1' is not a zone"),
    ("2001:db8::", "'2001:db8::' is not a zone"),  # an address is no network
    ("example.org{", "'example.org{' is not a zone: expecting a name, a network such as 10.0.0.0/8"),
    (".:53{", "an optional ':port', and a space before '{'"),
    ("{}", "'{}' is not a zone"),
    ("(a)b", "'(a)b' is not a zone"),
    ("..", "'..' is not a valid domain name: "),
    ("a..b", "'a..b' is not a valid domain name: "),
    (".example.org", "'.example.org' is not a valid domain name: "),
    ("a" * 64, f"'{'a' * 64}' is not a valid domain name: "),
    ("a." * 128, f"'{'a.' * 50}...' is not a valid domain name: "),
    ("a\\", "'a\\\\' is not a valid domain name: "),
    ("a\ud800", "'a\\ud800' is not a valid domain name: not Unicode text"),
    ("10.0.0.0/33", "'10.0.0.0/33' is not a network, expecting a prefix of 0 to 32"),
    ("2001:db8::/129", "'2001:db8::/129' is not a network, expecting a prefix of 0 to 128"),
    ("::ffff:b:f:1:1:1:1:1/64", "is not a zone"),
]


@pytest.mark.parametrize(("text", "message"), BAD_KEYS)
def test_parse_key_refuses(text: str, message: str) -> None:
    """What names no zone is refused with what was expected."""
    with pytest.raises(InvalidZoneError) as raised:
        parse_key(text)
    assert message in str(raised.value)


NETWORKS = [
    ("0.0.0.0/0", ["in-addr.arpa."]),
    ("10.0.0.0/8", ["10.in-addr.arpa."]),
    ("10.0.0.0/15", ["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]),
    ("10.96.0.0/12", [f"{octet}.10.in-addr.arpa." for octet in range(96, 112)]),
    ("10.96.0.1/12", [f"{octet}.10.in-addr.arpa." for octet in range(96, 112)]),  # host bits are dropped
    ("10.9.3.0/18", [f"{octet}.9.10.in-addr.arpa." for octet in range(64)]),
    ("10.0.0.0/24", ["0.0.10.in-addr.arpa."]),
    ("10.0.0.0/27", [f"{octet}.0.0.10.in-addr.arpa." for octet in range(32)]),
    ("10.0.0.7/32", ["7.0.0.10.in-addr.arpa."]),
    ("::/0", ["ip6.arpa."]),
    ("2001:db8::/29", [f"{nibble}.b.d.0.1.0.0.2.ip6.arpa." for nibble in "89abcdef"]),
    ("2001:db8::/30", [f"{nibble}.b.d.0.1.0.0.2.ip6.arpa." for nibble in "89ab"]),
    ("2001:db8::/64", [f"{'0.' * 8}8.b.d.0.1.0.0.2.ip6.arpa."]),
    ("2001:db8::/115", [f"{nibble}.{'0.' * 20}8.b.d.0.1.0.0.2.ip6.arpa." for nibble in "01"]),
    ("2001:db8::1/128", [f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa."]),
]


@pytest.mark.parametrize(("text", "zones"), NETWORKS)
def test_networks(text: str, zones: list[str]) -> None:
    """A network is split at the next boundary between labels."""
    assert list(zones_from_text(text)) == zones


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 128), st.integers(0, 2**128 - 1))
def test_networks_are_covered_exactly(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int, offset: int
) -> None:
    """Each address of the network is in exactly one zone, and its neighbours outside are in none."""
    network = ipaddress.ip_network((address, min(prefix, address.max_prefixlen)), strict=False)
    zones = [from_text(zone) for zone in reverse_zones(network)]

    def owners(number: int) -> int:
        name = reverse_name(number.to_bytes(address.max_prefixlen // 8, "big"))
        return sum(is_at_or_below(name, zone) for zone in zones)

    first, last = int(network.network_address), int(network.broadcast_address)
    assert len(zones) <= 128
    assert owners(first) == owners(last) == owners(first + offset % (last - first + 1)) == 1
    if first:
        assert owners(first - 1) == 0
    if last < 2**address.max_prefixlen - 1:
        assert owners(last + 1) == 0


@given(st.text(max_size=40) | st.from_regex(r"[a-z]*(://)?[0-9a-f.:]*/[0-9]*(:[0-9]+)?", fullmatch=True))
def test_parse_key_raises_nothing_else(text: str) -> None:
    """Any text is zones or an `InvalidZoneError`, and a zone is itself a key for the same zone."""
    try:
        zones = parse_key(text).zones
    except InvalidZoneError:
        return
    for zone in zones:
        assert from_text(zone)
        assert zone.endswith(".")


PLUGIN_ZONES = [
    ("no argument: the block's", [], ("example.org.", "."), ("example.org.", ".")),
    ("arguments replace the block's", ["Example.NET"], (".",), ("example.net.",)),
    ("networks", ["10.0.0.0/15"], (".",), ("0.10.in-addr.arpa.", "1.10.in-addr.arpa.")),
    ("scheme and port are dropped", ["tls://a.org:853"], (".",), ("a.org.",)),
    ("a bad one is skipped", ["a..b", "c.org", "10.0.0.0/33"], (".",), ("c.org.",)),
    ("bad ones alone leave none", ["a..b"], (".",), ()),
    ("each once", ["a.org", "A.org.", "b.org"], (".",), ("a.org.", "b.org.")),
    ("reverse names", ["in-addr.arpa", "ip6.arpa"], (".",), ("in-addr.arpa.", "ip6.arpa.")),
]


@pytest.mark.parametrize(
    ("args", "default", "zones"), [row[1:] for row in PLUGIN_ZONES], ids=[row[0] for row in PLUGIN_ZONES]
)
def test_plugin_zones(args: list[str], default: tuple[str, ...], zones: tuple[str, ...]) -> None:
    """A plugin's zones are its arguments' or the block's."""
    assert plugin_zones(args, default) == zones
    assert plugin_zones(iter(args), default) == zones


def test_default_ports() -> None:
    """Each scheme has its port, and the command line moves plain DNS only."""
    assert DEFAULT_PORTS == {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}
    assert [default_port(scheme) for scheme in DEFAULT_PORTS] == list(DEFAULT_PORTS.values())
    assert [default_port(scheme, 1053) for scheme in DEFAULT_PORTS] == [1053, 853, 853, 443, 443, 443]
