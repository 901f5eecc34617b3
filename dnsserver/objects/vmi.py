"""VirtualMachineInstances as the DNS sees them (kubevirt.io/v1 and v1alpha3, one schema); no I/O.

Every address rule that needs nothing but the VMI itself is applied here, at the door: what is left in `addresses` is
publishable as far as the VMI can tell, and `dropped` says what was left out and why.
"""

import ipaddress
from collections.abc import Callable
from sys import intern

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.ports import Port, valid_number
from dnsserver.objects.shared import share
from dnsserver.objects.uids import Uid, pack_uid, uid_text
from dnsserver.objects.views import PortView, View, parsed

# pkg/network/link: what a masquerade guest sees unless spec.networks[].pod says otherwise
DEFAULT_VM_CIDR = "10.0.2.0/24"
DEFAULT_VM_IPV6_CIDR = "fd10:0:2::/120"


_NAME, _NODE = 1, 2
_Own = int  # stands for the VMI's own name (_NAME) or its node (_NODE), which KubeVirt repeats as labels of every VMI

# What the status says of the primary interface: usable addresses, packed, in its order, then those that were left out,
# with the reason. One address alone, as nearly always, is no tuple.
Reported = bytes | tuple[bytes | tuple[str, str], ...]


class Ready(msgspec.Struct, frozen=True, gc=False):
    """The Ready condition; absent counts as not ready. Why and since when is kept only of one that is not."""

    status: bool
    reason: str
    since: str  # lastTransitionTime as the API spells it, "" where unset


class PrimaryInterface(msgspec.Struct, frozen=True, gc=False):
    """The interface on the VMI's primary network: the pod network, or the Multus network marked default."""

    network: str  # its name in spec.networks
    masquerade: bool
    addresses: tuple[bytes, ...]  # packed, distinct, in KubeVirt's order
    dropped: tuple[tuple[str, str], ...]  # (address as reported, why it is never published)
    ports: tuple[Port, ...]  # what the interface declares: resolves a Service's named targetPort


class Shape(msgspec.Struct, frozen=True, gc=False):
    """What many VMIs have in common, such as those of one group: one object for all of them."""

    namespace: str
    label_keys: tuple[str, ...]
    label_values: tuple[str | _Own, ...]
    inject: str | None  # annotation sidecar.istio.io/inject, which the pod carries as a label
    subdomain: str  # spec.subdomain, "" where unset
    deleting: bool
    phase: str
    handing_over: bool  # migrated, but KubeVirt has not finished the hand-over (migrationState)
    network: str | None  # the primary one's name; None: it has no interface on a primary network
    masquerade: bool
    ports: tuple[Port, ...]


class VirtualMachineInstance(msgspec.Struct, frozen=True, gc=False):
    """A VMI.

    There may be 100,000: what others have too is in `shape`, and the rest is in the smallest form that it has. Equal
    VMIs have equal fields.
    """

    name: str
    packed_uid: Uid
    hostname: str  # spec.hostname, "" where unset
    node: str
    pods: Uid | tuple[tuple[Uid, str], ...]  # status.activePods; a UID alone is that of the only pod, on `node`
    ready: Ready
    reported: Reported
    shape: Shape

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.shape.namespace, self.name

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return self.shape.namespace

    @property
    def uid(self) -> str:
        """metadata.uid, "" where it has none."""
        return uid_text(self.packed_uid)

    @property
    def labels(self) -> dict[str, str]:
        """metadata.labels."""
        return {
            key: self._label(value) for key, value in zip(self.shape.label_keys, self.shape.label_values, strict=True)
        }

    def label(self, key: str) -> str | None:
        """Return one label's value."""
        keys = self.shape.label_keys
        return self._label(self.shape.label_values[keys.index(key)]) if key in keys else None

    def _label(self, value: "str | _Own") -> str:
        """Return the text of a label's value."""
        return value if isinstance(value, str) else self.name if value == _NAME else self.node

    @property
    def inject(self) -> str | None:
        """The annotation sidecar.istio.io/inject, which the pod carries as a label."""
        return self.shape.inject

    @property
    def subdomain(self) -> str:
        """spec.subdomain, "" where unset."""
        return self.shape.subdomain

    @property
    def deleting(self) -> bool:
        """Whether it has a deletionTimestamp."""
        return self.shape.deleting

    @property
    def phase(self) -> str:
        """status.phase."""
        return self.shape.phase

    @property
    def handing_over(self) -> bool:
        """Whether it has migrated, but KubeVirt has not finished the hand-over (migrationState)."""
        return self.shape.handing_over

    @property
    def pod_nodes(self) -> tuple[tuple[Uid, str], ...]:
        """The active pods, each with its node."""
        return self.pods if isinstance(self.pods, tuple) else ((self.pods, self.node),)

    @property
    def active_pods(self) -> dict[str, str]:
        """status.activePods: pod UID -> node."""
        return {uid_text(uid): node for uid, node in self.pod_nodes}

    @property
    def primary(self) -> PrimaryInterface | None:
        """The interface on its primary network; None where it has none."""
        if self.shape.network is None:
            return None
        reported = (self.reported,) if isinstance(self.reported, bytes) else self.reported
        return PrimaryInterface(
            self.shape.network,
            self.shape.masquerade,
            tuple(one for one in reported if isinstance(one, bytes)),
            tuple(one for one in reported if isinstance(one, tuple)),
            self.shape.ports,
        )


