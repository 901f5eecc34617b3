"""Names of pods: by their address alone, or only where there is one."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.derive.pods import insecure_pod, pod_owner, pod_records
from dnsserver.names import ROOT, InvalidNameError, Name, from_labels, from_text, to_text
from dnsserver.records import RRset, RRType
from dnsserver.zone import EMPTY, Zone, ZoneEditor
from tests.build import ZONE, packed, rdata_texts


def zone_with(*namespaces: str, origin: Name = ZONE) -> Zone:
    """Return a zone that publishes these namespaces' pods."""
    editor = ZoneEditor(origin, 5)
    for namespace in namespaces:
        editor.set(from_labels((namespace.encode(), b"pod"), origin), EMPTY)
    return editor.publish(1)


PODS = zone_with("ns1")

INSECURE: list[tuple[str, str, str | None]] = [  # label, what it stands for, None: no such name
    ("IPv4", "10-244-0-7", "10.244.0.7"),
    ("zeros", "0-0-0-0", "0.0.0.0"),
    ("out of range", "10-244-0-256", None),
    ("leading zero", "10-244-0-07", None),
    ("too short", "10-244-0", None),
    ("too long", "10-244-0-7-1", None),
    ("two dashes together are IPv6", "10--0-7", "10::0:7"),
    ("IPv6", "fd00--7", "fd00::7"),
    ("whole IPv6", "fd00-0-0-0-0-0-0-7", "fd00::7"),
    ("nothing but dashes", "--", "::"),
    ("ends in dashes", "fd00--", "fd00::"),
    ("begins with dashes", "--1", "::1"),
    ("ends in a 0 as an endpoint's name would", "fd00--0", "fd00::"),
    ("IPv4 inside IPv6 is IPv4", "--ffff-af4-7", "10.244.0.7"),
    ("seven groups", "fd00-0-0-0-0-0-7", None),
    ("two gaps", "fd00--1--7", None),
    ("a word", "web", None),
    ("a word with dashes", "a-b-c-d", None),
    ("one dash", "-", None),
    ("a dot inside the label", r"10\.244\.0\.7", None),
    ("some dots inside the label", r"10\.244-0-7", None),
    ("a scope", "fe80--1%eth0", None),
    ("octets that are no text", r"10-244-0-\178", None),
    ("digits of another alphabet", r"10-244-0-\217\167", None),
]


@pytest.mark.parametrize(("label", "address"), [row[1:] for row in INSECURE], ids=[row[0] for row in INSECURE])
def test_insecure(label: str, address: str | None) -> None:
    """A label that spells an address has it; any other does not exist."""
    owner = from_text(f"{label}.ns1.pod", ZONE)
    found = insecure_pod(PODS, owner, 7)
    if address is None:
        assert found is None
        return
    rrtype = RRType.A if "." in address else RRType.AAAA
    assert found == (RRset(owner, rrtype, 7, (packed(address),)),)


@pytest.mark.parametrize(
    "name",
    [
        "10-244-0-7.ns2.pod",  # not published
        "10-244-0-7.ns1.svc",
        "10-244-0-7.pod",
        "10-244-0-7",
        "ns1.pod",
        "pod",
        "x.10-244-0-7.ns1.pod",  # CoreDNS ignores what is on the left
        "",
    ],
)
def test_not_a_pod(name: str) -> None:
    """The name is an address, a published namespace and `pod`, nothing less and nothing more."""
    assert insecure_pod(PODS, from_text(name, ZONE), 5) is None


def test_root_zone() -> None:
    """The zone may be the root."""
    assert insecure_pod(zone_with("ns1", origin=ROOT), from_text("10-244-0-7.ns1.pod"), 5) is not None


@given(st.binary(max_size=63))
def test_any_label(label: bytes) -> None:
    """No label makes it fail, and what it finds is one address of the right length."""
    if label:
        for one in insecure_pod(PODS, from_labels((label, b"ns1", b"pod"), ZONE), 5) or ():
            assert [len(rdata) for rdata in one.rdatas] == [4 if one.rrtype == RRType.A else 16]


@given(st.builds(IPv4Address, st.integers(0, 2**32 - 1)) | st.builds(IPv6Address, st.integers(0, 2**128 - 1)))
def test_every_address_has_its_name(address: IPv4Address | IPv6Address) -> None:
    """The name that a verified pod has leads to the same address where pods are not verified."""
    owner = pod_owner("ns1", address.packed, ZONE)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    wanted = pod_records((mapped or address).packed, 5).rrsets(owner)
    assert insecure_pod(PODS, owner, 5) == wanted


OWNERS = [
    ("10.244.0.7", "10-244-0-7.ns1.pod.cluster.local."),
    ("fd00::7", "fd00--7.ns1.pod.cluster.local."),
    ("fd00::", "fd00--.ns1.pod.cluster.local."),  # CoreDNS adds a 0 to the names of endpoints only
]


@pytest.mark.parametrize(("address", "owner"), OWNERS)
def test_owner(address: str, owner: str) -> None:
    """A pod's name is its address with dashes, and has that address and nothing else."""
    name = pod_owner("ns1", packed(address), ZONE)
    assert to_text(name) == owner
    (one,) = pod_records(packed(address), 30).rrsets(name)
    assert (one.owner, one.ttl, rdata_texts(one)) == (name, 30, [address])


@pytest.mark.parametrize("namespace", ["", "n" * 64])
def test_owner_that_cannot_be(namespace: str) -> None:
    """A namespace that is no label makes no name."""
    with pytest.raises(InvalidNameError):
        pod_owner(namespace, packed("10.244.0.7"), ZONE)
