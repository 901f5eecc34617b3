"""Searching zones: which names fit, in which order, and how much is looked at between two chances to give way."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.names import Name, from_labels, from_text, labels, to_text
from dnsserver.records import RRset, RRType
from dnsserver.search import KEEPING, POOL, STEP, Match, Search
from dnsserver.zone import EMPTY, Fixed, Zone, ZoneEditor

ORIGIN = from_text("cluster.local")
REVERSE = from_text("10.in-addr.arpa")


def zone(*names: str, origin: Name = ORIGIN) -> Zone:
    """Return a zone with records at these names, relative ones below its origin."""
    editor = ZoneEditor(origin, 5)
    for name in names:
        owner = from_text(name, origin)
        editor.set(owner, Fixed((RRset(owner, RRType.A, 5, (b"\x0a\0\0\1",)),)))
    return editor.publish(1)


NAMES = zone(
    "web-1.web.shop.svc", "web-2.web.shop.svc", "web-10.web.shop.svc", "web.shop.svc", "db.shop.svc", "a.db.shop.svc"
)
BACKWARDS = zone("7.0.244", "8.0.244", origin=REVERSE)

WEB = ["web-1.web.shop.svc", "web-2.web.shop.svc", "web-10.web.shop.svc"]
CASES = [  # text, the names found in their order, relative to their zone
    ("web-1.web.shop.svc.cluster.local.", ["web-1.web.shop.svc"]),  # the very name
    ("WEB-1.web.shop.svc.cluster.LOCAL", ["web-1.web.shop.svc"]),  # without regard to case, without the final dot
    ("web", [*WEB, "web.shop.svc"]),
    ("eb-1", ["web-1.web.shop.svc", "web-10.web.shop.svc"]),
    ("b", ["db.shop.svc", *WEB, "web.shop.svc", "a.db.shop.svc"]),
    ("db.shop", ["db.shop.svc", "a.db.shop.svc"]),  # what begins with it before what is below that
    ("b.sh", ["db.shop.svc", "web.shop.svc", "a.db.shop.svc", *WEB]),
    (".db.shop", ["a.db.shop.svc"]),  # with a dot in front only what is below
    ("web.", ["web.shop.svc", *WEB]),  # a whole label
    ("web-2.", ["web-2.web.shop.svc"]),
    ("244.10.in-addr", ["7.0.244", "8.0.244"]),
    ("7.0.244.10", ["7.0.244"]),
    ("", []),
    (".", []),
    ("..", []),
    ("nothing", []),
    ("db.shop.nowhere", []),
    ("\\", []),  # escapes nothing
    ("\ud800", []),  # no Unicode text
    ("x" * 5000, []),
]  # fmt: skip  # a row each


def found(zones: tuple[Zone, ...], text: str, limit: int = 50) -> list[str]:
    """Return the names that a search ends with."""
    search = Search(zones, text, limit)
    for _ in search.steps():
        pass
    return [to_text(Name(one.name[: len(one.name) - len(one.zone.origin)] + b"\0"))[:-1] for one in search.names]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text[:20] or "empty" for text, _ in CASES])
def test_finds(text: str, expected: list[str]) -> None:
    """Each text finds these names, those that fit as well in natural order."""
    assert found((NAMES, BACKWARDS), text) == expected


def test_origin() -> None:
    """A zone's own name is found; one that only has others below it where it is the very text alone."""
    assert [to_text(one.name) for one in ended(Search((NAMES,), "cluster", 1)).names] == ["cluster.local."]
    assert found((NAMES,), "shop.svc.cluster.local")[0] == "shop.svc"
    assert "shop.svc" not in found((NAMES,), "shop.svc.cluster")


def test_empty_namespace() -> None:
    """A name that exists by itself, without records, is found."""
    editor = ZoneEditor(ORIGIN, 5)
    editor.set(from_text("quiet.svc", ORIGIN), EMPTY)
    assert found((editor.publish(1),), "quiet") == ["quiet.svc"]


def test_root_zone() -> None:
    """The root has no label to look at, and no search fails for it."""
    assert found((zone("host.example", origin=Name(b"\0")),), "host") == ["host.example"]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (b"<script>", "<script>"),
        (b"a.b", "a\\.b"),
        (b'"', '"'),
        (b"\x00\x1b", "\\000\\027"),
        ("ü".encode(), "ü"),
        (b"\\", "\\\\"),
    ],
)  # fmt: skip
def test_any_octet(label: bytes, text: str) -> None:
    """Labels of any octets are found by their presentation format, and a dot within one is no dot between two."""
    name = from_labels((label, b"svc"), ORIGIN)
    editor = ZoneEditor(ORIGIN, 5)
    editor.set(name, EMPTY)
    zones = (editor.publish(1),)
    assert [one.name for one in ended(Search(zones, text, 9)).names] == [name]
    assert [one.name for one in ended(Search(zones, to_text(name), 9)).names] == [name]
    assert ended(Search(zones, "a.b", 9)).names == []


