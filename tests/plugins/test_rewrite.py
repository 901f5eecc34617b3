"""`rewrite`: every field, what the reply shows of it, refusals, and a whole server."""

from dataclasses import replace as dataclass_replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver import corefile
from dnsserver.message import Client, Edns, Query, Reply, Transport
from dnsserver.names import from_text, spelled_from_text, to_text
from dnsserver.plugins.plugin import Context, PluginError, Request
from dnsserver.plugins.rewrite import Rewrite
from dnsserver.plugins.rewrite import parse as parse_rewrite
from dnsserver.records import Rcode, RRClass, RRset, RRType, Soa, srv
from dnsserver.wire.zonetext import parse_record
from tests.harness import serving
from tests.plugins.conftest import SERVER, ZONE, World, failing, parse, refusal, request


def only(text: str) -> Rewrite:
    """Return the plugin of one block."""
    (plugin,) = parse("rewrite", text)
    assert isinstance(plugin, Rewrite)
    return plugin


def records(*lines: str) -> tuple[RRset, ...]:
    """Return an RRset for each line of zone-file text."""
    parsed = map(parse_record, lines)
    return tuple(RRset(from_text(to_text(one.owner)), one.rrtype, one.ttl, (one.rdata,)) for one in parsed)


class Chain:
    """The rest of a chain: keeps the query it is asked, and answers with the lines for its name."""

    def __init__(self, *lines: str, rcode: int = Rcode.NOERROR, **fields: object) -> None:
        self.query: Query | None = None
        self.reply = msgspec.structs.replace(Reply(rcode=rcode, answer=records(*lines)), **fields)

    async def __call__(self, request: Request) -> Reply:
        self.query = request.query
        return self.reply

    @property
    def asked(self) -> str:
        """The name that was asked."""
        assert self.query is not None
        return to_text(self.query.qname)


def lines(section: tuple[RRset, ...]) -> list[str]:
    """Return owner, TTL and the name in the RDATA, if there is one, of every record."""
    found = []
    for one in section:
        for rdata in one.rdatas:
            start = {RRType.MX: 2, RRType.SRV: 6}.get(one.rrtype, 0)  # type: ignore[call-overload]  # a plain number
            name = "" if one.rrtype in (RRType.A, RRType.TXT) else " " + to_text(rdata[start : _end(rdata, start)])
            found.append(f"{to_text(one.owner)} {one.ttl}{name}")
    return found


def _end(rdata: bytes, at: int) -> int:
    while rdata[at]:
        at += 1 + rdata[at]
    return at + 1


NAMES = [  # rule, question, what the rest of the chain is asked
    ("name www.example.com new.example.net", "www.example.com.", "new.example.net."),
    ("name WWW.example.com. new.example.net.", "www.example.com.", "new.example.net."),
    ("name www.example.com new.example.net", "a.www.example.com.", "a.www.example.com."),
    ("name exact www.example.com New.example.net", "www.example.com.", "new.example.net."),
    ("stop name Exact a\\.b.example c.example", "a\\.b.example.", "c.example."),
    ("name prefix old. new.", "old.example.com.", "new.example.com."),
    ("name prefix old new", "old.example.com.", "new.example.com."),
    ("name prefix old new", "older.example.com.", "older.example.com."),
    ("name prefix api-. svc-.", "api-prod.example.com.", "api-prod.example.com."),
    ("name suffix .schmoogle.com. .google.com.", "www.schmoogle.com.", "www.google.com."),
    ("name suffix .schmoogle.com. .google.com.", "schmoogle.com.", "schmoogle.com."),
    ("name suffix schmoogle.com google.com", "schmoogle.com.", "google.com."),
    ("name suffix schmoogle.com google.com", "myschmoogle.com.", "mygoogle.com."),
    ("name substring s.us-west.example s.us.consul", "ftp.s.us-west.example.", "ftp.s.us.consul."),
    ("name substring a. b.", "a.a.example.", "b.b.example."),
    ("name regex (.*)-(us-west)\\.rocks {1}.s.{2}.consul", "ftp-us-west.rocks.", "ftp.s.us-west.consul."),
    ("name regex ^([a-z]+)\\.(x)?([a-z]*)\\.$ {3}.{1}.{0}{2}test", "ab.example.", "example.ab.ab.example.test."),
    ("name regex nothing other.example", "www.example.com.", "www.example.com."),
    ("name regex (.*)\\.example\\.$ {1}.{1}.test.", "{1}.example.", "{1}.{1}.test."),
]  # fmt: skip  # a rule a line


