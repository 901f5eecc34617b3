"""`forward`: which server is tried when, what its answer becomes, the counters, and the options."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from dnsserver import corefile
from dnsserver.message import Client, Edns, Reply, Transport
from dnsserver.names import ROOT, from_text
from dnsserver.plugins.forward import Forward
from dnsserver.plugins.forwarding.options import Options
from dnsserver.plugins.order import available
from dnsserver.plugins.plugin import Context, Handler, PluginError, Request
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.upstream import Endpoint, RoundRobin, Settings, at_random, sequential
from dnsserver.wire import encode_reply, parse_query
from tests.harness import question, serving
from tests.plugins.conftest import SERVER, World, answering, parse, refusal, request, until
from tests.upstream import support
from tests.upstream.support import address_reply, make_certificates, other_id, refusing, server_side, silent

OK = address_reply("10.0.0.1")
NXDOMAIN = Reply(rcode=Rcode.NXDOMAIN, authoritative=False)
SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)
REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)
NODATA = Reply(authoritative=False)
LOCAL = Reply(answer=(RRset(ROOT, RRType.TXT, 1, (b"\4next",)),))
NEXT = answering(LOCAL)
FAST = "health_check 10ms"

Ask = Callable[..., Awaitable[Reply]]


def plugin(text: str, *, folder: Path = Path()) -> Forward:
    """Return the only `forward` of these lines."""
    (parsed,) = parse("forward", text, folder=folder)
    assert isinstance(parsed, Forward)
    return parsed


def at(*servers: support.Server | Endpoint) -> str:
    """Return the TO of servers."""
    return " ".join(one.address if isinstance(one, Endpoint) else one.endpoint.address for one in servers)


@contextlib.asynccontextmanager
async def forwarding(world: World, text: str, *, folder: Path = Path()) -> AsyncIterator[Ask]:
    """Run the lines of `forward` as a chain that ends in `NEXT`; yields what asks it, with a query's fields."""
    plugins = [one for one in parse("forward", text, folder=folder) if isinstance(one, Forward)]
    handler: Handler = NEXT
    for one in reversed(plugins):

        async def handle(asked: Request, one: Forward = one, call_next: Handler = handler) -> Reply:
            return await one.handle(asked, call_next)

        handler = handle
    async with contextlib.AsyncExitStack() as stack:
        for one in plugins:
            await stack.enter_async_context(one.running(world.runtime))
        yield lambda *args, **fields: handler(request(*args, **fields))


def samples(world: World) -> dict[str, float]:
    """Return the samples that are not 0 by name and labels, those of all servers together, without buckets."""
    families: list[Metric] = [
        one for one in world.runtime.metrics.collect() if "forward" in one.name or "proxy" in one.name
    ]
    found: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key not in ("to", "proxy_name", "le")}
            assert sample.labels.get("proxy_name", "forward") == "forward"
            if sample.value and not sample.name.endswith(("_bucket", "_sum", "_created")):
                key = " ".join((sample.name, *labels.values()))
                found[key] = found.get(key, 0) + sample.value
    return found


# What is forwarded, and what comes back


async def test_forwards(world: World) -> None:
    """The answer is passed on over the client's protocol; class CH goes through as well."""
    tcp = Client("127.0.0.1", 1, Transport.TCP, SERVER)
    async with support.serving(support.answering(OK)) as server, forwarding(world, f"forward . {at(server)}") as ask:
        assert await ask() == OK
        assert await ask(client=tcp) == OK
        await ask(qclass=RRClass.CH, qtype=RRType.TXT)
    assert server.protocols == ["udp", "tcp", "udp"]
    assert server.queries()[-1].qclass == RRClass.CH
    assert Forward.any_class


