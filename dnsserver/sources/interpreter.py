"""What lists and watches tell of the objects of one kind, as events for the store.

An object that cannot be understood is refused: it is counted, told of once, and its last good state stays.
"""

import msgspec

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListStarted
from dnsserver.objects import Further, InvalidObjectError, Key, Kind, Object, WatchEvent
from dnsserver.sources.answers import parse_object
from dnsserver.sources.envelopes import Head, decode_head, is_named
from dnsserver.sources.refusals import Refusals
from dnsserver.sources.versions import Comparison, Stream, Versions


class Interpreter:
    """Makes events of the objects of one kind, and keeps `versions` and `refusals` in step with what it has told."""

    def __init__(self, kind: Kind, versions: Versions, refusals: Refusals, further: Further | None = None) -> None:
        """Read objects of a kind; VMIs with their `further` interfaces if that is not None."""
        self.kind = kind
        self._further = further
        self._versions = versions
        self._refusals = refusals

    def list_started(self) -> Event:
        """Begin a list, which counts once it has ended."""
        self._refusals.list_started()
        self._versions.list_started()
        return ListStarted(self.kind)

    def listed(self, part: list[msgspec.Raw]) -> Event:
        """Return the event for a part of a list."""
        objects: list[Object] = []
        kept: list[Key] = []
        for raw in part:
            self._versions.list(decode_head(self.kind, raw))
            try:
                objects.append(parse_object(self.kind, raw, self._further))
            except InvalidObjectError as error:
                kept += self.refuse(error)
        return ListedPage(self.kind, tuple(objects), tuple(kept))

    def streamed(self, watched: WatchEvent, head: Head, stream: Stream) -> Event | None:
        """Return the event for an item of a list that a watch begins with. Raises `InvalidObjectError`."""
        self._versions.list(head)
        return self._change(watched, head, new=stream.is_new(head))

    def list_ended(self) -> int:
        """Know what the list has told, and nothing else; return how many objects were known before."""
        self._refusals.list_ended()
        return self._versions.list_ended()

    def changed(self, watched: WatchEvent, head: Head, stream: Stream) -> Event | None:
        """Return the event for a change, None where it is not news or cannot be understood."""
        try:
            return self._change(watched, head, new=stream.is_new(head))
        except InvalidObjectError as error:
            self._refusals.refuse(error)
            return None

    def missed(self, comparison: Comparison, stream: Stream) -> list[Event]:
        """Return the events that the watch should have told, as a list beside it shows."""
        events: list[Event] = []
        for head, body in comparison.changed():
            stream.is_new(head)
            self._versions.change(head)
            try:
                events.append(Changed(self.kind, parse_object(self.kind, body, self._further)))
            except InvalidObjectError as error:
                self._refusals.refuse(error)
        for key in comparison.deleted():
            self._versions.forget(key)
            self._refusals.forget(key)
            events.append(Deleted(self.kind, key))
        return events

    def refuse(self, error: InvalidObjectError) -> list[Key]:
        """Refuse an item of a list; return its key, whose last good state stays, where it has one."""
        self._refusals.refuse(error)
        return [error.key] if is_named(self.kind, error.key) else []

    def _change(self, watched: WatchEvent, head: Head, *, new: bool) -> Event | None:
        """Return the event for a change, None where it is not news. Raises `InvalidObjectError`."""
        kind = self.kind
        if watched.type == "DELETED":
            if not is_named(kind, head.key):
                raise InvalidObjectError(kind, head.key, "deleted, but which one cannot be read")
            self._refusals.forget(head.key)
            if new:
                self._versions.delete(head)
            # A uid never comes back, so an old deletion of it does no harm, whatever its version.
            return Deleted(kind, head.key, head.uid) if new or head.uid else None
        if watched.type not in ("ADDED", "MODIFIED"):
            raise InvalidObjectError(kind, head.key, f"unknown watch event type {watched.type[:20]!r}")
        if new:
            self._versions.change(head)
        if head.kind != kind.value:
            raise InvalidObjectError(kind, head.key, f"kind is {head.kind[:63]!r}")
        return Changed(kind, parse_object(kind, watched.object, self._further)) if new else None
