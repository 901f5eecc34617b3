"""The zone: what exists and why, serials, and that an old version never changes."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from dnsserver.names import ROOT, Name, ancestors, from_text, to_text
from dnsserver.records import RRset, RRType
from dnsserver.zone import EMPTY, Fixed, Zone, ZoneEditor, find_origin, soa_rrset

ORIGIN = from_text("cluster.local")


def name(text: str) -> Name:
    """Return a name below the origin."""
    return from_text(text, ORIGIN)


def records(owner: Name, *last_octets: int) -> Fixed:
    """Return A records."""
    return Fixed((RRset(owner, RRType.A, 5, tuple(bytes([10, 0, 0, octet]) for octet in last_octets)),))


def exists(zone: Zone, *texts: str) -> list[bool]:
    """Say which names exist."""
    return [zone.rrsets(name(text)) is not None for text in texts]


def test_new_zone() -> None:
    """A new zone has its SOA, serial 0, and nothing else."""
    zone = ZoneEditor(ORIGIN, 5).publish(0)
    assert (zone.serial, zone.rrsets(ORIGIN)) == (0, (zone.soa,))
    assert list(zone.all_rrsets()) == [zone.soa]
    assert exists(zone, "a", "svc") == [False, False]


def test_soa() -> None:
    """The SOA's fields are CoreDNS's; its own TTL is the zone's, at most 300 s."""
    numbers = bytes.fromhex("0000002a 00001c20 00000708 00015180")
    names = name("ns.dns") + name("hostmaster")
    assert soa_rrset(ORIGIN, 42, 5) == RRset(ORIGIN, RRType.SOA, 5, (names + numbers + bytes.fromhex("00000005"),))
    assert soa_rrset(ORIGIN, 42, 3600) == RRset(ORIGIN, RRType.SOA, 300, (names + numbers + bytes.fromhex("00000e10"),))


def test_empty_non_terminals() -> None:
    """A name above records exists for exactly as long as something is below it (RFC 8020)."""
    editor = ZoneEditor(ORIGIN, 5)
    steps: list[tuple[str, Fixed | None, list[bool]]] = [
        ("a.b.c", records(name("a.b.c"), 1), [True, True, True]),
        ("b.c", records(name("b.c"), 2), [True, True, True]),
        ("a.b.c", None, [False, True, True]),
        ("b.c", None, [False, False, False]),
        ("b.c", EMPTY, [False, True, True]),
        ("a.b.c", EMPTY, [True, True, True]),
        ("b.c", None, [True, True, True]),
        ("a.b.c", None, [False, False, False]),
    ]
    for serial, (text, value, wanted) in enumerate(steps, 1):
        editor.set(name(text), value)
        assert exists(editor.publish(serial), "a.b.c", "b.c", "c") == wanted


def test_lookup() -> None:
    """Records, NODATA and absence can be told apart, at the apex too."""
    editor = ZoneEditor(ORIGIN, 5)
    apex = RRset(ORIGIN, RRType.NS, 5, (name("ns.dns"),))
    editor.set(ORIGIN, Fixed((apex,)))
    editor.set(name("a"), records(name("a"), 1))
    zone = editor.publish(7)
    assert editor.origin == ORIGIN
    assert zone.rrsets(ORIGIN) == (zone.soa, apex)
    assert zone.rrset(ORIGIN, RRType.NS) == apex
    assert zone.rrset(name("a"), RRType.A) == records(name("a"), 1).sets[0]
    assert zone.rrset(name("a"), RRType.AAAA) is None
    assert zone.rrset(name("b"), RRType.A) is None
    assert list(zone.all_rrsets()) == [zone.soa, apex, records(name("a"), 1).sets[0]]


SERIALS = [
    ("given", [100, 200], [100, 200]),
    ("the same again", [100, 100, 100], [100, 100, 100]),
    ("0 is before the first sync", [0, 0, 100], [0, 0, 100]),
]


@pytest.mark.parametrize(("asked", "given_out"), [row[1:] for row in SERIALS], ids=[row[0] for row in SERIALS])
def test_serial(asked: list[int], given_out: list[int]) -> None:
    """A version has the serial that it is given (`store.serials` says which)."""
    editor, found = ZoneEditor(ORIGIN, 5), []
    for count, serial in enumerate(asked):
        editor.set(name(f"n{count}"), EMPTY)
        found.append(editor.publish(serial).serial)
    assert found == given_out


def test_no_change_no_version() -> None:
    """Where nothing has been set, publishing returns the same zone; taking out what is not there sets nothing."""
    editor = ZoneEditor(ORIGIN, 5)
    editor.set(name("a.b"), EMPTY)
    zone = editor.publish(100)
    assert editor.publish(200) is zone
    editor.set(name("x"), None)
    editor.set(name("b"), None)  # exists, by what is below it
    assert editor.publish(300) is zone


