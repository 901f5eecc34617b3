"""What the store says has changed of why VMIs have no names: by which event, for which VMIs, at what cost."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dnsserver.derive.complaint import Reason
from dnsserver.events import Changed, Deleted, Event
from dnsserver.objects import Key, Kind, Object
from dnsserver.store import Store
from dnsserver.store.complaints import Complaints
from tests.build import CONFIG, apply_all, endpoint_json, endpoint_slice, lists, namespace, service, store_of, vmi

TELLING = replace(CONFIG, complaints=True)
VM1 = ("ns1", "vm1")


def telling(*objects: object) -> Store:
    """Return a store that holds these objects and notes complaints; those of its start are taken."""
    store = store_of(objects, TELLING)  # type: ignore[arg-type]  # objects of any kind
    store.take_complaints()
    return store


def news(store: Store, *events: Event, now: float = 1.0) -> dict[Key, Reason | None]:
    """Return what events change."""
    apply_all(store, events, now)
    return {key: None if subject is None else subject[1] for key, subject in store.take_complaints().items()}


def test_the_start() -> None:
    """Every VMI is looked at once, in namespaces without any Service too."""
    objects: list[Object] = [
        vmi(),
        service(),
        vmi("vm2", subdomain="web"),
        vmi("vm3", namespace="ns2"),
        vmi("vm4", subdomain=None),
    ]
    store = Store(TELLING)
    assert news(store, *lists(objects, Kind)) == {
        ("ns1", "vm2"): Reason.NO_SERVICE,
        ("ns2", "vm3"): Reason.NO_SERVICE,
    }
    assert news(store) == {}


HEADLESS = Changed(Kind.SERVICE, service())
NOT_HEADLESS = Changed(Kind.SERVICE, service(cluster_ip="10.96.0.1", cluster_ips=("10.96.0.1",)))
GONE = Deleted(Kind.SERVICE, ("ns1", "db"), "")
ELSEWHERE = Changed(Kind.SERVICE, service(selector={"app": "web"}))
VMI_GONE = Deleted(Kind.VMI, VM1, "")

CHANGES: list[tuple[str, list[object], Event, dict[Key, Reason | None]]] = [
    ("a Service comes", [vmi()], HEADLESS, {VM1: None}),
    ("a Service that is no use comes", [vmi()], NOT_HEADLESS, {VM1: Reason.HEADLESS}),
    ("a Service goes", [vmi(), service()], GONE, {VM1: Reason.NO_SERVICE}),
    ("a selector changes", [vmi(), service()], ELSEWHERE, {VM1: Reason.SELECTOR}),
    ("a Service of another name", [vmi()], Changed(Kind.SERVICE, service("web")), {}),
    ("a Service of another namespace", [vmi()], Changed(Kind.SERVICE, service(namespace="ns2")), {}),
    ("a VMI comes", [], Changed(Kind.VMI, vmi()), {VM1: Reason.NO_SERVICE}),
    ("a VMI comes and has its name", [service()], Changed(Kind.VMI, vmi()), {}),
    ("a VMI goes", [vmi()], VMI_GONE, {VM1: None}),
    ("a VMI that had its name goes", [vmi(), service()], VMI_GONE, {}),
    ("a VMI ends", [vmi()], Changed(Kind.VMI, vmi(phase="Succeeded")), {VM1: None}),
    ("a successor of the same name", [vmi()], Changed(Kind.VMI, vmi(uid="another")), {VM1: Reason.NO_SERVICE}),
    ("the same again, but for its addresses", [vmi()], Changed(Kind.VMI, vmi(addresses=("10.244.9.9",))), {}),
    ("not Ready", [vmi(), service()], Changed(Kind.VMI, vmi(ready=False)), {}),
    ("its namespace is not published", [vmi(), namespace()], Deleted(Kind.NAMESPACE, ("", "ns1"), ""), {}),
    (
        "its namespace goes, others stay",
        [vmi(), namespace(), namespace("ns2")],
        Deleted(Kind.NAMESPACE, ("", "ns1"), ""),
        {VM1: None},
    ),
    (
        "the first namespace that is known comes, and it is another",
        [vmi()],
        Changed(Kind.NAMESPACE, namespace("ns2")),
        {VM1: None},
    ),
    (
        "the only namespace that is known goes, so all of them exist",
        [vmi(), namespace("ns2")],
        Deleted(Kind.NAMESPACE, ("", "ns2"), ""),
        {VM1: Reason.NO_SERVICE},
    ),
    ("its namespace comes", [vmi(), namespace("ns2")], Changed(Kind.NAMESPACE, namespace()), {VM1: Reason.NO_SERVICE}),
    (
        "an EndpointSlice knows its address",
        [vmi(addresses=()), service()],
        Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"))),
        {VM1: None},
    ),
]


@pytest.mark.parametrize(
    ("objects", "event", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_changes(objects: list[object], event: Event, expected: dict[Key, Reason | None]) -> None:
    """Only what has changed is told, and once."""
    store = telling(*objects)
    assert news(store, event) == expected
    assert news(store) == {}


def test_an_address_that_is_held() -> None:
    """A flapping status is no complaint until the last good address counts no more."""
    store = telling(vmi(binding="bridge"), service())
    assert news(store, Changed(Kind.VMI, vmi(binding="bridge", addresses=()))) == {}
    assert news(store, now=CONFIG.timing.address_hold + 2.0) == {VM1: Reason.ADDRESS}


def test_the_words() -> None:
    """They are made when they are wanted, of what is known then."""
    store = telling(vmi())
    found = store.complaint(VM1, 0.0)
    assert found is not None
    assert (found[0].uid, found[1].reason) == ("uid-vm1", Reason.NO_SERVICE)
    assert store.complaint(("ns1", "nobody"), 0.0) is None
    apply_all(store, [HEADLESS])
    assert store.complaint(VM1, 0.0) is None


COSTS: list[tuple[str, Event, int]] = [  # an event, and how many of 100 VMIs of its namespace are looked at
    ("a VMI", Changed(Kind.VMI, vmi("vm7", subdomain="web", addresses=("10.244.3.3",))), 1),
    ("the Service of half of them", Changed(Kind.SERVICE, service("web")), 50),
    ("a Service of none of them", Changed(Kind.SERVICE, service("nobody")), 0),
    ("a slice", Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm3"))), 1),
]


@pytest.mark.parametrize(("event", "looks"), [row[1:] for row in COSTS], ids=[row[0] for row in COSTS])
def test_costs(monkeypatch: pytest.MonkeyPatch, event: Event, looks: int) -> None:
    """An event costs what it changes, not what there is; nothing is even looked at where it is not asked for."""
    seen: list[Key] = []
    look: Callable[[Complaints, Key, float], None] = Complaints._look_at

    def noted(complaints: Complaints, key: Key, now: float) -> None:
        seen.append(key)
        look(complaints, key, now)

    monkeypatch.setattr(Complaints, "_look_at", noted)
    objects = [vmi(f"vm{number}", subdomain="web" if number % 2 else "db") for number in range(100)]
    for config, expected in ((TELLING, looks), (CONFIG, 0)):
        store = store_of([*objects, service()], config)
        seen.clear()
        apply_all(store, [event], 1.0)
        assert len(seen) == expected
    assert store.take_complaints() == {}
