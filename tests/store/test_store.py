"""Events in, zones out: each rule of the store in a few events."""

from collections.abc import Sequence

import pytest

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.names import from_text
from dnsserver.objects import Kind, Object, Service
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import Kubevirt
from dnsserver.store.table import Table
from dnsserver.zone import Zone
from tests.build import (
    CONFIG,
    IN_ADDR,
    KINDS,
    ZONE,
    Json,
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

HOST = "vm1.db.ns1.svc"
A, AAAA, SRV, PTR, CNAME = RRType.A, RRType.AAAA, RRType.SRV, RRType.PTR, RRType.CNAME


def only(kubevirt: Kubevirt) -> StoreConfig:
    """Return the configuration with this `kubevirt` option."""
    return StoreConfig(zones=CONFIG.zones, reverse_zones=CONFIG.reverse_zones, kubevirt=kubevirt)


def same(zones: tuple[Zone, ...], others: tuple[Zone, ...]) -> bool:
    """Say whether no zone has a new version."""
    return all(one is other for one, other in zip(zones, others, strict=True))


# -- before and after the first sync -----------------------------------------------------------------------------------

SYNCS: list[tuple[str, Kubevirt, list[Kind], list[Kind], set[Kind]]] = [
    ("nothing yet", "auto", [], [], set(KINDS)),
    ("some", "auto", [Kind.SERVICE, Kind.VMI], [], {Kind.NAMESPACE, Kind.ENDPOINT_SLICE}),
    ("all", "auto", list(KINDS), [], set()),
    ("no KubeVirt", "auto", [Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE], [Kind.VMI], set()),
    ("no KubeVirt, but wanted", "on", [Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE], [Kind.VMI], {Kind.VMI}),
    (
        "nothing but KubeVirt, and none",
        "only",
        [Kind.SERVICE],
        [Kind.VMI, Kind.NAMESPACE, Kind.ENDPOINT_SLICE],
        {Kind.VMI},
    ),
    ("KubeVirt off", "off", [Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE], [], set()),
    ("Services alone", "auto", [Kind.SERVICE], [Kind.NAMESPACE, Kind.VMI, Kind.ENDPOINT_SLICE], set()),
    ("no Services", "auto", [], list(KINDS), {Kind.SERVICE}),
]


@pytest.mark.parametrize(
    ("kubevirt", "listed", "absent", "missing"), [row[1:] for row in SYNCS], ids=[row[0] for row in SYNCS]
)
def test_sync(kubevirt: Kubevirt, listed: list[Kind], absent: list[Kind], missing: set[Kind]) -> None:
    """The store is synced once every kind has been listed, or is not served and may lack."""
    store = Store(only(kubevirt))
    apply_all(store, [NotServed(kind, "404") for kind in absent] + lists((), listed))
    assert store.missing == frozenset(missing)
    assert store.synced is not bool(missing)


def test_nothing_is_seen_before_the_sync() -> None:
    """Objects that are known already are not published before the last kind has been listed."""
    store = Store(CONFIG)
    apply_all(store, lists([service(), vmi()], [Kind.SERVICE, Kind.VMI, Kind.NAMESPACE]))
    assert look(store, HOST) is None
    assert look(store, "svc") == set()  # the zone's own names are there
    apply_all(store, lists((), [Kind.ENDPOINT_SLICE]))
    assert look(store, HOST) == {"10.244.0.7"}


def test_not_served_and_back() -> None:
    """A kind that is taken away leaves with all its objects, holds up nothing, and can come back."""
    store = store_of([service(), vmi()])
    apply_all(store, [NotServed(Kind.VMI, "403")])
    assert (look(store, HOST), store.synced) == (None, True)
    apply_all(store, lists([vmi()], [Kind.VMI]))
    assert look(store, HOST) == {"10.244.0.7"}


def test_a_broken_list_is_forgotten_when_the_kind_goes() -> None:
    """`NotServed` ends a list under way."""
    store = store_of([service(), vmi()])
    apply_all(store, [ListStarted(Kind.VMI), ListedPage(Kind.VMI, (vmi("vm2"),)), NotServed(Kind.VMI, "404")])
    assert store.counts()[Kind.VMI] == 0


# -- lists -------------------------------------------------------------------------------------------------------------


def test_list_is_atomic() -> None:
    """Nothing of a list can be seen before it has ended; then all of it, and what it lacks has gone."""
    store = store_of([service(), vmi(), vmi("vm2", addresses=["10.244.0.8"])])
    steps: list[tuple[Event, bool]] = [
        (ListStarted(Kind.VMI), False),
        (ListedPage(Kind.VMI, (vmi("vm2", addresses=["10.244.0.9"]),)), False),
        (ListedPage(Kind.VMI, (vmi("vm3"),)), False),
        (ListEnded(Kind.VMI), True),
    ]
    before = store.zones
    for event, seen in steps:
        apply_all(store, [event])
        assert same(store.zones, before) is not seen
    assert [look(store, f"{name}.db.ns1.svc") for name in ("vm1", "vm2", "vm3")] == [
        None,
        {"10.244.0.9"},
        {"10.244.0.7"},
    ]


def test_list_begins_again() -> None:
    """The pages of a list that never ended are forgotten."""
    store = store_of([service(), vmi()])
    broken: list[Event] = [ListStarted(Kind.VMI), ListedPage(Kind.VMI, (vmi("vm2"),))]
    apply_all(store, broken + listing(Kind.VMI, [vmi("vm3")]))
    assert [look(store, f"{name}.db.ns1.svc") is not None for name in ("vm1", "vm2", "vm3")] == [False, False, True]


def test_empty_list() -> None:
    """A list that shrinks to nothing is believed."""
    store = store_of([service(), vmi()])
    apply_all(store, listing(Kind.VMI, ()))
    assert look(store, HOST) is None


def test_kept() -> None:
    """An object that a list has but nobody understands keeps its last good state; an unknown one is no object."""
    store = store_of([service(), vmi()])
    pages: list[Event] = [
        ListStarted(Kind.VMI),
        ListedPage(Kind.VMI, (), (("ns1", "vm1"), ("ns1", "vm9"))),
        ListEnded(Kind.VMI),
    ]
    apply_all(store, pages)
    assert look(store, HOST) == {"10.244.0.7"}
    assert store.counts()[Kind.VMI] == 1


def test_relist_changes_nothing() -> None:
    """A list of what is known already makes no new version."""
    objects: list[Object] = [
        namespace(),
        service(ports=[port_json(80, "a")]),
        vmi(),
        endpoint_slice(endpoint_json("10.1.1.1")),
    ]
    store = store_of(objects)
    before = store.zones
    apply_all(store, lists(objects))
    assert same(store.zones, before)


# -- single events -----------------------------------------------------------------------------------------------------

DELETES: list[tuple[str, str, bool]] = [
    ("its own UID", "uid-vm1", True),
    ("without a UID", "", True),
    ("a predecessor's UID", "older", False),
]


@pytest.mark.parametrize(("uid", "gone"), [row[1:] for row in DELETES], ids=[row[0] for row in DELETES])
def test_deleted(uid: str, gone: bool) -> None:
    """A late delete of a predecessor leaves its successor alone."""
    store = store_of([service(), vmi()])
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"), uid)])
    assert (look(store, HOST) is None) is gone


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_unknown(kind: Kind) -> None:
    """Deleting what is not there changes nothing."""
    store = store_of([service(), vmi()])
    before = store.zones
    apply_all(store, [Deleted(kind, ("ns1", "nobody"))])
    assert same(store.zones, before)


def test_recreated() -> None:
    """An object that is deleted and created again in one gap is the new one."""
    store = store_of([service(), vmi()])
    successor = vmi(uid="new", hostname="web", addresses=["10.244.0.9"])
    apply_all(store, [Changed(Kind.VMI, successor), Deleted(Kind.VMI, ("ns1", "vm1"), "uid-vm1")])
    assert (look(store, HOST), look(store, "web.db.ns1.svc")) == (None, {"10.244.0.9"})


# -- Services and VMIs -------------------------------------------------------------------------------------------------

# label, objects, then events, then what HOST answers before and after
EDITS: list[tuple[str, Sequence[Object], list[Event], set[str] | None, set[str] | None]] = [
    ("no Service", [vmi()], [Changed(Kind.SERVICE, service())], None, {"10.244.0.7"}),
    ("Service deleted", [vmi(), service()], [Deleted(Kind.SERVICE, ("ns1", "db"))], {"10.244.0.7"}, None),
    (
        "Service created again",
        [vmi(), service()],
        [Deleted(Kind.SERVICE, ("ns1", "db")), Changed(Kind.SERVICE, service(uid="new"))],
        {"10.244.0.7"},
        {"10.244.0.7"},
    ),
    ("Service of another namespace", [vmi(), service(namespace="ns2")], [], None, None),
    ("another Service selects it", [vmi(), service("web")], [], None, None),
    (
        "Service gets a cluster IP",
        [vmi(), service()],
        [Changed(Kind.SERVICE, service(cluster_ip="10.0.0.1"))],
        {"10.244.0.7"},
        None,
    ),
    (
        "Service loses its cluster IP",
        [vmi(), service(cluster_ip="10.0.0.1")],
        [Changed(Kind.SERVICE, service())],
        None,
        {"10.244.0.7"},
    ),
    (
        "selector edited away",
        [vmi(), service()],
        [Changed(Kind.SERVICE, service(selector={"a": "b"}))],
        {"10.244.0.7"},
        None,
    ),
    (
        "selector edited to it",
        [vmi(), service(selector={"a": "b"})],
        [Changed(Kind.SERVICE, service())],
        None,
        {"10.244.0.7"},
    ),
    ("VMI arrives", [service()], [Changed(Kind.VMI, vmi())], None, {"10.244.0.7"}),
    ("VMI goes", [service(), vmi()], [Deleted(Kind.VMI, ("ns1", "vm1"))], {"10.244.0.7"}, None),
    ("label edited away", [service(), vmi()], [Changed(Kind.VMI, vmi(labels={}))], {"10.244.0.7"}, None),
    ("label edited to it", [service(), vmi(labels={})], [Changed(Kind.VMI, vmi())], None, {"10.244.0.7"}),
    (
        "address changes",
        [service(), vmi()],
        [Changed(Kind.VMI, vmi(addresses=["10.244.0.9"]))],
        {"10.244.0.7"},
        {"10.244.0.9"},
    ),
    (
        "subdomain of a successor",
        [service(), vmi()],
        [Changed(Kind.VMI, vmi(uid="new", subdomain="web"))],
        {"10.244.0.7"},
        None,
    ),
    (
        "a slice mends it",
        [service(), vmi(addresses=["10.0.2.2"])],
        [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1")))],
        None,
        {"10.244.0.7"},
    ),
    (
        "the slice's address changes",
        [service(), vmi(addresses=[]), endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"))],
        [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.9", pod="pod-vm1")))],
        {"10.244.0.7"},
        {"10.244.0.9"},
    ),
    (
        "the slice goes",
        [service(), vmi(addresses=[]), endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"))],
        [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))],
        {"10.244.0.7"},
        None,
    ),
    (
        "two slices list the pod, one goes",
        [
            service(),
            vmi(addresses=[]),
            endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1")),
            endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"), name="web-1", service="web"),
        ],
        [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))],
        {"10.244.0.7"},
        {"10.244.0.7"},
    ),
    (
        "one host label for two VMIs",
        [service(), vmi(), vmi("vm2", hostname="vm1", addresses=["10.244.0.8"])],
        [Deleted(Kind.VMI, ("ns1", "vm2"))],
        {"10.244.0.7", "10.244.0.8"},
        {"10.244.0.7"},
    ),
]


@pytest.mark.parametrize(
    ("objects", "events", "before", "after"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS]
)
def test_edit(objects: Sequence[Object], events: list[Event], before: set[str] | None, after: set[str] | None) -> None:
    """Whatever changes, the VMI's name follows, whichever object told it."""
    store = store_of(objects)
    assert look(store, HOST) == before
    apply_all(store, events)
    assert look(store, HOST) == after


def test_dual_stack() -> None:
    """Each family has its type; one that is missing is NODATA."""
    store = store_of(
        [service(families=None), vmi(addresses=["10.244.0.7", "fd00::7"]), vmi("vm2", addresses=["fd00::8"])]
    )
    assert (look(store, HOST), look(store, HOST, AAAA)) == ({"10.244.0.7"}, {"fd00::7"})
    assert (look(store, "vm2.db.ns1.svc"), look(store, "vm2.db.ns1.svc", AAAA)) == (set(), {"fd00::8"})


def test_names() -> None:
    """A VMI makes its host name, the names above it and the Service's names, and nothing below or beside."""
    store = store_of([service(ports=[port_json(80, "http")]), vmi(hostname="web")])
    exist = ["web.db.ns1.svc", "db.ns1.svc", "_http._tcp.db.ns1.svc", "_tcp.db.ns1.svc", "ns1.svc", "svc", ""]
    lack = ["vm1.db.ns1.svc", "x.web.db.ns1.svc", "web.ns1.svc", "_udp.db.ns1.svc", "ns2.svc", "10-244-0-7.db.ns1.svc"]
    assert [text for text in exist + lack if look(store, text) is not None] == exist
    assert look(store, "db.ns1.svc") == look(store, "_http._tcp.db.ns1.svc") == {"10.244.0.7"}
    assert look(store, "_http._tcp.db.ns1.svc", SRV) == {"0 100 80 web.db.ns1.svc.cluster.local."}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert [text for text in exist if look(store, text) is not None] == ["ns1.svc", "svc", ""]
    apply_all(store, [Deleted(Kind.SERVICE, ("ns1", "db"))])
    assert [text for text in exist if look(store, text) is not None] == ["svc", ""]


def test_service_holds_every_vmi() -> None:
    """VMIs without the subdomain are in the Service's RRset, under a label made of the address."""
    store = store_of([service(), vmi(), vmi("vm2", subdomain=None, addresses=["10.244.0.8"])])
    assert look(store, "db.ns1.svc") == {"10.244.0.7", "10.244.0.8"}
    assert look(store, "10-244-0-8.db.ns1.svc") == {"10.244.0.8"}
    assert look(store, "vm2.db.ns1.svc") is None


def test_headless_without_endpoints() -> None:
    """A headless Service without ready endpoints does not exist."""
    assert look(store_of([service(), vmi(ready=False)]), "db.ns1.svc") is None
    assert look(store_of([service()]), "db.ns1.svc") is None


def test_port_names_follow_the_service() -> None:
    """A port that is renamed takes its name along; one that goes leaves none."""
    store = store_of([service(ports=[port_json(80, "http")]), vmi()])
    apply_all(store, [Changed(Kind.SERVICE, service(ports=[port_json(80, "web")]))])
    assert (look(store, "_http._tcp.db.ns1.svc"), look(store, "_web._tcp.db.ns1.svc")) == (None, {"10.244.0.7"})
    apply_all(store, [Changed(Kind.SERVICE, service())])
    assert (look(store, "_web._tcp.db.ns1.svc"), look(store, "_tcp.db.ns1.svc")) == (None, None)
    assert look(store, HOST, SRV) == set()


TWO_PODS = {"pod-vm1": "node1", "pod-target": "node2"}
ENDED: Json = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z"}
SLICE = endpoint_slice(
    endpoint_json("10.244.0.7", pod="pod-vm1"), endpoint_json("10.244.1.9", pod="pod-target"), ports=[port_json(80)]
)

AFTERWARDS = endpoint_slice(endpoint_json("10.244.1.9", pod="pod-target"), ports=[port_json(80)])


@pytest.mark.parametrize("publish_not_ready", [False, True])
@pytest.mark.parametrize("slices", [False, True])
def test_migration(publish_not_ready: bool, slices: bool) -> None:
    """One address at any time: the source's up to the hand-over, the target's after it, no gap between."""
    store = store_of([service(publish_not_ready=publish_not_ready), vmi(), *([SLICE] if slices else [])])
    target = {"10.244.1.9"} if slices else {"10.244.0.7"}  # the status still says the source's
    steps: list[tuple[str, Json, set[str]]] = [
        ("target pod", {"pods": TWO_PODS}, {"10.244.0.7"}),
        ("state", {"pods": TWO_PODS, "migration": {"targetNode": "node2"}}, {"10.244.0.7"}),
        ("hand-over", {"pods": TWO_PODS, "migration": ENDED, "node": "node2"}, target),
        ("gate", {"pods": TWO_PODS, "migration": ENDED, "node": "node2", "ready": False}, target),
        (
            "new address",
            {"pods": TWO_PODS, "migration": ENDED, "node": "node2", "ready": False, "addresses": ["10.244.1.9"]},
            {"10.244.1.9"},
        ),
        ("ready", {"pods": TWO_PODS, "migration": ENDED, "node": "node2", "addresses": ["10.244.1.9"]}, {"10.244.1.9"}),
        (
            "completed",
            {
                "pods": {"pod-target": "node2"},
                "migration": ENDED | {"completed": True},
                "node": "node2",
                "addresses": ["10.244.1.9"],
            },
            {"10.244.1.9"},
        ),
    ]
    for now, (step, options, wanted) in enumerate(steps):
        if step == "completed" and slices:  # the slice controller has dropped the source's pod, which is final
            apply_all(store, [Changed(Kind.ENDPOINT_SLICE, AFTERWARDS)], float(now))
        apply_all(store, [Changed(Kind.VMI, vmi(**options))], float(now))
        assert look(store, HOST) == look(store, "db.ns1.svc") == wanted, step
        names = {address: look(store, f"{address}.244.10.in-addr.arpa.", PTR) for address in ("7.0", "9.1")}
        (address,) = wanted
        last = ".".join(reversed(address.split(".")[2:]))
        assert names == {"7.0": None, "9.1": None} | {last: {"vm1.db.ns1.svc.cluster.local."}}, step


# -- endpoints of EndpointSlices ---------------------------------------------------------------------------------------


def test_vmi_endpoints_come_from_vmis() -> None:
    """A slice's endpoint whose pod runs a VMI is published only through the VMI, from the moment that is known."""
    pods = endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"), endpoint_json("10.244.0.9", pod="pod-web"))
    store = store_of([service(), pods])
    assert look(store, "db.ns1.svc") == {"10.244.0.7", "10.244.0.9"}
    apply_all(store, [Changed(Kind.VMI, vmi(ready=False))])
    assert look(store, "db.ns1.svc") == {"10.244.0.9"}
    apply_all(store, [Changed(Kind.VMI, vmi(ready=False, pods={}))])
    assert look(store, "db.ns1.svc") == {"10.244.0.7", "10.244.0.9"}
    apply_all(store, [Changed(Kind.VMI, vmi())])
    assert look(store, HOST) == {"10.244.0.7"}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert (look(store, HOST), look(store, "10-244-0-7.db.ns1.svc")) == (None, {"10.244.0.7"})


def test_cluster_ip_service() -> None:
    """A Service with a cluster IP has its own address; its endpoints have names, a VMI has none."""
    one = endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"), endpoint_json("10.244.0.9", hostname="web"))
    store = store_of([service(cluster_ip="10.0.0.1"), one, vmi()])
    assert look(store, "db.ns1.svc") == {"10.0.0.1"}
    assert (look(store, HOST), look(store, "web.db.ns1.svc")) == (None, {"10.244.0.9"})


def test_slice_without_service() -> None:
    """Endpoints of a Service that does not exist have no names, until it does; so with a slice that is relabelled."""
    one = endpoint_slice(endpoint_json("10.244.0.9", hostname="web"))
    store = store_of([one])
    assert look(store, "web.db.ns1.svc") is None
    apply_all(store, [Changed(Kind.SERVICE, service())])
    assert look(store, "web.db.ns1.svc") == {"10.244.0.9"}
    apply_all(
        store, [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.9", hostname="web"), service="x"))]
    )
    assert look(store, "web.db.ns1.svc") is None
    apply_all(store, [Changed(Kind.SERVICE, service("x"))])
    assert look(store, "web.x.ns1.svc") == {"10.244.0.9"}


def test_external_name() -> None:
    """An ExternalName Service is an alias, and changes into another kind of Service and back."""
    store = store_of([service(external_name="a.org"), vmi()])
    assert look(store, "db.ns1.svc", CNAME) == {"a.org."}
    apply_all(store, [Changed(Kind.SERVICE, service())])
    assert (look(store, "db.ns1.svc", CNAME), look(store, HOST)) == (set(), {"10.244.0.7"})
    apply_all(store, [Changed(Kind.SERVICE, service(external_name="10.0.0.1"))])
    assert (look(store, "db.ns1.svc"), look(store, HOST)) == (None, None)


# -- options -----------------------------------------------------------------------------------------------------------

MIXED: list[Object] = [
    namespace(),
    service(),
    service("web", cluster_ip="10.0.0.1", selector={"app": "web"}),
    vmi(),
    endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"), ports=[port_json(80, "http")]),
    endpoint_slice(endpoint_json("10.244.0.9", hostname="pod"), name="web-1", service="web"),
]

OPTIONS: list[tuple[Kubevirt, list[set[str] | None]]] = [
    ("auto", [{"10.244.0.7"}, {"10.244.0.7"}, {"10.0.0.1"}, {"10.244.0.9"}, None]),
    ("on", [{"10.244.0.7"}, {"10.244.0.7"}, {"10.0.0.1"}, {"10.244.0.9"}, None]),
    ("off", [None, {"10.244.0.7"}, {"10.0.0.1"}, {"10.244.0.9"}, {"10.244.0.7"}]),
    ("only", [{"10.244.0.7"}, {"10.244.0.7"}, None, None, None]),
]


@pytest.mark.parametrize(("kubevirt", "wanted"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_kubevirt(kubevirt: Kubevirt, wanted: list[set[str] | None]) -> None:
    """`off` is CoreDNS, which knows pods only; `only` publishes nothing but VMIs."""
    store = store_of(MIXED, only(kubevirt))
    names = [HOST, "db.ns1.svc", "web.ns1.svc", "pod.web.ns1.svc", "10-244-0-7.db.ns1.svc"]
    assert [look(store, text) for text in names] == wanted
    assert (look(store, "1.0.0.10.in-addr.arpa.", PTR) is None) is (kubevirt == "only")
    assert (Kind.VMI in only(kubevirt).kinds) is (kubevirt != "off")


def test_only_leaves_mixed_services_alone() -> None:
    """Beside the cluster DNS, a Service with endpoints that are no VMI's keeps its VMIs' names but not its own."""
    pod = endpoint_json("10.244.0.9")
    config = only("only")
    store = store_of([service(ports=[port_json(80, "http")]), vmi(), endpoint_slice(pod)], config)
    assert (look(store, "db.ns1.svc"), look(store, HOST)) == (set(), {"10.244.0.7"})
    assert look(store, "_http._tcp.db.ns1.svc") is None
    for events in (
        [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(endpoint_json("10.244.0.9", ready=False)))],
        [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "db-1"))],
    ):
        apply_all(store, events)
        assert look(store, "db.ns1.svc") == look(store, "_http._tcp.db.ns1.svc") == {"10.244.0.7"}
        apply_all(store, [Changed(Kind.ENDPOINT_SLICE, endpoint_slice(pod))])
        assert look(store, "db.ns1.svc") == set()


def test_first_and_last_namespace() -> None:
    """While no Namespace is known all of them exist; as soon as one is, only those that are known."""
    store = store_of([service(), vmi(), service(namespace="ns2", cluster_ip="10.0.0.2")])
    assert (look(store, HOST), look(store, "db.ns2.svc")) == ({"10.244.0.7"}, {"10.0.0.2"})
    apply_all(store, [Changed(Kind.NAMESPACE, namespace("ns1"))])
    assert (look(store, HOST), look(store, "db.ns2.svc")) == ({"10.244.0.7"}, None)
    assert look(store, "2.0.0.10.in-addr.arpa.", PTR) is None
    apply_all(store, [Changed(Kind.NAMESPACE, namespace("ns2"))])
    assert (look(store, HOST), look(store, "db.ns2.svc")) == ({"10.244.0.7"}, {"10.0.0.2"})
    apply_all(store, [Deleted(Kind.NAMESPACE, ("", "ns1")), Deleted(Kind.NAMESPACE, ("", "ns2"))])
    assert (look(store, HOST), look(store, "db.ns2.svc")) == ({"10.244.0.7"}, {"10.0.0.2"})


def test_empty_namespace() -> None:
    """A Namespace exists in the zone without any Service, until it is deleted."""
    store = store_of([namespace("empty"), namespace("n" * 64)])
    assert (look(store, "empty.svc"), look(store, "other.svc")) == (set(), None)
    apply_all(store, [Deleted(Kind.NAMESPACE, ("", "empty"))])
    assert look(store, "empty.svc") is None


def test_namespaces_option() -> None:
    """Only the namespaces that are asked for are published, in the reverse zones too."""
    config = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), namespaces=frozenset({"ns1"}))
    store = store_of(
        [namespace(), namespace("ns2"), service(), vmi(), service(namespace="ns2", cluster_ip="10.0.0.2")], config
    )
    assert (look(store, HOST), look(store, "db.ns2.svc"), look(store, "ns2.svc")) == ({"10.244.0.7"}, None, None)
    assert look(store, "2.0.0.10.in-addr.arpa.", PTR) is None
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm1.db.ns1.svc.cluster.local."}


