"""From a zone's records to the octets that follow the question; the responder renders them, so they cannot differ.

Only what depends on nothing but its own name is rendered: no alias, no answer with additional records, no RRset that
would not fit in a datagram. Everything else is the responder's each time it is asked.
"""

import msgspec

from dnsserver.answer import answer
from dnsserver.message import OWN_UDP_SIZE, Query, Reply, uncompressed_size
from dnsserver.names import Name
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.responder import DECIDED_TYPES
from dnsserver.wire import HEADER_SIZE, MAX_MESSAGE, encode_reply
from dnsserver.zone import Zone

QUESTION_TAIL = 4  # octets of QTYPE and QCLASS

# Types that are not answered by whether a name has them: the responder's, of several RRsets, or a parent's (DS).
OTHER_TYPES = frozenset({*DECIDED_TYPES, RRType.ANY, RRType.AXFR, RRType.IXFR, RRType.DS})

_POINTER = 0xC000
_NAMES_IN_SOA = 3  # with its owner
_ROTATED = (RRType.A, RRType.AAAA)
_NOT_RENDERED = (RRType.SOA, RRType.SRV)  # another with each change of the zone; with addresses, nearly always
_MANY = OWN_UDP_SIZE // 16  # records of any RRset that does not fit in a datagram


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """What follows the question of one answer."""

    records: int  # ANCOUNT
    body: bytes
    size: int  # octets of the records without compression
    lower: bool  # the body repeats letters of the question: for a question in lower case only
    rotates: bool  # records of equal length, whose order `loadbalance` may change


class Node(msgspec.Struct, gc=False):
    """What one name that exists answers: None for a type that is not rendered, NODATA for one that is not there."""

    types: dict[int, Rendered | None]
    closed: bool = True  # whether any other type is NODATA; else it is the responder's as well
    asked: set[int] = msgspec.field(default_factory=set)  # types whose answers are kept


class Denial(msgspec.Struct, frozen=True, gc=False):
    """What follows the question of NODATA and NXDOMAIN: the zone's SOA, in the pieces between pointers to the origin.

    Those of the owner, MNAME and RNAME: they depend on where the question spells the origin.
    """

    pieces: tuple[bytes, ...]
    size: int  # octets of the record without compression

    def at(self, offset: int) -> bytes:
        """Return the body for a message whose question spells the origin at `offset`."""
        return (_POINTER | offset).to_bytes(2, "big").join(self.pieces)


def render(zone: Zone, name: Name) -> Node | None:
    """Render what a name at or below the origin answers; None where it does not exist."""
    sets = zone.rrsets(name)
    if sets is None:
        return None
    if any(one.rrtype == RRType.CNAME for one in sets):
        return Node({}, closed=False)
    return Node({one.rrtype: _rendered(zone, name, one) for one in sets})


def _rendered(zone: Zone, name: Name, rrset: RRset) -> Rendered | None:
    """Render one RRset, if it can be."""
    if len(rrset.rdatas) > _MANY or rrset.rrtype in _NOT_RENDERED:
        return None
    query = Query(0, name, name, rrset.rrtype)
    reply = answer(zone, query, synced=True)
    if reply.additional or reply.authority or reply.answer != (rrset,) or rrset.owner != name:
        return None
    body = _body(query, reply)
    if HEADER_SIZE + len(name) + QUESTION_TAIL + len(body) > OWN_UDP_SIZE:
        return None
    addresses = rrset.rrtype in _ROTATED  # which have no letters
    lower = not addresses and _body(msgspec.structs.replace(query, qname=bytes(name.upper())), reply) != body
    rotates = addresses and len(rrset.rdatas) > 1
    return Rendered(len(rrset.rdatas), body, _size(query, reply), lower, rotates)


def denial(zone: Zone) -> Denial:
    """Render a zone's SOA as it denies names and types; the origin is not the root."""
    name = zone.origin
    query = Query(0, name, name, RRType.TXT)
    reply = Reply(rcode=Rcode.NXDOMAIN, authority=(zone.soa,), origin=zone.origin)
    pointer = (_POINTER | HEADER_SIZE).to_bytes(2, "big")
    return Denial(tuple(_body(query, reply).split(pointer, _NAMES_IN_SOA)), _size(query, reply))


def renewed(before: Denial, zone: Zone) -> Denial:
    """Return the denial of a zone's next version: its SOA differs in nothing but the serial, behind the two names."""
    *pieces, numbers = before.pieces
    return Denial((*pieces, zone.serial.to_bytes(4, "big") + numbers[4:]), before.size)


def _body(query: Query, reply: Reply) -> bytes:
    """Return what follows the question of a response without EDNS."""
    return encode_reply(query, reply, limit=MAX_MESSAGE)[HEADER_SIZE + len(query.qname) + QUESTION_TAIL :]


def _size(query: Query, reply: Reply) -> int:
    """Return the octets of a reply's records without compression."""
    return uncompressed_size(query, reply) - HEADER_SIZE - len(query.qname) - QUESTION_TAIL
