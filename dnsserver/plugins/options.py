"""What the plugins' `parse` functions share: counting arguments, durations, listen addresses; no I/O.

Every refusal says where it is and what was expected.
"""

import re
from collections.abc import Iterator, Sequence

from dnsserver.admin.addresses import InvalidAddressError, parse_address
from dnsserver.corefile import Directive, Property

_UNITS = {  # nanoseconds
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_MAX_NANOSECONDS = 2**63 - 1


def once(directives: Sequence[Directive]) -> Directive:
    """Return the only directive; raises `CorefileError` at a second one."""
    if len(directives) > 1:
        raise directives[1].error("this plugin can only be used once per Server Block")
    return directives[0]


def arguments(statement: Directive | Property, usage: str, minimum: int, maximum: int | None = None) -> tuple[str, ...]:
    """Return the arguments, of which there are at least `minimum` and at most `maximum` (None: any number).

    `usage` is the statement as it should be written. Raises `CorefileError`.
    """
    count = len(statement.args)
    if count < minimum or (maximum is not None and count > maximum):
        raise statement.argument_error(usage)
    return statement.args


def properties(directive: Directive, *names: str) -> Iterator[Property]:
    """Yield the properties of a directive's block; raises `CorefileError` at one that is not among `names`."""
    for prop in directive.properties:
        if prop.name not in names:
            raise prop.unknown(" or ".join(names) or "no block")
        if prop.properties:
            raise prop.error(f"'{prop.name}' has no block of its own")
        yield prop


def listen_address(directive: Directive, default: str) -> str:
    """Return the one optional argument of a directive, where to listen for HTTP; raises `CorefileError`."""
    args = arguments(directive, f"{directive.name} [ADDRESS]", 0, 1)
    if not args:
        return default
    try:
        parse_address(args[0])
    except InvalidAddressError as error:
        raise directive.error(str(error), 0) from error
    return args[0]


def duration(statement: Directive | Property, index: int = 0) -> float:
    """Return the argument of that index in seconds, not negative; raises `CorefileError`."""
    try:
        seconds = parse_duration(statement.args[index])
    except ValueError as error:
        raise statement.error(f"{error}, expecting a duration such as 5s, 1m30s or 100ms", index) from error
    if seconds < 0:
        raise statement.error(f"duration {statement.args[index]} is negative, expecting 0s or more", index)
    return seconds


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Go's `time.ParseDuration` reads it: `5s`, `1m30s`, `-1.5h`, `100ms`, `0`.

    Raises `ValueError` with Go's words, also for what Go's 64 bits of nanoseconds cannot hold.
    """
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    nanoseconds = 0
    while rest:
        match = _DURATION_PART.match(rest)
        assert match is not None  # noqa: S101  # every part of the pattern may be empty: it fits any text
        whole, fraction, unit = match.groups()
        if not (whole or fraction):
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        if len(whole) > 19:  # int() refuses thousands of digits with an error of its own
            raise ValueError(f'time: invalid duration "{text}"')
        nanoseconds += int(whole or 0) * _UNITS[unit]
        nanoseconds += int((fraction or "0")[:18]) * _UNITS[unit] // 10 ** len((fraction or "0")[:18])
        rest = rest[match.end() :]
    if nanoseconds > _MAX_NANOSECONDS:
        raise ValueError(f'time: invalid duration "{text}"')
    return (-nanoseconds if text.startswith("-") else nanoseconds) / 1e9


def format_duration(seconds: float) -> str:
    """Return a duration as Go prints one: `30s`, `5m0s`, `1h0m0s`, `1.5s`, `100ms`, `0s`."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if not nanoseconds:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS[unit] * 1000:
            return f"{sign}{_decimal(nanoseconds, _UNITS[unit])}{unit}"
    minutes, nanoseconds = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(nanoseconds, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(nanoseconds: int, unit: int) -> str:
    """Return nanoseconds in a unit, without trailing zeros."""
    whole, part = divmod(nanoseconds, unit)
    digits = str(part).rjust(len(str(unit)) - 1, "0").rstrip("0") if unit > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)
