"""A clock whose time passes only when somebody waits for it."""

import asyncio
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
