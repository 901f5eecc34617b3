"""The parts of a VirtualMachineInstance that are decoded, as the API sends them; no I/O."""

import msgspec

from dnsserver.objects.views import Meta, PortView, View


class AnnotationsView(msgspec.Struct, gc=False):
    """The one annotation that matters."""

    inject: str | None = msgspec.field(default=None, name="sidecar.istio.io/inject")


class VMIMeta(Meta):
    """What the API sends."""

    labels: dict[str, str] | None = None
    annotations: AnnotationsView | None = None
    deletion_timestamp: str | None = None


class PodNetworkView(View):
    """What the API sends."""

    vm_network_cidr: str | None = msgspec.field(default=None, name="vmNetworkCIDR")
    vm_ipv6_network_cidr: str | None = msgspec.field(default=None, name="vmIPv6NetworkCIDR")


class MultusView(View):
    """What the API sends."""

    network_name: str | None = None  # of the NetworkAttachmentDefinition: `NAME` or `NAMESPACE/NAME`
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
