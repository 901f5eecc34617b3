"""Equal values as one object, so that what a hundred thousand objects have in common is held once; no I/O."""

from collections.abc import Hashable
from typing import Any, TypeVar

T = TypeVar("T", bound=Hashable)

# Values that are remembered. Once there are more, all are forgotten: what is shared stays shared, and only what comes
# later may be held twice. Values cannot be remembered weakly (tuples and slim structs have no weak references).
LIMIT = 8192

_known: dict[Any, Any] = {}


def share(value: T) -> T:
    """Return an equal value that is shared with others, or this one, which then may be."""
    known: T | None = _known.get(value)
    if known is None or type(known) is not type(value):  # 1 equals True, and structs hold both
        if len(_known) >= LIMIT:
            _known.clear()
        _known[value] = known = value
    return known
