"""Zones of ServiceImports: endpoints of other clusters, beside a store of this cluster's own Services."""

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.events import Changed, Deleted, Event, NotServed
from dnsserver.names import MAX_LABEL, MAX_NAME, from_text, labels
from dnsserver.objects import EndpointSlice, Key, Kind, Object
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from tests.build import (
    ZONE,
    apply_all,
    endpoint_json,
    endpoint_slice,
    image,
    lists,
    look,
    namespace,
    packed,
    pod,
    port_json,
    service,
    service_import,
    store_of,
    vmi,
)

IMPORTED = StoreConfig(zones=(ZONE,), imported=True, kubevirt="off", pods="verified")
PORTS = [port_json(8080, "http")]


def imported_slice(
    address: str, cluster: str | None = "east", *, name: str = "s1", host: str | None = "ep"
) -> EndpointSlice:
    """Return a slice of the import `db` with one endpoint."""
    return endpoint_slice(
        endpoint_json(address, hostname=host), name=name, service=None, imported="db", cluster=cluster, ports=PORTS
    )


def test_kinds() -> None:
    """It looks at Namespaces, ServiceImports and EndpointSlices; imports are what it cannot do without."""
    assert IMPORTED.kinds == {Kind.NAMESPACE, Kind.SERVICE_IMPORT, Kind.ENDPOINT_SLICE}
    assert IMPORTED.required == {Kind.SERVICE_IMPORT}
    store = Store(IMPORTED)
    apply_all(store, [*lists([], [Kind.NAMESPACE, Kind.ENDPOINT_SLICE]), NotServed(Kind.SERVICE_IMPORT, "404")])
    assert store.missing == {Kind.SERVICE_IMPORT}


def test_what_is_not_imported() -> None:
    """Services, VMIs, pods, and slices of Services are this cluster's alone."""
    own: list[Object] = [
        service(cluster_ip="10.96.0.1"),
        vmi(),
        pod(),
        endpoint_slice(endpoint_json("10.244.0.1"), name="own"),
    ]
    store = store_of([*own, namespace(), service_import()], IMPORTED)
    assert (look(store, "db.ns1.svc"), look(store, "10-244-0-1.db.ns1.svc"), look(store, "ns1.pod")) == (
        None,
        None,
        None,
    )
    assert store.counts() == {Kind.ENDPOINT_SLICE: 1, Kind.NAMESPACE: 1, Kind.SERVICE_IMPORT: 1}


def test_clusters_side_by_side() -> None:
    """Endpoints of one name in two clusters have a name each; the import's own name has them both."""
    store = store_of(
        [service_import(), imported_slice("10.1.0.1"), imported_slice("10.2.0.1", "West", name="s2")], IMPORTED
    )
    assert look(store, "db.ns1.svc") == look(store, "_http._tcp.db.ns1.svc") == {"10.1.0.1", "10.2.0.1"}
    assert look(store, "ep.east.db.ns1.svc") == {"10.1.0.1"}
    assert look(store, "ep.west.db.ns1.svc") == {"10.2.0.1"}
    assert (look(store, "east.db.ns1.svc"), look(store, "ep.db.ns1.svc")) == (set(), None)
    assert look(store, "db.ns1.svc", RRType.SRV) == {
        "0 50 8080 ep.east.db.ns1.svc.cluster.local.",
        "0 50 8080 ep.west.db.ns1.svc.cluster.local.",
    }


