"""All zones that one cluster's objects make, edited together and published in one step; no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from immutables import Map

from dnsserver.derive.apex import primary_server
from dnsserver.derive.reverse import Home, InterfacePointer, MachinePointer, Pointer, PointerRecords
from dnsserver.names import Name, parent, reverse_address, reverse_name
from dnsserver.objects.shared import share
from dnsserver.store.config import StoreConfig
from dnsserver.store.journal import Journal
from dnsserver.store.serials import NEVER
from dnsserver.zone import Fallback, Fixed, Records, Zone, ZoneEditor, find_origin

# Nearly every address has one name, for which a tuple is the smallest; very many get a set that keeps its order.
_Names = tuple[Name, ...] | dict[Name, None]
_FEW = 16

_RELEASED = 20  # records let go of in one step


_CROWD = 1000  # addresses that move before their PTR records are made in between: what is noted of each takes room


class Rank(IntEnum):
    """Whose name an address has; which of them it leads to is said in `PointerRecords`."""

    SERVICE = 0  # a Service's that has it as a cluster IP
    ENDPOINT = 1  # an endpoint's that has it
    INTERFACE = 2  # that of a VMI's further interface
    MACHINE = 3  # that of a VMI whose primary address it is


_Ranks = tuple[_Names, _Names, _Names, _Names]  # by rank
_NONE: _Ranks = ((), (), (), ())

# an address with one name alone
_ALONE = {Rank.ENDPOINT: Pointer, Rank.INTERFACE: InterfacePointer, Rank.MACHINE: MachinePointer}


@dataclass(slots=True)
class _Move:
    """An address whose names change."""

    owner: Name
    origin: Name | None  # of the reverse zone that it is in
    names: list[_Names]  # by rank
    pointer: Pointer | None = None  # the one that was added last


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

    def __init__(self, config: StoreConfig, fallbacks: tuple[Fallback, ...] = ()) -> None:
        """Make empty zones. Names of the server's own addresses are kept outside of reverse zones, too."""
        self._ttl = config.ttl
        self._own = frozenset(config.addresses)
        self.zones = config.zones
        self._reverse_zones = config.reverse_zones
        self._editors = {origin: ZoneEditor(origin, config.ttl, fallbacks) for origin in config.zones}
        self._editors |= {origin: ZoneEditor(origin, config.ttl) for origin in config.reverse_zones}
        if (interfaces := config.interfaces) is not None:
            self._editors |= {
                origin: ZoneEditor(origin, interfaces.ttl, server=primary_server(origin, interfaces.servers))
                for origin in interfaces.zones
            }
        # The names of an address are read from its PTR records; of these addresses, which have none of their own:
        self._kept: dict[bytes, _Ranks] = {}
        self._apexes: dict[Name, Records] = {}  # what a zone's own name has besides
        self._moved: dict[bytes, _Move] = {}
        self._zones = {origin: editor.publish(0) for origin, editor in self._editors.items()}
        self._serials = dict.fromkeys(self._editors, NEVER)
        self._journals: dict[Name, Journal] = {}  # of the zones that others follow
        self._replaced: list[Records] = []  # records that the zones of last time have, and the next will not

    def set(self, origin: Name, name: Name, records: Records | None) -> None:
        """Give a name of one zone its records, or take it out."""
        before = self._zones[origin].node(name)
        if before is not None and before is not records:
            self._replaced.append(before)
        self._editors[origin].set(name, records)

    def share(self, origin: Name, above: Name, children: "Map[bytes, Records]") -> None:
        """Make these all the endpoints right below a name of one zone; `touch` says which of them differ."""
        self._editors[origin].share(above, children)

    def touch(self, origin: Name, name: Name, before: Records | None) -> None:
        """Note that one of the names that are shared has other records than before."""
        if before is not None:
            self._replaced.append(before)
        self._editors[origin].touch(name)

    def fix(self, origin: Name, names: Iterable[tuple[Name, Records]]) -> None:
        """Give a zone the names that it always has."""
        for name, records in names:
            self._editors[origin].set(name, records)
            if name == origin:
                self._apexes[origin] = records
                if (address := reverse_address(origin)) is not None:
                    self._move(address)

    def point(
        self,
        address: bytes,
        *,
        add: tuple[Name | Pointer, ...] = (),
        remove: tuple[Name | Pointer, ...] = (),
        rank: Rank = Rank.ENDPOINT,
    ) -> None:
        """Change which names of one rank an address has."""
        move = self._move(address)
        if move is None:
            return
        names = move.names[rank]
        for target in remove:
            names = _without(names, _name(target))
        for target in add:
            names = _with(names, _name(target))
            move.pointer = target if isinstance(target, Pointer) else None
        move.names[rank] = names

    def _move(self, address: bytes) -> _Move | None:
        """Return what is noted of an address that is to have other names; None where nobody asks for them."""
        move = self._moved.get(address)
        if move is None:
            owner = reverse_name(address)
            origin = find_origin(self._reverse_zones, owner)
            if origin is None and address not in self._own:
                return None
            move = self._moved[address] = _Move(owner, origin, list(self._known(address, owner, origin)))
        return move

    def _known(self, address: bytes, owner: Name, origin: Name | None) -> _Ranks:
        """Return the names that an address has had since it last moved."""
        if origin is None or owner == origin:
            return self._kept.get(address, _NONE)
        match self._editors[origin].node(owner):
            case MachinePointer() as pointer:
                return (), (), (), (pointer.name,)
            case InterfacePointer() as pointer:
                return (), (), (pointer.name,), ()
            case Pointer() as pointer:
                return (), (pointer.name,), (), ()
            case PointerRecords(services=services, endpoints=endpoints, interfaces=interfaces, machines=machines):
                return services, endpoints if len(endpoints) < _FEW else dict.fromkeys(endpoints), interfaces, machines
        return _NONE

    def endpoint_names(self, address: bytes) -> tuple[Name, ...]:
        """Return the names that endpoints have, in the first forward zone; of an own address, or one in a zone."""
        move = self._moved.get(address)
        if move is not None:
            return tuple(move.names[Rank.ENDPOINT])
        owner = reverse_name(address)
        return tuple(self._known(address, owner, find_origin(self._reverse_zones, owner))[Rank.ENDPOINT])

    def _pointer(self, move: _Move) -> Pointer | PointerRecords | None:
        """Return the PTR records of an address."""
        services, endpoints, interfaces, machines = (tuple(names) for names in move.names)
        count = len(endpoints) + len(interfaces) + len(machines)
        if services or count > 1:
            return PointerRecords(services, endpoints, self._ttl, interfaces, machines)
        if not count:
            return None
        (name,) = endpoints or interfaces or machines
        if move.pointer is not None and move.pointer.name == name:
            return move.pointer
        kind = next(kind for rank, kind in _ALONE.items() if move.names[rank])
        return kind(name[1 : 1 + name[0]], share(Home(parent(name), self._ttl)))

    @property
    def crowded(self) -> bool:
        """Whether so many addresses have moved that they had better be prepared before there are more."""
        return len(self._moved) >= _CROWD

    def prepare(self) -> Iterator[None]:
        """Give the addresses that have moved their PTR records; yields after each of them."""
        while self._moved:
            address, move = self._moved.popitem()
            records: Records | None = self._pointer(move)
            if move.origin is None or move.owner == move.origin:
                services, endpoints, interfaces, machines = move.names
                self._kept[address] = services, endpoints, interfaces, machines
            if move.origin is not None:
                if move.owner == move.origin:  # a zone of one address, as 10.0.0.0/27 makes them
                    apex = self._apexes[move.origin].rrsets(move.origin)
                    records = Fixed(apex + (records.rrsets(move.owner) if records else ()))
                self.set(move.origin, move.owner, records)
            yield

    def publish(self, second: int, now: float) -> tuple[Zone, ...]:
        """Return every zone as it is now, the forward ones first.

        `second` is the Unix time, 0 before the first sync; `now` as elsewhere. Addresses that have moved show once they
        are prepared.
        """
        for origin, editor in self._editors.items():
            serial = self._serials[origin]
            if not editor.changed and (serial.value or not second):
                continue
            if second:
                serial = self._serials[origin] = serial.next(second, now)
            self._zones[origin] = editor.publish(serial.value)
            if origin in self._journals:
                self._journals[origin].note(self._zones[origin], now)
        return tuple(self._zones.values())

    def journal(self, origin: Name, now: float) -> Journal | None:
        """Return the journal of a zone, which is kept from the first time that it is asked for; None for no zone."""
        if origin not in self._zones:
            return None
        if origin not in self._journals:
            self._journals[origin] = Journal()
            self._journals[origin].note(self._zones[origin], now)
        return self._journals[origin]

    def release(self) -> Iterator[None]:
        """Let go of what the last publication has replaced, a little at a time.

        Zones that nobody reads any more free all that they alone still hold in one go: 100,000 names took 120 ms.
        """
        while self._replaced:
            del self._replaced[-_RELEASED:]
            yield


def _name(target: Name | Pointer) -> Name:
    """Return the name that an address shall have."""
    return target.name if isinstance(target, Pointer) else target
