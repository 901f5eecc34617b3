"""What a store makes of a source's events, in the plainest form; and a task that keeps it up to date."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import Key, Object


class _Events(Protocol):
    def events(self) -> AsyncGenerator[Event, None]: ...


class Mirror:
    """The objects of one kind, as the events so far leave them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.current: dict[Key, Object] = {}
        self.states: list[frozenset[Key]] = []  # the keys that could be seen after each event
        self._pending: dict[Key, Object] = {}
        self._changed = asyncio.Event()

    def apply(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)
        match event:
            case ListStarted():
                self._pending = {}
            case ListedPage():
                self._pending |= {one.key: one for one in event.objects}
                self._pending |= {key: self.current[key] for key in event.kept if key in self.current}
            case ListEnded():
                self.current = self._pending
            case Changed():
                self.current[event.value.key] = event.value
            case Deleted():
                known = self.current.get(event.key)
                if known is not None and event.uid in ("", known.uid):
                    del self.current[event.key]
            case NotServed():
                self.current = {}
        self.states.append(frozenset(self.current))
        self._changed.set()

    def count(self, kind: type[Event]) -> int:
        """Return how many events of a type there were."""
        return sum(isinstance(event, kind) for event in self.events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after every event."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_names(self, *names: str) -> None:
        """Wait until exactly these objects are there."""
        await self.until(lambda: sorted(name for _, name in self.current) == sorted(names))

    async def until_listed(self, count: int = 1) -> None:
        """Wait for so many complete lists."""
        await self.until(lambda: self.count(ListEnded) >= count)


@asynccontextmanager
async def mirrored(source: _Events) -> AsyncGenerator[Mirror, None]:
    """Follow a source within the block; what it raises, the block raises."""
    mirror = Mirror()

    async def follow() -> None:
        async for event in source.events():
            mirror.apply(event)
        raise AssertionError("a source never ends")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        yield mirror
        task.cancel()
