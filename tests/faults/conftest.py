"""What several fault tests share: an API server, and certificates."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.api_server import FakeApiServer
from tests.sources.test_kubernetes import tls

__all__ = ["api", "tls"]


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """An API server with KubeVirt and nothing in it."""
    async with FakeApiServer() as server:
        yield server
