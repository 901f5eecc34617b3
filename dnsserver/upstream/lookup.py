"""The addresses of a server that is known by name, looked up once, when serving starts."""

import asyncio
import ipaddress
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dnsserver.message import Query
from dnsserver.names import from_text
from dnsserver.records import RRType
from dnsserver.upstream.endpoint import Endpoint
from dnsserver.upstream.errors import UpstreamError
from dnsserver.upstream.response import is_answer, read_response
from dnsserver.upstream.udp import exchange_udp
from dnsserver.wire import encode_query

Lookup = Callable[[str], Awaitable[Sequence[str]]]
GetAddresses = Callable[..., Awaitable[Sequence[tuple[Any, ...]]]]  # the event loop's getaddrinfo

_TIMEOUT = 2.0  # seconds for each question


async def system_addresses(name: str, getaddrinfo: GetAddresses | None = None) -> Sequence[str]:
    """Return a host's addresses as the system knows them; the name is absolute: no search list is applied.

    Raises `UpstreamError`.
    """
    ask = getaddrinfo or asyncio.get_running_loop().getaddrinfo
    try:
        found = await ask(name if name.endswith(".") else f"{name}.", None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise UpstreamError(f"lookup {name}: {error.strerror}") from error
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def resolve(
    name: str,
    resolvers: Sequence[Endpoint],
    system: Lookup = system_addresses,
    source: random.Random | None = None,
) -> Sequence[str]:
    """Return the addresses of a host, from the first resolver that has any, or the system's where none is given.

    Raises `UpstreamError` where there are none.
    """
    fault = ""
    try:
        if not resolvers and (addresses := await system(name)):
            return addresses
    except UpstreamError as error:
        fault = f": {error}"
    for resolver in resolvers:
        found: list[str] = []
        try:
            for rrtype in (RRType.A, RRType.AAAA):
                found += await _ask(resolver, name, rrtype, source or random.SystemRandom())
        except UpstreamError as error:
            fault = f": {error}"
        if found:
            return found
    raise UpstreamError(f'failed to resolve "{name}": no addresses found for "{name}"{fault}')


async def _ask(resolver: Endpoint, name: str, rrtype: RRType, source: random.Random) -> list[str]:
    """Return the addresses of one type in a resolver's answer, aliases followed by it."""
    qname = from_text(name)
    query = Query(source.getrandbits(16), qname, qname, rrtype, recursion_desired=True)
    response = read_response(await exchange_udp(resolver, encode_query(query), _TIMEOUT), datagram=True)
    octets = 4 if rrtype == RRType.A else 16
    if not is_answer(query, response):
        return []
    return [
        str(ipaddress.ip_address(record.rdata))
        for record in response.answer
        if record.rrtype == rrtype and len(record.rdata) == octets
    ]