def test_several_zones() -> None:
    """Every forward zone has the same names; PTR records lead into the first."""
    other = from_text("other.test")
    store = store_of(
        [service(), vmi()], StoreConfig(zones=(ZONE, other), reverse_zones=(IN_ADDR,), addresses=(packed("10.0.0.53"),))
    )
    assert [zone.origin for zone in store.zones] == [ZONE, other, IN_ADDR]
    assert look(store, HOST) == look(store, "vm1.db.ns1.svc.other.test.") == {"10.244.0.7"}
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm1.db.ns1.svc.cluster.local."}
    assert look(store, "ns.dns.other.test.") == look(store, "ns.dns") == {"10.0.0.53"}


def test_names_that_the_dns_cannot_carry() -> None:
    """An object with an impossible name publishes nothing, and stops no other."""
    store = store_of([service("s" * 64), service("t" * 64, cluster_ip="10.0.0.9"), service(), vmi()])
    assert look(store, HOST) == {"10.244.0.7"}
    assert look(store, "9.0.0.10.in-addr.arpa.", PTR) is None


# -- reverse names -----------------------------------------------------------------------------------------------------


def test_pointer_moves() -> None:
    """An address that goes from one VMI to another takes its PTR record along, in whichever order that is told."""
    moved = [Changed(Kind.VMI, vmi(addresses=["10.244.0.9"])), Changed(Kind.VMI, vmi("vm2"))]
    for events in (moved, moved[::-1]):
        store = store_of([service(), vmi(), vmi("vm2", addresses=["10.244.0.8"])])
        assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm1.db.ns1.svc.cluster.local."}
        apply_all(store, events)
        assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm2.db.ns1.svc.cluster.local."}
        assert look(store, "8.0.244.10.in-addr.arpa.", PTR) is None


