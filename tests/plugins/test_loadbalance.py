"""`loadbalance`: orders, their distribution, preferences, weight files, and refusals."""

import ipaddress
import random
from collections import Counter
from pathlib import Path

import pytest

from dnsserver.message import Query, Reply
from dnsserver.names import from_text
from dnsserver.plugins.loadbalance import LoadBalance, WeightFile, parse_weights
from dnsserver.plugins.plugin import PluginError
from dnsserver.records import Rcode, RRset, RRType
from tests.plugins.conftest import World, answering, parse, refusal, request, rrset, until

WWW = "www.example.com"
ALIAS = rrset("alias.example.com", RRType.CNAME, WWW)
SERVICE = rrset(WWW, RRType.SRV, "service")
MAIL = rrset(WWW, RRType.MX, "mx1", "mx2", "mx3")
THREE = rrset(WWW, RRType.A, "10.0.0.1", "10.0.0.2", "192.0.2.3")
SIX = rrset(WWW, RRType.AAAA, "2001:db8::1", "fd00::2")


def only(text: str, folder: Path = Path()) -> LoadBalance:
    """Return the plugin of one block."""
    (plugin,) = parse("loadbalance", text, folder=folder)
    assert isinstance(plugin, LoadBalance)
    return plugin


def query(qtype: int = RRType.A) -> Query:
    """Return a query whose type is all that matters."""
    return request(qtype=qtype).query


def addresses(section: tuple[RRset, ...]) -> list[str]:
    """Return every address of a section in order."""
    return [str(ipaddress.ip_address(rdata)) for one in section if one.rrtype in (1, 28) for rdata in one.rdatas]


def types(section: tuple[RRset, ...]) -> list[int]:
    """Return the types of a section in order."""
    return [one.rrtype for one in section]


def test_round_robin_groups() -> None:
    """CNAMEs come first, then others, addresses, and MX; in each section, and nothing is lost."""
    plugin = LoadBalance(source=random.Random(1))
    section = (MAIL, THREE, SERVICE, ALIAS)
    reply = plugin.balance(query(), Reply(answer=section, authority=section, additional=(*section, SIX)))
    assert types(reply.answer) == types(reply.authority) == [RRType.CNAME, RRType.SRV, RRType.A, RRType.MX]
    assert [set(one.rdatas) for one in reply.answer] == [set(one.rdatas) for one in (ALIAS, SERVICE, THREE, MAIL)]
    assert sorted(types(reply.additional)) == sorted([*types(section), RRType.AAAA])
    assert (reply.answer[2].owner, reply.answer[2].ttl) == (THREE.owner, THREE.ttl)


@pytest.mark.parametrize("section", [(), (ALIAS,), (SERVICE,), (rrset(WWW, RRType.A, "10.0.0.1"),)])
def test_nothing_to_shuffle(section: tuple[RRset, ...]) -> None:
    """A section in which nothing can move stays as it is; the order of other records is not touched."""
    assert LoadBalance().balance(query(), Reply(answer=section)).answer == section
    text = rrset(WWW, RRType.TXT, *"abcdefgh")
    assert LoadBalance().balance(query(), Reply(answer=(text,))).answer == (text,)


def test_round_robin_is_uniform() -> None:
    """Each order of three addresses, and of three MX, is as likely as any other."""
    plugin = LoadBalance(source=random.Random(2))
    orders: Counter[tuple[str, ...]] = Counter()
    exchanges: Counter[tuple[bytes, ...]] = Counter()
    for _ in range(3000):
        reply = plugin.balance(query(), Reply(answer=(THREE, MAIL)))
        orders[tuple(addresses(reply.answer))] += 1
        exchanges[reply.answer[1].rdatas] += 1
    for counts in (orders.values(), exchanges.values()):
        assert len(counts) == 6
        assert all(420 < count < 580 for count in counts)


@pytest.mark.parametrize(
    ("qtype", "rcode"), [(RRType.AXFR, Rcode.NOERROR), (RRType.IXFR, Rcode.NOERROR), (RRType.A, Rcode.NXDOMAIN)]
)
def test_left_alone(qtype: int, rcode: int) -> None:
    """Transfers and failures keep their order."""
    reply = Reply(rcode=rcode, answer=(MAIL, THREE, ALIAS))
    assert LoadBalance().balance(query(qtype), reply) is reply


