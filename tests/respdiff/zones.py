"""What the dumped zones hold: what to ask for, and what an explanation may rely on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnsserver.names import ROOT, Name, ancestors, fold, from_text, is_at_or_below
from dnsserver.wire import Record
from dnsserver.wire.masterfile import parse_master_file

_BARE = re.compile(r"; (\S+) exists without records\n")  # as a dump says it
_SOA = re.compile(r"( IN SOA \S+ \S+) [0-9]+ ")


@dataclass(frozen=True, slots=True)
class World:
    """All zones together; none of them is below another."""

    names: Mapping[Name, frozenset[Name]]  # the names of each zone, by its origin, that have records
    records: Mapping[Name, Mapping[int, Sequence[Record]]]
    bare: frozenset[Name]  # names that exist without records, and that a master file cannot say

    @property
    def origins(self) -> tuple[Name, ...]:
        """The zones."""
        return tuple(self.names)

    def inner(self, origin: Name) -> set[Name]:
        """Return a zone's empty non-terminals: names without records, but with names below them (RFC 9499)."""
        below = (name for name in (*self.names[origin], *self.bare) if is_at_or_below(name, origin) and name != origin)
        return {above for name in below for above in ancestors(name, origin)} - self.records.keys()

    def is_bare(self, name: Name) -> bool:
        """Say whether a name exists only because of names that have no records."""
        return any(is_at_or_below(one, name) for one in self.bare)


def read_world(folder: Path) -> World:
    """Read the files of a dump."""
    records: dict[Name, dict[int, list[Record]]] = {}
    names: dict[Name, frozenset[Name]] = {}
    bare: set[Name] = set()
    for path in sorted(folder.glob("*.zone")):
        found = set()
        text = path.read_text()
        bare.update(map(from_text, _BARE.findall(text)))
        for entry in parse_master_file(text, ROOT, file=path.name, include=_no_include):
            owner = fold(entry.record.owner)
            found.add(owner)
            records.setdefault(owner, {}).setdefault(entry.record.rrtype, []).append(entry.record)
        names[from_text(path.stem)] = frozenset(found)
    return World(names, records, frozenset(bare))


def _no_include(path: str, including: str) -> tuple[str, str]:
    """Refuse: a dump is one file."""
    raise ValueError(f"{including} includes {path}")


def set_serial(path: Path, serial: int) -> None:
    """Give a zone file the serial of the server that it is compared with: when it was made is all that tells."""
    text, count = _SOA.subn(rf"\g<1> {serial} ", path.read_text(), count=1)
    if not count:
        raise ValueError(f"{path} has no SOA")
    path.write_text(text)
