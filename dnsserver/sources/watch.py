"""List, then watch, one kind: a source that survives everything the API server and the network do.

It follows client-go's reflector: a list is paged and only counts once it is complete; a watch goes on from the last
resourceVersion; whatever fails is tried again after a growing pause, for ever. What was last known stays known until
the API server itself says otherwise.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from asyncio_extras import call_in_executor

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import InvalidObjectError, Key, Kind, Object, WatchEvent, decode_object, decode_watch_event
from dnsserver.sources.api import Api, Response, UnreachableError
from dnsserver.sources.backoff import Backoff, Clock, SystemClock
from dnsserver.sources.discovery import discover, qualified_resource, resource_path
from dnsserver.sources.envelopes import Head, ListBody, comparable, decode_head, decode_list_body, is_named
from dnsserver.sources.faults import FaultError, Stage, Trouble, fault_of_event, fault_of_response, nonsense
from dnsserver.sources.lines import LineBuffer, LineTooLongError
from dnsserver.sources.nesting import prune
from dnsserver.sources.source import SourceStatus

logger = logging.getLogger("plugin/kubernetes")

_T = TypeVar("_T")

_QUIET = {Trouble.EXPIRED, Trouble.TOO_NEW, Trouble.SHORT}  # part of an API server's ordinary life


@dataclass(frozen=True, slots=True)
class Timing:
    """The pauses and limits, in seconds unless said otherwise; the defaults are client-go's where it has them."""

    page_size: int = 500  # objects
    backoff_first: float = 0.8
    backoff_cap: float = 30.0
    backoff_reset: float = 120.0
    retry_after_cap: float = 300.0
    watch_min: float = 300.0  # the server is asked to end a watch after a random time between these two
    watch_max: float = 600.0
    watch_silence: float = 150.0  # bookmarks come about every minute: two missing ones mean a dead connection
    watch_short: float = 1.0  # a watch without an event that ends sooner is a failure
    answer_silence: float = 60.0  # before and within any other answer
    absent_retry: float = 30.0  # longest pause before looking again for a resource that is not served
    forbidden_retry: float = 60.0  # shortest pause before trying again what is forbidden


