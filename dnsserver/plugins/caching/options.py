"""The options of `cache`, from its directive; no I/O."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dnsserver.corefile import Directive, InvalidZoneError, Property, plugin_zones, zones_from_text
from dnsserver.names import ROOT, Name, from_text, to_text
from dnsserver.plugins.caching.counts import DENIAL, SUCCESS
from dnsserver.plugins.options import arguments, duration, once, properties
from dnsserver.plugins.plugin import Context

_MAX_TTL = 2**31 - 1  # seconds (RFC 2181, section 8)
_MAX_SERVFAIL = 300.0  # seconds (RFC 2308, section 7.1)
_MAX_RECHECK = 300.0  # seconds
_STALE = 3600.0  # seconds, unless `serve_stale` says otherwise
_NUMBER = re.compile(r"[+-]?[0-9]{1,4000}")  # more digits than int() takes are no number
_PERCENTAGE = re.compile(r"[0-9]{1,3}%")
_MODES = ("immediate", "verify")


class Limits(NamedTuple):
    """How many replies of one kind are kept, and the bounds of their TTLs in seconds."""

    max_ttl: int
    min_ttl: int = 5
    capacity: int = 10_000


class Prefetch(NamedTuple):
    """Which entries are asked for again before they expire."""

    amount: int = 0  # hits that make an entry popular; 0 is never
    longest_pause: float = 60.0  # seconds between two of them
    percentage: int = 10  # of its TTL that is left by then


class Stale(NamedTuple):
    """What is done with expired entries (RFC 8767)."""

    keep: int = 0  # seconds after expiry; 0 is not at all
    verify: bool = False  # ask again first, not only afterwards
    verify_timeout: float = 0.0  # seconds; 0 is as long as the answer takes
    ttl: int = 0  # seconds, of the records
    recheck: float = 0.0  # seconds between a failed attempt and the next
    prefer_positive: bool = False  # rather an old answer than a new denial


_SUCCESS, _DENIAL, _NO_PREFETCH, _NEVER_STALE = Limits(3600), Limits(1800), Prefetch(), Stale()


@dataclass(frozen=True, slots=True)
class Options:
    """All of them."""

    zones: tuple[Name, ...] = (ROOT,)
    success: Limits = _SUCCESS
    denial: Limits = _DENIAL
    servfail: int = 5  # seconds; 0 is not kept
    prefetch: Prefetch = _NO_PREFETCH
    stale: Stale = _NEVER_STALE
    keepttl: bool = False
    disabled: dict[str, tuple[Name, ...]] = field(default_factory=dict)  # by SUCCESS and DENIAL

    @property
    def zones_label(self) -> str:
        """The zones, as metrics name them."""
        return ",".join(map(to_text, self.zones))


def parse_options(directives: Sequence[Directive], context: Context) -> Options:
    """Return the options of the block's only `cache`; of an option given twice the last counts, as in CoreDNS."""
    directive = once(directives)
    options = _head(directive, context)
    seen: set[tuple[str, ...]] = set()
    for prop in properties(directive, *_PARSERS):
        what = (prop.name, *prop.args[:1]) if prop.name == "disable" else (prop.name,)
        if what in seen:
            context.warn(f"{prop.file}:{prop.line} - plugin/cache: '{' '.join(what)}' again: only this one counts")
        seen.add(what)
        options = _PARSERS[prop.name](prop, options)
        if prop.name == "serve_stale_policy" and not any(other.name == "serve_stale" for other in directive.properties):
            raise prop.error("serve_stale_policy without serve_stale, expecting both")
    return options


def _head(directive: Directive, context: Context) -> Options:
    """Return what `cache [TTL] [ZONES...]` says."""
    args = directive.args
    options = Options()
    if args and _NUMBER.fullmatch(args[0]):
        ttl = _ttl(directive, 0)
        options = Options(success=Limits(ttl), denial=Limits(ttl))
        args = args[1:]
    for arg in args:
        if not plugin_zones((arg,), ()):
            context.warn(
                f"{directive.file}:{directive.line} - plugin/cache: '{arg}' is not a zone: nothing is cached for it"
            )
    zones = plugin_zones(args, [to_text(zone) for zone in context.zones])
    return replace(options, zones=tuple(map(from_text, zones)))


def _success(prop: Property, options: Options) -> Options:
    return replace(options, success=_limits(prop, options.success))


def _denial(prop: Property, options: Options) -> Options:
    return replace(options, denial=_limits(prop, options.denial))


def _limits(prop: Property, limits: Limits) -> Limits:
    """Return what `success|denial CAPACITY [TTL] [MINTTL]` says."""
    args = arguments(prop, f"{prop.name} CAPACITY [TTL] [MINTTL]", 1, 3)
    limits = limits._replace(capacity=_number(prop, 0))
    if len(args) > 1:
        limits = limits._replace(max_ttl=_ttl(prop, 1))
    if len(args) > 2:
        limits = limits._replace(min_ttl=_number(prop, 2))
    return limits


