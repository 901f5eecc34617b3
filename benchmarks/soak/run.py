"""One soak: API server, server and load, started, watched and ended. The server has one core, the others another."""

import asyncio
import os
import re
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import uvloop

from benchmarks.api import Api, Lists, api
from benchmarks.process import Measured, server
from benchmarks.soak.questions import ZONE_FILE, Questions
from benchmarks.soak.samples import Ports, Sample, Sampler
from benchmarks.soak.tally import Tally
from benchmarks.soak.tcp import TcpLoad
from benchmarks.soak.udp import UdpLoad
from benchmarks.soak.verdict import Soaked, stalls

_CERTIFICATES = Path(__file__).parents[2] / "tests" / "certificates"
_COREFILE = """
cluster.local:@PORT@ in-addr.arpa:@PORT@ {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{metrics}
    kubernetes {{
        endpoint {url}
    }}
    loadbalance
    transfer {{
        to *
    }}
}}
example.org:@PORT@ tls://example.org:{tls} {{
    bind 127.0.0.1
    errors
    tls {certificates}/server.pem {certificates}/server.key
    prometheus 127.0.0.1:{metrics}
    cache {{
        success 1000 CACHE_TTL
        denial 1000 CACHE_TTL
    }}
    file {zone_file}
}}
"""
_START_UP = 10.0  # seconds of load that are not judged
_READY = 120.0  # seconds from the start
_LOG_LINES = 8  # kinds of lines that are shown
_SETTLED = 40.0  # seconds until the descriptors are what they were: kept connections to the API server end after 15 s


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; a short soak has its events closer together."""

    seconds: float
    vmis: int
    rate: float  # queries a second over UDP
    churn: float  # objects changed a second

    @property
    def watch_period(self) -> float:
        """Seconds from one end of the watches to the next: every fourth one makes all be listed again."""
        return min(max(self.seconds / 40, 10.0), 30.0)

    @property
    def reload_period(self) -> float:
        """Seconds from one reload to the next."""
        return min(max(self.seconds / 6, 20.0), 180.0)

    @property
    def line_period(self) -> float:
        """Seconds from one line to the next."""
        return min(max(self.seconds / 6, 10.0), 60.0)


def soak(plan: Plan) -> Soaked:
    """Run a soak, and print a line a minute. Raises `TimeoutError` where the server does not get ready."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:2] or cores)  # the API server inherits it
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+b") as log:
        zone_file = Path(folder, "example.org")
        zone_file.write_text(ZONE_FILE)
        ports = {name: _free_tcp_port() for name in ("health", "ready", "metrics", "tls")}
        with api(plan.vmis, Lists.PAGED) as source:
            text = _COREFILE.format(url=source.url, zone_file=zone_file, certificates=_CERTIFICATES, **ports)
            with server(text.replace("CACHE_TTL", "30"), log) as measured:
                _pin(measured, cores[:1])
                run = _Run(plan, source, measured, ports)
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    before, after = runner.run(run.whole())
                changes = source.calm()
        told = _log_lines(log)
    print_log(told)
    return Soaked(
        samples=run.judged,
        tally=run.tally,
        descriptors_before=before,
        descriptors_after=after,
        changes=changes,
        exit_code=measured.process.returncode,
        tracebacks=sum("Traceback" in line for line in told),
    )


