"""Explanations as people read them; no I/O.

Whatever is not printable is escaped once more: nothing that is explained can command a terminal.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dnsserver.explain.values import Explanation, NearMiss, ObjectRef, Step, printable
from dnsserver.explain.vmis import VMIExplanation

_BOLD, _RED, _GREEN, _DIM = "1", "31", "32", "2"


@dataclass(frozen=True, slots=True)
class Style:
    """How to write to one terminal, or to none."""

    colour: bool = False
    unicode: bool = True  # whether there are ticks and crosses

    def mark(self, *, good: bool) -> str:
        """Return a tick or a cross."""
        texts = ("✓", "✗") if self.unicode else ("ok", "NO")
        return self.paint(texts[0], _GREEN) if good else self.paint(texts[1], _RED)

    def paint(self, text: str, *codes: str) -> str:
        """Return text in a colour."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour else text


def explanation_lines(explanation: Explanation | VMIExplanation, style: Style) -> Iterator[str]:
    """Yield the lines of an explanation: the verdict, the answer, the chain, and what to change."""
    if isinstance(explanation, VMIExplanation):
        yield from _vmi_lines(explanation, style)
    else:
        yield from _name_lines(explanation, style)


def _vmi_lines(vmi: VMIExplanation, style: Style) -> Iterator[str]:
    """Yield the lines of a VMI: its own, then those of each of its names."""
    yield _verdict(vmi.verdict, style, good=vmi.resolves)
    yield from _chain(vmi.chain, style)
    yield from _near_misses(vmi.near_misses, style)
    yield from _section("what to change", vmi.advice, style)
    for one in vmi.names:
        yield ""
        yield from _name_lines(one, style)


def _name_lines(one: Explanation, style: Style) -> Iterator[str]:
    """Yield the lines of one name."""
    yield _verdict(one.verdict, style, good=one.resolves)
    if one.asked.lower().rstrip(".") != one.name.rstrip("."):
        yield style.paint(printable(f"  {one.asked} was completed to {one.name}"), _DIM)
    if one.zone:
        yield style.paint(f"  zone {printable(one.zone)}, serial {one.serial}", _DIM)
    yield from _section("answer", one.answer, style)
    yield from _chain(one.chain, style)
    yield from _near_misses(one.near_misses, style)
    yield from _section("what to change", one.advice, style)


def _verdict(text: str, style: Style, *, good: bool) -> str:
    """Return the first line."""
    return f"{style.mark(good=good)} {style.paint(printable(text), _BOLD)}"


def _section(title: str, lines: tuple[str, ...], style: Style) -> Iterator[str]:
    """Yield a heading and the lines below it; nothing where there are none."""
    if lines:
        yield style.paint(title, _BOLD)
        yield from (f"  {printable(line)}" for line in lines)


def _chain(chain: tuple[Step, ...], style: Style) -> Iterator[str]:
    """Yield the steps."""
    if chain:
        yield style.paint("why", _BOLD)
    told: ObjectRef | None = None
    for step in chain:
        yield from _step_lines(step, style, told)
        told = step.object


def _step_lines(step: Step, style: Style, told: ObjectRef | None) -> Iterator[str]:
    """Yield a step: on one line where it passed, with both sides of each fact where it refused.

    `told` is the object of the step before, which need not be named again.
    """
    new = step.object is not None and step.object != told and step.object.text not in step.text
    about = f": {step.object.text}" if step.object is not None and new else ""
    found = "; ".join(f"{fact.what}: {fact.found or 'none'}" for fact in step.facts) if step.passed else ""
    yield f"  {style.mark(good=step.passed)} {printable(step.text + about)}{_aside(found, style)}"
    if not step.passed:
        yield from (f"      {printable(fact.text)}" for fact in step.facts)
    yield from (f"      {style.paint(printable(note), _DIM)}" for note in step.notes)


def _aside(text: str, style: Style) -> str:
    """Return what stands in brackets behind a step."""
    return style.paint(f" ({printable(text)})", _DIM) if text else ""


def _near_misses(near_misses: tuple[NearMiss, ...], style: Style) -> Iterator[str]:
    """Yield what may have been meant."""
    lines = tuple(f"{one.text}: {one.name}" if one.name else one.text for one in near_misses)
    yield from _section("near misses", lines, style)
