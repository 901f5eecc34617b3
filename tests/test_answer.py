"""Answers: positive, NODATA, NXDOMAIN, SERVFAIL before the sync, aliases and additional records."""

from collections.abc import Sequence

import pytest

from dnsserver.answer import MAX_CHAIN, answer, leads_outside
from dnsserver.message import Query, Reply
from dnsserver.names import Name, from_text, spelled_from_text, to_text
from dnsserver.objects import Object
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.store import Store, StoreConfig
from tests.build import (
    CONFIG,
    IN_ADDR,
    ZONE,
    absolute,
    apply_all,
    lists,
    packed,
    port_json,
    rdata_texts,
    service,
    store_of,
    vmi,
    zone_of,
)

A, AAAA, SRV, NS, SOA, CNAME, TXT, PTR, ANY = (
    RRType.A,
    RRType.AAAA,
    RRType.SRV,
    RRType.NS,
    RRType.SOA,
    RRType.CNAME,
    RRType.TXT,
    RRType.PTR,
    RRType.ANY,
)


def ask(store: Store, text: str, qtype: int = A, *, synced: bool = True) -> Reply:
    """Return a store's answer to one question, asked in the case it is written in."""
    qname = spelled_from_text(text) if text.endswith(".") else spelled_from_text(text, ZONE)
    name = absolute(text)
    return answer(zone_of(store.zones, name), Query(1, qname, name, qtype), synced=synced)


def texts(sets: Sequence[RRset]) -> list[str]:
    """Return RRsets as `owner type rdata`, the zone left out."""
    return [
        f"{short(one.owner)} {RRType(one.rrtype).name} {rdata.replace('.cluster.local.', '')}"
        for one in sets
        for rdata in ([""] if one.rrtype == RRType.SOA else rdata_texts(one))
    ]


def short(owner: Name) -> str:
    """Return a name without the zone."""
    return to_text(owner).removesuffix("cluster.local.").removesuffix(".") or "@"


OBJECTS: list[Object] = [
    service(ports=[port_json(80, "http")], families=None),
    service(
        "web",
        cluster_ip="10.0.0.1",
        cluster_ips=["10.0.0.1", "fd00::1"],
        ports=[port_json(80)],
        selector={"app": "web"},
    ),
    service("bare", cluster_ip="10.0.0.2", selector={"app": "web"}),
    service("out", external_name="Www.Example.ORG"),
    service("in", external_name="WEB.ns1.svc.cluster.local"),
    service("twice", external_name="in.ns1.svc.cluster.local."),
    service("away", external_name="twice.ns1.svc.mycluster.local"),
    vmi(addresses=["10.244.0.7", "fd00::7"]),
    vmi("vm2", addresses=["10.244.0.8"]),
]
STORE = store_of(OBJECTS)

