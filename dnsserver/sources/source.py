"""The one shape of a source, and what it counts."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from dnsserver.events import Event
from dnsserver.objects import Kind


@dataclass(slots=True)
class SourceStatus:
    """What a source counts; read by metrics and pages, written by the source alone."""

    refused: Counter[Kind] = field(default_factory=Counter)  # objects that could not be understood
    ignored: int = 0  # documents of kinds that decide no answer
    lists: Counter[Kind] = field(default_factory=Counter)  # complete lists
    list_shrinks: Counter[Kind] = field(default_factory=Counter)  # those that lacked nearly all that was known
    watch_errors: Counter[Kind] = field(default_factory=Counter)  # watches that ended in an error
    relist_differences: Counter[Kind] = field(default_factory=Counter)  # changes a watch has missed, as a list showed
    last_contact: dict[Kind, float] = field(default_factory=dict)  # time.monotonic() of the last good answer
    troubles: dict[Kind, tuple[str, str]] = field(default_factory=dict)  # what has failed since then: its sort, and why

    def listed(self, kind: Kind, known: int, count: int) -> bool:
        """Count a complete list of `count` objects where `known` were known; say whether over 90 % of them are gone.

        It counts all the same: that may be true, and no one can tell but the API server.
        """
        self.lists[kind] += 1
        shrunk = count < known / 10
        self.list_shrinks[kind] += shrunk
        return shrunk

    def contact(self, kind: Kind) -> None:
        """Note that the source has just answered for this kind."""
        self.last_contact[kind] = time.monotonic()
        self.troubles.pop(kind, None)


class Source(Protocol):
    """Gives the events of some kinds, for ever."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds whose lists must have ended before the zone is complete."""
        ...

    @property
    def status(self) -> SourceStatus:
        """What it has counted."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Yield events until the iterator is closed; never raises for a fault of the source, which it retries."""
        ...
