"""EndpointSlices at the door: every field given, absent, null and of the wrong type."""

import pytest

from dnsserver.objects import EndpointSlice, InvalidObjectError, Kind, Port, SliceEndpoint
from tests.build import Json, decoded, packed

META = {"name": "db-1", "namespace": "ns1", "uid": "u1", "labels": {"kubernetes.io/service-name": "db", "x": "y"}}


def slice_of(value: Json) -> EndpointSlice:
    """Return the EndpointSlice with these fields."""
    result = decoded(Kind.ENDPOINT_SLICE, {"metadata": META} | value)
    assert isinstance(result, EndpointSlice)
    return result


ADDRESS = packed("10.244.0.7")
NOBODY = SliceEndpoint((), ready=True, hostname="", target_name="", target_uid="")

ENDPOINTS: list[tuple[str, Json, SliceEndpoint]] = [
    ("nothing", {}, NOBODY),
    (
        "nulls",
        {"addresses": None, "conditions": None, "hostname": None, "targetRef": None},
        NOBODY,
    ),
    (
        "everything",
        {
            "addresses": ["10.244.0.7"],
            "conditions": {"ready": True, "serving": False, "terminating": True},
            "hostname": "vm1",
            "targetRef": {"kind": "Pod", "name": "launcher", "uid": "p1"},
        },
        SliceEndpoint((ADDRESS,), ready=True, hostname="vm1", target_name="launcher", target_uid="p1"),
    ),
    ("not ready", {"conditions": {"ready": False}}, SliceEndpoint((), False, "", "", "")),
    ("ready unset", {"conditions": {}}, NOBODY),
    ("ready null", {"conditions": {"ready": None}}, NOBODY),
    ("empty target", {"targetRef": {}}, NOBODY),
    ("topology zone", {"zone": "Zone-A"}, SliceEndpoint((), True, "", "", "", zone="zone-a")),
    ("null zone", {"zone": None}, NOBODY),
    (
        "several addresses keep their order",
        {"addresses": ["fd00::1", "10.244.0.7"]},
        SliceEndpoint((packed("fd00::1"), ADDRESS), True, "", "", ""),
    ),
    (
        "what is no IP address drops out (addressType FQDN)",
        {"addresses": ["example.org", "None", "10.244.0.7"]},
        SliceEndpoint((ADDRESS,), True, "", "", ""),
    ),
]


@pytest.mark.parametrize(("endpoint", "wanted"), [row[1:] for row in ENDPOINTS], ids=[row[0] for row in ENDPOINTS])
def test_endpoint(endpoint: Json, wanted: SliceEndpoint) -> None:
    """An endpoint becomes this slim endpoint."""
    assert slice_of({"endpoints": [endpoint]}).endpoints == (wanted,)


PORTS: list[tuple[str, Json, tuple[Port, ...]]] = [
    ("absent", {}, ()),
    ("null", {"ports": None}, ()),
    ("named", {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}, (Port("http", "TCP", 80),)),
    ("bare", {"ports": [{"port": 53}]}, (Port("", "TCP", 53),)),
    ("null number: all ports, so none for SRV", {"ports": [{"name": "", "port": None}]}, ()),
    ("no number", {"ports": [{"name": "http"}]}, ()),
    ("out of range", {"ports": [{"port": 65536}, {"port": -1}, {"port": 1}]}, (Port("", "TCP", 1),)),
]


@pytest.mark.parametrize(("value", "wanted"), [row[1:] for row in PORTS], ids=[row[0] for row in PORTS])
def test_ports(value: Json, wanted: tuple[Port, ...]) -> None:
    """A slice's ports become these."""
    assert slice_of(value).ports == wanted


SERVICES: list[tuple[str, Json, str]] = [
    ("labelled", {}, "db"),
    ("no labels", {"labels": None}, ""),
    ("no such label", {"labels": {"k8s.ovn.org/service-name": "db"}}, ""),
    ("null label", {"labels": {"kubernetes.io/service-name": None}}, ""),
]


@pytest.mark.parametrize(("meta", "service"), [row[1:] for row in SERVICES], ids=[row[0] for row in SERVICES])
def test_service(meta: Json, service: str) -> None:
    """The Service is the label's; a mirror slice of a user-defined network has none."""
    value = slice_of({"metadata": META | meta})
    assert (value.service, value.service_key, value.key) == (service, ("ns1", service), ("ns1", "db-1"))