def _prefetch(prop: Property, options: Options) -> Options:
    args = arguments(prop, "prefetch AMOUNT [DURATION [PERCENTAGE%]]", 1, 3)
    prefetch = Prefetch(_number(prop, 0))
    if len(args) > 1:
        prefetch = prefetch._replace(longest_pause=duration(prop, 1))
    if len(args) > 2:
        if not _PERCENTAGE.fullmatch(args[2]):
            raise prop.error(f"'{args[2]}' is not a percentage, expecting one such as 10%", 2)
        percentage = int(args[2][:-1])
        if not 10 <= percentage <= 90:
            raise prop.error(f"percentage should fall in range [10, 90]: {percentage}", 2)
        prefetch = prefetch._replace(percentage=percentage)
    return replace(options, prefetch=prefetch)


def _serve_stale(prop: Property, options: Options) -> Options:
    """Return what `serve_stale [DURATION] [MODE ...]` says; `verify` takes a timeout before what both modes take."""
    usage = "serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]"
    args = arguments(prop, usage, 0, 5)
    mode = args[1].lower() if len(args) > 1 else _MODES[0]
    if mode not in _MODES:
        raise prop.error(f"invalid value for serve_stale refresh mode: {mode}, expecting {' or '.join(_MODES)}", 1)
    verify = mode == "verify"
    ttl = 3 if verify else 2  # the index of the argument
    arguments(prop, usage, 0, ttl + 2)
    stale = Stale(
        keep=int(duration(prop) if args else _STALE),
        verify=verify,
        verify_timeout=duration(prop, 2) if verify and len(args) > 2 else 0.0,
        ttl=_whole_seconds(prop, ttl) if len(args) > ttl else 0,
        recheck=duration(prop, ttl + 1) if len(args) > ttl + 1 else 0.0,
        prefer_positive=options.stale.prefer_positive,
    )
    if stale.recheck > _MAX_RECHECK:
        raise prop.error(f"failure recheck {args[-1]} is over 5 minutes, expecting at most 5m", ttl + 1)
    return replace(options, stale=stale)


def _serve_stale_policy(prop: Property, options: Options) -> Options:
    (policy,) = arguments(prop, "serve_stale_policy prefer_positive", 1, 1)
    if policy != "prefer_positive":
        raise prop.error(f"invalid value for serve_stale_policy: {policy}, expecting prefer_positive", 0)
    return replace(options, stale=options.stale._replace(prefer_positive=True))


def _servfail(prop: Property, options: Options) -> Options:
    arguments(prop, "servfail DURATION", 1, 1)
    seconds = duration(prop)
    if seconds > _MAX_SERVFAIL:
        raise prop.error("caching SERVFAIL responses over 5 minutes is not permitted, expecting at most 5m", 0)
    return replace(options, servfail=int(seconds))


def _disable(prop: Property, options: Options) -> Options:
    """Return what `disable success|denial [ZONES...]` says."""
    kind, *zones = arguments(prop, "disable success|denial [ZONES...]", 1)
    if kind not in (SUCCESS, DENIAL):
        raise prop.error(f'cache type for disable must be "{SUCCESS}" or "{DENIAL}", not "{kind}"', 0)
    names: list[Name] = []
    for index, zone in enumerate(zones, 1):
        try:
            names += map(from_text, zones_from_text(zone))
        except InvalidZoneError as error:
            raise prop.error(f"invalid disabled zone: {error}", index) from error
    return replace(options, disabled=options.disabled | {kind: tuple(names) or (ROOT,)})


def _keepttl(prop: Property, options: Options) -> Options:
    arguments(prop, "keepttl", 0, 0)
    return replace(options, keepttl=True)


_PARSERS: dict[str, Callable[[Property, Options], Options]] = {
    "success": _success,
    "denial": _denial,
    "prefetch": _prefetch,
    "serve_stale": _serve_stale,
    "serve_stale_policy": _serve_stale_policy,
    "servfail": _servfail,
    "disable": _disable,
    "keepttl": _keepttl,
}


def _number(statement: Directive | Property, index: int) -> int:
    """Return the argument of that index, 0 or more; raises `CorefileError`."""
    text = statement.args[index]
    if not _NUMBER.fullmatch(text) or not 0 <= int(text) <= _MAX_TTL:
        raise statement.error(f"'{text}' is not a number, expecting one from 0 to {_MAX_TTL}", index)
    return int(text)


def _ttl(statement: Directive | Property, index: int) -> int:
    """Return the argument of that index, 1 or more; raises `CorefileError`."""
    text = statement.args[index]
    if not _NUMBER.fullmatch(text) or not 0 < int(text) <= _MAX_TTL:
        raise statement.error(f"cache TTL can not be '{text}', expecting seconds from 1 to {_MAX_TTL}", index)
    return int(text)


def _whole_seconds(prop: Property, index: int) -> int:
    """Return a duration that a TTL can say; raises `CorefileError`."""
    seconds = duration(prop, index)
    if seconds != int(seconds) or seconds > _MAX_TTL:
        raise prop.error(f"{prop.args[index]} is not a TTL, expecting whole seconds", index)
    return int(seconds)
