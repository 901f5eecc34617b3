"""`cache`: what is kept, for how long, what a hit is like, expired entries, popular ones, options, metrics."""

import asyncio
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from prometheus_client.core import Metric

from dnsserver import corefile
from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import ROOT, from_text, spelled_from_text
from dnsserver.plugins.cache import Cache
from dnsserver.plugins.cache import parse as parse_cache
from dnsserver.plugins.caching.counts import Counts
from dnsserver.plugins.caching.entry import Entry, Key
from dnsserver.plugins.caching.options import Limits, Options, Prefetch, Stale
from dnsserver.plugins.caching.refresh import Refreshes
from dnsserver.plugins.caching.store import Store
from dnsserver.plugins.caching.verdict import Kind, answers_question, judge, ttl_of
from dnsserver.plugins.plugin import Context, PluginError, Request
from dnsserver.records import Rcode, RRset, RRType, Soa
from dnsserver.wire import encode_reply, parse_response
from tests.harness import get, question, serving
from tests.plugins.conftest import DNSSEC, SERVER, World, parse, refusal, request, rrset, until

WWW = "www.example.com"
EXAMPLE = from_text("example.com")
TARGET = from_text("target.example.net")
NOW = 1_800_000_000  # Unix time
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "manifests"


def soa(ttl: int, minimum: int = 86400) -> RRset:
    """Return a SOA RRset."""
    rdata = Soa(EXAMPLE, EXAMPLE, 1, 7200, 1800, 86400, minimum).rdata()
    return RRset(EXAMPLE, RRType.SOA, ttl, (rdata,))


def found(ttl: int = 60, address: str = "192.0.2.1") -> Reply:
    """Return a positive reply."""
    return Reply(answer=(rrset(WWW, RRType.A, address, ttl=ttl),), origin=EXAMPLE)


def nxdomain(ttl: int = 60) -> Reply:
    """Return a denial."""
    return Reply(rcode=Rcode.NXDOMAIN, authority=(soa(ttl),))


def alias(*targets: bytes, ttl: int = 60) -> RRset:
    """Return the alias of the name asked for."""
    return RRset(from_text(WWW), RRType.CNAME, ttl, targets)


def signature(expiration: int, inception: int) -> RRset:
    """Return an RRSIG with these times."""
    return RRset(from_text(WWW), RRType.RRSIG, 60, (struct.pack("!HBBIIIH", 1, 8, 2, 60, expiration, inception, 1),))


NS = rrset("example.com", RRType.NS, "ns", ttl=60)
SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)
NODATA = Reply(authority=(soa(60),))
REFERRAL = Reply(authority=(NS,), authoritative=False)


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Upstream:
    """The rest of a chain: answers with `reply`, or raises it, once `gate` lets it."""

    def __init__(self, reply: Reply | Exception) -> None:
        self.reply = reply
        self.seen: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, asked: Request) -> Reply:
        self.seen.append(asked)
        await self.gate.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


class Bench:
    """A cache with its clock and the rest of its chain."""

    def __init__(self, text: str = "cache", reply: Reply | Exception | None = None) -> None:
        (cache,) = parse("cache", text)
        assert isinstance(cache, Cache)
        self.clock = Clock()
        self.cache = Cache(cache.options, clock=self.clock, wall_clock=lambda: NOW)
        self.upstream = Upstream(found() if reply is None else reply)

    async def ask(self, asked: Request | None = None, *, after: float = 0.0) -> Reply:
        """Ask once more, some seconds later."""
        self.clock.now += after
        return await self.cache.handle(asked or request(), self.upstream)

    @property
    def asked(self) -> int:
        """How often the rest of the chain was asked."""
        return len(self.upstream.seen)

    @property
    def sizes(self) -> tuple[int, int]:
        """The entries of both stores."""
        return len(self.cache._success), len(self.cache._denial)

    @property
    def counts(self) -> Counts:
        """What was counted."""
        return self.cache._counts[SERVER]


def ttls(reply: Reply) -> set[int]:
    """Return every TTL of a reply."""
    return {one.ttl for one in (*reply.answer, *reply.authority, *reply.additional)}


def address(reply: Reply) -> str:
    """Return the one address of a reply."""
    return ".".join(map(str, reply.answer[0].rdatas[0]))


# What is kept, and for how long


