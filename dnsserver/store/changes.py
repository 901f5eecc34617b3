"""What a changed object, or the time that has passed, makes stale; no I/O, no clock.

Each change keeps the indexes of `Known` right, and notes in `Pending` what has to be derived again.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from dnsserver.derive.vmi import same_labels
from dnsserver.objects import EndpointSlice, Key, Kind, Namespace, Object, Pod, Service, VirtualMachineInstance
from dnsserver.store.config import StoreConfig
from dnsserver.store.entry import Source
from dnsserver.store.known import Known
from dnsserver.store.marks import Pending


class Changes:
    """Turns changes into notes; before the first sync Services get none, as all of them will be derived anyway."""

    def __init__(self, config: StoreConfig, known: Known, pending: Pending) -> None:
        self._config = config
        self._known = known
        self._pending = pending
        self.count = 0  # how many objects have changed since the last publication
        self.programmed: list[tuple[str, float]] = []  # (kind of Service, Unix time) of changes taken in, for metrics

    def changed(self, kind: Kind, previous: Object | None, value: Object | None, now: float) -> None:
        """Take note of an object that is now `value` in its table, and was `previous`; None where it is not there."""
        self.count += 1
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

    def read_vmis(self, *, readable: bool) -> None:
        """Note whether VMIs can be read: then no pod of theirs is published but through them, else as any other."""
        if readable != self._known.reads_vmis:
            self._known.reads_vmis = readable
            for service in self._known.services:
                self._mark_whole(service.key)

    def expire(self, now: float) -> Iterator[None]:
        """Note the VMIs whose grace or hold has run out."""
        for key in self._known.observations.expire(now):
            vmi = self._known.vmis.get(key)
            if vmi is not None:
                self._look_again(key)
                self._mark_vmi(vmi)
                yield

    def start(self) -> Iterator[None]:
        """Go from collecting to deriving: everything is new."""
        self._known.synced = True
        self._pending.namespaces.update(one.name for one in self._known.namespaces)
        self._pending.namespaces |= self._known.implied
        for service in self._known.services:
            self._mark_whole(service.key)
            yield

    def _namespace_changed(self, previous: Namespace | None, value: Namespace | None) -> None:
        """Look at a namespace's Services again; at all of them where it is the first one known, or was the last."""
        names = {one.name for one in (previous, value) if one is not None}
        self._pending.namespaces |= names
        self._look_at_all_in(names)
        if len(self._known.namespaces) <= 1:
            self._look_at_all_in(self._known.vmis.namespaces())
            self._pending.namespaces.update(self._known.services.namespaces())
            self._pending.namespaces |= self._known.implied

    def _notice(self, namespace: str) -> None:
        """Note whether anything is in a namespace: while no Namespace is known, that is how one exists."""
        known = self._known
        there = bool(known.services.in_namespace(namespace) or known.pods.in_namespace(namespace))
        if there != (namespace in known.implied):
            (known.implied.add if there else known.implied.discard)(namespace)
            self._pending.namespaces.add(namespace)

    def _pod_changed(self, previous: Pod | None, value: Pod | None) -> None:
        """Look at the names of the pod's addresses again."""
        if previous is not None:
            self._known.pod_addresses.remove(previous)
        if value is not None:
            self._known.pod_addresses.add(value)
        for pod in (previous, value):
            if pod is not None:
                self._notice(pod.namespace)
                self._pending.pods.update([(pod.namespace, pod.address)] if pod.address else [])

    def _service_changed(self, previous: Service | None, value: Service | None) -> None:
        """Derive the Service anew from everything it has."""
        if previous is not None:
            self._known.selectors.remove(previous)
        if value is not None:
            self._known.selectors.add(value)
        for one in (previous, value):
            if one is not None:
                self._mark_whole(one.key)
                self._pending.concerns.note_service(one.key)
                self._notice(one.namespace)

    def _slice_changed(self, previous: EndpointSlice | None, value: EndpointSlice | None) -> None:
        """Derive the slice's endpoints anew, and the VMIs whose pods have got other addresses."""
        for one in (previous, value):
            if one is not None and (service := self._known.service_of(one))[1]:
                names = self._known.service_slices.setdefault(service, set())
                (names.add if one is value else names.discard)(one.name)
                if not names:
                    del self._known.service_slices[service]
                self._mark(service, (Kind.ENDPOINT_SLICE, one.name))
        if value is not None and value.triggered:
            self._note_programming(value)
        for uid in self._known.owners.set_slice(previous, value):
            owner = self._known.owners.owner(uid)
            vmi = self._known.vmis.get(owner) if owner else None
            if vmi is not None:
                self._look_again(vmi.key)
                self._mark_vmi(vmi)

    def _note_programming(self, one: EndpointSlice) -> None:
        """Note what a slice says of when its change began, for Services of the kinds that CoreDNS measures."""
        service = self._known.services.get(self._known.service_of(one))
        if self._known.synced and service is not None and not self._config.imported:
            if service.cluster_ips:
                self.programmed.append(("cluster_ip", one.triggered))
            elif service.headless and service.selector:
                self.programmed.append(("headless_with_selector", one.triggered))

    def _vmi_changed(
        self, previous: VirtualMachineInstance | None, value: VirtualMachineInstance | None, now: float
    ) -> None:
        """Derive the VMI anew wherever it was or will be, and the slices that list its pods."""
        if value is not None:
            self._known.observations.remember(previous, value, now)
        elif previous is not None:
            self._known.observations.forget(previous.key)
        if previous is not None and (value is None or not same_labels(previous, value)):
            self._mark_vmi(previous)
        if value is not None:
            self._mark_vmi(value)
        for uid in self._known.owners.set_pods(previous, value):
            for key in self._known.owners.slices(uid):
                one_slice = self._known.slices.get(key)
                if one_slice is not None:
                    self._mark(self._known.service_of(one_slice), (Kind.ENDPOINT_SLICE, one_slice.name))
        if (one := value or previous) is not None:
            self._look_again(one.key)

    def _look_again(self, vmi: Key) -> None:
        """Note that a VMI has changed, or what is known of its pods, for those who ask for it itself."""
        self._known.guests.look_at(vmi)
        self._pending.concerns.note_vmi(vmi)
        self._pending.machines.note_vmi(vmi)

    def _look_at_all_in(self, namespaces: Iterable[str]) -> None:
        """Note that namespaces have come or gone, for those who ask for VMIs themselves."""
        self._pending.concerns.note_namespaces(namespaces)
        self._pending.machines.note_namespaces(namespaces)

    def _mark(self, service: Key, source: Source) -> None:
        """Note that one contribution to a Service has changed."""
        if self._known.synced:
            self._pending.marks(service).add(source)

    def _mark_whole(self, service: Key) -> None:
        """Note that a Service itself has changed."""
        if self._known.synced:
            self._pending.whole.setdefault(service[0], set()).add(service[1])

    def _mark_vmi(self, vmi: VirtualMachineInstance) -> None:
        """Note that a VMI has changed, for every Service that selects it."""
        if self._known.synced:
            for name in self._known.selectors.services(vmi):
                self._mark((vmi.namespace, name), (Kind.VMI, vmi.name))
