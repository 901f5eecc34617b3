"""Clients and dispatches that the tests of the transports share."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dnsserver import fastpath
from dnsserver.fast.table import Table
from dnsserver.message import Client, Query
from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.transports import serveudp
from dnsserver.transports.dispatch import bind
from dnsserver.wire import encode_query

SERVER = "dns://test:53"


def query(ident: int, name: str = "example.test") -> bytes:
    """Return a query with this ID."""
    qname = from_text(name)
    return encode_query(Query(ident, qname, qname, RRType.A))


def answered(message: bytes) -> bytes:
    """Return what `echo` answers."""
    return message[:2] + bytes((message[2] | 0x80,)) + message[3:]


def echo(message: bytes, client: Client) -> bytes | None:
    """Answer with the same message, QR set; keep silent towards responses."""
    return answered(message) if len(message) >= 12 and not message[2] & 0x80 else None


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return when the condition holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- counters are plain integers, there is no event to wait for
            await asyncio.sleep(0.005)


class UdpClient(asyncio.DatagramProtocol):
    """A UDP socket whose datagrams are read one at a time."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]  # it is one

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait((data, addr[0]))

    def send(self, message: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(message, address)

    async def receive(self) -> bytes:
        async with asyncio.timeout(5):
            return (await self.received.get())[0]

    async def ask(self, message: bytes, address: tuple[str, int]) -> bytes:
        self.send(message, address)
        return await self.receive()


@contextlib.asynccontextmanager
async def udp_client(host: str = "127.0.0.1") -> AsyncIterator[UdpClient]:
    """Open a UDP client bound to a free port of an address."""
    client = UdpClient()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, local_addr=(host, 0))
    try:
        yield client
    finally:
        transport.close()


class Scripted(socket.socket):
    """A bound UDP socket whose next calls fail as a test says."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self.receive_errors: list[Exception] = []
        self.send_errors: list[Exception] = []

    def recvmsg(self, *args: Any) -> Any:
        if self.receive_errors:
            raise self.receive_errors.pop(0)
        return super().recvmsg(*args)

    def sendto(self, *args: Any) -> int:
        if self.send_errors:
            raise self.send_errors.pop(0)
        return super().sendto(*args)


def scripted_sockets(monkeypatch: pytest.MonkeyPatch) -> list[Scripted]:
    """Return what will hold the UDP sockets that listeners bind from now on; all of them are read in Python."""
    made: list[Scripted] = []

    def scripted(*args: Any, shared: bool = False) -> Scripted:
        made.append(Scripted(bind(*args)))
        return made[-1]

    monkeypatch.setattr(serveudp, "bind", scripted)
    monkeypatch.setattr(fastpath, "new_table", Table)
    return made


class TcpClient:
    """A DNS client on one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *messages: bytes) -> None:
        """Write messages, each behind its length, in one piece."""
        self.writer.write(b"".join(framed(message) for message in messages))

    async def receive(self) -> bytes:
        async with asyncio.timeout(10):
            length = int.from_bytes(await self.reader.readexactly(2), "big")
            return await self.reader.readexactly(length)

    async def ask(self, message: bytes) -> bytes:
        self.send(message)
        return await self.receive()

    async def closed(self) -> bool:
        """Wait until the server has ended the connection; say whether nothing came before that."""
        try:
            async with asyncio.timeout(10):
                return await self.reader.read() == b""
        except ConnectionError:
            return True


def framed(message: bytes) -> bytes:
    """Return a message behind its length."""
    return len(message).to_bytes(2, "big") + message


@contextlib.asynccontextmanager
async def tcp_client(address: tuple[str, int], *, receive_buffer: int | None = None) -> AsyncIterator[TcpClient]:
    """Open a TCP connection; a small receive buffer makes a slow reader."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, address)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield TcpClient(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
