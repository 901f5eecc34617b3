"""Pods that only VMIs have: published through the VMI alone, as long as VMIs can be read."""

import pytest

from dnsserver.events import Changed, Deleted, ListEnded, ListStarted, NotServed
from dnsserver.objects import Kind
from dnsserver.store import StoreConfig
from tests.build import ZONE, apply_all, endpoint_json, endpoint_slice, look, service, store_of, vmi

HOST = "vm1.db.ns1.svc"
LAUNCHER = endpoint_slice(
    endpoint_json("10.244.0.9", hostname="vm1", pod="another", pod_name="virt-launcher-vm1-abcde"),
    endpoint_json("10.244.0.5", hostname="plain", pod="plain", pod_name="web-0"),
)


@pytest.mark.parametrize("name", ["vm1", "other"])
def test_a_pod_that_no_vmi_lists(name: str) -> None:
    """It provisions a volume, its VMI has gone, or the other watch is ahead: it is not a plain endpoint."""
    store = store_of([service(), vmi(name), LAUNCHER])
    assert look(store, HOST) == ({"10.244.0.7"} if name == "vm1" else None)
    assert look(store, "plain.db.ns1.svc") == {"10.244.0.5"}


def test_a_vmi_that_goes_before_its_slice() -> None:
    """Its name goes with it."""
    own = endpoint_slice(endpoint_json("10.244.0.7", hostname="vm1", pod="pod-vm1", pod_name="virt-launcher-vm1-abcde"))
    store = store_of([service(), vmi(), own])
    assert look(store, HOST) == {"10.244.0.7"}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert look(store, HOST) is None


def test_vmis_that_cannot_be_read() -> None:
    """Then the pod is an endpoint like any other, as CoreDNS has it; until they can."""
    store = store_of([service(), LAUNCHER])
    assert look(store, HOST) is None
    apply_all(store, [NotServed(Kind.VMI, "forbidden")])
    assert look(store, HOST) == {"10.244.0.9"}
    apply_all(store, [ListStarted(Kind.VMI), ListEnded(Kind.VMI)])
    assert look(store, HOST) is None


def test_topology_zone_of_a_vmi() -> None:
    """It is where its pod is, so that zonal names find it; and follows it."""
    config = StoreConfig(zones=(ZONE,), zonal=True)
    own = endpoint_json("10.244.0.7", hostname="vm1", pod="pod-vm1", zone="a")
    store = store_of([service(), vmi(), endpoint_slice(own)], config)
    assert look(store, "a.pin._zone.db.ns1.svc") == {"10.244.0.7"}
    apply_all(store, [Changed(Kind.ENDPOINT_SLICE, endpoint_slice({**own, "zone": "b"}))])
    assert look(store, "a.pin._zone.db.ns1.svc") == set()
    assert look(store, "b.pin._zone.db.ns1.svc") == {"10.244.0.7"}
