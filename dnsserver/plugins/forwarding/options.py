"""The words of `forward FROM TO... { ... }` to frozen values (CoreDNS 1.14.7, plugin/forward/setup.go)."""

import random
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dnsserver.admin.texts import rcode_text
from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.names import ROOT, InvalidNameError, Name, from_text
from dnsserver.plugins.options import arguments, duration, format_duration, properties
from dnsserver.plugins.plugin import Context
from dnsserver.records import Rcode
from dnsserver.upstream import (
    Endpoint,
    HostName,
    InvalidTargetError,
    RoundRobin,
    Settings,
    Upstream,
    at_random,
    client_context,
    parse_address,
    parse_target,
    sequential,
)

_USAGE = "forward FROM TO..."
_HEALTH_CHECK = "health_check DURATION [no_rec] [domain FQDN]"
_MAX_TARGETS = 15
_MAX_INTEGER = 2**32 - 1
_DNS_PORT = 53

Order = Callable[[Sequence[Upstream], random.Random], Sequence[Upstream]]
Target = Endpoint | HostName


@dataclass(frozen=True, slots=True)
class Options:
    """What the block of one `forward` says."""

    ignored: tuple[Name, ...] = ()  # except
    order: Order = at_random
    prefer_udp: bool = False
    max_fails: int = 2
    max_connect_attempts: int = 0  # 0: any number
    max_concurrent: int = 0  # queries; 0: any number
    next_rcodes: frozenset[int] = frozenset()
    next_on_nodata: bool = False
    failover_rcodes: frozenset[int] = frozenset()
    fail_fast: bool = False  # failfast_all_unhealthy_upstreams
    resolvers: tuple[Endpoint, ...] = ()
    upstream: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Statement:
    """One `forward`."""

    zone: Name
    targets: tuple[Target, ...]
    options: Options


def parse_statement(directive: Directive, context: Context) -> Statement:
    """Return what a directive says. Reads the files that it names. Raises `CorefileError`."""
    args = arguments(directive, _USAGE, 2)
    zone = _zone(directive, context)
    options = _options(directive, context)
    if len(args) - 1 > _MAX_TARGETS:
        raise directive.error(f"more than {_MAX_TARGETS} TOs configured: {len(args) - 1}", _MAX_TARGETS + 1)
    targets = tuple(_targets(directive, context))
    settings = options.upstream
    if settings.context is None and any(target.scheme != "dns" for target in targets):
        options = replace(options, upstream=replace(settings, context=client_context()))
    if settings.max_idle and any(target.scheme == "https" for target in targets):
        context.warn(
            f"{directive.file}:{directive.line} - plugin/forward: max_idle_conns is not for https:// upstreams"
        )
    return Statement(zone, targets, options)


def _zone(directive: Directive, context: Context) -> Name:
    """Return FROM; of a network that is several zones only the first."""
    text = directive.args[0]
    zones = _zones(directive, 0)
    if len(zones) > 1:
        context.warn(
            f"{directive.file}:{directive.line} - plugin/forward: Unsupported CIDR notation: '{text}' expands to "
            f"multiple zones. Using only '{zones[0]}'."
        )
    return from_text(zones[0])


def _zones(statement: Directive | Property, index: int) -> tuple[str, ...]:
    """Return the zones that an argument names; raises `CorefileError` where it names none."""
    text = statement.args[index]
    zones = plugin_zones((text,), ())
    if not zones:
        raise statement.error(f"unable to normalize '{text}', expecting a name or a network such as 10.0.0.0/8", index)
    return zones


def _targets(directive: Directive, context: Context) -> Iterator[Target]:
    """Yield the servers in the order written; relative files are beside the Corefile. Raises `CorefileError`."""

    def read(path: str) -> str:
        return (context.folder / path).read_text(encoding="utf-8", errors="replace")

    server_name = next((prop.args[0] for prop in reversed(directive.properties) if prop.name == "tls_servername"), "")
    for index, text in enumerate(directive.args[1:], start=1):
        try:
            targets = parse_target(text, read)
        except InvalidTargetError as error:
            message = f"{error}, expecting {_USAGE} with IP[:PORT], tls://IP, https://IP, a host name or a file"
            raise directive.error(message, index) from error
        for target in targets:
            if target.scheme == "dns" or not server_name:
                yield target
                continue
            if target.server_name:
                raise directive.error(
                    f"both forward ('{server_name}') and proxy level ('{target.server_name}') TLS servernames are set "
                    f"for upstream proxy '{text}', expecting one of them",
                    index,
                )
            yield replace(target, server_name=server_name)


Fields = dict[str, Any]  # of Options, or of Settings where the name begins with "upstream."; typed where it is made


def _options(directive: Directive, context: Context) -> Options:
    """Return what the block says; of an option that is given twice the last one counts, as in CoreDNS."""
    fields: Fields = {}
    for prop in properties(directive, *_OPTIONS, "tls"):
        if prop.name == "tls":
            fields["upstream.context"] = _tls(prop, context)
        else:
            _OPTIONS[prop.name](prop, fields)
    inner = {name.removeprefix("upstream."): value for name, value in fields.items() if name.startswith("upstream.")}
    outer = {name: value for name, value in fields.items() if not name.startswith("upstream.")}
    settings = Settings(**inner)
    if 0 < settings.max_age < settings.expire:
        age, expire = format_duration(settings.max_age), format_duration(settings.expire)
        raise directive.error(f"max_age ({age}) must not be less than expire ({expire})")
    return Options(**outer, upstream=settings)


def _flag(name: str) -> Callable[[Property, Fields], None]:
    """Return the reader of an option without arguments."""

    def read(prop: Property, fields: Fields) -> None:
        arguments(prop, prop.name, 0, 0)
        fields[name] = True

    return read


