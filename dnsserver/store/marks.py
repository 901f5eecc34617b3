"""What has to be derived again; no I/O."""

from collections.abc import Iterable

from dnsserver.objects import Key, Kind
from dnsserver.store.entry import Source


class Marks:
    """What contributes to one Service and has changed, by name."""

    __slots__ = ("slices", "vmis")

    def __init__(self) -> None:
        self.vmis: set[str] = set()
        self.slices: set[str] = set()

    def add(self, source: Source) -> None:
        """Note one of them."""
        kind, name = source
        (self.vmis if kind is Kind.VMI else self.slices).add(name)

    def pop(self) -> Source | None:
        """Take one of them out; None where there is none left."""
        if self.vmis:
            return Kind.VMI, self.vmis.pop()
        return (Kind.ENDPOINT_SLICE, self.slices.pop()) if self.slices else None


class Concerns:
    """The VMIs to look at again for their own sake, not for a Service's; nothing is noted until it is `kept`."""

    def __init__(self) -> None:
        self.kept = False
        self.vmis: set[Key] = set()
        self.services: dict[str, set[str]] = {}  # namespace -> subdomains: all VMIs with one of them
        self.namespaces: set[str] = set()  # all VMIs there

    def note_vmi(self, key: Key) -> None:
        """Note one VMI."""
        if self.kept:
            self.vmis.add(key)

    def note_service(self, key: Key) -> None:
        """Note the VMIs whose subdomain is a Service's name."""
        if self.kept:
            self.services.setdefault(key[0], set()).add(key[1])

    def note_namespaces(self, names: Iterable[str]) -> None:
        """Note the VMIs of namespaces."""
        if self.kept:
            self.namespaces.update(names)


class Pending:
    """All that has to be derived again before the next publication."""

    def __init__(self) -> None:
        self.whole: dict[str, set[str]] = {}  # namespace -> Services to derive from all that they have
        self.services: dict[Key, Marks] = {}  # Service -> what contributes to it and has changed
        self.namespaces: set[str] = set()
        self.pods: set[tuple[str, bytes]] = set()  # (namespace, address)
        self.concerns = Concerns()  # for what their owners can mend (`Complaints`)
        self.machines = Concerns()  # for the names that they have without a Service (`InterfaceNames`)

    def marks(self, service: Key) -> Marks:
        """Return what is noted of a Service."""
        marks = self.services.get(service)
        if marks is None:
            marks = self.services[service] = Marks()
        return marks
