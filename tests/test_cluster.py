"""A store in step with its sources: what is queued, when answers change by themselves, who gets a turn."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dnsserver.cluster import MAX_QUEUED, SLICE, Cluster
from dnsserver.derive.observation import Timing
from dnsserver.events import Changed, Event, NotServed
from dnsserver.objects import Kind, Object
from dnsserver.sources.source import SourceStatus
from dnsserver.store import Store, StoreConfig
from tests import build

HAND_OVER = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z", "completed": False}


class Scripted:
    """A source that yields some events, then waits for ever, or fails, or ends."""

    def __init__(self, events: Iterable[Event], *, then: Exception | None = None, ends: bool = False) -> None:
        self.kinds = frozenset(Kind)
        self.status = SourceStatus()
        self.given = 0
        self.taken = asyncio.Event()  # every event but what may be queued has been applied
        self._events = events
        self._then = then
        self._ends = ends

    async def events(self) -> AsyncIterator[Event]:
        """Yield the script."""
        for event in self._events:
            yield event
            self.given += 1
        for _ in range(20):  # until those that are queued have been applied and published
            await asyncio.sleep(0)
        self.taken.set()
        if self._then is not None:
            raise self._then
        if not self._ends:
            await asyncio.Event().wait()


class Counting(Store):
    """A store that notes how many events there were between two refreshes."""

    def __init__(self, config: StoreConfig = build.CONFIG) -> None:
        super().__init__(config)
        self.refreshes = 0
        self.applied = 0
        self.batches: list[int] = []

    def apply(self, event: Event, now: float) -> None:
        """Count."""
        self.applied += 1
        super().apply(event, now)

    def refresh(self, now: float, *, serial: int, limit: int | None = None) -> bool:
        """Count, and keep to the limit."""
        assert limit == SLICE
        self.refreshes += 1
        self.batches.append(self.applied)
        self.applied = 0
        return super().refresh(now, serial=serial, limit=limit)


@asynccontextmanager
async def following(cluster: Cluster) -> AsyncIterator[None]:
    """Run a cluster within the block."""
    task = asyncio.create_task(cluster.run())
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, turns: int = 100_000) -> None:
    """Let others run until a condition holds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")


def objects(count: int) -> list[Object]:
    """Return a Service and so many VMIs that it selects."""
    vmis = [build.vmi(f"vm{number}", addresses=(f"10.1.{number >> 8}.{number & 255}",)) for number in range(count)]
    return [build.namespace(), build.service(), *vmis]


async def test_first_sync() -> None:
    """Nothing is synced before everything is listed; then the zones hold it."""
    cluster = Cluster(Store(build.CONFIG), [Scripted(build.lists(objects(3)))], wall=lambda: 1234.5)
    assert not cluster.synced
    async with following(cluster):
        await cluster.wait_synced()
        assert cluster.synced
        assert build.look(cluster.store, "vm1.db.ns1.svc") == {"10.1.0.1"}
        assert cluster.zones == cluster.store.zones
        assert cluster.zones[0].serial == 1234
        await cluster.wait_synced()  # at once


async def test_one_kind_missing_is_not_synced() -> None:
    """Everything has to be listed, but for kinds that the source says it cannot have."""
    events = build.lists(objects(1), [Kind.NAMESPACE, Kind.SERVICE, Kind.VMI])
    source = Scripted(events)
    cluster = Cluster(Store(build.CONFIG), [source])
    async with following(cluster):
        await source.taken.wait()
        assert not cluster.synced


async def test_absent_vmis_hold_nothing_up() -> None:
    """Without KubeVirt the rest is served."""
    events = build.lists(objects(0), [Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE])
    cluster = Cluster(Store(build.CONFIG), [Scripted([NotServed(Kind.VMI, "no KubeVirt"), *events])])
    async with following(cluster):
        await cluster.wait_synced()


