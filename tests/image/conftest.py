"""The image's first stage, built once."""

from pathlib import Path

import pytest

from tests.image.dockerfile import UnreachableIndexError, build


@pytest.fixture(scope="session")
def image() -> Path:
    """Return the folder with the image's `/opt`."""
    try:
        return build()
    except UnreachableIndexError:
        pytest.skip("pip reaches no package index, so the image's packages cannot be installed")
