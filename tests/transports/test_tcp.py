"""The TCP listener on real sockets (RFC 7766; protocol rows 71 to 77)."""

import asyncio
import contextlib
import resource
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest

from dnsserver.message import Client, Transport
from dnsserver.transports import ListenerLostError, Roster, RosterLimits, TcpLimits, TransportStats, serve_tcp, tcp
from dnsserver.transports.connection import Connection
from dnsserver.transports.dispatch import Dispatcher, bind
from dnsserver.transports.turns import Turns
from tests.transports.support import SERVER, answered, echo, eventually, framed, query, tcp_client

HURRIED = TcpLimits(idle=0.2, message=0.2, write=0.2)


async def never(message: bytes, client: Client) -> bytes:
    """Be a dispatch that has no answer yet."""
    await asyncio.Event().wait()
    raise AssertionError("never reached")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_answers_and_says_who_asked(host: str) -> None:
    """Queries in sequence on one connection are all answered, and the dispatch learns who asked whom."""
    clients: list[Client] = []

    def dispatch(message: bytes, client: Client) -> bytes:
        clients.append(client)
        return answered(message)

    async with serve_tcp(dispatch, host, 0, server_name=SERVER) as address, tcp_client(address) as client:
        assert address[0] == host
        for ident in range(300):
            assert await client.ask(query(ident)) == answered(query(ident))
        port = client.writer.get_extra_info("sockname")[1]
    assert set(clients) == {Client(host, port, Transport.TCP, SERVER)}


async def test_pipelined_in_one_segment() -> None:
    """A thousand queries written at once are answered, each once; silence towards one of them stops nothing."""
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        client.send(*(query(ident) for ident in range(500)), answered(query(7)), *(query(n) for n in range(500, 1000)))
        received = {await client.receive() for _ in range(1000)}
    assert received == {answered(query(ident)) for ident in range(1000)}


async def test_pipelined_answers_come_as_they_finish() -> None:
    """A slow answer does not hold up those behind it, and more are in flight than one connection may have."""
    release = asyncio.Event()

    async def later(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    def dispatch(message: bytes, client: Client) -> bytes | Awaitable[bytes]:
        return answered(message) if message[1] == 1 else later(message)

    stats = TransportStats()
    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        tcp_client(address) as client,
    ):
        client.send(query(2), query(1))
        assert await client.receive() == answered(query(1))
        client.send(*(query(ident) for ident in range(3, 200)))
        await eventually(lambda: stats.messages == 101)
        release.set()
        received = {(await client.receive())[1] for _ in range(198)}
    assert received == set(range(2, 200))


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
async def test_split_in_small_segments(cut: int) -> None:
    """The boundaries of segments mean nothing, one octet each included."""
    wire = framed(query(1)) + framed(query(2))
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        for start in range(0, len(wire), cut):
            client.writer.write(wire[start : start + cut])
            await client.writer.drain()
            await asyncio.sleep(0)
        assert [await client.receive(), await client.receive()] == [answered(query(1)), answered(query(2))]


async def test_half_close_gets_its_answers() -> None:
    """A client that ends its side is still answered, later answers included; then the server closes."""

    async def dispatch(message: bytes, client: Client) -> bytes:
        await asyncio.sleep(0.02 if message[1] == 1 else 0)
        return answered(message)

    async with serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        client.send(query(1), query(2))
        client.writer.write(b"\0\x20half a message")
        client.writer.write_eof()
        assert {await client.receive(), await client.receive()} == {answered(query(1)), answered(query(2))}
        assert await client.closed()


async def test_half_close_with_more_queries_than_may_be_in_flight() -> None:
    """The queries that waited in the buffer when the client ended its side are answered as well."""

    async def dispatch(message: bytes, client: Client) -> bytes:
        await asyncio.sleep(0.001)
        return answered(message)

    async with serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        client.send(*(query(ident) for ident in range(250)))
        client.writer.write_eof()
        assert {(await client.receive())[1] for _ in range(250)} == set(range(250))
        assert await client.closed()


