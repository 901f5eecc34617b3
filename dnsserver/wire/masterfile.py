"""Master files, the text of whole zones, to records (RFC 1035, section 5; RFC 2308, section 4); no I/O.

What a record's RDATA may look like is `zonetext`'s to say, but for the types of a signed zone; here are lines,
parentheses, owners, TTLs, relative names and the directives. Every error says file and line.
"""

import binascii
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from dnsserver import names
from dnsserver.records import RRType
from dnsserver.wire.generate import Template
from dnsserver.wire.response import Record
from dnsserver.wire.text import text_to_type
from dnsserver.wire.zonetext import Token, ZoneTextError, parse_head, parse_rdata, parse_ttl

MAX_INCLUDES = 7  # files within files, as in CoreDNS's parser

_LEXEME = re.compile(
    r'"((?:[^"\\\n]|\\[^\n])*)"|([()])|((?:[^ \t\r\n()";\\]|\\[^\n])+)|;[^\n]*|(\n)|([ \t\r\f]+)|(.)', re.DOTALL
)
_ABSOLUTE = re.compile(r"(?:[^\\]|\\.)*\.", re.DOTALL)  # ends in a dot that is not escaped

# which words of RDATA are names, and so may be relative
_NAMES: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((RRType.NS, 3, 4, RRType.CNAME, 7, 8, 9, RRType.PTR, 39, RRType.NSEC), (0,)),
    **dict.fromkeys((RRType.SOA, 14, 17), (0, 1)),
    **dict.fromkeys((RRType.MX, 18, 21, 36, RRType.SVCB, RRType.HTTPS), (1,)),
    RRType.SRV: (3,),
    35: (5,),  # NAPTR
    RRType.RRSIG: (7,),
}
# whose names lose their case, as in CoreDNS's plugin/file
_FOLDED = frozenset({RRType.NS, RRType.SOA, RRType.CNAME, RRType.MX, RRType.SRV, RRType.SVCB, RRType.HTTPS})


class MasterFileError(ValueError):
    """A master file that cannot be used; `line` is 0 where no line is to blame."""

    def __init__(self, message: str, file: str, line: int = 0) -> None:
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")
        self.message = message
        self.file = file
        self.line = line


class Entry(NamedTuple):
    """One record and where it is written; of several lines, the first."""

    record: Record
    file: str
    line: int


# takes a path as `$INCLUDE` has it and the file that has it; returns a name and a text, raises OSError and ValueError
Include = Callable[[str, str], tuple[str, str]]


def parse_master_file(text: str, origin: bytes, *, file: str, include: Include) -> Iterator[Entry]:
    """Yield the records of a master file in their order; names without a final dot are below `origin`.

    A record without a TTL has that of `$TTL`, or else the last one written, or else the SOA's MINIMUM. Raises
    `MasterFileError`.
    """
    yield from _parse(text, _Scope(file, origin, include))


@dataclass(slots=True)
class _Scope:
    """What a record's text leaves out; each file has its own and changes nobody else's (RFC 1035, section 5.1)."""

    file: str
    origin: bytes
    include: Include
    owner: bytes | None = None  # of the last record
    default_ttl: int | None = None  # of $TTL
    last_ttl: int | None = None
    depth: int = 0  # how many files include this one


class _Line(NamedTuple):
    """The words of one entry; parentheses let it span lines."""

    number: int
    indented: bool  # begins with a blank, so the owner is the last one
    words: list[Token]


def _parse(text: str, scope: _Scope) -> Iterator[Entry]:
    """Yield the records of one file and those it includes."""
    for line in _lines(text, scope.file):
        try:
            first = line.words[0]
            if first.text.startswith("$") and not (line.indented or first.quoted):
                yield from _directive(line, scope)
            else:
                yield Entry(_record(line, scope), scope.file, line.number)
        except ZoneTextError as error:
            raise MasterFileError(str(error), scope.file, line.number) from error


