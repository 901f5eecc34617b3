"""One Service as it is published: what each VMI and each EndpointSlice contributes to it; no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator

from immutables import Map

from dnsserver.derive.endpoint import Endpoint, HostRecords
from dnsserver.derive.service import PortLabels, PortRecords, ServiceView, publishes_itself, service_name, service_ports
from dnsserver.derive.vmi import Rule
from dnsserver.names import InvalidNameError, Name, from_labels
from dnsserver.objects import Kind, Service
from dnsserver.store.publication import Publication

Source = tuple[Kind, str]  # what contributes: a VMI or an EndpointSlice of the Service's namespace, by name


class Entry:
    """One Service's contributions, and what of it is in the zones now."""

    def __init__(self, ttl: int, unpublished: Counter[Rule]) -> None:
        self._ttl = ttl
        self._unpublished = unpublished  # of all Services together
        self._refused: dict[str, Rule] = {}  # the VMIs that are selected but not published, and why
        self._contributions: dict[Source, tuple[Endpoint, ...]] = {}
        self._incomplete = False  # what the zones were last told of that
        self._foreign: set[str] = set()  # EndpointSlices with endpoints that are not ours to publish
        self._ready: set[str] = set()  # EndpointSlices with an endpoint that is ready, whoever publishes it
        self._hosts: Map[bytes, HostRecords] = Map()  # by what precedes the Service's name, in wire form
        self._ports: Counter[PortLabels] = Counter()  # named ports of the endpoints
        self._touched: dict[bytes, HostRecords | None] = {}  # names changed since the last flush, as they were
        self._published: Service | None = None
        self._published_ports: frozenset[PortLabels] = frozenset()

    @property
    def sources(self) -> Iterable[Source]:
        """What contributes now, and the VMIs that might."""
        return (*self._contributions, *((Kind.VMI, name) for name in self._refused))

    def contribute(self, source: Source, endpoints: tuple[Endpoint, ...]) -> None:
        """Replace what one source contributes."""
        before = self._contributions.get(source, ())
        if before == endpoints:
            return
        if endpoints:
            self._contributions[source] = endpoints
        else:
            del self._contributions[source]
        gone, new = list(before), []
        for endpoint in endpoints:
            if endpoint in gone:
                gone.remove(endpoint)
            else:
                new.append(endpoint)
        for endpoint in gone:
            self._change(endpoint, add=False)
        for endpoint in new:
            self._change(endpoint, add=True)

    def set_refused(self, name: str, rule: Rule | None) -> None:
        """Note the rule that keeps a VMI from being published here, None for none."""
        before = self._refused.pop(name, None)
        if before is not None:
            self._unpublished[before] -= 1
        if rule is not None:
            self._refused[name] = rule
            self._unpublished[rule] += 1

    def set_foreign(self, name: str, *, foreign: bool) -> None:
        """Note whether an EndpointSlice has endpoints that this server leaves to the cluster's own DNS."""
        (self._foreign.add if foreign else self._foreign.discard)(name)

    @property
    def has_ready(self) -> bool:
        """Whether any EndpointSlice has a ready endpoint, or a VMI contributes."""
        return bool(self._ready or self._contributions)

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Note whether an EndpointSlice has an endpoint that is ready."""
        (self._ready.add if ready else self._ready.discard)(name)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that is published."""
        return tuple(endpoint for host in self._hosts.values() for endpoint in host.endpoints)

    def _change(self, endpoint: Endpoint, *, add: bool) -> None:
        """Add or remove one endpoint at its name."""
        prefix = endpoint.prefix
        known = self._hosts.get(prefix)
        self._touched.setdefault(prefix, known)
        endpoints = list(known.endpoints) if known else []
        (endpoints.append if add else endpoints.remove)(endpoint)
        if endpoints:
            self._hosts = self._hosts.set(prefix, HostRecords(tuple(endpoints), self._ttl))
        else:
            self._hosts = self._hosts.delete(prefix)
        for port in endpoint.ports:
            if port.name:
                self._ports[port.labels] += 1 if add else -1

    def flush(self, service: Service | None, publication: Publication, *, hidden: bool = False) -> Iterator[None]:
        """Bring the zones in line with the contributions; None withdraws the Service and all that is below it.

        A Service that is `hidden` is withdrawn too, but may come back with what it has. Yields after each small step;
        the zones are right once it has ended.
        """
        if service is None:
            for kind, name in self.sources:
                self.contribute((kind, name), ())
                self.set_refused(name, None)
                yield
        if hidden:
            service = None
        foreign = bool(self._foreign)
        if service == self._published and not self._touched and foreign == self._incomplete:
            return
        self._incomplete = foreign
        before, after = self._published, service
        self._point_service(before, after, publication)
        ports = self._port_labels(service)
        one = after or before
        for origin in publication.zones if one else ():
            owner = service_name(one, origin) if one else None
            if owner is not None:
                self._flush_names(owner, origin, service, ports, publication)
                yield from self._flush_hosts(owner, origin, publication)
        self._published, self._published_ports = service, ports
        self._touched.clear()

    def _port_labels(self, service: Service | None) -> frozenset[PortLabels]:
        """Return the named ports that have names of their own."""
        if service is None or service.external_name:
            return frozenset()
        if not service.headless:
            return frozenset(port.labels for port in service_ports(service) if port.name and service.cluster_ips)
        return frozenset() if self._foreign else frozenset(labels for labels, count in self._ports.items() if count > 0)

    def _flush_names(
        self,
        owner: Name,
        origin: Name,
        service: Service | None,
        ports: frozenset[PortLabels],
        publication: Publication,
    ) -> None:
        """Set the Service's own name and those of its ports."""
        view = None if service is None else ServiceView(service, self._hosts, self._ttl, complete=not self._foreign)
        exists = service is not None and (publishes_itself(service) or (service.headless and len(self._hosts) > 0))
        publication.set(origin, owner, view if exists else None)
        for labels in self._published_ports | ports:
            try:
                name = from_labels(labels, owner)
            except InvalidNameError:  # a port name of 63 characters, legal in the API, has no room for its underscore
                continue
            records = PortRecords(view, owner, labels) if view is not None and labels in ports else None
            publication.set(origin, name, records)

    def _flush_hosts(self, owner: Name, origin: Name, publication: Publication) -> Iterator[None]:
        """Set the names of the endpoints that have changed, and the PTR records that lead to them."""
        primary = origin == publication.zones[0]
        for prefix, before in self._touched.items():
            name = Name(prefix + owner)
            after = self._hosts.get(prefix)
            publication.set(origin, name, after)
            if primary:
                had, has = _addresses(before), _addresses(after)
                for address in had - has:
                    publication.point(address, remove=(name,))
                for address in has - had:
                    publication.point(address, add=(name,))
            yield

    def _point_service(self, before: Service | None, after: Service | None, publication: Publication) -> None:
        """Set the PTR records of the Service's cluster IPs."""
        one = after or before
        name = service_name(one, publication.zones[0]) if one else None
        if name is None:
            return
        had, has = (set(service.cluster_ips) if service else set() for service in (before, after))
        for address in had - has:
            publication.point(address, remove=(name,), service=True)
        for address in has - had:
            publication.point(address, add=(name,), service=True)


def _addresses(host: HostRecords | None) -> set[bytes]:
    """Return all addresses of a label."""
    return {address for endpoint in host.endpoints for address in endpoint.addresses} if host else set()
