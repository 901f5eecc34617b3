"""Services at the door: every field given, absent, null and of the wrong type."""

from typing import Any

import pytest

from dnsserver.objects import InvalidObjectError, Kind, Service, ServicePort
from tests.build import Json, decoded, packed

BOTH = frozenset({4, 6})


def service_of(spec: Json) -> Service:
    """Return the Service with this spec."""
    value = decoded(Kind.SERVICE, {"metadata": {"name": "db", "namespace": "ns1", "uid": "u1"}, "spec": spec})
    assert isinstance(value, Service)
    return value


FIELDS: list[tuple[str, Json, str, Any]] = [
    ("headless", {"clusterIP": "None"}, "headless", True),
    ("headless has no addresses", {"clusterIP": "None", "clusterIPs": ["None"]}, "cluster_ips", ()),
    ("headless in another case", {"clusterIP": "none"}, "headless", False),
    ("cluster IP", {"clusterIP": "10.0.0.1"}, "headless", False),
    ("no cluster IP", {}, "headless", False),
    ("null cluster IP", {"clusterIP": None}, "headless", False),
    ("ExternalName is never headless", {"type": "ExternalName", "clusterIP": "None"}, "headless", False),
    ("external name", {"type": "ExternalName", "externalName": "a.org"}, "external_name", "a.org"),
    ("external name without one", {"type": "ExternalName"}, "external_name", ""),
    ("external name of another type", {"type": "ClusterIP", "externalName": "a.org"}, "external_name", ""),
    ("external name, no addresses", {"type": "ExternalName", "clusterIP": "10.0.0.1"}, "cluster_ips", ()),
    ("old clusterIP", {"clusterIP": "10.0.0.1"}, "cluster_ips", (packed("10.0.0.1"),)),
    ("null clusterIPs", {"clusterIP": "10.0.0.1", "clusterIPs": None}, "cluster_ips", (packed("10.0.0.1"),)),
    (
        "dual stack, in order",
        {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.1"]},
        "cluster_ips",
        (packed("fd00::1"), packed("10.0.0.1")),
    ),
    ("duplicates", {"clusterIPs": ["fd00::1", "fd00:0::1"]}, "cluster_ips", (packed("fd00::1"),)),
    ("nonsense drops out", {"clusterIPs": ["", "x", "10.0.0.1"]}, "cluster_ips", (packed("10.0.0.1"),)),
    ("pending", {"clusterIP": ""}, "cluster_ips", ()),
    ("external IPs", {"externalIPs": ["192.0.2.1", "x", "192.0.2.1"]}, "external_ips", (packed("192.0.2.1"),)),
    ("external IPs are no cluster IPs", {"externalIPs": ["192.0.2.1"]}, "cluster_ips", ()),
    ("null external IPs", {"externalIPs": None}, "external_ips", ()),
    ("not imported", {}, "imported", False),
    ("selector", {"selector": {"a": "b"}}, "selector", {"a": "b"}),
    ("no selector", {}, "selector", {}),
    ("null selector", {"selector": None}, "selector", {}),
    ("IPv4", {"ipFamilies": ["IPv4"]}, "families", frozenset({4})),
    ("IPv6", {"ipFamilies": ["IPv6"]}, "families", frozenset({6})),
    ("both families", {"ipFamilies": ["IPv6", "IPv4"]}, "families", BOTH),
    ("no families", {}, "families", BOTH),
    ("null families", {"ipFamilies": None}, "families", BOTH),
    ("empty families", {"ipFamilies": []}, "families", BOTH),
    ("unknown families", {"ipFamilies": ["IPv5"]}, "families", BOTH),
    ("publish not ready", {"publishNotReadyAddresses": True}, "publish_not_ready", True),
    ("do not", {"publishNotReadyAddresses": False}, "publish_not_ready", False),
    ("null", {"publishNotReadyAddresses": None}, "publish_not_ready", False),
    ("no ports", {}, "ports", ()),
    ("null ports", {"ports": None}, "ports", ()),
    ("bare port", {"ports": [{"port": 80}]}, "ports", (ServicePort("", "TCP", 80, 80),)),
    (
        "whole port",
        {"ports": [{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": "Named"}]},
        "ports",
        (ServicePort("dns", "UDP", 53, "Named"),),
    ),
    ("target number", {"ports": [{"port": 80, "targetPort": 8080}]}, "ports", (ServicePort("", "TCP", 80, 8080),)),
    (
        "nulls in a port",
        {"ports": [{"name": None, "protocol": None, "port": 80, "targetPort": None}]},
        "ports",
        (ServicePort("", "TCP", 80, 80),),
    ),
    ("target 0 is the port", {"ports": [{"port": 80, "targetPort": 0}]}, "ports", (ServicePort("", "TCP", 80, 80),)),
    (
        "empty target is the port",
        {"ports": [{"port": 80, "targetPort": ""}]},
        "ports",
        (ServicePort("", "TCP", 80, 80),),
    ),
    ("impossible ports", {"ports": [{"port": -1}, {"port": 65536}, {"port": None}, {}]}, "ports", ()),
    ("highest port", {"ports": [{"port": 65535}]}, "ports", (ServicePort("", "TCP", 65535, 65535),)),
]


@pytest.mark.parametrize(("spec", "field", "value"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_field(spec: Json, field: str, value: object) -> None:
    """A field of the API becomes this field of the slim object."""
    assert getattr(service_of(spec), field) == value


def test_metadata() -> None:
    """The key is namespace and name; a Service without a spec is one with the defaults."""
    value = decoded(Kind.SERVICE, {"metadata": {"name": "db", "namespace": "ns1"}})
    assert isinstance(value, Service)
    assert (value.key, value.uid, value.headless) == (("ns1", "db"), "", False)


INGRESS: list[tuple[str, Json, tuple[bytes | str, ...]]] = [
    ("no status", {}, ()),
    ("null status", {"status": None}, ()),
    ("no balancer", {"status": {}}, ()),
    ("null ingress", {"status": {"loadBalancer": {"ingress": None}}}, ()),
    (
        "addresses and host names, in order",
        {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.test"}, {"ip": "fd00::1"}]}}},
        (packed("192.0.2.1"), "lb.test", packed("fd00::1")),
    ),
    (
        "the address wins, nonsense does not",
        {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "hostname": "a"}, {"ip": "x", "hostname": "b"}]}}},
        (packed("192.0.2.1"), "b"),
    ),
    ("neither", {"status": {"loadBalancer": {"ingress": [{}]}}}, ()),
]


@pytest.mark.parametrize(("value", "wanted"), [row[1:] for row in INGRESS], ids=[row[0] for row in INGRESS])
def test_ingress(value: Json, wanted: tuple[bytes | str, ...]) -> None:
    """What a load balancer is reached by, for `k8s_external`."""
    result = decoded(Kind.SERVICE, {"metadata": {"name": "db", "namespace": "ns1"}} | value)
    assert isinstance(result, Service)
    assert result.ingress == wanted


REFUSED: list[tuple[str, Json, str]] = [
    ("clusterIP", {"clusterIP": 1}, "$.spec.clusterIP"),
    ("clusterIPs", {"clusterIPs": "10.0.0.1"}, "$.spec.clusterIPs"),
    ("one clusterIP", {"clusterIPs": [None]}, "$.spec.clusterIPs[0]"),
    ("selector", {"selector": ["a"]}, "$.spec.selector"),
    ("selector value", {"selector": {"a": 1}}, "$.spec.selector[...]"),
    ("families", {"ipFamilies": {}}, "$.spec.ipFamilies"),
    ("publishNotReadyAddresses", {"publishNotReadyAddresses": "true"}, "$.spec.publishNotReadyAddresses"),
    ("ports", {"ports": {}}, "$.spec.ports"),
    ("one port", {"ports": [None]}, "$.spec.ports[0]"),
    ("port number", {"ports": [{"port": "80"}]}, "$.spec.ports[0].port"),
    ("port fraction", {"ports": [{"port": 80.5}]}, "$.spec.ports[0].port"),
    ("port true", {"ports": [{"port": True}]}, "$.spec.ports[0].port"),
    ("target true", {"ports": [{"port": 80, "targetPort": True}]}, "$.spec.ports[0].targetPort"),
    ("protocol", {"ports": [{"port": 80, "protocol": 6}]}, "$.spec.ports[0].protocol"),
    ("external name", {"externalName": ["a"]}, "$.spec.externalName"),
    ("type", {"type": 1}, "$.spec.type"),
]


@pytest.mark.parametrize(("spec", "place"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_wrong_type(spec: Json, place: str) -> None:
    """A field of the wrong type refuses the Service by its key, and says where."""
    with pytest.raises(InvalidObjectError) as caught:
        service_of(spec)
    assert caught.value.key == ("ns1", "db")
    assert place in caught.value.reason
    assert str(caught.value) == f"Service ns1/db: {caught.value.reason}"