async def test_handle() -> None:
    """The plugin passes queries on and reorders what comes back."""
    reply = await only("loadbalance").handle(request(), answering(Reply(answer=(THREE, ALIAS))))
    assert types(reply.answer) == [RRType.CNAME, RRType.A]


def test_prefer() -> None:
    """Addresses go by the first subnet they are in, in the order of the option; MX and others follow."""
    plugin = only("loadbalance round_robin {\nprefer 192.0.2.77/24 fd00::/8\nprefer 10.0.0.2/32\n}")
    for _ in range(20):
        reply = plugin.balance(query(), Reply(answer=(SERVICE, MAIL, SIX, THREE, ALIAS), authority=(SIX,)))
        assert types(reply.answer)[0] == RRType.CNAME
        assert types(reply.answer)[-2:] == [RRType.MX, RRType.SRV]
        assert addresses(reply.answer) == ["192.0.2.3", "10.0.0.2", "10.0.0.1", "fd00::2", "2001:db8::1"]
        assert set(addresses(reply.authority)) == {"fd00::2", "2001:db8::1"}


def test_weighted_distribution(tmp_path: Path) -> None:
    """The first address is drawn by weight, 1 where the file has none; the others only make room for it."""
    file = WeightFile(tmp_path / "weights")
    file.weights = parse_weights("www.example.com\n10.0.0.1 3\n192.0.2.3 2", "weights")
    plugin = LoadBalance(weights=file, source=random.Random(3))
    orders: Counter[tuple[str, ...]] = Counter()
    for _ in range(6000):
        orders[tuple(addresses(plugin.balance(query(), Reply(answer=(THREE,))).answer))] += 1
    assert set(orders) == {
        ("10.0.0.1", "10.0.0.2", "192.0.2.3"),
        ("10.0.0.2", "10.0.0.1", "192.0.2.3"),
        ("192.0.2.3", "10.0.0.2", "10.0.0.1"),
    }
    assert orders["10.0.0.1", "10.0.0.2", "192.0.2.3"] == pytest.approx(3000, rel=0.1)
    assert orders["10.0.0.2", "10.0.0.1", "192.0.2.3"] == pytest.approx(1000, rel=0.15)


def test_weighted_sections(tmp_path: Path) -> None:
    """Only address and SRV questions are weighed, and only sections with addresses change."""
    file = WeightFile(tmp_path / "weights")
    file.weights = {SIX.owner: {SIX.rdatas[1]: 10**9}}
    plugin = LoadBalance(weights=file)
    section = (MAIL, THREE, SERVICE, SIX, ALIAS)
    reply = plugin.balance(query(RRType.SRV), Reply(answer=(MAIL, SERVICE), authority=section, additional=section))
    assert reply.answer == (MAIL, SERVICE)
    assert reply.authority == section
    assert types(reply.additional) == [RRType.CNAME, RRType.SRV, RRType.AAAA, RRType.A, RRType.MX]
    assert addresses(reply.additional)[0] == "fd00::2"
    assert plugin.balance(query(RRType.MX), Reply(answer=section)).answer == section


def test_weight_file() -> None:
    """Names with or without final dot, comments, repeated names, IPv6; the first weight of an address counts."""
    first = "# comment\n\nWWW.example.com\n10.0.0.1 3\n 10.0.0.1\t255 \n"
    text = first + "#\nb.example.\n::1 1\nwww.example.com.\n10.0.0.2 2\n"
    assert parse_weights(text, "file") == {
        from_text(WWW): {bytes((10, 0, 0, 1)): 3, bytes((10, 0, 0, 2)): 2},
        from_text("b.example"): {bytes(15) + b"\1": 1},
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.0.0.1", 'wrong domain name "10.0.0.1" in weight file file:1'),
        ("a..b", 'wrong domain name "a..b"'),
        ("10.0.0.1 3", "missing domain name in weight file file:1"),
        ("a\n\nb 3", 'wrong IP address "b" in weight file file:3'),
        ("a\n10.0.0.1 0", 'wrong weight value "0"'),
        ("a\n10.0.0.1 256", 'wrong weight value "256"'),
        ("a\n10.0.0.1 x", 'wrong weight value "x"'),
        ("a\n10.0.0.1 1 1", "could not parse weight line"),
    ],
)
def test_bad_weight_file(text: str, reason: str) -> None:
    """The error names file and line."""
    with pytest.raises(ValueError, match=reason):
        parse_weights(text, "file")