@pytest.mark.parametrize(
    ("name", "forwarded"),
    [
        ("www.example.com.", True),
        ("example.com.", True),  # the zone itself, although `except` has it
        ("example.org.", False),
        ("myexample.com.", False),
        ("internal.example.com.", False),
        ("a.internal.example.com.", False),
        ("1.0.0.10.in-addr.arpa.", False),
    ],
)
async def test_names(world: World, name: str, forwarded: bool) -> None:
    """Names at or below FROM, but those of `except`."""
    ignored = "example.com" if name == "example.com." else "internal.example.com 10.0.0.0/8"
    async with (
        support.serving(support.answering(OK)) as server,
        forwarding(world, f"forward Example.COM {at(server)} {{\nexcept a.example {ignored}\n}}") as ask,
    ):
        reply = await ask(name)
    assert (reply == LOCAL) is not forwarded
    assert bool(server.asked) is forwarded


async def test_wrong_question(world: World) -> None:
    """An answer with our ID to another question is FORMERR for the client; a query is no answer either."""
    wrong = encode_reply(support.question("other.example"), OK, limit=512)
    for respond in (lambda wire, _: (wire[:2] + wrong[2:],), lambda wire, _: (wire,)):
        async with support.serving(respond) as server, forwarding(world, f"forward . {at(server)}") as ask:
            assert await ask() == Reply(rcode=Rcode.FORMERR, authoritative=False)


async def test_wrong_id(world: World) -> None:
    """Answers with another ID are nobody's."""
    answer = support.answering(OK)

    def respond(wire: bytes, protocol: str) -> Sequence[bytes]:
        (message,) = answer(wire, protocol)
        return (other_id(encode_reply(parse_query(wire), NXDOMAIN, limit=512)), message)

    async with support.serving(respond) as server, forwarding(world, f"forward . {at(server)}") as ask:
        assert await ask() == OK


@pytest.mark.parametrize(
    ("options", "transport", "protocols", "truncated"),
    [
        ("", Transport.UDP, ["udp"], True),  # the client asks again
        ("", Transport.TCP, ["tcp"], False),
        ("", Transport.TLS, ["tcp"], False),
        ("force_tcp", Transport.UDP, ["tcp"], False),
        ("prefer_udp", Transport.TCP, ["udp", "tcp"], False),
        ("prefer_udp", Transport.UDP, ["udp", "tcp"], False),
        ("prefer_udp\nforce_tcp", Transport.UDP, ["tcp"], False),
    ],
)
async def test_protocols(
    world: World, options: str, transport: Transport, protocols: list[str], truncated: bool
) -> None:
    """The client's protocol, or what is configured; with `prefer_udp` TCP follows where UDP was not enough."""
    respond = support.answering(OK, truncated=True)
    client = Client("127.0.0.1", 1, transport, SERVER)
    async with (
        support.serving(respond) as server,
        forwarding(world, f"forward . {at(server)} {{\n{options}\n}}") as ask,
    ):
        reply = await ask(client=client)
    assert (server.protocols, reply.truncated) == (protocols, truncated)


async def test_tls(world: World, tmp_path: Path) -> None:
    """TLS with the CA and the name that are configured, for all servers or for one."""
    make_certificates(tmp_path)
    async with support.serving(support.answering(OK), tls=server_side(tmp_path)) as server:
        port = server.port
        for text in (
            f"forward . tls://127.0.0.1:{port} {{\ntls one.crt\n}}",
            f"forward . tls://127.0.0.1%ns1.example.org:{port} {{\ntls two.crt two.key one.crt\n}}",
            f"forward . tls://127.0.0.1:{port} {{\ntls one.crt\ntls_servername ns1.example.org\n}}",
        ):
            async with forwarding(world, text, folder=tmp_path) as ask:
                assert await ask() == OK
        wrong = (
            f"forward . tls://127.0.0.1:{port} {{\ntls one.crt\ntls_servername x.example\nmax_connect_attempts 1\n}}"
        )
        async with forwarding(world, wrong, folder=tmp_path) as ask:
            with pytest.raises(PluginError, match=r"^tls: failed to verify certificate: x509: "):
                await ask()


# Several servers


