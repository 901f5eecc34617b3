"""`autopath`: which queries it walks, what the walk ends in, where search paths come from, and refusals."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from dnsserver import corefile
from dnsserver.message import Client, Reply, Transport
from dnsserver.names import ROOT, Name, from_text, spelled_from_text, to_text
from dnsserver.plugins.autopath import Autopath, SearchPaths, parse_search
from dnsserver.plugins.autopath import parse as parse_autopath
from dnsserver.plugins.plugin import Context, Plugin, PluginError, Request
from dnsserver.records import Rcode, RRset, RRType
from tests.plugins.conftest import SERVER, World, parse, refusal, request, rrset

POD = "10.244.0.7"
PATH = tuple(map(from_text, ("ns1.svc.cluster.local", "svc.cluster.local", "cluster.local")))
SOA = rrset("cluster.local", RRType.SOA, "soa")
NXDOMAIN = Reply(rcode=Rcode.NXDOMAIN, authority=(SOA,))


class Kubernetes(Plugin):
    """Knows one pod."""

    name = "kubernetes"

    def __init__(self) -> None:
        self.walkers = 0

    def search_path(self, client_address: str, asked: Name) -> tuple[Name, ...]:
        """Return its path."""
        return PATH if client_address == POD else ()

    def give_paths(self) -> Callable[[], None]:
        """Count who wants paths."""
        self.walkers += 1

        def end() -> None:
            self.walkers -= 1

        return end


class Chain:
    """Answers by name, NXDOMAIN with the name in it where nothing is said; notes what it was asked."""

    def __init__(self, **replies: Reply | Exception) -> None:
        self._replies = replies
        self.asked: list[str] = []

    async def handle(self, request: Request) -> Reply:
        """Answer."""
        name = to_text(request.query.qname)
        self.asked.append(name)
        reply = self._replies.get(name.lower(), Reply(rcode=Rcode.NXDOMAIN, authority=(rrset(name, 6, "soa"),)))
        if isinstance(reply, Exception):
            raise reply
        return reply


def found(owner: str, *, ttl: int = 30, **fields: object) -> Reply:
    """Return a reply with one address."""
    return Reply(answer=(rrset(owner, RRType.A, "192.0.2.1", ttl=ttl),), **fields)  # type: ignore[arg-type]  # of Reply


async def walk(
    chain: Chain,
    world: World,
    qname: str = "www.example.org.ns1.svc.cluster.local.",
    *,
    address: str = POD,
    resolv_conf: Path = Path("/nowhere"),
    zones: tuple[Name, ...] = (ROOT,),
) -> tuple[Reply, str]:
    """Return the reply and what was counted."""
    plugin = Autopath(zones, provider="kubernetes", resolv_conf=resolv_conf)
    world.block(plugin, Kubernetes())
    asked = request(qname, client=Client(address, 4242, Transport.UDP, SERVER), qname=spelled_from_text(qname))
    async with plugin.running(world.runtime):
        reply = await plugin.handle(asked, chain.handle)
        return reply, success(world)


def success(world: World) -> str:
    """Return the samples of the plugin's metric."""
    families: list[Metric] = [one for one in world.runtime.metrics.collect() if one.name == "coredns_autopath_success"]
    return " ".join(f"{one.labels['server']}={one.value:g}" for family in families for one in family.samples)


WALKS = [  # what is there, what was asked, where the alias leads
    ("www.example.org.ns1.svc.cluster.local.", 1, ""),
    ("www.example.org.svc.cluster.local.", 2, "www.example.org.svc.cluster.local."),
    ("www.example.org.cluster.local.", 3, "www.example.org.cluster.local."),
    ("www.example.org.corp.example.", 4, "www.example.org.corp.example."),
    ("www.example.org.", 5, "www.example.org."),
]


@pytest.mark.parametrize(("there", "asked", "alias"), WALKS)
async def test_walks(world: World, tmp_path: Path, there: str, asked: int, alias: str) -> None:
    """The path's names are tried in order, at last the bare one; an alias leads from the question to the answer."""
    (tmp_path / "resolv.conf").write_text("search corp.example\n")
    chain = Chain(**{there: found(there)})
    reply, counted = await walk(chain, world, resolv_conf=tmp_path / "resolv.conf")
    assert chain.asked == [case[0] for case in WALKS[:asked]]
    chained = (RRset(from_text(WALKS[0][0]), RRType.CNAME, 30, (from_text(alias),)),) if alias else ()
    assert reply.answer == (*chained, *found(there).answer)
    assert counted == f"{SERVER}=1"


