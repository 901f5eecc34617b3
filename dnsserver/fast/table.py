"""Answers by question, for one listener: in Python what the compiled table is in C, and what that is checked against.

A question that is not plain, or whose answer is not at hand, gets None and is the responder's to answer. Invariant:
every answer is octet for octet what the responder would say, but for the order of records that rotate.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from time import perf_counter_ns
from typing import NamedTuple, Protocol

from dnsserver.fast.rendering import OTHER_TYPES, QUESTION_TAIL, Node, Rendered, denial, render, renewed
from dnsserver.message import OWN_UDP_SIZE, PLAIN_UDP_SIZE
from dnsserver.names import Name, is_at_or_below
from dnsserver.records import Rcode
from dnsserver.wire import DO_OPT, HEADER_SIZE, MAX_MESSAGE, PLAIN_OPT
from dnsserver.zone import Zone

MAX_KEPT = 2_000_000  # answers; beyond it all begins anew
MAX_NAME = 255  # octets (RFC 1035, section 2.3.4)

_IN = b"\0\1"
_OPT_SIZE = 11
_COUNTS = b"\0\1\0\0\0\0\0\0"  # a question and nothing else
_COUNTS_WITH_OPT = b"\0\1\0\0\0\0\0\1"
_OPT_HEAD = b"\0\0\x29"  # the root, and type OPT
_NO_OPT = (b"\0\0", b"", False)  # ARCOUNT, OPT, whether DO is set
# by extended RCODE, version, flags, and the length of no options
_OPTS = {b"\0\0\0\0\0\0": (b"\0\1", PLAIN_OPT, False), b"\0\0\x80\0\0\0": (b"\0\1", DO_OPT, True)}
# The second word of a query's header, and of its response's by RCODE: RD and CD are kept, AD means nothing here.
_FLAGS: dict[int, dict[bytes, bytes]] = {
    rcode: {
        bytes((rd, checks)): bytes((0x84 | rd, checks & 0x10 | rcode))
        for rd in (0, 1)
        for checks in (0x00, 0x10, 0x20, 0x30)
    }
    for rcode in (Rcode.NOERROR, Rcode.NXDOMAIN)
}
_PLAIN_FLAGS = _FLAGS[Rcode.NOERROR]
# the bounds of CoreDNS's histograms: octets (8291 is CoreDNS's), and seconds
SIZES = (0.0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
DURATIONS = tuple(0.00025 * 2**power for power in range(16))
QUICK = 250_000  # nanoseconds: the first of them
_BOUNDS = tuple(seconds * 1e9 for seconds in DURATIONS)
# types that are counted by themselves; strangers may ask for any number of others
COUNTED_TYPES = frozenset({1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 46, 47, 48, 50, 64, 65})
_LETTERS = frozenset((*range(65, 91), *range(97, 123)))


class Way(IntEnum):
    """How a query came, as metrics tell queries apart."""

    UDP4 = 0
    UDP6 = 1
    TCP4 = 2
    TCP6 = 3


class Cell(NamedTuple):
    """What queries that are counted together have in common."""

    zone: int  # index of the zone, as `FastZone` has it
    qtype: int  # one of COUNTED_TYPES, or 0
    rcode: int
    dnssec_ok: bool
    way: Way


@dataclass(slots=True)
class Tally:
    """How many there were, by the index of the first bound that is not below them, and their sums."""

    query_sizes: list[int]
    response_sizes: list[int]  # without compression
    durations: list[int]
    query_octets: int = 0
    response_octets: int = 0
    nanoseconds: int = 0


class FastZone:
    """One zone of a table, as it is now."""

    def __init__(
        self,
        index: int,
        zone: Zone,
        *,
        rotates: bool,
        missing: bool,
        outside: Iterable[Name] = (),
        made: Iterable[Name] = (),
    ) -> None:
        """Describe a zone whose origin is not the root.

        Where `rotates`, addresses change their order. A name that is not there is NXDOMAIN where `missing` says so,
        else the responder's. Names at or below `outside` are other server blocks'; below `made`, names may exist that
        the zone does not list.
        """
        self.index = index
        self.rotates = rotates
        self.missing = missing
        self.spent = 0  # nanoseconds
        # MNAME and RNAME are written shorter still in answers to questions below these two.
        own = (Name(label + zone.origin) for label in (b"\3dns", b"\x0ahostmaster"))
        self.outside = (*outside, *own)
        self.made = tuple(made)
        self.zone = zone
        self.denial = denial(zone)
        self._denials: dict[int, bytes] = {}  # by where the question spells the origin

    def move_to(self, zone: Zone) -> None:
        """Answer from the next version of the zone."""
        self.zone = zone
        self.denial = renewed(self.denial, zone)
        self._denials.clear()

    def denied(self, offset: int) -> bytes:
        """Return what follows the question of a denial."""
        found = self._denials.get(offset)
        if found is None:
            found = self._denials[offset] = self.denial.at(offset)
        return found

    def has(self, name: Name) -> bool:
        """Say whether it is this zone's to answer for a name."""
        return is_at_or_below(name, self.zone.origin) and not any(is_at_or_below(name, one) for one in self.outside)


