"""Durations as Go reads and prints them, and the refusals that every plugin shares."""

import pytest

from dnsserver.plugins.options import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("100ms", 0.1),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("0", 0),
        ("0s", 0),
        ("+3s", 3),
        ("-2m", -120),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("7µs", 7e-6),
        ("7μs", 7e-6),
        ("2562047h", 2562047 * 3600),
        ("0.000000000999999999999999999999999s", 0),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    """Every unit, fractions, signs, and sums."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid duration"),
        ("-", "invalid duration"),
        ("s", "invalid duration"),
        (".s", "invalid duration"),
        ("5", "missing unit"),
        ("1m5", "missing unit"),
        ("5d", 'unknown unit "d"'),
        ("5 s", 'unknown unit " s"'),
        ("5S", 'unknown unit "S"'),
        ("--5s", "invalid duration"),
        ("9223372037s", "invalid duration"),
        ("9" * 5000 + "s", "invalid duration"),
        ("٣s", "invalid duration"),
    ],
)
def test_not_a_duration(text: str, reason: str) -> None:
    """What Go refuses is refused in its words."""
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (30, "30s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (5430.25, "1h30m30.25s"),
        (1.5, "1.5s"),
        (0.1, "100ms"),
        (0.0015, "1.5ms"),
        (0.000001, "1µs"),
        (5e-9, "5ns"),
        (-2, "-2s"),
    ],
)
def test_format(seconds: float, text: str) -> None:
    """Durations print as Go's `Duration.String`."""
    assert format_duration(seconds) == text
