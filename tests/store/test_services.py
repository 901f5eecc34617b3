"""Options that decide whether a Service is published, what is measured of it, and what others are told of it."""

import pytest

from dnsserver.events import Changed, Deleted, Event
from dnsserver.objects import EndpointSlice, Kind, Object
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.store.publication import Publication
from tests.build import (
    IN_ADDR,
    ZONE,
    apply_all,
    endpoint_json,
    endpoint_slice,
    image,
    listing,
    lists,
    look,
    namespace,
    packed,
    port_json,
    service,
    store_of,
    vmi,
)

IGNORE = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), ignore_empty=True)
CLUSTER_IP = service(cluster_ip="10.96.0.1", ports=[port_json(80, "http")])
NAMES = ("db.ns1.svc", "_http._tcp.db.ns1.svc")
READY, UNREADY, EMPTY = endpoint_json("10.244.0.1"), endpoint_json("10.244.0.1", ready=False), endpoint_json()


def one_slice(*endpoints: object, name: str = "db-1", under: str = "db") -> EndpointSlice:
    """Return a slice of the Service."""
    return endpoint_slice(*endpoints, name=name, service=under)  # type: ignore[arg-type]  # JSON as `endpoint_json` makes it


def published(store: Store) -> bool:
    """Say whether all of the Service's names are there, its PTR record too; either all are or none is."""
    there = {look(store, name) is not None for name in NAMES}
    there.add(look(store, "1.0.96.10.in-addr.arpa.", RRType.PTR) is not None)
    assert len(there) == 1
    return there.pop()


EMPTINESS: list[tuple[str, list[Event], bool]] = [  # what happens to a Service with a ready endpoint; published then?
    ("nothing", [], True),
    ("not ready any more", [Changed(Kind.ENDPOINT_SLICE, one_slice(UNREADY))], False),
    ("ready but without an address", [Changed(Kind.ENDPOINT_SLICE, one_slice(EMPTY))], False),
    ("no endpoint any more", [Changed(Kind.ENDPOINT_SLICE, one_slice())], False),
    ("no slice any more", [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))], False),
    ("the slice goes to another Service", [Changed(Kind.ENDPOINT_SLICE, one_slice(READY, under="web"))], False),
    (
        "one of two slices is left",
        [Changed(Kind.ENDPOINT_SLICE, one_slice(READY, name="db-2")), Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))],
        True,
    ),
    (
        "back again",
        [Changed(Kind.ENDPOINT_SLICE, one_slice(UNREADY)), Changed(Kind.ENDPOINT_SLICE, one_slice(READY))],
        True,
    ),
    (
        "the Service goes and comes back",
        [Deleted(Kind.SERVICE, ("ns1", "db")), Changed(Kind.SERVICE, CLUSTER_IP)],
        True,
    ),
    (
        "the Service comes back when the endpoint has gone",
        [
            Deleted(Kind.SERVICE, ("ns1", "db")),
            Changed(Kind.ENDPOINT_SLICE, one_slice(UNREADY)),
            Changed(Kind.SERVICE, CLUSTER_IP),
        ],
        False,
    ),
    (
        "the namespace goes and comes back",
        [Deleted(Kind.NAMESPACE, ("", "ns1")), Changed(Kind.NAMESPACE, namespace())],
        True,
    ),
    ("slices are listed anew, and there are none", listing(Kind.ENDPOINT_SLICE, []), False),
]


@pytest.mark.parametrize(("events", "expected"), [row[1:] for row in EMPTINESS], ids=[row[0] for row in EMPTINESS])
def test_ignore_empty(events: list[Event], expected: bool) -> None:
    """A Service with a cluster IP is there while any of its endpoints is ready; step by step or all at once."""
    start: list[Object] = [namespace(), namespace("ns2"), CLUSTER_IP, one_slice(READY)]
    store = store_of(start, IGNORE)
    assert published(store)
    for event in events:
        apply_all(store, [event])
    at_once = store_of(start, IGNORE)
    apply_all(at_once, events)
    assert published(store) is published(at_once) is expected
    assert image(store) == image(at_once)
    plain = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,))
    without = store_of(start, plain)
    apply_all(without, events)
    assert published(without)


