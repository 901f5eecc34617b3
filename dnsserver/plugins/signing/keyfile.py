"""TSIG keys as text: BIND's `key` statements, and the parts of one key; no I/O.

No error repeats a secret, nor anything that could be one in the wrong place.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dnsserver.corefile import CorefileError
from dnsserver.names import InvalidNameError, Name, from_text, to_text
from dnsserver.signatures import ALGORITHMS, Key

_USAGE = 'key NAME { algorithm NAME; secret "BASE64"; };'
_TOKEN = re.compile(
    r'(?P<space>\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)|"(?P<quoted>[^"\n]*)"|(?P<word>[^\s{};"]+|[{};])', re.DOTALL
)


class InvalidKeyError(ValueError):
    """A key that cannot be one; the text says what was expected and not what there is."""


def key_name(text: str) -> Name:
    """Return a key's name. Raises `InvalidKeyError`."""
    try:
        return from_text(text)
    except InvalidNameError as error:
        raise InvalidKeyError("the name of a key is no domain name, expecting one such as transfer.example.") from error


def key_secret(text: str) -> bytes:
    """Return a secret. Raises `InvalidKeyError`."""
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise InvalidKeyError("a secret is not base64, expecting what tsig-keygen or keymgr make")
    return secret


def key_algorithm(text: str) -> Name:
    """Return an algorithm's name. Raises `InvalidKeyError`."""
    try:
        name = from_text(text)
    except InvalidNameError:
        name = from_text("unknown")
    if name not in ALGORITHMS:
        expected = ", ".join(to_text(one).rstrip(".") for one in ALGORITHMS)
        raise InvalidKeyError(f"unknown algorithm '{text}', expecting one of {expected}")
    return name


@dataclass(slots=True)
class _Statement:
    """A key that is being read."""

    name: Name
    secret: bytes = b""
    algorithm: Name | None = None


class _Words:
    """The words of a file, and where each stands."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self.line = 1
        self._words = self._split(text)

    def _split(self, text: str) -> Iterator[str]:
        index = 0
        while index < len(text):
            match = _TOKEN.match(text, index)
            if match is None:
                raise self.error("a quoted word or a comment has no end")
            if match["space"] is None:
                yield match["word"] if match["quoted"] is None else match["quoted"]
            self.line += match[0].count("\n")
            index = match.end()

    def next(self) -> str | None:
        """Return the next word, None at the end."""
        return next(self._words, None)

    def want(self, *expected: str) -> str:
        """Return the next word, one of those that are expected, or any where none is. Raises `CorefileError`."""
        word = self.next()
        if word is None or (expected and word not in expected):
            raise self.error(f"{' or '.join(map(repr, expected)) or 'a word'} is missing")
        return word

    def error(self, message: str) -> CorefileError:
        """Return an error at the present line."""
        return CorefileError(f"{message}, expecting {_USAGE}", self._file, self.line, plugin="tsig")


def parse_keys(text: str, file: str) -> Iterator[tuple[Key, int]]:
    """Yield the keys of a file, each with the line of its end. Raises `CorefileError`."""
    words = _Words(text, file)
    while (word := words.next()) is not None:
        if word == ";":
            continue
        if word != "key":
            raise words.error("a statement that is not 'key'")
        try:
            key = _parse_key(words)
        except InvalidKeyError as error:
            raise words.error(str(error)) from None
        yield key, words.line


def _parse_key(words: _Words) -> Key:
    """Return the key behind the word that begins it."""
    found = _Statement(key_name(words.want()))
    words.want("{")
    while (word := words.want("algorithm", "secret", "}")) != "}":
        if word == "algorithm":
            found.algorithm = key_algorithm(words.want())
        else:
            found.secret = key_secret(words.want())
        words.want(";")
    if not found.secret:
        raise words.error(f"key {to_text(found.name)} has no secret")
    return Key(found.name, found.secret, found.algorithm)
