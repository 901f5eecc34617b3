"""`rewrite ttl`, `rewrite rcode` and `rewrite cname`: rules that leave the query alone; no I/O of their own."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from dnsserver.message import Reply
from dnsserver.names import fold, to_text
from dnsserver.plugins.plugin import PluginError, Request
from dnsserver.plugins.rcodes import parse_rcode
from dnsserver.plugins.rewriting.records import change_ttl
from dnsserver.plugins.rewriting.rule import Ask, Change, ForRecords, Reversal, Rule, Words
from dnsserver.plugins.rewriting.texts import Rewriter, parse_kind, parse_matcher, parse_rewriter, renamed
from dnsserver.records import Rcode, RRset, RRType

_MAX_TTL = 2**31 - 1  # seconds (RFC 2181, section 8)
_MAX_RCODE = 23
_TTL = re.compile(r"([0-9]{0,10})(-?)([0-9]{0,10})")


def parse_ttl_rule(words: Words) -> Rule:
    """Return the rule for `[KIND] FROM SECONDS|MIN-MAX`; raises `CorefileError`."""
    matches = _parse_match(words, 1, "ttl [KIND] FROM SECONDS|MIN-MAX")
    low, high = _parse_range(words, len(words) - 1)
    return _response_rule(matches, ForRecords(change_ttl(low, high)))


def parse_rcode_rule(words: Words) -> Rule:
    """Return the rule for `[KIND] FROM OLD NEW`; raises `CorefileError`."""
    matches = _parse_match(words, 2, "rcode [KIND] FROM OLD NEW")
    old, new = (_parse_rcode(words, len(words) - count) for count in (2, 1))
    return _response_rule(matches, _RcodeChange(old, new))


def parse_cname_rule(words: Words) -> Rule:
    """Return the rule for `[KIND] FROM TO`; raises `CorefileError`."""
    if len(words) not in (2, 3):
        raise words.error(f"{len(words)} arguments for a cname rule, expecting cname [KIND] FROM TO", -1)
    kind, start = ("exact", 0) if len(words) == 2 else (parse_kind(words), 1)
    rewrite = parse_rewriter(words, kind, start, whole_labels=False)
    reversals = (_AliasChange(rewrite),)
    return lambda request: Change(request.query, reversals)


def _parse_match(words: Words, further: int, usage: str) -> Callable[[str], bool]:
    """Return the function for `[KIND] FROM`, in front of so many further words."""
    if len(words) not in (1 + further, 2 + further):
        raise words.error(f"{len(words)} arguments for this rule, expecting {usage}", -1)
    if len(words) == 1 + further:
        return parse_matcher(words, "exact", 0)
    return parse_matcher(words, parse_kind(words), 1)


def _parse_range(words: Words, index: int) -> tuple[int, int]:
    """Return the TTLs `SECONDS`, `MIN-MAX`, `MIN-` or `-MAX` allow."""
    found = _TTL.fullmatch(words[index])
    if found is not None and (found[1] or found[3]):
        low = int(found[1] or 0)
        high = int(found[3] or _MAX_TTL) if found[2] else low
        if low <= high <= _MAX_TTL:
            return low, high
    raise words.error(f"invalid TTL '{words[index][:100]}', expecting SECONDS or MIN-MAX up to {_MAX_TTL}", index)


def _parse_rcode(words: Words, index: int) -> int:
    text = words[index]
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= _MAX_RCODE:
        return int(text)
    try:
        return parse_rcode(text)
    except ValueError as error:
        raise words.error(f"{error} or a number up to {_MAX_RCODE}", index) from error


def _response_rule(matches: Callable[[str], bool], reversal: Reversal) -> Rule:
    reversals = (reversal,)
    return lambda request: Change(request.query, reversals) if matches(to_text(request.query.name)) else None


@dataclass(frozen=True, slots=True)
class _RcodeChange:
    """Replaces one response code."""

    old: int
    new: int

    async def apply(self, reply: Reply, request: Request, ask: Ask) -> Reply:
        del request, ask
        return msgspec.structs.replace(reply, rcode=self.new) if reply.rcode == self.old else reply


@dataclass(frozen=True, slots=True)
class _AliasChange:
    """Leads an alias elsewhere, and puts what is there in place of what was at its former end."""

    rewrite: Rewriter

    async def apply(self, reply: Reply, request: Request, ask: Ask) -> Reply:
        for index, rrset in enumerate(reply.answer):
            text = self.rewrite(to_text(rrset.rdatas[0].lower())) if _is_alias(rrset) else None
            if text is not None:
                target = renamed(text)
                alias = msgspec.structs.replace(rrset, rdatas=(target,))
                return await _led_on(reply, (*reply.answer[:index], alias), target, request, ask)
        return reply


def _is_alias(rrset: RRset) -> bool:
    return rrset.rrtype == RRType.CNAME and len(rrset.rdatas) == 1


async def _led_on(reply: Reply, answer: tuple[RRset, ...], target: bytes, request: Request, ask: Ask) -> Reply:
    """Return the reply with an answer that ends in an alias, and with what the whole server says about its target."""
    reply = msgspec.structs.replace(reply, answer=answer)
    if request.query.qtype == RRType.CNAME:
        return reply  # the alias itself is the answer
    query = msgspec.structs.replace(request.query, qname=target, name=fold(target))
    try:
        further = await ask(request, query)
    except PluginError:
        return reply
    if further.rcode != Rcode.NOERROR:
        return reply  # the alias is true all the same
    return msgspec.structs.replace(
        reply, answer=(*answer, *further.answer), truncated=reply.truncated or further.truncated
    )
