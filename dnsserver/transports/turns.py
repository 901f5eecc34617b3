"""Whose query is asked next: a little of each source's in every round of the event loop, and UDP in between.

A client may write a thousand queries at once, and many clients may do so. They are answered one after the other, a
source at a time, and for no longer than `TURN` before the event loop sees to all else.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

TURN = 0.0002  # seconds: a few answers, and ten times what a round of the event loop costs by itself


class Turns:
    """Gives the connections that have queries their turn."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], bool]]] = {}  # by source; the next one first
        self._begun = False  # somebody had a turn in this round, and `_go_on` is going to be called in the next

    def take(self, source: str, ask: Callable[[], bool]) -> None:
        """Call `ask`, which asks one query and says whether there is another, now or later, as long as there is."""
        if not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._go_on)
            if not ask():
                return
        self._wait(source, ask)

    def _wait(self, source: str, ask: Callable[[], bool]) -> None:
        self._waiting.setdefault(source, deque()).append(ask)

    def _go_on(self) -> None:
        """Let those who wait have their turn."""
        self._begun = False
        if not self._waiting:
            return
        self._begun = True
        asyncio.get_running_loop().call_soon(self._go_on)
        until = time.monotonic() + TURN
        while self._waiting:
            source = next(iter(self._waiting))
            queue = self._waiting.pop(source)
            ask = queue.popleft()
            if queue:
                self._waiting[source] = queue  # behind all others
            if ask():
                self._wait(source, ask)
            if time.monotonic() >= until:
                return
