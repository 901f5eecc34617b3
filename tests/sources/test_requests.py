"""What requests to the API server are held to: buckets, slots and histograms, with a clock of their own."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.sources.requests import BUCKETS, Durations, Limiter, RequestLimits
from tests.fakes.api_clock import FakeClock


async def waits(limits: RequestLimits, pauses: Sequence[float]) -> list[float]:
    """Return how long each request had to wait that came so many seconds after the one before."""
    clock = FakeClock()
    limiter = Limiter(limits, clock)
    found = []
    for pause in pauses:
        clock.time += pause
        async with limiter.slot() as waited:
            found.append(waited)
    assert clock.sleeps == [one for one in found if one]
    return found


WAITS: list[tuple[str, RequestLimits, list[float], list[float]]] = [  # pauses before the requests, and their waits
    ("no limits", RequestLimits(), [0.0] * 5, [0.0] * 5),
    ("a burst alone limits nothing", RequestLimits(burst=1), [0.0] * 5, [0.0] * 5),
    ("a burst, then the rate", RequestLimits(qps=2.0, burst=3), [0.0] * 6, [0.0, 0.0, 0.0, 0.5, 0.5, 0.5]),
    ("a second's worth without a burst", RequestLimits(qps=4.0), [0.0] * 6, [0.0, 0.0, 0.0, 0.0, 0.25, 0.25]),
    ("less than one a second", RequestLimits(qps=0.5), [0.0] * 3, [0.0, 2.0, 2.0]),
    ("a burst below a second's worth counts as that", RequestLimits(qps=2.0, burst=1), [0.0] * 3, [0.0, 0.0, 0.5]),
    ("time fills the bucket", RequestLimits(qps=2.0, burst=2), [0.0, 0.0, 0.5, 0.25], [0.0, 0.0, 0.0, 0.25]),
    ("no fuller than the burst", RequestLimits(qps=2.0, burst=2), [0.0, 3600.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5]),
    ("slow enough never waits", RequestLimits(qps=2.0, burst=2), [0.5] * 9, [0.0] * 9),
]


@pytest.mark.parametrize(("limits", "pauses", "expected"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS])
async def test_rate(limits: RequestLimits, pauses: list[float], expected: list[float]) -> None:
    """Requests of one after another."""
    assert await waits(limits, pauses) == expected


@given(
    st.lists(st.sampled_from([0.0, 0.125, 0.5, 3.0]), max_size=30), st.sampled_from([0.5, 2.0, 8.0]), st.integers(0, 5)
)
def test_never_more_than_allowed(pauses: list[float], qps: float, burst: int) -> None:
    """In any stretch of time no more begin than the bucket holds and what flows in meanwhile."""
    clock = FakeClock()

    async def run() -> list[float]:
        limiter = Limiter(RequestLimits(qps, burst), clock)
        began = []
        for pause in pauses:
            clock.time += pause
            async with limiter.slot():
                began.append(clock.time)
        return began

    began = asyncio.run(run())
    size = max(burst, int(qps), 1)
    for first, start in enumerate(began):
        for count, end in enumerate(began[first:], 1):
            assert count <= size + (end - start) * qps + 1e-6


class StoppedClock(FakeClock):
    """A clock by which no time goes by, however long somebody waits."""

    async def sleep(self, seconds: float) -> None:
        """Note it."""
        self.sleeps.append(seconds)


async def test_rate_of_many_at_once() -> None:
    """Each takes its token at once: who comes later waits for all before."""
    clock = StoppedClock()
    limiter = Limiter(RequestLimits(qps=1.0), clock)

    async def one() -> None:
        async with limiter.slot():
            pass

    await asyncio.gather(*(one() for _ in range(4)))
    assert clock.sleeps == [1.0, 2.0, 3.0]


async def test_max_inflight() -> None:
    """No more than so many at a time; the next begins when one has ended, and knows how long it waited."""
    clock = FakeClock()
    limiter = Limiter(RequestLimits(max_inflight=2), clock)
    running: list[int] = []
    waited: dict[int, float] = {}
    ends = [asyncio.Event() for _ in range(4)]

    async def one(number: int) -> None:
        async with limiter.slot() as seconds:
            waited[number] = seconds
            running.append(number)
            await ends[number].wait()
            running.remove(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(one(number))
        await settle()
        assert running == [0, 1]
        clock.time += 7.0
        ends[1].set()
        await settle()
        assert running == [0, 2]
        clock.time += 1.0
        ends[0].set()
        ends[2].set()
        await settle()
        assert running == [3]
        ends[3].set()
    assert (waited, clock.sleeps) == ({0: 0.0, 1: 0.0, 2: 7.0, 3: 8.0}, [])


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_failure_gives_its_slot_back() -> None:
    """So does one that is given up while it waits for a token, or while it runs."""
    clock = FakeClock()
    limiter = Limiter(RequestLimits(qps=1.0, max_inflight=1), clock)
    with pytest.raises(ZeroDivisionError):
        async with limiter.slot():
            raise ZeroDivisionError

    async def one() -> None:
        async with limiter.slot():
            await asyncio.Event().wait()

    for turns in (1, 5):
        task = asyncio.create_task(one())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(1), limiter.slot():
        pass


OBSERVED: list[tuple[float, int]] = [  # seconds, which bucket
    (0.0, 0),
    (0.005, 0),
    (0.0051, 1),
    (0.01, 1),
    (1.0, 7),
    (10.0, 10),
    (10.1, 11),
    (3600.0, 11),
]


@pytest.mark.parametrize(("seconds", "bucket"), OBSERVED)
def test_durations(seconds: float, bucket: int) -> None:
    """A bucket holds what is at most its bound; the last one has none."""
    durations = Durations()
    durations.observe(seconds)
    durations.observe(seconds)
    assert [index for index, count in enumerate(durations.counts) if count] == [bucket]
    assert (durations.counts[bucket], durations.total) == (2, 2 * seconds)
    assert len(durations.counts) == len(BUCKETS) + 1


def test_durations_are_their_own() -> None:
    """Two histograms share no counts."""
    one, other = Durations(), Durations()
    one.observe(1.0)
    assert other == Durations() != one
