"""What the operator is told of failures: a line when they begin, another when they end."""

import logging

from dnsserver.sources.faults import FaultError, Stage, Trouble

logger = logging.getLogger("plugin/kubernetes")

_QUIET = {Trouble.EXPIRED, Trouble.TOO_NEW, Trouble.SHORT}  # part of an API server's ordinary life

_VERBS = {Stage.DISCOVER: "look for", Stage.LIST: "list", Stage.OPEN: "watch", Stage.STREAM: "go on watching"}


class Troubles:
    """The failure of one resource that was told last."""

    def __init__(self, name: str) -> None:
        self._name = name  # of the resource
        self._last: tuple[Stage, Trouble] | None = None

    def tell(self, fault: FaultError, *, known: bool) -> None:
        """Tell of a failure, once for as long as it stays the same; `known`: there is a last good state."""
        trouble = fault.stage, fault.trouble
        if trouble == self._last:
            return
        self._last = trouble
        if fault.trouble is Trouble.ABSENT:
            logger.info("%s: there are none until it has", fault.reason)
            return
        level = logging.INFO if fault.trouble in _QUIET else logging.WARNING
        then = "keeping what was last known" if known else "nothing of it is known yet"
        if fault.trouble is Trouble.FORBIDDEN:
            then += f"; the account needs the verbs list and watch on {self._name}"
        logger.log(level, "cannot %s %s: %s; %s", _VERBS[fault.stage], self._name, fault.reason, then)

    def solved(self, stage: Stage) -> bool:
        """Note success at a stage; say whether it ends the trouble that was told."""
        if self._last is None or self._last[0] > stage:
            return False
        self._last = None
        return True