def test_final_vmi_keeps_no_pointer() -> None:
    """A final VMI still reports the address that another has by now: the PTR record follows the living one."""
    store = store_of([service(), vmi(phase="Succeeded"), vmi("vm2")])
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm2.db.ns1.svc.cluster.local."}


def test_cluster_ip_first() -> None:
    """A cluster IP leads to its Service alone; when it goes, the endpoints with that address come to light."""
    store = store_of([service(), vmi(), service("web", cluster_ip="10.244.0.7")])
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"web.ns1.svc.cluster.local."}
    apply_all(store, [Changed(Kind.SERVICE, service("web", cluster_ip="10.0.0.7"))])
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {"vm1.db.ns1.svc.cluster.local."}
    assert look(store, "7.0.0.10.in-addr.arpa.", PTR) == {"web.ns1.svc.cluster.local."}


def test_pointers_of_two_services() -> None:
    """A VMI has a name under every headless Service that selects it; partial reverse names only exist."""
    store = store_of([service(), service("web"), vmi(addresses=["10.244.0.7"])])
    assert look(store, "7.0.244.10.in-addr.arpa.", PTR) == {
        "vm1.db.ns1.svc.cluster.local.",
        "10-244-0-7.web.ns1.svc.cluster.local.",
    }
    assert [look(store, text, PTR) for text in ("0.244.10.in-addr.arpa.", "1.0.244.10.in-addr.arpa.")] == [set(), None]


