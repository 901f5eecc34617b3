"""Regular expressions as Go's `regexp` reads them (RE2's syntax), matched in a time that no client can blow up; no I/O.

A pattern is parsed here, never handed to Python as it is: what the two languages read differently is translated, and
what has no translation is refused. The parsed pattern runs on Python's `re` where backtracking stays cheap, and
otherwise on an engine of our own that visits each pair of instruction and position once, as Go's does.
"""

import re

from dnsserver.plugins.go_regexp.engine import Program
from dnsserver.plugins.go_regexp.nodes import Node, RegexpError, is_cheap, source
from dnsserver.plugins.go_regexp.parser import Parser

__all__ = ["MAX_PATTERN", "GoRegexp", "RegexpError", "compile_regexp"]

MAX_PATTERN = 10_000  # characters, as CoreDNS's plugins limit them


class GoRegexp:
    """A compiled pattern."""

    def __init__(self, pattern: str, root: Node, names: tuple[str, ...]) -> None:
        self.pattern = pattern
        self.names = names  # by group number, "" for one without a name; the first stands for the whole match
        self._python = re.compile(source(root), re.ASCII) if is_cheap(root) else None
        self._program = None if self._python else Program(root, len(names))

    @property
    def groups(self) -> int:
        """How many capturing groups there are."""
        return len(self.names) - 1

    def find(self, text: str) -> tuple[str, ...] | None:
        """Return the leftmost match and its groups, as Go's `FindStringSubmatch`: "" for a group without a part."""
        if self._program is not None:
            return self._program.find(text)
        assert self._python is not None  # noqa: S101  # there is always one of the two engines
        found = self._python.search(text)
        return None if found is None else (found[0], *found.groups(""))


def compile_regexp(pattern: str) -> GoRegexp:
    """Compile a pattern; raises `RegexpError`."""
    if len(pattern) > MAX_PATTERN:
        raise RegexpError(f"a regular expression of {len(pattern)} characters, expecting at most {MAX_PATTERN}")
    try:
        parser = Parser(pattern)
        root = parser.parse()
        return GoRegexp(pattern, root, tuple(parser.names))
    except (re.error, RecursionError, OverflowError) as error:
        raise RegexpError(f"regular expression '{pattern[:100]}' cannot be used: {error}") from error
