"""`<service>.<namespace>.svc.<zone>`, and the names of its ports; no I/O."""

from ipaddress import ip_address
from itertools import islice

from dnsserver.derive.service import publishes_itself
from dnsserver.derive.vmi import Fact, host_label
from dnsserver.explain.draft import Draft
from dnsserver.explain.hosts import published_name
from dnsserver.explain.looking import Looking, alike, below, collect
from dnsserver.explain.scope import explain_namespace, explain_service
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.objects import Service

_SHOWN = 3


def explain_service_name(draft: Draft, service: str, namespace: str) -> Looking[None]:
    """Explain a Service's own name."""
    if not (yield from explain_namespace(draft, namespace)):
        yield from _one_label_short(draft, service, namespace)
        return
    there = yield from explain_service(draft, namespace, service)
    if there is None:
        yield from _is_a_vmi(draft, service, namespace)
        return
    if _explain_published(draft, there):
        yield from _explain_endpoints(draft, there)


def _explain_published(draft: Draft, service: Service) -> bool:
    """Say whether a Service has a name for what it is."""
    about = ObjectRef(draft.place.store.config.service_kind.value, service.namespace, service.name)
    if draft.place.store.config.kubevirt == "only" and not service.headless:
        fact = Fact("spec.clusterIP", "None, with `kubevirt only`", _reached_by(service))
        draft.refused(Check.PUBLISHED, about=about, facts=(fact,), advice="ask the cluster's own DNS for this name")
        return False
    if service.headless:
        return True
    fact = Fact("spec.clusterIP or spec.externalName", "one", _reached_by(service))
    if not publishes_itself(service):
        draft.refused(Check.PUBLISHED, about=about, facts=(fact,))
        return False
    draft.passed(Check.PUBLISHED, about=about, facts=(fact,))
    return draft.place.store.config.ignore_empty and bool(service.cluster_ips)


def _reached_by(service: Service) -> str | None:
    """Return the addresses, or the alias, that a Service has."""
    if service.external_name:
        return service.external_name
    return ", ".join(str(ip_address(one)) for one in service.cluster_ips) or None


def _explain_endpoints(draft: Draft, service: Service) -> Looking[None]:
    """Say whether a Service has endpoints; which VMIs are refused where it has none."""
    entry = draft.place.store.entry(service.key)
    about = ObjectRef(draft.place.store.config.service_kind.value, service.namespace, service.name)
    yield
    vmis = len(entry.published_vmis) if entry is not None else 0
    slices = len(entry.slices) if entry is not None else 0
    if entry is not None and (entry.has_ready if service.cluster_ips else vmis or slices):
        found = f"{vmis} of VMIs, and those of {slices} EndpointSlices" if slices else f"{vmis} of VMIs"
        draft.passed(Check.ENDPOINTS, about=about, facts=(Fact("endpoints", "any", found),))
        return
    refused = entry.refused if entry is not None else {}
    notes = [f"VMI {service.namespace}/{name}: {one.detail}" for name, one in islice(refused.items(), _SHOWN)]
    if len(refused) > _SHOWN:
        notes.append(f"and {len(refused) - _SHOWN} further VMIs that it selects")
    if not service.selector:
        notes.append("it has no selector, and so selects nothing")
    text = f"{about.text} has no endpoint that is ready"
    draft.refused(Check.ENDPOINTS, text, about=about, facts=(Fact("endpoints", "any", None),), notes=notes)


def explain_port(draft: Draft, port: str, protocol: str, service: str, namespace: str) -> Looking[None]:
    """Explain `_port._protocol.<service>`, or what may have been meant by it."""
    if not (yield from explain_namespace(draft, namespace)):
        return
    there = yield from explain_service(draft, namespace, service)
    if there is None:
        return
    about = ObjectRef(draft.place.store.config.service_kind.value, namespace, service)
    entry = draft.place.store.entry(there.key)
    endpoints = entry.endpoints if entry is not None and there.headless else ()
    ports = {(one.name, one.protocol.lower()) for one in there.ports}
    found = yield from collect(endpoints, lambda one: bool(one.ports))
    ports |= {(one.name, one.protocol.lower()) for endpoint in found[:_SHOWN] for one in endpoint.ports}
    spelled = ", ".join(f"_{name}._{kind}" for name, kind in sorted(ports) if name)
    wanted = ".".join(f"_{one.removeprefix('_')}" for one in (port, protocol) if one)
    fact = Fact("named port", wanted, spelled or None)
    if draft.exists(draft.place.name):
        draft.passed(Check.PORT, about=about, facts=(fact,))
        return
    draft.refused(
        Check.PORT,
        f"{about.text} has no port {fact.wanted}",
        about=about,
        facts=(fact,),
        advice=_port_advice(there, spelled),
    )
    if there.headless:
        yield from _explain_endpoints(draft, there)


def _port_advice(service: Service, spelled: str) -> str:
    """Return what to do about a port that is not there."""
    if spelled:
        return f"ask for one of {spelled}"
    return f"give the ports of Service {service.namespace}/{service.name} names: without one they have no SRV records"


def _is_a_vmi(draft: Draft, name: str, namespace: str) -> Looking[None]:
    """Point to a VMI where its name was asked for without its subdomain."""
    vmi = draft.known.vmis.get((namespace, name))
    vmis = [vmi] if vmi is not None else []
    if vmi is None:
        vmis = yield from collect(draft.known.vmis.in_namespace(namespace).values(), lambda one: one.hostname == name)
    for one in vmis[:_SHOWN]:
        if one.subdomain:
            text = f"VMI {namespace}/{one.name} has its name below its subdomain {one.subdomain}"
            draft.near(text, published_name(draft, one))
            draft.advise(f"ask for {host_label(one)}.{one.subdomain}.{namespace}")
        else:
            draft.near(f"there is a VMI {namespace}/{one.name}, which has no spec.subdomain and so no name")


def _one_label_short(draft: Draft, first: str, second: str) -> Looking[None]:
    """Point to `first.second.<namespace>` where the namespace was left out."""
    for namespace in (yield from collect(draft.known.services.namespaces(), bool)):
        if draft.known.services.get((namespace, second)) is None:
            continue
        name = below(draft, first, second, namespace, "svc")
        if name is not None and draft.exists(name):
            draft.near(f"Service {namespace}/{second} has an endpoint {first}: the namespace is missing", name)
    for other in (yield from alike(draft.known.services.in_namespace(second), first)):
        draft.near(f"there is a Service {second}/{other}", below(draft, other, second, "svc"))
