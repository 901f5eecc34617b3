"""`debug`: says more: every log line of the process, and where a fault of our own came from.

CoreDNS stops recovering from faults, so that a packet ends the process. Here the server goes on; the block's
`stacktrace` has the traceback of each fault logged.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dnsserver.corefile import Directive
from dnsserver.plugins.options import arguments, properties
from dnsserver.plugins.plugin import Context, Plugin, Runtime


class Debug(Plugin):
    """Lets the process log at level debug while it runs; takes no part in answering."""

    name = "debug"
    stacktrace = True  # the server logs the traceback of an unexpected exception as well

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        del runtime
        _level.enter()
        try:
            yield
        finally:
            _level.leave()


class _Level:
    """The level of the process's own loggers: one for all server blocks, back to what it was after the last."""

    def __init__(self) -> None:
        self._users = 0
        self._before: dict[logging.Logger, int] = {}

    def enter(self) -> None:
        """Log everything; libraries keep their level, for some log what was said in confidence."""
        self._users += 1
        for logger in _own_loggers():
            self._before.setdefault(logger, logger.level)
            logger.setLevel(logging.DEBUG)

    def leave(self) -> None:
        """Undo one `enter`."""
        self._users -= 1
        if not self._users:
            for logger, level in self._before.items():
                logger.setLevel(level)
            self._before.clear()


_level = _Level()


def _own_loggers() -> list[logging.Logger]:
    """Return the loggers of this program; every plugin in use has made its own by the time one runs."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("dnsserver", "plugin/"))]
    return [logging.getLogger(name) for name in ("server", *names)]


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return one plugin; CoreDNS lets the directive be repeated."""
    for directive in directives:
        arguments(directive, "debug", 0, 0)
        tuple(properties(directive))  # refuses whatever there is
    return (Debug(),)
