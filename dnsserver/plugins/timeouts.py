"""`timeouts { read DURATION; write DURATION; idle DURATION; maxtcpqueries N }`: what TCP and TLS clients are granted.

`read` bounds a TLS handshake, a connection's wait for its first query, and each message from its first octet to its
last; `idle` the wait for further queries; `write` how long a client may leave its answers unread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dnsserver.corefile import Property
from dnsserver.plugins.options import arguments, parse_duration, properties
from dnsserver.plugins.plugin import Context, Directives, Plugin
from dnsserver.transports import TcpLimits

_FIELDS = {"read": "message", "write": "write", "idle": "idle"}  # the option's and the limit's name
_QUERIES = "maxtcpqueries"
_LEAST, _MOST = 1.0, 24 * 3600.0  # seconds
_UNLIMITED = "-1"


@dataclass(frozen=True, slots=True)
class Limit:
    """One value, and where it was written."""

    value: float | int | None
    place: str


class Timeouts(Plugin):
    """Takes no part in answering; the app gives its limits to the block's listeners."""

    name = "timeouts"

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.limits = limits  # by the field of `TcpLimits`

    def apply(self, limits: TcpLimits) -> TcpLimits:
        """Return limits with those that were written in place of the old ones."""
        values: dict[str, float | int | None] = {name: limit.value for name, limit in self.limits.items()}
        return replace(limits, **values)  # type: ignore[arg-type]  # names and types are those of `_limit`


def parse(directives: Directives, _context: Context) -> tuple[Plugin, ...]:
    """Return one plugin of all that the block says; of an option written twice the last counts, as in CoreDNS."""
    limits: dict[str, Limit] = {}
    for directive in directives:
        arguments(directive, "timeouts { ... }", 0, 0)
        found = list(properties(directive, *_FIELDS, _QUERIES))
        if not found:
            expected = " or ".join((*_FIELDS, _QUERIES))
            raise directive.error(f"timeouts block with no timeouts or limits specified, expecting {expected}")
        limits.update(map(_limit, found))
    return (Timeouts(limits),)


def _limit(prop: Property) -> tuple[str, Limit]:
    """Return the limit that one line sets. Raises `CorefileError`."""
    place = f"{prop.file}:{prop.line}"
    if prop.name != _QUERIES:
        return _FIELDS[prop.name], Limit(_seconds(prop), place)
    (text,) = arguments(prop, f"{_QUERIES} MAXIMUM", 1, 1)
    if text == _UNLIMITED:
        return "queries", Limit(None, place)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        message = f"{_QUERIES} '{text}' is not valid, expecting a positive integer, or -1 for no limit"
        raise prop.error(message, 0)
    return "queries", Limit(int(text), place)


def _seconds(prop: Property) -> float:
    """Return a duration of 1 second to 24 hours; a bare number is seconds (CoreDNS plugin/pkg/durations)."""
    (text,) = arguments(prop, f"{prop.name} DURATION", 1, 1)
    digits = text.removeprefix("-").removeprefix("+")
    try:
        seconds = parse_duration(f"{text}s" if digits.isascii() and digits.isdigit() else text)
    except ValueError as error:
        raise prop.error(f"failed to parse duration '{text}': {error}, expecting one such as 10s or 1m", 0) from error
    if not _LEAST <= seconds <= _MOST:
        raise prop.error(f"timeout provided '{text}' needs to be between 1 second and 24 hours", 0)
    return seconds
