"""What holds for every zone that anything publishes."""

from collections import Counter
from collections.abc import Iterable

from dnsserver import names
from dnsserver.names import MAX_LABEL, MAX_NAME, ROOT, Name
from dnsserver.records import RRClass, RRset, RRType
from dnsserver.wire import Record, record_to_text
from dnsserver.wire.masterfile import parse_master_file
from dnsserver.zone import Zone

MAX_TTL = 2**31  # RFC 2181, section 8
MAX_RDATA = 0xFFFF

Line = tuple[bytes, int, int, int, bytes]  # owner, type, class, TTL, RDATA


def no_include(path: str, file: str) -> tuple[str, str]:
    """Refuse to include anything."""
    raise OSError("there are no files here")


def require(holds: bool, what: str) -> None:
    """Assert something, where a linter takes `assert` for a test of an exception."""
    assert holds, what


def check_name(name: bytes) -> None:
    """Assert that a name is whole, within the limits, and not compressed (RFC 1035, section 2.3.4)."""
    assert 0 < len(name) <= MAX_NAME, f"a name of {len(name)} octets: {name!r}"
    index = 0
    while name[index]:
        assert name[index] <= MAX_LABEL, f"a label of {name[index]} octets: {name!r}"
        index += 1 + name[index]
    assert index == len(name) - 1, f"octets behind the root: {name!r}"


def check_rrset(rrset: RRset) -> None:
    """Assert what holds for one RRset."""
    check_name(rrset.owner)
    assert rrset.owner == names.fold(rrset.owner), f"not in canonical form: {rrset.owner!r}"
    assert 0 <= rrset.ttl < MAX_TTL, f"TTL {rrset.ttl}"
    assert rrset.rdatas, f"an RRset without records: {rrset}"
    assert len(set(rrset.rdatas)) == len(rrset.rdatas), f"a record stands twice: {rrset}"
    for rdata in rrset.rdatas:
        assert len(rdata) <= MAX_RDATA, f"RDATA of {len(rdata)} octets"
        if rrset.rrtype in (RRType.CNAME, RRType.NS, RRType.PTR):
            check_name(rdata)
        elif rrset.rrtype == RRType.SRV:
            check_name(rdata[6:])
        elif rrset.rrtype in (RRType.A, RRType.AAAA):
            assert len(rdata) == (4 if rrset.rrtype == RRType.A else 16), f"an address of {len(rdata)} octets"


def check_zone(zone: Zone) -> None:
    """Assert what holds for a zone, and that its text parses to the same records."""
    sets = list(zone.all_rrsets())
    for rrset in sets:
        assert names.is_at_or_below(rrset.owner, zone.origin), f"{rrset.owner!r} outside {zone.origin!r}"
        check_rrset(rrset)
    _check_owners(sets)
    _check_tree(zone)
    records = [
        Record(rrset.owner, rrset.rrtype, RRClass.IN, rrset.ttl, rdata) for rrset in sets for rdata in rrset.rdatas
    ]
    check_text(records)


def _check_owners(sets: list[RRset]) -> None:
    """Assert that no RRset stands twice, and that an alias stands alone (RFC 1034, section 3.6.2)."""
    kinds = Counter((one.owner, one.rrtype) for one in sets)
    twice = [key for key, count in kinds.items() if count > 1]
    assert not twice, f"RRsets that stand twice: {twice}"
    owners = Counter(one.owner for one in sets)
    for one in sets:
        if one.rrtype == RRType.CNAME:
            assert owners[one.owner] == 1 == len(one.rdatas), f"an alias that is not alone: {one.owner!r}"


def _check_tree(zone: Zone) -> None:
    """Assert that the count of each name's children is right: empty non-terminals exist as long as they should."""
    existing = {zone.origin, *zone.nodes}
    for name in list(zone.nodes):
        if name != zone.origin:
            existing.update(names.ancestors(name, zone.origin))
    wanted: Counter[Name] = Counter(names.parent(name) for name in existing if name != zone.origin)
    assert dict(zone.below) == dict(wanted), f"children are counted wrongly below {zone.origin!r}"


def line_of(record: Record) -> Line:
    """Return what a record's text must keep, owners folded."""
    return (bytes(names.fold(record.owner)), record.rrtype, record.rrclass, record.ttl, record.rdata)


def check_text(records: Iterable[Record]) -> None:
    """Assert that records as text are the same records again."""
    wanted = [line_of(record) for record in records]
    text = "".join(f"{record_to_text(Record(*line))}\n" for line in wanted)
    entries = parse_master_file(text, ROOT, file="dump", include=no_include)
    got = [line_of(entry.record) for entry in entries]
    assert [_canonical(one) for one in got] == [_canonical(one) for one in wanted], f"other records come back:\n{text}"


def _canonical(line: Line) -> Line:
    """Return a line with the names in its RDATA folded: master files fold some."""
    owner, rrtype, rrclass, ttl, rdata = line
    folded = rdata.lower() if rrtype in (RRType.NS, RRType.CNAME, RRType.MX, RRType.SRV, RRType.PTR) else rdata
    return owner, rrtype, rrclass, ttl, folded
