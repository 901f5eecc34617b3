"""The connection to one API server: requests with our own deadlines over the official client's session.

Tokens are read again before they expire and at once after a 401; certificates after a 401 or a TLS failure. No file is
ever read on the event loop, and TLS is verified unless the kubeconfig says otherwise.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import aiohttp
from asyncio_extras import call_in_executor, open_async
from yarl import URL

from dnsserver.sources.api import SourceError, UnreachableError
from dnsserver.sources.backoff import Clock, SystemClock
from dnsserver.sources.config import ApiConfig, clean_token, set_token
from dnsserver.sources.requests import Limiter, RequestLimits, RequestStats

if TYPE_CHECKING:
    from dnsserver.sources.credentials import Credentials

__all__ = [
    "ApiConfig",
    "ApiConnection",
    "ApiResponse",
    "RequestLimits",
    "RequestStats",
    "SourceError",
    "UnreachableError",
    "connect",
]

logger = logging.getLogger("plugin/kubernetes")

CONNECT_TIMEOUT = 10.0  # seconds, TLS handshake included
HEAD_TIMEOUT = 60.0  # seconds until the head of an answer: a watch may be silent for longer, but not before it begins
TOKEN_AGE = 50.0  # seconds a token read from a file is trusted (client-go: a minute less ten seconds)
RELOAD_AGE = 5.0  # seconds between two reloads of everything: several watches fail at the same time

# what aiohttp raises for any fault of the network or the other side
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


@asynccontextmanager
async def connect(config: ApiConfig, *, clock: Clock | None = None) -> AsyncIterator["ApiConnection"]:
    """Open a connection; leaving the block closes it.

    Nothing is asked of the API server yet: it may come later. Raises `SourceError` where the configuration cannot be
    used.
    """
    credentials = await call_in_executor(_load_credentials, config)
    connection = ApiConnection(config, credentials, clock or SystemClock())
    try:
        yield connection
    finally:
        await connection.close()


def _load_credentials(config: ApiConfig) -> "Credentials":
    """Build a client. Blocks; raises `SourceError`."""
    _have_a_home()
    # imported here, off the event loop: the library takes 20 MiB, which manifests do without
    from dnsserver.sources.credentials import load_credentials

    return load_credentials(config)


def _have_a_home() -> None:
    """Let the library be imported where the user has no home, as a container's may: it looks for one at once."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


