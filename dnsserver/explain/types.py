"""A name that exists, and has no record of the type that was asked for; no I/O."""

from collections.abc import Iterable
from ipaddress import ip_address

from dnsserver.derive.vmi import Fact
from dnsserver.explain.draft import Draft
from dnsserver.explain.values import Check
from dnsserver.objects import VirtualMachineInstance
from dnsserver.records import RRType
from dnsserver.wire import type_to_text

_FAMILY = {RRType.A: 4, RRType.AAAA: 6}


def explain_type(draft: Draft, there: Iterable[int]) -> None:
    """Say which types a name has, those that are `there`; for an address, why there is none of that family."""
    wanted = type_to_text(draft.qtype)
    types = ", ".join(map(type_to_text, there))
    family = _FAMILY.get(RRType(draft.qtype)) if draft.qtype in _FAMILY else None
    facts = [Fact("types of records at this name", wanted, types or None)]
    notes = []
    if not types:
        notes.append("the name exists because others are below it: NODATA, and not NXDOMAIN (RFC 8020)")
    elif family is not None:
        facts += _family_facts(draft, family)
    text = f"the name has no record of type {wanted}"
    draft.refused(Check.TYPE, text, facts=facts, notes=notes + _left_out(draft) if family is not None else notes)


def _left_out(draft: Draft) -> list[str]:
    """Return how the VMIs of a name are published otherwise than their status says."""
    return [note for step in draft.steps for note in step.notes if note.startswith("IPv")]


def _family_facts(draft: Draft, family: int) -> list[Fact]:
    """Return why the VMIs and the Service of a name have no address of a family."""
    found: list[Fact] = []
    for about in dict.fromkeys(step.object for step in draft.steps if step.object is not None):
        if about.kind == "Service":
            service = draft.known.services.get((about.namespace, about.name))
            if service is not None and service.headless and family not in service.families:
                served = ", ".join(f"IPv{one}" for one in sorted(service.families))
                found.append(Fact(f"spec.ipFamilies of {about.text}", f"IPv{family}", served))
                draft.advise(f"have {about.text} serve IPv{family} too (spec.ipFamilies), if its endpoints have it")
        elif about.kind == "VirtualMachineInstance":
            vmi = draft.known.vmis.get((about.namespace, about.name))
            if vmi is not None and not _has(vmi, family):
                found.append(Fact(f"addresses of {about.text}", f"IPv{family}", _reported(vmi)))
    return found


def _has(vmi: VirtualMachineInstance, family: int) -> bool:
    """Say whether a VMI reports an address of a family that can be used."""
    size = 4 if family == 4 else 16
    return vmi.primary is not None and any(len(one) == size for one in vmi.primary.addresses)


def _reported(vmi: VirtualMachineInstance) -> str | None:
    """Return what a VMI reports on its primary network."""
    if vmi.primary is None:
        return None
    usable = [str(ip_address(one)) for one in vmi.primary.addresses]
    return ", ".join([*usable, *(f"{text} ({why})" for text, why in vmi.primary.dropped)]) or None
