"""DNS over TCP (RFC 7766): many queries on one connection, each behind its length, with bounds on time and memory."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from dnsserver.fast.table import Answers, Way
from dnsserver.message import Client, Transport
from dnsserver.transports.connection import WRITE_BUFFER, Connection
from dnsserver.transports.dispatch import (
    CLOSE_TIMEOUT,
    MAX_IN_FLIGHT,
    Dispatch,
    Dispatcher,
    ListenerLostError,
    OnLost,
    TransportStats,
    bind,
    bound_address,
    cancelled,
    spawn,
    without_scope,
)
from dnsserver.transports.pipelined import Ready, nothing_ready
from dnsserver.transports.roster import Roster

BACKLOG = 1024  # connections the kernel completes before they are accepted; at most net.core.somaxconn
ACCEPT_RETRY = 0.25  # seconds after an accept that failed, for example with EMFILE
ACCEPT_CHECK = 1.0  # seconds between two looks at whether the listening socket is still there
ACCEPT_LAST = 0.5  # seconds at most for those who have come by the time that the listener ends

# Octets of a connection that the kernel holds; it takes twice as much, for its own needs. By itself it would let a
# client that does not read have megabytes, which count against the memory of our container.
SEND_BUFFER = 2 * WRITE_BUFFER
RECEIVE_BUFFER = 32 * 1024

_LISTENER_IS_GONE = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
_ROUNDS_TO_READ = 3  # of the event loop: it begins to wait for a new connection in one, and reads in the next
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What a listener grants its clients; times in seconds."""

    idle: float = 10.0  # without a query (RFC 7766, section 6.2.3; RFC 9210, section 4.3)
    message: float = 10.0  # from the first octet of a message to its last
    write: float = 5.0  # for a client to read what waits for it
    queries: int | None = None  # of one connection before it is closed; None is any number

    @property
    def sweep(self) -> float:
        """How often the times are looked at."""
        return min(self.idle, self.message, self.write, 2.0) / 4


