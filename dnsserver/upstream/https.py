"""One question in one HTTPS request (RFC 8484); HTTP/1.1 with connections that are kept."""

import base64
import ssl

import aiohttp

from dnsserver.upstream.endpoint import Endpoint
from dnsserver.upstream.errors import UpstreamError
from dnsserver.wire import MAX_MESSAGE

_TYPE = "application/dns-message"
_METHOD_TEXTS = {"GET": "Get", "POST": "Post"}  # as Go's errors begin


class HttpsClient:
    """Asks one server; made on the event loop that it is to run on."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, method: str, timeout: float) -> None:
        self._url = f"https://{endpoint.address}{endpoint.path}"
        self._method = method
        self._name = endpoint.server_name or endpoint.host
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=timeout),
            headers={"Accept": _TYPE},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def exchange(self, wire: bytes) -> bytes:
        """Return the body of the answer. Raises `UpstreamError`."""
        prefix = f'{_METHOD_TEXTS[self._method]} "{self._url}"'
        try:
            return await self._request(wire)
        except TimeoutError:
            raise UpstreamError(f"{prefix}: context deadline exceeded") from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            raise UpstreamError(f"{prefix}: {error}") from error

    async def _request(self, wire: bytes) -> bytes:
        params, data, headers = None, None, {}
        if self._method == "GET":
            params = {"dns": base64.urlsafe_b64encode(wire).rstrip(b"=").decode()}
        else:
            data, headers = wire, {"Content-Type": _TYPE}
        async with self._session.request(
            self._method,
            self._url,
            params=params,
            data=data,
            headers=headers,
            server_hostname=self._name,
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise ValueError(f"unexpected status {response.status}")
            body = b""
            async for chunk in response.content.iter_chunked(MAX_MESSAGE):
                body += chunk
                if len(body) > MAX_MESSAGE:
                    raise ValueError("the answer is longer than a DNS message")
            return body

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