KEPT = [  # options, reply, TTL that is sent, (entries of success, of denial)
    ("", found(60), 60, (1, 0)),
    ("", found(0), 5, (1, 0)),  # `ttl 0` is sent as 5
    ("", found(7200), 3600, (1, 0)),
    ("7200", found(7200), 7200, (1, 0)),
    ("30", found(28800), 30, (1, 0)),
    ("3", found(60), 3, (1, 0)),  # the maximum wins over the minimum
    ("", Reply(answer=(rrset(WWW, RRType.A, "192.0.2.1", ttl=60),), additional=(NS, soa(9))), 9, (1, 0)),
    ("", nxdomain(60), 60, (0, 1)),
    ("", nxdomain(7200), 1800, (0, 1)),
    ("", Reply(rcode=Rcode.NXDOMAIN, authority=(soa(60, minimum=20),)), 20, (0, 1)),
    ("30", nxdomain(60), 30, (0, 1)),
    ("", NODATA, 60, (0, 1)),
    ("", Reply(answer=(alias(TARGET),), authority=(soa(60),)), 60, (0, 1)),
    ("", Reply(answer=(alias(TARGET),)), 60, (0, 0)),  # an alias that leads nowhere
    ("", Reply(answer=(alias(TARGET), RRset(TARGET, RRType.A, 20, (b"\1\2\3\4",)))), 20, (1, 0)),
    ("", Reply(additional=(rrset(WWW, RRType.A, "192.0.2.1", ttl=0),)), 5, (1, 0)),  # plugin whoami
    ("", REFERRAL, 5, (1, 0)),
    ("", Reply(rcode=Rcode.NXDOMAIN, answer=(alias(TARGET),)), 60, (0, 0)),  # a denial without SOA
    ("", Reply(rcode=Rcode.SERVFAIL, authority=(soa(60),)), 5, (0, 1)),
    ("", Reply(rcode=Rcode.NOTIMP, authority=(soa(60),)), 5, (0, 1)),
    ("{\nservfail 1m\n}", Reply(rcode=Rcode.SERVFAIL, authority=(soa(90),)), 60, (0, 1)),
    ("{\nservfail 0s\n}", Reply(rcode=Rcode.SERVFAIL, authority=(soa(90),)), 0, (0, 0)),
    ("", Reply(rcode=Rcode.REFUSED, authority=(soa(60),)), 5, (0, 0)),
    ("", Reply(rcode=Rcode.FORMERR, authority=(soa(60),)), 5, (0, 0)),
    ("", Reply(answer=found().answer, truncated=True), 60, (0, 0)),
    ("{\nsuccess 5000 100 50\n}", found(20), 50, (1, 0)),
    ("{\nsuccess 5000 100 0\n}", found(0), 0, (0, 0)),
    ("{\ndenial 5000 100 50\n}", nxdomain(20), 50, (0, 1)),
    ("90 {\ndenial 5000 100\n}", nxdomain(120), 100, (0, 1)),
    ("90 {\ndenial 5000 100\n}", found(120), 90, (1, 0)),
    ("{\ndisable success\n}", found(7200), 3600, (0, 0)),
    ("{\ndisable success example.com\n}", nxdomain(), 60, (0, 1)),
    ("{\ndisable denial example.org example.com\n}", nxdomain(), 60, (0, 0)),
    ("{\ndisable denial\n}", SERVFAIL, None, (0, 0)),
    ("{\ndisable success example.org\n}", found(), 60, (1, 0)),
]


@pytest.mark.parametrize(("text", "reply", "ttl", "sizes"), KEPT)
async def test_kept(text: str, reply: Reply, ttl: int | None, sizes: tuple[int, int]) -> None:
    """Every record gets the shortest TTL within bounds, at once, and what may be kept is."""
    bench = Bench(f"cache {text}", reply)
    first = await bench.ask()
    assert ttls(first) == (set() if ttl is None else {ttl})
    assert (first.rcode, first.authoritative, first.truncated) == (reply.rcode, reply.authoritative, reply.truncated)
    assert bench.sizes == sizes
    second = await bench.ask()
    assert bench.asked == (1 if sum(sizes) else 2)
    assert ttls(second) == ttls(first)


async def test_transfers_and_silence_pass() -> None:
    """A transfer is not even looked at, and silence stays silence."""
    for qtype, reply in ((RRType.AXFR, Reply(stream=(soa(9000),))), (RRType.A, Reply(silent=True))):
        bench = Bench(reply=reply)
        assert await bench.ask(request(qtype=qtype)) is reply
        assert await bench.ask(request(qtype=qtype)) is reply
        assert bench.sizes == (0, 0)


async def test_errors_pass() -> None:
    """What a plugin could not do is not kept."""
    bench = Bench(reply=PluginError("forward", "no upstream"))
    for _ in range(2):
        with pytest.raises(PluginError):
            await bench.ask()
    assert (bench.asked, bench.sizes) == (2, (0, 0))


async def test_hit() -> None:
    """A hit is authoritative, counts its TTL down, keeps RDATA, and leaves out what belonged to one message."""
    reply = Reply(
        authoritative=False,
        recursion_available=True,
        answer=found(60).answer,
        authority=(soa(30),),
        extended_error=(3, "stale"),
        options=((3, b"id"),),
    )
    bench = Bench(reply=reply)
    first = await bench.ask()
    assert (first.authoritative, first.extended_error, first.options) == (False, (3, "stale"), ((3, b"id"),))
    for after, ttl in ((0, 30), (0.9, 30), (0.1, 29), (28.5, 1)):
        hit = await bench.ask(after=after)
        assert (hit.authoritative, hit.recursion_available, hit.extended_error, hit.options) == (True, True, None, ())
        assert ttls(hit) == {ttl}
        assert hit.authority[0].rdatas == reply.authority[0].rdatas  # with MINIMUM as it was
    assert await bench.ask() is await bench.ask()  # made once a second
    assert bench.asked == 1
    await bench.ask(after=0.5)
    assert bench.asked == 2