@pytest.mark.parametrize(("rule", "name", "asked"), NAMES)
async def test_names(rule: str, name: str, asked: str) -> None:
    """A name is matched and replaced as text."""
    chain = Chain()
    await only(f"rewrite {rule}").handle(request(name), chain)
    assert chain.asked == asked
    assert chain.query is not None
    assert to_text(chain.query.name) == asked


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("name prefix a. .", "a.example."),
        ("name regex .* {0}.", "a.example."),
        ("name regex (x*) {1}..example", "a.example."),
        (f"name prefix a. {'b' * 64}.", "a.example."),
        ("name substring a. a.a.a.a.", ".".join(["a"] * 120)),
        ("name regex a(.*) \\2{1}", "a.example."),
    ],
)
async def test_invalid_names(rule: str, name: str) -> None:
    """A rewrite that does not make a name is an error, never an answer."""
    with pytest.raises(PluginError, match=r"plugin/rewrite: invalid name after rewrite: "):
        await only(f"rewrite {rule}").handle(request(name), Chain())


async def test_order() -> None:
    """The first rule that matches is the last, unless it says `continue`; later rules see what earlier ones made."""
    rules = "rewrite name x.example y.example\nrewrite continue name a.example b.example\n"
    rules += "rewrite stop name b.example c.example\nrewrite name c.example d.example"
    plugin = only(rules)
    for name, asked in (("a.example.", "c.example."), ("b.example.", "c.example."), ("c.example.", "d.example.")):
        chain = Chain(f"{asked} A 192.0.2.1")
        reply = await plugin.handle(request(name), chain)
        assert chain.asked == asked
        assert lines(reply.answer) == [f"{name} 3600"]  # taken back step by step


async def test_untouched() -> None:
    """Where no rule matches, neither the request nor the reply changes."""
    chain = Chain("www.example.com. A 192.0.2.1")
    asked: list[Request] = []

    async def handle(request: Request) -> Reply:
        asked.append(request)
        return chain.reply

    sent = request()
    assert await only("rewrite name a.example b.example").handle(sent, handle) is chain.reply
    assert asked[0] is sent
    with pytest.raises(PluginError, match="plugin/test: broken"):
        await only("rewrite name www.example.com b.example").handle(sent, failing("test", "broken"))