STEPS: list[tuple[str, list[Event], set[str] | None]] = [  # what happens, the import's addresses then
    ("nothing", [], {"10.1.0.1"}),
    (
        "another cluster joins",
        [Changed(Kind.ENDPOINT_SLICE, imported_slice("10.2.0.1", "west", name="s2"))],
        {"10.1.0.1", "10.2.0.1"},
    ),
    (
        "the slice moves to another cluster",
        [Changed(Kind.ENDPOINT_SLICE, imported_slice("10.1.0.1", "west"))],
        {"10.1.0.1"},
    ),
    ("the slice loses its cluster", [Changed(Kind.ENDPOINT_SLICE, imported_slice("10.1.0.1", None))], None),
    ("its cluster is no label", [Changed(Kind.ENDPOINT_SLICE, imported_slice("10.1.0.1", "east.eu"))], None),
    ("the slice goes", [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "s1"))], None),
    (
        "the slice changes sides",
        [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.1.0.1"), name="s1"))],
        None,
    ),
    ("the import goes", [Deleted(Kind.SERVICE_IMPORT, ("ns1", "db"))], None),
    (
        "the import goes and comes back",
        [Deleted(Kind.SERVICE_IMPORT, ("ns1", "db")), Changed(Kind.SERVICE_IMPORT, service_import(uid="new"))],
        {"10.1.0.1"},
    ),
    ("the import gets an address", [Changed(Kind.SERVICE_IMPORT, service_import(ips=["10.112.0.1"]))], {"10.112.0.1"}),
    ("the import waits for its address", [Changed(Kind.SERVICE_IMPORT, service_import(ips=[]))], set()),
]


