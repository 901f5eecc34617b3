"""Who concerns whom: Services and the VMIs they select, pods and the VMIs they run; no I/O."""

from collections.abc import Set

from dnsserver.derive.vmi import NO_PODS, PodAddresses, pod_labels, selects
from dnsserver.objects import EndpointSlice, Key, Pod, Service, VirtualMachineInstance
from dnsserver.objects.uids import Uid

_Pair = tuple[str, str]  # a label
_Place = tuple[tuple[bytes, ...], str]  # a pod's addresses, and its topology zone


class SelectorIndex:
    """Finds the Services that select a VMI without trying them all.

    Each Service hangs on one pair of its selector, the one that the fewest others hang on: a VMI that lacks the pair
    cannot match. Services that have no names of VMIs to give (with a cluster IP, without a selector) are left out.
    """

    def __init__(self) -> None:
        self._anchors: dict[str, dict[_Pair, dict[str, Service]]] = {}  # namespace -> pair -> Services by name
        self._pairs: dict[Key, _Pair] = {}

    def add(self, service: Service) -> None:
        """Put a Service in."""
        if not (service.headless and service.selector):
            return
        anchors = self._anchors.setdefault(service.namespace, {})
        pair = min(service.selector.items(), key=lambda one: len(anchors.get(one, ())))
        anchors.setdefault(pair, {})[service.name] = service
        self._pairs[service.key] = pair

    def remove(self, service: Service) -> None:
        """Take a Service out."""
        pair = self._pairs.pop(service.key, None)
        if pair is None:
            return
        anchors = self._anchors[service.namespace]
        del anchors[pair][service.name]
        if not anchors[pair]:
            del anchors[pair]

    def services(self, vmi: VirtualMachineInstance) -> list[str]:
        """Return the names of the Services that select the VMI."""
        anchors = self._anchors.get(vmi.namespace)
        if not anchors:
            return []
        candidates = (service for pair in pod_labels(vmi).items() for service in anchors.get(pair, {}).values())
        return [service.name for service in candidates if selects(service, vmi)]


class PodIndex:
    """Joins EndpointSlices and VMIs by pod UID: `endpoint.targetRef.uid in status.activePods`."""

    def __init__(self) -> None:
        self._owners: dict[Uid, VirtualMachineInstance] = {}  # pod UID -> VMI, which no key of its own is made for
        self._endpoints: dict[Uid, tuple[tuple[Key, _Place], ...]] = {}  # pod UID -> (slice, what it says)

    def owner(self, uid: Uid) -> Key | None:
        """Return the VMI that a pod runs."""
        owner = self._owners.get(uid)
        return owner.key if owner else None

    def owned(self, uid: Uid) -> bool:
        """Say whether a pod runs a VMI."""
        return uid in self._owners

    def slices(self, uid: Uid) -> tuple[Key, ...]:
        """Return the EndpointSlices that list a pod."""
        return tuple(key for key, _ in self._endpoints.get(uid, ()))

    def addresses(self, vmi: VirtualMachineInstance, own_slices: Set[str]) -> PodAddresses:
        """Return what EndpointSlices say of the VMI's pods; the pod on status.nodeName is the current one.

        `own_slices` are those of the Service that asks, by name.
        """
        pods = vmi.pod_nodes
        if not any(uid in self._endpoints for uid, _ in pods):
            return NO_PODS
        current: set[bytes] = set()
        other: set[bytes] = set()
        served: set[bytes] = set()
        topology = ""
        for uid, node in pods:
            for (namespace, name), (addresses, zone) in self._endpoints.get(uid, ()):
                if namespace != vmi.namespace:  # anybody may write any UID into a slice of a namespace of his own
                    continue
                (current if node == vmi.node else other).update(addresses)
                if node == vmi.node and name in own_slices:
                    served.update(addresses)
                    topology = zone
        return PodAddresses(frozenset(current), frozenset(other - current), frozenset(served), topology)

    def set_pods(self, previous: VirtualMachineInstance | None, vmi: VirtualMachineInstance | None) -> set[Uid]:
        """Take a VMI's pods in; return the pods that have changed their owner."""
        before = {uid for uid, _ in previous.pod_nodes} if previous else set()
        after = {uid for uid, _ in vmi.pod_nodes} if vmi else set()
        for uid in before - after:
            if previous and self.owner(uid) == previous.key:
                del self._owners[uid]
        if vmi:
            self._owners.update(dict.fromkeys(after, vmi))
        return before ^ after

    def set_slice(self, previous: EndpointSlice | None, current: EndpointSlice | None) -> set[Uid]:
        """Take a slice's endpoints in; return the pods whose addresses it has changed."""
        before, after = _by_pod(previous), _by_pod(current)
        changed = {uid for uid in before.keys() | after.keys() if before.get(uid) != after.get(uid)}
        for uid in changed:
            known = self._endpoints.get(uid, ())
            one = previous or current
            kept = tuple(entry for entry in known if one is None or entry[0] != one.key)
            added = ((current.key, after[uid]),) if current and uid in after else ()
            if kept or added:
                self._endpoints[uid] = kept + added
            else:
                self._endpoints.pop(uid, None)
        return changed


def _by_pod(one: EndpointSlice | None) -> dict[Uid, _Place]:
    """Return what a slice says by pod UID."""
    found: dict[Uid, _Place] = {}
    for endpoint in one.endpoints if one and one.service else ():  # without: a mirror slice of another network
        if endpoint.target_uid != "":
            known, _ = found.get(endpoint.target_uid, ((), ""))
            found[endpoint.target_uid] = known + endpoint.addresses, endpoint.zone
    return found


class AddressIndex:
    """Finds the pods that have an address: usually one; those on the host's network share it."""

    def __init__(self) -> None:
        self._pods: dict[bytes, tuple[Key, ...]] = {}

    def pods(self, address: bytes) -> tuple[Key, ...]:
        """Return the pods that have an address."""
        return self._pods.get(address, ())

    def has(self, namespace: str, address: bytes) -> bool:
        """Say whether a pod of the namespace has the address."""
        return any(key[0] == namespace for key in self.pods(address))

    def add(self, pod: Pod) -> None:
        """Put a pod in, if it has an address."""
        if pod.address:
            self._pods[pod.address] = (*self.pods(pod.address), pod.key)

    def remove(self, pod: Pod) -> None:
        """Take a pod out."""
        left = tuple(key for key in self.pods(pod.address) if key != pod.key)
        if left:
            self._pods[pod.address] = left
        else:
            self._pods.pop(pod.address, None)
