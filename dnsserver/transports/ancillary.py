"""What the kernel knows of a datagram beside its octets: when it came, and which address was asked.

See ip(7), ipv6(7) and socket(7). The numbers are those of Linux. Where an option is refused, its knowledge is missing,
and everything else works.
"""

import socket
import struct
from typing import TypeAlias

ControlMessages: TypeAlias = list[tuple[int, int, bytes]]  # level, type, data

# Python's socket module names few of these: IP_PKTINFO since 3.14, the others never.
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
SO_TIMESTAMPNS = 35
SO_MEMINFO = 55

_TIMESPEC = struct.Struct("@ll")  # seconds, nanoseconds
_PKTINFO4 = 12  # octets: ipi_ifindex, ipi_spec_dst, ipi_addr
_PKTINFO6 = 20  # octets: ipi6_addr, ipi6_ifindex
_MEMINFO = struct.Struct("@9I")  # the last is how many datagrams were dropped because the receive buffer was full

SPACE = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_PKTINFO6)  # octets of both kinds


def want_arrivals(sock: socket.socket) -> bool:
    """Have the kernel tell when each datagram came; say whether it will."""
    return _switch_on(sock, socket.SOL_SOCKET, SO_TIMESTAMPNS)


def want_destinations(sock: socket.socket) -> bool:
    """Have the kernel tell to which address each datagram was sent; say whether it will."""
    if sock.family == socket.AF_INET6:
        return _switch_on(sock, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
    return _switch_on(sock, socket.IPPROTO_IP, IP_PKTINFO)


def _switch_on(sock: socket.socket, level: int, option: int) -> bool:
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def arrival(messages: ControlMessages) -> float | None:
    """Return when a datagram came, as Unix time; None where it is not known."""
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return None


def sender(messages: ControlMessages) -> ControlMessages:
    """Return what makes a response leave from the address that was asked; nothing where the kernel has to choose.

    The interface is not handed back: routes decide which way a response takes, and that need not be the way that its
    query came. Only a link-local address means nothing without its interface.
    """
    for level, kind, data in messages:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) == _PKTINFO4:
            # ipi_spec_dst is the address asked, or for a broadcast the interface's own
            return [(level, kind, bytes(4) + data[4:8] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == _PKTINFO6:
            if data[0] == 0xFF:
                return []  # nothing can be sent from a multicast address
            link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return [(level, kind, data if link_local else data[:16] + bytes(4))]
    return []


def sender_address(messages: ControlMessages) -> bytes | None:
    """Return the packed address in what `sender` returned."""
    for level, _, data in messages:
        return data[4:8] if level == socket.IPPROTO_IP else data[:16]
    return None


def kernel_drops(sock: socket.socket) -> int | None:
    """Return how many datagrams the kernel has dropped (32 bits, it wraps), mostly for want of room; None: unknown."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return None
    return int(_MEMINFO.unpack(found)[-1]) if len(found) == _MEMINFO.size else None
