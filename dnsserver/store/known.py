"""The current objects of one cluster, and the indexes between them; no I/O, no clock.

`Intake` alone puts objects in, and `Changes` keeps the indexes in step with them; everything else only reads.
"""

from typing import cast

from dnsserver.objects import EndpointSlice, Key, Kind, Namespace, Object, Pod, Service, VirtualMachineInstance
from dnsserver.store.config import StoreConfig
from dnsserver.store.guests import Guests
from dnsserver.store.indexes import AddressIndex, PodIndex, SelectorIndex
from dnsserver.store.observations import Observations
from dnsserver.store.table import Table


class Known:
    """Everything that the sources have told, by kind, and who concerns whom."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self.namespaces: Table[Namespace] = Table()
        self.services: Table[Service] = Table()
        self.slices: Table[EndpointSlice] = Table()
        self.vmis: Table[VirtualMachineInstance] = Table()
        self.pods: Table[Pod] = Table()
        self.synced = False  # every kind has been listed once
        self.reads_vmis = False  # the source has VMIs, and lets us read them
        self.observations = Observations(config.timing)
        self.selectors = SelectorIndex()
        self.owners = PodIndex()
        self.pod_addresses = AddressIndex()
        self.guests = Guests(self.vmis, self.owners, self.observations)
        self.service_slices: dict[Key, set[str]] = {}  # Service -> the names of its EndpointSlices
        self.implied: set[str] = set()  # namespaces that exist because something is in them, while none is known

    def table(self, kind: Kind) -> Table[Object]:
        """Return the table of one kind."""
        tables = {
            Kind.NAMESPACE: self.namespaces,
            Kind.SERVICE: self.services,
            Kind.SERVICE_IMPORT: self.services,
            Kind.ENDPOINT_SLICE: self.slices,
            Kind.VMI: self.vmis,
            Kind.POD: self.pods,
        }
        return cast("Table[Object]", tables[kind])

    def service_of(self, one: EndpointSlice) -> Key:
        """Return the Service, or the ServiceImport, that a slice belongs to; its name is "" where it has none."""
        return one.namespace, one.imported if self._config.imported else one.service

    def exposed(self, namespace: str) -> bool:
        """Say whether a namespace is published: it exists, and is among those that are asked for, if any are.

        Where no Namespace is known at all (manifests without them, or no right to read them), all of them exist.
        """
        if self._config.namespaces and namespace not in self._config.namespaces:
            return False
        return not len(self.namespaces) or self.namespaces.get(("", namespace)) is not None

    def named(self, namespace: str) -> bool:
        """Say whether a namespace has a name: it is published, and known, or something is in it while none is known."""
        return self.exposed(namespace) and (len(self.namespaces) > 0 or namespace in self.implied)
