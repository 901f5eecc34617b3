"""Service parameters of SVCB and HTTPS records from their text (RFC 9460, section 2.1); no I/O."""

import binascii
import re
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

_MANDATORY, _ALPN, _NO_DEFAULT_ALPN = 0, 1, 2
_KEYS = {
    "mandatory": _MANDATORY,
    "alpn": _ALPN,
    "no-default-alpn": _NO_DEFAULT_ALPN,
    "port": 3,
    "ipv4hint": 4,
    "ech": 5,
    "ipv6hint": 6,
    "dohpath": 7,  # RFC 9461
    "ohttp": 8,  # RFC 9540
}
_FLAGS = frozenset({_NO_DEFAULT_ALPN, 8})  # keys without a value
_NUMBERED = re.compile(r"key(0|[1-9][0-9]{0,4})")
_ESCAPE = re.compile(rb"\\(?:([0-9]{3})|([^0-9]))", re.DOTALL)
_ITEM = re.compile(rb"(?:[^,\\]|\\[\\,])*")


class SvcbTextError(ValueError):
    """Text that is not a list of service parameters."""


def service_parameters(words: Sequence[str]) -> bytes:
    """Return the wire form of `KEY=VALUE` words, in the order of their keys; raises `SvcbTextError`."""
    values: dict[int, bytes] = {}
    for word in words:
        name, given, text = word.partition("=")
        key = _key(name)
        if key in values:
            raise SvcbTextError(f"parameter '{name}' is given twice")
        if key in _FLAGS and given:
            raise SvcbTextError(f"parameter '{name}' takes no value")
        if key in _VALUES and not text:
            raise SvcbTextError(f"parameter '{name}' needs a value")
        try:
            values[key] = _VALUES.get(key, unescape)(text)
        except (ValueError, UnicodeEncodeError) as error:
            raise SvcbTextError(f"parameter '{name}' cannot be '{text[:100]}': {error}") from error
    _check(values)
    return b"".join(struct.pack("!HH", key, len(values[key])) + values[key] for key in sorted(values))


def unescape(text: str) -> bytes:
    """Return the octets of a character string, its escapes resolved (RFC 1035, section 5.1); raises `ValueError`."""
    raw = text.encode()
    found = bytearray()
    at = 0
    while at < len(raw):
        if raw[at] != 0x5C:
            found.append(raw[at])
            at += 1
            continue
        escape = _ESCAPE.match(raw, at)
        if escape is None or int(escape[1] or 0) > 255:
            raise ValueError("a backslash is followed by a character or three digits up to 255")
        found += escape[2] or bytes((int(escape[1]),))
        at = escape.end()
    return bytes(found)


def _key(name: str) -> int:
    if name in _KEYS:
        return _KEYS[name]
    numbered = _NUMBERED.fullmatch(name)
    if numbered is None or int(numbered[1]) >= 0xFFFF:
        raise SvcbTextError(f"'{name[:100]}' is not a service parameter, expecting KEY=VALUE")
    return int(numbered[1])


def _check(values: dict[int, bytes]) -> None:
    """Raise `SvcbTextError` where the parameters contradict one another, or do not fit."""
    mandatory = {key for (key,) in struct.iter_unpack("!H", values.get(_MANDATORY, b""))}
    if not mandatory <= values.keys() - {_MANDATORY}:
        raise SvcbTextError("a mandatory parameter is missing")
    if _NO_DEFAULT_ALPN in values and _ALPN not in values:
        raise SvcbTextError("no-default-alpn needs alpn")
    if any(len(value) > 0xFFFF for value in values.values()):
        raise SvcbTextError("a service parameter has at most 65535 octets")


def _items(text: str) -> list[bytes]:
    """Return the items of a comma-separated list, which has escapes of its own (RFC 9460, appendix A.1)."""
    raw = unescape(text)
    items, at = [], 0
    while True:
        found = _ITEM.match(raw, at)
        assert found is not None  # noqa: S101  # the pattern may be empty: it fits any octets
        items.append(re.sub(rb"\\(.)", rb"\1", found[0]))
        if not items[-1]:
            raise ValueError("an item of the list is empty")
        at = found.end() + 1
        if found.end() == len(raw):
            return items
        if raw[found.end()] != 0x2C:
            raise ValueError("a backslash is followed by a comma or a backslash")


def _alpn(text: str) -> bytes:
    found = b""
    for item in _items(text):
        if len(item) > 255:
            raise ValueError("a protocol has at most 255 octets")
        found += bytes((len(item),)) + item
    return found


def _mandatory(text: str) -> bytes:
    keys = sorted(_key(name) for name in text.split(","))
    if len(set(keys)) < len(keys):
        raise ValueError("a key is listed twice")
    return b"".join(struct.pack("!H", key) for key in keys)


def _port(text: str) -> bytes:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 0xFFFF):
        raise ValueError("expecting a number from 0 to 65535")
    return struct.pack("!H", int(text))


def _ipv4_hint(text: str) -> bytes:
    return b"".join(IPv4Address(one).packed for one in text.split(","))


def _ipv6_hint(text: str) -> bytes:
    if "%" in text:
        raise ValueError("an address has no zone index")
    return b"".join(IPv6Address(one).packed for one in text.split(","))


def _ech(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


_VALUES: dict[int, Callable[[str], bytes]] = {
    _MANDATORY: _mandatory,
    _ALPN: _alpn,
    3: _port,
    4: _ipv4_hint,
    5: _ech,
    6: _ipv6_hint,
}
