"""NOTIFY: what is sent to whom, what counts as its acknowledgement, and how often it is sent."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dnsserver.admin.addresses import Address
from dnsserver.message import Transport
from dnsserver.names import Name, from_text
from dnsserver.plugins.transferring import notify as module
from dnsserver.plugins.transferring.metrics import Counts
from dnsserver.plugins.transferring.notify import Notifier, Secondary, answer_rcode
from dnsserver.records import Opcode, Rcode, RRType
from dnsserver.signatures import DEFAULT_ALGORITHM, Key, Keys, Signed, Signer, take_apart
from dnsserver.wire import AA, QR, encode_notify, parse_message
from dnsserver.zone import Zone, ZoneEditor
from tests.transports.support import eventually

ORIGIN = from_text("cluster.local")
NAME = from_text("transfer.example")
KEY = Key(NAME, b"a secret of these tests")
KEYS: Keys = {NAME: KEY}
NOW = 1_700_000_000.0


def version(serial: int) -> Zone:
    """Return a version of a zone."""
    return ZoneEditor(ORIGIN, 5).publish(serial)


class Told(asyncio.DatagramProtocol):
    """A secondary: keeps what it is told, and answers as it is told to."""

    def __init__(self, origin: Name = ORIGIN) -> None:
        self.origin = origin
        self.serials: list[int] = []
        self.times: list[float] = []
        self.answers: list[int | None] = []  # codes, None is silence; then NOERROR
        self.wrong: list[bytes] = []  # sent before an answer, by their octets behind the header's ID
        self.signed = False
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transport lacks the base class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        signer = None
        if self.signed:
            found = take_apart(data, Transport.UDP, KEYS, NOW)
            assert isinstance(found, Signed)
            data, signer = found.message, found.signer
        message = parse_message(data)
        assert (message.flags, message.question[0].qtype) == (Opcode.NOTIFY << 11 | AA, RRType.SOA)
        assert (message.question[0].qname, message.answer[0].owner) == (self.origin, self.origin)
        self.serials.append(int.from_bytes(message.answer[0].rdata[-20:-16], "big"))
        self.times.append(asyncio.get_running_loop().time())
        rcode = self.answers.pop(0) if self.answers else Rcode.NOERROR
        assert self.transport is not None
        for wrong in self.wrong:
            self.transport.sendto(wrong, addr)
        if rcode is not None:
            answer = data[:2] + struct.pack("!5H", QR | Opcode.NOTIFY << 11 | AA | rcode, 1, 0, 0, 0)
            answer += _asked(data, self.origin)
            self.transport.sendto(signer.sign(answer, NOW)[0] if signer else answer, addr)


def _asked(data: bytes, origin: Name = ORIGIN) -> bytes:
    return data[12 : 12 + len(origin) + 4]


class Primary:
    """A notifier with the zone that it tells of."""

    def __init__(self, port: int, key: Key | None = None) -> None:
        self.zone: Zone | None = None
        self.counts = Counts()
        self.notifier = Notifier(
            ORIGIN, Secondary(Address("127.0.0.1", port), key), self._settled, self.counts, lambda: NOW
        )

    async def _settled(self) -> Zone | None:
        return self.zone

    def publish(self, serial: int) -> None:
        """Have another version."""
        self.zone = version(serial)
        self.notifier.changed()

    @property
    def results(self) -> dict[str, int]:
        """How often there was each result."""
        return {result: count for (_, _, result), count in self.counts.notifies.items()}


@asynccontextmanager
async def pair(key: Key | None = None) -> AsyncIterator[tuple[Told, Primary]]:
    """Run a secondary and what tells it."""
    transport, told = await asyncio.get_running_loop().create_datagram_endpoint(Told, local_addr=("127.0.0.1", 0))
    told.signed = key is not None
    primary = Primary(transport.get_extra_info("sockname")[1], key)
    task = asyncio.create_task(primary.notifier.run())
    try:
        yield told, primary
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        transport.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let intervals be short."""
    monkeypatch.setattr(module, "FIRST", 0.05)
    monkeypatch.setattr(module, "LONGEST", 0.1)
    monkeypatch.setattr(module, "_INTERVAL", 0.05)


async def test_each_version_once() -> None:
    """The present version is told at the start, each later one when it comes, an acknowledged one never again."""
    async with pair() as (told, primary):
        primary.publish(1)
        await eventually(lambda: primary.counts.told)
        primary.notifier.changed()
        primary.publish(2)
        await eventually(lambda: len(told.serials) == 2)
        await eventually(
            lambda: primary.counts.told == {("cluster.local.", str(primary.notifier._secondary.address)): 2}
        )
        assert told.serials == [1, 2]
        assert primary.results == {"acknowledged": 2}


