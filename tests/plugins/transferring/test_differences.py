"""IXFR against AXFR: applied to the old content, the differences make the new one, exactly and nothing else."""

from collections.abc import Generator, Iterable
from itertools import permutations
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.events import Event
from dnsserver.names import Name, from_text
from dnsserver.plugins.transferring.content import ClusterContent, Content, in_order
from dnsserver.plugins.transferring.differences import affected, differences
from dnsserver.records import RRset, RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.build import ZONE, endpoint_json, endpoint_slice, lists, namespace, service, store_of
from tests.store.test_properties import CONFIGS, HISTORIES, State, mending, states

Records = set[tuple[bytes, int, int, bytes]]
T = TypeVar("T")
EVERY = 100_000  # names: no limit


def records(rrsets: Iterable[RRset]) -> list[tuple[bytes, int, int, bytes]]:
    """Return RRsets as single records."""
    return [(one.owner, one.rrtype, one.ttl, rdata) for one in rrsets for rdata in one.rdatas]


def whole(content: Content) -> Records:
    """Return what an AXFR holds."""
    found = records(in_order(content))
    assert len(found) == len(set(found)) + 1  # the SOA ends it
    return set(found)


def applied(before: Records, answer: Iterable[RRset]) -> Records:
    """Do what a strict secondary does: every record that goes is there, every one that comes is not."""
    rows = records(answer)
    new, old, *rest = rows
    assert rows[-1] == new
    content = before - {old}
    assert len(content) == len(before) - 1
    middle = rest.index(new)
    for row in rest[:middle]:
        assert row in content
        content.remove(row)
    for row in rest[middle + 1 : -1]:
        assert row not in content
        content.add(row)
    return content | {new}


def done(work: Generator[None, None, T]) -> T:
    """Return what comes of work in steps."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: T = end.value
            return value


def check(old: Zone, new: Zone, changed: Iterable[Name]) -> None:
    """Compare all three ways to the new content."""
    for kind in (Content, ClusterContent):
        before, after = kind(old), kind(new)
        names = done(affected(before, after, changed, EVERY))
        assert names is not None
        assert applied(whole(kind(old)), differences(before, after, names)) == whole(kind(new))


@settings(max_examples=60, deadline=None)  # an example is a whole history
@given(states(), HISTORIES, st.sampled_from(CONFIGS), st.integers(0, 2**32))
def test_like_a_whole_transfer(state: State, history: list[list[Event]], config: StoreConfig, seed: int) -> None:
    """Between any two versions that a journal has of any history, of any zone."""
    random = Random(seed)
    store, now, second = Store(config), 0.0, 1000
    for origin in (*config.zones, *config.reverse_zones):
        store.journal(origin, now)
    events = [event for few in history for event in few]
    last: dict[tuple[bytes, int], Zone] = {}
    for event in (*lists(state.values()), *events, *mending(events, state, random)):
        step = random.choice((0.0, 0.1, 1.0))
        now, second = now + step, second + random.choice((0, int(step), -3))
        store.apply(event, now)
        if random.random() < 0.7:
            store.refresh(now, serial=second)
            last |= {(zone.origin, zone.serial): zone for zone in store.zones if zone.serial}
    for zone in store.zones:
        journal = store.journal(zone.origin, now)
        newest = journal.newest if journal is not None else None
        if journal is None or newest is None:
            continue
        assert newest.zone is zone
        known = [journal.since(serial, newest) for origin, serial in last if origin == zone.origin]
        found = [one for one in known if one is not None]
        assert len(found) == len(journal) - 1
        for old, names in found:
            assert last[old.origin, old.serial] is old
            check(old, zone, names)


def test_a_service_changes_its_kind() -> None:
    """Endpoints that have not changed themselves come and go with the addresses that their Service has."""
    headless, single = service("db"), service("db", cluster_ip="10.0.0.1")
    pods = endpoint_slice(endpoint_json("10.244.0.7", hostname="pod1"), endpoint_json("10.244.0.8", hostname="pod2"))
    before, after = (store_of([namespace(), one, pods]).zones[0] for one in (headless, single))
    changed = [name for name, _ in before.named_records() if name.startswith(b"\2db")]
    for old, new in ((before, after), (after, before)):
        check(old, new, changed)
    gone = {owner for owner, rrtype, _, _ in whole(ClusterContent(before)) if rrtype == RRType.A}
    assert any(owner.startswith(b"\4pod1") for owner in gone)


def test_limit() -> None:
    """More names than are wanted are none, whether they have changed or hang on one that has."""
    pods = endpoint_slice(*(endpoint_json(f"10.244.0.{number}") for number in range(1, 50)))
    before, after = (
        store_of([namespace(), one, pods]).zones[0] for one in (service("db"), service("db", cluster_ip="10.0.0.1"))
    )
    old, new = ClusterContent(before), ClusterContent(after)
    changed = [name for name, _ in before.named_records() if name.startswith(b"\2db")]
    assert done(affected(old, new, changed, 20)) is None
    assert done(affected(old, new, [name for name, _ in before.named_records()], 20)) is None
    assert len(list(done(affected(old, old, changed, 20)) or ())) < 5


def test_name_servers_change() -> None:
    """Glue comes and goes with the NS records, though its own records stay as they are."""

    def zone(serial: int, server: str) -> Zone:
        editor = ZoneEditor(ZONE, 5)
        editor.set(ZONE, Fixed((RRset(ZONE, RRType.NS, 5, (from_text(server, ZONE),)),)))
        for number, text in enumerate(("ns.dns", "web.ns.svc", "10-0-0-1.ns.pod")):
            owner = from_text(text, ZONE)
            editor.set(owner, Fixed((RRset(owner, RRType.A, 5, (bytes((10, 0, 0, number)),)),)))
        return editor.publish(serial)

    for first, second in permutations(("ns.dns", "web.ns.svc", "10-0-0-1.ns.pod"), 2):
        check(zone(1, first), zone(2, second), [ZONE])
