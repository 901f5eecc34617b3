"""Token buckets by key, never more than a number of them; no I/O, time is an argument.

A bucket holds the responses of one second and fills at their rate. What is asked for beyond that makes a debt of at
most `window` seconds, so that a flood gets nothing until it has been over for that long (BIND 9, `rate-limit`).
"""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum

import msgspec

_DEPTH = 1.0  # seconds' worth of responses in a full bucket
_EPSILON = 1e-6  # seconds: sums of intervals are not exact; far less than the shortest interval
_SHARD = 2048  # buckets: a table of 100,000 in one piece stops everything for 10 ms whenever it has to be laid out anew
_SWEPT = 2  # buckets that may be forgotten for each new one: memory follows demand, at no cost that adds up


class Verdict(Enum):
    """What becomes of one response."""

    PASS = "pass"  # noqa: S105 -- no password
    SLIP = "slip"
    DROP = "drop"


class _Bucket(msgspec.Struct, gc=False):  # a hundred thousand of them would hold up every collection
    """One bucket; its content is known from the time at which it would be full again."""

    full_at: float  # monotonic time
    limited: int = 0  # responses that found it empty since it was full


_Shard = OrderedDict[Hashable, _Bucket]  # the one asked for last is last


class Buckets:
    """The buckets of one plugin, in shards of equal size; each call costs the same, however many there are.

    When a shard is full, its bucket that was not asked for longest goes, though it may be in debt: who sends from more
    networks than there is room for is limited less, and never more.
    """

    def __init__(self, capacity: int, window: float, slip: int) -> None:
        count = max(1, capacity // _SHARD)
        self._shard_capacity = capacity // count
        self._debt = _DEPTH + window  # seconds until the emptiest bucket is full
        self._slip = slip  # of so many limited responses the first slips; 0: none
        self._count = count
        self._shards = [_Shard() for _ in range(count)]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __contains__(self, key: Hashable) -> bool:
        return key in self._shards[hash(key) % self._count]

    def take(self, key: Hashable, interval: float, now: float) -> Verdict:
        """Take one response from a key's bucket, which fills by one every `interval` seconds, 1 at most."""
        shard = self._shards[hash(key) % self._count]
        bucket = shard.get(key)
        if bucket is None:
            self._make_room(shard, now)
            shard[key] = _Bucket(now + interval)
            return Verdict.PASS
        shard.move_to_end(key)
        if bucket.full_at <= now:  # full, and like one that has been forgotten
            bucket.full_at = now + interval
            bucket.limited = 0
            return Verdict.PASS
        full_at = bucket.full_at + interval
        if full_at <= now + _DEPTH + _EPSILON:
            bucket.full_at = full_at
            return Verdict.PASS
        bucket.full_at = min(full_at, now + self._debt)
        bucket.limited += 1
        slips = self._slip and not (bucket.limited - 1) % self._slip
        return Verdict.SLIP if slips else Verdict.DROP

    def _make_room(self, shard: _Shard, now: float) -> None:
        """Forget old buckets that are full, for those are like new ones; where there is no room, any old one."""
        for _ in range(min(_SWEPT, len(shard))):
            oldest = next(iter(shard.values()))
            if oldest.full_at > now and len(shard) < self._shard_capacity:
                return
            shard.popitem(last=False)
