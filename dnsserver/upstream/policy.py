"""In which order servers are tried (CoreDNS, plugin/forward/policy.go); no I/O."""

import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def at_random(servers: Sequence[_T], source: random.Random) -> Sequence[_T]:
    """Return the servers in a random order."""
    return servers if len(servers) == 1 else source.sample(servers, len(servers))


def sequential(servers: Sequence[_T], _source: random.Random) -> Sequence[_T]:
    """Return the servers as they were written."""
    return servers


class RoundRobin:
    """Begins with the next server each time; the others follow as they were written."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, servers: Sequence[_T], _source: random.Random) -> Sequence[_T]:
        self._turn = (self._turn + 1) % len(servers)
        return (servers[self._turn], *servers[: self._turn], *servers[self._turn + 1 :])
