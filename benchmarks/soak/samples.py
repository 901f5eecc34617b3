"""What is seen of the server from outside, every few seconds: memory, descriptors, metrics, and waits for its core."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Measured
from benchmarks.soak.tally import Tally
from benchmarks.soak.udp import udp_drops

EVERY = 5.0  # seconds between two samples
_LOOK = 0.1  # seconds between two looks at how long the server waited for its core
_WAIT = 0.03  # seconds of such a wait that may make a stall; fewer than a stall has, for the looks cut it in two
_HTTP = 5.0  # seconds for an answer over HTTP
_STALLS = "dnsserver_event_loop_stalls_total"
_LAG = "dnsserver_event_loop_lag_seconds_sum"
_LISTS = "dnsserver_lists_total"
_NAMES = "dnsserver_zone_names"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server speaks HTTP, on 127.0.0.1."""

    metrics: int
    ready: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment; counts are since it started."""

    at: float  # time.monotonic()
    resident: float  # MiB
    descriptors: int
    threads: int
    cpu: float  # seconds
    stalls: int  # of the event loop, for more than 50 ms
    waits: int  # tenths of a second in which the machine may have made such a stall by keeping the server from its core
    waited: float  # seconds that its main thread could run and had no core
    lag: float  # seconds that its event loop was late, all in all
    drops: int  # datagrams that the kernel dropped at its socket
    names: int  # in its zones
    lists: int  # that the API server gave
    ready: bool


class Sampler:
    """Watches one server."""

    def __init__(self, measured: Measured, ports: Ports, tally: Tally) -> None:
        self._tally = tally
        self._measured = measured
        self._schedstat = Path(f"/proc/{measured.process.pid}/schedstat")
        self._ports = ports
        self._waits = 0
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Take samples until cancelled."""
        watching = asyncio.create_task(self._watch_core())
        try:
            while True:
                try:
                    self.samples.append(await self.take())
                except (OSError, TimeoutError, ValueError) as error:
                    self._tally.mistaken("http", f"{type(error).__name__}: {error}")
                await asyncio.sleep(EVERY)
        finally:
            watching.cancel()

    async def take(self) -> Sample:
        """Return a sample. Raises `OSError`, `TimeoutError` or `ValueError` where the server does not answer."""
        metrics = await self.metrics()
        ready = (await _get(self._ports.ready, "/ready")).startswith("HTTP/1.1 200")
        return Sample(
            at=time.monotonic(),
            resident=self._measured.resident(),
            descriptors=self.descriptors(),
            threads=len(os.listdir(f"/proc/{self._measured.process.pid}/task")),
            cpu=self._measured.cpu(),
            stalls=int(metrics[_STALLS]),
            waits=self._waits,
            waited=_waited(self._schedstat),
            lag=metrics[_LAG],
            drops=udp_drops(self._measured.port),
            names=int(metrics.get(_NAMES, 0)),
            lists=int(metrics.get(_LISTS, 0)),
            ready=ready,
        )

    def descriptors(self) -> int:
        """Return how many descriptors the server has open."""
        return len(os.listdir(f"/proc/{self._measured.process.pid}/fd"))

    async def metrics(self) -> dict[str, float]:
        """Return every metric, summed over its labels."""
        found: dict[str, float] = {}
        for line in (await _get(self._ports.metrics, "/metrics")).splitlines():
            name, _, value = line.rpartition(" ")
            if name and not name.startswith("#") and (name := name.partition("{")[0]).startswith("dnsserver_"):
                found[name] = found.get(name, 0.0) + float(value)
        return found

    async def _watch_core(self) -> None:
        """Count when the server could run and had no core (proc(5), schedstat)."""
        before = _waited(self._schedstat)
        while True:
            await asyncio.sleep(_LOOK)
            now = _waited(self._schedstat)
            self._waits += now - before > _WAIT
            before = now


def _waited(path: Path) -> float:
    """Return the seconds that the main thread has waited for a core."""
    return int(path.read_text().split()[1]) / 1e9


async def _get(port: int, path: str) -> str:
    """Return an HTTP answer, head and body."""
    async with asyncio.timeout(_HTTP):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return (await reader.read()).decode()
        finally:
            writer.close()
