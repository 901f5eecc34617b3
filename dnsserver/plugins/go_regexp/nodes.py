"""What a regular expression is made of, how it reads in Python, and what backtracking over it may cost; no I/O."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

_MAX_REPEAT = 1000  # Go's limit, also for the product of nested repeats
_MAX_CHOICES = 64  # alternatives that Python's engine may have to try at one position
_MAX_SPANS = 2  # free choices of a position in the subject that Python's engine may have to combine
_MAX_UNROLLED = 6  # how often a body with alternatives may repeat for Python's engine
_ASCII = tuple(map(chr, range(128)))


class RegexpError(ValueError):
    """A regular expression that Go refuses, or that has no equal here; the text says which part."""


@dataclass(frozen=True, slots=True)
class Char:
    """One character out of a set; `source` is that set in Python's syntax."""

    source: str
    ascii: frozenset[str] = field(init=False)  # those of its characters that a name in presentation format can have

    def __post_init__(self) -> None:
        one = re.compile(self.source, re.ASCII)
        object.__setattr__(self, "ascii", frozenset(char for char in _ASCII if one.match(char)))


@dataclass(frozen=True, slots=True)
class Assert:
    """A condition on a position, in Python's syntax."""

    source: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several, the first that fits."""

    branches: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group; its number counts from 1."""

    body: "Node"
    number: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same several times."""

    body: "Node"
    low: int
    high: int | None  # None: without end
    greedy: bool


Node = Char | Assert | Sequence | Choice | Group | Repeat
NOTHING = Sequence(())


def check_repeats(node: Node, product: int = 1) -> None:
    """Raise `RegexpError` where nested repeats multiply beyond Go's limit."""
    if isinstance(node, Repeat):
        product *= max(node.low, node.high or 0, 1)
        if product > _MAX_REPEAT:
            raise RegexpError(f"invalid repeat count: repeats inside repeats that make more than {_MAX_REPEAT}")
    for child in _children(node):
        check_repeats(child, product)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Sequence(items):
            return items
        case Choice(branches):
            return branches
        case Group(body, _) | Repeat(body, _, _, _):
            return (body,)
        case _:
            return ()


def source(node: Node) -> str:
    """Return a node in Python's syntax, for the flag ASCII."""
    match node:
        case Char() | Assert():
            return node.source
        case Sequence(items):
            return f"(?:{''.join(map(source, items))})"
        case Choice(branches):
            return f"(?:{'|'.join(map(source, branches))})"
        case Group(body, _):
            return f"({source(body)})"
        case Repeat(body, low, high, greedy):
            return f"(?:{source(body)}){{{low},{'' if high is None else high}}}{'' if greedy else '?'}"


@dataclass(frozen=True, slots=True)
class _Cost:
    """What backtracking over a node may take: `choices` times the subject's length to the power of `spans`."""

    choices: int = 1
    spans: int = 0


_ENDLESS = _Cost(_MAX_CHOICES + 1, _MAX_SPANS + 1)


def is_cheap(root: Node) -> bool:
    """Say whether Python's engine takes at most the square of the subject's length, as some times `_MAX_CHOICES`."""
    first = next(_flat(root), None)
    anchored = isinstance(first, Assert) and first.source == r"\A"
    cost = _cost(root)
    return cost.choices <= _MAX_CHOICES and cost.spans + (not anchored) <= _MAX_SPANS


def _flat(node: Node) -> Iterator[Node]:
    """Yield the parts that follow one another, out of their groups."""
    match node:
        case Sequence(items):
            for item in items:
                yield from _flat(item)
        case Group(body, _):
            yield from _flat(body)
        case _:
            yield node


def _cost(node: Node) -> _Cost:
    choices, spans = 1, 0
    parts = list(_flat(node))
    for part, follower in zip_longest(parts, parts[1:]):
        cost = _part_cost(part, follower)
        choices, spans = min(choices * cost.choices, _MAX_CHOICES + 1), spans + cost.spans
    return _Cost(choices, spans)


def _part_cost(part: Node, follower: Node | None) -> _Cost:
    """Return the cost of one part."""
    match part:
        case Choice(branches):
            costs = tuple(map(_cost, branches))
            return _Cost(sum(cost.choices for cost in costs), max(cost.spans for cost in costs))
        case Repeat(body, low, high, _):
            inner = _cost(body)
            if high is None:
                return _span_cost(body, inner, follower)
            if inner.choices > 1 and high > _MAX_UNROLLED:
                return _ENDLESS
            return _Cost(min((high - low + 1) * inner.choices**high, _MAX_CHOICES + 1), inner.spans * high)
        case _:
            return _Cost()


def _span_cost(body: Node, inner: _Cost, follower: Node | None) -> _Cost:
    """Return the cost of a repeat without end; it is free where it can end in one place only, before its follower."""
    if inner != _Cost():
        return _ENDLESS
    if isinstance(body, Char) and isinstance(follower, Char) and not body.ascii & follower.ascii:
        return _Cost()
    return _Cost(spans=1)