async def test_policies(world: World) -> None:
    """The order of `round_robin` and `sequential`; `random` gives every server its share."""
    async with (
        support.serving(support.answering(OK)) as one,
        support.serving(support.answering(OK)) as two,
    ):
        counts = {}
        for policy in ("sequential", "round_robin", "random"):
            async with forwarding(world, f"forward . {at(one, two)} {{\npolicy {policy}\n}}") as ask:
                for _ in range(32):
                    await ask()
            counts[policy] = (len(one.asked), len(two.asked))
            one.asked.clear()
            two.asked.clear()
    assert counts["sequential"] == (32, 0)
    assert counts["round_robin"] == (16, 16)
    assert min(counts["random"]) > 0


async def test_next_server(world: World) -> None:
    """After an error the next server is tried, and the first one is checked."""
    with refusing() as refused:
        async with (
            support.serving(support.answering(OK)) as server,
            forwarding(world, f"forward . {at(refused, server)} {{\npolicy sequential\n{FAST}\n}}") as ask,
        ):
            assert await ask() == OK
            await until(lambda: samples(world).get("coredns_proxy_healthcheck_failures_total", 0) >= 3)
            opened = samples(world)["coredns_proxy_conn_cache_misses_total udp"]
            assert await ask() == OK  # the server that is down is passed over
            assert samples(world)["coredns_proxy_conn_cache_misses_total udp"] == opened + 1
    assert len(server.asked) == 2


async def test_all_down(world: World) -> None:
    """A random server is tried once all are down, and its error is the client's; or nobody is tried at all."""
    with refusing() as one, refusing() as two:
        async with forwarding(world, f"forward . {at(one, two)} {{\n{FAST}\nmax_fails 1\n}}") as ask:
            with pytest.raises(PluginError, match=r"^read udp 127\.0\.0\.1:\d+->.*: read: connection refused$"):
                await ask()
            assert samples(world)["coredns_forward_healthcheck_broken_total"] >= 1
        text = f"forward . {at(one)} {{\n{FAST}\nmax_fails 1\nfailfast_all_unhealthy_upstreams\n}}"
        async with forwarding(world, text) as ask:
            with pytest.raises(PluginError) as caught:
                await ask()
            assert caught.value.info_code == 23  # Network Error
            with pytest.raises(PluginError, match=r"^no healthy proxies$") as caught:
                await ask()
            assert caught.value.info_code == 22  # No Reachable Authority: nobody was asked


async def test_extended_errors(tmp_path: Path) -> None:
    """Who has EDNS learns that the other server is at fault, and nothing about it (RFC 8914, section 4.24)."""
    with refusing() as one:
        corefile = f". {{\nbind 127.0.0.1\nforward . {at(one)} {{\n{FAST}\nmax_connect_attempts 1\n}}\n}}"
        async with serving(corefile, tmp_path) as server:
            for edns, expected in ((Edns(1232), (23, "")), (None, None)):
                response = await server.ask("a.b", edns=edns)
                assert (response.rcode, response.extended_error) == (Rcode.SERVFAIL, expected)


async def test_never_down(world: World) -> None:
    """With `max_fails 0` nobody is checked; `max_connect_attempts` limits what one query costs."""
    with refusing() as one:
        async with forwarding(world, f"forward . {at(one)} {{\nmax_fails 0\nmax_connect_attempts 2\n}}") as ask:
            with pytest.raises(PluginError, match=r": read: connection refused$"):
                await ask()
    assert samples(world) == {"coredns_proxy_conn_cache_misses_total udp": 2}
    with refusing() as one, refusing() as two:
        async with forwarding(world, f"forward . {at(one, two)} {{\nmax_fails 0\nmax_connect_attempts 1\n}}") as ask:
            with pytest.raises(PluginError, match=r": read: connection refused$"):
                await ask()
    assert samples(world) == {"coredns_proxy_conn_cache_misses_total udp": 3}


async def test_deadline(world: World) -> None:
    """After five seconds no further server is tried."""
    now = [0.0]

    def clock() -> float:
        now[0] += 2.0
        return now[0]

    with refusing() as one:
        parsed = plugin(f"forward . {at(one)} {{\nmax_fails 0\n}}")
        parsed._clock = clock
        async with parsed.running(world.runtime):
            with pytest.raises(PluginError, match=r": read: connection refused$"):
                await parsed.handle(request(), NEXT)
    assert samples(world) == {"coredns_proxy_conn_cache_misses_total udp": 1}


