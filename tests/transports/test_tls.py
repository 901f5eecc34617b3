"""DNS over TLS: the same connections behind a handshake that must not hold up anybody else."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dnsserver.message import Client, Transport
from dnsserver.transports import Roster, RosterLimits, TcpLimits, TransportStats, serve_tcp
from tests.transports.support import SERVER, TcpClient, answered, echo, eventually, query, tcp_client

CERTIFICATES = Path(__file__).parent.parent / "certificates"
HURRIED = TcpLimits(idle=0.2, message=0.2, write=0.2)


def server_context(name: str = "server", *, verify: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    """Return what a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    context.load_verify_locations(CERTIFICATES / "ca.pem")
    context.verify_mode = verify
    return context


def client_context(name: str = "") -> ssl.SSLContext:
    """Return what a client trusts, and whose certificate it shows."""
    context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
    if name:
        context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    return context


@contextlib.asynccontextmanager
async def tls_client(address: tuple[str, int], context: ssl.SSLContext | None = None) -> AsyncIterator[TcpClient]:
    """Open a TLS connection."""
    reader, writer = await asyncio.open_connection(*address, ssl=context or client_context())
    try:
        yield TcpClient(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def shown(client: TcpClient) -> str:
    """Return the name on the server's certificate."""
    certificate = client.writer.get_extra_info("peercert")
    return str(dict(entry[0] for entry in certificate["subject"])["commonName"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_queries(host: str) -> None:
    """Several on one connection, in one piece or one after the other; the client is known as one over TLS."""
    clients: list[Client] = []

    def dispatch(message: bytes, client: Client) -> bytes | None:
        clients.append(client)
        return echo(message, client)

    async with (
        serve_tcp(dispatch, host, 0, server_name=SERVER, ssl=server_context()) as address,
        tls_client(address) as client,
    ):
        assert await client.ask(query(1)) == answered(query(1))
        client.send(query(2), query(3))
        assert [await client.receive(), await client.receive()] == [answered(query(2)), answered(query(3))]
        port = client.writer.get_extra_info("sockname")[1]
    assert set(clients) == {Client(host, port, Transport.TLS, SERVER)}


async def test_answers_that_take_long() -> None:
    """And big ones: nothing is lost between the connection and the records of TLS."""
    big = bytes(12) + bytes(65000)

    async def late() -> bytes:
        await asyncio.sleep(0.01)
        return big

    async with (
        serve_tcp(
            lambda _message, _client: late(), "127.0.0.1", 0, server_name=SERVER, ssl=server_context()
        ) as address,
        tls_client(address) as client,
    ):
        client.send(*[query(number) for number in range(20)])
        for _ in range(20):
            assert await client.receive() == big


async def test_the_end_of_a_client() -> None:
    """A client that says goodbye is gone for the server as well, without a word in the log."""
    stats = TransportStats()
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, ssl=server_context()) as address:
        async with tls_client(address) as client:
            assert await client.ask(query(1)) == answered(query(1))
            client.writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await client.writer.wait_closed()
        async with tls_client(address) as client:
            assert await client.ask(query(2)) == answered(query(2))
    assert stats.connections == 2


async def test_slow_handshakes_hold_up_nobody() -> None:
    """A client that connects and says nothing is ended in time, while others are served."""
    stats = TransportStats()
    async with (
        serve_tcp(
            echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=HURRIED, ssl=server_context()
        ) as address,
        tcp_client(address) as silent,
    ):
        await eventually(lambda: stats.connections == 1)
        async with tls_client(address) as client:
            assert await client.ask(query(1)) == answered(query(1))
        assert await silent.closed()
        await eventually(lambda: stats.accept_errors == 1)


async def test_s3_handshakes_count_as_connections() -> None:
    """Clients that connect and say nothing hold no more descriptors than they may have connections."""
    stats = TransportStats()
    roster = Roster(RosterLimits(per_source=5))
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, roster=roster, ssl=server_context())
        )
        silent = [await stack.enter_async_context(tcp_client(address)) for _ in range(20)]
        for client in silent[:15]:
            assert await client.closed()
        async with tls_client(address) as good:
            assert await good.ask(query(1)) == answered(query(1))
        await eventually(lambda: len(roster) == 4)
    assert stats.connections_evicted == 16
    assert len(roster) == 0


async def test_what_is_no_handshake() -> None:
    """Plain DNS, resets and rubbish are counted and forgotten."""
    stats = TransportStats()
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, ssl=server_context()) as address:
        for count in range(3):
            async with tcp_client(address) as client:
                client.send(query(1))
                if count == 2:
                    linger = struct.pack("ii", 1, 0)
                    client.writer.get_extra_info("socket").setsockopt(1, 13, linger)  # SOL_SOCKET, SO_LINGER
                else:
                    await client.closed()
        await eventually(lambda: stats.accept_errors == 3)
        async with tls_client(address) as good:
            assert await good.ask(query(1)) == answered(query(1))
    assert stats.messages == 1


