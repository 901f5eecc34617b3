"""Questions that the cache asks again on its own account: so many at a time, and none once it has stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from dnsserver.message import Reply

MAX_REFRESHES = 1000  # at a time: with an upstream that answers nobody, each of them waits as long as it may

Refresh = Coroutine[Any, Any, Reply | None]


class Refreshes:
    """Owns the tasks of one cache."""

    def __init__(self, limit: int = MAX_REFRESHES) -> None:
        self._limit = limit
        self._open = False
        self._tasks: set[asyncio.Task[Reply | None]] = set()

    def start(self, refresh: Callable[[], Refresh]) -> "asyncio.Task[Reply | None] | None":
        """Start a refresh as a task of its own; None where there are too many, or the cache does not run."""
        if not self._open or len(self._tasks) >= self._limit:
            return None
        task = asyncio.create_task(refresh())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take refreshes inside the block; those that its end interrupts are cancelled."""
        self._open = True
        try:
            yield
        finally:
            self._open = False
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