async def test_several_sources_are_one_cluster() -> None:
    """A source for each kind, as with an API server."""
    everything = objects(2)
    sources = [Scripted(build.lists(everything, [kind])) for kind in Kind]
    cluster = Cluster(Store(build.CONFIG), sources)
    async with following(cluster):
        await cluster.wait_synced()
        assert build.look(cluster.store, "db.ns1.svc") == {"10.1.0.0", "10.1.0.1"}


async def test_fast_source_is_held_back() -> None:
    """Never more events are queued than allowed, and none is lost."""
    count = MAX_QUEUED * 3 + 17
    changes = [Changed(Kind.VMI, build.vmi("vm0", addresses=(f"10.2.{n >> 8}.{n & 255}",))) for n in range(count)]
    store = Counting()
    source = Scripted([*build.lists(objects(1)), *changes])
    cluster = Cluster(store, [source])
    async with following(cluster):
        await source.taken.wait()
        assert max(store.batches) <= MAX_QUEUED
        last = count - 1
        assert build.look(store, "vm0.db.ns1.svc") == {f"10.2.{last >> 8}.{last & 255}"}


async def test_two_fast_sources_share_the_queue() -> None:
    """A source that waits for room gets it, whatever the other does."""
    changes = [
        [Changed(Kind.VMI, build.vmi(name, addresses=(f"10.2.{n >> 8}.{n & 255}",))) for n in range(MAX_QUEUED * 2)]
        for name in ("vm0", "vm1")
    ]
    store = Counting()
    sources = [Scripted([*build.lists(objects(2)), *changes[0]]), Scripted(changes[1])]
    async with following(Cluster(store, sources)):
        await asyncio.gather(*(source.taken.wait() for source in sources))
        # two sources may find room for one each at the same time
        assert max(store.batches) <= MAX_QUEUED + len(sources)
        last = MAX_QUEUED * 2 - 1
        assert build.look(store, "db.ns1.svc") == {f"10.2.{last >> 8}.{last & 255}"}


async def test_slices_give_queries_their_turn() -> None:
    """Much to derive is derived in slices with turns of the event loop between them."""
    store = Counting()
    cluster = Cluster(store, [Scripted(build.lists(objects(SLICE * 5)))])
    turns: list[bool] = []  # of somebody else, and whether the zones were already there

    async def query() -> None:
        while not cluster.synced:
            turns.append(build.look(store, "vm1.db.ns1.svc") is not None)
            await asyncio.sleep(0)

    async with following(cluster):
        await query()
    deriving = store.refreshes
    assert deriving >= 5
    assert len(turns) >= 5
    assert not any(turns[:-3])


async def test_not_synced_before_the_zones_hold_it() -> None:
    """While the first zones are being derived, a name that is not there may still come: no NXDOMAIN yet."""
    cluster = Cluster(Store(build.CONFIG), [Scripted(build.lists(objects(SLICE * 4)))])
    seen: list[tuple[bool, bool]] = []

    async with following(cluster):
        while not seen or not seen[-1][0]:
            seen.append((cluster.synced, build.look(cluster.store, "vm9.db.ns1.svc") is not None))
            await asyncio.sleep(0)
    assert (True, False) not in seen


@pytest.mark.parametrize("remembered", ["grace", "hold"])
async def test_deadline_fires_without_events(remembered: str) -> None:
    """An answer that ends at a time ends then, by the clock that was handed in."""
    begun = time.monotonic()

    def clock() -> float:
        return 5000.0 + time.monotonic() - begun

    config = StoreConfig(zones=(build.ZONE,), reverse_zones=(), timing=Timing(0.15, 0.15))
    change = (
        build.vmi("vm0", ready=False, node="node2", migration=HAND_OVER, addresses=("10.1.0.0",))
        if remembered == "grace"
        else build.vmi("vm0", addresses=())
    )
    source = Scripted([*build.lists(objects(1)), Changed(Kind.VMI, change)])
    store = Counting(config)
    cluster = Cluster(store, [source], clock=clock)
    async with following(cluster):
        await source.taken.wait()
        assert build.look(store, "vm0.db.ns1.svc") == {"10.1.0.0"}
        refreshes = store.refreshes
        deadline = store.deadline
        assert deadline is not None
        assert 5000.0 < deadline < 5010.0
        async with asyncio.timeout(5):
            while build.look(store, "vm0.db.ns1.svc"):  # noqa: ASYNC110 -- what ends it is the deadline alone
                await asyncio.sleep(0.01)
        assert clock() >= deadline
        assert store.deadline is None
        assert store.refreshes - refreshes <= 5  # woken for the deadline, not again and again until it came


