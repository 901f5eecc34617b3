"""The immutable zone: what exists, and with which records; no I/O.

Invariant: a `Zone` never changes. Its maps share their structure with the next zone's (`immutables.Map`), so a change
costs in proportion to what it changes and a reader keeps one consistent zone for as long as it likes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec
from immutables import Map, MapMutation

from dnsserver.names import Name, is_at_or_below, parent
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


@dataclass(frozen=True, slots=True)
class Zone:
    """One version of a zone."""

    origin: Name
    serial: int
    soa: RRset
    nodes: Map[Name, Records]
    below: Map[Name, int]  # for each name: how many of its direct children exist
    fallbacks: tuple[Fallback, ...] = ()
    # names whose records or existence differ from the last version's; None: too many to tell
    changed: frozenset[Name] | None = None

    def rrsets(self, name: Name) -> tuple[RRset, ...] | None:
        """Return the records of a name at or below the origin.

        An empty tuple is a name that exists without records (RFC 8020, section 2: never NXDOMAIN); None is one that
        does not exist.
        """
        node = self.nodes.get(name)
        if node is not None:
            found = node.rrsets(name)
            return (self.soa, *found) if name == self.origin else found
        if name == self.origin:
            return (self.soa,)
        if name in self.below:
            return ()
        answers = (fallback(self, name) for fallback in self.fallbacks)
        return next((found for found in answers if found is not None), None)

    def lists(self, name: Name) -> bool:
        """Say whether a name exists by itself, and not only when it is asked for."""
        return name in self.nodes or name in self.below or name == self.origin

    def rrset(self, name: Name, rrtype: int) -> RRset | None:
        """Return one RRset; None where there is none of that name and type."""
        return next((one for one in self.rrsets(name) or () if one.rrtype == rrtype), None)

    def all_rrsets(self) -> Iterator[RRset]:
        """Yield every RRset: the SOA, the rest of the apex, then the other names in no promised order."""
        yield from self.rrsets(self.origin) or ()
        for name in self.nodes:
            if name != self.origin:
                yield from self.nodes[name].rrsets(name)


class ZoneEditor:
    """Makes the next version of a zone; the store's alone. Names given to it are below the origin, or the origin."""

    def __init__(self, origin: Name, ttl: int, fallbacks: tuple[Fallback, ...] = ()) -> None:
        self._origin = origin
        self._fallbacks = fallbacks
        self._ttl = ttl
        self._nodes: MapMutation[Name, Records] = Map[Name, Records]().mutate()
        self._below: MapMutation[Name, int] = Map[Name, int]().mutate()
        self._serial = 0
        self._changed = True
        self._touched: set[Name] = set()
        self._zone = self.publish(0)

    @property
    def origin(self) -> Name:
        """The zone's origin."""
        return self._origin

    def set(self, name: Name, records: Records | None) -> None:
        """Give `name` these records, or with None take it out."""
        existed = name in self._nodes or name in self._below
        if records is not None:
            self._nodes[name] = records
        elif self._nodes.pop(name, None) is None:
            return
        self._changed = True
        self._touch(name)
        exists = records is not None or name in self._below
        if exists != existed:
            self._count(name, 1 if exists else -1)

    def publish(self, serial: int) -> Zone:
        """Return the zone as it is now; the same one where nothing has changed.

        The serial becomes `serial`, or one more than the last where that is greater: no two contents share a serial.
        With the first that is not 0 the zone has been loaded, also one that nothing was set in (a reverse zone of a
        cluster without such addresses): from then on it can be transferred.
        """
        if self._changed or (serial and not self._serial):
            self._serial = max(serial, self._serial + 1) if serial else 0
            nodes, below = self._nodes.finish(), self._below.finish()
            soa = soa_rrset(self._origin, self._serial, self._ttl)
            changed = frozenset(self._touched) if len(self._touched) < MAX_CHANGED else None
            self._touched.clear()
            self._zone = Zone(self._origin, self._serial, soa, nodes, below, self._fallbacks, changed)
            self._nodes, self._below = nodes.mutate(), below.mutate()
            self._changed = False
        return self._zone

    def _touch(self, name: Name) -> None:
        """Note a name that differs from what was published last; beyond a number none is noted any more."""
        if len(self._touched) < MAX_CHANGED:
            self._touched.add(name)

    def _count(self, name: Name, step: int) -> None:
        """Tell the ancestors that `name` began (1) or ceased (-1) to exist."""
        while name != self._origin:
            self._touch(name)
            above = parent(name)
            others = above in self._nodes or above in self._below
            children = self._below.get(above, 0) + step
            if children:
                self._below[above] = children
            else:
                del self._below[above]
            exists = children > 0 or above in self._nodes
            if exists == others:
                return
            name = above


def soa_rrset(origin: Name, serial: int, ttl: int) -> RRset:
    """Return a zone's SOA RRset; `ttl` is that of negative answers (RFC 2308, section 4)."""
    soa = Soa(
        mname=Name(b"\x02ns\x03dns" + origin),
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
