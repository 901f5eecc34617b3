"""What a zone was like for those who follow it: its latest versions, and the names in which they differ; no I/O.

Versions share their structure, so one costs in proportion to what it changed. Contents that share a serial are one
version, of which the last is kept: no other of them has been transferred (`serials`).
"""

from collections import deque
from itertools import islice

from dnsserver.names import Name
from dnsserver.store.serials import SHARED
from dnsserver.zone import MAX_CHANGED, Zone

MAX_VERSIONS = 1000  # a quarter of an hour, of a zone that changes in every second


class Version:
    """The contents of one serial, of which `zone` is the last."""

    __slots__ = ("changed", "since", "zone")

    def __init__(self, zone: Zone, since: float) -> None:
        self.zone = zone
        self.since = since  # when the serial was first seen
        self.changed: set[Name] = set()  # the names that may differ from the version before


class Journal:
    """The versions of one zone, the newest last; told of every content, or else the differences are wrong."""

    def __init__(self) -> None:
        self._versions: deque[Version] = deque()
        self._names = 0  # of all `changed` together

    @property
    def newest(self) -> Version | None:
        """The present version; None before the zone has been loaded."""
        return self._versions[-1] if self._versions else None

    def __len__(self) -> int:
        return len(self._versions)

    def note(self, zone: Zone, now: float) -> None:
        """Take note of the zone's next content. `now` is in seconds of a clock that never goes back."""
        if not zone.serial:
            return
        newest = self.newest
        if newest is None or newest.zone.serial != zone.serial:
            newest = Version(zone, now)
            self._versions.append(newest)
        newest.zone = zone
        if zone.changed is None:
            self._drop(len(self._versions) - 1)
        if len(self._versions) == 1 or zone.changed is None:
            return
        before = len(newest.changed)
        newest.changed |= zone.changed
        self._names += len(newest.changed) - before
        while self._names >= MAX_CHANGED or len(self._versions) > MAX_VERSIONS:
            self._drop(min(1, len(self._versions) - 1))

    def _drop(self, count: int) -> None:
        """Drop the oldest versions; in what the one that is the oldest then differs from others means nothing."""
        for _ in range(count):
            self._names -= len(self._versions.popleft().changed)
        self._names -= len(self._versions[0].changed)
        self._versions[0].changed = set()

    def settles(self, version: Version, now: float) -> float:
        """Return in how many seconds the version can have no other content any more; 0 or less: it has its last."""
        return version.since + SHARED - now if version is self.newest else 0.0

    def since(self, serial: int, last: Version) -> tuple[Zone, set[Name]] | None:
        """Return the zone that had a serial, and the names in which `last` may differ; None where it is not known."""
        for index, version in enumerate(self._versions):
            if version.zone.serial == serial:
                names: set[Name] = set()
                for later in islice(self._versions, index + 1, None):
                    names |= later.changed
                    if later is last:
                        return version.zone, names
                return None
        return None
