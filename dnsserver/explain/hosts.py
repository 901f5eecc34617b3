"""`<host>.<service>.<namespace>.svc.<zone>`: a VMI's own name, or another endpoint's; no I/O."""

from collections.abc import Iterator
from ipaddress import ip_address

from dnsserver.derive.vmi import Fact, Rule, facts, host_label, unselected
from dnsserver.explain.advice import advice, create_service, subdomain
from dnsserver.explain.candidates import Candidates, find_candidates
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, below, collect
from dnsserver.explain.scope import explain_namespace, explain_service
from dnsserver.explain.similar import COMPARED, plausible, similar
from dnsserver.explain.slices import explain_slice_endpoints, explain_unpublished_endpoints
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.names import Name
from dnsserver.objects import Kind, Service, VirtualMachineInstance

_SHOWN = 3  # VMIs of one name whose chains are told in full
_NOT_READY = (Rule.DELETING, Rule.READY)  # the rules that publishNotReadyAddresses takes out
_UNREAD = "VirtualMachineInstances are not served by the API server, or may not be read"


def explain_host(draft: Draft, label: str, service: str, namespace: str) -> Looking[None]:
    """Explain a name right below a Service's."""
    if not (yield from explain_namespace(draft, namespace)):
        return
    found = yield from find_candidates(draft, label, service, namespace)
    if found.vmis or found.slices:
        yield from _explain_existing(draft, found, label, service, namespace)
        return
    if found.others:
        yield from _explain_refused(draft, found, label, service, namespace)
        return
    there = yield from explain_service(draft, namespace, service, create_service(namespace, service))
    if there is not None and (yield from explain_unpublished_endpoints(draft, there, label)):
        return
    yield from _explain_missing(draft, label, namespace)


def _explain_existing(draft: Draft, found: Candidates, label: str, service: str, namespace: str) -> Looking[None]:
    """Explain where the records of a name that exists come from."""
    for vmi in found.vmis[:_SHOWN]:
        yield from explain_vmi_under(draft, vmi, label, service)
    if len(found.vmis) > _SHOWN:
        draft.passed(Check.VMI, f"so do {len(found.vmis) - _SHOWN} further VMIs of this host name")
    there = draft.known.services.get((namespace, service))
    if there is not None and found.slices:
        if not found.vmis:
            yield from explain_service(draft, namespace, service)
        explain_slice_endpoints(draft, found.slices, label, there)
    for vmi in found.others[:_SHOWN]:
        entry = draft.place.store.entry((namespace, service))
        refused = entry.refused.get(vmi.name) if entry is not None else None
        if refused is not None and vmi.subdomain == service:
            draft.near(f"VMI {namespace}/{vmi.name} has the same host name, and is left out: {refused.detail}")


def _explain_refused(draft: Draft, found: Candidates, label: str, service: str, namespace: str) -> Looking[None]:
    """Explain why the likeliest VMI has not got the name; the others are near misses."""
    first, *others = found.others
    yield from explain_vmi_under(draft, first, label, service)
    for vmi in others:
        where = f", subdomain {vmi.subdomain}" if vmi.subdomain else ", and no subdomain"
        draft.near(f"VMI {namespace}/{vmi.name} has the host name {host_label(vmi)}{where}", published_name(draft, vmi))


def explain_vmi_under(draft: Draft, vmi: VirtualMachineInstance, label: str, service: str) -> Looking[None]:
    """Tell rule by rule whether a VMI has a name below a Service, up to the first that refuses."""
    about = ObjectRef("VirtualMachineInstance", vmi.namespace, vmi.name)
    host = host_label(vmi)
    entry = draft.place.store.entry((vmi.namespace, service))
    dashes = entry is not None and host != label and vmi.subdomain != service
    if dashes or (label[:1].isdigit() and host != label and vmi.name != label):
        if not _explain_dashed(draft, vmi, about, service):
            return
    elif not _explain_label(draft, vmi, about, label, service):
        return
    there = yield from explain_service(draft, vmi.namespace, service, create_service(vmi.namespace, service))
    if there is not None:
        explain_rules(draft, vmi, there)


def _explain_label(draft: Draft, vmi: VirtualMachineInstance, about: ObjectRef, label: str, service: str) -> bool:
    """Say whether a VMI has the host name, and the Service for its subdomain."""
    host, source = host_label(vmi), "spec.hostname" if vmi.hostname else "metadata.name"
    if host != label:
        fact = Fact(source, label, host)
        draft.refused(Check.HOST_NAME, about=about, facts=(fact,), advice=_ask_instead(draft, vmi, host))
        return False
    draft.passed(Check.VMI, about=about, facts=(Fact(source, label, host),))
    fact = Fact("spec.subdomain", service, vmi.subdomain or None)
    if vmi.subdomain != service:
        draft.refused(Check.SUBDOMAIN, about=about, facts=(fact,))
        if (name := published_name(draft, vmi)) is not None:
            draft.near(f"VMI {vmi.namespace}/{vmi.name} has its name below Service {vmi.subdomain}", name)
        draft.advise(subdomain(vmi, service))
        return False
    draft.passed(Check.SUBDOMAIN, about=about, facts=(fact,))
    return True


