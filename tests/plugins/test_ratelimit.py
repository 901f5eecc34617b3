"""`ratelimit`: what is charged to which account, how much passes and slips, who is exempt, options, metrics, lines."""

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import ROOT, from_text
from dnsserver.plugins.order import ORDER
from dnsserver.plugins.plugin import PluginError, Request
from dnsserver.plugins.ratelimit import RateLimit
from dnsserver.plugins.ratelimiting.account import Account, Kind, account_of, shortened
from dnsserver.plugins.ratelimiting.buckets import Buckets, Verdict
from dnsserver.plugins.ratelimiting.options import Options
from dnsserver.plugins.ratelimiting.report import Report
from dnsserver.records import Rcode, RRType
from dnsserver.wire import encode_query, parse_response
from tests.harness import Serving, get, question, serving
from tests.plugins.conftest import SERVER, World, answering, failing, parse, refusal, request, rrset, until

WWW = "www.example.com."
ZONE = from_text("example.com")
SOA = rrset("example.com", RRType.SOA, "soa")
NS = rrset("sub.example.com", RRType.NS, "ns")
FOUND = Reply(answer=(rrset(WWW, RRType.A, "192.0.2.1"),), origin=ZONE)
NODATA = Reply(authority=(SOA,), origin=ZONE)
NXDOMAIN = Reply(rcode=Rcode.NXDOMAIN, authority=(SOA,), origin=ZONE)
REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
REFERRAL = Reply(authoritative=False, authority=(NS,), additional=(rrset("ns.sub.example.com", RRType.A, "192.0.2.2"),))
TRUNCATED = msgspec.structs.replace(FOUND, answer=(), truncated=True)
SILENT = Reply(authoritative=False, silent=True)


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A plugin with a clock of its own."""

    def __init__(self, text: str) -> None:
        (parsed,) = parse("ratelimit", text)
        assert isinstance(parsed, RateLimit)
        self.clock = Clock()
        self.plugin = RateLimit(parsed.options, clock=self.clock)

    async def ask(self, reply: Reply = FOUND, asked: Request | None = None, *, after: float = 0.0) -> Reply:
        """Ask once more, some seconds later; the rest of the chain says `reply`."""
        self.clock.now += after
        return await self.plugin.handle(asked or request(), answering(reply))

    async def outcomes(self, count: int, reply: Reply = FOUND, asked: Request | None = None) -> str:
        """Ask several times at once; return a letter for each: f(ull), s(lipped), d(ropped)."""
        answers = [await self.ask(reply, asked) for _ in range(count)]
        return "".join("d" if one.silent else "f" if one == reply else "s" for one in answers)


def client(address: str, **fields: object) -> Client:
    """Return a client with an address."""
    base = Client(address, 1234, Transport.UDP, SERVER)
    return msgspec.structs.replace(base, **fields)


# What is charged to which account


ACCOUNTS: list[tuple[str, Reply, Account]] = [  # what, reply to www.example.com. TXT, account
    ("data", FOUND, (Kind.ANSWER, from_text(WWW), 16)),
    ("cut short", TRUNCATED, (Kind.ANSWER, from_text(WWW), 16)),
    ("nothing of the type", NODATA, (Kind.NODATA, from_text(WWW), 0)),
    ("nothing at all", Reply(), (Kind.NODATA, from_text(WWW), 0)),
    ("no such name", NXDOMAIN, (Kind.NXDOMAIN, ZONE, 0)),
    ("behind an alias", msgspec.structs.replace(NXDOMAIN, answer=FOUND.answer), (Kind.NXDOMAIN, ZONE, 0)),
    ("a denial without SOA", Reply(rcode=Rcode.NXDOMAIN), (Kind.NXDOMAIN, ROOT, 0)),
    ("a referral", REFERRAL, (Kind.ANSWER, NS.owner, 2)),
    ("NS and SOA", Reply(authority=(NS, SOA)), (Kind.NODATA, from_text(WWW), 0)),
    ("an error", REFUSED, (Kind.ERROR, ROOT, 0)),
    ("a transfer", Reply(stream=(SOA,)), (Kind.ERROR, ROOT, 0)),
    ("a wildcard's", msgspec.structs.replace(FOUND, made_of=from_text("*.a")), (Kind.ANSWER, from_text("*.a"), 16)),
    (
        "a wildcard's NODATA",
        msgspec.structs.replace(NODATA, made_of=from_text("*.a")),
        (Kind.NODATA, from_text("*.a"), 0),
    ),
]


@pytest.mark.parametrize(("reply", "account"), [row[1:] for row in ACCOUNTS], ids=[row[0] for row in ACCOUNTS])
def test_account(reply: Reply, account: Account) -> None:
    """Random names below a zone share an account, so do all errors, and what one wildcard made."""
    assert account_of(request(qtype=RRType.TXT).query, reply) == account


WILD = (
    "example.com. 60 IN SOA ns root 1 60 60 60 60\n*.w.example.com. 60 IN A 192.0.2.1\nd.example.com. 60 IN DNAME x.\n"
)


MADE_UP = [("w", "A"), ("w", "TXT"), ("d", "A"), ("d", "TXT"), ("missing", "A")]


@pytest.mark.parametrize(("above", "qtype"), MADE_UP)
async def test_random_names(above: str, qtype: str, tmp_path: Path) -> None:
    """Names that a wildcard or DNAME makes up, with data and without, and those that do not exist count as one."""
    (tmp_path / "zone").write_text(WILD)
    text = "example.com {\nbind 127.0.0.1\nratelimit 1 {\nslip 0\n}\nfile zone\n}"
    async with serving(text, tmp_path) as server:
        wires = [encode_query(question(f"n{number}.{above}.example.com", qtype)) for number in range(20)]
        answered = await flood(server, wires)
    assert len(answered) == 1  # a second would have to pass before there is another


# How much passes


async def test_rate_slip_and_recovery() -> None:
    """A second's worth passes at once; then every other one slips; what comes too fast makes a debt of the window."""
    bench = Bench("ratelimit 5 {\nwindow 3s\n}")
    assert await bench.outcomes(11) == "fffff" + "sdsdsd"
    bench.clock.now += 0.2
    assert await bench.outcomes(100) == "sd" * 50  # a debt is not paid back that fast
    bench.clock.now += 3.0
    assert await bench.outcomes(1) == "s"  # 3 s pay for the debt, and this one took another step back
    bench.clock.now += 0.4
    assert await bench.outcomes(2) == "fd"
    bench.clock.now += 5
    assert await bench.outcomes(6) == "fffff" + "s"  # full, and no fuller