async def test_long_messages() -> None:
    """The longest message there is arrives whole, and so does the next one; so do the longest answers."""
    longest = query(1) + bytes(65535 - len(query(1)))
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        client.send(longest, query(2), longest)
        assert await client.receive() == answered(longest)
        assert await client.receive() == answered(query(2))
        assert await client.receive() == answered(longest)
        assert await client.ask(query(3)) == answered(query(3))


@pytest.mark.parametrize("length", [0, 1, 11])
async def test_a_length_no_message_has_ends_the_connection(length: int) -> None:
    """What follows cannot be told apart; queries before it are answered, later answers included."""
    stats = TransportStats()
    release = asyncio.Event()

    async def dispatch(message: bytes, client: Client) -> bytes:
        await release.wait()
        return answered(message)

    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        tcp_client(address) as client,
    ):
        client.send(query(1), bytes(length))
        await eventually(lambda: stats.bad_lengths == 1)
        release.set()
        assert await client.receive() == answered(query(1))
        assert await client.closed()
        async with tcp_client(address) as following:
            assert await following.ask(query(2)) == answered(query(2))


async def test_an_exception_and_an_overload_get_servfail() -> None:
    """A client on a connection waits for its answer, so it is told, also when the listener has too much to do."""
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> Awaitable[bytes]:
        if message[1] == 1:
            raise RuntimeError("broken handler")
        return never(message, client)

    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, max_in_flight=1, grace=0) as address,
        tcp_client(address) as client,
    ):
        assert await client.ask(query(1)) == bytes.fromhex("000180020000000000000000")
        client.send(query(2), query(3))
        assert await client.receive() == bytes.fromhex("000380020000000000000000")
    assert (stats.failures, stats.overloads) == (1, 1)


async def test_an_idle_connection_is_closed() -> None:
    """One that never asked and one that has stopped asking are closed; one that waits for its answer is not."""
    stats = TransportStats()
    asked = asyncio.Event()

    async def slow(message: bytes) -> bytes:
        await asked.wait()
        return answered(message)

    def dispatch(message: bytes, client: Client) -> bytes | Awaitable[bytes]:
        return slow(message) if message[1] == 9 else answered(message)

    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=HURRIED) as address,
        tcp_client(address) as waiting,
        tcp_client(address) as silent,
        tcp_client(address) as stopped,
    ):
        waiting.send(query(9))
        assert await stopped.ask(query(1)) == answered(query(1))
        assert await silent.closed()
        assert await stopped.closed()
        asked.set()
        assert await waiting.receive() == answered(query(9))
        assert await waiting.closed()
    assert stats.idle_timeouts == 3


async def test_a_drip_fed_message_has_a_deadline() -> None:
    """Octets that keep coming do not move it; others are served meanwhile."""
    stats = TransportStats()
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=HURRIED) as address,
        tcp_client(address) as dripping,
        tcp_client(address) as other,
    ):
        dripping.writer.write(b"\xff\xff")
        ending = asyncio.ensure_future(dripping.closed())
        while not ending.done():
            with contextlib.suppress(ConnectionError):
                dripping.writer.write(b"\0")
                await dripping.writer.drain()
            assert await other.ask(query(2)) == answered(query(2))
    assert stats.message_timeouts == 1


async def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """Its pipelined queries stop being asked, others are served, and after the write deadline it is cut off."""
    stats = TransportStats()
    big = bytes(30_000)

    def dispatch(message: bytes, client: Client) -> bytes:
        return answered(message) + (big if message[1] == 1 else b"")

    async with (
        serve_tcp(
            dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=TcpLimits(idle=5, write=0.5)
        ) as address,
        tcp_client(address, receive_buffer=4096) as stuck,
        tcp_client(address) as other,
    ):
        stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]  # streams have no way to say so
        stuck.send(*(query(1) for _ in range(20_000)))
        await eventually(lambda: stats.messages > 3)
        assert await other.ask(query(2)) == answered(query(2))
        await eventually(lambda: stats.write_timeouts == 1)
        assert stats.messages < 100  # what the buffers took, not 20,000 answers of 30 kB


