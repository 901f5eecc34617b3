"""Idle connections: which one comes back, and when they are closed."""

from typing import cast

import pytest

from dnsserver.upstream.pool import Pool
from dnsserver.upstream.stream import Connection
from tests.transports.support import eventually


class Stub:
    """What a pool sees of a connection."""

    def __init__(self, created: float = 0.0) -> None:
        self.created = self.used = created
        self.usable = True
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def give(pool: Pool, *stubs: Stub) -> None:
    for stub in stubs:
        pool.give(cast("Connection", stub))


def taken(pool: Pool) -> Stub | None:
    return cast("Stub | None", pool.take())


async def test_oldest_first(clock: Clock) -> None:
    """The one that has waited longest, so that the ports in use keep changing."""
    pool = Pool(expire=10, clock=clock)
    first, second = Stub(), Stub()
    give(pool, first, second)
    assert (taken(pool), taken(pool), taken(pool)) == (first, second, None)
    pool.close()


async def test_expire(clock: Clock) -> None:
    """What was idle for too long is closed and not used."""
    pool = Pool(expire=10, clock=clock)
    old, new = Stub(), Stub()
    give(pool, old)
    clock.now = 1.0
    give(pool, new)
    clock.now = 10.5
    assert taken(pool) is new
    assert (old.closed, new.closed) == (True, False)
    pool.close()


async def test_max_age(clock: Clock) -> None:
    """What is in use all the time grows old as well."""
    pool = Pool(expire=10, max_age=20, clock=clock)
    stub = Stub()
    for clock.now in (5.0, 14.0, 20.0):
        give(pool, stub)
        assert taken(pool) is stub
    give(pool, stub)
    clock.now = 20.5
    assert taken(pool) is None
    assert stub.closed
    pool.close()


async def test_ended(clock: Clock) -> None:
    """What the other side has closed is passed over."""
    pool = Pool(expire=10, clock=clock)
    ended, good = Stub(), Stub()
    give(pool, ended, good)
    ended.usable = False
    assert taken(pool) is good
    assert ended.closed
    pool.close()


async def test_max_idle(clock: Clock) -> None:
    """No more than so many are kept, none where they expire at once."""
    pool = Pool(expire=10, max_idle=1, clock=clock)
    first, second = Stub(), Stub()
    give(pool, first, second)
    assert (len(pool), first.closed, second.closed) == (1, False, True)
    pool.close()
    assert (len(pool), first.closed) == (0, True)
    give(pool, late := Stub())
    assert (len(pool), late.closed) == (0, True)
    none = Pool(expire=0, clock=clock)
    give(none, third := Stub())
    assert (len(none), third.closed) == (0, True)


async def test_sweep(clock: Clock) -> None:
    """Nobody has to ask for connections to be closed; the rest is looked at again."""
    pool = Pool(expire=0.01, clock=clock)
    old, ended, new = Stub(), Stub(), Stub()
    give(pool, old)
    clock.now = 1.0
    give(pool, ended, new)
    ended.usable = False
    await eventually(lambda: ended.closed)
    assert (old.closed, new.closed, len(pool)) == (True, False, 1)
    clock.now = 2.0
    await eventually(lambda: new.closed)
    assert len(pool) == 0
