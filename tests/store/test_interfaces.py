"""Events in, zones of `interfaces` out: names, PTR records, what changes them and what does not."""

import random
import tracemalloc

import msgspec
import pytest

from dnsserver.derive.apex import NameServer
from dnsserver.derive.interfaces import InterfaceRule, Machine, Unnamed
from dnsserver.derive.vmi import Rule
from dnsserver.events import Changed, Deleted, Event
from dnsserver.names import Name, from_text, to_text
from dnsserver.objects import Further, Kind, Object, decode_object
from dnsserver.records import RRType, Soa
from dnsserver.store import Store, StoreConfig
from dnsserver.store.config import InterfacesConfig
from dnsserver.zone import Zone
from tests.build import (
    CONFIG,
    IN_ADDR,
    IP6,
    ZONE,
    Json,
    apply_all,
    endpoint_json,
    endpoint_slice,
    image,
    lists,
    look,
    namespace,
    packed,
    service,
    store_of,
    vmi_json,
    wired,
    with_interface,
)

A, AAAA, PTR, NS, SOA = RRType.A, RRType.AAAA, RRType.PTR, RRType.NS, RRType.SOA
VM = from_text("vm.example.org")
OWN = packed("203.0.113.1")


def configured(*zones: str, kubevirt: str = "auto", **options: object) -> StoreConfig:
    """Return a configuration with these zones of interfaces."""
    interfaces = InterfacesConfig(tuple(map(from_text, zones or ("vm.example.org",))), **options)  # type: ignore[arg-type]  # as the caller says
    return msgspec.structs.replace(CONFIG, interfaces=interfaces, kubevirt=kubevirt, addresses=(OWN,))


SHOWN = configured()
BLUE = with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7")
V6 = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."


def pointers(store: Store, address: str) -> set[str] | None:
    """Return the names that an IPv4 address leads to."""
    return look(store, ".".join(reversed(address.split("."))) + ".in-addr.arpa.", PTR)


def zone(store: Store, origin: Name = VM) -> Zone:
    """Return one zone."""
    found = store.zone(origin)
    assert found is not None
    return found


# -- names -------------------------------------------------------------------------------------------------------------

NAMES: list[tuple[str, RRType, set[str] | None]] = [
    ("vm1.ns1.vm.example.org.", A, {"10.244.0.7"}),
    ("vm1.ns1.vm.example.org.", AAAA, set()),
    ("default.vm1.ns1.vm.example.org.", A, {"10.244.0.7"}),
    ("blue.vm1.ns1.vm.example.org.", A, {"192.0.2.7"}),
    ("BLUE.vm1.ns1.vm.example.org.", AAAA, {"2001:db8::7"}),
    ("red.vm1.ns1.vm.example.org.", A, None),
    ("x.blue.vm1.ns1.vm.example.org.", A, None),
    ("vm2.ns1.vm.example.org.", A, None),
    ("ns1.vm.example.org.", A, set()),  # it exists by what is below it
    ("ns2.vm.example.org.", A, None),
    ("ns.vm.example.org.", A, {"203.0.113.1"}),
    ("vm.example.org.", NS, {"ns.vm.example.org."}),
    ("vm.example.org.", A, set()),
    ("vm1.svc.vm.example.org.", A, None),
    ("dns-version.vm.example.org.", RRType.TXT, None),
    ("7.2.0.192.in-addr.arpa.", PTR, {"blue.vm1.ns1.vm.example.org."}),
    (V6, PTR, {"blue.vm1.ns1.vm.example.org."}),
    ("7.0.244.10.in-addr.arpa.", PTR, {"vm1.ns1.vm.example.org."}),
]


@pytest.mark.parametrize(("name", "rrtype", "expected"), NAMES)
def test_names(name: str, rrtype: RRType, expected: set[str] | None) -> None:
    """A VMI has names without any Service."""
    assert look(store_of([namespace(), wired(BLUE)], SHOWN), name.lower(), rrtype) == expected


