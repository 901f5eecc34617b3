"""`health`: its page, its probe of itself, and refusals."""

import asyncio
import re

import aiohttp
import pytest

from dnsserver.admin.http import AdminError
from dnsserver.plugins import health
from dnsserver.plugins.health import Health
from tests.plugins.conftest import World, parse, refusal, until


async def test_health(world: World) -> None:
    """`/health` is 200 OK while the plugin runs, any other path is 404; each probe is measured."""
    plugin = Health("127.0.0.1:0", interval=0.001)
    async with plugin.running(world.runtime), world.runtime.http.route(plugin.address, "/", lambda _: None) as bound:  # type: ignore[arg-type, return-value]  # never called: it only tells the address
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{bound}/health") as response:
                assert (response.status, await response.text()) == (200, "OK")
            async with session.get(f"http://{bound}/healthz") as response:
                assert response.status == 404
        await until(lambda: world.runtime.metrics.health_duration.count >= 3)
    assert world.runtime.metrics.health_failures == 0


async def test_slow_probe(world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine too busy to answer itself in time is worth a line."""
    monkeypatch.setattr(health, "_SLOW", 0.0)
    async with Health("127.0.0.1:0", interval=0.001).running(world.runtime):
        await until(lambda: caplog.records)
    assert re.search(
        r'Local health request to "http://127.0.0.1:\d+/health" took more than 1s: [\d.]+[mµ]s', caplog.text
    )


async def test_failed_probe(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A probe that fails is counted and logged, and the next one is made."""
    plugin = Health("127.0.0.1:0", interval=0.001)
    async with world.runtime.http.route(plugin.address, "/", lambda _: None) as bound:  # type: ignore[arg-type, return-value]  # never called: it only tells the address
        pass
    probing = asyncio.create_task(plugin._probe(bound, world.runtime.metrics))
    await until(lambda: world.runtime.metrics.health_failures >= 2)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    assert world.runtime.metrics.health_duration.count >= 2
    assert f'Local health request to "http://{bound}/health" failed: ' in caplog.text


async def test_address_in_use(world: World) -> None:
    """An address that cannot be listened on stops the start."""
    with pytest.raises(AdminError, match=r"cannot listen on 192\.0\.2\.200:80"):
        async with Health("192.0.2.200:80").running(world.runtime):
            pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("health", [(":8080", 0)]),
        ("health {\n}", [(":8080", 0)]),
        ("health localhost:8091", [("localhost:8091", 0)]),
        ("health {\nlameduck 5s\n}", [(":8080", 5)]),
        ("health :8092 {\nlameduck 1m30s\nlameduck 100ms\n}", [(":8092", 0.1)]),
        ("health :1\nhealth :2", [(":1", 0), (":2", 0)]),
    ],
)
def test_options(text: str, expected: list[tuple[str, float]]) -> None:
    """Address and lameduck are readable by the app."""
    plugins = parse("health", text)
    assert [(plugin.address, plugin.lameduck) for plugin in plugins if isinstance(plugin, Health)] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("health bla", "missing port in address"),
        ("health :1 :2", "expecting health [ADDRESS]"),
        ("health {\nlameduck\n}", "expecting lameduck DURATION"),
        ("health {\nlameduck 1s 2s\n}", "expecting lameduck DURATION"),
        ("health {\nlameduck 5\n}", 'missing unit in duration "5"'),
        ("health {\nlameduck -5s\n}", "duration -5s is negative, expecting 0s or more"),
        ("health {\ninterval 5s\n}", "unknown property 'interval', expecting lameduck"),
        ("health {\nlameduck 5s {\n}\nlameduck 5s {\nx\n}\n}", "'lameduck' has no block of its own"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("health", text)
    assert reason in error
    assert error.startswith("plugin/health: Corefile:")
