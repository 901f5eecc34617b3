"""Which version of each object was told last, and whether a list shows that something has been missed; no I/O.

Everything here rests on resourceVersions that can be compared (KEP-5504); where they cannot, nothing is said to be
missed, and every event counts as new.
"""

from collections.abc import Iterable

import msgspec

from dnsserver.objects import Key
from dnsserver.sources.envelopes import Head, comparable


class Stream:
    """What one watch has told so far: of each object, only ever newer states count.

    Replays and events out of order are no business of an API server, and must still end in its state.
    """

    def __init__(self, version: str) -> None:
        self.events = 0  # of any type but ERROR
        self.begin(version)

    def begin(self, version: str) -> None:
        """Know everything up to a version."""
        self._base = comparable(version)
        self._seen: dict[Key, int] = {}

    def is_new(self, head: Head) -> bool:
        """Say whether an object's state is newer than what is known; note that it is known now."""
        version = comparable(head.resource_version)
        if version is None:
            return True
        if (self._base is not None and version <= self._base) or version <= self._seen.get(head.key, -1):
            return False
        self._seen[head.key] = version
        return True


class Versions:
    """The version of each object that is there, as lists and watches have told so far."""

    def __init__(self) -> None:
        self._told: dict[Key, int] = {}
        self._listed: dict[Key, int] = {}
        self._comparison: Comparison | None = None

    def list_started(self) -> None:
        """Begin a list, which counts once it has ended."""
        self._listed = {}

    def list(self, head: Head) -> None:
        """Note one of its items."""
        version = comparable(head.resource_version)
        if version is not None:
            self._listed[head.key] = version

    def list_ended(self) -> int:
        """Know what the list has told, and nothing else; return how many objects were known before."""
        before = len(self._told)
        self._told, self._listed, self._comparison = self._listed, {}, None
        return before

    def change(self, head: Head) -> None:
        """Note an object's newer state, whether it could be understood or not."""
        version = comparable(head.resource_version)
        if version is not None:
            self._told[head.key] = version

    def delete(self, head: Head) -> None:
        """Note that an object is gone."""
        self.forget(head.key)
        version = comparable(head.resource_version)
        if self._comparison is not None and version is not None:
            self._comparison.gone[head.key] = version

    def forget(self, key: Key) -> None:
        """Note that an object is gone, no matter since when."""
        self._told.pop(key, None)

    def clear(self) -> None:
        """Know nothing."""
        self.list_started()
        self.list_ended()

    def compare(self) -> "Comparison":
        """Begin to compare what is known with a list that is about to be asked for, while the watch goes on."""
        self._comparison = Comparison(self._told)
        return self._comparison


class Comparison:
    """A list beside a running watch, and what the watch should have told by then but has not.

    The list shows the state at one version. An object that it has in a newer state than was told, or that was told
    and that it does not have, has been missed: unless the watch has still to come to that version.
    """

    def __init__(self, told: dict[Key, int]) -> None:
        self.version = 0  # of the list
        self.gone: dict[Key, int] = {}  # what the watch has told to be deleted since the list was asked for
        self._told = told
        self._unseen = set(told)
        self._newer: dict[Key, tuple[Head, bytes]] = {}

    def page(self, items: Iterable[tuple[Head, msgspec.Raw]]) -> None:
        """Take in some items of the list."""
        for head, raw in items:
            self._unseen.discard(head.key)
            if self._is_missed(head):
                self._newer[head.key] = head, bytes(raw)  # a copy: the view would keep the whole page

    def changed(self) -> list[tuple[Head, bytes]]:
        """Return the objects that are there in a newer state than was told."""
        return [(head, body) for head, body in self._newer.values() if self._is_missed(head)]

    def deleted(self) -> list[Key]:
        """Return the objects that were told, and were gone at the list's version."""
        return [key for key in self._unseen if self._told.get(key, self.version + 1) <= self.version]

    def _is_missed(self, head: Head) -> bool:
        """Say whether nothing as new as that was told of the object: neither a state of it nor its end."""
        version = comparable(head.resource_version)
        return version is not None and version > max(self._told.get(head.key, -1), self.gone.get(head.key, -1))
