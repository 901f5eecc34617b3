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


class InterfacePointer(Pointer, frozen=True, gc=False):
    """The same of an address that one further interface of a VMI alone has."""


class MachinePointer(Pointer, frozen=True, gc=False):
    """The same of an address that is the primary one of one VMI, and has no other name."""


class PointerRecords(msgspec.Struct, frozen=True, gc=False):
    """The records of an address's reverse name.

    A Service's cluster IP is its own; only an address that is none has the names of endpoints (plugin/kubernetes,
    reverse.go), or where there are none the VMI's own. Those of VMIs' further interfaces it has besides: their
    networks may use the same addresses, and one host must not take away another's name.
    """

    services: tuple[Name, ...]  # Services that have it as a cluster IP
    endpoints: tuple[Name, ...]  # endpoints that have it
    ttl: int
    interfaces: tuple[Name, ...] = ()  # further interfaces that have it,
    machines: tuple[Name, ...] = ()  # and VMIs whose primary address it is (option `interfaces`)

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the PTR RRset."""
        # only manifests can give two Services one address
        targets = sorted(self.services)[:1] or (*(self.endpoints or self.machines), *self.interfaces)
        return (RRset(owner, RRType.PTR, self.ttl, tuple(sorted(targets))),)
