"""What a watch needs of a connection to the API server, and how the connection may fail; no I/O."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol


class SourceError(Exception):
    """A source that cannot be opened as it is configured; the text is meant for the operator and holds no secret."""


class UnreachableError(Exception):
    """The API server gave no answer, or stopped in the middle of one; the text holds no secret."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused  # the connection was refused: nothing listens there


class Response(Protocol):
    """One answer of the API server, whatever its status."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, looked up without regard to case."""
        ...

    async def read(self) -> bytes:
        """Return the whole body. Raises `UnreachableError`."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes, in pieces of any size. Raises `UnreachableError`."""
        ...


class WritableApi(Protocol):
    """A connection to one API server that may write."""

    def write(
        self, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, object], *, read_timeout: float
    ) -> AbstractAsyncContextManager[Response]:
        """POST an object, or PATCH one (JSON merge patch); the answer lives until the block is left.

        Raises `UnreachableError`, and then nobody knows whether it was obeyed.
        """
        ...


class Api(Protocol):
    """A connection to one API server."""

    def request(
        self, path: str, query: Mapping[str, str], *, read_timeout: float
    ) -> AbstractAsyncContextManager[Response]:
        """GET a path; the answer lives until the block is left.

        `read_timeout` (seconds) is the longest silence allowed, before the answer and within it.
        Raises `UnreachableError`, and nothing else for any fault of the network or the server.
        """
        ...
