"""One connection over TCP (RFC 7766) or TLS (RFC 7858); it carries one question at a time."""

import asyncio
import ssl
from typing import Self

from dnsserver.upstream.endpoint import Endpoint, join
from dnsserver.upstream.errors import TIMEOUT, ClosedByPeerError, UpstreamError, reason

_PREFIX = 2  # octets of a length


class Connection:
    """A connection that is open; `created` and `used` are for whoever keeps it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoint: Endpoint) -> None:
        self.created = self.used = asyncio.get_running_loop().time()
        self._reader = reader
        self._writer = writer
        local = writer.get_extra_info("sockname") or ("", 0)
        self._path = f"{join(*local[:2])}->{endpoint.address}"

    @classmethod
    async def open(cls, endpoint: Endpoint, context: ssl.SSLContext | None, patience: float) -> Self:
        """Connect within `patience` seconds, with TLS where there is a context. Raises `UpstreamError`."""
        name = (endpoint.server_name or endpoint.host) if context is not None else None
        try:
            async with asyncio.timeout(patience):
                reader, writer = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=context, server_hostname=name
                )
        except TimeoutError:
            raise UpstreamError(f"dial tcp {endpoint.address}: {TIMEOUT}") from None
        except ssl.SSLError as error:
            raise UpstreamError(reason(error, "handshake")) from error
        except OSError as error:
            raise UpstreamError(f"dial tcp {endpoint.address}: {reason(error, 'connect')}") from error
        return cls(reader, writer, endpoint)

    @property
    def usable(self) -> bool:
        """Whether nothing says yet that the other side has ended it."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def exchange(self, wire: bytes, patience: float) -> bytes:
        """Return the first message that has the query's ID, within `patience` seconds.

        Raises `UpstreamError`; the connection is then of no use.
        """
        call = "write"
        try:
            async with asyncio.timeout(patience):
                self._writer.write(len(wire).to_bytes(_PREFIX, "big") + wire)
                await self._writer.drain()
                call = "read"
                message = await self._read()
                while message[:2] != wire[:2]:
                    message = await self._read()
                return message
        except TimeoutError:
            raise UpstreamError(f"{call} tcp {self._path}: {TIMEOUT}") from None
        except asyncio.IncompleteReadError:
            raise ClosedByPeerError("EOF") from None
        except ConnectionError as error:
            raise ClosedByPeerError(f"{call} tcp {self._path}: {reason(error, call)}") from error
        except OSError as error:
            raise UpstreamError(f"{call} tcp {self._path}: {reason(error, call)}") from error

    async def _read(self) -> bytes:
        length = int.from_bytes(await self._reader.readexactly(_PREFIX), "big")
        return await self._reader.readexactly(length)

    def close(self) -> None:
        """End the connection now; there is nothing left to be sent."""
        self._writer.transport.abort()
