"""The Services as they are published: what VMIs and EndpointSlices contribute to each; no I/O, no clock."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dnsserver.derive.endpoint import Endpoint
from dnsserver.derive.service import service_name, slice_endpoints
from dnsserver.derive.vmi import Published, Refused, Rule, selects, vmi_endpoints
from dnsserver.names import MAX_NAME
from dnsserver.objects import EndpointSlice, Key, Kind, Service, VirtualMachineInstance
from dnsserver.store.config import StoreConfig
from dnsserver.store.entry import Entry, Source
from dnsserver.store.known import Known
from dnsserver.store.marks import Marks, Pending
from dnsserver.store.publication import Publication

_FEW = 4  # Services that are tried on each VMI sooner than its labels are looked up
_NOT_MEANT = frozenset({Rule.HEADLESS, Rule.SELECTOR})  # refusals of VMIs that are not the Service's anyway


class Contributions:
    """Derives again what `pending` names of Services, and brings the next zones in line with it."""

    def __init__(self, config: StoreConfig, known: Known, pending: Pending, publication: Publication) -> None:
        self._config = config
        self._known = known
        self._pending = pending
        self._publication = publication
        self._entries: dict[Key, Entry] = {}
        self.unpublished: Counter[Rule] = Counter()  # VMIs that a headless Service selects, but has no names for
        self.now = 0.0  # of the refresh that is at work; time goes on while a round is cut short

    def endpoints(self, key: Key) -> tuple[Endpoint, ...]:
        """Return the endpoints that a Service publishes."""
        entry = self._entries.get(key)
        return entry.endpoints if entry else ()

    def entry(self, key: Key) -> Entry | None:
        """Return a Service as it is published; None where it is not, or not yet."""
        return self._entries.get(key)

    def expand(self) -> Iterator[None]:
        """Turn Services to derive as a whole into contributions, one pass over the VMIs of each namespace."""
        while self._pending.whole:
            namespace, names = self._pending.whole.popitem()
            for name in names:
                yield from self._expand_service((namespace, name))
            selecting = [one for one in self._services(namespace, names) if one.headless and one.selector]
            for vmi in self._known.vmis.in_namespace(namespace).values() if selecting else ():
                for name in self._selecting(selecting, vmi):
                    if name in names:
                        self._pending.marks((namespace, name)).vmis.add(vmi.name)
                yield

    def _services(self, namespace: str, names: Iterable[str]) -> Iterator[Service]:
        """Yield those of a namespace's Services that there are."""
        for name in names:
            service = self._known.services.get((namespace, name))
            if service is not None:
                yield service

    def _selecting(self, services: Sequence[Service], vmi: VirtualMachineInstance) -> Iterable[str]:
        """Return the names of those Services that select a VMI, or of all that do.

        A few are tried; of many the index knows which to try.
        """
        if len(services) <= _FEW:
            return [one.name for one in services if selects(one, vmi)]
        return self._known.selectors.services(vmi)

    def _expand_service(self, key: Key) -> Iterator[None]:
        """Note all that contributes to a Service now, and its EndpointSlices; its VMIs are looked for together."""
        marks = self._pending.marks(key)
        marks.slices.update(self._known.service_slices.get(key, ()))
        if key in self._entries:
            marks.slices.update(self._entries[key].slices)
            for name in self._entries[key].vmis:
                marks.vmis.add(name)
                yield
        yield

    def derive(self) -> Iterator[None]:
        """Derive every Service's changed contributions; PTR records are made in between where they are many."""
        while self._pending.services:
            key, marks = self._pending.services.popitem()
            yield from self._derive(key, marks)
            if self._publication.crowded:
                yield from self._publication.prepare()

    def _derive(self, key: Key, marks: Marks) -> Iterator[None]:
        """Derive a Service's changed contributions, then bring the zones in line with them."""
        service = self._published(key)
        entry = self._entries.get(key) or Entry(self._config.ttl, self.unpublished)
        while service is not None and (source := marks.pop()):
            self._contribute(entry, service, source, self.now)
            yield
        empty = service is not None and self._config.ignore_empty and bool(service.cluster_ips)
        yield from entry.flush(service, self._publication, hidden=empty and not entry.has_ready)
        if service is not None:
            self._entries[key] = entry
        else:
            self._entries.pop(key, None)
        yield

    def _published(self, key: Key) -> Service | None:
        """Return the Service if it is to be published at all."""
        service = self._known.services.get(key)
        if service is None or not self._known.exposed(service.namespace):
            return None
        return service if service.headless or self._config.kubevirt != "only" else None

    def _contribute(self, entry: Entry, service: Service, source: Source, now: float) -> None:
        """Derive what one VMI or EndpointSlice contributes."""
        kind, name = source
        if kind is Kind.VMI:
            vmi = self._known.vmis.get((service.namespace, name))
            outcome = self.vmi_outcome(vmi, service, now) if vmi is not None else None
            entry.contribute(source, outcome.endpoints if isinstance(outcome, Published) else ())
            refused = outcome if isinstance(outcome, Refused) and outcome.rule not in _NOT_MEANT else None
            entry.set_refused(name, refused)
            entry.set_notes(name, outcome.notes if isinstance(outcome, Published) else ())
            return
        one = self._known.slices.get((service.namespace, name))
        # nothing is below an alias
        mine = one is not None and self._known.service_of(one) == service.key and not service.external_name
        entry.set_ready(
            name, ready=mine and one is not None and any(end.ready and end.addresses for end in one.endpoints)
        )
        endpoints = self._slice_endpoints(one, service) if one is not None and mine else ()
        if self._config.kubevirt == "only":
            entry.set_foreign(name, foreign=bool(endpoints))
            endpoints = ()
        entry.contribute(source, endpoints)

    def _slice_endpoints(self, one: EndpointSlice, service: Service) -> tuple[Endpoint, ...]:
        """Return a slice's endpoints; imported ones, which have two labels, where those leave a name that fits."""
        endpoints = slice_endpoints(
            one,
            self._known.owners.owned,
            pod_names=self._config.pod_names,
            imported=self._config.imported,
            launchers=not self._known.reads_vmis,
        )
        if not self._config.imported:
            return endpoints
        owners = (service_name(service, origin) for origin in self._config.zones)
        room = min((MAX_NAME - len(owner) for owner in owners if owner is not None), default=0)
        return tuple(endpoint for endpoint in endpoints if len(endpoint.prefix) <= room)

    def vmi_outcome(self, vmi: VirtualMachineInstance, service: Service, now: float) -> Published | Refused:
        """Return what a VMI contributes to a Service of its namespace, or why nothing."""
        observation = self._known.observations.get(vmi.key)
        pods = self._known.owners.addresses(vmi, self._known.service_slices.get(service.key, frozenset()))
        return vmi_endpoints(vmi, service, observation, pods, now)