def test_ignore_empty_leaves_the_others() -> None:
    """Headless and ExternalName Services have their own rules; a VMI's pod counts as an endpoint."""
    objects: list[Object] = [
        namespace(),
        service("hl"),
        service("out", external_name="a.test"),
        service("vms", cluster_ip="10.96.0.2"),
        vmi(),
        one_slice(endpoint_json("10.244.0.7", pod="pod-vm1"), name="vms-1", under="vms"),
    ]
    store = store_of(objects, IGNORE)
    assert look(store, "hl.ns1.svc") == {"10.244.0.7"}
    assert look(store, "out.ns1.svc", RRType.CNAME) == {"a.test."}
    assert look(store, "vms.ns1.svc") == {"10.96.0.2"}


def test_kind_of_service_changes() -> None:
    """Between cluster IP, headless and alias an empty Service appears and disappears as its kind says."""
    store = store_of([namespace(), CLUSTER_IP, one_slice(UNREADY)], IGNORE)
    for value, there in ((service(), False), (service(external_name="a.test"), True), (CLUSTER_IP, False)):
        apply_all(store, [Changed(Kind.SERVICE, value)])
        assert (look(store, "db.ns1.svc") is not None) is there


def test_no_endpoints() -> None:
    """Without slices only cluster IPs and aliases are left; a VMI has its name from itself."""
    config = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), endpoints=False)
    store = store_of([namespace(), CLUSTER_IP, one_slice(READY), service("hl"), vmi(subdomain="hl")], config)
    assert published(store)
    assert look(store, "10-244-0-1.db.ns1.svc") is None
    assert look(store, "vm1.hl.ns1.svc") == {"10.244.0.7"}
    assert Kind.ENDPOINT_SLICE not in store.counts()


# Addresses of many


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_many_names_of_one_address(count: int) -> None:
    """However many Services an endpoint is behind, its address leads to all of them, and to each once."""
    names = [f"s{number}" for number in range(count)]
    objects: list[Object] = [service(name) for name in names]
    objects += [one_slice(READY, name=f"{name}-1", under=name) for name in names]
    store = store_of(objects)
    pointer = "1.0.244.10.in-addr.arpa."
    assert look(store, pointer, RRType.PTR) == {f"10-244-0-1.{name}.ns1.svc.cluster.local." for name in names}
    for left in range(count - 1, -1, -1):
        apply_all(store, [Deleted(Kind.ENDPOINT_SLICE, ("ns1", f"s{left}-1"))])
        found = look(store, pointer, RRType.PTR)
        assert (len(found) if found else 0) == left
    assert look(store, pointer, RRType.PTR) is None


def test_a_name_that_is_told_twice() -> None:
    """An address has it once, and it is gone when it is taken away once."""
    publication = Publication(StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,)))
    for _ in range(2):
        publication.point(packed("10.244.0.1"), add=(ZONE,))
    assert publication.endpoint_names(packed("10.244.0.1")) == (ZONE,)
    publication.point(packed("10.244.0.1"), remove=(ZONE,))
    assert publication.endpoint_names(packed("10.244.0.1")) == ()


def test_a_pod_that_two_vmis_claim() -> None:
    """The last to claim it has it, also when the other lets it go."""
    both = {"pod-x": "node1"}
    store = store_of([service(), vmi(pods=both), one_slice(endpoint_json("10.244.0.1", pod="pod-x"))])
    apply_all(store, [Changed(Kind.VMI, vmi("vm2", pods=both)), Changed(Kind.VMI, vmi(pods={}))])
    assert look(store, "10-244-0-1.db.ns1.svc") is None
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm2"))])
    assert look(store, "10-244-0-1.db.ns1.svc") == {"10.244.0.1"}


