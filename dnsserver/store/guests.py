"""Which VMIs have an address, so that a client is known by its own (`autopath`); no I/O, no clock.

An index costs memory for every VMI, so there is none before somebody wants it.
"""

from collections.abc import Iterator
from typing import TypeVar

from dnsserver.derive.complaint import FINAL
from dnsserver.objects import Key, VirtualMachineInstance
from dnsserver.store.indexes import PodIndex
from dnsserver.store.observations import Observations
from dnsserver.store.table import Table

_T = TypeVar("_T", VirtualMachineInstance, bytes)


class Guests:
    """Finds VMIs by any address that their guests may ask from.

    That is what the status says of the primary interface, what it said before the guest agent lost it, and what
    EndpointSlices say of the active pods: of both, while a migration moves the guest from one to the other.
    """

    def __init__(self, vmis: Table[VirtualMachineInstance], pods: PodIndex, observations: Observations) -> None:
        self._vmis = vmis
        self._pods = pods
        self._observations = observations
        self._wanted = False
        self._kept = False
        # One alone, as nearly always, is no tuple.
        self._owners: dict[bytes, VirtualMachineInstance | tuple[VirtualMachineInstance, ...]] = {}
        # What the VMI is found by, by namespace and name.
        self._addresses: dict[str, dict[str, bytes | tuple[bytes, ...]]] = {}

    def at(self, address: bytes) -> tuple[VirtualMachineInstance, ...]:
        """Return the VMIs that have an address: at most one, unless networks use the same addresses."""
        return _as_tuple(self._owners.get(address, ()))

    def want(self, *, wanted: bool) -> None:
        """Say whether there shall be an index; `prepare` makes it, or takes it away."""
        self._wanted = wanted

    def prepare(self) -> Iterator[None]:
        """Make the index where it is wanted and not there yet, in small steps."""
        if not self._wanted:
            self._kept = False
            self._owners, self._addresses = {}, {}
            return
        if self._kept:
            return
        self._kept = True
        for namespace in self._vmis.namespaces():
            for name in tuple(self._vmis.in_namespace(namespace)):
                self.look_at((namespace, name))
                yield

    def look_at(self, key: Key) -> None:
        """Bring the index in line with what is known of one VMI now."""
        if not self._kept:
            return
        namespace, name = key
        vmi = self._vmis.get(key)
        known = self._addresses.setdefault(namespace, {})
        for address in _as_tuple(known.pop(name, ())):
            self._set(address, tuple(one for one in self.at(address) if one.key != key))
        if vmi is not None and vmi.phase not in FINAL:  # a final one has no guest, and its address is another's
            addresses = self._addresses_of(vmi)
            for address in addresses:
                self._set(address, (*self.at(address), vmi))
            if addresses:
                known[name] = addresses[0] if len(addresses) == 1 else addresses
        if not known:
            del self._addresses[namespace]

    def _set(self, address: bytes, owners: tuple[VirtualMachineInstance, ...]) -> None:
        """Say who has an address."""
        if owners:
            self._owners[address] = owners[0] if len(owners) == 1 else owners
        else:
            del self._owners[address]

    def _addresses_of(self, vmi: VirtualMachineInstance) -> tuple[bytes, ...]:
        """Return the addresses that a VMI's guest may ask from."""
        reported = vmi.primary.addresses if vmi.primary else ()
        held = (address for one in self._observations.get(vmi.key).held_of() for address in one.addresses)
        pods = self._pods.addresses(vmi, frozenset())
        return tuple(dict.fromkeys((*reported, *held, *sorted(pods.current), *sorted(pods.other))))


def _as_tuple(one: _T | tuple[_T, ...]) -> tuple[_T, ...]:
    """Return what may be one alone."""
    return one if isinstance(one, tuple) else (one,)
