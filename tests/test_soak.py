"""The verdict of a soak, and what it takes for a wrong answer: a soak that cannot fail would prove nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.soak.questions import Question, Questions, cookie_of, replace_query, with_cookie, wrong
from benchmarks.soak.samples import Sample
from benchmarks.soak.tally import Latencies, Tally
from benchmarks.soak.verdict import Soaked, faults, growth, stalls
from dnsserver.message import Edns, Reply
from dnsserver.names import from_text
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.wire import ParsedResponse, encode_query, encode_reply, parse_query, parse_response

_SOA = RRset(from_text("cluster.local"), RRType.SOA, 5, (b"\0\0" + bytes(20),))


def _samples(resident: list[float], **last: float) -> list[Sample]:
    """Return samples 5 s apart, of which the last differs as said."""
    one = Sample(
        at=0.0,
        resident=0.0,
        descriptors=30,
        threads=9,
        cpu=0.0,
        stalls=3,
        waits=5,
        waited=1.0,
        lag=1.0,
        drops=0,
        names=10,
        lists=4,
        ready=True,
    )
    found = [replace(one, at=5.0 * turn, resident=value) for turn, value in enumerate(resident)]
    return [*found[:-1], replace(found[-1], **last)]  # type: ignore[arg-type]  # the fields' own types


def _soaked(**changed: object) -> Soaked:
    """Return a run in which all is well, but for what is changed."""
    well = Soaked(_samples([80.0] * 8), Tally(), 23, 23, changes=1, exit_code=0, tracebacks=0)
    return replace(well, **changed)  # type: ignore[arg-type]  # the fields' own types


def _lost(count: int, own: int = 0) -> Tally:
    tally = Tally()
    tally.own_drops = own
    for _ in range(count):
        tally.missed("hit", "name")
    return tally


def _mistaken() -> Tally:
    tally = Tally()
    tally.mistaken("hit", "rcode 2")
    return tally


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (_soaked(samples=_samples([70, 70, 80, 80, 85, 85, 85, 85])), "memory grew by 6.2%"),
        (_soaked(samples=_samples([80.0] * 3)), "too few"),
        (_soaked(samples=_samples([80.0] * 8, stalls=4)), "1 stalls of the event loop over 50 ms, 0 of them"),
        (
            _soaked(samples=_samples([80.0] * 8, stalls=5, waits=6, waited=1.1, lag=1.2)),
            "2 stalls of the event loop over 50 ms, 1 of them",
        ),
        (_soaked(samples=_samples([80.0] * 8, stalls=4, waits=6, waited=1.1, lag=4.0)), "1 stalls"),
        (_soaked(samples=_samples([80.0] * 8, ready=False)), "not ready in 1 of 8"),
        (_soaked(samples=_samples([80.0] * 8, drops=2)), "2 queries dropped"),
        (_soaked(tally=_lost(3, own=1)), "2 queries lost"),
        (_soaked(tally=_mistaken()), "1 wrong answers"),
        (_soaked(descriptors_after=24), "24 descriptors"),
        (_soaked(changes=0), "nothing changed"),
        (_soaked(tracebacks=1), "1 tracebacks"),
        (_soaked(exit_code=1), "exit code 1"),
        (_soaked(exit_code=None), "exit code None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s10_soak_says_what_is_wrong(run: Soaked, fault: str) -> None:
    """Each fault by itself is told."""
    told = faults(run)
    assert len(told) == 1
    assert fault in told[0]


@pytest.mark.parametrize(
    "run",
    [
        _soaked(),
        _soaked(samples=_samples([50, 60, 80, 80, 70, 83, 80, 85])),  # fills at first, then a sawtooth
        _soaked(
            samples=_samples([80.0] * 8, stalls=4, waits=6, waited=1.1, lag=1.1)
        ),  # its core was not to be had just then
        _soaked(samples=_samples([80.0] * 8, waits=50)),
        _soaked(tally=_lost(2, own=2)),
        _soaked(descriptors_after=20),
    ],
)
def test_s10_soak_is_content(run: Soaked) -> None:
    """What is no fault of the server's is not taken for one."""
    assert faults(run) == []


