"""`rewrite [continue|stop] FIELD ...`: changes queries on their way in, and takes it back on the way out.

The first rule that matches is the last one, unless it says `continue`. The client's question stays as it was; what
else the reply shows of a rewrite is for the rules to say, and the last of them that matched speaks first.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

import msgspec

from dnsserver.corefile import Directive
from dnsserver.message import Query, Reply
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.plugins.rewriting.edns import parse_edns_rule
from dnsserver.plugins.rewriting.names import parse_name_rule
from dnsserver.plugins.rewriting.responses import parse_cname_rule, parse_rcode_rule, parse_ttl_rule
from dnsserver.plugins.rewriting.rule import Change, Reversal, Rule, Words
from dnsserver.records import Rcode, RRClass
from dnsserver.wire import text_to_type
from dnsserver.wire.zonetext import text_to_class

_MODES = ("continue", "stop")
_USAGE = "rewrite [continue|stop] FIELD FROM TO"
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))  # what every plugin answers
_FOR_MESSAGES = frozenset({0, 41, 128, *range(249, 255)})  # types that are no question about a name's records
_NO_SUCH_CLASS = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(20, ""))  # RFC 8914, section 4.21


class Step(NamedTuple):
    """One rule, and whether the rules behind it have a say as well."""

    rule: Rule
    goes_on: bool


class Rewrite(Plugin):
    """Applies the rules of a server block in the order written."""

    name = "rewrite"

    def __init__(self, steps: tuple[Step, ...], *, any_class: bool = False) -> None:
        self.any_class = any_class
        self._steps = steps
        self._alone = True  # no other plugin of the block answers classes but IN
        self._runtime: Runtime | None = None

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        asked, reversals = self._rewritten(request)
        if self._alone and asked.query.qclass not in _CLASSES:
            return _NO_SUCH_CLASS
        reply = await call_next(asked)
        for reversal in reversed(reversals):
            reply = await reversal.apply(reply, asked, self._resolve)
        return reply

    def _rewritten(self, request: Request) -> tuple[Request, list[Reversal]]:
        """Return the request as the rules leave it, and what they have to do to the reply, in their order."""
        reversals: list[Reversal] = []
        for step in self._steps:
            change = step.rule(request)
            if change is None:
                continue
            if change.query is not request.query:
                request = replace(request, query=change.query)
            reversals += change.reversals
            if not step.goes_on:
                break
        return request, reversals

    async def _resolve(self, request: Request, query: Query) -> Reply:
        """Ask the whole server."""
        if self._runtime is None:
            raise PluginError(self.name, "the server does not run")
        return await self._runtime.ask(request, query)

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._alone = not any(plugin.any_class for plugin in runtime.block(self) if plugin is not self)
        self._runtime = runtime
        try:
            yield
        finally:
            self._runtime = None


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return one plugin with the rules of every `rewrite` of the block, in the order written."""
    parsed = [_parse_step(Words.of(directive, context.warn)) for directive in directives]
    return (Rewrite(tuple(step for step, _ in parsed), any_class=any(foreign for _, foreign in parsed)),)


def _parse_step(words: Words) -> tuple[Step, bool]:
    """Return one rule, and whether it takes queries of other classes than IN; raises `CorefileError`."""
    mode = words[0].lower() if len(words) else ""
    if mode in _MODES:
        words = words.behind(1)
    if not len(words):
        raise words.error(f"no rule type specified for rewrite, expecting {_USAGE}")
    field = words[0].lower()
    if field == "answer":
        raise words.error("response rewrites must begin with a name rule", 0)
    known = _FIELDS.get(field)
    if known is None:
        raise words.error(f"invalid rule type '{words[0]}', expecting one of {', '.join(_FIELDS)}", 0)
    rest = words.behind(1)
    foreign = field == "class" and _parse_class(rest, 0) not in _CLASSES
    return Step(known(rest), mode == "continue"), foreign


def _parse_class(words: Words, index: int) -> int:
    if len(words) != 2:
        raise words.error(f"class rules must have exactly two arguments, not {len(words)}", -1)
    try:
        return text_to_class(words[index])
    except ValueError as error:
        raise words.error(f"invalid class: {error}, expecting IN, CH, HS, NONE or ANY", index) from error


def _parse_type(words: Words, index: int) -> int:
    if len(words) != 2:
        raise words.error(f"type rules must have exactly two arguments, not {len(words)}", -1)
    try:
        return text_to_type(words[index])
    except ValueError as error:
        raise words.error(f"invalid type: {error}, expecting one such as A, AAAA or TYPE65280", index) from error


def _parse_class_rule(words: Words) -> Rule:
    old, new = (_parse_class(words, index) for index in (0, 1))

    def rule(request: Request) -> Change | None:
        query = request.query
        return Change(msgspec.structs.replace(query, qclass=new)) if query.qclass == old else None

    return rule


def _parse_type_rule(words: Words) -> Rule:
    old, new = (_parse_type(words, index) for index in (0, 1))
    if new in _FOR_MESSAGES:
        raise words.error(f"a question cannot become one of type {words[1]}", 1)

    def rule(request: Request) -> Change | None:
        query = request.query
        return Change(msgspec.structs.replace(query, qtype=new)) if query.qtype == old else None

    return rule


_FIELDS: Mapping[str, Callable[[Words], Rule]] = {
    "name": parse_name_rule,
    "type": _parse_type_rule,
    "class": _parse_class_rule,
    "edns0": parse_edns_rule,
    "ttl": parse_ttl_rule,
    "cname": parse_cname_rule,
    "rcode": parse_rcode_rule,
}