SLIPS = [(0, "dddddd"), (1, "ssssss"), (2, "sdsdsd"), (3, "sddsdd")]


@pytest.mark.parametrize(("slip", "expected"), SLIPS)
async def test_slip(slip: int, expected: str) -> None:
    """The first limited response slips, so that a real client gets help at once, and then every so manieth."""
    assert await Bench(f"ratelimit 1 {{\nslip {slip}\n}}").outcomes(7) == "f" + expected


async def test_accounts_are_apart() -> None:
    """Another name, type, kind or network has its own bucket; all errors of one network share one."""
    bench = Bench("ratelimit 1 {\nslip 0\n}")
    for asked in (
        request(),
        request(qtype=RRType.TXT),
        request("other.example.com."),
        request(client=client("198.51.100.1")),
        request(client=client("2001:db8::1")),
    ):
        assert await bench.outcomes(2, FOUND, asked) == "fd"
    assert await bench.outcomes(2, NXDOMAIN, request("a.example.com.")) == "fd"
    assert await bench.outcomes(1, NXDOMAIN, request("b.example.com.")) == "d"
    assert await bench.outcomes(2, REFUSED, request("a.example.com.")) == "fd"
    assert await bench.outcomes(1, REFUSED, request("b.example.com.", RRType.TXT)) == "d"


