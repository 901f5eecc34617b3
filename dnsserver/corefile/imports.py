"""The token stream that the grammar reads, with each `import` replaced by what it names; I/O only through `files`.

Invariant: the first token of every file and snippet, and the token after every import, starts a statement. So the
grammar never sees where one source ends and the next begins.
"""

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnsserver.corefile.environment import substitute
from dnsserver.corefile.files import Glob, Read, decode, reason
from dnsserver.corefile.model import CorefileError
from dnsserver.corefile.tokens import Token, tokenize

MAX_SNIPPET_IMPORTS = 10_000  # as CoreDNS's: two imports a snippet would double the text with each snippet
MAX_FILE_IMPORTS = 100_000


@dataclass(slots=True)
class _Source:
    """A file or snippet being read, and the one that imported it."""

    name: str
    tokens: Sequence[Token]
    importer: "_Source | None" = None
    index: int = 0  # of the next token


class TokenStream:
    """The tokens of a Corefile in the order they take effect.

    `peek` and `take` never expand an import; `statement` does, since only the grammar knows where one may stand.
    """

    def __init__(
        self, tokens: Sequence[Token], file: str, *, read: Read, glob: Glob, environment: Mapping[str, str]
    ) -> None:
        self.warnings: list[str] = []
        self._read = read
        self._glob = glob
        self._environment = environment
        self._snippets: dict[str, Sequence[Token]] = {}
        self._stack = [_Source(os.path.normpath(file), tokens)]
        self._last = Token("", file, 1)
        self._snippet_imports = 0
        self._file_imports = 0

    def text(self, token: Token) -> str:
        """Return a token's text with environment references replaced."""
        return substitute(token.text, self._environment)

    def peek(self) -> Token | None:
        """Return the next token without taking it; None at the end."""
        while self._stack:
            source = self._stack[-1]
            if source.index < len(source.tokens):
                return source.tokens[source.index]
            self._stack.pop()
        return None

    def take(self) -> Token:
        """Return the next token and step over it; raises `CorefileError` at the end."""
        if (token := self.peek()) is None:
            raise self.end_error()
        self._stack[-1].index += 1
        self._last = token
        return token

    def end_error(self, expecting: str = "") -> CorefileError:
        """Return, for the caller to raise, the error for a Corefile that ends too early."""
        return self._last.error(f"Unexpected EOF, expecting {expecting}" if expecting else "Unexpected EOF")

    def statement(self) -> Token | None:
        """Return the first token of the next statement, imports there replaced; None at the end."""
        while (token := self.peek()) is not None and token.imports:
            self._import()
        return token

    def define(self, name: str, tokens: Sequence[Token], at: Token) -> None:
        """Remember a snippet for imports that follow."""
        if name in self._snippets:
            raise at.error(f"redeclaration of previously declared snippet {name}")
        self._snippets[name] = tokens

    def _import(self) -> None:
        """Replace an import statement, at which the stream stands, by what it names."""
        keyword = self.take()
        importer = self._stack[-1]
        argument = self._import_argument(keyword)
        name = self.text(argument)
        if not name:
            raise argument.error("Import requires a non-empty filepath")
        known = name in self._snippets
        sources = [self._snippet(name, argument)] if known else self._files(name, argument)
        for source in reversed(sources):
            source.importer = importer
            _check_cycle(source, argument)
            self._stack.append(source)

    def _import_argument(self, keyword: Token) -> Token:
        """Return the one argument of an import; raises `CorefileError` for none or more."""
        token = self.peek()
        if token is None or token.starts or token.opens or token.closes:
            raise keyword.error("Wrong argument count or unexpected line ending after 'import'")
        argument = self.take()
        if (token := self.peek()) is not None and not token.starts:
            raise token.error("Import takes only one argument (glob pattern or file)")
        return argument

    def _snippet(self, name: str, at: Token) -> _Source:
        self._snippet_imports += 1
        if self._snippet_imports > MAX_SNIPPET_IMPORTS:
            raise at.error(f"maximum snippet import depth ({MAX_SNIPPET_IMPORTS}) exceeded")
        return _Source(f"({name})", self._snippets[name])

    def _files(self, pattern: str, at: Token) -> list[_Source]:
        """Read what a path or pattern names, in order of path; a relative one starts at the file it stands in."""
        self._file_imports += 1
        if self._file_imports > MAX_FILE_IMPORTS:
            raise at.error(f"maximum file import depth ({MAX_FILE_IMPORTS}) exceeded")
        path = os.path.normpath(os.path.join(os.path.dirname(at.file), pattern))
        if path.count("*") > 1 or path.count("?") > 1 or "[" in path:
            # every further wildcard multiplies the directories to list
            raise at.error(f"Glob pattern may only contain one wildcard (*), but has others: {path}")
        if "*" not in path and "?" not in path:
            return [self._file(path, pattern, at)]
        matches = self._matches(path, at)
        if not matches:
            self.warnings.append(f"No files matching import glob pattern: {pattern}")
        return [self._file(match, match, at) for match in matches]

    def _matches(self, pattern: str, at: Token) -> list[str]:
        try:
            return sorted(self._glob(pattern))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the pattern
            raise at.error(f"Failed to use import pattern {pattern}: {reason(error)}") from error

    def _file(self, path: str, name: str, at: Token) -> _Source:
        """Read and tokenize one file; `name` is what the Corefile calls it."""
        try:
            data = self._read(path)
        except FileNotFoundError as error:
            raise at.error(f"File to import not found: {name}") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the path
            raise at.error(f"Could not import {path}: {reason(error)}") from error
        return _Source(path, tuple(tokenize(decode(data, path), path)))


def _check_cycle(source: _Source, at: Token) -> None:
    """Raise `CorefileError` for a source that is among those that import it."""
    importer = source.importer
    chain = [source.name]
    while importer is not None:
        chain.append(importer.name)
        if importer.name == source.name:
            shown = [*chain[:4], "...", *chain[-4:]] if len(chain) > 8 else chain
            raise at.error(f"import of {source.name} inside itself: {' -> '.join(reversed(shown))}")
        importer = importer.importer
