"""Services as the DNS sees them; no I/O."""

from collections.abc import Iterator

import msgspec

from dnsserver.objects.kinds import Key
from dnsserver.objects.ports import valid_number
from dnsserver.objects.views import Meta, View, packed

HEADLESS = "None"  # spec.clusterIP of a headless Service


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    """A port of a Service: `number` is its own, `target` the one its endpoints listen on (a number or a name)."""

    name: str
    protocol: str
    number: int
    target: int | str


class Service(msgspec.Struct, frozen=True, gc=False):
    """A Service."""

    namespace: str
    name: str
    uid: str
    headless: bool  # spec.clusterIP is "None"; never true of an ExternalName Service
    external_name: str  # "" unless spec.type is ExternalName
    cluster_ips: tuple[bytes, ...]  # packed, in the Service's order, distinct
    selector: dict[str, str]  # empty: selects nothing (Kubernetes getServicesForPod)
    families: frozenset[int]  # 4 and 6: the families it serves; both where the API server says nothing
    publish_not_ready: bool  # spec.publishNotReadyAddresses
    ports: tuple[ServicePort, ...]
    external_ips: tuple[bytes, ...] = ()  # spec.externalIPs, packed
    ingress: tuple[bytes | str, ...] = ()  # status.loadBalancer.ingress: packed addresses, and host names
    imported: bool = False  # a ServiceImport, not a Service of this cluster
    created: int = 0  # metadata.creationTimestamp in Unix time, 0 where not told

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return self.namespace, self.name


class ServicePortView(View):
    """What the API sends."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    target_port: int | str | None = None


class SpecView(View):
    """What the API sends."""

    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_name: str | None = None
    selector: dict[str, str] | None = None
    ip_families: list[str] | None = None
    publish_not_ready_addresses: bool | None = None
    ports: list[ServicePortView] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")


class IngressView(View):
    """What the API sends."""

    ip: str | None = None
    hostname: str | None = None


class LoadBalancerView(View):
    """What the API sends."""

    ingress: list[IngressView] | None = None


class StatusView(View):
    """What the API sends."""

    load_balancer: LoadBalancerView | None = None


class ServiceView(View):
    """What the API sends."""

    metadata: Meta
    spec: SpecView | None = None
    status: StatusView | None = None


_FAMILY = {"IPv4": 4, "IPv6": 6}
_BOTH = frozenset(_FAMILY.values())


def service(view: ServiceView) -> Service:
    """Return the slim object."""
    spec = view.spec or SpecView()
    external = spec.type == "ExternalName"
    return Service(
        namespace=view.metadata.namespace or "",
        name=view.metadata.name,
        uid=view.metadata.uid or "",
        headless=spec.cluster_ip == HEADLESS and not external,
        external_name=(spec.external_name or "") if external else "",
        cluster_ips=() if external else _cluster_ips(spec),
        selector=spec.selector or {},
        families=frozenset(_FAMILY[name] for name in spec.ip_families or () if name in _FAMILY) or _BOTH,
        publish_not_ready=bool(spec.publish_not_ready_addresses),
        ports=tuple(_port(port) for port in spec.ports or () if valid_number(port.port)),
        external_ips=_packed(spec.external_ips or []),
        ingress=tuple(_ingress(view.status.load_balancer if view.status else None)),
        created=view.metadata.created,
    )


def _cluster_ips(spec: SpecView) -> tuple[bytes, ...]:
    """Return `clusterIPs`, or the older `clusterIP` where that is all there is; "None" and nonsense drop out."""
    texts = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    return _packed(texts)


def _packed(texts: list[str]) -> tuple[bytes, ...]:
    """Return the addresses among the texts, packed and distinct, in their order."""
    return tuple(dict.fromkeys(address for text in texts if (address := packed(text)) is not None))


def _ingress(balancer: LoadBalancerView | None) -> Iterator[bytes | str]:
    """Yield what a load balancer is reached by."""
    for ingress in (balancer.ingress if balancer else None) or ():
        address = packed(ingress.ip or "")
        if address is not None:
            yield address
        elif ingress.hostname:
            yield ingress.hostname


def _port(view: ServicePortView) -> ServicePort:
    """Return one port with the defaults that the API server would have filled in."""
    number = view.port or 0
    return ServicePort(view.name or "", view.protocol or "TCP", number, view.target_port or number)
