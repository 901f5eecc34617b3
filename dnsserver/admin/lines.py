"""Lines to standard output in batches, and the logging handler that shares them.

A full pipe must not stop the event loop: lines wait, and beyond a limit they are dropped and counted.
"""

import asyncio
import atexit
import logging
import os
import select
import stat
import threading

_PIPE_CHUNK = select.PIPE_BUF  # octets: a pipe that polls writable takes this much without blocking
_FILE_CHUNK = 1 << 20  # octets: a regular file takes any amount
_PATIENCE = 1000  # milliseconds
_RETRY = 0.02  # seconds until a full pipe is looked at again


class LineWriter:
    """Writes lines to a file descriptor; any thread may call it."""

    def __init__(self, descriptor: int, *, limit: int = 4 << 20) -> None:
        self.dropped = 0  # lines that were not written: the reader is slow or gone
        self._descriptor = descriptor
        self._limit = limit  # octets that may wait
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # where a flush is due
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._chunk = _FILE_CHUNK if _is_file(descriptor) else _PIPE_CHUNK

    def write(self, line: str) -> None:
        """Write one line, without its line feed, soon; at once where no event loop runs. Never raises."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._lock:
            if len(self._waiting) + len(data) > self._limit:
                self.dropped += 1
                return
            self._waiting += data
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.drain()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self._flush, loop)

    def drain(self) -> None:
        """Write everything that waits, blocking for as long as the reader takes some of it each second."""
        with self._lock:
            while self._waiting and self._poll.poll(_PATIENCE) and self._write_chunk():
                pass

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what fits without blocking; try the rest again later."""
        self._loop = None
        with self._lock:
            while self._waiting and self._poll.poll(0) and self._write_chunk():
                pass
            if self._waiting:
                self._loop = loop
                loop.call_later(_RETRY, self._flush, loop)

    def _write_chunk(self) -> bool:
        """Write once; say whether to go on. Output that nobody takes any more is dropped, not an error."""
        try:
            written = os.write(self._descriptor, bytes(self._waiting[: self._chunk]))
        except BlockingIOError:
            return False
        except OSError:
            self.dropped += self._waiting.count(b"\n")
            self._waiting.clear()
            return False
        del self._waiting[:written]
        return True


def _is_file(descriptor: int) -> bool:
    """Say whether a descriptor is a regular file; not where it is closed, and then every line is dropped."""
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


class LineHandler(logging.Handler):
    """Logs as CoreDNS prints: `[LEVEL] message`, and `[LEVEL] plugin/NAME: message` from a logger `plugin/NAME`."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def format(self, record: logging.LogRecord) -> str:
        source = f"{record.name}: " if record.name.startswith("plugin/") else ""
        return f"[{record.levelname}] {source}{super().format(record)}"

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # a bad log call is reported by logging itself, and never stops its caller
            self.handleError(record)
        else:
            self._writer.write(line)


stdout = LineWriter(1)
atexit.register(stdout.drain)
