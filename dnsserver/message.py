"""A query as it was asked and a reply before it is encoded; no I/O."""

from collections.abc import Iterable
from enum import Enum

import msgspec

from dnsserver.names import ROOT, Name
from dnsserver.records import Opcode, Rcode, RRClass, RRset

OWN_UDP_SIZE = 1232  # octets: what we advertise, and the most we send over UDP (DNS flag day 2020; RFC 9715)
PLAIN_UDP_SIZE = 512  # octets: a reply to a query without EDNS (RFC 1035, section 4.2.1)


class Transport(Enum):
    """How a query came; the value is what logs and metrics call it."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Client(msgspec.Struct, frozen=True, gc=False):
    """Who asked, and where."""

    address: str  # IPv4 or IPv6 text, without brackets or scope
    port: int
    transport: Transport
    server: str  # the address and port that were asked, as the server block names them: "dns://10.0.0.1:53"
    proven: bool = False  # over UDP: the address is the sender's own, for a cookie of ours came from there
    key: Name | None = None  # the TSIG key that the query is signed with, as it should be; None: it is not signed
    reserved: int = 0  # octets of a response that are left for its signature


class Edns(msgspec.Struct, frozen=True, gc=False):
    """The OPT pseudo-RR of a query (RFC 6891, section 6.1)."""

    udp_size: int  # octets, as sent; under 512 counts as 512
    version: int = 0
    dnssec_ok: bool = False
    options: tuple[tuple[int, bytes], ...] = ()  # (code, data), in order


class Query(msgspec.Struct, frozen=True, gc=False):
    """One question with the header bits that decide the reply."""

    id: int
    qname: bytes  # uncompressed wire form in the case it was asked in; the reply repeats it octet for octet
    name: Name  # the same, folded: what is looked up
    qtype: int
    qclass: int = RRClass.IN
    opcode: int = Opcode.QUERY
    recursion_desired: bool = False
    checking_disabled: bool = False
    edns: Edns | None = None
    size: int = 0  # octets of the whole message


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What to answer; the encoder adds the question, EDNS, and the limits of the transport.

    Names at or below `origin` are sent in the case the question spells that origin in; the root leaves them alone.
    """

    rcode: int = Rcode.NOERROR
    authoritative: bool = True
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[
        RRset, ...
    ] = ()  # dropped where it does not fit, without TC unless it is glue (RFC 2181, section 9)
    origin: Name = ROOT
    recursion_available: bool = False
    authenticated: bool = False
    truncated: bool = False  # TC whatever fits: an upstream's, kept, or for another try over TCP (plugin `ratelimit`)
    extended_error: tuple[int, str] | None = None  # (INFO-CODE, EXTRA-TEXT) (RFC 8914, section 2)
    options: tuple[tuple[int, bytes], ...] = ()  # further EDNS options, sent where the query had EDNS: (code, data)
    max_udp_size: int = 0  # octets: a limit below the client's own (plugin `bufsize`); 0 is none
    silent: bool = False  # send nothing at all (plugin `acl`, action drop)
    made_of: Name | None = None  # the wildcard or DNAME that the answer for QNAME is made of, where that is known
    stream: Iterable[RRset] | None = None  # a zone transfer: the answer, in as many TCP messages as it takes


_HEADER = 12  # octets (RFC 1035, section 4.1.1)
_FIXED = 10  # octets of a record besides its owner and RDATA (RFC 1035, section 3.2.1)
_OPT = 11  # octets of an OPT record without options


def uncompressed_size(query: Query, reply: Reply) -> int:
    """Return the octets of the whole reply without compression or truncation, as CoreDNS logs and counts them."""
    size = _HEADER + len(query.qname) + 4 + (_OPT if query.edns else 0)
    for rrset in (*reply.answer, *reply.authority, *reply.additional):
        size += sum(len(rrset.owner) + _FIXED + len(rdata) for rdata in rrset.rdatas)
    return size