NETWORKS = [  # options, two addresses, whether they share their buckets
    ("", "192.0.2.1", "192.0.2.255", True),
    ("", "192.0.2.1", "192.0.3.1", False),
    ("", "2001:db8:0:100::1", "2001:db8:0:1ff::1", True),
    ("", "2001:db8:0:100::1", "2001:db8:0:200::1", False),
    ("prefix 32 64", "192.0.2.1", "192.0.2.2", False),
    ("prefix 32 64", "2001:db8::1", "2001:db8::2", True),
    ("prefix 16 128", "192.0.2.1", "192.0.3.1", True),
    ("prefix 16 128", "2001:db8::1", "2001:db8::2", False),
    ("", "::ffff:192.0.2.1", "192.0.2.2", True),
]


@pytest.mark.parametrize(("options", "one", "other", "shared"), NETWORKS)
async def test_networks(options: str, one: str, other: str, shared: bool) -> None:
    """Clients of one network are one: an attacker forges its neighbours' addresses as well."""
    bench = Bench(f"ratelimit 1 {{\nslip 0\n{options}\n}}")
    assert await bench.outcomes(1, FOUND, request(client=client(one))) == "f"
    assert await bench.outcomes(1, FOUND, request(client=client(other))) == ("d" if shared else "f")


RATES = [  # options, reply, how many of ten pass
    ("ratelimit 3", NODATA, 3),
    ("ratelimit 3 {\nnodata 5\n}", NODATA, 5),
    ("ratelimit 3 {\nnxdomain 5\n}", NXDOMAIN, 5),
    ("ratelimit 3 {\nerrors 5\n}", REFUSED, 5),
    ("ratelimit 3 {\nerrors 5\n}", FOUND, 3),
    ("ratelimit 3 {\nerrors 0\n}", REFUSED, 10),
    ("ratelimit 0 {\nnxdomain 1\n}", FOUND, 10),
    ("ratelimit 0 {\nall 4\n}", FOUND, 4),
    ("ratelimit 3 {\nall 4\n}", FOUND, 3),
    ("ratelimit 3", SILENT, 10),
    ("ratelimit 3", TRUNCATED, 3),
]


@pytest.mark.parametrize(("text", "reply", "passed"), RATES)
async def test_rates(text: str, reply: Reply, passed: int) -> None:
    """Each kind has its rate, 0 is none; what is silent already is left alone."""
    bench = Bench(text)
    answers = [await bench.ask(reply) for _ in range(10)]
    assert sum(one is reply for one in answers) == passed


async def test_all() -> None:
    """`all` counts what goes out in full to a network, whatever it is; what is limited already does not count."""
    bench = Bench("ratelimit 2 {\nslip 0\nall 5\n}")
    assert await bench.outcomes(4) == "ffdd"
    assert await bench.outcomes(4, NXDOMAIN) == "ffdd"
    assert await bench.outcomes(2, NODATA) == "fd"
    assert await bench.outcomes(1, FOUND, request(client=client("198.51.100.1"))) == "f"


# What slips


def test_shortened() -> None:
    """An empty answer with TC, its code and AA kept; an error stays one without TC and without records."""
    for reply in (FOUND, NXDOMAIN, REFERRAL, NODATA):
        short = shortened(reply)
        assert (short.truncated, short.rcode, short.authoritative) == (True, reply.rcode, reply.authoritative)
        assert (short.answer, short.authority, short.additional) == ((), (), ())
    error = Reply(rcode=Rcode.SERVFAIL, authority=(SOA,), options=((65001, b"x"),), extended_error=(14, "long text"))
    assert shortened(error) == Reply(rcode=Rcode.SERVFAIL)


async def test_failures() -> None:
    """A plugin's error counts as the SERVFAIL that the server sends; a dropped one is not for `errors` to log."""
    bench = Bench("ratelimit 1")
    failed = failing("forward", "down")
    for expected in ("f", "s", "d"):
        if expected == "d":
            assert (await bench.plugin.handle(request(), failed)).silent
            continue
        with pytest.raises(PluginError, match="down"):
            await bench.plugin.handle(request(), failed)
    assert (await bench.plugin.handle(request(client=client("198.51.100.1")), answering(REFUSED))) is REFUSED


# Who is exempt


