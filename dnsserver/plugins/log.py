"""`log [NAMES...] [FORMAT] { class CLASSES... }`: one line for each query, to standard output.

The format is compiled when it is parsed; text that a client chose is escaped, so a query is one line whatever it asks.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnsserver.admin.lines import stdout
from dnsserver.admin.texts import one_line, rcode_text
from dnsserver.corefile import Directive
from dnsserver.message import PLAIN_UDP_SIZE, Client, Reply, Transport, uncompressed_size
from dnsserver.names import ROOT, InvalidNameError, Name, from_text, is_at_or_below, to_text
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request
from dnsserver.records import Opcode, Rcode, RRType
from dnsserver.responder import finish, reply_limit
from dnsserver.wire import class_to_text, type_to_text

COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED = COMMON + ' "{>opcode}"'
EMPTY = "-"  # what a placeholder without a value prints

_SHORTCUTS = {"{common}": COMMON, "{combined}": COMBINED}
_CLASSES = ("all", "success", "denial", "error")
_TCP_SIZE = 65535  # octets: what a reply may have over TCP
_TC = 0x02  # in the third octet of the header (RFC 1035, section 4.1.1)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line can say; without a reply the server itself sends `rcode`, or nothing (`acl`, action drop)."""

    request: Request
    reply: Reply | None
    rcode: int
    seconds: float


Value = Callable[[Entry], object]


@dataclass(frozen=True, slots=True)
class Rule:
    """What to log of the names at or below one."""

    name: Name
    format: Callable[[Entry], str]
    classes: frozenset[str]


class Log(Plugin):
    """Writes a line for each query that its rules want; the first rule for a name decides."""

    name = "log"

    def __init__(self, rules: tuple[Rule, ...], write: Callable[[str], None] = stdout.write) -> None:
        self._rules = rules
        self._write = write

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        name = request.query.name
        rule = next((rule for rule in self._rules if is_at_or_below(name, rule.name)), None)
        if rule is None:
            return await call_next(request)
        try:
            reply = await call_next(request)
        except PluginError:
            self._log(rule, request, None, Rcode.SERVFAIL)
            raise
        self._log(rule, request, None if reply.silent else reply, reply.rcode)
        return reply

    def _log(self, rule: Rule, request: Request, reply: Reply | None, rcode: int) -> None:
        if "all" in rule.classes or reply_class(request, reply) in rule.classes:
            seconds = time.perf_counter() - request.started
            self._write(f"[INFO] {rule.format(Entry(request, reply, rcode, seconds))}")


def reply_class(request: Request, reply: Reply | None) -> str:
    """Return `success`, `denial` or `error`, as CoreDNS's plugin/pkg/response sorts replies."""
    query = request.query
    if reply is None or query.opcode in (Opcode.NOTIFY, Opcode.UPDATE) or query.qtype in (RRType.AXFR, RRType.IXFR):
        return "error"
    denied = any(rrset.rrtype == RRType.SOA for rrset in reply.authority)
    if reply.rcode == Rcode.NOERROR:
        if reply.answer:
            found = any(rrset.rrtype == query.qtype for rrset in reply.answer)
            return "success" if found or query.qtype not in (RRType.A, RRType.AAAA) else "denial"
        return "denial" if denied else "success"
    return "denial" if denied and reply.rcode == Rcode.NXDOMAIN else "error"


def compile_format(text: str) -> Callable[[Entry], str]:
    """Return the function that fills a format in.

    A `{/LABEL}` of metadata has no value here; braces around anything else stay as they are.
    """
    values: list[Value] = []
    template = ""
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        value = _empty if match[0].startswith("{/") else _VALUES.get(match[0])
        if value is not None:
            template += text[at : match.start()].replace("%", "%%") + "%s"
            values.append(value)
            at = match.end()
    template += text[at:].replace("%", "%%")
    return lambda entry: template % tuple(value(entry) for value in values)


_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def _empty(_entry: Entry) -> str:
    return EMPTY