def _seconds(name: str) -> Callable[[Property, Fields], None]:
    """Return the reader of an option that is a duration."""

    def read(prop: Property, fields: Fields) -> None:
        arguments(prop, f"{prop.name} DURATION", 1, 1)
        fields[name] = duration(prop)

    return read


def _count(name: str) -> Callable[[Property, Fields], None]:
    """Return the reader of an option that is a number, 0 or more."""

    def read(prop: Property, fields: Fields) -> None:
        (text,) = arguments(prop, f"{prop.name} INTEGER", 1, 1)
        if text.startswith("-") and text[1:].isdigit():
            raise prop.error(f"{prop.name} can't be negative: {text}", 0)
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_INTEGER):
            raise prop.error(f'invalid {prop.name}: "{text}", expecting a number from 0 to {_MAX_INTEGER}', 0)
        fields[name] = int(text)

    return read


def _rcodes(name: str) -> Callable[[Property, Fields], None]:
    """Return the reader of an option that lists RCODEs; several lines add up."""

    def read(prop: Property, fields: Fields) -> None:
        for index, text in enumerate(arguments(prop, f"{prop.name} RCODE...", 1)):
            rcode = _RCODES.get(text.upper())
            if rcode is None:
                raise prop.error(f"{text} is not a valid rcode, expecting one such as NXDOMAIN or SERVFAIL", index)
            if rcode == Rcode.NOERROR and prop.name == "failover":
                raise prop.error("NoError cannot be used in failover", index)
            fields[name] = fields.get(name, frozenset()) | {rcode}

    return read


def _except(prop: Property, fields: Fields) -> None:
    args = arguments(prop, "except IGNORED_NAMES...", 1)
    names = [from_text(zone) for index in range(len(args)) for zone in _zones(prop, index)]
    fields["ignored"] = (*fields.get("ignored", ()), *names)


def _policy(prop: Property, fields: Fields) -> None:
    (policy,) = arguments(prop, f"policy {'|'.join(_POLICIES)}", 1, 1)
    if policy not in _POLICIES:
        raise prop.error(f"unknown policy '{policy}', expecting {' or '.join(_POLICIES)}", 0)
    fields["order"] = _POLICIES[policy]()


def _method(prop: Property, fields: Fields) -> None:
    (method,) = arguments(prop, "doh_method GET|POST", 1, 1)
    if method not in ("GET", "POST"):
        raise prop.error("doh_method must be either POST or GET", 0)
    fields["upstream.doh_method"] = method


def _health_check(prop: Property, fields: Fields) -> None:
    args = arguments(prop, _HEALTH_CHECK, 1)
    fields["upstream.check_interval"] = duration(prop)
    fields["upstream.check_name"] = ROOT
    words = iter(range(1, len(args)))
    for index in words:
        if args[index] == "no_rec":
            fields["upstream.check_recursion"] = False
        elif args[index] == "domain":
            at = next(words, None)
            if at is None:
                raise prop.argument_error(_HEALTH_CHECK)
            fields["upstream.check_name"] = _domain(prop, at)
        else:
            raise prop.error(f"health_check: unknown option {args[index]}, expecting no_rec or domain FQDN", index)


def _domain(prop: Property, index: int) -> Name:
    text = prop.args[index]
    try:
        return from_text(text)
    except (InvalidNameError, UnicodeEncodeError) as error:
        raise prop.error(f"health_check: invalid domain name {text}: {error}", index) from error


def _resolver(prop: Property, fields: Fields) -> None:
    found = []
    for index, text in enumerate(arguments(prop, "resolver IP[:PORT]...", 1)):
        try:
            found.append(parse_address(text, _DNS_PORT))
        except InvalidTargetError as error:
            raise prop.error(f'resolver must be an IP address or IP:port: "{text}"', index) from error
    fields["resolvers"] = tuple(found)


def _tls_servername(prop: Property, fields: Fields) -> None:
    """Check the line; `_targets` reads it, for it belongs to the servers."""
    del fields
    arguments(prop, "tls_servername NAME", 1, 1)


def _tls(prop: Property, context: Context) -> ssl.SSLContext:
    args = arguments(prop, "tls [CERT KEY] [CA]", 0, 3)
    try:
        return client_context([context.folder / arg for arg in args])
    except ValueError as error:
        raise prop.error(str(error), 0) from error


_POLICIES: Mapping[str, Callable[[], Order]] = {
    "random": lambda: at_random,
    "round_robin": RoundRobin,
    "sequential": lambda: sequential,
}

_OPTIONS: Mapping[str, Callable[[Property, Fields], None]] = {
    "except": _except,
    "force_tcp": _flag("upstream.force_tcp"),
    "prefer_udp": _flag("prefer_udp"),
    "expire": _seconds("upstream.expire"),
    "max_age": _seconds("upstream.max_age"),
    "max_idle_conns": _count("upstream.max_idle"),
    "max_fails": _count("max_fails"),
    "max_connect_attempts": _count("max_connect_attempts"),
    "doh_method": _method,
    "tls_servername": _tls_servername,
    "policy": _policy,
    "health_check": _health_check,
    "max_concurrent": _count("max_concurrent"),
    "next": _rcodes("next_rcodes"),
    "next_on_nodata": _flag("next_on_nodata"),
    "failfast_all_unhealthy_upstreams": _flag("fail_fast"),
    "failover": _rcodes("failover_rcodes"),
    "resolver": _resolver,
}

# The names that miekg/dns knows, which Corefiles spell in any case.
_RCODES: Mapping[str, int] = {
    **{text: code for code in range(24) if not (text := rcode_text(code)).startswith("RCODE")},
    "BADVERS": Rcode.BADVERS,
}
