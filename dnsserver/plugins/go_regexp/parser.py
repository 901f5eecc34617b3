"""From the text of a regular expression in RE2's syntax to its nodes (github.com/google/re2/wiki/Syntax); no I/O."""

import re

from dnsserver.plugins.go_regexp.nodes import (
    NOTHING,
    Assert,
    Char,
    Choice,
    Group,
    Node,
    RegexpError,
    Repeat,
    Sequence,
    check_repeats,
)

_MAX_COUNT = 1000  # of a repeat
_MAX_ASCII = 0x7F
_MAX_RUNE = 0x10FFFF

_SIMPLE_ESCAPES = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_DIGITS = ((0x30, 0x39),)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = ((9, 10), (12, 13), (32, 32))  # without the vertical tab, which Python's \\s has
_PERL_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_POSIX_CLASSES = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0, 0x7F),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGITS,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((9, 13), (32, 32)),
    "upper": ((0x41, 0x5A),),
    "word": _WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
_ASSERTIONS = {"A": r"\A", "z": r"\Z", "b": r"\b", "B": r"\B"}
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(,?)(0|[1-9][0-9]*)?\}")
_FLAGS = re.compile(r"\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])")
_NAMED = re.compile(r"\?P?<([^>=!][^>]*)>")
_HEX = re.compile(r"\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2})")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")  # a digit alone would be a backreference, which RE2 has not

Ranges = tuple[tuple[int, int], ...]