def ended(search: Search) -> Search:
    """Return a search when it is done."""
    for _ in search.steps():
        pass
    return search


def crowd(number: int, label: str = "vm") -> Zone:
    """Return a zone with many names in two Services."""
    return zone(*(f"{label}-{index}.s{index % 2}.ns.svc" for index in range(number)))


def test_gives_way() -> None:
    """Never are more than `STEP` names looked at between two steps, whatever fits, and fewer where many are kept."""
    many = crowd(5 * STEP + 7)
    for text in ("nothing", "m-77", "s1", "cluster", "-9.s1"):
        search = Search((many,), text, 20)
        before = kept = 0
        for _ in search.steps():
            assert search.examined - before <= STEP
            now = sum(map(len, search._kept.values()))
            assert (now - kept - 1) * KEEPING <= STEP
            before, kept = search.examined, now
        assert search.examined - before <= STEP
        if text != "-9.s1":  # of which only one Service is looked through
            assert search.examined >= 5 * STEP


def test_first_win() -> None:
    """Once there are enough names that begin with the text no more are looked at; that there are more is told."""
    search = ended(Search((crowd(5 * POOL), BACKWARDS), "vm", 20))
    assert len(search.names) == 20
    assert search.more
    assert search.examined < POOL + STEP
    assert {one.match for one in search.names} == {Match.PREFIX}


def test_exactly_enough() -> None:
    """As many as were asked for and no more: nothing is said of others."""
    search = ended(Search((crowd(20),), "vm", 20))
    assert len(search.names) == 20
    assert not search.more


def test_natural_order() -> None:
    """Among hundreds that fit equally well the first in natural order are returned, not the first that were found."""
    names = [to_text(one.name).split(".")[0] for one in ended(Search((crowd(POOL - 1),), "vm", 4)).names]
    assert names == ["vm-0", "vm-1", "vm-2", "vm-3"]


def test_best_first() -> None:
    """A name that begins with the text is found behind any number of names that only contain it."""
    many = zone(*(f"x-vm-{index}.s.ns.svc" for index in range(3 * POOL)), "vm.s.ns.svc")
    search = ended(Search((many,), "vm", 5))
    assert to_text(search.names[0].name) == "vm.s.ns.svc.cluster.local."
    assert search.more


def test_exact_wins() -> None:
    """The name that the text is comes first although others that begin with it are found first."""
    many = zone(*(f"vm.{index}" for index in range(2 * POOL)), "vm", origin=Name(b"\0"))
    assert ended(Search((many,), "vm", 3)).names[0].name == from_text("vm")


def test_keeps_its_zone() -> None:
    """A zone that is published meanwhile changes nothing for a search under way."""
    editor = ZoneEditor(ORIGIN, 5)
    for index in range(3 * STEP):
        editor.set(from_text(f"vm-{index}", ORIGIN), EMPTY)
    search = Search((editor.publish(1),), "-7", 10**6)
    steps = search.steps()
    next(steps)
    for index in range(3 * STEP):
        editor.set(from_text(f"vm-{index}", ORIGIN), None)
    editor.publish(2)
    for _ in steps:
        pass
    assert len(search.names) == sum(str(index).startswith("7") for index in range(3 * STEP))


LABELS = st.lists(st.sampled_from([b"a", b"b", b"ab", b"ba", b"aab"]), min_size=1, max_size=4)


@given(st.lists(LABELS, max_size=12), st.text("ab.", min_size=1, max_size=6))
def test_as_text(names: list[list[bytes]], text: str) -> None:
    """A name of plain labels is found exactly where its text has the text that is looked for."""
    editor = ZoneEditor(ORIGIN, 5)
    wanted = {from_labels(one, ORIGIN) for one in names}
    for name in wanted:
        editor.set(name, EMPTY)
    expected = {name for name in wanted if text in to_text(name)} if text.strip(".") else set()
    got = {one.name for one in ended(Search((editor.publish(1),), text, 100)).names} - {ORIGIN}
    assert got == expected


def test_zone_is_told() -> None:
    """What is found says which zone it is in, also where two zones have the same name."""
    other = replace(NAMES, serial=2)
    assert [one.zone.serial for one in ended(Search((NAMES, other), "web.shop", 9)).names][:2] == [1, 2]
    assert labels(ORIGIN)