REPLIES = [  # rule, question, answer of the rest, answer to the client
    ("name red.test blue.test", "red.test.", "blue.test. A 192.0.2.1", "red.test. 3600"),
    ("name red.test blue.test", "red.test.", "a.Blue.test. A 192.0.2.1", "a.red.test. 3600"),
    ("name red.test blue.test", "red.test.", "xblue.test. A 192.0.2.1", "xblue.test. 3600"),
    ("name red.test blue.test", "red.test.", "blue.test. CNAME A.BLUE.test.", "red.test. 3600 A.red.test."),
    ("name red.test blue.test", "red.test.", "blue.test. TXT blue.test.", "red.test. 3600"),
    ("name exact red. blue. answer value ^x\\. y.", "red.", "blue. MX 1 x.", "red. 3600 y."),
    ("name prefix a. b. answer auto", "a.test.", "b.test. SRV 1 2 3 c.b.test.", "a.test. 3600 c.a.test."),
    ("name prefix a. b.", "a.example.", "b.example. A 192.0.2.1", "b.example. 3600"),
    ("name suffix .a. .b. answer auto", "x.a.", "x.b. CNAME Y.b.", "x.a. 3600 y.a."),
    ("name suffix .a. .b. answer auto", "x.a.", "b. NS b.", "b. 3600 b."),
    ("name substring a. b. answer auto", "a.a.", "b.b. A 192.0.2.1", "a.a. 3600"),
    ("name regex ^(x)-(w)\\.a {1}.{2}.b answer name ^(x)\\.(w) {1}-{2}.a", "x-w.a.", "x.w.b. NS .", "x-w.a. 3600 ."),
    ("name regex (.*)\\.a {1}.b answer value (.*)\\.b {1}.a", "x.a.", "x.b. CNAME y.b.", "x.b. 3600 y.a."),
    ("name regex (.*)\\.a {1}.b answer name (.*)b {1}a value (.*)b {1}a", "x.a.", "x.b. PTR y.b.", "x.a. 3600 y.a."),
    ("name regex (.*)\\.a {1}.b answer name ^x y answer name z z", "x.a.", "x.b. PTR y.b.", "y. 3600 y.b."),
    ("name regex x\\.a x.b answer name ^1 2 answer name ^0 1", "x.a.", "0. DNAME y.b.", "2. 3600 y.b."),
    ("name suffix .a .a answer name auto answer value (.*)\\.b\\. {1}.c.", "1.a.", "1.a. PTR f.b.", "1.a. 3600 f.c."),
    ("type A AAAA", "x.a.", "x.a. A 192.0.2.1", "x.a. 3600"),
    ("ttl x.a. 15", "x.a.", "x.a. A 192.0.2.1", "x.a. 15"),
    ("ttl x.a 10-20", "x.a.", "x.a. 5 A 192.0.2.1", "x.a. 10"),
    ("ttl exact x.a 10-20", "x.a.", "x.a. 15 A 192.0.2.1", "x.a. 15"),
    ("ttl prefix x. -20", "x.a.", "x.a. 25 A 192.0.2.1", "x.a. 20"),
    ("ttl suffix .a 2147483647-", "x.a.", "x.a. 25 A 192.0.2.1", "x.a. 2147483647"),
    ("ttl substring .a. 0", "x.a.", "x.a. 25 A 192.0.2.1", "x.a. 0"),
    ("ttl regex ^.\\.a\\.$ 1", "x.a.", "y.b. 25 A 192.0.2.1", "y.b. 1"),
    ("ttl regex ^.\\.b\\.$ 1", "x.a.", "y.b. 25 A 192.0.2.1", "y.b. 25"),
    ("ttl suffix .b 1", "x.a.", "y.b. 25 A 192.0.2.1", "y.b. 25"),
]  # fmt: skip  # a rule a line


@pytest.mark.parametrize(("rule", "name", "answer", "expected"), REPLIES)
async def test_replies(rule: str, name: str, answer: str, expected: str) -> None:
    """Replies are rewritten back as the rule says, in every section and in a transfer."""
    chain = Chain(answer)
    rrsets = chain.reply.answer
    pause = RRset(from_text("."), RRType.SOA, 77, ())
    chain.reply = Reply(answer=rrsets, authority=rrsets, additional=rrsets, stream=[pause, *rrsets])
    reply = await only(f"rewrite {rule}").handle(request(name), chain)
    assert lines(reply.answer) == lines(reply.authority) == lines(reply.additional) == [expected]
    assert reply.stream is not None
    assert (first := list(reply.stream))[0] is pause
    assert lines(tuple(first)) == [expected]


async def test_values() -> None:
    """The names in the RDATA of eight types are rewritten; what is around them, and broken RDATA, stays."""
    plugin = only("rewrite name regex x\\.a x.b answer value old\\. new.")
    old, new = from_text("old"), from_text("new")
    soa = Soa(old, old, 1, 2, 3, 4, 5).rdata()
    naptr = b"\0\1\0\2\1s\0\3abc"
    for rrtype, before, after in (
        (RRType.SRV, srv(1, 2, 3, old), srv(1, 2, 3, new)),
        (RRType.SOA, soa, new + soa[len(old) :]),
        (35, naptr + old, naptr + new),
        (35, naptr[:7], naptr[:7]),
        (RRType.CNAME, b"\x05old", b"\x05old"),
        (RRType.MX, b"", b""),
        (RRType.TXT, b"\x03old", b"\x03old"),
    ):
        chain = Chain()
        chain.reply = Reply(answer=(RRset(old, rrtype, 1, (before,)),))
        reply = await plugin.handle(request("x.a."), chain)
        assert reply.answer == (RRset(old, rrtype, 1, (after,)),)


