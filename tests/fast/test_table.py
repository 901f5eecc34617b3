"""Answers at hand are the responder's own, octet for octet; everything that is not plain is left to it."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

import pytest

from dnsserver.fast.rendering import denial, render
from dnsserver.fast.table import Answers, Cell, FastZone, Table, Way
from dnsserver.message import Transport
from dnsserver.names import Name, from_text, to_text
from dnsserver.records import RRset
from dnsserver.wire import parse_response
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.build import ZONE, store_of
from tests.fast import support
from tests.fast.support import FLAGS, OPTS, queries, responder
from tests.fuzz import mutate_packet

try:
    from dnsserver.fast.ready import ReadyTable
except ImportError:  # no compiler was there
    TABLES: list[type] = [Table]
else:
    TABLES = [Table, ReadyTable]

Make = Callable[..., Answers]


def fast_zones(zones: Iterable[Zone], *, rotates: bool = False, missing: bool = True) -> list[FastZone]:
    """Return zones as tables have them; pods have names by their addresses."""
    ordered = sorted(zones, key=lambda zone: len(zone.origin), reverse=True)
    return [
        FastZone(index, zone, rotates=rotates, missing=missing, made=[Name(b"\3pod" + zone.origin)])
        for index, zone in enumerate(ordered)
    ]


def prepared(table: Answers) -> Answers:
    """Return a table that has nothing left to prepare."""
    while not table.prepare(100):
        pass
    return table


@pytest.fixture(params=TABLES)
def table_of(request: pytest.FixtureRequest) -> Make:
    """Return what makes a table of zones: in Python, and in C where that was built."""

    def make(zones: Iterable[Zone], **options: bool) -> Answers:
        table: Answers = request.param(fast_zones(zones, **options))
        return prepared(table)

    return make


def before_names(zone: Zone) -> frozenset[Name]:
    """Return every name of a zone."""
    return frozenset(zone.names())


def plain(name: str, qtype: int = 1, *, flags: int = 0x0100, opt: bytes = b"") -> bytes:
    """Return a query."""
    head = struct.pack("!6H", 0x1234, flags, 1, 0, 0, bool(opt))
    return head + from_text(name) + struct.pack("!HH", qtype, 1) + opt


def test_agreement(table_of: Make) -> None:
    """A table that knows more and more never says anything that the responder would not."""
    zones = support.store().zones
    table = table_of(zones)
    ready = 0
    for wire in queries(20_000, seed=1):
        response = table.respond(wire)
        if response is not None:
            ready += 1
            assert response == responder(zones, wire), wire.hex()
    assert ready > 8_000


def test_agreement_over_tcp(table_of: Make) -> None:
    """Without the limits of datagrams."""
    zones = support.store().zones
    table = table_of(zones)
    for wire in queries(5_000, seed=2):
        response = table.respond(wire, Way.TCP4)
        assert response is None or response == responder(zones, wire, Transport.TCP), wire.hex()


def test_agreement_on_mutated_packets(table_of: Make) -> None:
    """Whatever is wrong with a packet."""
    zones = support.store().zones
    table = table_of(zones)
    chance = Random(3)
    seeds = list(queries(300, seed=4))
    for _ in range(20_000):
        wire = mutate_packet.mutate(chance.choice(seeds), chance, seeds)
        response = table.respond(wire)
        assert response is None or response == responder(zones, wire), wire.hex()


@pytest.mark.parametrize("opt", ["none", "plain"])
def test_cut_off(table_of: Make, opt: str) -> None:
    """A query that ends too soon has no answer here."""
    table = table_of(support.store().zones)
    wire = plain("vm1.db.ns1.svc.cluster.local", opt=OPTS[opt])
    assert [table.respond(wire[:length]) for length in range(len(wire))] == [None] * len(wire)


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("vm1.db.ns1.svc.cluster.local", 1),
        ("VM1.db.ns1.svc.cluster.local", 28),
        ("db.ns1.svc.cluster.local", 1),
        ("api.ns1.svc.cluster.local", 28),
        ("ns1.svc.cluster.local", 1),
        ("www.example.com.db.ns1.svc.cluster.local", 1),
        ("Nowhere.Cluster.LOCAL", 15),
        ("cluster.local", 28),
        ("10.0.96.10.in-addr.arpa", 12),
        ("8.0.244.10.in-addr.arpa", 12),
    ],
)
@pytest.mark.parametrize("opt", ["none", "plain", "do", "zero"])
@pytest.mark.parametrize("flags", FLAGS[:6])
def test_ready(table_of: Make, name: str, qtype: int, opt: str, flags: int) -> None:
    """What clusters ask for all day, for the first time and again."""
    zones = support.store().zones
    table = table_of(zones)
    wire = plain(name, qtype, flags=flags, opt=OPTS[opt])
    first = table.respond(wire)
    assert first == table.respond(wire) == responder(zones, wire)
    assert first is not None


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("example.org", 1),
        ("cluster.local", 6),  # another with each change
        ("_sql._tcp.db.ns1.svc.cluster.local", 33),  # with addresses
        ("out.ns1.svc.cluster.local", 1),  # an alias
        ("near.ns1.svc.cluster.local", 28),
        ("1-2-3-4.ns1.pod.cluster.local", 1),  # made on demand
        ("sql.tcp.db.ns1.svc.cluster.local", 33),
        ("big.ns1.svc.cluster.local", 1),  # too long
        ("vm1.db.ns1.svc.cluster.local", 255),
        ("vm1.db.ns1.svc.cluster.local", 252),
        ("vm1.db.ns1.svc.cluster.local", 43),
    ],
)
def test_the_responders(table_of: Make, name: str, qtype: int) -> None:
    """What is not rendered, asked for twice."""
    table = table_of(support.store().zones)
    assert [table.respond(plain(name, qtype)) for _ in range(2)] == [None, None]


def test_missing_names_of_another_plugin(table_of: Make) -> None:
    """Where NXDOMAIN falls through, what exists is answered and nothing else."""
    table = table_of(support.store().zones, missing=False)
    assert table.respond(plain("vm1.db.ns1.svc.cluster.local")) is not None
    assert table.respond(plain("vm1.db.ns1.svc.cluster.local", 16)) is not None
    assert table.respond(plain("nowhere.cluster.local")) is None


def test_names_of_other_server_blocks(table_of: Make) -> None:
    """A zone below is not this one's to answer for, nor is its name."""
    table = table_of(())
    (zone, *_) = support.store().zones
    table.serve([FastZone(0, zone, rotates=False, missing=True, outside=[from_text("ns1.svc.cluster.local")])])
    prepared(table)
    assert table.respond(plain("vm1.db.ns1.svc.cluster.local")) is None
    assert table.respond(plain("ns1.svc.cluster.local")) is None
    assert table.respond(plain("svc.cluster.local")) is not None


