"""The little HTTP/1.1 that the fake API server speaks, with a hand on every octet it sends."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from tests.fakes.api_faults import Chunks, Drop, Fault, Hang


class CutError(Exception):
    """The connection ends here, as ordered."""


class Answer:
    """One answer on its way out: chunked, and spoilt by a fault where one was ordered."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault) -> None:
        self._writer = writer
        self._fault = fault
        self._sent = 0  # octets of the body

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head."""
        await self._spoil(-1)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Transfer-Encoding: chunked", "", ""]
        self._writer.write("\r\n".join(lines).encode())
        await self._spoil(0)

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        limit = self._fault.after if isinstance(self._fault, Drop | Hang) else None
        if limit is not None and self._sent + len(data) >= limit:
            await self._chunk(data[: limit - self._sent])
            await self._spoil(limit)
        size = self._fault.size if isinstance(self._fault, Chunks) else len(data)
        for start in range(0, len(data), max(1, size)):
            await self._chunk(data[start : start + size])

    async def finish(self) -> None:
        """End the body as HTTP wants it."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _chunk(self, data: bytes) -> None:
        if data:
            self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self._writer.drain()
            self._sent += len(data)

    async def _spoil(self, place: int) -> None:
        """Cut or hang, if it was ordered for this place."""
        if isinstance(self._fault, Drop) and self._fault.after == place:
            raise CutError
        if isinstance(self._fault, Hang) and self._fault.after == place:
            await hang()


async def hang() -> None:
    """Never come back."""
    await asyncio.get_running_loop().create_future()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    """Return the method, target, headers (names in lower case) and body; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    if method not in ("GET", "POST", "PATCH"):
        raise CutError
    pairs = (line.partition(":") for line in rest if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return method, target, headers, await reader.readexactly(int(headers.get("content-length", "0")))
