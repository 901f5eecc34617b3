"""Changes of records: the owner, the name in RDATA, the TTL; no I/O."""

import msgspec

from dnsserver.names import fold, to_text
from dnsserver.plugins.rewriting.rule import ChangeRecords
from dnsserver.plugins.rewriting.texts import Rewriter, renamed
from dnsserver.records import RRset, RRType

_DNAME, _NAPTR = 39, 35
_STRINGS_IN_NAPTR = 3  # between its numbers and its name (RFC 3403, section 4.1)


# where the name begins that `answer value` rewrites; SOA has a second one, which stays
_OFFSETS: dict[int, int] = {
    RRType.SRV: 6,
    RRType.MX: 2,
    **dict.fromkeys((RRType.CNAME, RRType.NS, RRType.SOA, RRType.PTR, _DNAME), 0),
}


def change_owner(rewrite: Rewriter) -> ChangeRecords:
    """Return the change that rewrites owners."""

    def change(rrset: RRset) -> RRset:
        text = rewrite(to_text(rrset.owner))
        return rrset if text is None else msgspec.structs.replace(rrset, owner=fold(renamed(text)))

    return change


def change_value(rewrite: Rewriter) -> ChangeRecords:
    """Return the change that rewrites the name in the RDATA of CNAME, DNAME, MX, NAPTR, NS, PTR, SOA and SRV."""

    def change_rdata(rrtype: int, rdata: bytes) -> bytes:
        span = _name_span(rrtype, rdata)
        if span is None:
            return rdata
        text = rewrite(to_text(rdata[slice(*span)]))
        return rdata if text is None else rdata[: span[0]] + renamed(text) + rdata[span[1] :]

    def change(rrset: RRset) -> RRset:
        if rrset.rrtype not in _OFFSETS and rrset.rrtype != _NAPTR:
            return rrset
        return msgspec.structs.replace(rrset, rdatas=tuple(change_rdata(rrset.rrtype, one) for one in rrset.rdatas))

    return change


def change_ttl(low: int, high: int) -> ChangeRecords:
    """Return the change that moves TTLs into a range."""

    def change(rrset: RRset) -> RRset:
        return msgspec.structs.replace(rrset, ttl=min(max(rrset.ttl, low), high))

    return change


def _name_span(rrtype: int, rdata: bytes) -> tuple[int, int] | None:
    """Return where the name in RDATA begins and ends; None where the RDATA is not what its type says."""
    try:
        at = start = _naptr_offset(rdata) if rrtype == _NAPTR else _OFFSETS[rrtype]
        while rdata[at]:
            at += 1 + rdata[at]
    except IndexError:
        return None
    return start, at + 1


def _naptr_offset(rdata: bytes) -> int:
    at = 4
    for _ in range(_STRINGS_IN_NAPTR):
        at += 1 + rdata[at]
    return at
