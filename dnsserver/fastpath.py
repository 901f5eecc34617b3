"""What is ready to be sent at one listen address: from the server blocks that allow it to a table kept up to date.

A question for a name of a `kubernetes` zone goes around its chain where no plugin in front keeps that name
(`Plugin.keeps`). Nothing is ready before the first sync, and one table serves UDP, TCP and TLS.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dnsserver.admin.metrics import Metrics
from dnsserver.admin.texts import rcode_text
from dnsserver.fast.best import new_table
from dnsserver.fast.table import FastZone, Way
from dnsserver.names import ROOT, Name, is_at_or_below, to_text
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.loadbalance import LoadBalance
from dnsserver.plugins.plugin import Plugin
from dnsserver.plugins.prometheus import Prometheus
from dnsserver.server import Block
from dnsserver.wire import type_to_text
from dnsserver.zone import Zone

_MAX_KEPT = 64  # names of a zone that are compared, one after the other, with one that is asked for the first time
_STEPS = 500  # of preparing in one turn of the event loop: a millisecond or so
_FAMILIES = {Way.UDP4: ("udp", "1"), Way.UDP6: ("udp", "2"), Way.TCP4: ("tcp", "1"), Way.TCP6: ("tcp", "2")}


@dataclass(frozen=True, slots=True)
class _Source:
    """A zone of a plugin whose answers may be ready."""

    plugin: Kubernetes
    origin: Name
    zone: str  # the server block's, as metrics name it
    outside: tuple[Name, ...]  # zones of the listener below the origin
    front: tuple[Plugin, ...]  # those that are asked before the plugin
    rotates: bool
    counted: bool  # the block has `prometheus`

    def kept(self) -> frozenset[Name]:
        """Return the names at or below which nothing is ready: the origin itself is everything."""
        ttl = self.plugin.config.longest_ttl
        found = frozenset(self.outside).union(*(one.keeps(self.origin, ttl) for one in self.front))
        return found if len(found) <= _MAX_KEPT else frozenset((self.origin,))


class ReadyAnswers:
    """The table of one listener, which stays when a reload changes who fills it."""

    def __init__(self) -> None:
        self.table = new_table()
        self._filler: FastPath | None = None

    def filled_by(self, filler: "FastPath | None", metrics: Metrics) -> None:
        """Answer from what `filler` has from now on; what was counted for the one before is handed in."""
        if self._filler is not None:
            self._filler.hand_in(metrics)
        self._filler = filler
        self.table.serve(())

    def is_filled_by(self, filler: "FastPath") -> bool:
        """Say whether this is the one."""
        return self._filler is filler


class FastPath:
    """Fills the table of one listen address under one configuration."""

    def __init__(self, server: str, blocks: Sequence[Block], ready: ReadyAnswers) -> None:
        """Take what is ready in `blocks`, which share the address that metrics call `server`."""
        self._server = server
        self._sources = sorted(_sources(blocks), key=lambda source: len(source.origin), reverse=True)
        self._ready = ready
        self._zones: dict[int, FastZone] = {}  # by index of the source
        self._kept: list[frozenset[Name]] = []  # of each source
        self._preparing: asyncio.Handle | None = None

    @contextmanager
    def following(self, metrics: Metrics) -> Iterator[None]:
        """Keep the answers up to date, and hand in what was counted, inside the block."""
        with ExitStack() as stack:
            self._ready.filled_by(self, metrics)
            for plugin in dict.fromkeys(source.plugin for source in self._sources):
                stack.callback(plugin.follow(self._update))
            for other in dict.fromkeys(other for source in self._sources for other in source.front):
                stack.callback(other.follow(lambda: self._decide(metrics)))
            stack.callback(metrics.before_scrape(lambda: self.hand_in(metrics)))
            self._decide(metrics)
            yield
        if self._preparing is not None:
            self._preparing.cancel()
        if self._ready.is_filled_by(self):
            self._ready.filled_by(None, metrics)

    def _decide(self, metrics: Metrics) -> None:
        """Begin anew where plugins in front keep other names than before."""
        kept = [source.kept() for source in self._sources]
        if kept == self._kept or not self._ready.is_filled_by(self):
            return
        self.hand_in(metrics)
        self._kept = kept
        self._zones.clear()
        self._ready.table.serve(())
        self._update()

    def _update(self) -> None:
        """Answer from what the plugins have published last."""
        if not self._ready.is_filled_by(self):
            return  # replaced, and about to end
        table, known = self._ready.table, len(self._zones)
        for index, source in enumerate(self._sources):
            zone = source.plugin.transferable(source.origin) if source.plugin.synced else None
            if zone is None or source.origin in self._kept[index]:
                continue
            fast = self._zones.get(index)
            if fast is None:
                self._zones[index] = _fast_zone(index, source, zone, self._kept[index])
            elif fast.zone is not zone:
                table.move(fast, zone)
        if len(self._zones) != known:
            table.serve([self._zones[index] for index in sorted(self._zones)])
        self._prepare()

    def _prepare(self) -> None:
        """Have the table prepare itself, a little in each turn of the event loop."""
        if self._preparing is not None:
            self._preparing.cancel()
        done = not self._ready.is_filled_by(self) or self._ready.table.prepare(_STEPS)
        self._preparing = None if done else asyncio.get_running_loop().call_soon(self._prepare)

    def hand_in(self, metrics: Metrics) -> None:
        """Hand in what was counted since the last time."""
        if not self._ready.is_filled_by(self):
            return
        for cell, tally in self._ready.table.tallies().items():
            source = self._sources[cell.zone]
            if source.counted:
                rrtype = type_to_text(cell.qtype) if cell.qtype else "other"
                labels = (*_FAMILIES[cell.way], rrtype, rcode_text(cell.rcode))
                metrics.count_ready((self._server, source.zone, *labels, "", cell.dnssec_ok), tally)


def _fast_zone(index: int, source: _Source, zone: Zone, kept: Iterable[Name]) -> FastZone:
    """Return a zone as a table has it."""
    config = source.plugin.config
    return FastZone(
        index,
        zone,
        rotates=source.rotates,
        missing=not source.plugin.may_fall_through(source.origin),
        outside=kept,
        made=[Name(b"\3pod" + source.origin)] if config.pods == "insecure" else [],
    )


def _sources(blocks: Sequence[Block]) -> Iterator[_Source]:
    """Yield the zones whose answers may be ready."""
    zones = [(zone, block) for block in blocks for zone in block.zones]
    for block in blocks:
        plugin = next((one for one in block.plugins if isinstance(one, Kubernetes)), None)
        if plugin is None:
            continue
        front = block.plugins[: block.plugins.index(plugin)]
        for origin in plugin.config.origins:
            owners = [(zone, owner) for zone, owner in zones if is_at_or_below(origin, zone)]
            zone, owner = max(owners, key=lambda entry: len(entry[0]), default=(ROOT, None))
            if owner is block and origin != ROOT:
                yield _Source(
                    plugin,
                    origin,
                    to_text(zone),
                    tuple(other for other, _ in zones if other != origin and is_at_or_below(other, origin)),
                    front,
                    any(isinstance(one, LoadBalance) for one in front),
                    any(isinstance(one, Prometheus) for one in front),
                )
