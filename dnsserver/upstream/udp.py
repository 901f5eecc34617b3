"""One question over UDP, from a socket of its own: its port and its ID are new every time (RFC 5452, section 9.2)."""

import asyncio
import socket
from contextlib import closing

from dnsserver.upstream.endpoint import Endpoint
from dnsserver.upstream.errors import TIMEOUT, UpstreamError, local_and_remote, reason
from dnsserver.wire import HEADER_SIZE

_MAX_DATAGRAM = 65535  # octets


async def exchange_udp(endpoint: Endpoint, wire: bytes, patience: float) -> bytes:
    """Return the first datagram that has the query's ID; others are ignored.

    Waits `patience` seconds. Raises `UpstreamError`.
    """
    with closing(_connect(endpoint)) as sock:
        try:
            sock.send(wire)
        except OSError as error:
            raise _failure("write", sock, endpoint, error) from error
        try:
            async with asyncio.timeout(patience):
                return await _receive(sock, wire[:2])
        except TimeoutError:
            path = local_and_remote(sock, endpoint.address)
            raise UpstreamError(f"read udp {path}: {TIMEOUT}") from None
        except OSError as error:
            raise _failure("read", sock, endpoint, error) from error


async def _receive(sock: socket.socket, ident: bytes) -> bytes:
    """Wait for a datagram that begins with `ident`. Raises `OSError`, such as for a port that nobody listens at."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < HEADER_SIZE or data[:2] != ident:
        data = await loop.sock_recv(sock, _MAX_DATAGRAM)
    return data


def _connect(endpoint: Endpoint) -> socket.socket:
    """Return a socket that hears nobody but the endpoint; the kernel picks a random port. Raises `UpstreamError`."""
    prefix = f"dial udp {endpoint.address}"
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise UpstreamError(f"{prefix}: {reason(error, 'socket')}") from error
    try:
        sock.setblocking(False)
        sock.connect((endpoint.host, endpoint.port))  # a number, scope included: nothing is looked up
    except OSError as error:
        sock.close()
        raise UpstreamError(f"{prefix}: {reason(error, 'connect')}") from error
    return sock


def _failure(call: str, sock: socket.socket, endpoint: Endpoint, error: OSError) -> UpstreamError:
    return UpstreamError(f"{call} udp {local_and_remote(sock, endpoint.address)}: {reason(error, call)}")
