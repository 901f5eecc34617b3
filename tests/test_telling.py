"""When owners of VMIs are told why those have no names: how long after, how often, and what failures do to that."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from dnsserver import telling
from dnsserver.derive.complaint import Reason
from dnsserver.dumping import reading
from dnsserver.events import Changed
from dnsserver.objects import Kind
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.sources.api import UnreachableError
from dnsserver.store import Store
from dnsserver.telling import FORBIDDEN_PAUSE, QUIET, REPEAT, SETTLE, Schedule, Teller
from tests.build import CONFIG, apply_all, service, service_json, store_of, vmi, vmi_json
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_faults import refuse
from tests.fakes.api_server import FakeApiServer
from tests.plugins.conftest import World, until, world  # noqa: F401 -- a fixture
from tests.plugins.test_kubernetes import option

TELLING = replace(CONFIG, complaints=True)
KEY, OTHER = ("ns1", "vm1"), ("ns1", "vm2")
A, B = ("uid", Reason.NO_SERVICE), ("uid", Reason.SELECTOR)
NOON = 1_767_268_800.0  # Unix time at which the fake clock starts


def due(schedule: Schedule, now: float) -> bool:
    """Say whether anything is to be told."""
    return schedule.next(now) is not None


def test_a_refusal_must_last() -> None:
    """What mends itself in time is not told; what comes back begins anew."""
    schedule = Schedule()
    schedule.update({KEY: A}, 0.0)
    assert not due(schedule, SETTLE - 1)
    schedule.update({KEY: None}, SETTLE - 1)
    assert (due(schedule, SETTLE), len(schedule)) == (False, 0)
    schedule.update({KEY: A}, SETTLE)
    assert not due(schedule, 2 * SETTLE - 1)
    assert schedule.next(2 * SETTLE) == (KEY, A)


def test_another_reason_begins_anew() -> None:
    """And the first one is not told any more; the same one again changes nothing."""
    schedule = Schedule()
    schedule.update({KEY: A}, 0.0)
    schedule.update({KEY: B}, 20.0)
    schedule.update({KEY: B}, 25.0)
    assert not due(schedule, SETTLE)
    assert schedule.next(20.0 + SETTLE) == (KEY, B)


def test_not_too_often() -> None:
    """One reason of one VMI at most every ten minutes; another reason at once."""
    schedule = Schedule()
    schedule.update({KEY: A}, 0.0)
    schedule.told(KEY, A, 30.0)
    for now in (40.0, 100.0):  # flapping
        schedule.update({KEY: None}, now)
        schedule.update({KEY: A}, now + 1)
    assert not due(schedule, 30.0 + QUIET - 1)
    assert schedule.next(30.0 + QUIET) == (KEY, A)
    schedule.update({KEY: B}, 200.0)
    assert schedule.next(200.0 + SETTLE) == (KEY, B)


def test_told_again_while_it_lasts() -> None:
    """Before the API server forgets it; not once it has been mended."""
    schedule = Schedule()
    schedule.update({KEY: A}, 0.0)
    schedule.told(KEY, A, 30.0)
    assert not due(schedule, 30.0 + REPEAT - 1)
    assert schedule.next(30.0 + REPEAT) == (KEY, A)
    schedule.update({KEY: None}, 100.0)
    assert not due(schedule, 30.0 + REPEAT)


def test_told_of_what_has_changed_meanwhile() -> None:
    """The new reason keeps its own time."""
    schedule = Schedule()
    schedule.update({KEY: A}, 0.0)
    schedule.update({KEY: B}, 29.0)
    schedule.told(KEY, A, 30.0)
    assert schedule.next(29.0 + SETTLE) == (KEY, B)


def test_memory_is_bounded() -> None:
    """By the VMIs that there is something to say of, and what was told in the last ten minutes; not by time."""
    schedule = Schedule()
    for step in range(10_000):
        now = step * 100.0
        schedule.update({KEY: (A, B, None)[step % 3], OTHER: A}, now)
        schedule.told(OTHER, A, now)
    assert len(schedule._heap) < 300
    assert len(schedule._told) <= 10
    assert len(schedule._order) <= 10


@dataclass
class FakeApi:
    """Answers writes with what was set, and notes them; time and chance are a clock's."""

    codes: list[int] = field(default_factory=list)  # of the next answers, then 201
    written: list[tuple[float, str, str]] = field(default_factory=list)  # when, of what VMI, why
    clock: FakeClock = field(default_factory=FakeClock)

    @asynccontextmanager
    async def write(
        self, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, Any], *, read_timeout: float
    ) -> AsyncIterator[Any]:
        """Note a request."""
        assert (method, path) == ("POST", "/api/v1/namespaces/ns1/events")
        self.written.append((self.clock.now() - 1000.0, body["involvedObject"]["name"], body["reason"]))
        code = self.codes.pop(0) if self.codes else 201
        if code == 0:
            raise UnreachableError("cannot connect")
        yield _Answer(code)


