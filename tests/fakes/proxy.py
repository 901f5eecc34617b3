"""A TCP proxy that can swallow: what is sent goes nowhere, and no connection ends."""

import asyncio
from types import TracebackType
from typing import Self


class SwallowingProxy:
    """Passes connections on to a port of 127.0.0.1, until it is told to swallow what the open ones say.

    A network that loses packets looks like that to whoever waits for them: no octet, no end, no error.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.deaf = False  # swallow what connections say that are still to come, too
        self._target = target
        self._swallowed: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow(self) -> None:
        """Lose all that the open connections still have to say, in both directions."""
        for event in self._swallowed:
            event.set()
        self._swallowed.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        lost = asyncio.Event()
        if self.deaf:
            lost.set()
        self._swallowed.append(lost)
        there, to = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [asyncio.create_task(_pass_on(*pair, lost)) for pair in ((reader, to), (there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for one in (writer, to):
                one.transport.abort()
            self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
    """Pass on what comes, until either side ends."""
    try:
        while data := await reader.read(65536):
            if not lost.is_set():
                writer.write(data)
                await writer.drain()
    except ConnectionError:
        pass
