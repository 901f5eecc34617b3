"""Domain names as canonical wire labels; no I/O.

Invariant: a `Name` is uncompressed wire form (RFC 1035, section 3.1) with A-Z folded to a-z, so names compare equal
exactly when the DNS says they are equal. Text is for people: a label may hold a dot, and text alone cannot tell
(RFC 2181, section 11).
"""

import re
from collections.abc import Iterable, Iterator
from typing import NewType

Name = NewType("Name", bytes)

ROOT = Name(b"\0")
MAX_NAME = 255  # octets, the root's included (RFC 1035, section 2.3.4)
MAX_LABEL = 63  # octets

_DNS1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ESCAPED = frozenset(b'.\\"();@$')
_HEX_DIGITS = "0123456789abcdef"


class InvalidNameError(ValueError):
    """A name or label that the DNS cannot carry."""


def from_labels(labels: Iterable[bytes], origin: Name = ROOT) -> Name:
    """Join labels, leftmost first, below `origin`.

    Raises `InvalidNameError` for an empty label, one over 63 octets, or a name over 255 octets.
    """
    return fold(_join(labels, origin))


def _join(labels: Iterable[bytes], origin: bytes) -> bytes:
    """Return the wire form of labels below `origin`, in the case they are in."""
    wire = bytearray()
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL:
            which = f": {label[:80]!r}" if label else ""
            raise InvalidNameError(f"a label has 1 to {MAX_LABEL} octets, not {len(label)}{which}")
        wire.append(len(label))
        wire += label
    wire += origin
    if len(wire) > MAX_NAME:
        raise InvalidNameError(f"a name has at most {MAX_NAME} octets, not {len(wire)}")
    return bytes(wire)


def fold(wire: bytes) -> Name:
    """Return the canonical form of an uncompressed wire name.

    Only ASCII letters fold (RFC 4343, section 3), as `bytes.lower` does; length octets are at most 63 and so are
    below every letter.
    """
    return Name(wire.lower())


def from_text(text: str, origin: Name = ROOT) -> Name:
    """Parse presentation format (RFC 1035, section 5.1): `\\.` and `\\DDD` escapes; a final dot is optional.

    Raises `InvalidNameError`. The text is below `origin` even where it ends in a dot; the empty text is the origin.
    """
    return fold(spelled_from_text(text, origin))


def spelled_from_text(text: str, origin: bytes = ROOT) -> bytes:
    """Parse presentation format like `from_text`, and keep the case: for names in RDATA that somebody spelled."""
    if text in ("", "."):
        return origin
    parts = split_text(text)
    return _join(parts if parts[-1] else parts[:-1], origin)


def split_text(text: str) -> tuple[bytes, ...]:
    """Split presentation format at its dots; the last part is empty after a final one, as all of the empty text is.

    Raises `InvalidNameError` for escapes that are none.
    """
    parts: list[bytes] = []
    current = bytearray()
    for octet, escaped in _unescape(text):
        if octet == 0x2E and not escaped:
            parts.append(bytes(current))
            current.clear()
        else:
            current.append(octet)
    return (*parts, bytes(current))


def _unescape(text: str) -> Iterator[tuple[int, bool]]:
    """Yield each octet of a presentation-format name and whether it was escaped."""
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which YAML can spell
        raise InvalidNameError(f"not Unicode text: {text!r}") from error
    index = 0
    while index < len(raw):
        if raw[index] != 0x5C:
            yield raw[index], False
            index += 1
        elif (digits := raw[index + 1 : index + 4]).isdigit() and len(digits) == 3 and int(digits) < 256:
            yield int(digits), True
            index += 4
        elif index + 1 < len(raw) and not raw[index + 1 : index + 2].isdigit():
            yield raw[index + 1], True
            index += 2
        else:
            raise InvalidNameError(f"a backslash is followed by a character or three digits: {text!r}")


def to_text(name: bytes) -> str:
    """Return presentation format, absolute, with what is special escaped (RFC 4343, section 2.1)."""
    if name == ROOT:
        return "."
    return "".join(f"{label_to_text(label)}." for label in labels(name))


def label_to_text(label: bytes) -> str:
    """Return one label in presentation format."""
    return "".join(
        f"\\{chr(octet)}" if octet in _ESCAPED else chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"
        for octet in label
    )


def labels(name: bytes) -> tuple[bytes, ...]:
    """Split a wire name into its labels, leftmost first, without the root."""
    parts = []
    index = 0
    while length := name[index]:
        parts.append(name[index + 1 : index + 1 + length])
        index += 1 + length
    return tuple(parts)


def order_key(name: bytes) -> tuple[bytes, ...]:
    """Return what names are sorted by: a name before all that is below it (RFC 4034, section 6.1)."""
    return labels(name)[::-1]


def join(label: bytes, above: Name) -> Name:
    """Return the name of a canonical label below a name; the two are known to fit."""
    return Name(bytes((len(label),)) + label + above)


def parent(name: Name) -> Name:
    """Return the name without its first label; the root is its own parent."""
    return Name(name[1 + name[0] :]) if name[0] else name


def ancestors(name: Name, origin: Name) -> Iterator[Name]:
    """Yield the names strictly between `name` and `origin`, nearest first; `name` is below `origin`."""
    while len(name := parent(name)) > len(origin):
        yield name


def is_at_or_below(name: Name, origin: Name) -> bool:
    """Say whether `name` is `origin` or below it, by whole labels (never by text suffix)."""
    rest = len(name) - len(origin)
    if rest < 0 or not name.endswith(origin):
        return False
    index = 0
    while index < rest:
        index += 1 + name[index]
    return index == rest


def intersection(one: Name, other: Name) -> Name | None:
    """Return the name whose subtree two subtrees have in common; None where they have nothing."""
    if is_at_or_below(one, other):
        return one
    return other if is_at_or_below(other, one) else None


def is_dns1123_label(text: str) -> bool:
    """Say whether Kubernetes takes this text as a label (RFC 1123, lower case, 1 to 63 characters)."""
    return _DNS1123_LABEL.fullmatch(text) is not None


def reverse_name(address: bytes) -> Name:
    """Return the PTR owner of a packed IPv4 (4 octets) or IPv6 (16 octets) address (RFC 1035, 3.5; RFC 3596, 2.5)."""
    if len(address) == 4:
        return from_labels((str(octet).encode() for octet in reversed(address)), _IN_ADDR)
    return from_labels((digit.encode() for digit in reversed(address.hex())), _IP6)


def reverse_address(name: Name) -> bytes | None:
    """Return the packed address whose PTR owner is `name`; None for any other name, partial ones included."""
    parts = labels(name)
    if len(parts) == 6 and parts[4:] == labels(_IN_ADDR):
        octets = [_decimal_octet(part) for part in parts[:4]]
        return bytes(octet for octet in reversed(octets) if octet is not None) if None not in octets else None
    if len(parts) == 34 and parts[32:] == labels(_IP6):
        digits = "".join(part.decode("latin-1") for part in reversed(parts[:32]))
        return bytes.fromhex(digits) if all(digit in _HEX_DIGITS for digit in digits) and len(digits) == 32 else None
    return None


def _decimal_octet(label: bytes) -> int | None:
    """Return the value of an IPv4 octet as a reverse name spells it, without leading zeros."""
    if label.isdigit() and len(label) <= 3 and (value := int(label)) < 256 and str(value).encode() == label:
        return value
    return None


_IN_ADDR = from_labels((b"in-addr", b"arpa"))
_IP6 = from_labels((b"ip6", b"arpa"))
