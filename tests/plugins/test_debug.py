"""More log lines while the plugin runs."""

import logging

import pytest

from dnsserver.plugins.debug import Debug
from tests.plugins.conftest import World, parse, refusal


async def test_levels(world: World) -> None:
    """The program's own loggers say everything until the last plugin stops; libraries' and the root stay."""
    own, server, foreign = logging.getLogger("plugin/hosts"), logging.getLogger("server"), logging.getLogger("aiohttp")
    before = [logger.level for logger in (own, server, foreign, logging.root)]
    (first,) = parse("debug", "debug")
    async with first.running(world.runtime):
        async with Debug().running(world.runtime):
            assert (own.level, server.level) == (logging.DEBUG, logging.DEBUG)
        assert (own.level, server.level) == (logging.DEBUG, logging.DEBUG)
        assert [foreign.level, logging.root.level] == before[2:]
    assert [logger.level for logger in (own, server, foreign, logging.root)] == before


async def test_levels_at_a_reload(world: World) -> None:
    """The new configuration's plugin may start before the old one's stops."""
    old, new, logger = Debug(), Debug(), logging.getLogger("plugin/hosts")
    before = logger.level
    leaving, entering = old.running(world.runtime), new.running(world.runtime)
    await leaving.__aenter__()
    await entering.__aenter__()
    await leaving.__aexit__(None, None, None)
    assert logger.level == logging.DEBUG
    await entering.__aexit__(None, None, None)
    assert logger.level == before


def test_parse() -> None:
    """The plugin asks for tracebacks, and may be named twice."""
    (plugin,) = parse("debug", "debug\ndebug")
    assert isinstance(plugin, Debug)
    assert plugin.stacktrace


@pytest.mark.parametrize(("text", "reason"), [("debug x", "expecting debug"), ("debug {\nx\n}", "expecting no block")])
def test_refused(text: str, reason: str) -> None:
    """There is nothing to configure."""
    assert reason in refusal("debug", text)