def test_records() -> None:
    """SOA, NS and addresses with the option's TTL; PTR records with that of their own zone."""
    store = store_of([namespace(), wired(BLUE)], configured(ttl=30))
    sets = {(to_text(one.owner), one.rrtype): one for one in zone(store).all_rrsets()}
    assert {one.ttl for one in sets.values()} == {30}
    soa = sets["vm.example.org.", SOA]
    serial = zone(store).serial
    assert soa.rdatas == (
        Soa(
            from_text("ns.vm.example.org"), from_text("hostmaster.vm.example.org"), serial, 7200, 1800, 86400, 30
        ).rdata(),
    )
    pointer = zone(store, IN_ADDR).rrset(from_text("7.2.0.192.in-addr.arpa"), PTR)
    assert pointer is not None
    assert pointer.ttl == CONFIG.ttl


SERVERS: list[tuple[str, tuple[NameServer, ...], str, set[str], dict[str, set[str]]]] = [
    ("none named", (), "ns", {"ns.vm.example.org."}, {"ns": {"203.0.113.1"}}),
    (
        "with an address",
        (NameServer(from_text("ns.vm.example.org"), (packed("192.0.2.53"),)),),
        "ns",
        {"ns.vm.example.org."},
        {"ns": {"192.0.2.53"}},
    ),
    (
        "by the server's own",
        (NameServer(from_text("dns.vm.example.org")),),
        "dns",
        {"dns.vm.example.org."},
        {"dns": {"203.0.113.1"}},
    ),
    (
        "two, one of them elsewhere",
        (NameServer(from_text("ns.example.com")), NameServer(from_text("b.vm.example.org"), (packed("192.0.2.53"),))),
        "b",
        {"b.vm.example.org.", "ns.example.com."},
        {"b": {"192.0.2.53"}},
    ),
    ("elsewhere", (NameServer(from_text("ns.example.com")),), "ns", {"ns.example.com."}, {}),
]


@pytest.mark.parametrize(
    ("servers", "primary", "names", "glue"), [row[1:] for row in SERVERS], ids=[row[0] for row in SERVERS]
)
def test_name_servers(
    servers: tuple[NameServer, ...], primary: str, names: set[str], glue: dict[str, set[str]]
) -> None:
    """Those that are named, with the addresses of those that are in the zone; MNAME is always in it."""
    store = store_of([namespace(), wired(BLUE)], configured(servers=servers))
    assert look(store, "vm.example.org.", NS) == names
    assert zone(store).soa.rdatas[0].startswith(from_text(f"{primary}.vm.example.org"))
    for label in ("ns", "dns", "b"):
        assert look(store, f"{label}.vm.example.org.") == glue.get(label)


def test_namespace_called_like_the_name_server() -> None:
    """Its VMIs have their names below that of the server, which keeps its addresses when they go."""
    store = store_of([namespace("ns"), wired(vmi_json(namespace="ns"))], SHOWN)
    assert look(store, "vm1.ns.vm.example.org.") == {"10.244.0.7"}
    assert look(store, "ns.vm.example.org.") == {"203.0.113.1"}
    apply_all(store, [Deleted(Kind.VMI, ("ns", "vm1")), Deleted(Kind.NAMESPACE, ("", "ns"))])
    assert look(store, "vm1.ns.vm.example.org.") is None
    assert look(store, "ns.vm.example.org.") == {"203.0.113.1"}


def test_what_it_is_called_beside_services() -> None:
    """The names below Services stay, and nothing of one zone is in another."""
    objects: list[Object] = [namespace(), service(), wired(BLUE)]
    with_names, without = store_of(objects, SHOWN), store_of(objects)
    assert look(with_names, "vm1.db.ns1.svc") == {"10.244.0.7"}
    strip = [one for one in image(with_names) if not any(name.endswith(VM) for name in one[1])]
    assert len(strip) == len(image(without)) == 3
    assert strip[0][1] == image(without)[0][1]


# -- zones -------------------------------------------------------------------------------------------------------------


