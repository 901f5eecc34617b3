"""Every metric of CoreDNS that this server has, declared in one file, and the door for the modules' own.

Counting a query touches a few integers; families and text exist only while somebody scrapes. Nothing here is
thread-safe: one event loop counts and collects.
"""

import asyncio
import logging
import platform
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dnsserver.admin.texts import rcode_text
from dnsserver.admin.totals import Totals
from dnsserver.fast.table import DURATIONS, SIZES, Tally
from dnsserver.message import Client, Query, Transport
from dnsserver.wire import type_to_text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DROPPED = "dropped"  # the zone of a query that no server block took: no final dot, so never a real zone

_PROBE_SECONDS = (0.00025, 0.0025, 0.025, 0.25, 2.5)
_PROGRAMMING_SECONDS = tuple(0.001 * 2**power for power in range(20))

_OTHER_TYPE = "other"
_COUNTED_TYPES = (
    1, 28, 5, 48, 43, 15, 47, 50, 2, 12, 46, 6, 33, 16, 65, 64, 251, 252, 255,
)  # fmt: skip  # in the order of coredns.io's list: A AAAA CNAME DNSKEY DS MX NSEC NSEC3 NS PTR RRSIG SOA SRV TXT ...
_TYPE_LABELS = {rrtype: type_to_text(rrtype) for rrtype in _COUNTED_TYPES}

_VIEW = ""  # the label of a server block without a view, and there are no views here

_log = logging.getLogger(__name__)

Collect = Callable[[], Iterable[Metric]]