class AnnotationsView(msgspec.Struct, gc=False):
    """The one annotation that matters."""

    inject: str | None = msgspec.field(default=None, name="sidecar.istio.io/inject")


class VMIMeta(View):
    """What the API sends."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    labels: dict[str, str] | None = None
    annotations: AnnotationsView | None = None
    deletion_timestamp: str | None = None


class PodNetworkView(View):
    """What the API sends."""

    vm_network_cidr: str | None = msgspec.field(default=None, name="vmNetworkCIDR")
    vm_ipv6_network_cidr: str | None = msgspec.field(default=None, name="vmIPv6NetworkCIDR")


class MultusView(View):
    """What the API sends."""

    default: bool | None = None


class NetworkView(View):
    """What the API sends."""

    name: str
    pod: PodNetworkView | None = None
    multus: MultusView | None = None


class InterfaceView(View):
    """What the API sends."""

    name: str
    masquerade: dict[str, object] | None = None
    bridge: dict[str, object] | None = None
    ports: list[PortView] | None = None


class DevicesView(View):
    """What the API sends."""

    interfaces: list[InterfaceView] | None = None
    autoattach_pod_interface: bool | None = None


class DomainView(View):
    """What the API sends."""

    devices: DevicesView | None = None


class SpecView(View):
    """What the API sends."""

    hostname: str | None = None
    subdomain: str | None = None
    networks: list[NetworkView] | None = None
    domain: DomainView | None = None


class ConditionView(View):
    """What the API sends."""

    type: str
    status: str | None = None
    reason: str | None = None
    last_transition_time: str | None = None


class StatusInterfaceView(View):
    """What the API sends."""

    name: str | None = None
    ip_address: str | None = None
    ip_addresses: list[str] | None = None
    info_source: str | None = None


class MigrationView(View):
    """What the API sends."""

    target_node: str | None = None
    end_timestamp: str | None = None
    completed: bool | None = None
    failed: bool | None = None


class StatusView(View):
    """What the API sends."""

    phase: str | None = None
    node_name: str | None = None
    active_pods: dict[str, str] | None = None
    conditions: list[ConditionView] | None = None
    interfaces: list[StatusInterfaceView] | None = None
    migration_state: MigrationView | None = None


class VMIView(View):
    """What the API sends."""

    metadata: VMIMeta
    spec: SpecView | None = None
    status: StatusView | None = None


def virtual_machine_instance(view: VMIView) -> VirtualMachineInstance:
    """Return the slim object.

    Raises `ValueError` where a field that decides the answer makes no sense: a network range that is not one.
    """
    meta, spec, status = view.metadata, view.spec or SpecView(), view.status or StatusView()
    node = intern(status.node_name or "")
    network, masquerade, reported = _primary(spec, status)
    labels = meta.labels or {}
    shape = Shape(
        namespace=intern(meta.namespace or ""),
        label_keys=share(tuple(labels)),
        label_values=tuple(_own(value, meta.name, node) for value in labels.values()),
        inject=meta.annotations.inject if meta.annotations else None,
        subdomain=intern(spec.subdomain or ""),
        deleting=meta.deletion_timestamp is not None,
        phase=intern(status.phase or ""),
        handing_over=_handing_over(status),
        network=network,
        masquerade=masquerade,
        ports=_declared(spec) if network is not None else (),
    )
    return VirtualMachineInstance(
        name=meta.name,
        packed_uid=pack_uid(meta.uid or ""),
        hostname=spec.hostname or "",
        node=node,
        pods=_pods(status.active_pods or {}, node),
        ready=_ready(status.conditions or []),
        reported=reported,
        shape=share(shape),
    )


def _own(value: str, name: str, node: str) -> str | _Own:
    """Return a label's value; one that repeats the VMI's own name or node by what stands for it, as it is shared."""
    return _NAME if value == name else _NODE if value == node else value


def _pods(pods: dict[str, str], node: str) -> Uid | tuple[tuple[Uid, str], ...]:
    """Return the active pods."""
    if len(pods) == 1 and node in pods.values():
        return pack_uid(next(iter(pods)))
    return tuple((pack_uid(uid), intern(where)) for uid, where in pods.items())


def _ready(conditions: list[ConditionView]) -> Ready:
    """Return the Ready condition."""
    for condition in conditions:
        if condition.type == "Ready":
            if condition.status == "True":
                return _READY
            return share(Ready(False, condition.reason or "", condition.last_transition_time or ""))
    return _ABSENT


_READY, _ABSENT = Ready(True, "", ""), Ready(False, "", "")


def _handing_over(status: StatusView) -> bool:
    """Say whether the guest runs on the target while KubeVirt still completes the migration.

    `migrationState` stays in the status for good, so its presence says nothing (virt-controller,
    ackMigrationCompletion).
    """
    migration = status.migration_state
    return (
        migration is not None
        and bool(migration.end_timestamp)
        and not migration.failed
        and not migration.completed
        and bool(status.node_name)
        and status.node_name == migration.target_node
    )


def _primary(spec: SpecView, status: StatusView) -> tuple[str | None, bool, Reported]:
    """Return the primary network's name (vmispec LookUpDefaultNetwork), how it is bound, and what is reported of it.

    The name is None, and nothing reported, where the VMI has no interface on such a network.
    """
    devices = _devices(spec)
    network = _primary_network(spec.networks or [], devices)
    if network is None:
        return None, False, ()
    interface = next((one for one in devices.interfaces or () if one.name == network.name), None)
    reported = next((one for one in status.interfaces or () if one.name == network.name), None)
    found = _addresses(network, interface, reported) if reported else ()
    return intern(network.name), interface is not None and interface.masquerade is not None, found


def _devices(spec: SpecView) -> DevicesView:
    """Return the VMI's devices."""
    return (spec.domain.devices if spec.domain else None) or DevicesView()