def test_several_zones() -> None:
    """The same names in each; addresses lead to the first."""
    store = store_of([namespace(), wired(BLUE)], configured("vm", "vm.example.org"))
    assert look(store, "blue.vm1.ns1.vm.") == look(store, "blue.vm1.ns1.vm.example.org.") == {"192.0.2.7"}
    assert pointers(store, "192.0.2.7") == {"blue.vm1.ns1.vm."}


def test_a_zone_inside_the_clusters() -> None:
    """Its names are in it alone, and the zone around it does not know of them."""
    inner = from_text("vm.cluster.local")
    store = store_of([namespace(), service(), wired(BLUE)], configured("vm.cluster.local"))
    assert look(store, "blue.vm1.ns1.vm") == {"192.0.2.7"}
    assert not [name for name in zone(store, ZONE).names() if name.endswith(inner)]
    assert zone(store, ZONE).rrsets(inner) is None


def test_a_zone_around_the_clusters() -> None:
    """What is at or below the inner zone is its own: VMIs have no names there, and no address leads to such."""
    objects: list[Object] = [
        namespace(),
        namespace("cluster"),
        wired(BLUE),
        wired(with_interface(vmi_json("vm2", namespace="cluster", addresses=["10.244.0.8"]), "blue", "192.0.2.8")),
        wired(vmi_json("svc", namespace="cluster", addresses=["10.244.0.9"])),
    ]
    store = store_of(objects, configured("local"))
    assert look(store, "vm1.ns1.local.") == {"10.244.0.7"}
    assert zone(store, from_text("local")).rrsets(from_text("vm2.cluster.local")) is None
    assert [pointers(store, one) for one in ("10.244.0.8", "192.0.2.8", "10.244.0.9")] == [None] * 3
    apply_all(store, [Deleted(Kind.VMI, ("cluster", "vm2"))])  # and nothing goes wrong where there is nothing


def test_names_that_do_not_fit() -> None:
    """A zone so deep that an interface's name is too long has the others."""
    deep = ".".join(["z" * 60] * 3 + ["example"])
    value = with_interface(vmi_json(), "b" * 63, "192.0.2.7")
    store = store_of([namespace(), wired(value)], configured(deep))
    assert look(store, f"vm1.ns1.{deep}.") == {"10.244.0.7"}
    assert pointers(store, "192.0.2.7") is None
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert look(store, f"vm1.ns1.{deep}.") is None


# -- PTR ---------------------------------------------------------------------------------------------------------------

OTHER = with_interface(vmi_json("vm2", addresses=["10.244.0.8"]), "blue", "192.0.2.7")


def test_one_address_in_two_isolated_networks() -> None:
    """Both names answer, and one that goes leaves the other."""
    store = store_of([namespace(), wired(BLUE), wired(OTHER)], SHOWN)
    both = {"blue.vm1.ns1.vm.example.org.", "blue.vm2.ns1.vm.example.org."}
    assert pointers(store, "192.0.2.7") == both
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert pointers(store, "192.0.2.7") == {"blue.vm2.ns1.vm.example.org."}
    apply_all(store, [Changed(Kind.VMI, wired(BLUE))])
    assert pointers(store, "192.0.2.7") == both


def test_the_name_below_a_service_goes_first() -> None:
    """For a primary address; without that name it leads to the VMI's own, and a cluster IP to its Service alone."""
    store = store_of([namespace(), service(), wired(BLUE)], SHOWN)
    assert pointers(store, "10.244.0.7") == {"vm1.db.ns1.svc.cluster.local."}
    assert pointers(store, "192.0.2.7") == {"blue.vm1.ns1.vm.example.org."}
    apply_all(store, [Deleted(Kind.SERVICE, ("ns1", "db"))])
    assert pointers(store, "10.244.0.7") == {"vm1.ns1.vm.example.org."}
    apply_all(store, [Changed(Kind.SERVICE, service())])
    assert pointers(store, "10.244.0.7") == {"vm1.db.ns1.svc.cluster.local."}
    apply_all(store, [Changed(Kind.SERVICE, service("x", cluster_ip="192.0.2.7"))])
    assert pointers(store, "192.0.2.7") == {"x.ns1.svc.cluster.local."}
    apply_all(store, [Deleted(Kind.SERVICE, ("ns1", "x"))])
    assert pointers(store, "192.0.2.7") == {"blue.vm1.ns1.vm.example.org."}


