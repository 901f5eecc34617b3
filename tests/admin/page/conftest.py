"""What the tests of the page share: one Chromium for each file, and a tab for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.admin.page.browser import NAMES, Page, chromium, executable
from tests.admin.page.world import World, world


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Chromium's websocket."""
    if executable() is None:
        pytest.skip(f"there is no Chromium here ({', '.join(NAMES)}); Debian's package chromium has one")
    with chromium(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest.fixture
async def page(browser: str) -> AsyncIterator[Page]:
    """A tab that must not have complained of anything when the test ends; one that expects it empties `errors`."""
    async with Page.opened(browser) as page:
        await page.look_like(1280, 800)
        yield page
        assert page.errors == []


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[World]:
    """A server with something to look at."""
    async with world(tmp_path) as site:
        yield site
