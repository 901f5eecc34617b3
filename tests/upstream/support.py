"""Servers for the code under test to ask: real sockets on 127.0.0.1, and what each is to answer said by the test."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from dnsserver.message import Query, Reply
from dnsserver.names import fold, from_text, spelled_from_text
from dnsserver.records import RRset, RRType
from dnsserver.upstream import Endpoint
from dnsserver.wire import encode_reply, parse_query

LOCALHOST = "127.0.0.1"
NAMES = ("ns1.example.org", "127.0.0.1")  # what the certificates are for: a name, and the address

Respond = Callable[[bytes, str], Sequence[bytes]]  # a query and "udp" or "tcp" to messages, in order; none is silence
HANG_UP = b""  # instead of a message: close the TCP connection


def question(name: str = "www.example.com", qtype: int = RRType.A, **fields: object) -> Query:
    """Return a query; keyword arguments are its further fields."""
    qname = spelled_from_text(name)
    values: dict[str, object] = {"id": 0x1234, "qname": qname, "name": fold(qname), "qtype": qtype} | fields
    return Query(**values)  # type: ignore[arg-type]  # the fields' types are the caller's to keep


def address_reply(*addresses: str, name: str = "www.example.com") -> Reply:
    """Return a recursive server's answer of IPv4 addresses."""
    rdatas = tuple(socket.inet_aton(text) for text in addresses)
    answer = (RRset(from_text(name), RRType.A, 60, rdatas),) if rdatas else ()
    return Reply(authoritative=False, recursion_available=True, answer=answer)


def answering(reply: Reply, **over_udp: object) -> Respond:
    """Answer everything with one reply; keyword arguments are what is different about it over UDP."""

    def respond(wire: bytes, protocol: str) -> Sequence[bytes]:
        changed = msgspec.structs.replace(reply, **over_udp) if protocol == "udp" else reply
        return (encode_reply(parse_query(wire), changed, limit=65535),)

    return respond


def silent(_wire: bytes, _protocol: str) -> Sequence[bytes]:
    """Answer nothing."""
    return ()


def other_id(message: bytes) -> bytes:
    """Return a message with another ID."""
    return (int.from_bytes(message[:2], "big") ^ 1).to_bytes(2, "big") + message[2:]


class Server(asyncio.DatagramProtocol):
    """A server at one port over UDP and TCP; `asked` keeps what it was asked, and over what."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[tuple[str, bytes]] = []
        self.writers: list[asyncio.StreamWriter] = []  # of every connection ever
        self.port = 0
        self._udp: asyncio.DatagramTransport | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("dns", LOCALHOST, self.port)

    @property
    def protocols(self) -> list[str]:
        """How each question came."""
        return [protocol for protocol, _ in self.asked]

    def queries(self) -> list[Query]:
        """Return what was asked."""
        return [parse_query(wire) for _, wire in self.asked]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = transport  # type: ignore[assignment]  # it is a datagram transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(("udp", data))
        assert self._udp is not None
        for message in self.respond(data, "udp"):
            self._udp.sendto(message, addr)

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one TCP connection."""
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                self.asked.append(("tcp", wire))
                for message in self.respond(wire, "tcp"):
                    if message == HANG_UP:
                        writer.close()
                        return
                    writer.write(len(message).to_bytes(2, "big") + message)
                await writer.drain()
        writer.close()

    async def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(respond: Respond, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server at a free port."""
    server = Server(respond)
    listener, transport = await _listen(server, tls)
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        for writer in server.writers:
            writer.transport.abort()
        await listener.wait_closed()


async def _listen(server: Server, tls: ssl.SSLContext | None) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
    """Listen over TCP, then over UDP at the same port; somebody else may have that one."""
    loop = asyncio.get_running_loop()
    while True:
        listener = await asyncio.start_server(server.serve_connection, LOCALHOST, 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(LOCALHOST, server.port))
        except OSError:
            listener.close()
            continue
        return listener, transport


@contextlib.contextmanager
def refusing() -> Iterator[Endpoint]:
    """Hold a port at which the kernel refuses TCP connections and reports datagrams as undeliverable."""
    with socket.socket() as tcp:
        tcp.bind((LOCALHOST, 0))  # and never listens
        port = tcp.getsockname()[1]
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind((LOCALHOST, port))
            udp.connect((LOCALHOST, port))  # hears only itself
            yield Endpoint("dns", LOCALHOST, port)


def make_certificates(folder: Path) -> Path:
    """Make two self-signed certificates and their keys, with the `openssl` command."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    for name in ("one", "two"):
        alternatives = f"subjectAltName=DNS:{NAMES[0]},IP:{NAMES[1]}"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subject = ["-subj", f"/CN={name}", "-addext", alternatives]
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt", "-days", "2"]
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return folder


def server_side(certificates: Path, name: str = "one", *, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return what a server presents a certificate with; with a CA it wants one of the client as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


class Observed:
    """Keeps what an `Upstream` reports."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def answered(self, to: str, rcode: int, seconds: float) -> None:
        self.events.append(("answered", rcode))

    def reused(self, to: str, protocol: str) -> None:
        self.events.append(("reused", protocol))

    def opened(self, to: str, protocol: str) -> None:
        self.events.append(("opened", protocol))

    def check_failed(self, to: str) -> None:
        self.events.append(("check_failed", to))
