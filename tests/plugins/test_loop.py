"""`loop`: finding out that questions come back, and being out of the way when they do not."""

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dnsserver.app import App
from dnsserver.corefile import parse as parse_corefile
from dnsserver.message import Client, Query, Reply, Transport
from dnsserver.names import ROOT, Name, from_text, is_at_or_below, labels, to_text
from dnsserver.plugins.loop import Loop
from dnsserver.plugins.plugin import Request
from dnsserver.records import Rcode, RRType
from dnsserver.setup import set_up
from tests.harness import ask_udp
from tests.plugins.conftest import SERVER, ZONE, World, answering, parse, refusal, request, until

ZONE_LABELS = 2
FOREIGN = Reply(rcode=Rcode.NXDOMAIN)
Ask = Callable[[Request, Query], Awaitable[Reply]]


def loop(zone: Name = ZONE) -> Loop:
    return Loop(zone, source=random.Random(1), pause=0.001)


@contextlib.asynccontextmanager
async def running(world: World, plugin: Loop, ask: Ask) -> AsyncIterator[None]:
    """Run a plugin in a server that answers its probe like `ask`."""
    world.block(plugin)
    async with plugin.running(replace(world.runtime, ask=ask)):
        yield


def probe(plugin: Loop, qtype: int = RRType.HINFO) -> Request:
    """Return the probe as it comes back from somewhere."""
    assert plugin.probe is not None
    client = Client("::1", 55953, Transport.UDP, SERVER)
    return request(to_text(plugin.probe), qtype, client=client)


async def test_no_loop(world: World) -> None:
    """The probe is HINFO of a random name in the zone, asked through the whole server; its answer ends it all."""
    plugin = loop()
    asked: list[tuple[Client, Query]] = []

    async def ask(asking: Request, query: Query) -> Reply:
        asked.append((asking.client, query))
        return await plugin.handle(replace(asking, query=query), answering(FOREIGN))

    async with running(world, plugin, ask):
        await until(lambda: plugin.off)
    ((client, query),) = asked
    assert client.server == SERVER
    assert (query.qtype, query.name, query.recursion_desired) == (RRType.HINFO, plugin.probe, True)
    assert is_at_or_below(query.name, ZONE)
    assert [label.isdigit() for label in labels(query.name)] == [True, True, *[False] * ZONE_LABELS]
    for _ in range(5):
        assert await plugin.handle(probe(plugin), answering(FOREIGN)) == FOREIGN
    assert world.failures == []


async def test_loop(world: World) -> None:
    """The third time is one too many: the process ends with CoreDNS's words, and the question goes no further."""
    plugin = loop(ROOT)

    async def ask(asking: Request, query: Query) -> Reply:
        replies = [await plugin.handle(probe(plugin), answering(FOREIGN)) for _ in range(3)]
        assert [reply.rcode for reply in replies] == [Rcode.NXDOMAIN, Rcode.NXDOMAIN, Rcode.SERVFAIL]
        return replies[-1]

    async with running(world, plugin, ask):
        await until(lambda: plugin.off)
    (failure,) = world.failures
    assert re.fullmatch(
        r'plugin/loop: Loop \(\[::1\]:55953 -> :53\) detected for zone "\.", '
        r'see https://coredns\.io/plugins/loop#troubleshooting\. Query: "HINFO \d+\.\d+\."',
        failure,
    )


async def test_others_pass(world: World) -> None:
    """Other types and other names are not counted."""
    plugin = loop()
    waiting = asyncio.Event()

    async def ask(_asking: Request, _query: Query) -> Reply:
        await waiting.wait()
        return FOREIGN

    async with running(world, plugin, ask):
        for _ in range(5):
            assert await plugin.handle(probe(plugin, RRType.A), answering(FOREIGN)) == FOREIGN
            assert await plugin.handle(request(qtype=RRType.HINFO), answering(FOREIGN)) == FOREIGN
    assert world.failures == []


async def test_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is sent again, counted anew, while nobody listens, answers in time, or it went past this chain."""
    monkeypatch.setattr("dnsserver.plugins.loop._PATIENCE", 0.01)
    plugin = loop()
    attempts = 0

    async def ask(asking: Request, query: Query) -> Reply:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise KeyError(SERVER)
        if attempts == 2:
            return FOREIGN  # by a chain that is about to go
        for _ in range(2):
            await plugin.handle(replace(asking, query=query), answering(FOREIGN))
        if attempts == 3:
            await asyncio.Event().wait()
        return FOREIGN

    async with running(world, plugin, ask):
        await until(lambda: plugin.off)
    assert attempts == 4
    assert world.failures == []


async def test_not_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer it gives up after a while."""
    monkeypatch.setattr("dnsserver.plugins.loop._WATCH", 0.01)
    plugin = loop()

    async def ask(_asking: Request, _query: Query) -> Reply:
        raise KeyError(SERVER)

    async with running(world, plugin, ask):
        await until(lambda: plugin.off)


async def test_not_running() -> None:
    """A question that goes round before the plugin runs stops all the same."""
    plugin = loop()
    replies = [await plugin.handle(probe(plugin), answering(FOREIGN)) for _ in range(3)]
    assert [reply.rcode for reply in replies] == [Rcode.NXDOMAIN, Rcode.NXDOMAIN, Rcode.SERVFAIL]


async def test_long_zone(world: World) -> None:
    """A zone that leaves no room for the probe is not watched."""
    plugin = Loop(Name(b"\x3fa" + b"a" * 62 + (b"\x3f" + b"b" * 63) * 2 + b"\x20" + b"c" * 32 + b"\0"))
    assert (plugin.probe, plugin.off) == (None, True)
    async with plugin.running(world.runtime):
        assert await plugin.handle(request(qtype=RRType.HINFO), answering(FOREIGN)) == FOREIGN


class Relay(asyncio.DatagramProtocol):
    """A resolver that passes every question on to where it came from."""

    def __init__(self) -> None:
        self.target: tuple[str, int] | None = None
        self.transport: asyncio.DatagramTransport | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # it is a datagram transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(self.relay(data, addr)))

    async def relay(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport is not None
        assert self.target is not None
        self.transport.sendto(await ask_udp(self.target, data), addr)


async def test_whole_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server whose resolver asks it back ends itself as a failure."""
    transport, relay = await asyncio.get_running_loop().create_datagram_endpoint(Relay, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    corefile = parse_corefile(f". {{\nbind 127.0.0.1\nloop\nforward . 127.0.0.1:{port}\n}}")
    app = App(set_up(corefile, folder=tmp_path, port=0), quiet=True)

    def started() -> None:
        (relay.target,) = app.bound.values()

    assert await app.run(started) == 1
    await asyncio.gather(*relay.tasks, return_exceptions=True)
    transport.close()
    assert re.search(r'plugin/loop: Loop \(127\.0\.0\.1:\d+ -> 127\.0\.0\.1:0\) detected for zone "\."', caplog.text)


def test_options() -> None:
    """There are none; the zone is the block's first."""
    (plugin,) = parse("loop", "loop")
    assert isinstance(plugin, Loop)
    assert plugin.zone == from_text("example.com")
    assert "expecting loop" in refusal("loop", "loop .")
    assert "unknown property 'x', expecting no block" in refusal("loop", "loop {\nx\n}")
    assert "only be used once" in refusal("loop", "loop\nloop")