def test_a_secondary_address_that_is_an_endpoints_elsewhere() -> None:
    """On an isolated network that is another host: both answer."""
    value = with_interface(vmi_json("vm2", subdomain=None, labels={}, addresses=[]), "blue", "10.244.0.7")
    store = store_of([namespace(), service(), wired(BLUE), wired(value)], SHOWN)
    assert pointers(store, "10.244.0.7") == {"vm1.db.ns1.svc.cluster.local.", "blue.vm2.ns1.vm.example.org."}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert pointers(store, "10.244.0.7") == {"blue.vm2.ns1.vm.example.org."}


def test_a_secondary_address_that_is_a_primary_one_elsewhere() -> None:
    """Nobody takes a VMI's name away by having its address on a network of his own."""
    value = with_interface(vmi_json("vm2", addresses=[]), "blue", "10.244.0.7")
    store = store_of([namespace(), wired(vmi_json()), wired(value)], SHOWN)
    assert pointers(store, "10.244.0.7") == {"vm1.ns1.vm.example.org.", "blue.vm2.ns1.vm.example.org."}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert pointers(store, "10.244.0.7") == {"blue.vm2.ns1.vm.example.org."}


def test_a_zone_of_one_address() -> None:
    """Its apex has the PTR records as well."""
    config = msgspec.structs.replace(SHOWN, reverse_zones=(from_text("7.2.0.192.in-addr.arpa"),))
    store = store_of([namespace(), wired(BLUE)], config)
    assert pointers(store, "192.0.2.7") == {"blue.vm1.ns1.vm.example.org."}
    apply_all(store, [Changed(Kind.VMI, wired(OTHER))])
    assert pointers(store, "192.0.2.7") == {"blue.vm1.ns1.vm.example.org.", "blue.vm2.ns1.vm.example.org."}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1")), Deleted(Kind.VMI, ("ns1", "vm2"))])
    assert pointers(store, "192.0.2.7") == set()


def test_two_vmis_with_one_primary_address() -> None:
    """Likewise."""
    store = store_of([namespace(), wired(vmi_json()), wired(vmi_json("vm2"))], SHOWN)
    assert pointers(store, "10.244.0.7") == {"vm1.ns1.vm.example.org.", "vm2.ns1.vm.example.org."}
    apply_all(store, [Deleted(Kind.VMI, ("ns1", "vm1"))])
    assert pointers(store, "10.244.0.7") == {"vm2.ns1.vm.example.org."}


def test_no_reverse_zone() -> None:
    """Then nobody asks, and nothing is kept."""
    config = msgspec.structs.replace(SHOWN, reverse_zones=())
    assert {one.origin for one in store_of([namespace(), wired(BLUE)], config).zones} == {ZONE, VM}


def test_own_address_on_an_interface() -> None:
    """A VMI's interface with the server's address makes no name server of it."""
    store = store_of([namespace(), wired(with_interface(vmi_json(), "blue", "203.0.113.1"))], SHOWN)
    assert look(store, "cluster.local.", NS) == {"ns.dns.cluster.local."}


# -- changes -----------------------------------------------------------------------------------------------------------

