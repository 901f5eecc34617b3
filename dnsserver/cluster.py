"""Keeps one store in step with its sources: events in, zones out, while queries are answered in between."""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from dnsserver.events import Event, ListedPage
from dnsserver.names import Name
from dnsserver.sources.source import Source
from dnsserver.store import Store
from dnsserver.store.journal import Journal
from dnsserver.zone import Zone

MAX_QUEUED = 1000  # objects in events that wait; a source that is faster than the store waits with the next
LONG = 50  # slices: a round of so many has made much that stays
SLICE = 200  # small steps of work before queries get their turn: one to three milliseconds


class Cluster:
    """A store, its sources, and the zones that they make together; with `imported`, a second one for ServiceImports."""

    def __init__(
        self,
        store: Store,
        sources: Sequence[Source],
        *,
        imported: Store | None = None,
        published: Callable[[], None] = lambda: None,
        programmed: Callable[[str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._stores = (store,) if imported is None else (store, imported)
        self._on_published = published
        self._programmed = programmed  # (kind of Service, seconds from a change to its being served)
        self.sources = tuple(sources)
        self._clock = clock
        self._wall = wall
        self._events: deque[Event] = deque()
        self._queued = 0  # objects in them
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._published = asyncio.Condition()
        self._synced = False
        self._zones = self._all_zones()

    @property
    def stores(self) -> tuple[Store, ...]:
        """The cluster's own store, and where there is one that of its ServiceImports."""
        return self._stores

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones as they are now."""
        return self._zones

    def journal(self, origin: Name) -> Journal | None:
        """Return the journal of a zone, which is kept from then on; its clock is `time.monotonic`'s."""
        found = (store.journal(origin, self._clock()) for store in self._stores)
        return next((journal for journal in found if journal is not None), None)

    @property
    def synced(self) -> bool:
        """Whether everything has been listed once and the zones hold it."""
        return self._synced

    async def run(self) -> None:
        """Follow the sources until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for source in self.sources:
                tasks.create_task(self._pump(source))
            tasks.create_task(self._follow())

    async def wait_synced(self) -> None:
        """Return once everything has been listed and the zones hold it."""
        async with self._published:
            await self._published.wait_for(lambda: self._synced)

    def want_guests(self, *, wanted: bool) -> None:
        """Have the store know the addresses of VMIs' guests, or no longer."""
        self.store.want_guests(wanted=wanted)
        self._arrived.set()

    async def _pump(self, source: Source) -> None:
        """Queue one source's events."""
        async for event in source.events():
            while self._queued >= MAX_QUEUED:
                self._taken.clear()
                await self._taken.wait()
            self._events.append(event)
            self._queued += _weight(event)
            self._arrived.set()

    async def _follow(self) -> None:
        """Apply what has come in, publish it, and wait for more or for the next deadline."""
        while True:
            await self._wait()
            while self._events:
                event = self._events.popleft()
                self._queued -= _weight(event)
                for store in self._stores:
                    store.apply(event, self._clock())
            self._arrived.clear()
            self._taken.set()
            await self._publish()
            async with self._published:
                synced = all(store.synced for store in self._stores)
                if synced and not self._synced:
                    gc.freeze()  # as in a long round
                self._synced = synced
                self._published.notify_all()
            self._on_published()

    async def _publish(self) -> None:
        """Derive what has changed in slices, and let queries have their turn between them."""
        for store in self._stores:
            slices = 0
            while not store.refresh(self._clock(), serial=int(self._wall()) % 2**32, limit=SLICE):
                slices += 1
                if slices % LONG == 0:
                    # What a store holds makes no cycles, and looking through all of it for them takes 160 ms.
                    gc.freeze()
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._zones = self._all_zones()
        for kind, began in self.store.programmed:
            if self._programmed is not None:
                self._programmed(kind, self._wall() - began)
        self.store.programmed.clear()

    def _all_zones(self) -> tuple[Zone, ...]:
        """Return the zones of all stores."""
        return tuple(zone for store in self._stores for zone in store.zones)

    async def _wait(self) -> None:
        """Wait for an event, or for the time at which an answer changes by itself; before the first sync none does."""
        deadline = self.store.deadline if self._synced else None
        timeout = None if deadline is None else max(0.0, deadline - self._clock())
        # Not `wait_for`: that of Python 3.11 loses a cancellation which comes together with an event.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._arrived.wait()


def _weight(event: Event) -> int:
    """Return how many objects an event is about, or one."""
    return max(1, len(event.objects)) if isinstance(event, ListedPage) else 1
