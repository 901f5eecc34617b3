"""From a message to the server block that owns its name, through that block's chain, and back."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import coroutine
from typing import Any, Protocol

import msgspec

from dnsserver import cookies
from dnsserver.message import Client, Query, Reply, Transport
from dnsserver.names import ROOT, Name, is_at_or_below, to_text
from dnsserver.plugins.cookie import Cookie
from dnsserver.plugins.plugin import SERVFAIL, Handler, Plugin, PluginError, Request, link
from dnsserver.plugins.timeouts import Timeouts
from dnsserver.plugins.tsig import Tsig
from dnsserver.records import Rcode, RRClass, RRType
from dnsserver.responder import (
    Options,
    finish,
    finish_stream,
    own_options,
    proves_address,
    receive,
    without_hop_by_hop,
)
from dnsserver.signatures import Keys, Signed, take_apart
from dnsserver.transports import TcpLimits

_log = logging.getLogger("server")

# a name outside every zone, or a class that no zone has (RFC 8906, section 3.1.1; RFC 8914, section 4.21)
REFUSED = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(20, ""))

_SECRET = secrets.token_bytes(cookies.SECRET_SIZE)  # of the process: cookies outlive a reload

_LOG_EVERY = 1.0  # seconds between two lines about faults of our own

_SERVED_CLASSES = (int(RRClass.IN), int(RRClass.ANY))  # what every zone here has

Response = bytes | Iterator[bytes] | None  # several messages; None is silence


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
    any_class: bool = field(init=False)  # some plugin has answers in other classes than IN
    stacktrace: bool = field(init=False)  # log where a fault of our own came from (`errors { stacktrace }`, `debug`)

    def __post_init__(self) -> None:
        last = next((plugin.name for plugin in reversed(self.plugins) if type(plugin).handle is not Plugin.handle), "")

        async def end(request: Request) -> Reply:
            """Answer for a chain that has nobody left to answer."""
            del request
            raise PluginError(last, "no next plugin found")

        object.__setattr__(self, "any_class", any(one.any_class for one in self.plugins))
        object.__setattr__(self, "stacktrace", any(one.stacktrace for one in self.plugins))
        object.__setattr__(self, "handler", link(self.plugins, end if last else _refuse))


async def _refuse(request: Request) -> Reply:
    """Answer for a server block without plugins that answer."""
    del request
    return REFUSED


class Dispatcher:
    """Answers the messages that come in on one listener."""

    def __init__(self, blocks: Sequence[Block], counters: Counters, clock: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._clock = clock
        plugins = [plugin for block in blocks for plugin in block.plugins]
        self._next_log = 0.0  # time.perf_counter()
        self._unlogged = 0  # faults since the last line
        self._secret = next((one.secret for one in plugins if isinstance(one, Cookie)), _SECRET)
        # keys are the whole server's, whichever block has them (CoreDNS plugin/tsig)
        self._keys: Keys = {name: key for one in plugins if isinstance(one, Tsig) for name, key in one.keys.items()}
        limits = TcpLimits()
        for one in plugins:
            if isinstance(one, Timeouts):
                limits = one.apply(limits)
        self._idle = limits.idle  # seconds
        by_zone = [(zone, to_text(zone), block) for block in blocks for zone in block.zones]
        self._zones = sorted(by_zone, key=lambda entry: len(entry[0]), reverse=True)

    def __call__(self, wire: bytes, client: Client) -> Response | Awaitable[Response]:
        """Answer one message: at once where nothing has to be waited for."""
        started = time.perf_counter()
        if self._keys and (signed := take_apart(wire, client.transport, self._keys, self._clock())) is not None:
            return signed if isinstance(signed, bytes) else run_eagerly(self._answer_signed(signed, client, started))
        received = receive(wire, client.transport, partial(self._options, client))
        if not isinstance(received, Query):
            return received
        return run_eagerly(self._answer(received, client, started))

    async def _answer_signed(self, signed: Signed, client: Client, started: float) -> Response:
        """Answer a query whose signature is right, with signatures."""
        signer = signed.signer
        client = msgspec.structs.replace(client, key=signer.key.name, reserved=signer.size)
        received = receive(signed.message, client.transport, partial(self._options, client))
        response = await self._answer(received, client, started) if isinstance(received, Query) else received
        if response is None:
            return None
        if isinstance(response, bytes):
            return signer.sign(response, self._clock())[0]
        return signer.sign_all(response, self._clock)

    async def resolve(self, query: Query, client: Client, started: float, depth: int = 0) -> Reply:
        """Return the reply of the server block that owns the name; whatever goes wrong in it, there is one."""
        found = self._find(query)
        if found is None:
            if not depth:
                self._counters.count_dropped(query, client, REFUSED, started)
            return REFUSED
        text, block = found
        if query.qclass not in _SERVED_CLASSES and not block.any_class:
            return REFUSED
        try:
            return await block.handler(Request(query, client, text, started, depth))
        except PluginError as error:
            return error.reply
        except Exception as error:
            self._counters.count_panic()
            self._log_fault(query, error, started, stacktrace=block.stacktrace)
            return SERVFAIL

    def _log_fault(self, query: Query, error: Exception, now: float, *, stacktrace: bool) -> None:
        """Log a fault of our own, and then for a while no other: one bad query must not fill a disk."""
        if now < self._next_log:
            self._unlogged += 1
            return
        since = f" ({self._unlogged} more before it)" if self._unlogged else ""
        self._next_log, self._unlogged = now + _LOG_EVERY, 0
        text = "Recovered from a fault while answering %s: %r%s"
        _log.error(text, to_text(query.name), error, since, exc_info=stacktrace)

    def _find(self, query: Query) -> tuple[str, Block] | None:
        """Return the block of the longest zone that the name is in; a DS RRset is its parent's (RFC 4035, 3.1.4.1)."""
        owners = ((zone, text, block) for zone, text, block in self._zones if is_at_or_below(query.name, zone))
        if query.qtype == RRType.DS:
            above = [(text, block) for zone, text, block in owners if zone != query.name or zone == ROOT]
            return above[0] if above else self._exact(query)
        return next(((text, block) for _, text, block in owners), None)

    def _exact(self, query: Query) -> tuple[str, Block] | None:
        """Return the block whose zone the name is."""
        return next(((text, block) for zone, text, block in self._zones if zone == query.name), None)

    async def _answer(self, query: Query, client: Client, started: float) -> Response:
        """Answer a query."""
        if client.transport is Transport.UDP and proves_address(query, client, self._secret, self._clock()):
            client = msgspec.structs.replace(client, proven=True)
        reply = await self.resolve(without_hop_by_hop(query), client, started)
        if reply.silent:
            return None
        own = partial(self._options, client)
        if reply.stream is not None and client.transport is not Transport.UDP:
            return finish_stream(query, reply, own)
        return finish(query, reply, client.transport, own, reserved=client.reserved)

    def _options(self, client: Client, query: Query) -> Options:
        """Return the server's own answer to a query's EDNS options."""
        return own_options(query, client, self._secret, self._clock(), self._idle)


def run_eagerly(answer: Coroutine[Any, None, Response]) -> Response | Awaitable[Response]:
    """Run a coroutine up to its first wait: its result if it never waits, or else what is left of it.

    Nearly every answer comes from memory; a task for each would cost more than the answer.
    """
    try:
        waits_for = answer.send(None)
    except StopIteration as done:
        result: Response = done.value
        return result
    return _rest(answer, waits_for)


@coroutine
def _rest(answer: Coroutine[Any, None, Response], waits_for: object) -> Generator[Any, None, Response]:
    """Wait for what a coroutine waits for, then run what is left of it.

    `await` refuses a coroutine that has begun; delegating to it does not. What its first wait ends in, an exception or
    a cancellation, is the coroutine's to handle.
    """
    response: Response
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
