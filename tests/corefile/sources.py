"""Corefiles for tests: files that are a mapping, and values without their places."""

import fnmatch
from collections.abc import Mapping, Sequence
from textwrap import dedent

import pytest

from dnsserver.corefile import Corefile, CorefileError, Directive, Property, parse

Shape = tuple[str, tuple[str, ...], tuple["Shape", ...]]


def files(content: Mapping[str, str | bytes | Exception]) -> "Files":
    """Return a file system with this content; an exception is raised where its file is read."""
    return Files(content)


class Files:
    """Files in memory; `reads` are the paths that were read."""

    def __init__(self, content: Mapping[str, str | bytes | Exception]) -> None:
        self.content = content
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        try:
            content = self.content[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None
        if isinstance(content, Exception):
            raise content
        return content.encode() if isinstance(content, str) else content

    def glob(self, pattern: str) -> list[str]:
        # the order of a file system is any order, so this one is not sorted
        return sorted((path for path in self.content if fnmatch.fnmatchcase(path, pattern)), reverse=True)


def parsed(
    text: str,
    content: Mapping[str, str | bytes | Exception] | None = None,
    environment: Mapping[str, str] | None = None,
    file: str = "Corefile",
) -> Corefile:
    """Parse a Corefile whose imports come from `content`."""
    source = files(content or {})
    return parse(dedent(text), file=file, read=source.read, glob=source.glob, environment=environment or {})


def failure(text: str, content: Mapping[str, str | bytes | Exception] | None = None, file: str = "Corefile") -> str:
    """Return the text of the error that a Corefile gets."""
    with pytest.raises(CorefileError) as raised:
        parsed(text, content, file=file)
    return str(raised.value)


def shape(statements: Sequence[Directive | Property]) -> tuple[Shape, ...]:
    """Return what statements say, without where they say it."""
    return tuple((each.name, each.args, shape(each.properties)) for each in statements)


def shapes(corefile: Corefile) -> list[tuple[tuple[str, ...], tuple[Shape, ...]]]:
    """Return each block's zones and statements."""
    return [(block.zones, shape(block.directives)) for block in corefile.blocks]


def line(name: str, *args: str, block: tuple[Shape, ...] = ()) -> Shape:
    """Return the shape of one statement."""
    return (name, args, block)
