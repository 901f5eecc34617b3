"""RRsets and the RDATA of the types that this server makes itself; no I/O."""

import struct
from enum import IntEnum

import msgspec

from dnsserver.names import Name


class RRType(IntEnum):
    """Resource record types that have a meaning here (IANA DNS parameters); any other stays a plain integer."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    DS = 43
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    NSEC3 = 50
    SVCB = 64
    HTTPS = 65
    TSIG = 250
    IXFR = 251
    AXFR = 252
    ANY = 255


class RRClass(IntEnum):
    """Classes (RFC 6895, section 3.2)."""

    IN = 1
    CH = 3
    HS = 4
    NONE = 254
    ANY = 255


class Rcode(IntEnum):
    """Response codes (RFC 6895, section 2.3); BADVERS needs EDNS to carry its upper bits."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    YXRRSET = 7
    NXRRSET = 8
    NOTAUTH = 9
    NOTZONE = 10
    BADVERS = 16
    BADCOOKIE = 23


class Opcode(IntEnum):
    """Opcodes (RFC 6895, section 2.2)."""

    QUERY = 0
    IQUERY = 1
    STATUS = 2
    NOTIFY = 4
    UPDATE = 5
    DSO = 6


class RRset(msgspec.Struct, frozen=True, gc=False):
    """All records that share one owner, class IN and type (RFC 9499, section 5).

    `rdatas` hold uncompressed wire RDATA, distinct; a zone keeps them sorted, so equal sets compare equal.
    """

    owner: Name  # canonical wire form
    rrtype: int
    ttl: int  # seconds, 0 to 2**31 - 1 (RFC 2181, section 8)
    rdatas: tuple[bytes, ...]


class Soa(msgspec.Struct, frozen=True, gc=False):
    """The fields of a zone's SOA (RFC 1035, section 3.3.13); times in seconds."""

    mname: Name
    rname: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int

    def rdata(self) -> bytes:
        """Return the uncompressed wire RDATA."""
        times = (self.serial, self.refresh, self.retry, self.expire, self.minimum)
        return self.mname + self.rname + struct.pack("!5I", *times)


def address_type(address: bytes) -> RRType:
    """Return A for a packed IPv4 address, AAAA for a packed IPv6 one."""
    return RRType.A if len(address) == 4 else RRType.AAAA


def srv(priority: int, weight: int, port: int, target: Name) -> bytes:
    """Return SRV RDATA (RFC 2782); the target is never compressed (RFC 3597, section 4)."""
    return struct.pack("!HHH", priority, weight, port) + target


def srv_target(rdata: bytes) -> Name:
    """Return the target of SRV RDATA in canonical form."""
    return Name(rdata[6:].lower())


def txt(*strings: bytes) -> bytes:
    """Return TXT RDATA of character strings, each of at most 255 octets (RFC 1035, section 3.3.14)."""
    return b"".join(bytes((len(string),)) + string for string in strings)
