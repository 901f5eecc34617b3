"""The functions of templates: Go's own, and CoreDNS's `parseInt`; no I/O.

Each has two halves: `check` says what shape comes of which shapes, when the template is parsed; `call` does it.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dnsserver.plugins.templating.shapes import (
    ANY,
    BOOL,
    INT,
    STRING,
    Kind,
    NoValue,
    Shape,
    TemplateError,
    TemplateFailure,
    Value,
    is_true,
    printable,
    to_string,
)

REFUSED = frozenset({"html", "js", "urlquery", "call"})  # functions of Go that a resource record has no use for
_MAX_DIGITS = 128  # of a number in text
_MAX_BITS = 64

Typed = tuple[Shape, str]  # an argument's shape and its source


@dataclass(frozen=True, slots=True)
class Function:
    """One function."""

    least: int  # arguments
    most: int | None
    check: Callable[[Sequence[Typed]], Shape]
    call: Callable[[Sequence[Value]], Value]


def _mismatch(function: str, argument: Typed, expected: str) -> TemplateError:
    shape, source = argument
    return TemplateError(f"{function} cannot take '{source}', which is a {shape.kind.value}, expecting {expected}")


def _present(values: Sequence[Value]) -> None:
    """Raise `TemplateFailure` for a group that no part of the pattern set."""
    if any(isinstance(value, NoValue) for value in values):
        raise TemplateFailure("a function was given a group that does not exist")


def _number(value: Value) -> int:
    assert isinstance(value, int)  # noqa: S101  # each function's `check` has seen to that
    return value


def _check_parse_int(arguments: Sequence[Typed]) -> Shape:
    for argument, shape in zip(arguments, (STRING, INT, INT), strict=True):
        if argument[0] != shape:
            raise _mismatch("parseInt", argument, f"a {shape.kind.value}")
    return INT


def parse_int(values: Sequence[Value]) -> int:
    """Return an unsigned number from its text, base (2 to 36) and size in bits, as Go's `strconv.ParseUint` does."""
    _present(values)
    text, base, bits = str(values[0]), _number(values[1]), _number(values[2])
    if not 2 <= base <= 36 or not 0 <= bits <= _MAX_BITS:
        raise TemplateFailure(f"parseInt: base {base} and {bits} bits, expecting 2 to 36 and 0 to {_MAX_BITS}")
    digits = [int(char, 36) for char in text] if text.isascii() and text.isalnum() else []
    if not digits or len(digits) > _MAX_DIGITS or max(digits) >= base:
        raise TemplateFailure(f"parseInt: '{text[:100]}' is not a number in base {base}")
    number = int(text, base)
    if number >> (bits or _MAX_BITS):
        raise TemplateFailure(f"parseInt: '{text[:100]}' does not fit {bits or _MAX_BITS} bits")
    return number


def _check_len(arguments: Sequence[Typed]) -> Shape:
    if arguments[0][0].kind not in (Kind.STRING, Kind.LIST, Kind.MAP):
        raise _mismatch("len", arguments[0], "a string, slice or map")
    return INT


def _length(values: Sequence[Value]) -> int:
    (value,) = values
    _present(values)
    if isinstance(value, str):
        return len(value.encode())
    assert not isinstance(value, (int, NoValue))  # noqa: S101  # `_check_len` has seen to that
    return len(value)


def _check_index(arguments: Sequence[Typed]) -> Shape:
    (shape, source), *keys = arguments
    for key in keys:
        if shape.kind is Kind.MAP and key[0] != STRING:
            raise _mismatch("index of a map", key, "a string")
        if shape.kind in (Kind.LIST, Kind.STRING) and key[0] != INT:
            raise _mismatch("index", key, "an integer")
        if shape.kind not in (Kind.MAP, Kind.LIST, Kind.STRING):
            raise _mismatch("index", (shape, source), "a slice, map or string")
        shape = shape.element or INT
    return shape


