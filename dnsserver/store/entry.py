"""One Service as it is published: what each VMI and each EndpointSlice contributes to it; no I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping

from immutables import Map

from dnsserver.derive.endpoint import Endpoint, Host, HostRecords, host
from dnsserver.derive.reverse import Home, Pointer
from dnsserver.derive.service import PortLabels, PortRecords, ServiceView, publishes_itself, service_name, service_ports
from dnsserver.derive.vmi import Refused, Rule
from dnsserver.names import InvalidNameError, Name, from_labels
from dnsserver.objects import Kind, Service
from dnsserver.objects.shared import share
from dnsserver.store.publication import Publication, Rank

Source = tuple[Kind, str]  # what contributes: a VMI or an EndpointSlice of the Service's namespace, by name
_Hosts = Map[bytes, Host | HostRecords]
_Given = Host | tuple[Host, ...]  # what one source contributes; one endpoint alone, as nearly always, is no tuple


class Entry:
    """One Service's contributions, and what of it is in the zones now."""

    def __init__(self, ttl: int, unpublished: Counter[Rule]) -> None:
        self._ttl = ttl
        self._unpublished = unpublished  # of all Services together
        self._refused: dict[str, Refused] = {}  # the VMIs that are selected but not published, and why
        self._notes: dict[str, tuple[str, ...]] = {}  # how addresses differ from what a VMI's status says; of few VMIs
        self._vmis: dict[str, _Given] = {}  # what each VMI contributes,
        self._slices: dict[str, _Given] = {}  # and each EndpointSlice
        self._incomplete = False  # what the zones were last told of that
        self._foreign: set[str] = set()  # EndpointSlices with endpoints that are not ours to publish
        self._ready: set[str] = set()  # EndpointSlices with an endpoint that is ready, whoever publishes it
        # By what precedes the Service's name, without the first length octet: a label, nearly always. The zones have
        # the same map below the Service's name, so that a host name costs nothing there.
        self._hosts: _Hosts = Map()
        self._ports: Counter[PortLabels] = Counter()  # named ports of the endpoints
        self._touched: dict[bytes, Host | HostRecords | None] = {}  # names changed since the last flush, as they were
        self._published: Service | None = None
        self._published_ports: frozenset[PortLabels] = frozenset()

    @property
    def vmis(self) -> tuple[str, ...]:
        """The VMIs that contribute now, and those that might."""
        return (*self._vmis, *self._refused)

    @property
    def slices(self) -> tuple[str, ...]:
        """The EndpointSlices that contribute now."""
        return tuple(self._slices)

    @property
    def refused(self) -> Mapping[str, Refused]:
        """The VMIs that are selected but not published, and why."""
        return self._refused

    @property
    def published_vmis(self) -> tuple[str, ...]:
        """The VMIs that contribute now."""
        return tuple(self._vmis)

    def given(self, source: Source) -> tuple[Host, ...]:
        """Return what one source contributes."""
        kind, name = source
        return _as_tuple((self._vmis if kind is Kind.VMI else self._slices).get(name, ()))

    def notes(self, name: str) -> tuple[str, ...]:
        """Return how the addresses of a VMI differ from what its status says."""
        return self._notes.get(name, ())

    def contribute(self, source: Source, endpoints: tuple[Endpoint, ...]) -> None:
        """Replace what one source contributes."""
        kind, name = source
        given = self._vmis if kind is Kind.VMI else self._slices
        hosts = tuple(host(endpoint, self._ttl) for endpoint in endpoints)
        before = _as_tuple(given.get(name, ()))
        if before == hosts:
            return
        if hosts:
            given[name] = hosts[0] if len(hosts) == 1 else hosts
        else:
            del given[name]
        gone, new = list(before), []
        for one in hosts:
            if one in gone:
                gone.remove(one)
            else:
                new.append(one)
        for one in gone:
            self._change(one, add=False)
        for one in new:
            self._change(one, add=True)

    def set_refused(self, name: str, refused: Refused | None) -> None:
        """Note what keeps a VMI from being published here, None for nothing."""
        before = self._refused.pop(name, None)
        if before is not None:
            self._unpublished[before.rule] -= 1
        if refused is not None:
            self._refused[name] = share(refused)  # after a node has failed there may be very many alike
            self._unpublished[refused.rule] += 1

    def set_notes(self, name: str, notes: tuple[str, ...]) -> None:
        """Note how the addresses of a VMI that is published differ from what its status says."""
        if notes:
            self._notes[name] = share(notes)
        else:
            self._notes.pop(name, None)

    def set_foreign(self, name: str, *, foreign: bool) -> None:
        """Note whether an EndpointSlice has endpoints that this server leaves to the cluster's own DNS."""
        (self._foreign.add if foreign else self._foreign.discard)(name)

    @property
    def has_ready(self) -> bool:
        """Whether any EndpointSlice has a ready endpoint, or a VMI contributes."""
        return bool(self._ready or self._vmis or self._slices)

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Note whether an EndpointSlice has an endpoint that is ready."""
        (self._ready.add if ready else self._ready.discard)(name)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that is published."""
        return tuple(endpoint for one in self._hosts.values() for endpoint in one.endpoints)

    def _change(self, one: Host, *, add: bool) -> None:
        """Add or remove one endpoint at its name."""
        endpoint = one.endpoint
        key = endpoint.prefix[1:] if endpoint.cluster else one.label
        known = self._hosts.get(key)
        self._touched.setdefault(key, known)
        if known is None:
            self._hosts = self._hosts.set(key, one)
        elif known == one and not add:
            self._hosts = self._hosts.delete(key)
        else:
            endpoints = list(known.endpoints)
            (endpoints.append if add else endpoints.remove)(endpoint)
            left = HostRecords(tuple(endpoints), self._ttl) if len(endpoints) > 1 else host(endpoints[0], self._ttl)
            self._hosts = self._hosts.set(key, left)
        for port in endpoint.ports:
            if port.name:
                self._ports[port.labels] += 1 if add else -1

    def flush(self, service: Service | None, publication: Publication, *, hidden: bool = False) -> Iterator[None]:
        """Bring the zones in line with the contributions; None withdraws the Service and all that is below it.

        A Service that is `hidden` is withdrawn too, but may come back with what it has. Yields after each small step;
        the zones are right once it has ended.
        """
        if service is None:
            for name in self.vmis:
                self.contribute((Kind.VMI, name), ())
                self.set_refused(name, None)
                self.set_notes(name, ())
                yield
            for name in self.slices:
                self.contribute((Kind.ENDPOINT_SLICE, name), ())
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
            if one is not None and owner is not None:
                self._flush_names(owner, origin, service, ports, publication)
                yield from self._flush_hosts(owner, origin, publication, shared=not one.imported)
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

    def _flush_hosts(self, owner: Name, origin: Name, publication: Publication, *, shared: bool) -> Iterator[None]:
        """Set the names of the endpoints that have changed, and the PTR records that lead to them.

        They are `shared` with the zone where they are right below the Service: imported ones have two labels.
        """
        primary = origin == publication.zones[0]
        if shared:
            publication.share(origin, owner, self._hosts)
        for key, before in self._touched.items():
            after = self._hosts.get(key)
            one = after or before
            if one is None:
                continue  # came and went between two publications
            prefix = one.endpoints[0].prefix
            if shared:
                publication.touch(origin, Name(prefix + owner), before)
            else:
                publication.set(origin, Name(prefix + owner), after)
            if primary:
                pointer = Pointer(key[: prefix[0]], share(Home(Name(prefix[1 + prefix[0] :] + owner), self._ttl)))
                had, has = _addresses(before), _addresses(after)
                for address in had - has:
                    publication.point(address, remove=(pointer,))
                for address in has - had:
                    publication.point(address, add=(pointer,))
            yield

    def _point_service(self, before: Service | None, after: Service | None, publication: Publication) -> None:
        """Set the PTR records of the Service's cluster IPs."""
        one = after or before
        name = service_name(one, publication.zones[0]) if one else None
        if name is None:
            return
        had, has = (set(service.cluster_ips) if service else set() for service in (before, after))
        for address in had - has:
            publication.point(address, remove=(name,), rank=Rank.SERVICE)
        for address in has - had:
            publication.point(address, add=(name,), rank=Rank.SERVICE)


def _as_tuple(given: _Given) -> tuple[Host, ...]:
    """Return what one source contributes."""
    return given if isinstance(given, tuple) else (given,)


def _addresses(known: Host | HostRecords | None) -> set[bytes]:
    """Return all addresses of a label."""
    return {address for endpoint in known.endpoints for address in endpoint.addresses} if known else set()
