"""What is remembered of VMIs because their present state does not say it, and until when; no I/O, no clock."""

import heapq
from collections.abc import Iterable, Iterator

from dnsserver.derive.observation import NOTHING, Observation, Timing, observe
from dnsserver.objects import Key, VirtualMachineInstance


class Observations:
    """The observations of all VMIs; nearly every VMI has none."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._observations: dict[Key, Observation] = {}
        self._deadlines: list[tuple[float, Key]] = []  # a heap

    @property
    def deadline(self) -> float | None:
        """When the next one ends, by the clock that `now` counts; None where none will."""
        return self._deadlines[0][0] if self._deadlines else None

    def due(self, now: float) -> bool:
        """Say whether one has ended."""
        return bool(self._deadlines) and self._deadlines[0][0] <= now

    def get(self, key: Key) -> Observation:
        """Return what is remembered of a VMI."""
        return self._observations.get(key, NOTHING)

    def values(self) -> Iterable[Observation]:
        """Return all that is remembered."""
        return self._observations.values()

    def remember(self, previous: VirtualMachineInstance | None, value: VirtualMachineInstance, now: float) -> None:
        """Remember what the VMI's present state alone does not say."""
        remembered = self.get(value.key)
        observation = observe(previous, remembered, value, timing=self._timing, now=now)
        if observation == NOTHING:
            self._observations.pop(value.key, None)
            return
        self._observations[value.key] = observation
        for deadline in set(observation.deadlines()) - set(remembered.deadlines()):
            heapq.heappush(self._deadlines, (deadline, value.key))

    def forget(self, key: Key) -> None:
        """Remember nothing of a VMI."""
        self._observations.pop(key, None)

    def expire(self, now: float) -> Iterator[Key]:
        """Yield the VMIs whose grace or hold has run out."""
        while self.due(now):
            _, key = heapq.heappop(self._deadlines)
            observation = self._observations.get(key)
            if observation is None:
                continue
            if all(deadline <= now for deadline in observation.deadlines()):
                del self._observations[key]
            yield key
