"""Which VMIs a host name may mean; no I/O.

Those that contribute to a Service, and those that it selects but that a rule refuses, are what the store remembers.
Whom no Service selects is found in the namespace's VMIs.
"""

from dataclasses import dataclass

from dnsserver.derive.endpoint import dashed
from dnsserver.derive.vmi import host_label
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, collect
from dnsserver.objects import Kind, VirtualMachineInstance


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a label below a Service's name may stand for."""

    vmis: tuple[VirtualMachineInstance, ...]  # that give the name its records
    slices: tuple[str, ...]  # EndpointSlices that do
    others: tuple[VirtualMachineInstance, ...]  # VMIs that might have; the likeliest first


def find_candidates(draft: Draft, label: str, service: str, namespace: str) -> Looking[Candidates]:
    """Return what a label stands for below a Service, and what it might."""
    known, entry = draft.known, draft.place.store.entry((namespace, service))
    vmis = known.vmis.in_namespace(namespace)
    wire = label.encode("latin-1")
    giving: list[str] = []
    slices: list[str] = []
    if entry is not None:
        giving = yield from collect(
            entry.published_vmis, lambda name: any(one.label == wire for one in entry.given((Kind.VMI, name)))
        )
        slices = yield from collect(
            entry.slices, lambda name: any(one.label == wire for one in entry.given((Kind.ENDPOINT_SLICE, name)))
        )
    named = yield from collect(vmis.values(), lambda vmi: _may_be_called(vmi, label))
    others = [vmi for vmi in named if vmi.name not in giving]
    others.sort(key=lambda vmi: (vmi.subdomain != service, host_label(vmi) != label, vmi.name))
    there = (vmi for name in giving if (vmi := vmis.get(name)) is not None)
    return Candidates(tuple(there), tuple(slices), tuple(others))


def _may_be_called(vmi: VirtualMachineInstance, label: str) -> bool:
    """Say whether a label may mean a VMI: by its host name, its own name, or an address with dashes."""
    if vmi.name == label or host_label(vmi) == label or vmi.name.startswith(f"{label}."):
        return True
    if label[:1].isdigit() or "--" in label:
        return any(dashed(one) == label.encode("latin-1") for one in (vmi.primary.addresses if vmi.primary else ()))
    return False
