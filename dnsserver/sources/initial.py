"""The list that a watch begins with (KEP-3157): ADDED events, until a bookmark says that these were all."""

import asyncio
from collections.abc import AsyncGenerator

from dnsserver.events import Changed, Event, ListedPage
from dnsserver.objects import InvalidObjectError, Key, Object, WatchEvent
from dnsserver.sources.answers import parse_event
from dnsserver.sources.backoff import Clock
from dnsserver.sources.envelopes import decode_head, ends_initial_events
from dnsserver.sources.faults import FaultError, Stage, Trouble, fault_of_event, nonsense
from dnsserver.sources.interpreter import Interpreter
from dnsserver.sources.listing import PART
from dnsserver.sources.source import SourceStatus
from dnsserver.sources.timing import Timing
from dnsserver.sources.versions import Stream


class InitialList:
    """One such list. `version`, `count` and `later` are its result, and mean nothing before `events` has ended."""

    def __init__(self, interpreter: Interpreter, status: SourceStatus, timing: Timing, clock: Clock) -> None:
        self.version = ""  # the list's resourceVersion
        self.count = 0  # objects, the refused ones included
        self.later: list[WatchEvent] = []  # events that came within the list, and follow it
        self.stream = Stream("")  # what has been told so far
        self._interpreter = interpreter
        self._status = status
        self._timing = timing
        self._clock = clock
        self._begun = clock.now()

    async def events(self, lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[Event, None]:
        """Yield the list but for its end, reading no further. Raises `FaultError` where that does not come.

        The list consists of ADDED events. Should others be among them, they follow it, and whatever else is told of
        their objects as well.
        """
        kind, moved = self._interpreter.kind, set[Key]()
        objects, kept = list[Object](), list[Key]()
        yield self._interpreter.list_started()
        while True:
            watched = await self._next(lines)
            if watched.type == "BOOKMARK" and ends_initial_events(watched.object):
                break
            head = decode_head(kind, watched.object)
            if watched.type != "ADDED" or head.key in moved:
                self.later.append(watched)
                moved.add(head.key)
                continue
            self.count += 1
            try:
                value = self._interpreter.streamed(watched, head, self.stream)
                objects += [value.value] if isinstance(value, Changed) else []
            except InvalidObjectError as error:
                kept += self._interpreter.refuse(error)
            if len(objects) >= PART:
                yield ListedPage(kind, tuple(objects), tuple(kept))
                objects, kept = [], []
                await asyncio.sleep(0)
        self.version = decode_head(kind, watched.object).resource_version
        if not self.version:
            raise nonsense(Stage.LIST, "a streamed list without resourceVersion")
        yield ListedPage(kind, tuple(objects), tuple(kept))

    async def _next(self, lines: AsyncGenerator[bytes, None]) -> WatchEvent:
        """Return the next event. Raises `FaultError`."""
        if self._clock.now() - self._begun > self._timing.initial_limit:
            raise FaultError(Trouble.UNMARKED, Stage.LIST, "the streamed list does not end")
        try:
            async with asyncio.timeout(self._timing.initial_silence):
                watched = await parse_event(await anext(lines))
        except TimeoutError:
            raise FaultError(Trouble.UNMARKED, Stage.LIST, "the streamed list stops without its end") from None
        except StopAsyncIteration:
            raise FaultError(Trouble.SHORT, Stage.LIST, "the streamed list is cut off") from None
        if watched.type == "ERROR":
            raise fault_of_event(watched.object)
        self._status.contact(self._interpreter.kind)
        return watched
