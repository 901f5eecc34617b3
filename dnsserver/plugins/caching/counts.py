"""What a cache counts, as CoreDNS's plugin/cache/metrics.go names it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

SUCCESS, DENIAL = "success", "denial"

_VIEW = ""  # the label of a server block without a view, and there are no views here
_LABELS = ("server", "zones", "view")
_TYPED_LABELS = ("server", "type", "zones", "view")


@dataclass(slots=True)
class Counts:
    """What happened at one listener; a hit touches two of these."""

    requests: int = 0
    success_hits: int = 0
    denial_hits: int = 0
    misses: int = 0
    prefetches: int = 0
    served_stale: int = 0
    success_evictions: int = 0
    denial_evictions: int = 0


def families(counts: Mapping[str, Counts], zones: str, success: int, denial: int) -> Iterator[Metric]:
    """Yield every family, given the counts by server, the label of the zones, and the numbers of entries."""
    entries = GaugeMetricFamily("coredns_cache_entries", "Replies in the cache.", labels=_TYPED_LABELS)
    hits = CounterMetricFamily("coredns_cache_hits", "Queries answered from the cache.", labels=_TYPED_LABELS)
    evictions = CounterMetricFamily(
        "coredns_cache_evictions", "Replies dropped to make room for others.", labels=_TYPED_LABELS
    )
    for server, one in counts.items():
        for family, values in (
            (entries, (success, denial)),
            (hits, (one.success_hits, one.denial_hits)),
            (evictions, (one.success_evictions, one.denial_evictions)),
        ):
            for kind, value in zip((SUCCESS, DENIAL), values, strict=True):
                family.add_metric((server, kind, zones, _VIEW), value)
    yield from (entries, hits, evictions)
    yield from _untyped(counts, zones)


def _untyped(counts: Mapping[str, Counts], zones: str) -> Iterator[Metric]:
    """Yield the counters that do not tell success from denial."""
    for name, text, field in (
        ("requests", "Queries that were looked up in the cache.", "requests"),
        ("misses", "Queries that the cache had no reply to.", "misses"),
        (
            "prefetch",
            "Replies asked for again before or after they expired, while the old one was served.",
            "prefetches",
        ),
        ("served_stale", "Queries answered with an expired reply.", "served_stale"),
        ("drops", "Replies to another question than the one asked: such a reply reaches no cache here.", None),
    ):
        family = CounterMetricFamily(f"coredns_cache_{name}", text, labels=_LABELS)
        for server, one in counts.items():
            family.add_metric((server, zones, _VIEW), getattr(one, field) if field else 0)
        yield family
