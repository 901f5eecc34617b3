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
from dnsserver.objects.views import PortView, View, parsed

# pkg/network/link: what a masquerade guest sees unless spec.networks[].pod says otherwise
DEFAULT_VM_CIDR = "10.0.2.0/24"
DEFAULT_VM_IPV6_CIDR = "fd10:0:2::/120"


class Ready(msgspec.Struct, frozen=True, gc=False):
    """The Ready condition; absent counts as not ready."""

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


class VirtualMachineInstance(msgspec.Struct, frozen=True, gc=False):
    """A VMI."""

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    inject: str | None  # annotation sidecar.istio.io/inject, which the pod carries as a label
    hostname: str  # spec.hostname, "" where unset
    subdomain: str  # spec.subdomain, "" where unset
    deleting: bool
    phase: str
    node: str
    active_pods: dict[str, str]  # pod UID -> node
    ready: Ready
    handing_over: bool  # migrated, but KubeVirt has not finished the hand-over (migrationState)
    primary: PrimaryInterface | None  # None: it has no interface on a primary network

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.namespace, self.name


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
    return VirtualMachineInstance(
        namespace=intern(meta.namespace or ""),
        name=meta.name,
        uid=meta.uid or "",
        labels=meta.labels or {},
        inject=meta.annotations.inject if meta.annotations else None,
        hostname=spec.hostname or "",
        subdomain=intern(spec.subdomain or ""),
        deleting=meta.deletion_timestamp is not None,
        phase=intern(status.phase or ""),
        node=intern(status.node_name or ""),
        active_pods={intern(uid): intern(node) for uid, node in (status.active_pods or {}).items()},
        ready=_ready(status.conditions or []),
        handing_over=_handing_over(status),
        primary=_primary(spec, status),
    )


def _ready(conditions: list[ConditionView]) -> Ready:
    """Return the Ready condition."""
    for condition in conditions:
        if condition.type == "Ready":
            return Ready(
                condition.status == "True",
                intern(condition.reason or ""),
                condition.last_transition_time or "",
            )
    return Ready(False, "", "")


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


def _primary(spec: SpecView, status: StatusView) -> PrimaryInterface | None:
    """Return the interface on the primary network (vmispec LookUpDefaultNetwork), None where there is none."""
    devices = (spec.domain.devices if spec.domain else None) or DevicesView()
    network = _primary_network(spec.networks or [], devices)
    if network is None:
        return None
    interface = next((one for one in devices.interfaces or () if one.name == network.name), None)
    reported = next((one for one in status.interfaces or () if one.name == network.name), None)
    addresses, dropped = _addresses(network, interface, reported) if reported else ((), ())
    return PrimaryInterface(
        network=intern(network.name),
        masquerade=interface is not None and interface.masquerade is not None,
        addresses=addresses,
        dropped=dropped,
        ports=tuple(port for one in devices.interfaces or () for port in _ports(one)),
    )


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


def _addresses(
    network: NetworkView, interface: InterfaceView | None, reported: StatusInterfaceView
) -> tuple[tuple[bytes, ...], tuple[tuple[str, str], ...]]:
    """Return the usable addresses of the primary network's status entry, and those dropped with the reason.

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
    return tuple(usable), tuple(dropped)


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
