"""Names that are no Service's and no endpoint's: apexes, namespaces, pods, zonal ones, and what is below too much."""

from dnsserver.derive.vmi import Fact, host_label
from dnsserver.explain.draft import Draft
from dnsserver.explain.hosts import published_name
from dnsserver.explain.looking import Looking, below, collect
from dnsserver.explain.scope import explain_namespace, explain_service
from dnsserver.explain.values import Check, ObjectRef, rule_id
from dnsserver.names import MAX_NAME, Name, is_dns1123_label, label_to_text, to_text
from dnsserver.objects.views import packed

_FIXED = {
    (): "the zone's own name",
    (b"svc",): "Services are below it",
    (b"pod",): "pods are below it",
    (b"dns-version",): "which version of the specification the zone follows",
    (b"dns",): "the name server's name is below it",
    (b"ns", b"dns"): "the name server's name, where no Service leads to this server",
}


def explain_fixed(draft: Draft) -> bool:
    """Explain a name that a zone always has; say whether this is one."""
    text = _FIXED.get(draft.place.labels)
    if text is None or not draft.exists(draft.place.name):
        return False
    draft.passed(Check.NAME, text)
    return True


def explain_unknown(draft: Draft) -> Looking[None]:
    """Explain a name of a shape that no rule makes."""
    origin = to_text(draft.place.zone.origin)
    shapes = f"<name>.<namespace>.svc.{origin}, <host>.<service>.<namespace>.svc.{origin}"
    text = ".".join(map(label_to_text, draft.place.labels))
    draft.refused(Check.NAME, facts=(Fact("name", shapes, text),), advice="spell the name out to the zone's own name")
    parts = [label.decode("latin-1") for label in draft.place.labels]
    name = below(draft, *parts, "svc")
    if name is not None and draft.exists(name):
        draft.near("the label svc is missing", name)
    yield


def explain_too_deep(draft: Draft, above: list[str], service: str, namespace: str) -> Looking[None]:
    """Explain a name below an endpoint's: what a resolver makes of any name by its search path."""
    if not (yield from explain_namespace(draft, namespace)):
        return
    dotted = ".".join((*above[1:], service))
    vmis = yield from collect(
        draft.known.vmis.in_namespace(namespace).values(),
        lambda one: one.subdomain == dotted and above[0] in (host_label(one), one.name),
    )
    for vmi in vmis[:1]:
        about = ObjectRef("VirtualMachineInstance", namespace, vmi.name)
        fact = Fact("spec.subdomain", "a DNS label", vmi.subdomain)
        advice = "give the VMI a subdomain without dots: KubeVirt takes one with dots, but no pod can have it"
        draft.refused(Check.SUBDOMAIN, about=about, facts=(fact,), advice=advice)
        return
    if (yield from explain_service(draft, namespace, service)) is None and not draft.place.store.config.imported:
        return
    name = below(draft, above[-1], service, namespace, "svc")
    fact = Fact("labels in front of the Service's name", "one", str(len(above)))
    draft.refused(Check.NAME, "nothing is below the name of an endpoint", facts=(fact,))
    if name is not None and draft.exists(name):
        draft.near("the name above it exists", name)
    whole = yield from collect(
        draft.known.vmis.in_namespace(namespace).values(), lambda one: one.name == ".".join(above)
    )
    for vmi in whole[:1]:
        draft.near(f"VMI {namespace}/{vmi.name} is called {host_label(vmi)} in the DNS", published_name(draft, vmi))


def explain_zonal(draft: Draft) -> Looking[None]:
    """Explain a name of the endpoints in one topology zone."""
    shape = "<zone>.<pin or prefer>._zone.<headless Service>"
    if draft.exists(draft.place.name):
        draft.passed(Check.NAME, f"the endpoints in one topology zone: {shape}")
    elif not draft.place.store.config.zonal:
        draft.refused(Check.NAME, facts=(Fact("option zonal", "set", None),), advice="set the option `zonal`")
    else:
        text = ".".join(map(label_to_text, draft.place.labels))
        draft.refused(Check.NAME, facts=(Fact("name", shape, text),))
    yield


