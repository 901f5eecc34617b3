"""Why a name resolves, or does not: the objects and rules behind an answer, from what the server remembers; no I/O.

What the server has decided is read, never decided again: the answer is `dnsserver.answer`'s, from the zone that is
served, and the rule that refused a VMI is the one that its Service's entry in the store keeps. What no rule was asked
about (there is no Service of that name, no VMI) is found in the store's tables and indexes. Looking through a table is
done in small steps, so that queries are answered in between.
"""

from dnsserver.explain.explain import Answered, ask, explaining
from dnsserver.explain.looking import Looking, at_once
from dnsserver.explain.question import InvalidQuestionError, Question, parse_question
from dnsserver.explain.subject import Served
from dnsserver.explain.values import Explanation, NearMiss, ObjectRef, Step
from dnsserver.explain.vmis import VMIExplanation, explaining_vmi

__all__ = [
    "Answered",
    "Explanation",
    "InvalidQuestionError",
    "Looking",
    "NearMiss",
    "ObjectRef",
    "Question",
    "Served",
    "Step",
    "VMIExplanation",
    "ask",
    "at_once",
    "explaining",
    "explaining_vmi",
    "parse_question",
]
