"""Looking through tables in small steps; no I/O."""

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dnsserver.explain.draft import Draft
from dnsserver.explain.similar import plausible, similar
from dnsserver.names import InvalidNameError, Name, from_labels

T = TypeVar("T")

Looking = Generator[None, None, T]  # yields after each small step, and returns what was found

_SLICE = 500  # objects looked at in one step: well below a millisecond


def at_once(looking: Looking[T]) -> T:
    """Do all steps in one go, and return what was found."""
    while True:
        try:
            next(looking)
        except StopIteration as done:
            found: T = done.value
            return found


def collect(items: Iterable[T], wanted: Callable[[T], bool]) -> Looking[list[T]]:
    """Return the items that are wanted. They are taken at once: a table may change between two steps."""
    found = []
    for number, item in enumerate(tuple(items), 1):
        if wanted(item):
            found.append(item)
        if number % _SLICE == 0:
            yield
    return found


def alike(names: Iterable[str], wanted: str) -> Looking[list[str]]:
    """Return the names that are spelled most like the one wanted."""
    close = yield from collect(names, lambda name: plausible(name, wanted))
    return list(similar(close, wanted))


def below(draft: Draft, *parts: str) -> Name | None:
    """Return a name below the zone that is explained; None where the DNS cannot carry it."""
    try:
        return from_labels((part.encode() for part in parts), draft.place.zone.origin)
    except InvalidNameError:
        return None
