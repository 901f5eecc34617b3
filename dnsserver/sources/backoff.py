"""Time, chance and waiting, handed in so that tests need none of them; and the pause between failures."""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Where time and chance come from."""

    def now(self) -> float:
        """Return seconds of a clock that only ever goes forward."""
        ...

    def chance(self) -> float:
        """Return a random number, 0 <= number < 1."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real thing; monotonic, so that a jump of the wall clock changes nothing."""

    def now(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def chance(self) -> float:
        """Return `random.random()`."""
        return random.random()  # noqa: S311 -- spreads requests over time, guards nothing

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Backoff:
    """The growing pause between failures, as client-go's reflector takes it.

    From `first` seconds it doubles up to `cap`, each pause lengthened by chance to at most its double; after `reset`
    seconds without a failure it starts again.
    """

    def __init__(self, clock: Clock, *, first: float, cap: float, reset: float) -> None:
        self._clock = clock
        self._first, self._cap, self._reset = first, cap, reset
        self._next = first
        self._last = clock.now()

    def pause(self) -> float:
        """Return how long to wait after a failure that happened just now, in seconds."""
        now = self._clock.now()
        if now - self._last > self._reset:
            self._next = self._first
        self._last = now
        pause = self._next * (1 + self._clock.chance())
        self._next = min(self._cap, self._next * 2)
        return pause
