"""`reload`: when it looks, what it takes for a change, what it says and counts; `tests/test_reload` does the rest."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dnsserver import corefile
from dnsserver.corefile import Corefile, CorefileError, fingerprint
from dnsserver.plugins.plugin import ReloadError
from dnsserver.plugins.reload import Reload
from tests.plugins.conftest import World, parse, refusal, until

INTERVALS = [  # the plugin, the shortest and the longest time between two looks
    ("reload", 22.5, 37.5),
    ("reload 10s", 7.5, 12.5),  # the jitter is at most half the interval
    ("reload 2s", 1.5, 2.5),
    ("reload 1m", 52.5, 67.5),
    ("reload 30s 0s", 30, 30),
    ("reload 30s 0", 30, 30),
    ("reload 30s 1s", 29.5, 30.5),
    ("reload 30s 1h", 22.5, 37.5),
    ("reload 2h 1h", 5400, 9000),
]


@pytest.mark.parametrize(("text", "least", "most"), INTERVALS)
@pytest.mark.parametrize("end", [0, 1], ids=["least", "most"])
def test_intervals(monkeypatch: pytest.MonkeyPatch, text: str, least: float, most: float, end: int) -> None:
    """The interval, give or take half the jitter."""
    original = Reload.__init__

    def drawn(self: Reload, interval: float, jitter: float) -> None:
        original(self, interval, jitter, uniform=lambda *ends: ends[end])

    monkeypatch.setattr(Reload, "__init__", drawn)
    (plugin,) = parse("reload", text)
    assert isinstance(plugin, Reload)
    assert plugin.interval == (least, most)[end]


def test_jitter_is_random() -> None:
    """Two servers look at different times."""
    assert len({Reload().interval for _ in range(5)}) > 1


REFUSED = [  # the lines, the error behind "plugin/reload: Corefile:"
    ("reload 1s", "2 - Error during parsing: interval value must be greater or equal to 2s"),
    ("reload -5s", "2 - Error during parsing: interval value must be greater or equal to 2s"),
    ("reload 30", '2 - Error during parsing: time: missing unit in duration "30", expecting reload [INTERVAL]'),
    ("reload soon", '2 - Error during parsing: time: invalid duration "soon"'),
    ("reload 30s 500ms", "2 - Error during parsing: jitter value must be 0 or greater or equal to 1s"),
    ("reload 30s -2s", "2 - Error during parsing: jitter value must be 0 or greater or equal to 1s"),
    ("reload 30s x", '2 - Error during parsing: time: invalid duration "x"'),
    ("reload 30s 15s 1s", "2 - Error during parsing: Wrong argument count or unexpected line ending after '1s'"),
    ("reload {\n every 5s\n}", "3 - Error during parsing: reload has no block, expecting reload [INTERVAL] [JITTER]"),
    ("reload\nreload", "3 - Error during parsing: this plugin can only be used once per Server Block"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str) -> None:
    """What cannot be done is refused with file and line."""
    assert refusal("reload", text).startswith(f"plugin/reload: Corefile:{message}")


FIRST, SECOND, THIRD = (corefile.parse(f"{zone} {{\n}}") for zone in ("a", "b", "c"))


class Files:
    """A Corefile that the test writes, and what the server was told to run."""

    def __init__(self) -> None:
        self.now: Corefile | CorefileError = FIRST
        self.running = FIRST
        self.reloaded: list[Corefile] = []
        self.refuses = ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.running)

    async def read(self) -> Corefile:
        if isinstance(self.now, CorefileError):
            raise self.now
        return self.now

    async def reload(self, corefile: Corefile) -> None:
        self.reloaded.append(corefile)
        if self.refuses:
            raise ReloadError(self.refuses)
        self.running = corefile


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.asleep: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.asleep.append((seconds, woken))
        await woken

    async def tick(self) -> None:
        """Let the interval pass, and wait until the plugin has looked."""
        await until(lambda: self.asleep)
        _, woken = self.asleep.pop()
        woken.set_result(None)
        await until(lambda: self.asleep)


@asynccontextmanager
async def following(world: World, files: Files) -> AsyncIterator[tuple[Reload, Clock]]:
    """Run a plugin on files and a clock."""
    clock = Clock()
    plugin = Reload(30.0, 0.0, sleep=clock.sleep)
    world.block(plugin)
    async with plugin.running(replace(world.runtime, configuration=files)):
        yield plugin, clock


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, and forget it."""
    found = [f"[{record.levelname}] {record.name}: {record.getMessage()}" for record in caplog.records]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def every_line(caplog: pytest.LogCaptureFixture) -> None:
    """Log from INFO on."""
    caplog.set_level(logging.INFO)


