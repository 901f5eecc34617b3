"""The load over UDP: queries at a steady rate, each matched with its answer by ID, late and lost ones told apart."""

import asyncio
import os
import random
import socket
import time
from pathlib import Path

from benchmarks.soak.questions import Question, Questions, cookie_of, replace_query, with_cookie, wrong
from benchmarks.soak.tally import OWN_STALL, Tally
from dnsserver.wire import MalformedMessageError, encode_query, parse_response

LOST = 2.0  # seconds without an answer
_SOCKETS = 8
_TICK = 0.002  # seconds between two batches
_MOST = 20  # queries in one batch: after a stall of our own the rest is not made up for in a burst
_SWEEP = 0.5  # seconds between two looks for lost queries
_BUFFER = 2**20  # octets, as far as net.core.rmem_max allows
_SOCKET_LIFE = 20.0  # seconds of one socket: then it closes, and another port asks


class UdpLoad:
    """Asks one server until cancelled."""

    def __init__(self, port: int, questions: Questions, tally: Tally, rate: float) -> None:
        self._port = port
        self._questions = questions
        self._tally = tally
        self._rate = rate
        self._random = random.Random(2)
        self._askers: list[_Asker] = []
        self._due = 0.0  # when the next batch is to be sent

    async def run(self) -> None:
        """Ask until cancelled."""
        for _ in range(_SOCKETS):
            self._askers.append(await self._open())
        sweeper = asyncio.create_task(self._sweep())
        try:
            await self._send()
        finally:
            sweeper.cancel()
            for asker in self._askers:
                asker.close()

    async def _open(self) -> "_Asker":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.connect(("127.0.0.1", self._port))
        loop = asyncio.get_running_loop()
        _, asker = await loop.create_datagram_endpoint(lambda: _Asker(self, sock), sock=sock)
        return asker

    async def _send(self) -> None:
        """Send a batch every tick, and note when a tick comes late."""
        owed = 0.0
        last = time.perf_counter()
        while True:
            self._due = time.perf_counter() + _TICK
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            if now - self._due > OWN_STALL:
                self._tally.stalled(now, now - self._due)
            owed = min(owed + (now - last) * self._rate, _MOST)
            last = now
            while owed >= 1:
                owed -= 1
                self._ask(self._random.choice(self._askers))

    def _ask(self, asker: "_Asker") -> None:
        """Ask anything; half of what has EDNS with a cookie, first the client's own, then with the server's part."""
        question = self._questions.any()
        if question.query.edns is not None and self._random.getrandbits(1):
            question = with_cookie(question, asker.cookie)
        ident = self._random.getrandbits(16)
        if ident in asker.waiting:
            return
        self._tally.asked[question.kind] += 1
        asker.waiting[ident] = (time.perf_counter(), question)
        asker.send(encode_query(replace_query(question.query, ident=ident)))

    def received(self, asker: "_Asker", wire: bytes) -> None:
        """Match an answer with its query, and look at both."""
        now = time.perf_counter()
        sent, question = asker.waiting.pop(int.from_bytes(wire[:2], "big"), (0.0, None))
        if question is None:
            return  # later than `LOST`, and counted
        self._tally.answered(sent, now, late=now - self._due > OWN_STALL)
        try:
            response = parse_response(wire)
        except MalformedMessageError as error:
            self._tally.mistaken(question.kind, str(error))
            return
        if fault := wrong(question, response) or asker.learn(question, cookie_of(response.edns)):
            self._tally.mistaken(question.kind, fault)

    def refused(self, error: Exception) -> None:
        """Note that nobody listens."""
        self._tally.mistaken("socket", str(error))

    async def _sweep(self) -> None:
        """Count what has been lost, and have a fresh socket now and then."""
        turns = 0
        while True:
            due = time.perf_counter() + _SWEEP
            await asyncio.sleep(_SWEEP)
            now = time.perf_counter()
            if now - due > OWN_STALL:
                continue  # answers may be waiting for us
            for asker in self._askers:
                for sent, question in asker.overdue(now - LOST):
                    self._tally.missed(question.kind, f"{question.query.name!r} {now - sent:.1f} s ago")
            turns += 1
            if turns % int(_SOCKET_LIFE / _SWEEP / _SOCKETS) == 0:
                await self._replace()

    async def _replace(self) -> None:
        """Close the oldest socket once its answers are there."""
        self._askers.append(await self._open())
        oldest = self._askers.pop(0)
        limit = time.perf_counter() + LOST
        while oldest.waiting and time.perf_counter() < limit:  # noqa: ASYNC110 -- answers come by the hundred
            await asyncio.sleep(0.05)
        for _, question in oldest.overdue(limit):
            self._tally.missed(question.kind, f"{question.query.name!r} at a socket's end")
        self._tally.own_drops += oldest.drops()
        oldest.close()


class _Asker(asyncio.DatagramProtocol):
    """One socket with its queries in flight, oldest first, and its cookie."""

    def __init__(self, load: UdpLoad, sock: socket.socket) -> None:
        self._load = load
        self._sock = sock
        self._client_cookie = os.urandom(8)
        self.cookie = self._client_cookie
        self.waiting: dict[int, tuple[float, Question]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # narrower than asyncio's
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 -- the signature is asyncio's
        self._load.received(self, data)

    def error_received(self, exc: Exception) -> None:
        self._load.refused(exc)

    def send(self, wire: bytes) -> None:
        """Send one query."""
        assert self._transport is not None
        self._transport.sendto(wire)

    def learn(self, question: Question, cookie: bytes) -> str:
        """Keep the server's cookie; say what is wrong with it, "" where nothing is."""
        sent = cookie_of(question.query.edns)
        if not sent:
            return "a cookie that nobody asked for" if cookie else ""
        if len(cookie) != 24 or not cookie.startswith(self._client_cookie):
            return f"a cookie that is not ours: {cookie.hex()}"
        self.cookie = cookie
        return ""

    def overdue(self, before: float) -> list[tuple[float, Question]]:
        """Return, and forget, the queries sent before a moment."""
        found = []
        for ident, waiting in list(self.waiting.items()):
            if waiting[0] >= before:
                break
            found.append(waiting)
            del self.waiting[ident]
        return found

    def drops(self) -> int:
        """Return how many answers the kernel dropped for want of room."""
        return udp_drops(self._sock.getsockname()[1])

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


def udp_drops(port: int) -> int:
    """Return the datagrams that the kernel has dropped at the sockets bound to a port (proc(5), /proc/net/udp)."""
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[-1]) for row in rows if int(row[1].partition(":")[2], 16) == port)
