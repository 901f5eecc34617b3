"""The source that reads manifests: files and folders, re-read when they change.

Changes are found by asking for each file's status a few times a second. Notifications would miss the common case: the
kubelet updates a ConfigMap volume by swapping the symlink `..data`, and nothing happens to the file itself.

What a change takes away is believed at the second look only, a quarter of a second later: an editor that writes in
place leaves an empty file behind for a moment, one that replaces the file leaves none, and a download grows. Until
then everything stays as it was.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from asyncio_extras import call_in_executor

from dnsserver.events import Event, ListedPage, ListEnded, ListStarted
from dnsserver.objects import Further, Kind
from dnsserver.sources import files
from dnsserver.sources.contents import NOTHING, Clash, Contents, Draft, Whole, differences, unite
from dnsserver.sources.documents import BrokenDocumentError, Item, read_items
from dnsserver.sources.files import Look, ManifestError, Signature
from dnsserver.sources.source import SourceStatus

__all__ = ["INTERVAL", "ManifestError", "Manifests"]

log = logging.getLogger("plugin/kubernetes")

INTERVAL = 0.25  # seconds from one look at the files to the next
PAGE = 500  # objects
SLICE = 200  # objects decoded before the event loop gets its turn: about 4 ms
_MAX_CLASHES = 20  # warnings at a time


@dataclass(slots=True)
class _File:
    """A file and how far it is believed."""

    root: int  # which of the paths it was found at; the last where there are several
    held: Contents = NOTHING
    pending: Contents | None = None  # read, and not believed yet
    looks: int = 0  # at which there was something pending
    steady: bool = False  # the last look found what the one before had found

    @property
    def latest(self) -> Contents:
        """What the last look found."""
        return self.held if self.pending is None else self.pending

    @property
    def doubtful(self) -> bool:
        """Whether what is pending had better be seen once more before it counts."""
        return self.pending is not None and not self.steady and self.pending.takes_away(self.held)

    def see(self, found: Contents) -> None:
        """Take in what a look has found."""
        self.steady = found.says_the_same(self.latest)
        if found.says_the_same(self.held):
            self.held = replace(self.held, signature=found.signature, young=found.young)
            self.pending, self.looks = None, 0
        else:
            self.pending = found
            self.looks += 1

    def believe(self) -> None:
        """Let what is pending count."""
        self.held, self.pending, self.looks = self.latest, None, 0


class Manifests:
    """Objects of every kind from files and folders (`manifests PATH...`); implements `Source`.

    A folder stands for the files right in it whose names end in .yaml, .yml or .json, hidden and temporary ones left
    out; a file that is named itself may be called anything. Where two files hold the same object, the one whose path
    was named later counts, and in a folder the one whose name sorts later.

    VMIs are read with their `further` interfaces if that is not None. `wait` is awaited between two looks at the files;
    by default it sleeps for `interval` seconds.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        *,
        further: Further | None = None,
        interval: float = INTERVAL,
        wait: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._roots = tuple(dict.fromkeys(str(Path(path)) for path in paths))
        self._further = further
        self._wait = wait or partial(asyncio.sleep, interval)
        self._status = SourceStatus()
        self._files: dict[str, _File] = {}
        self._looked = False
        self._problems: dict[str, str] = {}  # why a path cannot be looked at, as reported
        self._clashes: frozenset[Clash] = frozenset()  # as reported

    @property
    def kinds(self) -> frozenset[Kind]:
        """Every kind: those without an object have an empty list."""
        return frozenset(Kind)

    @property
    def status(self) -> SourceStatus:
        """What it has counted: each reading of a changed file counts what it refuses and ignores."""
        return self._status

    def check(self) -> None:
        """Raise `ManifestError` for the first path that is not a readable file or folder. Blocks; call it at start."""
        for root in self._roots:
            files.check(root)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield a list of every kind, then what changes, the changes of one look without a pause between them.

        Never raises for what is on disk. Only one iterator may run at a time; each begins with the lists.
        """
        told: Whole | None = None
        while True:
            if await self._look() or told is None:
                whole = await call_in_executor(unite, self._believed())
                self._report_clashes(whole.clashes)
                if told is None:
                    for event in self._lists(whole):
                        yield event
                        if isinstance(event, ListedPage):
                            await asyncio.sleep(0)  # a list counts when it has ended, so others may run meanwhile
                else:
                    for change in await call_in_executor(differences, told.objects, whole.objects):
                        yield change
                told = whole
            await self._wait()

    def _lists(self, whole: Whole) -> Iterator[Event]:
        """Yield the list of each kind."""
        for kind in Kind:
            yield ListStarted(kind)
            yield from _pages(kind, whole)
            self._status.lists[kind] += 1
            yield ListEnded(kind)

    async def _look(self) -> bool:
        """Look at every path once; say whether something new is believed.

        Files that change together are believed together: as long as one of them has not been seen twice, the others
        wait, but for one look only.
        """
        looks = await call_in_executor(_look_at, self._roots)
        self._report_problems(looks)
        for path, sight in self._sights(looks).items():
            await self._see(path, self._files[path], sight)
        first, self._looked = not self._looked, True
        changed = {path: file for path, file in self._files.items() if file.pending is not None}
        doubtful = {path for path, file in changed.items() if file.doubtful and not first}
        if any(changed[path].looks == 1 for path in doubtful):
            return False
        believed = [path for path in changed if path not in doubtful]
        for path in believed:
            self._believe(path, changed[path])
        self._files = {path: file for path, file in self._files.items() if not (file.held.gone and file.latest.gone)}
        return bool(believed)

    def _sights(self, looks: list[Look]) -> dict[str, Signature | str | None]:
        """Return what was seen of each file, None for one that is gone; files out of sight are left as they were."""
        sights: dict[str, Signature | str | None] = {}
        for root, look in enumerate(looks):
            for path, sight in look.files.items():
                sights[path] = sight
                self._files.setdefault(path, _File(root)).root = root
        for path, file in self._files.items():
            if not looks[file.root].problem:
                sights.setdefault(path, None)
        return sights

    async def _see(self, path: str, file: _File, sight: Signature | str | None) -> None:
        """Take in what one file looks like now; its bytes are read only where they may have changed."""
        if sight is None:
            file.see(NOTHING)
        elif isinstance(sight, str):
            file.see(file.held.broken(f"{path}: {sight}"))
        elif sight == file.latest.signature and not file.latest.young:
            file.see(file.latest)
        else:
            file.see(await _load(path, file, self._further))

    def _believe(self, path: str, file: _File) -> None:
        """Let what was read of one file count, and say so."""
        before = file.held.count
        file.believe()
        now = file.held
        if now.problem:
            log.error("%s%s", now.problem, "; its last good objects stay" if now.count else "")
        elif now.gone:
            log.warning("%s: gone, and its %d objects with it", path, before)
        else:
            for note in now.notes:
                log.warning("%s", note)
            log.info("%s: %d objects", path, now.count)
        self._status.refused.update(now.refused)
        self._status.ignored += now.ignored

    def _believed(self) -> dict[str, Contents]:
        """Return what counts of each file, the one that wins last."""
        ordered = sorted(self._files, key=lambda path: (self._files[path].root, path))
        return {path: self._files[path].held for path in ordered}

    def _report_problems(self, looks: list[Look]) -> None:
        """Say once of each path that it cannot be looked at, and at the start where there is nothing to read."""
        for root, look in zip(self._roots, looks, strict=True):
            if look.problem and look.problem != self._problems.get(root):
                log.error("%s: %s; its last good objects stay", root, look.problem)
            elif not (self._looked or look.files or look.problem):
                log.warning("%s: no manifest here yet (%s)", root, ", ".join(files.EXTENSIONS))
            self._problems[root] = look.problem
        unseen = [problem for problem in self._problems.values() if problem]
        broken = [file.held.problem for file in self._files.values() if file.held.problem]
        for kind in Kind:
            if not unseen:
                self._status.contact(kind)
            if unseen or broken:
                self._status.troubles[kind] = "unreadable", (unseen + broken)[0]

    def _report_clashes(self, clashes: frozenset[Clash]) -> None:
        """Say once of each object that it stands in two files."""
        news = sorted(clashes - self._clashes, key=lambda clash: (clash.later, clash.lines))
        for clash in news[:_MAX_CLASHES]:
            log.warning("%s", clash)
        if len(news) > _MAX_CLASHES:
            log.warning("%d more objects stand in two files", len(news) - _MAX_CLASHES)
        self._clashes = clashes


def _look_at(roots: Iterable[str]) -> list[Look]:
    """Look at every path. Blocks."""
    return [files.look(root) for root in roots]


def _pages(kind: Kind, whole: Whole) -> Iterator[ListedPage]:
    """Yield the pages of a list."""
    values = list(whole.objects[kind].values())
    for start in range(0, len(values), PAGE):
        yield ListedPage(kind, tuple(values[start : start + PAGE]))
    if kept := whole.kept[kind]:
        yield ListedPage(kind, (), kept)


async def _load(path: str, file: _File, further: Further | None) -> Contents:
    """Return what a file says now. Another thread reads and decodes it, slice by slice."""
    held, latest = file.held, file.latest
    try:
        content = await call_in_executor(files.read, path)
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        return held.broken(f"{path}: {files.explain(error)}")
    if content.digest == latest.digest:
        return replace(latest, signature=content.signature, young=content.young)
    draft = Draft(path, held)
    try:
        items = await call_in_executor(read_items, content.body, json=path.endswith(".json"), further=further)
        while await call_in_executor(_take, draft, items):
            pass
    except BrokenDocumentError as error:
        return held.broken(f"{path}:{error.line}: {error.reason}", content)
    return draft.finish(content)


def _take(draft: Draft, items: Iterator[Item]) -> bool:
    """Decode one slice; say whether there was anything to decode."""
    return draft.add(islice(items, SLICE))