IMPORTED: list[tuple[str, Json | None, tuple[str, str, str]]] = [  # labels, (Service, ServiceImport, cluster)
    ("none", None, ("", "", "")),
    ("of a Service", {"kubernetes.io/service-name": "db"}, ("db", "", "")),
    (
        "imported",
        {"multicluster.kubernetes.io/service-name": "db", "multicluster.kubernetes.io/source-cluster": "c1"},
        ("", "db", "c1"),
    ),
    (
        "both, as controllers that make a derived Service label them",
        {"kubernetes.io/service-name": "derived-1", "multicluster.kubernetes.io/service-name": "db"},
        ("derived-1", "db", ""),
    ),
    ("null", {"multicluster.kubernetes.io/service-name": None}, ("", "", "")),
]


@pytest.mark.parametrize(("labels", "wanted"), [row[1:] for row in IMPORTED], ids=[row[0] for row in IMPORTED])
def test_imported(labels: Json | None, wanted: tuple[str, str, str]) -> None:
    """The labels say which Service and which ServiceImport a slice belongs to, and from where it comes."""
    value = slice_of({"metadata": META | {"labels": labels}})
    assert (value.service, value.imported, value.cluster) == wanted


TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
TRIGGERED: list[tuple[str, Json | None, float]] = [
    ("no annotations", None, 0.0),
    ("another annotation", {"a": "b"}, 0.0),
    ("null", {TRIGGER: None}, 0.0),
    ("empty", {TRIGGER: ""}, 0.0),
    ("RFC 3339", {TRIGGER: "2026-01-01T00:00:00Z"}, 1767225600.0),
    ("fractions", {TRIGGER: "2026-01-01T00:00:00.25Z"}, 1767225600.25),
    ("nanoseconds, as Go writes them", {TRIGGER: "2026-01-01T00:00:00.500000001Z"}, 1767225600.5),
    ("another offset", {TRIGGER: "2026-01-01T02:00:00+02:00"}, 1767225600.0),
    ("nonsense", {TRIGGER: "yesterday"}, 0.0),
    ("no such day", {TRIGGER: "2026-02-30T00:00:00Z"}, 0.0),
]


@pytest.mark.parametrize(("annotations", "wanted"), [row[1:] for row in TRIGGERED], ids=[row[0] for row in TRIGGERED])
def test_triggered(annotations: Json | None, wanted: float) -> None:
    """When the change began that a slice shows, as Unix time; nonsense costs only the measurement."""
    assert slice_of({"metadata": META | {"annotations": annotations}}).triggered == wanted


def test_null_endpoints() -> None:
    """A slice without endpoints is one with none."""
    assert slice_of({"endpoints": None}).endpoints == slice_of({}).endpoints == ()


REFUSED: list[tuple[str, Json, str]] = [
    ("endpoints", {"endpoints": {}}, "$.endpoints"),
    ("one endpoint", {"endpoints": [None]}, "$.endpoints[0]"),
    ("addresses", {"endpoints": [{"addresses": "10.0.0.1"}]}, "$.endpoints[0].addresses"),
    ("ready", {"endpoints": [{"conditions": {"ready": "True"}}]}, "$.endpoints[0].conditions.ready"),
    ("hostname", {"endpoints": [{"hostname": 1}]}, "$.endpoints[0].hostname"),
    ("target", {"endpoints": [{"targetRef": {"uid": 1}}]}, "$.endpoints[0].targetRef.uid"),
    ("port", {"ports": [{"port": "80"}]}, "$.ports[0].port"),
    ("zone", {"endpoints": [{"zone": 1}]}, "$.endpoints[0].zone"),
    ("annotation", {"metadata": META | {"annotations": {TRIGGER: 1}}}, "$.metadata.annotations"),
    ("label", {"metadata": META | {"labels": {"kubernetes.io/service-name": 1}}}, "$.metadata.labels"),
]


@pytest.mark.parametrize(("value", "place"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_wrong_type(value: Json, place: str) -> None:
    """A field of the wrong type refuses the slice by its key, and says where."""
    with pytest.raises(InvalidObjectError) as caught:
        slice_of(value)
    assert caught.value.key == ("ns1", "db-1")
    assert place in caught.value.reason


def test_port_labels() -> None:
    """A port's own name is in lower case, whatever the object spells."""
    assert Port("HTTP", "TCP", 80).labels == (b"_http", b"_tcp")