# label, question, type, rcode, answer, additional; the authority is the SOA where the answer is empty, else nothing
CASES: list[tuple[str, str, RRType, Rcode, list[str], list[str]]] = [
    ("host", "vm1.db.ns1.svc", A, Rcode.NOERROR, ["vm1.db.ns1.svc A 10.244.0.7"], []),
    ("host, IPv6", "vm1.db.ns1.svc", AAAA, Rcode.NOERROR, ["vm1.db.ns1.svc AAAA fd00::7"], []),
    ("case does not matter", "VM1.Db.NS1.sVc", A, Rcode.NOERROR, ["vm1.db.ns1.svc A 10.244.0.7"], []),
    ("NODATA for a family", "vm2.db.ns1.svc", AAAA, Rcode.NOERROR, [], []),
    ("NODATA for a type", "vm1.db.ns1.svc", TXT, Rcode.NOERROR, [], []),
    ("ANY is not special", "vm1.db.ns1.svc", ANY, Rcode.NOERROR, [], []),
    ("SOA below the apex", "vm1.db.ns1.svc", SOA, Rcode.NOERROR, [], []),
    ("missing host", "vm3.db.ns1.svc", A, Rcode.NXDOMAIN, [], []),
    ("missing host, any type", "vm3.db.ns1.svc", TXT, Rcode.NXDOMAIN, [], []),
    ("below a host", "x.vm1.db.ns1.svc", A, Rcode.NXDOMAIN, [], []),
    ("an external name in the guest's search list", "www.example.com.db.ns1.svc", A, Rcode.NXDOMAIN, [], []),
    ("namespace", "ns1.svc", A, Rcode.NOERROR, [], []),
    ("svc", "svc", A, Rcode.NOERROR, [], []),
    ("pod", "pod", A, Rcode.NOERROR, [], []),
    ("dns", "dns", A, Rcode.NOERROR, [], []),
    ("protocol", "_tcp.db.ns1.svc", SRV, Rcode.NOERROR, [], []),
    ("apex", "cluster.local.", A, Rcode.NOERROR, [], []),
    ("apex SOA", "cluster.local.", SOA, Rcode.NOERROR, ["@ SOA "], []),
    ("apex NS", "cluster.local.", NS, Rcode.NOERROR, ["@ NS ns.dns"], []),
    (
        "Service",
        "db.ns1.svc",
        A,
        Rcode.NOERROR,
        ["db.ns1.svc A 10.244.0.7", "db.ns1.svc A 10.244.0.8"],
        [],
    ),
    (
        "SRV",
        "_http._tcp.db.ns1.svc",
        SRV,
        Rcode.NOERROR,
        ["_http._tcp.db.ns1.svc SRV 0 33 80 vm1.db.ns1.svc", "_http._tcp.db.ns1.svc SRV 0 33 80 vm2.db.ns1.svc"],
        ["vm1.db.ns1.svc A 10.244.0.7", "vm1.db.ns1.svc AAAA fd00::7", "vm2.db.ns1.svc A 10.244.0.8"],
    ),
    (
        "SRV of a Service with cluster IPs",
        "web.ns1.svc",
        SRV,
        Rcode.NOERROR,
        ["web.ns1.svc SRV 0 50 80 web.ns1.svc"],
        ["web.ns1.svc A 10.0.0.1", "web.ns1.svc AAAA fd00::1"],
    ),
    ("no SRV without ports", "bare.ns1.svc", SRV, Rcode.NOERROR, [], []),
    ("PTR", "7.0.244.10.in-addr.arpa.", PTR, Rcode.NOERROR, ["7.0.244.10.in-addr.arpa PTR vm1.db.ns1.svc"], []),
    ("reverse NODATA", "7.0.244.10.in-addr.arpa.", A, Rcode.NOERROR, [], []),
    ("partial reverse name", "244.10.in-addr.arpa.", PTR, Rcode.NOERROR, [], []),
    ("unknown address", "9.0.244.10.in-addr.arpa.", PTR, Rcode.NXDOMAIN, [], []),
    ("reverse apex", "in-addr.arpa.", PTR, Rcode.NOERROR, [], []),
    ("alias", "out.ns1.svc", CNAME, Rcode.NOERROR, ["out.ns1.svc CNAME Www.Example.ORG."], []),
    ("alias that leads out", "out.ns1.svc", A, Rcode.NOERROR, ["out.ns1.svc CNAME Www.Example.ORG."], []),
    (
        "alias that leads to a name that only looks inside",
        "away.ns1.svc",
        A,
        Rcode.NOERROR,
        ["away.ns1.svc CNAME twice.ns1.svc.mycluster.local."],
        [],
    ),
    (
        "alias that leads to a Service, spelled otherwise",
        "in.ns1.svc",
        A,
        Rcode.NOERROR,
        ["in.ns1.svc CNAME WEB.ns1.svc", "web.ns1.svc A 10.0.0.1"],
        [],
    ),
    (
        "alias of an alias",
        "twice.ns1.svc",
        AAAA,
        Rcode.NOERROR,
        ["twice.ns1.svc CNAME in.ns1.svc", "in.ns1.svc CNAME WEB.ns1.svc", "web.ns1.svc AAAA fd00::1"],
        [],
    ),
    (
        "SRV behind an alias",
        "in.ns1.svc",
        SRV,
        Rcode.NOERROR,
        ["in.ns1.svc CNAME WEB.ns1.svc", "web.ns1.svc SRV 0 50 80 web.ns1.svc"],
        ["web.ns1.svc A 10.0.0.1", "web.ns1.svc AAAA fd00::1"],
    ),
    ("below an alias", "x.out.ns1.svc", A, Rcode.NXDOMAIN, [], []),
]


