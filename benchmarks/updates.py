"""From a watch event to the changed answer: an API server that changes one VMI after the other, and a client that asks.

The API server and the client share a process, the server under test has its own; the time runs from the moment the
change is handed to the API server's watch until an answer over UDP shows it, and so includes both network hops.
"""

import asyncio
import ipaddress
import statistics
import time

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
_LIMIT = 5.0  # seconds a change may take before the benchmark fails


async def run(vmis: int, changes: int, pause: float) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the maximum, in milliseconds."""
    async with FakeApiServer() as api:
        for value in objects.everything(vmis):
            api.put(value)
        with server(_COREFILE.format(url=api.url)) as measured:
            await asyncio.to_thread(_wait, measured, vmis)
            times = []
            for change in range(1, changes + 1):
                index = change * 7919 % vmis
                times.append(await _change(api, measured, index, change))
                await asyncio.sleep(pause)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.99)], times[-1]


def _wait(measured: Measured, vmis: int) -> None:
    """Wait for the last VMI's name."""
    host, group = objects.names(vmis - 1)
    measured.wait_until_answered(f"{host}.{group}.bench.svc.cluster.local")


async def _change(api: FakeApiServer, measured: Measured, index: int, change: int) -> float:
    """Give one VMI another address; return the milliseconds until the answer has it."""
    host, group = objects.names(index)
    wanted = ipaddress.IPv4Address(objects.address(index, change % 4)).packed
    started = time.perf_counter()
    api.put(objects.vmi(index, change % 4))
    await asyncio.sleep(0)  # lets the watch send it
    asked = asyncio.to_thread(_ask_until, measured, f"{host}.{group}.bench.svc.cluster.local", wanted)
    return (await asked - started) * 1000


def _ask_until(measured: Measured, qname: str, wanted: bytes) -> float:
    """Ask until the answer is as wanted; return when that was."""
    limit = time.perf_counter() + _LIMIT
    while time.perf_counter() < limit:
        response = measured.client.ask(qname, RRType.A)
        if response is not None and [one.rdata for one in response.answer] == [wanted]:
            return time.perf_counter()
    raise TimeoutError(f"{qname} did not change")
