"""Names that mean this machine."""

import logging

import pytest

from dnsserver.message import Reply
from dnsserver.names import from_text, to_text
from dnsserver.plugins.local import Local
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa
from tests.plugins.conftest import World, answering, parse, refusal, request

NEXT = Reply(rcode=Rcode.REFUSED)
TTL = 604800
FOUR, SIX = b"\x7f\0\0\1", bytes(15) + b"\1"
LOCALHOST = from_text("localhost")


def data(name: str, rrtype: int, rdata: bytes) -> Reply:
    """Return an answer of one record."""
    return Reply(authoritative=False, answer=(RRset(from_text(name), rrtype, TTL, (rdata,)),))


def soa(zone: str) -> RRset:
    """Return a zone's SOA."""
    rdata = Soa(LOCALHOST, from_text("root.localhost"), 1, 0, 0, 0, TTL).rdata()
    return RRset(from_text(zone), RRType.SOA, TTL, (rdata,))


def nothing(zone: str, rcode: int = Rcode.NOERROR) -> Reply:
    """Return NODATA, or a denial of the name."""
    return Reply(rcode=rcode, authoritative=False, authority=(soa(zone),))


CASES = [  # name, type, reply
    ("localhost.", RRType.A, data("localhost", RRType.A, FOUR)),
    ("LOCALhost.", RRType.AAAA, data("localhost", RRType.AAAA, SIX)),
    ("localhost.", RRType.NS, data("localhost", RRType.NS, LOCALHOST)),
    ("localhost.", RRType.SOA, Reply(authoritative=False, answer=(soa("localhost"),))),
    ("localhost.", RRType.MX, nothing("localhost")),
    ("localhost.", RRType.AXFR, Reply(rcode=Rcode.REFUSED, authoritative=False)),
    ("a.localhost.", RRType.A, data("a.localhost", RRType.A, FOUR)),
    ("b.a.localhost.", RRType.AAAA, data("b.a.localhost", RRType.AAAA, SIX)),
    ("a.localhost.", RRType.TXT, nothing("a.localhost")),
    ("localhost.example.net.", RRType.A, data("localhost.example.net", RRType.A, FOUR)),
    ("localhost.example.net.", RRType.AAAA, data("localhost.example.net", RRType.AAAA, SIX)),
    ("localhost.example.net.", RRType.SOA, nothing("localhost.example.net")),
    ("localhosts.example.net.", RRType.A, NEXT),
    ("a.localhost.example.net.", RRType.A, NEXT),
    ("127.in-addr.arpa.", RRType.A, nothing("127.in-addr.arpa")),
    ("127.in-addr.arpa.", RRType.NS, data("127.in-addr.arpa", RRType.NS, LOCALHOST)),
    ("0.in-addr.arpa.", RRType.SOA, Reply(authoritative=False, answer=(soa("0.in-addr.arpa"),))),
    ("255.In-Addr.arpa.", RRType.PTR, nothing("255.in-addr.arpa")),
    ("1.0.0.127.in-addr.arpa.", RRType.PTR, data("1.0.0.127.in-addr.arpa", RRType.PTR, LOCALHOST)),
    ("1.0.0.127.in-addr.arpa.", RRType.MX, nothing("127.in-addr.arpa")),
    ("0.0.127.in-addr.arpa.", RRType.PTR, nothing("127.in-addr.arpa")),  # an empty non-terminal
    ("0.127.in-addr.arpa.", RRType.PTR, nothing("127.in-addr.arpa")),
    ("2.0.0.127.in-addr.arpa.", RRType.PTR, nothing("127.in-addr.arpa", Rcode.NXDOMAIN)),
    ("1.1.0.0.127.in-addr.arpa.", RRType.PTR, nothing("127.in-addr.arpa", Rcode.NXDOMAIN)),
    ("255.255.255.255.in-addr.arpa.", RRType.PTR, nothing("255.in-addr.arpa", Rcode.NXDOMAIN)),
    ("1.0.0.10.in-addr.arpa.", RRType.PTR, NEXT),
    ("in-addr.arpa.", RRType.SOA, NEXT),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), CASES)
async def test_answers(name: str, qtype: int, expected: Reply) -> None:
    """CoreDNS's answers, but for names between a zone and what is in it."""
    folded = to_text(from_text(name))
    assert await Local().handle(request(folded, qtype), answering(NEXT)) == expected


async def test_classes() -> None:
    """Another class has no such names; class ANY has those of class IN."""
    assert await Local().handle(request("localhost.", qclass=RRClass.CH), answering(NEXT)) is NEXT
    reply = await Local().handle(request("localhost.", qclass=RRClass.ANY), answering(NEXT))
    assert reply == data("localhost", RRType.A, FOUR)


async def test_prefix_off() -> None:
    """Without the prefix, only names below `localhost.` are intercepted."""
    (plugin,) = parse("local", "local {\nlocalhost_prefix off\n}")
    assert isinstance(plugin, Local)
    assert await plugin.handle(request("localhost.example.net."), answering(NEXT)) is NEXT
    below = await plugin.handle(request("localhost.localhost."), answering(NEXT))
    assert below == data("localhost.localhost", RRType.A, FOUR)
    (plugin,) = parse("local", "local {\nlocalhost_prefix on\n}")
    assert isinstance(plugin, Local)
    assert plugin.prefix


async def test_metric(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Names other than `localhost.` itself are counted, by all plugins together, and logged for who debugs."""
    (first,) = parse("local", "local")
    with caplog.at_level(logging.DEBUG, "plugin/local"):
        async with first.running(world.runtime), Local().running(world.runtime):
            for name in ("localhost.", "localhost.example.net.", "a.localhost.", "www."):
                await first.handle(request(name), answering(NEXT))
    assert 'Intercepting localhost query for "a.localhost." A, from 127.0.0.1' in caplog.text
    lines = (await world.runtime.metrics.render()).decode().splitlines()
    assert [line for line in lines if line.startswith("coredns_local_")] == [
        "coredns_local_localhost_requests_total 2.0"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("local x", "expecting local"),
        ("local\nlocal", "this plugin can only be used once per Server Block"),
        ("local {\nprefix on\n}", "unknown property 'prefix', expecting localhost_prefix"),
        ("local {\nlocalhost_prefix\n}", "expecting localhost_prefix on|off"),
        ("local {\nlocalhost_prefix yes\n}", "localhost_prefix expects 'on' or 'off', got 'yes'"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    assert reason in refusal("local", text)