async def test_invalid_reply() -> None:
    """A reply whose names become invalid is an error as well."""
    plugin = only("rewrite name regex x\\.a x.b answer name ^(x) {1}..")
    with pytest.raises(PluginError, match="invalid name after rewrite: x"):
        await plugin.handle(request("x.a."), Chain("x.b. A 192.0.2.1"))


@pytest.mark.parametrize(
    ("rule", "rcode", "expected"),
    [
        ("rcode x.a SERVFAIL NOERROR", 2, 0),
        ("rcode regex (.*)\\.a 2 nxdomain", 2, 3),
        ("rcode suffix a REFUSED 23", 2, 2),
        ("rcode prefix y. SERVFAIL NOERROR", 2, 2),
        ("continue rcode x.a NXDOMAIN NOTIMPL", 3, 4),
    ],
)
async def test_rcodes(rule: str, rcode: int, expected: int) -> None:
    """One code is replaced, by its name or number."""
    assert (await only(f"rewrite {rule}").handle(request("x.a."), Chain(rcode=rcode))).rcode == expected


async def test_type_and_class() -> None:
    """The rest of the chain is asked another type or class."""
    chain = Chain()
    await only("rewrite type any HINFO").handle(request(qtype=RRType.ANY), chain)
    assert chain.query is not None
    assert chain.query.qtype == RRType.HINFO
    await only("rewrite type A TYPE65280").handle(request(qtype=RRType.AAAA), chain)
    assert chain.query.qtype == RRType.AAAA
    plugin = only("rewrite class CH IN")
    assert plugin.any_class
    await plugin.handle(request(qclass=RRClass.CH), chain)
    assert chain.query.qclass == RRClass.IN
    assert not only("rewrite class IN CH").any_class


async def test_foreign_classes(world: World) -> None:
    """A class that no rule takes is refused, unless another plugin of the block may have an answer."""
    plugin, chain = only("rewrite class CH IN"), Chain()
    world.block(plugin)
    async with plugin.running(world.runtime):
        reply = await plugin.handle(request(qclass=RRClass.HS), chain)
        assert (reply.rcode, reply.extended_error) == (Rcode.REFUSED, (20, ""))
        assert chain.query is None
    (chaos,) = parse("chaos", "chaos")
    world.blocks[:] = [(SERVER, (plugin, chaos))]
    async with plugin.running(world.runtime):
        await plugin.handle(request(qclass=RRClass.HS), chain)
        assert chain.query is not None


