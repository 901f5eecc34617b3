"""Which objects a name's records come from; no I/O, no clock."""

from collections.abc import Iterator

import msgspec

from dnsserver.derive.endpoint import Host
from dnsserver.derive.interfaces import vmi_label
from dnsserver.names import Name, labels
from dnsserver.objects import Key, Kind
from dnsserver.store.entry import Entry, Source
from dnsserver.store.store import Store
from dnsserver.zone import Zone


class Owner(msgspec.Struct, frozen=True, gc=False):
    """An object that decides what a name has."""

    kind: Kind
    namespace: str  # "" for one that is in none
    name: str
    created: int  # Unix time, 0 where not known


def owners(store: Store, zone: Zone, name: Name) -> Iterator[Owner | None]:
    """Yield the objects behind a name of a store's forward zone: what gives it its place first, then its endpoints'.

    A step that finds none yields None: whoever asks decides how many steps are enough, and may change the store in
    between. Names that are no object's (the zone's own, reverse ones) have none.
    """
    relative = labels(name[: len(name) - len(zone.origin)] + b"\0")
    interfaces = store.config.interfaces
    if interfaces is not None and zone.origin in interfaces.zones:
        yield from _machine(store, relative)
    elif zone.origin in store.config.zones:
        yield from _cluster_name(store, zone, name, relative)


def _machine(store: Store, relative: tuple[bytes, ...]) -> Iterator[Owner | None]:
    """Yield the VMI that `[INTERFACE.]VMI.NAMESPACE` names; one with dots in its name has another label."""
    match relative:
        case (*_, label, namespace) if len(relative) <= 3:
            machines = store.known.vmis.in_namespace(namespace.decode("latin-1"))
            likely = machines.get(label.decode("latin-1"))
            for vmi in (likely,) if likely else tuple(machines.values()):
                fits = vmi_label(vmi.name) == label
                yield Owner(Kind.VMI, vmi.namespace, vmi.name, vmi.created) if fits else None
        case (namespace,):
            yield _namespace(store, namespace.decode("latin-1"))


def _cluster_name(store: Store, zone: Zone, name: Name, relative: tuple[bytes, ...]) -> Iterator[Owner | None]:
    """Yield the objects behind a name in one of the cluster's own zones."""
    match relative:
        case (namespace, b"svc" | b"pod"):
            yield _namespace(store, namespace.decode("latin-1"))
        case (_, namespace, b"pod"):
            yield from _pods(store, zone, name, namespace.decode("latin-1"))
        case (*prefix, service, namespace, b"svc"):
            yield from _service(store, zone, name, (namespace.decode("latin-1"), service.decode("latin-1")), prefix)


def _namespace(store: Store, name: str) -> Owner | None:
    """Return a Namespace; None for one that only exists because something is in it."""
    known = store.known.namespaces.get(("", name))
    return Owner(Kind.NAMESPACE, "", name, known.created) if known else None


def _pods(store: Store, zone: Zone, name: Name, namespace: str) -> Iterator[Owner | None]:
    """Yield the Pods that have the address that a name stands for; when they were made is not kept."""
    records = zone.node(name)
    for address in records.addresses if isinstance(records, Host) else ():
        for where, pod in store.known.pod_addresses.pods(address):
            yield Owner(Kind.POD, where, pod, 0) if where == namespace else None


def _service(store: Store, zone: Zone, name: Name, key: Key, prefix: list[bytes]) -> Iterator[Owner | None]:
    """Yield a Service, and what has the name that `prefix` makes below it; for its own names, all of its endpoints."""
    service, entry = store.known.services.get(key), store.entry(key)
    if service is None:
        return
    yield Owner(Kind.SERVICE_IMPORT if service.imported else Kind.SERVICE, *key, service.created)
    shared = not prefix or prefix[-1].startswith(b"_")  # its own name, that of a port, or of a topology zone
    if entry is None or (shared and not service.headless):
        return
    wire = b"" if shared else b"".join(bytes((len(label),)) + label for label in prefix)
    alone = isinstance(zone.node(name), Host)  # one endpoint has the name, and so one object is behind it
    for source in _sources(entry, prefix[0].decode("latin-1") if prefix else ""):
        fits = any(not wire or one.endpoint.prefix == wire for one in entry.given(source))
        owner = _contributor(store, key[0], *source) if fits else None
        yield owner
        if owner is not None and alone:
            return


def _sources(entry: Entry, likely: str) -> Iterator[Source]:
    """Yield what contributes to a Service, a VMI of the likely name first."""
    vmis = entry.published_vmis
    if entry.given((Kind.VMI, likely)):
        yield Kind.VMI, likely
    yield from ((Kind.VMI, name) for name in vmis if name != likely)
    yield from ((Kind.ENDPOINT_SLICE, name) for name in entry.slices)


def _contributor(store: Store, namespace: str, kind: Kind, name: str) -> Owner | None:
    """Return what contributes; None where it is gone since."""
    key = namespace, name
    known = store.known.vmis.get(key) if kind is Kind.VMI else store.known.slices.get(key)
    return Owner(kind, namespace, name, known.created) if known else None