async def test_failover(world: World) -> None:
    """The next server is asked for the better of some RCODEs, each once; the last answer counts."""
    async with (
        support.serving(support.answering(SERVFAIL)) as one,
        support.serving(support.answering(REFUSED)) as two,
        support.serving(support.answering(OK)) as three,
    ):
        block = "{\npolicy sequential\nfailover SERVFAIL\nfailover refused NXDOMAIN\n}"
        async with forwarding(world, f"forward . {at(one, two, three)} {block}") as ask:
            assert await ask() == OK
        async with forwarding(world, f"forward . {at(one, two)} {block}") as ask:
            assert await ask() == REFUSED
        async with forwarding(world, f"forward . {at(one)} {block}") as ask:
            assert await ask() == SERVFAIL
    assert [len(server.asked) for server in (one, two, three)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("first", "option", "expected"),
    [
        (NXDOMAIN, "next NXDOMAIN SERVFAIL", OK),
        (SERVFAIL, "next nxdomain servfail", OK),
        (REFUSED, "next NXDOMAIN SERVFAIL", REFUSED),
        (NODATA, "next_on_nodata", OK),
        (NXDOMAIN, "next_on_nodata", NXDOMAIN),
        (NODATA, "next NXDOMAIN", NODATA),
    ],
)
async def test_next(world: World, first: Reply, option: str, expected: Reply) -> None:
    """The next `forward` is asked for the better of some answers; without one the answer counts."""
    async with (
        support.serving(support.answering(first)) as one,
        support.serving(support.answering(OK)) as two,
    ):
        text = f"forward . {at(one)} {{\n{option}\n}}"
        async with forwarding(world, f"{text}\nforward . {at(two)} {{\n{option}\n}}") as ask:
            assert await ask() == expected
        async with forwarding(world, text) as ask:
            assert await ask() == first


async def test_several(world: World) -> None:
    """Each `forward` has its own names, the first one that fits is asked."""
    async with (
        support.serving(support.answering(NXDOMAIN)) as one,
        support.serving(support.answering(OK)) as two,
    ):
        text = f"forward lab.example.com {at(one)}\nforward example.com {at(two)}"
        async with forwarding(world, text) as ask:
            assert [await ask(name) for name in ("a.lab.example.com", "example.com", "example.org")] == [
                NXDOMAIN,
                OK,
                LOCAL,
            ]


async def test_max_concurrent(world: World) -> None:
    """Queries over the limit are refused at once and counted; when others end there is room again."""
    async with support.serving(silent) as server:
        text = f"forward . {at(server)} {{\nmax_concurrent 1\nmax_connect_attempts 1\n}}"
        async with forwarding(world, text) as ask:
            waiting = asyncio.ensure_future(ask())
            await until(lambda: server.asked)
            assert await ask() == REFUSED
            assert samples(world)["coredns_forward_max_concurrent_rejects_total"] == 1
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            server.respond = support.answering(OK)
            assert await ask() == OK


async def test_not_running() -> None:
    """Nobody is asked before the start and after the end."""
    with pytest.raises(PluginError, match=r"^no healthy proxies$"):
        await plugin("forward . 127.0.0.1").handle(request(), NEXT)


async def test_host_names(world: World) -> None:
    """Host names are looked up when serving starts; every address counts once, in the order written."""
    addresses = address_reply("127.0.0.1", "127.0.0.1", name="ns.example.net")
    resolver = support.answering(addresses)
    async with support.serving(resolver) as names, support.serving(support.answering(OK)) as server:
        text = f"forward . ns.example.net:{server.port} {at(server)} {{\nresolver {at(names)}\n}}"
        parsed = plugin(text)
        async with parsed.running(world.runtime):
            assert [one.address for one in parsed._upstreams] == [server.endpoint.address]
            assert await parsed.handle(request(), NEXT) == OK
        names.respond = support.answering(NXDOMAIN)
        with pytest.raises(PluginError) as caught:
            async with plugin(text).running(world.runtime):
                pass
    message = 'plugin/forward: failed to resolve "ns.example.net": no addresses found for "ns.example.net"'
    assert str(caught.value) == message


