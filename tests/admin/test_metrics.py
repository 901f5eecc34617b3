"""Metrics by their exported text, parsed back: names, label sets, buckets, counts."""

import asyncio
import logging
from collections.abc import Iterable

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.admin.metrics import DROPPED, Histogram, Metrics
from dnsserver.message import Client, Edns, Query, Transport
from dnsserver.names import ROOT
from dnsserver.records import Rcode, RRType

CLIENT = Client("10.0.0.9", 4711, Transport.UDP, "dns://:53")

Samples = dict[tuple[str, tuple[str, ...]], float]


def query(qtype: int = RRType.A, size: int = 40, edns: Edns | None = None) -> Query:
    """Return a query for the root."""
    return Query(1, ROOT, ROOT, qtype, size=size, edns=edns)


async def families(metrics: Metrics) -> dict[str, Metric]:
    """Return the families of one scrape by name."""
    text = (await metrics.render()).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, *labels: str) -> dict[tuple[str, ...], float]:
    """Return a family's samples by the values of `labels`, which must be all it has."""
    for sample in family.samples:
        assert set(sample.labels) == set(labels)
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples}


def histogram(family: Metric, **labels: str) -> tuple[dict[str, float], float, float]:
    """Return the cumulated buckets by bound, the count and the sum of one label set."""
    buckets: dict[str, float] = {}
    count = total = -1.0
    for sample in family.samples:
        rest = {name: value for name, value in sample.labels.items() if name != "le"}
        if rest != labels:
            continue
        if sample.name.endswith("_bucket"):
            buckets[sample.labels["le"]] = sample.value
        elif sample.name.endswith("_count"):
            count = sample.value
        else:
            total = sample.value
    return buckets, count, total


async def test_requests() -> None:
    """Each query counts once in each counter, under its own labels."""
    metrics = Metrics("1.2.3")
    six = Client("fd00::1", 1, Transport.TCP, "dns://10.0.0.1:53")
    tls = Client("10.0.0.9", 1, Transport.TLS, "tls://:853")
    for _ in range(3):
        metrics.count(query(), CLIENT, "cluster.local.", Rcode.NOERROR, 90, 0.001)
    metrics.count(query(edns=Edns(1232, dnssec_ok=True)), CLIENT, "cluster.local.", Rcode.NXDOMAIN, 90, 0.001)
    metrics.count(query(RRType.SRV, edns=Edns(1232)), six, ".", Rcode.SERVFAIL, 90, 0.001)
    metrics.count(query(65280), tls, ".", 3841, 90, 0.001, "forward")
    metrics.count(query(99), CLIENT, DROPPED, Rcode.REFUSED, 30, 0.001)
    got = await families(metrics)
    requests = values(got["coredns_dns_requests"], "server", "zone", "view", "proto", "family", "type")
    assert requests == {
        ("dns://:53", "cluster.local.", "", "udp", "1", "A"): 4,
        ("dns://10.0.0.1:53", ".", "", "tcp", "2", "SRV"): 1,
        ("tls://:853", ".", "", "tcp", "1", "other"): 1,
        ("dns://:53", "dropped", "", "udp", "1", "other"): 1,
    }
    assert values(got["coredns_dns_do_requests"], "server", "zone", "view") == {("dns://:53", "cluster.local.", ""): 1}
    responses = values(got["coredns_dns_responses"], "server", "zone", "view", "rcode", "plugin")
    assert responses == {
        ("dns://:53", "cluster.local.", "", "NOERROR", ""): 3,
        ("dns://:53", "cluster.local.", "", "NXDOMAIN", ""): 1,
        ("dns://10.0.0.1:53", ".", "", "SERVFAIL", ""): 1,
        ("tls://:853", ".", "", "RCODE3841", "forward"): 1,
        ("dns://:53", "dropped", "", "REFUSED", ""): 1,
    }


async def test_histograms() -> None:
    """Times and sizes fall into CoreDNS's buckets, whose upper bounds are inclusive and spelled as Go spells them."""
    metrics = Metrics("1")
    for size, seconds in ((0, 0.0), (100, 0.00025), (101, 0.0002501), (64000, 8.192), (64001, 9.0)):
        metrics.count(query(size=size), CLIENT, ".", Rcode.NOERROR, size, seconds)
    got = await families(metrics)
    buckets, count, total = histogram(
        got["coredns_dns_request_duration_seconds"], server="dns://:53", zone=".", view=""
    )
    bounds = ["0.00025", "0.0005", "0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256"]
    assert list(buckets) == [*bounds, "0.512", "1.024", "2.048", "4.096", "8.192", "+Inf"]
    assert (buckets["0.00025"], buckets["0.0005"], buckets["4.096"], buckets["8.192"]) == (2, 3, 3, 4)
    assert (buckets["+Inf"], count) == (5, 5)
    assert total == pytest.approx(17.1925001)
    for name in ("coredns_dns_request_size_bytes", "coredns_dns_response_size_bytes"):
        buckets, count, total = histogram(got[name], server="dns://:53", zone=".", view="", proto="udp")
        low = ["0", "100", "200", "300", "400", "511", "1023", "2047", "4095", "8291", "16000", "32000", "48000"]
        assert list(buckets) == [*low, "64000", "+Inf"]
        assert (buckets["0"], buckets["100"], buckets["200"], buckets["48000"], buckets["64000"]) == (1, 2, 3, 3, 4)
        assert (count, total) == (5, 128202)