class ResourceWatch:
    """The source of one kind (`dnsserver.sources.source.Source`).

    `selector` and `field_selector` are applied by the API server. One iteration of `events` at a time.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        *,
        selector: str = "",
        field_selector: str = "",
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
        self._refusals = _Refusals(kind, self._status)
        self._path = ""  # of the resource; "" until its version is known
        self._version = ""  # the last resourceVersion; "" before the first list
        self._unavailable = False  # the API server does not know that version (any more): list what is there now
        self._in_pages = False  # the API server pages lists of any age: relists are paged as well
        self._synced = False  # the next step is to watch, not to list
        self._listed = False  # there is a last good state
        self._doubted = False  # a 404 made discovery necessary
        self._not_served = ""  # why, while that is what the store was told last
        self._trouble: tuple[Stage, Trouble] | None = None  # the failure that was logged last

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

    async def _step(self) -> AsyncGenerator[Event, None]:
        """Find the resource, list it, or watch it once. Raises `FaultError`."""
        if not self._path:
            self._path = await self._find()
        try:
            async with aclosing(self._watch() if self._synced else self._list()) as events:
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

    async def _list(self) -> AsyncGenerator[Event, None]:
        """Yield a whole list. Raises `FaultError`; what came until then never counts, as the list has not ended."""
        asked = "" if self._unavailable else self._version or "0"
        limit = 0 if self._version and not self._in_pages and not self._unavailable else self._timing.page_size
        token = version = ""
        count = pages = 0
        while True:
            try:
                page = await self._page(asked, limit, token)
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
            if not pages:
                version = page.metadata.resource_version or ""
                self._refusals.list_started()
                yield ListStarted(self._kind)
            pages += 1
            count += len(page.items or ())
            async with aclosing(self._pages(page.items or [])) as events:
                async for event in events:
                    yield event
            following = page.metadata.continue_ or ""
            if not following:
                break
            if following == token:
                raise nonsense(Stage.LIST, "the list repeats a page")
            token = following
        self._refusals.list_ended()
        self._list_done(version, count, in_pages=asked == "0" and pages > 1)
        yield ListEnded(self._kind)

    async def _page(self, asked: str, limit: int, token: str) -> ListBody:
        """Return one page. Raises `FaultError`."""
        query = {"limit": str(limit)} if limit else {}
        if token:
            query["continue"] = token
        elif asked:
            query["resourceVersion"] = asked
        query |= self._selectors
        try:
            async with self._api.request(self._path, query, read_timeout=self._timing.answer_silence) as response:
                body = await response.read()
                if response.status != 200:
                    raise fault_of_response(response.status, response.headers, body, Stage.LIST)
        except UnreachableError as error:
            raise FaultError(Trouble.UNREACHABLE, Stage.LIST, str(error)) from None
        try:
            page = await _parsed(decode_list_body, body)
        except ValueError as error:  # msgspec's errors are ValueErrors
            raise nonsense(Stage.LIST, f"not a list: {error}") from None
        if page.kind != f"{self._kind.value}List":
            raise nonsense(Stage.LIST, f"not a list of {self._kind.value}: kind {page.kind}")
        if not page.metadata.resource_version:
            raise nonsense(Stage.LIST, "a list without resourceVersion")
        self._status.contact(self._kind)
        return page

    async def _pages(self, items: list[msgspec.Raw]) -> AsyncGenerator[Event, None]:
        """Yield decoded objects; a long answer (no API server need page) in parts, so that queries go on between."""
        size = self._timing.page_size
        for start in range(0, len(items), size):
            if start:
                await asyncio.sleep(0)
            objects: list[Object] = []
            kept: list[Key] = []
            for raw in items[start : start + size]:
                try:
                    objects.append(_decode(self._kind, raw))
                except InvalidObjectError as error:
                    self._refusals.refuse(error)
                    if is_named(self._kind, error.key):
                        kept.append(error.key)
            yield ListedPage(self._kind, tuple(objects), tuple(kept))

    def _list_done(self, version: str, count: int, *, in_pages: bool) -> None:
        """Note a complete list."""
        before, now = comparable(self._version), comparable(version)
        if before is not None and now is not None and now < before:
            logger.warning(
                "the API server went back in time: %s were at resourceVersion %d, are at %d", self._name, before, now
            )
        if not self._version:
            self._in_pages = in_pages
        first = not self._listed
        self._version, self._unavailable, self._synced, self._listed = version, False, True, True
        self._doubted, self._not_served = False, ""
        self._status.lists[self._kind] += 1
        if first or self._solved(Stage.LIST):
            self._trouble = None
            logger.info("listed %d %s", count, self._name)

    # Watching

    async def _watch(self) -> AsyncGenerator[Event, None]:
        """Yield changes until the watch ends; returns where another may go on from there. Raises `FaultError`."""
        begun = self._clock.now()
        stream = _Stream(self._version)
        opened = False
        try:
            async with self._api.request(
                self._path, self._watch_query(), read_timeout=self._timing.watch_silence
            ) as response:
                if response.status != 200:
                    raise fault_of_response(response.status, response.headers, await response.read(), Stage.OPEN)
                opened = True
                self._proved(Stage.OPEN)
                async with aclosing(_lines(response)) as lines:
                    async for line in lines:
                        event = self._understand(await _event(line), stream)
                        if event is not None:
                            yield event
        except UnreachableError as error:
            if not opened:
                # Where nothing listens, the API server is restarting and will know our version (client-go).
                raise FaultError(Trouble.UNREACHABLE, Stage.OPEN, str(error), rewatch=error.refused) from None
            # Cut off, hung or in the middle of a line: nothing is lost, another watch goes on from the last event.
            logger.debug("the watch of %s broke off: %s", self._name, error)
            self._status.watch_errors[self._kind] += 1
        if not stream.events and self._clock.now() - begun < self._timing.watch_short:
            raise FaultError(Trouble.SHORT, Stage.STREAM, "the watch ended as soon as it began")
        self._proved(Stage.STREAM)

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

    def _understand(self, watched: WatchEvent, stream: "_Stream") -> Event | None:
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
        try:
            return self._changed(watched, head, new=stream.is_new(head))
        except InvalidObjectError as error:
            self._refusals.refuse(error)
            return None

    def _changed(self, watched: WatchEvent, head: Head, *, new: bool) -> Event | None:
        """Return the event for a change. Raises `InvalidObjectError`, and the last good state stays."""
        kind = self._kind
        if watched.type == "DELETED":
            if not is_named(kind, head.key):
                raise InvalidObjectError(kind, head.key, "deleted, but which one cannot be read")
            self._refusals.forget(head.key)
            # A uid never comes back, so an old deletion of it does no harm, whatever its version.
            return Deleted(kind, head.key, head.uid) if new or head.uid else None
        if watched.type not in ("ADDED", "MODIFIED"):
            raise InvalidObjectError(kind, head.key, f"unknown watch event type {watched.type[:20]!r}")
        if head.kind != kind.value:
            raise InvalidObjectError(kind, head.key, f"kind is {head.kind[:63]!r}")
        return Changed(kind, _decode(kind, watched.object)) if new else None

    # Failing

    def _failed(self, fault: FaultError) -> list[Event]:
        """Decide what follows from a failure; return what the store must know of it."""
        if fault.stage >= Stage.OPEN:
            self._status.watch_errors[self._kind] += 1
        if not fault.rewatch:
            self._synced = False
        absent = fault.trouble is Trouble.ABSENT
        if absent:
            self._version, self._unavailable, self._listed = "", False, False
        self._log(fault)
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

    def _log(self, fault: FaultError) -> None:
        """Tell of a failure, once for as long as it stays the same."""
        trouble = fault.stage, fault.trouble
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if fault.trouble is Trouble.ABSENT:
            logger.info("%s: there are none until it has", fault.reason)
            return
        level = logging.INFO if fault.trouble in _QUIET else logging.WARNING
        then = "keeping what was last known" if self._listed else "nothing of it is known yet"
        if fault.trouble is Trouble.FORBIDDEN:
            then += f"; the account needs the verbs list and watch on {self._name}"
        logger.log(level, "cannot %s %s: %s; %s", _VERBS[fault.stage], self._name, fault.reason, then)

    def _solved(self, stage: Stage) -> bool:
        """Say whether success at a stage ends the trouble that was logged."""
        return self._trouble is not None and self._trouble[0] <= stage

    def _proved(self, stage: Stage) -> None:
        """Note success at a stage of the watch."""
        if stage is Stage.OPEN:
            self._status.contact(self._kind)
        if self._solved(stage):
            self._trouble = None
            logger.info("watching %s again", self._name)


class _Stream:
    """What one watch has told so far: of each object, only ever newer states count.

    Replays and events out of order are no business of an API server, and must still end in its state.
    """

    def __init__(self, version: str) -> None:
        self._base = comparable(version)  # everything up to here is known
        self._seen: dict[Key, int] = {}
        self.events = 0  # of any type but ERROR

    def is_new(self, head: Head) -> bool:
        """Say whether an object's state is newer than what is known; note that it is known now."""
        version = comparable(head.resource_version)
        if version is None:
            return True
        if (self._base is not None and version <= self._base) or version <= self._seen.get(head.key, -1):
            return False
        self._seen[head.key] = version
        return True


