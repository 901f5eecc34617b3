"""The engine for patterns on which backtracking could take for ever; no I/O.

It backtracks as well, but remembers which instruction has failed at which position: its time is bounded by the length
of the pattern times that of the subject (R. Cox, "Regular Expression Matching: the Virtual Machine Approach").
"""

import re
from enum import IntEnum
from typing import NamedTuple

from dnsserver.plugins.go_regexp.nodes import Assert, Char, Choice, Group, Node, RegexpError, Repeat, Sequence

_MAX_PROGRAM = 1000  # instructions: with the length of a name they bound the time of a match


class _Kind(IntEnum):
    CHAR = 0
    CHECK = 1
    SPLIT = 2
    SAVE = 3
    DONE = 4


class _Instruction(NamedTuple):
    kind: _Kind
    following: int
    other: int = 0  # where to go if `following` fails, or the slot to save the position in
    chars: frozenset[str] = frozenset()
    pattern: re.Pattern[str] = re.compile("")


class Program:
    """A pattern as instructions: finds the leftmost match, and tries alternatives in their order, as Go does."""

    def __init__(self, root: Node, slots: int) -> None:
        """Translate a pattern with `slots` pairs of positions to find: the whole match's, then each group's.

        Raises `RegexpError` for a pattern that is too long.
        """
        self._slots = slots
        self._code: list[_Instruction] = []
        self._start = self._add(root, self._emit(_Instruction(_Kind.DONE, 0)))

    def _emit(self, instruction: _Instruction) -> int:
        if len(self._code) >= _MAX_PROGRAM:
            raise RegexpError(f"the regular expression is too complex: more than {_MAX_PROGRAM} steps")
        self._code.append(instruction)
        return len(self._code) - 1

    def _add(self, node: Node, following: int) -> int:
        """Add a node whose success goes on at `following`; return where it starts."""
        match node:
            case Char():
                pattern = re.compile(node.source, re.ASCII)
                return self._emit(_Instruction(_Kind.CHAR, following, chars=node.ascii, pattern=pattern))
            case Assert():
                return self._emit(_Instruction(_Kind.CHECK, following, pattern=re.compile(node.source, re.ASCII)))
            case Sequence(items):
                for item in reversed(items):
                    following = self._add(item, following)
                return following
            case Choice(branches):
                at = self._add(branches[-1], following)
                for branch in reversed(branches[:-1]):
                    at = self._emit(_Instruction(_Kind.SPLIT, self._add(branch, following), at))
                return at
            case Group(body, number):
                end = self._emit(_Instruction(_Kind.SAVE, following, 2 * number + 1))
                return self._emit(_Instruction(_Kind.SAVE, self._add(body, end), 2 * number))
            case Repeat():
                return self._add_repeat(node, following)

    def _add_repeat(self, node: Repeat, following: int) -> int:
        if node.high is None:
            at = self._emit(_Instruction(_Kind.SPLIT, 0))
            self._code[at] = _split(self._add(node.body, at), following, greedy=node.greedy)
        else:
            at = following
            for _ in range(node.high - node.low):
                at = self._emit(_split(self._add(node.body, at), following, greedy=node.greedy))
        for _ in range(node.low):
            at = self._add(node.body, at)
        return at

    def find(self, text: str) -> tuple[str, ...] | None:
        """Return the leftmost match and its groups, "" for a group without a part."""
        failed = bytearray(len(self._code) * (len(text) + 1))
        for start in range(len(text) + 1):
            slots = self._run(text, start, failed)
            if slots is not None:
                pairs = zip(slots[::2], slots[1::2], strict=True)
                return tuple(text[begin:end] if end >= 0 else "" for begin, end in pairs)
        return None

    def _run(self, text: str, start: int, failed: bytearray) -> list[int] | None:
        """Return the slots of a match that begins at `start`; what fails stays marked for the next start."""
        code, size = self._code, len(text)
        slots = [-1] * (2 * self._slots)
        slots[0] = start
        pending = [(self._start, start)]  # what to try, the next last; (-1 - slot, value) restores a slot
        while pending:
            at, position = pending.pop()
            if at < 0:
                slots[-1 - at] = position
                continue
            mark = at * (size + 1) + position
            if failed[mark]:
                continue
            failed[mark] = 1
            kind, following, other, chars, pattern = code[at]
            if kind is _Kind.CHAR:
                if position < size and (text[position] in chars or _fits(text[position], pattern)):
                    pending.append((following, position + 1))
            elif kind is _Kind.SPLIT:
                pending += ((other, position), (following, position))
            elif kind is _Kind.SAVE:
                pending += ((-1 - other, slots[other]), (following, position))
                slots[other] = position
            elif kind is _Kind.DONE:
                slots[1] = position
                return slots
            elif pattern.match(text, position):
                pending.append((following, position))
        return None


def _split(body: int, following: int, *, greedy: bool) -> _Instruction:
    """Return the choice between once more and on."""
    return _Instruction(_Kind.SPLIT, body, following) if greedy else _Instruction(_Kind.SPLIT, following, body)


def _fits(char: str, pattern: re.Pattern[str]) -> bool:
    """Say whether a character outside ASCII is in a set; those inside have been looked up."""
    return char > "\x7f" and pattern.match(char) is not None
