"""Telling secondaries that a zone has changed (RFC 1996): one task for each zone and secondary.

A message is sent until it is acknowledged, at longer and longer intervals; what is told is always the version that is
the newest then. Nothing here holds up a query, and nothing is told more than once a second.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dnsserver.admin.addresses import Address
from dnsserver.names import Name, to_text
from dnsserver.plugins.transferring.metrics import Counts
from dnsserver.records import Opcode, Rcode
from dnsserver.signatures import DEFAULT_ALGORITHM, Key, Signer
from dnsserver.wire import QR, MalformedMessageError, encode_notify, parse_response, rcode_to_text
from dnsserver.zone import Zone

FIRST = 1.0  # seconds to wait for an acknowledgement; twice as long each time,
LONGEST = 60.0  # but no longer than that (RFC 1996, section 3.6)
_INTERVAL = 1.0  # seconds between two messages to the same secondary about the same zone

_log = logging.getLogger("plugin/transfer")


@dataclass(frozen=True, slots=True)
class Secondary:
    """Who is told, and the key to sign with."""

    address: Address
    key: Key | None = None


class Notifier:
    """Tells one secondary about one zone."""

    def __init__(
        self,
        zone: Name,
        secondary: Secondary,
        settled: Callable[[], Awaitable[Zone | None]],
        counts: Counts,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Make one; `settled` returns the version to tell of, None while there is none."""
        self.zone = zone
        self._secondary = secondary
        self._settled = settled
        self._labels = to_text(zone), str(secondary.address)
        self._counts = counts
        self._wall = wall
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Take note that there may be another version."""
        self._changed.set()

    async def run(self) -> None:
        """Tell of the present version, and of each that follows, until cancelled."""
        told = 0
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            zone = await self._settled()
            if zone is not None and zone.serial != told:
                told = await self._tell(zone)

    async def _tell(self, zone: Zone) -> int:
        """Tell of a version, or of one that takes its place meanwhile; return the serial that was acknowledged."""
        patience = FIRST
        while True:
            began = time.monotonic()
            result = await self._exchange(zone, patience)
            self._counts.notifies[*self._labels, result] += 1
            done = result in ("acknowledged", "NOTIMP")  # who does not know NOTIFY does not need it (RFC 1996, 3.12)
            wait = _INTERVAL if done else max(_INTERVAL, patience)
            await asyncio.sleep(wait - (time.monotonic() - began))
            if done:
                self._counts.told[self._labels] = zone.serial
                return zone.serial
            if patience == FIRST:
                _log.warning(
                    "%s has not acknowledged zone %s with %d SOA serial: %s; it is told again",
                    *self._labels[::-1],
                    zone.serial,
                    result,
                )
            patience = min(patience * 2, LONGEST)
            zone = await self._settled() or zone

    async def _exchange(self, zone: Zone, patience: float) -> str:
        """Send one message from a port of its own; return what became of it."""
        message = encode_notify(secrets.randbits(16), zone.soa)
        key = self._secondary.key
        signer = None
        if key is not None:
            signer = Signer(key, key.algorithm or DEFAULT_ALGORITHM)
            message, mac = signer.sign(message, self._wall())
            signer = Signer(key, signer.algorithm, mac)
        loop, address = asyncio.get_running_loop(), self._secondary.address
        answer: asyncio.Future[int] = loop.create_future()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Answer(message, signer, answer, self._wall), remote_addr=(address.host, address.port)
            )
        except OSError:
            return "unanswered"
        try:
            async with asyncio.timeout(patience):
                rcode = await answer
        except (TimeoutError, OSError):
            return "unanswered"
        finally:
            transport.close()
        return "acknowledged" if rcode == Rcode.NOERROR else rcode_to_text(rcode)


class _Answer(asyncio.DatagramProtocol):
    """Sends a message, and waits for its answer: the kernel passes on none from another address."""

    def __init__(
        self, message: bytes, signer: Signer | None, answer: "asyncio.Future[int]", wall: Callable[[], float]
    ) -> None:
        self._message = message
        self._signer = signer
        self._answer = answer
        self._wall = wall

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.sendto(self._message)  # type: ignore[attr-defined]  # uvloop's transport lacks the base class

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        rcode = answer_rcode(data, self._message, self._signer, self._wall())
        if rcode is not None and not self._answer.done():
            self._answer.set_result(rcode)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def answer_rcode(data: bytes, message: bytes, signer: Signer | None, now: float) -> int | None:
    """Return the code of the answer to a NOTIFY; None for what is none, or is not signed as it should be."""
    if data[:2] != message[:2]:
        return None
    if signer is not None:
        whole = signer.check(data, now)
        if whole is None:
            return None
        data = whole
    try:
        response = parse_response(data)
    except MalformedMessageError:
        return None
    if not response.flags & QR or response.opcode != Opcode.NOTIFY:
        return None
    return response.rcode
