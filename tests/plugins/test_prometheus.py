"""`prometheus`: what it counts of each query, its page, and refusals."""

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.message import Reply
from dnsserver.plugins.plugin import PluginError
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.records import RRType
from tests.plugins.conftest import (
    DNSSEC,
    NXDOMAIN,
    SERVER,
    ZONE,
    World,
    answering,
    failing,
    parse,
    refusal,
    request,
    rrset,
)

ANY_PORT = "127.0.0.1:0"
BLOCK = {"server": SERVER, "zone": "example.com.", "view": ""}


async def scrape(world: World) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample of the page by name and labels."""
    async with (
        world.runtime.http.route(ANY_PORT, "/", lambda _: None) as bound,  # type: ignore[arg-type, return-value]  # never called: it only tells the address
        aiohttp.ClientSession() as session,
        session.get(f"http://{bound}/metrics") as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


async def test_counts(world: World) -> None:
    """Answers and failures are counted; a failure is the SERVFAIL that the server sends, and goes on up."""
    plugin = Prometheus(ANY_PORT)
    reply = Reply(answer=(rrset("www.example.com", RRType.A, "192.0.2.1", "192.0.2.2"),))
    async with plugin.running(world.runtime):
        assert await plugin.handle(request(), answering(reply)) is reply
        await plugin.handle(request(qtype=RRType.AAAA, edns=DNSSEC), answering(NXDOMAIN))
        with pytest.raises(PluginError):
            await plugin.handle(request(size=30), failing("test", "x"))
        samples = await scrape(world)

    def value(sample: str, /, **labels: str) -> float | None:
        return samples.get((sample, frozenset((BLOCK | labels).items())))

    assert value("coredns_dns_requests_total", proto="udp", family="1", type="A") == 2
    assert value("coredns_dns_requests_total", proto="udp", family="1", type="AAAA") == 1
    assert value("coredns_dns_do_requests_total") == 1
    for rcode in ("NOERROR", "NXDOMAIN", "SERVFAIL"):
        assert value("coredns_dns_responses_total", rcode=rcode, plugin="") == 1
    assert value("coredns_dns_request_duration_seconds_count") == 3
    assert value("coredns_dns_request_duration_seconds_bucket", le="8.192") == 3
    assert value("coredns_dns_request_size_bytes_sum", proto="udp") == 46 + 46 + 30
    question = 12 + len(request().query.qname) + 4
    positive = question + 2 * (len(request().query.qname) + 10 + 4)
    negative = question + 11 + len(ZONE) + 10 + len(b"soa")
    assert value("coredns_dns_response_size_bytes_sum", proto="udp") == positive + negative + question


async def test_not_running() -> None:
    """Before it runs, the plugin passes queries on and counts nothing."""
    assert await Prometheus().handle(request(), answering(Reply())) == Reply()


@pytest.mark.parametrize(
    ("text", "address"),
    [("prometheus", "localhost:9153"), ("prometheus :9153", ":9153"), ("prometheus {\n}", "localhost:9153")],
)
def test_options(text: str, address: str) -> None:
    """The address is the only option."""
    (plugin,) = parse("prometheus", text)
    assert isinstance(plugin, Prometheus)
    assert plugin.address == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prometheus a", "missing port in address"),
        ("prometheus :1 :2", "expecting prometheus [ADDRESS]"),
        ("prometheus\nprometheus :2", "this plugin can only be used once per Server Block"),
        ("prometheus {\ntls cert key\n}", "unknown property 'tls', expecting no block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Every refusal says what was expected."""
    error = refusal("prometheus", text)
    assert reason in error
    assert error.startswith("plugin/prometheus: Corefile:")
