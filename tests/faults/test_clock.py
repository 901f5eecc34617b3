"""A whole server while the wall clock jumps (F31)."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnsserver.cluster import Cluster
from dnsserver.store.serials import SHARED
from tests import build
from tests.fakes.api_faults import refuse
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VMI, Bed, faulted, vmi

DAY = 86_400.0  # seconds
VM2 = f"vm2.{DB}"


@dataclass(slots=True)
class Wall:
    """The wall clock, off by as much as the test says."""

    off: float = 0.0  # seconds

    def time(self) -> float:
        """Return the Unix time."""
        return _true_time() + self.off


_true_time = time.time


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wall]:
    """A wall clock for everything that the server reads one by."""
    clock = Wall()
    monkeypatch.setattr(time, "time", clock.time)
    assert Cluster.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Cluster.__init__.__kwdefaults__, "wall", clock.time)
    yield clock
    monkeypatch.undo()


async def serial(bed: Bed) -> int:
    """Return the zone's serial, as its SOA says it."""
    (soa,) = (await bed.ask("cluster.local", "SOA")).answer
    return int.from_bytes(soa.rdata[-20:-16], "big")


def later(before: int, after: int) -> bool:
    """Say whether a serial is the greater one (RFC 1982, section 3.2)."""
    return 0 < (after - before) % 2**32 < 2**31


JUMPS = [(DAY,), (-DAY,), (DAY, -DAY, DAY), (-365 * DAY,), (25 * 365 * DAY, 0.0), (100 * 365 * DAY,)]


@pytest.mark.parametrize("jumps", JUMPS, ids=str)
async def test_f31_serial_and_answers(tmp_path: Path, wall: Wall, jumps: tuple[float, ...]) -> None:
    """Whatever the wall clock says: each change shows at once, and its serial, which it may share with others of one
    second, is never a lower one by RFC 1982; that of a change in another second is greater.
    """
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        before, number = await serial(bed), 0
        assert abs(before - wall.time()) < 60
        for off in jumps:
            wall.off = off
            for _ in range(2):
                number += 1
                api.put(vmi("vm2", f"10.244.3.{number}"))
                await bed.until(VM2, [f"10.244.3.{number}"])
                after = await serial(bed)
                assert after == before or later(before, after)
                before = after
        await asyncio.sleep(SHARED)  # by the clock that nobody sets
        api.put(vmi("vm2", "10.244.4.1"))
        await bed.until(VM2, ["10.244.4.1"])
        assert later(before, await serial(bed))
        assert await bed.ready()


@pytest.mark.parametrize("off", [DAY, -DAY])
async def test_f31_timers(tmp_path: Path, wall: Wall, off: float) -> None:
    """Pauses, holds and the ages in metrics are those of a clock that no one sets."""
    async with FakeApiServer() as api, faulted(api, tmp_path, options="address_hold 300ms") as bed:
        await bed.calm()
        api.put(vmi("vm2", "10.244.0.9"))
        await bed.until(VM2, ["10.244.0.9"])
        api.put(build.vmi_json("vm2", addresses=()))  # its guest agent reports none for the moment: held
        await bed.reach(lambda: api.version >= 1006)
        wall.off = off
        began = time.monotonic()
        assert await bed.texts(VM2) == ["10.244.0.9"]
        await bed.until(VM2, [])
        assert 0.1 < time.monotonic() - began < 5
        began = bed.clock.time
        api.fault(VMIS, "watch", refuse(503, "ServiceUnavailable"))
        api.end_watches(VMIS)
        api.put(vmi("vm3", "10.244.0.10"), told=False)
        await bed.until(f"vm3.{DB}", ["10.244.0.10"])
        assert bed.clock.time - began < 10
        assert 0 <= await bed.metric("dnsserver_source_age_seconds", kind=VMI) < 60
