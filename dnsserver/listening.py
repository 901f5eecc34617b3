"""The sockets of one listen address, and what answers behind them: a reload replaces that, and the sockets stay."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from inspect import isawaitable

from dnsserver.fastpath import FastPath, ReadyAnswers
from dnsserver.message import Client
from dnsserver.server import Dispatcher, Response
from dnsserver.setup import ANYWHERE, TLS, ListenAddress, Terms
from dnsserver.transports import ListenerLostError, Roster, TransportStats, serve_tcp, serve_udp

_ATTEMPTS = 10  # to find a port that is free for both
GRACE = 5.0  # seconds that answers in flight and open TCP connections get at the end


class ListenError(Exception):
    """An address that cannot be listened on; the text is for the user."""


def clash(one: ListenAddress, other: ListenAddress) -> bool:
    """Say whether two places cannot be listened at side by side."""
    overlap = one.address == other.address or ANYWHERE in (one.address, other.address)
    return overlap and one.port == other.port != 0


class InFlight:
    """How many answers one configuration's chains have still to give."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    async def counted(self, answer: Awaitable[Response]) -> Response:
        """Return the answer, counted from the first turn of its task to its end."""
        self._count += 1
        self._none.clear()
        try:
            return await answer
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def none(self) -> None:
        """Return once every answer has been given. What was asked before this call is counted by its second turn."""
        await asyncio.sleep(0)
        await self._none.wait()


class Service:
    """What one configuration does at one address."""

    __slots__ = ("_in_flight", "dispatcher", "fast", "ready", "terms")

    def __init__(
        self, dispatcher: Dispatcher, fast: FastPath, ready: ReadyAnswers, terms: Terms, in_flight: InFlight
    ) -> None:
        self.dispatcher = dispatcher
        self.fast = fast
        self.ready = ready
        self.terms = terms
        self._in_flight = in_flight

    def __call__(self, wire: bytes, client: Client) -> Response | Awaitable[Response]:
        """Answer one message that is not ready to be answered."""
        response = self.dispatcher(wire, client)
        if response is None or isinstance(response, bytes) or not isawaitable(response):
            return response
        return self._in_flight.counted(response)


class Listener:
    """UDP and TCP, or TLS, at one address; everywhere means IPv4 and, where the host has any, IPv6."""

    def __init__(
        self,
        place: ListenAddress,
        service: Service,
        stats: TransportStats,
        lost: Callable[[Exception | None], None],
        roster: Roster,
    ) -> None:
        self.place = place
        self.service = service  # one assignment, and the next message is another configuration's
        self._stats = stats
        self._lost = lost
        self._roster = roster
        self._open: list[AsyncExitStack] = []  # one for each socket

    def __call__(self, wire: bytes, client: Client) -> Response | Awaitable[Response]:
        """Answer one message."""
        return self.service(wire, client)

    async def open(self) -> tuple[str, int]:
        """Listen; return an address that is bound, for ports that were 0. Raises `ListenError`, with nothing open."""
        anywhere = self.place.address == ANYWHERE
        hosts = ("0.0.0.0", "::") if anywhere else (self.place.address,)  # noqa: S104 -- as asked for
        bound = []
        async with AsyncExitStack() as opening:
            opening.push_async_callback(self.close)
            for host in hosts:
                try:
                    bound.append(await self._bind(host))
                except OSError as error:
                    if host == "::" and anywhere and error.errno in (EAFNOSUPPORT, EADDRNOTAVAIL):
                        continue  # a host without IPv6
                    reason = os.strerror(error.errno or 0)
                    raise ListenError(f"cannot listen on {host} port {self.place.port}: {reason}") from error
            opening.pop_all()
        return bound[0]

    async def close(self) -> None:
        """Take nothing more, let answers in flight finish for a while, and end every connection.

        All sockets at the same time: one that waits for its clients until the last must not make the others late.
        """
        sockets, self._open = self._open, []
        await asyncio.gather(*(one.aclose() for one in sockets))

    async def _bind(self, host: str) -> tuple[str, int]:
        """Listen at one address: TCP first, so that a port that was 0 is the same for both."""
        for _ in range(_ATTEMPTS):
            bound = await self._hold(self._tcp(host))
            if self.place.scheme == TLS:
                return bound
            try:
                await self._hold(self._udp(host, bound[1]))
            except OSError as error:
                if self.place.port or error.errno != EADDRINUSE:
                    raise
                await self._open.pop().aclose()  # any port will do, and this one was free for TCP alone
            else:
                return bound
        raise OSError(EADDRINUSE, os.strerror(EADDRINUSE))

    def _tcp(self, host: str) -> AbstractAsyncContextManager[tuple[str, int]]:
        """Return TCP at one address."""
        return serve_tcp(
            self,
            host,
            self.place.port,
            server_name=self.place.server,
            stats=self._stats,
            on_lost=self._lost,
            limits=lambda: self.service.terms.limits,
            roster=self._roster,
            ssl=lambda: self.service.terms.ssl,
            table=self.service.ready.table,
            grace=GRACE,
        )

    def _udp(self, host: str, port: int) -> AbstractAsyncContextManager[tuple[str, int]]:
        """Return UDP at one address."""
        return serve_udp(
            self,
            host,
            port,
            server_name=self.place.server,
            table=self.service.ready.table,
            stats=self._stats,
            on_lost=self._lost,
            grace=GRACE,
        )

    async def _hold(self, listener: AbstractAsyncContextManager[tuple[str, int]]) -> tuple[str, int]:
        """Open one socket, until `close`."""
        stack = AsyncExitStack()
        bound = await stack.enter_async_context(_already_told(listener))
        self._open.append(stack)
        return bound


@asynccontextmanager
async def _already_told(listener: AbstractAsyncContextManager[tuple[str, int]]) -> AsyncIterator[tuple[str, int]]:
    """Hold a listener; its loss has stopped the server by the time it is raised here."""
    with suppress(ListenerLostError):
        async with listener as bound:
            yield bound
