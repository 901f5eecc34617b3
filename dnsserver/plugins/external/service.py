"""What a Service has outside the cluster, and the names and records that follow from it; no I/O."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from dnsserver.derive.endpoint import Endpoint, address_rrsets, srv_rrsets
from dnsserver.derive.service import external_name_rrsets, service_ports
from dnsserver.names import ROOT, Name, from_labels
from dnsserver.objects import Port, Service
from dnsserver.records import RRset, RRType, srv_target
from dnsserver.zone import Records

PortLabels = tuple[bytes, bytes]  # (b"_http", b"_tcp")


class ExternalService:
    """The names of one Service in one zone, with their records.

    A Service with external addresses has its own name and those of its ports. With the option `headless`, one without
    has the names of its endpoints, and where it is headless also its own and those of its endpoints' ports.
    """

    def __init__(self, service: Service, owner: Name, endpoints: Callable[[], tuple[Endpoint, ...]], ttl: int) -> None:
        self.owner = owner
        self._service = service
        self._ttl = ttl
        self._addresses = list(external_addresses(service))
        self._hosts = external_hosts(service)
        self._external = bool(self._addresses or self._hosts)
        self._endpoints = () if self._external else endpoints()

    @property
    def exists(self) -> bool:
        """Whether there is anything to publish."""
        return self._external or bool(self._endpoints)

    def rrsets(self, name: Name, further: list[bytes]) -> tuple[RRset, ...] | None:
        """Return the RRsets of a name, `further` being the labels that it has before the Service's own.

        None for a name that does not exist, and none for one that only does. Underscores of `_port._protocol` may be
        missing, as in CoreDNS (plugin/kubernetes, parse.go).
        """
        if not further:
            return self.own_rrsets()
        prefix = bytes(name[: len(name) - len(self.owner)])
        if prefix in self.prefixes():
            return self.endpoint_rrsets(name, prefix)
        marked = [label if label.startswith(b"_") else b"_" + label for label in further]
        if len(further) == 1 and any(protocol == marked[0] for _, protocol in self.ports()):
            return ()  # `_protocol.<service>` exists, for names are below it (RFC 8020)
        if len(further) == 2 and (marked[0], marked[1]) in self.ports():
            return self.port_rrsets(name, (marked[0], marked[1]))
        return None

    def own_rrsets(self) -> tuple[RRset, ...]:
        """Return the records of the Service's own name.

        A load balancer that is only known by a host name makes it an alias, which nothing can stand beside (RFC 1034,
        section 3.6.2); beside addresses the host names are left to SRV.
        """
        if self._hosts and not self._addresses:
            return (RRset(self.owner, RRType.CNAME, self._ttl, self._hosts[:1]),)
        return self._select(self.owner, lambda _: True) if self._external or self._service.headless else ()

    def port_rrsets(self, owner: Name, port: PortLabels) -> tuple[RRset, ...]:
        """Return the records of `_port._protocol.<service>`: SRV, and the addresses behind that port."""
        return self._select(owner, lambda one: bool(one.name) and one.labels == port, named=True)

    def endpoint_rrsets(self, owner: Name, prefix: bytes) -> tuple[RRset, ...]:
        """Return the records of an endpoint's name, whose labels before the Service's are `prefix`."""
        found = [one for one in self._endpoints if one.prefix == prefix]
        addresses = [address for one in found for address in one.addresses]
        targets = [(owner, len(one.addresses), one.ports) for one in found]
        return address_rrsets(owner, self._ttl, addresses) + srv_rrsets(owner, self._ttl, targets)

    def ports(self) -> frozenset[PortLabels]:
        """Return the labels of the named ports."""
        if not self._external and not self._service.headless:
            return frozenset()
        return frozenset(port.labels for _, _, ports in self._targets() for port in ports if port.name)

    def prefixes(self) -> frozenset[bytes]:
        """Return what the names of endpoints have before the Service's."""
        return frozenset(one.prefix for one in self._endpoints)

    def additional(self, found: RRset) -> tuple[RRset, ...]:
        """Return the addresses of the names in the zone that an SRV RRset leads to (RFC 2782)."""
        wanted = dict.fromkeys(srv_target(rdata) for rdata in found.rdatas)
        addresses: dict[Name, list[bytes]] = {}
        for target, some, _ in self._targets():
            if target in wanted:
                addresses.setdefault(target, []).extend(some)
        return tuple(one for target in wanted for one in address_rrsets(target, self._ttl, addresses.get(target, [])))

    def records(self) -> Iterator[tuple[Name, Records]]:
        """Yield (owner, records) of every name, derived when they are asked for."""
        yield self.owner, _Derived(lambda _: self.own_rrsets())
        for port in self.ports():
            yield from_labels(port, self.owner), _Derived(partial(self.port_rrsets, port=port))
        for prefix in self.prefixes():
            yield Name(prefix + self.owner), _Derived(partial(self.endpoint_rrsets, prefix=prefix))

    def _targets(self) -> Iterator[tuple[Name, tuple[bytes, ...], tuple[Port, ...]]]:
        """Yield (SRV target, its addresses in the zone, ports)."""
        ports = service_ports(self._service)
        if self._addresses:
            yield self.owner, tuple(self._addresses), ports
        for host in self._hosts:
            yield Name(host), (), ports
        for endpoint in self._endpoints:
            yield Name(endpoint.prefix + self.owner), endpoint.addresses, endpoint.ports

    def _select(self, owner: Name, wanted: Callable[[Port], bool], *, named: bool = False) -> tuple[RRset, ...]:
        """Return the records at `owner` of the ports that are wanted; without `named`, of what has no ports too."""
        matched = [
            (target, addresses, chosen)
            for target, addresses, ports in self._targets()
            if (chosen := tuple(filter(wanted, ports))) or not named
        ]
        addresses = [address for _, some, _ in matched for address in some]
        targets = [(target, len(some) or 1, ports) for target, some, ports in matched]  # a host name counts as one
        return address_rrsets(owner, self._ttl, addresses) + srv_rrsets(owner, self._ttl, targets)


class _Derived(msgspec.Struct, frozen=True):
    """Records that a function derives."""

    derive: Callable[[Name], tuple[RRset, ...]]

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return them."""
        return self.derive(owner)


def external_addresses(service: Service) -> tuple[bytes, ...]:
    """Return the addresses that a Service has outside the cluster, packed and distinct."""
    return tuple(dict.fromkeys((*service.external_ips, *(one for one in service.ingress if isinstance(one, bytes)))))


def external_hosts(service: Service) -> tuple[bytes, ...]:
    """Return the host names of a Service's load balancer as spelled, without those that the DNS cannot carry."""
    hosts = [one for one in service.ingress if isinstance(one, str)]
    return tuple(rdata for text in hosts for alias in external_name_rrsets(ROOT, text, 0) for rdata in alias.rdatas)
