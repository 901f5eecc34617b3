"""Why a VMI that asks for a name has none, where its owner can do something about that; no I/O.

A VMI asks for a name by its `spec.subdomain`. That it has not started yet, is not Ready or is being deleted is ordinary
life and no complaint.
"""

from enum import Enum

import msgspec

from dnsserver.derive.vmi import Published, Refused, Rule, host_label
from dnsserver.names import is_dns1123_label
from dnsserver.objects import Service, VirtualMachineInstance

FINAL = frozenset({"Succeeded", "Failed"})  # phases that a VMI never leaves


class Reason(Enum):
    """What there is to complain of; the value is the `reason` of a Kubernetes Event."""

    SUBDOMAIN = "SubdomainNotDNSLabel"
    NO_SERVICE = "SubdomainWithoutService"
    HEADLESS = "ServiceNotHeadless"
    SELECTOR = "SelectorDoesNotMatch"
    HOST_LABEL = "HostnameNotDNSLabel"
    PRIMARY_NETWORK = "NoPrimaryNetwork"
    ADDRESS = "NoUsableAddress"


class Complaint(msgspec.Struct, frozen=True, gc=False):
    """One reason, and the details for the owner's eyes."""

    reason: Reason
    message: str


_BY_RULE = {
    Rule.HEADLESS: Reason.HEADLESS,
    Rule.SELECTOR: Reason.SELECTOR,
    Rule.HOST_LABEL: Reason.HOST_LABEL,
    Rule.PRIMARY_NETWORK: Reason.PRIMARY_NETWORK,
    Rule.ADDRESS: Reason.ADDRESS,
}


def asks_for_name(vmi: VirtualMachineInstance) -> bool:
    """Say whether a VMI is to have a name: it has a subdomain, and is neither at its end nor on its way there."""
    return bool(vmi.subdomain) and not vmi.deleting and vmi.phase not in FINAL


def complaint(
    vmi: VirtualMachineInstance, service: Service | None, outcome: Published | Refused | None
) -> Complaint | None:
    """Return what keeps a VMI from the name it asks for; None where nothing does that its owner can mend.

    `service` is the one of its namespace that is called like its subdomain, and `outcome` what the VMI contributes
    to that; both are None where there is none.
    """
    if not asks_for_name(vmi):
        return None
    name = f"{host_label(vmi)}.{vmi.subdomain}.{vmi.namespace}.svc"
    if not is_dns1123_label(vmi.subdomain):
        detail = f"spec.subdomain {vmi.subdomain!r} is not a DNS label, and so no Service can have its name"
        return Complaint(Reason.SUBDOMAIN, f"No DNS name {name}: {detail}")
    if service is None:
        detail = f"spec.subdomain asks for a headless Service {vmi.namespace}/{vmi.subdomain}, which does not exist"
        return Complaint(Reason.NO_SERVICE, f"No DNS name {name}: {detail}")
    if not isinstance(outcome, Refused) or (reason := _BY_RULE.get(outcome.rule)) is None:
        return None
    if reason is Reason.ADDRESS and not vmi.ready.status:
        return None  # `publishNotReadyAddresses` asks for it before it has had time to get one
    return Complaint(reason, f"No DNS name {name}: {outcome.detail}")