# What is measured


def slow(
    under: str = "db", *, triggered: str | None = "2026-01-01T00:00:00Z", address: str = "10.244.0.1"
) -> EndpointSlice:
    """Return a slice that says when its change began."""
    return endpoint_slice(endpoint_json(address), name=f"{under}-1", service=under, triggered=triggered)


BEGAN = 1767225600.0
MEASURED: list[tuple[str, Object | None, EndpointSlice, list[tuple[str, float]]]] = [
    ("cluster IP", CLUSTER_IP, slow(), [("cluster_ip", BEGAN)]),
    ("cluster IP without a selector", service(cluster_ip="10.96.0.1", selector={}), slow(), [("cluster_ip", BEGAN)]),
    ("headless", service(), slow(), [("headless_with_selector", BEGAN)]),
    ("headless without a selector", service(selector={}), slow(), []),
    ("an alias", service(external_name="a.test"), slow(), []),
    ("no address yet", service(cluster_ip=""), slow(), []),
    ("no Service", None, slow(), []),
    ("another Service's", CLUSTER_IP, slow("web"), []),
    ("not told", CLUSTER_IP, slow(triggered=None), []),
    ("nonsense", CLUSTER_IP, slow(triggered="soon"), []),
]


@pytest.mark.parametrize(
    ("under", "value", "expected"), [row[1:] for row in MEASURED], ids=[row[0] for row in MEASURED]
)
def test_programming(under: Object | None, value: EndpointSlice, expected: list[tuple[str, float]]) -> None:
    """A change that a slice dates is noted for Services of the two kinds that CoreDNS measures."""
    store = store_of([namespace(), *([] if under is None else [under])])
    store.apply(Changed(Kind.ENDPOINT_SLICE, value), 0.0)
    assert store.programmed == expected


def test_programming_counts_each_change_once() -> None:
    """What was there before the first sync, has not changed, or has gone is not measured."""
    early = Store(StoreConfig(zones=(ZONE,)))
    apply_all(early, lists([CLUSTER_IP, slow()], Kind))
    assert early.programmed == []
    store = store_of([CLUSTER_IP, slow()])
    later = slow(address="10.244.0.2", triggered="2026-01-01T00:00:05Z")
    apply_all(store, [Changed(Kind.ENDPOINT_SLICE, slow()), *listing(Kind.ENDPOINT_SLICE, [slow()])])
    assert store.programmed == []
    apply_all(store, [Changed(Kind.ENDPOINT_SLICE, later), Changed(Kind.ENDPOINT_SLICE, later)])
    assert store.programmed == [("cluster_ip", BEGAN + 5)]
    apply_all(store, [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))])
    assert len(store.programmed) == 1


# What others are told


def test_what_is_published() -> None:
    """Services and endpoints of namespaces that are published, and no others."""
    config = StoreConfig(zones=(ZONE,), namespaces=frozenset({"ns1", "ns3"}))
    other = service(namespace="ns2", cluster_ip="10.96.0.2")
    store = store_of([namespace(), namespace("ns2"), CLUSTER_IP, other, one_slice(READY)], config)
    assert list(store.services()) == [CLUSTER_IP]
    assert store.service(("ns1", "db")) == CLUSTER_IP
    assert [store.service(key) for key in (("ns2", "db"), ("ns1", "web"), ("ns3", "db"))] == [None, None, None]
    assert [one.addresses for one in store.endpoints(("ns1", "db"))] == [(bytes([10, 244, 0, 1]),)]
    assert store.endpoints(("ns2", "db")) == store.endpoints(("ns1", "web")) == ()
    assert [store.exposed(name) for name in ("ns1", "ns2", "ns3")] == [True, False, False]
    zone = store.zone(ZONE)
    assert zone is store.zones[0]
    assert store.zone(IN_ADDR) is None
