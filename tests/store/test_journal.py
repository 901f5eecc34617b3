"""The versions of a zone that are kept, and what is known of their differences."""

import pytest

from dnsserver.names import from_text
from dnsserver.store import journal as module
from dnsserver.store.journal import Journal
from dnsserver.zone import EMPTY, MAX_CHANGED, Zone, ZoneEditor

ORIGIN = from_text("cluster.local")


class Author:
    """Makes versions of a zone and tells a journal."""

    def __init__(self) -> None:
        self.editor = ZoneEditor(ORIGIN, 5)
        self.journal = Journal()
        self.count = 0

    def change(self, serial: int, *names: str, now: float = 0.0) -> Zone:
        """Set these names, or else take them out again."""
        for text in names:
            name = from_text(text, ORIGIN)
            self.editor.set(name, None if self.editor.node(name) is not None else EMPTY)
        zone = self.editor.publish(serial)
        self.journal.note(zone, now)
        return zone

    def since(self, serial: int) -> tuple[int, set[str]] | None:
        """Return the serial that differences are from, and the first labels of the names."""
        newest = self.journal.newest
        found = self.journal.since(serial, newest) if newest is not None else None
        return None if found is None else (found[0].serial, {name[1 : 1 + name[0]].decode() for name in found[1]})


def test_before_the_first_sync() -> None:
    """A zone without a serial is no version."""
    author = Author()
    author.change(0, "a")
    assert (author.journal.newest, len(author.journal), author.since(0)) == (None, 0, None)
    author.change(5, "b")
    assert (len(author.journal), author.since(5), author.since(0)) == (1, None, None)


def test_condensed() -> None:
    """From each version to the newest: all names that have changed since, each once; of a serial the last content."""
    author = Author()
    author.change(1, "a")
    author.change(2, "b")
    last = author.change(2, "c")
    author.change(3, "b")
    author.change(4, "d", "b")
    assert author.since(1) == (1, {"b", "c", "d"})
    assert author.since(2) == (2, {"b", "d"})
    assert author.since(3) == (3, {"b", "d"})
    assert author.since(7) is None
    found = author.journal.since(2, author.journal.newest or pytest.fail("no version"))
    assert found is not None
    assert found[0] is last


def test_an_older_end() -> None:
    """Who has waited for a version gets the differences to that one, also when there is a newer one."""
    author = Author()
    author.change(1, "a")
    author.change(2, "b")
    waited = author.journal.newest
    assert waited is not None
    assert author.journal.settles(waited, 0.25) == 0.75
    author.change(3, "c", now=0.3)
    assert author.journal.settles(waited, 0.31) <= 0
    found = author.journal.since(1, waited)
    assert found is not None
    assert found[1] == {from_text("b", ORIGIN)}
    assert author.journal.since(3, waited) is None


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest versions go first: of more than a number, and of more changed names than a number."""
    monkeypatch.setattr(module, "MAX_VERSIONS", 4)
    monkeypatch.setattr(module, "MAX_CHANGED", 10)
    author = Author()
    for serial in range(1, 8):
        author.change(serial, "a")
    assert (len(author.journal), author.since(3), author.since(4)) == (4, None, (4, {"a"}))
    author.change(8, *(f"n{number}" for number in range(8)))
    assert [serial for serial in range(10) if author.since(serial) is not None] == [6, 7]
    author.change(9, *(f"m{number}" for number in range(9)))
    assert [serial for serial in range(10) if author.since(serial) is not None] == [8]
    author.change(10, *(f"m{number}" for number in range(12)))
    assert (len(author.journal), author.journal._names) == (1, 0)
    for serial in range(11, 40):
        author.change(serial, "a", f"x{serial}")
    assert len(author.journal) == 4
    assert author.journal._names == 3 * 2


def test_too_many_to_tell() -> None:
    """What changed too much to be told ends the history, also within one serial."""
    author = Author()
    author.change(1, "a")
    author.change(2, *(f"n{number}" for number in range(MAX_CHANGED)))
    assert (len(author.journal), author.since(1)) == (1, None)
    author.change(3, "b")
    assert author.since(2) == (2, {"b"})
    author.change(3, *(f"n{number}" for number in range(MAX_CHANGED)))
    assert (author.since(2), len(author.journal)) == (None, 1)
