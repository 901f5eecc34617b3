"""Three API servers behind one address, each a little behind the objects' true state, and each to be restarted.

    async with Replicas() as api:
        api.put(...)              # true at once, and known to each server after its own lag
        await api.kill(0)         # its connections are reset, or its watches end
        await api.revive(0)

As of a real one behind a load balancer, each connection is one server's. A list that asks for what is there now comes
from the true state; whatever else asks for a version that the server does not have yet is refused with 504.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from tests.fakes.api_faults import Reply, too_large
from tests.fakes.api_server import JSON, FakeApiServer, Request

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and say so with RST


class Replica(FakeApiServer):
    """One of the servers: it replays what has been done to the objects, in its own time."""

    def __init__(self, lag: float, **options: Any) -> None:
        super().__init__(**options)
        self.lag = lag  # seconds
        self.alive = True
        self._to_do: deque[Callable[[FakeApiServer], object]] = deque()
        self._writers: set[asyncio.StreamWriter] = set()

    def hear(self, change: Callable[[FakeApiServer], object]) -> None:
        """Learn of a change, after the lag."""
        self._to_do.append(change)
        asyncio.get_running_loop().call_later(self.lag, self._do, change)

    def catch_up(self) -> None:
        """Do all that is to be done."""
        while self._to_do:
            self._to_do.popleft()(self)

    def _do(self, change: Callable[[FakeApiServer], object]) -> None:
        """Do everything up to this change."""
        if self.alive:
            while change in self._to_do:
                self._to_do.popleft()(self)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        try:
            await self._accept(reader, writer)
        finally:
            self._writers.discard(writer)

    async def kill(self, *, reset: bool) -> None:
        """Serve no longer: reset every connection, or end its watches as a server does that is told to stop."""
        self.alive = False
        if reset:
            for writer in self._writers:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
        else:
            for resource in tuple(self._watchers):
                self.end_watches(resource)
            await asyncio.sleep(0.01)  # in which they end
        await self.stop()

    def revive(self) -> None:
        """Serve again, with a cache that begins with what is there now."""
        self.catch_up()
        self.expire()
        self.alive = True

    def _refusal(self, request: Request) -> Reply | None:
        """Return the answer to what this server cannot answer yet."""
        version = request.query.get("resourceVersion", "")
        if request.verb in ("list", "stream"):
            if not version:
                self.catch_up()  # asked of the store behind all servers
            elif int(version) > self.version:
                return too_large(version)
        return super()._refusal(request)


class Replicas(FakeApiServer):
    """The servers together: objects are put here, and this is where they listen."""

    def __init__(self, *lags: float, streams: bool = False) -> None:
        super().__init__()
        self.replicas = [Replica(lag) for lag in lags]
        for one in self.replicas:
            one.streams = streams
            one.requests = self.requests  # one log
        self._turn = 0

    async def __aenter__(self) -> Self:
        await self.start()
        for one in self.replicas:
            one.clock = lambda: self.clock()
        return self

    async def start(self) -> None:
        """Listen, for all of them."""
        self._server = await asyncio.start_server(self._route, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop all of them."""
        for one in self.replicas:
            await one.stop()
        await super().stop()

    async def kill(self, number: int, *, reset: bool = True) -> None:
        """Let one of them stop."""
        await self.replicas[number].kill(reset=reset)

    def revive(self, number: int) -> None:
        """Let it start again."""
        self.replicas[number].revive()

    def put(self, value: JSON, *, told: bool = True) -> JSON:
        """Create or replace an object."""
        stored = super().put(value, told=told)
        self._tell(lambda server: FakeApiServer.put(server, stored, told=told))
        return stored

    def delete(self, kind: str, namespace: str, name: str, *, told: bool = True) -> None:
        """Delete an object."""
        super().delete(kind, namespace, name, told=told)
        self._tell(lambda server: FakeApiServer.delete(server, kind, namespace, name, told=told))

    def _tell(self, change: Callable[[FakeApiServer], object]) -> None:
        for one in self.replicas:
            one.hear(change)

    async def _route(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a connection to the next server that is alive."""
        alive = [one for one in self.replicas if one.alive]
        self._turn += 1
        await alive[self._turn % len(alive)].serve(reader, writer)
