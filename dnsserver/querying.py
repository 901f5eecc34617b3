"""`dnsserver query`: one question to any server, for where there is no dig, such as this server's own image."""

import argparse
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnsserver.message import Edns, Query
from dnsserver.names import InvalidNameError, fold, spelled_from_text
from dnsserver.records import Rcode, RRType
from dnsserver.upstream.endpoint import Endpoint, InvalidTargetError, parse_target
from dnsserver.wire import (
    TC,
    MalformedMessageError,
    ParsedResponse,
    Question,
    encode_query,
    message_to_text,
    parse_response,
    rdata_to_text,
    text_to_type,
)

EPILOG = """The words may be in any order:
  dnsserver query @10.96.0.53 web.db.shop.svc.vm.example.org
  dnsserver query @10.96.0.53 -p 1053 vm.example.org SOA +tcp
  dnsserver query @dnsserver.dns.svc web.db.shop.svc.vm.example.org AAAA +short
  dnsserver query web.db.shop.svc.vm.example.org      asks the first name server of /etc/resolv.conf

Exit codes: 0 for an answer, which may be that there is no such name; 1 for none, or for a failure such as SERVFAIL or
REFUSED; 2 for a wrong command line.
"""
_PORT = 53
_TRIES = 3  # over UDP, where a datagram may be lost
_EDNS = Edns(1232)
_RESOLV_CONF = Path("/etc/resolv.conf")
_ANSWERS = (Rcode.NOERROR, Rcode.NXDOMAIN)


class UsageError(ValueError):
    """Words that are no question; the text says what was expected."""


class NoAnswerError(Exception):
    """Nobody answered; the text says who was asked, and how."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of whom."""

    server: str  # an address, or a name that this machine's resolver knows; empty for the resolver itself
    name: bytes  # wire form, as it was spelled
    rrtype: int = RRType.A
    tcp: bool = False
    short: bool = False


def add_arguments(parser: argparse.ArgumentParser, port: Callable[[str], int]) -> None:
    """Add what follows `query`; `port` parses a port number."""
    parser.add_argument("words", nargs="+", metavar="WORD", help="[@SERVER] NAME [TYPE] [+tcp] [+short]")
    parser.add_argument("-p", "--port", metavar="N", type=port, default=_PORT, help="the server's port (53)")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=2.0, help="of each try (2); UDP has three")


def parse_words(words: Sequence[str]) -> Request:
    """Return what the words ask for. Raises `UsageError`."""
    servers = [word[1:] for word in words if word.startswith("@")]
    flags = {word for word in words if word.startswith("+")}
    rest = [word for word in words if word[0:1] not in ("@", "+")]
    if unknown := sorted(flags - {"+tcp", "+short"}):
        raise UsageError(f"unknown flag {unknown[0]}, expecting +tcp or +short")
    if len(servers) > 1 or "" in servers:
        raise UsageError("expecting one @SERVER, or none for that of /etc/resolv.conf")
    if len(rest) not in (1, 2):
        raise UsageError("expecting NAME and perhaps TYPE")
    try:
        name = spelled_from_text(rest[0])
    except InvalidNameError as error:
        raise UsageError(f"{rest[0]!r} is not a name: {error}") from error
    try:
        rrtype = text_to_type(rest[1]) if rest[1:] else RRType.A
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Request("".join(servers), name, rrtype, "+tcp" in flags, "+short" in flags)


def ask(request: Request, port: int, timeout: float) -> tuple[int, str]:
    """Ask, and return an exit code and a text. Raises `NoAnswerError`."""
    server = request.server or resolver()
    try:
        found = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:  # the latter for what no name can be
        raise NoAnswerError(f"{server}: {_reason(error)}") from error
    family, address = found[0][0], found[0][4]
    query = Query(
        id=secrets.randbelow(1 << 16),
        qname=request.name,
        name=fold(request.name),
        qtype=request.rrtype,
        recursion_desired=True,  # as dig does: the server may be one that only forwards
        edns=_EDNS,
    )
    started = time.monotonic()
    transport = "TCP" if request.tcp else "UDP"
    try:
        wire, response = _exchange(family, address, query, timeout, tcp=request.tcp)
        if response.flags & TC and not request.tcp:
            transport = "TCP"
            wire, response = _exchange(family, address, query, timeout, tcp=True)
    except (OSError, MalformedMessageError) as error:
        raise NoAnswerError(f"no answer from {address[0]} port {port} over {transport}: {_reason(error)}") from error
    code = 0 if response.rcode in _ANSWERS else 1
    if request.short:
        return code, "".join(f"{rdata_to_text(one.rrtype, one.rdata)}\n" for one in response.answer)
    milliseconds = (time.monotonic() - started) * 1000
    last = f";; {len(wire)} octets from {address[0]}#{port} over {transport} in {milliseconds:.1f} ms\n"
    return code, f"{message_to_text(wire).rstrip()}\n\n{last}"


def resolver(path: Path = _RESOLV_CONF) -> str:
    """Return the address of the first name server that this machine asks. Raises `NoAnswerError`."""
    try:
        found = parse_target(str(path), lambda _: path.read_text())
    except InvalidTargetError as error:
        raise NoAnswerError(str(error)) from error
    return next(one.host for one in found if isinstance(one, Endpoint))  # a file names nothing else


def _reason(error: Exception) -> str:
    """Say what went wrong, without the number of the error."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _exchange(
    family: int, address: tuple[object, ...], query: Query, timeout: float, *, tcp: bool
) -> tuple[bytes, ParsedResponse]:
    """Return the response. Raises `OSError` and `MalformedMessageError`."""
    for last in (False,) * (0 if tcp else _TRIES - 1) + (True,):
        try:
            wire = (_over_tcp if tcp else _over_udp)(family, address, query, timeout)
        except TimeoutError:
            if last:
                raise
        else:
            return wire, parse_response(wire)
    raise AssertionError("the last try returns or raises")


def _over_udp(family: int, address: tuple[object, ...], query: Query, timeout: float) -> bytes:
    """Send one datagram; return the first that answers it."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(encode_query(query))
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            wire = sock.recv(65535)
            if _answers(wire, query):
                return wire
    raise TimeoutError


def _over_tcp(family: int, address: tuple[object, ...], query: Query, timeout: float) -> bytes:
    """Ask over a connection."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(address)
        wire = encode_query(query)
        sock.sendall(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", _read(sock, 2))
        answer = _read(sock, size)
    if not _answers(answer, query):
        raise MalformedMessageError("it answers another question")
    return answer


def _read(sock: socket.socket, size: int) -> bytes:
    """Read so many octets. Raises `OSError`."""
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the connection was closed")
        data += chunk
    return data


def _answers(wire: bytes, query: Query) -> bool:
    """Say whether a message has the query's ID and question; an error may come without the question."""
    try:
        response = parse_response(wire)
    except MalformedMessageError:
        return False
    asked = (Question(query.qname, query.qtype, query.qclass),)
    return response.id == query.id and (response.question == asked or (not response.question and response.rcode != 0))
