"""The immutable zone: what exists, and with which records; no I/O.

Invariant: a `Zone` never changes. Its maps share their structure with the next zone's (`immutables.Map`), so a change
costs in proportion to what it changes and a reader keeps one consistent zone for as long as it likes.

Names are kept as a tree: of each name that has any below it, the labels of its children. A whole name takes 80 octets
and more, its last label is short and often shared.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from immutables import Map, MapMutation

from dnsserver.names import Name, is_at_or_below, join, parent
from dnsserver.records import RRset, RRType, Soa

REFRESH, RETRY, EXPIRE = 7200, 1800, 86400  # seconds (CoreDNS plugin/backend_lookup.go)
MAX_SOA_TTL = 300  # seconds, likewise
MAX_CHANGED = 10_000  # names that a version remembers to differ in from the last


class Records(Protocol):
    """The records of one owner, derived when they are asked for."""

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return the RRsets; none for a name that only exists."""
        ...


class Fixed(msgspec.Struct, frozen=True, gc=False):
    """Records that are at hand."""

    sets: tuple[RRset, ...] = ()

    def rrsets(self, owner: Name) -> tuple[RRset, ...]:
        """Return them."""
        del owner
        return self.sets


EMPTY = Fixed()  # a name that exists by itself, without records

# A rule for names that cannot be listed, asked where nothing else is found: records, or None where it does not apply.
Fallback = Callable[["Zone", Name], tuple[RRset, ...] | None]


class Children(msgspec.Struct, frozen=True, gc=False):
    """The names directly below a name, by their first label; None for one that exists by what is below it alone."""

    single: Map[bytes, Records | None]  # those that were set one by one
    shared: Map[bytes, Records]  # those that were given as a whole, and that their giver keeps as well

    def __len__(self) -> int:
        return len(self.single) + len(self.shared)

    def get(self, label: bytes) -> Records | None:
        """Return a child's records, None where it has none."""
        found = self.shared.get(label)
        return found if found is not None else self.single.get(label)

    def __contains__(self, label: bytes) -> bool:
        return label in self.shared or label in self.single

    def with_records(self) -> Iterator[tuple[bytes, Records]]:
        """Yield the labels of those with records."""
        yield from ((label, records) for label, records in self.single.items() if records is not None)
        yield from self.shared.items()


_NOBODY: Map[bytes, Records] = Map()

# A name's only child, where that exists by what is below it alone, is a label and nothing more: the reverse names of
# IPv6 addresses are long rows of such.
_Below = Children | bytes


def _children(below: _Below | None) -> Children:
    """Return the children of a name."""
    if below is None:
        return Children(Map(), _NOBODY)
    return Children(Map({below: None}), _NOBODY) if isinstance(below, bytes) else below


def _smallest(children: Children) -> _Below:
    """Return the smallest form of a name's children, of which there are some."""
    if len(children) == 1 and not children.shared:
        label, records = next(iter(children.single.items()))
        return label if records is None else children
    return children


