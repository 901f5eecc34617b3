"""A client over TCP that writes 50 queries at a time, on each of some connections, and counts the answers.

`python -m benchmarks.peers.pipelining PORT FILE SECONDS RATE` prints a line of JSON; a rate of 0 is as fast as can be.
"""

import json
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.wire import encode_query

BATCH = 50  # queries a write
_BATCHES = 500
_CONNECTIONS = 4
_PATIENCE = 5.0  # seconds for an answer
_RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def batches(path: Path) -> Iterator[bytes]:
    """Yield what is written at a time: queries with their lengths in front (RFC 1035, section 4.2.2)."""
    with path.open() as file:
        for _ in range(_BATCHES):
            wires = [_wire(*line.split()) for line in islice(file, BATCH)]
            if len(wires) == BATCH:
                yield b"".join(struct.pack("!H", len(wire)) + wire for wire in wires)


def _wire(qname: str, qtype: str) -> bytes:
    name = from_text(qname)
    return encode_query(Query(id=1, qname=name, name=name, qtype=RRType[qtype]))


class Connection:
    """One connection with at most one batch in flight."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.waiting = 0  # answers

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def send(self, batch: bytes) -> None:
        """Write a batch."""
        self._socket.sendall(batch)
        self.waiting = BATCH

    def receive(self, rcodes: "Counter[int]") -> None:
        """Wait for the answers in flight, and count them. Raises `OSError`; `ConnectionError` where the server ends."""
        while self.waiting:
            # Acknowledged at once, or a server that leaves Nagle's algorithm on waits 40 ms to send its last answers
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            octets = self._socket.recv(65536)
            if not octets:
                raise ConnectionResetError("the server closed the connection")
            self._count(self._rest + octets, rcodes)

    def _count(self, octets: bytes, rcodes: "Counter[int]") -> None:
        """Count the whole answers among these octets, keep what is left."""
        start, size = 0, len(octets)
        while start + 2 <= size:
            end = start + 2 + (octets[start] << 8 | octets[start + 1])
            if end > size:
                break
            rcodes[octets[start + 5] & 15] += 1
            self.waiting -= 1
            start = end
        self._rest = octets[start:]


def ask(port: int, path: Path, seconds: float, rate: float) -> dict[str, Any]:
    """Ask for some seconds; return the arguments of `benchmarks.peers.load.Answers`."""
    turns = cycle(list(batches(path)))
    rcodes: Counter[int] = Counter()
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(Connection(port))) for _ in range(_CONNECTIONS)]
        sent, taken = _exchange(connections, turns, rcodes, seconds, rate)
    named = {_RCODES.get(code, str(code)): count for code, count in rcodes.items()}
    return {"sent": sent, "completed": rcodes.total(), "seconds": taken, "rcodes": named}


def _exchange(
    connections: list[Connection], turns: Iterator[bytes], rcodes: "Counter[int]", seconds: float, rate: float
) -> tuple[int, float]:
    """Keep a batch in flight on every connection; return how many queries that was in how many seconds."""
    sent = 0
    started = time.perf_counter()
    for connection in cycle(connections):
        connection.receive(rcodes)
        now = time.perf_counter() - started
        if rate and (early := sent / rate - now) > 0:
            time.sleep(early)
        if now > seconds:
            break
        connection.send(next(turns))
        sent += BATCH
    for connection in connections:
        connection.receive(rcodes)
    return sent, time.perf_counter() - started


if __name__ == "__main__":
    _port, _path, _seconds, _rate = sys.argv[1:]
    print(json.dumps(ask(int(_port), Path(_path), float(_seconds), float(_rate))))
