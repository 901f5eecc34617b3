"""The UDP listener on real sockets."""

import asyncio
import logging
import socket

import pytest

from dnsserver.message import Client, Transport
from dnsserver.transports import ListenerLostError, TransportStats, serve_udp, udp
from dnsserver.transports.dispatch import Dispatcher
from tests.transports.support import SERVER, answered, echo, eventually, query, udp_client


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_answers_and_says_who_asked(host: str) -> None:
    """A query is answered from the address it went to, and the dispatch learns who asked whom."""
    clients: list[Client] = []

    def dispatch(message: bytes, client: Client) -> bytes:
        clients.append(client)
        return answered(message)

    async with serve_udp(dispatch, host, 0, server_name=SERVER) as address, udp_client(host) as client:
        assert address[0] == host
        assert await client.ask(query(1), address) == answered(query(1))
        port = client.transport.get_extra_info("sockname")[1]
    assert clients == [Client(host, port, Transport.UDP, SERVER)]


async def test_both_wildcards_bind_the_same_port() -> None:
    """IPv6 sockets take IPv6 only, so `::` and `0.0.0.0` stand side by side; both answer."""
    async with (
        serve_udp(echo, "::", 0, server_name=SERVER) as (_, port),
        serve_udp(echo, "0.0.0.0", port, server_name=SERVER),
        udp_client("127.0.0.1") as four,
        udp_client("::1") as six,
    ):
        assert await four.ask(query(4), ("127.0.0.1", port)) == answered(query(4))
        assert await six.ask(query(6), ("::1", port)) == answered(query(6))


async def test_many_messages_are_silence() -> None:
    """A datagram is one message: whoever has more to say has said REFUSED before it comes here."""
    async with (
        serve_udp(
            lambda message, client: iter((message,)) if message[1] == 1 else answered(message),
            "127.0.0.1",
            0,
            server_name=SERVER,
        ) as address,
        udp_client() as client,
    ):
        client.send(query(1), address)
        assert await client.ask(query(2), address) == answered(query(2))


async def test_silence_and_octets_of_any_kind() -> None:
    """Silence is silence, an empty datagram included, and the next query is answered."""
    stats = TransportStats()
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address, udp_client() as client:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:  # event loops do not send empty datagrams
            plain.sendto(b"", address)
        for message in (b"\0" * 11, answered(query(1)), b"\xff" * 9000):
            client.send(message, address)
        assert await client.ask(query(2), address) == answered(query(2))
        await eventually(lambda: stats.messages == 5)
        assert client.received.empty()
    assert stats.responses == 1


async def test_an_answer_may_come_later() -> None:
    """Awaitables are answered as they finish, not as they were asked."""
    release: dict[int, asyncio.Future[None]] = {}

    async def dispatch(message: bytes, client: Client) -> bytes:
        await release.setdefault(message[1], asyncio.get_running_loop().create_future())
        return answered(message)

    async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address, udp_client() as client:
        client.send(query(1), address)
        client.send(query(2), address)
        await eventually(lambda: len(release) == 2)
        release[2].set_result(None)
        assert await client.receive() == answered(query(2))
        release[1].set_result(None)
        assert await client.receive() == answered(query(1))


async def test_overload_drops_and_counts() -> None:
    """Above the bound a query is dropped, whatever kind of awaitable it got; those in flight are answered."""
    stats = TransportStats()
    release = asyncio.Event()

    async def later(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    futures: list[asyncio.Future[bytes]] = []

    def dispatch(message: bytes, client: Client) -> object:
        if message[1] != 3:
            return later(message)
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    async with (
        serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, max_in_flight=1) as address,  # type: ignore[arg-type]  # a future and a coroutine are both awaitable
        udp_client() as client,
    ):
        for ident in (1, 2, 3):
            client.send(query(ident), address)
        await eventually(lambda: stats.messages == 3)
        release.set()
        assert await client.receive() == answered(query(1))
        assert client.received.empty()
    assert stats.overloads == 2
    assert futures[0].cancelled()


