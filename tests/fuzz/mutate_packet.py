"""Mutations of DNS messages: header, counts, sections, names label by label, OPT and its options."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.mutate import mutate_octets, splice

TYPES = (0, 1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 39, 41, 43, 46, 47, 48, 64, 65, 99, 128, *range(249, 256), 256, 65535)
CLASSES = (0, 1, 3, 4, 254, 255, 512, 1232, 4096, 65535)
TTLS = (0, 1, 0x8000, 0x10000, 0xFF0000, 0x01008000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
OPTIONS = (1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 65001)
LABELS = (
    *(b"vm1", b"db", b"ns1", b"svc", b"pod", b"cluster", b"local", b"web", b"many", b"alias", b"_http", b"_tcp"),
    *(b"10-244-0-7", b"fd00--8", b"in-addr", b"arpa", b"ip6", b"7", b"10", b"0", b"a", b"*", b"dns-version", b"old"),
    *(b"example", b"org", b"dn", b"loop", b"sub", b"big", b"version", b"bind", b"generated", b"x" * 63, b"\0", b"a.b"),
)
_MAX_RECORDS = 60  # that are taken apart


@dataclass
class Item:
    """A question (no RDATA) or a record; the name as it stands, a pointer included."""

    name: bytes
    rrtype: int
    rrclass: int
    ttl: int = 0
    rdata: bytes | None = None
    length: int | None = None  # RDLENGTH where it lies

    def octets(self) -> bytes:
        """Return it as it is sent."""
        head = self.name + struct.pack("!HH", self.rrtype, self.rrclass)
        if self.rdata is None:
            return head
        length = len(self.rdata) if self.length is None else self.length
        return head + struct.pack("!IH", self.ttl, length & 0xFFFF) + self.rdata


@dataclass
class Packet:
    """A message taken apart as far as that goes."""

    ident: int
    flags: int
    sections: list[list[Item]] = field(default_factory=lambda: [[], [], [], []])
    rest: bytes = b""
    lies: dict[int, int] = field(default_factory=dict)  # section -> another count than it has

    def octets(self) -> bytes:
        """Return it as it is sent."""
        counts = [self.lies.get(number, len(items)) & 0xFFFF for number, items in enumerate(self.sections)]
        body = b"".join(item.octets() for items in self.sections for item in items)
        return struct.pack("!6H", self.ident, self.flags, *counts) + body + self.rest


def take_apart(data: bytes) -> Packet | None:
    """Return a message in its parts, None where it has no header; what cannot be read is left as it is."""
    if len(data) < 12:
        return None
    ident, flags, *counts = struct.unpack_from("!6H", data)
    packet = Packet(ident, flags)
    index = 12
    try:
        for number, count in enumerate(counts):
            for _ in range(min(count, _MAX_RECORDS)):
                item, index = _item(data, index, question=number == 0)
                packet.sections[number].append(item)
    except (IndexError, struct.error):
        packet.lies = dict(enumerate(counts))
    packet.rest = data[index:]
    return packet


def _item(data: bytes, index: int, *, question: bool) -> tuple[Item, int]:
    """Return one question or record and the index behind it. Raises IndexError and struct.error."""
    start = index
    while length := data[index]:
        if length >= 0xC0:
            index += 1
            break
        index += 1 + length
    index += 1
    name = data[start:index]
    rrtype, rrclass = struct.unpack_from("!HH", data, index)
    if question:
        return Item(name, rrtype, rrclass), index + 4
    ttl, length = struct.unpack_from("!IH", data, index + 4)
    end = index + 10 + length
    if end > len(data):
        raise IndexError
    return Item(name, rrtype, rrclass, ttl, data[index + 10 : end]), end


def mutate(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return a message changed in its parts, or now and then in its octets."""
    how = chance.random()
    if how < 0.15:
        return mutate_octets(data, chance, others)
    if how < 0.2:
        return splice(data, chance, others)
    packet = take_apart(data)
    if packet is None:
        return mutate_octets(data, chance, others)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(_SURGERY)(packet, chance, others)
    return packet.octets()


def _pick(packet: Packet, chance: Random) -> Item | None:
    items = [item for section in packet.sections for item in section]
    return chance.choice(items) if items else None


