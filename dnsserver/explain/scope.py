"""The steps that every name of a namespace begins with: the namespace, and the Service; no I/O."""

from dnsserver.derive.service import service_name
from dnsserver.derive.vmi import Fact
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, alike, below
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.names import is_dns1123_label
from dnsserver.objects import Service

_NOTHING_BY_NAME = "no Namespace can be read, and so every one counts as there"


def explain_namespace(draft: Draft, namespace: str) -> Looking[bool]:
    """Say whether a namespace is published; return it too."""
    known, config = draft.known, draft.place.store.config
    about = ObjectRef("Namespace", "", namespace)
    if config.namespaces and namespace not in config.namespaces:
        fact = Fact("option namespaces", namespace, ", ".join(sorted(config.namespaces)))
        advice = f"add {namespace} to the option `namespaces` of the plugin `kubernetes`"
        text = f"Namespace {namespace} is not among those that are published"
        draft.refused(Check.NAMESPACE, text, about=about, facts=(fact,), advice=advice)
        return False
    if not known.exposed(namespace) or not is_dns1123_label(namespace):
        fact = Fact("Namespace", namespace, None)
        draft.refused(Check.NAMESPACE, f"there is no Namespace {namespace}", about=about, facts=(fact,))
        names = (one.name for one in known.namespaces if known.exposed(one.name))
        for name in (yield from alike(names, namespace)):
            draft.near(f"there is a Namespace {name}", below(draft, name, "svc"))
        return False
    if not len(known.namespaces) and namespace not in known.implied and not known.vmis.in_namespace(namespace):
        found = Fact(f"objects in namespace {namespace}", "any", None)
        text = f"there is nothing in namespace {namespace}"
        draft.refused(Check.NAMESPACE, text, about=about, facts=(found,), notes=(_NOTHING_BY_NAME,))
        return False
    draft.passed(Check.NAMESPACE, about=about, notes=() if len(known.namespaces) else (_NOTHING_BY_NAME,))
    return True


def explain_service(draft: Draft, namespace: str, name: str, advice: str = "") -> Looking[Service | None]:
    """Say whether a Service is there; return it."""
    known, kind = draft.known, draft.place.store.config.service_kind.value
    about = ObjectRef(kind, namespace, name)
    service = known.services.get((namespace, name))
    if service is None:
        fact = Fact(kind, f"{namespace}/{name}", None)
        draft.refused(Check.SERVICE, f"there is no {about.text}", about=about, facts=(fact,), advice=advice)
        for other in (yield from alike(known.services.in_namespace(namespace), name)):
            draft.near(f"there is a {kind} {namespace}/{other}", below(draft, other, namespace, "svc"))
        return None
    if service_name(service, draft.place.zone.origin) is None:
        fact = Fact(f"name of {about.text}", "one that leaves room for host names", name)
        draft.refused(Check.SERVICE, "the Service's name is one that the DNS can carry", about=about, facts=(fact,))
        return None
    draft.passed(Check.SERVICE, about=about)
    return service
