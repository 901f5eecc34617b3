"""What kind of answer a reply is to its question, and for how long it holds; no I/O.

The kinds are those of CoreDNS's plugin/pkg/response; NODATA behind an alias is told from data (RFC 2308, section 2.2).
"""

import struct
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from dnsserver.message import Query, Reply
from dnsserver.names import Name, fold
from dnsserver.records import Rcode, RRset, RRType

SHORT_TTL = 5  # seconds: for replies whose records do not say how long they hold

_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_FAILURES = (Rcode.SERVFAIL, Rcode.NOTIMP)
_VALIDITY = struct.Struct("!8xII")  # expiration and inception in RRSIG RDATA (RFC 4034, section 3.1)
_HALF = 1 << 31  # of the serial number space (RFC 1982)


class Kind(Enum):
    """What a reply says about its question."""

    DATA = "data"  # NOERROR; also one without any record, whose data is elsewhere (plugin whoami)
    REFERRAL = "referral"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    FAILURE = "failure"  # SERVFAIL and NOTIMP, said by an upstream
    OTHER = "other"  # never kept: transfers, REFUSED, signatures out of date

    @property
    def negative(self) -> bool:
        """Whether TTLs of denials apply (RFC 2308, section 5)."""
        return self in (Kind.NXDOMAIN, Kind.NODATA)

    @property
    def positive(self) -> bool:
        """Whether it belongs among the answers of the `success` cache."""
        return self in (Kind.DATA, Kind.REFERRAL)


class Verdict(NamedTuple):
    """What a cache wants to know of a reply."""

    kind: Kind
    answers: bool = False  # has the data that was asked for
    storable: bool = False  # may be kept at all


_NOTHING = Verdict(Kind.OTHER)


def judge(query: Query, reply: Reply, wall_time: float) -> Verdict:
    """Return what a reply is. `wall_time` is Unix time, for the signatures that a query with DO asked for.

    What is cut short is not kept. Nor is a denial without the SOA that limits it (RFC 2308, section 5), nor an alias
    chain that does not reach what was asked for: the next query may get further.
    """
    if query.qtype in _TRANSFERS or reply.silent or reply.stream is not None:
        return _NOTHING
    if query.edns is not None and query.edns.dnssec_ok and _has_outdated_signature(reply, int(wall_time)):
        return _NOTHING
    whole = not reply.truncated
    if reply.rcode == Rcode.NXDOMAIN:
        return Verdict(Kind.NXDOMAIN, storable=whole and has_soa(reply))
    if reply.rcode in _FAILURES:
        return Verdict(Kind.FAILURE, storable=whole)
    return _judge_success(query, reply, whole=whole) if reply.rcode == Rcode.NOERROR else _NOTHING


def _judge_success(query: Query, reply: Reply, *, whole: bool) -> Verdict:
    """Return what a NOERROR reply is."""
    if reply.answer:
        if answers_question(query, reply.answer):
            return Verdict(Kind.DATA, answers=True, storable=whole)
        return Verdict(Kind.NODATA, storable=whole) if has_soa(reply) else Verdict(Kind.DATA)
    types = {rrset.rrtype for rrset in reply.authority}
    if RRType.SOA in types:
        return Verdict(Kind.NODATA, storable=whole)
    return Verdict(Kind.REFERRAL if RRType.NS in types else Kind.DATA, storable=whole)


def ttl_of(reply: Reply, kind: Kind, maximum: int) -> int:
    """Return the shortest TTL of a reply's records in seconds, at most `maximum`.

    A denial holds no longer than its SOA's MINIMUM field (RFC 2308, section 5), which CoreDNS does not read.
    """
    records = (*reply.answer, *reply.authority, *reply.additional)
    if not records or not (kind.negative or kind is Kind.DATA):
        return SHORT_TTL
    ttl = min(maximum, *(rrset.ttl for rrset in records))
    return min(ttl, *_minimums(reply.authority), ttl) if kind.negative else ttl


def _minimums(authority: tuple[RRset, ...]) -> Iterator[int]:
    """Yield the MINIMUM field of each SOA, the last of its RDATA (RFC 1035, section 3.3.13)."""
    for rrset in authority:
        if rrset.rrtype == RRType.SOA:
            yield from (int.from_bytes(rdata[-4:], "big") for rdata in rrset.rdatas)


def has_soa(reply: Reply) -> bool:
    """Say whether a reply brings a SOA, as denials do."""
    return any(rrset.rrtype == RRType.SOA for rrset in reply.authority)


def answers_question(query: Query, answer: tuple[RRset, ...]) -> bool:
    """Say whether an answer section has what was asked for, at the end of the aliases that start at QNAME.

    An alias of two targets, or one that leads back, leads nowhere (RFC 2181, section 10.1; RFC 1034, section 3.6.2).
    """
    if query.qtype == RRType.ANY:
        return any(rrset.owner == query.name for rrset in answer)
    targets = _alias_targets(answer)
    if query.qtype == RRType.CNAME:
        return len(targets.get(query.name, ())) == 1
    name = query.name
    while found := targets.pop(name, None):
        if len(found) > 1:
            return False
        (name,) = found
    return any(rrset.owner == name and rrset.rrtype == query.qtype for rrset in answer)


def _alias_targets(answer: tuple[RRset, ...]) -> dict[Name, set[Name]]:
    """Return the targets of every alias."""
    targets: dict[Name, set[Name]] = {}
    for rrset in answer:
        if rrset.rrtype == RRType.CNAME:
            targets.setdefault(rrset.owner, set()).update(map(fold, rrset.rdatas))
    return targets


def _has_outdated_signature(reply: Reply, now: int) -> bool:
    """Say whether some RRSIG is not valid at Unix time `now`.

    Its times are serial numbers (RFC 4034, section 3.1.5). One that is cut short is not valid at any time.
    """
    for rrset in (*reply.answer, *reply.authority, *reply.additional):
        if rrset.rrtype != RRType.RRSIG:
            continue
        for rdata in rrset.rdatas:
            if len(rdata) < _VALIDITY.size:
                return True
            expiration, inception = _VALIDITY.unpack_from(rdata)
            if (expiration - now) % (2 * _HALF) >= _HALF or (now - inception) % (2 * _HALF) >= _HALF:
                return True
    return False
