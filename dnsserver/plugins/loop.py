"""`loop`: asks for a random name through its own chain at the start, and ends the process if that comes back.

Two servers that forward to each other would send one question round for ever (CoreDNS 1.14.7, plugin/loop).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dnsserver.corefile import Directive
from dnsserver.message import Client, Query, Reply, Transport
from dnsserver.names import ROOT, InvalidNameError, Name, from_text, to_text
from dnsserver.plugins.options import arguments, once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request, Runtime
from dnsserver.records import Rcode, RRType

_HELP = "https://coredns.io/plugins/loop#troubleshooting"  # what users of CoreDNS search for
_MOST = 2  # how often the probe may be seen: once on its way out, once more by chance
_WATCH = 30.0  # seconds from the start in which a loop can be found
_PATIENCE = 2.0  # seconds to wait for the probe's answer
_PAUSE = 1.0  # seconds before the probe is sent again
_NUMBERS = 2**63  # the labels of the probe are below this
_LOCALHOST = "127.0.0.1"

_SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)


class Loop(Plugin):
    """Counts how often its own question passes; it is off as soon as that has been answered without a loop."""

    name = "loop"

    def __init__(self, zone: Name, *, source: random.Random | None = None, pause: float = _PAUSE) -> None:
        self.zone = zone
        self.probe = _probe(zone, source or random.SystemRandom())
        self.off = self.probe is None
        self._pause = pause  # seconds
        self._seen = 0
        self._server = ""
        self._runtime: Runtime | None = None

    def lets_pass(self, ttl: int) -> bool:
        """Its probe asks for HINFO of a name of its own."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        if self.off or self.probe is None or query.qtype != RRType.HINFO or query.name != self.probe:
            return await call_next(request)
        self._seen += 1
        if self._seen <= _MOST:
            return await call_next(request)
        self._fail(request.client, self.probe)
        return _SERVFAIL  # goes back all the way round, and nowhere on

    def _fail(self, client: Client, probe: Name) -> None:
        """End the process with CoreDNS's words."""
        host = f"[{client.address}]" if ":" in client.address else client.address
        if self._runtime is not None:
            self._runtime.fail(
                f"plugin/loop: Loop ({host}:{client.port} -> {self._server.rpartition('://')[2]}) detected for zone "
                f'"{to_text(self.zone)}", see {_HELP}. Query: "HINFO {to_text(probe)}"'
            )

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        if self.probe is None:
            yield
            return
        self._runtime = runtime
        probing = asyncio.create_task(self._watch(runtime, self.probe))
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _watch(self, runtime: Runtime, probe: Name) -> None:
        """Send the probe until it is answered, but not for ever, and stop counting."""
        self._server = runtime.server(self)
        try:
            async with asyncio.timeout(_WATCH):
                while True:
                    if await self._send(runtime, probe):
                        return
                    await asyncio.sleep(self._pause)
        except TimeoutError:
            pass
        finally:
            self.off = True

    async def _send(self, runtime: Runtime, probe: Name) -> bool:
        """Send the probe once; say whether this chain has seen it and an answer came in time."""
        self._seen = 0
        query = Query(0, probe, probe, RRType.HINFO, recursion_desired=True)
        client = Client(_LOCALHOST, 0, Transport.UDP, self._server)
        try:
            async with asyncio.timeout(_PATIENCE):
                await runtime.ask(Request(query, client, to_text(self.zone), time.perf_counter()), query)
        except (TimeoutError, KeyError):  # KeyError: nobody listens there yet, plugins start first
            return False
        # At a reload the chain that is being replaced answers for a moment.
        return self._seen > 0


def _probe(zone: Name, source: random.Random) -> Name | None:
    """Return two random numbers as labels below the zone, None where that is longer than a name may be."""
    labels = ".".join(str(source.randrange(_NUMBERS)) for _ in range(2))
    try:
        return from_text(labels, zone)
    except InvalidNameError:
        return None


def parse(directives: Sequence[Directive], context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `loop`; it is for the block's first zone, as in CoreDNS."""
    directive = once(directives)
    arguments(directive, "loop", 0, 0)
    tuple(properties(directive))  # there are none
    return (Loop(context.zones[0] if context.zones else ROOT),)
