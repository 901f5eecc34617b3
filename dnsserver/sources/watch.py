"""List, then watch, one kind: a source that survives everything the API server and the network do.

It follows client-go's reflector: a list comes as the beginning of a watch where the API server can do that (KEP-3157),
else in pages, and only counts once it is complete; a watch goes on from the last resourceVersion; whatever fails is
tried again after a growing pause, for ever. What was last known stays known until the API server itself says otherwise.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from dnsserver.events import Event, ListEnded, NotServed
from dnsserver.objects import Further, Kind, WatchEvent
from dnsserver.sources.answers import parse_event, read_lines
from dnsserver.sources.api import Api, Response, UnreachableError
from dnsserver.sources.backoff import Backoff, Clock, SystemClock
from dnsserver.sources.discovery import discover, qualified_resource, resource_path
from dnsserver.sources.envelopes import comparable, decode_head
from dnsserver.sources.faults import FaultError, Stage, Trouble, fault_of_event, fault_of_response, nonsense
from dnsserver.sources.initial import InitialList
from dnsserver.sources.interpreter import Interpreter
from dnsserver.sources.listing import ListPage
from dnsserver.sources.refusals import Refusals
from dnsserver.sources.relist import Relist
from dnsserver.sources.source import SourceStatus
from dnsserver.sources.timing import Timing
from dnsserver.sources.troubles import Troubles
from dnsserver.sources.versions import Comparison, Stream, Versions

__all__ = ["ResourceWatch", "Timing"]

logger = logging.getLogger("plugin/kubernetes")


class ResourceWatch:
    """The source of one kind (`dnsserver.sources.source.Source`).

    `selector` and `field_selector` are applied by the API server. VMIs are read with their `further` interfaces if that
    is not None. Lists are streamed where the API server can do that, unless `streamed` forbids it. One iteration of
    `events` at a time.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        *,
        selector: str = "",
        field_selector: str = "",
        further: Further | None = None,
        streamed: bool = True,
        status: SourceStatus | None = None,
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._api = api
        self._kind = kind
        self._selectors = {"labelSelector": selector} if selector else {}
        self._selectors |= {"fieldSelector": field_selector} if field_selector else {}
        self._status = status or SourceStatus()
        self._timing = timing or Timing()
        self._clock = clock or SystemClock()
        self._backoff = Backoff(
            self._clock,
            first=self._timing.backoff_first,
            cap=self._timing.backoff_cap,
            reset=self._timing.backoff_reset,
        )
        self._name = qualified_resource(kind)
        self._troubles = Troubles(self._name)
        self._versions = Versions()
        self._interpreter = Interpreter(kind, self._versions, Refusals(kind, self._status), further)
        self._relist = Relist(
            kind, self._page_now, self._versions, self._clock, (self._timing.relist_min, self._timing.relist_max)
        )
        self._path = ""  # of the resource; "" until its version is known
        self._version = ""  # the last resourceVersion; "" before the first list
        self._unavailable = False  # the API server does not know that version (any more): list what is there now
        self._streamed = streamed  # the API server may be able to stream lists
        self._stream_next = streamed  # and the next one shall be
        self._in_pages = False  # the API server pages lists of any age: relists are paged as well
        self._synced = False  # the next step is to watch, not to list
        self._listed = False  # there is a last good state
        self._doubted = False  # a 404 made discovery necessary
        self._not_served = ""  # why, while that is what the store was told last

    @property
    def kinds(self) -> frozenset[Kind]:
        """The one kind."""
        return frozenset({self._kind})

    @property
    def status(self) -> SourceStatus:
        """What it has counted."""
        return self._status

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield events until the iterator is closed; never raises and never ends."""
        try:
            while True:
                try:
                    async with aclosing(self._step()) as events:
                        async for event in events:
                            yield event
                    continue
                except FaultError as error:
                    fault = error
                except Exception:
                    # A fault of ours must not end the source: the zone would grow old without a word.
                    logger.exception("unexpected failure with %s; listing again", self._name)
                    fault = FaultError(Trouble.BUG, Stage.DISCOVER, "unexpected failure")
                for event in self._failed(fault):
                    yield event
                await self._clock.sleep(self._pause(fault))
        finally:
            await self._relist.stop()

    async def _step(self) -> AsyncGenerator[Event, None]:
        """Find the resource, list it, or watch it once. Raises `FaultError`."""
        if not self._path:
            self._path = await self._find()
        try:
            streams = self._stream_next and not self._synced
            step = self._stream() if streams else self._watch() if self._synced else self._list()
            async with aclosing(step) as events:
                async for event in events:
                    yield event
        except FaultError as fault:
            if fault.trouble is Trouble.NOT_FOUND:
                # One 404 proves nothing: only discovery may say that the resource is gone.
                self._path, self._synced, self._doubted = "", False, True
                self._path = await self._find()
            raise

    async def _find(self) -> str:
        """Return the resource's path. Raises `FaultError`."""
        if len(self._kind.versions) == 1 and not self._doubted:
            return resource_path(self._kind, self._kind.versions[0])  # its list will tell
        version = await discover(self._api, self._kind, read_timeout=self._timing.answer_silence)
        return resource_path(self._kind, version)

    # Listing

    async def _stream(self) -> AsyncGenerator[Event, None]:
        """Yield a list and what follows it from one watch; where that fails within the list, it is asked for plainly.

        Raises `FaultError` for what fails after the list.
        """
        await self._relist.stop()
        self._stream_next = False  # not again before a list has succeeded, lest every failure costs two requests
        try:
            async with aclosing(self._watch(initial=True)) as events:
                async for event in events:
                    yield event
        except FaultError as fault:
            if self._synced:
                raise
            if fault.trouble in (Trouble.REFUSED, Trouble.UNMARKED):
                self._streamed = False
            logger.debug("cannot stream the list of %s: %s", self._name, fault.reason)

    async def _initial(self, lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[Event, None]:
        """Yield the list that a watch begins with, and what came in between. Raises `FaultError`, as `_list` does."""
        initial = InitialList(self._interpreter, self._status, self._timing, self._clock)
        async with aclosing(initial.events(lines)) as events:
            async for event in events:
                yield event
        self._list_done(initial.version, initial.count, in_pages=False)
        yield ListEnded(self._kind)
        for watched in initial.later:
            later = self._understand(watched, initial.stream)
            if later is not None:
                yield later

    async def _list(self) -> AsyncGenerator[Event, None]:
        """Yield a whole list. Raises `FaultError`; what came until then never counts, as the list has not ended."""
        await self._relist.stop()
        asked = "" if self._unavailable else self._version or "0"
        limit = 0 if self._version and not self._in_pages and not self._unavailable else self._timing.page_size
        token = version = ""
        count = pages = 0
        while True:
            page = self._page(asked, limit, token)
            begun = False
            try:
                async with aclosing(page.parts()) as parts:
                    async for part in parts:
                        if not pages and not begun:
                            yield self._interpreter.list_started()
                        begun = True
                        count += len(part)
                        yield self._interpreter.listed(part)
            except FaultError as fault:
                if token and limit and fault.trouble is Trouble.EXPIRED:
                    # The list took longer than the API server remembers: all of it at once, then (client-go's pager).
                    token, limit = "", 0
                    count = pages = 0
                    continue
                if asked and not token and fault.trouble in (Trouble.EXPIRED, Trouble.TOO_NEW):
                    asked, limit, self._unavailable = "", self._timing.page_size, True
                    continue
                raise
            self._status.contact(self._kind)
            if not pages:
                version = page.metadata.resource_version or ""
                if not begun:
                    yield self._interpreter.list_started()
            pages += 1
            following = page.metadata.continue_ or ""
            if not following:
                break
            if following == token:
                raise nonsense(Stage.LIST, "the list repeats a page")
            token = following
        self._list_done(version, count, in_pages=asked == "0" and pages > 1)
        yield ListEnded(self._kind)

    def _page(self, asked: str, limit: int, token: str) -> ListPage:
        """Return a page to be read."""
        query = {"limit": str(limit)} if limit else {}
        if token:
            query["continue"] = token
        elif asked:
            query["resourceVersion"] = asked
        query |= self._selectors
        return ListPage(self._api, self._kind, self._path, query, read_timeout=self._timing.answer_silence)

    def _page_now(self, token: str) -> ListPage:
        """Return a page of a list of what is there now."""
        return self._page("", self._timing.page_size, token)

    def _list_done(self, version: str, count: int, *, in_pages: bool) -> None:
        """Note a complete list."""
        before, now = comparable(self._version), comparable(version)
        if before is not None and now is not None and now < before:
            logger.warning(
                "the API server went back in time: %s were at resourceVersion %d, are at %d", self._name, before, now
            )
        known = self._interpreter.list_ended()
        if self._status.listed(self._kind, known, count):
            logger.warning("the API server lists %d %s and no longer %d; believing it", count, self._name, known)
        if not self._version:
            self._in_pages = in_pages
        first = not self._listed
        self._version, self._unavailable, self._synced, self._listed = version, False, True, True
        self._doubted, self._not_served = False, ""
        self._relist.postpone()
        self._stream_next = self._streamed
        if self._troubles.solved(Stage.LIST) or first:
            logger.info("listed %d %s", count, self._name)

    # Watching

    async def _watch(self, *, initial: bool = False) -> AsyncGenerator[Event, None]:
        """Yield changes until the watch ends; returns where another may go on from there. Raises `FaultError`.

        An `initial` watch begins with a list.
        """
        begun = self._clock.now()
        query = self._watch_query() | (self._initial_query() if initial else {})
        stream = Stream(self._version)
        opened = False
        try:
            async with self._api.request(self._path, query, read_timeout=self._timing.watch_silence) as response:
                if response.status != 200:
                    raise fault_of_response(response.status, response.headers, await response.read(), Stage.OPEN)
                opened = True
                if not initial:
                    self._proved(Stage.OPEN)
                async with aclosing(self._read(response, stream, initial=initial)) as events:
                    async for event in events:
                        yield event
        except UnreachableError as error:
            if not opened:
                # Where nothing listens, the API server is restarting and will know our version (client-go).
                raise FaultError(Trouble.UNREACHABLE, Stage.OPEN, str(error), rewatch=error.refused) from None
            if not self._synced:
                raise FaultError(Trouble.SHORT, Stage.LIST, str(error)) from None
            # Cut off, hung or in the middle of a line: nothing is lost, another watch goes on from the last event.
            logger.debug("the watch of %s broke off: %s", self._name, error)
            self._status.watch_errors[self._kind] += 1
        if not initial and not stream.events and self._clock.now() - begun < self._timing.watch_short:
            raise FaultError(Trouble.SHORT, Stage.STREAM, "the watch ended as soon as it began")
        self._proved(Stage.STREAM)

    async def _read(self, response: Response, stream: Stream, *, initial: bool) -> AsyncGenerator[Event, None]:
        """Yield what the answer to a watch tells, and what it should have told. Raises as reading lines does."""
        async with aclosing(read_lines(response)) as lines:
            if initial:
                async with aclosing(self._initial(lines)) as events:
                    async for listed in events:
                        yield listed
                stream.begin(self._version)
            async for line in lines:
                event = self._understand(await parse_event(line), stream)
                if event is not None:
                    yield event
                for repair in self._repairs(self._relist.compared(self._version), stream):
                    yield repair
        for repair in self._repairs(self._relist.compared(self._version, ended=True), stream):
            yield repair

    def _watch_query(self) -> dict[str, str]:
        """Return the query of a watch that goes on from the last version."""
        timing = self._timing
        seconds = timing.watch_min + (timing.watch_max - timing.watch_min) * self._clock.chance()
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(round(seconds)),
        }
        query |= self._selectors
        return query

    def _initial_query(self) -> dict[str, str]:
        """Return what makes a watch begin with a list: no older than the last version, or as things are now."""
        asked = "" if self._unavailable else self._version
        return {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": asked}

    def _understand(self, watched: WatchEvent, stream: Stream) -> Event | None:
        """Return what one line of a watch tells the store, None for nothing. Raises `FaultError`."""
        if watched.type == "ERROR":
            raise fault_of_event(watched.object)
        self._status.contact(self._kind)
        stream.events += 1
        self._proved(Stage.STREAM)
        head = decode_head(self._kind, watched.object)
        self._version = _newer(self._version, head.resource_version)
        if watched.type == "BOOKMARK":
            return None
        return self._interpreter.changed(watched, head, stream)

    def _repairs(self, comparison: Comparison | None, stream: Stream) -> list[Event]:
        """Return the events that the watch has missed, and count them."""
        events = self._interpreter.missed(comparison, stream) if comparison else []
        if events:
            self._status.relist_differences[self._kind] += len(events)
            logger.warning("the watch of %s has missed %d changes, as a list shows; repaired", self._name, len(events))
        return events

    # Failing

    def _failed(self, fault: FaultError) -> list[Event]:
        """Decide what follows from a failure; return what the store must know of it."""
        if fault.stage >= Stage.OPEN:
            self._status.watch_errors[self._kind] += 1
        if not fault.rewatch:
            self._synced = False
        self._status.troubles[self._kind] = fault.trouble.value, fault.reason
        absent = fault.trouble is Trouble.ABSENT
        if absent:
            self._version, self._unavailable, self._listed = "", False, False
            self._versions.clear()
        self._troubles.tell(fault, known=self._listed)
        if not absent and (fault.trouble is not Trouble.FORBIDDEN or self._listed):
            return []
        reason = fault.reason if absent else f"not allowed to list {self._name}"
        if reason == self._not_served:
            return []
        self._not_served = reason
        return [NotServed(self._kind, reason)]

    def _pause(self, fault: FaultError) -> float:
        """Return how long to wait before the next attempt, in seconds."""
        timing, chance = self._timing, self._clock.chance()
        if fault.trouble is Trouble.ABSENT:
            return timing.absent_retry * (1 - 0.2 * chance)
        pause = max(self._backoff.pause(), min(fault.retry_after, timing.retry_after_cap) * (1 + 0.1 * chance))
        if fault.trouble is Trouble.FORBIDDEN:
            return max(pause, timing.forbidden_retry * (1 + 0.1 * chance))
        return pause

    def _proved(self, stage: Stage) -> None:
        """Note success at a stage of the watch."""
        if stage is Stage.OPEN:
            self._status.contact(self._kind)
        if self._troubles.solved(stage):
            logger.info("watching %s again", self._name)


def _newer(known: str, seen: str) -> str:
    """Return the later of two resourceVersions; the one seen last where they cannot be compared."""
    before, after = comparable(known), comparable(seen)
    if before is not None and after is not None:
        return seen if after > before else known
    return seen or known