async def test_coalesced() -> None:
    """Of many versions in a short time the last is told, and few others, with an interval between them."""
    async with pair() as (told, primary):
        began = asyncio.get_running_loop().time()
        for serial in range(1, 100):
            primary.publish(serial)
            await asyncio.sleep(0.001)
        await eventually(lambda: told.serials[-1:] == [99])
        assert told.serials == sorted(set(told.serials))
        took = told.times[-1] - began
        assert len(told.serials) <= took / 0.05 + 2  # not 99: there is an interval between any two


async def test_until_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    """Silence and refusals are asked again, with what is the newest version then; one line says so, not many."""
    async with pair() as (told, primary):
        told.answers = [None, Rcode.REFUSED, None, None]
        primary.publish(1)
        await eventually(lambda: len(told.serials) == 2)
        primary.publish(2)
        await eventually(lambda: primary.counts.told)
        assert told.serials[0] == 1
        assert told.serials[-1] == 2
        assert len(told.serials) == 5
        assert primary.results == {"unanswered": 3, "REFUSED": 1, "acknowledged": 1}
        lines = [record.getMessage() for record in caplog.records]
        assert lines == [
            f"{primary.notifier._secondary.address} has not acknowledged zone cluster.local. with 1 SOA serial: "
            "unanswered; it is told again"
        ]


async def test_who_does_not_know_it() -> None:
    """NOTIMP ends it (RFC 1996, section 3.12): such a secondary asks by itself."""
    async with pair() as (told, primary):
        told.answers = [Rcode.NOTIMP]
        primary.publish(1)
        await eventually(lambda: primary.counts.told)
        assert (told.serials, primary.results) == ([1], {"NOTIMP": 1})


async def test_nobody_there() -> None:
    """A port that nobody has opened is no more than silence, and no error of ours."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Told, local_addr=("127.0.0.1", 0))
    primary = Primary(transport.get_extra_info("sockname")[1])
    transport.close()
    task = asyncio.create_task(primary.notifier.run())
    primary.publish(1)
    await eventually(lambda: primary.results.get("unanswered", 0) >= 2)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)


async def test_signed() -> None:
    """With a key the message is signed, and so must be its answer."""
    async with pair(KEY) as (told, primary):
        primary.publish(7)
        await eventually(lambda: primary.counts.told)
        assert told.serials == [7]
        told.answers = [None]
        told.wrong = [b"", b"\0", bytes(12)]
        primary.publish(8)
        await eventually(lambda: told.serials[-1] == 8 and primary.results.get("acknowledged") == 2)
        assert primary.results["unanswered"] >= 1


QUERY = encode_notify(0x1234, version(1).soa)
ANSWER = struct.pack("!6H", 0x1234, QR | Opcode.NOTIFY << 11, 1, 0, 0, 0) + _asked(QUERY)


def test_what_is_an_answer() -> None:
    """By its ID, its opcode and, where there is a key, its signature; the code is the message's."""
    assert answer_rcode(ANSWER, QUERY, None, NOW) == Rcode.NOERROR
    assert answer_rcode(ANSWER[:3] + b"\5" + ANSWER[4:], QUERY, None, NOW) == Rcode.REFUSED
    for wrong in (
        b"\x43\x21" + ANSWER[2:],
        ANSWER[:-1],
        ANSWER[:11],
        QUERY,
        ANSWER[:2] + bytes((ANSWER[2] & 0x87,)) + ANSWER[3:],
    ):
        assert answer_rcode(wrong, QUERY, None, NOW) is None
    _, mac = Signer(KEY, DEFAULT_ALGORITHM).sign(QUERY, NOW)
    signer = Signer(KEY, DEFAULT_ALGORITHM, mac)
    assert answer_rcode(signer.sign(ANSWER, NOW)[0], QUERY, signer, NOW) == Rcode.NOERROR
    assert answer_rcode(ANSWER, QUERY, signer, NOW) is None
    assert answer_rcode(Signer(KEY, DEFAULT_ALGORITHM).sign(ANSWER, NOW)[0], QUERY, signer, NOW) is None
    other = Signer(Key(Name(NAME), b"another"), DEFAULT_ALGORITHM, mac)
    assert answer_rcode(other.sign(ANSWER, NOW)[0], QUERY, signer, NOW) is None
