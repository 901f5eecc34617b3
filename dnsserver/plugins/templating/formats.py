"""`printf` with a format that is checked before there are values (Go's package fmt); no I/O."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dnsserver.plugins.templating.shapes import (
    Kind,
    NoValue,
    Shape,
    TemplateError,
    TemplateFailure,
    Value,
    printable,
    to_string,
)

_MAX_WIDTH = 255
_VERB = re.compile(r"%(-?0?)([1-9][0-9]*)?(\.[0-9]+)?(.?)", re.DOTALL)
_KINDS = {  # verbs and the kinds that they print; %v prints any
    "s": (Kind.STRING,),
    "q": (Kind.STRING,),
    "d": (Kind.INT,),
    "b": (Kind.INT,),
    "o": (Kind.INT,),
    "c": (Kind.INT,),
    "x": (Kind.INT, Kind.STRING),
    "X": (Kind.INT, Kind.STRING),
    "t": (Kind.BOOL,),
}


class _Verb(NamedTuple):
    flags: str
    width: int
    precision: int | None
    letter: str

    def format(self, value: Value) -> str:
        """Return one value as the verb prints it."""
        text = _text(self.letter, value)
        if self.precision is not None:
            text = text[: self.precision]
        if "-" in self.flags:
            return text.ljust(self.width)
        if "0" in self.flags and isinstance(value, int):
            return text.zfill(self.width)
        return text.rjust(self.width)


def compile_format(text: str, shapes: Sequence[tuple[Shape, str]]) -> Callable[[Sequence[Value]], str]:
    """Return the function that fills a format in; `shapes` are the arguments', each with its source.

    Raises `TemplateError` for a verb that is not supported, or that does not fit its argument.
    """
    pieces: list[str | _Verb] = []
    at = count = 0
    for found in _VERB.finditer(text):
        pieces.append(text[at : found.start()])
        at = found.end()
        if found[0] == "%%":
            pieces.append("%")
            continue
        pieces.append(_verb(found))
        if count == len(shapes):
            raise TemplateError(f'printf "{text}" has no argument for {found[0]}')
        _check(found[4], *shapes[count])
        count += 1
    pieces.append(text[at:])
    if count < len(shapes):
        raise TemplateError(f'printf "{text}" has no verb for {shapes[count][1]}')

    def fill(values: Sequence[Value]) -> str:
        rest = iter(values)
        return "".join(piece if isinstance(piece, str) else piece.format(next(rest)) for piece in pieces)

    return fill


def _verb(found: re.Match[str]) -> _Verb:
    flags, width, precision, letter = found.groups()
    if letter != "v" and letter not in _KINDS:
        raise TemplateError(f"printf verb '{found[0]}' is not supported, expecting one of %v {_all_verbs()}")
    if precision is not None and letter not in "sv":
        raise TemplateError(f"printf verb '{found[0]}' takes no precision here")
    verb = _Verb(flags, int(width[:4]) if width else 0, int(precision[1:5]) if precision else None, letter)
    if max(verb.width, verb.precision or 0) > _MAX_WIDTH:
        raise TemplateError(f"printf verb '{found[0]}' is wider than {_MAX_WIDTH}")
    return verb


def _all_verbs() -> str:
    return " ".join(f"%{letter}" for letter in _KINDS)


def _check(letter: str, shape: Shape, source: str) -> None:
    printable(shape, source)
    if letter != "v" and shape.kind not in _KINDS[letter]:
        raise TemplateError(f"printf verb %{letter} does not print '{source}', which is a {shape.kind.value}")


def _text(letter: str, value: Value) -> str:
    if isinstance(value, NoValue):
        raise TemplateFailure("printf of a group that does not exist")
    if letter == "q":
        return quoted(str(value))
    if letter in "xX" and isinstance(value, str):
        digits = value.encode().hex()
        return digits.upper() if letter == "X" else digits
    if letter == "c" and isinstance(value, int):
        return chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
    if letter in "dboxX":
        assert isinstance(value, int)  # noqa: S101  # `_check` has seen to that
        return format(value, letter)
    return to_string(value)


def quoted(text: str) -> str:
    """Return a string as Go's %q prints one."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    shown = (escapes.get(char) or (char if char.isprintable() else f"\\x{ord(char):02x}") for char in text)
    return f'"{"".join(shown)}"'
