"""`<vmi>.<namespace>.<zone>` and `<interface>.<vmi>.<namespace>.<zone>`: names without any Service; no I/O.

The store keeps no refusals of these: the rule that names a VMI's interfaces is asked again, of one VMI.
"""

from contextlib import suppress
from ipaddress import ip_address

from dnsserver.derive.interfaces import InterfaceRule, Machine, Unnamed, interface_label, vmi_label
from dnsserver.derive.vmi import Fact, Rule, state_facts
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, alike, below, collect
from dnsserver.explain.scope import explain_namespace
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.names import InvalidNameError, from_labels, to_text
from dnsserver.objects import VirtualMachineInstance

_STATE = (Rule.PHASE, Rule.DELETING, Rule.READY)


def explain_machine(draft: Draft) -> Looking[None]:
    """Explain a name of a zone of `interfaces`."""
    match [label.decode("latin-1") for label in draft.place.labels]:
        case [namespace]:
            if draft.place.zone.node(draft.place.name) is not None:  # a namespace exists by what is below it alone
                draft.passed(Check.NAME, "the name server's name")
            elif (yield from explain_namespace(draft, namespace)):
                _explain_shape(draft, namespace)
        case [vmi, namespace]:
            yield from _explain_vmi(draft, "", vmi, namespace)
        case [interface, vmi, namespace]:
            yield from _explain_vmi(draft, interface, vmi, namespace)
        case [*above, namespace] as parts:
            _explain_shape(draft, ".".join(parts))
            _note_dots(draft, above, namespace)


def _explain_vmi(draft: Draft, interface: str, vmi: str, namespace: str) -> Looking[None]:
    """Explain a VMI's own name, or that of one of its interfaces."""
    if not (yield from explain_namespace(draft, namespace)):
        return
    found = yield from _find(draft, vmi, namespace)
    if found is None:
        fact = Fact(f"VirtualMachineInstance in namespace {namespace}", vmi, None)
        draft.refused(Check.VMI, f"there is no VirtualMachineInstance {namespace}/{vmi}", facts=(fact,))
        for other in (yield from alike(draft.known.vmis.in_namespace(namespace), vmi)):
            draft.near(f"there is a VMI {namespace}/{other}", below(draft, vmi_label(other).decode(), namespace))
        _note_dots(draft, [interface, vmi], namespace)
        return
    about = ObjectRef("VirtualMachineInstance", namespace, found.name)
    draft.passed(Check.VMI, "the VirtualMachineInstance is there", about=about)
    machine = draft.place.store.machine(found.key, draft.now)
    if machine is not None and _explain_state(draft, found, about, machine) and isinstance(machine, Machine):
        _explain_interface(draft, found, about, machine, interface)


def _explain_shape(draft: Draft, text: str) -> None:
    """Say whether a name exists by what is below it; other shapes are no names."""
    if draft.exists(draft.place.name):
        draft.passed(Check.NAME, "names of VMIs are below it")
        return
    draft.refused(Check.NAME, facts=(Fact("name", "<vmi>.<namespace> or <interface>.<vmi>.<namespace>", text),))


def _note_dots(draft: Draft, above: list[str], namespace: str) -> None:
    """Point to a VMI whose name has dots, which are several labels elsewhere (KubeSecondaryDNS), and here are one."""
    for count in (0, 1):  # labels of an interface in front
        vmi = ".".join(above[count:])
        if "." in vmi and draft.known.vmis.get((namespace, vmi)) is not None:
            label = vmi_label(vmi).decode()
            name = below(draft, *above[:count], label, namespace)
            draft.near(f"VMI {namespace}/{vmi} has one label here: {label}", name)


def note_own_zone(draft: Draft) -> None:
    """Point to a VMI's name that needs no Service where it was asked for below Services."""
    interfaces, labels = draft.place.store.config.interfaces, draft.place.labels
    above = labels[:-1] if labels[-1:] == (b"svc",) else labels
    for origin in interfaces.zones if interfaces is not None and len(above) in (2, 3) else ():
        with suppress(InvalidNameError):
            if draft.exists(name := from_labels(above, origin)):
                draft.near(f"names of VMIs that need no Service are in {to_text(origin)}", name)


def _find(draft: Draft, label: str, namespace: str) -> Looking[VirtualMachineInstance | None]:
    """Return the VMI that a label stands for."""
    vmis = draft.known.vmis.in_namespace(namespace)
    wire = label.encode("latin-1")
    direct = vmis.get(label)
    if direct is not None and vmi_label(label) == wire:
        return direct
    return next(iter((yield from collect(vmis.values(), lambda one: vmi_label(one.name) == wire))), None)


def _explain_state(draft: Draft, vmi: VirtualMachineInstance, about: ObjectRef, machine: Machine | Unnamed) -> bool:
    """Tell the rules about the VMI itself; say whether none refused."""
    refused = machine if isinstance(machine, Unnamed) else None
    if refused is not None and refused.rule not in _STATE:
        draft.refused(refused.rule, about=about, facts=refused.facts)
        return False
    for rule in _STATE:
        if refused is not None and refused.rule is rule:
            draft.refused(rule, about=about, facts=refused.facts)
            return False
        draft.passed(rule, about=about, facts=state_facts(rule, vmi))
    return True


def _explain_interface(
    draft: Draft, vmi: VirtualMachineInstance, about: ObjectRef, machine: Machine, interface: str
) -> None:
    """Tell the addresses of a VMI's interface, or of the primary one."""
    if not interface:
        _explain_addresses(draft, about, "addresses", machine.addresses, machine.notes)
        return
    wire = interface.encode("latin-1")
    addresses = next((some for label, some in machine.interfaces if label == wire), None)
    unnamed = next((why for network, why in machine.unnamed if interface_label(network) == wire), None)
    if addresses is not None:
        _explain_addresses(draft, about, f"addresses of {interface}", addresses, machine.notes)
        return
    if unnamed is not None:
        draft.refused(unnamed.rule, about=about, facts=unnamed.facts)
        return
    names = [label.decode() for label, _ in machine.interfaces]
    draft.refused(InterfaceRule.LABEL, about=about, facts=(Fact("interface", interface, ", ".join(names) or None),))
    for name in names:
        draft.near(f"the VMI has an interface {name}", below(draft, name, vmi_label(vmi.name).decode(), vmi.namespace))


def _explain_addresses(
    draft: Draft, about: ObjectRef, what: str, addresses: tuple[bytes, ...], notes: tuple[str, ...]
) -> None:
    """Tell the addresses of a name, or that there are none."""
    text = ", ".join(str(ip_address(one)) for one in addresses)
    fact = Fact(what, "IPv4 or IPv6", text or None)
    if text:
        draft.passed(InterfaceRule.ADDRESS, about=about, facts=(fact,), notes=notes)
    else:
        draft.refused(InterfaceRule.ADDRESS, about=about, facts=(fact,), notes=notes)
