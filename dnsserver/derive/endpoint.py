"""An endpoint of a Service, whatever it comes from, and the records of the names that endpoints share; no I/O."""

from ipaddress import IPv6Address

import msgspec

from dnsserver.names import Name
from dnsserver.objects import Port
from dnsserver.objects.shared import share
from dnsserver.records import RRset, RRType, srv

# CoreDNS's weights: 100 shared out in percent over what matched, never less than 1 (plugin/backend_lookup.go)
_WEIGHT = 100


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One name below a Service with its addresses and ports."""

    label: bytes  # its first label, lower case
    addresses: tuple[bytes, ...]  # packed, at least one
    ports: tuple[Port, ...]
    cluster: bytes = b""  # the label that follows, where it is another cluster's (multicluster)
    zone: str = ""  # the topology zone it is in, lower case

    @property
    def prefix(self) -> bytes:
        """What its name has before the Service's: its labels in wire form."""
        prefix = bytes((len(self.label),)) + self.label
        return prefix + bytes((len(self.cluster),)) + self.cluster if self.cluster else prefix


class Group(msgspec.Struct, frozen=True, gc=False):
    """What the endpoints of one Service have in common: one object for all that have it."""

    ports: tuple[Port, ...]
    cluster: bytes
    zone: str
    ttl: int


class Host(msgspec.Struct, frozen=True, gc=False):
    """An endpoint that is published, in the smallest form that it has; its records as well where it is alone."""

    label: bytes
    packed: bytes | tuple[bytes, ...]  # its addresses; one alone, as nearly always, is no tuple
    group: Group

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """Its addresses, packed."""
        return (self.packed,) if isinstance(self.packed, bytes) else self.packed

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint as the rules made it."""
        return Endpoint(self.label, self.addresses, self.group.ports, self.group.cluster, self.group.zone)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoint, as `HostRecords` has them."""
        return (self.endpoint,)

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the RRsets."""
        return HostRecords(self.endpoints, self.group.ttl).rrsets(owner)


def host(endpoint: Endpoint, ttl: int) -> Host:
    """Return an endpoint in its small form."""
    group = share(Group(endpoint.ports, endpoint.cluster, endpoint.zone, ttl))
    addresses = endpoint.addresses
    return Host(endpoint.label, addresses[0] if len(addresses) == 1 else addresses, group)


class HostRecords(msgspec.Struct, frozen=True, gc=False):
    """The records of `<label>.<service>.<namespace>.svc.<zone>`: of every endpoint with that label, usually one."""

    endpoints: tuple[Endpoint, ...]
    ttl: int

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the address RRsets, and SRV for the ports as CoreDNS answers it at an endpoint's own name."""
        addresses = [address for endpoint in self.endpoints for address in endpoint.addresses]
        return address_rrsets(owner, self.ttl, addresses) + srv_rrsets(
            owner, self.ttl, [(owner, len(one.addresses), one.ports) for one in self.endpoints]
        )


def dashed(address: bytes) -> bytes:
    """Return the label of an endpoint without a host name: its address with dashes.

    An IPv6 address that would end in a dash gets a 0, as labels cannot (CoreDNS 1.12.3).
    """
    if len(address) == 4:
        return b"-".join(str(octet).encode() for octet in address)
    text = str(IPv6Address(address)).replace(":", "-")
    return (f"{text}0" if text.endswith("-") else text).encode()


def address_rrsets(owner: Name, ttl: int, addresses: list[bytes]) -> tuple[RRset, ...]:
    """Return the A and AAAA RRsets of packed addresses, each only where there are any."""
    distinct = sorted(set(addresses))
    by_type = (
        (RRType.A, tuple(address for address in distinct if len(address) == 4)),
        (RRType.AAAA, tuple(address for address in distinct if len(address) == 16)),
    )
    return tuple(RRset(owner, rrtype, ttl, rdatas) for rrtype, rdatas in by_type if rdatas)


def srv_rrsets(owner: Name, ttl: int, targets: list[tuple[Name, int, tuple[Port, ...]]]) -> tuple[RRset, ...]:
    """Return the SRV RRset of (target, number of its addresses, ports); none where nothing has a port.

    The weight counts every address and port, also those that end up in one record (plugin/backend_lookup.go).
    """
    matched = sum(addresses * len(ports) for _, addresses, ports in targets)
    if not matched:
        return ()
    weight = max(1, _WEIGHT // matched)
    rdatas = sorted({srv(0, weight, port.number, target) for target, _, ports in targets for port in ports})
    return (RRset(owner, RRType.SRV, ttl, tuple(rdatas)),)
