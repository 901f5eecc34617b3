"""What UDP and TCP share: asking for an answer now or later, the counters, and bound sockets."""

import asyncio
import contextlib
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from dnsserver.message import Client
from dnsserver.records import Rcode
from dnsserver.wire import HEADER_SIZE, encode_error

# One message, or several in order, made while they are sent, with empty octets for "not yet"; None is silence.
Response: TypeAlias = bytes | Iterator[bytes] | None
Dispatch: TypeAlias = Callable[[bytes, Client], "Response | Awaitable[Response]"]
Deliver: TypeAlias = Callable[[Response], None]
OnLost: TypeAlias = Callable[[Exception | None], None]

MAX_IN_FLIGHT = 1000  # answers a listener may wait for at one time
CLOSE_TIMEOUT = 1.0  # seconds for the event loop to report what was closed

_LOG_EVERY = 10.0  # seconds: one traceback at most in that time, so that one bad query cannot fill a disk
_log = logging.getLogger(__name__)


class ListenerLostError(Exception):
    """A listening socket ended without being told to; the process cannot go on serving there."""


@dataclass(slots=True)
class TransportStats:
    """Counters of one or more listeners; only ever incremented, by the event loop's thread."""

    messages: int = 0  # taken in whole
    responses: int = 0  # handed to the kernel or its queue
    failures: int = 0  # exceptions of the dispatch, each answered with SERVFAIL
    overloads: int = 0  # given up: too many answers in flight
    shed: int = 0  # UDP: dropped unread, having waited too long while more came than can be answered
    kernel_drops: int = 0  # UDP: the receive buffer was full; looked at every second
    send_errors: int = 0  # UDP: the kernel refused a response or reported an earlier one as undeliverable
    send_drops: int = 0  # UDP: the send buffer was full
    port_zero: int = 0  # UDP: no answer can be sent there
    own_address: int = 0  # UDP: forged to come from the very socket that was asked
    accept_errors: int = 0  # TCP: out of descriptors, or the like
    connections: int = 0  # TCP: accepted
    connections_evicted: int = 0  # TCP: idle, closed to make room for another
    connections_refused: int = 0  # TCP: closed at once, nobody was idle
    idle_timeouts: int = 0
    message_timeouts: int = 0  # a message that did not arrive in time
    write_timeouts: int = 0  # a client that does not read
    bad_lengths: int = 0  # a length prefix that no DNS message has


class Dispatcher:
    """Asks a dispatch, at once or in a task, and delivers what it says; an exception becomes SERVFAIL.

    No more than `max_in_flight` answers are waited for. One more is refused, which is what a client on a connection can
    be told at once; or, with `replace_oldest`, takes the place of the oldest, which is UDP's way: nobody is told, and
    the client that has waited longest is the likeliest to have given up.
    """

    def __init__(
        self, dispatch: Dispatch, stats: TransportStats, max_in_flight: int, *, replace_oldest: bool = False
    ) -> None:
        self._dispatch = dispatch
        self.stats = stats
        self._max_in_flight = max_in_flight
        self._replace_oldest = replace_oldest
        self._in_flight: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()  # these, and those that are being cancelled
        self._next_log = 0.0

    def ask(self, message: bytes, client: Client, deliver: Deliver) -> bool:
        """Call `deliver` once, now or later, with the response; return False and never call it when refused.

        A task that is cancelled, by `drain` or for a newer one, does not call it either.
        """
        self.stats.messages += 1
        try:
            response = self._dispatch(message, client)
        # Whatever a handler does, the listener goes on serving. There is no task here that could be cancelled: what
        # says so comes from something that the handler waited for, and uvloop would end the process with it.
        except (Exception, asyncio.CancelledError):
            deliver(self._failure(message))
            return True
        if response is None or isinstance(response, bytes) or not inspect.isawaitable(response):
            deliver(response)
            return True
        if len(self._in_flight) >= self._max_in_flight:
            self.stats.overloads += 1
            if not self._replace_oldest:
                _discard(response)
                return False
            oldest = next(iter(self._in_flight))
            del self._in_flight[oldest]
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(self._wait(response, message, deliver))
        self._in_flight[task] = None
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, response))
        return True

    def _ended(self, answer: Awaitable[Response], task: asyncio.Task[None]) -> None:
        """Forget a task; one that was cancelled before its first turn has not begun to await its answer."""
        self._in_flight.pop(task, None)
        self._tasks.discard(task)
        if task.cancelled():
            _discard(answer)

    async def _wait(self, answer: Awaitable[Response], message: bytes, deliver: Deliver) -> None:
        try:
            response = await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            response = self._failure(message)
        except Exception:  # as in `ask`
            response = self._failure(message)
        deliver(response)

    def _failure(self, message: bytes) -> bytes | None:
        """Count and sometimes log the exception being handled; return SERVFAIL where there is a header to answer."""
        self.failed("it gets SERVFAIL")
        return servfail(message)

    def failed(self, outcome: str) -> None:
        """Count and sometimes log the exception being handled; `outcome` is what its query gets."""
        self.stats.failures += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next_log:
            self._next_log = now + _LOG_EVERY
            _log.exception("answering a query failed (%d so far); %s", self.stats.failures, outcome)

    async def settle(self, grace: float) -> None:
        """Let answers that are in flight now finish for `grace` seconds; new ones may come meanwhile."""
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks), timeout=grace)

    async def drain(self, grace: float) -> None:
        """Let answers in flight finish for `grace` seconds, then cancel them; returns when none is left."""
        await self.settle(grace)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def servfail(message: bytes) -> bytes | None:
    """Return SERVFAIL for a query, silence for what is none."""
    if len(message) < HEADER_SIZE or message[2] & 0x80:
        return None
    return encode_error(message, Rcode.SERVFAIL)


def _discard(answer: Awaitable[Response]) -> None:
    """End an awaitable that nobody is going to await."""
    if inspect.iscoroutine(answer):
        answer.close()
    elif isinstance(answer, asyncio.Future):
        answer.cancel()


def bind(host: str, port: int, kind: socket.SocketKind, *, shared: bool = False) -> socket.socket:
    """Return a non-blocking socket bound to a literal address; port 0 picks a free one. Raises OSError.

    A `shared` address can be bound again by others who ask for that.

    An IPv6 socket takes IPv6 only, so `0.0.0.0` and `::` can be bound side by side.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)[0]
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for TIME_WAIT
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def bound_address(sock: socket.socket) -> tuple[str, int]:
    """Return the address and port a socket is bound to."""
    host, port = sock.getsockname()[:2]
    return str(host), int(port)


def without_scope(address: str) -> str:
    """Return an address without its IPv6 scope: `fe80::1%eth0` is `fe80::1`."""
    return address.partition("%")[0]


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task of a listener, which cancels it itself."""
    return asyncio.get_running_loop().create_task(coroutine)