class Answers(Protocol):
    """What a listener asks for answers: the table below, or the compiled one."""

    def __len__(self) -> int:
        """Return how many names are kept ready."""
        ...

    def serve(self, zones: Iterable[FastZone]) -> None:
        """Answer for these zones from now on, the most specific of a name first."""
        ...

    def move(self, fast: FastZone, zone: Zone) -> None:
        """Answer from the next version of one of them."""
        ...

    def respond(self, wire: bytes, way: Way = Way.UDP4) -> bytes | None:
        """Return the response to a message, None where it is the responder's to answer."""
        ...

    def prepare(self, limit: int) -> bool:
        """Do at most so many steps of what is still to be prepared; say whether all is done."""
        ...

    def tallies(self) -> dict[Cell, Tally]:
        """Return what was counted since the last time."""
        ...


class Answer(NamedTuple):
    """All that a response has but what its query brings."""

    zone: FastZone
    flags: dict[bytes, bytes]
    counts: bytes  # QDCOUNT, ANCOUNT, NSCOUNT
    rendered: Rendered | None  # None for a denial
    offset: int  # of the origin in the question's message
    qtype: int  # as it is counted
    rcode: int
    size: int  # octets of the records without compression


# index of the zone, type, RCODE, octets of the records, of the query, DO, way, and the index of the duration's bound
_Counted = tuple[int, int, int, int, int, bool, Way, int]