@pytest.mark.parametrize(
    ("text", "qtype", "rcode", "answers", "additional"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_answer(text: str, qtype: RRType, rcode: Rcode, answers: list[str], additional: list[str]) -> None:
    """A question gets these records; where there are none, the zone's SOA says how long that holds."""
    reply = ask(STORE, text, qtype)
    assert (reply.rcode, texts(reply.answer), texts(reply.additional)) == (rcode, answers, additional)
    zone = zone_of(STORE.zones, absolute(text))
    assert reply.authority == (() if answers else (zone.soa,))
    assert (reply.origin, reply.authoritative) == (zone.origin, True)


def test_alias_without_the_type() -> None:
    """An alias that leads to a name without records of that type is left out: NODATA (coredns#6088)."""
    reply = ask(STORE, "in.ns1.svc", TXT)
    assert reply.rcode == Rcode.NOERROR
    assert reply.answer == ()
    assert reply.authority == (STORE.zones[0].soa,)


def test_alias_into_nothing() -> None:
    """An alias that leads to a name that is not there is left out: NODATA, since the alias itself exists."""
    store = store_of([service("in", external_name="nobody.ns1.svc.cluster.local")])
    reply = ask(store, "in.ns1.svc")
    assert (reply.rcode, texts(reply.answer)) == (Rcode.NOERROR, [])
    assert reply.authority == (store.zones[0].soa,)


def chain(length: int, end: Object) -> Store:
    """Return a store with a chain of aliases to a Service `end`."""
    links = [
        service(
            f"c{number}", external_name=f"{f'c{number + 1}' if number + 1 < length else 'end'}.ns1.svc.cluster.local"
        )
        for number in range(length)
    ]
    return store_of([*links, end])


def test_longest_chain() -> None:
    """Ten aliases are followed, and no endless number of them."""
    end = service("end", cluster_ip="10.0.0.9")
    reply = ask(chain(MAX_CHAIN, end), "c0.ns1.svc")
    assert len(reply.answer) == MAX_CHAIN + 1
    assert texts(reply.answer)[-1] == "end.ns1.svc A 10.0.0.9"
    assert all(one.rrtype == CNAME for one in ask(chain(50, end), "c0.ns1.svc").answer)
    assert len(ask(chain(50, end), "c0.ns1.svc").answer) <= MAX_CHAIN + 1


@pytest.mark.parametrize("length", [MAX_CHAIN + 1, 50])
def test_longer_chain(length: int) -> None:
    """One alias more, and there is no record at the name: NODATA without any of them."""
    store = chain(length, service("end", cluster_ip="10.0.0.9"))
    reply = ask(store, "c0.ns1.svc")
    assert (reply.rcode, reply.answer, reply.authority) == (Rcode.NOERROR, (), (store.zones[0].soa,))
    assert texts(ask(store, "c0.ns1.svc", CNAME).answer) == ["c0.ns1.svc CNAME c1.ns1.svc"]
    assert len(ask(store, f"c{length - MAX_CHAIN}.ns1.svc").answer) == MAX_CHAIN + 1


OUTSIDE: list[tuple[str, str, RRType, str | None]] = [  # question, the name outside that its answer ends in
    ("host", "vm1.db.ns1.svc", A, None),
    ("nothing", "vm3.db.ns1.svc", A, None),
    ("alias inside", "in.ns1.svc", A, None),
    ("alias outside", "out.ns1.svc", A, "www.example.org."),
    ("any type but its own", "out.ns1.svc", TXT, "www.example.org."),
    ("the alias itself", "out.ns1.svc", CNAME, None),
    ("another zone's name that ends alike", "away.ns1.svc", SRV, "twice.ns1.svc.mycluster.local."),
]


@pytest.mark.parametrize(("text", "qtype", "name"), [row[1:] for row in OUTSIDE], ids=[row[0] for row in OUTSIDE])
def test_leads_outside(text: str, qtype: RRType, name: str | None) -> None:
    """An answer that ends in an alias leads out of the zone, by a name without case."""
    query = Query(1, absolute(text), absolute(text), qtype)
    assert leads_outside(ask(STORE, text, qtype), query) == (None if name is None else from_text(name))


def test_addresses_of_targets_are_told_once() -> None:
    """Several ports of one target bring its addresses once; a target outside of the zone brings none."""
    ports = [port_json(80, "http"), port_json(443, "https")]
    store = store_of(
        [service("web", cluster_ip="10.0.0.1", ports=ports)], StoreConfig(zones=(ZONE, from_text("b.test")))
    )
    reply = ask(store, "web.ns1.svc", SRV)
    assert (len(reply.answer[0].rdatas), texts(reply.additional)) == (2, ["web.ns1.svc A 10.0.0.1"])
    reverse = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), addresses=(packed("10.244.0.7"),))
    servers = ask(store_of([service(), vmi()], reverse), "in-addr.arpa.", NS)
    assert (texts(servers.answer), servers.additional) == (["in-addr.arpa NS vm1.db.ns1.svc"], ())


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_alias_loop(names: list[str]) -> None:
    """Aliases that lead back to themselves end, each of them told once at most."""
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    store = store_of([service(one, external_name=f"{other}.ns1.svc.cluster.local") for one, other in pairs])
    reply = ask(store, "a.ns1.svc")
    assert reply.rcode == Rcode.NOERROR
    assert len(set(reply.answer)) == len(reply.answer) <= len(names)
    assert all(one.rrtype == CNAME for one in reply.answer)