CHANGES: list[tuple[str, Json | None, dict[str, set[str] | None]]] = [
    ("another address", with_interface(vmi_json(), "blue", "192.0.2.8", "2001:db8::7"), {"blue.vm1": {"192.0.2.8"}}),
    ("unplugged", vmi_json(), {"blue.vm1": None, "vm1": {"10.244.0.7"}}),
    ("plugged", with_interface(BLUE, "red", "192.0.2.9"), {"red.vm1": {"192.0.2.9"}, "blue.vm1": {"192.0.2.7"}}),
    ("renamed", with_interface(vmi_json(), "red", "192.0.2.7"), {"red.vm1": {"192.0.2.7"}, "blue.vm1": None}),
    ("not ready", with_interface(vmi_json(ready=False), "blue", "192.0.2.7"), {"vm1": None, "blue.vm1": None}),
    ("ended", with_interface(vmi_json(phase="Failed"), "blue", "192.0.2.7"), {"vm1": None, "blue.vm1": None}),
    ("deleting", with_interface(vmi_json(deleting=True), "blue", "192.0.2.7"), {"vm1": None, "blue.vm1": None}),
    ("gone", None, {"vm1": None, "blue.vm1": None, "default.vm1": None}),
    (
        "the primary one without a usable address",
        with_interface(vmi_json(addresses=["10.0.2.2"], ready=True, node="node2"), "blue", "192.0.2.7"),
        {"vm1": set(), "default.vm1": None, "blue.vm1": {"192.0.2.7"}},
    ),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_changes(value: Json | None, expected: dict[str, set[str] | None]) -> None:
    """What a change leaves is what a store that never saw the VMI before would publish."""
    store = store_of([namespace(), wired(BLUE)], SHOWN)
    event: Event = Deleted(Kind.VMI, ("ns1", "vm1")) if value is None else Changed(Kind.VMI, wired(value))
    apply_all(store, [event])
    assert {name: look(store, f"{name}.ns1.vm.example.org.") for name in expected} == expected
    assert image(store) == image(store_of([namespace(), *([] if value is None else [wired(value)])], SHOWN))


def test_one_serial_a_change() -> None:
    """A change of an interface moves its zone and the reverse zone, in one step, and no other."""
    store = store_of([namespace(), service(), wired(BLUE)], SHOWN)
    before = {one.origin: one for one in store.zones}
    value = with_interface(vmi_json(), "blue", "192.0.2.8", "2001:db8::7")
    apply_all(store, [Changed(Kind.VMI, wired(value))])
    assert {one.origin for one in store.zones if one is not before[one.origin]} == {VM, IN_ADDR}
    assert zone(store).changed == frozenset({from_text("blue.vm1.ns1.vm.example.org")})


SAME: list[tuple[str, Json]] = [
    ("a label", with_interface(vmi_json(labels={"app": "db", "new": "1"}), "blue", "192.0.2.7", "2001:db8::7")),
    ("where the address is from", with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7", info_source="x")),
    ("another definition", with_interface(vmi_json(), "blue", "192.0.2.7", "2001:db8::7", definition="other")),
]


@pytest.mark.parametrize("value", [row[1] for row in SAME], ids=[row[0] for row in SAME])
def test_what_changes_nothing(value: Json) -> None:
    """No zone has a new version."""
    store = store_of([namespace(), wired(BLUE)], SHOWN)
    before = store.zones
    apply_all(store, [Changed(Kind.VMI, wired(value))])
    assert all(one is other for one, other in zip(store.zones, before, strict=True))


def test_namespaces() -> None:
    """VMIs have names while their namespace is published, with or without any Service in it."""
    store = store_of([wired(BLUE)], SHOWN)  # no Namespace is known: all of them exist
    assert look(store, "vm1.ns1.vm.example.org.") == {"10.244.0.7"}
    steps: list[tuple[Event, set[str] | None]] = [
        (Changed(Kind.NAMESPACE, namespace("ns2")), None),
        (Changed(Kind.NAMESPACE, namespace("ns1")), {"10.244.0.7"}),
        (Deleted(Kind.NAMESPACE, ("", "ns1")), None),
        (Deleted(Kind.NAMESPACE, ("", "ns2")), {"10.244.0.7"}),
    ]
    for event, expected in steps:
        apply_all(store, [event])
        assert look(store, "vm1.ns1.vm.example.org.") == expected
    listed = msgspec.structs.replace(SHOWN, namespaces=frozenset({"ns2"}))
    assert look(store_of([namespace(), wired(BLUE)], listed), "vm1.ns1.vm.example.org.") is None


def test_kubevirt_only() -> None:
    """The names are those of VMIs, and so are published."""
    store = store_of([namespace(), wired(BLUE)], configured(kubevirt="only"))
    assert look(store, "blue.vm1.ns1.vm.example.org.") == {"192.0.2.7"}


def test_slices_repair_a_masquerade_address() -> None:
    """As they do for names below Services, whichever Service they are of."""
    value = with_interface(vmi_json(addresses=["10.0.2.2"], pods={"pod-x": "node1"}), "blue", "192.0.2.7")
    store = store_of([namespace(), wired(value)], SHOWN)
    assert look(store, "vm1.ns1.vm.example.org.") == set()
    one = endpoint_slice(endpoint_json("10.244.0.9", pod="pod-x"), name="other-1", service="other")
    apply_all(store, [Changed(Kind.ENDPOINT_SLICE, one)])
    assert look(store, "vm1.ns1.vm.example.org.") == {"10.244.0.9"}
    apply_all(store, [Deleted(Kind.ENDPOINT_SLICE, ("ns1", "other-1"))])
    assert look(store, "vm1.ns1.vm.example.org.") == set()


def test_held_addresses_end() -> None:
    """An interface keeps what it had while it reports nothing, and the store says when that ends."""
    store = store_of([namespace(), wired(BLUE)], SHOWN)
    apply_all(store, [Changed(Kind.VMI, wired(with_interface(vmi_json(), "blue")))], now=10.0)
    assert (look(store, "blue.vm1.ns1.vm.example.org."), store.deadline) == ({"192.0.2.7"}, 70.0)
    store.refresh(70.0, serial=2)
    assert look(store, "blue.vm1.ns1.vm.example.org.") is None
    assert pointers(store, "192.0.2.7") is None


def test_hand_over() -> None:
    """A migrated VMI keeps its names while KubeVirt calls it not ready."""
    store = store_of([namespace(), wired(BLUE)], SHOWN)
    handing = {"targetNode": "node2", "endTimestamp": "2026-01-01T00:00:00Z"}
    value = with_interface(vmi_json(ready=False, node="node2", migration=handing), "blue", "192.0.2.7")
    apply_all(store, [Changed(Kind.VMI, wired(value))], now=10.0)
    assert look(store, "blue.vm1.ns1.vm.example.org.") == {"192.0.2.7"}
    store.refresh(70.0, serial=2)
    assert look(store, "blue.vm1.ns1.vm.example.org.") is None


# -- what is asked besides ---------------------------------------------------------------------------------------------


def test_why_there_is_no_name() -> None:
    """The store says which names a VMI has, and which rule refuses it or one of its interfaces."""
    objects: list[Object] = [
        namespace(),
        wired(with_interface(vmi_json(), "blue")),
        wired(vmi_json("vm2", ready=False)),
        wired(vmi_json("vm3", namespace="ns9")),
    ]
    store = store_of(objects, SHOWN)
    found = store.machine(("ns1", "vm1"), 0.0)
    assert isinstance(found, Machine)
    assert [(network, one.rule) for network, one in found.unnamed] == [("blue", InterfaceRule.ADDRESS)]
    refused = store.machine(("ns1", "vm2"), 0.0)
    assert isinstance(refused, Unnamed)
    assert refused.rule is Rule.READY
    assert store.machine(("ns9", "vm3"), 0.0) is None  # its namespace is not published
    assert store.machine(("ns1", "vm4"), 0.0) is None
    assert store_of(objects).machine(("ns1", "vm1"), 0.0) is None


def test_guests_are_known_by_their_primary_address() -> None:
    """A client's address is that of its primary interface, also while another interface's is held."""
    store = store_of([namespace(), wired(BLUE)], SHOWN)
    store.want_guests(wanted=True)
    apply_all(store, [Changed(Kind.VMI, wired(with_interface(vmi_json(addresses=[]), "blue")))])
    assert [len(store.guests(packed(one))) for one in ("10.244.0.7", "192.0.2.7")] == [1, 0]


def test_without_the_option() -> None:
    """Further interfaces cost nothing and have no names, whatever the source has read."""
    store = store_of([namespace(), wired(BLUE)])
    assert [one.origin for one in store.zones] == [ZONE, IN_ADDR, IP6]
    assert pointers(store, "192.0.2.7") is None


def test_any_order_of_events() -> None:
    """What is published depends on the last states alone, however they were come by."""
    chance = random.Random(8)
    states: list[Json] = [
        BLUE,
        OTHER,
        vmi_json(),
        with_interface(vmi_json(), "Blue", "10.244.0.7"),
        with_interface(vmi_json("vm2", addresses=["10.244.0.7"]), "blue", "192.0.2.7"),
        with_interface(vmi_json("vm2", ready=False), "blue", "192.0.2.7"),
        with_interface(with_interface(vmi_json("vm2"), "a", "192.0.2.7"), "A", "192.0.2.7"),
    ]
    for _ in range(60):
        store = store_of([namespace(), service()], SHOWN)
        last: dict[str, Object] = {}
        for value in chance.choices(states, k=6):
            one = wired(value)
            gone = chance.random() < 0.3 and one.name in last
            event: Event = Deleted(Kind.VMI, one.key) if gone else Changed(Kind.VMI, one)
            last.pop(one.name, None)
            if not gone:
                last[one.name] = one
            apply_all(store, [event])
        for key in [one.name for one in store.known.vmis]:  # what is held would be of the past
            store.known.observations.forget(("ns1", key))
        apply_all(store, [Changed(Kind.NAMESPACE, namespace(uid="again"))])
        assert image(store) == image(store_of([namespace(), service(), *last.values()], SHOWN))


def test_small_steps() -> None:
    """However many VMIs there are, no step takes longer for it."""
    count = 300
    objects: list[Object] = [
        wired(
            with_interface(
                vmi_json(f"vm{i}", addresses=[f"10.244.{i // 250}.{i % 250}"]), "b", f"10.9.{i // 250}.{i % 250}"
            )
        )
        for i in range(count)
    ]
    store = Store(SHOWN)
    for event in lists(objects):
        store.apply(event, 0.0)
    rounds = 1
    while not store.refresh(0.0, serial=1, limit=10):
        rounds += 1
    assert rounds > count / 10
    assert len([one for one in zone(store).names() if one.startswith(b"\1b")]) == count


COUNT = 1000
LIMIT = 1800  # octets a VMI with two interfaces, in the store and in the zones; 1,120 were measured of 10,000


def test_memory() -> None:
    """What names of interfaces cost is bounded, and only those pay who ask for them."""

    def size(config: StoreConfig, wanted: Further | None) -> int:
        tracemalloc.start()
        try:
            store = Store(config)
            for event in lists([_many(i, wanted) for i in range(COUNT)]):
                store.apply(event, 0.0)
            store.refresh(0.0, serial=1)
            # zones remember, up to a number of them, the names that the last change has changed: of one VMI now
            apply_all(
                store, [Changed(Kind.VMI, wired(with_interface(vmi_json("vm-00000"), "blue", "10.10.0.1"), wanted))]
            )
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    plain, full = size(CONFIG, None), size(SHOWN, Further())
    assert (full - plain) / COUNT < LIMIT


def _many(index: int, wanted: Further | None) -> Object:
    """Return one of many VMIs."""
    value = with_interface(
        vmi_json(f"vm-{index:05}", addresses=[f"10.244.{index // 250}.{index % 250}"]),
        "blue",
        f"10.9.{index // 250}.{index % 250}",
    )
    return decode_object(Kind.VMI, msgspec.json.encode(value), wanted)