async def test_closing_during_a_handshake() -> None:
    """A listener that closes does not wait for those who have not shaken hands yet."""
    loop = asyncio.get_running_loop()
    stats = TransportStats()
    async with contextlib.AsyncExitStack() as clients:
        async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, ssl=server_context()) as address:
            for _ in range(3):
                await clients.enter_async_context(tcp_client(address))
            await eventually(lambda: stats.connections == 3)
            started = loop.time()
        assert loop.time() - started < 2


async def test_another_context_for_new_connections() -> None:
    """A function is asked for each connection: those that are open stay as they are."""
    contexts = [server_context("server")]
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, ssl=lambda: contexts[-1]) as address,
        tls_client(address) as first,
    ):
        assert shown(first) == "server"
        contexts.append(server_context("server2"))
        async with tls_client(address) as second:
            assert shown(second) == "server2"
            for client in (first, second):
                assert await client.ask(query(1)) == answered(query(1))


POLICIES = [  # the server's policy, the client's certificate, whether it gets an answer
    (ssl.CERT_NONE, "", True),
    (ssl.CERT_NONE, "stranger", True),
    (ssl.CERT_OPTIONAL, "", True),
    (ssl.CERT_OPTIONAL, "client", True),
    (ssl.CERT_OPTIONAL, "stranger", False),
    (ssl.CERT_REQUIRED, "client", True),
    (ssl.CERT_REQUIRED, "", False),
    (ssl.CERT_REQUIRED, "stranger", False),
    (ssl.CERT_REQUIRED, "server", False),  # a certificate, but none for clients
]


@pytest.mark.parametrize(("verify", "name", "expected"), POLICIES)
async def test_client_certificates(verify: ssl.VerifyMode, name: str, expected: bool) -> None:
    """Who is not known does not get as far as a query."""
    stats = TransportStats()
    context = server_context(verify=verify)
    async with serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, ssl=context) as address:
        try:
            async with tls_client(address, client_context(name)) as client:
                assert (await client.ask(query(1)) == answered(query(1))) == expected
        except (OSError, asyncio.IncompleteReadError):  # TLS 1.3 tells the client after its own part of the handshake
            assert not expected
        await eventually(lambda: stats.messages == expected)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_most_queries_of_one_connection(tls: bool) -> None:
    """What comes behind the last one is not read, and the connection ends after its answer."""
    stats = TransportStats()
    context = server_context() if tls else None
    async with serve_tcp(
        echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=TcpLimits(queries=3), ssl=context
    ) as address:
        for sizes in ((1, 1, 1), (5,), (2, 2)):
            async with (tls_client if tls else tcp_client)(address) as client:
                asked = answers = 0
                for size in sizes:
                    client.send(*[query(asked + number) for number in range(size)])
                    asked += size
                    while answers < min(asked, 3):
                        assert await client.receive() == answered(query(answers))
                        answers += 1
                assert await client.closed()
    assert stats.messages == 9


async def test_the_last_query_is_answered_late() -> None:
    """The connection waits for it."""

    async def late(message: bytes) -> bytes:
        await asyncio.sleep(0.05)
        return answered(message)

    async with (
        serve_tcp(
            lambda message, _client: late(message), "127.0.0.1", 0, server_name=SERVER, limits=TcpLimits(queries=1)
        ) as address,
        tcp_client(address) as client,
    ):
        client.send(query(1), query(2))
        assert await client.receive() == answered(query(1))
        assert await client.closed()


async def test_the_first_query_is_not_waited_for_as_long_as_the_next() -> None:
    """A client that connects and says nothing has the time of a message, and not that of an idle one."""
    stats = TransportStats()
    limits = TcpLimits(idle=30, message=0.2)
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, stats=stats, limits=limits) as address,
        tcp_client(address) as silent,
        tcp_client(address) as client,
    ):
        assert await client.ask(query(1)) == answered(query(1))
        assert await silent.closed()
        assert await client.ask(query(2)) == answered(query(2))
    assert stats.idle_timeouts == 1


async def test_other_limits_while_it_listens() -> None:
    """A function is asked again: shorter times count for connections that are open as well."""
    now = [TcpLimits(idle=30, message=1)]
    async with (
        serve_tcp(echo, "127.0.0.1", 0, server_name=SERVER, limits=lambda: now[0]) as address,
        tcp_client(address) as client,
    ):
        assert await client.ask(query(1)) == answered(query(1))
        now[0] = TcpLimits(idle=0.1, message=0.1)
        assert await client.closed()
