"""What is told to the owner of a VMI that has no name, and what is ordinary life."""

import pytest
from msgspec.structs import replace

from dnsserver.derive.complaint import Complaint, Reason, complaint
from dnsserver.objects import Service, VirtualMachineInstance
from tests.build import outcome_of, service, vmi

NAME = "No DNS name vm1.db.ns1.svc: "

TOLD: list[tuple[VirtualMachineInstance, Service | None, Reason, str]] = [
    (vmi(), None, Reason.NO_SERVICE, NAME + "spec.subdomain asks for a headless Service ns1/db, which does not exist"),
    (vmi(phase="Pending", ready=None, addresses=()), None, Reason.NO_SERVICE, NAME),
    (
        vmi(subdomain="a.b"),
        None,
        Reason.SUBDOMAIN,
        "No DNS name vm1.a.b.ns1.svc: spec.subdomain 'a.b' is not a DNS label",
    ),
    (vmi(), service(cluster_ip="10.96.0.1", cluster_ips=("10.96.0.1",)), Reason.HEADLESS, "10.96.0.1"),
    (vmi(), service(external_name="example.org"), Reason.HEADLESS, "example.org"),
    (vmi(), service(selector={"app": "web"}), Reason.SELECTOR, "web"),
    (vmi(), service(selector={}), Reason.SELECTOR, "spec.selector"),
    (vmi("a" * 62 + "-b"), service(), Reason.HOST_LABEL, "a" * 62 + "-"),
    (vmi(phase="Scheduling"), service(selector={"app": "web"}), Reason.SELECTOR, "web"),
    (vmi(addresses=()), service(), Reason.ADDRESS, "IPv4"),
    (vmi(addresses=("fe80::1",)), service(), Reason.ADDRESS, "fe80::1"),
    (vmi(), service(families=("IPv6",)), Reason.ADDRESS, "IPv6"),
]

ORDINARY: list[tuple[str, VirtualMachineInstance, Service | None]] = [
    ("it has its name", vmi(), service()),
    ("it asks for none", vmi(subdomain=None), None),
    ("it asks for none, and a Service selects it", vmi(subdomain=None), service(families=("IPv6",))),
    ("it does not run yet", vmi(phase="Scheduled"), service()),
    ("its readiness probe fails", vmi(ready=False), service()),
    ("it is being deleted", vmi(deleting=True), service()),
    ("it is being deleted, without a Service", vmi(deleting=True), None),
    ("it has ended", vmi(phase="Succeeded"), None),
    ("it has failed", vmi(phase="Failed"), service(selector={"app": "web"})),
    ("not Ready, and so without an address", vmi(ready=False, addresses=()), service(publish_not_ready=True)),
]


def told(one: VirtualMachineInstance, under: Service | None) -> Complaint | None:
    """Return what there is to complain of."""
    return complaint(one, under, None if under is None else outcome_of(one, under))


@pytest.mark.parametrize(("one", "under", "reason", "text"), TOLD)
def test_told(one: VirtualMachineInstance, under: Service | None, reason: Reason, text: str) -> None:
    """The name that is missing comes first, then what was looked at."""
    found = told(one, under)
    assert found is not None
    assert found.reason is reason
    assert found.message.startswith("No DNS name ")
    assert text in found.message


@pytest.mark.parametrize(("one", "under"), [row[1:] for row in ORDINARY], ids=[row[0] for row in ORDINARY])
def test_ordinary_life(one: VirtualMachineInstance, under: Service | None) -> None:
    """Nothing that mends itself, or that nobody asked for, is told."""
    assert told(one, under) is None


def test_a_vmi_without_a_primary_network() -> None:
    """Its guest has no address that the cluster could reach."""
    one = vmi()
    found = told(replace(one, shape=replace(one.shape, network=None)), service())
    assert found is not None
    assert found.reason is Reason.PRIMARY_NETWORK