EXEMPT = [  # options, client, depth
    ("", client("127.0.0.1", transport=Transport.TCP), 0),
    ("", client("127.0.0.1", transport=Transport.TLS), 0),
    ("", client("127.0.0.1", proven=True), 0),
    ("", client("127.0.0.1"), 1),  # the server asks itself for an alias's target
    ("exempt 10.0.0.0/8 127.0.0.1", client("127.0.0.1"), 0),
    ("exempt 10.0.0.0/8\nexempt 2001:db8::/32", client("2001:db8::1"), 0),
    ("exempt 10.0.0.0/8", client("::ffff:10.1.2.3"), 0),
]


@pytest.mark.parametrize(("options", "who", "depth"), EXEMPT)
async def test_exempt(options: str, who: Client, depth: int) -> None:
    """Whoever cannot have forged its address is never limited, and takes nothing from the bucket of who is."""
    bench = Bench(f"ratelimit 1 {{\n{options}\n}}")
    asked = request(client=who)
    asked = Request(asked.query, who, asked.zone, asked.started, depth)
    assert await bench.outcomes(20, FOUND, asked) == "f" * 20
    assert len(bench.plugin.buckets) == 0


async def test_not_exempt() -> None:
    """A network beside an exempt one is limited."""
    bench = Bench("ratelimit 1 {\nslip 0\nexempt 10.0.0.0/8\n}")
    assert await bench.outcomes(2, FOUND, request(client=client("11.0.0.1"))) == "fd"


# Properties of the buckets


_STEP = 0.125  # seconds: exact in binary, so that a schedule says what it means
SCHEDULES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=80
)  # (steps of time since the last response, network)


# a full bucket that another network's response made the table forget, and one that was kept
@settings(deadline=None)  # another process may have the machine
@example(schedule=[(0, 0), (0, 0), (4, 1), (12, 2), (0, 0), (0, 0)], rate=1, slip=2, window=1)
@given(schedule=SCHEDULES, rate=st.integers(1, 5), slip=st.integers(0, 3), window=st.integers(1, 3))
def test_never_more_than_rate_and_burst(schedule: Sequence[tuple[int, int]], rate: int, slip: int, window: int) -> None:
    """In no second do more responses pass than the rate and one full bucket; networks do not influence each other."""
    buckets, alone = Buckets(1000, window, slip), {one: Buckets(1000, window, slip) for one in range(3)}
    passed: dict[int, list[float]] = {one: [] for one in range(3)}
    now = 0.0
    for steps, network in schedule:
        now += steps * _STEP
        verdict = buckets.take(network, 1 / rate, now)
        assert verdict is alone[network].take(network, 1 / rate, now)
        if verdict is Verdict.PASS:
            passed[network].append(now)
    for times in passed.values():
        assert all(sum(at <= one <= at + 1 for one in times) <= 2 * rate for at in times)


@settings(deadline=None)  # another process may have the machine
@given(schedule=SCHEDULES, rate=st.integers(1, 5))
def test_fair_clients_are_never_limited(schedule: Sequence[tuple[int, int]], rate: int) -> None:
    """Who keeps to the rate in every second always gets an answer, however uneven it asks."""
    buckets = Buckets(1000, 15, 2)
    asked: list[float] = []
    now = 0.0
    for steps, _ in schedule:
        now += steps * _STEP
        if sum(now - 1 < at for at in asked) < rate:  # in the second before, and this one
            asked.append(now)
            assert buckets.take("fair", 1 / rate, now) is Verdict.PASS


@settings(deadline=None)  # another process may have the machine
@given(
    keys=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=200),
    capacity=st.integers(1, 6),
)
def test_memory_is_bounded(keys: Sequence[tuple[int, int]], capacity: int) -> None:
    """There are never more buckets than that, and the last one asked for is there."""
    buckets, now = Buckets(capacity, 2, 2), 0.0
    for key, steps in keys:
        now += steps * _STEP
        buckets.take(key, 0.5, now)
        assert len(buckets) <= capacity
        assert key in buckets


def test_who_goes() -> None:
    """Full buckets go when others come, for they know nothing; else the one that was not asked for longest."""
    buckets = Buckets(3, 15, 0)
    for key in ("a", "b", "c", "a", "d"):
        buckets.take(key, 1.0, 0.0)
    assert [key in buckets for key in "abcd"] == [True, False, True, True]
    assert buckets.take("a", 1.0, 0.5) is Verdict.DROP  # kept its debt
    buckets.take("e", 1.0, 1.5)
    assert [key in buckets for key in "abcde"] == [True, False, False, False, True]  # two full ones have gone


