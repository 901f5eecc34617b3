"""What a zone answers to a query; no I/O."""

from collections.abc import Iterable

from dnsserver.message import Query, Reply
from dnsserver.names import Name, is_at_or_below
from dnsserver.records import Rcode, RRset, RRType, srv_target
from dnsserver.zone import Zone

MAX_CHAIN = 10  # CNAMEs followed before the chain counts as a loop (CoreDNS plugin/backend_lookup.go)

_ADDRESS_TYPES = (RRType.A, RRType.AAAA)


def answer(zone: Zone, query: Query, *, synced: bool) -> Reply:
    """Return the zone's answer to a query for a name at or below its origin.

    Before the first sync a name that is not there may only be not there yet: SERVFAIL, never NXDOMAIN, which resolvers
    would keep (plugin/kubernetes handler.go).
    """
    sets = zone.rrsets(query.name)
    if sets is None:
        return _negative(zone, Rcode.NXDOMAIN if synced else Rcode.SERVFAIL)
    found = _of_type(sets, query.qtype)
    if found is None and query.qtype != RRType.CNAME and (alias := _of_type(sets, RRType.CNAME)) is not None:
        return _chase(zone, query, alias)
    if found is None:
        return _negative(zone, Rcode.NOERROR)
    return Reply(answer=(found,), additional=_additional(zone, found), origin=zone.origin)


def _negative(zone: Zone, rcode: int, chain: tuple[RRset, ...] = ()) -> Reply:
    """Return NODATA or NXDOMAIN, with the SOA that says how long that holds (RFC 2308, section 3)."""
    return Reply(rcode=rcode, answer=chain, authority=(zone.soa,), origin=zone.origin)


def _chase(zone: Zone, query: Query, alias: RRset) -> Reply:
    """Follow an alias inside the zone; the code is that of the chain's end (RFC 6604, section 3)."""
    chain = [alias]
    seen = {alias.owner}
    while len(chain) <= MAX_CHAIN:
        target = Name(chain[-1].rdatas[0].lower())
        if target in seen:
            break
        if not is_at_or_below(target, zone.origin):
            return Reply(answer=tuple(chain), origin=zone.origin)
        seen.add(target)
        sets = zone.rrsets(target)
        if sets is None:
            return _negative(zone, Rcode.NXDOMAIN, tuple(chain))
        found = _of_type(sets, query.qtype)
        if found is not None:
            return Reply(answer=(*chain, found), origin=zone.origin)
        alias_again = _of_type(sets, RRType.CNAME)
        if alias_again is None:
            return _negative(zone, Rcode.NOERROR, tuple(chain))
        chain.append(alias_again)
    return Reply(answer=tuple(chain), origin=zone.origin)


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
