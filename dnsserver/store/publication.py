"""All zones that one cluster's objects make, edited together and published in one step; no I/O."""

from collections.abc import Iterable

from dnsserver.derive.reverse import PointerRecords
from dnsserver.names import Name, reverse_name
from dnsserver.zone import Fallback, Records, Zone, ZoneEditor, find_origin


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
        self._pointers: dict[bytes, PointerRecords] = {}
        self._moved: set[bytes] = set()

    def set(self, origin: Name, name: Name, records: Records | None) -> None:
        """Give a name of one zone its records, or take it out."""
        self._editors[origin].set(name, records)

    def fix(self, origin: Name, names: Iterable[tuple[Name, Records]]) -> None:
        """Give a zone the names that it always has."""
        for name, records in names:
            self._editors[origin].set(name, records)

    def point(
        self,
        address: bytes,
        *,
        add: tuple[Name, ...] = (),
        remove: tuple[Name, ...] = (),
        service: bool = False,
    ) -> None:
        """Change which names an address has: those of endpoints, or those of Services with that cluster IP."""
        known = self._pointers.get(address) or PointerRecords((), (), self._ttl)
        names = known.services if service else known.endpoints
        names = tuple(name for name in names if name not in remove) + tuple(name for name in add if name not in names)
        changed = PointerRecords(names if service else known.services, known.endpoints if service else names, self._ttl)
        if changed.services or changed.endpoints:
            self._pointers[address] = changed
        else:
            self._pointers.pop(address, None)
        self._moved.add(address)

    def moved(self, addresses: Iterable[bytes]) -> bool:
        """Say whether one of these addresses has got other names since the last publication."""
        return not self._moved.isdisjoint(addresses)

    def endpoint_names(self, address: bytes) -> tuple[Name, ...]:
        """Return the names that endpoints with an address have, in the first forward zone."""
        known = self._pointers.get(address)
        return known.endpoints if known else ()

    def publish(self, serial: int) -> tuple[Zone, ...]:
        """Return every zone as it is now, the forward ones first; `serial` 0 is a zone before its first sync."""
        for address in self._moved:
            owner = reverse_name(address)
            origin = find_origin(self._reverse_zones, owner)
            if origin is not None:
                self._editors[origin].set(owner, self._pointers.get(address))
        self._moved.clear()
        return tuple(editor.publish(serial) for editor in self._editors.values())
