"""What is ready to be sent at one listen address: from the server blocks that allow it to a table kept up to date.

A question for a name of a `kubernetes` zone goes around its chain where every plugin in front lets it pass
(`Plugin.lets_pass`). Nothing is ready before the first sync, and one table serves UDP, TCP and TLS.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dnsserver.admin.metrics import Metrics
from dnsserver.admin.texts import rcode_text
from dnsserver.fast.table import FastZone, Table, Way
from dnsserver.names import ROOT, Name, is_at_or_below, to_text
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.loadbalance import LoadBalance
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.server import Block
from dnsserver.wire import type_to_text

_FAMILIES = {Way.UDP4: ("udp", "1"), Way.UDP6: ("udp", "2"), Way.TCP4: ("tcp", "1"), Way.TCP6: ("tcp", "2")}


@dataclass(frozen=True, slots=True)
class _Source:
    """A zone of a plugin whose answers may be ready."""

    plugin: Kubernetes
    origin: Name
    zone: str  # the server block's, as metrics name it
    outside: tuple[Name, ...]  # zones of the listener below the origin
    rotates: bool
    counted: bool  # the block has `prometheus`


class FastPath:
    """The ready answers of one listen address under one configuration."""

    def __init__(self, server: str, blocks: Sequence[Block]) -> None:
        """Take what is ready in `blocks`, which share the address that metrics call `server`."""
        self._server = server
        self._sources = sorted(_sources(blocks), key=lambda source: len(source.origin), reverse=True)
        self._table = Table()
        self._zones: dict[int, FastZone] = {}  # by index of the source
        self.respond = self._table.respond

    @contextmanager
    def following(self, metrics: Metrics) -> Iterator[None]:
        """Keep the answers up to date, and hand in what was counted, inside the block."""
        with ExitStack() as stack:
            for plugin in dict.fromkeys(source.plugin for source in self._sources):
                stack.callback(plugin.follow(self._update))
            stack.callback(metrics.before_scrape(lambda: self._hand_in(metrics)))
            self._update()
            yield
        self._table.serve(())

    def _update(self) -> None:
        """Answer from what the plugins have published last."""
        known = len(self._zones)
        for index, source in enumerate(self._sources):
            zone = source.plugin.transferable(source.origin) if source.plugin.synced else None
            if zone is None:
                continue
            fast = self._zones.get(index)
            if fast is None:
                missing = not source.plugin.may_fall_through(source.origin)
                self._zones[index] = FastZone(
                    index, zone, rotates=source.rotates, missing=missing, outside=source.outside
                )
            elif fast.zone is not zone:
                fast.move_to(zone)
                self._table.forget(zone.changed)
        if len(self._zones) != known:
            self._table.serve([self._zones[index] for index in sorted(self._zones)])

    def _hand_in(self, metrics: Metrics) -> None:
        """Hand in what was counted since the last time."""
        counts, self._table.counts = self._table.counts, type(self._table.counts)()
        for (cell, query_size, dnssec_ok, way, bound), times in counts.items():
            source = self._sources[cell.zone]
            if source.counted:
                labels = (*_FAMILIES[way], type_to_text(cell.qtype) if cell.qtype else "other", rcode_text(cell.rcode))
                key = (self._server, source.zone, *labels, "", dnssec_ok)
                metrics.count_ready(key, query_size, query_size + cell.records, bound, times)
        for index, fast in self._zones.items():
            spent, fast.spent = fast.spent, 0
            metrics.add_seconds(self._server, self._sources[index].zone, spent / 1e9)


def _sources(blocks: Sequence[Block]) -> Iterator[_Source]:
    """Yield the zones whose answers may be ready."""
    zones = [(zone, block) for block in blocks for zone in block.zones]
    for block in blocks:
        front = block.plugins
        plugin = next((one for one in block.plugins if isinstance(one, Kubernetes)), None)
        if plugin is None:
            continue
        front = block.plugins[: block.plugins.index(plugin)]
        if not all(one.lets_pass(plugin.config.ttl) for one in front):
            continue
        for origin in plugin.config.origins:
            owners = [(zone, owner) for zone, owner in zones if is_at_or_below(origin, zone)]
            zone, owner = max(owners, key=lambda entry: len(entry[0]), default=(ROOT, None))
            if owner is block and origin != ROOT:
                yield _Source(
                    plugin,
                    origin,
                    to_text(zone),
                    tuple(other for other, _ in zones if other != origin and is_at_or_below(other, origin)),
                    any(isinstance(one, LoadBalance) for one in front),
                    any(isinstance(one, Prometheus) for one in front),
                )