def test_growth_and_stalls_compare_what_they_say() -> None:
    """Growth is from the second quarter to the last; a wait excuses stalls of its own few seconds alone."""
    assert growth(_samples([1, 1, 100, 100, 1, 1, 110, 110])) == pytest.approx(0.1)
    early, late = _samples([1.0] * 3), _samples([1.0] * 3, stalls=4, waits=9)
    samples = [early[0], replace(early[1], waits=9), replace(late[2], waits=9)]
    assert stalls(samples) == (1, 0)


def test_latencies_are_right_within_5_percent() -> None:
    """Percentiles come from buckets, the worst is exact."""
    seen = Latencies()
    for value in range(1, 1001):
        seen.add(value / 10)
    assert seen.percentile(0.5) == pytest.approx(50, rel=0.06)
    assert seen.percentile(0.99) == pytest.approx(99, rel=0.06)
    assert (seen.percentile(1.0), seen.worst, seen.total) == (100.0, 100.0, 1000)


def test_own_stalls_are_told_apart() -> None:
    """An answer that a stall of the load generator delayed counts in no latency."""
    tally = Tally()
    tally.answered(1.0, 1.001, late=False)
    tally.stalled(2.5, 0.5)
    tally.answered(2.4, 2.6, late=False)
    tally.answered(2.55, 2.6, late=True)
    tally.answered(2.55, 2.6, late=False)
    assert (tally.latencies.total, tally.own_late.total) == (2, 2)


def _answer(question: Question, **changed: object) -> ParsedResponse:
    """Return the right answer to a question, but for what is changed."""
    query = question.query
    answer = tuple(RRset(query.name, RRType(query.qtype), 5, (rdata,)) for rdata in question.rdatas)
    right: dict[str, object] = {"rcode": question.rcode, "answer": answer[:1] if question.loose else answer}
    if not answer and question.rcode != Rcode.REFUSED:
        right["authority"] = (_SOA,)
    reply = Reply(**{**right, **changed})  # type: ignore[arg-type]  # the fields' own types
    return parse_response(encode_reply(parse_query(encode_query(query)), reply, limit=65535))


_KINDS: list[Callable[[Questions], Question]] = [
    Questions.hit,
    Questions.nodata,
    Questions.absent,
    Questions.searched,
    Questions.reverse,
    Questions.changing,
    Questions.cached,
    Questions.refused,
    Questions.apex,
    Questions.group,
    Questions.any,
]


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_wrong_answers_are_seen(kind: Callable[[Questions], Question]) -> None:
    """The right answer is right; another rcode, address or question is not, nor EDNS that nobody asked for."""
    questions = Questions(400)
    for _ in range(30):
        question = kind(questions)
        assert wrong(question, _answer(question)) == ""
        assert wrong(question, _answer(question, rcode=Rcode.SERVFAIL))
        another = RRset(question.query.name, RRType.A, 5, (b"\x7f\0\0\1",))
        assert wrong(question, _answer(question, answer=(another,)))
        assert wrong(replace(question, query=questions.absent().query), _answer(question))
        shouting = replace_query(question.query, qname=question.query.qname.swapcase())
        assert wrong(replace(question, query=shouting), _answer(question))
        if question.query.edns is None and not question.loose:
            edns = replace_query(question.query, edns=Edns(udp_size=1232))
            assert wrong(question, _answer(replace(question, query=edns)))


def test_names_of_other_vmis_are_wrong() -> None:
    """Of a VMI that changes, any address that it ever had is right, and no address; another VMI's is not."""
    questions = Questions(400)
    question = questions.changing()
    assert wrong(question, _answer(question, answer=())) == ""
    assert wrong(question, _answer(question, rcode=Rcode.NXDOMAIN, answer=())) == ""
    (other,) = questions.hit().rdatas
    assert wrong(question, _answer(question, answer=(RRset(question.query.name, RRType.A, 5, (other,)),)))


def test_cookies_are_sent_and_read() -> None:
    """A question takes a cookie along."""
    question = with_cookie(Questions(400).hit(), b"12345678")
    assert cookie_of(parse_query(encode_query(question.query)).edns) == b"12345678"
    assert cookie_of(None) == b""
