"""One page of a list, read while it comes: an API server that does not page sends hundreds of megabytes in one.

The items of a long page are cut out as soon as each is whole, so that a page is never in memory as one.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from itertools import islice

import msgspec

from dnsserver.objects import Kind
from dnsserver.sources.answers import parsed
from dnsserver.sources.api import Api, Response, UnreachableError
from dnsserver.sources.envelopes import ListBody, ListMeta, decode_list_body
from dnsserver.sources.faults import FaultError, Stage, Trouble, fault_of_response, nonsense

PART = 100  # items handed on at a time: two milliseconds of decoding or so, and queries get their turn between

_SHORT = 4 * 2**20  # octets: up to this size, as nearly every page is, a page is parsed in one go

_OPEN = ord("{")
_BEGIN = re.compile(rb'"items"\s*+:\s*+\[')
_BETWEEN = re.compile(rb"[\s,]*+")
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_PLAIN = rb'[^"{}]*+'
_FLAT = rb"\{" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*+\}"  # an object without objects in it: most are
_BRACE = re.compile(_PLAIN + rb"(?:(?:" + _STRING + rb"|" + _FLAT + rb")" + _PLAIN + rb")*+([{}])", re.DOTALL)


class ListPage:
    """One request of a list; `metadata` is known once `parts` has ended."""

    def __init__(self, api: Api, kind: Kind, path: str, query: Mapping[str, str], *, read_timeout: float) -> None:
        self._api = api
        self._kind = kind
        self._path = path
        self._query = query
        self._read_timeout = read_timeout  # seconds of silence
        self.metadata = ListMeta()

    async def parts(self) -> AsyncGenerator[list[msgspec.Raw], None]:
        """Yield the items, at most `PART` at a time. Raises `FaultError`; then what was yielded is not to count."""
        api, path, query = self._api, self._path, self._query
        try:
            async with api.request(path, query, read_timeout=self._read_timeout) as response:
                if response.status != 200:
                    raise fault_of_response(response.status, response.headers, await response.read(), Stage.LIST)
                async with aclosing(self._read(response)) as parts:
                    async for part in parts:
                        yield part
                        await asyncio.sleep(0)
        except UnreachableError as error:
            raise FaultError(Trouble.UNREACHABLE, Stage.LIST, str(error)) from None

    async def _read(self, response: Response) -> AsyncGenerator[list[msgspec.Raw], None]:
        """Yield the items of an answer. Raises `FaultError`, `UnreachableError`."""
        short = bytearray()
        cutter: ItemCutter | None = None
        async with aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                piece = chunk
                if cutter is None:
                    short += chunk
                    if len(short) <= _SHORT:
                        continue
                    cutter, piece, short = ItemCutter(), bytes(short), bytearray()
                items = cutter.feed(piece)
                while part := list(islice(items, PART)):
                    yield part
        body = await self._body(bytes(short) if cutter is None else cutter.rest())
        items = iter(body.items or ())
        self.metadata, body = body.metadata, ListBody("", ListMeta())
        while part := list(islice(items, PART)):
            yield part

    async def _body(self, octets: bytes) -> ListBody:
        """Parse a page, or what is around its items. Raises `FaultError`."""
        try:
            body = await parsed(decode_list_body, octets)
        except ValueError as error:  # msgspec's errors are ValueErrors
            raise nonsense(Stage.LIST, f"not a list: {error}") from None
        if body.kind != f"{self._kind.value}List":
            raise nonsense(Stage.LIST, f"not a list of {self._kind.value}: kind {body.kind}")
        if not body.metadata.resource_version:
            raise nonsense(Stage.LIST, "a list without resourceVersion")
        return body


class ItemCutter:
    """Cuts the items out of a list's octets, whatever the order of its fields.

    It counts braces outside strings: nothing else ends an object. The objects themselves, and what is left around
    them, are for a parser to judge.
    """

    def __init__(self) -> None:
        self._around: bytes | None = None  # what came before the first item; None before the first octet
        self._buffer = bytearray()  # what has not been cut out after that
        self._within = False  # the buffer begins among the items
        self._depth = 0  # braces open in the item under way, 0 before it
        self._looked = 0  # octets of the buffer up to there

    def feed(self, chunk: bytes) -> Iterator[msgspec.Raw]:
        """Yield the items that a chunk completes; to be used up before the next. The first chunk shows the items."""
        if self._around is None:
            begin = _BEGIN.search(chunk)
            self._within = begin is not None
            self._around = chunk[: begin.end()] if begin else b""
            chunk = chunk[len(self._around) :]
        self._buffer += chunk
        start = 0
        while self._within:
            between = _BETWEEN.match(self._buffer, start)
            start = between.end() if between else start
            if start == len(self._buffer):
                break
            if self._buffer[start] != _OPEN:
                self._within = False  # the end of the items, or no object
                break
            end = self._end(start)
            if not end:
                break
            yield msgspec.Raw(bytes(self._buffer[start:end]))
            start = end
        del self._buffer[:start]
        self._looked -= start

    def rest(self) -> bytes:
        """Return the list without the items that were cut out."""
        return (self._around or b"") + bytes(self._buffer)

    def _end(self, start: int) -> int:
        """Return where the object ends that begins at `start`, 0 where it has not ended yet."""
        position, depth = (self._looked, self._depth) if self._depth else (start + 1, 1)
        while depth and (brace := _BRACE.match(self._buffer, position)):
            position = brace.end()
            depth += 1 if self._buffer[position - 1] == _OPEN else -1
        self._looked, self._depth = position, depth
        return 0 if depth else position