def test_rotation(table_of: Make) -> None:
    """Every record comes first in its turn; nothing else changes."""
    zones = support.store().zones
    table = table_of(zones, rotates=True)
    wire = plain("web.ns1.svc.cluster.local", opt=OPTS["plain"])
    answers = [parse_response(table.respond(wire) or b"").answer for _ in range(40)]
    assert len({found[0] for found in answers}) == 20
    assert {frozenset(found) for found in answers} == {frozenset(answers[0])}
    assert all(len(found) == 20 for found in answers)


def test_changes(table_of: Make) -> None:
    """What has changed is rendered anew, and a denial has the serial of its zone."""
    store = store_of(support.objects())
    before = store.zones
    fasts = fast_zones(before)
    table = table_of(())
    table.serve(fasts)
    prepared(table)
    (fast,) = (one for one in fasts if one.zone.origin == ZONE)
    asked = [
        plain(name) for name in ("vm1.db.ns1.svc.cluster.local", "nowhere.cluster.local", "db.ns1.svc.cluster.local")
    ]
    for wire in asked:
        assert table.respond(wire) == responder(before, wire)
    editor = ZoneEditor(ZONE, 5)
    editor.set(from_text("vm1.db.ns1.svc.cluster.local"), Fixed())
    after = editor.publish(99)
    assert after.changed is not None
    table.move(fast, replace(after, changed=after.changed | before_names(before[0])))
    for wire in asked:
        assert table.respond(wire) == responder((after, *before[1:]), wire)
    table.move(fast, replace(before[0], changed=None))  # all of it
    prepared(table)
    for wire in asked:
        assert table.respond(wire) == responder(before, wire)


def test_a_name_of_two_zones(table_of: Make) -> None:
    """What one of them has no more may still be the other's."""
    name = from_text("x.sub.cluster.local")
    above, below = ZoneEditor(ZONE, 5), ZoneEditor(from_text("sub.cluster.local"), 5)
    for editor in (above, below):
        editor.set(name, Fixed())
    fasts = fast_zones([above.publish(1), below.publish(1)])
    table = table_of(())
    table.serve(fasts)
    prepared(table)
    above.set(name, None)
    after = above.publish(2)
    table.move(fasts[1], after)
    wire = plain("x.sub.cluster.local")
    assert table.respond(wire) == responder((fasts[0].zone, after), wire)