def test_before_the_sync() -> None:
    """What is not there may only be not there yet: SERVFAIL, never NXDOMAIN. What is known is answered as ever."""
    store = Store(CONFIG)
    apply_all(store, lists(OBJECTS)[:-1])
    assert not store.synced
    missing = ask(store, "vm1.db.ns1.svc", synced=False)
    assert (missing.rcode, missing.answer, missing.authority) == (Rcode.SERVFAIL, (), (store.zones[0].soa,))
    assert missing.extended_error == (14, "")  # Not Ready
    assert ask(store, "svc", synced=False).rcode == Rcode.NOERROR
    assert texts(ask(store, "cluster.local.", SOA, synced=False).answer) == ["@ SOA "]
    assert ask(STORE, "vm3.db.ns1.svc", synced=True).rcode == Rcode.NXDOMAIN


def test_name_server_addresses() -> None:
    """An NS record comes with the addresses of its target."""
    config = StoreConfig(zones=(ZONE,), reverse_zones=(IN_ADDR,), addresses=(packed("10.0.0.53"), packed("fd00::53")))
    reply = ask(store_of((), config), "cluster.local.", NS)
    assert texts(reply.additional) == ["ns.dns A 10.0.0.53", "ns.dns AAAA fd00::53"]
    assert ask(store_of((), config), "ns.dns", A).answer == reply.additional[:1]


def test_names_with_dots_in_labels() -> None:
    """A label with a dot in it is not two labels."""
    assert ask(STORE, r"vm1\.db.ns1.svc").rcode == Rcode.NXDOMAIN
    assert from_text(r"vm1\.db.ns1.svc", ZONE) != absolute("vm1.db.ns1.svc")
