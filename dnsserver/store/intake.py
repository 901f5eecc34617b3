"""Events into the tables: lists are staged and compared, single objects put and deleted; no I/O, no clock."""

from collections.abc import Iterable, Iterator

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted, NotServed
from dnsserver.objects import Key, Kind, Object, Pod
from dnsserver.store.changes import Changes
from dnsserver.store.config import StoreConfig
from dnsserver.store.known import Known


class Intake:
    """Makes the tables of `known` what the sources say, and tells `changes` of every object that changes."""

    def __init__(self, config: StoreConfig, known: Known, changes: Changes) -> None:
        self._config = config
        self._known = known
        self._changes = changes
        self._staged: dict[Kind, dict[Key, Object]] = {}
        self._first: set[Kind] = set()  # kinds whose list under way has nothing to replace, and so is not staged
        self._listed: set[Kind] = set()
        self._absent: set[Kind] = set()

    @property
    def missing(self) -> frozenset[Kind]:
        """The kinds that are still to be listed; one that the source does not have holds nothing up, if it may lack."""
        return self._config.kinds - self._listed - (self._absent - self._config.required)

    def steps(self, event: Event, now: float) -> Iterator[None]:
        """Take in any event, in small steps."""
        match event:
            case ListedPage(kind, objects, kept):
                yield from self._stage(kind, objects, kept, now)
            case ListEnded(kind):
                if kind not in self._first:
                    yield from self._replace(kind, self._staged.pop(kind, {}), now)
                self._staged.pop(kind, None)
                self._first.discard(kind)
                self._listed.add(kind)
                self._absent.discard(kind)
                if kind is Kind.VMI:
                    self._changes.read_vmis(readable=True)
            case NotServed(kind):
                self._staged.pop(kind, None)
                self._first.discard(kind)
                yield from self._replace(kind, {}, now)
                self._absent.add(kind)
                if kind is Kind.VMI:
                    self._changes.read_vmis(readable=False)
            case _:
                self.take(event, now)

    def take(self, event: Event, now: float) -> None:
        """Take in an event that costs little: the start of a list, or one object."""
        match event:
            case ListStarted(kind):
                self._staged[kind] = {}
                if not self._known.synced and not len(self._known.table(kind)):
                    self._first.add(kind)
                else:
                    self._first.discard(kind)
            case Changed(kind, value):
                self._remember_staged(kind)
                self._put(kind, value, now)
            case Deleted(kind, key, uid):
                self._remember_staged(kind)
                self._delete(kind, key, uid)

    def _stage(self, kind: Kind, objects: Iterable[Object], kept: Iterable[Key], now: float) -> Iterator[None]:
        """Note a page of a list; what has not changed stays the object it was, so that there are never two copies.

        Before the first sync nothing is visible anyway: a page is taken in as it comes, and not all of them at the end.
        """
        table = self._known.table(kind)
        if kind in self._first and not self._known.synced:
            for value in objects:
                self._put(kind, value, now)
                yield
            return
        self._remember_staged(kind)
        staged = self._staged.setdefault(kind, {})
        for value in objects:
            known = table.get(value.key)
            staged[value.key] = known if known is not None and known == value else value
            if not self._known.synced:
                self._put(kind, value, now)
            yield
        for key in kept:
            known = table.get(key)
            if known is not None:
                staged[key] = known
            yield

    def _remember_staged(self, kind: Kind) -> None:
        """Stage what the list under way has named so far, where something else is about to be told of its kind."""
        if kind in self._first:
            self._first.discard(kind)
            self._staged[kind] = {value.key: value for value in self._known.table(kind)}

    def _replace(self, kind: Kind, objects: dict[Key, Object], now: float) -> Iterator[None]:
        """Make `objects` all there is of a kind."""
        table = self._known.table(kind)
        for namespace in table.namespaces():
            for name in tuple(table.in_namespace(namespace)):
                if (namespace, name) not in objects:
                    self._delete(kind, (namespace, name), "")
                yield
        while objects:  # the last first, and none is kept longer than needed
            _, value = objects.popitem()
            self._put(kind, value, now)
            yield

    def _put(self, kind: Kind, value: Object, now: float) -> None:
        """Add an object, or replace the one of its name."""
        table = self._known.table(kind)
        previous = table.get(value.key)
        if isinstance(value, Pod) and value.deleting:
            # not added, and one that is known stays as it was until it is gone (CoreDNS object/pod.go)
            if previous is not None and previous.uid != value.uid:
                self._delete(kind, value.key, "")  # it is gone: this is another of its name
            return
        if previous is not value and previous != value:
            table.put(value)
            self._changes.changed(kind, previous, value, now)

    def _delete(self, kind: Kind, key: Key, uid: str) -> None:
        """Forget an object; where a UID is given only that one, not its successor of the same name."""
        table = self._known.table(kind)
        previous = table.get(key)
        if previous is None or (uid and previous.uid and previous.uid != uid):
            return
        table.pop(key)
        self._changes.changed(kind, previous, None, 0.0)
