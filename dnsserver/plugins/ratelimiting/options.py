"""The options of `ratelimit`, every one checked; no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType

from dnsserver.corefile import Directive, Property
from dnsserver.plugins.options import arguments, duration, format_duration, once, properties
from dnsserver.plugins.ratelimiting.account import Kind

_USAGE = "ratelimit RATE { ... }"
_MAX_RATE = 100_000  # responses a second: more than one process can send
_MAX_SLIP = 10  # as in BIND
_MIN_WINDOW, _MAX_WINDOW = 1.0, 3600.0  # seconds, as in BIND
_MIN_TABLE, _MAX_TABLE = 100, 10_000_000  # buckets

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Options:
    """What one `ratelimit` says."""

    rates: Mapping[Kind, int] = field(default_factory=dict)  # responses a second; a kind without one is not limited
    slip: int = 2
    window: float = 15.0  # seconds
    prefix: tuple[int, int] = (24, 56)  # bits, of IPv4 and of IPv6
    exempt: tuple[Network, ...] = ()
    max_table: int = 100_000  # buckets
    log_only: bool = False


def parse_options(directives: Sequence[Directive]) -> Options:
    """Return what the block's only `ratelimit` says; raises `CorefileError`."""
    directive = once(directives)
    arguments(directive, _USAGE, 1, 1)
    rate = _whole(directive, 0, 0, _MAX_RATE)
    rates = dict.fromkeys((Kind.ANSWER, Kind.NODATA, Kind.NXDOMAIN, Kind.ERROR), rate)
    options = Options()
    seen: set[str] = set()
    for prop in properties(directive, *_RATES, *_PARSERS):
        if prop.name in seen and prop.name != "exempt":
            raise prop.error(f"'{prop.name}' is given twice, expecting it once")
        seen.add(prop.name)
        if prop.name in _RATES:
            arguments(prop, f"{prop.name} RATE", 1, 1)
            rates[_RATES[prop.name]] = _whole(prop, 0, 0, _MAX_RATE)
        else:
            options = _PARSERS[prop.name](prop, options)
    _check(directive, rates)
    limited = {kind: rate for kind, rate in rates.items() if rate}
    return replace(options, rates=MappingProxyType(limited))


def _check(directive: Directive, rates: Mapping[Kind, int]) -> None:
    """Raise `CorefileError` for rates that limit nothing, or that another one never lets come into effect."""
    if not any(rates.values()):
        raise directive.error("no response is limited, expecting a RATE of 1 or more")
    most, largest = rates.get(Kind.ALL, 0), max(rate for kind, rate in rates.items() if kind is not Kind.ALL)
    if 0 < most < largest:
        prop = next(one for one in directive.properties if one.name == "all")
        raise prop.error(f"all {most} is below another rate, expecting {largest} or more", 0)


def _slip(prop: Property, options: Options) -> Options:
    arguments(prop, "slip N", 1, 1)
    return replace(options, slip=_whole(prop, 0, 0, _MAX_SLIP))


def _window(prop: Property, options: Options) -> Options:
    arguments(prop, "window DURATION", 1, 1)
    seconds = duration(prop)
    if not _MIN_WINDOW <= seconds <= _MAX_WINDOW:
        limits = f"{format_duration(_MIN_WINDOW)} to {format_duration(_MAX_WINDOW)}"
        raise prop.error(f"a window of {prop.args[0]}, expecting {limits}", 0)
    return replace(options, window=seconds)


def _prefix(prop: Property, options: Options) -> Options:
    arguments(prop, "prefix V4 V6", 2, 2)
    return replace(options, prefix=(_whole(prop, 0, 1, 32), _whole(prop, 1, 1, 128)))


def _exempt(prop: Property, options: Options) -> Options:
    """Return what `exempt CIDR...` says; host bits may be set, as in Go's `net.ParseCIDR`."""
    networks = []
    for index, text in enumerate(arguments(prop, "exempt CIDR...", 1)):
        _, slash, length = text.partition("/")
        try:
            if slash and not (length.isascii() and length.isdigit()):
                raise ValueError("no prefix length")  # noqa: TRY301 -- one message for every way to be wrong
            networks.append(ip_network(text, strict=False))
        except ValueError as error:
            message = f"'{text}' is no network: {error}, expecting one such as 10.0.0.0/8"
            raise prop.error(message, index) from error
    return replace(options, exempt=options.exempt + tuple(networks))


def _max_table(prop: Property, options: Options) -> Options:
    arguments(prop, "max_table N", 1, 1)
    return replace(options, max_table=_whole(prop, 0, _MIN_TABLE, _MAX_TABLE))


def _log_only(prop: Property, options: Options) -> Options:
    arguments(prop, "log_only", 0, 0)
    return replace(options, log_only=True)


_RATES = {"nodata": Kind.NODATA, "nxdomain": Kind.NXDOMAIN, "errors": Kind.ERROR, "all": Kind.ALL}
_PARSERS: dict[str, Callable[[Property, Options], Options]] = {
    "slip": _slip,
    "window": _window,
    "prefix": _prefix,
    "exempt": _exempt,
    "max_table": _max_table,
    "log_only": _log_only,
}


def _whole(statement: Directive | Property, index: int, minimum: int, maximum: int) -> int:
    """Return the argument of that index as a number within bounds; raises `CorefileError`."""
    text = statement.args[index]
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_TABLE))
    if not digits or not minimum <= int(text) <= maximum:
        raise statement.error(f"'{text}', expecting a whole number from {minimum} to {maximum}", index)
    return int(text)