COOKIE = (10, b"12345678")
IPV6 = Client("2001:db8:ffff::1", 5353, Transport.TCP, "dns://[2001:db8::53]:5300")
IPV4 = Client("192.0.2.77", 5353, Transport.UDP, "dns://10.0.0.1:53")
MIXED = Client("::1", 1, Transport.UDP, "dns://10.0.0.1:53")
EDNS = [  # rule, options of the query (None: no EDNS), client, options that the rest of the chain sees
    ("local set 0xffee 0x61626364", None, IPV4, [(0xFFEE, b"abcd")]),
    ("local set 65518 abcd", [COOKIE, (0xFFEE, b"old")], IPV4, [COOKIE, (0xFFEE, b"abcd")]),
    ("LOCAL Set 017 0x", [], IPV4, [(15, b"")]),
    ("local append 0xffee abcd", [COOKIE], IPV4, [COOKIE, (0xFFEE, b"abcd")]),
    ("local append 0xffee abcd", [(0xFFEE, b"old")], IPV4, [(0xFFEE, b"old")]),
    ("local replace 0xffee abcd", [(0xFFEE, b"old"), COOKIE], IPV4, [(0xFFEE, b"abcd"), COOKIE]),
    ("local replace 0xffee abcd", None, IPV4, None),
    ("local unset 0xffee", [(0xFFEE, b"1"), COOKIE, (0xFFEE, b"2")], IPV4, [COOKIE]),
    ("local unset 0xffee", None, IPV4, None),
    ("local unset 0xffee", [COOKIE], IPV4, [COOKIE]),
    ("nsid set", None, IPV4, [(3, b"")]),
    ("nsid replace", [(3, b"x")], IPV4, [(3, b"")]),
    ("nsid unset", [(3, b"")], IPV4, []),
    ("subnet set 24 56", None, IPV4, [(8, b"\0\1\x18\0\xc0\0\2")]),
    ("subnet set 24 49", [(8, b"old")], IPV6, [(8, b"\0\2\x31\0\x20\x01\x0d\xb8\xff\xff\0")]),
    ("subnet append 0 0", None, IPV4, [(8, b"\0\1\0\0")]),
    ("subnet set 25 0", None, IPV4, [(8, b"\0\1\x19\0\xc0\0\2\0")]),
    ("subnet set 24 0", None, Client("::ffff:192.0.2.77", 1, Transport.UDP, SERVER), [(8, b"\0\1\x18\0\xc0\0\2")]),
    ("subnet set 24 0", None, Client("", 1, Transport.UDP, SERVER), None),
    ("subnet unset", [(8, b"x"), COOKIE], IPV4, [COOKIE]),
    ("local set 1 {qname}", None, IPV4, [(1, b"Www.example.com.")]),
    ("local set 1 {qtype}", None, IPV4, [(1, b"\0\x1c")]),
    ("local set 1 {client_ip}", None, IPV4, [(1, bytes((192, 0, 2, 77)))]),
    ("local set 1 {client_port}", None, IPV4, [(1, b"\x14\xe9")]),
    ("local set 1 {protocol}", None, IPV4, [(1, b"udp")]),
    ("local set 1 {protocol}", None, IPV6, [(1, b"tcp")]),
    ("local set 1 {server_ip}", None, IPV4, [(1, bytes((10, 0, 0, 1)))]),
    ("local set 1 {server_ip}", None, IPV6, [(1, bytes.fromhex("20010db8000000000000000000000053"))]),
    ("local set 1 {server_ip}", None, MIXED, [(1, bytes(10) + b"\xff\xff\x0a\0\0\1")]),
    ("local set 1 {server_ip}", None, Client("192.0.2.1", 1, Transport.UDP, "dns://[::1]:53"), None),
    ("local set 1 {server_ip}", None, Client("192.0.2.1", 1, Transport.UDP, "dns://:53"), None),
    ("local set 1 {server_port}", None, IPV6, [(1, b"\x14\xb4")]),
]  # fmt: skip  # a rule a line


@pytest.mark.parametrize(("rule", "before", "client", "after"), EDNS)
async def test_edns(
    rule: str, before: list[tuple[int, bytes]] | None, client: Client, after: list[tuple[int, bytes]] | None
) -> None:
    """Options are set, appended, replaced and removed; a query without EDNS gets some where that is needed."""
    chain = Chain()
    edns = None if before is None else Edns(1232, dnssec_ok=True, options=tuple(before))
    sent = request("www.example.com.", RRType.AAAA, client=client, edns=edns)
    qname = spelled_from_text("Www.example.com")
    sent = dataclass_replace(sent, query=msgspec.structs.replace(sent.query, qname=qname))
    await only(f"rewrite edns0 {rule}").handle(sent, chain)
    assert chain.query is not None
    if after is None:
        assert chain.query.edns is None
    elif before is None:
        assert chain.query.edns == Edns(4096, options=tuple(after))
    else:
        assert chain.query.edns == Edns(1232, dnssec_ok=True, options=tuple(after))