def _header(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    packet.flags ^= 1 << chance.randrange(16)


def _opcode(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    packet.flags = packet.flags & 0x07FF | chance.randrange(16) << 11


def _count(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    packet.lies[chance.randrange(4)] = chance.choice((0, 1, 2, 3, 255, 65535))


def _type(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    if (item := _pick(packet, chance)) is not None:
        item.rrtype = chance.choice(TYPES)


def _class(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    if (item := _pick(packet, chance)) is not None:
        item.rrclass = chance.choice(CLASSES)


def _ttl(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    if (item := _pick(packet, chance)) is not None:
        item.ttl = chance.choice(TTLS)


def _length(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    if (item := _pick(packet, chance)) is not None and item.rdata is not None:
        item.length = len(item.rdata) + chance.choice((-1, 1, 65535))


def _rdata(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    if (item := _pick(packet, chance)) is not None and item.rdata is not None:
        item.rdata = mutate_octets(item.rdata, chance, others)


def _parts(name: bytes) -> list[bytes]:
    """Return a name's labels; a pointer at its end is dropped."""
    labels, index = [], 0
    while index < len(name) and 0 < name[index] < 0xC0:
        labels.append(name[index + 1 : index + 1 + name[index]])
        index += 1 + name[index]
    return labels


def _labels(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Change a name by labels: add, drop, exchange, shorten, lengthen, or fill it up to the limit."""
    if (item := _pick(packet, chance)) is None:
        return
    labels = _parts(item.name)
    at = chance.randrange(len(labels) + 1)
    how = chance.randrange(7)
    if how == 0:
        labels.insert(at, chance.choice(LABELS))
    elif how == 1:
        del labels[at : at + 1]
    elif how == 2 and at < len(labels):
        labels[at] = chance.choice(LABELS)
    elif how == 3 and at < len(labels):
        labels[at] = mutate_octets(labels[at], chance, LABELS)[:63]
    elif how == 4:
        chance.shuffle(labels)
    elif how == 5:
        room = 255 - sum(1 + len(label) for label in labels) - 1 + chance.choice((-2, -1, 0, 0, 1, 2))
        while room > 1:
            size = min(63, room - 1)
            labels.insert(0, b"f" * size)
            room -= 1 + size
    else:
        labels = labels[:1] * chance.choice((2, 8, 64, 126, 127, 128))
    end = chance.choice((b"\0", b"\0", b"\0", b"\0", b"\xc0\x0c", b"\xc0\x00", b"\xff\xff", b"@", b""))
    item.name = b"".join(bytes((len(label) or 1,)) + (label or b"x") for label in labels) + end


def _known(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Ask for what another input asks for."""
    other = take_apart(chance.choice(others)) if others else None
    if other is not None and other.sections[0]:
        packet.sections[0] = [other.sections[0][0]]


def _section(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Double, drop or move an item, into another section even."""
    items = packet.sections[chance.randrange(4)]
    if not items:
        return
    item = items[chance.randrange(len(items))]
    how = chance.randrange(3)
    if how:
        items.remove(item)
    if how < 2:
        number = chance.randrange(4)
        asked = Item(item.name, item.rrtype, item.rrclass)
        record = Item(item.name, item.rrtype, item.rrclass, item.ttl, item.rdata or b"")
        packet.sections[number] += [asked if number == 0 else record] * chance.choice((1, 1, 1, 2, 40))


def _option(chance: Random) -> bytes:
    data = bytes(chance.randrange(256) for _ in range(chance.choice((0, 0, 1, 2, 7, 8, 16, 24, 40, 41, 300))))
    size = len(data) + (chance.choice((-1, 1, 9)) if chance.random() < 0.1 else 0)
    return struct.pack("!HH", chance.choice(OPTIONS), max(size, 0)) + data


def _edns(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Add OPT, or options to the one there is."""
    opts = [item for item in packet.sections[3] if item.rrtype == 41]
    many = chance.choice((0, 1, 1, 2, 5, 5, 100))
    options = b"".join(_option(chance) for _ in range(many))
    if opts and chance.random() < 0.9:
        opts[0].rdata = ((opts[0].rdata or b"") + options)[:60000]
        return
    size, ttl = chance.choice(CLASSES), chance.choice((0, 0, 0x8000, *TTLS))
    packet.sections[3].insert(0, Item(b"\0", 41, size, ttl, options))


def _authority(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Ask for a difference: IXFR, with the SOA that goes with it (RFC 1995, section 3)."""
    name = packet.sections[0][0].name if packet.sections[0] else b"\0"
    rdata = b"\xc0\x0c\xc0\x0c" + struct.pack("!5I", chance.choice((0, 1, 0xFFFFFFFF)), 2, 3, 4, 5)
    packet.sections[2] = [Item(chance.choice((name, b"\xc0\x0c")), 6, 1, 0, rdata)]
    if packet.sections[0]:
        packet.sections[0][0].rrtype = 251


def _signed(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    """Sign with a key that nobody knows (RFC 8945, section 4.2)."""
    mac = bytes(chance.choice((0, 16, 32, 500)))
    rdata = b"\x0bhmac-sha256\0" + bytes(6) + struct.pack("!HH", 300, len(mac)) + mac + struct.pack("!HHH", 7, 0, 0)
    packet.sections[3].append(Item(b"\x03key\0", 250, 255, 0, rdata))


def _trailing(packet: Packet, chance: Random, others: Sequence[bytes]) -> None:
    packet.rest = chance.choice((b"", b"\0", b"\xff" * 11, bytes(2000)))


_SURGERY = (
    *(_header, _opcode, _count, _type, _type, _class, _ttl, _length, _rdata, _labels, _labels, _labels, _known, _known),
    *(_section, _edns, _edns, _edns, _authority, _signed, _trailing),
)
