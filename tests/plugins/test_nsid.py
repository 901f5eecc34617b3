"""The name server identifier: only for whom asks, in every reply."""

import socket
from pathlib import Path

import pytest

from dnsserver.message import Edns, Reply
from dnsserver.plugins.nsid import Nsid
from dnsserver.plugins.plugin import PluginError, Request
from dnsserver.records import Rcode
from dnsserver.wire import encode_query
from tests.harness import ask_udp, question, serving
from tests.plugins.conftest import DNSSEC, answering, failing, parse, refusal, request

REPLY = Reply(rcode=Rcode.NXDOMAIN, options=((3, b"upstream"), (10, b"cookie")))
ASKED = Edns(1232, options=((10, b"12345678"), (3, b"")))


def plugin(text: str) -> Nsid:
    """Parse one directive."""
    (one,) = parse("nsid", text)
    assert isinstance(one, Nsid)
    return one


@pytest.mark.parametrize("edns", [None, DNSSEC, Edns(1232, options=((10, b"12345678"),))])
async def test_not_asked(edns: Edns | None) -> None:
    """Nobody gets the identifier who did not ask for it."""
    one = plugin("nsid me")
    assert await one.handle(request(edns=edns), answering(REPLY)) is REPLY
    with pytest.raises(PluginError):
        await one.handle(request(edns=edns), failing("x", "y"))


async def test_failure_with_a_reason() -> None:
    """The SERVFAIL of a plugin that failed keeps its extended error."""

    async def handle(_request: Request) -> Reply:
        raise PluginError("forward", "down", 22)

    reply = await plugin("nsid me").handle(request(edns=ASKED), handle)
    assert (reply.rcode, reply.extended_error, reply.options) == (Rcode.SERVFAIL, (22, ""), ((3, b"me"),))


async def test_asked() -> None:
    """Ours takes the place of an upstream's; a query that fails has it as well."""
    one = plugin("nsid us east")
    reply = await one.handle(request(edns=ASKED), answering(REPLY))
    assert reply == Reply(rcode=Rcode.NXDOMAIN, options=((10, b"cookie"), (3, b"us east")))
    failed = await one.handle(request(edns=ASKED), failing("x", "y"))
    assert failed == Reply(rcode=Rcode.SERVFAIL, authoritative=False, options=((3, b"us east"),))


def test_options() -> None:
    """The host's name, or what the Corefile says, joined by spaces."""
    assert plugin("nsid").data == socket.gethostname().encode()
    assert plugin('nsid "a  b" ü').data == "a  b ü".encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nsid\nnsid", "this plugin can only be used once per Server Block"),
        ("nsid {\nx\n}", "unknown property 'x', expecting no block"),
        (f"nsid {'x' * 227}", "an identifier of 227 octets, expecting at most 226"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    assert reason in refusal("nsid", text)


async def test_whole_server(tmp_path: Path) -> None:
    """The longest identifier fits beside the longest question into the smallest response."""
    name = ".".join(["x" * 63] * 3 + ["y" * 61])
    async with serving(f". {{\nbind 127.0.0.1\nnsid {'i' * 226}\nacl {{\nblock\n}}\n}}", tmp_path) as server:
        wire = encode_query(question(name, edns=Edns(512, options=((3, b""),))))
        response = await ask_udp(server.address, wire)
        assert len(response) == 512
        assert response.endswith(b"\x00\x03\x00\xe2" + b"i" * 226)
