"""`inspect [ADDRESS] { host NAME... }`: looks inside the server, over HTTP and for reading only.

What is answered at which path is made in `dnsserver.admin`: each module there that `_ROUTES` names gives its own.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from dnsserver.admin import explanation, inspection
from dnsserver.admin.guard import guarded
from dnsserver.admin.inspected import Inspected, InspectedCluster, Route
from dnsserver.corefile import Directive
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.options import arguments, listen_address, once, properties
from dnsserver.plugins.plugin import Context, Plugin, Runtime

DEFAULT = "localhost:9154"

# the plugins that may have an answer to a plain question, or ask another one; the rest of a chain lets it pass
_ANSWERING = frozenset(
    {"acl", "any", "autopath", "chaos", "file", "forward", "hosts", "k8s_external", "kubernetes", "local", "rewrite"}
    | {"secondary", "template", "whoami"}
)

_ROUTES: tuple[Callable[[Inspected], Sequence[Route]], ...] = (explanation.routes, inspection.routes)


class Inspect(Plugin):
    """Answers about every server block, whichever it stands in."""

    name = "inspect"

    def __init__(self, address: str = DEFAULT, hosts: tuple[str, ...] = ()) -> None:
        self.address = address
        self.hosts = hosts  # names that the server is asked for by, besides addresses and localhost

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        inspected = Inspected(lambda: _clusters(runtime), runtime.metrics, lambda: others(runtime.plugins()))
        async with AsyncExitStack() as stack:
            for path, handler in (route for routes in _ROUTES for route in routes(inspected)):
                await stack.enter_async_context(runtime.http.route(self.address, path, guarded(handler, self.hosts)))
            yield


def _clusters(runtime: Runtime) -> tuple[InspectedCluster, ...]:
    """Return every `kubernetes` plugin that runs now."""
    found = []
    for plugin in runtime.plugins():
        if isinstance(plugin, Kubernetes) and plugin.cluster is not None:
            before, after = around(plugin, runtime.block(plugin))
            fall_through = plugin.config.fall_through or ()
            found.append(InspectedCluster(runtime.server(plugin), plugin.cluster, fall_through, before, after))
    return tuple(found)


def around(plugin: Plugin, block: Sequence[Plugin]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the plugins of a server block that have answers: those in front of one of them, and those behind it."""
    chain = [one for one in block if one.name in _ANSWERING]
    place = chain.index(plugin) if plugin in chain else len(chain)
    return tuple(one.name for one in chain[:place]), tuple(one.name for one in chain[place + 1 :])


def others(plugins: Sequence[Plugin]) -> tuple[str, ...]:
    """Return the plugins besides `kubernetes` that have answers, each once."""
    names = (one.name for one in plugins if one.name in _ANSWERING and not isinstance(one, Kubernetes))
    return tuple(dict.fromkeys(names))


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `inspect`."""
    directive = once(directives)
    address = listen_address(directive, DEFAULT)
    hosts: tuple[str, ...] = ()
    for prop in properties(directive, "host"):
        hosts += arguments(prop, "host NAME...", 1)
    return (Inspect(address, hosts),)
