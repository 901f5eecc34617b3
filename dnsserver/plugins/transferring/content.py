"""What a transfer holds of a zone, and in which order; no I/O.

Every RRset of a transfer is the one that queries get. Which of them it holds is said here alone: differences between
versions are those of two contents.
"""

import heapq
from collections.abc import Iterator
from itertools import islice

from dnsserver.derive.service import ServiceView
from dnsserver.names import Name, from_labels, is_at_or_below, join, labels, parent
from dnsserver.records import RRset, RRType, srv_target
from dnsserver.zone import Zone

RUN = 500  # names that are looked at, or sorted, in one go: about a millisecond
PAUSE = RRset(Name(b"\0"), RRType.SOA, 0, ())
_ADDRESSES = (RRType.A, RRType.AAAA)


class Content:
    """All of a zone."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.glue = tuple(_glue(zone))
        self._sent_as_glue = frozenset((one.owner, one.rrtype) for one in self.glue)

    def at(self, name: Name) -> tuple[RRset, ...]:
        """Return what a transfer holds at a name, glue and all, but for the SOA."""
        if name == self.zone.origin:
            return self.apex
        return (*(one for one in self.glue if one.owner == name), *self.besides_glue(name))

    @property
    def apex(self) -> tuple[RRset, ...]:
        """What the zone's own name has besides the SOA."""
        return tuple(one for one in self.zone.rrsets(self.zone.origin) or () if one.rrtype != RRType.SOA)

    def besides_glue(self, name: Name) -> tuple[RRset, ...]:
        """Return what a transfer holds at a name below the origin that is not glue."""
        node = self.zone.node(name)
        chosen = self.chosen(name, node.rrsets(name)) if node is not None else ()
        return tuple(one for one in chosen if (one.owner, one.rrtype) not in self._sent_as_glue)

    def chosen(self, name: Name, found: tuple[RRset, ...]) -> tuple[RRset, ...]:
        """Return those of a name's RRsets that are transferred."""
        del name
        return found

    def gate(self, name: Name) -> object:
        """Return what at a name decides whether names below it, as they are, are transferred."""
        del name
        return None


class ClusterContent(Content):
    """What CoreDNS transfers of a zone of the `kubernetes` plugin (plugin/kubernetes, xfr.go).

    Of a cluster's zone these are the Services' own names, `_port._protocol` names and, below headless Services only,
    endpoints; nothing of `dns-version`, of pods, of topology zones. Reverse zones are whole. A name has the records
    that CoreDNS lists there: SRV at `_port._protocol` names and at Services that are their own target, addresses at
    every name but those.
    """

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self._services = from_labels((b"svc",), zone.origin)
        self._depth = len(labels(self._services))
        self._left_out = tuple(from_labels((label,), zone.origin) for label in (b"dns-version", b"dns", b"pod"))
        self._service = self._services  # the one asked about last
        self._addresses: frozenset[bytes] = frozenset()  # its own

    def chosen(self, name: Name, found: tuple[RRset, ...]) -> tuple[RRset, ...]:
        """Return those of a name's RRsets that are transferred."""
        if any(is_at_or_below(name, one) for one in self._left_out):
            return ()
        if not is_at_or_below(name, self._services):
            return found
        parts = labels(name)
        depth = len(parts) - self._depth
        if depth <= 2:  # <service>.<namespace>
            return self._of_service(name, found)
        if depth == 4 and parts[1].startswith(b"_"):  # _port._protocol.<service>.<namespace>
            return tuple(one for one in found if one.rrtype == RRType.SRV)
        if depth > 4:
            return ()
        # an endpoint: its addresses are among the Service's own where that is headless
        addresses = self._own_addresses(parent(name) if depth == 3 else parent(parent(name)))
        return tuple(one for one in found if one.rrtype in _ADDRESSES and addresses.issuperset(one.rdatas))

    def _of_service(self, name: Name, found: tuple[RRset, ...]) -> tuple[RRset, ...]:
        """Return a Service's own records; SRV leads to the Service itself only where it has a cluster IP."""
        self._remember(name, found)
        return tuple(
            one for one in found if one.rrtype != RRType.SRV or all(srv_target(rdata) == name for rdata in one.rdatas)
        )

    def _own_addresses(self, service: Name) -> frozenset[bytes]:
        """Return the addresses that a Service itself has; those of the last one are at hand, in order of the names."""
        if service != self._service:
            node = self.zone.node(service)
            self._remember(service, node.rrsets(service) if node is not None else ())
        return self._addresses

    def _remember(self, service: Name, found: tuple[RRset, ...]) -> None:
        self._service = service
        self._addresses = frozenset(rdata for one in found if one.rrtype in _ADDRESSES for rdata in one.rdatas)

    def gate(self, name: Name) -> object:
        """Return a Service's own addresses; those of all its endpoints decide nothing, whichever these are."""
        if not is_at_or_below(name, self._services) or len(labels(name)) - self._depth != 2:
            return None
        node = self.zone.node(name)
        return "all" if isinstance(node, ServiceView) and node.joins_endpoints else self._own_addresses(name)


def in_order(content: Content) -> Iterator[RRset]:
    """Yield SOA, NS, glue, then what a transfer holds of every name, each RRset once, then SOA.

    That is the order of RFC 5936, section 2.2, and CoreDNS's. RRsets without records are among them, wherever finding
    the next one takes long (`encode_stream`).
    """
    zone = content.zone
    yield zone.soa
    yield from content.apex
    yield from content.glue
    for count, name in enumerate(by_name(zone)):
        if name is None or not count % RUN:
            yield PAUSE
        if name is not None and name != zone.origin:
            yield from content.besides_glue(name)
    yield zone.soa


def _glue(zone: Zone) -> Iterator[RRset]:
    """Yield the addresses of the name servers that are in the zone, below its own name."""
    servers = zone.rrset(zone.origin, RRType.NS)
    for target in dict.fromkeys(Name(rdata.lower()) for rdata in servers.rdatas) if servers is not None else ():
        if is_at_or_below(target, zone.origin) and target != zone.origin:
            yield from (one for one in zone.rrsets(target) or () if one.rrtype in _ADDRESSES)


def by_name(zone: Zone) -> Iterator[Name | None]:
    """Yield the zone's names in the order of RFC 4034, section 6.1: a name before all that is below it.

    What is held meanwhile is labels, of the names on the way down. Sorting very many takes long, so they are sorted in
    short runs, with None after each of them.
    """
    if zone.node(zone.origin) is not None:
        yield zone.origin
    yield from below(zone, zone.origin)


def below(zone: Zone, above: Name) -> Iterator[Name | None]:
    """Yield what `by_name` does below one name."""
    stack = [_sorted_below(zone, above)]
    while stack:
        try:
            name = next(stack[-1])
        except StopIteration:
            stack.pop()
            continue
        if name is None:
            yield None
            continue
        if zone.node(name) is not None:
            yield name
        if name in zone.tree:
            stack.append(_sorted_below(zone, name))


def _sorted_below(zone: Zone, above: Name) -> Iterator[Name | None]:
    """Yield the names directly below one, in the order of their labels, and None after each long run."""
    found = iter(zone.labels_below(above))
    runs = []
    while run := sorted(islice(found, RUN)):
        runs.append(run)
        if len(run) == RUN:
            yield None
    for label in heapq.merge(*runs):
        yield join(label, above)
