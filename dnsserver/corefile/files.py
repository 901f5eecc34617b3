"""The only I/O of this package: reading a file and listing a pattern's matches."""

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

from dnsserver.corefile.model import CorefileError

Read = Callable[[str], bytes]  # raises OSError, FileNotFoundError where there is no such file
Glob = Callable[[str], Iterable[str]]  # the paths that match, in any order


def read_file(path: str) -> bytes:
    """Return a file's content; raises `OSError`."""
    return Path(path).read_bytes()


def glob_files(pattern: str) -> list[str]:
    """Return the paths that match, hidden ones included as Go's filepath.Glob does."""
    return glob.glob(pattern, include_hidden=True)


def reason(error: Exception) -> str:
    """Return what went wrong without the path, which the message around it names."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def decode(data: bytes, file: str) -> str:
    """Return a file's text; raises `CorefileError` at the line of the first octet that is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        message = f"octet 0x{data[error.start]:02x} is not UTF-8, expecting a text file"
        raise CorefileError(message, file, line) from error
