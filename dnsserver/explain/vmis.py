"""One VMI explained: every name that it has, and the one that it should have; no I/O."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from dnsserver.derive.endpoint import dashed
from dnsserver.derive.interfaces import Machine, vmi_label
from dnsserver.derive.vmi import Fact, host_label
from dnsserver.explain.advice import subdomain
from dnsserver.explain.explain import explaining
from dnsserver.explain.looking import Looking, alike, collect
from dnsserver.explain.question import Question
from dnsserver.explain.subject import Served
from dnsserver.explain.values import (
    VERSION,
    Check,
    Explanation,
    NearMiss,
    ObjectRef,
    Step,
    printable,
    printable_fact,
    rule_id,
)
from dnsserver.names import InvalidNameError, Name, from_labels, to_text
from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.records import RRType
from dnsserver.store import Store

_SHOWN = 8  # Services that select one VMI, besides its subdomain's


class VMIExplanation(msgspec.Struct, frozen=True, gc=False):
    """Why a VMI has the names that it has."""

    object: ObjectRef
    resolves: bool  # it has a name
    verdict: str
    names: tuple[Explanation, ...] = ()
    chain: tuple[Step, ...] = ()  # what keeps it from having any name at all
    near_misses: tuple[NearMiss, ...] = ()
    advice: tuple[str, ...] = ()
    version: int = VERSION


def explaining_vmi(all_served: Sequence[Served], namespace: str, name: str, now: float) -> Looking[VMIExplanation]:
    """Explain all names of a VMI in small steps."""
    about = ObjectRef("VirtualMachineInstance", namespace, name)
    stores = [store for served in all_served for store in served.stores if Kind.VMI in store.config.kinds]
    found = next(((store, vmi) for store in stores if (vmi := store.known.vmis.get((namespace, name)))), None)
    if found is None:
        return (yield from _missing(stores, about))
    store, vmi = found
    explanations = []
    for label in _names(store, vmi, now):
        question = Question(to_text(label), label, _type(vmi))
        explanations.append((yield from explaining(all_served, question, now)))
    chain, advice = _without_name(vmi, about)
    resolving = [one.name for one in explanations if one.resolves]
    verdict = f"{about.text} has {_count(len(resolving))}"
    if not resolving:
        first = next((one.verdict for one in explanations), chain[0].facts[0].text if chain else "")
        verdict += f": {first}"
    return VMIExplanation(about, bool(resolving), printable(verdict), tuple(explanations), chain, advice=advice)


def _count(number: int) -> str:
    """Return a number of names in words."""
    return f"{number} name{'' if number == 1 else 's'}" if number else "no name that resolves"


def _type(vmi: VirtualMachineInstance) -> int:
    """Return the address type to ask for: AAAA of a VMI that has IPv6 addresses alone."""
    sizes = {len(one) for one in (vmi.primary.addresses if vmi.primary else ())}
    return RRType.AAAA if sizes == {16} else RRType.A


def _names(store: Store, vmi: VirtualMachineInstance, now: float) -> Iterator[Name]:
    """Yield the names that a VMI should have: its host name, below other Services that of each address, and of itself.

    The last are those of the option `interfaces`.
    """
    below = (vmi.namespace.encode(), b"svc")
    others = [one for one in store.known.selectors.services(vmi) if one != vmi.subdomain]
    for origin in store.config.zones:
        if vmi.subdomain:
            host = (host_label(vmi), *vmi.subdomain.split("."))
            yield from _name(origin, *(one.encode() for one in host), *below)
        for service in sorted(others)[:_SHOWN]:
            for address in vmi.primary.addresses if vmi.primary else ():
                yield from _name(origin, dashed(address), service.encode(), *below)
    interfaces, machine = store.config.interfaces, store.machine(vmi.key, now)
    for origin in interfaces.zones if interfaces is not None else ():
        own = (vmi_label(vmi.name), vmi.namespace.encode())
        yield from _name(origin, *own)
        for label, _ in machine.interfaces if isinstance(machine, Machine) else ():
            yield from _name(origin, label, *own)


def _name(origin: Name, *parts: bytes) -> Iterator[Name]:
    """Yield a name below an origin; nothing where the DNS cannot carry it."""
    with suppress(InvalidNameError):
        yield from_labels(parts, origin)


def _without_name(vmi: VirtualMachineInstance, about: ObjectRef) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return what there is to say of a VMI without a subdomain."""
    if vmi.subdomain:
        return (), ()
    fact = Fact("spec.subdomain", "the name of a headless Service", None)
    step = Step(rule_id(Check.SUBDOMAIN), False, Check.SUBDOMAIN.value, about, (fact,))
    return (step,), (subdomain(vmi, "<name of a headless Service>"),)


def _missing(stores: Sequence[Store], about: ObjectRef) -> Looking[VMIExplanation]:
    """Return what there is instead of a VMI that is not there."""
    near = []
    readable = any(store.known.reads_vmis for store in stores)
    for store in stores:
        vmis = store.known.vmis
        elsewhere = yield from collect(vmis.namespaces(), lambda one: vmis.get((one, about.name)) is not None)  # noqa: B023 -- it is used up at once
        near += [NearMiss(printable(f"there is a VMI {one}/{about.name}")) for one in elsewhere[:_SHOWN]]
        similar = yield from alike(vmis.in_namespace(about.namespace), about.name)
        near += [NearMiss(printable(f"there is a VMI {about.namespace}/{one}")) for one in similar]
    notes = () if readable else ("VirtualMachineInstances are not served by the API server, or may not be read",)
    fact = printable_fact(Fact(about.kind, f"{about.namespace}/{about.name}", None))
    step = Step(rule_id(Check.VMI), False, "the VirtualMachineInstance is there", about, (fact,), notes)
    advice = (f"start the VM: only one that runs has a VMI (virtctl -n {about.namespace} start {about.name})",)
    verdict = printable(f"there is no {about.text}")
    return VMIExplanation(about, False, verdict, (), (step,), tuple(near), tuple(map(printable, advice)))
