"""Listening at one address over UDP: with the compiled loop, a socket and a thread for each processor."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator

from dnsserver.fast.best import new_loop
from dnsserver.fast.table import Answers, Table, Way
from dnsserver.transports.dispatch import (
    MAX_IN_FLIGHT,
    Dispatch,
    Dispatcher,
    ListenerLostError,
    OnLost,
    TransportStats,
    bind,
    bound_address,
)
from dnsserver.transports.fastudp import FastUdpListener
from dnsserver.transports.udp import UdpListener

RECEIVE_BUFFER = 4 * 1024 * 1024  # octets asked for; the kernel gives at most net.core.rmem_max
MAX_THREADS = 8  # of one address


@contextlib.asynccontextmanager
async def serve_udp(
    dispatch: Dispatch,
    host: str,
    port: int,
    *,
    server_name: str,
    table: Answers | None = None,
    stats: TransportStats | None = None,
    on_lost: OnLost | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    grace: float = 0.0,
) -> AsyncIterator[tuple[str, int]]:
    """Answer the datagrams sent to a literal address while the context is open; yields the bound (host, port).

    What `table` has an answer for is answered with that, and `dispatch` is asked for the rest. Responses leave from the
    address that was asked, also where a wildcard is bound (RFC 2181, section 4.1). Who asks more than can be answered
    in time gets silence for the rest, the oldest first: of the datagrams, and of the answers that are waited for.

    Leaving the context gives answers in flight `grace` seconds, reads what has come meanwhile, and closes the socket.
    Should the socket end before, `on_lost` is called within `CHECK_EVERY`, and leaving raises `ListenerLostError`.
    """
    counted = stats or TransportStats()
    way = Way.UDP6 if ":" in host else Way.UDP4
    listeners: list[UdpListener] = []
    try:
        for sock in _sockets(host, port, _threads(table)):
            dispatcher = Dispatcher(dispatch, counted, max_in_flight, replace_oldest=True)
            listeners.append(_listener(sock, dispatcher, server_name, on_lost, table, way))
            listeners[-1].start()
    except BaseException:
        await asyncio.gather(*(one.close(0.0) for one in listeners))
        raise
    try:
        yield listeners[0].address
    finally:
        await asyncio.gather(*(one.close(grace) for one in listeners))
    for one in listeners:
        if one.lost:
            raise ListenerLostError(f"the UDP socket of {server_name} was lost") from one.reason


def _threads(table: Answers | None) -> int:
    """Return how many sockets share the address: one without the compiled loop, else one for each processor."""
    if table is None or isinstance(table, Table):
        return 1
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)


def _sockets(host: str, port: int, count: int) -> Iterator[socket.socket]:
    """Yield bound sockets, among which the kernel shares out clients; a caller that stops owns those it has got.

    The first is bound alone: where another process has the address already, it must not get a share of its queries.
    """
    for number in range(count):
        sock = bind(host, port, socket.SOCK_DGRAM, shared=number > 0)
        try:
            if count > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            port = bound_address(sock)[1]  # the same for all where it was 0
        except BaseException:
            sock.close()
            raise
        yield sock


def _listener(
    sock: socket.socket,
    dispatcher: Dispatcher,
    server_name: str,
    on_lost: OnLost | None,
    table: Answers | None,
    way: Way,
) -> UdpListener:
    """Return the listener of a socket, and close that where there can be none."""
    try:
        if table is None:
            return UdpListener(sock, dispatcher, server_name, on_lost)
        if new_loop is None or isinstance(table, Table):
            return UdpListener(sock, dispatcher, server_name, on_lost, lambda wire: table.respond(wire, way))
        return FastUdpListener(sock, dispatcher, server_name, on_lost, table, way, new_loop)
    except BaseException:
        sock.close()
        raise
