"""Lines out of chunks, of any size both; no I/O."""

from collections.abc import Iterator

MAX_LINE = 64 * 2**20  # octets; etcd's largest object is 1.5 MB, and no stream may eat the memory


class LineTooLongError(ValueError):
    """A line that no API server would send."""


class LineBuffer:
    """Cuts a stream into lines; every octet is looked at once, however small the chunks."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that a chunk completes, without their ends; blank ones are left out.

        Raises `LineTooLongError`.
        """
        first, end, rest = chunk.partition(b"\n")
        if not end:
            self._keep(chunk)
            return
        *lines, rest = rest.split(b"\n")
        lines.insert(0, bytes(self._buffer) + first)
        self._buffer = bytearray()
        self._keep(rest)
        for line in lines:
            if line.strip():
                yield line

    def _keep(self, piece: bytes) -> None:
        """Hold the beginning of a line."""
        self._buffer += piece
        if len(self._buffer) > MAX_LINE:
            raise LineTooLongError(f"a line is longer than {MAX_LINE} octets")
