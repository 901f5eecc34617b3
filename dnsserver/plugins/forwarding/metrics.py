"""What `forward` counts, as CoreDNS's plugin/forward and plugin/pkg/proxy name it."""

from collections import Counter
from weakref import WeakKeyDictionary

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from dnsserver.admin.metrics import Histogram, Metrics
from dnsserver.admin.texts import rcode_text

_SECONDS = tuple(0.00025 * 2**power for power in range(16))


class ForwardMetrics:
    """What all `forward`s of a process count together; like CoreDNS's, the counts outlive a reload."""

    def __init__(self) -> None:
        self.broken = 0  # queries that found every server down
        self.rejected = 0  # queries over max_concurrent
        self._durations: dict[tuple[str, int], Histogram] = {}  # by server and RCODE
        self._reused: Counter[tuple[str, str]] = Counter()  # by server and protocol
        self._opened: Counter[tuple[str, str]] = Counter()
        self._failed_checks: Counter[str] = Counter()

    @classmethod
    def of(cls, metrics: Metrics) -> "ForwardMetrics":
        """Return the counters that belong to a process's metrics, registered there once."""
        known = _REGISTERED.get(metrics)
        if known is None:
            known = _REGISTERED[metrics] = cls()
            metrics.register(known.families)
        return known

    def answered(self, to: str, rcode: int, seconds: float) -> None:
        """Count an answer."""
        histogram = self._durations.get((to, rcode))
        if histogram is None:
            histogram = self._durations[to, rcode] = Histogram(_SECONDS)
        histogram.observe(seconds)

    def reused(self, to: str, protocol: str) -> None:
        """Count a connection that was open already."""
        self._reused[to, protocol] += 1

    def opened(self, to: str, protocol: str) -> None:
        """Count a connection or socket that had to be opened."""
        self._opened[to, protocol] += 1

    def check_failed(self, to: str) -> None:
        """Count a health check that failed."""
        self._failed_checks[to] += 1

    def families(self) -> list[Metric]:
        """Return the families as CoreDNS names them."""
        durations = HistogramMetricFamily(
            "coredns_proxy_request_duration_seconds",
            "Time that a server took to answer.",
            labels=("proxy_name", "to", "rcode"),
        )
        for (to, rcode), histogram in self._durations.items():
            histogram.add_to(durations, ("forward", to, rcode_text(rcode).removeprefix("RCODE")))
        checks = CounterMetricFamily(
            "coredns_proxy_healthcheck_failures", "Health checks that failed.", labels=("proxy_name", "to")
        )
        for to, count in self._failed_checks.items():
            checks.add_metric(("forward", to), count)
        return [
            CounterMetricFamily(
                "coredns_forward_healthcheck_broken", "Queries that found every server down.", value=self.broken
            ),
            CounterMetricFamily(
                "coredns_forward_max_concurrent_rejects",
                "Queries refused because there were too many at a time.",
                value=self.rejected,
            ),
            durations,
            checks,
            _by_protocol("coredns_proxy_conn_cache_hits", "Connections that were open already.", self._reused),
            _by_protocol("coredns_proxy_conn_cache_misses", "Connections that had to be opened.", self._opened),
        ]


_REGISTERED: WeakKeyDictionary[Metrics, ForwardMetrics] = WeakKeyDictionary()


def _by_protocol(name: str, text: str, counts: Counter[tuple[str, str]]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=("proxy_name", "to", "proto"))
    for (to, protocol), count in counts.items():
        family.add_metric(("forward", to, protocol), count)
    return family
