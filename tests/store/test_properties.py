"""However the objects came to be what they are, the zones are the same."""

from collections.abc import Iterable
from itertools import product
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.derive.observation import Timing
from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.names import from_text
from dnsserver.objects import Key, Kind, Object
from dnsserver.store import Store, StoreConfig
from tests.build import (
    CONFIG,
    IN_ADDR,
    IP6,
    KINDS,
    ZONE,
    endpoint_json,
    endpoint_slice,
    image,
    kind_of_object,
    listing,
    lists,
    namespace,
    packed,
    port_json,
    service,
    vmi,
)

LATER = 1_000_000.0  # seconds: every grace and hold is over by then
ENDED = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z"}
PORTS = [port_json(80, "http"), port_json(5432, "sql", target="sql")]


def vmis(place: str, name: str) -> list[Object]:
    """Return what one VMI may look like; some addresses are shared with others, pods are not."""
    both = {f"pod-{place}-{name}": "node1", f"pod2-{place}-{name}": "node2"}
    one = {f"pod-{place}-{name}": "node1"}
    return [
        vmi(name, namespace=place, pods=one),
        vmi(name, namespace=place, pods=one, addresses=["10.244.0.8", "fd00::8"], hostname="same"),
        vmi(name, namespace=place, pods=one, addresses=["10.0.2.2"]),
        vmi(name, namespace=place, pods=one, addresses=[]),
        vmi(name, namespace=place, pods=one, uid="another", subdomain="web", labels={"app": "web"}),
        vmi(name, namespace=place, pods=one, subdomain="web", interface_ports=[port_json(5432, "sql")]),
        vmi(name, namespace=place, pods=one, ready=False),
        vmi(name, namespace=place, pods=both, migration={"targetNode": "node2"}),
        vmi(name, namespace=place, pods=both, migration=ENDED, node="node2", ready=False),
        vmi(name, namespace=place, pods=both, migration=ENDED | {"completed": True}, node="node2"),
        vmi(name, namespace=place, pods={}, binding="bridge", phase="Succeeded"),
        vmi(name, namespace=place, pods=one, binding="bridge", deleting=True),
    ]


def services(place: str, name: str, number: int) -> list[Object]:
    """Return what one Service may look like; cluster IPs are not shared."""
    return [
        service(name, namespace=place),
        service(name, namespace=place, families=None, publish_not_ready=True),
        service(name, namespace=place, ports=PORTS, selector={"app": "db", "kubevirt.io": "virt-launcher"}),
        service(name, namespace=place, ports=PORTS, selector={"app": "web"}, uid="another"),
        service(name, namespace=place, selector={}),
        service(name, namespace=place, cluster_ip=f"10.0.0.{number}", ports=PORTS),
        service(name, namespace=place, cluster_ips=["10.244.0.8"] if number == 1 else None, cluster_ip=""),
        service(name, namespace=place, external_name="example.org"),
    ]


def slices(place: str, name: str) -> list[Object]:
    """Return what one EndpointSlice may look like: pods of VMIs, other pods, other Services."""
    return [
        endpoint_slice(
            endpoint_json("10.244.0.7", pod=f"pod-{place}-vm1"),
            endpoint_json("10.244.0.8", pod=f"pod-{place}-vm2"),
            namespace=place,
            name=name,
            ports=PORTS,
        ),
        endpoint_slice(
            endpoint_json("10.244.1.7", pod=f"pod2-{place}-vm1", ready=False), namespace=place, name=name, ports=PORTS
        ),
        endpoint_slice(
            endpoint_json("10.244.0.7"), endpoint_json("10.244.0.9", hostname="same"), namespace=place, name=name
        ),
        endpoint_slice(endpoint_json("fd00::8", pod_name="web-1", pod="pod-web-1"), namespace=place, name=name),
        endpoint_slice(endpoint_json("10.244.0.9"), namespace=place, name=name, service="web", ports=PORTS),
        endpoint_slice(endpoint_json("10.244.0.9"), namespace=place, name=name, service=None),
    ]


POOL: dict[tuple[Kind, Key], list[Object]] = {
    **{(Kind.NAMESPACE, ("", place)): [namespace(place)] for place in ("ns1", "ns2")},
    **{(Kind.VMI, (place, name)): vmis(place, name) for place, name in product(("ns1", "ns2"), ("vm1", "vm2"))},
    **{
        (Kind.SERVICE, (place, name)): services(place, name, number)
        for number, (place, name) in enumerate(product(("ns1", "ns2"), ("db", "web")), 1)
    },
    **{
        (Kind.ENDPOINT_SLICE, (place, name)): slices(place, name)
        for place, name in product(("ns1", "ns2"), ("db-1", "db-2"))
    },
}
PLACES = st.sampled_from(sorted(POOL, key=str))

OTHER_ZONE = from_text("other.test")
CONFIGS = [
    CONFIG,
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR, IP6), kubevirt="only"),
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR, IP6), kubevirt="off"),
    StoreConfig(zones=(ZONE, OTHER_ZONE), reverse_zones=(from_text("244.10.in-addr.arpa"), IN_ADDR), pod_names=True),
    StoreConfig(zones=(ZONE,), namespaces=frozenset({"ns1"}), ttl=30, timing=Timing(5.0, 5.0)),
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), ignore_empty=True, zonal=True),
    StoreConfig(zones=(ZONE,), endpoints=False, pods="insecure"),
    StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), addresses=(packed("10.244.0.9"),)),
]

