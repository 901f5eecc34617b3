"""ServiceImports at the door: they become Services, every field given, absent, null and of the wrong type."""

from typing import Any

import pytest

from dnsserver.objects import InvalidObjectError, Kind, Service, ServicePort, kind_of
from tests.build import Json, decoded, packed

META = {"name": "db", "namespace": "ns1", "uid": "u1"}
PLAIN = Service(
    namespace="ns1",
    name="db",
    uid="u1",
    headless=False,
    external_name="",
    cluster_ips=(),
    selector={},
    families=frozenset({4, 6}),
    publish_not_ready=False,
    ports=(),
    imported=True,
)


def import_of(value: Json) -> Service:
    """Return the Service that a ServiceImport with these fields is."""
    result = decoded(Kind.SERVICE_IMPORT, {"metadata": META} | value)
    assert isinstance(result, Service)
    return result


@pytest.mark.parametrize("value", [{}, {"spec": None}, {"spec": {}}, {"spec": {"ips": None, "ports": None}}])
def test_bare(value: Json) -> None:
    """An import without anything is a Service without anything."""
    assert import_of(value) == PLAIN


IP, OTHER, V6 = packed("10.96.9.1"), packed("10.96.9.2"), packed("fd00::1")
FIELDS: list[tuple[str, Json, str, Any]] = [
    ("headless", {"type": "Headless"}, "headless", True),
    ("with addresses", {"type": "ClusterSetIP", "ips": ["10.96.9.1"]}, "headless", False),
    ("type unset", {"ips": ["10.96.9.1"]}, "headless", False),
    ("case counts", {"type": "headless"}, "headless", False),
    ("addresses", {"ips": ["10.96.9.2", "fd00::1", "10.96.9.1"]}, "cluster_ips", (OTHER, V6, IP)),
    ("duplicates", {"ips": ["10.96.9.1", "10.96.9.1"]}, "cluster_ips", (IP,)),
    ("nonsense drops out", {"ips": ["", "None", "10.96.9.1"]}, "cluster_ips", (IP,)),
    ("headless has none of its own", {"type": "Headless", "ips": ["10.96.9.1"]}, "cluster_ips", ()),
    ("no address yet", {"type": "ClusterSetIP", "ips": []}, "cluster_ips", ()),
    (
        "whole port",
        {"ports": [{"name": "dns", "protocol": "UDP", "port": 53, "appProtocol": "x"}]},
        "ports",
        (ServicePort("dns", "UDP", 53, 53),),
    ),
    (
        "bare ports",
        {"ports": [{"port": 80}, {"name": None, "protocol": None, "port": 81}]},
        "ports",
        (ServicePort("", "TCP", 80, 80), ServicePort("", "TCP", 81, 81)),
    ),
    ("impossible ports", {"ports": [{"port": -1}, {"port": 65536}, {"port": None}, {}]}, "ports", ()),
]


@pytest.mark.parametrize(("spec", "field", "value"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_field(spec: Json, field: str, value: object) -> None:
    """A field of the API becomes this field of the Service."""
    assert getattr(import_of({"spec": spec}), field) == value


REFUSED: list[tuple[str, Json, str]] = [
    ("spec", {"spec": []}, "$.spec"),
    ("type", {"spec": {"type": 1}}, "$.spec.type"),
    ("ips", {"spec": {"ips": "10.96.9.1"}}, "$.spec.ips"),
    ("one address", {"spec": {"ips": [1]}}, "$.spec.ips[0]"),
    ("port", {"spec": {"ports": [{"port": "80"}]}}, "$.spec.ports[0].port"),
    ("no namespace", {"metadata": {"name": "db"}}, "metadata.namespace is empty"),
]


@pytest.mark.parametrize(("value", "place"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(value: Json, place: str) -> None:
    """A field of the wrong type refuses the ServiceImport, and says where."""
    with pytest.raises(InvalidObjectError) as caught:
        import_of(value)
    assert place in caught.value.reason
    assert str(caught.value).startswith("ServiceImport ")


@pytest.mark.parametrize(
    ("version", "kind"), [("v1alpha1", Kind.SERVICE_IMPORT), ("v1beta1", Kind.SERVICE_IMPORT), ("v1", None)]
)
def test_versions(version: str, kind: Kind | None) -> None:
    """Both versions of the Multi-Cluster Services API are understood, and no other."""
    assert kind_of(f"multicluster.x-k8s.io/{version}", "ServiceImport") is kind