@dataclass(frozen=True, slots=True)
class Zone:
    """One version of a zone."""

    origin: Name
    serial: int
    soa: RRset
    apex: Records | None  # what the origin has besides the SOA
    tree: Map[Name, _Below]  # for each name that has any below it: its children
    size: int  # names with records, or that exist by themselves
    fallbacks: tuple[Fallback, ...] = ()
    # names whose records or existence differ from the last version's; None: too many to tell
    changed: frozenset[Name] | None = None

    def node(self, name: Name) -> Records | None:
        """Return what was set for a name at or below the origin, None for nothing."""
        if name == self.origin:
            return self.apex
        below = self.tree.get(parent(name))
        return below.get(name[1 : 1 + name[0]]) if isinstance(below, Children) else None

    def labels_below(self, name: Name) -> Iterator[bytes]:
        """Yield the first labels of the names directly below one, in no promised order."""
        below = self.tree.get(name)
        if isinstance(below, Children):
            yield from below.single
            yield from below.shared
        elif below is not None:
            yield below

    def names(self) -> Iterator[Name]:
        """Yield every name that exists by itself, in no promised order."""
        yield self.origin
        for above in self.tree:
            for label in self.labels_below(above):
                yield Name(bytes((len(label),)) + label + above)

    @property
    def nodes(self) -> Mapping[Name, Records]:
        """The names that something was set for."""
        return _Nodes(self)

    @property
    def below(self) -> Mapping[Name, int]:
        """For each name that has any below it: how many of its direct children exist."""
        return _Counts(self)

    def rrsets(self, name: Name) -> tuple[RRset, ...] | None:
        """Return the records of a name at or below the origin.

        An empty tuple is a name that exists without records (RFC 8020, section 2: never NXDOMAIN); None is one that
        does not exist.
        """
        node = self.node(name)
        if node is not None:
            found = node.rrsets(name)
            return (self.soa, *found) if name == self.origin else found
        if name == self.origin:
            return (self.soa,)
        if name in self.tree:
            return ()
        answers = (fallback(self, name) for fallback in self.fallbacks)
        return next((found for found in answers if found is not None), None)

    def lists(self, name: Name) -> bool:
        """Say whether a name exists by itself, and not only when it is asked for."""
        return name == self.origin or name in self.tree or self.node(name) is not None

    def rrset(self, name: Name, rrtype: int) -> RRset | None:
        """Return one RRset; None where there is none of that name and type."""
        return next((one for one in self.rrsets(name) or () if one.rrtype == rrtype), None)

    def all_rrsets(self) -> Iterator[RRset]:
        """Yield every RRset: the SOA, the rest of the apex, then the other names in no promised order."""
        yield from self.rrsets(self.origin) or ()
        for name, records in self.named_records():
            if name != self.origin:
                yield from records.rrsets(name)

    def named_records(self) -> Iterator[tuple[Name, Records]]:
        """Yield each name that something was set for, in no promised order."""
        if self.apex is not None:
            yield self.origin, self.apex
        for above, below in self.tree.items():
            if isinstance(below, Children):
                for label, records in below.with_records():
                    yield join(label, above), records


class _Nodes(Mapping[Name, Records]):
    """The names of a zone that something was set for."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def __getitem__(self, name: Name) -> Records:
        if (records := self._zone.node(name)) is None:
            raise KeyError(name)
        return records

    def __iter__(self) -> Iterator[Name]:
        return (name for name, _ in self._zone.named_records())

    def __len__(self) -> int:
        return self._zone.size


class _Counts(Mapping[Name, int]):
    """How many direct children each name of a zone has that has any."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def __getitem__(self, name: Name) -> int:
        below = self._zone.tree[name]
        return 1 if isinstance(below, bytes) else len(below)

    def __iter__(self) -> Iterator[Name]:
        return iter(self._zone.tree)

    def __len__(self) -> int:
        return len(self._zone.tree)