class _Run:
    """The load and what watches it."""

    def __init__(self, plan: Plan, source: Api, measured: Measured, ports: dict[str, int]) -> None:
        self._plan = plan
        self._source = source
        self._measured = measured
        self.tally = Tally()
        questions = Questions(plan.vmis)
        self._udp = UdpLoad(measured.port, questions, self.tally, plan.rate)
        self._tcp = TcpLoad(measured.port, ports["tls"], questions, self.tally)
        self._sampler = Sampler(measured, Ports(ports["metrics"], ports["ready"]), self.tally)
        self._reloads = 0
        self._started = 0.0

    @property
    def judged(self) -> list[Sample]:
        """The samples from the end of the start-up seconds on."""
        return [one for one in self._sampler.samples if one.at - self._started > _START_UP]

    async def whole(self) -> tuple[int, int]:
        """Run it all; return the descriptors before and after."""
        await self._get_ready()
        before = self._sampler.descriptors()
        self._source.churn(self._plan.churn, self._plan.watch_period)
        self._started = time.monotonic()
        _print_head(self._plan)
        load = (self._udp.run(), self._tcp.run(), self._sampler.run(), self._reload(), self._print())
        async with _running(*load, self._watch_process()) as tasks:
            limit = self._plan.seconds + _START_UP
            done, _ = await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # only the server's end is foreseen
        self._source.calm()
        return before, await self._settle(before) if self._alive else 0

    @property
    def _alive(self) -> bool:
        return self._measured.process.poll() is None

    async def _watch_process(self) -> None:
        """Return once the server has ended, which it should not."""
        while self._alive:  # noqa: ASYNC110 -- the process was not started by this event loop
            await asyncio.sleep(1.0)
        self.tally.mistaken("server", "it ended")

    async def _get_ready(self) -> None:
        """Wait until the server is ready, and have it open what it opens once: libuv a descriptor for accepting."""
        limit = time.monotonic() + _READY
        while True:
            with suppress(OSError, TimeoutError):
                if (await self._sampler.take()).ready:
                    break
            if time.monotonic() > limit:
                raise TimeoutError("the server does not get ready")
            await asyncio.sleep(0.1)
        await self._tcp.short()
        await self._tcp.encrypted()
        await asyncio.sleep(1.0)  # for it to notice that these have ended

    async def _settle(self, wanted: int) -> int:
        """Return the descriptors once they are as few as wanted, or time is up."""
        limit = time.monotonic() + _SETTLED
        while (now := self._sampler.descriptors()) > wanted and time.monotonic() < limit:  # noqa: ASYNC110 -- see /proc
            await asyncio.sleep(0.5)
        return now

    async def _reload(self) -> None:
        """Reload now and then, each time with another Corefile: half of the plugins begin anew."""
        path = self._measured.corefile
        texts = [path.read_text().replace("1000 30", f"1000 {ttl}") for ttl in (30, 31)]
        while True:
            await asyncio.sleep(self._plan.reload_period)
            self._reloads += 1
            path.write_text(texts[self._reloads % 2])
            self._measured.process.send_signal(signal.SIGUSR1)

    async def _print(self) -> None:
        """Print a line now and then."""
        while True:
            await asyncio.sleep(self._plan.line_period)
            self.print_line()

    def print_line(self) -> None:
        """Print what was seen since the last line; stalls and losses since the start-up seconds."""
        tally, judged = self.tally, self.judged
        if not judged:
            return
        recent, last, previous = tally.turn(), judged[-1], judged[max(len(judged) - 12, 0)]
        total, excused = stalls(judged)
        cpu = (last.cpu - previous.cpu) / max(last.at - previous.at, 1e-9)
        print(
            f"{time.monotonic() - self._started:>6.0f} {tally.asked.total():>9} {tally.lost.total():>5} "
            f"{tally.wrong.total():>5} "
            f"{recent.percentile(0.5):>7.2f} {recent.percentile(0.99):>7.2f} {recent.worst:>8.1f} "
            f"{last.resident:>7.1f} {last.descriptors:>4} {last.threads:>3} {cpu:>5.0%} {last.names:>7} "
            f"{f'{total} ({excused})':>9} {tally.own_stalls:>6} {self._reloads:>4}",
            flush=True,
        )


def print_log(lines: list[str]) -> None:
    """Print what the server said most, and how often: numbers in a line do not make it another one."""
    counts = Counter(re.sub(r"[0-9]+", "N", line.strip()) for line in lines if line.strip())
    print(f"the server's log: {len(lines)} lines")
    for line, count in counts.most_common(_LOG_LINES):
        print(f"{count:>8} x {line[:150]}")


def _print_head(plan: Plan) -> None:
    """Print what is done, and what the columns are."""
    print(
        f"{plan.vmis} VMIs, {plan.churn:g} changes a second, {plan.rate:g} queries a second over UDP, and TCP, for "
        f"{plan.seconds:g} s after {_START_UP:g} s of start-up; watches end every {plan.watch_period:g} s, a reload "
        f"every {plan.reload_period:g} s\n"
        "own late: stalls of the load generator itself; stalls: of the server's event loop over 50 ms (of these, "
        "perhaps the machine's)"
    )
    print(
        f"{'s':>6} {'queries':>9} {'lost':>5} {'wrong':>5} {'p50 ms':>7} {'p99 ms':>7} {'worst ms':>8} {'MiB':>7} "
        f"{'fds':>4} {'thr':>3} {'CPU':>5} {'names':>7} {'stalls':>9} {'own l.':>6} {'rel.':>4}",
        flush=True,
    )


@asynccontextmanager
async def _running(*endless: Coroutine[Any, Any, None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Run tasks within the block."""
    async with AsyncExitStack() as stack:
        tasks = []
        for one in endless:
            task = asyncio.create_task(one)
            stack.push_async_callback(_cancelled, task)
            tasks.append(task)
        yield tasks


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


def _pin(measured: Measured, cores: list[int]) -> None:
    """Keep the server on these cores; threads that it starts later inherit that."""
    for task in Path(f"/proc/{measured.process.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def _free_tcp_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _log_lines(log: IO[bytes]) -> list[str]:
    """Return what the server has logged."""
    log.seek(0)
    return log.read().decode(errors="replace").splitlines()
