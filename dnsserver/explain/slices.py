"""Endpoints that EndpointSlices give a Service: pods, and whatever else is written there; no I/O."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from dnsserver.derive.endpoint import dashed
from dnsserver.derive.vmi import Fact
from dnsserver.explain.draft import Draft
from dnsserver.explain.looking import Looking, collect
from dnsserver.explain.values import Check, ObjectRef
from dnsserver.objects import EndpointSlice, Kind, Service, SliceEndpoint

_SHOWN = 3
_Listed = tuple[EndpointSlice, SliceEndpoint]


def explain_slice_endpoints(draft: Draft, names: Iterable[str], label: str, service: Service) -> None:
    """Tell which EndpointSlices give a name its records."""
    entry = draft.place.store.entry(service.key)
    wire = label.encode("latin-1")
    for name in tuple(names)[:_SHOWN]:
        about = ObjectRef("EndpointSlice", service.namespace, name)
        hosts = entry.given((Kind.ENDPOINT_SLICE, name)) if entry is not None else ()
        found = ", ".join(str(ip_address(one)) for host in hosts if host.label == wire for one in host.addresses)
        draft.passed(Check.ENDPOINT, about=about, facts=(Fact(f"endpoint {label}", "ready", f"ready, at {found}"),))


def explain_unpublished_endpoints(draft: Draft, service: Service, label: str) -> Looking[bool]:
    """Tell why endpoints that an EndpointSlice lists by a name are not published; say whether there are any."""
    names = draft.known.service_slices.get(service.key, set())
    slices = [one for name in names if (one := draft.known.slices.get((service.namespace, name))) is not None]
    listed = [(one, endpoint) for one in slices for endpoint in one.endpoints]
    found = yield from collect(listed, lambda pair: label in _labels(pair[1]))
    for one, endpoint in found[:_SHOWN]:
        about = ObjectRef("EndpointSlice", one.namespace, one.name)
        wanted, has, notes, advised = _why(draft, endpoint)
        draft.refused(
            Check.ENDPOINT, about=about, facts=(Fact(f"endpoint {label}", wanted, has),), notes=notes, advice=advised
        )
    return bool(found)


def _labels(endpoint: SliceEndpoint) -> Iterator[str]:
    """Yield every label that an endpoint may be asked for by."""
    yield endpoint.hostname.lower()
    yield endpoint.target_name.lower()
    yield from (dashed(address).decode() for address in endpoint.addresses)


def _why(draft: Draft, endpoint: SliceEndpoint) -> tuple[str, str, tuple[str, ...], str]:
    """Return what was wanted of an endpoint and what was found, notes, and advice."""
    if not endpoint.ready:
        return "ready", "not ready", (), f"see why {endpoint.target_name or 'it'} is not ready"
    if endpoint.target_uid != "" and draft.known.owners.owned(endpoint.target_uid):
        owner = draft.known.owners.owner(endpoint.target_uid)
        vmi = "/".join(owner) if owner else "a VMI"
        note = f"the pod runs VMI {vmi}, which is published by its own rules and under its own host name"
        return "not the pod of a VMI", f"the pod of VMI {vmi}", (note,), ""
    if draft.place.store.config.kubevirt == "only":
        return "a VMI", "not a VMI", ("the option `kubevirt only` leaves all else to the cluster's DNS",), ""
    if endpoint.target_name.startswith("virt-launcher-"):
        return "not the pod of a VMI", "a pod that runs a VMI", ("its VMI does not list the pod (activePods)",), ""
    label = endpoint.hostname or (dashed(endpoint.addresses[0]).decode() if endpoint.addresses else "")
    return "this name", f"the name {label}" if label else "no address", (), f"ask for {label}" if label else ""
