"""One server: its protocols, its connections, its health."""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from dnsserver.message import Edns, Reply
from dnsserver.names import from_text
from dnsserver.records import Rcode, RRType
from dnsserver.upstream import Endpoint, Settings, Upstream, UpstreamError, client_context
from dnsserver.upstream.upstream import _DialTimeout
from tests.transports.support import eventually
from tests.upstream.support import (
    HANG_UP,
    Observed,
    Server,
    address_reply,
    answering,
    question,
    refusing,
    server_side,
    serving,
    silent,
)
from tests.upstream.test_https import https

ANSWER = answering(address_reply("10.0.0.1"))
QUERY = question(edns=Edns(4096, dnssec_ok=True, options=((3, b""),)), recursion_desired=True, checking_disabled=True)


@contextlib.asynccontextmanager
async def upstream(
    where: Server | Endpoint, settings: Settings | None = None, observed: Observed | None = None
) -> AsyncIterator[Upstream]:
    """Have a server asked."""
    endpoint = where.endpoint if isinstance(where, Server) else where
    asking = Upstream(endpoint, settings or Settings(), observed or Observed(), source=random.Random(1))
    try:
        yield asking
    finally:
        await asking.close()


def tls(server: Server) -> Endpoint:
    return Endpoint("tls", server.endpoint.host, server.port)


async def test_protocols() -> None:
    """UDP or TCP as wanted; the query is the client's but for its ID, which is new each time."""
    observed = Observed()
    async with serving(ANSWER) as server, upstream(server, observed=observed) as asking:
        for tcp in (False, True, True):
            response = await asking.exchange(QUERY, tcp=tcp)
            assert response.answer[0].rdata == b"\x0a\0\0\1"
    assert server.protocols == ["udp", "tcp", "tcp"]
    assert len(server.writers) == 1
    assert len({query.id for query in server.queries()} | {QUERY.id}) == 4
    for query in server.queries():
        assert (query.qname, query.edns, query.recursion_desired, query.checking_disabled) == (
            QUERY.qname,
            QUERY.edns,
            True,
            True,
        )
    assert observed.events == [
        ("opened", "udp"),
        ("answered", Rcode.NOERROR),
        ("opened", "tcp"),
        ("answered", Rcode.NOERROR),
        ("reused", "tcp"),
        ("answered", Rcode.NOERROR),
    ]


async def test_tls(certificates: Path) -> None:
    """TLS whatever is wanted, on one connection."""
    observed = Observed()
    settings = Settings(context=client_context([certificates / "one.crt"]))
    context = server_side(certificates)
    async with serving(ANSWER, tls=context) as server, upstream(tls(server), settings, observed) as asking:
        for tcp in (False, True):
            assert (await asking.exchange(QUERY, tcp=tcp)).rcode == Rcode.NOERROR
    assert [event for event in observed.events if event[0] != "answered"] == [
        ("opened", "tcp-tls"),
        ("reused", "tcp-tls"),
    ]
    assert len(server.writers) == 1


async def test_https(certificates: Path) -> None:
    """HTTPS with the ID 0; its health is asked the same way."""
    asked: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(wire := await request.read())
        return web.Response(body=ANSWER(wire, "tcp")[0])

    settings = Settings(context=client_context([certificates / "one.crt"]))
    async with https(handle, server_side(certificates)) as endpoint, upstream(endpoint, settings) as asking:
        assert (await asking.exchange(QUERY, tcp=False)).answer
        asking.check()
        await eventually(lambda: len(asked) == 2)
    assert [wire[:2] for wire in asked] == [b"\0\0", b"\0\0"]


async def test_closed_while_idle() -> None:
    """Connections that the server has closed in the meantime are replaced, and nobody hears of it."""
    observed = Observed()
    async with serving(ANSWER) as server, upstream(server, observed=observed) as asking:
        await asking.exchange(QUERY, tcp=True)
        await server.hang_up()
        assert (await asking.exchange(QUERY, tcp=True)).answer
        assert len(server.writers) == 2

        def hang_up_once(wire: bytes, protocol: str) -> Sequence[bytes]:
            server.respond = ANSWER
            return (HANG_UP,)

        server.respond = hang_up_once
        assert (await asking.exchange(QUERY, tcp=True)).answer
        assert len(server.writers) == 3
        server.respond = lambda wire, protocol: (HANG_UP,)
        with pytest.raises(UpstreamError, match=r"^EOF$"):
            await asking.exchange(QUERY, tcp=True)
    assert ("reused", "tcp") in observed.events


async def test_connections_that_are_not_kept() -> None:
    """A connection that failed, or that may have more to say after a transfer, serves nobody else."""
    async with serving(ANSWER) as server, upstream(server, Settings(read_timeout=0.05)) as asking:
        for qtype in (RRType.AXFR, RRType.A):
            await asking.exchange(question(qtype=qtype), tcp=True)
        assert len(server.writers) == 2
        server.respond = silent
        with pytest.raises(UpstreamError, match=r"i/o timeout$"):
            await asking.exchange(QUERY, tcp=True)
        server.respond = ANSWER
        await asking.exchange(QUERY, tcp=True)
        assert len(server.writers) == 3


@pytest.mark.parametrize("force_tcp", [False, True])
async def test_health(force_tcp: bool) -> None:
    """Any answer with the right ID is a sign of life, however broken."""
    settings = Settings(
        force_tcp=force_tcp,
        check_interval=0,
        check_timeout=0.05,
        check_name=from_text("health.example"),
        check_recursion=False,
    )
    observed = Observed()
    async with serving(silent) as server, upstream(server, settings, observed) as asking:
        assert not asking.is_down(1)
        asking.check()
        await eventually(lambda: asking.is_down(1))
        assert not asking.is_down(0)
        assert observed.events[0] == ("check_failed", server.endpoint.address)
        server.respond = lambda wire, protocol: (wire[:12] + b"broken",)
        await eventually(lambda: not asking.is_down(1))
    query = server.queries()[0]
    assert (query.name, query.qtype, query.recursion_desired) == (from_text("health.example"), RRType.NS, False)
    assert set(server.protocols) == {"tcp" if force_tcp else "udp"}


async def test_health_over_tls(certificates: Path) -> None:
    """Health is asked for over the protocol of the questions."""
    settings = Settings(context=client_context([certificates / "one.crt"]), check_interval=0)
    refusal = answering(Reply(rcode=Rcode.REFUSED))
    async with serving(refusal, tls=server_side(certificates)) as server, upstream(tls(server), settings) as asking:
        asking.check()
        await eventually(lambda: server.asked)
    with refusing() as endpoint:
        async with upstream(Endpoint("tls", endpoint.host, endpoint.port), settings) as asking:
            asking.check()
            await eventually(lambda: asking.is_down(2))


def test_dial_timeout() -> None:
    """From 30 seconds down to 1, twice what it has taken of late."""
    dial = _DialTimeout()
    assert dial.timeout == 30.0
    for _ in range(8):
        dial.observe(0.0)
    assert 2.0 < dial.timeout < 4.0
    for _ in range(8):
        dial.observe(0.0)
    assert dial.timeout == 1.0
    dial.observe(100.0)
    assert dial.timeout == 30.0
