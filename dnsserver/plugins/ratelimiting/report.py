"""Which networks are being limited, for the log: one line when that starts and one when it ends; no I/O."""

from dataclasses import dataclass

MAX_REPORTED = 100  # networks at a time: who forges addresses must not fill the disk
_QUIET = 15.0  # seconds at least without a limited response before a network counts as let go


@dataclass(slots=True)
class _Episode:
    """What a network has got since it is limited."""

    last: float  # monotonic time of the last limited response
    dropped: int = 0
    slipped: int = 0


class Report:
    """The networks that the log has been told of, and has not been told that they are limited no more."""

    def __init__(self, window: float, limit: int = MAX_REPORTED) -> None:
        self._quiet = max(window, _QUIET)
        self._limit = limit
        self._episodes: dict[bytes, _Episode] = {}
        self._overflowing = False

    def __bool__(self) -> bool:
        return bool(self._episodes)

    def add(self, prefix: bytes, now: float, *, slipped: bool) -> bool:
        """Note a limited response; say whether it is the first of a network that is to be reported."""
        episode = self._episodes.get(prefix)
        new = episode is None
        if episode is None:
            if len(self._episodes) >= self._limit:
                return False
            episode = self._episodes[prefix] = _Episode(now)
        episode.last = now
        episode.slipped += slipped
        episode.dropped += not slipped
        return new

    def overflows(self) -> bool:
        """Say, once until there is room again, that there are as many networks as are reported at a time."""
        full = len(self._episodes) >= self._limit
        first, self._overflowing = full and not self._overflowing, full
        return first

    def end(self, now: float) -> list[tuple[bytes, str]]:
        """Return the networks that are limited no more, each with the sum of what happened, and forget them."""
        ended = [prefix for prefix, one in self._episodes.items() if now - one.last >= self._quiet]
        episodes = [(prefix, self._episodes.pop(prefix)) for prefix in ended]
        return [(prefix, f"{one.dropped} dropped, {one.slipped} slipped") for prefix, one in episodes]
