"""What requests to the API server are held to, and what is counted of them.

Limits are client-go's: a token bucket for how many begin, and a number that may be under way (CoreDNS `apiserver_qps`,
`apiserver_burst`, `apiserver_max_inflight`).
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dnsserver.sources.backoff import Clock

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds: Prometheus's default ones


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How many requests the API server is asked to bear; 0 is no limit."""

    qps: float = 0.0  # requests a second, over time
    burst: int = 0  # requests at once, before `qps` holds; with `qps` alone, as many as a second gives
    max_inflight: int = 0  # requests that wait for an answer


@dataclass(slots=True)
class Durations:
    """A histogram of seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class RequestStats:
    """What is counted of the requests to one API server."""

    host: str = ""  # host:port
    latency: Durations = field(default_factory=Durations)  # until the head of the answer
    held_back: Durations = field(default_factory=Durations)  # by the limits
    answers: Counter[str] = field(default_factory=Counter)  # by HTTP status, "<error>" where none came


class Limiter:
    """Holds requests to the limits."""

    def __init__(self, limits: RequestLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._burst = float(max(limits.burst, int(limits.qps), 1))
        self._tokens = self._burst
        self._filled = clock.now()
        self._slots = asyncio.Semaphore(limits.max_inflight) if limits.max_inflight else None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait until a request may begin; yields the seconds that took."""
        started = self._clock.now()
        if self._slots is not None:
            await self._slots.acquire()
        try:
            await self._take_token()
            yield self._clock.now() - started
        finally:
            if self._slots is not None:
                self._slots.release()

    async def _take_token(self) -> None:
        """Wait for a token of the bucket."""
        qps = self._limits.qps
        if not qps:
            return
        now = self._clock.now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * qps)
        self._filled = now
        self._tokens -= 1  # taken at once, even into debt: who comes next waits longer
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / qps)
