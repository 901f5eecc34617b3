"""The load over TCP and TLS: connections that come and go all the time, and some that behave badly."""

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from benchmarks.soak.questions import Question, Questions, replace_query, wrong
from benchmarks.soak.tally import Tally
from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.records import Rcode, RRType
from dnsserver.wire import MalformedMessageError, ParsedResponse, encode_query, parse_response

_ANSWER = 2.0  # seconds for an answer
_TRANSFER = 30.0  # seconds for a zone transfer
_ENDED = 25.0  # seconds until the server has ended a connection at the latest: limits of 5 and 10 s, with much to spare
_PIPELINED = 30  # queries in one write
_UNREAD = 200  # queries in one write of a client that never reads
_TO_BE_ENDED = ("idle", "stalled", "unread")  # clients whose connections the server has to end
_GROUPED = "127.0.0.2"  # where connections come from that misbehave: one address may have only a hundred

_FAILURES = (OSError, asyncio.IncompleteReadError, MalformedMessageError)


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class TcpLoad:
    """Opens and closes connections to one server until cancelled."""

    def __init__(self, port: int, tls_port: int, questions: Questions, tally: Tally) -> None:
        self._port = port
        self._tls_port = tls_port
        self._questions = questions
        self._tally = tally
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # the server is ours, and its certificate not what is measured

    async def run(self) -> None:
        """Run every kind of client, each as often as it likes."""
        clients: tuple[tuple[str, Callable[[], Awaitable[None]], float, int], ...] = (
            ("short", self.short, 0.1, 2),  # name, what it does, seconds of pause, how many of them
            ("pipelined", self.pipelined, 0.5, 1),
            ("tls", self.encrypted, 0.5, 1),
            ("axfr", self.transfer, 30.0, 1),
            ("idle", self.idle, 0.5, 20),
            ("stalled", self.stalled, 0.5, 5),
            ("unread", self.unread, 2.0, 2),
        )
        async with asyncio.TaskGroup() as group:
            for name, client, pause, count in clients:
                for _ in range(count):
                    group.create_task(self._repeat(name, client, pause))

    async def _repeat(self, name: str, client: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            self._tally.asked[name] += 1
            started = time.perf_counter()
            try:
                await client()
            except TimeoutError:
                tell = self._tally.mistaken if name in _TO_BE_ENDED else self._tally.missed
                tell(name, f"nothing for {time.perf_counter() - started:.1f} s")
            except _FAILURES as error:
                self._tally.mistaken(name, f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause)

    # Those that behave

    async def short(self) -> None:
        """Connect, ask one thing, close."""
        async with self._connected() as connection:
            await self._ask(connection, "short", [self._questions.any()])

    async def pipelined(self) -> None:
        """Ask many things before any is answered, the whole of a Service among them."""
        async with self._connected() as connection:
            questions = [self._questions.any() for _ in range(_PIPELINED - 1)]
            await self._ask(connection, "pipelined", [*questions, self._questions.group()])

    async def encrypted(self) -> None:
        """Ask one thing over TLS."""
        async with self._connected(tls=True) as connection:
            await self._ask(connection, "tls", [self._questions.cached()])

    async def transfer(self) -> None:
        """Take the whole zone."""
        name = from_text("cluster.local")
        query = Query(id=1, qname=name, name=name, qtype=RRType.AXFR)
        async with self._connected() as connection, asyncio.timeout(_TRANSFER):
            _write(connection, encode_query(query))
            records = starts = 0
            while starts < 2:  # the SOA record is the first and the last one (RFC 5936, section 2.2)
                response = await _read(connection)
                records += len(response.answer)
                starts += sum(one.rrtype == RRType.SOA for one in response.answer)
                if response.rcode != Rcode.NOERROR or not response.answer:
                    self._tally.mistaken("axfr", f"rcode {response.rcode} after {records} records")
                    return
        if records < self._questions.steady:
            self._tally.mistaken("axfr", f"{records} records")

    # Those that do not

    async def idle(self) -> None:
        """Ask one thing, then wait for the server to end the connection."""
        async with self._connected(_GROUPED) as connection:
            await self._ask(connection, "idle", [self._questions.hit()])
            await _until_ended(connection)

    async def stalled(self) -> None:
        """Send half a query, then wait for the server to end the connection."""
        async with self._connected(_GROUPED) as connection:
            framed = _framed(encode_query(self._questions.hit().query))
            connection.writer.write(framed[: len(framed) // 2])
            await _until_ended(connection)

    async def unread(self) -> None:
        """Ask and ask and never read, until the server ends the connection."""
        framed = _framed(encode_query(self._questions.group().query)) * _UNREAD
        async with self._connected(_GROUPED) as connection, asyncio.timeout(_ENDED):
            connection.writer.transport.set_write_buffer_limits(high=0)
            with contextlib.suppress(ConnectionError):
                while True:
                    connection.writer.write(framed)
                    await connection.writer.drain()

    # Connections

    @contextlib.asynccontextmanager
    async def _connected(self, source: str = "127.0.0.1", *, tls: bool = False) -> AsyncIterator[_Connection]:
        """Connect; leaving the block closes the connection."""
        async with asyncio.timeout(_ANSWER):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                self._tls_port if tls else self._port,
                ssl=self._context if tls else None,
                local_addr=(source, 0),
            )
        try:
            yield _Connection(reader, writer)
        finally:
            if source == _GROUPED:
                writer.transport.abort()  # what it has not sent or read is of no use
            else:
                writer.close()

    async def _ask(self, connection: _Connection, kind: str, questions: list[Question]) -> None:
        """Send queries in one write, and look at their answers, in whatever order they come."""
        waiting = dict(enumerate(questions, 1))
        _write(connection, *(encode_query(replace_query(one.query, ident=ident)) for ident, one in waiting.items()))
        async with asyncio.timeout(_ANSWER):
            while waiting:
                response = await _read(connection)
                question = waiting.pop(response.id, None)
                if question is None:
                    self._tally.mistaken(kind, f"an answer of ID {response.id}")
                elif fault := wrong(question, response):
                    self._tally.mistaken(kind, fault)


def _framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def _write(connection: _Connection, *wires: bytes) -> None:
    connection.writer.write(b"".join(map(_framed, wires)))


async def _read(connection: _Connection) -> ParsedResponse:
    (size,) = struct.unpack("!H", await connection.reader.readexactly(2))
    return parse_response(await connection.reader.readexactly(size))


async def _until_ended(connection: _Connection) -> None:
    """Wait for the server to end the connection. Raises `TimeoutError`."""
    async with asyncio.timeout(_ENDED):
        with contextlib.suppress(ConnectionError):
            await connection.reader.read()