async def test_a_change(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Looked for once an interval, and told of once."""
    files = Files()
    async with following(world, files) as (_, clock):
        assert lines(caplog) == [f"[INFO] plugin/reload: Running configuration SHA512 = {fingerprint(FIRST)}"]
        await clock.tick()
        assert files.reloaded == []
        files.now = SECOND
        await clock.tick()
        await clock.tick()
        assert files.reloaded == [SECOND]
        files.now = FIRST
        await clock.tick()
        assert files.reloaded == [SECOND, FIRST]
        assert {seconds for seconds, _ in clock.asleep} == {30.0}
    assert lines(caplog) == []


async def test_a_configuration_that_cannot_take_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried once, and again when the file has changed again, be it back."""
    files = Files()
    async with following(world, files) as (plugin, clock):
        caplog.clear()
        files.now, files.refuses = SECOND, "port 53: Address already in use"
        await clock.tick()
        await clock.tick()
        assert files.reloaded == [SECOND]
        failure = "[ERROR] plugin/reload: Corefile changed but reload failed: port 53: Address already in use"
        assert lines(caplog) == [failure]
        files.now = THIRD
        await clock.tick()
        assert lines(caplog) == [failure]
        assert plugin.failed == 2
        files.refuses = ""
        files.now = FIRST
        await clock.tick()
        assert files.reloaded == [SECOND, THIRD, FIRST]
        assert plugin.failed == 2


async def test_a_file_that_cannot_be_read(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake is reported once as long as it is the same; mending it brings the file back."""
    files = Files()
    async with following(world, files) as (plugin, clock):
        caplog.clear()
        files.now = CorefileError("Unexpected EOF", "Corefile", 3)
        await clock.tick()
        await clock.tick()
        place = "Corefile:3 - Error during parsing: Unexpected EOF"
        assert lines(caplog) == [f"[ERROR] plugin/reload: Corefile changed but reload failed: {place}"]
        files.now = CorefileError("cannot be read", "Corefile")
        await clock.tick()
        assert plugin.failed == 2
        files.now = SECOND
        await clock.tick()
        assert files.reloaded == [SECOND]
        assert plugin.failed == 2


async def test_metrics(world: World) -> None:
    """CoreDNS's names and labels; the hash is the one that runs, and failures outlive the plugin."""
    files = Files()
    failed = "coredns_reload_failed_total"
    async with following(world, files) as (_, clock):
        assert await sample(world, failed) == 0.0
        assert await sample(world, "coredns_reload_version_info", hash="sha512", value=fingerprint(FIRST)) == 1.0
        files.now, files.refuses = SECOND, "no"
        await clock.tick()
        assert await sample(world, failed) == 1.0
        assert await sample(world, "coredns_reload_version_info", hash="sha512", value=fingerprint(FIRST)) == 1.0
        assert await sample(world, "coredns_reload_version_info", hash="sha512", value=fingerprint(SECOND)) is None
    assert await sample(world, failed) == 1.0
    world.blocks.clear()
    async with following(world, files) as (_, clock):
        await clock.tick()
        assert await sample(world, failed) == 2.0


async def sample(world: World, name: str, **labels: str) -> float | None:
    """Return one value of a scrape, None where there is none."""
    for line in (await world.runtime.metrics.render()).decode().splitlines():
        found, _, value = line.rpartition(" ")
        if found.partition("{")[0] == name and dict(re.findall(r'(\w+)="([^"]*)"', found)) == labels:
            return float(value)
    return None


async def test_only_one_of_several_looks(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The last block's."""
    files, clocks = Files(), [Clock(), Clock()]
    plugins = [Reload(seconds, 0.0, sleep=clock.sleep) for seconds, clock in zip((10.0, 20.0), clocks, strict=True)]
    for plugin in plugins:
        world.block(plugin)
    runtime = replace(world.runtime, configuration=files)
    async with plugins[0].running(runtime), plugins[1].running(runtime):
        await until(lambda: clocks[1].asleep)
        assert clocks[0].asleep == []
    assert len(lines(caplog)) == 1


async def test_without_a_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A configuration that came from nowhere has nothing to follow."""
    plugin = Reload()
    world.block(plugin)
    async with plugin.running(world.runtime):
        pass
    assert lines(caplog) == []


async def test_it_ends_while_it_reloads(world: World) -> None:
    """The plugin that asks for a reload is replaced by it."""

    class Slow(Files):
        async def reload(self, corefile: Corefile) -> None:
            self.reloaded.append(corefile)
            await asyncio.Event().wait()

    files, clock = Slow(), Clock()
    plugin = Reload(30.0, 0.0, sleep=clock.sleep)
    world.block(plugin)
    async with plugin.running(replace(world.runtime, configuration=files)):
        files.now = SECOND
        await until(lambda: clock.asleep)
        clock.asleep.pop()[1].set_result(None)
        await until(lambda: files.reloaded)
