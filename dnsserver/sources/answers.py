"""The API server's answers as the watch reads them: documents, objects, and the lines of a watch."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec
from asyncio_extras import call_in_executor

from dnsserver.objects import Further, Kind, Object, WatchEvent, decode_object, decode_watch_event
from dnsserver.sources.api import Response
from dnsserver.sources.faults import Stage, nonsense
from dnsserver.sources.lines import LineBuffer, LineTooLongError
from dnsserver.sources.nesting import prune

_T = TypeVar("_T")


async def parsed(decode: Callable[[bytes], _T], body: bytes) -> _T:
    """Parse a document, one that is nested too deeply included. Raises `ValueError`."""
    try:
        return decode(body)
    except RecursionError:
        return decode(await call_in_executor(prune, body))


async def parse_event(line: bytes) -> WatchEvent:
    """Parse one line of a watch. Raises `FaultError`."""
    try:
        return await parsed(decode_watch_event, line)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise nonsense(Stage.STREAM, f"not a watch event: {error}") from None


def parse_object(kind: Kind, raw: bytes | msgspec.Raw, further: Further | None = None) -> Object:
    """Parse an object, a VMI with its `further` interfaces if that is not None. Raises `InvalidObjectError`."""
    try:
        return decode_object(kind, raw, further)
    except RecursionError:  # as deep as the document could just be
        return decode_object(kind, prune(bytes(raw)), further)


async def read_lines(response: Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a watch; one that is cut off is none. Raises `FaultError`, `UnreachableError`."""
    buffer = LineBuffer()
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            try:
                for line in buffer.feed(chunk):
                    yield line
            except LineTooLongError as error:
                raise nonsense(Stage.STREAM, str(error)) from None
