"""`ready`: readiness of one block and of several, once or continuously, and closing early."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from dnsserver.admin.addresses import Address
from dnsserver.plugins.plugin import Plugin
from dnsserver.plugins.ready import Ready
from tests.plugins.conftest import World, parse, refusal

ANY_PORT = "127.0.0.1:0"


class Source(Plugin):
    """A plugin whose readiness the test sets."""

    def __init__(self, name: str, *, is_ready: bool = False) -> None:
        self.name = name
        self.is_ready = is_ready

    def ready(self) -> bool:
        return self.is_ready


@asynccontextmanager
async def running(world: World, *plugins: Ready) -> AsyncIterator[Address]:
    """Run plugins; yields the address that they share."""
    async with AsyncExitStack() as stack:
        for plugin in plugins:
            await stack.enter_async_context(plugin.running(world.runtime))
        async with world.runtime.http.route(ANY_PORT, "/", plugins[0]._answer) as bound:
            yield bound


async def ask(address: Address) -> tuple[int, str]:
    """Return status and body of `/ready`."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/ready") as response:
        return response.status, await response.text()


async def test_once(world: World) -> None:
    """503 with the sorted names until each plugin has been ready once; it is not asked again."""
    first, second = Source("kubernetes"), Source("file")
    plugin = Ready(ANY_PORT)
    world.block(plugin, first, second)
    async with running(world, plugin) as address:
        assert await ask(address) == (503, "file,kubernetes")
        first.is_ready = True
        assert await ask(address) == (503, "file")
        first.is_ready = False
        second.is_ready = True
        assert await ask(address) == (200, "OK")
        second.is_ready = False
        assert await ask(address) == (200, "OK")


async def test_continuously(world: World) -> None:
    """`monitor continuously` asks every time."""
    source = Source("kubernetes", is_ready=True)
    plugin = Ready(ANY_PORT, continuously=True)
    world.block(plugin, source)
    async with running(world, plugin) as address:
        assert await ask(address) == (200, "OK")
        source.is_ready = False
        assert await ask(address) == (503, "kubernetes")


async def test_union_of_blocks(world: World) -> None:
    """Blocks whose `ready` has the same address count together, others and those without `ready` do not."""
    one, two = Source("kubernetes"), Source("kubernetes")
    plugins = (Ready(ANY_PORT), Ready(ANY_PORT))
    world.block(plugins[0], one, server="dns://:53")
    world.block(plugins[1], two, server="dns://:54")
    world.block(Source("hosts"), server="dns://:55")
    world.block(Ready("127.0.0.1:1"), Source("etcd"), server="dns://:56")
    async with running(world, *plugins) as address:
        assert await ask(address) == (503, "kubernetes")
        one.is_ready = True
        assert await ask(address) == (503, "kubernetes")
        two.is_ready = True
        assert await ask(address) == (200, "OK")


async def test_closes_early(world: World) -> None:
    """Once left, connections are refused while the rest of the block still runs."""
    plugin = Ready(ANY_PORT)
    world.block(plugin)
    async with running(world, plugin) as address:
        assert await ask(address) == (200, "OK")
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(address)


def test_not_running() -> None:
    """A plugin that does not run yet knows of nothing that is not ready."""
    assert Ready().unready() == set()


@pytest.mark.parametrize(
    ("text", "address", "continuously"),
    [
        ("ready", ":8181", False),
        ("ready localhost:1234", "localhost:1234", False),
        ("ready {\nmonitor until-ready\n}", ":8181", False),
        ("ready [::1]:80 {\nmonitor continuously\n}", "[::1]:80", True),
    ],
)
def test_options(text: str, address: str, continuously: bool) -> None:
    """Address and mode."""
    (plugin,) = parse("ready", text)
    assert isinstance(plugin, Ready)
    assert (plugin.address, plugin.continuously) == (address, continuously)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ready bla", "missing port in address"),
        ("ready :1 :2", "expecting ready [ADDRESS]"),
        ("ready\nready", "this plugin can only be used once per Server Block"),
        ("ready {\nmonitor\n}", "expecting monitor until-ready|continuously"),
        ("ready {\nmonitor 404\n}", "monitor type '404' not supported, expecting until-ready or continuously"),
        ("ready {\nmonitro continuously\n}", "unknown property 'monitro', expecting monitor"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("ready", text)
    assert reason in error
    assert error.startswith("plugin/ready: Corefile:")
