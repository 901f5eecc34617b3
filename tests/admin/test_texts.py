"""DNS numbers and untrusted text as they are printed."""

import pytest

from dnsserver.admin.texts import one_line, rcode_text
from dnsserver.wire import class_to_text, type_to_text


@pytest.mark.parametrize(
    ("number", "text"), [(1, "A"), (28, "AAAA"), (65, "HTTPS"), (255, "ANY"), (22, "TYPE22"), (65280, "TYPE65280")]
)
def test_type(number: int, text: str) -> None:
    """Known types have names, others RFC 3597's spelling."""
    assert type_to_text(number) == text


@pytest.mark.parametrize(("number", "text"), [(1, "IN"), (3, "CH"), (255, "ANY"), (77, "CLASS77")])
def test_class(number: int, text: str) -> None:
    """Known classes have names, others RFC 3597's spelling."""
    assert class_to_text(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "NOERROR"), (4, "NOTIMP"), (16, "BADSIG"), (3841, "RCODE3841")])
def test_rcode(number: int, text: str) -> None:
    """Response codes have miekg/dns's names."""
    assert rcode_text(number) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain, äöü 漢", "plain, äöü 漢"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m\x00\x7f", "\\x1b[31m\\x00\\x7f"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    """What could break a line or drive a terminal is escaped; letters are not."""
    assert one_line(text) == line
