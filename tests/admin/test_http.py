"""The shared HTTP listeners on real sockets: sharing, reloading, closing, and clients that misbehave."""

import asyncio
import errno
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dnsserver.admin.addresses import Address
from dnsserver.admin.http import AdminError, AdminServers, Handler

ANY_PORT = "127.0.0.1:0"


def saying(text: str) -> Handler:
    """Return a handler that answers `text`."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    return answer


async def get(address: Address, path: str) -> tuple[int, str]:
    """Return the status and body of one request."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as response:
        return response.status, await response.text()


async def test_routes_share_a_listener() -> None:
    """Two paths at one address answer on one port; any other path is 404."""
    http = AdminServers()
    async with http.route(ANY_PORT, "/one", saying("1")) as first, http.route(ANY_PORT, "/two", saying("2")) as second:
        assert first == second
        assert await get(first, "/one") == (200, "1")
        assert await get(first, "/two?query") == (200, "2")
        assert await get(first, "/one/") == (404, "404 page not found\n")
        assert await get(first, "/") == (404, "404 page not found\n")


async def test_reload() -> None:
    """The new handler of a path takes over before the old one leaves, without a gap."""
    http = AdminServers()
    old, new = http.route(ANY_PORT, "/", saying("old")), http.route(ANY_PORT, "/", saying("new"))
    address = await old.__aenter__()
    assert await get(address, "/") == (200, "old")
    assert await new.__aenter__() == address
    assert await get(address, "/") == (200, "new")
    await old.__aexit__(None, None, None)
    assert await get(address, "/") == (200, "new")
    await new.__aexit__(None, None, None)
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(address, "/")


async def test_failed_reload() -> None:
    """The old handler answers again once a new one has gone."""
    http = AdminServers()
    async with http.route(ANY_PORT, "/", saying("old")) as address:
        async with http.route(ANY_PORT, "/", saying("new")):
            assert await get(address, "/") == (200, "new")
        assert await get(address, "/") == (200, "old")


async def test_closes_at_once() -> None:
    """Leaving the block refuses connections, even while a client holds one open; the port is free again."""
    http = AdminServers()
    async with http.route(ANY_PORT, "/", saying("")) as address:
        reader, writer = await asyncio.open_connection(*address)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    assert await reader.read() == b""
    writer.close()
    async with http.route(str(address), "/", saying("again")) as reopened:
        assert await get(reopened, "/") == (200, "again")


async def test_request_under_way_is_finished() -> None:
    """A request that is being answered when the listener closes gets its answer."""
    http = AdminServers()
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        entered.set()
        await go_on.wait()
        return web.Response(text="done")

    route = http.route(ANY_PORT, "/", slow)
    address = await route.__aenter__()
    asking = asyncio.create_task(get(address, "/"))
    await entered.wait()
    closing = asyncio.create_task(route.__aexit__(None, None, None))
    await asyncio.sleep(0)
    go_on.set()
    assert await asking == (200, "done")
    await closing


async def test_silent_client() -> None:
    """A client that sends nothing loses its connection after the time of one request, and hinders nobody."""
    http = AdminServers(request_seconds=0.05)
    async with http.route(ANY_PORT, "/", saying("ok")) as address:
        reader, writer = await asyncio.open_connection(*address)
        assert await get(address, "/") == (200, "ok")
        assert await reader.read() == b""
        writer.close()


async def test_one_request_a_connection() -> None:
    """The server closes after its answer, so idle connections do not pile up."""
    http = AdminServers()
    async with http.route(ANY_PORT, "/", saying("ok")) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()


async def test_too_many_connections() -> None:
    """A connection over the limit is closed, those within it are served."""
    http = AdminServers(max_connections=1)
    async with http.route(ANY_PORT, "/", saying("ok")) as address:
        first_reader, first = await asyncio.open_connection(*address)
        reader, second = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        first.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await first_reader.read()).endswith(b"ok")
        first.close()
        second.close()


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_http(request_line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is told to who sent it, and fills no log: whoever reaches the port could."""
    async with AdminServers().route(ANY_PORT, "/", saying("ok")) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request_line)
        assert (await reader.read()).startswith(b"HTTP/1.0 400 Bad Request\r\n")
        writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_failing_handler(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that fails is a 500 and logged, and the listener goes on."""
    http = AdminServers()

    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError

    async with http.route(ANY_PORT, "/", fail) as address, http.route(ANY_PORT, "/ok", saying("ok")):
        assert (await get(address, "/"))[0] == 500
        assert await get(address, "/ok") == (200, "ok")
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


@pytest.mark.parametrize("text", ["localhost:0", ":0", "[::1]:0"])
async def test_hosts(text: str) -> None:
    """Names, every address, and IPv6 can be listened on."""
    async with AdminServers().route(text, "/", saying("ok")) as bound:
        host = "127.0.0.1" if text in ("localhost:0", ":0") else "::1"
        assert await get(Address(host, bound.port), "/") == (200, "ok")


async def test_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address means every IPv4 address where there is no IPv6; any other failure is one."""
    create, number = socket.create_server, errno.EAFNOSUPPORT

    def without(address: tuple[str, int], **options: Any) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            raise OSError(number, "no IPv6")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", without)
    async with AdminServers().route(":0", "/", saying("ok")) as bound:
        assert bound.host == "0.0.0.0"
        assert await get(Address("127.0.0.1", bound.port), "/") == (200, "ok")
    number = errno.EACCES
    with pytest.raises(AdminError, match="Permission denied"):
        async with AdminServers().route(":0", "/", saying("ok")):
            pass


async def test_address_in_use() -> None:
    """The error names the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AdminError) as caught:
            async with AdminServers().route(address, "/", saying("")):
                pass
    assert str(caught.value) == f"cannot listen on {address}: Address already in use"


@pytest.mark.parametrize(
    ("address", "reason"), [("bla", "missing port"), ("192.0.2.200:80", "Cannot assign"), ("no.invalid:1", "")]
)
async def test_bad_address(address: str, reason: str) -> None:
    """Whatever is wrong with an address is an `AdminError`."""
    with pytest.raises(AdminError, match=f"cannot listen on {address}: .*{reason}"):
        async with AdminServers().route(address, "/", saying("")):
            pass
