"""EndpointSlices as the DNS sees them; no I/O."""

from sys import intern

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.ports import Port, valid_number
from dnsserver.objects.uids import Uid, pack_uid
from dnsserver.objects.views import Meta, PortView, View, packed, unix_time


class SliceEndpoint(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of an EndpointSlice."""

    addresses: tuple[bytes, ...]  # packed; what is not an IP address is left out
    ready: bool  # an unset condition counts as ready (discovery/v1 EndpointConditions)
    hostname: str  # "" where it has none
    target_name: str  # targetRef.name, "" where it has none
    target_uid: Uid  # targetRef.uid, packed as a VMI's active pods are; "" where it has none
    zone: str = ""  # the topology zone, for zonal names


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice with the Service that it belongs to."""

    namespace: str
    name: str
    uid: str
    service: str  # the label kubernetes.io/service-name; "" where it belongs to none
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[Port, ...]
    imported: str = ""  # the ServiceImport that it belongs to (label multicluster.kubernetes.io/service-name)
    cluster: str = ""  # where an imported slice comes from (label multicluster.kubernetes.io/source-cluster)
    triggered: float = 0.0  # Unix time of the change that it shows (annotation), 0 where not told
    created: int = 0  # metadata.creationTimestamp in Unix time, 0 where not told

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.namespace, self.name

    @property
    def service_key(self) -> Key:
        """The Service that it belongs to."""
        return self.namespace, self.service


class LabelsView(msgspec.Struct, gc=False):
    """The labels that matter."""

    service: str | None = msgspec.field(default=None, name="kubernetes.io/service-name")
    imported: str | None = msgspec.field(default=None, name="multicluster.kubernetes.io/service-name")
    cluster: str | None = msgspec.field(default=None, name="multicluster.kubernetes.io/source-cluster")


class AnnotationsView(msgspec.Struct, gc=False):
    """The one annotation that matters."""

    triggered: str | None = msgspec.field(default=None, name="endpoints.kubernetes.io/last-change-trigger-time")


class SliceMeta(Meta):
    """What the API sends."""

    labels: LabelsView | None = None
    annotations: AnnotationsView | None = None


class ConditionsView(View):
    """What the API sends."""

    ready: bool | None = None


class TargetView(View):
    """What the API sends."""

    name: str | None = None
    uid: str | None = None


class EndpointView(View):
    """What the API sends."""

    addresses: list[str] | None = None
    conditions: ConditionsView | None = None
    hostname: str | None = None
    target_ref: TargetView | None = None
    zone: str | None = None


class EndpointSliceView(View):
    """What the API sends."""

    metadata: SliceMeta
    endpoints: list[EndpointView] | None = None
    ports: list[PortView] | None = None


def endpoint_slice(view: EndpointSliceView) -> EndpointSlice:
    """Return the slim object."""
    labels = view.metadata.labels or LabelsView()
    annotations = view.metadata.annotations
    return EndpointSlice(
        namespace=view.metadata.namespace or "",
        name=view.metadata.name,
        uid=view.metadata.uid or "",
        service=labels.service or "",
        endpoints=tuple(_endpoint(endpoint) for endpoint in view.endpoints or ()),
        ports=tuple(
            Port(port.name or "", port.protocol or "TCP", port.port or 0)
            for port in view.ports or ()
            if valid_number(port.port)
        ),
        imported=labels.imported or "",
        cluster=labels.cluster or "",
        triggered=unix_time(annotations.triggered if annotations else None),
        created=view.metadata.created,
    )


def _endpoint(view: EndpointView) -> SliceEndpoint:
    """Return one endpoint."""
    target = view.target_ref
    ready = view.conditions.ready if view.conditions else None
    return SliceEndpoint(
        addresses=tuple(address for text in view.addresses or () if (address := packed(text)) is not None),
        ready=ready is not False,
        hostname=view.hostname or "",
        target_name=(target.name if target else None) or "",
        target_uid=pack_uid((target.uid if target else None) or ""),
        zone=intern((view.zone or "").lower()),
    )
