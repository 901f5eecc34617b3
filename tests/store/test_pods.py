"""Names of pods in the zones: with the pods that have the address, their namespaces, and the order of the news."""

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.events import Changed, Deleted, Event, NotServed
from dnsserver.names import from_text
from dnsserver.objects import Key, Kind, Object
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import Pods
from tests.build import (
    IN_ADDR,
    ZONE,
    apply_all,
    image,
    listing,
    lists,
    look,
    namespace,
    packed,
    pod,
    service,
    store_of,
)

OTHER = from_text("other.test")
VERIFIED = StoreConfig(zones=(ZONE, OTHER), reverse_zones=(IN_ADDR,), pods="verified")
NAME = "10-244-0-7.ns1.pod"
HOST = "192-0-2-7.ns1.pod"
ADDRESS = {"10.244.0.7"}


def test_a_pod_has_its_name_in_every_zone() -> None:
    """An address record, and no PTR record: an address has the names of Services and endpoints."""
    store = store_of([namespace(), pod()], VERIFIED)
    assert look(store, NAME) == look(store, f"{NAME}.other.test.") == ADDRESS
    assert look(store, NAME, RRType.AAAA) == set()
    assert look(store, "7.0.244.10.in-addr.arpa.", RRType.PTR) is None
    assert look(store, "ns1.pod") == look(store, "ns1.pod.other.test.") == set()


SEVEN, EIGHT = ["10.244.0.7"], ["10.244.0.8"]
STEPS: list[tuple[str, list[Event], list[str]]] = [  # what happens to a pod at .7, the addresses that have names then
    ("nothing", [], SEVEN),
    ("it goes", [Deleted(Kind.POD, ("ns1", "web-1"))], []),
    ("an older one of that name goes", [Deleted(Kind.POD, ("ns1", "web-1"), "stale")], SEVEN),
    ("it is told again", [Changed(Kind.POD, pod())], SEVEN),
    ("it gets another address", [Changed(Kind.POD, pod(address="10.244.0.8"))], EIGHT),
    ("it loses its address", [Changed(Kind.POD, pod(address=None))], []),
    ("it ends", [Changed(Kind.POD, pod(phase="Failed"))], []),
    ("it is to go", [Changed(Kind.POD, pod(deleting=True))], SEVEN),
    (
        "it is to go, and its last news are no news",
        [Changed(Kind.POD, pod(address="10.244.0.8", deleting=True))],
        SEVEN,
    ),
    ("it is to go, and ends", [Changed(Kind.POD, pod(phase="Succeeded", deleting=True))], []),
    ("it is to go, and goes", [Changed(Kind.POD, pod(deleting=True)), Deleted(Kind.POD, ("ns1", "web-1"))], []),
    ("one that is to go is never added", [Changed(Kind.POD, pod("web-2", "10.244.0.8", deleting=True))], SEVEN),
    ("a list shows that it is to go", listing(Kind.POD, [pod(deleting=True)]), SEVEN),
    ("a list shows another of its name that is to go", listing(Kind.POD, [pod(uid="new", deleting=True)]), []),
    ("a list shows it no more", listing(Kind.POD, []), []),
    ("pods may be read no more", [NotServed(Kind.POD, "403")], []),
    ("another takes its address", [Changed(Kind.POD, pod("web-2")), Deleted(Kind.POD, ("ns1", "web-1"))], SEVEN),
    ("its successor comes", [Deleted(Kind.POD, ("ns1", "web-1")), Changed(Kind.POD, pod(uid="new"))], SEVEN),
    ("its namespace goes", [Deleted(Kind.NAMESPACE, ("", "ns1"))], []),
    (
        "its namespace goes and comes back",
        [Deleted(Kind.NAMESPACE, ("", "ns1")), Changed(Kind.NAMESPACE, namespace())],
        SEVEN,
    ),
]


