"""An explanation in one line; no I/O."""

from collections.abc import Sequence

from dnsserver.derive.interfaces import InterfaceRule
from dnsserver.derive.vmi import Rule
from dnsserver.explain.question import Question
from dnsserver.explain.values import Check, Step
from dnsserver.message import Reply
from dnsserver.names import to_text
from dnsserver.records import Rcode
from dnsserver.wire import rcode_to_text, type_to_text

# what rules say of themselves, which is less than what they wanted and found
_GENERAL = frozenset(str(one.value) for rules in (Rule, Check, InterfaceRule) for one in rules)


def verdict(question: Question, reply: Reply, refusal: Step | None, passed_on: Sequence[str]) -> str:
    """Return whether a name resolves and, where it does not, what the first rule that refused wants and finds."""
    name, rrtype = to_text(question.name), type_to_text(question.qtype)
    if reply.rcode == Rcode.NOERROR and reply.answer:
        count = sum(len(one.rdatas) for one in reply.answer)
        return f"{name} {rrtype} resolves: {count} record{'' if count == 1 else 's'}"
    reason = because(refusal)
    if passed_on:
        return f"{name} {rrtype} is passed on to {', '.join(passed_on)} (fallthrough){reason}"
    code = "NODATA" if reply.rcode == Rcode.NOERROR else rcode_to_text(reply.rcode)
    return f"{name} {rrtype} does not resolve, {code}{reason}"


def because(refusal: Step | None) -> str:
    """Return the reason of a refusal, ready to be appended."""
    if refusal is None:
        return ""
    if refusal.text not in _GENERAL:
        return f": {refusal.text}"
    facts = "; ".join(fact.text for fact in refusal.facts)
    about = f"{refusal.object.text}: " if refusal.object is not None and refusal.object.text not in facts else ""
    return f": {about}{facts or refusal.text}"
