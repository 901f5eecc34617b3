"""`template CLASS TYPE [ZONES...] { match; answer; additional; authority; rcode; ederror; fallthrough }`.

Answers made of the question: the first template whose zone, class, type and pattern fit writes the whole reply.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric

from dnsserver.corefile import Directive, Property, plugin_zones
from dnsserver.message import Query, Reply
from dnsserver.names import ROOT, Name, fold, from_text, is_at_or_below, to_text
from dnsserver.plugins.go_regexp import GoRegexp, RegexpError, compile_regexp
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.rcodes import parse_rcode
from dnsserver.plugins.templating.shapes import TemplateError, TemplateFailure, Value
from dnsserver.plugins.templating.template import Template, parse_template
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.wire import Record, class_to_text, text_to_type, type_to_text
from dnsserver.wire.zonetext import ZoneTextError, parse_record, text_to_class

_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_ADDRESSES = (RRType.A, RRType.AAAA)
_NO_SUCH_CLASS = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(20, ""))  # RFC 8914, section 4.21
_SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)
_EVERYTHING = compile_regexp(".*")
_SECTIONS = ("answer", "additional", "authority")
_PROPERTIES = ("match", *_SECTIONS, "rcode", "ederror", "fallthrough", "upstream")
_LABELS = ("server", "zone", "view", "class", "type")
_VIEW = ""  # there are no views here


@dataclass(frozen=True, slots=True)
class Rule:
    """One `template`."""

    qclass: int
    qtype: int
    zones: tuple[Name, ...]
    patterns: tuple[GoRegexp, ...] = (_EVERYTHING,)
    records: Mapping[str, tuple[Template, ...]] = field(default_factory=dict)  # by section
    rcode: int = Rcode.NOERROR
    extended_error: tuple[int, str] | None = None
    fall_through: tuple[Name, ...] = ()  # zones whose names go on where no pattern fits

    def zone_of(self, query: Query) -> Name | None:
        """Return the longest zone that a question is in, None where class, type or zone are not the rule's."""
        if RRClass.ANY not in (self.qclass, query.qclass) and self.qclass != query.qclass:
            return None
        if RRType.ANY not in (self.qtype, query.qtype) and self.qtype != query.qtype:
            return None
        return max((zone for zone in self.zones if is_at_or_below(query.name, zone)), key=len, default=None)

    def match(self, name: str) -> tuple[GoRegexp, tuple[str, ...]] | None:
        """Return the first pattern that fits a name, and its groups."""
        for pattern in self.patterns:
            groups = pattern.find(name)
            if groups is not None:
                return pattern, groups
        return None


@dataclass(frozen=True, slots=True)
class _Match:
    """What the templates of a rule are filled in with, and the labels to count under."""

    data: dict[str, Value]
    labels: tuple[str, ...]


class _Counts:
    """How often rules matched, and how often their templates or records were no good."""

    def __init__(self) -> None:
        self.matches: Counter[tuple[str, ...]] = Counter()
        self.template_failures: Counter[tuple[str, ...]] = Counter()
        self.record_failures: Counter[tuple[str, ...]] = Counter()

    def families(self) -> Iterable[Metric]:
        """Return the metric families of CoreDNS's plugin/template."""
        failure = (*_LABELS, "section", "template")
        yield _family("matches", "Questions that a template's pattern fitted.", _LABELS, self.matches)
        yield _family("template_failures", "Templates that failed.", failure, self.template_failures)
        yield _family("rr_failures", "Templates that made no record.", failure, self.record_failures)


