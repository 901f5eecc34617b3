"""Reverse names: which names an address has, or would have; no I/O."""

from ipaddress import ip_address

from dnsserver.derive.vmi import Fact
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, collect
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.names import Name, is_at_or_below, labels, reverse_address, to_text
from dnsserver.objects import VirtualMachineInstance
from dnsserver.records import RRType

_SHOWN = 3


def explain_reverse(draft: Draft) -> Looking[None]:
    """Explain a name of a reverse zone."""
    address = reverse_address(draft.place.name)
    if address is None:
        fact = Fact("reverse name", "one of a whole address", f"{len(draft.place.labels)} labels of one")
        if draft.exists(draft.place.name):
            draft.passed(Check.NAME, "names of addresses are below it")
        else:
            draft.refused(Check.NAME, facts=(fact,))
        return
    text = str(ip_address(address))
    found = next((one for one in draft.place.zone.rrsets(draft.place.name) or () if one.rrtype == RRType.PTR), None)
    if found is not None:
        draft.passed(Check.OWNER, facts=(Fact(f"names with the address {text}", "any", str(len(found.rdatas))),))
        for rdata in found.rdatas[:_SHOWN]:
            _explain_target(draft, Name(rdata.lower()))
        return
    draft.refused(
        Check.OWNER,
        f"no published name has the address {text}",
        facts=(Fact(f"names with the address {text}", "any", None),),
    )
    yield from _who_has(draft, address)


def _explain_target(draft: Draft, target: Name) -> None:
    """Tell whose name a PTR record leads to."""
    text = f"{to_text(target)} has it"
    origin = draft.place.store.config.zones[0]  # where PTR records lead, but for those of the option `interfaces`
    parts = labels(Name(target[: len(target) - len(origin)] + b"\0")) if is_at_or_below(target, origin) else ()
    if len(parts) < 3:
        draft.passed(Check.OWNER, text)
        return
    service, namespace = (label.decode("latin-1") for label in parts[-3:-1])
    about = ObjectRef(draft.place.store.config.service_kind.value, namespace, service)
    draft.passed(Check.SERVICE, text, about=about)


def _who_has(draft: Draft, address: bytes) -> Looking[None]:
    """Tell which VMIs report an address and yet are not found by it."""
    text = str(ip_address(address))
    vmis = yield from collect(draft.known.vmis, lambda vmi: _reports(vmi, address, text))
    for vmi in vmis[:_SHOWN]:
        why = _why(draft, vmi, text)
        draft.near(f"VMI {vmi.namespace}/{vmi.name} reports {text}: {why}")
    for namespace, name in draft.known.pod_addresses.pods(address)[:_SHOWN]:
        draft.near(f"Pod {namespace}/{name} has {text}, and no Service has the pod")
    if vmis:
        one = vmis[0]
        draft.advise(f"see why it has no name: dnsserver explain vmi/{one.name} -n {one.namespace}")


def _reports(vmi: VirtualMachineInstance, address: bytes, text: str) -> bool:
    """Say whether a VMI's status has an address on its primary network, usable or not."""
    primary = vmi.primary
    return primary is not None and (address in primary.addresses or any(one == text for one, _ in primary.dropped))


def _why(draft: Draft, vmi: VirtualMachineInstance, text: str) -> str:
    """Return why a VMI is not found by an address that it reports."""
    dropped = next((why for one, why in (vmi.primary.dropped if vmi.primary else ()) if one == text), "")
    if dropped:
        return f"never published ({dropped})"
    services = draft.known.selectors.services(vmi)
    for name in services:
        entry = draft.place.store.entry((vmi.namespace, name))
        refused = entry.refused.get(vmi.name) if entry is not None else None
        if refused is not None:
            return refused.detail
    return "its Services have another address of it" if services else "no headless Service selects it"
