"""Idle connections to one server, to be used again; the one that has waited longest goes first, as in CoreDNS."""

import asyncio
from collections import deque
from collections.abc import Callable

from dnsserver.upstream.stream import Connection


class Pool:
    """Connections that nobody uses; they leave it after `expire` seconds, or once they are `max_age` seconds old."""

    def __init__(
        self, *, expire: float, max_age: float = 0.0, max_idle: int = 0, clock: Callable[[], float] | None = None
    ) -> None:
        self._expire = expire
        self._max_age = max_age  # 0: any age
        self._max_idle = max_idle  # connections; 0: any number
        self._clock = clock or asyncio.get_running_loop().time
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connection | None:
        """Return a connection that still seems open, None where there is none."""
        while self._idle:
            connection = self._idle.popleft()
            if not self._is_stale(connection) and connection.usable:
                return connection
            connection.close()
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection for its next user, or close it where there are enough."""
        connection.used = self._clock()
        if self._closed or self._expire <= 0 or (self._max_idle and len(self._idle) >= self._max_idle):
            connection.close()
            return
        self._idle.append(connection)
        self._sweep_later()

    def close(self) -> None:
        """Close every connection, and those that come back later."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            self._idle.popleft().close()

    def sweep(self) -> None:
        """Close what has been idle for too long, so that no server holds connections that nobody wants."""
        self._sweep = None
        kept = []
        for connection in self._idle:
            if self._is_stale(connection) or not connection.usable:
                connection.close()
            else:
                kept.append(connection)
        self._idle = deque(kept)
        self._sweep_later()

    def _is_stale(self, connection: Connection) -> bool:
        now = self._clock()
        return now - connection.used > self._expire or 0 < self._max_age < now - connection.created

    def _sweep_later(self) -> None:
        if self._sweep is None and self._idle:
            self._sweep = asyncio.get_running_loop().call_later(self._expire, self.sweep)