async def test_reload(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing file is waited for; a changed one is taken; a bad one is logged once and leaves the weights."""
    path = tmp_path / "weights"
    plugin = only("loadbalance weighted weights {\nreload 1ms\n}", tmp_path)
    weights = plugin.weights
    assert weights is not None
    async with plugin.running(world.runtime):
        assert "Failed to open weight file: " in caplog.text
        path.write_text("a\n10.0.0.1 3")
        await until(lambda: weights.weights)
        caplog.clear()
        path.write_text("a\n10.0.0.1 300")
        await until(lambda: "wrong weight value" in caplog.text)
        assert weights.weights == parse_weights("a\n10.0.0.1 3", "")
        path.write_text("a\n10.0.0.1 30")
        await until(lambda: weights.weights == parse_weights("a\n10.0.0.1 30", ""))
        assert caplog.text.count('wrong weight value "300"') == 1


@pytest.mark.parametrize(("content", "reason"), [(None, "weight file open error"), (b"1.2.3.4", "wrong domain name")])
async def test_refused_start(world: World, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A bad file, or a missing one that is never read again, stops the start."""
    if content is not None:
        (tmp_path / "weights").write_bytes(content)
    plugin = only("loadbalance weighted weights {\nreload 0s\n}", tmp_path)
    with pytest.raises(PluginError, match=reason):
        async with plugin.running(world.runtime):
            pass


async def test_never_reloaded(world: World, tmp_path: Path) -> None:
    """`reload 0s` reads the file once; a round robin has nothing to run."""
    (tmp_path / "weights").write_text("a\n10.0.0.1 3")
    plugin = only("loadbalance weighted weights {\nreload 0s\n}", tmp_path)
    assert plugin.weights is not None
    async with plugin.running(world.runtime), LoadBalance().running(world.runtime):
        await plugin.weights.watch()
        before = plugin.weights.weights
        await plugin.weights.start()
        assert plugin.weights.weights is before  # the same content is not parsed again
    assert plugin.weights.weights


def test_options(tmp_path: Path) -> None:
    """The policy, the file below the Corefile's folder, and how often it is read."""
    assert only("loadbalance").weights is None
    assert only("loadbalance round_robin").weights is None
    weights = only("loadbalance weighted sub/weights {\nprefer 10.0.0.0/8\n}", tmp_path).weights
    assert weights is not None
    assert (weights.path, weights.reload) == (tmp_path / "sub/weights", 30)
    absolute = only("loadbalance weighted /etc/weights {\nreload 1m\n}", tmp_path).weights
    assert absolute is not None
    assert (absolute.path, absolute.reload) == (Path("/etc/weights"), 60)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("loadbalance fleeb", "unknown policy: fleeb, expecting round_robin or weighted"),
        ("loadbalance round_robin x", "expecting loadbalance round_robin"),
        ("loadbalance weighted", "expecting loadbalance weighted WEIGHTFILE"),
        ("loadbalance weighted a b", "expecting loadbalance weighted WEIGHTFILE"),
        ("loadbalance\nloadbalance", "this plugin can only be used once per Server Block"),
        ("loadbalance {\nreload 5s\n}", "unknown property 'reload', expecting prefer"),
        ("loadbalance weighted a {\nreload\n}", "expecting reload DURATION"),
        ("loadbalance weighted a {\nreload 3x\n}", 'unknown unit "x"'),
        ("loadbalance weighted a {\nlimit 3\n}", "unknown property 'limit', expecting reload or prefer"),
        ("loadbalance {\nprefer\n}", "expecting prefer CIDR..."),
        ("loadbalance {\nprefer 10.0.0.1\n}", 'invalid CIDR "10.0.0.1"'),
        ("loadbalance {\nprefer 10.0.0.0/33\n}", 'invalid CIDR "10.0.0.0/33"'),
        ("loadbalance {\nprefer 10.0.0.0/255.0.0.0\n}", 'invalid CIDR "10.0.0.0/255.0.0.0"'),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("loadbalance", text)
    assert reason in error
    assert error.startswith("plugin/loadbalance: Corefile:")