def _bracketed(address: str) -> str:
    """Return an address with brackets around an IPv6 one (RFC 3986, section 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def _local(client: Client) -> str:
    """Return the host of `dns://10.0.0.1:53`; a listener on every address has none, and CoreDNS then says `[::]`."""
    host = client.server.rpartition("://")[2].rpartition(":")[0].strip("[]")
    return _bracketed(host or "::")


def _bufsize(entry: Entry) -> int:
    """Return the most octets that the client takes."""
    request = entry.request
    if request.client.transport is not Transport.UDP:
        return _TCP_SIZE
    edns = request.query.edns
    return max(PLAIN_UDP_SIZE, edns.udp_size) if edns else PLAIN_UDP_SIZE


def _dnssec_ok(entry: Entry) -> str:
    edns = entry.request.query.edns
    return "true" if edns and edns.dnssec_ok else "false"


def _flags(entry: Entry) -> str:
    """Return the header flags of the reply in the order of the header."""
    reply, query = entry.reply, entry.request.query
    if reply is None:
        return EMPTY
    copied = query.opcode == Opcode.QUERY
    flags = {
        "qr": True,
        "aa": reply.authoritative,
        "tc": _truncated(entry.request, reply),
        "rd": query.recursion_desired and copied,
        "ra": reply.recursion_available,
        "ad": reply.authenticated,
        "cd": query.checking_disabled and copied,
    }
    return ",".join(flag for flag, is_set in flags.items() if is_set)


def _truncated(request: Request, reply: Reply) -> bool:
    """Say whether the client gets less than the reply; encoded for that is only what may not fit."""
    query, transport = request.query, request.client.transport
    if reply.truncated or reply.stream is not None:
        return reply.truncated
    if uncompressed_size(query, reply) <= min(reply_limit(query, transport), reply.max_udp_size or _TCP_SIZE):
        return False
    return bool(finish(query, reply, transport)[2] & _TC)


def _size(entry: Entry) -> int:
    return 0 if entry.reply is None else uncompressed_size(entry.request.query, entry.reply)


def _rcode(entry: Entry) -> str:
    """Return the mnemonic, or the bare number of a code that has none."""
    return rcode_text(entry.rcode).removeprefix("RCODE")


def _duration(entry: Entry) -> str:
    """Return seconds to the nanosecond without trailing zeros, as in `0.000995025s`."""
    return f"{entry.seconds:.9f}".rstrip("0").rstrip(".") + "s"


_VALUES: dict[str, Value] = {
    "{type}": lambda entry: type_to_text(entry.request.query.qtype),
    "{name}": lambda entry: one_line(to_text(entry.request.query.name)),
    "{class}": lambda entry: class_to_text(entry.request.query.qclass),
    "{proto}": lambda entry: "udp" if entry.request.client.transport is Transport.UDP else "tcp",
    "{size}": lambda entry: entry.request.query.size,
    "{remote}": lambda entry: _bracketed(entry.request.client.address),
    "{port}": lambda entry: entry.request.client.port,
    "{local}": lambda entry: _local(entry.request.client),
    "{>id}": lambda entry: entry.request.query.id,
    "{>opcode}": lambda entry: int(entry.request.query.opcode),
    "{>do}": _dnssec_ok,
    "{>bufsize}": _bufsize,
    "{rcode}": _rcode,
    "{rsize}": _size,
    "{duration}": _duration,
    "{>rflags}": _flags,
}


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return one plugin with the rules of every `log` of the block, in the order written."""
    return (Log(tuple(rule for directive in directives for rule in _rules(directive))),)


def _rules(directive: Directive) -> list[Rule]:
    """Return a rule for each name of one directive."""
    names, text = list(directive.args), COMMON
    if len(names) > 1 and "{" in names[-1]:
        last = names.pop()
        text = _SHORTCUTS.get(last, last)
    format_entry = compile_format(one_line(text))
    classes = _log_classes(directive)
    return [Rule(_name(directive, index), format_entry, classes) for index in range(len(names))] or [
        Rule(ROOT, format_entry, classes)
    ]


def _name(directive: Directive, index: int) -> Name:
    """Return a name to log; raises `CorefileError`."""
    text = directive.args[index]
    if "{" in text:
        raise directive.error(f"'{text}' is not a name, expecting log NAMES... FORMAT with '.' for every name", index)
    try:
        return from_text(text)
    except (InvalidNameError, UnicodeEncodeError) as error:
        raise directive.error(f"'{text}' is not a name: {error}", index) from error


def _log_classes(directive: Directive) -> frozenset[str]:
    """Return the classes of every `class` line, `all` where there is none."""
    classes: set[str] = set()
    for prop in properties(directive, "class"):
        for index, name in enumerate(arguments(prop, "class all|success|denial|error...", 1)):
            if name not in _CLASSES:
                raise prop.error(f"invalid Class: {name}, expecting one of {', '.join(_CLASSES)}", index)
            classes.add(name)
    return frozenset(classes or {"all"})