async def test_process_wide() -> None:
    """The families without queries: build, panics, health, programming, and the process's own."""
    metrics = Metrics("1.2.3", "abcdef")
    metrics.panics += 2
    metrics.health_failures += 1
    metrics.health_duration.observe(0.003)
    metrics.programming("cluster_ip").observe(0.5)
    metrics.programming("cluster_ip").observe(1000)
    got = await families(metrics)
    ((build, value),) = values(got["coredns_build_info"], "version", "revision", "goversion").items()
    assert (build[:2], value) == (("1.2.3", "abcdef"), 1)
    assert values(got["coredns_panics"]) == {(): 2}
    assert values(got["coredns_health_request_failures"]) == {(): 1}
    buckets, count, _ = histogram(got["coredns_health_request_duration_seconds"])
    assert buckets == {"0.00025": 0, "0.0025": 0, "0.025": 1, "0.25": 1, "2.5": 1, "+Inf": 1}
    assert count == 1
    buckets, count, _ = histogram(got["coredns_kubernetes_dns_programming_duration_seconds"], service_kind="cluster_ip")
    assert (len(buckets), buckets["0.256"], buckets["0.512"], buckets["524.288"], count) == (21, 0, 1, 1, 2)
    assert got["process_resident_memory_bytes"].samples[0].value > 0
    assert {"process_cpu_seconds", "process_open_fds", "process_start_time_seconds", "python_info"} <= set(got)


async def test_format() -> None:
    """The text is version 0.0.4: counters end in _total, and no _created series double their number."""
    metrics = Metrics("1")
    metrics.count(query(), CLIENT, ".", Rcode.NOERROR, 90, 0.001)
    text = (await metrics.render()).decode()
    assert "# TYPE coredns_dns_requests_total counter\n" in text
    assert "# TYPE coredns_dns_request_duration_seconds histogram\n" in text
    sample = 'coredns_dns_requests_total{family="1",proto="udp",server="dns://:53",type="A",view="",zone="."} 1.0\n'
    assert sample in text
    assert "_created" not in text
    assert text.endswith("\n")


async def test_enabled_plugins() -> None:
    """A plugin counts as enabled until the last block that has it is gone, so a reload shows no gap."""
    metrics = Metrics("1")
    zones = ["a.", "b."]
    labels = ("server", "zone", "view", "name")
    with metrics.enabled("dns://:53", zones, ["log", "errors", "log"]):
        with metrics.enabled("dns://:53", zones, ["log"]):
            pass
        assert values((await families(metrics))["coredns_plugin_enabled"], *labels) == {
            ("dns://:53", "a.", "", "log"): 1,
            ("dns://:53", "a.", "", "errors"): 1,
            ("dns://:53", "b.", "", "log"): 1,
            ("dns://:53", "b.", "", "errors"): 1,
        }
    assert values((await families(metrics))["coredns_plugin_enabled"], *labels) == {}


async def test_registered() -> None:
    """Modules add families of their own; equal names join, and one that fails costs only its own."""
    metrics = Metrics("1")

    def objects(kind: str) -> Iterable[Metric]:
        family = GaugeMetricFamily("dnsserver_objects", "Objects.", labels=("kind",))
        family.add_metric((kind,), 7)
        return (family,)

    def broken() -> Iterable[Metric]:
        raise RuntimeError

    forget = metrics.register(lambda: objects("Service"))
    metrics.register(broken)
    metrics.register(lambda: objects("Pod"))
    logging.disable()
    try:
        got = await families(metrics)
        assert values(got["dnsserver_objects"], "kind") == {("Service",): 7, ("Pod",): 7}
        assert (await metrics.render()).count(b"# TYPE dnsserver_objects gauge") == 1
        forget()
        assert values((await families(metrics))["dnsserver_objects"], "kind") == {("Pod",): 7}
    finally:
        logging.disable(logging.NOTSET)


async def test_scrape_gives_way() -> None:
    """Queries are counted between the families of one scrape."""
    metrics = Metrics("1")
    scrape = asyncio.create_task(metrics.render())
    turns = 0
    while not scrape.done():
        metrics.count(query(), CLIENT, ".", Rcode.NOERROR, 90, 0.001)
        turns += 1
        await asyncio.sleep(0)
    assert turns > 5
    assert b"coredns_dns_requests_total" in scrape.result()


def test_histogram_count() -> None:
    """The count is of all observations, also of those beyond every bound."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99.0):
        histogram.observe(value)
    assert histogram.count == 4
