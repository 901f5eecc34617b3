"""Resource records from the text of a zone file (RFC 1035, section 5.1; RFC 3597, section 5); no I/O.

One record at a time, read from a template or another place an operator writes: whatever the text, there is either a
record whose names and RDATA are valid on the wire, or a `ZoneTextError`.
"""

import binascii
import re
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from dnsserver import names
from dnsserver.records import RRClass, RRType
from dnsserver.wire.format import MAX_MESSAGE, MAY_ARRIVE_COMPRESSED, MalformedMessageError, read_name
from dnsserver.wire.response import Record
from dnsserver.wire.svcb import SvcbTextError, service_parameters, unescape
from dnsserver.wire.text import text_to_type

DEFAULT_TTL = 3600  # seconds, of a record whose text has none
MAX_TTL = 2**31 - 1  # seconds (RFC 2181, section 8)
_MAX_STRING = 255  # octets of a character string (RFC 1035, section 3.3)
_MAX_TEXT = 4 * MAX_MESSAGE  # characters of one record's text: an octet takes at most four
_META_TYPES = frozenset({0, RRType.OPT, *range(249, 256)})  # belong to messages and questions (RFC 6895, section 3.1)

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([()])|((?:[^\s()";\\]|\\.)+)|(;[^\n]*)|(\n)|([^\S\n]+)|(.)', re.DOTALL)
_TTL = re.compile(r"(?=[0-9])(?:[0-9]+[smhdw])*[0-9]*", re.IGNORECASE)
_TTL_PART = re.compile(r"([0-9]+)([smhdw]?)", re.IGNORECASE)
_TTL_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_CLASSES = {known.name: int(known) for known in RRClass} | {"CS": 2}


class ZoneTextError(ValueError):
    """Text that is not one resource record; says what was expected."""


class Token(NamedTuple):
    """One word of the text, its escapes as they were written."""

    text: str
    quoted: bool = False


def parse_record(text: str) -> Record:
    """Parse one record, `OWNER [TTL] [CLASS] TYPE RDATA`, its names below the root; raises `ZoneTextError`.

    TTL and class may change places and be missing: 3600 seconds and IN. A line that begins with a blank is a record of
    the root, for there is no earlier owner.
    """
    if len(text) > _MAX_TEXT:
        raise ZoneTextError(f"a record of {len(text)} characters, expecting at most {_MAX_TEXT}")
    tokens = list(_tokens(text))
    if not tokens:
        raise ZoneTextError("no resource record, expecting OWNER [TTL] [CLASS] TYPE RDATA")
    owner = "." if text[:1].isspace() else tokens.pop(0).text
    if owner.startswith("$"):
        raise ZoneTextError(f"'{owner}' is a directive of zone files, expecting a resource record")
    ttl, rrclass, rrtype, rest = parse_head(tokens)
    rdata = parse_rdata(rrtype, rest)
    return Record(_name(Token(owner)), rrtype, rrclass, DEFAULT_TTL if ttl is None else ttl, rdata)


def text_to_class(text: str) -> int:
    """Return the class of a mnemonic or of `CLASS3`, in any case; raises ValueError."""
    text = text.upper()
    if (code := _CLASSES.get(text)) is not None:
        return code
    digits = text.removeprefix("CLASS")
    if digits != text and digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 0xFFFF:
        return int(digits)
    raise ValueError(f"not a class: {text!r}")


def _tokens(text: str) -> Iterator[Token]:
    """Yield the words of the first record; parentheses let it span lines, a semicolon starts a comment."""
    depth = 0
    ended = False
    for found in _TOKEN.finditer(text):
        quoted, parenthesis, word, _comment, newline, _blank, wrong = found.groups()
        if wrong is not None:
            raise ZoneTextError("a quoted string without its end" if wrong == '"' else "a backslash without more")
        if parenthesis:
            depth += 1 if parenthesis == "(" else -1
            if depth < 0:
                raise ZoneTextError("a ')' without a '('")
        elif newline:
            ended = ended or depth == 0
        elif quoted is not None or word is not None:
            if ended and text[: found.start()].strip():
                raise ZoneTextError("more than one resource record")
            yield Token(word if quoted is None else quoted, quoted is not None)
    if depth:
        raise ZoneTextError("a '(' without a ')'")


def parse_head(tokens: list[Token]) -> tuple[int | None, int, int, list[Token]]:
    """Return TTL, class, type and the words of the RDATA; TTL and class may change places and be missing."""
    ttl: int | None = None
    rrclass: int | None = None
    for index, token in enumerate(tokens[:3]):
        if ttl is None and token.text[:1].isdigit():  # no class or type begins with a digit
            ttl = parse_ttl(token)
            continue
        if rrclass is None and (known := _class_or_none(token.text)) is not None:
            rrclass = known
            continue
        try:
            rrtype = text_to_type(token.text)
        except ValueError as error:
            raise ZoneTextError(f"'{_clip(token.text)}' is not a TTL, a class or a type") from error
        if rrtype in _META_TYPES:
            raise ZoneTextError(f"type {token.text} is for questions, not for records")
        return ttl, RRClass.IN if rrclass is None else rrclass, rrtype, tokens[index + 1 :]
    raise ZoneTextError("no type, expecting [OWNER] [TTL] [CLASS] TYPE RDATA")


def _class_or_none(text: str) -> int | None:
    try:
        return text_to_class(text)
    except ValueError:
        return None


def _clip(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def parse_ttl(token: Token) -> int:
    """Return seconds, plain or with units such as `1h30m`."""
    if len(token.text) > 40 or not _TTL.fullmatch(token.text):
        raise ZoneTextError(f"'{_clip(token.text)}' is not a time, expecting seconds or one such as 1h30m")
    seconds = sum(int(count) * _TTL_UNITS[unit.lower()] for count, unit in _TTL_PART.findall(token.text))
    if seconds > MAX_TTL:
        raise ZoneTextError(f"{token.text} is more than {MAX_TTL} seconds")
    return int(seconds)


def parse_rdata(rrtype: int, tokens: list[Token]) -> bytes:
    """Return RDATA in wire form; raises `ZoneTextError`. A type without a known form needs `\\# LENGTH HEX`."""
    if tokens and tokens[0].text == "\\#" and not tokens[0].quoted:
        return _generic(rrtype, tokens[1:])
    fields = _FIELDS.get(rrtype)
    if fields is None:
        raise ZoneTextError("this type needs its RDATA as \\# LENGTH HEX (RFC 3597)")
    rest = list(tokens)
    rdata = bytearray()
    for number, parse in enumerate(fields):
        if not rest:
            raise ZoneTextError(f"RDATA ends after {number} of {len(fields)} fields")
        rdata += parse(rest)
    if rest:
        raise ZoneTextError(f"RDATA has more than its {len(fields)} fields, from '{_clip(rest[0].text)}' on")
    if len(rdata) > MAX_MESSAGE:
        raise ZoneTextError(f"RDATA of {len(rdata)} octets, expecting at most {MAX_MESSAGE}")
    return bytes(rdata)


def _generic(rrtype: int, tokens: list[Token]) -> bytes:
    """Return RDATA given as octets; for a type with names in it they must be there and whole."""
    if not tokens:
        raise ZoneTextError("no length, expecting \\# LENGTH HEX")
    length = _number(tokens[0], 0xFFFF)
    rdata = _hex(tokens[1:], empty=True)
    if len(rdata) != length:
        raise ZoneTextError(f"{len(rdata)} octets of RDATA, expecting {length} as it says")
    if not _is_well_formed(rrtype, rdata):
        raise ZoneTextError("these octets are not RDATA of that type")
    return rdata


def _is_well_formed(rrtype: int, rdata: bytes) -> bool:
    """Say whether what compresses names or prints addresses may rely on this RDATA."""
    if rrtype in (RRType.A, RRType.AAAA):
        return len(rdata) == (4 if rrtype == RRType.A else 16)
    layout = MAY_ARRIVE_COMPRESSED.get(rrtype)
    if layout is None:
        return True
    index, count = layout
    try:
        for _ in range(count):
            name, end = read_name(rdata, index, {})
            if rdata[index:end] != name:
                return False  # a compression pointer, which means nothing outside a message
            index = end
    except MalformedMessageError:
        return False
    return len(rdata) - index == (20 if rrtype == RRType.SOA else 0)


_Field = Callable[[list[Token]], bytes]  # takes its words from the front of the list


def _name(token: Token) -> bytes:
    if token.quoted:
        raise ZoneTextError(f'"{_clip(token.text)}" is a string, expecting a name')
    try:
        return bytes(names.spelled_from_text("." if token.text == "@" else token.text))
    except (names.InvalidNameError, UnicodeEncodeError) as error:
        raise ZoneTextError(f"'{_clip(token.text)}' is not a name: {error}") from error


def _number(token: Token, maximum: int) -> int:
    digits = token.text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= maximum):
        raise ZoneTextError(f"'{_clip(digits)}' is not a number from 0 to {maximum}")
    return int(digits)


def _integer(octets: int) -> _Field:
    def parse(tokens: list[Token]) -> bytes:
        return _number(tokens.pop(0), 256**octets - 1).to_bytes(octets, "big")

    return parse


def _time(tokens: list[Token]) -> bytes:
    return parse_ttl(tokens.pop(0)).to_bytes(4, "big")


def _one_name(tokens: list[Token]) -> bytes:
    return _name(tokens.pop(0))


def _octets(token: Token) -> bytes:
    """Return the octets of a string, its escapes resolved (RFC 1035, section 5.1)."""
    try:
        return unescape(token.text)
    except (ValueError, UnicodeEncodeError) as error:
        raise ZoneTextError(f"'{_clip(token.text)}' is not a string: {error}") from error


def _string(tokens: list[Token]) -> bytes:
    octets = _octets(tokens.pop(0))
    if len(octets) > _MAX_STRING:
        raise ZoneTextError(f"a string of {len(octets)} octets, expecting at most {_MAX_STRING}")
    return struct.pack("!B", len(octets)) + octets


def _strings(tokens: list[Token]) -> bytes:
    """Return all the strings that are left; one that is too long becomes several, as CoreDNS cuts it."""
    found = bytearray()
    while tokens:
        octets = _octets(tokens.pop(0))
        parts = [octets[at : at + _MAX_STRING] for at in range(0, len(octets), _MAX_STRING)] or [b""]
        for part in parts:
            found += struct.pack("!B", len(part)) + part
    return bytes(found)


def _bare_string(tokens: list[Token]) -> bytes:
    """Return a string without a length in front, to the end of the RDATA."""
    return _octets(tokens.pop(0))


def _tag(tokens: list[Token]) -> bytes:
    """Return the property tag of CAA (RFC 8659, section 4.1)."""
    tag = tokens.pop(0).text
    if not (tag.isascii() and tag.isalnum() and len(tag) <= _MAX_STRING):
        raise ZoneTextError(f"'{_clip(tag)}' is not a CAA tag, expecting letters and digits")
    return struct.pack("!B", len(tag)) + tag.encode()


def _hex(tokens: list[Token], *, empty: bool = False) -> bytes:
    """Return the octets of all the words that are left."""
    digits = "".join(token.text for token in tokens)
    tokens.clear()
    try:
        octets = binascii.unhexlify(digits)
    except ValueError as error:
        raise ZoneTextError(f"'{_clip(digits)}' are not octets in hexadecimal digits") from error
    if not octets and not empty:
        raise ZoneTextError("no octets, expecting hexadecimal digits")
    return octets


def _all_hex(tokens: list[Token]) -> bytes:
    return _hex(tokens)


def _all_base64(tokens: list[Token]) -> bytes:
    digits = "".join(token.text for token in tokens)
    tokens.clear()
    try:
        return binascii.a2b_base64(digits, strict_mode=True)
    except ValueError as error:
        raise ZoneTextError(f"'{_clip(digits)}' are not octets in base64") from error


def _ipv4(tokens: list[Token]) -> bytes:
    text = tokens.pop(0).text
    try:
        return IPv4Address(text).packed
    except ValueError as error:
        raise ZoneTextError(f"'{_clip(text)}' is not an IPv4 address") from error


def _ipv6(tokens: list[Token]) -> bytes:
    text = tokens.pop(0).text
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise ZoneTextError(f"'{_clip(text)}' is not an IPv6 address") from error
    if address.scope_id is not None:
        raise ZoneTextError(f"'{_clip(text)}' has a zone index, expecting an IPv6 address alone")
    return address.packed


def _parameters(tokens: list[Token]) -> bytes:
    """Return the priority, target and parameters of SVCB and HTTPS (RFC 9460, section 2.1)."""
    if len(tokens) < 2:
        raise ZoneTextError("RDATA ends after the priority, expecting PRIORITY TARGET [KEY=VALUE...]")
    head = _integer(2)(tokens) + _one_name(tokens)
    words = _joined(tokens)
    tokens.clear()
    try:
        return head + service_parameters(words)
    except SvcbTextError as error:
        raise ZoneTextError(str(error)) from error


def _joined(tokens: list[Token]) -> list[str]:
    """Return KEY=VALUE words; a quoted value was a word of its own."""
    words: list[str] = []
    for token in tokens:
        if token.quoted and words and words[-1].endswith("="):
            words[-1] += token.text
        elif token.quoted:
            raise ZoneTextError(f'"{_clip(token.text)}" is a string, expecting KEY=VALUE')
        else:
            words.append(token.text)
    return words


_U8, _U16, _U32 = _integer(1), _integer(2), _integer(4)
_DIGEST = (_U16, _U8, _U8, _all_hex)
_KEY = (_U16, _U8, _U8, _all_base64)

_FIELDS: dict[int, tuple[_Field, ...]] = {
    RRType.A: (_ipv4,),
    RRType.AAAA: (_ipv6,),
    **dict.fromkeys((RRType.NS, 3, 4, RRType.CNAME, 7, 8, 9, RRType.PTR, 39), (_one_name,)),  # MD MF MB MG MR DNAME
    RRType.SOA: (_one_name, _one_name, _U32, _time, _time, _time, _time),
    **dict.fromkeys((14, 17), (_one_name, _one_name)),  # MINFO, RP
    **dict.fromkeys((RRType.MX, 18, 21, 36), (_U16, _one_name)),  # AFSDB, RT, KX
    RRType.HINFO: (_string, _string),
    **dict.fromkeys((RRType.TXT, 99), (_strings,)),  # SPF
    RRType.SRV: (_U16, _U16, _U16, _one_name),
    35: (_U16, _U16, _string, _string, _string, _one_name),  # NAPTR (RFC 3403, section 4.1)
    **dict.fromkeys((RRType.DS, 59), _DIGEST),  # CDS
    44: (_U8, _U8, _all_hex),  # SSHFP (RFC 4255, section 3.1)
    **dict.fromkeys((RRType.DNSKEY, 60), _KEY),  # CDNSKEY
    **dict.fromkeys((52, 53), (_U8, _U8, _U8, _all_hex)),  # TLSA, SMIMEA (RFC 6698, section 2.1)
    61: (_all_base64,),  # OPENPGPKEY (RFC 7929, section 2)
    **dict.fromkeys((RRType.SVCB, RRType.HTTPS), (_parameters,)),
    256: (_U16, _U16, _bare_string),  # URI (RFC 7553, section 4)
    257: (_U8, _tag, _bare_string),  # CAA (RFC 8659, section 4.1)
}
