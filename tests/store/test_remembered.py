"""What the store remembers of its decisions, for who explains them."""

from dnsserver.derive.vmi import Fact, Refused, Rule
from dnsserver.events import Changed, Deleted
from dnsserver.objects import Kind, Object
from dnsserver.store import Store
from dnsserver.store.entry import Entry
from tests.build import apply_all, endpoint_json, endpoint_slice, namespace, service, store_of, vmi

SINCE = Refused(Rule.READY, (Fact("condition Ready", "True", "False (Sick)"),))


def entry_of(store: Store) -> Entry:
    """Return the Service of most tests."""
    entry = store.entry(("ns1", "db"))
    assert entry is not None
    return entry


def change(store: Store, value: Object) -> None:
    """Have a VMI change."""
    apply_all(store, [Changed(Kind.VMI, value)])


def test_refusals() -> None:
    """Why a selected VMI is refused is kept as it was decided, and only as long as it is."""
    store = store_of((namespace(), service(), vmi(), vmi("vm2", ready=False, reason="Sick")))
    entry = entry_of(store)
    assert entry.refused == {"vm2": SINCE}
    assert entry.published_vmis == ("vm1",)
    change(store, vmi("vm1", phase="Failed"))
    assert entry.refused["vm1"].detail == "status.phase: Running wanted, Failed found"
    assert store.unpublished == {Rule.READY: 1, Rule.PHASE: 1}
    change(store, vmi("vm2"))
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"), "")])
    assert entry.refused == {}
    assert not +store.unpublished


def test_equal_refusals_are_one() -> None:
    """After a node has failed very many are refused for the same reason: it is held once."""
    store = store_of((namespace(), service(), *(vmi(f"vm{number}", phase="Failed") for number in range(3))))
    assert len({id(one) for one in entry_of(store).refused.values()}) == 1


def test_not_meant() -> None:
    """Of VMIs that the Service does not select nothing is kept."""
    store = store_of((namespace(), service(), vmi(labels={"app": "web"})))
    assert entry_of(store).refused == {}
    assert store.entry(("ns1", "none")) is None


def test_notes() -> None:
    """How addresses differ from the status is kept of the few that have such; of the others nothing."""
    one = endpoint_slice(endpoint_json("10.244.0.8", pod="pod-vm2"))
    store = store_of((namespace(), service(), one, vmi(), vmi("vm2", addresses=["10.0.2.2"])))
    entry = entry_of(store)
    assert entry.notes("vm2") == ("IPv4: taken from the EndpointSlice of its pod",)
    assert entry.notes("vm1") == ()
    assert set(entry._notes) == {"vm2"}
    change(store, vmi("vm2", addresses=["10.244.0.8"]))
    assert entry._notes == {}
    change(store, vmi("vm2", addresses=["10.0.2.2"]))
    apply_all(store, [Deleted(Kind.SERVICE, ("ns1", "db"), "")])
    assert (entry._notes, entry.refused, entry.published_vmis) == ({}, {}, ())


def test_given() -> None:
    """Who contributes what is there to be read."""
    one = endpoint_slice(endpoint_json("10.244.0.8", hostname="pod"))
    store = store_of((namespace(), service(), one, vmi()))
    entry = entry_of(store)
    assert [host.label for host in entry.given((Kind.VMI, "vm1"))] == [b"vm1"]
    assert [host.label for host in entry.given((Kind.ENDPOINT_SLICE, "db-1"))] == [b"pod"]
    assert entry.given((Kind.VMI, "vm9")) == ()
