"""Time alone changes answers: grace and hold run out without any event."""

from dnsserver.derive.observation import Timing
from dnsserver.events import Changed, Deleted
from dnsserver.objects import Kind
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from tests.build import CONFIG, Json, apply_all, look, service, store_of, vmi

HOST = "vm1.db.ns1.svc"
CONFIGURED = StoreConfig(zones=CONFIG.zones, reverse_zones=CONFIG.reverse_zones, timing=Timing(60.0, 30.0))
AT: Json = {"node": "node2", "migration": {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z"}}


def at_rest(store: Store) -> bool:
    """Say whether nothing is remembered that time could end."""
    return store.deadline is None and not list(store.observations)


def test_grace_runs_out() -> None:
    """A hand-over that never ends takes the name away once the grace is over."""
    store = store_of([service(), vmi()], CONFIGURED)
    assert at_rest(store)
    apply_all(store, [Changed(Kind.VMI, vmi(**AT, ready=False))], 100.0)
    assert (store.deadline, len(list(store.observations))) == (160.0, 1)
    assert store.refresh(159.9, serial=1)
    assert look(store, HOST) == {"10.244.0.7"}
    assert store.refresh(160.0, serial=1)
    assert look(store, HOST) is None
    assert look(store, "7.0.244.10.in-addr.arpa.", RRType.PTR) is None
    assert at_rest(store)


def test_grace_is_not_given_twice() -> None:
    """Once the grace is over, more news of the same hand-over do not bring the name back; being Ready does."""
    store = store_of([service(), vmi()], CONFIGURED)
    apply_all(store, [Changed(Kind.VMI, vmi(**AT, ready=False))], 100.0)
    store.refresh(200.0, serial=1)
    apply_all(store, [Changed(Kind.VMI, vmi(**AT, ready=False, reason="again"))], 201.0)
    assert look(store, HOST) is None
    apply_all(store, [Changed(Kind.VMI, vmi(**AT))], 202.0)
    assert look(store, HOST) == {"10.244.0.7"}


def test_hold_runs_out_by_family() -> None:
    """Held addresses go one family after the other, each at its own time."""
    store = store_of([service(families=None), vmi(addresses=["10.244.0.7", "fd00::7"])], CONFIGURED)
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=["fd00::7"]))], 100.0)
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=[]))], 110.0)
    answers = []
    for now in (129.9, 130.0, 139.9, 140.0):
        store.refresh(now, serial=1)
        answers.append((look(store, HOST), look(store, HOST, RRType.AAAA)))
    only_v6 = (set[str](), {"fd00::7"})
    assert answers == [({"10.244.0.7"}, {"fd00::7"}), only_v6, only_v6, (None, None)]
    assert at_rest(store)


def test_return_ends_the_hold() -> None:
    """An address that comes back is no longer held, and its old deadline changes nothing."""
    store = store_of([service(), vmi()], CONFIGURED)
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=[]))], 100.0)
    assert look(store, HOST) == {"10.244.0.7"}
    apply_all(store, [Changed(Kind.VMI, vmi())], 110.0)
    store.refresh(200.0, serial=1)
    assert look(store, HOST) == {"10.244.0.7"}


def test_a_deleted_vmi_holds_nothing() -> None:
    """What was remembered goes with the VMI; a successor of its name starts anew."""
    store = store_of([service(), vmi()], CONFIGURED)
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=[]))], 100.0)
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))], 101.0)
    assert (look(store, HOST), list(store.observations)) == (None, [])
    apply_all(store, [Changed(Kind.VMI, vmi(uid="new", addresses=[]))], 102.0)
    assert look(store, HOST) is None
    store.refresh(200.0, serial=1)
    assert store.deadline is None


def test_deadline_before_the_sync() -> None:
    """A VMI first seen in a hand-over has its grace, however long the sync takes; then it runs out."""
    store = store_of([service(), vmi(**AT, ready=False)], CONFIGURED, now=50.0)
    assert (look(store, HOST), store.deadline) == ({"10.244.0.7"}, 110.0)
    store.refresh(110.0, serial=1)
    assert look(store, HOST) is None


def test_serial_follows_content() -> None:
    """A deadline that takes a name away makes a new version; time alone does not."""
    store = store_of([service(), vmi()], CONFIGURED)
    apply_all(store, [Changed(Kind.VMI, vmi(addresses=[]))], 100.0)
    before = store.zones
    store.refresh(129.9, serial=500)
    assert all(one is other for one, other in zip(store.zones, before, strict=True))
    store.refresh(130.0, serial=500)
    assert store.zones[0].serial == 500