def test_large_table() -> None:
    """A table in several shards keeps to its bound, uses nearly all of it, and shrinks once its buckets are full."""
    buckets = Buckets(10_000, 15, 2)
    for key in range(30_000):
        buckets.take(("network", str(key)), 1.0, 0.0)
        buckets.take(("network", "flood"), 1.0, 0.0)
    assert 9_500 <= len(buckets) <= 10_000
    assert buckets.take(("network", "flood"), 1.0, 0.0) is not Verdict.PASS
    for key in range(11_000):
        buckets.take(("later", str(key)), 1.0, 100.0 + 2 * key)
    assert len(buckets) < 100


# Metrics and log lines


async def test_metrics(world: World) -> None:
    """Limited responses by what they were and what became of them; `log_only` limits nothing."""
    bench, watching = Bench("ratelimit 1 {\nall 2\n}"), Bench("ratelimit 1 {\nlog_only\n}")
    async with bench.plugin.running(world.runtime), watching.plugin.running(world.runtime):
        await bench.outcomes(4)
        await bench.outcomes(2, NXDOMAIN)
        assert await bench.outcomes(1, NODATA) == "s"  # `all`
        assert await watching.outcomes(3) == "fff"
        text = (await world.runtime.metrics.render()).decode()
    assert [line for line in text.splitlines() if line.startswith("dnsserver_ratelimit_")] == [
        'dnsserver_ratelimit_responses_total{action="slipped",kind="answer",server="dns://:53"} 2.0',
        'dnsserver_ratelimit_responses_total{action="dropped",kind="answer",server="dns://:53"} 1.0',
        'dnsserver_ratelimit_responses_total{action="slipped",kind="nxdomain",server="dns://:53"} 1.0',
        'dnsserver_ratelimit_responses_total{action="slipped",kind="all",server="dns://:53"} 1.0',
        'dnsserver_ratelimit_responses_total{action="logged",kind="answer",server="dns://:53"} 2.0',
        "dnsserver_ratelimit_buckets 5.0",
    ]
    text = (await world.runtime.metrics.render()).decode()
    assert "dnsserver_ratelimit_buckets 0.0" in text


