"""What the load has seen: what was asked, lost and wrong, how long answers took, and how late the load itself was."""

import math
from collections import Counter

_GROWTH = math.log(1.05)  # of one latency bucket to the next: percentiles are right within 5 %
_FINEST = 0.01  # milliseconds
_EXAMPLES = 10  # wrong answers and failures that are told in words
OWN_STALL = 0.02  # seconds: a load generator later than this can say nothing about the server's latency


class Latencies:
    """Milliseconds in buckets: millions of them take no more memory than a few."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.total = 0
        self.worst = 0.0

    def add(self, milliseconds: float) -> None:
        """Note one answer's time."""
        self._counts[int(math.log(max(milliseconds, _FINEST) / _FINEST) / _GROWTH)] += 1
        self.total += 1
        self.worst = max(self.worst, milliseconds)

    def update(self, other: "Latencies") -> None:
        """Note all that another one has."""
        self._counts.update(other._counts)
        self.total += other.total
        self.worst = max(self.worst, other.worst)

    def percentile(self, share: float) -> float:
        """Return the time that this share of the answers stayed below; 0 without any."""
        left = self.total * share
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(_FINEST * math.exp((bucket + 1) * _GROWTH), self.worst)
        return self.worst


class Tally:
    """Counts by kind of question or connection; `own_*` is what the load generator itself is to blame for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.examples: list[str] = []
        self.latencies = Latencies()  # UDP, since the last line
        self.all_latencies = Latencies()  # UDP, before that
        self.own_late = Latencies()  # answers that came while the load generator stood still
        self.own_stalls = 0
        self.own_worst = 0.0  # seconds
        self.own_drops = 0  # answers that the kernel dropped because the load generator did not read them in time
        self._stalled_until = 0.0

    def stalled(self, until: float, seconds: float) -> None:
        """Note that the load generator stood still, on the clock that queries are timed with."""
        self.own_stalls += 1
        self.own_worst = max(self.own_worst, seconds)
        self._stalled_until = until

    def stood_still_since(self, moment: float) -> bool:
        """Say whether the load generator has stood still after a moment."""
        return self._stalled_until >= moment

    def answered(self, sent: float, now: float, *, late: bool) -> None:
        """Note an answer over UDP; `late` where the load generator knows itself to be late at this moment."""
        milliseconds = (now - sent) * 1000
        (self.own_late if late or self.stood_still_since(sent) else self.latencies).add(milliseconds)

    def missed(self, kind: str, what: str) -> None:
        """Note a query without an answer."""
        self.lost[kind] += 1
        self._example(f"lost: {kind}: {what}")

    def mistaken(self, kind: str, what: str) -> None:
        """Note a wrong answer, or a connection that did not fare as it should."""
        self.wrong[kind] += 1
        self._example(f"wrong: {kind}: {what}")

    def turn(self) -> Latencies:
        """Return the latencies since the last call, and begin anew."""
        recent, self.latencies = self.latencies, Latencies()
        self.all_latencies.update(recent)
        return recent

    def _example(self, text: str) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)
