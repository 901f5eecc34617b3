"""The records of a zone file to an immutable zone; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dnsserver.names import Name, fold, from_labels, is_at_or_below, order_key, to_text
from dnsserver.records import RRClass, RRset, RRType
from dnsserver.wire import class_to_text, type_to_text
from dnsserver.wire.masterfile import Entry, MasterFileError
from dnsserver.zone import Fixed, Zone, ZoneEditor

DNAME = 39
_NSEC3 = (RRType.NSEC3, 51)  # and NSEC3PARAM
_SINGLE = (RRType.SOA, RRType.CNAME, DNAME)  # one at each name (RFC 1035, 3.6.2; RFC 2181, 10.1; RFC 6672, 2.4)
BESIDE_ALIAS = (RRType.CNAME, RRType.RRSIG, RRType.NSEC)  # what a name with a CNAME may have (RFC 4034, section 4)

OrderKey = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a zone file, loaded."""

    zone: Zone
    proofs: tuple[OrderKey, ...] = ()  # the names that have NSEC, in canonical order; none: the zone is not signed
    notes: tuple[str, ...] = ()  # what the operator should know of


def name_of(key: OrderKey) -> Name:
    """Return the name of an `order_key`."""
    return from_labels(key[::-1])


def build(entries: Iterable[Entry], origin: Name, *, file: str, serial: int | None = None) -> Content | None:
    """Return the zone of these records, None where its SOA still has that `serial`.

    Records outside the zone are left out, with a note. Raises `MasterFileError` for what no zone can be.
    """
    gathered = _Gathered(origin)
    for entry in entries:
        found = gathered.add(entry)
        if found is not None and found == serial:
            return None
    if gathered.serial is None:
        raise MasterFileError(f"no SOA record of {to_text(origin)}", file)
    return gathered.content(gathered.serial)


@dataclass(slots=True)
class _Set:
    """An RRset that grows."""

    ttl: int
    rdatas: set[bytes] = field(default_factory=set)


class _Gathered:
    """The records read so far."""

    def __init__(self, origin: Name) -> None:
        self._origin = origin
        self.serial: int | None = None
        # signatures are a set for each type that they cover, for they have its TTL (RFC 4034, section 3)
        self._sets: dict[Name, dict[tuple[int, bytes], _Set]] = {}
        self._aliases: dict[Name, Entry] = {}
        self._outside: list[Entry] = []

    def add(self, entry: Entry) -> int | None:
        """Add a record; return the serial where it is the SOA. Raises `MasterFileError`."""
        record = entry.record
        owner = fold(record.owner)
        self._check(entry, owner)
        if not is_at_or_below(owner, self._origin):
            self._outside.append(entry)
            return None
        key = (record.rrtype, record.rdata[:2] if record.rrtype == RRType.RRSIG else b"")
        found = self._sets.setdefault(owner, {}).setdefault(key, _Set(record.ttl))
        found.ttl = min(found.ttl, record.ttl)  # one TTL an RRset (RFC 2181, section 5.2)
        found.rdatas.add(record.rdata)
        if record.rrtype in _SINGLE and len(found.rdatas) > 1:
            raise _error(entry, f"a second {type_to_text(record.rrtype)} record of {to_text(owner)}, expecting one")
        if record.rrtype == RRType.CNAME:
            self._aliases[owner] = entry
        if record.rrtype == RRType.SOA:
            self.serial = int.from_bytes(record.rdata[-20:-16], "big")
            return self.serial
        return None

    def _check(self, entry: Entry, owner: Name) -> None:
        """Raise `MasterFileError` for a record that has no place in this zone, nor in what is not of the zone."""
        record = entry.record
        if record.rrclass != RRClass.IN:
            raise _error(entry, f"class {class_to_text(record.rrclass)}, expecting IN")
        if record.rrtype == RRType.SOA and owner != self._origin:
            raise _error(entry, f"an SOA record of {to_text(owner)}, expecting one of {to_text(self._origin)}")
        if record.rrtype in _NSEC3:
            raise _error(entry, "NSEC3 is not supported, expecting a zone that is signed with NSEC or not at all")

    def content(self, serial: int) -> Content:
        """Return the zone."""
        editor = ZoneEditor(self._origin, 0)
        proofs: list[OrderKey] = []
        for owner, sets in self._sets.items():
            editor.set(owner, Fixed(tuple(_rrset(owner, key, one) for key, one in sets.items() if key != _SOA)))
            if (int(RRType.NSEC), b"") in sets:
                proofs.append(order_key(owner))
        soa = _rrset(self._origin, _SOA, self._sets[self._origin][_SOA])
        zone = replace(editor.publish(0), serial=serial, soa=soa)
        return Content(zone, tuple(sorted(proofs)), tuple(self._notes()))

    def _notes(self) -> Iterable[str]:
        """Yield what is odd, but no reason not to serve the zone."""
        if self._outside:
            first = self._outside[0]
            yield (
                f"{first.file}:{first.line}: {len(self._outside)} records are left out, which are not in "
                f"{to_text(self._origin)}: the first is of {to_text(first.record.owner)}"
            )
        for owner, entry in self._aliases.items():
            if any(rrtype not in BESIDE_ALIAS for rrtype, _ in self._sets[owner]):
                yield f"{entry.file}:{entry.line}: {to_text(owner)} has other records, which its CNAME hides"


_SOA = (int(RRType.SOA), b"")


def _rrset(owner: Name, key: tuple[int, bytes], found: _Set) -> RRset:
    return RRset(owner, key[0], found.ttl, tuple(sorted(found.rdatas)))


def _error(entry: Entry, message: str) -> MasterFileError:
    return MasterFileError(message, entry.file, entry.line)