class _Answer:
    """An answer with nothing but a status."""

    headers: Mapping[str, str] = {}

    def __init__(self, status: int) -> None:
        self.status = status

    async def read(self) -> bytes:
        """Return a body that says nothing."""
        return b"{}"


@asynccontextmanager
async def teller_of(store: Store, api: FakeApi) -> AsyncIterator[Teller]:
    """Run a teller of a store."""
    clock = api.clock
    teller = Teller(store, api, clock=clock, wall=lambda: NOON + clock.now(), store_now=lambda: 0.0)
    task = asyncio.create_task(teller.run())
    teller.published()
    try:
        yield teller
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def change(store: Store, teller: Teller, *objects: object) -> None:
    """Tell the store of objects, and the teller of the round."""
    kinds = {type(vmi()): Kind.VMI, type(service()): Kind.SERVICE}
    apply_all(store, [Changed(kinds[type(one)], one) for one in objects])  # type: ignore[arg-type, index]  # of these two
    teller.published()


async def test_it_is_told_once_it_has_lasted() -> None:
    """Half a minute after the round that found it, then every half hour."""
    api = FakeApi()
    async with teller_of(store_of([vmi()], TELLING), api) as teller:
        await api.clock.until(lambda: len(api.written) >= 3)
        times = [when for when, *_ in api.written]
        assert SETTLE <= times[0] < SETTLE + 10
        assert [REPEAT <= later - first < REPEAT + 10 for first, later in pairwise(times)] == [True] * 2
        assert {one[1:] for one in api.written} == {("vm1", "SubdomainWithoutService")}
        assert teller.written["created"] == 3


async def test_nothing_to_tell() -> None:
    """No request, and not even a timer."""
    api = FakeApi()
    async with teller_of(store_of([vmi(), service()], TELLING), api):
        for _ in range(10):
            await asyncio.sleep(0)
        assert (api.written, api.clock.sleeps) == ([], [])


async def test_mended_before_it_is_told() -> None:
    """What the store no longer says is not told, even where the round's news are still to come."""
    api = FakeApi()
    store = store_of([vmi()], TELLING)
    async with teller_of(store, api) as teller:
        apply_all(store, [Changed(Kind.SERVICE, service())])
        await api.clock.until(lambda: api.clock.now() > 1000.0 + 3 * SETTLE)
        assert api.written == []
        teller.published()
        assert len(teller._schedule) == 0


async def test_another_reason_before_it_is_told() -> None:
    """It is not told in the old one's time: it has to last, too."""
    api = FakeApi()
    store = store_of([vmi()], TELLING)
    async with teller_of(store, api) as teller:
        apply_all(store, [Changed(Kind.SERVICE, service(cluster_ip="10.96.0.1"))])
        await api.clock.until(lambda: api.clock.now() > 1000.0 + 2 * SETTLE)
        teller.published()
        published = api.clock.now() - 1000.0
        await api.clock.until(lambda: len(api.written) >= 1)
    assert api.written[0][0] - published >= SETTLE
    assert api.written[0][2] == "ServiceNotHeadless"