def _primary_network(networks: list[NetworkView], devices: DevicesView) -> NetworkView | None:
    """Return the entry of spec.networks that is the pod's own network.

    A VMI without networks and interfaces gets a pod network named "default", unless it opted out: the mutating webhook
    normally writes that, and a foreign API server may not have.
    """
    if not networks and not devices.interfaces and devices.autoattach_pod_interface is not False:
        return NetworkView("default", pod=PodNetworkView())
    for network in networks:
        if network.pod is not None or (network.multus is not None and network.multus.default):
            return network
    return None


def _declared(spec: SpecView) -> tuple[Port, ...]:
    """Return the ports that a VMI declares, whichever interface is theirs."""
    return tuple(port for one in _devices(spec).interfaces or () for port in _ports(one))


def _ports(interface: InterfaceView) -> tuple[Port, ...]:
    """Return the ports that an interface declares; KubeVirt makes those of all of them container ports of the pod."""
    return tuple(
        Port(port.name or "", port.protocol or "TCP", port.port or 0)
        for port in interface.ports or ()
        if valid_number(port.port)
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Rule = Callable[[_Address], bool]

# what no interface's address may be, whatever the binding
_NEVER: tuple[tuple[_Rule, str], ...] = (
    (lambda address: address.is_link_local, "link-local"),
    (lambda address: address.is_loopback, "loopback"),
    (lambda address: address.is_multicast, "multicast"),
    (lambda address: address.is_unspecified, "unspecified"),
)


def _addresses(network: NetworkView, interface: InterfaceView | None, reported: StatusInterfaceView) -> Reported:
    """Return the usable addresses of the primary network's status entry, then those dropped with the reason.

    Entries without a name are devices inside the guest (docker0, cni0): the match by name has left them out.
    """
    rules = (*_NEVER, *_binding_rules(network, interface, reported))
    usable: dict[bytes, None] = {}
    dropped = []
    for text in reported.ip_addresses or ([reported.ip_address] if reported.ip_address else []):
        try:
            address = parsed(text)
        except ValueError:
            dropped.append((text, "not an IP address"))
            continue
        if reason := next((why for rule, why in rules if rule(address)), ""):
            dropped.append((text, reason))
        else:
            usable[address.packed] = None
    if len(usable) == 1 and not dropped:
        return next(iter(usable))
    return (*usable, *dropped)


def _binding_rules(
    network: NetworkView, interface: InterfaceView | None, reported: StatusInterfaceView
) -> tuple[tuple[_Rule, str], ...]:
    """Return what the interface's binding adds to the rules.

    Masquerade gives every guest the same inner addresses, and kubevirt#18760 lets them leak into the status. Bridge
    hands the pod's IPv4 to the guest and never its IPv6, which KubeVirt before 1.9 listed all the same; only the guest
    agent can tell that the guest has one.
    """
    pod = network.pod
    if pod is None or interface is None:
        return ()
    if interface.masquerade is not None:
        inner = (
            ipaddress.ip_network(pod.vm_network_cidr or DEFAULT_VM_CIDR, strict=False),
            ipaddress.ip_network(pod.vm_ipv6_network_cidr or DEFAULT_VM_IPV6_CIDR, strict=False),
        )
        return ((lambda address: any(address in one for one in inner), "inside the guest's masquerade network"),)
    if interface.bridge is not None and "guest-agent" not in (reported.info_source or ""):
        return ((lambda address: address.version == 6, "the pod's IPv6 does not reach a bridged guest"),)
    return ()
