"""Watch events as lines of JSON: what the store publishes depends on the objects, never on their history."""

import zlib
from collections.abc import Iterable, Iterator
from random import Random

import msgspec

from dnsserver.derive.observation import Timing
from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted
from dnsserver.names import from_text
from dnsserver.objects import InvalidObjectError, Key, Kind, Object, Pod, decode_watch_event
from dnsserver.sources.answers import parse_object
from dnsserver.sources.envelopes import decode_head, ends_initial_events, is_named
from dnsserver.sources.lines import LineBuffer
from dnsserver.store import Store, StoreConfig
from tests.build import CONFIG, IN_ADDR, IP6, ZONE, image, lists, packed
from tests.fuzz.zones import check_zone, require

LATER = 1000.0  # seconds after which nothing that was remembered counts any more
MOST = 40  # events of one history

CONFIGS = (
    CONFIG,
    StoreConfig(zones=(ZONE, from_text("other.test")), reverse_zones=(IN_ADDR, IP6), pods="verified", zonal=True),
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), imported=True, pods="insecure", pod_names=True),
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), kubevirt="only", timing=Timing(5.0, 5.0), ignore_empty=True),
    StoreConfig(zones=(from_text("a." * 100 + "test"),), endpoints=False, addresses=(packed("10.244.0.9"),)),
)
_KINDS = {kind.value: kind for kind in Kind}


def check(data: bytes) -> None:
    """Check one history. Its checksum picks the configuration and the order in which another store hears of it."""
    chance = Random(zlib.crc32(data))
    config = CONFIGS[chance.randrange(len(CONFIGS))]
    events = list(_events(data))
    final = _final(event for event in events if event.kind in config.kinds)
    first = _applied(config, events, chance, step=True)
    second = _applied(config, _interleaved(events, chance), chance, step=False)
    objects = list(final.values())
    chance.shuffle(objects)
    wanted = _applied(config, lists(objects, Kind), chance, step=False)
    for zone in wanted.zones:
        check_zone(zone)
    for store in (first, second):
        assert image(store) == image(wanted), "a store's history shows in what it publishes"
        assert store.counts() == wanted.counts(), "a store holds other objects than it was told"
        assert store.deadline is None, "something is still remembered"


def _events(data: bytes) -> Iterator[Event]:
    """Yield what the lines tell a store, the first few; lines of a type "LIST" announce an empty list."""
    for kind in Kind:
        yield from (ListStarted(kind), ListEnded(kind))
    for line in list(LineBuffer().feed(data + b"\n"))[:MOST]:
        try:
            watched = decode_watch_event(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # the watch ends there, and another one begins
        ends_initial_events(watched.object)
        if (event := _event(watched.type, watched.object)) is not None:
            yield event


def _event(kind_of_event: str, raw: msgspec.Raw) -> Event | None:
    """Return one event, None for what tells nothing."""
    head = decode_head(Kind.SERVICE, raw)
    kind = _KINDS.get(head.kind)
    if kind is None:
        return None
    head = decode_head(kind, raw)
    if kind_of_event == "DELETED":
        return Deleted(kind, head.key, head.uid) if is_named(kind, head.key) else None
    try:
        value = parse_object(kind, raw)
    except InvalidObjectError as error:
        require(bool(error.reason), "an error that says nothing")
        require("\n" not in str(error.reason), "an error of several lines")
        return None
    assert value.key == head.key, f"{value.key} and {head.key} of the same object"
    return Changed(kind, value)


def _final(events: Iterable[Event]) -> dict[tuple[Kind, Key], Object]:
    """Return what there is in the end."""
    there: dict[tuple[Kind, Key], Object] = {}
    for event in events:
        if isinstance(event, Changed):
            place = (event.kind, event.value.key)
            if not (isinstance(event.value, Pod) and event.value.deleting):
                there[place] = event.value
            elif place in there and there[place].uid != event.value.uid:
                del there[place]
        elif isinstance(event, Deleted):
            known = there.get((event.kind, event.key))
            if known is not None and not (event.uid and known.uid and event.uid != known.uid):
                del there[event.kind, event.key]
    return there


def _interleaved(events: list[Event], chance: Random) -> list[Event]:
    """Return the events in another order in which those of one object keep theirs."""
    rows: dict[object, list[Event]] = {}
    first = [event for event in events if isinstance(event, ListStarted | ListEnded)]
    for event in events:
        if isinstance(event, Changed | Deleted):
            key = event.value.key if isinstance(event, Changed) else event.key
            rows.setdefault((event.kind, key), []).append(event)
    places = [key for key, row in rows.items() for _ in row]
    chance.shuffle(places)
    return first + [rows[key].pop(0) for key in places]


def _applied(config: StoreConfig, events: Iterable[Event], chance: Random, *, step: bool) -> Store:
    """Return a store that has heard of the events; with `step` it publishes between them, or begins to."""
    store = Store(config)
    now = 0.0
    for event in events:
        store.apply(event, now)
        if step and not isinstance(event, ListStarted | ListedPage):
            now += chance.choice((0.0, 1.0, 40.0))
            store.refresh(now, serial=1, limit=chance.choice((None, 1, 2)))
    store.refresh(now, serial=1)
    store.refresh(now + LATER, serial=1)
    assert store.synced
    return store