async def test_a_slow_reader_gets_everything() -> None:
    """Reading pauses and goes on as the client takes its answers."""
    big = bytes(30_000)

    def dispatch(message: bytes, client: Client) -> bytes:
        return answered(message) + big

    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address,
        tcp_client(address, receive_buffer=8192) as client,
    ):
        client.send(*(query(ident) for ident in range(300)))
        assert [(await client.receive())[:2] for _ in range(300)] == [query(n)[:2] for n in range(300)]


async def test_a_closing_client_that_does_not_read_is_cut_off() -> None:
    """An answer that cannot be delivered holds a half-closed connection no longer than the write deadline."""
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> bytes:
        return bytes(65535)

    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=HURRIED) as address,
        tcp_client(address, receive_buffer=4096) as stuck,
    ):
        stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]  # streams have no way to say so
        stuck.send(*(query(1) for _ in range(500)))
        stuck.writer.write_eof()
        await eventually(lambda: stats.write_timeouts == 1)


async def test_over_the_limit_the_oldest_idle_connection_goes() -> None:
    """A new connection takes the place of the one unused for longest; one that waits for an answer stays."""
    stats = TransportStats()
    release = asyncio.Event()

    async def slow(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    def dispatch(message: bytes, client: Client) -> bytes | Awaitable[bytes]:
        return slow(message) if message[1] == 9 else answered(message)

    roster = Roster(RosterLimits(connections=3))
    async with (
        serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, roster=roster) as address,
        tcp_client(address) as busy,
        tcp_client(address) as first,
        tcp_client(address) as second,
    ):
        busy.send(query(9))
        for client in (first, second, first):  # `second` is now the one unused for longest
            assert await client.ask(query(1)) == answered(query(1))
        async with tcp_client(address) as third:
            assert await third.ask(query(2)) == answered(query(2))
            assert await second.closed()
            assert await first.ask(query(3)) == answered(query(3))
            release.set()
            assert await busy.receive() == answered(query(9))
    assert (stats.connections, stats.connections_evicted) == (4, 1)


async def test_nobody_idle_refuses_the_new_connection() -> None:
    """A source whose connections all wait for answers gets no more of them."""
    stats = TransportStats()
    roster = Roster(RosterLimits(per_source=2))
    async with (
        serve_tcp(never, "127.0.0.1", 0, server_name=SERVER, stats=stats, roster=roster, grace=0) as address,
        tcp_client(address) as first,
        tcp_client(address) as second,
    ):
        first.send(query(1))
        second.send(query(2))
        await eventually(lambda: stats.messages == 2)
        async with tcp_client(address) as third:
            assert await third.closed()
    assert stats.connections_refused == 1


async def test_many_connections_of_one_source() -> None:
    """Above the bound the oldest go, and the newest are served."""
    stats = TransportStats()
    roster = Roster(RosterLimits(per_source=20))
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, roster=roster)
        )
        clients = [await stack.enter_async_context(tcp_client(address)) for _ in range(50)]
        assert await clients[-1].ask(query(1)) == answered(query(1))
        for client in clients[:30]:
            assert await client.closed()
        assert await clients[30].ask(query(2)) == answered(query(2))
    assert stats.connections_evicted == 30


