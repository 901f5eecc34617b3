"""Manifest files on disk: which there are, whether they changed, and their bytes.

Everything here blocks for as long as the disk takes: call it off the event loop.
"""

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field
from typing import NamedTuple

EXTENSIONS = (".yaml", ".yml", ".json")
_TEMPORARY = (".", "#", "~")  # how hidden files and those that editors work on begin; `..data` of a ConfigMap too

_YOUNG = 100_000_000  # nanoseconds; several times the tick that dates a file


class ManifestError(Exception):
    """A path that cannot be served from; the text is meant for the person who named it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Signature(NamedTuple):
    """What differs when a file was written or replaced, whichever way: in place, by a rename, by a symlink."""

    device: int
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int  # nanoseconds; cannot be set back, unlike `modified`


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one path that was named."""

    files: dict[str, Signature | str] = field(
        default_factory=dict
    )  # in the order of names; a str: why it is unreadable
    problem: str = ""  # why nothing can be said: what was known stays


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file."""

    signature: Signature  # as it was before the first octet was read
    young: bool  # written so lately that another write might leave the same signature
    digest: bytes
    body: bytes


def check(path: str) -> None:
    """Raise `ManifestError` where a path is not a readable file or folder."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.listdir(path)
        elif stat.S_ISREG(mode):
            with open(path, "rb"):
                pass
        else:
            raise ManifestError(path, "neither a file nor a folder")
    except FileNotFoundError as error:
        raise ManifestError(path, "no such file or folder") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ManifestError(path, explain(error)) from error


def look(path: str) -> Look:
    """Say which files a path stands for: itself, or those right in the folder, as for `kubectl apply -f`.

    A file that does not exist is left out, so the caller notices by its absence. Never raises `OSError`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return Look({path: _signature(status) if stat.S_ISREG(status.st_mode) else "not a file any more"})
        names = sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return Look()
    except (OSError, ValueError) as error:
        return Look(problem=explain(error))
    files = {}
    for name in names:
        if is_manifest(name):
            file = os.path.join(path, name)
            if (seen := _look_inside(file)) is not None:
                files[file] = seen
    return Look(files)


def _look_inside(file: str) -> Signature | str | None:
    """Return what one entry of a folder is; None for what is no file, or is gone already."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        return explain(error)
    return _signature(status) if stat.S_ISREG(status.st_mode) else None


def is_manifest(name: str) -> bool:
    """Say whether a file of this name in a folder is meant to be read."""
    return name.endswith(EXTENSIONS) and not name.startswith(_TEMPORARY)


def read(path: str) -> Content:
    """Return a file's bytes. Raises `OSError`."""
    with open(path, "rb") as file:
        signature = _signature(os.fstat(file.fileno()))
        body = file.read()
    young = 0 <= time.time_ns() - signature.modified < _YOUNG
    return Content(signature, young, hashlib.blake2b(body, digest_size=16).digest(), body)


def explain(error: Exception) -> str:
    """Return the reason of an error without the path, which the caller knows better."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _signature(status: os.stat_result) -> Signature:
    """Return the part of a file's status that tells a change."""
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
