"""The names that every zone has, and the names that addresses have."""

from dnsserver.derive.apex import apex_records
from dnsserver.derive.reverse import PointerRecords
from dnsserver.names import from_text, reverse_name, to_text
from dnsserver.records import RRType
from tests.build import IN_ADDR, ZONE, packed, rdata_texts


def test_forward_apex() -> None:
    """A forward zone has its name server, the schema's version, and `svc` and `pod` without records."""
    found = {
        to_text(owner): {(RRType(one.rrtype).name, one.ttl, tuple(rdata_texts(one))) for one in records.rrsets(owner)}
        for owner, records in apex_records(ZONE, (), (packed("10.0.0.53"), packed("fd00::53")), 5, reverse=False)
        if owner != from_text("dns-version", ZONE)
    }
    assert found == {
        "cluster.local.": {("NS", 5, ("ns.dns.cluster.local.",))},
        "ns.dns.cluster.local.": {("A", 5, ("10.0.0.53",)), ("AAAA", 5, ("fd00::53",))},
        "svc.cluster.local.": set(),
        "pod.cluster.local.": set(),
    }


def test_version() -> None:
    """The schema's version keeps a TTL of its own (Kubernetes DNS-Based Service Discovery, section 2.1)."""
    owner = from_text("dns-version", ZONE)
    records = dict(apex_records(ZONE, (), (), 5, reverse=False))[owner]
    (one,) = records.rrsets(owner)
    assert (one.owner, one.rrtype, one.ttl, one.rdatas) == (owner, RRType.TXT, 28800, (b"\x051.1.0",))


def test_reverse_apex() -> None:
    """A reverse zone has its name server and nothing else."""
    found = dict(apex_records(IN_ADDR, (), (packed("10.0.0.53"),), 5, reverse=True))
    assert {to_text(owner) for owner in found} == {"in-addr.arpa.", "ns.dns.in-addr.arpa."}


def test_name_servers() -> None:
    """Where the server has names among the Services those are the zone's name servers, sorted."""
    servers = (from_text("b.svc", ZONE), from_text("a.svc", ZONE))
    (one,) = dict(apex_records(ZONE, servers, (), 5, reverse=False))[ZONE].rrsets(ZONE)
    assert (one.rrtype, one.rdatas) == (RRType.NS, servers[::-1])


def test_pointers() -> None:
    """A cluster IP leads to its Service alone; another address to every endpoint that has it."""
    owner = reverse_name(packed("10.0.0.1"))
    one, two, three = (from_text(text, ZONE) for text in ("b.svc", "a.svc", "c.svc"))
    (both,) = PointerRecords((), (one, two), 5).rrsets(owner)
    assert (both.owner, both.rrtype, both.ttl, both.rdatas) == (owner, RRType.PTR, 5, (two, one))
    (first,) = PointerRecords((three,), (one, two), 5).rrsets(owner)
    assert first.rdatas == (three,)
