"""`$GENERATE` of master files: one line of text for each number of a range; no I/O.

BIND 9's directive, as CoreDNS's parser has it: `$` is the number, `${OFFSET[,WIDTH[,BASE]]}` the number changed and
formatted, `$$` and `\\$` a dollar sign.
"""

import re
from collections.abc import Iterator

from dnsserver.wire.zonetext import ZoneTextError

MAX_COUNT = 65_536  # lines of one directive
_MAX_NUMBER = 2**31 - 1

_RANGE = re.compile(r"([0-9]{1,10})-([0-9]{1,10})(?:/([0-9]{1,10}))?")
_PLACE = re.compile(r"\\(.)|\$(\$)|\$\{([^}]*)\}|(\$)", re.DOTALL)
_MODIFIERS = re.compile(r"(-?[0-9]{1,10})(?:,([0-9]{1,3})(?:,([doxX]))?)?")
_MAX_WIDTH = 255


class Template:
    """The text behind a range."""

    def __init__(self, text: str) -> None:
        self._text = text

    def expand(self, range_text: str) -> Iterator[str]:
        """Yield the text for each number of `START-STOP[/STEP]`. Raises `ZoneTextError`."""
        match = _RANGE.fullmatch(range_text)
        if match is None:
            raise ZoneTextError(f"'{range_text[:100]}' is not a range, expecting START-STOP[/STEP]")
        start, stop, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if not step or not start <= stop <= _MAX_NUMBER or (stop - start) // step >= MAX_COUNT:
            raise ZoneTextError(f"'{range_text}' is not a range of at most {MAX_COUNT} numbers, the lower one first")
        for number in range(start, stop + 1, step):
            yield self._at(number)

    def _at(self, number: int) -> str:
        """Return the text for one number."""

        def put(found: re.Match[str]) -> str:
            escaped, dollar, modifiers, plain = found.groups()
            if escaped is not None:
                return "$" if escaped == "$" else found[0]
            if dollar is not None:
                return "$"
            return str(number) if plain is not None else _modified(number, modifiers)

        return _PLACE.sub(put, self._text)


def _modified(number: int, modifiers: str) -> str:
    """Return a number as `OFFSET[,WIDTH[,BASE]]` says. Raises `ZoneTextError`."""
    match = _MODIFIERS.fullmatch(modifiers)
    if match is None or int(match[2] or 0) > _MAX_WIDTH:
        raise ZoneTextError(f"'${{{modifiers[:100]}}}' is not ${{OFFSET[,WIDTH[,BASE]]}}, with a base of d, o, x or X")
    changed = number + int(match[1])
    if not 0 <= changed <= _MAX_NUMBER:
        raise ZoneTextError(f"'${{{modifiers}}}' makes {changed} of {number}, expecting 0 to {_MAX_NUMBER}")
    return format(changed, f"0{match[2] or ''}{match[3] or 'd'}")
