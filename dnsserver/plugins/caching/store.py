"""Entries by key, never more than a capacity: a full store drops one at random; no I/O."""

import random
from collections.abc import Callable

from dnsserver.plugins.caching.entry import Entry, Key

_SHARDS = 256  # CoreDNS keeps as many small caches of equal size, so capacities are multiples of it
_SMALLEST_SHARD = 4


class Store:
    """One of the two caches. Every entry knows its slot in a list of all keys, so that dropping any costs the same."""

    def __init__(self, capacity: int, choose: Callable[[int], int] = random.randrange) -> None:
        """Round the capacity as CoreDNS does: to a multiple of 256 below it, of 1024 or more."""
        self.capacity = max(capacity // _SHARDS, _SMALLEST_SHARD) * _SHARDS
        self._choose = choose  # an index below its argument
        self._entries: dict[Key, Entry] = {}
        self._keys: list[Key] = []
        self.get = self._entries.get  # no method of our own: every hit passes here

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Key, entry: Entry) -> bool:
        """Add or replace an entry; say whether another one had to go."""
        old = self._entries.get(key)
        if old is not None:
            entry.slot = old.slot
            self._entries[key] = entry
            return False
        full = len(self._keys) >= self.capacity
        if full:
            self.remove(self._keys[self._choose(len(self._keys))])
        entry.slot = len(self._keys)
        self._keys.append(key)
        self._entries[key] = entry
        return full

    def remove(self, key: Key) -> None:
        """Forget an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        last = self._keys.pop()
        if entry.slot < len(self._keys):  # the last key moves into the gap
            self._keys[entry.slot] = last
            self._entries[last].slot = entry.slot
