"""Every test of the transports runs on asyncio's own event loop and on uvloop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.transports.support import Scripted, scripted_sockets


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each asynchronous test here once on each event loop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(autouse=True)
async def nothing_escapes_to_the_loop() -> AsyncIterator[None]:
    """Fail the test when an exception got as far as the event loop, which only logs it."""
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
    yield
    assert escaped == []


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[Scripted]:
    """Return the UDP sockets that the test's listeners bind from now on."""
    return scripted_sockets(monkeypatch)
