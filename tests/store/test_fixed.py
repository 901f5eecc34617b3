"""Faults that were found by properties and hostile objects, each with its smallest case."""

from dnsserver.events import Changed, Deleted
from dnsserver.names import MAX_LABEL, MAX_NAME, from_labels, from_text, labels, reverse_address
from dnsserver.objects import Kind
from dnsserver.records import RRType
from dnsserver.store import StoreConfig
from tests.build import (
    IN_ADDR,
    ZONE,
    apply_all,
    decoded,
    endpoint_json,
    endpoint_slice,
    look,
    namespace,
    packed,
    pod,
    port_json,
    service,
    store_of,
    vmi,
    vmi_json,
)

HOST = "vm1.db.ns1.svc"


def test_names_that_do_not_fit() -> None:
    """A port name or a zone that leaves no room takes away its own name only, and never the limits."""
    long_zone = from_labels([b"z" * 60, b"y" * 50])
    stores = [
        store_of([service(cluster_ip="10.0.0.1", ports=[port_json(80, "p" * 63)])]),
        store_of([service(), endpoint_slice(endpoint_json("10.1.1.1"), ports=[port_json(80, "p" * 300)])]),
        store_of(
            [service("s" * 63, namespace="n" * 63), vmi("v" * 63, namespace="n" * 63, subdomain="s" * 63)],
            StoreConfig(zones=(long_zone,)),
        ),
    ]
    for store in stores:
        for name in store.zones[0].nodes:
            assert len(name) <= MAX_NAME
            assert all(len(label) <= MAX_LABEL for label in labels(name))
    assert look(stores[0], "db.ns1.svc") == {"10.0.0.1"}


def test_another_namespace_cannot_speak_for_a_pod() -> None:
    """A slice of another namespace that names the VMI's pod neither adds nor removes an address."""
    forged = endpoint_slice(endpoint_json("192.0.2.6", pod="pod-vm1"), namespace="evil", service="x")
    assert look(store_of([service(), vmi(addresses=["10.0.2.2"]), forged]), HOST) is None
    store = store_of([service(families=None), vmi(addresses=["10.244.0.7", "fd00::7"]), forged])
    assert look(store, HOST, RRType.AAAA) == {"fd00::7"}


def test_mirror_slice() -> None:
    """A slice that belongs to no Service mends nothing."""
    mirror = endpoint_slice(endpoint_json("192.0.2.6", pod="pod-vm1"), service=None)
    assert look(store_of([service(), vmi(addresses=[]), mirror]), HOST) is None


def test_pointer_at_the_apex() -> None:
    """A reverse zone of one address keeps its NS record beside the PTR record, and after it."""
    zone = from_text("7.0.244.10.in-addr.arpa")
    store = store_of([service(), vmi()], StoreConfig(zones=(ZONE,), reverse_zones=(zone,)))
    assert {one.rrtype for one in store.zones[1].rrsets(zone) or ()} == {RRType.SOA, RRType.NS, RRType.PTR}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert {one.rrtype for one in store.zones[1].rrsets(zone) or ()} == {RRType.SOA, RRType.NS}


def test_hold_ends_at_the_pod() -> None:
    """An address of a family that the pod lacks is not held either."""
    pod = endpoint_slice(endpoint_json("10.244.0.7", pod="pod-vm1"))
    store = store_of([service(families=None), vmi(addresses=["10.244.0.7", "fd00::7"]), pod])
    apply_all(store, [Changed(Kind.VMI, vmi())], 1.0)
    assert look(store, HOST, RRType.AAAA) == set()


def test_no_change_no_version() -> None:
    """News of a VMI that change no record make no new version."""
    store = store_of([service(), vmi()])
    before = store.zones
    apply_all(store, [Changed(Kind.VMI, vmi(pods={"pod-vm1": "node1", "x": "node2"}))])
    assert all(one is other for one, other in zip(store.zones, before, strict=True))


def test_nothing_below_an_alias() -> None:
    """Endpoints of an ExternalName Service have no names."""
    assert (
        look(
            store_of([service(external_name="a.org"), endpoint_slice(endpoint_json("10.1.1.1", hostname="x"))]),
            "x.db.ns1.svc",
        )
        is None
    )


