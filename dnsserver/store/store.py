"""Events in, zones out; no I/O, no clock.

Events change objects and note what has to be derived again (`apply`); deriving edits the next zones (`refresh`); then
all zones change at once. An event costs work in proportion to what it changes: a VMI's own contribution to the
Services that select it, never the others'.

What may take long is a *round*: an iterator that has done one small step whenever it yields, so that `refresh` can
stop after any of them and go on later. Nothing changes objects under a round but itself: the events that come
meanwhile wait in the inbox, and the round takes them in before it ends. What a round does stands elsewhere, in the
order of its work: `Intake` and `Changes` (objects in `Known`, notes in `Pending`), `Contributions`, `OtherNames`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from dnsserver.derive.complaint import Complaint
from dnsserver.derive.endpoint import Endpoint
from dnsserver.derive.interfaces import Machine, Unnamed
from dnsserver.derive.observation import Observation
from dnsserver.derive.vmi import Rule
from dnsserver.events import Event, ListedPage, ListEnded, NotServed
from dnsserver.names import Name
from dnsserver.objects import Key, Kind, Service, VirtualMachineInstance
from dnsserver.store.changes import Changes
from dnsserver.store.complaints import Complaints, Subject
from dnsserver.store.config import StoreConfig
from dnsserver.store.contributions import Contributions
from dnsserver.store.entry import Entry
from dnsserver.store.intake import Intake
from dnsserver.store.interfaces import InterfaceNames
from dnsserver.store.journal import Journal
from dnsserver.store.known import Known
from dnsserver.store.marks import Pending
from dnsserver.store.names import OtherNames, fallbacks
from dnsserver.store.publication import Publication
from dnsserver.store.serials import NEVER
from dnsserver.zone import Zone


class Store:
    """Everything known of one cluster, and the zones it makes: what others ask of it, and its rounds."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._known = Known(config)
        self._pending = Pending()
        self._changes = Changes(config, self._known, self._pending)
        self._intake = Intake(config, self._known, self._changes)
        self._inbox: deque[tuple[Event, float]] = deque()  # events to take in, and when they came
        self._round: Iterator[None] | None = None  # what is left of the round that was cut short
        self._publication = Publication(config, fallbacks(config))
        self._contributions = Contributions(config, self._known, self._pending, self._publication)
        self._complaints = Complaints(
            self._known, self._pending.concerns, self._contributions.vmi_outcome, wanted=config.complaints
        )
        self._names = OtherNames(config, self._known, self._pending, self._publication)
        self._interfaces = InterfaceNames(config, self._known, self._pending.machines, self._publication)
        self._now = 0.0  # of the refresh that is at work,
        self._second = 0  # and the Unix time
        self._serial = NEVER
        self.version = 0  # another with every change of an object, whatever it changes in the zones
        self.zones: tuple[Zone, ...] = self._publication.publish(0, 0.0)

    @property
    def config(self) -> StoreConfig:
        """How the zones are made."""
        return self._config

    @property
    def known(self) -> Known:
        """The objects, and the indexes between them: for reading only."""
        return self._known

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once; until then a name that is not there may just not be there yet."""
        return self._known.synced

    @property
    def missing(self) -> frozenset[Kind]:
        """The kinds that are still to be listed; one that the source does not have holds nothing up, if it may lack."""
        return self._intake.missing

    @property
    def deadline(self) -> float | None:
        """When an answer may change by itself, by the clock that `now` counts; None where none will."""
        return self._known.observations.deadline

    @property
    def observations(self) -> Iterable[Observation]:
        """What is remembered of VMIs in a hand-over, or with addresses that are held."""
        return self._known.observations.values()

    @property
    def unpublished(self) -> Counter[Rule]:
        """VMIs that a headless Service selects, but has no names for."""
        return self._contributions.unpublished

    @property
    def programmed(self) -> list[tuple[str, float]]:
        """(kind of Service, Unix time) of changes taken in, for metrics; whoever has read them clears the list."""
        return self._changes.programmed

    def zone(self, origin: Name) -> Zone | None:
        """Return the zone of that origin."""
        return next((zone for zone in self.zones if zone.origin == origin), None)

    @property
    def serial(self) -> int:
        """The serial of what is made of the objects elsewhere: it rises with any change of them; 0 before the sync."""
        return self._serial.value

    def seal(self, now: float) -> float:
        """Have no later content share the present `serial`; return in how many seconds none could anyway."""
        left = self._serial.settles(now)
        self._serial = self._serial.sealed()
        return left

    def journal(self, origin: Name, now: float) -> Journal | None:
        """Return the journal of a zone, which is kept from then on; None where there is no such zone."""
        return self._publication.journal(origin, now)

    def services(self) -> Iterator[Service]:
        """Yield every Service that is published."""
        return (service for service in self._known.services if self.exposed(service.namespace))

    def service(self, key: Key) -> Service | None:
        """Return one Service, if its namespace is published."""
        return self._known.services.get(key) if self.exposed(key[0]) else None

    def endpoints(self, key: Key) -> tuple[Endpoint, ...]:
        """Return the endpoints that a Service publishes."""
        return self._contributions.endpoints(key)

    def entry(self, key: Key) -> Entry | None:
        """Return a Service as it is published, for reading only; None where it is not, or not yet."""
        return self._contributions.entry(key)

    def pod_namespace(self, address: bytes) -> str | None:
        """Return the namespace of the pod that has an address (`pods verified`)."""
        return next((namespace for namespace, _ in self._known.pod_addresses.pods(address)), None)

    def want_guests(self, *, wanted: bool) -> None:
        """Have `guests` know VMIs from the next refresh on, or no longer: that costs memory for every VMI."""
        self._known.guests.want(wanted=wanted)

    def guests(self, address: bytes) -> tuple[VirtualMachineInstance, ...]:
        """Return the VMIs whose guests may ask from an address: at most one, but where networks overlap."""
        return self._known.guests.at(address)

    def take_complaints(self) -> dict[Key, Subject | None]:
        """Return what has changed of why VMIs have no names since the last time; nothing unless the options ask."""
        return self._complaints.take()

    def complaint(self, key: Key, now: float) -> tuple[VirtualMachineInstance, Complaint] | None:
        """Return a VMI and what keeps it from the name that it asks for; None where its owner has nothing to mend."""
        return self._complaints.complaint(key, now)

    def machine(self, key: Key, now: float) -> Machine | Unnamed | None:
        """Return the names that a VMI has without a Service, or why it has none; None where it is not to have any."""
        return self._interfaces.machine(key, now)

    def exposed(self, namespace: str) -> bool:
        """Say whether a namespace is published: it exists, and is among those that are asked for, if any are."""
        return self._known.exposed(namespace)

    def counts(self) -> dict[Kind, int]:
        """Return how many objects of each kind that is watched there are."""
        return {kind: len(self._known.table(kind)) for kind in sorted(self._config.kinds, key=lambda kind: kind.value)}

    def apply(self, event: Event, now: float) -> None:
        """Take one event in; `refresh` makes it visible. `now` is in seconds of any clock that never goes back."""
        if event.kind not in self._config.kinds:
            return
        if self._inbox or self._round is not None or isinstance(event, ListedPage | ListEnded | NotServed):
            self._inbox.append((event, now))
        else:
            self._intake.take(event, now)

    def refresh(self, now: float, *, serial: int, limit: int | None = None) -> bool:
        """Derive what has changed and publish it; return False where `limit` small steps were not enough.

        Nothing is seen before all of it is done: `zones` changes in one step, at the end. `serial` is the Unix time in
        seconds (`serials`).
        """
        self._now = self._contributions.now = now
        self._second = serial
        if self._round is None:
            self._round = self._work()
        steps = self._round if limit is None else islice(self._round, limit)
        taken = sum(1 for _ in steps)
        if limit is not None and taken == limit:
            return False
        self._round = None
        return True

    def _work(self) -> Iterator[None]:
        """Do one round: take in what has come, derive what has changed, and publish it at the very end."""
        yield from self._publication.release()
        yield from self._take_all()
        if not self.synced:
            if self.missing:
                return
            yield from self._changes.start()
        while True:
            yield from self._take_all()
            yield from self._known.guests.prepare()
            yield from self._changes.expire(self._now)
            yield from self._names.namespaces()
            yield from self._contributions.expand()
            yield from self._contributions.derive()
            yield from self._complaints.derive(self._now)
            yield from self._interfaces.derive(self._now)
            yield from self._names.pods()
            self._names.apexes()
            yield from self._publication.prepare()
            # time went on while the round was cut short
            if not self._inbox and not self._known.observations.due(self._now):
                break
        self.zones = self._publication.publish(self._second, self._now)
        if self._changes.count:
            self.version += 1
            self._serial = self._serial.next(self._second, self._now)
            self._changes.count = 0

    def _take_all(self) -> Iterator[None]:
        """Take in what has come, in its order."""
        while self._inbox:
            event, now = self._inbox.popleft()
            yield from self._intake.steps(event, now)
            yield
