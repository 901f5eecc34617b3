"""Whether a server is up: after a failure it is asked again and again, until it answers (CoreDNS, plugin/pkg/up)."""

import asyncio
from collections.abc import Awaitable, Callable

from dnsserver.upstream.errors import UpstreamError

_SHORTEST = 0.01  # seconds between two checks, whatever is configured: `health_check 0s` must not fill the network


class Probe:
    """Checks one server in a task of its own, never twice at a time."""

    def __init__(self, check: Callable[[], Awaitable[None]], interval: float, failed: Callable[[], None]) -> None:
        """`check` raises `UpstreamError` where the server is not healthy; `failed` counts that."""
        self.fails = 0  # checks in a row that failed
        self._check = check
        self._interval = max(interval, _SHORTEST)
        self._failed = failed
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to check, unless that is going on or over."""
        if not self._stopped and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop checking for good."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._check()
            except UpstreamError:
                self.fails += 1
                self._failed()
            else:
                self.fails = 0
                return
            await asyncio.sleep(self._interval)
