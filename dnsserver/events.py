"""What a source tells the store: one vocabulary for the API server and for manifests; no I/O.

A list is told page by page between `ListStarted` and `ListEnded`. Nothing of it can be seen before it has ended, and
what the list did not name is gone then, all in one step.
"""

from dataclasses import dataclass

from dnsserver.objects import Key, Kind, Object


@dataclass(frozen=True, slots=True)
class ListStarted:
    """A list of one kind begins; pages of an earlier one that never ended are forgotten."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Some objects of the list under way.

    `kept` names those that are there but could not be understood: the last good state of each stays.
    """

    kind: Kind
    objects: tuple[Object, ...]
    kept: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class ListEnded:
    """The list is complete: it is now all there is of its kind."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Changed:
    """An object was added or modified."""

    kind: Kind
    value: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object is gone. With a `uid`, only that one: a successor of the same name stays."""

    kind: Kind
    key: Key
    uid: str = ""


@dataclass(frozen=True, slots=True)
class NotServed:
    """The source cannot give this kind (no such resource, or not allowed to read it): there are none, for now."""

    kind: Kind
    reason: str


Event = ListStarted | ListedPage | ListEnded | Changed | Deleted | NotServed