async def test_nowhere(world: World) -> None:
    """The client gets the first reply and goes on by itself; that is no success."""
    chain = Chain()
    reply, counted = await walk(chain, world)
    assert reply.authority[0].owner == from_text(WALKS[0][0])
    assert (reply.rcode, reply.answer, len(chain.asked), counted) == (Rcode.NXDOMAIN, (), 4, "")


async def test_what_ends_a_walk(world: World) -> None:
    """NODATA does, for the name exists; a failure does, for the name may exist; being refused does not."""
    second, third = WALKS[1][0], WALKS[2][0]

    async def after(reply: Reply | Exception) -> Reply:
        replies = {second: reply, third: found(third)}
        return (await walk(Chain(**replies), world))[0]

    nodata, failure = Reply(authority=(SOA,)), Reply(rcode=Rcode.SERVFAIL)
    assert await after(nodata) is nodata
    assert await after(failure) is failure
    assert len((await after(Reply(rcode=Rcode.REFUSED, authoritative=False))).answer) == 2
    with pytest.raises(PluginError):
        await after(PluginError("forward", "no upstream"))


async def test_case_and_the_rest_of_the_reply(world: World) -> None:
    """Further names are asked as spelled, and a reply keeps everything but its answer."""
    bare = found("www.example.org", recursion_available=True, authoritative=False, authority=(SOA,))
    chain = Chain(**{"www.example.org.": bare})
    reply, _ = await walk(chain, world, "wWw.Example.org.NS1.svc.CLUSTER.local.")
    assert chain.asked == [
        "wWw.Example.org.NS1.svc.CLUSTER.local.",
        "wWw.Example.org.svc.cluster.local.",
        "wWw.Example.org.cluster.local.",
        "wWw.Example.org.",
    ]
    assert reply.answer[0].rdatas == (from_text("www.example.org"),)
    assert (reply.recursion_available, reply.authoritative, reply.authority) == (True, False, (SOA,))


PASSED_ON = [
    ("not the first of the path", "www.example.org.svc.cluster.local.", POD, (ROOT,)),
    ("nothing before it", "ns1.svc.cluster.local.", POD, (ROOT,)),
    ("another namespace", "www.example.org.ns2.svc.cluster.local.", POD, (ROOT,)),
    ("not by whole labels", "www.xns1.svc.cluster.local.", POD, (ROOT,)),
    ("an unknown client", WALKS[0][0], "10.244.0.8", (ROOT,)),
    ("a zone of somebody else", WALKS[0][0], POD, (from_text("example.org"),)),
]


@pytest.mark.parametrize(
    ("qname", "address", "zones"), [case[1:] for case in PASSED_ON], ids=[case[0] for case in PASSED_ON]
)
async def test_passed_on(world: World, qname: str, address: str, zones: tuple[Name, ...]) -> None:
    """Whatever is no search of a known client is asked once, and the reply is the next plugin's."""
    chain = Chain(**{"www.example.org.": found("www.example.org")})
    reply, counted = await walk(chain, world, qname, address=address, zones=zones)
    assert (reply.rcode, chain.asked, counted) == (Rcode.NXDOMAIN, [qname], "")


async def test_a_name_too_long_is_left_out(world: World, tmp_path: Path) -> None:
    """The rest of the path is still tried."""
    (tmp_path / "resolv.conf").write_text(f"search {'a' * 63}.{'b' * 63}\n")
    long = f"{'c' * 63}.{'d' * 63}."
    chain = Chain(**{long: found(long)})
    reply, _ = await walk(chain, world, f"{long}ns1.svc.cluster.local.", resolv_conf=tmp_path / "resolv.conf")
    assert len(chain.asked) == 4
    assert len(reply.answer) == 2


async def test_a_search_path_from_a_file(world: World, tmp_path: Path) -> None:
    """It is the same for every client, ends in the bare name, and is relative to the Corefile."""
    (tmp_path / "my.conf").write_text("nameserver 192.0.2.1\nsearch a.example. b.example\noptions ndots:5\n")
    (plugin,) = parse("autopath", "autopath my.conf", folder=tmp_path)
    assert isinstance(plugin, Autopath)
    plugin.zones = (ROOT,)
    world.block(plugin)
    chain = Chain(**{"www.": found("www.")})
    async with plugin.running(world.runtime):
        await plugin.handle(request("www.a.example."), chain.handle)
        assert success(world) == f"{SERVER}=1"
    assert chain.asked == ["www.a.example.", "www.b.example.", "www."]