class Parser:
    """Reads RE2's syntax; the flags i, m and s end up in the leaves."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._flags: frozenset[str] = frozenset()
        self.names = [""]

    def parse(self) -> Node:
        root = self._choice()
        if self._at < len(self._text):
            raise self._error("unexpected ')'")
        check_repeats(root)
        return root

    def _error(self, reason: str) -> RegexpError:
        return RegexpError(f"regular expression '{self._text[:100]}': {reason} at character {self._at + 1}")

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise self._error("unexpected end")
        self._at += 1
        return char

    def _choice(self) -> Node:
        flags = self._flags
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        self._flags = flags
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while (char := self._peek()) and char not in "|)":
            item = self._quantified(self._atom())
            if item is not NOTHING:
                items.append(item)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _atom(self) -> Node:
        char = self._take()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return Char("(?s:.)" if "s" in self._flags else ".")
            case "^":
                return Assert("(?m:^)" if "m" in self._flags else r"\A")
            case "$":
                return Assert("(?m:$)" if "m" in self._flags else r"\Z")  # Python's $ fits before a final newline
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                self._at -= 1
                raise self._error(f"nothing to repeat before '{char}'")
        return self._literal(ord(char))

    def _literal(self, rune: int) -> Char:
        return self._set(((rune, rune),))

    def _set(self, ranges: Ranges, *, negated: bool = False) -> Char:
        """Return one character that is in the ranges, or in none; in any case under the flag i."""
        folds = "i" in self._flags
        if folds and any(low > _MAX_ASCII or _MAX_ASCII < high < _MAX_RUNE for low, high in ranges):
            raise self._error("characters outside ASCII cannot be matched in any case here")
        if len(ranges) == 1 and ranges[0][0] == ranges[0][1] and not negated:
            source = re.escape(chr(ranges[0][0]))
        else:
            source = f"[{'^' if negated else ''}{''.join(f'{_rune(low)}-{_rune(high)}' for low, high in ranges)}]"
        return Char(f"(?i:{source})" if folds else source)

    def _quantified(self, atom: Node) -> Node:
        """Return the atom with the repetition that follows it."""
        bounds = self._bounds()
        if bounds is None:
            return atom
        if atom is NOTHING:
            raise self._error("nothing to repeat")
        greedy = self._peek() != "?"
        self._at += not greedy
        if self._bounds() is not None:
            raise self._error("a repetition of a repetition")
        return Repeat(atom, *bounds, greedy)

    def _bounds(self) -> tuple[int, int | None] | None:
        """Read a repetition operator; None where there is none, and a brace is an ordinary character."""
        char = self._peek()
        if char and char in "*+?":
            self._at += 1
            return (int(char == "+"), 1 if char == "?" else None)
        found = _REPEAT.match(self._text, self._at)
        if found is None or (found[3] is not None and not found[2]):
            return None
        if any(len(digits) > 4 for digits in (found[1], found[3] or "")):
            raise self._error("invalid repeat count")
        low = int(found[1])
        high = int(found[3]) if found[3] is not None else None if found[2] else low
        if max(low, high or 0) > _MAX_COUNT or (high is not None and high < low):
            raise self._error("invalid repeat count")
        self._at = found.end()
        return (low, high)

    def _group(self) -> Node:
        """Read a group behind its parenthesis."""
        if self._peek() != "?":
            return self._capture("")
        if named := _NAMED.match(self._text, self._at):
            name = named[1]
            if not (name.isidentifier() and name.isascii()):
                raise self._error(f"group name '{name}', expecting letters, digits and underscores, no digit first")
            if name in self.names:
                raise self._error(f"group name '{name}' is used twice")
            self._at = named.end()
            return self._capture(name)
        flags = _FLAGS.match(self._text, self._at)
        on, off, end = (flags[1], (flags[2] or "-")[1:], flags[3]) if flags else ("?", "", "")
        if flags is None or not set(on + off) <= set("ims") or not (on + off + end.replace(")", "")):
            raise self._error(f"'({self._peek(4)}' is not supported, expecting (, (?:, (?P<NAME> or flags of i, m, s")
        self._at = flags.end()
        before = self._flags
        self._flags = (before | set(on)) - set(off)
        if end == ")":
            return NOTHING  # the flags hold to the end of the group around
        body = self._choice()
        self._close()
        self._flags = before
        return Sequence((body,))

    def _capture(self, name: str) -> Group:
        self.names.append(name)
        number = len(self.names) - 1
        body = self._choice()
        self._close()
        return Group(body, number)

    def _close(self) -> None:
        if self._peek() != ")":
            raise self._error("missing ')'")
        self._at += 1

    def _escape(self) -> Node:
        """Read what follows a backslash outside a class."""
        char = self._peek()
        if char in _ASSERTIONS and char:
            self._at += 1
            return Assert(_ASSERTIONS[char])
        if char == "Q":
            end = self._text.find("\\E", self._at)
            quoted = self._text[self._at + 1 : end if end >= 0 else None]
            self._at = end + 2 if end >= 0 else len(self._text)
            items = tuple(map(self._literal, map(ord, quoted)))
            if len(items) > 1:  # a repetition that follows is of the last character alone
                return Sequence((*items[:-1], self._quantified(items[-1])))
            return items[0] if items else NOTHING
        if (ranges := self._perl_class()) is not None:
            return self._set(ranges)
        return self._literal(self._rune_escape())

    def _perl_class(self) -> Ranges | None:
        """Read the letter of a class such as the d of `\\d`; None where there is another."""
        char = self._peek()
        if not char or char.lower() not in _PERL_CLASSES:
            return None
        self._at += 1
        ranges = _PERL_CLASSES[char.lower()]
        return ranges if char.islower() else _complement(ranges)

    def _rune_escape(self) -> int:
        """Read what stands for one character behind a backslash."""
        char = self._take()
        if char in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[char]
        if char == "x":
            found = _HEX.match(self._text, self._at)
            if found is None or int(found[1] or found[2], 16) > _MAX_RUNE:
                raise self._error("invalid escape \\x")
            self._at = found.end()
            return int(found[1] or found[2], 16)
        octal = _OCTAL.match(self._text, self._at - 1)
        if octal is not None:
            self._at = octal.end()
            return int(octal[0], 8)
        if char.isascii() and not char.isalnum():
            return ord(char)
        raise self._error(f"escape \\{char} is not supported")

    def _class(self) -> Char:
        """Read a class behind its bracket."""
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            ranges += self._class_item()
        self._at += 1
        return self._set(tuple(ranges), negated=negated)

    def _class_item(self) -> Ranges:
        """Read one item of a class: a named class, an escape, a character or a range."""
        if posix := _POSIX.match(self._text, self._at):
            if posix[2] not in _POSIX_CLASSES:
                raise self._error(f"invalid character class {posix[0]}")
            self._at = posix.end()
            ranges = _POSIX_CLASSES[posix[2]]
            return _complement(ranges) if posix[1] else ranges
        low = self._class_rune()
        if isinstance(low, tuple):
            return low
        if self._peek() != "-" or self._peek(2) in ("-", "-]"):
            return ((low, low),)
        self._at += 1
        high = self._class_rune()
        if isinstance(high, tuple) or high < low:
            raise self._error("invalid character class range")
        return ((low, high),)

    def _class_rune(self) -> int | Ranges:
        char = self._take()
        if char != "\\":
            return ord(char)
        ranges = self._perl_class()
        return self._rune_escape() if ranges is None else ranges


def _rune(rune: int) -> str:
    """Return a character in a form that means nothing else in a class."""
    return f"\\U{rune:08x}"


def _complement(ranges: Ranges) -> Ranges:
    """Return all characters that are in no range."""
    found = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return (*found, (start, _MAX_RUNE)) if start <= _MAX_RUNE else tuple(found)
