"""Mutations of text by its words and lines: Corefiles and master files."""

import re
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate import Mutate, mutate_octets, splice

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\n|[ \t\r]+|[{}();]|[^\s{}();"]+|"', re.DOTALL)
_NUMBER = re.compile(r"\d+")

COREFILE_WORDS = (
    *("{", "}", "{\n", "}\n", "\n", '"', "#", "\\", ",", ".", "*", "@", "0", "-1", "65536", "1s", "1h", "10.0.0.0/9"),
    *("import", "(s)", "s", "snippets", "{$ZONE}", "{$EMPTY}", "{$WORDS}", "{%ZONE%}", "{$BRACE}", "tls://", "dns://"),
    *("example.org", ".", "fd00::/12", "[::1]:53", "a.b:0", ":", "99999999999999999999", "é", "a" * 64, "\u2028"),
    *("(?P<n>[a-z]+)", "(a+)+$", "(?i)x{2,1000}", "[[:alpha:]]", "\\pL", "{{ .Name }}", "{{", "fallthrough", "off"),
    *("db.example.org", "hosts", "resolv.conf", "server.pem", "server.key", "objects.yaml", "secret", "missing"),
)
ZONE_WORDS = (
    *("(", ")", '"', ";", "\n", "@", "$TTL", "$ORIGIN", "$INCLUDE", "$GENERATE", "other", "self", "1-9", "1-65536/7"),
    *("IN", "CH", "CLASS7", "A", "AAAA", "NS", "CNAME", "SOA", "MX", "TXT", "SRV", "PTR", "CAA", "NAPTR", "SVCB"),
    *("HTTPS", "DS", "DNSKEY", "RRSIG", "NSEC", "TYPE65280", "ANY", "\\#", "0", "4", "c0000201", "192.0.2.1", "2001::"),
    *("\\000", "\\.", "\\255", "\\256", "\\", "1h30m", "4294967296", "2147483648", "*", "a.b.", "." * 3, "x" * 64, "é"),
    *("alpn=h2,h3", 'key65535="x"', "mandatory=alpn", "ipv4hint=1.2.3.4", "${1,2,x}", "$", "${-1}", "a" * 300, "AQID"),
)


def mutator(words: Sequence[str]) -> Mutate:
    """Return a mutator that knows some words."""

    def mutate(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
        how = chance.random()
        if how < 0.1:
            return mutate_octets(data, chance, others)
        if how < 0.15:
            return splice(data, chance, others)
        pieces = _PIECE.findall(data.decode("utf-8", "surrogateescape"))
        for _ in range(chance.choice((1, 1, 2, 3))):
            _change(pieces, chance, words, others)
        return "".join(pieces).encode("utf-8", "surrogateescape")

    return mutate


def _change(pieces: list[str], chance: Random, words: Sequence[str], others: Sequence[bytes]) -> None:
    """Change some of the pieces, blanks and newlines among them."""
    at = chance.randrange(len(pieces) + 1)
    how = chance.randrange(8)
    if how == 0:
        pieces[at:at] = [chance.choice(words), " "]
    elif how == 1:
        pieces[at : at + 1] = [chance.choice(words)]
    elif how == 2:
        del pieces[at : at + chance.choice((1, 1, 2, 8))]
    elif how == 3:
        to = chance.randrange(len(pieces) + 1)
        pieces[to:to] = pieces[at : at + chance.choice((1, 2, 8))] * chance.choice((1, 1, 1, 3))
    elif how == 4 and at < len(pieces):
        pieces[at] = _NUMBER.sub(lambda _: chance.choice(("0", "1", "255", "65536", "2147483648")), pieces[at])
    elif how == 5 and at < len(pieces):
        pieces[at] = chance.choice((f'"{pieces[at]}"', pieces[at].upper(), pieces[at] * 3, pieces[at][1:]))
    elif how == 6 and others:
        other = _PIECE.findall(chance.choice(others).decode("utf-8", "surrogateescape"))
        start = chance.randrange(len(other) + 1)
        pieces[at:at] = other[start : start + chance.choice((1, 4, 16))]
    else:
        _lines(pieces, chance)


def _lines(pieces: list[str], chance: Random) -> None:
    """Drop, double or move a line."""
    lines = "".join(pieces).splitlines(keepends=True)
    if not lines:
        return
    at = chance.randrange(len(lines))
    line = lines[at]
    if chance.random() < 0.6:
        del lines[at]
    if chance.random() < 0.6:
        lines.insert(chance.randrange(len(lines) + 1), line)
    pieces[:] = _PIECE.findall("".join(lines))
