"""The metrics that CoreDNS does not have: what is known of the cluster, how the sockets and the event loop fare."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dnsserver.admin.lag import LoopLag
from dnsserver.cluster import Cluster
from dnsserver.derive.vmi import Rule
from dnsserver.names import Name, to_text
from dnsserver.sources.eventwriter import Written
from dnsserver.telling import Teller
from dnsserver.transports import TransportStats


def cluster_families(cluster: Cluster) -> Iterator[Metric]:
    """Yield the families of one `kubernetes` plugin, told apart by its first zone."""
    primary = to_text(cluster.zones[0].origin)
    synced = GaugeMetricFamily("dnsserver_synced", "1 once every resource has been listed.", labels=("cluster",))
    synced.add_metric((primary,), float(cluster.synced))
    yield synced
    objects = GaugeMetricFamily("dnsserver_objects", "Objects known, by kind.", labels=("cluster", "kind"))
    for kind, count in cluster.store.counts().items():
        objects.add_metric((primary, kind.value), count)
    yield objects
    yield from _zones(cluster)
    now = time.monotonic()
    graces = sum(one.in_grace(now) for one in cluster.store.observations)
    holds = sum(one.holds(now) for one in cluster.store.observations)
    for name, text, value in (
        ("dnsserver_migration_graces", "VMIs whose name outlives Ready=False at a migration's hand-over.", graces),
        ("dnsserver_address_holds", "VMIs whose last good addresses outlive an empty report.", holds),
    ):
        family = GaugeMetricFamily(name, text, labels=("cluster",))
        family.add_metric((primary,), value)
        yield family
    yield _unpublished(cluster, primary)
    yield from _sources(cluster, primary, now)


def teller_families(teller: Teller, primary: Name) -> Iterator[Metric]:
    """Yield what became of the Kubernetes Events of one `kubernetes` plugin."""
    family = CounterMetricFamily(
        "dnsserver_events",
        "Kubernetes Events about VMIs without names, by what became of them; failed ones are tried again.",
        labels=("cluster", "outcome"),
    )
    for outcome in (*(one.value for one in Written), "failed"):
        family.add_metric((to_text(primary), outcome), teller.written[outcome])
    yield family


def _unpublished(cluster: Cluster, primary: str) -> Metric:
    """Return why VMIs have no names."""
    family = GaugeMetricFamily(
        "dnsserver_unpublished_vmis",
        "VMIs that a headless Service selects and that have no names there, by the first rule that refuses them.",
        labels=("cluster", "rule"),
    )
    for rule in Rule:
        if rule not in (Rule.HEADLESS, Rule.SELECTOR):
            family.add_metric((primary, rule.name.lower()), cluster.store.unpublished[rule])
    return family


def _zones(cluster: Cluster) -> Iterator[Metric]:
    """Yield what each zone is like."""
    serial = GaugeMetricFamily("dnsserver_zone_serial", "The zone's SOA serial.", labels=("zone",))
    names = GaugeMetricFamily("dnsserver_zone_names", "Owner names in the zone.", labels=("zone",))
    for zone in cluster.zones:
        serial.add_metric((to_text(zone.origin),), zone.serial)
        names.add_metric((to_text(zone.origin),), len(zone.nodes))
    yield serial
    yield names


def _sources(cluster: Cluster, primary: str, now: float) -> Iterator[Metric]:
    """Yield what the sources have counted."""
    age = GaugeMetricFamily(
        "dnsserver_source_age_seconds", "Time since a source last answered, by kind.", labels=("cluster", "kind")
    )
    counters = {
        name: CounterMetricFamily(f"dnsserver_{name}", text, labels=("cluster", "kind"))
        for name, text in (
            ("refused_objects", "Objects that could not be understood."),
            ("lists", "Complete lists."),
            ("list_shrinks", "Complete lists that lacked more than 90 % of what was known."),
            ("watch_errors", "Watches that ended in an error."),
            ("relist_differences", "Changes that a watch has missed, found and repaired by a list beside it."),
        )
    }
    ignored = CounterMetricFamily(
        "dnsserver_ignored_objects", "Objects of kinds that decide no answer.", labels=("cluster",)
    )
    for source in cluster.sources:
        status = source.status
        for kind, at in status.last_contact.items():
            age.add_metric((primary, kind.value), now - at)
        for name, counts in (
            ("refused_objects", status.refused),
            ("lists", status.lists),
            ("list_shrinks", status.list_shrinks),
            ("watch_errors", status.watch_errors),
            ("relist_differences", status.relist_differences),
        ):
            for kind in source.kinds:
                counters[name].add_metric((primary, kind.value), counts[kind])
    ignored.add_metric((primary,), sum(source.status.ignored for source in cluster.sources))
    yield age
    yield from counters.values()
    yield ignored


def transport_families(stats: Mapping[str, TransportStats]) -> Iterator[Metric]:
    """Yield what the listeners have counted, by server label."""
    family = CounterMetricFamily(
        "dnsserver_transport_events", "What happened at the sockets, by kind.", labels=("server", "event")
    )
    for server, counted in stats.items():
        for field in fields(counted):
            family.add_metric((server, field.name), getattr(counted, field.name))
    yield family


def loop_families(loop: LoopLag) -> Iterator[Metric]:
    """Yield how late the event loop was, and what garbage collections took."""
    lag = HistogramMetricFamily(
        "dnsserver_event_loop_lag_seconds", "How late the event loop was to run a timer, 20 times a second.", labels=()
    )
    loop.lag.add_to(lag, ())
    yield lag
    yield CounterMetricFamily(
        "dnsserver_event_loop_stalls", "Times that the event loop was more than 50 ms late.", value=loop.stalls
    )
    pauses = HistogramMetricFamily(
        "dnsserver_gc_pause_seconds", "Time that a garbage collection took, by generation.", labels=("generation",)
    )
    for generation, histogram in loop.gc_pauses.items():
        histogram.add_to(pauses, (str(generation),))
    yield pauses
