"""A whole server inside a test: a Corefile's text in, real sockets on 127.0.0.1 out."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from dnsserver.app import App
from dnsserver.corefile import parse
from dnsserver.message import Edns, Query
from dnsserver.names import fold, spelled_from_text, to_text
from dnsserver.records import RRClass, RRType
from dnsserver.setup import set_up
from dnsserver.wire import ParsedResponse, Record, encode_query, parse_response

TIMEOUT = 5.0  # seconds that an answer on this machine may take


def question(qname: str, qtype: str = "A", *, edns: Edns | None = None, qclass: int = RRClass.IN) -> Query:
    """Return a query as a stub resolver asks it."""
    spelled = spelled_from_text(qname)
    return Query(
        id=0x1234,
        qname=spelled,
        name=fold(spelled),
        qtype=RRType[qtype],
        qclass=qclass,
        recursion_desired=True,
        edns=edns,
    )


class _Answer(asyncio.DatagramProtocol):
    """Keeps the first datagram that comes."""

    def __init__(self) -> None:
        self.data: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep it."""
        if not self.data.done():
            self.data.set_result(data)


async def ask_udp(address: tuple[str, int], wire: bytes) -> bytes:
    """Send one datagram and return the answer. Raises `TimeoutError`."""
    transport, answer = await asyncio.get_running_loop().create_datagram_endpoint(_Answer, remote_addr=address)
    try:
        transport.sendto(wire)
        async with asyncio.timeout(TIMEOUT):  # `wait_for` of Python 3.11 may lose a cancellation
            return await answer.data
    finally:
        transport.close()


async def ask_tcp(address: tuple[str, int], wire: bytes) -> bytes:
    """Send one message over a connection of its own and return the answer. Raises `TimeoutError`."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = await reader.readexactly(size)
        writer.close()
        await writer.wait_closed()
    return answer


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs."""

    app: App
    address: tuple[str, int]

    async def ask(self, qname: str, qtype: str = "A", *, tcp: bool = False, edns: Edns | None = None) -> ParsedResponse:
        """Ask one question."""
        wire = encode_query(question(qname, qtype, edns=edns))
        return parse_response(await (ask_tcp if tcp else ask_udp)(self.address, wire))

    def http(self, listen: str, path: str) -> str:
        """Return the URL of a path where a Corefile says to listen for HTTP, as "127.0.0.1:0"."""
        return http_url(self.app, listen, path)

    async def texts(self, qname: str, qtype: str = "A") -> list[str]:
        """Return the RDATA of the answer, as `dig +short` prints it, sorted."""
        return sorted(map(rdata_text, (await self.ask(qname, qtype)).answer))

    async def until(self, qname: str, qtype: str, expected: list[str], *, seconds: float = 5.0) -> float:
        """Ask again and again until the answer is as expected; return the seconds that took. Raises `TimeoutError`."""
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(seconds):
            while await self.texts(qname, qtype) != expected:  # noqa: ASYNC110 -- what is awaited is another process's view
                await asyncio.sleep(0.005)
        return asyncio.get_running_loop().time() - started


def http_url(app: App, listen: str, path: str) -> str:
    """Return the URL of a path of an app; the same words with port 0 are one listener, other words another."""
    (bound,) = (one.bound for one in app._http._listeners.values() if str(one.address) == listen)
    return f"http://{bound}{path}"


async def get(url: str) -> tuple[int, str]:
    """Request a URL; return the status and the body. Raises `ClientError` where the connection is refused."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return response.status, await response.text()


def rdata_text(record: Record) -> str:
    """Return RDATA as the cases spell it: SRV without priority and weight."""
    if record.rrtype in (RRType.A, RRType.AAAA):
        return str(ipaddress.ip_address(record.rdata))
    if record.rrtype == RRType.SRV:
        (port,) = struct.unpack_from("!H", record.rdata, 4)
        return f"* * {port} {to_text(record.rdata[6:])}"
    return to_text(record.rdata)


@asynccontextmanager
async def serving(corefile: str, folder: Path) -> AsyncIterator[Serving]:
    """Run a server on a Corefile whose blocks name no port and `bind 127.0.0.1`; its port is a free one."""
    app = App(set_up(parse(corefile), folder=folder, port=0), quiet=True)
    started = asyncio.Event()
    running = asyncio.create_task(app.run(started.set))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        raise AssertionError(f"the server ended with {await running} before it listened")
    try:
        yield Serving(app, next(iter(app.bound.values())))
    finally:
        app.stop()
        assert await running == 0
