"""Directives that are accepted and do nothing: leaving them out changes no answer and leaves nobody less protected.

Each is still checked as CoreDNS would, and said to be without effect when the server starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.plugins.options import arguments, duration, listen_address, once, properties
from dnsserver.plugins.plugin import Context, Parse, Plugin

_MAX_SOCKETS = 1024  # as in CoreDNS
_MAX_INTEGER = 2**63 - 1  # Go's int
_PPROF_ADDRESS = "localhost:6053"
_TRACERS = ("zipkin", "datadog")
_BOOLEANS = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")  # Go's strconv.ParseBool


@dataclass(frozen=True, slots=True)
class WithoutEffect:
    """A directive that does nothing."""

    reason: str  # why that is no loss, for the operator
    check: Callable[[Sequence[Directive]], None]  # raises `CorefileError` for what CoreDNS would not take either


def parse_function(name: str) -> Parse:
    """Return the `parse` of a directive without effect: it checks, warns, and makes no plugin."""
    entry = DIRECTIVES[name]

    def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
        entry.check(directives)
        for one in directives:
            context.warn(f"directive '{name}' at {one.file}:{one.line} has no effect here: {entry.reason}")
        return ()

    return parse


def _integer(statement: Directive | Property, index: int, minimum: int, maximum: int = _MAX_INTEGER) -> None:
    """Refuse an argument that is no number of that range."""
    text = statement.args[index]
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and minimum <= int(text) <= maximum):
        expected = f"{minimum} to {maximum}" if maximum < _MAX_INTEGER else f"{minimum} or more"
        raise statement.error(f"'{text}' is not a number of that kind, expecting {expected}", index)


def _check_metadata(directives: Sequence[Directive]) -> None:
    directive = once(directives)
    tuple(properties(directive))  # refuses whatever there is
    for index, text in enumerate(directive.args):
        if not plugin_zones((text,), ()):
            raise directive.error(f"'{text}' is not a zone, expecting metadata [ZONES...]", index)


def _check_cancel(directives: Sequence[Directive]) -> None:
    for directive in directives:
        tuple(properties(directive))
        if arguments(directive, "cancel [TIMEOUT]", 0, 1) and duration(directive) == 0:
            raise directive.error(f"invalid negative duration: {directive.args[0]}, expecting more than 0s", 0)


def _check_multisocket(directives: Sequence[Directive]) -> None:
    directive = once(directives)
    tuple(properties(directive))
    if arguments(directive, "multisocket [SOCKETS]", 0, 1):
        _integer(directive, 0, 1, _MAX_SOCKETS)


def _check_shed(directives: Sequence[Directive]) -> None:
    directive = once(directives)
    arguments(directive, "shed", 0, 0)
    tuple(properties(directive))


def _check_pprof(directives: Sequence[Directive]) -> None:
    directive = once(directives)
    listen_address(directive, _PPROF_ADDRESS)
    for prop in properties(directive, "block"):
        if arguments(prop, "block [RATE]", 0, 1):
            _integer(prop, 0, 0)


def _check_trace(directives: Sequence[Directive]) -> None:
    for directive in directives:
        args = arguments(directive, "trace [zipkin|datadog] [ENDPOINT]", 0, 2)
        if len(args) == 2 and args[0].lower() not in _TRACERS:
            message = f"tracing endpoint type '{args[0]}' is not supported, expecting {' or '.join(_TRACERS)}"
            raise directive.error(message, 0)
        for prop in properties(directive, *_TRACE_OPTIONS):
            minimum, usage, check = _TRACE_OPTIONS[prop.name]
            if arguments(prop, f"{prop.name} {usage}".rstrip(), minimum, 1):
                check(prop)


def _check_rate(prop: Property) -> None:
    try:
        rate = float(prop.args[0])
    except ValueError:
        rate = -1
    if not 0 <= rate <= 1:
        raise prop.error(f"datadog analytics rate '{prop.args[0]}' is not supported, expecting 0 to 1", 0)


def _check_boolean(prop: Property) -> None:
    if prop.args[0] not in _BOOLEANS:
        raise prop.error(f"'{prop.args[0]}' is not a boolean, expecting true or false", 0)


def _check_count(prop: Property) -> None:
    _integer(prop, 0, 0)


def _check_interval(prop: Property) -> None:
    duration(prop)


def _check_anything(prop: Property) -> None:
    del prop


_TRACE_OPTIONS: Mapping[str, tuple[int, str, Callable[[Property], None]]] = {  # fewest arguments, usage, check
    "every": (1, "AMOUNT", _check_count),
    "service": (1, "NAME", _check_anything),
    "client_server": (0, "[true|false]", _check_boolean),
    "datadog_analytics_rate": (0, "[RATE]", _check_rate),
    "zipkin_max_backlog_size": (0, "[SIZE]", _check_count),
    "zipkin_max_batch_size": (0, "[SIZE]", _check_count),
    "zipkin_max_batch_interval": (0, "[DURATION]", _check_interval),
}

DIRECTIVES: Mapping[str, WithoutEffect] = MappingProxyType(
    {
        "metadata": WithoutEffect("no plugin of this server publishes metadata", _check_metadata),
        "cancel": WithoutEffect("plugins that wait have time limits of their own", _check_cancel),
        "multisocket": WithoutEffect(
            "where the compiled part is, processors have sockets of their own", _check_multisocket
        ),
        "trace": WithoutEffect("queries are not traced", _check_trace),
        "pprof": WithoutEffect("there is no Go runtime to profile", _check_pprof),
        "shed": WithoutEffect("every UDP listener sheds what it cannot answer or send in time, always", _check_shed),
    }
)
