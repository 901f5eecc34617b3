"""The names of VMIs and their interfaces that need no Service (option `interfaces`), as they are published; no I/O.

A VMI that changes costs one look at it, and the zones are edited where its names or addresses are others than before.
"""

from collections.abc import Iterator

from dnsserver.derive.endpoint import Endpoint, Host, host
from dnsserver.derive.interfaces import Machine, Unnamed, machine, vmi_label
from dnsserver.names import InvalidNameError, Name, from_labels, is_at_or_below
from dnsserver.objects import Key
from dnsserver.objects.shared import share
from dnsserver.store.config import InterfacesConfig, StoreConfig
from dnsserver.store.known import Known
from dnsserver.store.marks import Concerns
from dnsserver.store.publication import Publication, Rank

_NO_SLICES: frozenset[str] = frozenset()  # of a Service: none asks for these names

# What a VMI has in the zones, which hold the same objects: its own name first, then those of its interfaces.
_Hosts = tuple[Host | None, ...]
_NOTHING: _Hosts = (None,)


class InterfaceNames:
    """Keeps the zones of `interfaces` in line with what is known; without that option it does nothing."""

    def __init__(self, config: StoreConfig, known: Known, concerns: Concerns, publication: Publication) -> None:
        self._known = known
        self._concerns = concerns
        self._publication = publication
        self._published: dict[str, dict[str, _Hosts]] = {}  # by namespace and name of the VMI
        interfaces = config.interfaces or InterfacesConfig(())
        self._ttl = interfaces.ttl
        # each with the zones below it, whose names are theirs
        self._zones = {
            origin: tuple(one for one in (*config.zones, *interfaces.apart) if is_at_or_below(one, origin))
            for origin in interfaces.zones
        }

    def machine(self, key: Key, now: float) -> Machine | Unnamed | None:
        """Return the names of a VMI, or why it has none; None where it is not to have any, or there is no such VMI."""
        vmi = self._known.vmis.get(key)
        if vmi is None or not self._zones or not self._known.exposed(vmi.namespace):
            return None
        pods = self._known.owners.addresses(vmi, _NO_SLICES)
        return machine(vmi, self._known.observations.get(key), pods, now)

    def derive(self, now: float) -> Iterator[None]:
        """Look again at what is noted in `concerns`, in small steps; at every VMI the first time."""
        concerns = self._concerns
        if not self._zones:
            return
        if not concerns.kept:
            concerns.kept = True
            concerns.namespaces.update(self._known.vmis.namespaces())
        while concerns.namespaces:
            namespace = concerns.namespaces.pop()
            for name in self._known.vmis.in_namespace(namespace):
                yield from self._derive((namespace, name), now)
        while concerns.vmis:
            yield from self._derive(concerns.vmis.pop(), now)

    def _derive(self, key: Key, now: float) -> Iterator[None]:
        """Bring the zones in line with one VMI; PTR records are made in between where they are many."""
        namespace, name = key
        there = self._published.get(namespace, {})
        before, after = there.get(name, _NOTHING), self._hosts(self.machine(key, now))
        if after != before:
            if after != _NOTHING:
                self._published.setdefault(namespace, {})[name] = after
            else:
                del there[name]
                if not there:
                    del self._published[namespace]
            self._publish(namespace, vmi_label(name), before, after)
        yield
        if self._publication.crowded:
            yield from self._publication.prepare()

    def _hosts(self, found: Machine | Unnamed | None) -> _Hosts:
        """Return what is to be published of a VMI."""
        if not isinstance(found, Machine):
            return _NOTHING
        own = self._host(found.label, found.addresses) if found.addresses else None
        return (own, *(self._host(share(label), addresses) for label, addresses in found.interfaces))

    def _host(self, label: bytes, addresses: tuple[bytes, ...]) -> Host:
        """Return a name's records."""
        return host(Endpoint(label, addresses, ()), self._ttl)

    def _publish(self, namespace: str, label: bytes, before: _Hosts, after: _Hosts) -> None:
        """Set the names that differ, and the PTR records that lead to those in the first zone."""
        first = next(iter(self._zones))
        for origin in self._zones:
            had, has = (self._names(origin, (label, namespace.encode()), hosts) for hosts in (before, after))
            for name in had.keys() | has.keys():
                if had.get(name) != has.get(name):
                    self._publication.set(origin, name, has[name][1] if name in has else None)
            if origin == first:
                self._point(_pointers(had), _pointers(has))

    def _names(self, origin: Name, above: tuple[bytes, bytes], hosts: _Hosts) -> "_Names":
        """Return a VMI's names in a zone, as far as they fit and are not another zone's."""
        found: _Names = {}
        for index, one in enumerate(hosts):
            if one is None:
                continue
            try:
                name = from_labels((one.label, *above) if index else above, origin)
            except InvalidNameError:
                continue
            if not any(is_at_or_below(name, other) for other in self._zones[origin]):
                found[name] = Rank.INTERFACE if index else Rank.MACHINE, one
        return found

    def _point(self, had: "_Pointers", has: "_Pointers") -> None:
        """Change the PTR records of the addresses that have got or lost names."""
        for address, name, rank in had - has:
            self._publication.point(address, remove=(name,), rank=rank)
        for address, name, rank in has - had:
            self._publication.point(address, add=(name,), rank=rank)


_Names = dict[Name, tuple[Rank, Host]]  # what kind of name it is, and its records
_Pointers = set[tuple[bytes, Name, Rank]]  # address, and the name that it leads to


def _pointers(names: _Names) -> _Pointers:
    """Return the PTR records that belong to a VMI's names.

    A primary address leads to the VMI's own name and not to its interface's; every other address to its interface's.
    """
    own = {address for rank, one in names.values() if rank is Rank.MACHINE for address in one.addresses}
    return {
        (address, name, rank)
        for name, (rank, one) in names.items()
        for address in one.addresses
        if rank is Rank.MACHINE or address not in own
    }
