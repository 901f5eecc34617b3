"""The objects that could not be understood: counted always, logged once per object and reason."""

import logging

from dnsserver.objects import InvalidObjectError, Key, Kind
from dnsserver.sources.source import SourceStatus

logger = logging.getLogger("plugin/kubernetes")


class Refusals:
    """What was refused of one kind, and what the operator has been told of it."""

    def __init__(self, kind: Kind, status: SourceStatus) -> None:
        self._kind = kind
        self._status = status
        self._told: dict[Key, set[str]] = {}
        self._in_list: dict[Key, set[str]] = self._told

    def refuse(self, error: InvalidObjectError) -> None:
        """Count an object, and tell of it if that is new."""
        self._status.refused[self._kind] += 1
        if error.reason not in self._told.get(error.key, ()):
            logger.warning("refused %s", error)
        reasons = self._told.setdefault(error.key, set())
        reasons.add(error.reason)
        self._in_list[error.key] = reasons

    def forget(self, key: Key) -> None:
        """Note that an object is gone."""
        self._told.pop(key, None)

    def list_started(self) -> None:
        """Begin to note what is refused in a list."""
        self._in_list = {}

    def list_ended(self) -> None:
        """Forget the objects that the list did not refuse."""
        self._told = self._in_list
