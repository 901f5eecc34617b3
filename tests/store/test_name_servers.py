"""NS records: the names that the server's own addresses have among the Services, as those come and go."""

import pytest

from dnsserver.events import Changed, Deleted, Event
from dnsserver.names import from_text
from dnsserver.objects import EndpointSlice, Kind, Object
from dnsserver.records import RRType
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import Kubevirt
from tests.build import (
    IN_ADDR,
    ZONE,
    apply_all,
    endpoint_json,
    endpoint_slice,
    look,
    namespace,
    packed,
    service,
    store_of,
    vmi,
)

OWN, OWN6 = "10.244.0.53", "fd00:244::53"
STAND_IN = {"ns.dns"}


def configured(
    *addresses: str, namespaces: frozenset[str] = frozenset(), endpoints: bool = True, kubevirt: Kubevirt = "auto"
) -> StoreConfig:
    """Return the configuration of a server with these addresses."""
    return StoreConfig(
        zones=(ZONE, from_text("other.test")),
        reverse_zones=(IN_ADDR,),
        addresses=tuple(packed(one) for one in addresses),
        namespaces=namespaces,
        endpoints=endpoints,
        kubevirt=kubevirt,
    )


def dns_slice(
    *addresses: str, name: str = "dns-1", under: str = "dns", ready: bool = True, hostname: str | None = None
) -> EndpointSlice:
    """Return a slice of the server's pods."""
    endpoints = (endpoint_json(one, ready=ready, hostname=hostname) for one in addresses)
    return endpoint_slice(*endpoints, name=name, service=under)


def servers(store: Store, origin: str = "") -> set[str]:
    """Return the name servers of a zone, without the first zone's name."""
    found = look(store, origin, RRType.NS)
    assert found is not None
    return {name.removesuffix(".cluster.local.") for name in found}


def glue(store: Store) -> set[str]:
    """Return the addresses of both families of the name servers and of `ns.dns`; they are the same."""
    families = (RRType.A, RRType.AAAA)
    mname = {text for rrtype in families for text in look(store, "ns.dns", rrtype) or ()}
    named = {text for name in servers(store) for rrtype in families for text in look(store, name, rrtype) or ()}
    assert named >= mname
    return mname


NS1 = namespace()
CLUSTER_IP = service("dns", cluster_ip="10.96.0.10")
DUAL = service("dns", cluster_ip="10.96.0.10", cluster_ips=["10.96.0.10", "fd00:96::10"])
HEADLESS = service("dns")

ROWS: list[tuple[str, list[Object], list[str], set[str], set[str]]] = [  # objects, own addresses, servers, addresses
    ("nobody knows the server", [NS1], [OWN, OWN6], STAND_IN, {OWN, OWN6}),
    ("no address of its own", [NS1, CLUSTER_IP, dns_slice(OWN)], [], STAND_IN, set()),
    ("cluster IP", [NS1, CLUSTER_IP, dns_slice(OWN)], [OWN], {"dns.ns1.svc"}, {"10.96.0.10"}),
    ("two families", [NS1, DUAL, dns_slice(OWN)], [OWN], {"dns.ns1.svc"}, {"10.96.0.10", "fd00:96::10"}),
    ("among others", [NS1, CLUSTER_IP, dns_slice("10.244.0.1", OWN)], [OWN], {"dns.ns1.svc"}, {"10.96.0.10"}),
    ("by either address", [NS1, CLUSTER_IP, dns_slice(OWN6)], [OWN, OWN6], {"dns.ns1.svc"}, {"10.96.0.10"}),
    (
        "two Services",
        [
            NS1,
            CLUSTER_IP,
            dns_slice(OWN),
            service("dns6", cluster_ip="fd00:96::6"),
            dns_slice(OWN, name="6", under="dns6"),
        ],
        [OWN],
        {"dns.ns1.svc", "dns6.ns1.svc"},
        {"10.96.0.10", "fd00:96::6"},
    ),
    ("headless", [NS1, HEADLESS, dns_slice(OWN)], [OWN], {"10-244-0-53.dns.ns1.svc"}, {OWN}),
    (
        "headless, both families",
        [NS1, HEADLESS, dns_slice(OWN, OWN6)],
        [OWN, OWN6],
        {"10-244-0-53.dns.ns1.svc", "fd00-244--53.dns.ns1.svc"},
        {OWN, OWN6},
    ),
    (
        "headless, by host name",
        [NS1, HEADLESS, dns_slice(OWN, OWN6, hostname="a")],
        [OWN, OWN6],
        {"a.dns.ns1.svc"},
        {OWN, OWN6},
    ),
    (
        "headless, others beside it",
        [NS1, HEADLESS, dns_slice("10.244.0.1", OWN)],
        [OWN],
        {"10-244-0-53.dns.ns1.svc"},
        {OWN},
    ),
    (
        "both kinds",
        [NS1, CLUSTER_IP, dns_slice(OWN), service("pods"), dns_slice(OWN, name="p", under="pods")],
        [OWN],
        {"dns.ns1.svc", "10-244-0-53.pods.ns1.svc"},
        {"10.96.0.10", OWN},
    ),
    ("not ready", [NS1, CLUSTER_IP, dns_slice(OWN, ready=False)], [OWN], STAND_IN, {OWN}),
    ("no Service", [NS1, dns_slice(OWN)], [OWN], STAND_IN, {OWN}),
    ("the Service waits for its address", [NS1, service("dns", cluster_ip=""), dns_slice(OWN)], [OWN], STAND_IN, {OWN}),
    ("an alias", [NS1, service("dns", external_name="a.test"), dns_slice(OWN)], [OWN], STAND_IN, {OWN}),
    ("the namespace does not exist", [namespace("ns2"), CLUSTER_IP, dns_slice(OWN)], [OWN], STAND_IN, {OWN}),
    ("a cluster IP is no endpoint", [NS1, CLUSTER_IP], ["10.96.0.10"], STAND_IN, {"10.96.0.10"}),
]


