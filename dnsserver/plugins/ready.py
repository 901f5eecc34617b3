"""`ready [ADDRESS] { monitor until-ready|continuously }`: `/ready` answers 200 OK once every plugin could answer."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from dnsserver.corefile import Directive
from dnsserver.plugins.options import arguments, listen_address, once, properties
from dnsserver.plugins.plugin import Context, Plugin, Runtime

_DEFAULT = ":8181"
_PATH = "/ready"

_log = logging.getLogger("plugin/ready")


class Ready(Plugin):
    """Reports the readiness of its own server block and of every other whose `ready` has the same address."""

    name = "ready"

    def __init__(self, address: str = _DEFAULT, *, continuously: bool = False) -> None:
        self.address = address
        self.continuously = continuously
        self._runtime: Runtime | None = None
        self._been_ready: set[Plugin] = set()

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        """Answer `/ready`; the app leaves this before anything else, so who asks then is refused the connection."""
        self._runtime = runtime
        async with runtime.http.route(self.address, _PATH, self._answer):
            yield

    def unready(self) -> set[str]:
        """Return the names of this block's plugins that are not ready.

        A plugin that has been ready once is not asked again, unless `monitor continuously` says so.
        """
        names = set()
        for plugin in self._block():
            if plugin in self._been_ready:
                continue
            if not plugin.ready():
                names.add(plugin.name)
            elif not self.continuously:
                self._been_ready.add(plugin)
        return names

    def _block(self) -> list[Plugin]:
        """Return the plugins of this plugin's server block."""
        if self._runtime is None:
            return []
        return list(self._runtime.block(self))

    async def _answer(self, _request: web.Request) -> web.Response:
        plugins = self._runtime.plugins() if self._runtime is not None else ()
        blocks = [plugin for plugin in plugins if isinstance(plugin, Ready) and plugin.address == self.address]
        names = sorted(set().union(*(block.unready() for block in blocks)))
        if not names:
            return web.Response(text="OK")
        _log.info('Plugins not ready: "%s"', ",".join(names))
        return web.Response(status=503, text=",".join(names))


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `ready`."""
    directive = once(directives)
    address = listen_address(directive, _DEFAULT)
    continuously = False
    for prop in properties(directive, "monitor"):
        (kind,) = arguments(prop, "monitor until-ready|continuously", 1, 1)
        if kind not in ("until-ready", "continuously"):
            raise prop.error(f"monitor type '{kind}' not supported, expecting until-ready or continuously", 0)
        continuously = kind == "continuously"
    return (Ready(address, continuously=continuously),)