def explain_pod(draft: Draft, label: str, namespace: str) -> Looking[None]:
    """Explain `<address with dashes>.<namespace>.pod.<zone>`."""
    mode = draft.place.store.config.pods
    fact = Fact("option pods", "insecure or verified", mode)
    if mode == "disabled":
        draft.refused(
            Check.PODS,
            "pods have no names here",
            facts=(fact,),
            advice="set the option `pods verified`, or insecure, if it is wanted",
        )
        return
    draft.passed(Check.PODS, facts=(fact,))
    if not (yield from explain_namespace(draft, namespace)):
        return
    address = _address(label)
    if address is None:
        draft.refused(Check.OWNER, facts=(Fact("label", "an address with dashes for its dots or colons", label),))
        return
    pods = [key for key in draft.known.pod_addresses.pods(address) if key[0] == namespace]
    if pods or draft.exists(draft.place.name):
        about = ObjectRef("Pod", *pods[0]) if pods else None
        draft.passed(Check.OWNER, "" if pods else "any address has a name (pods insecure)", about=about)
        return
    text = f"no pod in namespace {namespace} has the address"
    draft.refused(
        Check.OWNER, text, facts=(Fact(f"pod in namespace {namespace}", f"one with the address {label}", None),)
    )
    for other, name in draft.known.pod_addresses.pods(address)[:1]:
        draft.near(f"Pod {other}/{name} has the address", below(draft, label, other, "pod"))


def _address(label: str) -> bytes | None:
    """Return the address that a pod's label spells."""
    return packed(label.replace("-", "." if label.count("-") == 3 and "--" not in label else ":"))


def explain_namespace_name(draft: Draft, namespace: str, kind: str) -> Looking[None]:
    """Explain `<namespace>.svc.<zone>`, or `.pod.`: it exists, and has no records."""
    if (yield from explain_namespace(draft, namespace)) and draft.exists(draft.place.name):
        draft.passed(Check.NAME, "names of this namespace are below it; it has no records of its own")
        return
    if kind == "pod" and draft.place.store.config.pods == "disabled":
        draft.refused(Check.PODS, facts=(Fact("option pods", "insecure or verified", "disabled"),))
    for other in (yield from collect(draft.known.services.namespaces(), bool)):
        if draft.known.services.get((other, namespace)) is not None:
            text = f"there is a Service {other}/{namespace}: its namespace is missing"
            draft.near(text, below(draft, namespace, other, "svc"))
    vmis = yield from collect(draft.known.vmis.namespaces(), lambda one: bool(draft.known.vmis.get((one, namespace))))
    for other in vmis:
        vmi = draft.known.vmis.get((other, namespace))
        if vmi is not None:
            draft.near(f"there is a VMI {other}/{namespace}", published_name(draft, vmi))


def note_search_path(draft: Draft) -> None:
    """Point to a name that exists and that a search path was appended to.

    A guest's begins with `<service>.<namespace>.svc.<zone>`, a pod's with `<namespace>.svc.<zone>`; both go on.
    """
    parts = draft.place.labels
    for count in range(1, len(parts) + 1):
        name = Name(b"".join(bytes((len(label),)) + label for label in parts[:count]) + b"\0")
        if len(name) <= MAX_NAME and draft.exists(name) and name != draft.place.name:
            appended = to_text(Name(draft.place.name[len(name) - 1 :]))
            draft.near(f"the search path {appended} was appended to a name that exists", name)
            draft.advise(f"ask for the name with a dot at its end ({to_text(name)}), or lower the resolver's ndots")
            return
    if len(parts) >= 4 and parts[-1] == b"svc" and not any(label.startswith(b"_") for label in parts):
        no_service = draft.refusal is not None and draft.refusal.rule == rule_id(Check.SERVICE)
        outside = parts[:-2] if no_service else parts[:-3]
        if len(outside) >= 2 and all(is_dns1123_label(label.decode("latin-1")) for label in outside):
            asked = ".".join(map(label_to_text, outside))
            draft.near(f"a resolver's search path makes such a name of {asked}, and asks for {asked} itself next")