class _Refusals:
    """The objects that could not be understood: counted always, logged once per object and reason."""

    def __init__(self, kind: Kind, status: SourceStatus) -> None:
        self._kind = kind
        self._status = status
        self._told: dict[Key, set[str]] = {}
        self._in_list: dict[Key, set[str]] = self._told

    def refuse(self, error: InvalidObjectError) -> None:
        """Count an object, and tell of it if that is new."""
        self._status.refused[self._kind] += 1
        if error.reason not in self._told.get(error.key, ()):
            logger.warning("refused %s", error)
        reasons = self._told.setdefault(error.key, set())
        reasons.add(error.reason)
        self._in_list[error.key] = reasons

    def forget(self, key: Key) -> None:
        """Note that an object is gone."""
        self._told.pop(key, None)

    def list_started(self) -> None:
        """Begin to note what is refused in a list."""
        self._in_list = {}

    def list_ended(self) -> None:
        """Forget the objects that the list did not refuse."""
        self._told = self._in_list


_VERBS = {Stage.DISCOVER: "look for", Stage.LIST: "list", Stage.OPEN: "watch", Stage.STREAM: "go on watching"}


async def _parsed(decode: Callable[[bytes], _T], body: bytes) -> _T:
    """Parse a document, one that is nested too deeply included. Raises `ValueError`."""
    try:
        return decode(body)
    except RecursionError:
        return decode(await call_in_executor(prune, body))


async def _event(line: bytes) -> WatchEvent:
    """Parse one line of a watch. Raises `FaultError`."""
    try:
        return await _parsed(decode_watch_event, line)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise nonsense(Stage.STREAM, f"not a watch event: {error}") from None


def _decode(kind: Kind, raw: msgspec.Raw) -> Object:
    """Parse an object. Raises `InvalidObjectError`."""
    try:
        return decode_object(kind, raw)
    except RecursionError:  # as deep as the document could just be
        return decode_object(kind, prune(bytes(raw)))


async def _lines(response: Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a watch; one that is cut off is none. Raises `FaultError`, `UnreachableError`."""
    buffer = LineBuffer()
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            try:
                for line in buffer.feed(chunk):
                    yield line
            except LineTooLongError as error:
                raise nonsense(Stage.STREAM, str(error)) from None


def _newer(known: str, seen: str) -> str:
    """Return the later of two resourceVersions; the one seen last where they cannot be compared."""
    before, after = comparable(known), comparable(seen)
    if before is not None and after is not None:
        return seen if after > before else known
    return seen or known