def test_more_zones_than_the_compiled_table_takes(table_of: Make) -> None:
    """The most specific ones are ready, the others may be the responder's; all of them change as they like."""
    editors = [ZoneEditor(from_text("sub." * (40 - number) + "test"), 5) for number in range(40)]
    fasts = fast_zones(editor.publish(1) for editor in editors)
    table = table_of(())
    table.serve(fasts)
    prepared(table)
    for fast, editor in zip(fasts, editors, strict=True):
        editor.set(Name(b"\1x" + fast.zone.origin), Fixed())
        table.move(fast, editor.publish(2))
    zones = tuple(fast.zone for fast in fasts)
    ready = 0
    for number, zone in enumerate(zones):
        for label in ("x", "y"):
            wire = plain(f"{label}." + to_text(zone.origin))
            response = table.respond(wire)
            assert response == responder(zones, wire) or (response is None and number >= 32)
            ready += response is not None
    assert ready >= 64


def test_a_denial_is_kept_for_names_that_exist_alone(table_of: Make) -> None:
    """Random names take no memory."""
    table = table_of(support.store().zones)
    for number in range(1000):
        assert table.respond(plain(f"x{number}.db.ns1.svc.cluster.local")) is not None
        assert table.respond(plain(f"1-2-{number >> 8}-{number & 255}.ns1.pod.cluster.local")) is None
    assert len(table) == 0


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("x.cluster.local", "a.hostmaster.cluster.local"),  # shortened against RNAME
        ("x.cluster.local", "hostmaster.cluster.local"),
        ("x.cluster.local", "a.dns.cluster.local"),
        ("x.ns1.pod.cluster.local", "1-2-3-4.ns1.pod.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "vm1.db.ns1.svc.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "x.vm1.db.ns1.svc.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "_zone.db.ns1.svc.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "pin._zone.db.ns1.svc.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "tcp.db.ns1.svc.cluster.local"),
        ("x.db.ns1.svc.cluster.local", "sql.tcp.db.ns1.svc.cluster.local"),
        ("x._tcp.db.ns1.svc.cluster.local", "sql._tcp.db.ns1.svc.cluster.local"),
        ("x.svc.cluster.local", "x.y.ns1.svc.cluster.local"),
        ("x.svc.cluster.local", ".".join("a" * 112) + ".ns.svc.cluster.local"),  # 255 octets
        ("x.ns1.svc.cluster.local", "x.ns1.svc.cluster.local"),
        ("x.in-addr.arpa", "10.in-addr.arpa"),
        ("99.244.10.in-addr.arpa", "8.0.244.10.in-addr.arpa"),
    ],
)
def test_next_to_a_name_that_is_not_there(table_of: Make, first: str, then: str) -> None:
    """That a name is not there says nothing about those that are, or may be."""
    zones = support.store().zones
    table = table_of(zones)
    for name in (first, then, then, first):
        for qtype in (1, 28, 65, 12):
            wire = plain(name, qtype)
            response = table.respond(wire)
            assert response is None or response == responder(zones, wire), (name, qtype)


def test_names_that_are_too_long(table_of: Make) -> None:
    """The responder's: it finds the form wrong, whatever else is known."""
    table = table_of(support.store().zones)
    assert table.respond(plain("x.svc.cluster.local")) is not None
    longest = plain(".".join("a" * 118) + ".svc.cluster.local")
    assert table.respond(longest) is not None
    too_long = longest[:12] + b"\1a" + longest[12:]
    assert len(too_long) - 16 == 257  # octets of the name
    assert table.respond(too_long) is None


def test_a_name_that_comes_where_none_was(table_of: Make) -> None:
    """A denial holds for as long as the name is not there, also where it was the first below another."""
    editor = ZoneEditor(ZONE, 5)
    (fast,) = fast_zones([editor.publish(1)])
    table = table_of(())
    table.serve([fast])
    prepared(table)
    for serial, name in enumerate(
        ("a.cluster.local", "b.cluster.local", "x.b.cluster.local", "y.x.b.cluster.local"), 2
    ):
        before, after = fast.zone, editor
        for number in range(3):
            for wire in (plain(name), plain(f"{number}.{name}")):
                assert table.respond(wire) == responder((before,), wire)
        after.set(from_text(name), Fixed())
        table.move(fast, after.publish(serial))
        for wire in (plain(name), plain(f"z.{name}"), plain("nowhere.cluster.local")):
            assert table.respond(wire) == responder((fast.zone,), wire)


