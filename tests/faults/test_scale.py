"""A whole server with very many objects (F26), and with very many events (F29)."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dnsserver.cluster import MAX_QUEUED, Cluster
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_faults import gone
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.faults.bed import DB, VM1, WEB, WORLD, Bed, faulted, vmi

MANY = 10_000  # objects, in pages of 500; what 100,000 of them take is a benchmark's to measure
FEWER = 3_000  # objects, where they all come in one piece

# The requirement is 50 ms. Here it is counted in this thread's processor time, which others on the machine do not
# lengthen, but the API server, the client and perhaps coverage are part of it: 14 ms were measured, 53 with coverage.
# A store that derived the list in one piece took 200.
LONGEST = 0.1  # seconds that one turn of the event loop may take


@dataclass(slots=True)
class Turns:
    """What the turns of the event loop have taken."""

    longest: float = 0.0  # seconds of this thread's own processor time
    count: int = 0


@asynccontextmanager
async def turns_measured() -> AsyncIterator[Turns]:
    """Measure every turn of the event loop within the block."""
    turns, over = Turns(), asyncio.Event()

    async def measure() -> None:
        last = time.thread_time()
        while not over.is_set():
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.longest, last = max(turns.longest, now - last), now
            turns.count += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(measure())
        try:
            yield turns
        finally:
            over.set()


def cluster_of(bed: Bed) -> Cluster:
    """Return the server's cluster."""
    (plugin,) = (one for one in bed.server.app._current.setup.plugins if isinstance(one, Kubernetes))
    assert plugin.cluster is not None
    return plugin.cluster


def address(number: int) -> str:
    """Return an address of its own for each number."""
    return f"172.16.{number >> 8}.{number & 255}"


@pytest.fixture(scope="module")
def world() -> list[dict[str, Any]]:
    """Very many VMIs."""
    return [vmi(f"many{number}", address(number)) for number in range(MANY)]


@pytest.mark.parametrize(("how", "count"), [("pages", MANY), ("one answer", FEWER), ("stream", FEWER)])
async def test_f26_very_many_objects(tmp_path: Path, world: list[dict[str, Any]], how: str, count: int) -> None:
    """A first list and a relist of very many VMIs, however they come: queries are answered all the time."""
    async with FakeApiServer() as api:
        api.streams, api.pages_any_age = how == "stream", how == "pages"
        for value in (*WORLD, *world[:count]):
            api.put(value)
        gc.freeze()  # the fake's objects, which are as many as the server's
        try:
            async with turns_measured() as turns, faulted(api, tmp_path, options="startup_timeout 0s") as bed:
                bed.keep = {VM1: ["10.244.0.7"]}
                await nothing_partial(bed, count)
                await bed.calm()
                assert len(api.asked(VMIS, "list")) == {"pages": count // 500 + 1, "one answer": 1, "stream": 0}[how]
                api.put(vmi("late", "10.244.0.9"), told=False)
                api.delete("VirtualMachineInstance", "ns1", "many5", told=False)
                api.fault(VMIS, "watch", gone())
                api.end_watches(VMIS)
                await bed.until(f"late.{DB}", ["10.244.0.9"])
                assert await bed.texts(f"many5.{DB}") == []
                assert await bed.metric("dnsserver_objects", kind="VirtualMachineInstance") == count + 1
        finally:
            gc.unfreeze()
    assert turns.count > 1000
    assert turns.longest < LONGEST


async def nothing_partial(bed: Bed, count: int) -> None:
    """Ask until the list is there: nothing of it is seen before, and all of it then."""
    asked = 0
    async with asyncio.timeout(30):
        while (reply := await bed.ask(f"many7.{DB}")).rcode != Rcode.NOERROR:
            assert reply.rcode == Rcode.SERVFAIL
            asked += 1
            await asyncio.sleep(0.002)
    assert asked > 10  # the queries that were answered meanwhile
    for number in random.Random(7).sample(range(count), 50):
        assert await bed.texts(f"many{number}.{DB}") == [address(number)]


async def test_f29_event_storm(tmp_path: Path) -> None:
    """5,000 changes of one Service, 50 every 10 ms: the answer follows within 2 s, and few versions are made."""
    events, burst = 5000, 50
    put: dict[str, float] = {}
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        bed.keep = {VM1: ["10.244.0.7"]}
        cluster = cluster_of(bed)
        names = await bed.metric("dnsserver_zone_names", zone="in-addr.arpa.")
        before, longest = cluster.store.version, 0
        asking = asyncio.create_task(staleness(bed, put, address(events - 1)))
        for number in range(events):
            put[address(number)] = time.monotonic()
            api.put(build.service_json("web", cluster_ip=address(number), selector={"app": "web"}))
            if number % burst == burst - 1:
                longest = max(longest, len(cluster._events), len(cluster.store._inbox))
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            assert await asking < 2
        assert longest <= MAX_QUEUED
        assert 0 < cluster.store.version - before < events / 10
        # what the storm has left behind: nothing
        assert await bed.texts("0.0.16.172.in-addr.arpa", "PTR") == []
        assert await bed.metric("dnsserver_zone_names", zone="in-addr.arpa.") == names


async def staleness(bed: Bed, put: dict[str, float], last: str) -> float:
    """Ask for the Service until it has its last address; return how old an answer was at most, in seconds."""
    oldest = 0.0
    while True:
        asked = time.monotonic()
        (text,) = await bed.texts(WEB)
        overtaken = [at for at in put.values() if at < asked]
        following = list(put).index(text) + 1 if text in put else 0
        if following < len(overtaken):
            oldest = max(oldest, asked - overtaken[following])
        if text == last:
            return oldest
        await asyncio.sleep(0.005)
