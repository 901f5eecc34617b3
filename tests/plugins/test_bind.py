"""`bind`: addresses, interfaces, exceptions, refusals."""

import ipaddress
import re
import socket
import struct

import pytest

from dnsserver.plugins import bind
from dnsserver.plugins.bind import Bind, interface_addresses
from tests.plugins.conftest import parse, refusal

MACHINE = {
    "lo": ("127.0.0.1", "::1"),
    "eth0": ("192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::1%eth0"),
    "down0": (),
}


@pytest.fixture
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the same interfaces."""
    monkeypatch.setattr(bind, "interface_addresses", lambda: MACHINE)


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("bind 127.0.0.1", ("127.0.0.1",)),
        ("bind 127.0.0.1 ::1", ("127.0.0.1", "::1")),
        ("bind 2001:DB8:0::1", ("2001:db8::1",)),
        ("bind 0.0.0.0", ("0.0.0.0",)),
        ("bind lo", ("127.0.0.1", "::1")),
        ("bind eth0", MACHINE["eth0"]),
        ("bind lo 127.0.0.1 lo", ("127.0.0.1", "::1")),
        ("bind ::1\nbind 127.0.0.1", ("::1", "127.0.0.1")),
        ("bind lo {\nexcept 127.0.0.1\n}", ("::1",)),
        ("bind lo eth0 {\nexcept lo 192.0.2.1\nexcept fe80::1%eth0\n}", ("192.0.2.2", "2001:db8::1")),
        ("bind lo {\nexcept ::1\n}\nbind ::1", ("127.0.0.1", "::1")),  # an exception is its own directive's
    ],
)
def test_addresses(text: str, addresses: tuple[str, ...]) -> None:
    """All directives of a block are one plugin with all the addresses."""
    (plugin,) = parse("bind", text)
    assert isinstance(plugin, Bind)
    assert plugin.addresses == addresses


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bind", "expecting bind ADDRESS|INTERFACE..."),
        ("bind eth7", "not a valid IP address or interface name: 'eth7', expecting an address or one of down0, eth0"),
        ("bind 127.0.0.256", "not a valid IP address"),
        ("bind ns1.example.com", "not a valid IP address"),
        ("bind down0", "no address is left"),
        ("bind lo {\nexcept lo\n}", "no address is left"),
        ("bind lo {\nexcept\n}", "expecting except ADDRESS|INTERFACE..."),
        ("bind lo {\nexcept eth7\n}", "not a valid IP address"),
        ("bind lo {\nexclude ::1\n}", "unknown property 'exclude', expecting except"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal names plugin, file and line, and says what was expected."""
    error = refusal("bind", text)
    assert reason in error
    assert re.match(r"plugin/bind: Corefile:[23] - ", error)


def test_this_machine() -> None:
    """The loopback interface is found, and every address is one."""
    interfaces = interface_addresses()
    assert "127.0.0.1" in interfaces[socket.if_indextoname(1)]
    for addresses in interfaces.values():
        for address in addresses:
            ipaddress.ip_address(address)


def netlink(kind: int, body: bytes = b"") -> bytes:
    """Return one netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


ETH0 = struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 2)
LABEL = attribute(3, b"eth0\0")
PEER, OWN = attribute(1, bytes((10, 0, 0, 2))), attribute(2, bytes((10, 0, 0, 1)))


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        (ETH0 + LABEL + PEER + OWN, [(2, bytes((10, 0, 0, 1)))]),  # point to point: the own end
        (ETH0 + PEER, [(2, bytes((10, 0, 0, 2)))]),
        (ETH0 + LABEL, []),
        (struct.pack("=BBBBI", 17, 0, 0, 0, 2) + OWN, []),  # a family that is not IP
        (ETH0 + bytes(4) + OWN, []),  # an attribute of no length
    ],
)
def test_netlink(body: bytes, addresses: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's answer is read message by message up to its end."""
    answer(monkeypatch, netlink(99, bytes(8)) + netlink(20, body), netlink(3))
    assert list(bind._dump_addresses()) == addresses


def test_netlink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that refuses is an error."""
    answer(monkeypatch, netlink(2, bytes(4)))
    with pytest.raises(OSError, match="refused"):
        list(bind._dump_addresses())


def test_interface_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that went away between two questions is left out."""
    monkeypatch.setattr(bind, "_dump_addresses", lambda: iter([(2**30, b"1234")]))
    assert set(interface_addresses()) == {name for _, name in socket.if_nameindex()}


def answer(monkeypatch: pytest.MonkeyPatch, *datagrams: bytes) -> None:
    """Let the next netlink socket receive these datagrams."""
    received = iter(datagrams)

    class Netlink(socket.socket):
        """A socket of another family that only seems to talk to the kernel."""

        def __init__(self, *_arguments: int) -> None:
            super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)

        def bind(self, address: object) -> None:
            pass

        def sendto(self, *arguments: object) -> int:
            return 0

        def recv(self, *arguments: int) -> bytes:
            return next(received)

    monkeypatch.setattr(socket, "socket", Netlink)


def test_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lists no interfaces is a refusal, not a crash."""

    def fail() -> dict[str, tuple[str, ...]]:
        raise OSError("not permitted")

    monkeypatch.setattr(bind, "interface_addresses", fail)
    assert "failed to get interfaces list: not permitted" in refusal("bind", "bind lo")
