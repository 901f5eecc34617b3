"""Names that stand for others: ports without underscores, and endpoints by topology zone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from dnsserver.derive.aliases import port_alias, zonal
from dnsserver.derive.endpoint import Endpoint, HostRecords
from dnsserver.derive.service import PortRecords, ServiceView
from dnsserver.names import MAX_NAME, ROOT, Name, fold, from_labels, from_text, to_text
from dnsserver.objects import Port, Service
from dnsserver.records import RRset, RRType
from dnsserver.zone import Zone, ZoneEditor
from tests.build import ZONE, packed, port_json, rdata_texts, service

HTTP, DNS = Port("http", "TCP", 80), Port("dns", "UDP", 53)
NEAR = Endpoint(b"near", (packed("10.244.0.1"), packed("fd00::1")), (HTTP, DNS), zone="zone-a")
FAR = Endpoint(b"far", (packed("10.244.0.2"),), (HTTP,), zone="zone-b")
NOWHERE = Endpoint(b"nowhere", (packed("10.244.0.3"),), (HTTP,))


def zone_with(under: Service, *endpoints: Endpoint, complete: bool = True, origin: Name = ZONE) -> Zone:
    """Return a zone with one Service, its endpoints and the names of all their ports."""
    editor = ZoneEditor(origin, 5)
    owner = from_text("db.ns1.svc", origin)
    view = ServiceView(under, Map({one.prefix: HostRecords((one,), 5) for one in endpoints}), 5, complete=complete)
    editor.set(owner, view)
    for one in endpoints:
        editor.set(Name(one.prefix + owner), HostRecords((one,), 5))
        for port in one.ports:
            editor.set(from_labels(port.labels, owner), PortRecords(view, owner, port.labels))
    return editor.publish(1)


HEADLESS = zone_with(service(), NEAR, FAR, NOWHERE)
CLUSTER_IP = zone_with(service(cluster_ip="10.96.0.1", ports=[port_json(80, "http")]), NEAR)


def owned(found: tuple[RRset, ...] | None, owner: Name) -> dict[str, list[str]] | None:
    """Return RRsets as texts by type, all of one owner."""
    assert {one.owner for one in found or ()} <= {owner}
    return None if found is None else {RRType(one.rrtype).name: rdata_texts(one) for one in found}


ALL = ["10.244.0.1", "10.244.0.2", "10.244.0.3"]
ALIASES: list[
    tuple[str, list[str] | None, list[str] | None]
] = [  # name, its A records, and those in a multicluster zone
    ("http.tcp.db", ALL, None),
    ("_http.tcp.db", ALL, ALL),
    ("http._tcp.db", ALL, ALL),
    ("_http._tcp.db", None, None),  # no alias: the name itself
    ("HTTP.TCP.db", ALL, None),
    ("dns.udp.db", ["10.244.0.1"], None),
    ("http.udp.db", None, None),
    ("http.sctp.db", None, None),
    ("smtp.tcp.db", None, None),
    ("near.db", None, None),
    ("near.tcp.db", None, None),
    ("x.http.tcp.db", None, None),
    ("http.tcp.web", None, None),
    ("tcp.db", [], []),  # there are names below
    ("udp.db", [], []),
    ("_tcp.db", None, None),
    ("sctp.db", None, None),
    ("tcp.web", None, None),
]


@pytest.mark.parametrize(("name", "plain", "multicluster"), ALIASES, ids=[row[0] for row in ALIASES])
def test_port_alias(name: str, plain: list[str] | None, multicluster: list[str] | None) -> None:
    """Underscores may be missing; between clusters, one of two."""
    owner = from_text(f"{name}.ns1.svc", ZONE)
    for wanted, between in ((plain, False), (multicluster, True)):
        found = owned(port_alias(HEADLESS, owner, multicluster=between), owner)
        assert (found if found is None else found.get("A", [])) == wanted


def test_alias_has_srv() -> None:
    """The records are those of the port's name, and lead to the Service's own names."""
    owner = from_text("http.tcp.db.ns1.svc", ZONE)
    found = owned(port_alias(CLUSTER_IP, owner, multicluster=False), owner)
    assert found == {"A": ["10.96.0.1"], "SRV": ["0 100 80 db.ns1.svc.cluster.local."]}


ZONAL: list[tuple[str, list[str] | None]] = [  # what precedes `_zone`, A records of the headless Service
    ("zone-a.pin", ["10.244.0.1"]),
    ("zone-b.pin", ["10.244.0.2"]),
    ("ZONE-A.PIN", ["10.244.0.1"]),
    ("zone-c.pin", []),
    ("zone-a.prefer", ["10.244.0.1"]),
    ("zone-c.prefer", ALL),
    ("x.zone-a.pin", None),
    ("zone-a.only", None),
    ("zone-a", None),
    ("pin", []),
    ("prefer", []),
    ("", []),
    ("zone-a._pin", None),
]


def zonal_name(prefix: str, service_labels: str = "db") -> Name:
    """Return a zonal name."""
    return from_text(".".join(filter(None, (prefix, "_zone", service_labels, "ns1.svc"))), ZONE)


@pytest.mark.parametrize(("prefix", "addresses"), ZONAL, ids=[row[0] or "itself" for row in ZONAL])
def test_zonal(prefix: str, addresses: list[str] | None) -> None:
    """`pin` has the endpoints of that topology zone alone, `prefer` all where it has none; the rest only exists."""
    found = owned(zonal(HEADLESS, zonal_name(prefix)), zonal_name(prefix))
    assert (found if found is None else found.get("A", [])) == addresses


def test_zonal_has_addresses_alone() -> None:
    """Both families, and no SRV."""
    owner = zonal_name("zone-a.pin")
    assert owned(zonal(HEADLESS, owner), owner) == {"A": ["10.244.0.1"], "AAAA": ["fd00::1"]}


@pytest.mark.parametrize("prefix", ["zone-a.pin", "zone-a.prefer", "pin", ""])
def test_zonal_needs_a_headless_service(prefix: str) -> None:
    """With a cluster IP, below an endpoint, without a Service, or as the whole name there is none."""
    assert zonal(CLUSTER_IP, zonal_name(prefix)) is None
    assert zonal(HEADLESS, zonal_name(prefix, "near.db")) is None
    assert zonal(HEADLESS, zonal_name(prefix, "web")) is None
    assert zonal(HEADLESS, zonal_name(prefix, "")) is None


def test_zonal_of_a_service_that_is_not_all_ours() -> None:
    """Where the endpoints of a Service are not all ours to answer for, `prefer` cannot stand for them either."""
    partial = zone_with(service(), NEAR, complete=False)
    assert [zonal(partial, zonal_name(prefix)) for prefix in ("zone-a.pin", "zone-c.prefer", "pin")] == [(), (), ()]


@given(st.lists(st.binary(min_size=1, max_size=63) | st.sampled_from([b"_zone", b"pin", b"tcp", b"db"]), max_size=7))
def test_any_name(labels: list[bytes]) -> None:
    """No name makes them fail, be it at the root."""
    for zone in (HEADLESS, zone_with(service(), NEAR, origin=ROOT)):
        wire = b"".join(bytes((len(one),)) + one for one in labels) + zone.origin
        if labels and len(wire) <= MAX_NAME:
            for found in (port_alias(zone, fold(wire), multicluster=False), zonal(zone, fold(wire))):
                assert all(to_text(one.owner) == to_text(fold(wire)) for one in found or ())