def _index(values: Sequence[Value]) -> Value:
    value, *keys = values
    for key in keys:
        _present((value, key))
        if isinstance(value, Mapping):
            value = value.get(str(key), "")  # every map of a template's data holds strings
            continue
        assert isinstance(value, Sequence)  # noqa: S101  # `_check_index` has seen to that
        items: Sequence[Value] = list(value.encode()) if isinstance(value, str) else value
        place = _number(key)
        if not 0 <= place < len(items):
            raise TemplateFailure(f"index {place} of {len(items)} is out of range")
        value = items[place]
    return value


def _check_slice(arguments: Sequence[Typed]) -> Shape:
    if arguments[0][0].kind not in (Kind.STRING, Kind.LIST):
        raise _mismatch("slice", arguments[0], "a string or slice")
    for bound in arguments[1:]:
        if bound[0] != INT:
            raise _mismatch("slice", bound, "an integer")
    return arguments[0][0]


def _slice(values: Sequence[Value]) -> Value:
    _present(values)
    value, *bounds = values
    assert isinstance(value, Sequence)  # noqa: S101  # `_check_slice` has seen to that
    low, high = [*map(_number, bounds), *(0, len(value))[len(bounds) :]]
    if not 0 <= low <= high <= len(value):
        raise TemplateFailure(f"slice from {low} to {high} of {len(value)} is out of range")
    return value[low:high]


def _check_comparison(name: str, *kinds: Kind) -> Callable[[Sequence[Typed]], Shape]:
    def check(arguments: Sequence[Typed]) -> Shape:
        first = arguments[0][0]
        for argument in arguments:
            if argument[0].kind not in kinds or argument[0] != first:
                raise _mismatch(name, argument, f"what compares with '{arguments[0][1]}'")
        return BOOL

    return check


def _equal(values: Sequence[Value]) -> bool:
    _present(values)
    return values[0] in values[1:]


def _comparison(name: str, compare: Callable[[str | int, str | int], bool]) -> Function:
    def call(values: Sequence[Value]) -> bool:
        _present(values)
        first, second = values
        assert isinstance(first, (str, int))  # noqa: S101  # `check` has seen to that
        assert isinstance(second, (str, int))  # noqa: S101  # and that both are of one kind
        return compare(first, second)

    return Function(2, 2, _check_comparison(name, Kind.STRING, Kind.INT), call)


def _check_print(arguments: Sequence[Typed]) -> Shape:
    for shape, source in arguments:
        printable(shape, source)
    return STRING


def _print(values: Sequence[Value]) -> str:
    """Join values as Go's `Sprint` does: a space between two that are not strings."""
    _present(values)
    found = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            found += " "
        found += to_string(value)
    return found


def _println(values: Sequence[Value]) -> str:
    _present(values)
    return " ".join(map(to_string, values)) + "\n"


def same_shape(arguments: Sequence[Typed]) -> Shape:
    """Return the shape that all arguments have, or that it is known only later."""
    shapes = [shape for shape, _ in arguments]
    return shapes[0] if all(shape == shapes[0] for shape in shapes) else ANY


_BASIC = (Kind.STRING, Kind.INT, Kind.BOOL)
FUNCTIONS: Mapping[str, Function] = {
    "parseInt": Function(3, 3, _check_parse_int, parse_int),
    "len": Function(1, 1, _check_len, _length),
    "index": Function(1, None, _check_index, _index),
    "slice": Function(1, 3, _check_slice, _slice),
    "not": Function(1, 1, lambda _: BOOL, lambda values: not is_true(values[0])),
    "eq": Function(2, None, _check_comparison("eq", *_BASIC), _equal),
    "ne": Function(2, 2, _check_comparison("ne", *_BASIC), lambda values: not _equal(values)),
    "lt": _comparison("lt", operator.lt),
    "le": _comparison("le", operator.le),
    "gt": _comparison("gt", operator.gt),
    "ge": _comparison("ge", operator.ge),
    "print": Function(0, None, _check_print, _print),
    "println": Function(0, None, _check_print, _println),
}
LAZY = ("and", "or")  # these stop at the argument that decides
PRINTF = "printf"  # its format has to be a literal