async def test_keepttl() -> None:
    """`keepttl` sends the TTL that the first one got."""
    bench = Bench("cache {\nkeepttl\n}", found(60))
    for after in (0, 10, 49):
        assert ttls(await bench.ask(after=after)) == {60}
    await bench.ask(after=1)
    assert bench.asked == 2


async def test_spelling() -> None:
    """A hit follows the spelling of its own question."""
    bench = Bench()
    for text in ("WWW.example.COM", "www.EXAMPLE.com"):
        asked = question(text)
        reply = await bench.ask(request(qname=asked.qname))
        response = parse_response(encode_reply(asked, reply, limit=512))
        assert response.answer[0].owner == spelled_from_text(text)
    assert bench.asked == 1


OTHERS = [
    request("WWW2.example.com"),
    request(qtype=RRType.AAAA),
    request(qclass=3),
    request(edns=DNSSEC),
    request(checking_disabled=True),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_key(other: Request) -> None:
    """Another name, type, class, DO or CD is another question; EDNS without DO, RD and the client are not."""
    bench = Bench()
    await bench.ask(request())
    await bench.ask(other)
    await bench.ask(request(edns=Edns(4096), recursion_desired=True, id=1))
    assert bench.asked == 2
    assert bench.counts.misses == 2


async def test_zones() -> None:
    """Names outside the zones pass, and are not counted."""
    bench = Bench("cache example.net sub.example.com", found(7200))
    assert await bench.ask() is bench.upstream.reply
    await bench.ask(request("a.sub.example.com"))
    assert bench.sizes == (0, 0)  # the answer was to another question
    assert bench.counts == Counts(requests=1, misses=1)


# Answers and denials side by side


async def test_denial_hides_answer() -> None:
    """The newer of an answer and a denial wins."""
    bench = Bench("cache {\nserve_stale\n}", found(10))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = nxdomain(10)
        await bench.ask(after=11)
        await until(lambda: bench.sizes == (1, 1))
        assert (await bench.ask()).rcode == Rcode.NXDOMAIN
        bench.upstream.reply = found(10)
        assert (await bench.ask(after=11)).rcode == Rcode.NXDOMAIN
        await until(lambda: bench.sizes == (1, 0))
        assert (await bench.ask()).rcode == Rcode.NOERROR


async def test_failure_hides_nothing() -> None:
    """A kept SERVFAIL is not sent while there is an answer."""
    bench = Bench()
    key: Key = (from_text(WWW), 1, 1, False, False)
    bench.cache._denial.put(key, Entry(SERVFAIL, 5, bench.clock.now, denies=True, answers=False))
    assert (await bench.ask()).rcode == Rcode.SERVFAIL
    bench.cache._success.put(key, Entry(found(), 4, bench.clock.now, denies=False, answers=True))
    assert (await bench.ask()).rcode == Rcode.NOERROR
    assert (await bench.ask(after=4)).rcode == Rcode.SERVFAIL


async def test_kept_failure_says_so() -> None:
    """A SERVFAIL that is repeated from the cache is told from one that an upstream has just said (RFC 8914, 4.14)."""
    bench = Bench(reply=msgspec.structs.replace(SERVFAIL, extended_error=(22, "of an upstream")))
    assert [(await bench.ask()).extended_error for _ in range(2)] == [(22, "of an upstream"), (13, "")]
    for reply in (NODATA, nxdomain(), Reply(rcode=Rcode.NOTIMP)):
        bench = Bench(reply=reply)
        assert [(await bench.ask()).extended_error for _ in range(2)] == [None, None]


async def test_failure_is_never_stale() -> None:
    """A SERVFAIL is over when its seconds are, whatever `serve_stale` says; a denial that is too old is gone."""
    bench = Bench("cache {\nserve_stale 10s\n}", SERVFAIL)
    await bench.ask()
    bench.upstream.reply = nxdomain(60)
    assert (await bench.ask(after=5)).rcode == Rcode.NXDOMAIN
    bench.upstream.reply = found()
    assert (await bench.ask(after=70)).rcode == Rcode.NOERROR


# Expired entries


STALE = [  # options, reply, seconds after its TTL, expected TTL
    ("serve_stale", found(60), 0, 0),
    ("serve_stale", found(60), 3599, 0),
    ("serve_stale 1h immediate 30s", found(60), 1, 30),
    ("serve_stale 1h IMMEDIATE 30s 10s", nxdomain(60), 1, 30),
    ("serve_stale 10s", nxdomain(60), 9, 0),
    ("serve_stale\nkeepttl", found(60), 1, 60),
    ("serve_stale 1h immediate 17s\nkeepttl", found(60), 1, 17),
    ("serve_stale 1h verify 0 45s", found(60), 1, 45),
]


@pytest.mark.parametrize(("text", "reply", "after", "ttl"), STALE)
async def test_stale_while_upstream_fails(text: str, reply: Reply, after: int, ttl: int) -> None:
    """While nothing can replace it, an expired entry goes on being served."""
    bench = Bench(f"cache {{\n{text}\n}}", reply)
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = PluginError("forward", "no upstream")
        stale = await bench.ask(after=60 + after)
        assert (stale.rcode, ttls(stale)) == (reply.rcode, {ttl})
        assert stale.extended_error == ((19, "") if reply.rcode == Rcode.NXDOMAIN else (3, ""))
        await until(lambda: bench.asked == 2)
        assert bench.counts.served_stale == 1
        bench.upstream.reply = SERVFAIL  # said by an upstream: it does not replace anything either
        assert (await bench.ask()).rcode == reply.rcode


async def test_stale_says_so() -> None:
    """Stale Answer or Stale NXDOMAIN (RFC 8914, sections 4.4 and 4.20) until something fresh has come, of any TTL."""
    for reply, error in ((found(5), (3, "")), (NODATA, (3, "")), (nxdomain(5), (19, ""))):
        bench = Bench("cache {\nserve_stale 1h immediate 5s\n}", reply)
        async with bench.cache._refreshes.running():
            assert ((await bench.ask()).extended_error, (await bench.ask()).extended_error) == (None, None)
            assert (await bench.ask(after=61)).extended_error == error
            await asyncio.gather(*bench.cache._refreshes._tasks)  # the refresh, which succeeds
            assert bench.asked == 2
            assert (await bench.ask()).extended_error is None


@pytest.mark.parametrize("text", ["", "serve_stale 0s", "serve_stale 10s"])
async def test_too_old(text: str) -> None:
    """Without `serve_stale`, and after its time, an expired entry is a miss."""
    bench = Bench(f"cache {{\n{text}\n}}", found(60))
    await bench.ask()
    bench.upstream.reply = nxdomain()
    assert (await bench.ask(after=70)).rcode == Rcode.NXDOMAIN
    assert bench.counts == Counts(requests=2, misses=2)


async def test_immediate() -> None:
    """The expired entry is served at once; the next one to come gets what replaced it."""
    bench = Bench("cache {\nserve_stale\n}", found(60))
    async with bench.cache._refreshes.running():
        await bench.ask(request(edns=Edns(600)))
        bench.upstream.reply = found(50, "192.0.2.2")
        bench.upstream.gate.clear()
        for _ in range(3):  # one attempt at a time
            assert address(await bench.ask(request(edns=Edns(600)), after=61)) == "192.0.2.1"
        bench.upstream.gate.set()
        await until(lambda: not bench.cache._refreshes._tasks)
        fresh = await bench.ask()
        assert (address(fresh), ttls(fresh), bench.asked) == ("192.0.2.2", {50}, 2)
        assert bench.upstream.seen[1].client.transport is Transport.TCP
        assert bench.upstream.seen[1].query == bench.upstream.seen[0].query
    assert bench.counts == Counts(
        requests=5, success_hits=4, misses=1, prefetches=1, served_stale=3, success_evictions=0
    )


@pytest.mark.parametrize("mode", ["verify", "verify 5s"])
async def test_verify(mode: str) -> None:
    """The upstream is asked first; everybody who comes meanwhile gets its answer."""
    bench = Bench(f"cache {{\nserve_stale 1h {mode}\n}}", found(60))
    tcp = request(client=Client("127.0.0.1", 1, Transport.TCP, SERVER))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = found(50, "192.0.2.2")
        bench.upstream.gate.clear()
        bench.clock.now += 61
        waiting = [asyncio.create_task(bench.ask(one)) for one in (tcp, request(), request())]
        await until(lambda: bench.asked == 2)
        waiting[0].cancel()  # a client that goes away takes nothing with it
        await asyncio.gather(waiting[0], return_exceptions=True)
        bench.upstream.gate.set()
        assert [address(reply) for reply in await asyncio.gather(*waiting[1:])] == ["192.0.2.2"] * 2
        bench.upstream.reply = nxdomain()
        assert (await bench.ask(after=51)).rcode == Rcode.NXDOMAIN
    assert bench.asked == 3
    assert (bench.counts.served_stale, bench.counts.prefetches) == (0, 0)


async def test_verify_timeout() -> None:
    """A slow upstream does not hold up the expired answer, and its own replaces it when it comes."""
    bench = Bench("cache {\nserve_stale 1h verify 1ms 30s\n}", found(60))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = found(50, "192.0.2.2")
        bench.upstream.gate.clear()
        stale = await bench.ask(after=61)
        assert (address(stale), ttls(stale)) == ("192.0.2.1", {30})
        bench.upstream.gate.set()
        await until(lambda: not bench.cache._refreshes._tasks)
        assert address(await bench.ask()) == "192.0.2.2"
    assert bench.asked == 2


NO_REPLACEMENT = [
    PluginError("forward", "no upstream"),
    SERVFAIL,
    Reply(rcode=Rcode.REFUSED),
    Reply(answer=found().answer, truncated=True),
    Reply(silent=True),
    Reply(answer=(*found().answer, signature(NOW - 1, NOW - 9))),
]


@pytest.mark.parametrize("mode", ["immediate", "verify 0s"])
@pytest.mark.parametrize("failure", NO_REPLACEMENT)
@pytest.mark.parametrize(("recheck", "expected"), [("30s", 2), ("0s", 4)])
async def test_recheck(mode: str, failure: Reply | Exception, recheck: str, expected: int) -> None:
    """After an attempt that failed there is none for a while; without RECHECK each query tries."""
    asked = request(edns=DNSSEC)
    bench = Bench(f"cache {{\nserve_stale 1h {mode} 5s {recheck}\n}}", found(60))
    async with bench.cache._refreshes.running():
        await bench.ask(asked)
        bench.upstream.reply = failure
        for after in (61, 0, 29):
            assert ttls(await bench.ask(asked, after=after)) == {5}
            await until(lambda: not bench.cache._refreshes._tasks)
        assert bench.asked == expected
        await bench.ask(asked, after=1)
        await until(lambda: bench.asked == expected + 1)


async def test_own_questions_do_not_wait() -> None:
    """A question that answering another one raises may be the one that is being verified: it is asked again."""
    bench = Bench("cache {\nserve_stale 1h verify\n}", found(60))
    inner = Request(request().query, request().client, ".", 0.0, depth=1)

    async def circle(asked: Request) -> Reply:
        if asked.depth:
            raise PluginError("", "the server asks itself in circles")
        return await bench.cache.handle(inner, circle)

    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.clock.now += 61
        assert address(await bench.cache.handle(request(), circle)) == "192.0.2.1"


async def test_faults_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of our own in the background does not go unseen."""
    bench = Bench("cache {\nserve_stale\n}", found(60))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = ZeroDivisionError("oops")
        await bench.ask(after=61)
        await until(lambda: "Recovered from a fault while refreshing www.example.com." in caplog.text)


async def test_bound() -> None:
    """There are only so many attempts at a time, and none once the cache has stopped."""
    bench = Bench("cache {\nserve_stale\n}", found(60))
    bench.cache._refreshes = Refreshes(limit=1)
    names = ("a.example.com", "b.example.com")
    bench.upstream.reply = Reply(authority=(soa(60),))
    for name in names:
        await bench.ask(request(name))
    bench.upstream.gate.clear()
    async with bench.cache._refreshes.running():
        for name in names:
            await bench.ask(request(name), after=40)
        await until(lambda: bench.asked == 3)
    assert not bench.cache._refreshes._tasks  # cancelled
    await bench.ask(request(names[1]))
    assert bench.asked == 3
    assert bench.counts.prefetches == 1


# `prefer_positive`


POLICY = "cache {\nserve_stale 1h %s\nserve_stale_policy prefer_positive\n}"


@pytest.mark.parametrize("mode", ["immediate", "verify"])
@pytest.mark.parametrize("reply", [nxdomain(), NODATA, SERVFAIL, Reply(), REFERRAL, Reply(answer=(alias(TARGET),))])
async def test_prefer_positive(mode: str, reply: Reply) -> None:
    """An old answer is rather sent than whatever is no answer; that is kept, and shows when the answer is too old."""
    bench = Bench(POLICY % mode, found(60))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = reply
        for after in (61, 1, 100):
            stale = await bench.ask(after=after)
            assert (address(stale), ttls(stale)) == ("192.0.2.1", {0})
            await until(lambda: not bench.cache._refreshes._tasks)
        bench.upstream.reply = found(60, "192.0.2.2")
        await bench.ask(after=1)
        await until(lambda: not bench.cache._refreshes._tasks)
        assert address(await bench.ask()) == "192.0.2.2"
        assert bench.sizes == (1, 0)


async def test_prefer_positive_ends() -> None:
    """An answer that is too old is gone, and a denial is served stale like any other."""
    bench = Bench(POLICY % "verify", found(60))
    async with bench.cache._refreshes.running():
        await bench.ask()
        bench.upstream.reply = nxdomain(60)
        assert (await bench.ask(after=3600)).rcode == Rcode.NOERROR
        assert (await bench.ask(after=60)).rcode == Rcode.NXDOMAIN
        assert ttls(await bench.ask(after=61)) == {60}  # a newer denial does replace a denial
        bench.upstream.reply = SERVFAIL
        assert ttls(await bench.ask(after=61)) == {0}


# Popular entries


async def test_prefetch() -> None:
    """An entry that is asked for often enough is replaced shortly before it expires, and stays popular."""
    bench = Bench("cache {\nprefetch 2 10s 20%\n}", found(60))
    async with bench.cache._refreshes.running():
        for after in (0, 40, 0, 7.9):  # the pause was too long, then there are 12.1 seconds left
            await bench.ask(after=after)
        assert bench.asked == 1
        bench.upstream.reply = found(60, "192.0.2.2")
        assert address(await bench.ask(after=0.1)) == "192.0.2.1"
        await until(lambda: not bench.cache._refreshes._tasks)
        assert ttls(await bench.ask()) == {60}
        assert bench.asked == 2
        assert bench.counts.prefetches == 1
        (entry,) = bench.cache._success._entries.values()
        assert entry.popularity.hits == 5  # four of them before it was replaced
        bench.upstream.reply = PluginError("forward", "no upstream")  # a failure leaves the entry
        for after in (9, 9, 9, 9, 9, 9, 5):
            assert address(await bench.ask(after=after)) == "192.0.2.2"


async def test_no_prefetch() -> None:
    """Without `prefetch`, or with an amount of 0, nothing is asked before its time."""
    for text in ("cache", "cache {\nprefetch 0\n}"):
        bench = Bench(text, found(60))
        async with bench.cache._refreshes.running():
            for after in (0, 59, 0.9):
                await bench.ask(after=after)
        assert bench.asked == 1


# The parts


def test_store() -> None:
    """A store never exceeds its capacity, and what it drops is chosen."""
    store = Store(1300, choose=lambda length: length - 2)
    assert store.capacity == 1280
    assert [Store(capacity).capacity for capacity in (0, 1279, 10_000)] == [1024, 1024, 9984]

    def key(number: int) -> Key:
        return (ROOT, number, 1, False, False)

    def entry() -> Entry:
        return Entry(Reply(), 5, 0.0, denies=False, answers=True)

    assert not any(store.put(key(number), entry()) for number in range(1280))
    assert not store.put(key(7), entry())  # replaced
    assert store.put(key(2000), entry())
    assert (len(store), store.get(key(1278))) == (1280, None)
    for number in (0, 0, 2000, 1279, 5):
        store.remove(key(number))
        assert store.get(key(number)) is None
    assert len(store) == 1276
    assert [store._entries[one].slot for one in store._keys] == list(range(1276))


ANSWERS = [  # type, answer section, whether it answers
    (RRType.A, found().answer, True),
    (RRType.A, (), False),
    (RRType.AAAA, found().answer, False),
    (RRType.ANY, found().answer, True),
    (RRType.ANY, (rrset("a", RRType.A, "192.0.2.1"),), False),
    (RRType.CNAME, (alias(TARGET),), True),
    (RRType.CNAME, (alias(TARGET), alias(TARGET.upper())), True),
    (RRType.CNAME, (alias(TARGET, ROOT),), False),
    (RRType.CNAME, found().answer, False),
    (RRType.A, (alias(TARGET.upper()), RRset(TARGET, RRType.A, 5, (b"\1\2\3\4",))), True),
    (RRType.A, (alias(TARGET), *found().answer), False),  # what is not at the end of the chain does not count
    (RRType.A, (alias(TARGET, ROOT), RRset(TARGET, RRType.A, 5, (b"\1\2\3\4",))), False),
    (RRType.A, (alias(from_text(WWW)),), False),
    (RRType.A, (alias(TARGET), RRset(TARGET, RRType.CNAME, 5, (from_text(WWW),))), False),
]


@pytest.mark.parametrize(("qtype", "answer", "expected"), ANSWERS)
def test_answers_question(qtype: int, answer: tuple[RRset, ...], expected: bool) -> None:
    """Aliases are followed to the type that was asked for."""
    assert answers_question(request(qtype=qtype).query, answer) is expected


@pytest.mark.parametrize(
    ("rrsig", "kind"),
    [
        (signature(NOW + 1, NOW - 1), Kind.DATA),
        (signature(NOW, NOW), Kind.DATA),
        (signature(NOW - 1, NOW - 9), Kind.OTHER),
        (signature(NOW + 9, NOW + 1), Kind.OTHER),
        (RRset(ROOT, RRType.RRSIG, 5, (b"short",)), Kind.OTHER),
    ],
)
def test_signatures(rrsig: RRset, kind: Kind) -> None:
    """Signatures out of date matter to a query with DO only; their times go round."""
    reply = Reply(answer=found().answer, additional=(rrsig,))
    assert judge(request(edns=DNSSEC).query, reply, NOW).kind is kind
    assert judge(request(edns=Edns(512)).query, reply, NOW).kind is Kind.DATA
    wrapped = Reply(answer=(*found().answer, signature(5, 2**32 - 5)))
    assert judge(request(edns=DNSSEC).query, wrapped, 2**32).kind is Kind.DATA


def test_minimum_of_every_soa() -> None:
    """A denial holds as long as each of its SOAs says; an answer does not read them."""
    reply = Reply(authority=(soa(60, 40), soa(60, 50), NS))
    assert (ttl_of(reply, Kind.NODATA, 1800), ttl_of(reply, Kind.DATA, 1800)) == (40, 60)


# Options


def options(text: str) -> Options:
    """Return what a directive says."""
    (plugin,) = parse("cache", text)
    assert isinstance(plugin, Cache)
    return plugin.options


OPTIONS: list[tuple[str, Callable[[Options], object], object]] = [
    ("cache", lambda one: one, Options(zones=(EXAMPLE,))),
    ("cache 30", lambda one: (one.success.max_ttl, one.denial.max_ttl, one.zones), (30, 30, (EXAMPLE,))),
    ("cache +30 a b", lambda one: (one.success.max_ttl, one.zones), (30, (from_text("a"), from_text("b")))),
    ("cache a 30", lambda one: (one.success.max_ttl, one.zones_label), (3600, "a.,30.")),
    ("cache 10.0.0.0/31", lambda one: one.zones_label, "0.0.0.10.in-addr.arpa.,1.0.0.10.in-addr.arpa."),
    ("cache {\nsuccess 10\n}", lambda one: one.success, Limits(3600, 5, 10)),
    ("cache 25 {\nsuccess 10\ndenial 20 15\n}", lambda one: (*one.success, *one.denial), (25, 5, 10, 15, 5, 20)),
    ("cache {\ndenial 10 15 2\n}", lambda one: one.denial, Limits(15, 2, 10)),
    ("cache {\nprefetch 10\n}", lambda one: one.prefetch, Prefetch(10, 60, 10)),
    ("cache {\nprefetch 10 2m 90%\n}", lambda one: one.prefetch, Prefetch(10, 120, 90)),
    ("cache {\nserve_stale\n}", lambda one: one.stale, Stale(3600)),
    ("cache {\nserve_stale 1500ms Verify\n}", lambda one: one.stale, Stale(1, verify=True)),
    ("cache {\nserve_stale 1h verify 100ms 30s 5m\n}", lambda one: one.stale, Stale(3600, True, 0.1, 30, 300)),
    ("cache {\nserve_stale 1h immediate 30s 10s\n}", lambda one: one.stale, Stale(3600, False, 0, 30, 10)),
    (
        "cache {\nserve_stale_policy prefer_positive\nserve_stale 2h\n}",
        lambda one: one.stale,
        Stale(7200, prefer_positive=True),
    ),
    ("cache {\nservfail 5m\n}", lambda one: one.servfail, 300),
    ("cache {\ndisable denial\n}", lambda one: one.disabled, {"denial": (ROOT,)}),
    ("cache {\ndisable success a\n}", lambda one: one.disabled, {"success": (from_text("a"),)}),
    ("cache {\nkeepttl\n}", lambda one: one.keepttl, True),
]


@pytest.mark.parametrize(("text", "read", "expected"), OPTIONS)
def test_options(text: str, read: Callable[[Options], object], expected: object) -> None:
    """Every option, and what it is without being named."""
    assert read(options(text)) == expected


REFUSED = [
    ("cache\ncache", "this plugin can only be used once per Server Block"),
    ("cache 0", "cache TTL can not be '0', expecting seconds from 1"),
    ("cache -1 example.org", "cache TTL can not be '-1'"),
    ("cache 99999999999", "cache TTL can not be '99999999999'"),
    ("cache {\npositive 10\n}", "unknown property 'positive', expecting success or denial or prefetch"),
    ("cache {\nsuccess\n}", "expecting success CAPACITY [TTL] [MINTTL]"),
    ("cache {\nsuccess 1 2 3 4\n}", "expecting success CAPACITY [TTL] [MINTTL]"),
    ("cache {\ndenial aaa\n}", "'aaa' is not a number"),
    ("cache {\nsuccess -1\n}", "'-1' is not a number, expecting one from 0"),
    ("cache {\ndenial 10 0\n}", "cache TTL can not be '0'"),
    ("cache {\ndenial 10 5 -2\n}", "'-2' is not a number"),
    ("cache {\nprefetch\n}", "expecting prefetch AMOUNT [DURATION [PERCENTAGE%]]"),
    ("cache {\nprefetch -1\n}", "'-1' is not a number"),
    ("cache {\nprefetch 1 blurp\n}", "expecting a duration"),
    ("cache {\nprefetch 1 1m 10\n}", "'10' is not a percentage"),
    ("cache {\nprefetch 1 1m 9%\n}", "percentage should fall in range [10, 90]: 9"),
    ("cache {\nprefetch 1 1m 91%\n}", "percentage should fall in range [10, 90]: 91"),
    ("cache {\nserve_stale aa\n}", "expecting a duration"),
    ("cache {\nserve_stale -1s\n}", "is negative"),
    ("cache {\nserve_stale 1h verified\n}", "invalid value for serve_stale refresh mode: verified"),
    ("cache {\nserve_stale 1h immediate 1s 1s 1s\n}", "expecting serve_stale [DURATION]"),
    ("cache {\nserve_stale 1h verify 1s 1s 1s 1s\n}", "expecting serve_stale [DURATION]"),
    ("cache {\nserve_stale 1h immediate 1500ms\n}", "1500ms is not a TTL, expecting whole seconds"),
    ("cache {\nserve_stale 1h verify 0s 1s 301s\n}", "failure recheck 301s is over 5 minutes"),
    ("cache {\nserve_stale_policy prefer_positive\n}", "serve_stale_policy without serve_stale"),
    ("cache {\nserve_stale\nserve_stale_policy x\n}", "invalid value for serve_stale_policy: x"),
    ("cache {\nserve_stale\nserve_stale_policy\n}", "expecting serve_stale_policy prefer_positive"),
    ("cache {\nservfail\n}", "expecting servfail DURATION"),
    ("cache {\nservfail -1s\n}", "is negative"),
    ("cache {\nservfail 5m1s\n}", "caching SERVFAIL responses over 5 minutes is not permitted"),
    ("cache {\ndisable\n}", "expecting disable success|denial [ZONES...]"),
    ("cache {\ndisable invalid\n}", 'cache type for disable must be "success" or "denial"'),
    ("cache {\ndisable success a..b\n}", "invalid disabled zone: "),
    ("cache {\nkeepttl 1\n}", "expecting keepttl"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str) -> None:
    """The error says what was expected."""
    assert reason in refusal("cache", text)


def test_warnings() -> None:
    """What has no effect is told: an argument that is no zone, and an option that another one replaces."""
    text = "cache a..b x {\nkeepttl\nsuccess 1\nsuccess 2\ndisable success a\ndisable denial a\ndisable success b\n}"
    (block,) = corefile.parse(f".:53 {{\n{text}\n}}\n").blocks
    warnings: list[str] = []
    context = Context(zones=(ROOT,), folder=Path(), port=53, warn=warnings.append)
    (plugin,) = parse_cache(tuple(block.find("cache")), context)
    assert isinstance(plugin, Cache)
    assert (plugin.options.zones_label, plugin.options.success.capacity) == ("x.", 2)
    assert plugin.options.disabled["success"] == (from_text("b"),)
    assert warnings == [
        "Corefile:2 - plugin/cache: 'a..b' is not a zone: nothing is cached for it",
        "Corefile:5 - plugin/cache: 'success' again: only this one counts",
        "Corefile:8 - plugin/cache: 'disable success' again: only this one counts",
    ]


# Metrics, and the whole


def samples(world: World) -> dict[tuple[str, ...], float]:
    """Return what a scrape says: name and type to value; the other labels are the same for all."""
    collected: dict[tuple[str, ...], float] = {}
    metrics: list[Metric] = [one for one in world.runtime.metrics.collect() if one.name.startswith("coredns_cache_")]
    for sample in (sample for one in metrics for sample in one.samples):
        labels = dict(sample.labels)
        kind = labels.pop("type", "")
        assert labels == {"server": SERVER, "zones": "example.com.,example.org.", "view": ""}
        collected[sample.name.removeprefix("coredns_cache_"), kind] = sample.value
    return collected


async def test_metrics(world: World) -> None:
    """The families of CoreDNS, with its labels."""
    bench = Bench("cache example.com example.org {\nserve_stale\n}")
    bench.cache._success = Store(0, choose=lambda _length: 0)
    bench.cache._success.capacity = 1
    async with bench.cache.running(world.runtime):
        assert samples(world) == {}
        for name in ("a.example.com", "b.example.com", "b.example.com"):
            bench.upstream.reply = Reply(answer=(rrset(name, RRType.A, "192.0.2.1", ttl=60),))
            await bench.ask(request(name))
        bench.upstream.reply = nxdomain(60)
        await bench.ask(request("c.example.com"))
        await bench.ask(request("c.example.com"), after=61)
        await until(lambda: not bench.cache._refreshes._tasks)
        assert samples(world) == {
            ("entries", "success"): 1,
            ("entries", "denial"): 1,
            ("hits_total", "success"): 1,
            ("hits_total", "denial"): 1,
            ("evictions_total", "success"): 1,
            ("evictions_total", "denial"): 0,
            ("requests_total", ""): 5,
            ("misses_total", ""): 3,
            ("prefetch_total", ""): 1,
            ("served_stale_total", ""): 1,
            ("drops_total", ""): 0,
        }
    assert ("entries", "success") not in samples(world)


COUNTED = ("requests_total", "misses_total", 'hits_total.*type="success"', 'hits_total.*type="denial"')
COREFILE = """
cluster.local {
    bind 127.0.0.1
    prometheus 127.0.0.1:0
    acl {
        allow net 127.0.0.0/8  # has to see every query, so that none is answered before the cache is asked
    }
    cache 30 {
        serve_stale 1h verify
        prefetch 1
    }
    kubernetes {
        manifests manifests
    }
}
"""


async def test_whole_server(tmp_path: Path) -> None:
    """Answers and denials come from the cache over UDP and TCP, each in the spelling of its question."""
    shutil.copytree(EXAMPLES, tmp_path / "manifests")
    async with serving(COREFILE, tmp_path) as server:
        for name in ("myvmi.mysubdomain.default.svc.cluster.local", "MyVMI.mysubdomain.default.svc.Cluster.Local"):
            for tcp in (False, True):
                response = await server.ask(name, tcp=tcp)
                (record,) = response.answer
                assert (record.owner, record.ttl, response.authoritative) == (spelled_from_text(name), 5, True)
                denial = await server.ask(f"no.{name}", tcp=tcp)
                assert (denial.rcode, denial.authority[0].ttl) == (Rcode.NXDOMAIN, 5)
        _, text = await get(server.http("127.0.0.1:0", "/metrics"))
        values = [re.search(rf"^coredns_cache_{name}.* ([0-9.]+)$", text, re.MULTILINE) for name in COUNTED]
        assert [found and float(found[1]) for found in values] == [8, 2, 3, 3]


def test_query_is_cheap_to_look_up() -> None:
    """A hit waits for nothing: it is done at the first step, without a task."""
    bench = Bench()

    def once() -> Reply:
        try:
            bench.cache.handle(request(), bench.upstream).send(None)
        except StopIteration as done:
            reply: Reply = done.value
            return reply
        raise AssertionError("it waits")

    assert once() == found(60)
    assert once() == found(60)
    assert bench.asked == 1
