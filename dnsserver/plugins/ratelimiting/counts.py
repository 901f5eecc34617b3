"""What `ratelimit` counts."""

from collections import Counter
from collections.abc import Iterator
from weakref import WeakKeyDictionary, WeakSet

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dnsserver.admin.metrics import Metrics
from dnsserver.plugins.ratelimiting.account import Kind
from dnsserver.plugins.ratelimiting.buckets import Buckets, Verdict

_ACTIONS = {Verdict.DROP: "dropped", Verdict.SLIP: "slipped"}
LOGGED = "logged"  # the action of `log_only`


class Counts:
    """The limited responses of every `ratelimit` of a process, and their buckets; the counts outlive a reload."""

    def __init__(self) -> None:
        self.tables: WeakSet[Buckets] = WeakSet()  # one gauge has no label, so it has to be made of all of them
        self._limited: Counter[tuple[str, str, str]] = Counter()  # by server, kind and action

    @classmethod
    def of(cls, metrics: Metrics) -> "Counts":
        """Return the counts that belong to a process's metrics, registered there once."""
        known = _REGISTERED.get(metrics)
        if known is None:
            known = _REGISTERED[metrics] = cls()
            metrics.register(known.families)
        return known

    def add(self, server: str, kind: Kind, verdict: Verdict, *, log_only: bool) -> None:
        """Count a limited response."""
        self._limited[server, kind.value, LOGGED if log_only else _ACTIONS[verdict]] += 1

    def families(self) -> Iterator[Metric]:
        """Yield the families."""
        limited = CounterMetricFamily(
            "dnsserver_ratelimit_responses",
            "Responses over their limit, by what they were and what became of them.",
            labels=("server", "kind", "action"),
        )
        for labels, count in self._limited.items():
            limited.add_metric(labels, count)
        yield limited
        yield GaugeMetricFamily(
            "dnsserver_ratelimit_buckets", "Accounts that responses are charged to.", value=sum(map(len, self.tables))
        )


_REGISTERED: WeakKeyDictionary[Metrics, Counts] = WeakKeyDictionary()
