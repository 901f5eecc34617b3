"""One configuration at work: its plugins, running, and what it does at each address. A reload makes the next one."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, ExitStack

from dnsserver.admin.metrics import Metrics
from dnsserver.fastpath import FastPath, ReadyAnswers
from dnsserver.listening import InFlight, Service
from dnsserver.names import to_text
from dnsserver.plugins.plugin import Plugin, Runtime
from dnsserver.server import Counters, Dispatcher
from dnsserver.setup import ListenAddress, Setup, Terms


class Generation:
    """What a set-up needs to serve; `services` is what listeners are given."""

    def __init__(self, setup: Setup, counters: Counters, ready: MutableMapping[str, ReadyAnswers]) -> None:
        """Prepare to run a set-up; `ready` holds the listeners' tables by server label, and gets those of new ones."""
        self.setup = setup
        self.in_flight = InFlight()
        self.services: Mapping[ListenAddress, Service] = {
            place: Service(
                Dispatcher(blocks, counters),
                FastPath(place.server, blocks, ready.setdefault(place.server, ReadyAnswers())),
                ready[place.server],
                setup.terms.get(place) or Terms(),
                self.in_flight,
            )
            for place, blocks in setup.listeners.items()
        }
        self._running: dict[Plugin, AsyncExitStack] = {}
        self._enabled = ExitStack()

    async def start(self, plugins: Iterable[Plugin], runtime: Runtime) -> None:
        """Start plugins one after the other, but those that run already."""
        for plugin in plugins:
            if plugin not in self._running:
                stack = AsyncExitStack()
                await stack.enter_async_context(plugin.running(runtime))
                self._running[plugin] = stack

    def take_over(self, old: "Generation") -> None:
        """Go on with the plugins that both have: from now on they end with this one."""
        for plugin in self.setup.plugins:
            if plugin in old._running:
                self._running[plugin] = old._running.pop(plugin)

    def enable(self, metrics: Metrics) -> None:
        """Keep answers ready, and report the plugins that handle queries, until the end."""
        for service in self.services.values():
            self._enabled.enter_context(service.fast.following(metrics))
        for place, blocks in self.setup.listeners.items():
            for block in blocks:
                names = [plugin.name for plugin in block.plugins if type(plugin).handle is not Plugin.handle]
                self._enabled.enter_context(metrics.enabled(place.server, map(to_text, block.zones), names))

    async def end(self, which: Callable[[Plugin], bool] | None = None) -> None:
        """End plugins, all or some, the last in the chains' order first, and each whatever the others raise."""
        if which is None:
            self._enabled.close()
        async with AsyncExitStack() as stack:
            for plugin in dict.fromkeys(self.setup.plugins):
                if plugin in self._running and (which is None or which(plugin)):
                    stack.push_async_exit(self._running.pop(plugin))

    def block(self, plugin: Plugin) -> Sequence[Plugin]:
        """Return the plugins of a plugin's own server block."""
        return next((block.plugins for block in self.setup.blocks if plugin in block.plugins), ())

    def server(self, plugin: Plugin) -> str:
        """Return the label of a plugin's server block: that of the first place it listens at."""
        places = self.setup.listeners.items()
        return next((place.server for place, blocks in places if any(plugin in one.plugins for one in blocks)), "")


def inherited(setup: Setup, old: Setup) -> Setup:
    """Return a set-up in which every plugin that is configured as one of the old is that one (`Plugin.same_as`)."""
    left = dict.fromkeys(old.plugins)
    others: dict[Plugin, Plugin] = {}
    for plugin in dict.fromkeys(setup.plugins):
        same = next((one for one in left if one is plugin or _alike(plugin, one)), None)
        if same is not None:
            others[plugin] = same
            del left[same]
    return setup.with_plugins(others) if others else setup


def _alike(plugin: Plugin, old: Plugin) -> bool:
    """Say whether an old plugin can go on in a new one's place."""
    return type(plugin) is type(old) and plugin.same_as(old)
