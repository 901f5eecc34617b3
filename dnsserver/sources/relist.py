"""A list every so often beside the running watch: it shows what the watch has missed, which is then repaired.

The watch goes on meanwhile and stays in charge: only what it should have told by the list's version, and has not, is
a difference. The list comes from the API server's store itself, as its cache may have missed the same event.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from dnsserver.objects import Kind
from dnsserver.sources.backoff import Clock
from dnsserver.sources.envelopes import comparable, decode_head
from dnsserver.sources.faults import FaultError
from dnsserver.sources.listing import ListPage
from dnsserver.sources.versions import Comparison, Versions

logger = logging.getLogger("plugin/kubernetes")

# Gives one page of a list of what is there now: the continue token, "" for the first.
Page = Callable[[str], ListPage]


class Relist:
    """The lists beside the watch of one kind; `pause` is the shortest and the longest time between two, in seconds."""

    def __init__(self, kind: Kind, page: Page, versions: Versions, clock: Clock, pause: tuple[float, float]) -> None:
        self._kind = kind
        self._page = page
        self._versions = versions
        self._clock = clock
        self._pause = pause
        self._due = 0.0
        self._task: asyncio.Task[Comparison | None] | None = None

    def postpone(self) -> None:
        """Choose when to list next."""
        shortest, longest = self._pause
        self._due = self._clock.now() + shortest + (longest - shortest) * self._clock.chance()

    def compared(self, version: str, *, ended: bool = False) -> Comparison | None:
        """Return the comparison with a list that the watch has come up to; begin a list where one is due.

        `version` is the watch's. What seems to be missing before it has come that far may just be under way; a
        bookmark follows within a minute. A watch that has `ended` properly has told everything.
        """
        if self._task is None:
            if self._clock.now() >= self._due:
                self.postpone()
                self._task = asyncio.create_task(self._list(comparable(version)))
            return None
        if not self._task.done():
            return None
        found = self._task.result()
        if found is not None and not ended and (comparable(version) or 0) < found.version:
            return None
        self._task = None
        return found

    async def stop(self) -> None:
        """Give up the list under way, and what it has shown."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])  # raises nothing of the task's, only that we are cancelled ourselves

    async def _list(self, known: int | None) -> Comparison | None:
        """Return the comparison with a whole list; None where that fails, or where versions cannot be compared."""
        comparison = self._versions.compare()
        token = ""
        try:
            while True:
                page = self._page(token)
                async with aclosing(page.parts()) as parts:
                    async for part in parts:
                        comparison.page((decode_head(self._kind, raw), raw) for raw in part)
                version = comparable(page.metadata.resource_version or "")
                if known is None or version is None or version < known:
                    return None
                comparison.version = version
                following = page.metadata.continue_ or ""
                if not following:
                    return comparison
                if following == token:
                    return None  # a server that goes round in circles
                token = following
        except FaultError as fault:
            logger.info("cannot list %s to see what the watch has missed: %s", self._kind.value, fault.reason)
        except Exception:
            # Whatever this was: the watch goes on.
            logger.exception("unexpected failure in a list of %s beside the watch", self._kind.value)
        return None
