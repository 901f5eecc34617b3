"""Which responses count as the same one, as in BIND's rate limiting, and what is left of a limited one; no I/O."""

from enum import StrEnum

import msgspec

from dnsserver.message import Query, Reply
from dnsserver.names import ROOT, Name
from dnsserver.records import Rcode, RRset, RRType

_NS = int(RRType.NS)  # plain, as the types of queries are


class Kind(StrEnum):
    """What a response is; the value is the label of metrics."""

    ANSWER = "answer"  # records for a name and type, or a referral
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    ERROR = "error"
    ALL = "all"  # whatever it is


Account = tuple[Kind, Name, int]  # what it is, whose, and of which type; the last two where they matter


def account_of(query: Query, reply: Reply) -> Account:
    """Return what a response is charged to; two that have it in common are the same response to a client's network.

    NXDOMAIN is the zone's, so that questions for random names share one account, and what a wildcard or DNAME made is
    that one's. An error says nothing of the name it is for. Of a name without data the type does not matter.
    """
    if reply.stream is not None:
        return Kind.ERROR, ROOT, 0  # a transfer over UDP: the server makes it REFUSED
    if reply.rcode == Rcode.NXDOMAIN:
        return Kind.NXDOMAIN, _owner(reply.authority, RRType.SOA) or reply.origin, 0
    if reply.rcode != Rcode.NOERROR:
        return Kind.ERROR, ROOT, 0
    name = query.name if reply.made_of is None else reply.made_of
    if reply.answer or reply.truncated:
        return Kind.ANSWER, name, query.qtype
    cut = _owner(reply.authority, RRType.NS)
    if cut is not None and _owner(reply.authority, RRType.SOA) is None:
        return Kind.ANSWER, cut, _NS
    return Kind.NODATA, name, 0


def _owner(rrsets: tuple[RRset, ...], rrtype: int) -> Name | None:
    """Return the owner of the first RRset of a type."""
    for rrset in rrsets:
        if rrset.rrtype == rrtype:
            return rrset.owner
    return None


def shortened(reply: Reply) -> Reply:
    """Return what slips out in the place of a limited response: hardly more than the question.

    TC leads a client over to TCP, as nobody goes who never asked. An error stays one, as in BIND: stub resolvers look
    at its code before they look at TC.
    """
    is_error = reply.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN) or reply.stream is not None
    return msgspec.structs.replace(
        reply, answer=(), authority=(), additional=(), options=(), truncated=not is_error, extended_error=None
    )


def silence(reply: Reply) -> Reply:
    """Return nothing at all, with the code that logs and metrics are to show."""
    return Reply(rcode=reply.rcode, authoritative=False, silent=True)
