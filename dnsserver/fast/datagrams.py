"""A datagram that the compiled loop leaves to the event loop, as `socket.recvmsg` would return it."""

import socket
import struct
import sys

from dnsserver.fast.layout import WAITING

Peer = tuple[str, int] | tuple[str, int, int, int]
Datagram = tuple[bytes, Peer, list[tuple[int, int, bytes]]]  # data, from whom, control messages

_FAMILY = struct.Struct("=H")
_PORT4 = struct.Struct("!H4s")
_PORT6 = struct.Struct("!HI16s")
_HEAD = struct.Struct("@Nii")  # of a control message: its length with this, level, type
_ALIGNED = 8  # octets


def datagram(octets: bytes) -> Datagram:
    """Return what a `struct waiting` has."""
    _, name, length, control = WAITING.unpack_from(octets)
    return octets[WAITING.size :], _peer(name), _messages(control[:length])


def _peer(octets: bytes) -> Peer:
    """Return a socket address."""
    (family,) = _FAMILY.unpack_from(octets)
    if family == socket.AF_INET:
        port, address = _PORT4.unpack_from(octets, 2)
        return socket.inet_ntop(family, address), port
    port, flow, address = _PORT6.unpack_from(octets, 2)
    return socket.inet_ntop(family, address), port, flow, int.from_bytes(octets[24:28], sys.byteorder)


def _messages(octets: bytes) -> list[tuple[int, int, bytes]]:
    """Return control messages: level, type, data."""
    found, at = [], 0
    while at + _HEAD.size <= len(octets):
        length, level, kind = _HEAD.unpack_from(octets, at)
        if length < _HEAD.size:
            break
        found.append((level, kind, octets[at + _HEAD.size : at + length]))
        at += length + -length % _ALIGNED
    return found
