"""The TSIG record in octets, and what its MAC is made of (RFC 8945); no I/O."""

import struct

import msgspec

from dnsserver.records import RRClass, RRType
from dnsserver.wire.format import HEADER_SIZE, RECORD, MalformedMessageError, read_name

_TIME = struct.Struct("!HIH")  # 48 bits of time signed, fudge
_END = struct.Struct("!HHH")  # original ID, error, length of other data
_SHORT = struct.Struct("!H")


class Tsig(msgspec.Struct, frozen=True, gc=False):
    """A TSIG record (RFC 8945, section 4.2); names in the case they came in."""

    key: bytes  # uncompressed wire form
    algorithm: bytes  # likewise
    time: int  # Unix time, when the message was signed
    fudge: int  # seconds that clocks may differ
    original_id: int
    mac: bytes = b""
    error: int = 0
    other: bytes = b""


def read_tsig(wire: bytes, owner: int, start: int, end: int) -> Tsig:
    """Return the TSIG whose owner begins at `owner`, with its RDATA from `start` to `end`.

    Raises `MalformedMessageError`.
    """
    try:
        key, _ = read_name(wire, owner, {})
        algorithm, index = read_name(wire[:end], start, {})
    except MalformedMessageError:
        raise MalformedMessageError("a name in TSIG is broken") from None
    try:
        high, low, fudge = _TIME.unpack_from(wire, index)
        (size,) = _SHORT.unpack_from(wire, index + _TIME.size)
        mac_end = index + _TIME.size + _SHORT.size + size
        original_id, error, other_size = _END.unpack_from(wire, mac_end)
    except struct.error:
        raise MalformedMessageError("TSIG is cut short") from None
    rest = mac_end + _END.size
    if rest + other_size != end:
        raise MalformedMessageError("TSIG is cut short or too long")
    mac = wire[mac_end - size : mac_end]
    return Tsig(key, algorithm, high << 32 | low, fudge, original_id, mac, error, wire[rest:end])


def encode_tsig(tsig: Tsig) -> bytes:
    """Return the whole record; names are not compressed (RFC 8945, section 4.2)."""
    rdata = b"".join(
        (
            tsig.algorithm,
            _times(tsig),
            _SHORT.pack(len(tsig.mac)),
            tsig.mac,
            _END.pack(tsig.original_id, tsig.error, len(tsig.other)),
            tsig.other,
        )
    )
    return tsig.key + RECORD.pack(RRType.TSIG, RRClass.ANY, 0, len(rdata)) + rdata


def digest_input(message: bytes, tsig: Tsig, before: bytes, *, timers_only: bool = False) -> bytes:
    """Return what the MAC of a message is made of (RFC 8945, section 4.3).

    `message` has no TSIG; `before` is the MAC of the query, or of the message before, empty for a query. Of a message
    that is not the first of many the times alone count (section 5.3.1).
    """
    parts = [_SHORT.pack(len(before)), before] if before else []
    parts += [_SHORT.pack(tsig.original_id), message[2:]]
    if timers_only:
        return b"".join((*parts, _times(tsig)))
    names = tsig.key.lower() + struct.pack("!HI", RRClass.ANY, 0) + tsig.algorithm.lower()
    return b"".join((*parts, names, _times(tsig), struct.pack("!HH", tsig.error, len(tsig.other)), tsig.other))


def _times(tsig: Tsig) -> bytes:
    return _TIME.pack(tsig.time >> 32, tsig.time & 0xFFFFFFFF, tsig.fudge)


def without_last(wire: bytes, start: int) -> bytes:
    """Return a message without its last additional record, which begins at an index."""
    count = int.from_bytes(wire[10:HEADER_SIZE], "big") - 1
    return wire[:10] + _SHORT.pack(count) + wire[HEADER_SIZE:start]
