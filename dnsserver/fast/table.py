"""Answers by question, for one listener: in Python what the compiled table is in C, and what that is checked against.

A question that is not plain, or whose answer is not at hand, gets None and is the responder's to answer. Invariant:
every answer is octet for octet what the responder would say, but for the order of records that rotate.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from time import perf_counter_ns
from typing import NamedTuple, Protocol

from dnsserver.fast.rendering import OTHER_TYPES, QUESTION_TAIL, Node, Rendered, denial, render, renewed
from dnsserver.message import OWN_UDP_SIZE, PLAIN_UDP_SIZE
from dnsserver.names import MAX_LABEL, MAX_NAME, Name, ancestors, is_at_or_below, join, labels
from dnsserver.records import Rcode
from dnsserver.wire import DO_OPT, HEADER_SIZE, PLAIN_OPT
from dnsserver.zone import Zone

MAX_KEPT = 2_000_000  # answers; beyond it all begins anew
MAX_GAPS = 50_000  # likewise, of names that none was found below

_IN = b"\0\1"
_OPT_SIZE = 11
_OPT_HEAD = b"\0\0\x29"  # the root, and type OPT
# by extended RCODE, version, flags, and the length of no options
_OPTS = {b"\0\0\0\0\0\0": (PLAIN_OPT, False), b"\0\0\x80\0\0\0": (DO_OPT, True)}
_RD, _CD = 0x01, 0x10  # of the two octets of flags: RD and CD are kept, AD means nothing here
_FLAGS = tuple((rd, checks) for rd in (0, _RD) for checks in (0, _CD))
# From what follows the ID in the header of a plain query to what kind of header that is: which flags, and one more
# than that where there is an OPT record.
_WITH_OPT = len(_FLAGS)
_HEADS = {
    bytes((rd, checks | authentic, 0, 1, 0, 0, 0, 0, 0, opt)): index + opt * _WITH_OPT
    for index, (rd, checks) in enumerate(_FLAGS)
    for authentic in (0, 0x20)
    for opt in (0, 1)
}
# the bounds of CoreDNS's histograms: octets (8291 is CoreDNS's), and seconds
SIZES = (0.0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
DURATIONS = tuple(0.00025 * 2**power for power in range(16))
QUICK = 250_000  # nanoseconds: the first of them
_BOUNDS = tuple(seconds * 1e9 for seconds in DURATIONS)
# types that are counted by themselves; strangers may ask for any number of others
COUNTED_TYPES = frozenset({1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 46, 47, 48, 50, 64, 65})
_LETTERS = frozenset((*range(65, 91), *range(97, 123)))
_UNDERSCORE = ord("_")


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
        # MNAME and RNAME, which begins with one label, are written shorter still in answers to questions below these.
        server = labels(zone.soa.rdatas[0])[-1 - len(labels(zone.origin))]
        own = (join(label, zone.origin) for label in (server, b"hostmaster"))
        self.outside = (*outside, *own)
        self.made = tuple(made)
        self.zone = zone
        self.denial = denial(zone)
        self._denials: dict[int, bytes] = {}  # by the length of the question

    def move_to(self, zone: Zone) -> None:
        """Answer from the next version of the zone."""
        self.zone = zone
        self.denial = renewed(self.denial, zone)
        self._denials.clear()

    def denied(self, size: int) -> bytes:
        """Return what follows a question of so many octets in a denial."""
        found = self._denials.get(size)
        if found is None:
            offset = HEADER_SIZE + size - QUESTION_TAIL - len(self.zone.origin)
            found = self._denials[size] = self.denial.at(offset)
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


# octets of a query, whether DO is set in it, its way, and the index of its duration's bound
_Counted = tuple[int, bool, Way, int]


class Answer(NamedTuple):
    """All that a response has but what its query brings."""

    zone: FastZone
    heads: tuple[bytes, ...]  # what follows the ID in the response's header, by `_HEADS` of the query's
    rendered: Rendered | None  # None for a denial
    times: dict[_Counted, int]  # how often it was given; shared with all that are counted together


class Gap(NamedTuple):
    """Below a name: that what it has not below it is not there, in zones that list all but what is `apart`."""

    answer: Answer
    above: Name
    apart: frozenset[bytes]  # labels


# index of the zone, type as it is counted, RCODE, octets of the records without compression
_Sort = tuple[int, int, int, int]


class Table:
    """What is ready to be sent; one thread's."""

    def __init__(self, zones: Iterable[FastZone] = ()) -> None:
        """Answer for zones, the most specific of a name first."""
        self._zones = tuple(zones)
        self._nodes: dict[bytes, Node] = {}
        self._answers: dict[bytes, Answer] = {}  # by question, folded
        self._gaps: dict[bytes, Gap] = {}  # by the name above, and the rest of the question
        self._turn = 0
        self._counts: dict[_Sort, dict[_Counted, int]] = {}

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
            self._gaps.clear()
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
        for (zone, qtype, rcode, records), counted in self._counts.items():
            for (size, dnssec_ok, way, bound), times in counted.items():
                cell = Cell(zone, qtype, rcode, dnssec_ok, way)
                tally = found.get(cell) or found.setdefault(cell, new_tally())
                tally.query_sizes[bisect_left(SIZES, size)] += times
                tally.response_sizes[bisect_left(SIZES, size + records)] += times
                tally.durations[bound] += times
                tally.query_octets += size * times
                tally.response_octets += (size + records) * times
            counted.clear()
        for fast in self._zones:  # what is reported is a zone's sum
            of_zone = next((tally for cell, tally in found.items() if cell.zone == fast.index), None)
            if of_zone is not None:
                of_zone.nanoseconds, fast.spent = fast.spent, 0
        return found

    def respond(self, wire: bytes, way: Way = Way.UDP4) -> bytes | None:
        """Return the response to a message, None where it is the responder's to answer."""
        begun = perf_counter_ns()
        head = _HEADS.get(wire[2:HEADER_SIZE])
        if head is None:
            return None
        if head < _WITH_OPT:
            question, opt, dnssec_ok, limit = wire[HEADER_SIZE:], b"", False, PLAIN_UDP_SIZE
        else:
            end = len(wire) - _OPT_SIZE
            found = _OPTS.get(wire[-6:])
            if found is None or wire[end : end + 3] != _OPT_HEAD:
                return None
            question, (opt, dnssec_ok) = wire[HEADER_SIZE:end], found
            limit = min(max(PLAIN_UDP_SIZE, wire[end + 3] << 8 | wire[end + 4]), OWN_UDP_SIZE)
        folded = question.lower()
        answer = self._answers.get(folded) or self._missing(folded) or self._find(question)
        if answer is None:
            return None
        zone, heads, rendered, times = answer
        if rendered is None:
            body = zone.denied(len(question))
        else:
            body = rendered.body
            if rendered.lower and question[:-QUESTION_TAIL] != folded[:-QUESTION_TAIL]:
                return None
            if rendered.rotates and zone.rotates:
                body = self._rotated(rendered)
        response = b"".join((wire[:2], heads[head], question, body, opt))
        if len(response) > limit and way <= Way.UDP6:  # over TCP there is room for whatever is rendered
            return None
        spent = perf_counter_ns() - begun
        counted = len(wire), dnssec_ok, way, 0 if spent <= QUICK else bisect_left(_BOUNDS, spent)
        times[counted] = times.get(counted, 0) + 1
        zone.spent += spent
        return response

    def _rotated(self, rendered: Rendered) -> bytes:
        """Return the records of an answer, another one first than last time."""
        self._turn += 1
        body = rendered.body
        start = self._turn % rendered.records * (len(body) // rendered.records)
        return body[start:] + body[:start]

    def _missing(self, folded: bytes) -> Answer | None:
        """Return NXDOMAIN for a question, in lower case, whose name is in a gap that is known; else None.

        Names that do not exist differ from each other in front of one that does: of them, nothing is kept.
        """
        start, size, gaps = 0, len(folded), self._gaps
        while start < size and 0 < (length := folded[start]) <= MAX_LABEL:
            start += 1 + length
            gap = gaps.get(folded[start:])
            if gap is None:
                continue
            label = folded[start - length : start]
            answer, above, apart = gap
            below = answer.zone.zone.tree.get(above)  # as it is now; `bytes` are the only label
            if label in apart or label[0] == _UNDERSCORE or size > MAX_NAME + QUESTION_TAIL:
                return None
            if below is not None and (label in below or b"_" + label in below):
                return None  # the name may exist, or be another way to write one that does
            return answer
        return None

    def _find(self, question: bytes) -> Answer | None:
        """Return the answer to a question that is not at hand, and keep it if its name exists."""
        name = Name(question[:-QUESTION_TAIL].lower())
        if len(question) <= QUESTION_TAIL or question[-2:] != _IN or not _is_name(name):
            return None
        qtype = int.from_bytes(question[-QUESTION_TAIL:-2], "big")
        zone = next((one for one in self._zones if is_at_or_below(name, one.zone.origin)), None)
        if zone is None or qtype in OTHER_TYPES or not zone.has(name):
            return None
        node = self._nodes.get(name) or self._node(zone, name)
        if node is None:
            if not zone.missing or zone.zone.rrsets(name) is not None:
                return None
            answer = self._answer(zone, qtype, None, Rcode.NXDOMAIN)
            self._note_gap(name, qtype, answer)
            return answer
        rendered = node.types.get(qtype)
        if rendered is None and (qtype in node.types or not node.closed):
            return None
        answer = self._answer(zone, qtype, rendered, Rcode.NOERROR)
        if _keeps(qtype):
            if len(self._answers) >= MAX_KEPT:
                self.forget(None)
                self._nodes[name] = node
            node.asked.add(qtype)
            self._answers[_question(name, qtype)] = answer
        return answer

    def _node(self, zone: FastZone, name: Name) -> Node | None:
        """Return what a name answers that the zone lists; names made on demand are without number, and not kept."""
        if not zone.zone.lists(name):
            return None
        node = self._nodes[name] = render(zone.zone, name) or Node({}, closed=False)
        return node

    def _answer(self, zone: FastZone, qtype: int, rendered: Rendered | None, rcode: int) -> Answer:
        """Return an answer, or without records a denial."""
        size = (rendered or zone.denial).size
        times = self._counts.setdefault((zone.index, qtype if qtype in COUNTED_TYPES else 0, rcode, size), {})
        return Answer(zone, _heads(rcode, rendered.records if rendered else 0), rendered, times)

    def _note_gap(self, name: Name, qtype: int, answer: Answer) -> None:
        """Note that a name is not there, for the others that are not there below the next name above."""
        zone = answer.zone
        above = next((one for one in ancestors(name, zone.zone.origin) if one in zone.zone.tree), zone.zone.origin)
        if not _keeps(qtype) or any(is_at_or_below(above, one) for one in zone.made):
            return
        others = (*zone.outside, *zone.made, *(one.zone.origin for one in self._zones))
        apart = frozenset(
            labels(other)[-1 - len(labels(above))]
            for other in others
            if other != above and is_at_or_below(other, above)
        )
        if len(self._gaps) >= MAX_GAPS:
            self._gaps.clear()
        self._gaps[_question(above, qtype)] = Gap(answer, above, apart)


@cache
def _heads(rcode: int, records: int) -> tuple[bytes, ...]:
    """Return what follows the ID in the headers of responses, with an SOA in place of no records."""
    counts = b"\0\1" + records.to_bytes(2, "big") + (b"\0\0" if records else b"\0\1")
    return tuple(
        bytes((0x84 | rd, checks | rcode)) + counts + additional
        for additional in (b"\0\0", b"\0\1")
        for rd, checks in _FLAGS
    )


def _keeps(qtype: int) -> bool:
    """Say whether answers to questions of a type are kept.

    Those that strangers may think of are too many; and where letters are in the number, folding would take two types
    for one.
    """
    return qtype in COUNTED_TYPES and not _LETTERS.intersection(qtype.to_bytes(2, "big"))


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
