"""What a zone answers to a query; no I/O."""

from collections.abc import Iterable

import msgspec

from dnsserver.message import Query, Reply
from dnsserver.names import Name, is_at_or_below
from dnsserver.records import Rcode, RRset, RRType, srv_target
from dnsserver.zone import Zone

MAX_CHAIN = 10  # CNAMEs followed before the chain counts as a loop (CoreDNS plugin/backend_lookup.go)

_NOT_READY = (14, "")  # INFO-CODE of an extended error (RFC 8914, section 4.15)
_ADDRESS_TYPES = (RRType.A, RRType.AAAA)


def answer(zone: Zone, query: Query, *, synced: bool) -> Reply:
    """Return the zone's answer to a query for a name at or below its origin.

    Before the first sync a name that is not there may only be not there yet: SERVFAIL, never NXDOMAIN, which resolvers
    would keep (plugin/kubernetes handler.go).
    """
    sets = zone.rrsets(query.name)
    if sets is None:
        if not synced:
            return msgspec.structs.replace(_negative(zone, Rcode.SERVFAIL), extended_error=_NOT_READY)
        return _negative(zone, Rcode.NXDOMAIN)
    found = _of_type(sets, query.qtype)
    if found is None and query.qtype != RRType.CNAME and (alias := _of_type(sets, RRType.CNAME)) is not None:
        return _chase(zone, query, alias)
    if found is None:
        return _negative(zone, Rcode.NOERROR)
    return Reply(answer=(found,), additional=_additional(zone, found), origin=zone.origin)


def _negative(zone: Zone, rcode: int) -> Reply:
    """Return NODATA or NXDOMAIN, with the SOA that says how long that holds (RFC 2308, section 3)."""
    return Reply(rcode=rcode, authority=(zone.soa,), origin=zone.origin)


def _chase(zone: Zone, query: Query, alias: RRset) -> Reply:
    """Follow an alias inside the zone; one that leads outside is the end of what a zone can answer.

    Where the chain leads to no record of the type, or in circles, there is none at the name either: NODATA without the
    alias, which some resolvers take for an answer (CoreDNS issue 6088).
    """
    chain = [alias]
    while len(chain) <= MAX_CHAIN:
        target = Name(chain[-1].rdatas[0].lower())
        if not is_at_or_below(target, zone.origin):
            return Reply(answer=tuple(chain), origin=zone.origin)
        sets = zone.rrsets(target) or ()
        found = _of_type(sets, query.qtype)
        if found is not None:
            return Reply(answer=(*chain, found), additional=_additional(zone, found), origin=zone.origin)
        further = _of_type(sets, RRType.CNAME)
        if further is None:
            break
        chain.append(further)
    return _negative(zone, Rcode.NOERROR)


def leads_outside(reply: Reply, query: Query) -> Name | None:
    """Return the name outside the zone that an answer's alias chain ends in; None where it ends in an answer."""
    if not reply.answer or query.qtype == RRType.CNAME or reply.answer[-1].rrtype != RRType.CNAME:
        return None
    return Name(reply.answer[-1].rdatas[0].lower())


def _of_type(sets: Iterable[RRset], rrtype: int) -> RRset | None:
    """Return the RRset of one type."""
    return next((one for one in sets if one.rrtype == rrtype), None)


def _additional(zone: Zone, found: RRset) -> tuple[RRset, ...]:
    """Return the addresses of the names that an NS or SRV RRset leads to (RFC 1035, 3.3.11; RFC 2782)."""
    if found.rrtype == RRType.SRV:
        targets = [srv_target(rdata) for rdata in found.rdatas]
    elif found.rrtype == RRType.NS:
        targets = [Name(rdata) for rdata in found.rdatas]
    else:
        return ()
    inside = (target for target in dict.fromkeys(targets) if is_at_or_below(target, zone.origin))
    return tuple(one for target in inside for one in zone.rrsets(target) or () if one.rrtype in _ADDRESS_TYPES)