@pytest.mark.parametrize(
    ("rule", "before", "answered", "after"),
    [
        ("local set 1 x revert", [], [(1, b"x"), COOKIE], [COOKIE]),
        ("local set 1 x revert", [(1, b"y")], [(1, b"x"), COOKIE], [(1, b"y"), COOKIE]),
        ("local set 1 x revert", [(1, b"y")], [COOKIE], [COOKIE]),
        ("local replace 1 revert revert", [(1, b"y")], [(1, b"revert")], [(1, b"y")]),
        ("local set 1 x", [(1, b"y")], [(1, b"x")], [(1, b"x")]),
        ("local append 1 {qtype} REVERT", [(1, b"y")], [(1, b"x")], [(1, b"x")]),
        ("local unset 1 revert", [(1, b"y")], [(1, b"z")], [(1, b"y")]),
        ("nsid set revert", [], [(3, b"server")], []),
        ("subnet set 24 56 revert", [], [(8, b"x")], []),
        ("subnet unset revert", [(8, b"x")], [], []),
    ],
)
async def test_edns_revert(
    rule: str,
    before: list[tuple[int, bytes]],
    answered: list[tuple[int, bytes]],
    after: list[tuple[int, bytes]],
) -> None:
    """With `revert` the reply has the client's own option, or none where the rule added it."""
    sent = request(edns=Edns(1232, options=tuple(before)))
    reply = await only(f"rewrite edns0 {rule}").handle(sent, Chain(options=tuple(answered)))
    assert reply.options == tuple(after)


def asking(world: World, answers: dict[str, Reply], asked: list[Query]) -> None:
    """Let the server answer further questions by their names."""

    async def ask(request: Request, query: Query) -> Reply:
        asked.append(query)
        if to_text(query.name) not in answers:
            raise PluginError("test", "nobody knows")
        return answers[to_text(query.name)]

    world.runtime = dataclass_replace(world.runtime, ask=ask)


CDN = ("app.example. 200 CNAME App.cdn.example.", "app.cdn.example. 300 A 192.0.2.1")


@pytest.mark.parametrize(
    "rule",
    [
        "cname app.cdn.example app.other.example",
        "cname exact APP.cdn.example. app.other.example.",
        "cname prefix app.cdn app.other",
        "cname suffix cdn.example other.example",
        "cname substring cdn other",
        "cname regex (.*)\\.cdn\\.example\\. {1}.other.example.",
    ],
)
async def test_cname(rule: str, world: World) -> None:
    """An alias leads elsewhere, and what is there replaces what was at its former end."""
    asked: list[Query] = []
    asking(
        world,
        {"app.other.example.": Reply(answer=records("app.other.example. 100 A 192.0.2.9"), truncated=True)},
        asked,
    )
    plugin = only(f"rewrite {rule}")
    async with plugin.running(world.runtime):
        reply = await plugin.handle(request("app.example.", recursion_desired=True), Chain(*CDN))
    assert lines(reply.answer) == ["app.example. 200 app.other.example.", "app.other.example. 100"]
    assert reply.truncated
    assert (asked[0].qtype, asked[0].recursion_desired) == (RRType.A, True)


async def test_cname_without_an_end(world: World) -> None:
    """The alias stays alone where its target has no answer, and where the alias itself was asked for."""
    asked: list[Query] = []
    plugin = only("rewrite cname suffix cdn.example other.example")
    alone = ["app.example. 200 app.other.example."]
    for answers in ({}, {"app.other.example.": Reply(rcode=Rcode.NXDOMAIN)}):
        asking(world, answers, asked)
        async with plugin.running(world.runtime):
            assert lines((await plugin.handle(request("app.example."), Chain(*CDN))).answer) == alone
    assert len(asked) == 2
    reply = await plugin.handle(request("app.example.", RRType.CNAME), Chain(CDN[0]))
    assert lines(reply.answer) == alone
    assert len(asked) == 2
    assert lines((await plugin.handle(request("app.example."), Chain(*CDN))).answer) == alone  # nobody runs it
    chain = Chain("app.example. 200 CNAME b.example.", "b.example. 300 A 192.0.2.1")
    assert (await plugin.handle(request("app.example."), chain)).answer == chain.reply.answer


