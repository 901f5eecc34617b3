"""What an operator's dashboard reads, after traffic that is known: exact counts for every set of labels."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dnsserver.message import Edns, Reply
from dnsserver.names import from_text
from dnsserver.records import RRset, RRType
from tests.harness import Serving, get, serving
from tests.upstream.support import answering
from tests.upstream.support import serving as upstream

EXAMPLE = Path(__file__).parents[1] / "examples" / "manifests"
VMI = "myvmi.mysubdomain.default.svc.cluster.local"
OUTSIDE = "www.example.org"

COREFILE = """
.:0 {{
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:0
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
    }}
    forward . 127.0.0.1:{outside}
    cache 30
}}
"""

Labels = frozenset[tuple[str, str]]


def labels(server: str, values: Mapping[str, str]) -> Labels:
    """Return a set of labels of one server block."""
    return frozenset({"server": server, "view": "", **values}.items())


async def scrape(server: Serving) -> dict[str, dict[Labels, float]]:
    """Return every sample by its name and labels."""
    status, text = await get(server.http("127.0.0.1:0", "/metrics"))
    assert status == 200
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


async def test_known_traffic(tmp_path: Path) -> None:
    """Requests, responses, sizes, durations, cache and forward: what was asked is what is counted, and nothing else."""
    answer = Reply(answer=(RRset(from_text(OUTSIDE), RRType.A, 60, (bytes([192, 0, 2, 1]),)),))
    async with upstream(answering(answer)) as outside:
        corefile = COREFILE.format(manifests=EXAMPLE, outside=outside.endpoint.port)
        async with serving(corefile, tmp_path) as server:
            for _ in range(3):
                await server.ask(VMI)
            await server.ask(VMI, "AAAA", edns=Edns(1232, dnssec_ok=True))
            await server.ask("nope.default.svc.cluster.local", tcp=True)
            await server.ask("57.0.244.10.in-addr.arpa", "PTR")
            for _ in range(2):
                await server.ask(OUTSIDE)
            found = await scrape(server)
            (name,) = server.app.bound
    zone = {"zone": "."}
    request = zone | {"family": "1"}
    assert found["coredns_dns_requests_total"] == {
        labels(name, request | {"proto": "udp", "type": "A"}): 5,
        labels(name, request | {"proto": "udp", "type": "AAAA"}): 1,
        labels(name, request | {"proto": "tcp", "type": "A"}): 1,
        labels(name, request | {"proto": "udp", "type": "PTR"}): 1,
    }
    assert found["coredns_dns_responses_total"] == {
        labels(name, zone | {"rcode": "NOERROR", "plugin": ""}): 7,
        labels(name, zone | {"rcode": "NXDOMAIN", "plugin": ""}): 1,
    }
    assert found["coredns_dns_do_requests_total"] == {labels(name, zone): 1}
    assert found["coredns_dns_request_duration_seconds_count"] == {labels(name, zone): 8}
    for size in ("coredns_dns_request_size_bytes_count", "coredns_dns_response_size_bytes_count"):
        assert found[size] == {labels(name, zone | {"proto": "udp"}): 7, labels(name, zone | {"proto": "tcp"}): 1}
    # the cluster's names are answered without asking the cache
    assert found["coredns_cache_hits_total"][labels(name, {"zones": ".", "type": "success"})] == 1
    assert found["coredns_cache_misses_total"] == {labels(name, {"zones": "."}): 1}
    assert found["coredns_panics_total"] == {frozenset(): 0}
    to = f"127.0.0.1:{outside.endpoint.port}"
    answered = frozenset({"proxy_name": "forward", "to": to, "rcode": "NOERROR"}.items())
    assert found["coredns_proxy_request_duration_seconds_count"][answered] == 1
    assert {dict(one)["name"] for one in found["coredns_plugin_enabled"]} >= {
        "cache",
        "errors",
        "forward",
        "kubernetes",
    }
