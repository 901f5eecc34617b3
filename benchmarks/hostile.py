"""What hostile clients cost the others: how long queries over UDP wait before, during and after an attack.

The attack is malformed datagrams at a steady rate and TCP connections that stall, a quarter of them at each of four
stages: nothing sent, one octet, half a message, and many queries whose answers are never read. It comes from twenty
addresses, for one address may have only a hundred connections. The server has one core, the clients have another.
"""

import contextlib
import multiprocessing
import os
import random
import select
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks import objects
from benchmarks.process import Measured, server
from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.wire import encode_query

_COREFILE = """
cluster.local:@PORT@ {{
    bind 127.0.0.1
    errors
    kubernetes {{
        manifests {manifest}
    }}
}}
"""
_VMIS = 1000
_SECONDS = 5.0  # that each stage is measured for
_PAUSE = 0.001  # seconds between an answer and the next query
_SOURCES = [f"127.0.0.{number}" for number in range(1, 21)]
_BATCH = 0.005  # seconds: datagrams are sent as many at a time as the rate wants
_UNREAD = 3000  # queries of a connection that reads no answer
_BACK = 20.0  # seconds that the descriptors may take to be what they were


@dataclass(frozen=True, slots=True)
class Stage:
    """What was seen in one stage."""

    times: list[float]  # milliseconds, sorted
    lost: int  # queries without an answer within a second
    descriptors: int  # of the server, at the end
    resident: float  # MiB, at the end

    def percentile(self, share: float) -> float:
        """Return the time that this share of the answers stayed below."""
        return self.times[min(int(len(self.times) * share), len(self.times) - 1)]


@dataclass(frozen=True, slots=True)
class Hostile:
    """The figures of one run."""

    at_rest: Stage
    attacked: Stage
    afterwards: Stage
    sent: int  # datagrams
    seconds: float  # from the attack's end until the descriptors were what they were before


def run(datagrams: int, connections: int) -> Hostile:
    """Measure an attack of so many datagrams, and as many connections at a time. Raises `TimeoutError`."""
    cores = sorted(os.sched_getaffinity(0))
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "objects.json")
        manifest.write_bytes(b"".join(objects.manifest(_VMIS)))
        with server(_COREFILE.format(manifest=manifest)) as measured, _pinned(measured, cores):
            host, group = objects.names(_VMIS - 1)
            name = f"{host}.{group}.bench.svc.cluster.local"
            measured.wait_until_answered(name)
            wire = _query(name)
            _ask_once(measured, wire)
            at_rest = _stage(measured, wire)
            ready, end = spawning.Event(), spawning.Event()
            sent = spawning.Value("L", 0)
            attack = spawning.Process(
                target=_attack, args=(measured.port, wire, datagrams / _SECONDS, connections, ready, end, sent)
            )
            attack.start()
            try:
                if not ready.wait(30):
                    raise TimeoutError("the attack did not begin")
                attacked = _stage(measured, wire)
            finally:
                end.set()
                attack.join()
            ended = time.monotonic()
            while _descriptors(measured) > at_rest.descriptors:
                if time.monotonic() - ended > _BACK:
                    raise TimeoutError(f"{_descriptors(measured)} descriptors, {at_rest.descriptors} before")
                time.sleep(0.05)
            seconds = time.monotonic() - ended
            return Hostile(at_rest, attacked, _stage(measured, wire), sent.value, seconds)


def _query(name: str) -> bytes:
    qname = from_text(name)
    return encode_query(Query(id=1, qname=qname, name=qname, qtype=1))


def _ask_once(measured: Measured, wire: bytes) -> None:
    """Ask over TCP: libuv opens a descriptor of its own for the first connection of a process, and keeps it."""
    with socket.create_connection(("127.0.0.1", measured.port)) as client:
        client.sendall(struct.pack("!H", len(wire)) + wire)
        client.recv(4096)
    time.sleep(0.5)  # for the server to notice the end


@contextlib.contextmanager
def _pinned(measured: Measured, cores: list[int]) -> Iterator[None]:
    """Keep the server on one core and everything else of the benchmark on another, where there are two."""
    for task in Path(f"/proc/{measured.process.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores[:1])
    os.sched_setaffinity(0, cores[1:2] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _stage(measured: Measured, wire: bytes) -> Stage:
    """Ask one question after the other for a while."""
    times = []
    lost = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(("127.0.0.1", measured.port))
        asker.settimeout(1.0)
        until = time.perf_counter() + _SECONDS
        while (started := time.perf_counter()) < until:
            asker.send(wire)
            try:
                asker.recv(4096)
            except TimeoutError:
                lost += 1
            else:
                times.append((time.perf_counter() - started) * 1000)
            time.sleep(_PAUSE)
    return Stage(sorted(times), lost, _descriptors(measured), measured.resident())


def _descriptors(measured: Measured) -> int:
    return len(os.listdir(f"/proc/{measured.process.pid}/fd"))


# --- the attack, in a process of its own ---


def _attack(port: int, wire: bytes, rate: float, connections: int, ready: Event, end: Event, sent: "Counter") -> None:
    """Open the connections, say so, then send datagrams until told to end."""
    address = ("127.0.0.1", port)
    malformed = cycle(_malformed(wire, 2000))
    with contextlib.ExitStack() as stack:
        for index in range(connections):
            _stalled(stack.enter_context(socket.socket()), index, address, wire)
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.connect(address)
        ready.set()
        started = time.perf_counter()
        while not end.wait(_BATCH):
            due = int((time.perf_counter() - started) * rate)
            for _ in range(due - sent.value):
                with contextlib.suppress(OSError):
                    sender.send(next(malformed))
            sent.value = max(due, sent.value)


class Counter:
    """What multiprocessing's shared number looks like."""

    value: int


def _stalled(sock: socket.socket, index: int, address: tuple[str, int], wire: bytes) -> None:
    """Connect, and go as far as one of the four stages."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind((_SOURCES[index % len(_SOURCES)], 0))
    sock.connect(address)
    framed = struct.pack("!H", len(wire)) + wire
    stage = index // len(_SOURCES) % 4
    if stage == 1:
        sock.send(framed[:1])
    elif stage == 2:
        sock.send(framed[: len(framed) // 2])
    elif stage == 3:
        sock.setblocking(False)
        left = memoryview(framed * _UNREAD)
        while left and select.select([], [sock], [], 0.01)[1]:
            left = left[sock.send(left) :]


def _malformed(wire: bytes, count: int) -> list[bytes]:
    """Return datagrams that are no queries: cut, of wrong counts, of pointers that lead nowhere, of random octets."""
    rng = random.Random(1)
    found = []
    for number in range(count):
        kind = number % 5
        if kind == 0:
            found.append(wire[: rng.randrange(12, len(wire))])
        elif kind == 1:
            found.append(wire[:4] + rng.randbytes(8) + wire[12:])
        elif kind == 2:
            found.append(wire[:12] + b"\xc0\x0c\0\1\0\1")
        elif kind == 3:
            found.append(wire[:2] + b"\0\0" + rng.randbytes(rng.randrange(8, 500)))
        else:
            found.append(wire[:10] + b"\0\1" + wire[12:] + b"\0\0\x29\4\xd0\0\0\0\0\0\5" + rng.randbytes(3))
    return found