async def test_cname_to_nothing() -> None:
    """A target that is no name is an error, as in the rules for questions."""
    plugin = only('rewrite cname prefix app.cdn.example. ""')
    with pytest.raises(PluginError, match="the name is empty"):
        await plugin.handle(request("app.example."), Chain(*CDN))


async def test_block_form() -> None:
    """One rule may stand in a block, its options on lines of their own."""
    rule = "rewrite continue {\nname regex (.*)-(us-west-1)\\.rocks {1}.service.{2}.consul\n"
    rule += "answer name (.*)\\.service\\.(us-west-1)\\.consul {1}-{2}.rocks\nanswer value ^x\\. y.\n}"
    reply = await only(rule).handle(request("ftp-us-west-1.rocks."), Chain("ftp.service.us-west-1.consul. MX 1 x."))
    assert lines(reply.answer) == ["ftp-us-west-1.rocks. 3600 y."]
    chain = Chain("x.rocks. A 192.0.2.1")
    reply = await only("rewrite {\nttl regex (.*)\\.rocks 15\n}").handle(request("x.rocks."), chain)
    assert lines(reply.answer) == ["x.rocks. 15"]


REFUSED = [
    ("rewrite", "no rule type specified"),
    ("rewrite continue", "no rule type specified"),
    ("rewrite answer name a b", "response rewrites must begin with a name rule"),
    ("rewrite header a b", "invalid rule type 'header', expecting one of name, type, class, edns0, ttl, cname, rcode"),
    ("rewrite name a", "too few arguments for a name rule"),
    ("rewrite name exact a", "too few arguments"),
    ("rewrite name like a b", "cannot match names by 'like', expecting one of exact, prefix"),
    ("rewrite name a b c d", "cannot match names by 'a'"),
    ("rewrite name exact a..b c", "'a..b' is not a name"),
    (f"rewrite name a {'b' * 64}", "is not a name"),
    ("rewrite name regex (a b", "missing ')'"),
    ("rewrite name regex (?=a) b", "is not supported"),
    ("rewrite name regex (a) {2}", "uses group {2}, but '(a)' has 1"),
    ("rewrite name regex a b extra", "unexpected 'extra' behind a name rule, expecting answer auto"),
    ("rewrite name regex a b answer", "invalid answer rule ''"),
    ("rewrite name regex a b answer question", "invalid answer rule 'question'"),
    ("rewrite name regex a b answer name c", "answer name needs two arguments"),
    ("rewrite name regex a b answer auto answer name c d", "cannot go together"),
    ("rewrite name regex a b answer name c {1}", "uses group {1}"),
    ("rewrite {\nname regex a b\nttl a 5\n}", "unexpected 'ttl'"),
    ("rewrite {\nname regex a b {\nanswer auto\n}\n}", "'name' has no block of its own"),
    ("rewrite name a b {\nanswer auto\n}", "takes no block"),
    ("rewrite type A", "exactly two arguments, not 1"),
    ("rewrite type A NONSENSE", "invalid type"),
    ("rewrite type A OPT", "cannot become one of type OPT"),
    ("rewrite class IN CH HS", "exactly two arguments, not 3"),
    ("rewrite class IN XX", "invalid class"),
    ("rewrite ttl a", "1 arguments for this rule, expecting ttl [KIND] FROM SECONDS|MIN-MAX"),
    ("rewrite ttl exact a b 5", "4 arguments"),
    ("rewrite ttl a -", "invalid TTL '-'"),
    ("rewrite ttl a 5-4", "invalid TTL"),
    ("rewrite ttl a 2147483648", "invalid TTL"),
    ("rewrite ttl a 1-2-3", "invalid TTL"),
    ("rewrite ttl regex ( 5", "invalid regex pattern"),
    ("rewrite rcode a SERVFAIL", "2 arguments"),
    ("rewrite rcode a SERVFAIL OK", "unknown rcode 'OK'"),
    ("rewrite rcode a 24 0", "unknown rcode '24'"),
    ("rewrite cname a", "1 arguments for a cname rule"),
    ("rewrite cname like a b", "cannot match names by 'like'"),
    ("rewrite edns0", "invalid EDNS0 rule type ''"),
    ("rewrite edns0 cookie set", "invalid EDNS0 rule type 'cookie', expecting local, nsid, subnet"),
    ("rewrite edns0 local", "invalid action ''"),
    ("rewrite edns0 local add 1 x", "invalid action 'add'"),
    ("rewrite edns0 local set 1", "1 arguments for an EDNS0 local rule"),
    ("rewrite edns0 local set 1 x y", "3 arguments"),
    ("rewrite edns0 local unset 1 x", "2 arguments"),
    ("rewrite edns0 local set 65536 x", "not a number from 0 to 65535"),
    ("rewrite edns0 local set -1 x", "not a number"),
    ("rewrite edns0 local set 09 x", "not a number"),
    ("rewrite edns0 local set 1 0xabc", "pairs of hexadecimal digits"),
    (f"rewrite edns0 local set 1 {'x' * 4097}", "at most 4096"),
    ("rewrite edns0 local set 1 {nothing}", "unsupported variable name '{nothing}', expecting one of {qname}"),
    ("rewrite edns0 local set 1 {kubernetes/pod}", "metadata"),
    ("rewrite edns0 nsid set x", "1 arguments for an EDNS0 nsid rule"),
    ("rewrite edns0 subnet set 33 56", "from 0 to 32"),
    ("rewrite edns0 subnet set 24 129", "from 0 to 128"),
]


