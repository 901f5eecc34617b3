"""DNS over HTTPS: both methods, and what is no answer."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from dnsserver.upstream import Endpoint, UpstreamError, client_context
from dnsserver.upstream.https import HttpsClient
from dnsserver.wire import encode_query, parse_query
from tests.upstream.support import LOCALHOST, NAMES, address_reply, answering, question, refusing, server_side

WIRE = encode_query(question())
ANSWER = answering(address_reply("10.0.0.1"))(WIRE, "tcp")[0]
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def https(handle: Handle, context: ssl.SSLContext) -> AsyncIterator[Endpoint]:
    """Serve one path."""
    app = web.Application()
    app.router.add_route("*", "/dns-query", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOCALHOST, 0, ssl_context=context).start()
    try:
        yield Endpoint("https", LOCALHOST, runner.addresses[0][1], NAMES[0])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client(
    endpoint: Endpoint,
    certificates: Path,
    method: str = "POST",
    timeout: float = 5,  # noqa: ASYNC109 -- not waited here
) -> AsyncIterator[HttpsClient]:
    """Ask a server that has the certificate `one`."""
    asking = HttpsClient(endpoint, client_context([certificates / "one.crt"]), method, timeout)
    try:
        yield asking
    finally:
        await asking.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_methods(certificates: Path, method: str) -> None:
    """The message is the body, or a parameter in base64url without padding (RFC 8484, section 4.1)."""
    asked = []

    async def handle(request: web.Request) -> web.Response:
        text = request.query.get("dns", "")
        wire = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or await request.read()
        asked.append((request.method, request.headers["Accept"], "=" in text, parse_query(wire).name))
        return web.Response(body=ANSWER, content_type="application/dns-message")

    context = server_side(certificates)
    async with https(handle, context) as endpoint, client(endpoint, certificates, method) as asking:
        assert [await asking.exchange(WIRE) for _ in range(2)] == [ANSWER, ANSWER]
    assert asked == [(method, "application/dns-message", False, question().name)] * 2


async def test_no_answer(certificates: Path) -> None:
    """Errors of HTTP, redirects, and answers that are too long or too late."""
    bodies: dict[str, Callable[[], web.Response]] = {
        "unexpected status 500": lambda: web.Response(status=500),
        "unexpected status 302": lambda: web.Response(status=302, headers={"Location": "https://example.org"}),
        "the answer is longer than a DNS message": lambda: web.Response(body=bytes(65536)),
    }
    for message, body in bodies.items():

        async def handle(_request: web.Request, body: Callable[[], web.Response] = body) -> web.Response:
            return body()

        async with https(handle, server_side(certificates)) as endpoint, client(endpoint, certificates) as asking:
            with pytest.raises(UpstreamError) as caught:
                await asking.exchange(WIRE)
        assert str(caught.value) == f'Post "https://127.0.0.1:{endpoint.port}/dns-query": {message}'


async def test_too_late(certificates: Path) -> None:
    """A server that takes its time."""
    gone = asyncio.Event()

    async def handle(_request: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    async with https(handle, server_side(certificates)) as endpoint:
        async with client(endpoint, certificates, "GET", 0.05) as asking:
            with pytest.raises(UpstreamError, match=r'^Get "https://.*/dns-query": context deadline exceeded$'):
                await asking.exchange(WIRE)
        gone.set()


async def test_wrong_server(certificates: Path) -> None:
    """Nobody there, and a server that is not the one."""

    async def handle(_request: web.Request) -> web.Response:
        raise AssertionError("asked the wrong server")

    with refusing() as refused:
        async with client(refused, certificates) as asking:
            with pytest.raises(UpstreamError, match=r'^Post "https://127.0.0.1:.*/dns-query": '):
                await asking.exchange(WIRE)
    with pytest.raises(UpstreamError, match=r"Session is closed$"):
        await asking.exchange(WIRE)
    async with https(handle, server_side(certificates, "two")) as endpoint, client(endpoint, certificates) as asking:
        with pytest.raises(UpstreamError, match=r'^Post "https://127.0.0.1:.*certificate verify failed'):
            await asking.exchange(WIRE)
