"""`rewrite name [KIND] FROM TO [answer auto|name FROM TO|value FROM TO]...`; no I/O."""

from dataclasses import dataclass, replace

import msgspec

from dnsserver.names import fold, to_text
from dnsserver.plugins.plugin import Request
from dnsserver.plugins.rewriting.records import change_owner, change_value
from dnsserver.plugins.rewriting.rule import Change, ForRecords, Reversal, Rule, Words
from dnsserver.plugins.rewriting.texts import KINDS, Rewriter, parse_kind, parse_regexp, parse_rewriter, renamed

_ANSWER = "answer"
_USAGE = "answer auto, answer name FROM TO or answer value FROM TO"


@dataclass(frozen=True, slots=True)
class _Answers:
    """The options of a rule about the reply."""

    auto: bool = False
    reversals: tuple[Reversal, ...] = ()


def parse_name_rule(words: Words) -> Rule:
    """Return the rule for the words behind `name`; raises `CorefileError`."""
    if len(words) < 2 or (len(words) == 2 and words[0].lower() in KINDS):
        raise words.error("too few arguments for a name rule, expecting name [KIND] FROM TO", -1)
    if len(words) == 2:
        return _name_rule(parse_rewriter(words, "exact", 0), _Answers(auto=True))
    kind = parse_kind(words)
    rewrite = parse_rewriter(words, kind, 1)
    answers = _parse_answers(words.behind(3))
    if kind == "suffix" and answers.auto:
        back = parse_rewriter(_swapped(words), kind, 1)
        return _name_rule(rewrite, _Answers(reversals=(*_both(_lower(back)), *answers.reversals)))
    return _name_rule(rewrite, _Answers(answers.auto or kind == "exact", answers.reversals))


def _swapped(words: Words) -> Words:
    """Return the words with FROM and TO exchanged: what takes a suffix back."""
    kind, old, new = words.words[:3]
    return replace(words, words=(kind, new, old))


def _parse_answers(words: Words) -> _Answers:
    """Parse the options; `answer` may be left out but for the first. Raises `CorefileError`."""
    auto = False
    reversals: list[Reversal] = []
    explicit: int | None = None  # where an `answer name` stands
    at = 0
    while at < len(words):
        if words[at] == _ANSWER:
            at += 1
        elif at == 0:
            raise words.error(f"unexpected '{words[0]}' behind a name rule, expecting {_USAGE}", 0)
        field = words[at] if at < len(words) else ""
        if field == "auto" or (field == "name" and _is_auto(words, at + 1)):
            auto = True
            at += 1 if field == "auto" else 2
        elif field in ("name", "value"):
            if len(words) - at < 3:
                raise words.error(f"answer {field} needs two arguments, expecting answer {field} FROM TO", at)
            rewrite = parse_regexp(words, at + 1)
            reversals.append(ForRecords(change_owner(rewrite) if field == "name" else change_value(rewrite)))
            explicit = at if field == "name" else explicit
            at += 3
        else:
            raise words.error(f"invalid answer rule '{field}', expecting {_USAGE}", min(at, len(words) - 1))
    if auto and explicit is not None:
        raise words.error("answer auto and answer name cannot go together", explicit)
    return _Answers(auto, tuple(reversals))


def _is_auto(words: Words, at: int) -> bool:
    """Say whether `answer name auto` is meant, as CoreDNS's manual spells `answer auto`, and not the pattern `auto`."""
    return at < len(words) and words[at] == "auto" and (at + 1 == len(words) or words[at + 1] == _ANSWER)


def _name_rule(rewrite: Rewriter, answers: _Answers) -> Rule:
    def rule(request: Request) -> Change | None:
        old = to_text(request.query.name)
        text = rewrite(old)
        if text is None:
            return None
        qname = renamed(text)
        query = msgspec.structs.replace(request.query, qname=qname, name=fold(qname))
        if not answers.auto:
            return Change(query, answers.reversals)
        return Change(query, (*_both(_back(to_text(query.name), old)), *answers.reversals))

    return rule


def _both(rewrite: Rewriter) -> tuple[Reversal, Reversal]:
    """Return the reversals that rewrite owners and the names in RDATA."""
    return ForRecords(change_owner(rewrite)), ForRecords(change_value(rewrite))


def _back(new: str, old: str) -> Rewriter:
    """Return the function that gives a name, and those below it, the labels of the question again."""

    def rewrite(text: str) -> str | None:
        folded = text.lower()
        if folded == new:
            return old
        return text[: len(text) - len(new)] + old if folded.endswith(f".{new}") else None

    return rewrite


def _lower(rewrite: Rewriter) -> Rewriter:
    """Return a suffix's function for names that may be spelled in any case."""
    return lambda text: rewrite(text.lower())
