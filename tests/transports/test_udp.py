"""The UDP listener on real sockets."""

import asyncio
import errno
import logging
import os
import socket
import time

import pytest

from dnsserver.message import Client, Transport
from dnsserver.transports import ListenerLostError, TransportStats, ancillary, serve_udp, serveudp, udp
from tests.transports.support import SERVER, Scripted, UdpClient, answered, echo, eventually, query, udp_client


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


async def test_overload_gives_up_the_oldest() -> None:
    """Above the bound a new query takes the oldest one's place, whatever awaitable that got; the client is not told."""
    stats = TransportStats()
    release = asyncio.Event()
    begun: list[int] = []

    async def later(message: bytes) -> bytes:
        begun.append(message[1])
        await release.wait()
        return answered(message)

    futures: list[asyncio.Future[bytes]] = []

    def dispatch(message: bytes, client: Client) -> object:
        if message[1] != 2:
            return later(message)
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    async with (
        serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, max_in_flight=1) as address,  # type: ignore[arg-type]  # a future and a coroutine are both awaitable
        udp_client() as client,
    ):
        client.send(query(1), address)
        await eventually(lambda: begun == [1])
        for ident in (2, 3, 4):  # in one turn: 3 is given up before its first
            client.send(query(ident), address)
        await eventually(lambda: stats.messages == 4)
        release.set()
        assert await client.receive() == answered(query(4))
        assert client.received.empty()
    assert stats.overloads == 3
    assert stats.responses == 1
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


@pytest.mark.parametrize("taken", [False, True])
async def test_a_lost_socket_is_told_and_raised(sockets: list[Scripted], taken: bool) -> None:
    """A descriptor that is closed, or another socket's by now, calls `on_lost` and makes leaving the context raise."""
    losses: list[Exception | None] = []

    async def serve() -> None:
        async with (
            serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, on_lost=losses.append) as address,
            udp_client() as client,
        ):
            await client.ask(
                query(1), address
            )  # libuv aborts the process for what is gone before it is first looked at
            if taken:
                os.dup2(other.fileno(), sockets[0].fileno())
            else:
                os.close(sockets[0].fileno())
            await eventually(lambda: losses)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ListenerLostError, match=SERVER) as caught:
            await serve()
    assert losses == [caught.value.__cause__]
    assert isinstance(losses[0], OSError)
    assert losses[0].errno == errno.EBADF


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP])
async def test_a_socket_that_cannot_be_read_is_lost(sockets: list[Scripted], code: int) -> None:
    """At once where it is none any more, and where every call says the same."""
    losses: list[Exception | None] = []

    async def serve() -> None:
        async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, on_lost=losses.append) as address:
            sockets[0].receive_errors = [OSError(code, "")] * 1000
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                plain.sendto(query(1), address)
            await eventually(lambda: losses)

    with pytest.raises(ListenerLostError):
        await serve()
    left = len(sockets[0].receive_errors)
    assert left == (1000 - udp.BATCH if code == errno.EOPNOTSUPP else 999)


async def test_a_socket_lost_while_sending(sockets: list[Scripted]) -> None:
    """Told once, however many answers are under way."""
    losses: list[Exception | None] = []
    with pytest.raises(ListenerLostError):  # noqa: PT012 -- leaving the block raises
        async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, on_lost=losses.append) as address:
            sockets[0].send_errors = [OSError(errno.EBADF, "") for _ in range(5)]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                for ident in range(5):
                    plain.sendto(query(ident), address)
            await eventually(lambda: losses)
    assert len(losses) == 1


async def test_memory_that_runs_out_costs_a_query(sockets: list[Scripted], caplog: pytest.LogCaptureFixture) -> None:
    """While receiving, answering or sending: the listener goes on, and the next query is answered."""
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> bytes | None:
        if message[1] == 1:
            raise MemoryError
        return echo(message, client)

    async with (
        serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address,
        udp_client() as client,
    ):
        with caplog.at_level(logging.CRITICAL):
            assert (await client.ask(query(1), address))[3] == 2  # SERVFAIL
            sockets[0].send_errors = [MemoryError()]
            client.send(query(2), address)
            await eventually(lambda: stats.send_drops == 1)
            sockets[0].receive_errors = [MemoryError(), MemoryError()]
            assert await client.ask(query(3), address) == answered(query(3))
    assert stats.failures == 3


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


