"""Which serial a content gets, and when no other content can share it."""

import pytest

from dnsserver.events import Changed
from dnsserver.names import from_text
from dnsserver.objects import Kind
from dnsserver.store.serials import NEVER, Serial
from tests.build import ZONE, namespace, service, store_of, zone_of

# (what, changes as (Unix second, monotonic), their serials)
CASES = [
    ("each in a second of its own", [(100, 0.0), (101, 1.0), (105, 5.0)], [100, 101, 105]),
    ("several in one second", [(100, 0.1), (100, 0.2), (100, 0.9), (101, 1.0)], [100, 100, 100, 101]),
    ("the clock goes back", [(100, 0.0), (90, 0.5), (90, 1.0), (91, 1.5), (92, 2.1), (103, 13.0)],
     [100, 100, 101, 101, 102, 103]),
    ("the clock stands", [(100, 0.0), (100, 2.0), (100, 4.0)], [100, 101, 102]),
    ("the clock goes back into a second that is over", [(100, 0.0), (100, 1.0)], [100, 101]),
    ("100 changes a second, for a minute", [(100 + n // 100, n / 100) for n in range(6000)],
     [100 + n // 100 for n in range(6000)]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "serials"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_serials(changes: list[tuple[int, float]], serials: list[int]) -> None:
    """The second of the change, shared by what changes in it; never a lower one, and never far from the clock."""
    found, serial = [], NEVER
    for second, now in changes:
        serial = serial.next(second, now)
        found.append(serial.value)
    assert found == serials


def test_settled_is_never_shared() -> None:
    """Once a content has settled, the next gets another serial, whatever the wall clock says."""
    serial = Serial(100, 5.0)
    assert (round(serial.settles(5.4), 6), serial.settles(6.0)) == (0.6, 0.0)
    for now in (6.0, 6.5, 100.0):
        for second in (0, 99, 100, 101):
            assert serial.next(second, now).value > 100
    assert serial.next(100, 5.9) is serial
    assert serial.sealed().next(100, 5.9).value == 101


def test_each_zone_has_its_own() -> None:
    """A zone that nothing has changed in keeps its version; a restart in another second has a greater serial."""
    store = store_of([service("db", cluster_ip="10.0.0.1")])
    forward, address = zone_of(store.zones, ZONE), store.zones[1]
    assert (forward.serial, address.serial, store.serial, store.version) == (1, 1, 1, 1)
    journal = store.journal(ZONE, 10.0)
    assert journal is not None
    assert store.journal(ZONE, 11.0) is journal
    assert store.journal(from_text("example.org"), 11.0) is None
    assert journal.newest is not None
    assert (journal.newest.zone, journal.newest.since) == (forward, 10.0)


def test_sealed() -> None:
    """What is made of the objects and given away has its serial for itself; `version` tells changes apart."""
    store = store_of([namespace()])
    assert (store.serial, store.version) == (1, 1)
    for step, (second, now, serial) in enumerate([(50, 5.0, 50), (50, 5.1, 50), (50, 5.2, 51)], 2):
        store.apply(Changed(Kind.SERVICE, service(f"s{step}")), now)
        store.refresh(now, serial=second)
        assert (store.serial, store.version) == (serial, step)
        if step == 3:
            assert round(store.seal(5.15), 6) == 0.85
