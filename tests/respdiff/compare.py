"""Two answers to one question, field by field."""

from dataclasses import dataclass

from dnsserver.names import fold
from dnsserver.records import RRType
from dnsserver.wire import MalformedMessageError, ParsedResponse, Record, parse_response
from tests.respdiff.exchange import Question
from tests.respdiff.zones import World

_WITH_NAMES = {RRType.CNAME: 0, RRType.NS: 0, RRType.PTR: 0, RRType.SRV: 6}  # octets of RDATA before its one name

Line = tuple[bytes, int, int, int, bytes]  # owner, type, class, TTL, RDATA; names folded
_FLAGS = {"aa": 0x0400, "tc": 0x0200, "rd": 0x0100, "ra": 0x0080, "z": 0x0040, "ad": 0x0020, "cd": 0x0010}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and what of it is compared."""

    wire: bytes
    message: ParsedResponse
    fields: dict[str, object]

    @property
    def answer(self) -> frozenset[Line]:
        """The answer section."""
        return lines(self.message.answer)

    @property
    def authority(self) -> frozenset[Line]:
        """The authority section."""
        return lines(self.message.authority)

    @property
    def additional(self) -> frozenset[Line]:
        """The additional section."""
        return lines(self.message.additional)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two answers that are not the same."""

    question: Question
    reference: str  # the other server
    ours: Answer
    theirs: Answer
    fields: frozenset[str]  # that differ
    world: World


def read(wire: bytes) -> Answer:
    """Return an answer. Raises `MalformedMessageError`."""
    message = parse_response(wire)
    if message.size != len(wire):
        raise MalformedMessageError(f"{len(wire) - message.size} octets behind the last record")
    fields: dict[str, object] = {name: message.flags & bit != 0 for name, bit in _FLAGS.items()}
    fields |= {
        "opcode": message.opcode,
        "rcode": message.rcode,
        "question": message.question,  # octet for octet
        "answer": _section(message.answer),
        "authority": _section(message.authority),
        "additional": _section(message.additional),
        "opt": message.edns is not None,
    }
    if message.edns is not None:
        fields |= {"opt size": message.edns.udp_size, "opt version": message.edns.version, "do": message.edns.dnssec_ok}
    return Answer(wire, message, fields)


def differing(ours: Answer, theirs: Answer) -> frozenset[str]:
    """Return the names of the fields that differ."""
    names = ours.fields.keys() | theirs.fields.keys()
    return frozenset(name for name in names if ours.fields.get(name) != theirs.fields.get(name))


def _section(records: tuple[Record, ...]) -> tuple[int, frozenset[Line]]:
    """Return a section as a set, with the number of its records: one that is there twice is a difference."""
    return len(records), lines(records)


def lines(records: tuple[Record, ...]) -> frozenset[Line]:
    """Return records as a set, whatever the case of their names."""
    return frozenset((fold(one.owner), one.rrtype, one.rrclass, one.ttl, _canonical(one)) for one in records)


def _canonical(record: Record) -> bytes:
    """Return RDATA with its names folded (RFC 4034, section 6.2)."""
    if record.rrtype == RRType.SOA:
        return fold(record.rdata[:-20]) + record.rdata[-20:]
    at = _WITH_NAMES.get(RRType(record.rrtype)) if record.rrtype in RRType.__members__.values() else None
    return record.rdata if at is None else record.rdata[:at] + fold(record.rdata[at:])
