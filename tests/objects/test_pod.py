"""Pods at the door: every field given, absent, null and of the wrong type."""

import pytest

from dnsserver.objects import InvalidObjectError, Kind, Pod
from tests.build import Json, decoded, packed

META = {"name": "web-1", "namespace": "ns1", "uid": "u1"}
GOING = META | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
RUNNING = {"phase": "Running", "podIP": "10.244.0.7"}


def pod_of(value: Json) -> Pod:
    """Return the Pod with these fields."""
    result = decoded(Kind.POD, {"metadata": META} | value)
    assert isinstance(result, Pod)
    return result


ADDRESSES: list[tuple[str, Json, str]] = [  # status, address ("" for none)
    ("running", RUNNING, "10.244.0.7"),
    ("IPv6", {"podIP": "fd00::7"}, "fd00::7"),
    ("podIPs are not read", {"podIP": "10.244.0.7", "podIPs": [{"ip": "fd00::7"}]}, "10.244.0.7"),
    ("podIPs alone", {"podIPs": [{"ip": "10.244.0.7"}]}, ""),
    ("the host's address counts only as the pod's", {"hostIP": "192.0.2.1"}, ""),
    ("pending with an address", {"phase": "Pending", "podIP": "10.244.0.7"}, "10.244.0.7"),
    ("no phase", {"podIP": "10.244.0.7"}, "10.244.0.7"),
    ("null phase", {"phase": None, "podIP": "10.244.0.7"}, "10.244.0.7"),
    ("succeeded", RUNNING | {"phase": "Succeeded"}, ""),
    ("failed", RUNNING | {"phase": "Failed"}, ""),
    ("unknown", RUNNING | {"phase": "Unknown"}, ""),
    ("no address yet", {"phase": "Pending"}, ""),
    ("null address", {"podIP": None}, ""),
    ("empty address", {"podIP": ""}, ""),
    ("nonsense", {"podIP": "10.244.0"}, ""),
    ("empty status", {}, ""),
]


@pytest.mark.parametrize(("status", "address"), [row[1:] for row in ADDRESSES], ids=[row[0] for row in ADDRESSES])
def test_address(status: Json, address: str) -> None:
    """The address is status.podIP, while the pod has not ended."""
    assert pod_of({"status": status}).address == (packed(address) if address else b"")


def test_no_status() -> None:
    """A pod that no node has taken yet has no status to speak of."""
    assert pod_of({}) == pod_of({"status": None}) == Pod("ns1", "web-1", "u1", b"", deleting=False)


DELETING: list[tuple[str, Json, bool]] = [
    ("not", {"metadata": META, "status": RUNNING}, False),
    ("null", {"metadata": META | {"deletionTimestamp": None}, "status": RUNNING}, False),
    ("going", {"metadata": GOING, "status": RUNNING}, True),
    ("going, with no status", {"metadata": GOING}, True),
    ("gone but for its object", {"metadata": GOING, "status": RUNNING | {"phase": "Succeeded"}}, False),
]


@pytest.mark.parametrize(("value", "deleting"), [row[1:] for row in DELETING], ids=[row[0] for row in DELETING])
def test_deleting(value: Json, deleting: bool) -> None:
    """A pod is going from its deletionTimestamp until it has ended."""
    assert pod_of(value).deleting is deleting


def test_key() -> None:
    """The key is namespace and name; a pod may lack a UID in a manifest."""
    one = pod_of({"metadata": {"name": "a", "namespace": "b"}})
    assert (one.key, one.uid) == (("b", "a"), "")


REFUSED: list[tuple[str, Json, str]] = [
    ("status", {"status": []}, "$.status"),
    ("phase", {"status": {"phase": 1}}, "$.status.phase"),
    ("podIP", {"status": {"podIP": ["10.244.0.7"]}}, "$.status.podIP"),
    ("deletionTimestamp", {"metadata": META | {"deletionTimestamp": True}}, "$.metadata.deletionTimestamp"),
    ("no namespace", {"metadata": {"name": "web-1"}}, "metadata.namespace is empty"),
    ("no name", {"metadata": {"name": "", "namespace": "ns1"}}, "metadata.name is empty"),
]


@pytest.mark.parametrize(("value", "place"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(value: Json, place: str) -> None:
    """A field of the wrong type refuses the Pod, and says where."""
    with pytest.raises(InvalidObjectError) as caught:
        pod_of(value)
    assert place in caught.value.reason
    assert caught.value.kind is Kind.POD
