"""Which serial a content gets; no I/O, no clock.

The serial is the Unix second in which the content last changed, so serials rise across restarts, and those of replicas
that see the same changes are alike. Contents of one second share it; a secondary gets one that can share it no more
(`Serial.settles`): no two contents that are transferred have the same serial.
"""

from dataclasses import dataclass, replace

SHARED = 1.0  # seconds that contents may share a serial, by a clock that never goes back


@dataclass(frozen=True, slots=True)
class Serial:
    """A serial, and when it was first given out."""

    value: int
    since: float  # by a clock that never goes back, in seconds

    def next(self, second: int, now: float) -> "Serial":
        """Return the serial of a change in the Unix second `second`; `now` is of the clock that `since` is of.

        Where the wall clock has gone back, or stands, serials rise by one a second at most.
        """
        if second > self.value:
            return Serial(second, now)
        return self if self.settles(now) > 0 else Serial(self.value + 1, now)

    def settles(self, now: float) -> float:
        """Return in how many seconds no other content can get this serial any more; 0 or less: none can."""
        return self.since + SHARED - now

    def sealed(self) -> "Serial":
        """Return the serial as one that no other content gets."""
        return replace(self, since=float("-inf"))


NEVER = Serial(0, float("-inf"))  # before the first sync
