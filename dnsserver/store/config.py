"""How zones are made of objects; no I/O."""

from typing import Literal

import msgspec

from dnsserver.derive.apex import NameServer
from dnsserver.derive.observation import Timing
from dnsserver.names import Name
from dnsserver.objects import Further, Kind

Kubevirt = Literal["auto", "on", "off", "only"]
Pods = Literal["disabled", "insecure", "verified"]


class InterfacesConfig(msgspec.Struct, frozen=True):
    """The zones with names of VMIs that need no Service (option `interfaces`)."""

    zones: tuple[Name, ...]  # at least one; PTR records lead into the first
    ttl: int = 5  # seconds
    further: Further = Further()  # which interfaces there are names of, and of which addresses
    servers: tuple[NameServer, ...] = ()  # empty: `ns.<zone>`, at the server's own addresses
    apart: tuple[Name, ...] = ()  # zones of others, which may be below one of these


class StoreConfig(msgspec.Struct, frozen=True):
    """The options of the `kubernetes` plugin that decide what is published."""

    zones: tuple[Name, ...]  # forward zones, at least one; PTR records lead into the first
    reverse_zones: tuple[Name, ...] = ()
    ttl: int = 5  # seconds
    kubevirt: Kubevirt = "auto"
    timing: Timing = Timing()
    namespaces: frozenset[str] = frozenset()  # the only ones published; empty: all
    pods: Pods = "disabled"
    endpoints: bool = True  # False: EndpointSlices are not looked at (`noendpoints`)
    ignore_empty: bool = False  # a Service with a cluster IP but without a ready endpoint has no names
    zonal: bool = False  # names of the endpoints in one topology zone
    imported: bool = False  # the zones are of ServiceImports, not of this cluster's Services (`multicluster`)
    complaints: bool = False  # it is noted which VMIs have no name for a reason that their owner can mend
    pod_names: bool = False  # an endpoint without a host name is called like its pod
    interfaces: InterfacesConfig | None = None
    addresses: tuple[bytes, ...] = ()  # the server's own, packed: where its NS record leads

    @property
    def service_kind(self) -> Kind:
        """The kind that takes the part of Services."""
        return Kind.SERVICE_IMPORT if self.imported else Kind.SERVICE

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds to watch."""
        kinds = {Kind.NAMESPACE, self.service_kind}
        if self.endpoints:
            kinds.add(Kind.ENDPOINT_SLICE)
        if self.kubevirt != "off" and not self.imported:
            kinds.add(Kind.VMI)
        if self.pods == "verified" and not self.imported:
            kinds.add(Kind.POD)
        return frozenset(kinds)

    @property
    def required(self) -> frozenset[Kind]:
        """The kinds that the source must have; without another it serves what the rest says."""
        return frozenset({Kind.VMI} if self.kubevirt in ("on", "only") else ()) | {self.service_kind}
