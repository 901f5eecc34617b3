"""`errors`: its lines, consolidation, and refusals."""

import logging

import pytest

from dnsserver.message import Reply
from dnsserver.plugins.errors import Errors
from dnsserver.plugins.plugin import Plugin, PluginError
from dnsserver.records import RRType
from tests.plugins.conftest import World, answering, failing, parse, refusal, request, until


def only(text: str) -> Errors:
    """Return the plugin of one block."""
    (plugin,) = parse("errors", text)
    assert isinstance(plugin, Errors)
    return plugin


async def fail(plugin: Plugin, message: str, name: str = "example.com.", qtype: int = RRType.A) -> None:
    """Send one query that fails below `plugin`, and see the error come through."""
    with pytest.raises(PluginError, match="plugin/test: "):
        await plugin.handle(request(name, qtype), failing("test", message))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of everything logged since the last call."""
    found = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "plugin/errors"]
    caplog.clear()
    return found


async def test_line(caplog: pytest.LogCaptureFixture) -> None:
    """An error is one line with rcode, name and type; an answer is none."""
    plugin = only("errors")
    assert await plugin.handle(request(), answering(Reply())) == Reply()
    assert lines(caplog) == []
    await fail(plugin, "no next plugin found")
    await fail(plugin, "x", "a\\010b.example.com.", 65280)
    await fail(plugin, "bad\n[INFO] forged\x1b[0m")
    assert lines(caplog) == [
        ("ERROR", "2 example.com. A: plugin/test: no next plugin found"),
        ("ERROR", "2 a\\010b.example.com. TYPE65280: plugin/test: x"),
        ("ERROR", "2 example.com. A: plugin/test: bad\\n[INFO] forged\\x1b[0m"),
    ]


async def test_consolidate(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Errors that match are one line a period, by the first pattern that matches; others are logged at once."""
    caplog.set_level(logging.DEBUG)
    plugin = only('errors {\nconsolidate 50ms "timeout$" warning\nconsolidate 1h .*time.* debug\n}')
    async with plugin.running(world.runtime):
        for _ in range(3):
            await fail(plugin, "read udp: i/o timeout")
        await fail(plugin, "time flies")
        await fail(plugin, "other")
        assert lines(caplog) == [("ERROR", "2 example.com. A: plugin/test: other")]
        await until(lambda: caplog.records)
        assert lines(caplog) == [("WARNING", "3 errors like 'timeout$' occurred in last 50ms")]
        await fail(plugin, "read udp: i/o timeout")  # starts the next period
        assert lines(caplog) == []
    assert lines(caplog) == [
        ("WARNING", "1 errors like 'timeout$' occurred in last 50ms"),
        ("DEBUG", "1 errors like '.*time.*' occurred in last 1h0m0s"),
    ]
    await fail(plugin, "read udp: i/o timeout")  # no timer is left to report it
    assert lines(caplog) == [("ERROR", "2 example.com. A: plugin/test: read udp: i/o timeout")]


async def test_show_first(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The first error of a period is logged in full; the sum counts it, and is not logged for it alone."""
    plugin = only("errors {\nconsolidate 1h one show_first\nconsolidate 1h two warning show_first\n}")
    async with plugin.running(world.runtime):
        await fail(plugin, "one")
        await fail(plugin, "two")
        await fail(plugin, "two")
    assert lines(caplog) == [
        ("ERROR", "2 example.com. A: plugin/test: one"),
        ("WARNING", "2 example.com. A: plugin/test: two"),
        ("WARNING", "2 errors like 'two' occurred in last 1h0m0s"),
    ]


def test_options() -> None:
    """`stdout` is the one file there is; `stacktrace` is for the app to read."""
    assert not only("errors").stacktrace
    assert not only("errors stdout").stacktrace
    assert only("errors {\nstacktrace\nconsolidate 1s x show_first info\n}").stacktrace
    assert not only("errors {\nconsolidate 1s [[:alpha:]]+\n}").stacktrace


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("errors /var/log/errors", "invalid log file: /var/log/errors, expecting stdout"),
        ("errors stdout stdout", "expecting errors [stdout]"),
        ("errors\nerrors", "this plugin can only be used once per Server Block"),
        ("errors {\nunknown\n}", "unknown property 'unknown', expecting stacktrace or consolidate"),
        ("errors {\nstacktrace on\n}", "Wrong argument count or unexpected line ending after 'on'"),
        ("errors {\nconsolidate 1m\n}", "expecting consolidate DURATION REGEXP"),
        ("errors {\nconsolidate 1m x error show_first more\n}", "expecting consolidate DURATION REGEXP"),
        ("errors {\nconsolidate 1 x\n}", 'missing unit in duration "1", expecting a duration such as 5s'),
        ("errors {\nconsolidate -1s x\n}", "is negative"),
        ("errors {\nconsolidate 1m (\n}", "regular expression '(': missing ')' at character 2"),
        ("errors {\nconsolidate 1m (?=x)\n}", "regular expression '(?=x)'"),
        ("errors {\nconsolidate 1m " + "x" * 10_001 + "\n}", "expecting at most 10000"),
        ("errors {\nconsolidate 1m x fatal\n}", "unknown log level argument in consolidate: fatal"),
        ("errors {\nconsolidate 1m x error info\n}", "given twice"),
        ("errors {\nconsolidate 1m x show_first show_first\n}", "given twice"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("errors", text)
    assert reason in error
    assert error.startswith("plugin/errors: Corefile:")
