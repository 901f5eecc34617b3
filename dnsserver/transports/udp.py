"""DNS over UDP (RFC 1035, section 4.2.1): one socket, one message a datagram."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

from dnsserver.message import Client, Transport
from dnsserver.transports.dispatch import (
    CLOSE_TIMEOUT,
    MAX_IN_FLIGHT,
    Dispatch,
    Dispatcher,
    ListenerLostError,
    OnLost,
    Response,
    TransportStats,
    bind,
    bound_address,
    without_scope,
)

RECEIVE_BUFFER = 4 * 1024 * 1024  # octets asked for; the kernel gives at most net.core.rmem_max


@contextlib.asynccontextmanager
async def serve_udp(
    dispatch: Dispatch,
    host: str,
    port: int,
    *,
    server_name: str,
    stats: TransportStats | None = None,
    on_lost: OnLost | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    grace: float = 0.0,
) -> AsyncIterator[tuple[str, int]]:
    """Answer the datagrams sent to a literal address while the context is open; yields the bound (host, port).

    Responses leave from the address that was asked only where that address was bound: bound to a wildcard, the kernel
    picks the source by its routes, so a host with several addresses binds each (RFC 2181, section 4.1).

    Leaving the context takes no more queries, waits `grace` seconds for answers in flight, and closes the socket.
    Should the socket end before, `on_lost` is called at once, and leaving raises `ListenerLostError`.
    """
    sock = bind(host, port, socket.SOCK_DGRAM)
    dispatcher = Dispatcher(dispatch, stats or TransportStats(), max_in_flight)
    listener = UdpListener(dispatcher, server_name, on_lost)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: listener, sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        yield bound_address(sock)
    finally:
        await listener.close(grace)
    if listener.lost:
        raise ListenerLostError(f"the UDP socket of {server_name} was lost") from listener.reason


class UdpListener(asyncio.DatagramProtocol):
    """The socket's side of `serve_udp`."""

    def __init__(self, dispatcher: Dispatcher, server_name: str, on_lost: OnLost | None = None) -> None:
        self._dispatcher = dispatcher
        self._stats = dispatcher.stats
        self._server_name = server_name
        self._on_lost = on_lost
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self._queue_full = False
        self._closing = False
        self.lost = False
        self.reason: Exception | None = None  # of the loss, where there is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods but not the base class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closed.set_result(None)
        if not self._closing:
            self.lost = True
            self.reason = exc
            if self._on_lost is not None:
                self._on_lost(exc)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._closing:
            return
        if not addr[1]:
            self._stats.port_zero += 1
            return
        client = Client(without_scope(addr[0]), addr[1], Transport.UDP, self._server_name)
        self._dispatcher.ask(data, client, lambda response: self._send(response, addr))

    def _send(self, response: Response, addr: tuple[Any, ...]) -> None:
        if not isinstance(response, bytes) or self._transport is None:
            return  # silence; a datagram is one message, so several are silence too
        if self._queue_full:
            self._stats.send_drops += 1
            return
        try:
            self._transport.sendto(response, addr)
        except (OSError, ValueError):  # ValueError: an address that uvloop cannot convert
            self._stats.send_errors += 1
        else:
            self._stats.responses += 1

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 -- the signature is asyncio's
        self._stats.send_errors += 1

    def pause_writing(self) -> None:
        self._queue_full = True  # on EAGAIN the loops queue without bound: the client asks again instead

    def resume_writing(self) -> None:
        self._queue_full = False

    async def close(self, grace: float) -> None:
        """Take no more queries, let answers in flight finish, close the socket."""
        self._closing = True
        try:
            await self._dispatcher.drain(grace)
        finally:
            if self._transport is not None:
                self._transport.abort()
            await asyncio.wait([self._closed], timeout=CLOSE_TIMEOUT)
