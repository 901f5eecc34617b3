"""Where another server is: the words after `forward FROM`, to addresses; no I/O.

What they may say follows CoreDNS 1.14.7, plugin/pkg/parse and plugin/forward/resolve.go.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from dnsserver.names import InvalidNameError, from_text

MAX_PORT = 65535
DOH_PATH = "/dns-query"  # RFC 8484, section 4.1.1 leaves it open; this is what everybody uses

_PORTS = {"dns": 53, "tls": 853, "https": 443}
_OTHER_SCHEMES = ("grpc", "quic", "https3")  # what CoreDNS knows, but not as a destination
_COMMENT = (";", "#")


class InvalidTargetError(ValueError):
    """Words that name no server to forward to; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to ask."""

    scheme: str  # "dns", "tls" or "https"
    host: str  # IP address; an IPv6 one without brackets, a link-local one with its scope
    port: int
    server_name: str = ""  # what its certificate has to be for; empty is its address
    path: str = DOH_PATH  # of https

    @property
    def address(self) -> str:
        """What metrics and errors call it: `10.0.0.1:53`, `[::1]:53`."""
        return join(self.host, self.port)


@dataclass(frozen=True, slots=True)
class HostName:
    """A server that is known by name; its addresses are looked up when serving starts."""

    scheme: str  # "dns" or "tls"
    name: str
    port: int
    server_name: str = ""

    def at(self, address: str) -> Endpoint:
        """Return the endpoint at one of its addresses."""
        return Endpoint(self.scheme, address, self.port, self.server_name)


Target = Endpoint | HostName


def join(host: str, port: int) -> str:
    """Return host and port with brackets around an IPv6 address (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_target(text: str, read: Callable[[str], str]) -> tuple[Target, ...]:
    """Return what one word of `forward`'s TO stands for: an address, a host name, or a file's name servers.

    `read` returns the text of a file and raises `OSError` or `ValueError` where there is none. Raises
    `InvalidTargetError`.
    """
    scheme, rest = _split_scheme(text)
    if scheme in _OTHER_SCHEMES:
        raise InvalidTargetError(f"'{scheme}' is not supported as a destination protocol in forward: {text}")
    if (endpoint := _endpoint(scheme, rest)) is not None:
        return (endpoint,)
    if (servers := _name_servers(rest, read)) is not None:
        return servers
    if (host := _host_name(scheme, rest)) is not None:
        return (host,)
    raise InvalidTargetError(f'not an IP address, file, or valid domain: "{text}"')


def parse_address(text: str, port: int) -> Endpoint:
    """Return the endpoint of `IP[:PORT]`, with `port` where it names none; raises `InvalidTargetError`."""
    parts = _split(text)
    if parts is None or not _is_address(parts[0]) or parts[1]:
        raise InvalidTargetError(f'not an IP address or IP:port: "{text}"')
    return Endpoint("dns", parts[0], parts[2] if parts[2] is not None else port)


def _split_scheme(text: str) -> tuple[str, str]:
    """Return the scheme, `dns` where there is none that is known, and the rest."""
    scheme, found, rest = text.partition("://")
    if found and (scheme in _PORTS or scheme in _OTHER_SCHEMES):
        return scheme, rest
    return "dns", text


def _endpoint(scheme: str, text: str) -> Endpoint | None:
    """Return the endpoint of `IP[%NAME][:PORT]`, for https also with a path; None for anything else."""
    slash = text.find("/") if scheme == "https" else -1
    path = text[slash:] if slash >= 0 else DOH_PATH
    parts = _split(text[:slash] if slash >= 0 else text)
    if parts is None or not _is_address(parts[0]):
        return None
    host, zone, port = parts
    if port is None:
        port = _PORTS[scheme]
    if scheme != "dns":
        return Endpoint(scheme, host, port, zone, path)
    if zone and ":" not in host:
        return None
    return Endpoint(scheme, f"{host}%{zone}" if zone else host, port)


def _split(text: str) -> tuple[str, str, int | None] | None:
    """Return host, what follows its `%`, and the port, None without one; None where a port or bracket is broken."""
    zone = colon = port = ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        host, _, zone = host.partition("%")
        if rest.startswith("%") and not zone:
            zone, colon, port = rest[1:].partition(":")
        else:
            colon, port = rest[:1], rest[1:]
        if not bracket or colon not in ("", ":"):
            return None
    elif "%" in text:
        host, _, rest = text.partition("%")
        zone, colon, port = rest.partition(":")
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    else:
        host = text
    if not colon:
        return host, zone, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= MAX_PORT):
        return None
    return host, zone, int(port)


def _is_address(text: str) -> bool:
    """Say whether text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _name_servers(path: str, read: Callable[[str], str]) -> tuple[Endpoint, ...] | None:
    """Return the name servers of a file like resolv.conf(5), None where there is no such file.

    As for the C library, a line that names no address counts for nothing.
    """
    try:
        text = read(path)
    except (OSError, ValueError):
        return None
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and not line.startswith(_COMMENT):
            host, _, zone = words[1].partition("%")
            if _is_address(host) and (not zone or ":" in host):
                servers.append(Endpoint("dns", words[1], _PORTS["dns"]))
    if not servers:
        raise InvalidTargetError(f"no nameservers found in {path}")
    return tuple(servers)


def _host_name(scheme: str, text: str) -> HostName | None:
    """Return the host name in `NAME[%SERVERNAME][:PORT]`, None for what is no domain name."""
    parts = _split(text)
    if parts is None or scheme == "https" or "/" in text:
        return None
    name, zone, port = parts
    try:
        from_text(name)
    except (InvalidNameError, UnicodeEncodeError):
        return None
    if not name or ":" in name or (zone and scheme != "tls"):
        return None
    return HostName(scheme, name, port if port is not None else _PORTS[scheme], zone)
