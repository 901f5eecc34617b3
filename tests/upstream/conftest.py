"""Tests of sockets run on asyncio's own event loop and on uvloop; certificates are made once."""

from pathlib import Path

import pytest

from tests.transports.conftest import nothing_escapes_to_the_loop, pytest_asyncio_loop_factories
from tests.upstream.support import make_certificates

__all__ = ["certificates", "nothing_escapes_to_the_loop", "pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `one.crt`, `two.crt` and their keys, each its own authority."""
    return make_certificates(tmp_path_factory.mktemp("tls"))
