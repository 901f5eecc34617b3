"""A fake API server, a connection to it, and watches with a clock of their own."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dnsserver.objects import Kind
from dnsserver.sources.kubernetes import ApiConfig, ApiConnection, connect
from dnsserver.sources.timing import Timing
from dnsserver.sources.watch import ResourceWatch
from tests.fakes.api_clock import FakeClock
from tests.fakes.api_server import FakeApiServer

MakeWatch = Callable[..., ResourceWatch]


@pytest.fixture
def clock() -> FakeClock:
    """Time that passes only in sleeps."""
    return FakeClock()


@pytest.fixture
async def api(clock: FakeClock) -> AsyncIterator[FakeApiServer]:
    """An API server with KubeVirt and nothing in it; its log shows the fake clock's time."""
    async with FakeApiServer(clock=clock.now) as server:
        yield server


@pytest.fixture
async def connection(api: FakeApiServer) -> AsyncIterator[ApiConnection]:
    """A connection to it."""
    async with connect(ApiConfig(endpoint=api.url)) as opened:
        yield opened


@pytest.fixture
def make_watch(connection: ApiConnection, clock: FakeClock) -> MakeWatch:
    """Make watches that ask for plain lists unless told otherwise.

    A watch that lives for no time is no failure here, as the fake clock stands still meanwhile.
    """

    def make(kind: Kind = Kind.VMI, *, selector: str = "", streamed: bool = False, **timing: Any) -> ResourceWatch:
        values = Timing(**({"watch_short": 0.0} | timing))
        return ResourceWatch(connection, kind, selector=selector, streamed=streamed, timing=values, clock=clock)

    return make
