"""The records of a Service's own names, and the endpoints that its EndpointSlices give it; no I/O.

Kubernetes DNS-Based Service Discovery, sections 2.3 and 2.4, as CoreDNS answers it (plugin/kubernetes).
"""

from collections.abc import Callable, Iterator

from immutables import Map

from dnsserver.derive.endpoint import Endpoint, Host, HostRecords, address_rrsets, dashed, srv_rrsets
from dnsserver.names import (
    MAX_LABEL,
    MAX_NAME,
    ROOT,
    InvalidNameError,
    Name,
    from_labels,
    is_dns1123_label,
    spelled_from_text,
)
from dnsserver.objects import EndpointSlice, Port, Service, SliceEndpoint
from dnsserver.objects.uids import Uid
from dnsserver.objects.views import packed
from dnsserver.records import RRset, RRType

# generateName of every pod that runs a VMI (KubeVirt, template.go); what is cut off a long one is its end
_LAUNCHER = "virt-launcher-"

PortLabels = tuple[bytes, bytes]  # (b"_http", b"_tcp")


class ServiceView:
    """One version of a Service with its endpoints; what its names answer is derived when they are first asked for.

    A Service may have very many endpoints: they are shared with the version before, and joined only when needed.
    """

    __slots__ = ("_complete", "_hosts", "_service", "_ttl")

    def __init__(self, service: Service, hosts: Map[bytes, Host | HostRecords], ttl: int, *, complete: bool) -> None:
        self._service = service
        self._hosts = hosts
        self._ttl = ttl
        self._complete = complete  # False: some endpoints are not ours to answer for, so neither is their union

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the records of the Service's own name."""
        if self._service.external_name:
            return external_name_rrsets(owner, self._service.external_name, self._ttl)
        return self._select(owner, owner, _any_port)

    def port_rrsets(self, owner: Name, service: Name, labels: PortLabels) -> tuple[RRset, ...]:
        """Return the records of `_port._protocol.<service>`: SRV, and the addresses behind that port."""
        return self._select(owner, service, lambda port: bool(port.name) and port.labels == labels)

    @property
    def headless(self) -> bool:
        """Whether the Service's own name stands for its endpoints."""
        return self._service.headless

    @property
    def joins_endpoints(self) -> bool:
        """Whether its own addresses are those of all its endpoints."""
        return self._service.headless and self._complete and not self._service.external_name

    def zonal_rrsets(self, owner: Name, zone: str, *, elsewhere: bool) -> tuple[RRset, ...]:
        """Return the addresses of the endpoints in one topology zone; those of all where it has none, if allowed."""
        hosts = self._hosts.values() if self._complete else ()
        endpoints = [endpoint for host in hosts for endpoint in host.endpoints]
        there = [endpoint for endpoint in endpoints if endpoint.zone == zone] or (endpoints if elsewhere else [])
        return address_rrsets(owner, self._ttl, [address for endpoint in there for address in endpoint.addresses])

    def _select(self, owner: Name, service: Name, wanted: Callable[[Port], bool]) -> tuple[RRset, ...]:
        """Return the records at `owner` of the ports that are wanted."""
        targets = [
            (target, addresses, matched)
            for target, addresses, ports in self._targets(service)
            if (matched := tuple(filter(wanted, ports))) or wanted is _any_port
        ]
        addresses = [address for _, some, _ in targets for address in some]
        return address_rrsets(owner, self._ttl, addresses) + srv_rrsets(
            owner, self._ttl, [(target, len(some), ports) for target, some, ports in targets]
        )

    def _targets(self, service: Name) -> Iterator[tuple[Name, tuple[bytes, ...], tuple[Port, ...]]]:
        """Yield (SRV target, addresses, ports): the Service itself with a cluster IP, each endpoint without."""
        if not self._service.headless:
            yield service, self._service.cluster_ips, service_ports(self._service)
        elif self._complete:
            for host in self._hosts.values():
                for endpoint in host.endpoints:
                    yield Name(endpoint.prefix + service), endpoint.addresses, endpoint.ports