def test_a_zone_that_comes_below_another(table_of: Make) -> None:
    """What one zone does not have may be in another that is served later, or at the same time."""
    above = ZoneEditor(ZONE, 5).publish(1)
    below_editor = ZoneEditor(from_text("a.sub.cluster.local"), 5)
    below_editor.set(from_text("x.a.sub.cluster.local"), Fixed())
    below = below_editor.publish(1)
    wires = [
        plain(name) for name in ("y.cluster.local", "x.a.sub.cluster.local", "b.sub.cluster.local", "y.cluster.local")
    ]
    table = table_of([above])
    for zones in ((above,), (below, above), (above,), ()):
        table.serve(fast_zones(zones))
        prepared(table)
        for wire in (*wires, *wires):
            response = table.respond(wire)
            assert (response or b"outside") == responder(zones, wire)


def test_what_is_remembered_of_names_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in proportion to the names that they are below, and of those there is a limit."""
    monkeypatch.setattr("dnsserver.fast.table.MAX_GAPS", 3)
    table = Table(fast_zones(support.store().zones))
    for above in ("db.ns1.svc", "web.ns1.svc", "ns1.svc", "svc"):
        for number in range(100):
            assert table.respond(plain(f"x{number}.www.{above}.cluster.local")) is not None
            assert 1 <= len(table._gaps) <= 3


def test_names_that_are_not_there_by_their_types(table_of: Make) -> None:
    """Types whose numbers are letters, of which folding could make one, are counted each for itself."""
    table = table_of(support.store().zones)
    for number in range(100):
        for qtype in (1, 28, 65, 97, 999):
            assert table.respond(plain(f"x{number}.ns1.svc.cluster.local", qtype)) is not None
    counted = {cell.qtype: sum(tally.durations) for cell, tally in table.tallies().items()}
    assert counted == {1: 100, 28: 100, 65: 100, 0: 200}


def test_names_that_are_made(table_of: Make) -> None:
    """Where names may be made that no zone lists, that one is not there says nothing about another."""
    pods = from_text("pod.cluster.local")

    def made(zone: Zone, name: Name) -> tuple[RRset, ...] | None:
        del zone
        return () if name.endswith(b"\3yes\1a" + pods) else None

    editor = ZoneEditor(ZONE, 5, (made,))
    editor.set(from_text("b.a.pod.cluster.local"), Fixed())
    zones = (editor.publish(1),)
    table = table_of(zones)
    for name in ("no.a.pod.cluster.local", "yes.a.pod.cluster.local", "x.yes.a.pod.cluster.local"):
        response = table.respond(plain(name))
        assert response is None or response == responder(zones, plain(name))


def test_answers_to_types_without_number_are_not_kept() -> None:
    """Strangers choose the type."""
    table = Table(fast_zones(support.store().zones))
    for qtype in range(260, 1000):
        assert table.respond(plain("vm1.db.ns1.svc.cluster.local", qtype)) is not None
    assert len(table._answers) == 0
    assert len(table) == 1


def test_counts(table_of: Make) -> None:
    """Queries are counted by what they have in common."""
    table = table_of(support.store().zones)
    plain_one, with_do = plain("vm1.db.ns1.svc.cluster.local"), plain("vm1.db.ns1.svc.cluster.local", opt=OPTS["do"])
    for wire in (plain_one, plain_one, with_do, plain("nowhere.cluster.local"), plain("example.org")):
        table.respond(wire)
    table.respond(plain_one, Way.TCP6)
    found = table.tallies()
    assert {cell._replace(zone=0): sum(tally.durations) for cell, tally in found.items()} == {
        Cell(0, 1, 0, False, Way.UDP4): 2,
        Cell(0, 1, 0, True, Way.UDP4): 1,
        Cell(0, 1, 3, False, Way.UDP4): 1,
        Cell(0, 1, 0, False, Way.TCP6): 1,
    }
    assert len({cell.zone for cell in found}) == 1
    (twice,) = (tally for cell, tally in found.items() if cell[1:] == (1, 0, False, Way.UDP4))
    assert twice.query_octets == 2 * len(plain_one)
    assert twice.response_octets == 2 * (len(plain_one) + len(from_text("vm1.db.ns1.svc.cluster.local")) + 14)
    assert (sum(twice.query_sizes), sum(twice.response_sizes)) == (2, 2)
    assert (twice.query_sizes[1], twice.response_sizes[1]) == (2, 2)
    assert sum(tally.nanoseconds for tally in found.values()) > 0
    assert table.tallies() == {}


def test_rendered() -> None:
    """A name that does not exist has nothing, one without records NODATA for every type."""
    (zone, *_) = support.store().zones
    assert render(zone, Name(from_text("nowhere.cluster.local"))) is None
    node = render(zone, from_text("svc.cluster.local"))
    assert node is not None
    assert (node.types, node.closed) == ({}, True)
    assert len(denial(zone).pieces) == 4
