"""How zones are made of objects; no I/O."""

from typing import Literal

import msgspec

from dnsserver.derive.observation import Timing
from dnsserver.names import Name
from dnsserver.objects import Kind

Kubevirt = Literal["auto", "on", "off", "only"]
Pods = Literal["disabled", "insecure", "verified"]


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
    pod_names: bool = False  # an endpoint without a host name is called like its pod
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
