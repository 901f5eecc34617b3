"""`minimal`: what is stripped, what stays whole, and refusals."""

import struct

import msgspec
import pytest

from dnsserver.message import Edns, Reply
from dnsserver.plugins.minimal import Minimal
from dnsserver.records import Rcode, RRset, RRType
from tests.plugins.conftest import NXDOMAIN, answering, parse, refusal, request, rrset

WWW = "www.example.com"
FOUND = rrset(WWW, RRType.A, "192.0.2.1")
ALIAS = RRset(FOUND.owner, RRType.CNAME, 5, (b"\1a\0",))
NS = rrset("example.com", RRType.NS, "ns")
GLUE = rrset("ns.example.com", RRType.A, "192.0.2.53")
SOA = NXDOMAIN.authority[0]
NOW = 1_800_000_000
OUTDATED = RRset(FOUND.owner, RRType.RRSIG, 5, (struct.pack("!HBBIIIH", 1, 8, 2, 5, NOW - 1, NOW - 9, 7) + b"\0",))


def only() -> Minimal:
    """Return the plugin of one block, at a fixed time."""
    (plugin,) = parse("minimal", "minimal")
    assert isinstance(plugin, Minimal)
    plugin._wall_clock = lambda: NOW
    return plugin


@pytest.mark.parametrize(
    "reply",
    [
        Reply(answer=(FOUND,), authority=(NS,), additional=(GLUE,)),
        Reply(answer=(ALIAS,), authority=(NS,), additional=(GLUE,)),
        Reply(additional=(GLUE,)),  # NOERROR without SOA or NS counts as positive, as in CoreDNS
        Reply(answer=(FOUND,), authority=(NS,), truncated=True, recursion_available=True, authoritative=False),
        Reply(answer=(FOUND,), authority=(NS,), extended_error=(3, "stale"), options=((3, b"id"),)),
    ],
)
async def test_stripped(reply: Reply) -> None:
    """A positive answer keeps its answer section, its flags, and EDNS."""
    expected = msgspec.structs.replace(reply, authority=(), additional=())
    assert await only().handle(request(), answering(reply)) == expected


@pytest.mark.parametrize(
    ("qtype", "edns", "reply"),
    [
        (RRType.A, None, Reply(answer=(FOUND,))),
        (RRType.A, None, NXDOMAIN),
        (RRType.A, None, Reply(authority=(SOA,), additional=(GLUE,))),
        (RRType.A, None, Reply(answer=(ALIAS,), authority=(SOA,))),  # NODATA behind an alias needs its SOA
        (RRType.A, None, Reply(authority=(NS,), additional=(GLUE,))),
        (RRType.A, None, Reply(rcode=Rcode.SERVFAIL, authority=(SOA,))),
        (RRType.A, None, Reply(rcode=Rcode.REFUSED, additional=(GLUE,))),
        (RRType.A, Edns(1232, dnssec_ok=True), Reply(answer=(FOUND, OUTDATED), authority=(NS,))),
        (RRType.AXFR, None, Reply(answer=(FOUND,), authority=(NS,))),
        (RRType.AXFR, None, Reply(stream=(SOA,), additional=(GLUE,))),
        (RRType.A, None, Reply(silent=True, additional=(GLUE,))),
    ],
)
async def test_whole(qtype: int, edns: Edns | None, reply: Reply) -> None:
    """Denials, referrals, errors and transfers are not touched."""
    assert await only().handle(request(qtype=qtype, edns=edns), answering(reply)) is reply


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("minimal x", "after 'x', expecting minimal"),
        ("minimal {\nx\n}", "unknown property 'x', expecting no block"),
        ("minimal\nminimal", "this plugin can only be used once per Server Block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """It has no options."""
    assert reason in refusal("minimal", text)
