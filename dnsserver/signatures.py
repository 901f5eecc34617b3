"""Transaction signatures (RFC 8945): whether a query's is right, and those of its responses; no I/O, no clock.

A message is taken apart before anything else looks at it: what follows sees an ordinary query and who signed it, and
its responses are signed when they are whole.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from dnsserver.message import Transport
from dnsserver.names import Name, fold, from_text
from dnsserver.records import Rcode
from dnsserver.responder import refusal
from dnsserver.wire import Tsig, append_record, digest_input, encode_tsig, split_tsig

FUDGE = 300  # seconds (RFC 8945, section 10)
BADSIG, BADTIME = 16, 18  # errors in a TSIG (RFC 8945, section 3)

# (hash, octets of the MAC, and how many of them there must be) (RFC 8945, sections 6 and 5.2.2.1); those of MD5 and
# SHA-1 are weak and left out
ALGORITHMS: Mapping[Name, tuple[str, int, int]] = {
    from_text("hmac-sha224"): ("sha224", 28, 14),
    from_text("hmac-sha256"): ("sha256", 32, 16),
    from_text("hmac-sha256-128"): ("sha256", 16, 16),
    from_text("hmac-sha384"): ("sha384", 48, 24),
    from_text("hmac-sha384-192"): ("sha384", 24, 24),
    from_text("hmac-sha512"): ("sha512", 64, 32),
    from_text("hmac-sha512-256"): ("sha512", 32, 32),
}
DEFAULT_ALGORITHM = from_text("hmac-sha256")


@dataclass(frozen=True, slots=True)
class Key:
    """A shared secret; never printed."""

    name: Name
    secret: bytes
    algorithm: Name | None = None  # the only one that it is for; None: any of `ALGORITHMS`

    def __repr__(self) -> str:
        """Return the name alone."""
        return f"Key({self.name!r})"


Keys = Mapping[Name, Key]
Clock = Callable[[], float]  # the Unix time


class WrongSignatureError(Exception):
    """A message that is not signed as it says; `error` is what its TSIG response says, 0 for FORMERR alone."""

    def __init__(self, error: int) -> None:
        super().__init__(f"TSIG error {error}")
        self.error = error


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs messages that answer one another: each MAC is made of the one before."""

    key: Key
    algorithm: Name
    before: bytes = b""  # the MAC of the message that is answered

    @property
    def size(self) -> int:
        """How many octets a signature adds to a message."""
        return len(encode_tsig(self._tsig(0, 0))) + ALGORITHMS[self.algorithm][1]

    def sign(self, message: bytes, now: float) -> tuple[bytes, bytes]:
        """Return the message with its signature, and the MAC."""
        return self._signed(message, self._tsig(int.from_bytes(message[:2], "big"), now))

    def sign_error(self, message: bytes, query: Tsig, error: int, other: bytes) -> bytes:
        """Return an error response, signed; it repeats the query's time (RFC 8945, section 5.2.3)."""
        tsig = self._tsig(int.from_bytes(message[:2], "big"), query.time)
        return self._signed(message, msgspec.structs.replace(tsig, fudge=query.fudge, error=error, other=other))[0]

    def sign_all(self, messages: Iterable[bytes], clock: Clock) -> Iterator[bytes]:
        """Yield each message with its signature (RFC 8945, section 5.3.1); empty octets, a pause, as they are."""
        before, first = self.before, True
        for message in messages:
            if not message:
                yield message
                continue
            tsig = self._tsig(int.from_bytes(message[:2], "big"), clock())
            signed, before = replace(self, before=before)._signed(message, tsig, timers_only=not first)
            first = False
            yield signed

    def check(self, wire: bytes, now: float) -> bytes | None:
        """Return a response without its signature; None where that is not of this key, or not right."""
        split = split_tsig(wire)
        if split is None:
            return None
        message, tsig = split
        if fold(tsig.key) != self.key.name or fold(tsig.algorithm) != self.algorithm or tsig.error:
            return None
        try:
            _verify(message, tsig, self.key, now, self.before)
        except WrongSignatureError:
            return None
        return message

    def _tsig(self, ident: int, now: float) -> Tsig:
        return Tsig(self.key.name, self.algorithm, int(now), FUDGE, ident)

    def _signed(self, message: bytes, tsig: Tsig, *, timers_only: bool = False) -> tuple[bytes, bytes]:
        mac = _mac(self.key, self.algorithm, digest_input(message, tsig, self.before, timers_only=timers_only))
        return append_record(message, encode_tsig(msgspec.structs.replace(tsig, mac=mac))), mac


@dataclass(frozen=True, slots=True)
class Signed:
    """A query whose signature is right."""

    message: bytes  # without it
    signer: Signer  # of the responses


def take_apart(wire: bytes, transport: Transport, keys: Keys, now: float) -> Signed | bytes | None:
    """Return a signed query, or the response to one whose signature is wrong.

    None is for a message that is not signed, and for one that is broken or of a key that is not known: `receive` says
    the same of these wherever no key is known.
    """
    split = split_tsig(wire)
    if split is None or wire[2] & 0x80:
        return None
    message, tsig = split
    key, algorithm = keys.get(fold(tsig.key)), fold(tsig.algorithm)
    if key is None or algorithm not in ALGORITHMS or key.algorithm not in (None, algorithm):
        return None
    signer = Signer(key, algorithm, tsig.mac)
    try:
        _verify(message, tsig, key, now, b"")
    except WrongSignatureError as error:
        return _refuse(message, transport, tsig, signer, error.error, now)
    return Signed(message, signer)


def _verify(message: bytes, tsig: Tsig, key: Key, now: float, before: bytes) -> None:
    """Raise `WrongSignatureError` unless a message is signed with the key, and was lately."""
    algorithm = fold(tsig.algorithm)
    _, size, least = ALGORITHMS[algorithm]
    if not least <= len(tsig.mac) <= size:
        raise WrongSignatureError(0)
    mac = _mac(key, algorithm, digest_input(message, tsig, before))
    if not hmac.compare_digest(mac[: len(tsig.mac)], tsig.mac):
        raise WrongSignatureError(BADSIG)
    if abs(now - tsig.time) > tsig.fudge:
        raise WrongSignatureError(BADTIME)


def _refuse(message: bytes, transport: Transport, tsig: Tsig, signer: Signer, error: int, now: float) -> bytes:
    """Return the response to a query with a wrong signature (RFC 8945, section 5.2)."""
    response = refusal(message, transport, Rcode.NOTAUTH if error else Rcode.FORMERR)
    if error == BADTIME:
        return signer.sign_error(response, tsig, error, int(now).to_bytes(6, "big"))
    if not error:
        return response
    return append_record(response, encode_tsig(msgspec.structs.replace(tsig, mac=b"", error=error, other=b"")))


def _mac(key: Key, algorithm: Name, data: bytes) -> bytes:
    hash_name, size, _ = ALGORITHMS[algorithm]
    return hmac.digest(key.secret, data, hash_name)[:size]
