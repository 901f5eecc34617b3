"""One question as octets to a server, and its answer as octets back."""

import socket
import struct
from contextlib import suppress
from typing import Self

import msgspec

from dnsserver.message import Edns, Query
from dnsserver.names import fold, from_text
from dnsserver.records import RRType
from dnsserver.wire import MalformedMessageError, encode_query, parse_response

_AUTHENTICATED = 0x20  # the AD bit in the fourth octet (RFC 4035, section 3.1.6)


class Question(msgspec.Struct, frozen=True):
    """A query and how it is sent."""

    qname: bytes  # in the case it is asked in
    qtype: int
    tcp: bool = False
    edns: int | None = None  # octets of a UDP answer, as advertised; None is a query without EDNS
    dnssec_ok: bool = False
    recursion_desired: bool = False
    checking_disabled: bool = False
    authentic: bool = False  # the AD bit: the client understands it (RFC 6840, section 5.7)

    def encode(self, number: int) -> bytes:
        """Return the message with this ID."""
        edns = None if self.edns is None else Edns(self.edns, dnssec_ok=self.dnssec_ok)
        wire = bytearray(
            encode_query(
                Query(
                    number,
                    self.qname,
                    fold(self.qname),
                    self.qtype,
                    recursion_desired=self.recursion_desired,
                    checking_disabled=self.checking_disabled,
                    edns=edns,
                )
            )
        )
        wire[3] |= _AUTHENTICATED if self.authentic else 0
        return bytes(wire)


class Asker:
    """Asks one server, over one UDP socket and one TCP connection; a context manager."""

    def __init__(self, port: int, *, patience: float = 3.0, attempts: int = 3) -> None:
        self._address = ("127.0.0.1", port)
        self._patience = patience  # seconds
        self._attempts = attempts
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.connect(self._address)
        self._datagrams.settimeout(patience)
        self._stream: socket.socket | None = None
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._datagrams.close()
        self._close()

    def ask(self, question: Question) -> bytes | None:
        """Return the answer; None where there is none."""
        self._number = self._number % 0xFFFF + 1
        wire = question.encode(self._number)
        for _ in range(self._attempts):
            with suppress(OSError):
                answer = self._over_tcp(wire) if question.tcp else self._over_udp(wire)
                if answer[:2] == wire[:2]:
                    return answer
            self._close()
        return None

    def _over_udp(self, wire: bytes) -> bytes:
        self._datagrams.send(wire)
        while True:
            answer = self._datagrams.recv(65_535)
            if answer[:2] == wire[:2]:  # what comes late belongs to an earlier query
                return answer

    def _over_tcp(self, wire: bytes) -> bytes:
        if self._stream is None:
            self._stream = socket.create_connection(self._address, timeout=self._patience)
        self._stream.sendall(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", self._read(self._stream, 2))
        return self._read(self._stream, size)

    @staticmethod
    def _read(stream: socket.socket, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = stream.recv(size - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return bytes(data)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def soa_serial(asker: Asker, zone: str) -> int | None:
    """Return the serial that a server has of a zone; None where it does not serve it, or not yet."""
    answer = asker.ask(Question(from_text(zone), RRType.SOA))
    if answer is None:
        return None
    with suppress(MalformedMessageError):
        records = [record for record in parse_response(answer).answer if record.rrtype == RRType.SOA]
        if records:
            return int.from_bytes(records[0].rdata[-20:-16], "big")
    return None
