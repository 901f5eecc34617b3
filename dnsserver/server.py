"""From a message to the server block that owns its name, through that block's chain, and back."""

import logging
import time
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from types import coroutine
from typing import Any, Protocol

from dnsserver.message import Client, Query, Reply
from dnsserver.names import Name, is_at_or_below, to_text
from dnsserver.plugins.errors import Errors
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request, link
from dnsserver.records import Rcode
from dnsserver.responder import finish, receive

_log = logging.getLogger("server")

REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False)  # a name outside every zone (RFC 8906, section 3.1.1)
SERVFAIL = Reply(rcode=Rcode.SERVFAIL, authoritative=False)


class Counters(Protocol):
    """What the server itself counts."""

    def count_dropped(self, query: Query, client: Client, reply: Reply, started: float) -> None:
        """Count a query that no server block owns."""
        ...

    def count_panic(self) -> None:
        """Count a fault of our own."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """One server block: its zones and its chain."""

    zones: tuple[Name, ...]
    plugins: tuple[Plugin, ...]  # in CoreDNS's order
    handler: Handler = field(init=False)
    stacktrace: bool = field(init=False)  # log where a fault of our own came from (`errors { stacktrace }`)

    def __post_init__(self) -> None:
        last = next((plugin.name for plugin in reversed(self.plugins) if type(plugin).handle is not Plugin.handle), "")

        async def end(request: Request) -> Reply:
            """Answer for a chain that has nobody left to answer."""
            del request
            raise PluginError(last, "no next plugin found")

        object.__setattr__(self, "stacktrace", any(one.stacktrace for one in self.plugins if isinstance(one, Errors)))
        object.__setattr__(self, "handler", link(self.plugins, end if last else _refuse))


async def _refuse(request: Request) -> Reply:
    """Answer for a server block without plugins that answer."""
    del request
    return REFUSED


class Dispatcher:
    """Answers the messages that come in on one listener."""

    def __init__(self, blocks: Sequence[Block], counters: Counters) -> None:
        self._counters = counters
        by_zone = [(zone, to_text(zone), block) for block in blocks for zone in block.zones]
        self._zones = sorted(by_zone, key=lambda entry: len(entry[0]), reverse=True)

    def __call__(self, wire: bytes, client: Client) -> bytes | Awaitable[bytes | None] | None:
        """Answer one message: at once where nothing has to be waited for."""
        started = time.perf_counter()
        received = receive(wire, client.transport)
        if not isinstance(received, Query):
            return received
        for zone, text, block in self._zones:
            if is_at_or_below(received.name, zone):
                return run_eagerly(self._answer(Request(received, client, text, started), block))
        self._counters.count_dropped(received, client, REFUSED, started)
        return finish(received, REFUSED, client.transport)

    async def _answer(self, request: Request, block: Block) -> bytes:
        """Run a block's chain; whatever goes wrong in it, there is an answer."""
        try:
            reply = await block.handler(request)
        except PluginError:
            reply = SERVFAIL
        except Exception as error:
            self._counters.count_panic()
            name = to_text(request.query.name)
            _log.error("Recovered from a fault while answering %s: %r", name, error, exc_info=block.stacktrace)
            reply = SERVFAIL
        return finish(request.query, reply, request.client.transport)


def run_eagerly(answer: Coroutine[Any, None, bytes]) -> bytes | Awaitable[bytes]:
    """Run a coroutine up to its first wait: its result if it never waits, or else what is left of it.

    Nearly every answer comes from memory; a task for each would cost more than the answer.
    """
    try:
        waits_for = answer.send(None)
    except StopIteration as done:
        result: bytes = done.value
        return result
    return _rest(answer, waits_for)


@coroutine
def _rest(answer: Coroutine[Any, None, bytes], waits_for: object) -> Generator[Any, None, bytes]:
    """Wait for what a coroutine waits for, then run what is left of it.

    `await` refuses a coroutine that has begun; delegating to it does not. What its first wait ends in, an exception or
    a cancellation, is the coroutine's to handle.
    """
    response: bytes
    try:
        yield waits_for
    except GeneratorExit:
        answer.close()
        raise
    except BaseException as error:
        try:
            waits_for = answer.throw(error)
        except StopIteration as done:
            response = done.value
            return response
        response = yield from _rest(answer, waits_for)
        return response
    response = yield from answer
    return response
