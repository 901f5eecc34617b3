"""A Service's own names, and the endpoints that EndpointSlices give it."""

import pytest
from immutables import Map

from dnsserver.derive.endpoint import Endpoint, HostRecords
from dnsserver.derive.service import (
    PortRecords,
    ServiceView,
    external_name_rrsets,
    publishes_itself,
    service_name,
    slice_endpoints,
)
from dnsserver.names import from_text
from dnsserver.objects import Port, Service
from dnsserver.records import RRset, RRType
from tests.build import ZONE, Json, endpoint_json, endpoint_slice, packed, port_json, rdata_texts, service

OWNER = from_text("db.ns1.svc", ZONE)
HTTP, DNS_TCP, DNS_UDP = Port("http", "TCP", 80), Port("dns", "TCP", 53), Port("dns", "UDP", 53)
V4, OTHER, V6 = packed("10.244.0.7"), packed("10.244.0.8"), packed("fd00::7")


def view(under: Service, *endpoints: Endpoint, complete: bool = True) -> ServiceView:
    """Return a Service with these endpoints, each of another label."""
    return ServiceView(under, Map({one.prefix: HostRecords((one,), 5) for one in endpoints}), 5, complete=complete)


def texts(sets: tuple[RRset, ...]) -> dict[str, list[str]]:
    """Return RRsets as texts, by type."""
    return {RRType(one.rrtype).name: rdata_texts(one) for one in sets}


VM1 = Endpoint(b"vm1", (V4, V6), (HTTP, DNS_TCP))
VM2 = Endpoint(b"vm2", (OTHER,), (HTTP,))
BARE = Endpoint(b"bare", (packed("10.244.0.9"),), (Port("", "TCP", 9),))


def test_headless() -> None:
    """A headless Service has the addresses of all its endpoints, and SRV for all their ports, named or not."""
    assert texts(view(service(), VM1, VM2, BARE).rrsets(OWNER)) == {
        "A": ["10.244.0.7", "10.244.0.8", "10.244.0.9"],
        "AAAA": ["fd00::7"],
        "SRV": [  # 2 addresses * 2 ports + 1 + 1
            "0 16 9 bare.db.ns1.svc.cluster.local.",
            "0 16 53 vm1.db.ns1.svc.cluster.local.",
            "0 16 80 vm1.db.ns1.svc.cluster.local.",
            "0 16 80 vm2.db.ns1.svc.cluster.local.",
        ],
    }


def test_incomplete() -> None:
    """Where some endpoints are not ours to answer for, neither is their union."""
    incomplete = view(service(), VM1, complete=False)
    assert incomplete.rrsets(OWNER) == ()
    assert incomplete.port_rrsets(OWNER, OWNER, HTTP.labels) == ()


def test_headless_ports() -> None:
    """A port's name has the SRV records of that port, and the addresses behind it."""
    port_owner = from_text("_http._tcp", OWNER)
    found = PortRecords(view(service(), VM1, VM2, BARE), OWNER, HTTP.labels).rrsets(port_owner)
    assert {one.owner for one in found} == {port_owner}
    assert texts(found) == {
        "A": ["10.244.0.7", "10.244.0.8"],
        "AAAA": ["fd00::7"],
        "SRV": ["0 33 80 vm1.db.ns1.svc.cluster.local.", "0 33 80 vm2.db.ns1.svc.cluster.local."],
    }
    assert texts(PortRecords(view(service(), VM1, VM2), OWNER, DNS_TCP.labels).rrsets(port_owner)) == {
        "A": ["10.244.0.7"],
        "AAAA": ["fd00::7"],
        "SRV": ["0 50 53 vm1.db.ns1.svc.cluster.local."],
    }
    assert PortRecords(view(service(), VM1), OWNER, DNS_UDP.labels).rrsets(port_owner) == ()


def test_unnamed_port_has_no_name() -> None:
    """An unnamed port matches no `_port._protocol`."""
    assert view(service(), BARE).port_rrsets(OWNER, OWNER, Port("", "TCP", 9).labels) == ()


def test_cluster_ip() -> None:
    """A Service with cluster IPs has those, and SRV to itself with its own ports, whatever its endpoints."""
    ports = [port_json(80, "http", target=8080), port_json(53, "dns"), port_json(53, "dns", "UDP"), port_json(9)]
    one = view(service(cluster_ip="10.0.0.1", cluster_ips=["10.0.0.1", "fd00::1"], ports=ports), VM1)
    assert texts(one.rrsets(OWNER)) == {
        "A": ["10.0.0.1"],
        "AAAA": ["fd00::1"],
        "SRV": [f"0 12 {port} db.ns1.svc.cluster.local." for port in (9, 53, 80)],
    }
    assert texts(one.port_rrsets(OWNER, OWNER, DNS_UDP.labels)) == {
        "A": ["10.0.0.1"],
        "AAAA": ["fd00::1"],
        "SRV": ["0 50 53 db.ns1.svc.cluster.local."],
    }