def test_one_cluster_ip_of_two() -> None:
    """Which of two Services with one cluster IP has the PTR record does not depend on who came first."""
    a, b = service("a", cluster_ip="10.0.0.1"), service("b", cluster_ip="10.0.0.1")
    for order in ((a, b), (b, a)):
        store = store_of()
        for one in order:
            apply_all(store, [Changed(Kind.SERVICE, one)])
        assert look(store, "1.0.0.10.in-addr.arpa.", RRType.PTR) == {"a.ns1.svc.cluster.local."}


def test_impossible_service_names() -> None:
    """A Service whose name Kubernetes would not take has no names, and takes none away."""
    assert look(store_of([service("a.b"), vmi(subdomain="a.b")]), r"vm1.a\.b.ns1.svc") is None
    store = store_of([service("DB", cluster_ip="10.0.0.1"), service(cluster_ip="10.0.0.2")])
    apply_all(store, [Deleted(Kind.SERVICE, ("ns1", "DB"))])
    assert look(store, "db.ns1.svc") == {"10.0.0.2"}


def test_impossible_namespace_names() -> None:
    """A namespace whose name Kubernetes would not take has no name, and takes none away from another."""
    config = StoreConfig(zones=(ZONE,), pods="verified")
    upper, lower = (pod(f"p-{place}", "10.244.0.7", namespace=place) for place in ("NS1", "ns1"))
    store = store_of([namespace("NS1"), namespace("ns1"), namespace("a.b"), upper, lower], config)
    assert look(store, r"a\.b.svc") is None
    apply_all(store, [Deleted(Kind.POD, upper.key), Deleted(Kind.NAMESPACE, ("", "NS1"))])
    assert look(store, "ns1.svc") == set()
    assert look(store, "10-244-0-7.ns1.pod") == {"10.244.0.7"}


def test_name_servers_follow_the_service() -> None:
    """When a Service gets a cluster IP the NS record follows, although no address has moved."""
    config = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), addresses=(packed("10.244.0.9"),))
    store = store_of([service(), endpoint_slice(endpoint_json("10.244.0.9", hostname="dns"))], config)
    assert look(store, "cluster.local.", RRType.NS) == {"dns.db.ns1.svc.cluster.local."}
    apply_all(store, [Changed(Kind.SERVICE, service(cluster_ip="10.0.0.1"))])
    assert look(store, "cluster.local.", RRType.NS) == {"db.ns1.svc.cluster.local."}


def test_reverse_name_by_labels() -> None:
    """A label whose octets look like the suffix is not the suffix."""
    assert reverse_address(from_text(r"4.3.2.1.5.x\007in-addr\004arpa")) is None


def test_addresses_that_are_not_what_they_look_like() -> None:
    """An IPv4-mapped address is the IPv4 address; one with a scope is none."""
    for text in ("::ffff:10.0.2.2", "::ffff:127.0.0.1", "fd00::1%eth0"):
        assert look(store_of([service(families=None), vmi(addresses=[text])]), HOST) is None


def test_null_parts() -> None:
    """`spec: null` and `status: null` are as good as absent."""
    for kind, value in (
        (Kind.VMI, vmi_json() | {"status": None, "spec": None}),
        (Kind.SERVICE, {"metadata": {"name": "a", "namespace": "b"}, "spec": None}),
    ):
        assert decoded(kind, value).key


def test_ports_of_every_interface() -> None:
    """A named targetPort may be declared by any interface of the VMI."""
    value = vmi_json()
    value["spec"]["domain"]["devices"]["interfaces"].append(
        {"name": "lan", "bridge": {}, "ports": [port_json(22, "ssh")]}
    )
    store = store_of([service(ports=[port_json(2222, "a", target="ssh")]), decoded(Kind.VMI, value)])
    assert look(store, "_a._tcp.db.ns1.svc", RRType.SRV) == {"0 100 22 vm1.db.ns1.svc.cluster.local."}