class PortRecords:
    """The records of `_port._protocol.<service>`, derived when they are asked for."""

    __slots__ = ("_labels", "_service", "_view")

    def __init__(self, view: ServiceView, service: Name, labels: PortLabels) -> None:
        self._view = view
        self._service = service
        self._labels = labels

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the RRsets."""
        return self._view.port_rrsets(owner, self._service, self._labels)


def _any_port(port: Port) -> bool:
    """Take every port, and endpoints that have none."""
    del port
    return True


def service_name(service: Service, origin: Name) -> Name | None:
    """Return `<service>.<namespace>.svc.<zone>`.

    None where Kubernetes would not take the names (upper case, dots), or no host name would fit below it.
    """
    if not (is_dns1123_label(service.name) and is_dns1123_label(service.namespace)):
        return None
    try:
        name = from_labels((service.name.encode(), service.namespace.encode(), b"svc"), origin)
    except InvalidNameError:
        return None
    return name if len(name) + 1 + MAX_LABEL <= MAX_NAME else None


def service_ports(service: Service) -> tuple[Port, ...]:
    """Return a Service's own ports."""
    return tuple(Port(port.name, port.protocol, port.number) for port in service.ports)


def slice_endpoints(
    endpoint_slice: EndpointSlice,
    owned_by_vmi: Callable[[Uid], bool],
    *,
    pod_names: bool,
    imported: bool = False,
    launchers: bool = True,
) -> tuple[Endpoint, ...]:
    """Return the ready endpoints of a slice that are not a VMI's, each address under its own name.

    Without `launchers`, a pod that only a VMI can have is a VMI's also before its VMI lists it, and after: the two
    watches do not keep step, and a pod that provisions a volume is never listed (kubevirt.io/ephemeral-provisioning).

    CoreDNS reads nothing but the ready condition: the slice controller has settled the rest. Below a ServiceImport
    (`imported`) a slice without a DNS label for its cluster has no names to give; below a Service, which a slice may
    have as well, the cluster is no part of them.
    """
    cluster = endpoint_slice.cluster.lower() if imported else ""
    if imported and not is_dns1123_label(cluster):
        return ()
    return tuple(
        Endpoint(
            _endpoint_label(endpoint, address, pod_names=pod_names),
            (address,),
            endpoint_slice.ports,
            cluster.encode(),
            endpoint.zone,
        )
        for endpoint in endpoint_slice.endpoints
        if endpoint.ready
        and not (endpoint.target_uid != "" and owned_by_vmi(endpoint.target_uid))
        and (launchers or not endpoint.target_name.startswith(_LAUNCHER))
        for address in endpoint.addresses
    )


def _endpoint_label(endpoint: SliceEndpoint, address: bytes, *, pod_names: bool) -> bytes:
    """Return an endpoint's label (plugin/kubernetes, endpointHostname): host name, pod name where asked, or address."""
    for candidate in (endpoint.hostname, endpoint.target_name if pod_names else ""):
        if is_dns1123_label(candidate.lower()):
            return candidate.lower().encode()
    return dashed(address)


def external_name_rrsets(owner: Name, external_name: str, ttl: int) -> tuple[RRset, ...]:
    """Return the CNAME of an ExternalName Service, its target as spelled.

    None for an address, which an alias cannot have, and for a name that the DNS cannot carry.
    """
    try:
        target = spelled_from_text(external_name)
    except InvalidNameError:
        return ()
    if target == ROOT or packed(external_name) is not None:
        return ()
    return (RRset(owner, RRType.CNAME, ttl, (target,)),)


def publishes_itself(service: Service) -> bool:
    """Say whether the Service's own name exists whatever its endpoints: with a cluster IP or an external name."""
    return bool(service.cluster_ips) or bool(external_name_rrsets(ROOT, service.external_name, 0))
