"""`timeouts`: which values are taken, and which limits of a TCP listener they are."""

import pytest

from dnsserver.plugins.timeouts import Timeouts
from dnsserver.transports import TcpLimits
from tests.plugins.conftest import parse, refusal

TAKEN = [  # the plugin's lines, the limits
    ("timeouts {\n read 5s\n}", TcpLimits(message=5.0)),
    ("timeouts {\n write 1m30s\n}", TcpLimits(write=90.0)),
    ("timeouts {\n idle 24h\n}", TcpLimits(idle=86400.0)),
    ("timeouts {\n idle 1s\n}", TcpLimits(idle=1.0)),
    ("timeouts {\n read 20\n}", TcpLimits(message=20.0)),  # a bare number is seconds
    ("timeouts {\n maxtcpqueries 128\n}", TcpLimits(queries=128)),
    ("timeouts {\n maxtcpqueries -1\n}", TcpLimits()),
    (
        "timeouts {\n read 2s\n write 3s\n idle 4s\n maxtcpqueries 1\n}",
        TcpLimits(message=2.0, write=3.0, idle=4.0, queries=1),
    ),
    ("timeouts {\n read 2s\n read 3s\n}", TcpLimits(message=3.0)),
    ("timeouts {\n read 2s\n idle 2s\n}\ntimeouts {\n read 4s\n}", TcpLimits(message=4.0, idle=2.0)),
]


@pytest.mark.parametrize(("text", "limits"), TAKEN)
def test_taken(text: str, limits: TcpLimits) -> None:
    """Each option is one limit; what is not written stays as it was."""
    (plugin,) = parse("timeouts", text)
    assert isinstance(plugin, Timeouts)
    assert plugin.apply(TcpLimits()) == limits


def test_later_limits_win_over_earlier() -> None:
    """`-1` takes back a number of queries."""
    (plugin,) = parse("timeouts", "timeouts {\n maxtcpqueries -1\n}")
    assert isinstance(plugin, Timeouts)
    assert plugin.apply(TcpLimits(queries=5)) == TcpLimits()


RANGE = "needs to be between 1 second and 24 hours"
REFUSED = [  # the lines, the error behind "plugin/timeouts: Corefile:"
    (
        "timeouts",
        "2 - Error during parsing: timeouts block with no timeouts or limits specified, expecting read or wri",
    ),
    ("timeouts {\n}", "2 - Error during parsing: timeouts block with no timeouts or limits specified"),
    ("timeouts 5s", "2 - Error during parsing: Wrong argument count or unexpected line ending after '5s', expecting"),
    ("timeouts {\n connect 5s\n}", "3 - Error during parsing: unknown property 'connect', expecting read or write or"),
    ("timeouts {\n read\n}", "3 - Error during parsing: Wrong argument count or unexpected line ending after 'read'"),
    ("timeouts {\n read 5s 6s\n}", "3 - Error during parsing: Wrong argument count"),
    ("timeouts {\n read 999ms\n}", f"3 - Error during parsing: timeout provided '999ms' {RANGE}"),
    ("timeouts {\n idle 25h\n}", f"3 - Error during parsing: timeout provided '25h' {RANGE}"),
    ("timeouts {\n idle -5s\n}", f"3 - Error during parsing: timeout provided '-5s' {RANGE}"),
    ("timeouts {\n idle -5\n}", f"3 - Error during parsing: timeout provided '-5' {RANGE}"),
    ("timeouts {\n idle 0\n}", f"3 - Error during parsing: timeout provided '0' {RANGE}"),
    ("timeouts {\n write soon\n}", "3 - Error during parsing: failed to parse duration 'soon': time: invalid duration"),
    ("timeouts {\n maxtcpqueries\n}", "3 - Error during parsing: Wrong argument count"),
    ("timeouts {\n maxtcpqueries 0\n}", "3 - Error during parsing: maxtcpqueries '0' is not valid, expecting a positi"),
    ("timeouts {\n maxtcpqueries -2\n}", "3 - Error during parsing: maxtcpqueries '-2' is not valid"),
    ("timeouts {\n maxtcpqueries 1e9\n}", "3 - Error during parsing: maxtcpqueries '1e9' is not valid"),
    ("timeouts {\n maxtcpqueries 9999999999\n}", "3 - Error during parsing: maxtcpqueries '9999999999' is not valid"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str) -> None:
    """What cannot be done is refused with file and line."""
    assert refusal("timeouts", text).startswith(f"plugin/timeouts: Corefile:{message}")
