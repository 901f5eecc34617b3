"""What is asked: every name with every type, each in another way, and the ways all together for some names."""

import random
from collections.abc import Iterator, Sequence

import msgspec

from dnsserver.names import MAX_NAME, InvalidNameError, Name, from_labels, from_text, is_at_or_below, labels
from dnsserver.records import RRType
from tests.respdiff.exchange import Question
from tests.respdiff.zones import World

TYPES = (
    RRType.A,
    RRType.AAAA,
    RRType.SRV,
    RRType.PTR,
    RRType.CNAME,
    RRType.NS,
    RRType.SOA,
    RRType.TXT,
    RRType.ANY,
    RRType.MX,
    RRType.DS,
    RRType.DNSKEY,
    RRType.NSEC,
    RRType.RRSIG,
    RRType.HTTPS,
    257,  # CAA
    65_280,  # for private use: known to nobody
)
_PLAIN = Question(b"\0", RRType.A)
WAYS = (
    _PLAIN,
    *(
        msgspec.structs.replace(_PLAIN, edns=size, dnssec_ok=do)
        for size in (0, 512, 1232, 4096)
        for do in (False, True)
    ),
    *(msgspec.structs.replace(_PLAIN, tcp=True, edns=size) for size in (None, 512, 4096)),
    msgspec.structs.replace(_PLAIN, tcp=True, edns=1232, dnssec_ok=True),
    msgspec.structs.replace(_PLAIN, recursion_desired=True),
    msgspec.structs.replace(_PLAIN, recursion_desired=True, edns=1232, checking_disabled=True),
    msgspec.structs.replace(_PLAIN, authentic=True, edns=1232),
)
_FULL = 40  # names that are asked for in every way
_OUTSIDE = ("example.org", "local", "arpa", "test", "cluster.localx", "xcluster.local", ".", "1.10.in-addr.arpa.test")


def questions(world: World, count: int, seed: int) -> list[Question]:
    """Return `count` questions, or all that there are; the same for the same zones and seed."""
    chance = random.Random(seed)
    names = _names(world, chance)
    pairs = [(name, qtype) for name in names for qtype in TYPES]
    chance.shuffle(pairs)
    fixed = [(name, qtype) for name in _always(world) for qtype in TYPES]
    some = [(name, RRType.ANY if index % 8 == 0 else qtype) for index, (name, qtype) in enumerate(pairs[:_FULL])]
    found = [_ask(name, qtype, way, chance) for name, qtype in some for way in WAYS]
    found += [_ask(*pair, WAYS[index % len(WAYS)], chance) for index, pair in enumerate(fixed + pairs)]
    return found[:count]


def _ask(name: Name, qtype: int, way: Question, chance: random.Random) -> Question:
    """Return one question; the name's case is mixed in every other one (draft-vixie-dnsext-dns0x20)."""
    qname = bytes(name)
    if chance.random() < 0.5:
        qname = from_mixed(name, chance)
    return msgspec.structs.replace(way, qname=qname, qtype=int(qtype))


def from_mixed(name: Name, chance: random.Random) -> bytes:
    """Return a name with its letters in random case; length octets are below every letter."""
    return bytes(octet ^ 0x20 if chr(octet).isascii() and chr(octet).isalpha() and chance.random() < 0.5 else octet
                 for octet in name)  # fmt: skip  # one expression


def _always(world: World) -> list[Name]:
    """Return the apexes, the aliases, and names of no zone here."""
    aliases = [name for name, sets in world.records.items() if RRType.CNAME in sets]
    return [*world.origins, *aliases, *map(from_text, _OUTSIDE)]


def _names(world: World, chance: random.Random) -> list[Name]:
    """Return names of every sort, each zone's share alike however large it is."""
    groups = [_of_zone(world, origin) for origin in world.origins]
    for group in groups:
        chance.shuffle(group)
    mixed = []
    for index in range(max(map(len, groups))):
        mixed += [group[index] for group in groups if index < len(group)]
    return mixed[: 60 * len(groups) + 4000]


def _of_zone(world: World, origin: Name) -> list[Name]:
    """Return a zone's names, its empty non-terminals, and names that do not exist below and beside each of them."""
    there = sorted({*world.names[origin], *world.inner(origin)})
    there += sorted(name for name in world.bare if is_at_or_below(name, origin))
    return list(dict.fromkeys([*there, *(one for name in there for one in _missing(name, origin))]))


def _missing(name: Name, origin: Name) -> Iterator[Name]:
    """Yield names that nobody made: below a name, beside it, a wildcard there, and a port without underscores."""
    yield from _below(name, (b"nothing",), (b"nothing", b"at", b"all"), (b"*",), (b"_nothing", b"_tcp"))
    parts = labels(name)
    if name != origin and len(name) + 1 <= MAX_NAME:
        rest = from_labels(parts[1:])
        yield from _below(rest, (b"x" + parts[0][:40],))
        if len(parts) > 1 and parts[0].startswith(b"_"):
            yield from _below(rest, (parts[0].lstrip(b"_"),))


def _below(name: Name, *prefixes: Sequence[bytes]) -> Iterator[Name]:
    """Yield names below another, where they are not too long."""
    for prefix in prefixes:
        try:
            yield from_labels(prefix, name)
        except InvalidNameError:
            continue