def _lines(text: str, file: str) -> Iterator[_Line]:
    """Yield the entries that have a word in them."""
    number, depth = 1, 0
    line: _Line | None = None  # the one that has begun
    for found in _LEXEME.finditer(text):
        _quoted, parenthesis, _word, newline, blank, wrong = found.groups()
        if wrong is not None:
            message = "a string without its end" if wrong == '"' else f"{wrong!r} cannot stand here"
            raise MasterFileError(message, file, number)
        if newline:
            number += 1
            if line is not None and line.words and not depth:
                yield line
            line = line if depth else None
            continue
        line = line or _Line(number, blank is not None, [])
        if parenthesis:
            depth = _nested(depth, parenthesis, file, number)
        elif (word := _token(found)) is not None:
            line.words.append(word)
    if depth:
        raise MasterFileError("a '(' without a ')'", file, line.number if line else number)
    if line is not None and line.words:
        yield line


def _nested(depth: int, parenthesis: str, file: str, number: int) -> int:
    """Return how many parentheses are open behind this one."""
    depth += 1 if parenthesis == "(" else -1
    if depth < 0:
        raise MasterFileError("a ')' without a '('", file, number)
    return depth


def _token(found: re.Match[str]) -> Token | None:
    """Return the word of a lexeme; blanks and comments have none."""
    quoted, word = found[1], found[3]
    if quoted is not None:
        return Token(quoted, quoted=True)
    return None if word is None else Token(word)


# -- directives --------------------------------------------------------------------------------------------------------


def _directive(line: _Line, scope: _Scope) -> Iterator[Entry]:
    """Do what a directive says; yield the records that come of it."""
    name, words = line.words[0].text.upper(), line.words[1:]
    if name == "$ORIGIN":
        (word,) = _counted(words, "$ORIGIN NAME", 1, 1)
        scope.origin = _name(word, scope.origin)
    elif name == "$TTL":
        (word,) = _counted(words, "$TTL SECONDS", 1, 1)
        scope.default_ttl = parse_ttl(word)
    elif name == "$INCLUDE":
        yield from _include(line, _counted(words, "$INCLUDE FILE [ORIGIN]", 1, 2), scope)
    elif name == "$GENERATE":
        yield from _generate(line, words, scope)
    else:
        raise ZoneTextError(f"unknown directive '{name}', expecting $ORIGIN, $TTL, $INCLUDE or $GENERATE")


def _counted(words: list[Token], usage: str, minimum: int, maximum: int) -> list[Token]:
    """Return the words where there are as many as there should be."""
    if not minimum <= len(words) <= maximum:
        raise ZoneTextError(f"{len(words)} words behind the directive, expecting {usage}")
    return words


def _include(line: _Line, words: list[Token], scope: _Scope) -> Iterator[Entry]:
    """Yield the records of another file; its origin and last owner end with it."""
    if scope.depth >= MAX_INCLUDES:
        raise ZoneTextError(f"more than {MAX_INCLUDES} files include each other")
    path = words[0].text
    try:
        file, text = scope.include(path, scope.file)
    except MasterFileError:
        raise
    except (OSError, ValueError) as error:
        raise MasterFileError(f"cannot include '{path}': {error}", scope.file, line.number) from error
    origin = _name(words[1], scope.origin) if len(words) > 1 else scope.origin
    yield from _parse(text, replace(scope, file=file, origin=origin, depth=scope.depth + 1))


def _generate(line: _Line, words: list[Token], scope: _Scope) -> Iterator[Entry]:
    """Yield the records of `$GENERATE START-STOP[/STEP] LHS [TTL] [CLASS] TYPE RHS`."""
    if len(words) < 4:
        raise ZoneTextError("expecting $GENERATE START-STOP[/STEP] LHS [TTL] [CLASS] TYPE RHS")
    template = Template(" ".join(f'"{word.text}"' if word.quoted else word.text for word in words[1:]))
    for text in template.expand(words[0].text):
        for generated in _lines(text, scope.file):
            yield Entry(_record(generated, scope), scope.file, line.number)


# -- records -----------------------------------------------------------------------------------------------------------


def _record(line: _Line, scope: _Scope) -> Record:
    """Return the record of `[OWNER] [TTL] [CLASS] TYPE RDATA`; the next one without an owner or TTL follows it."""
    words = line.words
    if line.indented:
        if scope.owner is None:
            raise ZoneTextError("no owner, and no record before this one to take it from")
        owner = scope.owner
    else:
        owner, words = _name(words[0], scope.origin), words[1:]
    ttl, rrclass, rrtype, words = parse_head(words)
    rdata = _rdata(rrtype, words, scope.origin)
    if ttl is not None:
        scope.last_ttl = ttl
    else:
        ttl = scope.default_ttl if scope.default_ttl is not None else scope.last_ttl
        if ttl is None and rrtype == RRType.SOA:
            scope.last_ttl = ttl = int.from_bytes(rdata[-4:], "big")
        if ttl is None:
            raise ZoneTextError("no TTL, expecting one here, in a record before this one or in a $TTL directive")
    scope.owner = owner
    return Record(owner, rrtype, rrclass, ttl, rdata)


