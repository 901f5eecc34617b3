"""How late the event loop is, and how long garbage collections hold it up: one timer, and plain numbers.

Nobody is answered while the loop stands still, and nothing that runs on it can say so before it goes on.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from dnsserver.admin.metrics import Histogram

INTERVAL = 0.05  # seconds between two looks; up to so much of a stall goes unseen, what passed before one was due
STALL = 0.05  # seconds late: counted
LONG_STALL = 1.0  # seconds late: worth a line
LOG_EVERY = 10.0  # seconds between two lines at least

_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAUSE_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_log = logging.getLogger(__name__)


class LoopLag:
    """Compares when a timer runs with when it should have; the clock must be one that goes on while a process sleeps.

    `asyncio`'s own clock will not do: uvloop reads it once a turn, so that it stands still with the loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lag = Histogram(_LAG_SECONDS)
        self.stalls = 0  # times that the loop was later than `STALL`
        self.gc_pauses: Mapping[int, Histogram] = {number: Histogram(_PAUSE_SECONDS) for number in range(3)}
        self._clock = clock
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._gc_began: float | None = None
        self._gc_seconds = 0.0  # spent in collections since the last look
        self._next_log = clock()
        self._unsaid = 0  # long stalls without a line

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the running loop within the block."""
        gc.callbacks.append(self._on_gc)
        self._wait()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            gc.callbacks.remove(self._on_gc)

    def _wait(self) -> None:
        """Look again after the interval, counted from now: a stall is seen once."""
        self._due = self._clock() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def _look(self) -> None:
        """Note how late this is, and wait again."""
        self._note(max(0.0, self._clock() - self._due))
        self._gc_seconds = 0.0
        self._wait()

    def _note(self, late: float) -> None:
        """Count one look."""
        self.lag.observe(late)
        if late <= STALL:
            return
        self.stalls += 1
        if late > LONG_STALL:
            self._tell(late)

    def _tell(self, late: float) -> None:
        """Log a long stall, but not each of many."""
        now = self._clock()
        if now < self._next_log:
            self._unsaid += 1
            return
        self._next_log = now + LOG_EVERY
        more = f"; {self._unsaid} more such stalls since the last line" if self._unsaid else ""
        self._unsaid = 0
        _log.warning(
            "The event loop stood still for %.2fs (%.2fs of garbage collection): nobody was answered%s",
            late,
            self._gc_seconds,
            more,
        )

    def _on_gc(self, phase: str, info: Mapping[str, int]) -> None:
        """Time one collection: in whatever thread it runs, it holds the interpreter's lock and so the loop up."""
        if phase == "start":
            self._gc_began = self._clock()
        elif self._gc_began is not None:
            pause = self._clock() - self._gc_began
            self.gc_pauses[info["generation"]].observe(pause)
            self._gc_seconds += pause
