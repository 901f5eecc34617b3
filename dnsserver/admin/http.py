"""HTTP listeners that plugins share by address: `/health`, `/ready`, `/metrics` and whatever else is registered."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from dnsserver.admin.addresses import Address, InvalidAddressError, parse_address

Handler = Callable[[web.Request], Awaitable[web.Response]]

_FINISH = 1.0  # seconds that a request under way may go on for once its listener has closed
_BACKLOG = 128


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Say whether a line is about more than a request that is no HTTP: only its client need be told."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger("http")
_log.addFilter(_is_a_fault)


class AdminError(Exception):
    """An HTTP address that cannot be listened on; the text names the address and the reason."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason


class AdminServers:
    """The HTTP listeners of the process, one an address.

    A connection serves one request and ends after `request_seconds` whatever its client does, and an address has at
    most `max_connections`, so a slow or silent client holds up nobody else.
    """

    def __init__(self, *, request_seconds: float = 10.0, max_connections: int = 64) -> None:
        self._request_seconds = request_seconds
        self._max_connections = max_connections
        self._listeners: dict[Address, _Listener] = {}
        self._lock = asyncio.Lock()  # opening and closing await, and must not overlap on one address

    @asynccontextmanager
    async def route(self, address: str, path: str, handler: Handler) -> AsyncIterator[Address]:
        """Answer `path` at `address` with `handler` inside the block; yields the address that was bound.

        The first route at an address opens its listener and the last to leave closes it, so a reload registers the
        new handler before the old one goes: the latest of a path answers. Raises `AdminError`.
        """
        async with self._lock:
            listener = await self._open(address)
            route = _Route(path, handler)
            listener.routes.append(route)
        try:
            yield listener.bound
        finally:
            listener.routes.remove(route)
            await self._close_unused(listener)

    async def _open(self, text: str) -> "_Listener":
        """Return the listener at an address, opened where there is none yet."""
        try:
            address = parse_address(text)
        except InvalidAddressError as error:
            raise AdminError(text, str(error)) from error
        if address not in self._listeners:
            try:
                listening = await _listening_socket(address)
            except OSError as error:
                raise AdminError(text, _reason(error)) from error
            listener = _Listener(address, listening, self._request_seconds, self._max_connections)
            await listener.start()
            self._listeners[address] = listener
        return self._listeners[address]

    async def _close_unused(self, listener: "_Listener") -> None:
        """Close a listener that has no route left."""
        async with self._lock:
            if not listener.routes and self._listeners.get(listener.address) is listener:
                del self._listeners[listener.address]
                await listener.close()


class _Route:
    """One handler of one path; two registrations of the same handler are two routes."""

    __slots__ = ("handler", "path")

    def __init__(self, path: str, handler: Handler) -> None:
        self.path = path
        self.handler = handler


class _Listener:
    """A listening socket and the routes behind it."""

    def __init__(self, address: Address, listening: socket.socket, seconds: float, connections: int) -> None:
        self.address = address
        self.bound = Address(*listening.getsockname()[:2])
        self.routes: list[_Route] = []
        self._socket = listening
        self._seconds = seconds
        self._connections = connections
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, logger=_log, shutdown_timeout=_FINISH)
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=self._socket, backlog=_BACKLOG)

    async def close(self) -> None:
        """Refuse connections from now on, then let requests under way finish for a moment."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        """Pass a request to the latest handler of its path; 404 where there is none."""
        handler = next((route.handler for route in reversed(self.routes) if route.path == request.path), _not_found)
        response = await handler(request)
        response.force_close()
        return response

    def _connection(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections:
            return _Refusal()
        protocol = server()
        asyncio.get_running_loop().call_later(self._seconds, _abort, protocol)
        return protocol


class _Refusal(asyncio.Protocol):
    """A connection over the limit: closed as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _abort(protocol: RequestHandler) -> None:
    """End a connection that is still open."""
    if protocol.transport is not None:
        protocol.transport.abort()


async def _not_found(_request: web.Request) -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


async def _listening_socket(address: Address) -> socket.socket:
    """Return a bound socket; a name listens on its first IPv4 address, or on its first one, as Go's `net.Listen`."""
    if not address.host:
        return _any_address_socket(address.port)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(sockaddr[:2], family=family, backlog=_BACKLOG)


def _any_address_socket(port: int) -> socket.socket:
    """Return a socket for IPv6 and IPv4 at once, or for IPv4 alone where the machine has no IPv6."""
    try:
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=socket.has_dualstack_ipv6()
        )
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return socket.create_server(("", port), backlog=_BACKLOG)


def _reason(error: OSError) -> str:
    """Return what the system says, without Python's own words around it."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno)