@pytest.mark.parametrize(("text", "error"), REFUSED)
def test_refusals(text: str, error: str) -> None:
    """What is not understood says where, and what was expected."""
    message = refusal("rewrite", text)
    assert message.startswith("plugin/rewrite: Corefile:")
    assert error in message


def test_refusal_in_a_block() -> None:
    """An error in a block names the line of the word."""
    assert "Corefile:4 - " in refusal("rewrite", "rewrite {\nname regex a b\nanswer name ( b\n}")


def test_warning() -> None:
    """A part of a name without its final dot gets one, and the operator is told."""
    (block,) = corefile.parse(". {\nrewrite name prefix api- svc-\nrewrite ttl suffix com 5\n}").blocks
    warnings: list[str] = []
    parse_rewrite(block.directives, Context((ZONE,), Path(), 53, warnings.append))
    assert warnings == [
        "plugin/rewrite: prefix 'api-' is taken for 'api-.', as CoreDNS does: it ends with a label",
    ]


LABELS = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=4)
PLUGIN = only("rewrite continue name regex ^(.*?)\\.(.*) {2}{1} answer auto\nrewrite name substring a. . answer auto")


@given(LABELS)
async def test_any_name(labels: list[bytes]) -> None:
    """Whatever is asked, the rest of the chain gets a valid name, or there is an error of the plugin's kind."""
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    sent = request()
    query = msgspec.structs.replace(sent.query, qname=wire, name=from_text(to_text(wire)))
    chain = Chain()
    try:
        await PLUGIN.handle(dataclass_replace(sent, query=query), chain)
    except PluginError:
        return
    assert chain.query is not None
    assert spelled_from_text(to_text(chain.query.qname)) == chain.query.qname


async def test_whole_server(tmp_path: Path) -> None:
    """The client sees its own question, spelled as it asked, and answers under that name."""
    text = """
    . {
        bind 127.0.0.1
        rewrite name regex (.*)\\.old\\.example {1}.new.example answer auto
        rewrite cname suffix gone.example. here.example.
        template IN A {
            match ^alias
            answer "{{ .Name }} 60 IN CNAME www.gone.example."
            answer "www.gone.example. 60 IN A 192.0.2.1"
            fallthrough
        }
        template IN A {
            answer "{{ .Name }} 60 IN A 192.0.2.2"
        }
    }
    """
    async with serving(text, tmp_path) as server:
        reply = await server.ask("WwW.old.Example")
        assert reply.rcode == Rcode.NOERROR
        assert [to_text(one.owner) for one in reply.answer] == ["WwW.old.Example."]
        assert await server.texts("alias.example") == ["192.0.2.2", "www.here.example."]
