"""The order in which servers are tried."""

import random
from collections import Counter

from dnsserver.upstream import RoundRobin, at_random, sequential

SOURCE = random.Random(1)


def test_sequential() -> None:
    """Always as written."""
    assert sequential("abc", SOURCE) == "abc"


def test_round_robin() -> None:
    """Each has its turn at the front, the second one first as in CoreDNS; the others keep their order."""
    order = RoundRobin()
    assert ["".join(order("abc", SOURCE)) for _ in range(4)] == ["bac", "cab", "abc", "bac"]


def test_random() -> None:
    """Every order comes up; one server needs no dice."""
    seen = Counter("".join(at_random("abc", SOURCE)) for _ in range(600))
    assert len(seen) == 6
    assert min(seen.values()) > 60
    assert at_random("a", SOURCE) == "a"