@pytest.mark.parametrize("grace", [0.0, 5.0])
async def test_what_the_kernel_holds_at_the_end_is_answered(grace: float) -> None:
    """Queries that came before the end are answered, in however many batches, and those that come while others wait."""
    release = asyncio.Event()

    async def later(message: bytes) -> bytes:
        await release.wait()
        return answered(message)

    async def release_after(client: UdpClient, count: int) -> None:
        await eventually(lambda: client.received.qsize() == count, 3.0)
        release.set()

    def dispatch(message: bytes, client: Client) -> object:
        return later(message) if message[1] == 0xFF else answered(message)

    stats = TransportStats()
    async with udp_client() as client:
        async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats, grace=grace) as address:  # type: ignore[arg-type]  # each branch fits
            if grace:
                client.send(query(0xFF), address)
                await eventually(lambda: stats.messages)
                asyncio.get_running_loop().call_later(0.1, client.send, query(250), address)
                asking = asyncio.create_task(release_after(client, 201))
            for ident in range(200):
                client.send(query(ident), address)
        if grace:
            await asking
        count = 202 if grace else 200
        await eventually(lambda: client.received.qsize() == count)


async def test_a_slow_answer_to_what_the_kernel_held_gets_the_grace() -> None:
    """A query that has arrived before the end is as good as one in flight."""

    async def dispatch(message: bytes, client: Client) -> bytes:
        await asyncio.sleep(0.01)
        return answered(message)

    async with udp_client() as client:
        async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, grace=5.0) as address:
            client.send(query(1), address)
        assert await client.receive() == answered(query(1))


async def test_those_who_go_on_asking_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last read ends after its time, although each answer is followed by a query."""
    monkeypatch.setattr(udp, "LAST_READ", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:

        def dispatch(message: bytes, client: Client) -> None:
            plain.sendto(message, where[0])

        where: list[tuple[str, int]] = []
        async with asyncio.timeout(10), serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER) as address:
            where.append(address)
            for _ in range(2 * udp.BATCH):
                plain.sendto(query(1), address)


@pytest.mark.parametrize(("seconds", "most"), [(0.0, udp.BATCH), (0.004, 3)])
async def test_a_batch_a_turn(seconds: float, most: int) -> None:
    """Whatever else is due has its turn after `BATCH` datagrams, or after `TURN`."""
    turns: list[int] = []
    stats = TransportStats()

    def dispatch(message: bytes, client: Client) -> None:
        if not turns:
            asyncio.get_running_loop().call_soon(lambda: turns.append(stats.messages))
            time.sleep(seconds)

    async with serve_udp(dispatch, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address, udp_client() as client:
        for ident in range(4 * udp.BATCH):
            client.send(query(ident % 256), address)
        await eventually(lambda: stats.messages == 4 * udp.BATCH)
    assert turns[0] <= most


async def test_the_kernels_drops_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit the receive buffer is known, a little later."""
    monkeypatch.setattr(serveudp, "RECEIVE_BUFFER", 1)  # the kernel makes 2304 of it
    monkeypatch.setattr(udp, "CHECK_EVERY", 0.01)
    stats = TransportStats()
    async with serve_udp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats) as address:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            for ident in range(50):
                plain.sendto(query(ident), address)
        await eventually(lambda: stats.messages + stats.kernel_drops == 50)
    assert stats.kernel_drops > 0


async def test_what_a_kernel_may_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of the options queries are answered all the same."""
    for name in ("SO_TIMESTAMPNS", "IP_PKTINFO", "SO_MEMINFO"):
        monkeypatch.setattr(ancillary, name, 9999)
    monkeypatch.setattr(udp, "CHECK_EVERY", 0.01)
    async with (
        serve_udp(echo, "0.0.0.0", 0, server_name=SERVER) as (_, port),
        udp_client() as client,
    ):
        for ident in range(3):
            assert await client.ask(query(ident), ("127.0.0.1", port)) == answered(query(ident))
            await asyncio.sleep(0.02)  # for a check