async def test_metrics(world: World) -> None:
    """CoreDNS's names and labels; two `forward`s to one server share their samples."""
    tcp = Client("127.0.0.1", 1, Transport.TCP, SERVER)
    async with support.serving(support.answering(OK)) as server:
        for _ in range(2):
            async with forwarding(world, f"forward . {at(server)}") as ask:
                await ask()
                await ask(client=tcp)
                await ask(client=tcp)
        server.respond = support.answering(Reply(rcode=11))
        async with forwarding(world, f"forward . {at(server)}") as ask:
            await ask()
    assert samples(world) == {
        "coredns_proxy_request_duration_seconds_count NOERROR": 6,
        "coredns_proxy_request_duration_seconds_count DSOTYPENI": 1,
        "coredns_proxy_conn_cache_hits_total tcp": 2,
        "coredns_proxy_conn_cache_misses_total udp": 3,
        "coredns_proxy_conn_cache_misses_total tcp": 2,
    }
    text = (await world.runtime.metrics.render()).decode()
    assert "coredns_forward_healthcheck_broken_total 0.0" in text
    labels = f'proxy_name="forward",rcode="NOERROR",to="127.0.0.1:{server.port}"'
    assert f'coredns_proxy_request_duration_seconds_bucket{{le="8.192",{labels}}} 6.0' in text


async def test_whole_server(tmp_path: Path) -> None:
    """Through a whole server: spelling, flags and EDNS as the other server sent them, errors as SERVFAIL."""
    reply = Reply(
        rcode=Rcode.BADCOOKIE,
        authoritative=True,
        answer=(RRset(from_text("www.example.com"), RRType.A, 60, (b"\1\1\1\1",)),),
        recursion_available=True,
        authenticated=True,
        extended_error=(3, "stale"),
        options=((10, b"12345678"), (65001, b"local")),
    )
    edns = Edns(1232, dnssec_ok=True)
    async with support.serving(support.answering(reply)) as server:
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        text = f". {{\nbind 127.0.0.1\nforward . 127.0.0.1:{server.port} {{\nmax_connect_attempts 1\nexpire 1s\n}}\n}}"
        async with serving(text, tmp_path) as running:
            response = await running.ask("wWw.eXample.com", edns=edns)
            server.respond = lambda wire, protocol: (support.HANG_UP,)
            failed = await running.ask("www.example.com", tcp=True)
    assert (response.rcode, response.authoritative, response.recursion_available) == (Rcode.BADCOOKIE, True, True)
    assert (response.authenticated, response.extended_error) == (True, (3, "stale"))
    assert response.answer[0].owner == question("wWw.eXample.com").qname
    assert response.edns is not None
    assert response.edns.options == ((65001, b"local"), (15, b"\0\3stale"))  # a cookie is between us and them
    assert failed.rcode == Rcode.SERVFAIL


# Options

RESOLV_CONF = "nameserver 10.10.255.252\nnameserver 10.10.255.253\n"
SETTINGS = Settings()


