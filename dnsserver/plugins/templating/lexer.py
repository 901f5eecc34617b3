"""The words of a template: text, and the tokens of each action between `{{` and `}}`; no I/O."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dnsserver.plugins.templating.shapes import TemplateError

_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<number>[+-]?[0-9][0-9A-Za-z_.]*)
    |(?P<variable>\$\w*)
    |(?P<field>\.[^\W\d]\w*)
    |(?P<dot>\.)
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>:=|[=|(),])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


class Token(NamedTuple):
    """One word of an action."""

    kind: str  # the name of its group above
    text: str
    glued: bool  # nothing but the word before it is in front


class Piece(NamedTuple):
    """Text, or an action where `tokens` is not None."""

    text: str
    tokens: tuple[Token, ...] | None = None


def split(template: str) -> Iterator[Piece]:
    """Yield text and actions; comments are gone, and what `-` trims. Raises `TemplateError`."""
    at = 0
    trim = False
    while (start := template.find("{{", at)) >= 0:
        text = template[at:start]
        begin = start + 2
        trims_before = template[begin : begin + 1] == "-" and template[begin + 1 : begin + 2] in tuple(_SPACE)
        yield Piece(_trimmed(text, left=trim, right=trims_before))
        begin += trims_before
        content, at, trim = _action(template, begin)
        if content is not None:
            yield Piece(template[start:at], tuple(_tokens(content)))
    yield Piece(_trimmed(template[at:], left=trim, right=False))


def _trimmed(text: str, *, left: bool, right: bool) -> str:
    text = text.lstrip(_SPACE) if left else text
    return text.rstrip(_SPACE) if right else text


def _action(template: str, begin: int) -> tuple[str | None, int, bool]:
    """Return the inside of an action (None: a comment), where it ends, and whether it trims the text behind it."""
    if template[begin:].lstrip(_SPACE).startswith("/*"):
        end = template.find("*/", begin)
        closing = re.compile(r"\*/([ \t\r\n]-)?\}\}").match(template, end) if end >= 0 else None
        if closing is None:
            raise TemplateError("a comment without its end '*/}}'")
        return None, closing.end(), closing[1] is not None
    at = begin
    while at < len(template):
        if template.startswith("}}", at):
            content = template[begin:at]
            trims = len(content) > 1 and content[-1] == "-" and content[-2] in _SPACE
            return content[:-1] if trims else content, at + 2, trims
        found = _TOKEN.match(template, at)
        at = found.end() if found is not None and found.lastgroup == "string" else at + 1
    raise TemplateError("an action without its end '}}'")


def _tokens(content: str) -> Iterator[Token]:
    at = 0
    spaced = True
    while at < len(content):
        found = _TOKEN.match(content, at)
        if found is None or found.lastgroup is None:
            raise TemplateError(f"unexpected '{content[at]}' in '{{{{{content}}}}}'")
        at = found.end()
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found[0], not spaced)
        spaced = found.lastgroup == "space"


def unquote(text: str) -> str:
    """Return what a string literal stands for; raises `TemplateError`."""
    if text.startswith("`"):
        return text[1:-1]

    def resolve(escape: re.Match[str]) -> str:
        letter, *numbers, _other = escape.groups()
        if letter in _LETTERS:
            return _LETTERS[letter]
        bases = (16, 8, 16, 16)
        code = next((int(digits, base) for digits, base in zip(numbers, bases, strict=True) if digits), -1)
        if not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000 or (code > 0x7F and escape[0][1] not in "uU"):
            raise TemplateError(f"escape '{escape[0]}' in {text} is not supported")
        return chr(code)

    return _ESCAPE.sub(resolve, text[1:-1])
