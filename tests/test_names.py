"""Names: text and wire round trips, limits, case, ancestry by whole labels, reverse names."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.names import (
    MAX_LABEL,
    MAX_NAME,
    ROOT,
    InvalidNameError,
    Name,
    ancestors,
    fold,
    from_labels,
    from_text,
    intersection,
    is_at_or_below,
    is_dns1123_label,
    label_to_text,
    labels,
    parent,
    reverse_address,
    reverse_name,
    spelled_from_text,
    to_text,
)

ORIGIN = from_text("cluster.local")

TEXTS = [
    ("root", ".", b"\0"),
    ("empty text is the root", "", b"\0"),
    ("one label", "a", b"\1a\0"),
    ("final dot", "a.", b"\1a\0"),
    ("two labels", "www.a.", b"\3www\1a\0"),
    ("upper case folds", "WwW.A", b"\3www\1a\0"),
    ("escaped dot", r"a\.b.c", b"\3a.b\1c\0"),
    ("escaped backslash", r"a\\b", b"\3a\\b\0"),
    ("escaped letter", r"\ab", b"\2ab\0"),
    ("escaped dot at the end", r"a\.", b"\2a.\0"),
    ("decimal", r"a\000b.c", b"\3a\0b\1c\0"),
    ("decimal dot", r"a\046b", b"\3a.b\0"),
    ("decimal upper case folds", r"\065", b"\1a\0"),
    ("decimal 255", r"\255", b"\1\xff\0"),
    ("decimal then a digit", r"\0499", b"\00219\0"),
    ("UTF-8 is octets", "é", b"\2\xc3\xa9\0"),
    ("only ASCII letters fold", "É", b"\2\xc3\x89\0"),
    ("longest label", "a" * 63, b"\x3f" + b"a" * 63 + b"\0"),
    ("longest name", ".".join(["a" * 63] * 3 + ["a" * 61]), (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"),
]


@pytest.mark.parametrize(("text", "wire"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_from_text(text: str, wire: bytes) -> None:
    """Presentation format becomes these octets, with and without an origin."""
    assert from_text(text) == wire
    if len(wire) + len(ORIGIN) - 1 <= MAX_NAME:
        assert from_text(text, ORIGIN) == wire[:-1] + ORIGIN


REFUSED = [
    ("empty label", "a..b", "1 to 63 octets, not 0"),
    ("leading dot", ".a", "1 to 63 octets, not 0"),
    ("two dots", "..", "1 to 63 octets, not 0"),
    ("label of 64", "a" * 64, "1 to 63 octets, not 64"),
    ("label of 64 octets in 32 characters", "é" * 32, "1 to 63 octets, not 64"),
    ("name of 256", ".".join(["a" * 63] * 3 + ["a" * 62]), "at most 255 octets, not 256"),
    ("lone backslash", "a\\", "backslash"),
    ("decimal over 255", r"\256", "backslash"),
    ("decimal of one digit", r"\1", "backslash"),
    ("decimal of two digits", r"\12a", "backslash"),
]


@pytest.mark.parametrize(("text", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_text(text: str, reason: str) -> None:
    """What the DNS cannot carry is refused with the reason."""
    with pytest.raises(InvalidNameError, match=reason):
        from_text(text)


def test_origin_counts() -> None:
    """The limit of 255 octets includes the origin."""
    with pytest.raises(InvalidNameError, match="not 256"):
        from_labels([b"a" * 63] * 3 + [b"b" * (62 + 1 - len(ORIGIN))], ORIGIN)
    assert len(from_labels([b"a" * 63] * 3 + [b"b" * (62 - len(ORIGIN))], ORIGIN)) == MAX_NAME


def test_spelling_is_kept() -> None:
    """A spelled name keeps its case; its folded form is the canonical name."""
    assert spelled_from_text("Www.Example.ORG") == b"\3Www\7Example\3ORG\0"
    assert fold(spelled_from_text("Www.Example.ORG")) == from_text("www.example.org")


ESCAPES = [
    ("plain", b"a-z_0", "a-z_0"),
    ("special", b'.\\"();@$', r"\.\\\"\(\)\;\@\$"),
    ("space", b" ", r"\032"),
    ("control and high octets", b"\0\x7f\xff", r"\000\127\255"),
]


@pytest.mark.parametrize(("label", "text"), [row[1:] for row in ESCAPES], ids=[row[0] for row in ESCAPES])
def test_label_to_text(label: bytes, text: str) -> None:
    """What is special in a master file is escaped."""
    assert label_to_text(label) == text
    assert to_text(from_labels([label])) == f"{text}."


def test_root_to_text() -> None:
    """The root is a dot."""
    assert to_text(ROOT) == "."


def test_parent_and_ancestors() -> None:
    """Ancestors are those strictly between a name and its origin; the root is its own parent."""
    name = from_text("a.b.c", ORIGIN)
    assert list(ancestors(name, ORIGIN)) == [from_text("b.c", ORIGIN), from_text("c", ORIGIN)]
    assert list(ancestors(ORIGIN, ORIGIN)) == []
    assert list(ancestors(from_text("a.b"), ROOT)) == [from_text("b")]
    assert parent(name) == from_text("b.c", ORIGIN)
    assert parent(ROOT) == ROOT


BELOW = [
    ("itself", ORIGIN, True),
    ("below", from_text("a.b", ORIGIN), True),
    ("another", from_text("cluster.example"), False),
    ("above", from_text("local"), False),
    ("text suffix", from_text("mycluster.local"), False),
    ("a label with a dot", from_labels([b"x.cluster", b"local"]), False),
    ("a label whose octets look like the origin", from_labels([b"x\7cluster\5local"]), False),
    ("the same below the last label", from_labels([b"x\7cluster", b"local"]), False),
    ("the root", ROOT, False),
]


@pytest.mark.parametrize(("name", "below"), [row[1:] for row in BELOW], ids=[row[0] for row in BELOW])
def test_is_at_or_below(name: Name, below: bool) -> None:
    """Ancestry goes by whole labels, never by a suffix of text or octets; everything is below the root."""
    assert is_at_or_below(name, ORIGIN) is below
    assert is_at_or_below(name, ROOT)


def test_intersection() -> None:
    """Of two subtrees one lies in the other, or they have nothing in common."""
    below, other = from_text("a.b", ORIGIN), from_text("b.a", ORIGIN)
    assert intersection(below, ORIGIN) == intersection(ORIGIN, below) == below
    assert intersection(ORIGIN, ORIGIN) == intersection(ROOT, ORIGIN) == ORIGIN
    assert intersection(below, other) is None


DNS1123 = [
    ("a", True),
    ("0", True),
    ("a-b", True),
    ("a" * 63, True),
    ("a" * 64, False),
    ("", False),
    ("-a", False),
    ("a-", False),
    ("A", False),
    ("a.b", False),
    ("a_b", False),
    ("a\n", False),
    ("é", False),
]


@pytest.mark.parametrize(("text", "valid"), DNS1123)
def test_is_dns1123_label(text: str, valid: bool) -> None:
    """Kubernetes takes these as labels and those not."""
    assert is_dns1123_label(text) is valid


REVERSE = [
    ("10.244.0.57", "57.0.244.10.in-addr.arpa"),
    ("0.0.0.0", "0.0.0.0.in-addr.arpa"),
    ("fd00::1", "1." + "0." * 29 + "d.f.ip6.arpa"),
    ("2001:db8:0:1:2:3:4:abcd", "d.c.b.a.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
]


@pytest.mark.parametrize(("address", "text"), REVERSE)
def test_reverse(address: str, text: str) -> None:
    """An address and its reverse name lead to each other, in any case."""
    packed = ipaddress.ip_address(address).packed
    assert reverse_name(packed) == from_text(text)
    assert reverse_address(from_text(text.upper())) == packed


NOT_REVERSE = [
    ("the apex", "in-addr.arpa"),
    ("partial IPv4", "244.10.in-addr.arpa"),
    ("five octets", "1.57.0.244.10.in-addr.arpa"),
    ("octet over 255", "256.0.244.10.in-addr.arpa"),
    ("leading zero", "057.0.244.10.in-addr.arpa"),
    ("four digits", "0001.0.244.10.in-addr.arpa"),
    ("no number", "a.0.244.10.in-addr.arpa"),
    ("a sign", "+1.0.244.10.in-addr.arpa"),
    ("other suffix", "57.0.244.10.in-addr.example"),
    ("partial IPv6", "0." * 31 + "ip6.arpa"),
    ("33 digits", "0." * 33 + "ip6.arpa"),
    ("two digits in a label", "00." + "0." * 31 + "ip6.arpa"),
    ("no digit", "g." + "0." * 31 + "ip6.arpa"),
    ("a digit of another script", "\u0663." + "0." * 31 + "ip6.arpa"),
    ("the root", "."),
]


@pytest.mark.parametrize("text", [row[1] for row in NOT_REVERSE], ids=[row[0] for row in NOT_REVERSE])
def test_not_reverse(text: str) -> None:
    """Anything but a full reverse name has no address."""
    assert reverse_address(from_text(text)) is None


LABELS = st.binary(min_size=1, max_size=MAX_LABEL)
LABEL_LISTS = st.lists(LABELS, max_size=6).filter(lambda parts: sum(map(len, parts)) + len(parts) < MAX_NAME)


@given(LABEL_LISTS)
def test_round_trips(parts: list[bytes]) -> None:
    """Labels, wire form and text lead to each other for any octets."""
    name = from_labels(parts)
    assert labels(name) == tuple(part.lower() for part in parts)
    assert from_text(to_text(name)) == name
    assert from_text(to_text(name).removesuffix(".")) == name
    assert spelled_from_text("".join(f"{label_to_text(part)}." for part in parts)).lower() == name


@given(LABEL_LISTS, LABEL_LISTS)
def test_below_is_by_labels(parts: list[bytes], others: list[bytes]) -> None:
    """`is_at_or_below` says what comparing labels says."""
    name, origin = from_labels(parts), from_labels(others)
    wanted = labels(origin)
    assert is_at_or_below(name, origin) == (wanted == () or labels(name)[-len(wanted) :] == wanted)


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """Any text is a name within the limits or an `InvalidNameError`."""
    try:
        name = from_text(text)
    except InvalidNameError:
        return
    assert len(name) <= MAX_NAME
    assert all(0 < len(label) <= MAX_LABEL for label in labels(name))


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_reverse_round_trip(address: bytes) -> None:
    """Every address survives its reverse name."""
    assert reverse_address(reverse_name(address)) == address
