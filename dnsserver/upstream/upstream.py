"""One server to ask: over which protocol, on which connection, and whether it is up."""

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from dnsserver.message import Query
from dnsserver.names import ROOT, Name
from dnsserver.records import RRType
from dnsserver.upstream.endpoint import Endpoint
from dnsserver.upstream.errors import ClosedByPeerError
from dnsserver.upstream.health import Probe
from dnsserver.upstream.https import HttpsClient
from dnsserver.upstream.pool import Pool
from dnsserver.upstream.response import read_response
from dnsserver.upstream.stream import Connection
from dnsserver.upstream.udp import exchange_udp
from dnsserver.wire import ParsedResponse, encode_query

_MIN_DIAL, _MAX_DIAL = 1.0, 30.0  # seconds
_CHECK_DIAL = 2.0  # seconds
_WEIGHT = 4  # how slowly the average of dial times follows the last one
_TRANSFERS = (RRType.AXFR, RRType.IXFR)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is asked; times in seconds."""

    force_tcp: bool = False
    context: ssl.SSLContext | None = None  # for tls and https
    doh_method: str = "POST"
    expire: float = 10.0  # how long a connection may be idle
    max_age: float = 0.0  # how old a connection may become; 0: any age
    max_idle: int = 0  # idle connections; 0: any number
    read_timeout: float = 2.0
    check_interval: float = 0.5
    check_timeout: float = 1.0
    check_name: Name = ROOT
    check_recursion: bool = True


class Observer(Protocol):
    """Counts what happens; `to` is a server's address."""

    def answered(self, to: str, rcode: int, seconds: float) -> None:
        """Count an answer."""
        ...

    def reused(self, to: str, protocol: str) -> None:
        """Count a connection that was open already."""
        ...

    def opened(self, to: str, protocol: str) -> None:
        """Count a connection or socket that had to be opened."""
        ...

    def check_failed(self, to: str) -> None:
        """Count a health check that failed."""
        ...


class Upstream:
    """A server; made on the event loop that it is to run on, and closed there."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        observer: Observer,
        *,
        source: random.Random | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.endpoint = endpoint
        self.address = endpoint.address
        self._settings = settings
        self._observer = observer
        self._random = source or random.SystemRandom()  # IDs are a secret from whoever forges answers (RFC 5452)
        self._clock = clock
        self._dial = _DialTimeout()
        self._context = settings.context if endpoint.scheme == "tls" else None
        self._pool = Pool(expire=settings.expire, max_age=settings.max_age, max_idle=settings.max_idle)
        self._https = self._https_client()
        self._probe = Probe(self._check, settings.check_interval, lambda: observer.check_failed(self.address))

    def _https_client(self) -> HttpsClient | None:
        settings = self._settings
        if self.endpoint.scheme != "https" or settings.context is None:
            return None
        return HttpsClient(self.endpoint, settings.context, settings.doh_method, settings.read_timeout)

    def is_down(self, max_fails: int) -> bool:
        """Say whether more than `max_fails` checks in a row have failed; 0 never counts as down."""
        return 0 < max_fails < self._probe.fails

    def check(self) -> None:
        """Find out in the background whether the server is up."""
        self._probe.start()

    async def close(self) -> None:
        """Stop checking and close every idle connection."""
        await self._probe.stop()
        self._pool.close()
        if self._https is not None:
            await self._https.close()

    async def exchange(self, query: Query, *, tcp: bool, patience: float = _MAX_DIAL) -> ParsedResponse:
        """Return what the server answers, over TCP if so wanted; TLS and HTTPS are what they are.

        Connecting takes no longer than `patience` seconds, but may take one. Whether the answer is to this question
        is the caller's to check. Raises `UpstreamError`.
        """
        started = self._clock()
        wire = self._encode(query)
        datagram = False
        if self._https is not None:
            message = await self._https.exchange(wire)
        elif tcp or self._context is not None:
            message = await self._over_stream(wire, patience, keep=query.qtype not in _TRANSFERS)
        else:
            self._observer.opened(self.address, "udp")
            message = await exchange_udp(self.endpoint, wire, self._settings.read_timeout)
            datagram = True
        response = read_response(message, datagram=datagram)
        self._observer.answered(self.address, response.rcode, self._clock() - started)
        return response

    def _encode(self, query: Query) -> bytes:
        """Return the message that asks a question under an ID of its own; caches of HTTP want 0 (RFC 8484, 4.1)."""
        ident = self._random.getrandbits(16) if self._https is None else 0
        return encode_query(msgspec.structs.replace(query, id=ident))

    async def _over_stream(self, wire: bytes, patience: float, *, keep: bool) -> bytes:
        """Ask on an idle connection, or on a new one; a transfer may send more than one message: `keep` is False."""
        protocol = "tcp" if self._context is None else "tcp-tls"
        while (connection := self._pool.take()) is not None:
            self._observer.reused(self.address, protocol)
            try:
                return await self._ask(connection, wire, keep=keep)
            except ClosedByPeerError:
                continue  # it was closed while nobody used it
        self._observer.opened(self.address, protocol)
        started = self._clock()
        timeout = max(_MIN_DIAL, min(self._dial.timeout, patience))
        try:
            connection = await Connection.open(self.endpoint, self._context, timeout)
        finally:
            self._dial.observe(self._clock() - started)
        return await self._ask(connection, wire, keep=keep)

    async def _ask(self, connection: Connection, wire: bytes, *, keep: bool) -> bytes:
        """Ask on a connection, and keep it unless it failed."""
        answered = False
        try:
            message = await connection.exchange(wire, self._settings.read_timeout)
            answered = keep
        finally:
            if answered:
                self._pool.give(connection)
            else:
                connection.close()
        return message

    async def _check(self) -> None:
        """Ask for NS records; any message with the right ID is a sign of life. Raises `UpstreamError`."""
        settings = self._settings
        name = settings.check_name
        wire = self._encode(Query(0, name, name, RRType.NS, recursion_desired=settings.check_recursion))
        if self._https is not None:
            await self._https.exchange(wire)
        elif settings.force_tcp or self._context is not None:
            connection = await Connection.open(self.endpoint, self._context, _CHECK_DIAL)
            try:
                await connection.exchange(wire, settings.check_timeout)
            finally:
                connection.close()
        else:
            await exchange_udp(self.endpoint, wire, settings.check_timeout)


class _DialTimeout:
    """How long to wait for a connection: twice the average so far, 1 to 30 seconds (CoreDNS, plugin/pkg/proxy)."""

    def __init__(self) -> None:
        self._average = _MAX_DIAL / 2

    @property
    def timeout(self) -> float:
        if self._average < _MIN_DIAL:
            return _MIN_DIAL
        return min(2 * self._average, _MAX_DIAL)

    def observe(self, seconds: float) -> None:
        """Take one more dial time into the average."""
        self._average += (seconds - self._average) / _WEIGHT
