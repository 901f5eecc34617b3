"""Corefiles: a set-up, or a `CorefileError` at a line of a file that was read; and text that says the same again."""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copyfile
from typing import Any

from dnsserver.corefile import Corefile, CorefileError, Directive, Property, fingerprint, load
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.setup import set_up

FILES = {  # what Corefiles of the corpus may name
    "snippets": "errors\nlog\n",
    "db.example.org": "@ 60 IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.w TXT x\n",
    "hosts": "192.0.2.7 seven.example.org seven\n",
    "resolv.conf": "nameserver 192.0.2.53\nsearch a.example b.example\n",
    "objects.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    "secret": "00112233445566778899aabbccddeeff\n",
}
CERTIFICATES = Path(__file__).parent.parent / "certificates"
IMPORTABLE = ("snippets",)
# a word that ends in a backslash cannot be quoted, and one that looks like a reference would be replaced again
_UNQUOTABLE = re.compile(r"\\[\"\0]|\{[$%]")
ENVIRONMENT = {"ZONE": "example.net", "EMPTY": "", "WORDS": "a b", "BRACE": "{"}


class ForbiddenError(OSError):
    """A file that no Corefile may touch while it is fuzzed."""


class _Guard:
    """Keeps what a Corefile names from being written, and devices from being read; `tls { keylog }` makes files."""

    def __init__(self) -> None:
        self.active = False
        self.folder = ""
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse to open a file; Python never removes a hook, so it has a switch."""
        if not self.active or event != "open":
            return
        path, _, flags = arguments
        name = path.decode(errors="replace") if isinstance(path, bytes) else str(path)
        writes = isinstance(flags, int) and flags & 3 != 0
        if name.startswith(("/dev", "/proc", "/sys")) or (writes and not name.startswith(self.folder)):
            raise ForbiddenError(13, "not while fuzzing", name)


@cache
def _guard() -> _Guard:
    """Return the one guard; its hook cannot be taken away."""
    return _Guard()


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder with the files; it goes with the process."""
    made = tempfile.TemporaryDirectory(prefix="dnsserver-fuzz-")
    for name, text in FILES.items():
        (Path(made.name) / name).write_text(text)
    (Path(made.name) / "secret").chmod(0o600)
    for name in ("server.pem", "server.key", "ca.pem"):
        copyfile(CERTIFICATES / name, Path(made.name) / name)
    return made


@contextmanager
def _guarded() -> Iterator[Path]:
    """Yield the folder, with the guard at work."""
    guard = _guard()
    guard.folder = folder().name
    guard.active = True
    try:
        yield Path(guard.folder)
    finally:
        guard.active = False


def check(data: bytes) -> None:
    """Check one Corefile."""
    files = {"Corefile": data, **{name: FILES[name].encode() for name in IMPORTABLE}}

    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    def glob(pattern: str) -> Sequence[str]:
        return [name for name in IMPORTABLE if pattern == "*"]

    try:
        corefile = load("Corefile", read=read, glob=glob, environment=ENVIRONMENT)
    except CorefileError as error:
        _check_error(error, files)
        return
    text = _rendered(corefile)
    again = corefile if _UNQUOTABLE.search(text) else _parsed(text.replace("\0", '\\"'))
    assert _meaning(again) == _meaning(corefile), "what was rendered says something else"
    assert fingerprint(again) == fingerprint(corefile)
    with _guarded() as place:
        try:
            setup = set_up(corefile, folder=place, port=1053)
        except CorefileError as error:
            _check_error(error, files)
            return
        assert set_up(corefile, folder=place, port=1053).banner == setup.banner
        for new, old in zip(set_up(again, folder=place, port=1053).plugins, setup.plugins, strict=True):
            assert type(new) is type(old)
            if isinstance(new, Kubernetes):
                assert new.same_as(old), "a reload without a change would lose what is known of the cluster"


def _check_error(error: CorefileError, files: dict[str, bytes]) -> None:
    """Assert that an error says what and where."""
    assert error.message, "an error that says nothing"
    assert error.file in files, f"{error.file} was never read"
    lines = files[error.file].count(b"\n") + 1
    assert 1 <= error.line <= lines, f"{error.file}:{error.line} of {lines} lines: {error}"
    str(error).encode()


def _parsed(text: str) -> Corefile:
    """Parse what was rendered: it imports nothing, and names no variable that exists."""
    return load("Corefile", read=lambda _: text.encode(), glob=lambda _: (), environment={})


def _rendered(corefile: Corefile) -> str:
    """Return a Corefile as text, every word quoted."""
    lines = []
    for block in corefile.blocks:
        keys = (f"{key.scheme}://{key.zone}{'' if key.port is None else f':{key.port}'}" for key in block.keys)
        lines.append(" ".join(map(_quoted, keys)) + " {")
        lines += _statements(block.directives)
        lines.append("}")
    return "\n".join(lines) + "\n"


def _statements(statements: Sequence[Directive | Property]) -> Iterator[str]:
    """Yield the lines of statements."""
    for one in statements:
        words = " ".join(map(_quoted, (one.name, *one.args)))
        if one.properties:
            yield f"{words} {{"
            yield from _statements(one.properties)
            yield "}"
        else:
            yield words


def _quoted(word: str) -> str:
    """Return a word as one token; a NUL stands for the only escape there is."""
    return '"' + word.replace("\0", '\\"').replace('"', "\0") + '"'


def _meaning(corefile: Corefile) -> object:
    """Return what a Corefile says, without where."""
    return [([(key.scheme, key.zone, key.port) for key in one.keys], _words(one.directives)) for one in corefile.blocks]


def _words(statements: Sequence[Directive | Property]) -> object:
    return [(one.name, one.args, _words(one.properties)) for one in statements]