async def test_many_at_once() -> None:
    """A burst, then so many a second: no API server is flooded, and all of them are told in the end."""
    api = FakeApi()
    store = store_of([vmi(f"vm{number}", addresses=()) for number in range(100)], TELLING)
    async with teller_of(store, api):
        await api.clock.until(lambda: len(api.written) >= 100)
    first = api.written[0][0]
    assert len({name for _, name, _ in api.written}) == 100
    assert sum(when - first < 0.1 for when, *_ in api.written) <= 26
    for number, (when, *_) in enumerate(api.written):
        assert number <= 26 + 5 * (when - first)
    assert api.written[-1][0] - first < 20


FAILING = [[500], [503, 503], [429], [0], [0, 500, 0]]


@pytest.mark.parametrize("codes", FAILING)
async def test_failures_are_tried_again(caplog: pytest.LogCaptureFixture, codes: list[int]) -> None:
    """After growing pauses, each counted, and one log line for each new trouble; then it is all right again."""
    caplog.set_level(logging.INFO)
    api = FakeApi(codes=list(codes))
    async with teller_of(store_of([vmi()], TELLING), api) as teller:
        await api.clock.until(lambda: teller.written["created"] == 1)
        assert teller.written["failed"] == len(codes)
    times = [when for when, *_ in api.written]
    assert len(times) == len(codes) + 1
    pauses = [later - first for first, later in pairwise(times)]
    assert all(pause >= 1.0 for pause in pauses)
    changes = sum(1 for before, code in zip([None, *codes], codes, strict=False) if code != before)
    assert caplog.text.count("cannot write Events") == changes
    assert caplog.text.count("writing Events again") == 1


async def test_one_that_always_fails_holds_up_no_other() -> None:
    """It waits for its turn again behind the others."""
    api = FakeApi(codes=[500, 201])
    async with teller_of(store_of([vmi(), vmi("vm2")], TELLING), api):
        await api.clock.until(lambda: len(api.written) >= 3)
    first, second, third = (name for _, name, _ in api.written[:3])
    assert first == third != second


async def test_not_allowed(caplog: pytest.LogCaptureFixture) -> None:
    """Once an hour, with the rule that is missing; other VMIs wait as well, and the log says it once."""
    api = FakeApi(codes=[403, 403])
    async with teller_of(store_of([vmi(), vmi("vm2")], TELLING), api) as teller:
        await api.clock.until(lambda: teller.written["created"] >= 2)
    times = [when for when, *_ in api.written]
    assert [later - first >= FORBIDDEN_PAUSE for first, later in pairwise(times[:3])] == [True, True]
    (line,) = (one.message for one in caplog.records if one.levelno == logging.ERROR)
    assert 'the role needs apiGroups [""], resources ["events"], verbs ["create", "patch"]' in line