State = dict[tuple[Kind, Key], Object]


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw what a cluster holds in the end: most of the places are taken."""
    return {place: draw(st.sampled_from(variants)) for place, variants in POOL.items() if draw(st.integers(0, 3))} | (
        {} if draw(st.booleans()) else {(Kind.NAMESPACE, ("", "ns3")): namespace("ns3")}
    )


@st.composite
def single(draw: st.DrawFn) -> list[Event]:
    """Draw something that happens to one object, right or wrong: it is mended in the end."""
    kind, key = draw(PLACES)
    value = draw(st.sampled_from(POOL[kind, key]))
    changed, deleted = Changed(kind, value), Deleted(kind, key, draw(st.sampled_from(["", "stale", value.uid])))
    return draw(st.sampled_from([[changed], [changed, changed], [deleted], [changed, deleted], [deleted, changed]]))


@st.composite
def listed(draw: st.DrawFn) -> list[Event]:
    """Draw a list of some objects of a kind, whole or broken off, or that the kind is not served."""
    kind = draw(st.sampled_from(KINDS))
    places = draw(st.lists(PLACES.filter(lambda place: place[0] is kind), max_size=4, unique=True))
    events = listing(kind, [draw(st.sampled_from(POOL[place])) for place in places])
    kept = ListedPage(kind, (), tuple(key for _, key in draw(st.lists(PLACES, max_size=2))))
    return draw(
        st.sampled_from(
            [
                events,
                events[:-1],
                [*events[:-1], kept, ListEnded(kind)],
                [ListStarted(kind), *events],
                [NotServed(kind, "x")],
            ]
        )
    )


HISTORIES = st.lists(single() | listed(), max_size=12)


def mending(before: Iterable[Event], state: State, random: Random) -> list[Event]:
    """Return events that lead from any history to a state, kind by kind: by a list, or one by one."""
    ended = {event.kind for event in before if isinstance(event, ListEnded)}
    events: list[Event] = []
    for kind in random.sample(KINDS, len(KINDS)):
        values = [value for (one, _), value in state.items() if one is kind]
        random.shuffle(values)
        if kind not in ended or random.random() < 0.5:
            events += listing(kind, values, page=random.randint(1, 5))
            continue
        absent = [Deleted(kind, key) for one, key in POOL if one is kind and (kind, key) not in state]
        some: list[Event] = [*(Changed(kind, value) for value in values), *absent]
        random.shuffle(some)
        for event in some:
            events += [event, event] if random.random() < 0.3 else [event]
        events += [Deleted(kind, value.key, "stale") for value in values if random.random() < 0.3]
    return events


def applied(store: Store, events: Iterable[Event], random: Random, now: float) -> float:
    """Give a store events one by one with refreshes between them, some of them cut short; return the time."""
    for event in events:
        now += random.choice((0.0, 1.0, 40.0))
        store.apply(event, now)
        limit = random.choice((None, 0, 1, 2))
        before = store.zones
        if random.random() < 0.7 and not store.refresh(now, serial=1, limit=limit):
            assert store.zones is before  # nothing is seen before all of it is done
    return now


def reference(config: StoreConfig, objects: Iterable[Object]) -> Store:
    """Return a store that has only ever seen these objects, once."""
    store = Store(config)
    for event in lists(objects):
        store.apply(event, 0.0)
    store.refresh(LATER, serial=1)
    return store


@settings(max_examples=150, deadline=None)  # an example is a whole history
@given(states(), HISTORIES, st.sampled_from(CONFIGS), st.integers(0, 2**32))
def test_history_does_not_matter(state: State, history: list[list[Event]], config: StoreConfig, seed: int) -> None:
    """Any history that ends in a state publishes what that state alone publishes, names without records included."""
    random = Random(seed)
    store = Store(config)
    before = [event for events in history for event in events]
    now = applied(store, before, random, 0.0)
    applied(store, mending(before, state, random), random, now)
    assert store.refresh(LATER, serial=1)
    wanted = reference(config, state.values())
    assert store.synced
    assert image(store) == image(wanted)
    assert store.counts() == wanted.counts()
    assert +store.unpublished == +wanted.unpublished
    assert (store.deadline, list(store.observations)) == (None, [])


@settings(max_examples=40, deadline=None)  # an example is a whole history
@given(states(), st.sampled_from(CONFIGS), st.integers(0, 2**32))
def test_nothing_is_left(state: State, config: StoreConfig, seed: int) -> None:
    """When every object has gone, in any order, nothing of them is left in any zone."""
    random = Random(seed)
    store = reference(config, state.values())
    gone: list[Event] = [Deleted(kind_of_object(value), value.key, value.uid) for value in state.values()]
    random.shuffle(gone)
    applied(store, gone, random, LATER)
    store.refresh(2 * LATER, serial=1)
    assert image(store) == image(reference(config, ()))
    assert not +store.unpublished


@settings(max_examples=40, deadline=None)  # an example is a whole history
@given(states(), states(), st.sampled_from(CONFIGS))
def test_slices_of_work(before: State, after: State, config: StoreConfig) -> None:
    """Work cut into the smallest slices is seen in one step, and comes to the same."""
    store = reference(config, before.values())
    seen = store.zones
    for event in lists(after.values()):
        store.apply(event, LATER)
    steps = 1
    while not store.refresh(2 * LATER, serial=1, limit=1):
        assert store.zones is seen
        steps += 1
        assert steps < 1000
    assert image(store) == image(reference(config, after.values()))