def _family(name: str, help_: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(f"coredns_template_{name}", help_, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


class Templates(Plugin):
    """Every `template` of a server block, in the order written."""

    name = "template"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.any_class = any(rule.qclass != RRClass.IN for rule in rules)
        self._rules = rules
        self._counts = _Counts()
        self._alone = True  # no other plugin of the block answers classes but IN
        self._runtime: Runtime | None = None

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        for rule in self._rules:
            zone = rule.zone_of(query)
            if zone is None:
                continue
            found = rule.match(to_text(query.name))
            if found is not None:
                return await self._answer(rule, _matched(rule, request, zone, *found), request)
            if not any(is_at_or_below(query.name, one) for one in rule.fall_through):
                return _SERVFAIL
        if self._alone and query.qclass not in _CLASSES:
            return _NO_SUCH_CLASS
        return await call_next(request)

    async def _answer(self, rule: Rule, match: _Match, request: Request) -> Reply:
        self._counts.matches[match.labels] += 1
        if rule.rcode == Rcode.SERVFAIL:
            return msgspec.structs.replace(_SERVFAIL, extended_error=rule.extended_error)
        sections = {section: self._section(section, rule, match) for section in _SECTIONS}
        reply = Reply(
            rcode=rule.rcode,
            answer=_rrsets(sections["answer"]),
            authority=_rrsets(sections["authority"]),
            additional=_rrsets(sections["additional"]),
            extended_error=rule.extended_error,
        )
        target = _open_end(request.query, reply)
        return reply if target is None else await self._followed(reply, target, request)

    def _section(self, section: str, rule: Rule, match: _Match) -> list[Record]:
        """Return the records of a section; raises `PluginError` for a template that makes none."""
        return [self._record(section, template, match) for template in rule.records.get(section, ())]

    def _record(self, section: str, template: Template, match: _Match) -> Record:
        labels = (*match.labels, section, template.source)
        try:
            text = template.execute(match.data)
        except TemplateFailure as error:
            self._counts.template_failures[labels] += 1
            raise PluginError(self.name, f"{section} template failed: {error}") from error
        try:
            return parse_record(text)
        except ZoneTextError as error:
            self._counts.record_failures[labels] += 1
            raise PluginError(self.name, f"{section} template makes no record, but '{text[:200]}': {error}") from error

    async def _followed(self, reply: Reply, target: bytes, request: Request) -> Reply:
        """Return the reply with the addresses that the whole server has for an alias's target."""
        if self._runtime is None:
            return reply
        query = msgspec.structs.replace(request.query, qname=target, name=fold(target))
        try:
            further = await self._runtime.ask(request, query)
        except PluginError:
            return reply
        return msgspec.structs.replace(
            reply, answer=(*reply.answer, *further.answer), truncated=reply.truncated or further.truncated
        )

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._alone = not any(plugin.any_class for plugin in runtime.block(self) if plugin is not self)
        self._runtime = runtime
        unregister = runtime.metrics.register(self._counts.families)
        try:
            yield
        finally:
            unregister()
            self._counts = _Counts()  # the registry keeps what was counted
            self._runtime = None


def _open_end(query: Query, reply: Reply) -> bytes | None:
    """Return the name that the question's aliases lead to, None where there are none or the answer has its records.

    Only questions for addresses are followed, as in CoreDNS.
    """
    if query.qtype not in _ADDRESSES:
        return None
    aliases = {rrset.owner: rrset.rdatas[0] for rrset in reply.answer if rrset.rrtype == RRType.CNAME}
    target: bytes = query.qname
    while (following := aliases.pop(fold(target), None)) is not None:
        target = following
    answered = any(rrset.owner == fold(target) for rrset in reply.answer)
    return None if answered or fold(target) == query.name else target


def _matched(rule: Rule, request: Request, zone: Name, pattern: GoRegexp, groups: tuple[str, ...]) -> _Match:
    query, client = request.query, request.client
    zone_text = to_text(zone)
    class_text = class_to_text(query.qclass if query.qclass != RRClass.ANY else rule.qclass)
    type_text = type_to_text(query.qtype if query.qtype != RRType.ANY else rule.qtype)
    question: Value = {"Name": to_text(query.qname), "Qtype": query.qtype, "Qclass": query.qclass}
    by_name: dict[str, Value] = {str(number): group for number, group in enumerate(groups)}
    by_name |= {name: group for name, group in zip(pattern.names, groups, strict=True) if name}
    data: dict[str, Value] = {
        "Zone": zone_text,
        "Name": to_text(query.name),
        "Class": class_text,
        "Type": type_text,
        "Regex": pattern.pattern,
        "Remote": client.address,
        "Match": groups,
        "Group": by_name,
        "Question": question,
        "Message": _message(query, question),
    }
    # a client may ask any of 65536 types: those without a name share a label, as in CoreDNS
    type_label = "" if type_text.startswith("TYPE") else type_text
    return _Match(data, (client.server, zone_text, _VIEW, class_text, type_label))


def _message(query: Query, question: Value) -> dict[str, Value]:
    """Return the header and the question of a query, as a template names them."""
    return {
        "Id": query.id,
        "Response": False,
        "Opcode": int(query.opcode),
        "Authoritative": False,
        "Truncated": False,
        "RecursionDesired": query.recursion_desired,
        "RecursionAvailable": False,
        "CheckingDisabled": query.checking_disabled,
        "Rcode": 0,
        "Question": [question],
    }


def _rrsets(records: Iterable[Record]) -> tuple[RRset, ...]:
    """Return records as RRsets, in the order of their first records; equal records become one."""
    found: dict[tuple[bytes, int, int], dict[bytes, None]] = {}
    for record in records:
        key = (record.owner.lower(), record.rrtype, record.ttl)
        found.setdefault(key, {})[record.rdata] = None
    return tuple(RRset(fold(owner), rrtype, ttl, tuple(rdatas)) for (owner, rrtype, ttl), rdatas in found.items())


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin with every `template` of the block, in the order written."""
    return (Templates(tuple(_parse_rule(directive, context) for directive in directives)),)


def _parse_rule(directive: Directive, context: Context) -> Rule:
    args = arguments(directive, "template CLASS TYPE [ZONES...]", 2)
    try:
        qclass = text_to_class(args[0])
    except ValueError as error:
        raise directive.error(f"invalid query class {args[0]}, expecting one such as IN or ANY", 0) from error
    try:
        qtype = text_to_type(args[1])
    except ValueError as error:
        raise directive.error(f"invalid RR type {args[1]}, expecting one such as A or ANY", 1) from error
    zones = tuple(map(from_text, plugin_zones(args[2:], [to_text(zone) for zone in context.zones])))
    if not zones:
        raise directive.error(f"'{' '.join(args[2:])}' names no zone, expecting template CLASS TYPE [ZONES...]", 2)
    rule = Rule(qclass, qtype, zones)
    patterns: list[GoRegexp] = []
    for prop in properties(directive, *_PROPERTIES):
        if prop.name == "match":
            patterns += _parse_patterns(prop)
        else:
            rule = _PARSERS[prop.name](rule, prop, context)
    return replace(rule, patterns=tuple(patterns)) if patterns else rule


def _parse_patterns(prop: Property) -> list[GoRegexp]:
    patterns = []
    for index, text in enumerate(arguments(prop, "match REGEX...", 1)):
        try:
            patterns.append(compile_regexp(text))
        except RegexpError as error:
            raise prop.error(f"could not parse regex: {error}", index) from error
    return patterns


def _parse_records(rule: Rule, prop: Property, context: Context) -> Rule:
    templates = []
    for index, text in enumerate(arguments(prop, f"{prop.name} RR", 1)):
        try:
            template = parse_template(text)
        except TemplateError as error:
            raise prop.error(f"could not compile template: {error}", index) from error
        if template.uses_metadata:
            context.warn(f"plugin/template: {prop.file}:{prop.line} - .Meta is always empty: there is no metadata here")
        templates.append(template)
    return replace(rule, records={**rule.records, prop.name: (*rule.records.get(prop.name, ()), *templates)})


def _parse_rcode(rule: Rule, prop: Property, _context: Context) -> Rule:
    (text,) = arguments(prop, "rcode CODE", 1, 1)
    try:
        return replace(rule, rcode=parse_rcode(text))
    except ValueError as error:
        raise prop.error(str(error), 0) from error


def _parse_extended_error(rule: Rule, prop: Property, _context: Context) -> Rule:
    code, *text = arguments(prop, "ederror CODE [TEXT]", 1, 2)
    if not (code.isascii() and code.isdigit() and len(code) <= 5 and int(code) <= 0xFFFF):
        raise prop.error(f"error parsing extended DNS error code {code[:100]}, expecting a number up to 65535", 0)
    return replace(rule, extended_error=(int(code), text[0] if text else ""))


def _parse_fall_through(rule: Rule, prop: Property, _context: Context) -> Rule:
    zones = tuple(map(from_text, plugin_zones(prop.args, [to_text(ROOT)])))
    if not zones:
        raise prop.error(f"'{' '.join(prop.args)}' names no zone, expecting fallthrough [ZONES...]", 0)
    return replace(rule, fall_through=zones)


def _parse_upstream(rule: Rule, prop: Property, _context: Context) -> Rule:
    del rule
    raise prop.error("'upstream' is gone: the targets of aliases are always looked up; leave it out")


_PARSERS: Mapping[str, Callable[[Rule, Property, Context], Rule]] = {
    **dict.fromkeys(_SECTIONS, _parse_records),
    "rcode": _parse_rcode,
    "ederror": _parse_extended_error,
    "fallthrough": _parse_fall_through,
    "upstream": _parse_upstream,
}
