"""`bufsize`: what is passed on, what limits the reply, and refusals."""

from pathlib import Path

import msgspec
import pytest

from dnsserver import corefile
from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.plugins import bufsize
from dnsserver.plugins.bufsize import Bufsize
from dnsserver.plugins.plugin import Context, Request
from dnsserver.records import RRType
from dnsserver.responder import finish
from tests.plugins.conftest import SERVER, parse, refusal, request, rrset

MANY = Reply(answer=(rrset("www.example.com", RRType.A, *(f"10.0.0.{number}" for number in range(100))),))


def only(text: str) -> Bufsize:
    """Return the plugin of one block."""
    (plugin,) = parse("bufsize", text)
    assert isinstance(plugin, Bufsize)
    return plugin


@pytest.mark.parametrize(
    ("text", "transport", "sent", "passed", "limit"),
    [
        ("bufsize", Transport.UDP, 4096, 1232, 0),  # what the server itself says at most
        ("bufsize", Transport.UDP, 1232, 1232, 0),
        ("bufsize 600", Transport.UDP, 4096, 600, 600),
        ("bufsize 600", Transport.UDP, 600, 600, 0),
        ("bufsize 600", Transport.UDP, 512, 512, 0),
        ("bufsize 600", Transport.UDP, None, None, 0),
        ("bufsize 600", Transport.TCP, 4096, 600, 0),
        ("bufsize 4096", Transport.UDP, 65535, 4096, 0),
    ],
)
async def test_limits(text: str, transport: Transport, sent: int | None, passed: int | None, limit: int) -> None:
    """A size above the limit is lowered on the way in; a reply over UDP is limited on the way out."""
    edns = None if sent is None else Edns(sent, dnssec_ok=True, options=((3, b""),))
    asked = request(client=Client("127.0.0.1", 5, transport, SERVER), edns=edns)
    seen: list[Request] = []

    async def upstream(one: Request) -> Reply:
        seen.append(one)
        return MANY

    reply = await only(text).handle(asked, upstream)
    assert reply == msgspec.structs.replace(MANY, max_udp_size=limit)
    expected = None if passed is None else Edns(passed, dnssec_ok=True, options=((3, b""),))
    assert seen[0].query == msgspec.structs.replace(asked.query, edns=expected)
    if transport is Transport.UDP:
        assert len(finish(asked.query, reply, transport)) <= (limit or 1232)


async def test_smaller_limit_stays() -> None:
    """A limit that the reply brings along is not raised."""
    for own, expected in ((512, 512), (1000, 600)):
        reply = Reply(max_udp_size=own)

        async def upstream(_request: Request, reply: Reply = reply) -> Reply:
            return reply

        answer = await only("bufsize 600").handle(request(edns=Edns(4096)), upstream)
        assert answer.max_udp_size == expected


def test_warning() -> None:
    """More than the server's own limit has no effect on replies, and the operator is told."""
    for size, count in (("1232", 0), ("1233", 1)):
        warnings: list[str] = []
        (block,) = corefile.parse(f".:53 {{\nbufsize {size}\n}}\n").blocks
        context = Context(zones=(), folder=Path(), port=53, warn=warnings.append)
        bufsize.parse(tuple(block.find("bufsize")), context)
        assert len(warnings) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bufsize 511", "size '511', expecting 512 to 4096 octets"),
        ("bufsize 4097", "size '4097', expecting 512 to 4096 octets"),
        ("bufsize -1", "size '-1', expecting 512 to 4096 octets"),
        ("bufsize x", "size 'x', expecting 512 to 4096 octets"),
        ("bufsize 600 700", "expecting bufsize [SIZE]"),
        ("bufsize {\nx\n}", "unknown property 'x', expecting no block"),
        ("bufsize\nbufsize", "this plugin can only be used once per Server Block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """The error says what was expected."""
    assert reason in refusal("bufsize", text)