async def test_an_exception_gets_servfail(caplog: pytest.LogCaptureFixture) -> None:
    """A handler's bug costs that query SERVFAIL, now or later, and is logged once; the next is answered."""
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> object:
        if message[1] == 1:
            raise RuntimeError("broken handler")
        return later() if message[1] == 2 else answered(message)

    async def later() -> bytes:
        raise RuntimeError("broken later")

    async with (
        serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,  # type: ignore[arg-type]  # each branch fits
        udp_client() as client,
    ):
        with caplog.at_level(logging.ERROR):
            client.send(b"\0\1", address)  # fails as well, and has no header to answer
            assert await client.ask(query(1), address) == bytes.fromhex("000180020000000000000000")
            assert await client.ask(query(2), address) == bytes.fromhex("000280020000000000000000")
        assert await client.ask(query(3), address) == answered(query(3))
    assert stats.failures == 3
    assert len(caplog.records) == 1


async def test_send_errors_are_counted_and_cost_one_answer() -> None:
    """A response the kernel refuses is dropped; the socket goes on."""
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> bytes:
        return bytes(70_000) if message[1] == 1 else answered(message)

    async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address, udp_client() as client:
        client.send(query(1), address)
        assert await client.ask(query(2), address) == answered(query(2))
        await eventually(lambda: stats.send_errors == 1)


async def test_senders_that_are_gone_do_no_harm() -> None:
    """ICMP says nobody is there; the next client is answered."""
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER) as address:
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                plain.sendto(query(1), address)
        async with udp_client() as client:
            assert await client.ask(query(2), address) == answered(query(2))


async def test_a_burst_fits_the_receive_buffer() -> None:
    """500 queries sent in one go are answered, nine in ten at least (the kernel may bound the buffer)."""
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER) as address, udp_client() as client:
        client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for ident in range(500):
            client.send(query(ident), address)
        await eventually(lambda: client.received.qsize() >= 450)


async def test_a_lost_socket_is_told_and_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that ends unasked calls `on_lost` at once and makes leaving the context raise."""
    listeners: list[udp.UdpListener] = []
    losses: list[Exception | None] = []

    class Recorded(udp.UdpListener):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            listeners.append(self)
            self.socket = transport

    monkeypatch.setattr(udp, "UdpListener", Recorded)

    async def serve() -> None:
        async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, on_lost=losses.append):
            listeners[0].socket.abort()  # type: ignore[attr-defined]  # of `Recorded`
            await eventually(lambda: losses == [None])

    with pytest.raises(ListenerLostError, match=SERVER):
        await serve()


async def test_leaving_waits_for_answers_within_its_grace() -> None:
    """An answer in flight is sent before the socket closes; one that takes too long is cancelled."""
    release, ended = asyncio.Event(), asyncio.Event()

    async def dispatch(message: bytes, client: Client) -> bytes:
        if message[1] == 1:
            await release.wait()
            return answered(message)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("never reached")

    stats = TransportStats()
    async with udp_client() as client:
        async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, grace=0.2) as address:
            client.send(query(1), address)
            client.send(query(2), address)
            await eventually(lambda: stats.messages == 2)
            asyncio.get_running_loop().call_later(0.05, release.set)
        assert await client.receive() == answered(query(1))
    assert ended.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_a_taken_port_is_an_error_at_once() -> None:
    """Binding fails before anything is served."""
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER) as (host, port):
        with pytest.raises(OSError, match="in use"):
            async with serve_udp(echo, host, port, server_name=SERVER):
                raise AssertionError("never reached")


class FakeTransport(asyncio.DatagramTransport):
    """Takes what is sent, or refuses it."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.error = error

    def sendto(self, data: bytes, addr: object = None) -> None:  # type: ignore[override]  # takes less
        if self.error is not None:
            raise self.error
        self.sent.append(data)


async def test_what_a_real_socket_rarely_does() -> None:
    """Port 0 gets silence, a full queue drops, an address that cannot be converted is a send error."""
    stats = TransportStats()
    listener = udp.UdpListener(Dispatcher(echo, stats, 1), SERVER)
    transport = FakeTransport()
    listener.connection_made(transport)
    listener.datagram_received(query(1), ("127.0.0.1", 0))
    listener.pause_writing()
    listener.datagram_received(query(2), ("127.0.0.1", 53))
    listener.resume_writing()
    listener.datagram_received(query(3), ("fe80::1%eth0", 53, 0, 2))
    transport.error = ValueError("no such address")
    listener.datagram_received(query(4), ("127.0.0.1", 53))
    listener.error_received(OSError("unreachable"))
    assert transport.sent == [answered(query(3))]
    assert (stats.port_zero, stats.send_drops, stats.send_errors, stats.responses) == (1, 1, 2, 1)
