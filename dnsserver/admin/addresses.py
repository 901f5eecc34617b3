"""Listen addresses as a Corefile writes them, `HOST:PORT`; no I/O."""

from typing import NamedTuple


class InvalidAddressError(ValueError):
    """A listen address that cannot be one; the text says what was expected."""


class Address(NamedTuple):
    """Where to listen; the empty host is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse `:8080`, `localhost:9153`, `127.0.0.1:8181` or `[::1]:9153`.

    Raises `InvalidAddressError`. The host is not looked up here; names of services instead of ports are not taken.
    """
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        raise InvalidAddressError(f"address {text}: missing port in address, expecting [HOST]:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidAddressError(f"address {text}: too many colons in address, expecting [IPv6]:PORT")
    if any(character in "[]/ " for character in host):
        raise InvalidAddressError(f"address {text}: unexpected character in the host, expecting [HOST]:PORT")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise InvalidAddressError(f"address {text}: invalid port, expecting a number from 0 to 65535")
    return Address(host, int(port))
