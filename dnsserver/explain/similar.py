"""Names that are spelled alike; no I/O. Bounded: few names are compared closely, whatever there are."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

COMPARED = 100  # names that are compared closely: 20 microseconds each
_ALIKE = 0.65  # of `SequenceMatcher.ratio`; what has the same letters is always alike
_TOLD = 3
_STRETCH = 2  # characters that one may be longer
_EDGE = 2  # characters that both begin or end with


def plausible(name: str, wanted: str) -> bool:
    """Say cheaply whether a name may be worth a closer look."""
    if abs(len(name) - len(wanted)) > _STRETCH or name == wanted:
        return False
    return name[:_EDGE] == wanted[:_EDGE] or name[-_EDGE:] == wanted[-_EDGE:] or _same_letters(name, wanted)


def _same_letters(name: str, wanted: str) -> bool:
    """Say whether one has the other's letters in another order."""
    return len(name) == len(wanted) and sorted(name) == sorted(wanted)


def similar(names: Iterable[str], wanted: str) -> Iterator[str]:
    """Yield the names most like one that is not there, the best first; at most three."""
    matcher = SequenceMatcher(b=wanted, autojunk=False)
    scored = []
    for name, _ in zip((one for one in names if plausible(one, wanted)), range(COMPARED), strict=False):
        matcher.set_seq1(name)
        if (score := matcher.ratio()) >= _ALIKE or _same_letters(name, wanted):
            scored.append((-score, name))
    yield from (name for _, name in sorted(scored)[:_TOLD])
