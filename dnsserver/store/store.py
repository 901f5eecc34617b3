"""Events in, zones out; no I/O, no clock.

Events change objects and note what has to be derived again (`apply`); deriving edits the next zones (`refresh`); then
all zones change at once. An event costs work in proportion to what it changes: a VMI's own contribution to the
Services that select it, never the others'.

What may take long is a *round*: an iterator that has done one small step whenever it yields, so that `refresh` can
stop after any of them and go on later. Nothing changes objects under a round but itself: the events that come
meanwhile wait in the inbox, and the round takes them in before it ends.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

from dnsserver.derive.endpoint import Endpoint
from dnsserver.derive.observation import NOTHING, Observation, observe
from dnsserver.derive.service import service_name, slice_endpoints
from dnsserver.derive.vmi import Published, Refused, Rule, vmi_endpoints
from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.names import MAX_NAME, Name, from_labels, labels
from dnsserver.objects import EndpointSlice, Key, Kind, Namespace, Object, Pod, Service, VirtualMachineInstance
from dnsserver.store.config import StoreConfig
from dnsserver.store.entry import Entry, Source
from dnsserver.store.indexes import AddressIndex, PodIndex, SelectorIndex
from dnsserver.store.marks import Marks
from dnsserver.store.names import fallbacks, publish_apexes, publish_namespace, publish_pod
from dnsserver.store.publication import Publication
from dnsserver.store.table import Table
from dnsserver.zone import Zone

_NOT_MEANT = frozenset({None, Rule.HEADLESS, Rule.SELECTOR})  # refusals of VMIs that are not the Service's anyway


class Store:
    """Everything known of one cluster, and the zones it makes."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._namespaces: Table[Namespace] = Table()
        self._services: Table[Service] = Table()
        self._slices: Table[EndpointSlice] = Table()
        self._vmis: Table[VirtualMachineInstance] = Table()
        self._pod_objects: Table[Pod] = Table()
        self._staged: dict[Kind, dict[Key, Object]] = {}
        self._first: set[Kind] = set()  # kinds whose list under way has nothing to replace, and so is not staged
        self._inbox: deque[tuple[Event, float]] = deque()  # events to take in, and when they came
        self._round: Iterator[None] | None = None  # what is left of the round that was cut short
        self._listed: set[Kind] = set()
        self._absent: set[Kind] = set()
        self._vmis_known = False  # whether the source has VMIs, and lets us read them
        self._observations: dict[Key, Observation] = {}
        self._deadlines: list[tuple[float, Key]] = []
        self._selectors = SelectorIndex()
        self._pods = PodIndex()
        self._pod_addresses = AddressIndex()
        self._service_slices: dict[Key, set[str]] = {}  # Service -> the names of its EndpointSlices
        self._entries: dict[Key, Entry] = {}
        self.unpublished: Counter[Rule] = Counter()  # VMIs that a headless Service selects, but has no names for
        self._whole: dict[str, set[str]] = {}  # namespace -> Services to derive from all that they have
        self._dirty: dict[Key, Marks] = {}  # Service -> what contributes to it and has changed
        self._dirty_namespaces: set[str] = set()
        self._dirty_pods: set[tuple[str, bytes]] = set()  # (namespace, address)
        self._implied: set[str] = set()  # namespaces that exist because something is in them, while none is known
        self._publication = Publication(
            config.zones, config.reverse_zones, config.ttl, fallbacks(config), config.addresses
        )
        self._publish_apexes((), config.addresses)
        self._now = 0.0  # of the refresh that is at work,
        self._next_serial = 0  # and what it says the serial shall be
        self._synced = False
        self._changes = 0  # how many objects have changed since the last publication
        self.serial = 0  # rises with every change of an object, whatever it changes in the zones; 0 before the sync
        self.programmed: list[tuple[str, float]] = []  # (kind of Service, Unix time) of changes taken in, for metrics
        self.zones: tuple[Zone, ...] = self._publication.publish(0)

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once; until then a name that is not there may just not be there yet."""
        return self._synced

    @property
    def missing(self) -> frozenset[Kind]:
        """The kinds that are still to be listed; one that the source does not have holds nothing up, if it may lack."""
        return self._config.kinds - self._listed - (self._absent - self._config.required)

    @property
    def deadline(self) -> float | None:
        """When an answer may change by itself, by the clock that `now` counts; None where none will."""
        return self._deadlines[0][0] if self._deadlines else None

    @property
    def observations(self) -> Iterable[Observation]:
        """What is remembered of VMIs in a hand-over, or with addresses that are held."""
        return self._observations.values()

    def zone(self, origin: Name) -> Zone | None:
        """Return the zone of that origin."""
        return next((zone for zone in self.zones if zone.origin == origin), None)

    def services(self) -> Iterator[Service]:
        """Yield every Service that is published."""
        return (service for service in self._services if self.exposed(service.namespace))

    def service(self, key: Key) -> Service | None:
        """Return one Service, if its namespace is published."""
        return self._services.get(key) if self.exposed(key[0]) else None

    def endpoints(self, key: Key) -> tuple[Endpoint, ...]:
        """Return the endpoints that a Service publishes."""
        entry = self._entries.get(key)
        return entry.endpoints if entry else ()

    def pod_namespace(self, address: bytes) -> str | None:
        """Return the namespace of the pod that has an address (`pods verified`)."""
        return next((namespace for namespace, _ in self._pod_addresses.pods(address)), None)

    def counts(self) -> dict[Kind, int]:
        """Return how many objects of each kind that is watched there are."""
        return {kind: len(self._table(kind)) for kind in sorted(self._config.kinds, key=lambda kind: kind.value)}

    def _table(self, kind: Kind) -> Table[Object]:
        """Return the table of one kind."""
        tables = {
            Kind.NAMESPACE: self._namespaces,
            Kind.SERVICE: self._services,
            Kind.SERVICE_IMPORT: self._services,
            Kind.ENDPOINT_SLICE: self._slices,
            Kind.VMI: self._vmis,
            Kind.POD: self._pod_objects,
        }
        return cast("Table[Object]", tables[kind])

    # -- events in -----------------------------------------------------------------------------------------------------

    def apply(self, event: Event, now: float) -> None:
        """Take one event in; `refresh` makes it visible. `now` is in seconds of any clock that never goes back."""
        if event.kind not in self._config.kinds:
            return
        if self._inbox or self._round is not None or isinstance(event, ListedPage | ListEnded | NotServed):
            self._inbox.append((event, now))
        else:
            self._take(event, now)

    def _take_all(self) -> Iterator[None]:
        """Take in what has come, in its order."""
        while self._inbox:
            event, now = self._inbox.popleft()
            match event:
                case ListedPage(kind, objects, kept):
                    yield from self._stage(kind, objects, kept, now)
                case ListEnded(kind):
                    if kind not in self._first:
                        yield from self._replace(kind, self._staged.pop(kind, {}), now)
                    self._staged.pop(kind, None)
                    self._first.discard(kind)
                    self._listed.add(kind)
                    self._absent.discard(kind)
                    self._know_vmis(kind, known=True)
                case NotServed(kind):
                    self._staged.pop(kind, None)
                    self._first.discard(kind)
                    yield from self._replace(kind, {}, now)
                    self._absent.add(kind)
                    self._know_vmis(kind, known=False)
                case _:
                    self._take(event, now)
            yield

    def _know_vmis(self, kind: Kind, *, known: bool) -> None:
        """Note whether VMIs can be read: then no pod of theirs is published but through them, else as any other."""
        if kind is Kind.VMI and known != self._vmis_known:
            self._vmis_known = known
            for service in self._services:
                self._mark_whole(service.key)

    def _take(self, event: Event, now: float) -> None:
        """Take in an event that costs little."""
        match event:
            case ListStarted(kind):
                self._staged[kind] = {}
                if not self._synced and not len(self._table(kind)):
                    self._first.add(kind)
                else:
                    self._first.discard(kind)
            case Changed(kind, value):
                self._remember_staged(kind)
                self._put(kind, value, now)
            case Deleted(kind, key, uid):
                self._remember_staged(kind)
                self._delete(kind, key, uid)

    def _stage(self, kind: Kind, objects: Iterable[Object], kept: Iterable[Key], now: float) -> Iterator[None]:
        """Note a page of a list; what has not changed stays the object it was, so that there are never two copies.

        Before the first sync nothing is visible anyway: a page is taken in as it comes, and not all of them at the end.
        """
        table = self._table(kind)
        if kind in self._first and not self._synced:
            for value in objects:
                self._put(kind, value, now)
                yield
            return
        self._remember_staged(kind)
        staged = self._staged.setdefault(kind, {})
        for value in objects:
            known = table.get(value.key)
            staged[value.key] = known if known is not None and known == value else value
            if not self._synced:
                self._put(kind, value, now)
            yield
        for key in kept:
            known = table.get(key)
            if known is not None:
                staged[key] = known
            yield

    def _remember_staged(self, kind: Kind) -> None:
        """Stage what the list under way has named so far, where something else is about to be told of its kind."""
        if kind in self._first:
            self._first.discard(kind)
            self._staged[kind] = {value.key: value for value in self._table(kind)}

    def _replace(self, kind: Kind, objects: dict[Key, Object], now: float) -> Iterator[None]:
        """Make `objects` all there is of a kind."""
        table = self._table(kind)
        for namespace in table.namespaces():
            for name in tuple(table.in_namespace(namespace)):
                if (namespace, name) not in objects:
                    self._delete(kind, (namespace, name), "")
                yield
        while objects:  # the last first, and none is kept longer than needed
            _, value = objects.popitem()
            self._put(kind, value, now)
            yield

    def _put(self, kind: Kind, value: Object, now: float) -> None:
        """Add an object, or replace the one of its name."""
        table = self._table(kind)
        previous = table.get(value.key)
        if isinstance(value, Pod) and value.deleting:
            # not added, and one that is known stays as it was until it is gone (CoreDNS object/pod.go)
            if previous is not None and previous.uid != value.uid:
                self._delete(kind, value.key, "")  # it is gone: this is another of its name
            return
        if previous is not value and previous != value:
            table.put(value)
            self._changed(kind, previous, value, now)

    def _delete(self, kind: Kind, key: Key, uid: str) -> None:
        """Forget an object; where a UID is given only that one, not its successor of the same name."""
        table = self._table(kind)
        previous = table.get(key)
        if previous is None or (uid and previous.uid and previous.uid != uid):
            return
        table.pop(key)
        self._changed(kind, previous, None, 0.0)

    def _changed(self, kind: Kind, previous: Object | None, value: Object | None, now: float) -> None:
        """Keep the indexes right, and note what has to be derived again."""
        self._changes += 1
        match kind:
            case Kind.VMI:
                vmi = cast("VirtualMachineInstance | None", value)
                self._vmi_changed(cast("VirtualMachineInstance | None", previous), vmi, now)
            case Kind.SERVICE | Kind.SERVICE_IMPORT:
                self._service_changed(cast("Service | None", previous), cast("Service | None", value))
            case Kind.ENDPOINT_SLICE:
                self._slice_changed(cast("EndpointSlice | None", previous), cast("EndpointSlice | None", value))
            case Kind.POD:
                self._pod_changed(cast("Pod | None", previous), cast("Pod | None", value))
            case Kind.NAMESPACE:
                self._namespace_changed(cast("Namespace | None", previous), cast("Namespace | None", value))

    def _namespace_changed(self, previous: Namespace | None, value: Namespace | None) -> None:
        """Look at a namespace's Services again; at all of them where it is the first one known, or was the last."""
        self._dirty_namespaces.update(one.name for one in (previous, value) if one is not None)
        if len(self._namespaces) <= 1:
            self._dirty_namespaces.update(self._services.namespaces())
            self._dirty_namespaces |= self._implied

    def _notice(self, namespace: str) -> None:
        """Note whether anything is in a namespace: while no Namespace is known, that is how one exists."""
        there = bool(self._services.in_namespace(namespace) or self._pod_objects.in_namespace(namespace))
        if there != (namespace in self._implied):
            (self._implied.add if there else self._implied.discard)(namespace)
            self._dirty_namespaces.add(namespace)

    def _pod_changed(self, previous: Pod | None, value: Pod | None) -> None:
        """Look at the names of the pod's addresses again."""
        if previous is not None:
            self._pod_addresses.remove(previous)
        if value is not None:
            self._pod_addresses.add(value)
        for pod in (previous, value):
            if pod is not None:
                self._notice(pod.namespace)
                self._dirty_pods.update([(pod.namespace, pod.address)] if pod.address else [])

    def _service_changed(self, previous: Service | None, value: Service | None) -> None:
        """Derive the Service anew from everything it has."""
        if previous is not None:
            self._selectors.remove(previous)
        if value is not None:
            self._selectors.add(value)
        for one in (previous, value):
            if one is not None:
                self._mark_whole(one.key)
                self._notice(one.namespace)

    def _slice_changed(self, previous: EndpointSlice | None, value: EndpointSlice | None) -> None:
        """Derive the slice's endpoints anew, and the VMIs whose pods have got other addresses."""
        for one in (previous, value):
            if one is not None and (service := self._service_of(one))[1]:
                names = self._service_slices.setdefault(service, set())
                (names.add if one is value else names.discard)(one.name)
                if not names:
                    del self._service_slices[service]
                self._mark(service, (Kind.ENDPOINT_SLICE, one.name))
        if value is not None and value.triggered:
            self._note_programming(value)
        for uid in self._pods.set_slice(previous, value):
            owner = self._pods.owner(uid)
            vmi = self._vmis.get(owner) if owner else None
            if vmi is not None:
                self._mark_vmi(vmi)

    def _service_of(self, one: EndpointSlice) -> Key:
        """Return the Service, or the ServiceImport, that a slice belongs to; its name is "" where it has none."""
        return one.namespace, one.imported if self._config.imported else one.service

    def _note_programming(self, one: EndpointSlice) -> None:
        """Note what a slice says of when its change began, for Services of the kinds that CoreDNS measures."""
        service = self._services.get(self._service_of(one))
        if self._synced and service is not None and not self._config.imported:
            if service.cluster_ips:
                self.programmed.append(("cluster_ip", one.triggered))
            elif service.headless and service.selector:
                self.programmed.append(("headless_with_selector", one.triggered))

    def _vmi_changed(
        self, previous: VirtualMachineInstance | None, value: VirtualMachineInstance | None, now: float
    ) -> None:
        """Derive the VMI anew wherever it was or will be, and the slices that list its pods."""
        if value is not None:
            self._observe(previous, value, now)
        elif previous is not None:
            self._observations.pop(previous.key, None)
        for one in (previous, value):
            if one is not None:
                self._mark_vmi(one)
        for uid in self._pods.set_pods(previous, value):
            for key in self._pods.slices(uid):
                one_slice = self._slices.get(key)
                if one_slice is not None:
                    self._mark(self._service_of(one_slice), (Kind.ENDPOINT_SLICE, one_slice.name))

    def _observe(self, previous: VirtualMachineInstance | None, value: VirtualMachineInstance, now: float) -> None:
        """Remember what the VMI's present state alone does not say."""
        remembered = self._observations.get(value.key, NOTHING)
        observation = observe(previous, remembered, value, timing=self._config.timing, now=now)
        if observation == NOTHING:
            self._observations.pop(value.key, None)
            return
        self._observations[value.key] = observation
        for deadline in set(observation.deadlines()) - set(remembered.deadlines()):
            heapq.heappush(self._deadlines, (deadline, value.key))

    # -- what to derive again ------------------------------------------------------------------------------------------

    def _mark(self, service: Key, source: Source) -> None:
        """Note that one contribution to a Service has changed; before the first sync all will be derived anyway."""
        if self._synced:
            self._marks(service).add(source)

    def _marks(self, service: Key) -> Marks:
        """Return what is noted of a Service."""
        marks = self._dirty.get(service)
        if marks is None:
            marks = self._dirty[service] = Marks()
        return marks

    def _mark_whole(self, service: Key) -> None:
        """Note that a Service itself has changed."""
        if self._synced:
            self._whole.setdefault(service[0], set()).add(service[1])

    def _mark_vmi(self, vmi: VirtualMachineInstance) -> None:
        """Note that a VMI has changed, for every Service that selects it."""
        if self._synced:
            for name in self._selectors.services(vmi):
                self._mark((vmi.namespace, name), (Kind.VMI, vmi.name))

    def _expire(self, now: float) -> Iterator[None]:
        """Note the VMIs whose grace or hold has run out."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            vmi, observation = self._vmis.get(key), self._observations.get(key)
            if vmi is None or observation is None:
                continue
            self._mark_vmi(vmi)
            if all(deadline <= now for deadline in observation.deadlines()):
                del self._observations[key]
            yield

    def _expand(self) -> Iterator[None]:
        """Turn Services to derive as a whole into contributions, one pass over the VMIs of each namespace."""
        while self._dirty_namespaces:
            namespace = self._dirty_namespaces.pop()
            exists = self.exposed(namespace) and (len(self._namespaces) > 0 or namespace in self._implied)
            publish_namespace(self._publication, self._config, namespace, exists=exists)
            self._whole.setdefault(namespace, set()).update(self._services.in_namespace(namespace))
            for pod in self._pod_objects.in_namespace(namespace).values():
                if pod.address:
                    self._dirty_pods.add((namespace, pod.address))
                yield
        while self._whole:
            namespace, names = self._whole.popitem()
            for name in names:
                yield from self._expand_service((namespace, name))
            for vmi in self._vmis.in_namespace(namespace).values():
                for name in self._selectors.services(vmi):
                    if name in names:
                        self._marks((namespace, name)).vmis.add(vmi.name)
                yield

    def _expand_service(self, key: Key) -> Iterator[None]:
        """Note all that contributes to a Service now, and its EndpointSlices; its VMIs are looked for together."""
        marks = self._marks(key)
        marks.slices.update(self._service_slices.get(key, ()))
        if key in self._entries:
            marks.slices.update(self._entries[key].slices)
            for name in self._entries[key].vmis:
                marks.vmis.add(name)
                yield
        yield

    # -- zones out -----------------------------------------------------------------------------------------------------

    def refresh(self, now: float, *, serial: int, limit: int | None = None) -> bool:
        """Derive what has changed and publish it; return False where `limit` small steps were not enough.

        Nothing is seen before all of it is done: `zones` changes in one step, at the end. `serial` is what a changed
        zone's serial shall be; it never goes back.
        """
        self._now, self._next_serial = now, serial
        if self._round is None:
            self._round = self._work()
        steps = self._round if limit is None else islice(self._round, limit)
        taken = sum(1 for _ in steps)
        if limit is not None and taken == limit:
            return False
        self._round = None
        return True

    def _work(self) -> Iterator[None]:
        """Do one round: take in what has come, derive what has changed, and publish it at the very end."""
        yield from self._publication.release()
        yield from self._take_all()
        if not self._synced:
            if self.missing:
                return
            yield from self._start()
        while True:
            yield from self._take_all()
            yield from self._expire(self._now)
            yield from self._expand()
            while self._dirty:
                key, marks = self._dirty.popitem()
                yield from self._derive(key, marks)
                if self._publication.crowded:
                    yield from self._publication.prepare()
            yield from self._publish_pods()
            if (servers := self._name_servers()) != self._servers:
                self._publish_apexes(*servers)
            yield from self._publication.prepare()
            overdue = (
                self._deadlines and self._deadlines[0][0] <= self._now
            )  # time went on while the round was cut short
            if not self._inbox and not overdue:
                break
        self.zones = self._publication.publish(self._next_serial)
        if self._changes:
            self.serial = max(self._next_serial, self.serial + 1)
            self._changes = 0

    def _start(self) -> Iterator[None]:
        """Go from collecting to deriving: everything is new."""
        self._synced = True
        self._dirty_namespaces.update(one.name for one in self._namespaces)
        self._dirty_namespaces |= self._implied
        for service in self._services:
            self._mark_whole(service.key)
            yield

    def _derive(self, key: Key, marks: Marks) -> Iterator[None]:
        """Derive a Service's changed contributions, then bring the zones in line with them."""
        service = self._published(key)
        entry = self._entries.get(key) or Entry(self._config.ttl, self.unpublished)
        while service is not None and (source := marks.pop()):
            self._contribute(entry, service, source, self._now)
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
        service = self._services.get(key)
        if service is None or not self.exposed(service.namespace):
            return None
        return service if service.headless or self._config.kubevirt != "only" else None

    def _contribute(self, entry: Entry, service: Service, source: Source, now: float) -> None:
        """Derive what one VMI or EndpointSlice contributes."""
        kind, name = source
        if kind is Kind.VMI:
            vmi = self._vmis.get((service.namespace, name))
            outcome = self._vmi_outcome(vmi, service, now) if vmi is not None else None
            entry.contribute(source, outcome.endpoints if isinstance(outcome, Published) else ())
            rule = outcome.rule if isinstance(outcome, Refused) else None
            entry.set_refused(name, None if rule in _NOT_MEANT else rule)
            return
        one = self._slices.get((service.namespace, name))
        # nothing is below an alias
        mine = one is not None and self._service_of(one) == service.key and not service.external_name
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
            self._pods.owned,
            pod_names=self._config.pod_names,
            imported=self._config.imported,
            launchers=not self._vmis_known,
        )
        if not self._config.imported:
            return endpoints
        owners = (service_name(service, origin) for origin in self._config.zones)
        room = min((MAX_NAME - len(owner) for owner in owners if owner is not None), default=0)
        return tuple(endpoint for endpoint in endpoints if len(endpoint.prefix) <= room)

    def _vmi_outcome(self, vmi: VirtualMachineInstance, service: Service, now: float) -> Published | Refused:
        """Return what a VMI contributes to a Service of its namespace, or why nothing."""
        observation = self._observations.get(vmi.key, NOTHING)
        pods = self._pods.addresses(vmi, self._service_slices.get(service.key, frozenset()))
        return vmi_endpoints(vmi, service, observation, pods, now)

    def exposed(self, namespace: str) -> bool:
        """Say whether a namespace is published: it exists, and is among those that are asked for, if any are.

        Where no Namespace is known at all (manifests without them, or no right to read them), all of them exist.
        """
        if self._config.namespaces and namespace not in self._config.namespaces:
            return False
        return not len(self._namespaces) or self._namespaces.get(("", namespace)) is not None

    def _publish_pods(self) -> Iterator[None]:
        """Set the names of the pods whose addresses have changed."""
        while self._dirty_pods:
            namespace, address = self._dirty_pods.pop()
            exists = self.exposed(namespace) and self._pod_addresses.has(namespace, address)
            publish_pod(self._publication, self._config, namespace, address, exists=exists)
            yield

    def _publish_apexes(self, servers: tuple[Name, ...], addresses: tuple[bytes, ...]) -> None:
        """Set the names that every zone has, and where its NS records lead: to ourselves."""
        self._servers = servers, addresses
        publish_apexes(self._publication, self._config, servers, addresses)

    def _name_servers(self) -> tuple[tuple[Name, ...], tuple[bytes, ...]]:
        """Return the names that this server has in the first zone, and where they lead.

        They are those of the Services that one of its addresses is behind: a Service with a cluster IP is reached by
        its own name, a headless one by the endpoint's (CoreDNS ns.go). Without any: no name, and the server's own
        addresses.
        """
        names: dict[Name, None] = {}
        addresses: dict[bytes, None] = {}
        above = len(labels(self._config.zones[0])) + 1  # the zone's labels, and `svc`
        for address in self._config.addresses:
            for endpoint in self._publication.endpoint_names(address):
                service, namespace = labels(endpoint)[-above - 2 : -above]
                one = self._services.get((namespace.decode(), service.decode()))
                if one is not None and one.headless:
                    names[endpoint] = addresses[address] = None
                elif one is not None and one.cluster_ips:
                    names[from_labels((service, namespace, b"svc"), self._config.zones[0])] = None
                    addresses |= dict.fromkeys(one.cluster_ips)
        return tuple(names), tuple(addresses) or self._config.addresses
