"""Queries of one connection whose answers are ready: how many are answered at a time, and in how many writes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dnsserver.fast.table import FastZone, Table, Way
from dnsserver.message import Client, Transport
from dnsserver.names import from_text
from dnsserver.transports import TcpLimits, TransportStats, serve_tcp
from dnsserver.transports.connection import WRITE_BUFFER, Connection
from dnsserver.transports.dispatch import Dispatcher, Response
from dnsserver.transports.pipelined import BATCH, Answered, Ready, answer_ready, nothing_ready
from dnsserver.transports.turns import Turns
from dnsserver.zone import ZoneEditor
from tests.transports.support import SERVER, answered, echo, framed, query, tcp_client

LATE = 0x0200  # in IDs: the answer is not ready


def ready(message: bytes) -> bytes | None:
    """Have the answers of `echo`, but for late ones."""
    return None if message[0] == LATE >> 8 else answered(message)


def table() -> Table:
    """Return a table that knows that nothing is below `test.`; what is not there is ready."""
    return Table([FastZone(0, ZoneEditor(from_text("test"), 5).publish(1), rotates=False, missing=True)])


QUERIES = [query(ident) for ident in range(5)]
ALL = b"".join(map(framed, QUERIES))
ANSWERS = b"".join(framed(answered(one)) for one in QUERIES)
SIZE = len(framed(QUERIES[0]))


@pytest.mark.parametrize("size", range(len(ALL) + 1))
def test_whole_messages(size: int) -> None:
    """However much of a row of messages is there, the whole ones are answered."""
    count = size // SIZE
    assert answer_ready(ALL[:size], ready, 10, 1000) == Answered(ANSWERS[: count * SIZE], count * SIZE, count)


@pytest.mark.parametrize(
    ("most", "room", "count"), [(0, 1000, 0), (2, 1000, 2), (10, 1, 1), (10, SIZE, 1), (10, SIZE + 1, 2), (10, 0, 0)]
)
def test_bounds(most: int, room: int, count: int) -> None:
    """No more than so many, and none once there are so many octets."""
    assert answer_ready(ALL, ready, most, room) == Answered(ANSWERS[: count * SIZE], count * SIZE, count)


def test_up_to_what_is_not_ready() -> None:
    """Order is kept: what is behind a query that is not ready waits for its turn."""
    row = QUERIES[0], query(LATE), QUERIES[1]
    assert answer_ready(b"".join(map(framed, row)), ready, 10, 1000) == Answered(ANSWERS[:SIZE], SIZE, 1)
    assert answer_ready(ALL, nothing_ready, 10, 1000) == Answered(b"", 0, 0)


class Socket:
    """Takes any option."""

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        pass


class Recording(asyncio.Transport):
    """Keeps what is written, and takes as much as it is told to."""

    def __init__(self, waiting: int = 0) -> None:
        super().__init__({"socket": Socket()})
        self.writes: list[bytes] = []
        self.closed = False
        self.waiting = waiting  # octets

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close


class Lab:
    """A connection without a socket."""

    def __init__(
        self,
        *,
        ready: Ready = ready,
        dispatch: Callable[[bytes, Client], Response | Awaitable[Response]] = echo,
        queries: int | None = None,
        turns: Turns | None = None,
        waiting: int = 0,
    ) -> None:
        self.stats = TransportStats()
        self.used: list[Connection] = []
        self.turns = turns or Turns()
        client = Client("192.0.2.1", 1, Transport.TCP, SERVER)
        dispatcher = Dispatcher(dispatch, self.stats, 10)
        self.connection = Connection(dispatcher, client, self.used.append, lambda _: None, self.turns, queries, ready)
        self.transport = Recording(waiting)
        self.connection.connection_made(self.transport)

    def receive(self, octets: bytes) -> None:
        """Have octets come in one read."""
        self.connection.get_buffer(-1)[: len(octets)] = octets
        self.connection.buffer_updated(len(octets))

    async def answers(self, count: int) -> list[bytes]:
        """Return the writes once there are so many answers."""
        async with asyncio.timeout(5):
            while self.stats.responses < count:  # noqa: ASYNC110 -- a counter, there is no event to wait for
                await asyncio.sleep(0)
        return self.transport.writes


async def test_one_read_one_write() -> None:
    """What one read has brought is answered at once, in one write, and counted query by query."""
    lab = Lab()
    lab.receive(ALL)
    assert lab.transport.writes == [ANSWERS]
    assert (lab.stats.messages, lab.stats.responses) == (5, 5)
    assert lab.used == [lab.connection]  # among those that may be ended for others, it has just been used
    assert lab.connection.idle


async def test_what_is_not_ready_in_between() -> None:
    """It is asked for in its turn, and its answer may come behind later ones (RFC 7766, section 6.2.1.1)."""
    release = asyncio.Event()

    async def later(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    lab = Lab(dispatch=lambda message, _: later(message))
    late = query(LATE)
    lab.receive(framed(QUERIES[0]) + framed(late) + framed(QUERIES[1]) + framed(QUERIES[2])[:5])
    writes = await lab.answers(2)
    assert writes == [ANSWERS[:SIZE], ANSWERS[SIZE : 2 * SIZE]]
    release.set()
    assert (await lab.answers(3))[2:] == [framed(answered(late))]
    lab.receive(framed(QUERIES[2])[5:])
    assert (await lab.answers(4))[3:] == [ANSWERS[2 * SIZE : 3 * SIZE]]


async def test_a_turn_has_an_end() -> None:
    """A connection with many queries waits for others after so many."""
    lab = Lab()
    other = Lab(turns=lab.turns)
    lab.receive(framed(query(1)) * (BATCH + 3))
    assert len(lab.transport.writes) == 1
    other.receive(ALL)
    assert other.transport.writes == []  # somebody else's turn
    await asyncio.gather(lab.answers(BATCH + 3), other.answers(5))
    assert [len(write) // SIZE for write in lab.transport.writes] == [BATCH, 3]
    assert other.transport.writes == [ANSWERS]


async def test_no_more_than_the_client_reads() -> None:
    """Of what waits for the client there is never more than one answer above the limit."""
    lab = Lab(waiting=WRITE_BUFFER - SIZE - 1)
    lab.receive(ALL)
    assert lab.transport.writes == [ANSWERS[: 2 * SIZE]]
    lab.connection.pause_writing()
    await asyncio.sleep(0.01)  # many rounds of the event loop, in which nothing is to happen
    assert lab.stats.messages == 2
    lab.transport.waiting = 0
    lab.connection.resume_writing()
    assert await lab.answers(5) == [ANSWERS[: 2 * SIZE], ANSWERS[2 * SIZE :]]


async def test_a_slow_reader() -> None:
    """Who takes answers in time keeps the connection, however much waits; who takes none loses it."""
    lab = Lab()
    now = asyncio.get_running_loop().time()
    for seconds in range(10):
        lab.receive(ALL)
        await lab.answers(5 * seconds + 5)
        lab.transport.waiting = len(ALL)
        lab.connection.expire(now + seconds, idle=60, message=60, write=2)
        assert not lab.transport.closed
    lab.connection.expire(now + 12, idle=60, message=60, write=2)
    assert lab.transport.closed
    assert lab.stats.write_timeouts == 1


async def test_half_close() -> None:
    """What has come before the client ended its side is answered, and then the connection ends."""
    lab = Lab(turns=Turns())
    lab.receive(framed(query(1)) * (BATCH + 1) + framed(query(1))[:7])
    lab.connection.eof_received()
    await lab.answers(BATCH + 1)
    assert lab.transport.closed


@pytest.mark.parametrize("queries", [1, 3, 5])
async def test_most_queries_of_one_connection(queries: int) -> None:
    """A connection that has had its number of answers ends, whatever else it has asked."""
    lab = Lab(queries=queries)
    lab.receive(ALL)
    assert await lab.answers(queries) == [ANSWERS[: queries * SIZE]]
    assert lab.transport.closed
    assert lab.stats.messages == queries


async def test_a_fault() -> None:
    """Where looking for what is ready fails, the query is answered like any other."""

    def broken(message: bytes) -> bytes:
        raise MemoryError(message)

    lab = Lab(ready=broken)
    lab.receive(ALL)
    assert b"".join(await lab.answers(5)) == ANSWERS
    assert lab.stats.failures == 5


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_over_a_socket(host: str) -> None:
    """A thousand queries written at once, every seventh not ready; all are answered, and counted by their family."""
    ours = table()
    zone = "test"
    asked = [query(ident, zone if ident % 7 else "elsewhere.example") for ident in range(1000)]
    expected = {ours.respond(one) or answered(one) for one in asked}
    ours.tallies()
    stats = TransportStats()
    async with (
        serve_tcp(echo, host, 0, server_name=SERVER, stats=stats, table=ours, limits=TcpLimits()) as address,
        tcp_client(address) as client,
    ):
        client.send(*asked)
        received = {await client.receive() for _ in asked}
    assert received == expected
    assert (stats.messages, stats.responses) == (1000, 1000)
    (cell,) = ours.tallies()
    assert cell.way is (Way.TCP6 if ":" in host else Way.TCP4)
