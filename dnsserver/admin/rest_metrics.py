"""The metrics of requests to the API server, by CoreDNS's names (plugin/kubernetes metrics.go)."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from dnsserver.sources.requests import BUCKETS, Durations, RequestStats

_PREFIX = "coredns_kubernetes_rest_client"


def rest_families(stats: RequestStats) -> Iterator[Metric]:
    """Yield the families; all requests here are GET."""
    for name, text, durations in (
        ("request", "Request latency in seconds. Broken down by verb and host.", stats.latency),
        ("rate_limiter", "Client side rate limiter latency in seconds. Broken down by verb and host.", stats.held_back),
    ):
        family = HistogramMetricFamily(f"{_PREFIX}_{name}_duration_seconds", text, labels=("verb", "host"))
        family.add_metric(("GET", stats.host), _buckets(durations), durations.total)
        yield family
    requests = CounterMetricFamily(
        f"{_PREFIX}_requests",
        "Number of HTTP requests, partitioned by status code, method, and host.",
        labels=("code", "method", "host"),
    )
    for code, count in stats.answers.items():
        requests.add_metric((code, "GET", stats.host), count)
    yield requests


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    """Return a histogram's cumulative buckets."""
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), durations.counts, strict=True):
        below += count
        buckets.append((bound.removesuffix(".0"), below))
    return buckets
