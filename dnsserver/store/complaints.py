"""Which VMIs have no name for a reason that their owner can mend; no I/O, no clock.

Nothing is kept, and nothing looked at, unless the configuration asks for it. Then a VMI that changes costs one look at
the Service that its subdomain names, and a Service that changes one at the VMIs of its namespace.
"""

from collections.abc import Callable, Iterator

from dnsserver.derive.complaint import Complaint, Reason, asks_for_name, complaint
from dnsserver.derive.vmi import Published, Refused
from dnsserver.objects import Key, Service, VirtualMachineInstance
from dnsserver.objects.uids import Uid
from dnsserver.store.known import Known
from dnsserver.store.marks import Concerns

Subject = tuple[Uid, Reason]  # a VMI, and what there is to complain of
Outcome = Callable[[VirtualMachineInstance, Service, float], Published | Refused]


class Complaints:
    """Keeps what there is to complain of each VMI, and what of that has changed."""

    def __init__(self, known: Known, concerns: Concerns, outcome: Outcome, *, wanted: bool) -> None:
        """`outcome` says what a VMI contributes to a Service at a time."""
        self._known = known
        self._concerns = concerns
        self._wanted = wanted
        self._outcome = outcome
        self._subjects: dict[Key, Subject] = {}
        self._changed: dict[Key, Subject | None] = {}

    def take(self) -> dict[Key, Subject | None]:
        """Return what has changed since the last time, None for VMIs that there is nothing to say of any more."""
        changed, self._changed = self._changed, {}
        return changed

    def complaint(self, key: Key, now: float) -> tuple[VirtualMachineInstance, Complaint] | None:
        """Return a VMI and what there is to complain of it now."""
        vmi = self._known.vmis.get(key)
        if vmi is None or not asks_for_name(vmi) or not self._known.exposed(vmi.namespace):
            return None
        service = self._known.services.get((vmi.namespace, vmi.subdomain))
        found = complaint(vmi, service, None if service is None else self._outcome(vmi, service, now))
        return None if found is None else (vmi, found)

    def derive(self, now: float) -> Iterator[None]:
        """Look again at what is noted in `Concerns`, in small steps; at every VMI the first time."""
        concerns = self._concerns
        if not self._wanted:
            return
        if not concerns.kept:
            concerns.kept = True
            concerns.namespaces.update(self._known.vmis.namespaces())
        while concerns.namespaces:
            for vmi in self._known.vmis.in_namespace(concerns.namespaces.pop()).values():
                if vmi.subdomain:
                    self._look_at(vmi.key, now)
                yield
        while concerns.services:
            namespace, names = concerns.services.popitem()
            for vmi in self._known.vmis.in_namespace(namespace).values():
                if vmi.subdomain in names:
                    self._look_at(vmi.key, now)
                yield
        while concerns.vmis:
            self._look_at(concerns.vmis.pop(), now)
            yield

    def _look_at(self, key: Key, now: float) -> None:
        """Note what there is to say of a VMI where that has changed."""
        found = self.complaint(key, now)
        subject = None if found is None else (found[0].packed_uid, found[1].reason)
        if subject == self._subjects.get(key):
            return
        if subject is None:
            del self._subjects[key]
        else:
            self._subjects[key] = subject
        self._changed[key] = subject