def test_cluster_ip_without_ports() -> None:
    """Without ports there are addresses and no SRV."""
    assert texts(view(service(cluster_ip="10.0.0.1")).rrsets(OWNER)) == {"A": ["10.0.0.1"]}


def test_external_name() -> None:
    """An ExternalName Service is an alias and nothing else."""
    assert texts(view(service(external_name="Example.ORG"), VM1).rrsets(OWNER)) == {"CNAME": ["Example.ORG."]}


EXTERNAL: list[tuple[str, str, list[str]]] = [
    ("as spelled", "Example.org", ["Example.org."]),
    ("absolute", "example.org.", ["example.org."]),
    ("one label", "db", ["db."]),
    ("empty", "", []),
    ("the root", ".", []),
    ("IPv4", "10.0.0.1", []),
    ("IPv6", "fd00::1", []),
    ("empty label", "a..b", []),
    ("label over 63", "a" * 64, []),
]


@pytest.mark.parametrize(("text", "targets"), [row[1:] for row in EXTERNAL], ids=[row[0] for row in EXTERNAL])
def test_external_target(text: str, targets: list[str]) -> None:
    """The target is a name that the DNS can carry, never an address."""
    sets = external_name_rrsets(OWNER, text, 5)
    assert [target for one in sets for target in rdata_texts(one)] == targets
    assert publishes_itself(service(external_name=text)) is bool(targets)


def test_publishes_itself() -> None:
    """Only a cluster IP or an external name makes a Service's name exist without endpoints."""
    assert publishes_itself(service(cluster_ip="10.0.0.1"))
    assert not publishes_itself(service())
    assert not publishes_itself(service(cluster_ip=""))


def test_service_name() -> None:
    """A Service's name, where the DNS can carry it."""
    assert service_name(service(), ZONE) == OWNER
    assert service_name(service("s" * 64), ZONE) is None
    assert service_name(service(namespace="n" * 64), ZONE) is None


# label, endpoint, with pod names, the labels of what comes out
SLICES: list[tuple[str, Json, bool, list[str]]] = [
    ("host name", endpoint_json("10.244.0.7", hostname="web"), False, ["web"]),
    ("host name in lower case", endpoint_json("10.244.0.7", hostname="Web"), False, ["web"]),
    ("host name before pod name", endpoint_json("10.244.0.7", hostname="web", pod_name="p"), True, ["web"]),
    ("address", endpoint_json("10.244.0.7"), False, ["10-244-0-7"]),
    ("an address each", endpoint_json("10.244.0.7", "fd00::"), False, ["10-244-0-7", "fd00--0"]),
    ("one name for all addresses", endpoint_json("10.244.0.7", "fd00::7", hostname="web"), False, ["web", "web"]),
    ("pod name not asked for", endpoint_json("10.244.0.7", pod_name="p"), False, ["10-244-0-7"]),
    ("pod name", endpoint_json("10.244.0.7", pod_name="p"), True, ["p"]),
    ("pod name of 64", endpoint_json("10.244.0.7", pod_name="p" * 64), True, ["10-244-0-7"]),
    ("pod name with a dot", endpoint_json("10.244.0.7", pod_name="a.b"), True, ["10-244-0-7"]),
    ("host name that is none", endpoint_json("10.244.0.7", hostname="a_b"), False, ["10-244-0-7"]),
    ("not ready", endpoint_json("10.244.0.7", ready=False), False, []),
    ("ready unset", endpoint_json("10.244.0.7", ready=None), False, ["10-244-0-7"]),
    ("a VMI's", endpoint_json("10.244.0.7", pod="pod-vm1", hostname="vm1"), False, []),
    ("another pod's", endpoint_json("10.244.0.7", pod="pod-web"), False, ["10-244-0-7"]),
    ("no address", endpoint_json("example.org", hostname="web"), False, []),
]


@pytest.mark.parametrize(
    ("endpoint", "pod_names", "labels"), [row[1:] for row in SLICES], ids=[row[0] for row in SLICES]
)
def test_slice_endpoints(endpoint: Json, pod_names: bool, labels: list[str]) -> None:
    """Ready endpoints that are no VMI's have a name each, as CoreDNS names them."""
    one = endpoint_slice(endpoint, ports=[port_json(80, "http")])
    found = slice_endpoints(one, {"pod-vm1"}.__contains__, pod_names=pod_names)
    assert [endpoint.label.decode() for endpoint in found] == labels
    assert all(endpoint.ports == (HTTP,) and len(endpoint.addresses) == 1 for endpoint in found)
