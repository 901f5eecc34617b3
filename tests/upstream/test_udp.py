"""One question over UDP: whose answer counts, and Go's words for what goes wrong."""

import re
import socket
from collections.abc import Sequence

import pytest

from dnsserver.message import Reply
from dnsserver.upstream import Endpoint, UpstreamError
from dnsserver.upstream.udp import exchange_udp
from dnsserver.wire import encode_query, parse_response
from tests.upstream.support import LOCALHOST, address_reply, answering, other_id, question, refusing, serving, silent

WIRE = encode_query(question())
SOON = 0.01  # seconds: nothing is going to come


async def test_answer() -> None:
    """The answer comes back as it was sent; each question has a socket of its own."""
    async with serving(answering(address_reply("10.0.0.1"))) as server:
        messages = [await exchange_udp(server.endpoint, WIRE, 5) for _ in range(2)]
    assert [parse_response(message).answer[0].rdata for message in messages] == [b"\x0a\0\0\1"] * 2
    assert server.asked == [("udp", WIRE)] * 2


async def test_other_ids() -> None:
    """Datagrams with another ID, and those too short for a header, are not the answer."""
    answer = answering(address_reply("10.0.0.1"))

    def respond(wire: bytes, protocol: str) -> Sequence[bytes]:
        (message,) = answer(wire, protocol)
        return (other_id(message), b"", wire[:11], message, other_id(message))

    async with serving(respond) as server:
        assert parse_response(await exchange_udp(server.endpoint, WIRE, 5)).id == 0x1234


async def test_timeout() -> None:
    """Silence, and nothing but wrong answers."""
    wrong = answering(Reply())
    for respond in (silent, lambda wire, protocol: (other_id(wrong(wire, protocol)[0]),)):
        async with serving(respond) as server:
            with pytest.raises(UpstreamError) as caught:
                await exchange_udp(server.endpoint, WIRE, SOON)
        assert re.fullmatch(rf"read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:{server.port}: i/o timeout", str(caught.value))


async def test_refused() -> None:
    """A port at which nobody listens."""
    with refusing() as endpoint, pytest.raises(UpstreamError) as caught:
        await exchange_udp(endpoint, WIRE, 5)
    assert re.fullmatch(
        rf"read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:{endpoint.port}: read: connection refused", str(caught.value)
    )


async def test_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that cannot be reached, a host that has no descriptors left, and a message that is too long."""
    with pytest.raises(UpstreamError, match=r"^dial udp \[fe80::1%nowhere\]:53: connect: "):
        await exchange_udp(Endpoint("dns", "fe80::1%nowhere", 53), WIRE, 5)
    async with serving(silent) as server:
        with pytest.raises(UpstreamError, match=r"^write udp 127\.0\.0\.1:\d+->.*: write: message too long$"):
            await exchange_udp(server.endpoint, bytes(70_000), 5)

    def exhausted(*_args: object) -> socket.socket:
        raise OSError(24, "")

    monkeypatch.setattr("dnsserver.upstream.udp.socket.socket", exhausted)
    with pytest.raises(UpstreamError, match=r"^dial udp 127\.0\.0\.1:53: socket: too many open files$"):
        await exchange_udp(Endpoint("dns", LOCALHOST, 53), WIRE, 5)