@pytest.mark.parametrize(
    ("objects", "own", "names", "addresses"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_servers(objects: list[Object], own: list[str], names: set[str], addresses: set[str]) -> None:
    """Every zone names the same servers, by names that exist, and the SOA's MNAME has their addresses."""
    store = store_of(objects, configured(*own))
    assert servers(store) == names
    assert glue(store) == addresses
    wanted = {"ns.dns.other.test."} if names == STAND_IN else names
    assert servers(store, "other.test.") == wanted
    assert servers(store, "in-addr.arpa.") == ({"ns.dns.in-addr.arpa."} if names == STAND_IN else names)
    for origin in ("other.test.", "in-addr.arpa."):
        found = {text for rrtype in (RRType.A, RRType.AAAA) for text in look(store, f"ns.dns.{origin}", rrtype) or ()}
        assert found == addresses


@pytest.mark.parametrize(
    "config",
    [
        configured(OWN, namespaces=frozenset({"ns2"})),
        configured(OWN, endpoints=False),
        configured(OWN, kubevirt="only"),
    ],
    ids=["another namespace", "noendpoints", "VMIs alone"],
)
def test_services_that_are_not_published(config: StoreConfig) -> None:
    """A name that does not exist here is no name server's."""
    store = store_of([NS1, namespace("ns2"), CLUSTER_IP, dns_slice(OWN)], config)
    assert (servers(store), glue(store)) == (STAND_IN, {OWN})


def test_the_server_is_a_vmi() -> None:
    """An endpoint is one whatever runs it."""
    store = store_of([NS1, service(), vmi(addresses=[OWN])], configured(OWN))
    assert (servers(store), glue(store)) == ({"vm1.db.ns1.svc"}, {OWN})


def test_zone_of_one_label_and_the_root() -> None:
    """The Service is found whatever the zone's depth."""
    for zone in (from_text("."), from_text("local"), from_text("a.b.c.d")):
        config = StoreConfig(zones=(zone,), addresses=(packed(OWN),))
        store = store_of([NS1, CLUSTER_IP, dns_slice(OWN)], config)
        one = store.zones[0].rrset(zone, RRType.NS)
        assert one is not None
        assert one.rdatas == (from_text("dns.ns1.svc", zone),)


def test_changes() -> None:
    """Each change moves the records of every zone in the same step."""
    store = store_of([NS1, CLUSTER_IP], configured(OWN))
    steps: list[tuple[Event, set[str], set[str]]] = [
        (Changed(Kind.ENDPOINT_SLICE, dns_slice(OWN)), {"dns.ns1.svc"}, {"10.96.0.10"}),
        (Changed(Kind.SERVICE, DUAL), {"dns.ns1.svc"}, {"10.96.0.10", "fd00:96::10"}),
        (Changed(Kind.SERVICE, HEADLESS), {"10-244-0-53.dns.ns1.svc"}, {OWN}),
        (Changed(Kind.ENDPOINT_SLICE, dns_slice(OWN, hostname="a")), {"a.dns.ns1.svc"}, {OWN}),
        (Deleted(Kind.NAMESPACE, ("", "ns1")), {"a.dns.ns1.svc"}, {OWN}),  # the last one: now all exist
        (Changed(Kind.NAMESPACE, namespace("ns2")), STAND_IN, {OWN}),
        (Changed(Kind.NAMESPACE, NS1), {"a.dns.ns1.svc"}, {OWN}),
        (Deleted(Kind.SERVICE, ("ns1", "dns")), STAND_IN, {OWN}),
        (Changed(Kind.SERVICE, CLUSTER_IP), {"dns.ns1.svc"}, {"10.96.0.10"}),
        (Changed(Kind.ENDPOINT_SLICE, dns_slice(OWN, ready=False)), STAND_IN, {OWN}),
    ]
    for event, names, addresses in steps:
        before = store.zones
        apply_all(store, [event])
        assert (servers(store), glue(store)) == (names, addresses)
        moved = {one is not other for one, other in zip(store.zones, before, strict=True)}
        assert moved == {True} or event == steps[4][0]


def test_before_the_sync() -> None:
    """The zone has its name server from the start: the server itself."""
    store = Store(configured(OWN))
    assert (servers(store), glue(store)) == (STAND_IN, {OWN})
