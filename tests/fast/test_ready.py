"""What the compiled table does where memory or time is short, and that C and Python mean the same octets."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from dnsserver.fast.best import COMPILED, new_table
from dnsserver.fast.table import FastZone, Table, Way
from dnsserver.names import Name, from_text, to_text
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.build import ZONE
from tests.fast.support import responder
from tests.fast.test_table import fast_zones, plain, prepared

compiled = pytest.importorskip("dnsserver.fast.compiled", reason="nothing was compiled")
layout = pytest.importorskip("dnsserver.fast.layout")


def test_c_and_python_mean_the_same_octets() -> None:
    """Else the compiled table is not used at all, and nobody but this test would tell."""
    assert compiled.LAYOUT == layout.SIZES_IN_C
    assert COMPILED


class ShortOfMemory:
    """A core that has no memory for every so many-th name that is new to it."""

    def __init__(self, core: Any, every: int) -> None:
        self._core, self._every, self._said = core, every, 0
        self.short = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def say(self, name: bytes, exists: bool, node: bytes = b"") -> None:
        """Raise `MemoryError` at times."""
        self._said += 1
        if self.short and self._said % self._every == 0:
            raise MemoryError
        self._core.say(name, exists, node)


def zone_of(names: int, *, serial: int = 1) -> tuple[ZoneEditor, Zone, list[Name]]:
    """Return a zone with so many names, and their names."""
    editor = ZoneEditor(ZONE, 5)
    found = [from_text(f"n{number}.svc.cluster.local") for number in range(names)]
    for name in found:
        editor.set(name, Fixed())
    return editor, editor.publish(serial), found


def a_table() -> Any:
    """Return a table whose inside is looked at here."""
    table = new_table()
    assert not isinstance(table, Table)
    return table


def never_wrong(table: Any, fast: FastZone, names: list[Name]) -> int:
    """Ask for every name; return how many answers were ready."""
    ready = 0
    for name in names:
        wire = plain(to_text(name))
        response = table.respond(wire)
        assert response is None or response == responder((fast.zone,), wire), name
        ready += response is not None
    return ready


@pytest.mark.parametrize("every", [1, 7, 90])
def test_without_memory_while_names_are_noted(every: int) -> None:
    """No name that exists is missing, however often it fails; it goes on with the next version."""
    editor, zone, names = zone_of(200)
    (fast,) = fast_zones([zone])
    table = a_table()
    short = table.core = ShortOfMemory(table.core, every)
    table.serve([fast])
    for _ in range(20):
        table.prepare(10)
        never_wrong(table, fast, names)
        assert table.respond(plain("nowhere.cluster.local")) is None
    short.short = False
    editor.set(names[0], None)
    table.move(fast, editor.publish(2))
    prepared(table)
    assert never_wrong(table, fast, [*names, from_text("nowhere.cluster.local")]) == 201


@pytest.mark.parametrize("every", [1, 2, 3])
def test_without_memory_for_a_change(every: int) -> None:
    """Neither what was nor what is to be is said; then all is noted anew."""
    editor, zone, names = zone_of(20)
    (fast,) = fast_zones([zone])
    table = a_table()
    table.serve([fast])
    prepared(table)
    short = table.core = ShortOfMemory(table.core, every)
    new = [from_text(f"new{number}.svc.cluster.local") for number in range(5)]
    for name in new:
        editor.set(name, Fixed())
    editor.set(names[0], None)
    table.move(fast, editor.publish(2))
    never_wrong(table, fast, [*names, *new])
    assert table.respond(plain("nowhere.cluster.local")) is None
    short.short = False
    prepared(table)
    assert never_wrong(table, fast, [*names, *new, from_text("nowhere.cluster.local")]) == 26


def test_no_more_names_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another name makes room for the last one that was asked for; all of them stay known."""
    few = struct.pack("@Q", 10) + layout.settings()[8:]
    monkeypatch.setattr(layout, "settings", lambda: few)
    _, zone, names = zone_of(100)
    (fast,) = fast_zones([zone])
    table = a_table()
    table.serve([fast])
    prepared(table)
    for _ in range(2):
        assert never_wrong(table, fast, names) == 100
        assert len(table) == 10
    assert never_wrong(table, fast, [from_text("nowhere.cluster.local")]) == 1


def test_much_is_forgotten_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile nothing is ready, whatever changes; a limit is one of steps."""
    monkeypatch.setattr("dnsserver.fast.ready._AT_ONCE", 10)
    editor, zone, names = zone_of(300)
    (fast,) = fast_zones([zone])
    table = a_table()
    table.serve([fast])
    prepared(table)
    assert never_wrong(table, fast, names) == len(table) == 300
    editor.set(names[0], None)
    table.move(fast, replace(editor.publish(2), changed=None))
    assert never_wrong(table, fast, names) == 0
    editor.set(names[1], None)
    table.move(fast, editor.publish(3))
    steps = 0
    while not table.prepare(10):
        steps += 1
    assert steps > 300 / 10 + 300 / 10  # entries, of which there are more than names, then names
    assert never_wrong(table, fast, names) == 300


def test_counts_outlast_what_is_served() -> None:
    """A table that has had no zones for a time goes on counting where it was."""
    _, zone, names = zone_of(1)
    fasts = fast_zones([zone])
    table = a_table()
    for served, expected in ((fasts, 1), ([], 0), (fasts, 1)):
        table.serve(served)
        prepared(table)
        table.respond(plain(to_text(names[0])))
        assert sum(sum(tally.durations) for tally in table.tallies().values()) == expected


def test_readers_are_not_without_number() -> None:
    """Loops that run at the same time; those of the past leave theirs."""
    table = a_table()
    for _ in range(100):
        table.end_reader(table.new_reader(Way.UDP6))
    for _ in range(layout.MAX_READERS - len(Way) - 1):
        table.new_reader(Way.UDP4)
    with pytest.raises(RuntimeError, match="too many readers"):
        table.new_reader(Way.UDP4)
