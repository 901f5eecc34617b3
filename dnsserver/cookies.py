"""DNS cookies (RFC 7873), made so that every server with the same secret knows them (RFC 9018); no I/O.

No query is refused for its cookie. A client that has seen one can tell our responses from forged ones, and has proven
its address when it sends ours back.
"""

from functools import lru_cache
from hmac import compare_digest

OPTION = 10  # EDNS option code (RFC 7873, section 4)
SECRET_SIZE = 16  # octets

_CLIENT = 8  # octets of a client cookie
_HEAD = 16  # octets of client cookie, version, reserved octets and timestamp
_WHOLE = 24  # octets of a client cookie and a server cookie of ours
_SIZES = frozenset((_CLIENT, *range(16, 41)))  # octets of client and server cookie (RFC 7873, section 4)
_VERSION = b"\1\0\0\0"  # and three octets reserved (RFC 9018, section 4.1)
_RENEWED = 1800  # seconds after which a cookie is made afresh (RFC 9018, section 4.3)
_ACCEPTED = 3600  # seconds after which it proves nothing any more (same section)
_AHEAD = 300  # seconds that another server's clock may be before ours

_MASK = 2**64 - 1
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def is_malformed(data: bytes) -> bool:
    """Say whether an option's data has a length that no cookie has: FORMERR (RFC 7873, section 5.2.2)."""
    return len(data) not in _SIZES


def reply_cookie(data: bytes, address: bytes, secret: bytes, now: int) -> bytes:
    """Return what the COOKIE option of a response holds: the client's cookie, then the server's.

    `data` is the query's option, `address` the client's, packed, `now` the Unix time in seconds. A good cookie is
    returned as it is until it is half an hour old.
    """
    if _is_ours(data, address, secret, now, _RENEWED):
        return data
    head = data[:_CLIENT] + _VERSION + (now & 0xFFFFFFFF).to_bytes(4, "big")
    return head + siphash(secret, head + address)


def proves_address(data: bytes, address: bytes, secret: bytes, now: int) -> bool:
    """Say whether who sent a COOKIE option receives what is sent to its address (RFC 7873, section 5.2.4).

    The arguments are those of `reply_cookie`; any data is taken. A cookie is a proof for an hour, longer than it is
    kept, so that a client that asks seldom has one.
    """
    return _is_ours(data, address, secret, now, _ACCEPTED)


def _is_ours(data: bytes, address: bytes, secret: bytes, now: int, seconds: int) -> bool:
    """Say whether a server with this secret made the cookie for this client, less than `seconds` ago."""
    if len(data) != _WHOLE or data[_CLIENT] != _VERSION[0]:
        return False
    made = int.from_bytes(data[_HEAD - 4 : _HEAD], "big")
    age = (now - made + _AHEAD) % 2**32  # serial number arithmetic (RFC 1982)
    return age < seconds + _AHEAD and compare_digest(siphash(secret, data[:_HEAD] + address), data[_HEAD:])


@lru_cache(maxsize=4096)  # a client shows the same cookie again and again, and this takes 20 us
def siphash(key: bytes, message: bytes) -> bytes:
    """Return SipHash-2-4 (Aumasson and Bernstein, 2012): a key of 16 octets, a hash of 8, little-endian."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (_START[0] ^ low, _START[1] ^ high, _START[2] ^ low, _START[3] ^ high)
    whole = len(message) & ~7
    words = [int.from_bytes(message[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(message[whole:], "little") | (len(message) & 0xFF) << 56)
    for word in words:
        a, b, c, d = _rounds(2, *state[:3], state[3] ^ word)
        state = (a ^ word, b, c, d)
    a, b, c, d = _rounds(4, *state[:2], state[2] ^ 0xFF, state[3])
    return (a ^ b ^ c ^ d).to_bytes(8, "little")


def _rounds(count: int, a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """Return the four words of the state after some rounds."""
    for _ in range(count):
        a = a + b & _MASK
        b = (b << 13 | b >> 51) & _MASK ^ a
        a = (a << 32 | a >> 32) & _MASK
        c = c + d & _MASK
        d = (d << 16 | d >> 48) & _MASK ^ c
        a = a + d & _MASK
        d = (d << 21 | d >> 43) & _MASK ^ a
        c = c + b & _MASK
        b = (b << 17 | b >> 47) & _MASK ^ c
        c = (c << 32 | c >> 32) & _MASK
    return a, b, c, d
