"""The test bed itself: what it is there to notice, it notices."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.api_faults import refuse
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import VM1, Attempt, Bed, faulted


def ask(*times: float) -> Callable[[Bed], None]:
    """Return what has something been asked for at these times."""
    return lambda bed: bed.attempts.extend(Attempt(time, "services", False, {}) for time in times)


def slow(bed: Bed) -> None:
    """Have an answer take too long."""
    bed.slowest = 1.5


def log(level: int, text: str) -> Callable[[Bed], None]:
    """Return what logs a line."""
    return lambda bed: bed.log.emit(logging.LogRecord("x", level, "x", 1, text, None, None))


BAD: dict[str, Callable[[Bed], None]] = {
    "a wrong answer": lambda bed: bed.wrong.append((VM1, "NXDOMAIN []")),
    "a slow answer": slow,
    "a tight loop": ask(*(number * 2.9 for number in range(11))),
    "hardly any pause": ask(*(number * 19.0 for number in range(32))),
    "an error in the log": log(logging.ERROR, "sorry"),
    "a traceback": log(logging.INFO, "Traceback (most recent call last)"),
    "an exception nobody read": lambda bed: bed.loop_faults.append({"message": "never retrieved"}),
}


@pytest.mark.parametrize("what", BAD)
async def test_it_fails_for(what: str) -> None:
    """Each of these is a failure, whatever else the test has seen."""
    bed = Bed(FakeApiServer())
    ask(*(number * 3.1 for number in range(11)))(bed)
    log(logging.WARNING, "as it should be")(bed)
    bed.check(paced=True)
    BAD[what](bed)
    with pytest.raises(AssertionError):
        bed.check(paced=True)


async def test_answers_are_asked_for_all_the_time(api: FakeApiServer, tmp_path: Path) -> None:
    """An answer that is lost for a moment is noticed, though nobody else has asked for it."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        value = api.objects("VirtualMachineInstance")["ns1", "vm1"]
        api.delete("VirtualMachineInstance", "ns1", "vm1")
        await bed.reach(lambda: bool(bed.wrong))
        api.put(value)
        await bed.until(VM1, ["10.244.0.7"])
        assert {name for name, _ in bed.wrong} == {VM1}
        bed.wrong.clear()


async def test_time_passes_in_pauses_alone(api: FakeApiServer, tmp_path: Path) -> None:
    """The clock leaps while everybody waits, and stands still for requests and for watches that are open."""
    async with faulted(api, tmp_path) as bed:
        await bed.calm()
        began = bed.clock.now()
        await asyncio.sleep(0.05)
        assert bed.clock.now() == began
        api.fault(VMIS, "watch", refuse(503, "ServiceUnavailable"))
        api.end_watches(VMIS)
        await api.seen(VMIS, "watch", 3)
        assert bed.clock.now() - began == pytest.approx(1.2)