async def test_out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting fails and is counted while no descriptor is free; the same connection is served when one is."""
    monkeypatch.setattr(tcp, "ACCEPT_RETRY", 0.02)
    stats = TransportStats()
    loop = asyncio.get_running_loop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address:
        with socket.socket() as client, contextlib.ExitStack() as spare:
            client.setblocking(False)
            held = [spare.enter_context(socket.socket()) for _ in range(20)]  # fills the gaps below the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(sock.fileno() for sock in held) + 1, hard))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        spare.enter_context(socket.socket())
                await loop.sock_connect(client, address)
                await eventually(lambda: stats.accept_errors >= 2)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await loop.sock_sendall(client, framed(query(1)))
            async with asyncio.timeout(5):
                assert await loop.sock_recv(client, 4096) == framed(answered(query(1)))


async def test_a_lost_listener_is_told_and_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket that ends unasked calls `on_lost` at once and makes leaving the context raise."""
    sockets: list[socket.socket] = []
    losses: list[Exception | None] = []
    original: Callable[..., socket.socket] = bind

    def recording(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
        sockets.append(original(host, port, kind))
        return sockets[-1]

    async def serve() -> None:
        async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, on_lost=losses.append):
            await asyncio.sleep(0)
            sockets[0].shutdown(socket.SHUT_RDWR)
            await eventually(lambda: losses)

    monkeypatch.setattr(tcp, "bind", recording)
    with pytest.raises(ListenerLostError, match=SERVER):
        await serve()


async def test_leaving_finishes_what_was_begun() -> None:
    """Idle connections end at once; a query in flight and one half arrived are still answered; no task is left."""
    stats = TransportStats()
    release = asyncio.Event()

    async def dispatch(message: bytes, client: Client) -> bytes:
        await release.wait()
        return answered(message)

    async with contextlib.AsyncExitStack() as clients:
        async with serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address:
            idle, half, busy = [await clients.enter_async_context(tcp_client(address)) for _ in range(3)]
            half.writer.write(framed(query(2))[:20])
            busy.send(query(1))
            await eventually(lambda: stats.messages == 1 and stats.connections == 3)

            async def go_on() -> None:
                assert await idle.closed()
                half.writer.write(framed(query(2))[20:])
                await eventually(lambda: stats.messages == 2)
                release.set()

            going_on = asyncio.ensure_future(go_on())
        await going_on
        assert await busy.receive() == answered(query(1))
        assert await half.receive() == answered(query(2))
        assert await busy.closed()
        assert await half.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)


async def test_leaving_cuts_off_what_takes_too_long() -> None:
    """After the grace period answers are cancelled and connections end."""
    stats = TransportStats()
    async with contextlib.AsyncExitStack() as clients:
        async with serve_tcp(never, "127.0.0.1", 0, server_name=SERVER, stats=stats, grace=0.05) as address:
            client = await clients.enter_async_context(tcp_client(address))
            client.send(query(1))
            await eventually(lambda: stats.messages == 1)
        assert await client.closed()
    assert len(asyncio.all_tasks()) == 1


async def test_broken_connections_do_no_harm() -> None:
    """Data and a reset, a promise of data and an end, 60 kB of octets: the next client is answered."""
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER) as address:
        for octets in (b"\xff\xff" + bytes(100), b"\0", bytes(60_000), b"\xff" * 60_000):
            async with tcp_client(address) as client:
                client.writer.write(octets)
                client.writer.write_eof()
                await client.closed()
            async with tcp_client(address) as client:
                client.writer.write(octets)
        async with tcp_client(address) as client:
            assert await client.ask(query(1)) == answered(query(1))