@pytest.mark.parametrize(
    ("block", "options"),
    [
        ("", Options()),
        ("policy random", Options(order=at_random)),
        ("policy sequential", Options(order=sequential)),
        ("prefer_udp\nforce_tcp", Options(prefer_udp=True, upstream=Settings(force_tcp=True))),
        ("expire 30s\nmax_age 1m", Options(upstream=Settings(expire=30, max_age=60))),
        ("max_age 0s", Options()),
        ("max_idle_conns 20", Options(upstream=Settings(max_idle=20))),
        ("max_fails 0\nmax_fails 3", Options(max_fails=3)),
        ("max_connect_attempts 4", Options(max_connect_attempts=4)),
        ("max_concurrent 1000", Options(max_concurrent=1000)),
        ("doh_method GET", Options(upstream=Settings(doh_method="GET"))),
        ("next NXDOMAIN\nnext refused", Options(next_rcodes=frozenset({3, 5}))),
        ("next NOERROR", Options(next_rcodes=frozenset({0}))),
        ("next BADVERS", Options(next_rcodes=frozenset({16}))),
        ("next_on_nodata", Options(next_on_nodata=True)),
        ("failover SERVFAIL NotImp", Options(failover_rcodes=frozenset({2, 4}))),
        ("failfast_all_unhealthy_upstreams", Options(fail_fast=True)),
        ("tls_servername dns", Options()),  # for servers that speak TLS, and there are none
        ("health_check 5s", Options(upstream=Settings(check_interval=5))),
        ("health_check 0.5s no_rec", Options(upstream=Settings(check_recursion=False))),
        (
            "health_check 1s no_rec domain example.org",
            Options(upstream=Settings(check_interval=1, check_recursion=False, check_name=from_text("example.org"))),
        ),
        ("health_check 1s domain .", Options(upstream=Settings(check_interval=1))),
        (
            "except a.example b.example\nexcept 10.0.0.0/16",
            Options(ignored=tuple(map(from_text, ("a.example", "b.example", "0.10.in-addr.arpa")))),
        ),
        (
            "resolver 10.0.0.1 [::1]:54",
            Options(resolvers=(Endpoint("dns", "10.0.0.1", 53), Endpoint("dns", "::1", 54))),
        ),
    ],
)
def test_options(block: str, options: Options) -> None:
    """What each option means; of one that is given twice the last counts, lists add up."""
    assert plugin(f"forward . 127.0.0.1 {{\n{block}\n}}").options == options


def test_round_robin_option() -> None:
    """Each `forward` counts its own turns."""
    one, two = (plugin("forward . 127.0.0.1 {\npolicy round_robin\n}").options.order for _ in range(2))
    assert isinstance(one, RoundRobin)
    assert one is not two


@pytest.mark.parametrize(
    ("text", "zone", "addresses"),
    [
        ("forward . 127.0.0.1", ".", ["127.0.0.1:53"]),
        ("forward Example.ORG 127.0.0.1:1053 [2003::1]:53", "example.org", ["127.0.0.1:1053", "[2003::1]:53"]),
        ("forward 10.0.0.0/8 ::1", "10.in-addr.arpa", ["[::1]:53"]),
        ("forward dns://example.org:53 ::1", "example.org", ["[::1]:53"]),
        ("forward . resolv.conf 10.0.0.1", ".", ["10.10.255.252:53", "10.10.255.253:53", "10.0.0.1:53"]),
        ("forward . tls://9.9.9.9", ".", ["9.9.9.9:853"]),
    ],
)
def test_targets(tmp_path: Path, text: str, zone: str, addresses: list[str]) -> None:
    """FROM and TO; files are beside the Corefile."""
    (tmp_path / "resolv.conf").write_text(RESOLV_CONF)
    parsed = plugin(text, folder=tmp_path)
    assert parsed.zone == from_text(zone)
    assert [one.address for one in parsed.targets if isinstance(one, Endpoint)] == addresses


