"""`autopath [ZONES...] RESOLV-CONF|@PLUGIN`: walks the client's search path for it (CoreDNS plugin/autopath).

A pod that looks up `example.org` asks for `example.org.<namespace>.svc.<zone>` first, and goes on through its search
path; the guest of a VMI with a subdomain begins at `example.org.<subdomain>.<namespace>.svc.<zone>`. Here the first of
those questions gets the answer of the last: a CNAME to the name that was found, and what that has.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from dnsserver.corefile import Directive, plugin_zones
from dnsserver.corefile.files import reason
from dnsserver.message import Query, Reply
from dnsserver.names import MAX_NAME, ROOT, InvalidNameError, Name, fold, from_text, is_at_or_below, to_text
from dnsserver.plugins.options import once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, PluginError, Request, Runtime
from dnsserver.records import Rcode, RRset, RRType
from dnsserver.zone import find_origin

RESOLV_CONF = Path("/etc/resolv.conf")  # the server's own: where the search path of a pod goes on

# Not there, or not for us to say: the client would go on, and so does the search.
_NOT_FOUND = (Rcode.NXDOMAIN, Rcode.REFUSED, Rcode.NOTIMP, Rcode.FORMERR)

_log = logging.getLogger("plugin/autopath")


@runtime_checkable
class SearchPaths(Protocol):
    """A plugin that knows the search paths of its clients."""

    def search_path(self, client_address: str, asked: Name) -> tuple[Name, ...]:
        """Return the names that the client at an address appends, first to last; none where it is not known.

        `asked` is the name it asks for, in canonical form.
        """
        ...

    def give_paths(self) -> Callable[[], None]:
        """Know the search paths of clients from now on; returns what ends that."""
        ...


class Autopath(Plugin):
    """Answers for every name of a search path at the first; a name that is nowhere gets the first reply."""

    name = "autopath"

    def __init__(
        self,
        zones: tuple[Name, ...],
        *,
        search: tuple[Name, ...] = (),
        provider: str = "",
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        self.zones = zones
        self.search = search  # of a file; with a provider, what comes after the client's own
        self.provider = provider  # the plugin to ask for search paths; "" for none
        self._resolv_conf = resolv_conf
        self._paths: SearchPaths | None = None
        self._successes: Counter[str] = Counter()  # by server

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Find the provider. Raises `PluginError` where there is none: it would be asked for nothing, in silence."""
        with ExitStack() as stack:
            if self.provider:
                self._paths = self._provider(runtime)
                self.search = _search_or_nothing(self._resolv_conf)
                stack.callback(self._paths.give_paths())
            stack.callback(runtime.metrics.register(self._families))
            yield

    def _provider(self, runtime: Runtime) -> SearchPaths:
        """Return the plugin of the own server block that knows search paths; raises `PluginError`."""
        plugin = next((one for one in runtime.block(self) if one.name == self.provider), None)
        if plugin is None:
            raise PluginError(self.name, f"@{self.provider}: no such plugin in this server block")
        if not isinstance(plugin, SearchPaths):
            raise PluginError(self.name, f"{self.provider} does not implement the AutoPather interface")
        return plugin

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Try every name of the search path where the query is for the first; pass on all other queries."""
        query = request.query
        path = self._path(request) if find_origin(self.zones, query.name) is not None else ()
        if not path or query.name == path[0] or not is_at_or_below(query.name, path[0]):
            return await call_next(request)
        first = reply = await call_next(request)
        for name in _candidates(query, path):
            if reply.rcode not in _NOT_FOUND:
                break
            reply = await call_next(replace(request, query=name))
            if reply.rcode not in _NOT_FOUND:
                reply = _with_alias(query.name, name.name, reply)
        if reply.rcode in _NOT_FOUND:
            return first
        self._successes[request.client.server] += 1
        return reply

    def _path(self, request: Request) -> tuple[Name, ...]:
        """Return the client's search path; none where it is not known."""
        if self._paths is None:
            return self.search
        own = self._paths.search_path(request.client.address, request.query.name)
        return (*own, *self.search) if own else ()

    def _families(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "coredns_autopath_success", "Queries whose search path was walked to an answer.", labels=("server",)
        )
        for server, count in self._successes.items():
            family.add_metric((server,), count)
        yield family


def _candidates(query: Query, path: tuple[Name, ...]) -> Iterator[Query]:
    """Yield the query for each further name of the search path, and at last for the name as it was first typed."""
    typed = query.qname[: len(query.qname) - len(path[0])]
    for suffix in (*path[1:], ROOT):
        qname = typed + suffix
        if len(qname) <= MAX_NAME:
            yield msgspec.structs.replace(query, qname=qname, name=fold(qname))


def _with_alias(asked: Name, found: Name, reply: Reply) -> Reply:
    """Return a reply that says under which other name the answer was found; NODATA needs no such name."""
    if not reply.answer:
        return reply
    alias = RRset(asked, RRType.CNAME, reply.answer[0].ttl, (found,))
    return msgspec.structs.replace(reply, answer=(alias, *reply.answer))


def parse_search(text: str) -> tuple[Name, ...]:
    """Return the search path of a resolv.conf: that of its last `search` or `domain` line (resolv.conf(5)).

    Raises `InvalidNameError`.
    """
    search: tuple[Name, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("search", "domain"):
            search = tuple(map(from_text, words[1:] if words[0] == "search" else words[1:2]))
    return search


def _search_or_nothing(path: Path) -> tuple[Name, ...]:
    """Return the search path of the host's resolv.conf, nothing where that cannot be read."""
    try:
        return parse_search(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _log.warning("%s gives no search path: %s", path, error)
        return ()


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `autopath`."""
    directive = once(directives)
    tuple(properties(directive))  # refuses whatever there is
    if not directive.args:
        raise directive.error("no resolv-conf specified, expecting autopath [ZONES...] RESOLV-CONF|@PLUGIN")
    *zone_args, source = directive.args
    zones = tuple(map(from_text, plugin_zones(zone_args, [to_text(zone) for zone in context.zones])))
    last = len(directive.args) - 1
    if source.startswith("@"):
        if source == "@":
            raise directive.error("no plugin behind '@', expecting one such as @kubernetes", last)
        return (Autopath(zones, provider=source[1:]),)
    path = context.folder / source
    try:
        search = parse_search(path.read_text(encoding="utf-8"))
    except (OSError, InvalidNameError, UnicodeDecodeError) as error:
        raise directive.error(f'failed to parse "{path}": {reason(error)}', last) from error
    if not search:
        context.warn(f"plugin/autopath: {path} has no search path: there is nothing to walk")
    return (Autopath(zones, search=search),)