async def test_resets_while_answers_are_due() -> None:
    """A client that resets its connection in any state costs nothing but its own answers."""
    stats = TransportStats()
    release = asyncio.Event()
    big = bytes(30_000)

    async def later(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    def dispatch(message: bytes, client: Client) -> bytes | Awaitable[bytes]:
        return later(message) if message[1] % 2 else answered(message) + big

    async with serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address:
        for count in (1, 10, 300):
            async with tcp_client(address, receive_buffer=4096) as client:
                client.send(*(query(ident) for ident in range(1, 1 + count)))
                before = stats.messages
                await eventually(lambda: stats.messages > before)  # noqa: B023 -- awaited before the next turn
                client.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        release.set()
        async with tcp_client(address) as client:
            assert await client.ask(query(1)) == answered(query(1))


# --- answers of many messages ---------------------------------------------------------------------------------------


class Stream:
    """Makes `total` messages of `size` octets, every other one behind a pause; counts what it was asked for."""

    def __init__(self, total: int, size: int = 60_000) -> None:
        self.total = total
        self.size = size
        self.made = 0

    def __call__(self, message: bytes) -> Iterator[bytes]:
        while self.made < self.total:
            if self.made % 2:
                yield b""
            self.made += 1
            yield answered(message) + bytes(self.size - len(message))


def streaming(stream: Callable[[bytes], Iterator[bytes]]) -> Callable[[bytes, Client], bytes | Iterator[bytes]]:
    """Return a dispatch that answers ID 1 with a stream and all others with one message."""
    return lambda message, client: stream(message) if message[1] == 1 else answered(message)


async def test_a_stream_and_the_queries_behind_it() -> None:
    """All of a stream comes before the answers to later queries of its connection, which then goes on as before."""
    stats = TransportStats()
    stream = Stream(40)
    async with (
        serve_tcp(streaming(stream), "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        tcp_client(address) as client,
    ):
        client.send(query(1), query(2))
        for _ in range(40):
            message = await client.receive()
            assert (message[:2], len(message)) == (query(1)[:2], 60_000)
        assert await client.receive() == answered(query(2))
        assert await client.ask(query(3)) == answered(query(3))
    assert stats.responses == 42


async def test_streams_of_answers_that_were_waited_for() -> None:
    """Several begin while others are under way: each is whole before the next; single answers come in between."""
    release = asyncio.Event()

    async def later(message: bytes) -> Iterator[bytes]:
        await release.wait()
        return Stream(3, 100)(message)

    def dispatch(message: bytes, client: Client) -> bytes | Awaitable[Iterator[bytes]]:
        return later(message) if message[1] < 10 else answered(message)

    async with serve_tcp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address, tcp_client(address) as client:
        client.send(query(1), query(2), query(3))
        assert await client.ask(query(10)) == answered(query(10))
        release.set()
        assert [(await client.receive())[1] for _ in range(9)] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
        assert await client.ask(query(11)) == answered(query(11))


async def test_a_stream_is_made_as_fast_as_it_is_read() -> None:
    """A client that does not read costs the buffers and no more, others are served; when it reads, it gets all."""
    stats = TransportStats()
    stream = Stream(1000)
    async with (
        serve_tcp(
            streaming(stream), "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=TcpLimits(idle=5, write=60)
        ) as address,
        tcp_client(address, receive_buffer=4096) as slow,
        tcp_client(address) as other,
    ):
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # streams have no way to say so
        slow.send(query(1))
        made = -1
        while made != stream.made:  # until the kernel takes nothing more
            made = stream.made
            for ident in range(2, 30):
                assert await other.ask(query(ident)) == answered(query(ident))
        assert 0 < stream.made < 200
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]  # likewise
        for _ in range(1000):
            assert len(await slow.receive()) == 60_000
        assert await slow.ask(query(2)) == answered(query(2))


async def test_nobody_waits_for_a_stream() -> None:
    """Others are answered between its messages, also where it takes long to make one."""
    stream = Stream(10**9, 20)

    def pauses(message: bytes) -> Iterator[bytes]:
        while True:
            stream.made += 1
            yield b""

    async with (
        serve_tcp(streaming(pauses), "127.0.0.1", 0, server_name=SERVER, grace=0) as address,
        tcp_client(address) as busy,
        tcp_client(address) as other,
    ):
        busy.send(query(1))
        await eventually(lambda: stream.made > 10)
        for ident in range(2, 20):
            assert await other.ask(query(ident)) == answered(query(ident))


async def test_a_stream_that_nobody_reads_has_a_deadline() -> None:
    """It is the write deadline of every answer; what made the stream is let go of."""
    stats = TransportStats()
    ended = asyncio.Event()

    def stream(message: bytes) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(60_000)
        finally:
            ended.set()

    async with (
        serve_tcp(streaming(stream), "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=HURRIED) as address,
        tcp_client(address, receive_buffer=4096) as stuck,
    ):
        stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]  # streams have no way to say so
        stuck.send(query(1))
        async with asyncio.timeout(5):
            await ended.wait()
    assert stats.write_timeouts == 1


async def test_a_stream_that_fails_ends_the_connection() -> None:
    """The client must not take what it has for all there is; the listener goes on."""
    stats = TransportStats()

    def stream(message: bytes) -> Iterator[bytes]:
        yield answered(message)
        raise RuntimeError("broken zone")

    async with (
        serve_tcp(streaming(stream), "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        tcp_client(address) as client,
        tcp_client(address) as other,
    ):
        client.send(query(1), query(2))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # a reset may overtake the message
            assert await client.receive() == answered(query(1))
        assert await client.closed()
        assert await other.ask(query(2)) == answered(query(2))
    assert stats.failures == 1


async def test_a_client_that_goes_away_in_a_stream() -> None:
    """It costs nothing but its own answer; a half-close is answered to the end."""
    ended = asyncio.Event()

    def stream(message: bytes) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(60_000)
        finally:
            ended.set()

    async with serve_tcp(streaming(stream), "127.0.0.1", 0, server_name=SERVER) as address:
        async with tcp_client(address) as client:
            client.send(query(1))
            await client.receive()
        async with asyncio.timeout(5):
            await ended.wait()
    async with (
        serve_tcp(streaming(Stream(20)), "127.0.0.1", 0, server_name=SERVER) as address,
        tcp_client(address) as client,
    ):
        client.send(query(1))
        client.writer.write_eof()
        for _ in range(20):
            assert len(await client.receive()) == 60_000
        assert await client.closed()


async def test_leaving_ends_a_stream() -> None:
    """It is let finish for the grace period and is then cut off."""
    async with contextlib.AsyncExitStack() as clients:
        async with serve_tcp(streaming(Stream(60)), "127.0.0.1", 0, server_name=SERVER) as address:
            whole = await clients.enter_async_context(tcp_client(address))
            whole.send(query(1))
            await whole.receive()

            async def rest() -> None:
                for _ in range(59):
                    await whole.receive()
                assert await whole.closed()

            reading = asyncio.ensure_future(rest())
        await reading
        async with serve_tcp(streaming(Stream(10**9)), "127.0.0.1", 0, server_name=SERVER, grace=0.05) as address:
            endless = await clients.enter_async_context(tcp_client(address))
            endless.send(query(1))
            await endless.receive()
        assert not await endless.closed()
    assert len(asyncio.all_tasks()) == 1


# --- connections that end early -------------------------------------------------------------------------------------


async def test_a_connection_that_ends_before_it_began() -> None:
    """What the listener decided while the event loop was still setting it up holds when it is."""
    ended: list[Connection] = []
    dispatcher = Dispatcher(echo, TransportStats(), 1)
    client = Client("192.0.2.1", 1, Transport.TCP, SERVER)
    evicted, finished = [Connection(dispatcher, client, ended.append, ended.append, Turns()) for _ in range(2)]
    assert evicted.idle
    evicted.abort()
    finished.finish()
    for connection in (evicted, finished):
        connection.expire(1e9, idle=1, message=1, write=1)
        transport = FakeTransport()
        connection.connection_made(transport)
        assert transport.is_closing()
        connection.connection_lost(None)
    assert ended == [evicted, finished]


class FakeTransport(asyncio.Transport):
    """Only knows whether it was closed."""

    closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close
