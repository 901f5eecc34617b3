"""What is asked to be explained, from what people write; no I/O."""

from collections.abc import Sequence

import msgspec

from dnsserver.names import InvalidNameError, Name, from_text, is_at_or_below, labels, reverse_address, reverse_name
from dnsserver.objects.views import packed
from dnsserver.records import RRType
from dnsserver.wire import text_to_type

_SHORT = 3  # labels that `vm1.sub.ns` has; more of them are a name of their own, unless they are a port's
_TRANSFERS = (RRType.AXFR, RRType.IXFR)
_KINDS = (b"svc", b"pod")


class InvalidQuestionError(ValueError):
    """What cannot be asked; the text is for the user."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """A name and a type, and how they were written."""

    asked: str
    name: Name
    qtype: int


def parse_question(text: str, rrtype: str, origins: Sequence[Name]) -> Question:
    """Return the question that a name or an address and a type stand for; the empty type is what fits the name.

    A name without a final dot that is in none of the zones, `vm1.sub.ns` or shorter, or one that ends in `svc`, is
    completed with the first zone. Raises `InvalidQuestionError`.
    """
    address = packed(text)
    try:
        name = from_text(text) if address is None else reverse_name(address)
        if address is None and not text.endswith(".") and not any(is_at_or_below(name, origin) for origin in origins):
            name = _completed(text, name, origins)
        qtype = text_to_type(rrtype) if rrtype else _fitting_type(name)
    except InvalidNameError as error:
        raise InvalidQuestionError(f"not a name: {error}") from error
    except ValueError as error:
        raise InvalidQuestionError(str(error)) from error
    if qtype in _TRANSFERS:
        raise InvalidQuestionError("a zone transfer is no question about a name")
    return Question(text, name, qtype)


def _completed(text: str, name: Name, origins: Sequence[Name]) -> Name:
    """Return a relative name below the first zone, and any other as it is. Raises `InvalidNameError`."""
    parts = labels(name)
    if not parts or not origins:
        return name
    if parts[-1] in _KINDS:
        return from_text(text, origins[0])
    ports = 2 if parts[0].startswith(b"_") else 0
    if len(parts) - ports <= _SHORT:
        return from_text(f"{text}.svc", origins[0])
    return name


def _fitting_type(name: Name) -> int:
    """Return the type that is asked for where nobody says."""
    if reverse_address(name) is not None:
        return RRType.PTR
    return RRType.SRV if name[1:2] == b"_" else RRType.A
