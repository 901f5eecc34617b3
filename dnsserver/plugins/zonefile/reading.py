"""Zone files on disk: read at the start, and again where they have changed."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asyncio_extras import call_in_executor

from dnsserver.names import Name, to_text
from dnsserver.plugins.zonefile.content import Content, build
from dnsserver.wire.masterfile import MasterFileError, parse_master_file

_log = logging.getLogger("plugin/file")


@dataclass(frozen=True, slots=True)
class Version:
    """What makes a file the same as at the last look."""

    modified: int = 0  # nanoseconds since the epoch
    size: int = -1  # octets; the default is no file's
    inode: int = 0


class Reader:
    """Reads a zone file and what it includes; remembers which version of each file that was."""

    def __init__(self) -> None:
        self.versions: dict[str, Version] = {}

    def read(self, file: str) -> str:
        """Return a file's text. Raises `OSError`, and `MasterFileError` where it is not UTF-8."""
        self.versions[file] = _look(file)  # before it is read: what changes meanwhile is seen at the next look
        data = Path(file).read_bytes()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise MasterFileError("not UTF-8", file, line) from error

    def include(self, path: str, including: str) -> tuple[str, str]:
        """Return the name and text of a file that another one includes: relative to that one's folder."""
        file = os.path.normpath(os.path.join(os.path.dirname(including), path))
        return file, self.read(file)

    def load(self, file: str, origin: Name, serial: int | None = None) -> Content | None:
        """Return a file's zone, None where its SOA has that serial. Raises `OSError` and `MasterFileError`."""
        text = self.read(file)
        return build(parse_master_file(text, origin, file=file, include=self.include), origin, file=file, serial=serial)


def _look(file: str) -> Version:
    """Return a file's present version, of one that cannot be looked at the default."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return Version()
    return Version(status.st_mtime_ns, status.st_size, status.st_ino)


class ZoneFile:
    """One zone and the file that it comes from; only its content changes."""

    def __init__(self, path: Path, origin: Name, *, by_time: bool = False) -> None:
        self.origin = origin
        self._file = str(path)
        self._by_time = by_time  # what makes a file new is its time of modification, not the SOA's serial
        self._content: Content | None = None
        self._versions: Mapping[str, Version] = {}

    @property
    def content(self) -> Content | None:
        """The zone; None before the file has been read."""
        return self._content

    def load(self, warn: Callable[[str], None]) -> None:
        """Read the file for the first time. Raises `OSError` and `MasterFileError`."""
        reader = Reader()
        self._content = reader.load(self._file, self.origin)
        self._versions = reader.versions
        for note in self._content.notes if self._content is not None else ():
            warn(f"plugin/file: {note}")

    async def watch(self, interval: float, published: Callable[[], None] = lambda: None) -> None:
        """Look at the file again and again, every so many seconds; call `published` when there is other content."""
        while True:
            await asyncio.sleep(interval)
            before = self._content
            await self.update()
            if self._content is not before:
                published()

    async def update(self) -> None:
        """Take the content of files that have changed, where it is new and whole; or else log why not."""
        reader, zone = Reader(), to_text(self.origin)
        try:
            content = await call_in_executor(self._read_again, reader)
        except MasterFileError as error:
            _log.error('Parsing zone "%s": %s; its last content is kept', zone, error)
        except (OSError, ValueError) as error:
            _log.error('Failed to open zone "%s" in "%s": %s', zone, self._file, error)
        else:
            if content is not None:
                self._publish(content)
        if reader.versions:
            self._versions = reader.versions

    def _read_again(self, reader: Reader) -> Content | None:
        """Return the new content, None where there is none. For a thread of its own."""
        if all(_look(file) == version for file, version in self._versions.items()):
            return None
        before = None if self._content is None or self._by_time else self._content.zone.serial
        content = reader.load(self._file, self.origin, before)
        if content is None:
            zone = to_text(self.origin)
            _log.info('Zone "%s" in "%s" is not reloaded: its SOA serial is still %d', zone, self._file, before)
        return content

    def _publish(self, content: Content) -> None:
        """Serve another version from now on."""
        self._content = content
        zone, serial = to_text(self.origin), content.zone.serial
        _log.info('Successfully reloaded zone "%s" in "%s" with %d SOA serial', zone, self._file, serial)
        for note in content.notes:
            _log.warning("%s", note)