def test_empty_zone_is_loaded() -> None:
    """A zone that nothing is ever set in gets its serial with the first sync, once."""
    editor = ZoneEditor(ORIGIN, 5)
    assert editor.publish(0).serial == 0
    zone = editor.publish(100)
    assert (zone.serial, zone.soa.rdatas) == (100, soa_rrset(ORIGIN, 100, 5).rdatas)
    assert editor.publish(200) is zone


def test_shared_children() -> None:
    """Names that are given as a whole live beside those that are set, keep the names above alive, and are counted."""
    editor = ZoneEditor(ORIGIN, 5)
    host = records(name("vm1.db.ns1"), 1)
    editor.share(name("db.ns1"), Map({b"vm1": host}))
    first = editor.publish(1)
    assert exists(first, "vm1.db.ns1", "db.ns1", "ns1", "vm2.db.ns1") == [True, True, True, False]
    assert first.node(name("vm1.db.ns1")) is host
    assert (dict(first.nodes), dict(first.below)) == (
        {name("vm1.db.ns1"): host},
        {ORIGIN: 1, name("ns1"): 1, name("db.ns1"): 1},
    )
    editor.set(name("_tcp.db.ns1"), EMPTY)
    editor.share(name("db.ns1"), Map())
    second = editor.publish(2)
    assert exists(second, "vm1.db.ns1", "_tcp.db.ns1", "db.ns1") == [False, True, True]
    assert (len(second.nodes), len(first.nodes)) == (1, 1)
    editor.set(name("_tcp.db.ns1"), None)
    assert exists(editor.publish(3), "db.ns1", "ns1") == [False, False]
    assert exists(first, "vm1.db.ns1") == [True]  # and what was published stays


def test_sharing_the_same_is_no_change() -> None:
    """A Service that is looked at again without a change publishes nothing."""
    editor = ZoneEditor(ORIGIN, 5)
    hosts = Map({b"vm1": EMPTY})
    editor.share(name("db"), hosts)
    zone = editor.publish(1)
    editor.share(name("db"), hosts)
    assert editor.publish(2) is zone


def test_names_below() -> None:
    """The labels right below a name, whichever way they came to be."""
    editor = ZoneEditor(ORIGIN, 5)
    editor.set(name("a.b.c"), EMPTY)
    assert [list(editor.publish(1).labels_below(one)) for one in (ORIGIN, name("b.c"), name("a.b.c"))] == [
        [b"c"],
        [b"a"],
        [],
    ]


ORIGINS = (from_text("local"), ORIGIN, from_text("in-addr.arpa"))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("a.cluster.local", ORIGIN),
        ("cluster.local", ORIGIN),
        ("mycluster.local", from_text("local")),
        ("1.in-addr.arpa", from_text("in-addr.arpa")),
        ("example.org", None),
        (r"x\.cluster.local", from_text("local")),
    ],
)
def test_find_origin(text: str, origin: Name | None) -> None:
    """The longest origin wins; there may be none."""
    assert find_origin(ORIGINS, from_text(text)) == origin


def test_root_zone() -> None:
    """The root can be an origin."""
    editor = ZoneEditor(ROOT, 5)
    editor.set(from_text("a.b"), EMPTY)
    zone = editor.publish(1)
    assert zone.rrsets(from_text("b")) == ()
    assert zone.rrsets(from_text("c")) is None
    assert find_origin((ROOT,), from_text("a.b")) == ROOT


NAMES = st.lists(st.sampled_from("ab"), max_size=4).map(lambda parts: name(".".join(parts)))
EDITS = st.lists(st.tuples(NAMES, st.none() | st.integers(1, 9), st.booleans()), max_size=25)


@settings(max_examples=100)
@given(EDITS)
def test_against_model(edits: list[tuple[Name, int | None, bool]]) -> None:
    """Any sequence of edits agrees with a set of names and their ancestors, and no published version ever changes."""
    editor = ZoneEditor(ORIGIN, 5)
    model: dict[Name, int] = {}
    versions: list[tuple[Zone, dict[Name, int]]] = []
    for owner, octet, publish in edits:
        editor.set(owner, None if octet is None else records(owner, octet))
        if octet is None:
            model.pop(owner, None)
        else:
            model[owner] = octet
        if publish:
            versions.append((editor.publish(len(versions) + 1), dict(model)))
    versions.append((editor.publish(len(versions) + 1), dict(model)))
    for zone, wanted in versions:
        alive = {ORIGIN, *wanted, *(above for owner in wanted for above in ancestors(owner, ORIGIN))}
        every = {owner for known, _, _ in edits for owner in (known, *ancestors(known, ORIGIN))}
        assert {owner for owner in every | {ORIGIN} if zone.rrsets(owner) is not None} == alive, to_text(ORIGIN)
        assert {(one.owner, one.rdatas[0][3]) for one in zone.all_rrsets() if one.rrtype == RRType.A} == set(
            wanted.items()
        )
    assert all(one.serial <= other.serial for (one, _), (other, _) in pairwise(versions))
