"""Messages as people read them, and the only door to `dnslib`; no I/O.

`dnslib` only ever prints RDATA that holds no name: it prints a dot inside a label unescaped, and hostile names exhaust
its stack.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import dnslib

from dnsserver import names
from dnsserver.records import Opcode, Rcode, RRClass, RRType
from dnsserver.wire.format import AA, AD, CD, MAY_ARRIVE_COMPRESSED, QR, RA, RD, TC, MalformedMessageError, read_name
from dnsserver.wire.response import ParsedResponse, Record, parse_message

_TYPES_WITHOUT_NAMES = frozenset({"CAA", "DNSKEY", "DS", "LOC", "SSHFP", "TLSA"})  # what dnslib may print
_TYPE_NAMES = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 12: "PTR",
    13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 31: "EID",
    32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL",
    43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
    51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY", 58: "TALINK", 59: "CDS",
    60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 100: "UINFO",
    101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64", 107: "LP", 108: "EUI48",
    109: "EUI64", 128: "NXNAME", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA",
    255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 260: "AMTRELAY", 261: "RESINFO", 32768: "TA", 32769: "DLV",
}  # fmt: skip  # one a line would be a hundred lines that nobody reads
_TYPE_CODES = {text: code for code, text in _TYPE_NAMES.items()}
_CLASS_NAMES = {**{int(known): known.name for known in RRClass}, 2: "CS"}
_RCODE_NAMES = {int(known): known.name for known in Rcode}
_OPCODE_NAMES = {int(known): known.name for known in Opcode}


def type_to_text(rrtype: int) -> str:
    """Return the mnemonic of a type, `TYPE666` for one without (RFC 3597, section 5)."""
    return _TYPE_NAMES.get(rrtype) or f"TYPE{rrtype}"


def text_to_type(text: str) -> int:
    """Return the type of a mnemonic or of `TYPE666`, in any case; raises ValueError."""
    text = text.upper()
    if (code := _TYPE_CODES.get(text)) is not None:
        return code
    digits = text.removeprefix("TYPE")
    if digits != text and digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFF:
        return int(digits)
    raise ValueError(f"not a resource record type: {text!r}")


def class_to_text(rrclass: int) -> str:
    """Return the mnemonic of a class, `CLASS5` for one without (RFC 3597, section 5)."""
    return _CLASS_NAMES.get(rrclass) or f"CLASS{rrclass}"


def rcode_to_text(rcode: int) -> str:
    """Return the mnemonic of a response code, `RCODE11` for one without."""
    return _RCODE_NAMES.get(rcode) or f"RCODE{rcode}"


def rdata_to_text(rrtype: int, rdata: bytes) -> str:
    """Return RDATA in presentation format, `\\# 2 abcd` for what has none here (RFC 3597, section 5); never raises."""
    try:
        return " ".join(_presentation(rrtype, rdata))
    except (ValueError, IndexError, struct.error):
        return f"\\# {len(rdata)} {rdata.hex()}".rstrip()


def _presentation(rrtype: int, rdata: bytes) -> Iterator[str]:
    """Yield the fields of RDATA; raises ValueError, IndexError or struct.error where it has not that form."""
    if rrtype == RRType.A:
        yield str(IPv4Address(rdata))
    elif rrtype == RRType.AAAA:
        yield str(IPv6Address(rdata))
    elif rrtype == RRType.TXT and rdata:
        yield from _character_strings(rdata)
    elif (layout := MAY_ARRIVE_COMPRESSED.get(rrtype)) is not None:
        prefix, count = layout
        yield from map(str, struct.unpack(f"!{prefix // 2}H", rdata[:prefix]))
        index = prefix
        for _ in range(count):
            name, index = read_name(rdata, index, {})
            yield names.to_text(name)
        yield from map(str, struct.unpack("!5I" if rrtype == RRType.SOA else "", rdata[index:]))
    else:
        yield _dnslib_text(rrtype, rdata)


def _character_strings(rdata: bytes) -> Iterator[str]:
    """Yield character strings in quotes (RFC 1035, section 5.1)."""
    index = 0
    while index < len(rdata):
        end = index + 1 + rdata[index]
        if end > len(rdata):
            raise ValueError("a character string is cut short")
        printable = (
            f"\\{chr(octet)}" if octet in b'"\\' else chr(octet) if 0x20 <= octet <= 0x7E else f"\\{octet:03d}"
            for octet in rdata[index + 1 : end]
        )
        yield f'"{"".join(printable)}"'
        index = end


def _dnslib_text(rrtype: int, rdata: bytes) -> str:
    """Let dnslib print a type whose RDATA holds no name; raises ValueError for any other and for broken RDATA."""
    mnemonic = type_to_text(rrtype)
    if mnemonic not in _TYPES_WITHOUT_NAMES:
        raise ValueError(f"no presentation format for {mnemonic}")
    try:
        return str(dnslib.RDMAP[mnemonic].parse(dnslib.DNSBuffer(rdata), len(rdata)))
    except Exception as error:  # its parsers leak IndexError, struct.error, UnicodeDecodeError and their own kinds
        raise ValueError(f"broken RDATA of {mnemonic}") from error


def message_to_text(wire: bytes) -> str:
    """Return a message as dig prints it, for people; says what is wrong with one that is broken, and never raises."""
    try:
        message = parse_message(wire)
    except MalformedMessageError as error:
        return f";; malformed message of {len(wire)} octets: {error}\n;; {wire.hex()}\n"
    return "".join(f"{line}\n" for line in _message_lines(message))


def _message_lines(message: ParsedResponse) -> Iterator[str]:
    """Yield the lines of a message: header, EDNS, then the sections that are not empty."""
    bits = (("qr", QR), ("aa", AA), ("tc", TC), ("rd", RD), ("ra", RA), ("ad", AD), ("cd", CD))
    flags = " ".join(text for text, bit in bits if message.flags & bit)
    opcode = _OPCODE_NAMES.get(message.opcode) or f"OPCODE{message.opcode}"
    yield f";; opcode: {opcode}, status: {rcode_to_text(message.rcode)}, id: {message.id}, flags: {flags}"
    if (edns := message.edns) is not None:
        yield f";; EDNS: version {edns.version}, udp {edns.udp_size}, flags:{' do' if edns.dnssec_ok else ''}"
        for code, data in edns.options:
            yield f";; OPT {code}: {data.hex()}"
        if (extended := message.extended_error) is not None:
            yield f";; EDE {extended[0]}: {extended[1]!r}"
    for asked in message.question:
        yield f";{names.to_text(asked.qname)} {class_to_text(asked.qclass)} {type_to_text(asked.qtype)}"
    for title, records in (
        ("ANSWER", message.answer),
        ("AUTHORITY", message.authority),
        ("ADDITIONAL", message.additional),
    ):
        if records:
            yield f";; {title}:"
        for record in records:
            yield record_to_text(record)


def record_to_text(record: Record) -> str:
    """Return one line of a zone file."""
    kind = f"{class_to_text(record.rrclass)} {type_to_text(record.rrtype)}"
    return f"{names.to_text(record.owner)} {record.ttl} {kind} {rdata_to_text(record.rrtype, record.rdata)}"
