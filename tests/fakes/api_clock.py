"""Clocks whose time passes only when somebody waits for it."""

import asyncio
import heapq
import time
from collections.abc import Callable


class FakeClock:
    """Every sleep ends at once, and is how time goes by; chance is what it is set to."""

    def __init__(self, chance: float = 0.5) -> None:
        self.time = 1000.0
        self.sleeps: list[float] = []
        self.luck = chance
        self._passed = asyncio.Event()

    def now(self) -> float:
        """Return the fake time, in seconds."""
        return self.time

    def chance(self) -> float:
        """Return the chance that was set."""
        return self.luck

    async def sleep(self, seconds: float) -> None:
        """Let the time go by."""
        self.sleeps.append(seconds)
        self.time += seconds
        self._passed.set()
        await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at whenever time goes by."""
        while not condition():
            self._passed.clear()
            await self._passed.wait()


class JumpingClock:
    """A clock that leaps to the end of the next sleep as soon as everybody waits.

    Real pauses (client-go's seconds and minutes) so cost no time, while requests on real sockets stand still in this
    time: everything keeps its order. `idle` says whether time is all that is waited for.
    """

    def __init__(self, chance: float = 0.5) -> None:
        self.time = time.monotonic()  # where the rest of the server is
        self.luck = chance
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.idle: Callable[[], bool] = lambda: True
        self._count = 0

    def now(self) -> float:
        """Return the time, in seconds."""
        return self.time

    def chance(self) -> float:
        """Return the chance that was set."""
        return self.luck

    async def sleep(self, seconds: float) -> None:
        """Wait until the time has come."""
        self._count += 1
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = self.time + seconds, self._count, waker
        heapq.heappush(self.sleepers, entry)
        try:
            await waker
        finally:
            if entry in self.sleepers:  # cancelled
                self.sleepers.remove(entry)
                heapq.heapify(self.sleepers)

    async def run(self) -> None:
        """Let the time go by, until cancelled."""
        calm = 0
        while True:
            # A real millisecond, in which sockets tell their news.
            await asyncio.sleep(0.001)
            calm = calm + 1 if self.sleepers and self.idle() else 0
            if calm >= 2:
                calm = 0
                until, _, waker = heapq.heappop(self.sleepers)
                self.time = max(self.time, until)
                if not waker.done():
                    waker.set_result(None)
