"""Addresses of servers that are known by name."""

import ipaddress
from collections.abc import Sequence

import pytest

from dnsserver.message import Reply
from dnsserver.names import from_text
from dnsserver.records import RRset, RRType
from dnsserver.upstream import UpstreamError, resolve, system_addresses
from dnsserver.wire import encode_reply, parse_query
from tests.upstream.support import answering, question, refusing, serving

HOST = "dns.example.org"
ADDRESSES = {RRType.A: ("10.0.0.1", "10.0.0.2"), RRType.AAAA: ("2001:db8::1",)}


def respond(wire: bytes, _protocol: str) -> Sequence[bytes]:
    """Answer with an alias, the addresses, and an address of the wrong length."""
    query = parse_query(wire)
    packed = tuple(ipaddress.ip_address(text).packed for text in ADDRESSES[RRType(query.qtype)])
    alias = RRset(query.name, RRType.CNAME, 5, (from_text("other.example"),))
    addresses = RRset(from_text("other.example"), query.qtype, 5, (*packed, b"what"[: query.qtype % 4]))
    return (encode_reply(query, Reply(answer=(alias, addresses)), limit=512),)


async def test_resolvers() -> None:
    """The first resolver that knows any counts; both types are asked for, with recursion."""
    async with serving(respond) as good, serving(answering(Reply(rcode=3))) as empty:
        with refusing() as refused:
            found = await resolve(HOST, (refused, empty.endpoint, good.endpoint, empty.endpoint))
    assert found == ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
    assert [(one.name, one.qtype, one.recursion_desired) for one in good.queries()] == [
        (from_text(HOST), RRType.A, True),
        (from_text(HOST), RRType.AAAA, True),
    ]


async def test_nothing_found() -> None:
    """No addresses, an answer to something else, and a resolver that is not there."""
    wrong = encode_reply(question("other.example"), Reply(), limit=512)
    message = f'^failed to resolve "{HOST}": no addresses found for "{HOST}"'
    for answer in (answering(Reply(rcode=3)), lambda wire, protocol: (wire[:2] + wrong[2:],)):
        async with serving(answer) as server:
            with pytest.raises(UpstreamError, match=f"{message}$"):
                await resolve(HOST, (server.endpoint,))
    with refusing() as refused, pytest.raises(UpstreamError, match=f"{message}: read udp .*: connection refused$"):
        await resolve(HOST, (refused,))


async def test_system() -> None:
    """Without resolvers the system is asked."""

    async def system(name: str) -> Sequence[str]:
        if name != HOST:
            raise UpstreamError(f"lookup {name}: unknown")
        return ("10.0.0.9",)

    assert await resolve(HOST, (), system) == ("10.0.0.9",)
    with pytest.raises(UpstreamError, match=r'^failed to resolve "x": no addresses found for "x": lookup x: unknown$'):
        await resolve("x", (), system)


async def test_system_itself() -> None:
    """The name is asked for as it is, without a search list; a host that does not exist is an error in words."""
    asked: list[str] = []

    async def getaddrinfo(host: str, *_args: object, **_options: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host.startswith("missing"):
            raise OSError(-2, "Name or service not known")
        return [(2, 2, 17, "", ("10.0.0.1", 0)), (2, 1, 6, "", ("10.0.0.1", 0)), (10, 2, 17, "", ("::1", 0, 0, 0))]

    assert await system_addresses("a.example", getaddrinfo) == ("10.0.0.1", "::1")
    with pytest.raises(UpstreamError, match=r"^lookup missing\.example\.: Name or service not known$"):
        await system_addresses("missing.example.", getaddrinfo)
    assert asked == ["a.example.", "missing.example."]