def _explain_dashed(draft: Draft, vmi: VirtualMachineInstance, about: ObjectRef, service: str) -> bool:
    """Say whether a VMI is below a Service by its address alone: one with the Service for its subdomain is not."""
    if vmi.subdomain == service:
        fact = Fact("name of the VMI's endpoint", "its address with dashes", host_label(vmi))
        draft.refused(Check.HOST_NAME, about=about, facts=(fact,), advice=_ask_instead(draft, vmi, host_label(vmi)))
        return False
    draft.passed(Check.VMI, "the VMI's subdomain names no such Service: its address stands for it", about=about)
    return True


def _ask_instead(draft: Draft, vmi: VirtualMachineInstance, host: str) -> str:
    """Note the name that a VMI really has, and return the advice to ask for that."""
    name = published_name(draft, vmi)
    if name is None:
        return f"ask for {host} in place of it" if vmi.subdomain else ""
    draft.near(f"VMI {vmi.namespace}/{vmi.name} has the host name {host}", name)
    return ""


def published_name(draft: Draft, vmi: VirtualMachineInstance) -> Name | None:
    """Return the name that a VMI's spec asks for, if it exists."""
    name = below(draft, host_label(vmi), vmi.subdomain, vmi.namespace, "svc") if vmi.subdomain else None
    return name if name is not None and draft.exists(name) else None


def explain_rules(draft: Draft, vmi: VirtualMachineInstance, service: Service) -> None:
    """Tell every rule that a VMI was put to under a Service, up to the one that refused."""
    entry = draft.place.store.entry(service.key)
    refused = (entry.refused.get(vmi.name) if entry is not None else None) or unselected(vmi, service)
    about = ObjectRef("VirtualMachineInstance", vmi.namespace, vmi.name)
    where = ObjectRef("Service", service.namespace, service.name)
    for rule in Rule:
        one = where if rule is Rule.HEADLESS else about
        if refused is not None and refused.rule is rule:
            draft.refused(rule, about=one, facts=refused.facts, advice=advice(rule, vmi, service))
            return
        draft.passed(rule, about=one, facts=facts(rule, vmi, service), notes=_notes(draft, vmi, service, rule))


def _notes(draft: Draft, vmi: VirtualMachineInstance, service: Service, rule: Rule) -> Iterator[str]:
    """Yield what lets a rule pass that would not have otherwise, and until when."""
    observation = draft.known.observations.get(vmi.key)
    if (
        rule in _NOT_READY
        and service.publish_not_ready
        and any(one.found != one.wanted for one in facts(rule, vmi, service))
    ):
        yield "not asked: the Service has publishNotReadyAddresses: true"
    elif rule is Rule.READY and not vmi.ready.status and observation.grace_until is not None:
        left = max(0.0, observation.grace_until - draft.now)
        yield f"the hand-over of its migration excuses that for {left:.0f} s more (migration_grace)"
    if rule is Rule.ADDRESS:
        entry = draft.place.store.entry(service.key)
        yield from entry.notes(vmi.name) if entry is not None else ()
        for held in observation.held_of():
            addresses = ", ".join(str(ip_address(one)) for one in held.addresses)
            yield f"{addresses} stays for {max(0.0, held.until - draft.now):.0f} s more (address_hold)"


def _explain_missing(draft: Draft, label: str, namespace: str) -> Looking[None]:
    """Say that no VMI has a host name, and which have one like it."""
    known, config = draft.known, draft.place.store.config
    fact = Fact(f"VirtualMachineInstance in namespace {namespace}", f"one with the host name {label}", None)
    text = f"no VirtualMachineInstance in namespace {namespace} has the host name {label}"
    if Kind.VMI not in config.kinds:
        draft.refused(Check.VMI, text, facts=(fact,), notes=("the option `kubevirt off` leaves VMIs out",))
        return
    draft.refused(Check.VMI, text, facts=(fact,), notes=() if known.reads_vmis else (_UNREAD,))
    for other in known.vmis.namespaces():
        vmi = known.vmis.get((other, label)) if other != namespace else None
        if vmi is not None:
            draft.near(f"there is a VMI {other}/{label} in another namespace", published_name(draft, vmi))
    yield
    vmis = known.vmis.in_namespace(namespace).values()
    close = yield from collect(vmis, lambda one: bool(one.subdomain) and plausible(host_label(one), label))
    hosts = {host_label(vmi): vmi for vmi in close[:COMPARED]}
    for host in similar(hosts, label):
        vmi = hosts[host]
        draft.near(f"VMI {namespace}/{vmi.name} has the host name {host}", published_name(draft, vmi))
