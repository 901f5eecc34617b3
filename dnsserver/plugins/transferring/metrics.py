"""What one `transfer` has counted."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


class Counts:
    """Transfers by (zone, kind), NOTIFY messages by (zone, secondary, result)."""

    def __init__(self) -> None:
        self.transfers: Counter[tuple[str, str]] = Counter()  # kind: axfr, ixfr, or soa where that said it all
        self.notifies: Counter[tuple[str, str, str]] = Counter()  # result: acknowledged, unanswered or an RCODE
        self.told: dict[tuple[str, str], int] = {}  # (zone, secondary): the serial that was acknowledged last

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        transfers = CounterMetricFamily("dnsserver_transfers", "Zone transfers begun.", labels=("zone", "kind"))
        for labels, count in self.transfers.items():
            transfers.add_metric(labels, count)
        yield transfers
        notifies = CounterMetricFamily(
            "dnsserver_notifies", "NOTIFY messages sent, by what became of them.", labels=("zone", "to", "result")
        )
        for key, count in self.notifies.items():
            notifies.add_metric(key, count)
        yield notifies
        told = GaugeMetricFamily(
            "dnsserver_notified_serial", "The serial that a secondary has acknowledged last.", labels=("zone", "to")
        )
        for labels, serial in self.told.items():
            told.add_metric(labels, serial)
        yield told
