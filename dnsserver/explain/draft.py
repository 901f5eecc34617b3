"""An explanation as it grows: steps, near misses, advice; no I/O."""

from collections.abc import Iterable
from enum import Enum

from dnsserver.derive.vmi import Fact
from dnsserver.explain.subject import Place
from dnsserver.explain.values import NearMiss, ObjectRef, Step, printable, printable_fact, rule_id
from dnsserver.names import Name, to_text
from dnsserver.store.known import Known
from dnsserver.zone import find_origin

_MANY = 6  # near misses that are told


class Draft:
    """Collects; the order of the calls is the order of the chain."""

    def __init__(self, place: Place, qtype: int, now: float) -> None:
        self.place = place
        self.qtype = qtype
        self.now = now  # as the store's clock counts
        self.steps: list[Step] = []
        self.advice: list[str] = []
        self.near_misses: list[NearMiss] = []

    @property
    def known(self) -> Known:
        """The objects."""
        return self.place.store.known

    @property
    def refusal(self) -> Step | None:
        """The first step that refused, None where none did."""
        return next((step for step in self.steps if not step.passed), None)

    def passed(
        self,
        rule: Enum,
        text: str = "",
        *,
        about: ObjectRef | None = None,
        facts: Iterable[Fact] = (),
        notes: Iterable[str] = (),
    ) -> None:
        """Add a step that passed."""
        self._add(rule, text, about, facts, notes, passed=True)

    def refused(
        self,
        rule: Enum,
        text: str = "",
        *,
        about: ObjectRef | None = None,
        facts: Iterable[Fact] = (),
        notes: Iterable[str] = (),
        advice: str = "",
    ) -> None:
        """Add a step that refused, and what to do about it."""
        self._add(rule, text, about, facts, notes, passed=False)
        self.advise(advice)

    def _add(
        self,
        rule: Enum,
        text: str,
        about: ObjectRef | None,
        facts: Iterable[Fact],
        notes: Iterable[str],
        *,
        passed: bool,
    ) -> None:
        """Add a step."""
        step = Step(
            rule_id(rule),
            passed,
            printable(text or str(rule.value)),
            about,
            tuple(map(printable_fact, facts)),
            tuple(map(printable, notes)),
        )
        self.steps.append(step)

    def advise(self, text: str) -> None:
        """Say what to change, once."""
        if text and printable(text) not in self.advice:
            self.advice.append(printable(text))

    def near(self, text: str, name: Name | None = None) -> None:
        """Tell of something that may have been meant, once."""
        one = NearMiss(printable(text), to_text(name) if name is not None else "")
        if one not in self.near_misses and len(self.near_misses) < _MANY:
            self.near_misses.append(one)

    def exists(self, name: Name) -> bool:
        """Say whether a name of the same server exists."""
        origin = find_origin(self.place.served.origins, name)
        zones = (store.zone(origin) for store in self.place.served.stores) if origin is not None else ()
        zone = next((one for one in zones if one is not None), None)
        # a name that is listed exists whatever it has: deriving that of a Service with many endpoints takes long
        return zone is not None and (zone.lists(name) or zone.rrsets(name) is not None)
