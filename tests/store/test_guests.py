"""The index of guests by address: what a VMI is found by, from when on, and until when."""

from collections.abc import Callable

import pytest

from dnsserver.events import Changed, Deleted
from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.store import Store
from tests.build import CONFIG, apply_all, endpoint_json, endpoint_slice, lists, packed, service, store_of, vmi

SOURCE, TARGET = "10.244.0.7", "10.244.1.9"


def indexing(*objects: object) -> Store:
    """Return a store that has been told to index before it has listed the objects."""
    store = Store(CONFIG)
    store.want_guests(wanted=True)
    apply_all(store, lists(objects, Kind))  # type: ignore[arg-type]  # objects of any kind
    return store


def found(store: Store, address: str) -> list[str]:
    """Return the VMIs that have an address."""
    return [one.name for one in store.guests(packed(address))]


def migrating(**fields: object) -> VirtualMachineInstance:
    """Return a VMI whose pods are on two nodes."""
    return vmi(pods={"pod-a": "node1", "pod-b": "node2"}, **fields)  # type: ignore[arg-type]  # of `vmi`


BOTH_PODS = endpoint_slice(endpoint_json(SOURCE, pod="pod-a"), endpoint_json(TARGET, pod="pod-b", ready=False))

FOUND_BY: list[tuple[str, list[object], list[str]]] = [  # objects, the addresses that VMI vm1 is found by
    ("masquerade", [vmi()], [SOURCE]),
    ("bridge", [vmi(binding="bridge")], [SOURCE]),
    ("both families", [vmi(addresses=(SOURCE, "fd00::7"))], [SOURCE, "fd00::7"]),
    (
        "guest-internal, but its pod is known",
        [vmi(addresses=("10.0.2.2",), pods={"pod-a": "node1"}), BOTH_PODS],
        [SOURCE],
    ),
    ("not Ready: it may ask all the same", [vmi(ready=False)], [SOURCE]),
    ("being deleted: not gone yet", [vmi(deleting=True)], [SOURCE]),
    ("without a Service or a subdomain", [vmi(subdomain=None, labels={})], [SOURCE]),
    ("migrating: source and target", [migrating(), BOTH_PODS], [SOURCE, TARGET]),
    ("handed over: the status is still the source's", [migrating(node="node2"), BOTH_PODS], [SOURCE, TARGET]),
    ("final", [vmi(phase="Succeeded")], []),
    ("failed", [vmi(phase="Failed")], []),
    (
        "a slice of another namespace",
        [migrating(addresses=()), endpoint_slice(endpoint_json(TARGET, pod="pod-b"), namespace="ns2")],
        [],
    ),
]


@pytest.mark.parametrize(("objects", "addresses"), [row[1:] for row in FOUND_BY], ids=[row[0] for row in FOUND_BY])
def test_found_by(objects: list[object], addresses: list[str]) -> None:
    """An index made at the start and one made afterwards know the same."""
    late = store_of(objects)  # type: ignore[arg-type]  # objects of any kind
    assert not any(found(late, address) for address in (SOURCE, TARGET, "fd00::7"))
    late.want_guests(wanted=True)
    late.refresh(0.0, serial=2)
    for store in (indexing(*objects), late):
        here = [address for address in (SOURCE, TARGET, "fd00::7", "10.0.2.2") if found(store, address)]
        assert here == addresses


CHANGES: list[tuple[str, Callable[[Store], None], list[str], list[str]]] = [  # then who has SOURCE, and TARGET
    ("deleted", lambda store: store.apply(Deleted(Kind.VMI, ("ns1", "vm1"), "uid-vm1"), 1.0), [], []),
    ("another address", lambda store: store.apply(Changed(Kind.VMI, vmi(addresses=(TARGET,))), 1.0), [], ["vm1"]),
    ("final", lambda store: store.apply(Changed(Kind.VMI, vmi(phase="Succeeded")), 1.0), [], []),
    (
        "of its pod too",
        lambda store: store.apply(
            Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json(TARGET, pod="pod-vm1"))), 1.0
        ),
        ["vm1"],
        ["vm1"],
    ),
    ("shared", lambda store: store.apply(Changed(Kind.VMI, vmi("vm2", namespace="ns2")), 1.0), ["vm1", "vm2"], []),
]


@pytest.mark.parametrize(("change", "source", "target"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_changes(change: Callable[[Store], None], source: list[str], target: list[str]) -> None:
    """The index follows single events."""
    store = indexing(vmi(), service())
    change(store)
    store.refresh(1.0, serial=2)
    assert (found(store, SOURCE), found(store, TARGET)) == (source, target)


def test_a_slice_that_goes() -> None:
    """What only it said of a VMI is forgotten with it."""
    store = indexing(migrating(), BOTH_PODS)
    store.apply(Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"), ""), 1.0)
    store.refresh(1.0, serial=2)
    assert (found(store, SOURCE), found(store, TARGET)) == (["vm1"], [])


def test_an_address_that_is_held() -> None:
    """A guest whose agent reports no address for the moment still asks from the one it had, as long as that counts."""
    store = indexing(vmi(binding="bridge"))
    store.apply(Changed(Kind.VMI, vmi(binding="bridge", addresses=())), 1.0)
    store.refresh(1.0, serial=2)
    assert found(store, SOURCE) == ["vm1"]
    store.refresh(CONFIG.timing.address_hold + 2.0, serial=3)
    assert found(store, SOURCE) == []


def test_not_wanted_any_more() -> None:
    """The memory is given back, and it can be wanted again."""
    store = indexing(vmi())
    store.want_guests(wanted=False)
    store.refresh(1.0, serial=2)
    assert found(store, SOURCE) == []
    store.apply(Changed(Kind.VMI, vmi(addresses=(TARGET,))), 2.0)
    assert found(store, TARGET) == []
    store.want_guests(wanted=True)
    store.refresh(3.0, serial=3)
    assert found(store, TARGET) == ["vm1"]


def test_made_in_small_steps() -> None:
    """An index that is wanted late holds up no query: 30 VMIs take more than one slice of ten steps."""
    store = store_of([vmi(f"vm{number}", addresses=(f"10.244.0.{number}",)) for number in range(30)])
    store.want_guests(wanted=True)
    assert not store.refresh(1.0, serial=2, limit=10)
    while not store.refresh(1.0, serial=2, limit=10):
        pass
    assert all(found(store, f"10.244.0.{number}") for number in range(30))
