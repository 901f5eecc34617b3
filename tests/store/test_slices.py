"""Work in slices: how much of it there is in each, what can be seen meanwhile, and what comes meanwhile."""

import pytest

from dnsserver.events import Changed, Deleted, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.store import Store
from tests import build

COUNT = 300
LIMIT = 10


def vmis(count: int = COUNT, *, third: int = 0) -> list[VirtualMachineInstance]:
    """Return VMIs with an address each."""
    return [build.vmi(f"vm{n}", addresses=(f"10.{third}.{n >> 8}.{n & 255}",)) for n in range(count)]


@pytest.fixture
def store() -> Store:
    """A store that has published the VMIs of one Service."""
    store = Store(build.CONFIG)
    build.apply_all(store, build.lists([build.namespace(), build.service(), *vmis()]), 0.0)
    assert store.refresh(0.0, serial=1)
    return store


def slices(store: Store, *, serial: int = 2) -> int:
    """Refresh to the end; return how many slices that took. Nothing is seen before the last."""
    before, count = store.zones, 1
    while not store.refresh(0.0, serial=serial, limit=LIMIT):
        assert store.zones is before
        count += 1
    return count


def test_first_sync() -> None:
    """Every object and every name is work of its own: taken in, derived, published, pointed to."""
    store = Store(build.CONFIG)
    for event in build.lists([build.namespace(), build.service(), *vmis()]):
        store.apply(event, 0.0)
    assert not store.synced
    assert slices(store) >= 4 * COUNT // LIMIT
    assert build.look(store, "vm7.db.ns1.svc") == {"10.0.0.7"}


def test_relist_without_changes(store: Store) -> None:
    """Looking through a list is cut into slices too, and publishes nothing."""
    before = store.zones
    for event in build.lists(vmis(), [Kind.VMI]):
        store.apply(event, 0.0)
    assert slices(store) >= 2 * COUNT // LIMIT
    assert all(one is two for one, two in zip(before, store.zones, strict=True))


@pytest.mark.parametrize("event", [ListEnded(Kind.VMI), NotServed(Kind.VMI, "gone")])
def test_list_that_empties(store: Store, event: ListEnded | NotServed) -> None:
    """Many that go at once go in slices, and are seen to go in one step."""
    store.apply(ListStarted(Kind.VMI), 0.0)
    store.apply(event, 0.0)
    assert slices(store) >= 3 * COUNT // LIMIT
    assert build.look(store, "db.ns1.svc") is None
    assert store.counts()[Kind.VMI] == 0
    store.apply(Changed(Kind.VMI, build.vmi("vm7")), 0.0)
    assert slices(store) >= COUNT // LIMIT // 20  # what they held is let go of first
    assert build.look(store, "vm7.db.ns1.svc")


def test_service_that_goes(store: Store) -> None:
    """One event may be much work as well."""
    store.apply(Deleted(Kind.SERVICE, ("ns1", "db")), 0.0)
    assert slices(store) >= 3 * COUNT // LIMIT
    assert build.look(store, "vm7.db.ns1.svc") is None


@pytest.mark.parametrize("done", range(0, 100, 7))
def test_events_meanwhile_come_after_the_list(store: Store, done: int) -> None:
    """However far a list has got: what comes after it changes what the list has said, and is seen with it."""
    store.apply(ListStarted(Kind.VMI), 0.0)
    store.apply(ListedPage(Kind.VMI, tuple(vmis(third=1))), 0.0)
    store.apply(ListEnded(Kind.VMI), 0.0)
    before = store.zones
    for _ in range(done):
        assert not store.refresh(0.0, serial=2, limit=LIMIT)
    store.apply(Changed(Kind.VMI, build.vmi("vm7", addresses=("10.2.0.7",))), 0.0)
    store.apply(Deleted(Kind.VMI, ("ns1", "vm8")), 0.0)
    assert store.zones is before
    slices(store)
    assert build.look(store, "vm6.db.ns1.svc") == {"10.1.0.6"}
    assert build.look(store, "vm7.db.ns1.svc") == {"10.2.0.7"}
    assert build.look(store, "vm8.db.ns1.svc") is None


def test_time_that_passes_while_a_round_is_cut_short() -> None:
    """What ran out meanwhile is seen with the round, however far it had got when its time came."""
    moving = {"targetNode": "node1", "endTimestamp": "2026-01-01T00:00:00Z"}
    for done in range(40):
        store = Store(build.CONFIG)
        build.apply_all(store, build.lists([build.namespace(), build.service(), build.vmi(migration=moving)]), 0.0)
        store.refresh(0.0, serial=1)
        store.apply(Changed(Kind.VMI, build.vmi(ready=False, migration=moving)), 1.0)
        store.apply(ListStarted(Kind.VMI), 1.0)
        store.apply(ListedPage(Kind.VMI, (build.vmi(ready=False, migration=moving),)), 1.0)
        store.apply(ListEnded(Kind.VMI), 1.0)
        store.refresh(2.0, serial=2, limit=done)
        assert store.refresh(1000.0, serial=3)
        assert (store.deadline, build.look(store, "vm1.db.ns1.svc")) == (None, None)
