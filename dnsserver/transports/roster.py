"""The open connections of all listeners of a process: how many, whose, and which of them has to go for the next one."""

from dataclasses import dataclass

from dnsserver.transports import descriptors
from dnsserver.transports.connection import Connection
from dnsserver.transports.dispatch import TransportStats
from dnsserver.transports.turns import Turns


@dataclass(frozen=True, slots=True)
class RosterLimits:
    """How many connections there may be at one time; the descriptors of the process may say less."""

    connections: int = 1000
    per_source: int = 100  # by address, for IPv6 too: the pods of one node share a prefix


class Roster:
    """Makes room for new connections at the cost of the one that has been unused for longest.

    Connections go that wait for a query, or for the rest of one. Where there is none, one goes whose client does not
    read its answers: a thousand clients of that kind must not keep others out until their time is up.
    """

    def __init__(self, limits: RosterLimits | None = None) -> None:
        self._limits = limits or RosterLimits()
        self.turns = Turns()
        self._connections: dict[Connection, None] = {}  # least recently used first
        self._by_source: dict[str, dict[Connection, None]] = {}  # in the same order

    def __len__(self) -> int:
        return len(self._connections)

    def make_room(self, source: str, descriptor: int, stats: TransportStats) -> bool:
        """Say whether a new connection of a source, which has this descriptor, can be let in; may end another."""
        others = self._by_source.get(source, {})
        if len(others) >= self._limits.per_source:
            return self._evict(others, stats)
        most = min(self._limits.connections, descriptors.most_connections())
        if len(self._connections) >= most or descriptors.is_reserved(descriptor):
            return self._evict(self._connections, stats)
        return True

    def evict(self, stats: TransportStats) -> bool:
        """End the connection that can best be spared, whosever it is; say whether there was one."""
        return self._evict(self._connections, stats)

    def add(self, connection: Connection) -> None:
        """Take a new connection."""
        self._connections[connection] = None
        self._by_source.setdefault(connection.source, {})[connection] = None

    def use(self, connection: Connection) -> None:
        """Move a connection behind those that were used before it."""
        if connection in self._connections:
            for one in (self._connections, self._by_source[connection.source]):
                del one[connection]
                one[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection; told twice where it was evicted before it ended."""
        if connection not in self._connections:
            return
        del self._connections[connection]
        others = self._by_source[connection.source]
        del others[connection]
        if not others:
            del self._by_source[connection.source]

    def _evict(self, candidates: dict[Connection, None], stats: TransportStats) -> bool:
        """End the first of those that are idle, or the first that is not read from."""
        evicted = next((one for one in candidates if one.idle), None)
        if evicted is None:
            evicted = next((one for one in candidates if one.blocked), None)
        if evicted is None:
            return False
        stats.connections_evicted += 1
        self.remove(evicted)
        evicted.evict()
        return True