class ZoneEditor:
    """Makes the next version of a zone; the store's alone. Names given to it are below the origin, or the origin."""

    def __init__(
        self, origin: Name, ttl: int, fallbacks: tuple[Fallback, ...] = (), server: Name | None = None
    ) -> None:
        """Begin with an empty zone; `server` is the name in it that its SOA calls the primary server (MNAME)."""
        self._origin = origin
        self._server = server
        self._fallbacks = fallbacks
        self._ttl = ttl
        self._apex: Records | None = None
        self._tree: MapMutation[Name, _Below] = Map[Name, _Below]().mutate()
        self._size = 0
        self._serial = 0
        self._changed = True
        self._touched: set[Name] = set()
        self._zone = self.publish(0)

    @property
    def origin(self) -> Name:
        """The zone's origin."""
        return self._origin

    def node(self, name: Name) -> Records | None:
        """Return what a name has been set to, published or not; None for nothing."""
        if name == self._origin:
            return self._apex
        below = self._tree.get(parent(name))
        return below.get(name[1 : 1 + name[0]]) if isinstance(below, Children) else None

    def set(self, name: Name, records: Records | None) -> None:
        """Give `name` these records, or with None take it out."""
        before = self.node(name)
        if before is None and records is None:
            return
        self._changed = True
        self.touch(name)
        self._size += (records is not None) - (before is not None)
        if name == self._origin:
            self._apex = records
            return
        above, label = parent(name), name[1 : 1 + name[0]]
        children = _children(self._tree.get(above))
        if records is None and name not in self._tree:
            single = children.single.delete(label)
        else:
            single = children.single.set(_SHORT.get(label, label), records)
        self._put(above, Children(single, children.shared))

    def share(self, above: Name, children: Map[bytes, Records]) -> None:
        """Make `children`, by label, all that was shared below a name; none of them is set one by one as well.

        However many they are, it costs what one does. The caller says which of them differ (`touch`).
        """
        known = _children(self._tree.get(above))
        if known.shared is not children:
            self._changed = True
            self._size += len(children) - len(known.shared)
            self._put(above, Children(known.single, children if children else _NOBODY))

    @property
    def changed(self) -> bool:
        """Whether anything has been set since the last version."""
        return self._changed

    def publish(self, serial: int) -> Zone:
        """Return the zone as it is now, with that serial; the same one where nothing has changed.

        With the first serial that is not 0 the zone has been loaded, also one that nothing was set in (a reverse zone
        of a cluster without such addresses): from then on it can be transferred.
        """
        if self._changed or (serial and not self._serial):
            self._serial = serial
            tree = self._tree.finish()
            soa = soa_rrset(self._origin, self._serial, self._ttl, self._server)
            changed = frozenset(self._touched) if len(self._touched) < MAX_CHANGED else None
            self._touched.clear()
            self._zone = Zone(self._origin, self._serial, soa, self._apex, tree, self._size, self._fallbacks, changed)
            self._tree = tree.mutate()
            self._changed = False
        return self._zone

    def touch(self, name: Name) -> None:
        """Note a name that differs from what was published last; beyond a number none is noted any more."""
        if len(self._touched) < MAX_CHANGED:
            self._touched.add(name)

    def _put(self, name: Name, children: Children) -> None:
        """Give a name these children; tell the names above where it began or ceased to exist by that."""
        while True:
            existed = name in self._tree
            if children:
                self._tree[name] = _smallest(children)
            elif existed:
                del self._tree[name]
            if existed == bool(children) or name == self._origin or self.node(name) is not None:
                return
            self.touch(name)
            above, label = parent(name), name[1 : 1 + name[0]]
            family = _children(self._tree.get(above))
            single = family.single.delete(label) if existed else family.single.set(_SHORT.get(label, label), None)
            name, children = above, Children(single, family.shared)


# the labels of reverse names, which a zone may hold 100,000 times
_SHORT = {one: one for one in [*(b"%d" % octet for octet in range(256)), *(b"%x" % digit for digit in range(16))]}


def soa_rrset(origin: Name, serial: int, ttl: int, server: Name | None = None) -> RRset:
    """Return a zone's SOA RRset; `ttl` is that of negative answers (RFC 2308, section 4).

    Unless it says otherwise the primary `server` is called as CoreDNS calls it.
    """
    soa = Soa(
        mname=server or Name(b"\x02ns\x03dns" + origin),
        rname=Name(b"\x0ahostmaster" + origin),
        serial=serial,
        refresh=REFRESH,
        retry=RETRY,
        expire=EXPIRE,
        minimum=ttl,
    )
    return RRset(origin, RRType.SOA, min(ttl, MAX_SOA_TTL), (soa.rdata(),))


def find_origin(origins: tuple[Name, ...], name: Name) -> Name | None:
    """Return the longest origin that `name` is at or below."""
    return max((origin for origin in origins if is_at_or_below(name, origin)), key=len, default=None)
