"""`errors { stacktrace; consolidate DURATION REGEXP [LEVEL] [show_first] }`: logs what plugins could not do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dnsserver.admin.texts import one_line
from dnsserver.corefile import Directive, Property
from dnsserver.message import Reply
from dnsserver.names import to_text
from dnsserver.plugins.go_regexp import GoRegexp, RegexpError, compile_regexp
from dnsserver.plugins.options import arguments, duration, format_duration, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode
from dnsserver.wire import type_to_text

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SHOW_FIRST = "show_first"

_log = logging.getLogger("plugin/errors")


@dataclass(slots=True)
class Consolidation:
    """Errors that one pattern matches: counted for a period from the first one on, then reported in one line."""

    period: float  # seconds
    pattern: GoRegexp
    level: int = logging.ERROR
    show_first: bool = False
    count: int = 0
    timer: asyncio.TimerHandle | None = None

    def add(self, line: str) -> None:
        """Count an error, starting the period with the first; `line` is what it would be logged as alone."""
        self.count += 1
        if self.count == 1:
            self.timer = asyncio.get_running_loop().call_later(self.period, self.report)
            if self.show_first:
                _log.log(self.level, "%s", line)

    def report(self) -> None:
        """End the period and log the sum; nothing where the only error has been logged already."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        count, self.count = self.count, 0
        if count > (1 if self.show_first else 0):
            period = format_duration(self.period)
            _log.log(self.level, "%d errors like '%s' occurred in last %s", count, self.pattern.pattern, period)


class Errors(Plugin):
    """Logs every `PluginError` from below and passes it on; it may consolidate only while it runs."""

    name = "errors"

    def __init__(self, consolidations: tuple[Consolidation, ...] = (), *, stacktrace: bool = False) -> None:
        self.stacktrace = stacktrace  # the app logs the traceback of an unexpected exception as well
        self._consolidations = consolidations
        self._running = False

    def lets_pass(self, ttl: int) -> bool:
        """It only reports what fails."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        try:
            return await call_next(request)
        except PluginError as error:
            self._report(request, str(error))
            raise

    def _report(self, request: Request, error: str) -> None:
        """Log an error or give it to the first pattern that matches it."""
        query = request.query
        line = one_line(f"{int(Rcode.SERVFAIL)} {to_text(query.name)} {type_to_text(query.qtype)}: {error}")
        for consolidation in self._consolidations if self._running else ():
            if consolidation.pattern.find(error) is not None:
                consolidation.add(line)
                return
        _log.error("%s", line)

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        del runtime
        self._running = True
        try:
            yield
        finally:
            self._running = False
            for consolidation in self._consolidations:
                consolidation.report()


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `errors`."""
    directive = once(directives)
    args = arguments(directive, "errors [stdout]", 0, 1)
    if args not in ((), ("stdout",)):
        raise directive.error(f"invalid log file: {args[0]}, expecting stdout", 0)
    stacktrace = False
    consolidations = []
    for prop in properties(directive, "stacktrace", "consolidate"):
        if prop.name == "stacktrace":
            arguments(prop, "stacktrace", 0, 0)
            stacktrace = True
        else:
            consolidations.append(_consolidation(prop))
    return (Errors(tuple(consolidations), stacktrace=stacktrace),)


def _consolidation(prop: Property) -> Consolidation:
    usage = f"consolidate DURATION REGEXP [{'|'.join(_LEVELS)}] [{_SHOW_FIRST}]"
    args = arguments(prop, usage, 2, 4)
    show_first = _SHOW_FIRST in args[2:]
    levels = [index for index, arg in enumerate(args) if index > 1 and arg != _SHOW_FIRST]
    for index in levels:
        if args[index] not in _LEVELS:
            raise prop.error(f"unknown log level argument in consolidate: {args[index]}, expecting {usage}", index)
    if len(levels) + show_first != len(args) - 2 or len(levels) > 1:
        raise prop.error(f"an option of consolidate is given twice, expecting {usage}", len(args) - 1)
    level = _LEVELS[args[levels[0]]] if levels else logging.ERROR
    return Consolidation(duration(prop), _pattern(prop), level, show_first)


def _pattern(prop: Property) -> GoRegexp:
    """Compile the regular expression as Go reads it, in a form that no error text can blow up."""
    try:
        return compile_regexp(prop.args[1])
    except RegexpError as error:
        raise prop.error(str(error), 1) from error
