"""What manifest files say, taken together, and how it differs from before; no I/O.

A value that did not change stays the same Python object from one reading to the next, so that comparing two views of
100,000 objects is comparing 100,000 pointers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dnsserver.events import Changed, Deleted
from dnsserver.objects import Key, Kind
from dnsserver.sources.documents import Found, Item, Refused
from dnsserver.sources.files import Content, Signature
from dnsserver.sources.places import Places

_MAX_NOTES = 20  # lines that one file may log at a time


Objects = dict[Kind, Places]

_NO_PLACES = Places()  # of a kind that a file has none of; never added to


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file says, with the last good state of whatever it says wrongly now."""

    signature: Signature | None = None  # None: it could not be opened
    young: bool = False  # the signature cannot be trusted to tell the next write
    digest: bytes = b""  # of the bytes read; empty where there were none to read
    problem: str = ""  # why nothing of it counts now and all of it is as before; "path:line: reason"
    objects: Objects = field(default_factory=dict)
    kept: frozenset[tuple[Kind, Key]] = frozenset()  # refused, and no good state is known
    refused: Counter[Kind] = field(default_factory=Counter)
    ignored: int = 0
    notes: tuple[str, ...] = ()  # what is wrong with single objects

    def broken(self, problem: str, content: Content | None = None) -> "Contents":
        """Return what stays of these contents where the file can no longer be understood."""
        return Contents(
            signature=content.signature if content else None,
            young=content is not None and content.young,
            digest=content.digest if content else b"",
            problem=problem,
            objects=self.objects,
            kept=self.kept,
        )

    def says_the_same(self, other: "Contents") -> bool:
        """Say whether two readings found the same, whenever they happened."""
        return (self.digest, self.problem) == (other.digest, other.problem)

    def takes_away(self, held: "Contents") -> bool:
        """Say whether believing this rather than `held` loses anything: that could be a file half written."""
        return bool(self.problem) or not all(
            places.within(self.objects.get(kind, _NO_PLACES)) for kind, places in held.objects.items()
        )

    @property
    def gone(self) -> bool:
        """Whether there is no such file."""
        return self.signature is None and not self.problem

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(map(len, self.objects.values()))


NOTHING = Contents()  # a file that is not there


def title(kind: Kind, key: Key) -> str:
    """Return how messages call an object."""
    return f"{kind.value} {'/'.join(part for part in key if part) or '(unnamed)'}"


class Draft:
    """The contents of one file in the making."""

    def __init__(self, path: str, held: Contents) -> None:
        self._path = path
        self._held = held.objects
        self._objects: Objects = {}
        self._refused: list[Refused] = []
        self._ignored = 0
        self._notes: list[str] = []

    def add(self, items: Iterable[Item]) -> bool:
        """Take some items; say whether there were any."""
        item = None
        for item in items:
            match item:
                case Found():
                    self._place(item)
                case Refused():
                    self._refused.append(item)
                case _:  # of a kind that decides no answer
                    self._ignored += 1
        return item is not None

    def finish(self, content: Content) -> Contents:
        """Return what the file says."""
        kept = frozenset((item.kind, item.key) for item in self._refused if not self._restore(item))
        refused = [f"{self._path}:{item.line}: {title(item.kind, item.key)}: {item.reason}" for item in self._refused]
        notes = [*refused, *self._notes]
        if len(notes) > _MAX_NOTES:
            notes[_MAX_NOTES:] = [f"{self._path}: {len(notes) - _MAX_NOTES} more objects like these"]
        for places in self._objects.values():
            places.settle()
        return Contents(
            content.signature,
            content.young,
            content.digest,
            objects=self._objects,
            kept=kept,
            refused=Counter(item.kind for item in self._refused),
            ignored=self._ignored,
            notes=tuple(notes),
        )

    def _place(self, item: Found) -> None:
        """Enter one object; of two with one name the later counts."""
        key = item.value.key
        held = self._held.get(item.kind, _NO_PLACES).get(key)
        value = held if held is not None and held == item.value else item.value
        places = self._objects.setdefault(item.kind, Places())
        if key in places:
            self._notes.append(
                f"{self._path}:{item.line}: {title(item.kind, key)} replaces the one at {self._path}:{places.line(key)}"
            )
        places.put(key, value, item.line)

    def _restore(self, item: Refused) -> bool:
        """Bring back the last good state of a refused object; say whether there is one."""
        places = self._objects.setdefault(item.kind, Places())
        held = self._held.get(item.kind, _NO_PLACES).get(item.key)
        if item.key not in places and held is not None:
            places.put(item.key, held, item.line)
        return item.key in places


@dataclass(frozen=True, slots=True)
class Clash:
    """One object in two files; the later one counts."""

    kind: Kind
    key: Key
    earlier: str
    later: str
    lines: tuple[int, int] = field(compare=False)  # where it stands may move without making it news

    def __str__(self) -> str:
        first, second = self.lines
        return f"{self.later}:{second}: {title(self.kind, self.key)} replaces the one at {self.earlier}:{first}"


@dataclass(frozen=True, slots=True)
class Whole:
    """What all files say together."""

    objects: Objects
    kept: dict[Kind, tuple[Key, ...]]
    clashes: frozenset[Clash]


def unite(files: Mapping[str, Contents]) -> Whole:
    """Return what files say together, in their order: the later wins."""
    objects: Objects = {kind: Places() for kind in Kind}
    owners: dict[tuple[Kind, Key], str] = {}  # of the objects that stand in more than one file
    clashes = []
    for kind in Kind:
        found = [(path, contents.objects[kind]) for path, contents in files.items() if kind in contents.objects]
        if len(found) == 1:
            objects[kind] = found[0][1]  # what one file alone says is not copied
            continue
        for path, places in found:
            for key in objects[kind].common(places):
                earlier = owners.get((kind, key)) or next(
                    one for one in files if key in files[one].objects.get(kind, ())
                )
                lines = (objects[kind].line(key), places.line(key))
                clashes.append(Clash(kind, key, earlier, path, lines))
                owners[kind, key] = path
            places.settle()
            objects[kind].update(places)
        objects[kind].settle()
    kept = {
        kind: tuple(
            {key for contents in files.values() for one, key in contents.kept if one is kind and key not in places}
        )
        for kind, places in objects.items()
    }
    return Whole(objects, kept, frozenset(clashes))


def differences(old: Objects, new: Objects) -> list[Changed | Deleted]:
    """Return the events that lead from one view to another; nothing for what means the same."""
    return [event for kind in Kind for event in _differences_of(kind, old[kind], new[kind])]


def _differences_of(kind: Kind, old: Places, new: Places) -> Iterator[Changed | Deleted]:
    """Yield the events of one kind."""
    for key, value in new.items():
        before = old.get(key)
        if before is None or (before is not value and before != value):
            yield Changed(kind, value)
    for key in old:
        if key not in new:
            yield Deleted(kind, key)
