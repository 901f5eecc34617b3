"""The event loop's lag: what is measured, counted and said of it."""

import asyncio
import gc
import logging
import re
import threading
import time
from collections.abc import Callable

import pytest
from prometheus_client.core import Metric

from dnsserver.admin import lag as module
from dnsserver.admin.lag import LoopLag
from dnsserver.admin.own_metrics import loop_families


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def value(families: dict[str, Metric], name: str, sample: str, **labels: str) -> float:
    """Return one sample."""
    (found,) = (one.value for one in families[name].samples if (one.name, one.labels) == (sample, labels))
    return found


def families(loop: LoopLag) -> dict[str, Metric]:
    """Return what a scrape shows."""
    return {family.name: family for family in loop_families(loop)}


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- plain integers, there is no event to wait for
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("late", "stalls", "lines"),
    [(0.0, 0, 0), (0.049, 0, 0), (0.051, 1, 0), (0.99, 1, 0), (1.01, 1, 1), (12.0, 1, 1)],
)
async def test_s11_what_counts_as_a_stall(
    late: float, stalls: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Later than 50 ms is counted, later than a second is said; every look is in the histogram."""
    clock = Clock()
    loop = LoopLag(clock)
    with loop.watching():
        clock.now += module.INTERVAL + late
        loop._look()
    assert (loop.lag.count, loop.stalls, len(caplog.records)) == (1, stalls, lines)
    found = families(loop)
    assert value(found, "dnsserver_event_loop_lag_seconds", "dnsserver_event_loop_lag_seconds_sum") == pytest.approx(
        late
    )
    assert value(found, "dnsserver_event_loop_stalls", "dnsserver_event_loop_stalls_total") == stalls


async def test_s11_injected_sleep(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that sleeps for 1.2 s is one stall, told with its length; before and after it all is well."""
    loop = LoopLag()
    with loop.watching():
        await until(lambda: loop.lag.count >= 2)
        before, told = loop.stalls, len(caplog.records)  # a busy machine may have had stalls of its own
        loop._next_log = 0.0  # and a line about them
        time.sleep(1.2)  # noqa: ASYNC251 -- the fault under test
        await until(lambda: loop.stalls > before)
        count = loop.lag.count
        await until(lambda: loop.lag.count > count)  # it goes on
    line = caplog.records[told].getMessage()
    found = re.fullmatch(
        r"The event loop stood still for (\d+\.\d\d)s \(\d+\.\d\ds of garbage collection\): nobody was answered", line
    )
    assert found is not None
    assert float(found[1]) >= 1.2 - module.INTERVAL - 0.01  # what passed before the look was due, and rounding


async def test_s11_late_by_the_time_that_is_left() -> None:
    """Only what is beyond the time at which the loop should have looked is lag; earlier than that is none."""
    clock = Clock()
    loop = LoopLag(clock)
    with loop.watching():
        for passed in (0.04, 0.05, 0.07):  # uvloop counts in milliseconds, so a timer may run a little early
            clock.now += passed
            loop._look()
    found = families(loop)
    bucket = "dnsserver_event_loop_lag_seconds_bucket"
    counts = {le: value(found, "dnsserver_event_loop_lag_seconds", bucket, le=le) for le in ("0.001", "0.01", "0.025")}
    assert counts == {"0.001": 2, "0.01": 2, "0.025": 3}


async def test_s11_lines_are_few(caplog: pytest.LogCaptureFixture) -> None:
    """One line in ten seconds, and the next one says how many there would have been."""
    caplog.set_level(logging.WARNING)
    clock = Clock()
    loop = LoopLag(clock)
    with loop.watching():
        for _ in range(12):
            clock.now += module.INTERVAL + 2.0
            loop._look()
    assert loop.stalls == 12
    lines = [record.getMessage() for record in caplog.records]
    assert ["more such" in line for line in lines] == [False, True, True]
    assert lines[1].endswith("; 4 more such stalls since the last line")


async def test_s11_garbage_collections(caplog: pytest.LogCaptureFixture) -> None:
    """Each is timed by its generation, in any thread, and its part in a stall is told."""
    loop = LoopLag()
    with loop.watching():
        pauses = loop.gc_pauses[2].count
        gc.collect()
        assert loop.gc_pauses[2].count == pauses + 1
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
        assert loop.gc_pauses[2].count == pauses + 2
        gc.collect(0)
        assert loop.gc_pauses[0].count >= 1
    after = loop.gc_pauses[2].count
    gc.collect()
    assert loop.gc_pauses[2].count == after  # nothing is left behind
    found = families(loop)
    count = value(found, "dnsserver_gc_pause_seconds", "dnsserver_gc_pause_seconds_count", generation="2")
    assert count == after


async def test_s11_share_of_garbage_collection(caplog: pytest.LogCaptureFixture) -> None:
    """A collection of 1.5 s within a stall of 2 s; the next stall begins to count anew."""
    clock = Clock()
    loop = LoopLag(clock)
    with loop.watching():
        gc.disable()  # none but ours may be timed by this clock
        try:
            for pause in (1.5, 0.0):
                loop._on_gc("start", {"generation": 2})
                clock.now += pause
                loop._on_gc("stop", {"generation": 2})
                clock.now += module.INTERVAL + 2.0 - pause + module.LOG_EVERY * (not pause)
                loop._look()
        finally:
            gc.enable()
    texts = [record.getMessage() for record in caplog.records]
    assert [re.findall(r"[\d.]+s", text) for text in texts] == [["2.00s", "1.50s"], ["12.00s", "0.00s"]]


async def test_s11_end_of_a_collection_that_began_before() -> None:
    """Whoever begins to watch while another thread collects has no start to count from."""
    loop = LoopLag()
    loop._on_gc("stop", {"generation": 0})
    assert loop.gc_pauses[0].count == 0


async def test_s11_watching_ends() -> None:
    """No timer and no callback outlives the block."""
    before = len(gc.callbacks)
    loop = LoopLag()
    with loop.watching():
        assert len(gc.callbacks) == before + 1
        timer = loop._timer
    assert timer is not None
    assert timer.cancelled()
    assert len(gc.callbacks) == before