@pytest.mark.parametrize(("events", "addresses"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_changes(events: list[Event], addresses: set[str] | None) -> None:
    """Each change is seen, and comes to what a fresh store would make of the same objects."""
    objects: list[Object] = [service_import(), imported_slice("10.1.0.1")]
    store = store_of(objects, IMPORTED)
    apply_all(store, events)
    assert look(store, "db.ns1.svc") == addresses


def test_slices_of_both() -> None:
    """A slice that belongs to a Service as well is that Service's in this cluster's zone, by the plain name."""
    both = endpoint_slice(
        endpoint_json("10.1.0.1", hostname="ep"), service="derived", imported="db", cluster="east", ports=PORTS
    )
    objects: list[Object] = [service("derived"), service_import(), both]
    assert look(store_of(objects, IMPORTED), "ep.east.db.ns1.svc") == {"10.1.0.1"}
    own = store_of(objects)
    assert look(own, "ep.derived.ns1.svc") == {"10.1.0.1"}
    assert look(own, "ep.east.derived.ns1.svc") is None
    strange = endpoint_slice(endpoint_json("10.1.0.1", hostname="ep"), imported="db", cluster=None)
    assert look(store_of([service(), strange]), "ep.db.ns1.svc") == {"10.1.0.1"}


def test_names_that_do_not_fit() -> None:
    """Two long labels before a long Service and namespace make no name; the import and other endpoints stay."""
    place, name, long = "n" * 63, "s" * 63, "e" * 63
    slices = [
        endpoint_slice(
            endpoint_json(f"10.1.0.{number}", hostname=host),
            namespace=place,
            name=f"s{number}",
            service=None,
            imported=name,
            cluster=cluster,
            ports=PORTS,
        )
        for number, (host, cluster) in enumerate([("ep", "east"), (long, long), ("ep", long)])
    ]
    for zones in ((ZONE,), (ZONE, from_text(".".join(["z" * 60] * 3)))):
        config = StoreConfig(zones=zones, imported=True, kubevirt="off")
        store = store_of([service_import(name, namespace=place), *slices], config)
        assert look(store, f"{name}.{place}.svc") == {"10.1.0.0", "10.1.0.2"}
        for zone in store.zones:
            for rrset in zone.all_rrsets():
                assert len(rrset.owner) <= MAX_NAME
                if rrset.rrtype == RRType.SRV:
                    assert all(len(rdata) - 6 <= MAX_NAME for rdata in rrset.rdatas)
                assert all(len(label) <= MAX_LABEL for label in labels(rrset.owner))
    nowhere = store_of([service_import("s" * 64), *slices], IMPORTED)
    assert look(nowhere, f"{'s' * 63}.ns1.svc") is None


def test_an_import_without_a_name() -> None:
    """An import that the DNS cannot name has no endpoints either."""
    strange = endpoint_slice(endpoint_json("10.1.0.1", hostname="ep"), service=None, imported="d.b", cluster="east")
    store = store_of([service_import("d.b"), strange], IMPORTED)
    assert store.endpoints(("ns1", "d.b")) == ()
    assert image(store) == image(store_of([service_import("d.b")], IMPORTED))


def test_nothing_is_measured() -> None:
    """Only this cluster's Services are measured: nobody would take the imports' times away."""
    store = store_of([service_import()], IMPORTED)
    slow = endpoint_slice(
        endpoint_json("10.1.0.1"), service=None, imported="db", cluster="east", triggered="2026-01-01T00:00:00Z"
    )
    apply_all(store, [Changed(Kind.ENDPOINT_SLICE, slow)])
    assert store.programmed == []


def test_name_servers() -> None:
    """Where one of the server's own addresses is an imported endpoint, its whole name is the name server's."""
    config = StoreConfig(zones=(ZONE,), imported=True, kubevirt="off", addresses=(packed("10.1.0.1"),))
    store = store_of([service_import(), imported_slice("10.1.0.1")], config)
    assert look(store, "", RRType.NS) == {"ep.east.db.ns1.svc.cluster.local."}
    store = store_of([service_import(ips=["10.112.0.1"]), imported_slice("10.1.0.1")], config)
    assert look(store, "", RRType.NS) == {"db.ns1.svc.cluster.local."}
    assert look(store, "ns.dns") == {"10.112.0.1"}


PLACES = ("ns1", "ns2")
POOL: dict[tuple[Kind, Key], list[Object]] = {
    **{(Kind.NAMESPACE, ("", place)): [namespace(place)] for place in PLACES},
    **{
        (Kind.SERVICE_IMPORT, (place, name)): [
            service_import(name, namespace=place),
            service_import(name, namespace=place, ports=PORTS, uid="another"),
            service_import(name, namespace=place, ips=["10.112.0.1", "fd00:112::1"], ports=PORTS),
            service_import(name, namespace=place, ips=[]),
        ]
        for place, name in product(PLACES, ("db", "web"))
    },
    **{
        (Kind.ENDPOINT_SLICE, (place, name)): [
            endpoint_slice(
                endpoint_json("10.1.0.1", hostname=host),
                endpoint_json("10.1.0.2", ready=False),
                namespace=place,
                name=name,
                service=None,
                imported=under,
                cluster=cluster,
                ports=PORTS,
            )
            for host, under, cluster in product(("ep", None), ("db", "web", None), ("east", "west", None))
        ]
        for place, name in product(PLACES, ("s1", "s2"))
    },
}
CONFIGS = [
    IMPORTED,
    StoreConfig(zones=(ZONE, from_text("other.test")), imported=True, kubevirt="off", ignore_empty=True, zonal=True),
    StoreConfig(zones=(ZONE,), imported=True, kubevirt="off", namespaces=frozenset({"ns2"}), endpoints=False),
    StoreConfig(zones=(ZONE,), imported=True, kubevirt="off", addresses=(packed("10.1.0.1"),)),
]
State = dict[tuple[Kind, Key], Object]


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw what a cluster holds: most of the places are taken."""
    return {place: draw(st.sampled_from(variants)) for place, variants in POOL.items() if draw(st.integers(0, 3))}


@settings(max_examples=80, deadline=None)  # an example is a whole history
@given(states(), states(), st.sampled_from(CONFIGS), st.randoms(use_true_random=False))
def test_history_does_not_matter(before: State, after: State, config: StoreConfig, random: Random) -> None:
    """However Namespaces, imports and slices came to be what they are, the zones are the same."""
    store = store_of(before.values(), config)
    mending: list[Event] = [
        Changed(kind, after[kind, key]) if (kind, key) in after else Deleted(kind, key) for kind, key in POOL
    ]
    random.shuffle(mending)
    for event in mending:
        store.apply(event, 0.0)
        if random.random() < 0.5:
            store.refresh(0.0, serial=1, limit=random.choice((None, 1)))
    assert store.refresh(0.0, serial=1)
    assert image(store) == image(store_of(after.values(), config))
    apply_all(store, [Deleted(kind, key) for kind, key in POOL])
    assert image(store) == image(store_of((), config))


@settings(max_examples=40, deadline=None)  # an example is a whole history
@given(states(), st.sampled_from(CONFIGS), st.permutations(list(Kind)))
def test_every_order_of_lists(state: State, config: StoreConfig, kinds: list[Kind]) -> None:
    """Lists of the kinds may come in any order."""
    store = Store(config)
    apply_all(store, lists(state.values(), kinds))
    assert image(store) == image(store_of(state.values(), config))
