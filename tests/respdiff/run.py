"""Start the servers, ask them all the same, and gather what differs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dnsserver.wire import MalformedMessageError, message_to_text
from tests.respdiff import objects, servers
from tests.respdiff.compare import Answer, Difference, differing, read
from tests.respdiff.exchange import Asker, Question, soa_serial
from tests.respdiff.explanations import EXPLANATIONS, Explanation, explain
from tests.respdiff.questions import questions
from tests.respdiff.zones import World, read_world, set_serial

Start = Callable[[Path, Sequence[str]], AbstractContextManager[int]]
REFERENCES: dict[str, tuple[str, Start]] = {  # name -> command, what starts it
    "Knot DNS": ("knotd", servers.knot),
    "NSD": ("nsd", servers.nsd),
}


def installed() -> list[str]:
    """Return the servers that there are to compare with."""
    return [name for name, (command, _) in REFERENCES.items() if servers.find(command)]


@dataclass(slots=True)
class Result:
    """What a comparison has found."""

    names: int = 0  # owners in all zones
    zones: int = 0
    asked: int = 0
    same: Counter[str] = field(default_factory=Counter)  # by reference
    differ: Counter[str] = field(default_factory=Counter)
    explained: Counter[tuple[str, str]] = field(default_factory=Counter)  # by reference and explanation
    problems: list[str] = field(default_factory=list)  # what nothing explains, as text


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is compared."""

    vmis: int  # generated, beside the cases
    count: int  # queries to each server
    cases: int | None = None  # how many; None: all
    seed: int = 1  # of what is asked in which way


def compare(
    folder: Path, names: Sequence[str], extent: Extent, *, change: Callable[[Path], None] | None = None
) -> Result:
    """Serve, dump, serve the dump elsewhere, and compare; `names` are of `REFERENCES`. Raises `ServerError`.

    `change` is called with the folder of the zone files before the other servers read them.
    """
    corefile = objects.write_corefile(folder, extent.vmis, extent.cases)
    servers.dump(corefile, folder / "zones")
    zones = [path.stem for path in sorted((folder / "zones").glob("*.zone"))]
    with ExitStack() as stack:
        port = stack.enter_context(servers.ours(corefile, folder, zones))
        ours = stack.enter_context(Asker(port))
        for zone in zones:
            set_serial(folder / "zones" / f"{zone}.zone", soa_serial(ours, zone) or 0)
        world = read_world(folder / "zones")
        if change is not None:
            change(folder / "zones")
        others = {
            name: stack.enter_context(Asker(stack.enter_context(REFERENCES[name][1](folder, zones)))) for name in names
        }
        asked = questions(world, extent.count, extent.seed)
        result = Result(len(world.records), len(zones), len(asked))
        for question in asked:
            _compare_one(question, ours, others, world, result)
    return result


def _compare_one(question: Question, asker: Asker, others: dict[str, Asker], world: World, result: Result) -> None:
    """Ask one question everywhere."""
    ours = _answer(asker, question, "dnsserver", result)
    if ours is None:
        return
    for name, other in others.items():
        theirs = _answer(other, question, name, result)
        if theirs is None:
            continue
        if fields := differing(ours, theirs):
            result.differ[name] += 1
            _judge(Difference(question, name, ours, theirs, fields, world), result)
        else:
            result.same[name] += 1


def _answer(asker: Asker, question: Question, name: str, result: Result) -> Answer | None:
    """Return an answer; None is a problem of its own."""
    wire = asker.ask(question)
    if wire is None:
        result.problems.append(f"{name} does not answer\n{message_to_text(question.encode(0))}")
        return None
    try:
        return read(wire)
    except MalformedMessageError as error:
        result.problems.append(f"{name}: {error}\n{message_to_text(wire)}")
        return None


def _judge(difference: Difference, result: Result) -> None:
    """Count the explanations of a difference, or keep it as a problem."""
    found, left = explain(difference)
    for one in found:
        result.explained[difference.reference, one.key] += 1
    if left:
        result.problems.append(_text(difference, left, found))


def _text(difference: Difference, left: frozenset[str], found: Sequence[Explanation]) -> str:
    """Return both messages as dig prints them."""
    question = difference.question
    way = "TCP" if question.tcp else "UDP"
    partly = f" (explained: {', '.join(one.key for one in found)})" if found else ""
    return (
        f"{difference.reference} over {way}: {', '.join(sorted(left))}{partly}\n"
        f";; -- query\n{message_to_text(question.encode(0))}"
        f";; -- dnsserver\n{message_to_text(difference.ours.wire)}"
        f";; -- {difference.reference}\n{message_to_text(difference.theirs.wire)}"
    )


def table(result: Result, names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table of what differs, in Markdown."""
    yield f"| what differs | {' | '.join(names)} | why |"
    yield f"| --- |{' ---: |' * len(names)} --- |"
    for one in EXPLANATIONS:
        counts = " | ".join(str(result.explained[name, one.key]) for name in names)
        yield f"| {one.key} | {counts} | {one.reason} |"
