"""One connection over TCP and over TLS: questions and answers, and Go's words for what goes wrong."""

import re
import socket
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from dnsserver.upstream import Endpoint, UpstreamError, client_context
from dnsserver.upstream.errors import ClosedByPeerError, reason
from dnsserver.upstream.stream import Connection
from dnsserver.wire import encode_query
from tests.upstream.support import (
    HANG_UP,
    NAMES,
    address_reply,
    answering,
    other_id,
    question,
    refusing,
    server_side,
    serving,
    silent,
)

WIRE = encode_query(question())
ANSWER = answering(address_reply("10.0.0.1"))
PATH = r"127\.0\.0\.1:\d+->127\.0\.0\.1:\d+"


def tls(endpoint: Endpoint, name: str = "") -> Endpoint:
    return Endpoint("tls", endpoint.host, endpoint.port, name)


async def ask(endpoint: Endpoint, context: ssl.SSLContext | None = None, *, patience: float = 5) -> bytes:
    """Ask once on a connection of its own."""
    connection = await Connection.open(endpoint, context, 5)
    try:
        return await connection.exchange(WIRE, patience)
    finally:
        connection.close()


async def test_several_questions() -> None:
    """A connection is good for one question after the other; answers with other IDs are passed over."""

    def respond(wire: bytes, protocol: str) -> Sequence[bytes]:
        (message,) = ANSWER(wire, protocol)
        return (other_id(message), message)

    async with serving(respond) as server:
        connection = await Connection.open(server.endpoint, None, 5)
        for _ in range(3):
            assert (await connection.exchange(WIRE, 5))[:2] == WIRE[:2]
        assert connection.usable
        connection.close()
    assert (server.protocols, len(server.writers)) == (["tcp"] * 3, 1)


async def test_failures() -> None:
    """Nobody there, silence, and a connection that ends."""
    with refusing() as endpoint, pytest.raises(UpstreamError) as caught:
        await ask(endpoint)
    assert str(caught.value) == f"dial tcp 127.0.0.1:{endpoint.port}: connect: connection refused"
    async with serving(silent) as server:
        with pytest.raises(UpstreamError) as caught:
            await ask(server.endpoint, patience=0.01)
    assert re.fullmatch(f"read tcp {PATH}: i/o timeout", str(caught.value))
    async with serving(lambda wire, protocol: (HANG_UP,)) as server:
        with pytest.raises(ClosedByPeerError, match=r"^EOF$"):
            await ask(server.endpoint)


async def test_reset() -> None:
    """A connection that the other side resets is as closed as one that it ends; other errors are not its doing."""
    async with serving(silent) as server:

        def reset(wire: bytes, protocol: str) -> Sequence[bytes]:
            (writer,) = server.writers
            linger = struct.pack("ii", 1, 0)  # close with RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            return ()

        server.respond = reset
        with pytest.raises(ClosedByPeerError) as caught:
            await ask(server.endpoint)
    assert re.fullmatch(f"read tcp {PATH}: read: connection reset by peer", str(caught.value))


async def test_other_errors() -> None:
    """What TLS says in the middle of a connection."""
    async with serving(silent) as server:
        connection = await Connection.open(server.endpoint, None, 5)
        connection._reader.set_exception(ssl.SSLError(1, "no"))
        with pytest.raises(UpstreamError) as caught:
            await connection.exchange(WIRE, 5)
        connection.close()
    assert re.fullmatch(f"write tcp {PATH}: tls: failure", str(caught.value))
    assert not isinstance(caught.value, ClosedByPeerError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(113, ""), "read: no route to host"),
        (OSError("broken"), "read: broken"),
        (OSError(), "read: failed"),
        (TimeoutError(), "i/o timeout"),
        (TimeoutError(110, ""), "read: connection timed out"),
        (ssl.SSLError(), "tls: failure"),
    ],
)
def test_reasons(error: OSError, text: str) -> None:
    """Go's words for what the system says."""
    assert reason(error, "read") == text


async def test_dial_timeout() -> None:
    """A server that never finishes the handshake of TLS."""
    async with serving(silent) as server:
        with pytest.raises(UpstreamError) as caught:
            await Connection.open(tls(server.endpoint), client_context(), 0.01)
    assert str(caught.value) == f"dial tcp 127.0.0.1:{server.port}: i/o timeout"


async def test_usable() -> None:
    """An idle connection that the other side has closed is known to be of no use."""
    async with serving(ANSWER) as server:
        connection = await Connection.open(server.endpoint, None, 5)
        await connection.exchange(WIRE, 5)
        await server.hang_up()
        with pytest.raises(ClosedByPeerError):
            await connection.exchange(WIRE, 5)
        assert not connection.usable
        connection.close()


@pytest.mark.parametrize("name", ["", *NAMES])
async def test_tls(certificates: Path, name: str) -> None:
    """The certificate is checked for the name that is configured, or else for the address."""
    context = client_context([certificates / "one.crt"])
    async with serving(ANSWER, tls=server_side(certificates)) as server:
        assert (await ask(tls(server.endpoint, name), context))[:2] == WIRE[:2]


async def test_client_certificate(certificates: Path) -> None:
    """A server that wants to know who asks."""
    files = [certificates / name for name in ("two.crt", "two.key", "one.crt")]
    wanting = server_side(certificates, client_ca=certificates / "two.crt")
    async with serving(ANSWER, tls=wanting) as server:
        assert (await ask(tls(server.endpoint), client_context(files)))[:2] == WIRE[:2]
        with pytest.raises(UpstreamError):
            await ask(tls(server.endpoint), client_context(files[2:]))


@pytest.mark.parametrize(
    ("ca", "name", "message"),
    [
        ("two.crt", "", "tls: failed to verify certificate: x509: self-signed certificate"),
        ("one.crt", "other.example", "tls: failed to verify certificate: x509: Hostname mismatch, .*other.example.*"),
        ("one.crt", "127.0.0.2", "tls: failed to verify certificate: x509: IP address mismatch, .*127.0.0.2.*"),
    ],
)
async def test_wrong_server(certificates: Path, ca: str, name: str, message: str) -> None:
    """A server that is not the one: nothing is asked."""
    context = client_context([certificates / ca])
    async with serving(ANSWER, tls=server_side(certificates)) as server:
        with pytest.raises(UpstreamError) as caught:
            await ask(tls(server.endpoint, name), context)
    assert re.fullmatch(message, str(caught.value))
    assert server.asked == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["none.crt"], "error reading .*none.crt: No such file or directory"),
        (["one.key"], "could not read root certs from .*one.key"),
        (["one.crt", "two.key"], "could not load TLS cert: .*"),
        (["one.crt", "none.key"], "could not load TLS cert: .*"),
    ],
)
def test_bad_files(certificates: Path, files: list[str], message: str) -> None:
    """Files that are not there, or not what they should be."""
    with pytest.raises(ValueError, match=message):
        client_context([certificates / name for name in files])