def test_warnings() -> None:
    """A network that is several zones, and an option that HTTPS has no use for."""
    text = "forward 10.9.3.0/18 https://127.0.0.1 {\nmax_idle_conns 1\n}"
    (block,) = corefile.parse(f". {{\n{text}\n}}").blocks
    warnings: list[str] = []
    context = Context(zones=(ROOT,), folder=Path(), port=53, warn=warnings.append)
    (parsed,) = available()["forward"](block.directives, context)
    assert isinstance(parsed, Forward)
    assert parsed.zone == from_text("0.9.10.in-addr.arpa")
    assert warnings == [
        "Corefile:2 - plugin/forward: Unsupported CIDR notation: '10.9.3.0/18' expands to multiple zones. "
        "Using only '0.9.10.in-addr.arpa.'.",
        "Corefile:2 - plugin/forward: max_idle_conns is not for https:// upstreams",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("forward", "Wrong argument count or unexpected line ending after 'forward', expecting forward FROM TO..."),
        ("forward .", "Wrong argument count or unexpected line ending after '.', expecting forward FROM TO..."),
        (f"forward {'x' * 64} 127.0.0.1", f"unable to normalize '{'x' * 64}'"),
        ("forward . 127.0.0.1:x", 'not an IP address, file, or valid domain: "127.0.0.1:x"'),
        ("forward . grpc://127.0.0.1", "'grpc' is not supported as a destination protocol in forward"),
        ("forward . /dev/null", "no nameservers found in /dev/null"),
        ("forward . " + " ".join(f"10.0.0.{n}" for n in range(16)), "more than 15 TOs configured: 16"),
        ("forward . ::1 {\nblaatl\n}", "unknown property 'blaatl'"),
        ("forward . ::1 {\nexcept\n}", "expecting except IGNORED_NAMES..."),
        ("forward . ::1 {\nexcept a..b\n}", "unable to normalize 'a..b'"),
        ("forward . ::1 {\nforce_tcp now\n}", "expecting force_tcp"),
        ("forward . ::1 {\nprefer_udp now\n}", "expecting prefer_udp"),
        ("forward . ::1 {\nexpire\n}", "expecting expire DURATION"),
        ("forward . ::1 {\nexpire 10\n}", "time: missing unit in duration"),
        ("forward . ::1 {\nexpire -1s\n}", "duration -1s is negative"),
        ("forward . ::1 {\nmax_age 5s\n}", "max_age (5s) must not be less than expire (10s)"),
        ("forward . ::1 {\nmax_idle_conns -1\n}", "max_idle_conns can't be negative: -1"),
        ("forward . ::1 {\nmax_fails many\n}", 'invalid max_fails: "many", expecting a number from 0 to 4294967295'),
        ("forward . ::1 {\nmax_fails 4294967296\n}", 'invalid max_fails: "4294967296"'),
        ("forward . ::1 {\nmax_connect_attempts\n}", "expecting max_connect_attempts INTEGER"),
        ("forward . ::1 {\nmax_concurrent -4\n}", "max_concurrent can't be negative: -4"),
        ("forward . ::1 {\nmax_concurrent 1 2\n}", "expecting max_concurrent INTEGER"),
        (
            "forward . ::1 {\npolicy fastest\n}",
            "unknown policy 'fastest', expecting random or round_robin or sequential",
        ),
        ("forward . ::1 {\ndoh_method PUT\n}", "doh_method must be either POST or GET"),
        ("forward . ::1 {\nnext\n}", "expecting next RCODE..."),
        ("forward . ::1 {\nnext NODATA\n}", "NODATA is not a valid rcode"),
        ("forward . ::1 {\nfailover NOERROR\n}", "NoError cannot be used in failover"),
        ("forward . ::1 {\nfailfast_all_unhealthy_upstreams x\n}", "expecting failfast_all_unhealthy_upstreams"),
        ("forward . ::1 {\nhealth_check\n}", "expecting health_check DURATION [no_rec] [domain FQDN]"),
        ("forward . ::1 {\nhealth_check no_rec\n}", 'time: invalid duration "no_rec"'),
        ("forward . ::1 {\nhealth_check 1s rec\n}", "health_check: unknown option rec"),
        (
            "forward . ::1 {\nhealth_check 1s domain\n}",
            "Wrong argument count or unexpected line ending after 'domain', "
            "expecting health_check DURATION [no_rec] [domain FQDN]",
        ),
        ("forward . ::1 {\nhealth_check 1s domain a..b\n}", "health_check: invalid domain name a..b"),
        ("forward . ::1 {\nresolver\n}", "expecting resolver IP[:PORT]..."),
        ("forward . ::1 {\nresolver dns.example\n}", 'resolver must be an IP address or IP:port: "dns.example"'),
        ("forward . ::1 {\ntls_servername\n}", "expecting tls_servername NAME"),
        ("forward . ::1 {\ntls a b c d\n}", "expecting tls [CERT KEY] [CA]"),
        ("forward . ::1 {\ntls none.crt\n}", "error reading none.crt: No such file or directory"),
        (
            "forward . tls://9.9.9.9%a.example {\ntls_servername b.example\n}",
            "both forward ('b.example') and proxy level ('a.example') TLS servernames are set for upstream proxy "
            "'tls://9.9.9.9%a.example'",
        ),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    assert reason in refusal("forward", text)