async def test_what_the_api_server_does_not_want(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once for each reason, and the Event not tried again before its time."""
    api = FakeApi(codes=[422, 422])
    async with teller_of(store_of([vmi(), vmi("vm2")], TELLING), api) as teller:
        await api.clock.until(lambda: len(api.written) >= 3)
        assert (teller.written["refused"], teller.written["failed"]) == (2, 0)
    assert api.written[2][0] - api.written[0][0] >= REPEAT
    assert caplog.text.count("does not want Events with the reason SubdomainWithoutService") == 1


async def test_a_successor_is_told_of_again() -> None:
    """A VMI of the same name is another one: no ten minutes have to pass."""
    api = FakeApi()
    store = store_of([vmi()], TELLING)
    async with teller_of(store, api) as teller:
        await api.clock.until(lambda: len(api.written) >= 1)
        change(store, teller, vmi(uid="another"))
        await api.clock.until(lambda: len(api.written) >= 2)
        assert api.written[1][0] - api.written[0][0] < QUIET / 2


# With the plugin, over HTTP


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have refusals told at once."""
    monkeypatch.setattr(telling, "SETTLE", 0.0)
    monkeypatch.setattr(telling, "_TICK", 0.01)


def put_all(api: FakeApiServer) -> None:
    """Put one VMI that is published, one whose Service is missing, and one whose Service is not headless."""
    for one in (
        vmi_json(),
        service_json(),
        vmi_json("vm2", subdomain="web", addresses=("10.244.0.8",)),
        vmi_json("vm3", subdomain="shop", addresses=("10.244.0.9",)),
        service_json("shop", cluster_ip="10.96.0.1", cluster_ips=("10.96.0.1",)),
    ):
        api.put(one)


@pytest.mark.usefixtures("impatient")
async def test_events_of_two_replicas(world: World, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811 -- the fixture
    """Both write the same Events, so there is one for each VMI, and metrics count them."""
    caplog.set_level(logging.DEBUG)
    async with FakeApiServer() as api:
        put_all(api)
        plugins = [Kubernetes(option(f"endpoint {api.url}\nevents")) for _ in range(2)]
        async with plugins[0].running(world.runtime), plugins[1].running(world.runtime):
            await until(lambda: len(api.asked("events", "create")) == 4)
            await until(lambda: len(api.asked("events", "patch")) == 2)
        assert sorted((name.split(".")[0], one["reason"]) for (_, name), one in api.events.items()) == [
            ("vm2", "SubdomainWithoutService"),
            ("vm3", "ServiceNotHeadless"),
        ]
        assert all(one["count"] == 1 for one in api.events.values())
        uids = {
            value["metadata"]["name"]: value["metadata"]["uid"]
            for value in api.objects("VirtualMachineInstance").values()
        }
        assert all(one["involvedObject"]["uid"] == uids[one["involvedObject"]["name"]] for one in api.events.values())
    assert "Traceback" not in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_off_by_default(world: World) -> None:  # noqa: F811 -- the fixture
    """Without the option nothing is written, and no metric says otherwise."""
    async with FakeApiServer() as api:
        put_all(api)
        plugin = Kubernetes(option(f"endpoint {api.url}"))
        async with plugin.running(world.runtime):
            api.put(vmi_json("vm4", subdomain="nowhere", addresses=("10.244.0.10",)))
            api.put(service_json("late", selector={}))
            await until(lambda: plugin.service("ns1", "late"))
            assert "dnsserver_events" not in {one.name for one in world.runtime.metrics.collect()}
        assert api.events == {}
        assert not [one for one in api.requests if one.verb in ("create", "patch")]


@pytest.mark.usefixtures("impatient")
async def test_serving_goes_on(world: World) -> None:  # noqa: F811 -- the fixture
    """While no Event can be written, what changes is published all the same."""
    async with FakeApiServer() as api:
        put_all(api)
        api.fault("events", "create", refuse(403, "Forbidden"), times=None)
        plugin = Kubernetes(option(f"endpoint {api.url}\nevents"))
        async with plugin.running(world.runtime):
            await api.seen("events", "create")
            api.put(service_json("late", selector={}))
            await until(lambda: plugin.service("ns1", "late"))
            samples = {
                one.labels["outcome"]: one.value
                for family in world.runtime.metrics.collect()
                if family.name == "dnsserver_events"
                for one in family.samples
            }
            assert samples["failed"] == 1.0
            assert samples["created"] == 0.0
        assert api.events == {}


async def test_a_dump_tells_nobody() -> None:
    """Who reads a cluster once, with the Corefile of a server, writes nothing to it."""
    async with FakeApiServer() as api:
        put_all(api)
        plugin = Kubernetes(option(f"endpoint {api.url}\nevents"))
        async with reading(plugin, asyncio.get_running_loop().time() + 10) as own:
            assert own.synced
            assert not own.config.events
