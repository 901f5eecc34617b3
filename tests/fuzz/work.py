"""How much a piece of work does, in executed lines of `dnsserver`: the same on every machine, however busy.

Lines say nothing of what one call into C costs (a regular expression, a copy): for that the runner has its alarm.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import dnsserver

ROOT = str(Path(dnsserver.__file__).parent)

Line = tuple[int, int]  # the identity of a function's code, which is much cheaper than its hash, and the line
Feature = tuple[int, int, int]  # a line, and the magnitude of how often it ran


class Tracer:
    """Counts executed lines of the package, and remembers which."""

    def __init__(self) -> None:
        self.lines = 0
        self.hits: dict[Line, int] = {}
        self._ours: dict[str, bool] = {}  # by file name

    def call(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        """Follow calls into the package and no others."""
        name = frame.f_code.co_filename
        ours = self._ours.get(name)
        if ours is None:
            ours = self._ours[name] = name.startswith(ROOT)
        return self.line if ours else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        """Count one line."""
        if event == "line":
            self.lines += 1
            key = (id(frame.f_code), frame.f_lineno)
            self.hits[key] = self.hits.get(key, 0) + 1
        return self.line

    def features(self) -> set[Feature]:
        """Return what ran, and forget it: a loop that ran twice as often is something new."""
        found = {(code, line, count.bit_length()) for (code, line), count in self.hits.items()}
        self.hits.clear()
        return found


_active: list[Tracer] = []


@contextmanager
def tracing() -> Iterator[Tracer]:
    """Trace what runs inside; within another one that goes on."""
    if _active:
        yield _active[-1]
        return
    before = sys.gettrace()
    tracer = Tracer()
    _active.append(tracer)
    sys.settrace(tracer.call)
    try:
        yield tracer
    finally:
        sys.settrace(before)
        _active.pop()


def lines_of(work: Callable[[], object]) -> int:
    """Return how many lines of the package a call executes."""
    with tracing() as tracer:
        before = tracer.lines
        work()
        return tracer.lines - before