@pytest.mark.parametrize(("events", "addresses"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_changes(events: list[Event], addresses: list[str]) -> None:
    """A name is there while a pod that has not ended has the address, in a namespace that is published."""
    store = store_of([namespace(), namespace("ns2"), pod()], VERIFIED)
    apply_all(store, events)
    named = {one: look(store, f"{one.replace('.', '-')}.ns1.pod") for one in (*SEVEN, *EIGHT)}
    assert named == {one: {one} if one in addresses else None for one in (*SEVEN, *EIGHT)}


def test_pods_that_share_an_address() -> None:
    """On the host's network the name is there until the last of them has gone, in each namespace for itself."""
    shared = [pod("a", "192.0.2.7"), pod("b", "192.0.2.7"), pod("c", "192.0.2.7", namespace="ns2")]
    store = store_of([namespace(), namespace("ns2"), *shared], VERIFIED)
    address = packed("192.0.2.7")
    for key, ns1, ns2 in ((("ns1", "a"), True, True), (("ns2", "c"), True, False), (("ns1", "b"), False, False)):
        apply_all(store, [Deleted(Kind.POD, key)])
        assert (look(store, HOST) is not None, look(store, "192-0-2-7.ns2.pod") is not None) == (ns1, ns2)
        assert store.pod_namespace(address) == ("ns1" if ns1 else None)


def test_without_namespaces() -> None:
    """Where no Namespace may be read, those exist that hold a pod or a Service."""
    store = store_of([pod(), service(namespace="ns2", cluster_ip="10.96.0.1")], VERIFIED)
    assert look(store, NAME) == ADDRESS
    assert [look(store, f"{name}.pod") for name in ("ns1", "ns2", "ns3")] == [set(), set(), None]
    apply_all(store, [Deleted(Kind.POD, ("ns1", "web-1"))])
    assert [look(store, f"{name}.pod") for name in ("ns1", "ns2")] == [None, set()]
    apply_all(store, [Changed(Kind.POD, pod()), Changed(Kind.NAMESPACE, namespace("ns3"))])
    assert [look(store, f"{name}.pod") for name in ("ns1", "ns2", "ns3")] == [None, None, set()]
    assert look(store, NAME) is None
    apply_all(store, [Deleted(Kind.NAMESPACE, ("", "ns3"))])
    assert (look(store, NAME), look(store, "ns3.pod")) == (ADDRESS, None)


MODES: list[tuple[Pods, bool, bool]] = [
    ("disabled", False, False),
    ("insecure", False, True),
    ("verified", True, False),
]


@pytest.mark.parametrize(("mode", "counted", "unknown"), MODES)
def test_modes(mode: Pods, counted: bool, unknown: bool) -> None:
    """Only `verified` looks at pods, and only `insecure` answers for addresses that no pod has."""
    config = StoreConfig(zones=(ZONE,), pods=mode)
    store = store_of([namespace(), pod()], config)
    assert (Kind.POD in store.counts()) is counted
    assert (look(store, NAME) == ADDRESS) is (mode != "disabled")
    assert (look(store, "1-2-3-4.ns1.pod") is not None) is unknown


@pytest.mark.parametrize("name", ["n" * 64, "n" * 63])
def test_names_that_do_not_fit(name: str) -> None:
    """A namespace or a zone that leaves a pod's name no room has none, and touches nothing else."""
    long_zone = from_text(".".join(["z" * 60] * 3))
    config = StoreConfig(zones=(long_zone, ZONE), pods="verified")
    longest = "2001:db8:1111:2222:3333:4444:5555:6666"
    store = store_of([namespace(name), pod(address=longest, namespace=name), pod()], config)
    label = longest.replace(":", "-")
    assert look(store, f"{label}.{name[:63]}.pod", RRType.AAAA) == ({longest} if len(name) < 64 else None)
    assert look(store, NAME) is None  # there is a Namespace, and this is not it


def test_sync() -> None:
    """Pods are waited for where they are verified; a server that may not read them serves the rest."""
    store = store_of([], VERIFIED)
    assert store.synced
    early = store_of([], StoreConfig(zones=(ZONE,)))
    assert Kind.POD not in early.missing
    unread = [
        event for event in lists([namespace(), service(cluster_ip="10.96.0.1")], Kind) if event.kind is not Kind.POD
    ]
    waiting = Store(VERIFIED)
    apply_all(waiting, unread)
    assert (waiting.missing, look(waiting, "db.ns1.svc")) == (frozenset({Kind.POD}), None)
    apply_all(waiting, [NotServed(Kind.POD, "403")])
    assert (waiting.missing, look(waiting, "db.ns1.svc")) == (frozenset(), {"10.96.0.1"})


def test_no_change_no_version() -> None:
    """News of a pod that change no record make no new version."""
    store = store_of([namespace(), pod()], VERIFIED)
    before = store.zones
    apply_all(store, [Changed(Kind.POD, pod()), Changed(Kind.POD, pod(deleting=True))])
    assert all(one is other for one, other in zip(store.zones, before, strict=True))


PLACES = ("ns1", "ns2")
POOL: dict[tuple[Kind, Key], list[Object]] = {
    **{(Kind.NAMESPACE, ("", place)): [namespace(place)] for place in (*PLACES, "ns3")},
    **{
        (Kind.POD, (place, name)): [
            pod(name, address, namespace=place, phase=phase)
            for address in ("10.244.0.7", "192.0.2.7", "fd00::7", None)
            for phase in ("Running", "Failed")
        ]
        for place, name in product(PLACES, ("a", "b"))
    },
    **{(Kind.SERVICE, (place, "db")): [service(namespace=place, external_name="a.test")] for place in PLACES},
}
CONFIGS = [
    VERIFIED,
    StoreConfig(zones=(ZONE,), pods="verified", namespaces=frozenset({"ns1"}), kubevirt="off"),
    StoreConfig(zones=(ZONE,), pods="verified", endpoints=False, addresses=(packed("10.244.0.7"),)),
    StoreConfig(zones=(ZONE,), pods="insecure"),
    StoreConfig(zones=(ZONE,)),
]
State = dict[tuple[Kind, Key], Object]


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw what a cluster holds."""
    return {place: draw(st.sampled_from(variants)) for place, variants in POOL.items() if draw(st.booleans())}


@st.composite
def happenings(draw: st.DrawFn) -> Event:
    """Draw one piece of news: of an object that is there or not, that is to go, or goes."""
    kind, key = draw(st.sampled_from(sorted(POOL, key=str)))
    news: list[Event] = [Changed(kind, draw(st.sampled_from(POOL[kind, key]))), Deleted(kind, key)]
    if kind is Kind.POD:
        news.append(Changed(kind, pod(key[1], namespace=key[0], deleting=True)))
    return draw(st.sampled_from(news))


@settings(max_examples=80, deadline=None)  # an example is a whole history
@given(
    states(), states(), st.lists(happenings(), max_size=8), st.sampled_from(CONFIGS), st.randoms(use_true_random=False)
)
def test_history_does_not_matter(
    before: State, after: State, between: list[Event], config: StoreConfig, random: Random
) -> None:
    """However Namespaces, Services and pods came to be what they are, the zones are the same."""
    store = store_of(before.values(), config)
    apply_all(store, between)
    mending: list[Event] = [
        Changed(kind, after[kind, key]) if (kind, key) in after else Deleted(kind, key) for kind, key in POOL
    ]
    random.shuffle(mending)
    for event in mending:
        store.apply(event, 0.0)
        if random.random() < 0.5:
            store.refresh(0.0, serial=1)
    store.refresh(0.0, serial=1)
    wanted = store_of(after.values(), config)
    assert image(store) == image(wanted)
    assert store.counts() == wanted.counts()
    apply_all(store, [Deleted(kind, key) for kind, key in POOL])
    assert image(store) == image(store_of((), config))


@settings(max_examples=40, deadline=None)  # an example is a whole history
@given(states(), st.sampled_from(CONFIGS), st.permutations(list(Kind)))
def test_every_order_of_lists(state: State, config: StoreConfig, kinds: list[Kind]) -> None:
    """Lists of the kinds may come in any order, and twice."""
    store = Store(config)
    apply_all(store, [*lists(state.values(), kinds), *lists(state.values(), kinds[:2])])
    assert image(store) == image(store_of(state.values(), config))
