"""Control messages, as octets."""

import socket
import struct

import pytest

from dnsserver.transports import ancillary
from dnsserver.transports.ancillary import ControlMessages, arrival, sender, sender_address

FOUR = (socket.IPPROTO_IP, ancillary.IP_PKTINFO)
SIX = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
STAMP = (socket.SOL_SOCKET, ancillary.SO_TIMESTAMPNS, struct.pack("@ll", 1_700_000_000, 250_000_000))


def four(interface: int, local: str, asked: str) -> bytes:
    """Return a struct in_pktinfo."""
    return struct.pack("@i", interface) + socket.inet_aton(local) + socket.inet_aton(asked)


def six(address: str, interface: int) -> bytes:
    """Return a struct in6_pktinfo."""
    return socket.inet_pton(socket.AF_INET6, address) + struct.pack("@i", interface)


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        # The interface stays out of it: the route back may be another.
        ((*FOUR, four(7, "192.0.2.1", "192.0.2.1")), (*FOUR, four(0, "192.0.2.1", "0.0.0.0"))),
        ((*FOUR, four(7, "192.0.2.1", "192.0.2.255")), (*FOUR, four(0, "192.0.2.1", "0.0.0.0"))),
        ((*SIX, six("2001:db8::1", 7)), (*SIX, six("2001:db8::1", 0))),
        ((*SIX, six("fe80::1", 7)), (*SIX, six("fe80::1", 7))),
        ((*SIX, six("febf::1", 7)), (*SIX, six("febf::1", 7))),
        ((*SIX, six("fec0::1", 7)), (*SIX, six("fec0::1", 0))),
        ((*SIX, six("ff02::1", 7)), None),
        ((*FOUR, b"short"), None),
        ((*SIX, b"short"), None),
        (STAMP, None),
    ],
)
def test_sender(received: tuple[int, int, bytes], sent: tuple[int, int, bytes] | None) -> None:
    """A response leaves from the address that was asked, by whatever way its routes lead."""
    for messages in ([received], [STAMP, received]):
        assert sender(messages) == ([] if sent is None else [sent])


@pytest.mark.parametrize(
    ("messages", "packed"),
    [
        ([(*FOUR, four(7, "192.0.2.1", "192.0.2.1"))], bytes((192, 0, 2, 1))),
        ([(*SIX, six("fe80::1", 7))], socket.inet_pton(socket.AF_INET6, "fe80::1")),
        ([], None),
    ],
)
def test_sender_address(messages: ControlMessages, packed: bytes | None) -> None:
    """Which address that is."""
    assert sender_address(sender(messages)) == packed


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([STAMP], 1_700_000_000.25),
        ([(*FOUR, four(7, "192.0.2.1", "192.0.2.1")), STAMP], 1_700_000_000.25),
        ([], None),
        ([(STAMP[0], STAMP[1], b"short")], None),
    ],
)
def test_arrival(messages: ControlMessages, expected: float | None) -> None:
    """Unix time where it is known."""
    assert arrival(messages) == expected
