"""Tells the owners of VMIs why those have no names, as Kubernetes Events; off unless the Corefile asks for it.

What is said of whom comes from the store, once a round. `Schedule` decides when: a refusal is told once it has lasted,
again while it lasts before the API server forgets it, and never too often. `Teller` writes, and what the API server
does with it changes nothing about serving.
"""

import asyncio
import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from dnsserver.derive.complaint import Reason
from dnsserver.objects import Key
from dnsserver.objects.uids import Uid
from dnsserver.sources.api import WritableApi
from dnsserver.sources.backoff import Backoff, Clock, SystemClock
from dnsserver.sources.eventwriter import RULE, Telling, WriteError, Written, write_event
from dnsserver.sources.requests import Limiter, RequestLimits
from dnsserver.store import Store

SETTLE = 30.0  # seconds that a refusal must last: a VMI and its Service come in any order
QUIET = 600.0  # seconds at least between two Events of one VMI and reason
REPEAT = 1800.0  # seconds after which a refusal that lasts is told again: Events live for an hour (--event-ttl)
LIMITS = RequestLimits(qps=5.0, burst=25)  # of all Events; a sweep through many VMIs takes its time
FORBIDDEN_PAUSE = 3600.0  # seconds until the role may have been mended
RETRY_AFTER_CAP = 300.0  # seconds that a server may ask us to wait
_TICK = 5.0  # seconds between two looks at what has come due, while anything is going to

_log = logging.getLogger("plugin/kubernetes")

Subject = tuple[Uid, Reason]  # a VMI, and what there is to say of it


class Schedule:
    """When to tell whom; time is an argument, in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._due: dict[Key, tuple[float, Subject]] = {}
        self._heap: list[tuple[float, Key]] = []  # of the same times, and of some that count no more
        self._told: dict[Subject, float] = {}  # within the last `QUIET` seconds,
        self._order: deque[tuple[float, Subject]] = deque()  # the oldest first

    def __len__(self) -> int:
        return len(self._due)

    def update(self, changes: Mapping[Key, Subject | None], now: float) -> None:
        """Take in of whom there is something else to say, None for nothing any more."""
        for key, subject in changes.items():
            if subject is None:
                self._due.pop(key, None)
            elif key not in self._due or self._due[key][1] != subject:
                self._plan(key, subject, max(now + SETTLE, self._told.get(subject, -QUIET) + QUIET))

    def next(self, now: float) -> tuple[Key, Subject] | None:
        """Return the first that is due; it stays so until it is `told` or postponed."""
        while self._heap and self._heap[0][0] <= now:
            at, key = self._heap[0]
            if key in self._due and self._due[key][0] == at:
                return key, self._due[key][1]
            heapq.heappop(self._heap)
        return None

    def told(self, key: Key, subject: Subject, now: float) -> None:
        """Note that this has been told."""
        while self._order and self._order[0][0] <= now - QUIET:
            at, old = self._order.popleft()
            if self._told.get(old) == at:
                del self._told[old]
        self._told[subject] = now
        self._order.append((now, subject))
        self.postpone(key, subject, now + REPEAT)

    def postpone(self, key: Key, subject: Subject, until: float) -> None:
        """Have something told at a later time, unless there is something else to say of it meanwhile."""
        if key in self._due and self._due[key][1] == subject:
            self._plan(key, subject, until)

    def _plan(self, key: Key, subject: Subject, at: float) -> None:
        """Have something told at a time, and nothing else of the same VMI."""
        self._due[key] = at, subject
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._due) + 100:  # flapping has left more that counts no more than what does
            self._heap = [(when, who) for who, (when, _) in self._due.items()]
            heapq.heapify(self._heap)


class Teller:
    """Writes Events about what a store complains of."""

    def __init__(
        self,
        store: Store,
        api: WritableApi,
        *,
        clock: Clock | None = None,
        wall: Callable[[], float] = time.time,
        store_now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall` is Unix time, `store_now` the clock that the store is refreshed by."""
        self._store = store
        self._api = api
        self._clock = clock or SystemClock()
        self._wall = wall
        self._store_now = store_now
        self._schedule = Schedule()
        self._changed = asyncio.Event()
        self._limiter = Limiter(LIMITS, self._clock)
        self._backoff = Backoff(self._clock, first=1.0, cap=300.0, reset=600.0)
        self._trouble = ""  # what keeps Events from being written, told once
        self._refusals: set[Reason] = set()  # reasons whose Events the API server did not want, told once
        self.written: Counter[str] = Counter()  # by what became of them, "failed" for attempts

    def published(self) -> None:
        """Take in what the last round has changed; called after each."""
        if changes := self._store.take_complaints():
            self._schedule.update(changes, self._clock.now())
            self._changed.set()

    async def run(self) -> None:
        """Write what comes due, until cancelled. Never raises for a fault of the API server."""
        while True:
            if not len(self._schedule):
                await self._changed.wait()
            self._changed.clear()
            while (due := self._schedule.next(self._clock.now())) is not None:
                try:
                    await self._tell(*due)
                except WriteError as error:
                    pause = self._pause(error)
                    self._schedule.postpone(*due, self._clock.now() + pause)  # what may be wrong is this one alone
                    await self._clock.sleep(pause)
            await self._clock.sleep(_TICK)

    async def _tell(self, key: Key, subject: Subject) -> None:
        """Write one Event, if it is still true. Raises `WriteError`."""
        async with self._limiter.slot():
            found = self._store.complaint(key, self._store_now())
            if found is None or (found[0].packed_uid, found[1].reason) != subject:
                self._schedule.postpone(key, subject, self._clock.now() + SETTLE)  # the next round will say what is
                return
            vmi, complaint = found
            telling = Telling(*key, vmi.uid, complaint.reason.value, complaint.message)
            written = await write_event(self._api, telling, now=self._wall(), quiet=QUIET)
        self._done(written, complaint.reason)
        self._schedule.told(key, subject, self._clock.now())

    def _done(self, written: Written, reason: Reason) -> None:
        """Count an answer, and say what is remarkable about it."""
        self.written[written.value] += 1
        if written is Written.REFUSED and reason not in self._refusals:
            self._refusals.add(reason)
            _log.warning("the API server does not want Events with the reason %s", reason.value)
        if self._trouble:
            _log.info("writing Events again")
            self._trouble = ""

    def _pause(self, error: WriteError) -> float:
        """Return how long to wait after a failure, in seconds, and say what is new about it."""
        self.written["failed"] += 1
        if str(error) != self._trouble:
            self._trouble = str(error)
            if error.forbidden:
                _log.error("cannot write Events: %s; the role needs %s. Trying again in an hour", error, RULE)
            else:
                _log.warning("cannot write Events: %s; trying again", error)
        if error.forbidden:
            return FORBIDDEN_PAUSE
        return max(self._backoff.pause(), min(error.retry_after, RETRY_AFTER_CAP))