async def test_deadline_before_the_first_sync_is_no_busy_loop() -> None:
    """What is not published yet cannot end either: the cluster sleeps until the missing list comes."""
    config = StoreConfig(zones=(build.ZONE,), reverse_zones=(), timing=Timing(0.01, 0.01))
    vmi = build.vmi("vm0", ready=False, node="node2", migration=HAND_OVER)
    source = Scripted(build.lists([build.namespace(), vmi], [Kind.NAMESPACE, Kind.VMI]))
    store = Counting(config)
    async with following(Cluster(store, [source])):
        await source.taken.wait()
        await asyncio.sleep(0.03)  # until after the deadline
        refreshes = store.refreshes
        for _ in range(50):
            await asyncio.sleep(0)
        assert store.refreshes == refreshes


async def test_coalesced() -> None:
    """Many events that come together are published together."""
    store = Counting()
    source = Scripted([*build.lists(objects(50)), *(Changed(Kind.VMI, one) for one in objects(100)[2:])])
    async with following(Cluster(store, [source])):
        await source.taken.wait()
    assert store.refreshes < 10


@pytest.mark.parametrize("before", [0, 5])
async def test_source_exception_ends_the_run(before: int) -> None:
    """A source that breaks its promise never to raise ends everything: growing old in silence would be worse."""
    events: Sequence[Event] = build.lists(objects(1))[:before]
    cluster = Cluster(Store(build.CONFIG), [Scripted(events, then=ZeroDivisionError("broken")), Scripted([])])
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(cluster.run(), 5)
    assert [str(one) for one in caught.value.exceptions] == ["broken"]


async def test_store_exception_ends_the_run() -> None:
    """So does a fault in deriving."""

    class Broken(Store):
        def apply(self, event: Event, now: float) -> None:
            raise ZeroDivisionError("broken")

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(Cluster(Broken(build.CONFIG), [Scripted(build.lists([]))]).run(), 5)


async def test_source_that_ends_leaves_the_others() -> None:
    """A source without more to say is no fault."""
    rest = build.lists(objects(1), [Kind.SERVICE, Kind.VMI, Kind.ENDPOINT_SLICE])
    sources = [Scripted(build.lists(objects(1), [Kind.NAMESPACE]), ends=True), Scripted(rest)]
    cluster = Cluster(Store(build.CONFIG), sources)
    async with following(cluster):
        await cluster.wait_synced()


async def test_cancelled_while_held_back() -> None:
    """Stopping does not wait for a source that waits for room."""
    store = Counting()
    source = Scripted(Changed(Kind.VMI, build.vmi(addresses=(f"10.2.0.{n % 250}",))) for n in range(MAX_QUEUED * 100))
    task = asyncio.create_task(Cluster(store, [source]).run())
    await until(lambda: source.given >= MAX_QUEUED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_together_with_an_event() -> None:
    """Stopping ends it even in the moment in which something comes, while an answer is about to change by itself."""
    config = StoreConfig(zones=(build.ZONE,), reverse_zones=(), timing=Timing(60, 60))
    store = Store(config)
    change = build.vmi("vm0", ready=False, node="node2", migration=HAND_OVER, addresses=("10.1.0.0",))
    cluster = Cluster(store, [Scripted([*build.lists(objects(1)), Changed(Kind.VMI, change)])])
    task = asyncio.create_task(cluster.run())
    await until(lambda: cluster.synced and store.deadline is not None)
    for _ in range(20):
        await asyncio.sleep(0)
    cluster._events.append(Changed(Kind.VMI, change))
    cluster._arrived.set()
    await asyncio.sleep(0)  # whoever waits for it has not been told yet
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