RESOLV_CONFS = [
    ("", ()),
    ("search\nnameserver 192.0.2.1", ()),
    ("# search a\n; search b\nsearch c d. E.f", ("c.", "d.", "e.f.")),
    ("domain a.example b", ("a.example.",)),
    ("search a b\ndomain c", ("c.",)),
    ("domain c\nsearch a\tb ", ("a.", "b.")),
]


@pytest.mark.parametrize(("text", "search"), RESOLV_CONFS)
def test_resolv_conf(text: str, search: tuple[str, ...]) -> None:
    """The last `search` or `domain` line counts."""
    assert tuple(map(to_text, parse_search(text))) == search


async def test_providers(world: World) -> None:
    """One that is not in the block, or knows no paths, would be asked for nothing in silence: an error."""
    (plugin,) = parse("autopath", "autopath @kubernetes")
    world.block(plugin, Plugin())
    with pytest.raises(PluginError, match=r"^plugin/autopath: @kubernetes: no such plugin in this server block$"):
        await plugin.running(world.runtime).__aenter__()
    other = Plugin()
    other.name = "kubernetes"
    world.blocks.clear()
    world.block(plugin, other)
    with pytest.raises(PluginError, match=r"^plugin/autopath: kubernetes does not implement the AutoPather interface$"):
        await plugin.running(world.runtime).__aenter__()
    provider = Kubernetes()
    assert isinstance(provider, SearchPaths)
    world.blocks.clear()
    world.block(plugin, provider)
    async with plugin.running(world.runtime):
        assert provider.walkers == 1
    assert provider.walkers == 0


def test_arguments() -> None:
    """Zones come first, the source last; without zones they are the server block's."""
    (plugin,) = parse("autopath", "autopath Cluster.local 10.0.0.0/8 @kubernetes")
    assert isinstance(plugin, Autopath)
    assert plugin.zones == (from_text("cluster.local"), from_text("10.in-addr.arpa"))
    assert plugin.provider == "kubernetes"
    (plugin,) = parse("autopath", "autopath @kubernetes")
    assert isinstance(plugin, Autopath)
    assert plugin.zones == (from_text("example.com"),)


REFUSALS = [
    ("autopath", "Corefile:2 - Error during parsing: no resolv-conf specified, expecting autopath [ZONES...]"),
    ("autopath @", "no plugin behind '@', expecting one such as @kubernetes"),
    ("autopath @kubernetes {\nttl 5\n}", "unknown property 'ttl', expecting no block"),
    (
        "autopath @kubernetes\nautopath @kubernetes",
        "Corefile:3 - Error during parsing: this plugin can only be used once",
    ),
    ("autopath nowhere.conf", 'failed to parse "nowhere.conf": No such file or directory'),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(text: str, message: str) -> None:
    """Each says where, and what was expected."""
    assert message in refusal("autopath", text)


@pytest.mark.parametrize("content", [b"search a..b\n", b"search \xff\n"])
def test_a_broken_file(tmp_path: Path, content: bytes) -> None:
    """What cannot be a search path is refused."""
    (tmp_path / "broken.conf").write_bytes(content)
    assert "failed to parse" in refusal("autopath", f"autopath {tmp_path}/broken.conf")


def test_a_file_without_a_search_path(tmp_path: Path) -> None:
    """It does no harm, and nothing else either: the operator is told."""
    (tmp_path / "my.conf").write_text("nameserver 192.0.2.1\n")
    warnings: list[str] = []
    (block,) = corefile.parse(". {\nautopath my.conf\n}\n").blocks
    parse_autopath(block.directives, Context(zones=(ROOT,), folder=tmp_path, port=53, warn=warnings.append))
    assert warnings == [f"plugin/autopath: {tmp_path}/my.conf has no search path: there is nothing to walk"]


async def test_a_host_without_resolv_conf(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The client's own path is all there is."""
    await walk(Chain(), world, resolv_conf=Path("/nowhere"))
    assert "/nowhere gives no search path" in caplog.text