def _name(word: Token, origin: bytes) -> bytes:
    """Return the wire form of a name as it is spelled; one without a final dot is below `origin`."""
    if word.quoted:
        raise ZoneTextError(f'"{word.text[:100]}" is a string, expecting a name')
    if word.text == "@":
        return origin
    try:
        return names.spelled_from_text(word.text, names.ROOT if _ABSOLUTE.fullmatch(word.text) else origin)
    except names.InvalidNameError as error:
        raise ZoneTextError(f"'{word.text[:100]}' is not a name: {error}") from error


def _rdata(rrtype: int, words: list[Token], origin: bytes) -> bytes:
    """Return RDATA, its names absolute."""
    generic = words and words[0].text == "\\#" and not words[0].quoted
    if not generic:
        words = list(words)
        for index in _NAMES.get(rrtype, ()):
            if index < len(words):
                name = _name(words[index], origin)
                words[index] = Token(names.to_text(names.fold(name) if rrtype in _FOLDED else name))
        if rrtype == RRType.RRSIG:
            return _rrsig([word.text for word in words])
        if rrtype == RRType.NSEC:
            return _nsec([word.text for word in words])
    return parse_rdata(rrtype, words)


# -- the records of a signed zone --------------------------------------------------------------------------------------


def _rrsig(words: list[str]) -> bytes:
    """Return RDATA of `TYPE ALGORITHM LABELS TTL EXPIRATION INCEPTION KEYTAG SIGNER BASE64` (RFC 4034, section 3.2)."""
    if len(words) < 9:
        raise ZoneTextError(f"RDATA has {len(words)} fields, expecting the 9 of RRSIG")
    try:
        signature = binascii.a2b_base64("".join(words[8:]), strict_mode=True)
    except ValueError as error:
        raise ZoneTextError("the signature is not in base64") from error
    covered, algorithm, labels = _type(words[0]), _number(words[1], 8), _number(words[2], 8)
    ttl, expiration, inception = _number(words[3], 32), _moment(words[4]), _moment(words[5])
    fixed = struct.pack("!HBBIIIH", covered, algorithm, labels, ttl, expiration, inception, _number(words[6], 16))
    return fixed + names.spelled_from_text(words[7]) + signature


def _nsec(words: list[str]) -> bytes:
    """Return RDATA of `NEXT TYPE...` (RFC 4034, section 4.2): the types as windows of bits."""
    if not words:
        raise ZoneTextError("RDATA is empty, expecting NEXT TYPE...")
    windows: dict[int, bytearray] = {}
    for code in sorted(map(_type, words[1:])):
        bits = windows.setdefault(code >> 8, bytearray())
        position = code & 0xFF
        bits.extend(bytes(position // 8 + 1 - len(bits)))
        bits[position // 8] |= 0x80 >> position % 8
    bitmap = b"".join(bytes((window, len(bits))) + bits for window, bits in windows.items())
    return names.spelled_from_text(words[0]) + bitmap


def _type(word: str) -> int:
    try:
        return text_to_type(word)
    except ValueError as error:
        raise ZoneTextError(f"'{word[:100]}' is not a type") from error


def _number(word: str, bits: int) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 10 and int(word) < 1 << bits):
        raise ZoneTextError(f"'{word[:100]}' is not a number from 0 to {(1 << bits) - 1}")
    return int(word)


def _moment(word: str) -> int:
    """Return the time of a signature, `YYYYMMDDHHMMSS` or seconds since 1970, modulo 2**32."""
    if len(word) != 14 or not (word.isascii() and word.isdigit()):
        return _number(word, 32)
    year, (month, day, hour, minute, second) = int(word[:4]), (int(word[at : at + 2]) for at in range(4, 14, 2))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ZoneTextError(f"'{word}' is not a time, expecting YYYYMMDDHHMMSS") from error
    return int(moment.timestamp()) & 0xFFFFFFFF
