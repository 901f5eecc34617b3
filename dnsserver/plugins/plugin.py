"""The one shape of a plugin: parsed from its directives, then a link of its server block's chain.

A module of this folder is named after its directive and offers `parse(directives, context) -> tuple[Plugin, ...]`. It
gets every occurrence of the directive in one server block, checks every argument, and raises `CorefileError` (through
`Directive.error` or `Property.error`) for what it does not understand: nothing is parsed and ignored.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import coroutine
from typing import TYPE_CHECKING, Protocol

from dnsserver.corefile import Corefile, Directive
from dnsserver.message import Client, Query, Reply
from dnsserver.names import Name
from dnsserver.records import Rcode

if TYPE_CHECKING:
    from dnsserver.admin.http import AdminServers
    from dnsserver.admin.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Request:
    """One query on its way through a server block's chain."""

    query: Query
    client: Client
    zone: str  # the block's zone that matched, as metrics name it: "cluster.local." or "."
    started: float  # time.perf_counter() when the message had been received
    depth: int = 0  # how often the server has asked itself to answer the client's query (`Runtime.ask`)


Directives = Sequence[Directive]
Handler = Callable[[Request], Awaitable[Reply]]
MAX_DEPTH = 8  # questions behind a question, before the server counts as asking itself in circles
SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)


class PluginError(Exception):
    """A plugin could not answer; the server says SERVFAIL, and `errors` logs the text."""

    def __init__(self, plugin: str, message: str, info_code: int | None = None) -> None:
        """Say what failed; an empty `plugin` leaves the text as it is, as CoreDNS's `forward` does.

        The client is told no more than `info_code`, of an extended error (RFC 8914, section 4).
        """
        super().__init__(f"plugin/{plugin}: {message}" if plugin else message)
        self.info_code = info_code

    @property
    def reply(self) -> Reply:
        """What the client gets."""
        return SERVFAIL if self.info_code is None else _failure(self.info_code)


@cache
def _failure(info_code: int) -> Reply:
    """Return SERVFAIL with an extended error; there are as many as codes in the code."""
    return Reply(rcode=Rcode.SERVFAIL, authoritative=False, extended_error=(info_code, ""))


def _no_warning(text: str) -> None:
    """Tell nobody."""
    del text


@dataclass(frozen=True, slots=True)
class Context:
    """What a plugin may know of its surroundings while it is parsed."""

    zones: tuple[Name, ...]  # the server block's, in the order written
    folder: Path  # where the Corefile is: relative paths start here
    port: int  # the port of the block's first key
    warn: Callable[[str], None] = _no_warning  # tells the operator what has no effect here


class Configuration(Protocol):
    """The Corefile that the process runs on, for `reload` to follow."""

    @property
    def fingerprint(self) -> str:
        """What `corefile.fingerprint` says of the one that runs."""
        ...

    async def read(self) -> Corefile:
        """Return the Corefile as it is written now. Raises `CorefileError`."""
        ...

    async def reload(self, corefile: Corefile) -> None:
        """Run on another Corefile. Raises `ReloadError`, and then the old one goes on."""
        ...


class ReloadError(Exception):
    """A configuration that cannot take over; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a running plugin may use of the process around it."""

    metrics: "Metrics"
    http: "AdminServers"
    fail: Callable[[str], None]  # ends the process with this message, so that its supervisor starts it again
    plugins: Callable[[], Sequence["Plugin"]]  # every plugin of every server block
    block: Callable[["Plugin"], Sequence["Plugin"]]  # the plugins of a plugin's own server block
    server: Callable[["Plugin"], str]  # the label of a plugin's server block: "dns://:53"
    ask: Callable[[Request, Query], Awaitable[Reply]]  # asks the whole server, on behalf of a client's request
    addresses: tuple[bytes, ...] = ()  # the host's own, packed, without loopback: where NS records lead
    configuration: Configuration | None = None  # None where there is nothing to read again


class Plugin:
    """One directive of one server block, configured. The base passes every query on and is always ready."""

    name = ""  # the directive
    stacktrace = False  # whether a fault of ours in its server block is logged with where it came from
    any_class = False  # whether it has answers in other classes than IN; without such a plugin they are REFUSED

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Answer, or pass the request on. Raises `PluginError` where neither is possible."""
        return await call_next(request)

    def ready(self) -> bool:
        """Say whether the plugin could answer now; `/ready` names those that cannot."""
        return True

    def lets_pass(self, ttl: int) -> bool:
        """Say whether plain questions, and answers with TTLs up to `ttl` seconds, pass it unchanged.

        Answers of the `kubernetes` plugin that are ready (`dnsserver.fast`) go around such plugins. Plain is a question
        of class IN, without EDNS options, of a type that names have records of.
        """
        del ttl
        return type(self).handle is Plugin.handle

    def keeps(self, origin: Name, ttl: int) -> Iterable[Name]:
        """Return names at or below `origin`: plain questions for other names, and their answers, pass unchanged.

        Of a name that is kept all that is below it is kept too, so `origin` itself is everything. What is returned may
        change while the plugin runs, where that says so (`follow`). The rest is as in `lets_pass`.
        """
        return () if self.lets_pass(ttl) else (origin,)

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called whenever the plugin may keep other names; returns what ends that."""
        del changed
        return lambda: None

    def same_as(self, old: "Plugin") -> bool:
        """Say whether `old`, which runs, is configured like this one.

        Then a reload lets it run on in this one's place, and all that it has learnt is kept; the server block around
        it may be another, so what `Runtime` says of that is asked when needed and not remembered.
        """
        del old
        return False

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Hold whatever the plugin needs while its server block serves."""
        del runtime
        yield


Parse = Callable[[Directives, Context], tuple[Plugin, ...]]


def link(plugins: Sequence[Plugin], end: Handler) -> Handler:
    """Return the handler that runs `plugins` in their order, then `end`."""
    handler = end
    for plugin in reversed(plugins):
        handler = _bind(plugin, handler)
    return handler


def _bind(plugin: Plugin, call_next: Handler) -> Handler:
    """Return `plugin.handle` with its successor fixed."""

    async def handle(request: Request) -> Reply:
        return await plugin.handle(request, call_next)

    return handle


@coroutine
def leave_fast_lane() -> Generator[None, None, None]:
    """Wait for one turn of the event loop: a handler that is going to wait for anything does this first.

    A chain is run without a task as far as it goes (`dnsserver.server.run_eagerly`); timeouts and locks need one.
    """
    yield
