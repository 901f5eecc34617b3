"""From a watch event to the changed answer: an API server that changes one VMI after the other, and a client that asks.

The API server and the client share a process, the server under test has its own; the time runs from the moment the
change is handed to the API server's watch until an answer over UDP shows it, and so includes both network hops.
"""

import asyncio
import gc
import ipaddress
import time
from dataclasses import dataclass

from benchmarks import objects
from benchmarks.process import Measured, server
from dnsserver.records import RRType
from tests.fakes.api_server import FakeApiServer

_COREFILE = """
cluster.local:@PORT@ in-addr.arpa:@PORT@ {{
    bind 127.0.0.1
    errors
    kubernetes {{
        endpoint {url}
    }}
}}
"""
_QUIET = 0.03  # CPU seconds in half a second
_LIMIT = 5.0  # seconds a change may take before the benchmark fails


@dataclass(frozen=True, slots=True)
class Updates:
    """What was measured, in milliseconds; `queries` are single ones, whichever version they were answered from."""

    times: list[float]  # from the event to the answer, sorted
    slowest: float  # query of all
    queries: int


async def run(vmis: int, changes: int, pause: float) -> Updates:
    """Change one VMI after the other, asking for it all the while until the answer has it."""
    async with FakeApiServer() as api:
        for value in objects.everything(vmis):
            api.put(value)
        gc.freeze()  # a collection of all these would be taken for the server's time
        with server(_COREFILE.format(url=api.url)) as measured:
            await asyncio.to_thread(_wait, measured, vmis)
            await _settle(measured)
            times, slowest, queries = [], 0.0, 0
            for change in range(1, changes + 1):
                index = change * 7919 % vmis
                taken, asked = await _change(api, measured, index, change)
                times.append(taken)
                slowest, queries = max(slowest, *asked), queries + len(asked)
                await asyncio.sleep(pause)
    return Updates(sorted(times), slowest, queries)


async def _settle(measured: Measured) -> None:
    """Wait until the server does nothing by itself: what a start leaves to be done has nothing to do with changes."""
    before = measured.cpu()
    while True:
        await asyncio.sleep(0.5)
        now = measured.cpu()
        if now - before <= _QUIET:
            return
        before = now


def _wait(measured: Measured, vmis: int) -> None:
    """Wait for the last VMI's name."""
    host, group = objects.names(vmis - 1)
    measured.wait_until_answered(f"{host}.{group}.bench.svc.cluster.local")


async def _change(api: FakeApiServer, measured: Measured, index: int, change: int) -> tuple[float, list[float]]:
    """Give one VMI another address; return the milliseconds until the answer has it, and those of each query."""
    host, group = objects.names(index)
    wanted = ipaddress.IPv4Address(objects.address(index, change % 4)).packed
    started = time.perf_counter()
    api.put(objects.vmi(index, change % 4))
    await asyncio.sleep(0)  # lets the watch send it
    ended, asked = await asyncio.to_thread(_ask_until, measured, f"{host}.{group}.bench.svc.cluster.local", wanted)
    return (ended - started) * 1000, asked


def _ask_until(measured: Measured, qname: str, wanted: bytes) -> tuple[float, list[float]]:
    """Ask until the answer is as wanted; return when that was, and the milliseconds that each query took."""
    asked: list[float] = []
    now = time.perf_counter()
    limit = now + _LIMIT
    while now < limit:
        begun = now
        response = measured.client.ask(qname, RRType.A)
        now = time.perf_counter()
        asked.append((now - begun) * 1000)
        if response is not None and [one.rdata for one in response.answer] == [wanted]:
            return now, asked
    raise TimeoutError(f"{qname} did not change")
