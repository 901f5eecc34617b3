"""What is explained: zones and stores as they are now, and what stands around them; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from dnsserver.names import Name, is_at_or_below, labels
from dnsserver.store import Store
from dnsserver.zone import Zone, find_origin


@dataclass(frozen=True, slots=True)
class Served:
    """What one `kubernetes` plugin serves."""

    stores: tuple[Store, ...]
    synced: bool
    fall_through: tuple[Name, ...] = ()  # at and below these, what does not exist is passed on
    before: tuple[str, ...] = ()  # plugins that may answer a question first, or change it
    after: tuple[str, ...] = ()  # plugins that get what is passed on

    @property
    def origins(self) -> tuple[Name, ...]:
        """The origins of all its zones."""
        return tuple(zone.origin for store in self.stores for zone in store.zones)

    def falls_through(self, name: Name) -> bool:
        """Say whether a name that does not exist is passed on."""
        return any(is_at_or_below(name, zone) for zone in self.fall_through)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name is: the zone as it was when the explanation began, and the labels in front of its origin."""

    served: Served
    store: Store
    zone: Zone
    name: Name

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels in front of the origin."""
        return labels(Name(self.name[: len(self.name) - len(self.zone.origin)] + b"\0"))

    @property
    def reverse(self) -> bool:
        """Whether the zone is a reverse zone."""
        return self.zone.origin in self.store.config.reverse_zones

    @property
    def of_machines(self) -> bool:
        """Whether the zone has names of VMIs that need no Service (option `interfaces`)."""
        interfaces = self.store.config.interfaces
        return interfaces is not None and self.zone.origin in interfaces.zones


def find_place(all_served: Sequence[Served], name: Name) -> Place | None:
    """Return the place of a name: the longest zone that it is in; None where it is in none."""
    origin = find_origin(tuple(origin for served in all_served for origin in served.origins), name)
    for served in all_served:
        for store in served.stores:
            zone = store.zone(origin) if origin is not None else None
            if zone is not None:
                return Place(served, store, zone, name)
    return None