class ApiResponse:
    """One answer of the API server."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers."""
        return self._response.headers

    async def read(self) -> bytes:
        """Return the whole body. Raises `UnreachableError`."""
        try:
            return await self._response.read()
        except _FAILURES as error:
            raise _unreachable(error) from None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises `UnreachableError`."""
        content = self._response.content
        while True:
            try:
                chunk = await content.readany()
            except _FAILURES as error:
                raise _unreachable(error) from None
            if not chunk:
                return
            yield chunk


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, object] | None = None  # as JSON


class _Session:
    """A client and how many answers of it are still being read; once it is replaced, the last of them closes it."""

    def __init__(self, credentials: "Credentials") -> None:
        self.client = credentials.client
        self.token_file = credentials.token_file
        self.answers = 0


class ApiConnection:
    """A connection to one API server; made by `connect`."""

    def __init__(self, config: ApiConfig, credentials: "Credentials", clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._session = _Session(credentials)
        self._replaced: set[_Session] = set()  # still being read from
        self._complaint = ""  # what could not be read again, told once
        self._token_read = self._loaded = clock.now()
        self._lock = asyncio.Lock()
        self._limiter = Limiter(config.limits, clock)
        self.stats = RequestStats(host=URL(credentials.client.configuration.host).authority)

    @asynccontextmanager
    async def request(
        self, path: str, query: Mapping[str, str], *, read_timeout: float = 60.0
    ) -> AsyncIterator[ApiResponse]:
        """GET a path; the answer lives until the block is left. Raises `UnreachableError`."""
        async with self._answer(_Asked("GET", path, query), read_timeout) as response:
            yield response

    @asynccontextmanager
    async def write(
        self, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, object], *, read_timeout: float = 60.0
    ) -> AsyncIterator[ApiResponse]:
        """POST an object, or PATCH one (JSON merge patch, RFC 7396); the answer lives until the block is left.

        A request may be sent twice where the first met a 401, and never after it may have been obeyed. Raises
        `UnreachableError`: then nobody knows whether it was.
        """
        async with self._answer(_Asked(method, path, {}, body), read_timeout) as response:
            yield response

    @asynccontextmanager
    async def _answer(self, asked: _Asked, read_timeout: float) -> AsyncIterator[ApiResponse]:
        """Send a request, and once more where credentials had to be read again."""
        await self._refresh_token()
        session, response = await self._get(asked, read_timeout)
        try:
            if response.status == 401 and await self._reload(response.request_info.headers.get("Authorization")):
                await self._release(session, response)
                session, response = await self._get(asked, read_timeout)
            yield ApiResponse(response)
        finally:
            await self._release(session, response)

    async def close(self) -> None:
        """Close the connection and every answer of it."""
        for session in (*self._replaced, self._session):
            await session.client.close()

    async def _get(self, asked: _Asked, read_timeout: float) -> tuple[_Session, aiohttp.ClientResponse]:
        """Send a request, when the limits let it, and return its answer's head."""
        async with self._limiter.slot() as held_back:
            self.stats.held_back.observe(held_back)
            started = self._clock.now()
            try:
                session, response = await self._send(asked, read_timeout)
            except UnreachableError:
                self.stats.answers["<error>"] += 1
                raise
            self.stats.latency.observe(self._clock.now() - started)
            self.stats.answers[str(response.status)] += 1
            return session, response

    async def _send(self, asked: _Asked, read_timeout: float) -> tuple[_Session, aiohttp.ClientResponse]:
        """Send a request and return its answer's head."""
        session = self._session
        session.answers += 1
        try:
            client = session.client
            request = await client.param_serialize(
                asked.method,
                asked.path,
                query_params=list(asked.query.items()),
                header_params={"Content-Type": "application/merge-patch+json"} if asked.method == "PATCH" else {},
                body=asked.body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout)
            async with asyncio.timeout(HEAD_TIMEOUT):
                answer = await client.call_api(*request, _request_timeout=timeout)
        except BaseException as error:
            await self._done(session)
            if not isinstance(error, _FAILURES):
                raise
            if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientConnectorCertificateError):
                await self._reload(None)  # for the next attempt: the authority may have been renewed on disk
            raise _unreachable(error) from None
        return session, answer.response

    async def _release(self, session: _Session, response: aiohttp.ClientResponse) -> None:
        """Let go of an answer; one that was not read to its end takes its connection with it."""
        if response.content.at_eof():
            response.release()
        else:
            response.close()
        await self._done(session)

    async def _done(self, session: _Session) -> None:
        """Count an answer off."""
        session.answers -= 1
        if session in self._replaced and not session.answers:
            self._replaced.remove(session)
            await session.client.close()

    async def _refresh_token(self) -> None:
        """Read the token file again where that is due; whatever cannot be read changes nothing."""
        path = self._session.token_file
        if path is None or self._clock.now() - self._token_read < TOKEN_AGE:
            return
        self._token_read = self._clock.now()
        try:
            async with open_async(path, "rb") as file:
                token = clean_token(await file.read())
        except OSError as error:
            self._complain(f"token file {path}: {error.strerror}")
            return
        if token is not None:
            set_token(self._session.client.configuration, token)

    async def _reload(self, used: str | None) -> bool:
        """Read everything again: token, certificates, kubeconfig, exec plugin; say whether another attempt may do.

        `used` is the Authorization that was refused: another watch may have replaced it meanwhile. Whatever cannot be
        read changes nothing.
        """
        async with self._lock:
            if used is not None and used != self._authorization():
                return True
            # A kubeconfig may run a plugin, and several watches fail at the same time.
            if self._session.token_file is None and self._clock.now() - self._loaded < RELOAD_AGE:
                return False
            self._loaded = self._clock.now()
            try:
                credentials = await call_in_executor(_load_credentials, self._config)
            except SourceError as error:
                self._complain(str(error))
                return False
            self._complaint = ""
            self._token_read = self._clock.now()
            old, self._session = self._session, _Session(credentials)
            if old.answers:
                self._replaced.add(old)
            else:
                await old.client.close()
            return used is None or used != self._authorization()

    def _authorization(self) -> str | None:
        """Return the Authorization of the next request."""
        return self._session.client.configuration.api_key.get("BearerToken")

    def _complain(self, complaint: str) -> None:
        """Tell once what could not be read again."""
        if complaint != self._complaint:
            self._complaint = complaint
            logger.warning("%s; going on with the last credentials", complaint)


def _unreachable(error: BaseException) -> UnreachableError:
    """Tell a failure in one line of our own."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return UnreachableError(f"its certificate is not trusted: {error.certificate_error}")
    if isinstance(error, aiohttp.ServerTimeoutError | TimeoutError):
        return UnreachableError("no answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return UnreachableError(f"cannot connect: {error.os_error.strerror or error.os_error}", refused=refused)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError):
        return UnreachableError("the connection was lost")
    return UnreachableError(f"not a sound HTTP answer ({type(error).__name__})")