def test_ipv6_pointer() -> None:
    """IPv6 addresses have reverse names as well; an address outside of every reverse zone has none."""
    store = store_of([service(families=None), vmi(addresses=["10.244.0.7", "fd00::7"])])
    name = "7." + "0." * 29 + "d.f.ip6.arpa."
    assert look(store, name, PTR) == {"vm1.db.ns1.svc.cluster.local."}
    narrow = StoreConfig(zones=(ZONE,), reverse_zones=(from_text("10.in-addr.arpa"),))
    store = store_of([service(families=None), vmi(addresses=["192.0.2.7"])], narrow)
    assert len(image(store)[1][0]) == 1  # its NS record


def test_kinds_that_are_not_watched() -> None:
    """With KubeVirt off a VMI that is told all the same is not taken in."""
    store = store_of([service()], only("off"))
    apply_all(store, [Changed(Kind.VMI, vmi()), *listing(Kind.VMI, [vmi()])])
    assert store.counts() == {Kind.NAMESPACE: 0, Kind.SERVICE: 1, Kind.ENDPOINT_SLICE: 0}


def test_table() -> None:
    """A table counts its objects, and forgets a namespace with its last one."""
    table: Table[Service] = Table()
    for one in (service(), service("web"), service(namespace="ns2"), service("web", uid="new")):
        table.put(one)
    assert (len(table), table.namespaces(), list(table.in_namespace("ns1"))) == (3, ("ns1", "ns2"), ["db", "web"])
    assert table.get(("ns1", "web")) == service("web", uid="new")
    assert [table.pop(key) is not None for key in (("ns1", "db"), ("ns1", "db"), ("ns1", "web"), ("ns3", "x"))] == [
        True,
        False,
        True,
        False,
    ]
    assert (len(table), table.namespaces(), list(table)) == (1, ("ns2",), [service(namespace="ns2")])
    assert (table.get(("ns1", "db")), dict(table.in_namespace("ns1"))) == (None, {})
