"""What the API server would take as a label selector, and what it would not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.plugins.selector import check_selector

GOOD = [
    "app",
    "!app",
    "app=web",
    "app==web",
    "app!=web",
    "app=",
    "app in (a, b)",
    "app notin (a,b), tier=x",
    "example.com/app=web,!example.com/old",
    "size>3",
]
BAD = ["", "app=we b", "app in a", "=web", "app=web,", ",app", "app in (a", "a=b;c=d", "-app=1"]


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    """Every form of a requirement."""
    check_selector(text)


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    """The error says where it went wrong."""
    with pytest.raises(ValueError, match="not a label selector"):
        check_selector(text)


@given(st.text(alphabet="ab=!(), in<>./-", max_size=30))
def test_any_text(text: str) -> None:
    """No text does worse than being refused."""
    try:
        check_selector(text)
    except ValueError as error:
        assert "label selector" in str(error)  # noqa: PT017 -- a text may as well be good