class Histogram:
    """Observations counted by upper bound; plain numbers, so that observing is cheap."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last one is for what exceeds every bound
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count many observations at once, by the index of the first bound that is not below them."""
        self._counts = [mine + more for mine, more in zip(self._counts, counts, strict=True)]
        self._total += total

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add this histogram to a family, its bounds spelled as Go spells them (`le="100"`, not `100.0`)."""
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            below += count
            buckets.append((repr(float(bound)).removesuffix(".0"), below))
        buckets.append(("+Inf", below + self._counts[-1]))
        family.add_metric(labels, buckets, self._total)


class _Cell:
    """The count of one set of labels, and the histograms its queries go to."""

    __slots__ = ("duration", "queries", "request_size", "response_size")

    def __init__(self, duration: Histogram, request_size: Histogram, response_size: Histogram) -> None:
        self.queries = 0
        self.duration = duration
        self.request_size = request_size
        self.response_size = response_size


MetricKey = tuple[str, str, str, str, str, str, str, bool]  # server, zone, proto, family, type, rcode, plugin, DO


class Metrics(Collector):
    """The metrics of one process; they outlive a reload."""

    def __init__(self, version: str, revision: str = "") -> None:
        self.panics = 0  # queries whose handling failed with an unexpected exception
        self.health_duration = Histogram(_PROBE_SECONDS)  # of the health plugin's requests to itself
        self.health_failures = 0
        self.version = version
        self.began = time.monotonic()
        self._build = (version, revision, f"python{platform.python_version()}")
        self._cells: dict[MetricKey, _Cell] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._sizes: dict[tuple[str, str, str], tuple[Histogram, Histogram]] = {}
        self._programming: dict[str, Histogram] = {}
        self._enabled: Counter[tuple[str, str, str]] = Counter()
        self._collects: list[Collect] = []
        self._hand_ins: list[Callable[[], None]] = []
        self._ended = Totals()  # the counters of what is registered no more
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def count(
        self, query: Query, client: Client, zone: str, rcode: int, size: int, seconds: float, plugin: str = ""
    ) -> None:
        """Count one query with its reply of `size` octets, uncompressed, after `seconds`.

        `zone` is the server block's, or `DROPPED`; `plugin` is who answered, empty where the server itself did.
        """
        key = (
            client.server,
            zone,
            "udp" if client.transport is Transport.UDP else "tcp",
            "2" if ":" in client.address else "1",
            _TYPE_LABELS.get(query.qtype, _OTHER_TYPE),
            rcode_text(rcode),
            plugin,
            query.edns is not None and query.edns.dnssec_ok,
        )
        cell = self._cells.get(key) or self._new_cell(key)
        cell.queries += 1
        cell.duration.observe(seconds)
        cell.request_size.observe(query.size)
        cell.response_size.observe(size)

    def count_ready(self, key: MetricKey, tally: Tally) -> None:
        """Count queries that were answered from what is ready."""
        cell = self._cells.get(key) or self._new_cell(key)
        cell.queries += sum(tally.durations)
        cell.duration.add(tally.durations, tally.nanoseconds / 1e9)
        cell.request_size.add(tally.query_sizes, tally.query_octets)
        cell.response_size.add(tally.response_sizes, tally.response_octets)

    def before_scrape(self, hand_in: Callable[[], None]) -> Callable[[], None]:
        """Have `hand_in` called before each scrape; returns what ends that, with a last call."""

        def end() -> None:
            self._hand_ins.remove(hand_in)
            hand_in()

        self._hand_ins.append(hand_in)
        return end

    def programming(self, service_kind: str) -> Histogram:
        """Return the programming durations of `cluster_ip` or `headless_with_selector`, for observing."""
        return self._programming.setdefault(service_kind, Histogram(_PROGRAMMING_SECONDS))

    @contextmanager
    def enabled(self, server: str, zones: Iterable[str], plugins: Iterable[str]) -> Iterator[None]:
        """Report a server block's plugins as enabled inside the block; an old and a new one may overlap at a reload.

        CoreDNS names those that handle queries, of blocks that have `prometheus`.
        """
        labels = Counter((server, zone, name) for zone in zones for name in set(plugins))
        self._enabled += labels
        try:
            yield
        finally:
            self._enabled -= labels

    def register(self, collect: Collect) -> Callable[[], None]:
        """Export the families that `collect` returns at each scrape; returns what ends that.

        Families of the same name from several registrations become one, with the samples of all. Counters and
        histograms keep what they had when a registration ends: a plugin that a reload replaces counts on.
        """

        def scrape() -> Iterable[Metric]:
            return collect()

        def end() -> None:
            self._collects.remove(scrape)
            self._ended.keep(_collected(collect))

        self._collects.append(scrape)
        return end

    async def render(self) -> bytes:
        """Return the text of a scrape, giving way to queries after each family."""
        texts = []
        for family in self.collect():
            texts.append(generate_latest(_Single(family)))
            await asyncio.sleep(0)
        texts.append(await asyncio.to_thread(generate_latest, self._process))  # reads /proc
        return b"".join(texts)

    def queries(self) -> tuple[Counter[str], Counter[str]]:
        """Return how many queries have been counted, by type and by response code."""
        types: Counter[str] = Counter()
        rcodes: Counter[str] = Counter()
        self._hand_in()
        for (_, _, _, _, rrtype, rcode, _, _), cell in self._cells.items():
            types[rrtype] += cell.queries
            rcodes[rcode] += cell.queries
        return types, rcodes

    @property
    def counts_queries(self) -> bool:
        """Whether some server block has its queries counted (`prometheus`)."""
        return any(name == "prometheus" for _, _, name in self._enabled)

    def _hand_in(self) -> None:
        """Take in what others have counted since the last time."""
        for hand_in in self._hand_ins:
            hand_in()

    def collect(self) -> Iterator[Metric]:
        """Yield every family but the process's own."""
        self._hand_in()
        yield from self._process_wide()
        yield from self._query_counters()
        yield from self._query_histograms()
        yield from self._registered()

    def _new_cell(self, key: MetricKey) -> _Cell:
        server, zone, proto = key[:3]
        duration = self._durations.setdefault((server, zone), Histogram(DURATIONS))
        sizes = self._sizes.setdefault((server, zone, proto), (Histogram(SIZES), Histogram(SIZES)))
        cell = self._cells[key] = _Cell(duration, *sizes)
        return cell

    def _process_wide(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "coredns_build_info",
            "A metric with a constant '1' value labeled by version, revision, and the Python version that runs it.",
            labels=("version", "revision", "goversion"),
        )
        build.add_metric(self._build, 1)
        yield build
        yield CounterMetricFamily("coredns_panics", "Queries whose handling failed unexpectedly.", value=self.panics)
        enabled = GaugeMetricFamily(
            "coredns_plugin_enabled",
            "The plugins of each server block that handle queries.",
            labels=("server", "zone", "view", "name"),
        )
        for server, zone, name in self._enabled:
            enabled.add_metric((server, zone, _VIEW, name), 1)
        yield enabled
        health = HistogramMetricFamily(
            "coredns_health_request_duration_seconds",
            "Time that the health plugin's requests to itself took.",
            labels=(),
        )
        self.health_duration.add_to(health, ())
        yield health
        yield CounterMetricFamily(
            "coredns_health_request_failures",
            "Requests of the health plugin to itself that failed.",
            value=self.health_failures,
        )
        programming = HistogramMetricFamily(
            "coredns_kubernetes_dns_programming_duration_seconds",
            "Time from the change of an endpoint to its being served.",
            labels=("service_kind",),
        )
        for kind, histogram in self._programming.items():
            histogram.add_to(programming, (kind,))
        yield programming

    def _query_counters(self) -> Iterator[Metric]:
        requests: Counter[tuple[str, ...]] = Counter()
        dnssec_ok: Counter[tuple[str, ...]] = Counter()
        responses: Counter[tuple[str, ...]] = Counter()
        for (server, zone, proto, family, rrtype, rcode, plugin, do), cell in self._cells.items():
            requests[server, zone, _VIEW, proto, family, rrtype] += cell.queries
            responses[server, zone, _VIEW, rcode, plugin] += cell.queries
            if do:
                dnssec_ok[server, zone, _VIEW] += cell.queries
        yield _counters(
            "coredns_dns_requests",
            "Queries by zone, protocol, address family (1 is IPv4, 2 is IPv6) and type.",
            ("server", "zone", "view", "proto", "family", "type"),
            requests,
        )
        yield _counters("coredns_dns_do_requests", "Queries with the DO bit.", ("server", "zone", "view"), dnssec_ok)
        yield _counters(
            "coredns_dns_responses",
            "Responses by zone and response code.",
            ("server", "zone", "view", "rcode", "plugin"),
            responses,
        )

    def _query_histograms(self) -> Iterator[Metric]:
        durations = HistogramMetricFamily(
            "coredns_dns_request_duration_seconds",
            "Time that a query took.",
            labels=("server", "zone", "view"),
        )
        for (server, zone), histogram in self._durations.items():
            histogram.add_to(durations, (server, zone, _VIEW))
        yield durations
        labels = ("server", "zone", "view", "proto")
        requests = HistogramMetricFamily("coredns_dns_request_size_bytes", "Octets of a query.", labels=labels)
        responses = HistogramMetricFamily(
            "coredns_dns_response_size_bytes", "Octets of a response before compression.", labels=labels
        )
        for (server, zone, proto), (request_size, response_size) in self._sizes.items():
            request_size.add_to(requests, (server, zone, _VIEW, proto))
            response_size.add_to(responses, (server, zone, _VIEW, proto))
        yield requests
        yield responses

    def _registered(self) -> Iterator[Metric]:
        """Yield the modules' own families; one that fails costs its own, not the scrape."""
        totals = Totals()
        totals.add(self._ended)
        for collect in self._collects:
            totals.add(_collected(collect))
        yield from totals


def _collected(collect: Collect) -> list[Metric]:
    """Return what a module has to say, nothing if it fails."""
    try:
        return list(collect())
    except Exception:
        _log.exception("Metrics are missing from this scrape")
        return []


class _Single(Collector):
    """One family, as the encoder takes it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _counters(name: str, text: str, labels: Sequence[str], counts: Counter[tuple[str, ...]]) -> CounterMetricFamily:
    """Return a counter family with one sample a set of labels."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
