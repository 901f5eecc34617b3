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


class _Table:
    """A version for each of many objects: by namespace and then by name, as a key for each takes as much again."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def get(self, key: Key) -> int:
        """Return an object's version, -1 where none is known."""
        return self._namespaces.get(key[0], {}).get(key[1], -1)

    def put(self, key: Key, version: int) -> None:
        """Note an object's version."""
        names = self._namespaces.get(key[0])
        if names is None:
            names = self._namespaces[key[0]] = {}
        names[key[1]] = version

    def discard(self, key: Key) -> None:
        """Forget an object."""
        names = self._namespaces.get(key[0])
        if names is not None and names.pop(key[1], None) is not None and not names:
            del self._namespaces[key[0]]

    def names(self) -> dict[str, set[str]]:
        """Return the names that are known, by namespace."""
        return {namespace: set(names) for namespace, names in self._namespaces.items()}


class Versions:
    """The version of each object that is there, as lists and watches have told so far."""

    def __init__(self) -> None:
        self._told = _Table()
        self._listed = _Table()
        self._comparison: Comparison | None = None

    def list_started(self) -> None:
        """Begin a list, which counts once it has ended."""
        self._listed = _Table()

    def list(self, head: Head) -> None:
        """Note one of its items."""
        version = comparable(head.resource_version)
        if version is not None:
            self._listed.put(head.key, version)

    def list_ended(self) -> int:
        """Know what the list has told, and nothing else; return how many objects were known before."""
        before = len(self._told)
        self._told, self._listed, self._comparison = self._listed, _Table(), None
        return before

    def change(self, head: Head) -> None:
        """Note an object's newer state, whether it could be understood or not."""
        version = comparable(head.resource_version)
        if version is not None:
            self._told.put(head.key, version)

    def delete(self, head: Head) -> None:
        """Note that an object is gone."""
        self.forget(head.key)
        version = comparable(head.resource_version)
        if self._comparison is not None and version is not None:
            self._comparison.gone[head.key] = version

    def forget(self, key: Key) -> None:
        """Note that an object is gone, no matter since when."""
        self._told.discard(key)

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

    def __init__(self, told: _Table) -> None:
        self.version = 0  # of the list
        self.gone: dict[Key, int] = {}  # what the watch has told to be deleted since the list was asked for
        self._told = told
        self._unseen = told.names()
        self._newer: dict[Key, tuple[Head, bytes]] = {}

    def page(self, items: Iterable[tuple[Head, msgspec.Raw]]) -> None:
        """Take in some items of the list."""
        for head, raw in items:
            self._unseen.get(head.key[0], set()).discard(head.key[1])
            if self._is_missed(head):
                self._newer[head.key] = head, bytes(raw)  # a copy: the view would keep the whole page

    def changed(self) -> list[tuple[Head, bytes]]:
        """Return the objects that are there in a newer state than was told."""
        return [(head, body) for head, body in self._newer.values() if self._is_missed(head)]

    def deleted(self) -> list[Key]:
        """Return the objects that were told, and were gone at the list's version."""
        keys = ((namespace, name) for namespace, names in self._unseen.items() for name in names)
        return [key for key in keys if 0 <= self._told.get(key) <= self.version]

    def _is_missed(self, head: Head) -> bool:
        """Say whether nothing as new as that was told of the object: neither a state of it nor its end."""
        version = comparable(head.resource_version)
        return version is not None and version > max(self._told.get(head.key), self.gone.get(head.key, -1))
