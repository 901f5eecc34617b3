"""PTR records: which names an address has; no I/O."""

import msgspec

from dnsserver.names import Name, join
from dnsserver.records import RRset, RRType


class Home(msgspec.Struct, frozen=True, gc=False):
    """Where the endpoints of a Service have their names: one object for all of them."""

    above: Name
    ttl: int


class Pointer(msgspec.Struct, frozen=True, gc=False):
    """The records of an address that one endpoint alone has, as nearly every address."""

    label: bytes
    home: Home

    @property
    def name(self) -> Name:
        """The endpoint's name."""
        return join(self.label, self.home.above)

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the PTR RRset."""
        return (RRset(owner, RRType.PTR, self.home.ttl, (self.name,)),)


class PointerRecords(msgspec.Struct, frozen=True, gc=False):
    """The records of an address's reverse name.

    A Service's cluster IP is its own; only an address that is none has the names of endpoints (plugin/kubernetes,
    reverse.go).
    """

    services: tuple[Name, ...]  # Services that have it as a cluster IP
    endpoints: tuple[Name, ...]  # endpoints that have it
    ttl: int

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the PTR RRset."""
        targets = sorted(self.services)[:1] or self.endpoints  # only manifests can give two Services one address
        return (RRset(owner, RRType.PTR, self.ttl, tuple(sorted(targets))),)
