"""All zones that one cluster's objects make, edited together and published in one step; no I/O."""

from collections.abc import Iterable, Iterator

from dnsserver.derive.reverse import PointerRecords
from dnsserver.names import Name, reverse_address, reverse_name
from dnsserver.zone import Fallback, Fixed, Records, Zone, ZoneEditor, find_origin

# Nearly every address has one name, for which a tuple is the smallest; very many get a set that keeps its order.
_Names = tuple[Name, ...] | dict[Name, None]
_FEW = 16

_RELEASED = 20  # records let go of in one step


def _with(names: _Names, name: Name) -> _Names:
    """Return the names and one more."""
    if isinstance(names, dict):
        names[name] = None
        return names
    if name in names:
        return names
    return (*names, name) if len(names) < _FEW else dict.fromkeys((*names, name))


def _without(names: _Names, name: Name) -> _Names:
    """Return the names but one."""
    if isinstance(names, dict):
        names.pop(name, None)
        return names
    return tuple(one for one in names if one != name)


class Publication:
    """The editors of the forward and reverse zones."""

    def __init__(
        self,
        zones: tuple[Name, ...],
        reverse_zones: tuple[Name, ...],
        ttl: int,
        fallbacks: tuple[Fallback, ...] = (),
    ) -> None:
        self._ttl = ttl
        self.zones = zones
        self._reverse_zones = reverse_zones
        self._editors = {origin: ZoneEditor(origin, ttl, fallbacks) for origin in zones}
        self._editors |= {origin: ZoneEditor(origin, ttl) for origin in reverse_zones}
        self._services: dict[bytes, _Names] = {}  # which Services have an address as a cluster IP
        self._endpoints: dict[bytes, _Names] = {}  # which endpoints have it
        self._apexes: dict[Name, Records] = {}  # what a zone's own name has besides
        self._moved: set[bytes] = set()
        self._zones = {origin: editor.publish(0) for origin, editor in self._editors.items()}
        self._replaced: list[Records] = []  # records that the zones of last time have, and the next will not

    def set(self, origin: Name, name: Name, records: Records | None) -> None:
        """Give a name of one zone its records, or take it out."""
        before = self._zones[origin].nodes.get(name)
        if before is not None and before is not records:
            self._replaced.append(before)
        self._editors[origin].set(name, records)

    def fix(self, origin: Name, names: Iterable[tuple[Name, Records]]) -> None:
        """Give a zone the names that it always has."""
        for name, records in names:
            self._editors[origin].set(name, records)
            if name == origin:
                self._apexes[origin] = records
                if (address := reverse_address(origin)) is not None:
                    self._moved.add(address)

    def point(
        self,
        address: bytes,
        *,
        add: tuple[Name, ...] = (),
        remove: tuple[Name, ...] = (),
        service: bool = False,
    ) -> None:
        """Change which names an address has: those of endpoints, or those of Services with that cluster IP."""
        targets = self._services if service else self._endpoints
        names = targets.get(address, ())
        for name in remove:
            names = _without(names, name)
        for name in add:
            names = _with(names, name)
        if names:
            targets[address] = names
        else:
            targets.pop(address, None)
        self._moved.add(address)

    def endpoint_names(self, address: bytes) -> tuple[Name, ...]:
        """Return the names that endpoints with an address have, in the first forward zone."""
        return tuple(self._endpoints.get(address, ()))

    def _pointer(self, address: bytes) -> PointerRecords | None:
        """Return the PTR records of an address."""
        services, endpoints = self._services.get(address, ()), self._endpoints.get(address, ())
        return PointerRecords(tuple(services), tuple(endpoints), self._ttl) if services or endpoints else None

    def prepare(self) -> Iterator[None]:
        """Give the addresses that have moved their PTR records; yields after each of them."""
        while self._moved:
            address = self._moved.pop()
            owner = reverse_name(address)
            origin = find_origin(self._reverse_zones, owner)
            if origin is not None:
                records: Records | None = self._pointer(address)
                if owner == origin:  # a zone of one address, as 10.0.0.0/27 makes them
                    apex = self._apexes[origin].rrsets(origin)
                    records = Fixed(apex + (records.rrsets(owner) if records else ()))
                self.set(origin, owner, records)
            yield

    def publish(self, serial: int) -> tuple[Zone, ...]:
        """Return every zone as it is now, the forward ones first; `serial` 0 is a zone before its first sync.

        Addresses that have moved show once they are prepared.
        """
        self._zones = {origin: editor.publish(serial) for origin, editor in self._editors.items()}
        return tuple(self._zones.values())

    def release(self) -> Iterator[None]:
        """Let go of what the last publication has replaced, a little at a time.

        Zones that nobody reads any more free all that they alone still hold in one go: 100,000 names took 120 ms.
        """
        while self._replaced:
            del self._replaced[-_RELEASED:]
            yield
