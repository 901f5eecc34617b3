"""Records that endpoints share: labels made of addresses, address RRsets, SRV weights."""

import pytest

from dnsserver.derive.endpoint import Endpoint, HostRecords, address_rrsets, dashed, srv_rrsets
from dnsserver.names import Name, from_text
from dnsserver.objects import Port
from dnsserver.records import RRset, RRType
from tests.build import packed, rdata_texts

OWNER = from_text("db.ns1.svc.cluster.local")
VM1, VM2 = from_text("vm1", OWNER), from_text("vm2", OWNER)
HTTP, DNS_TCP, DNS_UDP = Port("http", "TCP", 80), Port("dns", "TCP", 53), Port("dns", "UDP", 53)

DASHED = [
    ("10.244.0.7", b"10-244-0-7"),
    ("fd00::7", b"fd00--7"),
    ("fd00::", b"fd00--0"),
    ("2001:db8:0:0:1::", b"2001-db8-0-0-1--0"),
    ("2001:db8:1:2:3:4:5:abcd", b"2001-db8-1-2-3-4-5-abcd"),
    ("::1", b"--1"),
]


@pytest.mark.parametrize(("text", "label"), DASHED)
def test_dashed(text: str, label: bytes) -> None:
    """An address is a label with dashes, which never ends in one."""
    assert dashed(packed(text)) == label


def test_address_rrsets() -> None:
    """Addresses are sorted, distinct and apart by family; a family without any has no RRset."""
    some = [packed(text) for text in ("10.0.0.9", "fd00::1", "10.0.0.1", "10.0.0.9")]
    assert address_rrsets(OWNER, 5, some) == (
        RRset(OWNER, RRType.A, 5, (packed("10.0.0.1"), packed("10.0.0.9"))),
        RRset(OWNER, RRType.AAAA, 5, (packed("fd00::1"),)),
    )
    assert address_rrsets(OWNER, 5, []) == ()
    assert [one.rrtype for one in address_rrsets(OWNER, 5, [packed("fd00::1")])] == [RRType.AAAA]


# label, (target, addresses, ports) of each, (weight, port, target) of each record
WEIGHTS: list[tuple[str, list[tuple[Name, int, tuple[Port, ...]]], list[tuple[int, int, Name]]]] = [
    ("one", [(VM1, 1, (HTTP,))], [(100, 80, VM1)]),
    ("dual stack", [(VM1, 2, (HTTP,))], [(50, 80, VM1)]),
    (
        "four ports",
        [(VM1, 1, (HTTP, DNS_TCP, Port("a", "TCP", 1), Port("b", "TCP", 2)))],
        [(25, port, VM1) for port in (1, 2, 53, 80)],
    ),
    ("TCP and UDP count twice and are one record", [(VM1, 1, (DNS_TCP, DNS_UDP))], [(50, 53, VM1)]),
    ("two endpoints of one name count twice", [(VM1, 1, (HTTP,)), (VM1, 1, (HTTP,))], [(50, 80, VM1)]),
    ("two endpoints", [(VM1, 1, (HTTP,)), (VM2, 1, (HTTP,))], [(50, 80, VM1), (50, 80, VM2)]),
    ("an endpoint without ports does not count", [(VM1, 1, (HTTP,)), (VM2, 1, ())], [(100, 80, VM1)]),
    ("six", [(VM1, 6, (HTTP,))], [(16, 80, VM1)]),
    ("never less than 1", [(VM1, 101, (HTTP,))], [(1, 80, VM1)]),
    ("no ports", [(VM1, 1, ())], []),
    ("nothing", [], []),
]


@pytest.mark.parametrize(("targets", "wanted"), [row[1:] for row in WEIGHTS], ids=[row[0] for row in WEIGHTS])
def test_weights(targets: list[tuple[Name, int, tuple[Port, ...]]], wanted: list[tuple[int, int, Name]]) -> None:
    """100 is shared out over all addresses and ports, counted before equal records become one."""
    sets = srv_rrsets(OWNER, 5, targets)
    rdatas = [(rdata[3], rdata[4] << 8 | rdata[5], Name(rdata[6:])) for one in sets for rdata in one.rdatas]
    assert rdatas == wanted
    assert all((one.owner, one.rrtype, one.ttl) == (OWNER, RRType.SRV, 5) for one in sets)


def test_host_records() -> None:
    """A host name has the addresses of every endpoint of that label, and SRV for their ports."""
    first = Endpoint(b"vm1", (packed("10.0.0.1"), packed("fd00::1")), (HTTP,))
    second = Endpoint(b"vm1", (packed("10.0.0.2"),), (HTTP, DNS_TCP))
    texts = {RRType(one.rrtype).name: rdata_texts(one) for one in HostRecords((first, second), 5).rrsets(VM1)}
    assert texts == {
        "A": ["10.0.0.1", "10.0.0.2"],
        "AAAA": ["fd00::1"],
        "SRV": ["0 25 53 vm1.db.ns1.svc.cluster.local.", "0 25 80 vm1.db.ns1.svc.cluster.local."],
    }
    assert [one.rrtype for one in HostRecords((Endpoint(b"vm1", (packed("10.0.0.1"),), ()),), 5).rrsets(VM1)] == [
        RRType.A
    ]
