"""What a server holds does not grow with what it has been asked and told: S10, in short; a soak takes hours."""

import asyncio
import gc
import itertools
import random
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dnsserver.message import Edns
from dnsserver.wire import encode_query
from tests import build
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.harness import Serving, get, question, serving

COREFILE = """
cluster.local in-addr.arpa ip6.arpa {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:0
    loadbalance
    kubernetes {{
        endpoint {url}
    }}
}}
"""
QUERIES = 1200  # over UDP, in one round of the load
CONNECTIONS = 40
CHANGES = 120  # objects
AT_ONCE = 50  # queries in flight: few enough for the receive buffers
ROUNDS = 2  # that are measured, after one that fills what has an end

# Octets that may be left of all the rounds: 10 a query, 300 a VMI. A list that is given one pointer to something new
# for each query grows by 100 or more. Not 0, for dictionaries grow in steps, and caches with an end are not full yet.
ALLOWED = 24 * 1024

# The fake API server and the clients share the process; what asyncio holds is held for both sides.
OURS = (tracemalloc.Filter(True, "*/dnsserver/*"), tracemalloc.Filter(True, "*/asyncio/*"))


class Client(asyncio.DatagramProtocol):
    """Counts answers."""

    def __init__(self) -> None:
        self.answers = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Count it."""
        self.answers += 1


def queries(chance: random.Random) -> Iterator[bytes]:
    """Yield queries of all kinds for ever, most names asked but once; every one gets an answer."""
    cookies = [bytes([number]) * 8 for number in range(8)]  # more would fill the cache of cookies, which has an end
    for number in itertools.count():
        unique = f"{chance.getrandbits(64):x}"
        qname, qtype = chance.choice(
            [
                ("vm1.db.ns1.svc.cluster.local", "A"),
                ("db.ns1.svc.cluster.local", "A"),
                (f"{unique}.db.ns1.svc.cluster.local", "A"),
                (f"{unique}.svc.cluster.local", "AAAA"),
                (f"{unique}.example.org", "A"),
                ("7.0.244.10.in-addr.arpa", "PTR"),
                ("cluster.local", "SOA"),
            ]
        )
        options = ((10, cookies[number % 8]),) if number % 3 else ()
        wire = bytearray(encode_query(question(qname, qtype, edns=Edns(1232, options=options) if number % 2 else None)))
        wire[:2] = struct.pack("!H", number & 0xFFFF)
        if number % 50 == 0:
            wire[5] = 2  # two questions are said to be there: FORMERR
        yield bytes(wire)


async def ask(server: Serving, chance: random.Random) -> None:
    """Ask over UDP."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=server.address)
    for asked, wire in enumerate(itertools.islice(queries(chance), QUERIES), 1):
        transport.sendto(wire)
        if asked % AT_ONCE == 0:
            async with asyncio.timeout(20):
                while client.answers < asked:  # noqa: ASYNC110 -- a count has no event
                    await asyncio.sleep(0)
    transport.close()


async def connect(server: Serving, chance: random.Random) -> None:
    """Ask over connections; every other one is reset with its answers unread."""
    for number in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection(*server.address)
        for wire in itertools.islice(queries(chance), 5):
            writer.write(struct.pack("!H", len(wire)) + wire)
        if number % 2:
            for _ in range(5):
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                await reader.readexactly(size)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def churn(server: Serving, api: FakeApiServer, chance: random.Random) -> None:
    """Let VMIs come, change and go; each has a name and an address that none had before."""
    for _ in range(CHANGES // 3):
        name = f"vm-{chance.getrandbits(64):x}"
        for host in (chance.randrange(2, 250), chance.randrange(2, 250)):
            api.put(build.vmi_json(name, addresses=(f"10.{host}.{chance.randrange(250)}.9",)))
            await asyncio.sleep(0)
        api.delete("VirtualMachineInstance", "ns1", name)
    marker = f"10.1.1.{chance.randrange(1, 250)}"
    api.put(build.vmi_json("marker", addresses=(marker,)))
    await server.until("marker.db.ns1.svc.cluster.local", "A", [marker])


async def load(server: Serving, api: FakeApiServer, seed: int) -> tracemalloc.Snapshot:
    """Do everything once, and return what is held then."""
    chance = random.Random(seed)
    watches = len(api.asked(VMIS, "watch"))
    await asyncio.gather(ask(server, chance), connect(server, chance), churn(server, api, chance))
    await get(server.http("127.0.0.1:0", "/metrics"))
    # A watch remembers what it has told until it ends, which it does every 5 to 10 minutes. The fake's history has
    # no end, and memory of the interpreter's own that it takes second-hand would count as ours.
    api.end_watches(VMIS)
    await api.seen(VMIS, "watch", watches + 1)
    api.expire()
    api.requests.clear()
    await asyncio.sleep(0.05)  # for connections to be forgotten
    gc.collect()
    return tracemalloc.take_snapshot().filter_traces(OURS)


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """An API server with one published VMI."""
    async with FakeApiServer() as server:
        for value in (build.namespace_json(), build.service_json(), build.vmi_json()):
            server.put(value)
        yield server


async def test_s10_nothing_grows_with_the_load(api: FakeApiServer, tmp_path: Path) -> None:
    """After a first round of queries, connections and changes, further rounds leave next to nothing behind."""
    tracemalloc.start()
    try:
        async with serving(COREFILE.format(url=api.url), tmp_path) as server:
            await api.seen(VMIS, "watch")
            before = await load(server, api, 0)
            for seed in range(1, 1 + ROUNDS):
                after = await load(server, api, seed)
            lines = after.compare_to(before, "lineno")
    finally:
        tracemalloc.stop()
    grown = sum(line.size_diff for line in lines)
    assert grown < ALLOWED, "\n".join(map(str, lines[:10]))
