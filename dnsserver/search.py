"""Names of zones that contain a text, the likeliest first; no I/O, no clock.

A search may have to look at every name, and gives way after every few: whoever runs it decides what happens meanwhile.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from dnsserver.names import InvalidNameError, Name, from_text, is_at_or_below, join, labels, parent, split_text, to_text
from dnsserver.zone import Children, Zone

STEP = 500  # units of work between two chances to give way: about 0.2 ms. Looking at a name is one,
KEEPING = 10  # and keeping it so many
POOL = 500  # names that fit equally well of which the first are returned; as many as can be sorted at once

_DIGITS = re.compile(r"([0-9]+)")


class Match(IntEnum):
    """How well a name fits, the best first."""

    EXACT = 0
    PREFIX = 1  # it begins with the text
    LABEL = 2  # the text begins within its first label
    ABOVE = 3  # only a name that it is below has the text


@dataclass(frozen=True, slots=True)
class Found:
    """A name that fits."""

    name: Name
    zone: Zone
    match: Match
    order: tuple[tuple[int, str], ...]  # what names are sorted by: their text, numbers in it by their value


class Search:
    """One search for at most `limit` names; `steps` does the work."""

    def __init__(self, zones: Sequence[Zone], text: str, limit: int) -> None:
        """Prepare to look for a text, without regard to case: `web`, `vm-1.db`, `.ns1.svc`. The empty one fits nothing.

        A dot of the text stands between two labels, as it does in names.
        """
        self._zones = zones
        self._limit = limit
        self._room = max(limit, POOL)
        try:
            parts = split_text(text.lower())
        except InvalidNameError:  # a backslash that escapes nothing, or no Unicode text: no name has such
            parts = (b"",)
        self._searches = any(parts)
        self._first, self._rest = parts[0], parts[1:]
        self._whole = _whole_name(text) if self._searches else None
        self._kept: dict[Match, list[Found]] = {match: [] for match in Match}
        self._fits = 0  # names that fit, so far
        self._work = 0  # since it last gave way
        self.examined = 0  # names looked at, so far

    @property
    def names(self) -> list[Found]:
        """The best so far; those that fit equally well in natural order."""
        best: list[Found] = []
        for match in Match:
            if len(best) < self._limit:
                best += sorted(self._kept[match], key=lambda one: one.order)[: self._limit - len(best)]
        return best

    @property
    def more(self) -> bool:
        """Whether more names fit than were asked for."""
        return self._fits > self._limit

    def steps(self) -> Iterator[None]:
        """Look through the zones; yields after every few names, and ends once nothing better can come.

        Of very many that fit equally well the first that are found win.
        """
        if not self._searches:
            return
        for zone in self._zones:
            if self._whole is not None and is_at_or_below(self._whole, zone.origin) and zone.lists(self._whole):
                self._fits += 1
                self._kept[Match.EXACT].append(Found(self._whole, zone, Match.EXACT, ()))
        for zone in self._zones:
            yield from self._look_through(zone)
            if self._enough:
                return

    def _look_through(self, zone: Zone) -> Iterator[None]:
        """Look through one zone, until nothing better can come."""
        self._look_at(zone, zone.origin[1 : 1 + zone.origin[0]], parent(zone.origin))
        for above, below in zone.tree.items():
            if self._step():
                yield
            if isinstance(below, Children):
                yield from self._look_below(zone, above, below)
            if self._enough:
                return

    def _look_below(self, zone: Zone, above: Name, below: Children) -> Iterator[None]:
        """Look at the names with records right below a name; at none where none can fit."""
        begins, contains = self._begins(above), self._contains(above)
        if not (begins or contains):
            return
        for label, _ in below.with_records():
            match = self._fit(label, begins=begins, contains=contains)
            if match is not None:
                self._keep(match, label, above, zone)
            if self._step():
                yield
                if self._enough:
                    return

    def _look_at(self, zone: Zone, label: bytes, above: Name) -> None:
        """Look at one name."""
        match = self._fit(label, begins=self._begins(above), contains=self._contains(above)) if label else None
        if match is not None:
            self._keep(match, label, above, zone)

    def _step(self) -> bool:
        """Count a name; say whether it is time to give way."""
        self.examined += 1
        self._work += 1
        if self._work < STEP:
            return False
        self._work = 0
        return True

    def _fit(self, label: bytes, *, begins: bool, contains: bool) -> Match | None:
        """Say how well a label fits, below a name of which `_begins` and `_contains` are known."""
        if begins and self._first in label:
            if not self._rest:
                return Match.PREFIX if label.startswith(self._first) else Match.LABEL
            if label.endswith(self._first):
                return Match.PREFIX if label == self._first else Match.LABEL
        return Match.ABOVE if contains else None

    def _begins(self, above: Name) -> bool:
        """Say whether a name goes on as the text does after its first dot; always, where the text has none."""
        return not self._rest or self._goes_on((*labels(above), b""))

    def _goes_on(self, parts: tuple[bytes, ...]) -> bool:
        """Say whether labels are those of the text after its first dot, of which the last may be cut short."""
        whole = len(self._rest) - 1
        return len(parts) > whole and parts[:whole] == self._rest[:whole] and parts[whole].startswith(self._rest[whole])

    def _contains(self, above: Name) -> bool:
        """Say whether the text is somewhere in a name."""
        parts = (*labels(above), b"")
        if not self._rest:
            return any(self._first in part for part in parts)
        return any(part.endswith(self._first) and self._goes_on(parts[at + 1 :]) for at, part in enumerate(parts))

    @property
    def _enough(self) -> bool:
        """Whether nothing that is still to come could be among the best, and it is known that there are more."""
        return self.more and len(self._kept[Match.PREFIX]) >= self._room

    def _keep(self, match: Match, label: bytes, above: Name, zone: Zone) -> None:
        """Keep a name, as long as there is room for those that fit equally well."""
        kept = self._kept[match]
        if len(kept) >= self._room:
            self._fits += 1
            return
        name = join(label, above)
        if name != self._whole:  # that one was found first
            self._fits += 1
            self._work += KEEPING
            kept.append(Found(name, zone, match, _natural(name)))


def _whole_name(text: str) -> Name | None:
    """Return the name that the text is, if it is one."""
    try:
        return from_text(text)
    except InvalidNameError:
        return None


def _natural(name: Name) -> tuple[tuple[int, str], ...]:
    """Return what names are sorted by."""
    parts = _DIGITS.split(to_text(name))
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts if part)