async def test_lines(world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network is reported once when it begins to be limited, and once when that has ended, with the sum."""
    monkeypatch.setattr("dnsserver.plugins.ratelimit._LOOK_EVERY", 0.001)
    caplog.set_level(logging.INFO, "plugin/ratelimit")
    bench = Bench("ratelimit 2")
    async with bench.plugin.running(world.runtime):
        await bench.outcomes(7)
        await bench.outcomes(7, NXDOMAIN)
        await bench.outcomes(3, REFUSED, request(client=client("2001:db8::1")))
        assert [record.message for record in caplog.records] == [
            "limit responses to 127.0.0.0/24: answer for www.example.com.",
            "limit responses to 2001:db8::/56: error",
        ]
        bench.clock.now += 15
        await until(lambda: len(caplog.records) == 4)
        await bench.outcomes(20)
    assert [record.message for record in caplog.records][2:] == [
        "stop limiting responses to 127.0.0.0/24: 4 dropped, 6 slipped",
        "stop limiting responses to 2001:db8::/56: 0 dropped, 1 slipped",
        "limit responses to 127.0.0.0/24: answer for www.example.com.",
        "stop limiting responses to 127.0.0.0/24: 9 dropped, 9 slipped",  # the plugin has ended
    ]


def test_few_lines() -> None:
    """So many networks are reported at a time, and one line says that there are more."""
    report = Report(15, limit=2)
    found = [(report.add(bytes([one]), 0.0, slipped=False), report.overflows()) for one in (1, 2, 3, 3, 1)]
    assert found == [(True, False), (True, True), (False, False), (False, False), (False, False)]
    assert report.end(14.9) == []
    assert report.end(15.0) == [(b"\1", "2 dropped, 0 slipped"), (b"\2", "1 dropped, 0 slipped")]
    assert not report


# Options


def test_options() -> None:
    """Every option, and what is so without any."""
    every = (Kind.ANSWER, Kind.NODATA, Kind.NXDOMAIN, Kind.ERROR)
    assert Bench("ratelimit 10").plugin.options == Options(rates=dict.fromkeys(every, 10))
    text = (
        "ratelimit 20 {\nnodata 15\nnxdomain 5\nerrors 0\nall 100\nslip 3\nwindow 1m\nprefix 32 64\n"
        "exempt 10.0.0.1/8\nexempt ::1\nmax_table 5000\nlog_only\n}"
    )
    options = Bench(text).plugin.options
    assert options.rates == {Kind.ANSWER: 20, Kind.NODATA: 15, Kind.NXDOMAIN: 5, Kind.ALL: 100}
    assert (options.slip, options.window, options.prefix, options.max_table) == (3, 60.0, (32, 64), 5000)
    assert (tuple(map(str, options.exempt)), options.log_only) == (("10.0.0.0/8", "::1/128"), True)


def test_same_as() -> None:
    """A reload keeps the buckets of a directive that has not changed."""
    one, like, other = (Bench(text).plugin for text in ("ratelimit 10", "ratelimit 10 {\nslip 2\n}", "ratelimit 11"))
    (other_plugin,) = parse("nsid", "nsid")
    assert [like.same_as(old) for old in (one, other, other_plugin)] == [True, False, False]


REFUSALS = [  # the lines, the reason
    (
        "ratelimit",
        "Corefile:2 - Error during parsing: Wrong argument count",
    ),
    ("ratelimit 1 2", "unexpected line ending after '2', expecting ratelimit RATE { ... }"),
    ("ratelimit ten", "'ten', expecting a whole number from 0 to 100000"),
    ("ratelimit -1", "'-1', expecting a whole number"),
    ("ratelimit 1.5", "'1.5', expecting a whole number"),
    ("ratelimit 100001", "'100001', expecting a whole number from 0 to 100000"),
    ("ratelimit 0", "no response is limited, expecting a RATE of 1 or more"),
    (
        "ratelimit 5 {\nnodata 0\nall 4\n}",
        "Corefile:4 - Error during parsing: all 4 is below another rate, expecting 5",
    ),
    ("ratelimit 5 {\nnxdomain\n}", "expecting nxdomain RATE"),
    ("ratelimit 5 {\nerrors x\n}", "Corefile:3 - Error during parsing: 'x', expecting a whole number"),
    ("ratelimit 5 {\nerrors 1\nerrors 2\n}", "Corefile:4 - Error during parsing: 'errors' is given twice"),
    ("ratelimit 5 {\nslip 11\n}", "'11', expecting a whole number from 0 to 10"),
    ("ratelimit 5 {\nwindow 15\n}", "expecting a duration such as 5s"),
    ("ratelimit 5 {\nwindow 999ms\n}", "a window of 999ms, expecting 1s to 1h0m0s"),
    ("ratelimit 5 {\nwindow 61m\n}", "a window of 61m, expecting 1s to 1h0m0s"),
    ("ratelimit 5 {\nprefix 24\n}", "expecting prefix V4 V6"),
    ("ratelimit 5 {\nprefix 33 56\n}", "'33', expecting a whole number from 1 to 32"),
    ("ratelimit 5 {\nprefix 24 0\n}", "'0', expecting a whole number from 1 to 128"),
    ("ratelimit 5 {\nexempt\n}", "expecting exempt CIDR..."),
    ("ratelimit 5 {\nexempt 10.0.0.0/8 10.0.0/8\n}", "'10.0.0/8' is no network"),
    ("ratelimit 5 {\nexempt 10.0.0.0/255.0.0.0\n}", "'10.0.0.0/255.0.0.0' is no network: no prefix length"),
    ("ratelimit 5 {\nmax_table 99\n}", "'99', expecting a whole number from 100 to 10000000"),
    ("ratelimit 5 {\nlog_only yes\n}", "expecting log_only"),
    ("ratelimit 5 {\nipv4 24\n}", "unknown property 'ipv4', expecting nodata or nxdomain or errors or all or slip"),
    ("ratelimit 5 {\nslip {\n2\n}\n}", "'slip' has no block of its own"),
    ("ratelimit 5\nratelimit 6", "Corefile:3 - Error during parsing: this plugin can only be used once"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSALS)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says where it is and what was expected."""
    error = refusal("ratelimit", text)
    assert reason in error
    assert error.startswith("plugin/ratelimit: Corefile:")


def test_place_in_the_chain() -> None:
    """What reports on queries sees what became of them, and whatever answers is inside."""
    at = ORDER.index("ratelimit")
    assert {"prometheus", "errors", "log", "nsid", "bufsize", "debug"} <= set(ORDER[:at])
    assert {"local", "any", "chaos", "rewrite", "acl", "cache", "kubernetes", "forward"} <= set(ORDER[at:])


# A whole server


COREFILE = """. {
    bind 127.0.0.1
    prometheus 127.0.0.1:0
    ratelimit 10
    cache
    hosts {
        192.0.2.1 a
    }
}"""


async def flood(server: Serving, wires: Sequence[bytes]) -> list[bytes]:
    """Send datagrams from one socket; return what comes back before the answer to a last one, of another account.

    On the loopback nothing is lost or overtaken as long as it fits into the buffers, so what is missing was dropped.
    """
    loop = asyncio.get_running_loop()
    found: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(server.address)
        last = encode_query(msgspec.structs.replace(question("version.bind", "TXT", qclass=3), id=1))
        for wire in (*wires, last):
            await loop.sock_sendall(sock, wire)
        async with asyncio.timeout(5):
            while (answer := await loop.sock_recv(sock, 4096))[:2] != last[:2]:
                found.append(answer)
    return found


async def test_flood(tmp_path: Path) -> None:
    """Of 200 equal queries a second's worth is answered, half of the rest gets TC and half nothing; TCP has no limit.

    A few more may pass where the machine has a pause of up to half a second among the first; then the debt is too deep.
    """
    edns = Edns(1232)
    async with serving(COREFILE, tmp_path) as server:
        answers = [parse_response(one) for one in await flood(server, [encode_query(question("a", edns=edns))] * 200)]
        full = [one for one in answers if one.answer]
        short = [one for one in answers if not one.answer]
        assert 10 <= len(full) <= 15
        assert abs(len(short) - (200 - len(full)) / 2) <= 1
        assert all(one.truncated and one.edns is not None and one.rcode == 0 for one in short)
        assert not any(one.truncated for one in full)
        assert [len((await server.ask("a", tcp=True)).answer) for _ in range(30)] == [1] * 30
        _, text = await get(server.http("127.0.0.1:0", "/metrics"))
    samples = re.findall(r'^dnsserver_ratelimit_responses_total\{action="(\w+)".*\} (\d+)', text, re.MULTILINE)
    assert dict(samples) == {"slipped": str(len(short)), "dropped": str(200 - len(answers))}


async def test_cookies_are_exempt(tmp_path: Path) -> None:
    """A client that sends our cookie back is never limited; one with a cookie that is not ours is like any other."""
    async with serving(COREFILE, tmp_path) as server:
        first = (await server.ask("a", edns=Edns(1232, options=((10, b"12345678"),)))).edns
        assert first is not None
        forged = first.options[0][1][:-1] + bytes([first.options[0][1][-1] ^ 1])
        for options, limited in ((first.options, False), (((10, forged),), True), (((10, b"12345678"),), True)):
            wire = encode_query(question("a", edns=Edns(1232, options=options)))
            answers = [parse_response(one) for one in await flood(server, [wire] * 100)]
            assert (sum(bool(one.answer) for one in answers) == 100) is not limited
        slipped = next(one for one in answers if one.truncated)
        assert slipped.edns is not None
        assert len(slipped.edns.options[0][1]) == 24  # what slips brings the cookie that is the way out


async def test_off_by_default(tmp_path: Path) -> None:
    """Without the directive nothing is limited."""
    async with serving(COREFILE.replace("ratelimit 10", ""), tmp_path) as server:
        assert len(await flood(server, [encode_query(question("a"))] * 200)) == 200