@contextlib.asynccontextmanager
async def serve_tcp(
    dispatch: Dispatch,
    host: str,
    port: int,
    *,
    server_name: str,
    stats: TransportStats | None = None,
    on_lost: OnLost | None = None,
    limits: TcpLimits | Callable[[], TcpLimits] | None = None,
    roster: Roster | None = None,
    ssl: SSLContext | Callable[[], SSLContext | None] | None = None,
    table: Answers | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    grace: float = 5.0,
) -> AsyncIterator[tuple[str, int]]:
    """Answer the connections to a literal address while the context is open; yields the bound (host, port).

    What `table` has an answer for is answered with that, and `dispatch` is asked for the rest.

    With `ssl` the connections are TLS (RFC 7858). Limits and TLS context may be functions, asked again for each
    connection, so that they can change while the listener stays. Listeners that share a `roster` share the number of
    connections that it allows.

    Leaving the context closes the listener, gives connections with a query in flight `grace` seconds to finish it,
    then ends them all. Should the listener end before, `on_lost` is called at once, and leaving raises
    `ListenerLostError`.
    """
    sock = bind(host, port, socket.SOCK_STREAM)
    dispatcher = Dispatcher(dispatch, stats or TransportStats(), max_in_flight)
    limits_now = limits if callable(limits) else lambda: limits or TcpLimits()
    ssl_now = ssl if callable(ssl) else lambda: ssl
    way = Way.TCP6 if ":" in host else Way.TCP4
    ready = nothing_ready if table is None else lambda message: table.respond(message, way)
    listener = _TcpListener(
        sock, dispatcher, server_name, limits_now, ssl_now, on_lost, Roster() if roster is None else roster, ready
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections take both over from here
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.listen(BACKLOG)
        address = bound_address(sock)
        accepting, sweeping = (spawn(listener.watch(endless)) for endless in (listener.accept, listener.sweep))
    except BaseException:
        sock.close()
        raise
    try:
        yield address
    finally:
        await cancelled(sweeping)
        await listener.leave(accepting)
        sock.close()
        await listener.close(grace)
    if listener.reason is not None:
        raise ListenerLostError(f"the TCP listener of {server_name} was lost") from listener.reason


class _TcpListener:
    """Accepts connections and ends those that outstay their time or their number."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        server_name: str,
        limits: Callable[[], TcpLimits],
        ssl: Callable[[], SSLContext | None],
        on_lost: OnLost | None,
        roster: Roster,
        ready: Ready,
    ) -> None:
        self._sock = sock
        self._ready = ready
        self._dispatcher = dispatcher
        self._stats = dispatcher.stats
        self._server_name = server_name
        self._limits = limits
        self._ssl = ssl
        self._handshakes: set[asyncio.Task[None]] = set()
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._roster = roster
        self._connections: set[Connection] = set()
        self._all_ended = asyncio.Event()
        self._wake = asyncio.Event()  # somebody can be accepted, or nobody is to be any more
        self._leaving = False
        self.reason: Exception | None = None  # why the listener was lost, None while it is not

    async def accept(self) -> None:
        """Accept until `leave`, cancelled, or the listening socket is gone.

        The event loop's own `sock_accept` loses a connection where it is cancelled together with its coming.
        """
        while True:
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                if self._leaving:
                    return
                await self._readable()
            except OSError as error:
                self._stats.accept_errors += 1
                if error.errno in _LISTENER_IS_GONE:
                    raise
                if error.errno in _SHORTAGES:
                    self._roster.evict(self._stats)
                await asyncio.sleep(ACCEPT_RETRY)
            else:
                sock.setblocking(False)
                await self._admit(sock, without_scope(address[0]), address[1])

    async def _readable(self) -> None:
        """Wait for somebody to accept, but not for long: of a descriptor that was closed there is no word."""
        self._loop.add_reader(self._sock, self._wake.set)
        try:
            async with asyncio.timeout(ACCEPT_CHECK):
                await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            self._wake.clear()
            self._loop.remove_reader(self._sock)

    async def leave(self, accepting: "asyncio.Task[None]") -> None:
        """Accept those whom the kernel has let in by now, and read what they have sent so far."""
        self._leaving = True
        self._wake.set()
        await asyncio.wait([accepting], timeout=ACCEPT_LAST)
        await cancelled(accepting)
        for _ in range(_ROUNDS_TO_READ):
            await asyncio.sleep(0)

    async def watch(self, endless: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what never ends by itself; if it fails, the listener is lost. May be cancelled before it begins."""
        try:
            await endless()
        except Exception as error:  # whatever it is, nobody is served any more
            self.reason = error
            if self._on_lost is not None:
                self._on_lost(error)

    async def _admit(self, sock: socket.socket, source: str, port: int) -> None:
        """Serve a new connection, in place of an idle one if there are too many; refuse it if none is idle."""
        self._stats.connections += 1
        if not self._roster.make_room(source, sock.fileno(), self._stats):
            self._stats.connections_refused += 1
            sock.close()
            await asyncio.sleep(0)  # everybody else has their turn before the next one is refused
            return
        context = self._ssl()
        client = Client(source, port, Transport.TCP if context is None else Transport.TLS, self._server_name)
        roster, queries = self._roster, self._limits().queries
        connection = Connection(self._dispatcher, client, roster.use, self._ended, roster.turns, queries, self._ready)
        self._connections.add(connection)
        self._roster.add(connection)
        if context is None:
            await self._connect(connection, sock)
            return
        task = spawn(self._connect(connection, sock, context))  # a handshake takes as long as its client likes
        connection.shakes_hands_in(task)
        self._handshakes.add(task)
        task.add_done_callback(lambda task: self._shook_hands(task, connection, sock))

    async def _connect(self, connection: Connection, sock: socket.socket, context: SSLContext | None = None) -> None:
        """Start to read from a connection, after the handshake where it is TLS."""
        limits = self._limits()
        times = {"ssl_handshake_timeout": limits.message, "ssl_shutdown_timeout": limits.write} if context else {}
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, ssl=context, **times)
        except BaseException as error:
            sock.close()
            self._ended(connection)
            if not isinstance(error, Exception):
                raise
            self._stats.accept_errors += 1  # one client's socket, whatever is wrong with it, is not the listener's

    def _shook_hands(self, task: "asyncio.Task[None]", connection: Connection, sock: socket.socket) -> None:
        """Forget a handshake; one that was cancelled may not have got as far as to close its socket itself."""
        self._handshakes.discard(task)
        if task.cancelled():
            sock.close()
            self._ended(connection)

    def _ended(self, connection: Connection) -> None:
        """Forget a connection."""
        self._roster.remove(connection)
        self._connections.discard(connection)
        if not self._connections:
            self._all_ended.set()

    async def sweep(self) -> None:
        """End connections whose time is up, until cancelled.

        The times for a message and for reading are the longest there may be: what would be over by the next look ends
        now. A wait to be read is noticed at a look, which may be as late as another one.
        """
        while True:
            await asyncio.sleep(self._limits().sweep)
            limits = self._limits()
            message, write = limits.message - limits.sweep, limits.write - 2 * limits.sweep
            now = self._loop.time()
            for connection in list(self._connections):
                connection.expire(now, idle=limits.idle, message=message, write=write)

    async def close(self, grace: float) -> None:
        """Let queries in flight finish for `grace` seconds, then end every connection and answer."""
        for task in list(self._handshakes):
            await cancelled(task)
        for connection in list(self._connections):
            connection.finish()
        if grace > 0:
            await self._wait_until_ended(grace)
        for connection in list(self._connections):
            connection.abort()
        await self._dispatcher.drain(0)
        await self._wait_until_ended(CLOSE_TIMEOUT)

    async def _wait_until_ended(self, seconds: float) -> None:
        self._all_ended.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_ended.wait()
