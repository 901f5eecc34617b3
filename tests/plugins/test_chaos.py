"""Names of class CH that say who serves here."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from dnsserver import __version__
from dnsserver.message import Reply
from dnsserver.names import from_text
from dnsserver.plugins.chaos import Chaos
from dnsserver.plugins.plugin import Plugin
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.wire import encode_query, parse_response
from tests.harness import ask_udp, question, serving
from tests.plugins.conftest import World, answering, parse, refusal, request

NEXT = Reply(rcode=Rcode.NXDOMAIN)
REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(20, ""))


def plugin(authors: Sequence[str] = ("Zoë", "Ann")) -> Chaos:
    """Return a plugin on a host of a known name."""
    return Chaos("1.2", authors, host=lambda: "host-1", source=random.Random(1))


ANSWERS = [  # name, text
    ("version.bind.", "1.2"),
    ("version.server.", "1.2"),
    ("hostname.bind.", "host-1"),
    ("id.server.", "host-1"),
]


@pytest.mark.parametrize(("name", "text"), ANSWERS)
async def test_answers(name: str, text: str) -> None:
    """TXT without AA, and not to be cached."""
    reply = await plugin().handle(request(name, RRType.TXT, qclass=RRClass.CH), answering(NEXT))
    rdata = bytes([len(text)]) + text.encode()
    assert reply == Reply(authoritative=False, answer=(RRset(from_text(name), RRType.TXT, 0, (rdata,)),))


async def test_authors() -> None:
    """All of them, once each, in any order; without authors there is no record."""
    one, orders = plugin(("Zoë", "Ann", "Ann")), set()
    for _ in range(20):
        reply = await one.handle(request("authors.bind.", RRType.TXT, qclass=RRClass.CH), answering(NEXT))
        orders.add(reply.answer[0].rdatas)
    assert orders == {(b"\x03Ann", "\x04Zoë".encode()), ("\x04Zoë".encode(), b"\x03Ann")}
    reply = await plugin(()).handle(request("authors.bind.", RRType.TXT, qclass=RRClass.CH), answering(NEXT))
    assert reply == Reply(authoritative=False)


OTHERS = [  # name, type, class, who answers where there is no other plugin for the class
    ("version.bind.", RRType.TXT, RRClass.IN, NEXT),
    ("version.bind.", RRType.TXT, RRClass.ANY, NEXT),
    ("version.bind.", RRType.TXT, RRClass.HS, REFUSED),
    ("version.bind.", RRType.A, RRClass.CH, REFUSED),
    ("a.version.bind.", RRType.TXT, RRClass.CH, REFUSED),
    ("www.example.com.", RRType.A, RRClass.CH, REFUSED),
]


@pytest.mark.parametrize(("name", "qtype", "qclass", "expected"), OTHERS)
async def test_others(world: World, name: str, qtype: int, qclass: int, expected: Reply) -> None:
    """What is not ours goes on, but a foreign class only to a plugin that has answers in it."""
    one, upstream = plugin(), Plugin()
    upstream.any_class = True
    for others, reply in (((), expected), ((Plugin(),), expected), ((upstream,), NEXT)):
        world.blocks.clear()
        world.block(one, *others)
        async with one.running(world.runtime):
            assert await one.handle(request(name, qtype, qclass=qclass), answering(NEXT)) == reply


def test_options() -> None:
    """Without arguments the program and its version; text is cut to what a character string holds."""
    (one,) = parse("chaos", "chaos")
    assert isinstance(one, Chaos)
    assert (one.version, one.authors) == (f"dnsserver-{__version__}".encode(), ())
    (one,) = parse("chaos", f'chaos {"v" * 300} "Ann B" {"a" * 300} "Ann B"')
    assert isinstance(one, Chaos)
    assert (one.version, one.authors) == (b"v" * 255, (b"Ann B", b"a" * 255))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("chaos\nchaos", "this plugin can only be used once per Server Block"),
        ("chaos {\nx\n}", "unknown property 'x', expecting no block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    assert reason in refusal("chaos", text)


async def test_whole_server(tmp_path: Path) -> None:
    """Class CH reaches the plugin, and its records are of that class."""
    async with serving(". {\nbind 127.0.0.1\nchaos 1.2\n}", tmp_path) as server:
        for qclass, rcode, count in ((RRClass.CH, Rcode.NOERROR, 1), (RRClass.HS, Rcode.REFUSED, 0)):
            wire = encode_query(question("vErsion.bind.", "TXT", qclass=qclass))
            response = parse_response(await ask_udp(server.address, wire))
            assert (response.rcode, len(response.answer)) == (rcode, count)
            assert [record.rrclass for record in response.answer] == [qclass] * count
