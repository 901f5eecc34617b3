"""How zones are made of objects; no I/O."""

from typing import Literal

import msgspec

from dnsserver.derive.observation import Timing
from dnsserver.names import Name
from dnsserver.objects import Kind

Kubevirt = Literal["auto", "on", "off", "only"]


class StoreConfig(msgspec.Struct, frozen=True):
    """The options of the `kubernetes` plugin that decide what is published."""

    zones: tuple[Name, ...]  # forward zones, at least one; PTR records lead into the first
    reverse_zones: tuple[Name, ...] = ()
    ttl: int = 5  # seconds
    kubevirt: Kubevirt = "auto"
    timing: Timing = Timing()
    namespaces: frozenset[str] = frozenset()  # the only ones published; empty: all
    pod_names: bool = False  # an endpoint without a host name is called like its pod
    addresses: tuple[bytes, ...] = ()  # the server's own, packed: where its NS record leads

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds to watch."""
        return frozenset(Kind) - (frozenset({Kind.VMI}) if self.kubevirt == "off" else frozenset())

    @property
    def required(self) -> frozenset[Kind]:
        """The kinds that the source must have; without another it serves what the rest says."""
        return frozenset({Kind.SERVICE, Kind.VMI} if self.kubevirt in ("on", "only") else {Kind.SERVICE})