class Table:
    """What is ready to be sent; one thread's."""

    def __init__(self, zones: Iterable[FastZone] = ()) -> None:
        """Answer for zones, the most specific of a name first."""
        self._zones = tuple(zones)
        self._nodes: dict[bytes, Node] = {}
        self._answers: dict[bytes, Answer] = {}  # by question, folded
        self._turn = 0
        self._counts: Counter[_Counted] = Counter()

    def serve(self, zones: Iterable[FastZone]) -> None:
        """Answer for these zones from now on, the most specific of a name first."""
        self._zones = tuple(zones)
        self.forget(None)

    def move(self, fast: FastZone, zone: Zone) -> None:
        """Answer from the next version of one of them."""
        fast.move_to(zone)
        self.forget(zone.changed)

    def forget(self, names: Iterable[Name] | None) -> None:
        """Let go of names that have changed; None is all of them."""
        if names is None:
            self._nodes.clear()
            self._answers.clear()
            return
        for name in names:
            node = self._nodes.pop(name, None)
            for qtype in node.asked if node is not None else ():
                self._answers.pop(_question(name, qtype), None)

    def __len__(self) -> int:
        return len(self._nodes)

    def prepare(self, limit: int) -> bool:
        """Do nothing: names are looked for in the zones themselves."""
        del limit
        return True

    def tallies(self) -> dict[Cell, Tally]:
        """Return what was counted since the last time."""
        found: dict[Cell, Tally] = {}
        for (zone, qtype, rcode, records, size, dnssec_ok, way, bound), times in self._counts.items():
            cell = Cell(zone, qtype, rcode, dnssec_ok, way)
            tally = found.get(cell) or found.setdefault(cell, new_tally())
            tally.query_sizes[bisect_left(SIZES, size)] += times
            tally.response_sizes[bisect_left(SIZES, size + records)] += times
            tally.durations[bound] += times
            tally.query_octets += size * times
            tally.response_octets += (size + records) * times
        for fast in self._zones:  # what is reported is a zone's sum
            of_zone = next((tally for cell, tally in found.items() if cell.zone == fast.index), None)
            if of_zone is not None:
                of_zone.nanoseconds, fast.spent = fast.spent, 0
        self._counts.clear()
        return found

    def respond(self, wire: bytes, way: Way = Way.UDP4) -> bytes | None:
        """Return the response to a message, None where it is the responder's to answer."""
        begun = perf_counter_ns()
        end = len(wire)
        limit, (arcount, opt, dnssec_ok) = PLAIN_UDP_SIZE, _NO_OPT
        if wire[4:12] == _COUNTS_WITH_OPT:
            found = _OPTS.get(wire[-6:])
            end -= _OPT_SIZE
            if found is None or wire[end : end + 3] != _OPT_HEAD:
                return None
            arcount, opt, dnssec_ok = found
            limit = min(max(PLAIN_UDP_SIZE, wire[end + 3] << 8 | wire[end + 4]), OWN_UDP_SIZE)
        elif wire[4:12] != _COUNTS:
            return None
        question = wire[HEADER_SIZE:end]
        answer = self._answers.get(question.lower()) or self._find(question)
        if answer is None:
            return None
        zone, by_query, counts, rendered, offset, qtype, rcode, size = answer
        flags = by_query.get(wire[2:4])
        if flags is None:
            return None
        if rendered is None:
            body = zone.denied(offset)
        else:
            body = rendered.body
            if rendered.lower and question[:-QUESTION_TAIL] != question[:-QUESTION_TAIL].lower():
                return None
            if rendered.rotates and zone.rotates:
                body = self._rotated(rendered)
        response = b"".join((wire[:2], flags, counts, arcount, question, body, opt))
        if len(response) > (limit if way is Way.UDP4 or way is Way.UDP6 else MAX_MESSAGE):
            return None
        spent = perf_counter_ns() - begun
        bound = 0 if spent <= QUICK else bisect_left(_BOUNDS, spent)
        self._counts[zone.index, qtype, rcode, size, len(wire), dnssec_ok, way, bound] += 1
        zone.spent += spent
        return response

    def _rotated(self, rendered: Rendered) -> bytes:
        """Return the records of an answer, another one first than last time."""
        self._turn += 1
        body = rendered.body
        start = self._turn % rendered.records * (len(body) // rendered.records)
        return body[start:] + body[:start]

    def _find(self, question: bytes) -> Answer | None:
        """Return the answer to a question that is not at hand, and keep it if its name exists."""
        name = question[:-QUESTION_TAIL].lower()
        if len(question) <= QUESTION_TAIL or question[-2:] != _IN or not _is_name(name):
            return None
        qtype = int.from_bytes(question[-QUESTION_TAIL:-2], "big")
        zone = next((one for one in self._zones if is_at_or_below(Name(name), one.zone.origin)), None)
        if zone is None or qtype in OTHER_TYPES or not zone.has(Name(name)):
            return None
        node = self._nodes.get(name) or self._node(zone, Name(name))
        if node is None:
            gone = zone.missing and zone.zone.rrsets(Name(name)) is None
            return _answer(zone, name, qtype, None, Rcode.NXDOMAIN) if gone else None
        rendered = node.types.get(qtype)
        if rendered is None and (qtype in node.types or not node.closed):
            return None
        answer = _answer(zone, name, qtype, rendered, Rcode.NOERROR)
        if not _LETTERS.intersection(question[-QUESTION_TAIL:]):  # else folding would take two types for one
            node.asked.add(qtype)
            self._answers[_question(name, qtype)] = answer
        return answer

    def _node(self, zone: FastZone, name: Name) -> Node | None:
        """Return what a name answers that the zone lists; names made on demand are without number, and not kept."""
        if not zone.zone.lists(name):
            return None
        if len(self._answers) >= MAX_KEPT:
            self.forget(None)
        node = self._nodes[name] = render(zone.zone, name) or Node({}, closed=False)
        return node


def _answer(zone: FastZone, name: bytes, qtype: int, rendered: Rendered | None, rcode: int) -> Answer:
    """Return an answer, or without records a denial."""
    records = rendered.records if rendered else 0
    counts = b"\0\1" + records.to_bytes(2, "big") + (b"\0\0" if rendered else _IN)
    offset = HEADER_SIZE + len(name) - len(zone.zone.origin)
    counted = qtype if qtype in COUNTED_TYPES else 0
    size = (rendered or zone.denial).size
    return Answer(zone, _FLAGS[rcode], counts, rendered, offset, counted, rcode, size)


def _question(name: bytes, qtype: int) -> bytes:
    """Return the question for class IN."""
    return name + qtype.to_bytes(2, "big") + _IN


def _is_name(name: bytes) -> bool:
    """Say whether octets are one whole name without pointers."""
    if len(name) > MAX_NAME:
        return False
    index = 0
    while index < len(name) and name[index]:
        if name[index] > 63:
            return False
        index += 1 + name[index]
    return index == len(name) - 1


def new_tally() -> Tally:
    """Return the tally of nothing."""
    return Tally([0] * (len(SIZES) + 1), [0] * (len(SIZES) + 1), [0] * (len(DURATIONS) + 1))
