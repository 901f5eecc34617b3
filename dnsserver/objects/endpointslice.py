"""EndpointSlices as the DNS sees them; no I/O."""

from sys import intern

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.ports import Port, valid_number
from dnsserver.objects.views import Meta, PortView, View, packed


class SliceEndpoint(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of an EndpointSlice."""

    addresses: tuple[bytes, ...]  # packed; what is not an IP address is left out
    ready: bool  # an unset condition counts as ready (discovery/v1 EndpointConditions)
    hostname: str  # "" where it has none
    target_name: str  # targetRef.name, "" where it has none
    target_uid: str  # targetRef.uid, "" where it has none


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice with the Service that it belongs to."""

    namespace: str
    name: str
    uid: str
    service: str  # the label kubernetes.io/service-name; "" where it belongs to none
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[Port, ...]

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.namespace, self.name

    @property
    def service_key(self) -> Key:
        """The Service that it belongs to."""
        return self.namespace, self.service


class LabelsView(msgspec.Struct, gc=False):
    """The one label that matters."""

    service: str | None = msgspec.field(default=None, name="kubernetes.io/service-name")


class SliceMeta(Meta):
    """What the API sends."""

    labels: LabelsView | None = None


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


class EndpointSliceView(View):
    """What the API sends."""

    metadata: SliceMeta
    endpoints: list[EndpointView] | None = None
    ports: list[PortView] | None = None


def endpoint_slice(view: EndpointSliceView) -> EndpointSlice:
    """Return the slim object."""
    labels = view.metadata.labels
    return EndpointSlice(
        namespace=view.metadata.namespace or "",
        name=view.metadata.name,
        uid=view.metadata.uid or "",
        service=(labels.service if labels else None) or "",
        endpoints=tuple(_endpoint(endpoint) for endpoint in view.endpoints or ()),
        ports=tuple(
            Port(port.name or "", port.protocol or "TCP", port.port or 0)
            for port in view.ports or ()
            if valid_number(port.port)
        ),
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
        target_uid=intern((target.uid if target else None) or ""),  # the same text stands in a VMI's activePods
    )
