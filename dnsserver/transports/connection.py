"""One TCP connection: length prefixes (RFC 1035, section 4.2.2), queries answered as they come, no more than it reads.

Invariant: a connection holds at most one read buffer, which is no more than twice what has arrived, and what the write
buffer's limit and its queries in flight let it add. A client that does not read its answers is not read from, and one
that is being sent many messages (RFC 5936) is asked for no more queries until the last of them: they are made one at a
time, as the client takes them.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

from dnsserver.message import Client, Transport
from dnsserver.transports.dispatch import Dispatcher, Response, servfail
from dnsserver.transports.pipelined import BATCH, PREFIX, Answered, Ready, answer_ready, nothing_ready
from dnsserver.transports.turns import Turns
from dnsserver.wire import HEADER_SIZE, MAX_MESSAGE

READ_BUFFER = 4096  # octets; grows for a longer message and shrinks after it
WRITE_BUFFER = 32 * 1024  # octets that wait for the client before nothing more is read from it
PIPELINE = 100  # queries of one connection in flight before nothing more is read from it
BLOCKED = 1.0  # seconds that answers wait to be read before the connection may be given up for another

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that waits for nothing


class Connection(asyncio.BufferedProtocol):
    """The protocol of one client; `used` and `ended` tell its listener."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: Client,
        used: "Callable[[Connection], None]",
        ended: "Callable[[Connection], None]",
        turns: Turns,
        queries: int | None = None,
        ready: Ready = nothing_ready,
    ) -> None:
        self._dispatcher = dispatcher
        self._ready = ready
        self._client = client
        self._used = used
        self._ended = ended
        self._turns = turns
        self._asked = 0
        self._most = queries  # to answer before the connection is closed; None is any number
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(READ_BUFFER)
        self._filled = 0  # octets of the buffer
        self._in_flight = 0  # answers waited for, or not yet sent to their end
        self._streams: deque[Iterator[bytes]] = deque()  # answers of many messages; the first is being sent
        self._sending = False  # the event loop is going to call `_send_next`
        self._write_full = False
        self._finishing = False  # no more queries than were begun: the client's half-close, or ours
        self._deaf = False  # nothing that still comes in can be understood
        self._reading = True
        self._at_eof = False
        self._in_turn = False  # `_take_turn` is being called, or is going to be
        self._since = self._loop.time()  # when the present wait, for a query or for the rest of it, began
        self._written = 0  # octets, since the beginning
        self._unread_until = 0  # how many of them the client has to have taken for `_unread_since` to begin anew
        self._unread_since = self._since
        self._closing = False
        self._closing_since = 0.0
        self._handshake: asyncio.Task[None] | None = None

    @property
    def source(self) -> str:
        """The client's address."""
        return self._client.address

    @property
    def idle(self) -> bool:
        """Whether nothing is lost but time if the connection ends: no answer is due, and none waits to be read."""
        if self._in_flight or self._in_turn:
            return False
        return self._transport is None or not self._transport.get_write_buffer_size()

    @property
    def blocked(self) -> bool:
        """Whether the client has left answers unread for a while, as far as `expire` has seen."""
        if self._transport is None or not self._transport.get_write_buffer_size():
            return False
        return self._loop.time() - self._unread_since >= BLOCKED

    def shakes_hands_in(self, task: "asyncio.Task[None]") -> None:
        """Have a task end with the connection if that ends before it is made."""
        self._handshake = task

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods but not the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._handshake = None
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        if self._closing:
            self._transport.abort()
        elif self._finishing:
            self.finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the signature is asyncio's
        self._transport = None
        self._streams.clear()
        self._ended(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- the signature is asyncio's
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if not self._filled:
            self._since = self._loop.time()
        self._filled += nbytes
        self._process()

    def eof_received(self) -> bool:
        self._finishing = self._at_eof = True
        self._filled = self._whole()  # the rest of a message is not going to come
        self._process()
        # keep the write side: answers are still due (RFC 7766, section 6.2.4); asyncio's TLS knows no half-close
        return self._client.transport is not Transport.TLS

    def pause_writing(self) -> None:
        self._write_full = True
        self._process()

    def resume_writing(self) -> None:
        self._write_full = False
        self._send_on()
        self._process()

    def finish(self) -> None:
        """Close as soon as no query that has begun to arrive is left."""
        self._finishing = True
        self._process()

    def abort(self) -> None:
        """End the connection now."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    def evict(self) -> None:
        """End the connection in favour of another; what it was answered is on its way, unless it is not read."""
        if self.idle:
            self.abort()
        else:
            self._reset()

    def expire(self, now: float, *, idle: float, message: float, write: float) -> None:
        """End the connection if it has waited too long, in seconds, for the client to ask, to go on, or to read."""
        stats = self._dispatcher.stats
        if self._transport is None:
            return
        unread = self._unread(now, self._transport.get_write_buffer_size())
        if unread >= write or (self._closing and now - self._closing_since >= write):
            stats.write_timeouts += 1
            self._reset()
        elif self._closing or self._in_flight or self._in_turn:
            return
        elif self._filled:
            if now - self._since >= message:
                stats.message_timeouts += 1
                self._close()
        elif now - self._since >= (idle if self._asked else min(idle, message)):
            stats.idle_timeouts += 1
            self._close()

    def _unread(self, now: float, waiting: int) -> float:
        """Return for how many seconds the oldest octets that wait for the client have done so, up to one sweep less.

        What is looked at is how far the client has got, not whether the buffer is full: a few octets that nobody
        takes have a deadline, and any amount that is taken in time has none.
        """
        if not waiting or self._written - waiting >= self._unread_until:
            self._unread_until = self._written
            self._unread_since = now
        return now - self._unread_since

    def _reset(self) -> None:
        """End the connection now, and what the kernel still holds for a client that does not read."""
        if self._transport is not None:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def _process(self) -> None:
        """Have the queries in the buffer asked in turn, as long as there is room for answers; then see what is left."""
        if not self._open:
            return
        if not self._in_turn:
            if not self._has_query:
                self._settle()
                return
            self._in_turn = True
            self._turns.take(self._client.address, self._take_turn)
        if self._in_turn:
            self._read(self._filled < len(self._buffer))

    def _take_turn(self) -> bool:
        """Answer what is ready, or ask one query; say whether there is another to be asked."""
        try:
            if self._has_query and not self._answer_ready() and (message := self._next_message()) is not None:
                self._drop(PREFIX + len(message))
                self._ask(message)
        finally:
            self._in_turn = self._has_query
            if not self._in_turn:
                self._settle()
        return self._in_turn

    def _answer_ready(self) -> bool:
        """Answer the queries at the front that are ready, in one write; say whether there were any."""
        most = BATCH if self._most is None else min(BATCH, self._most - self._asked)
        room = WRITE_BUFFER - (self._transport.get_write_buffer_size() if self._transport is not None else 0)
        try:
            found = answer_ready(bytes(memoryview(self._buffer)[: self._filled]), self._ready, most, max(room, 1))
        except Exception:  # MemoryError, for one; whoever answers the others may have more luck
            self._dispatcher.failed("it is asked for again")
            return False
        if found.messages:
            self._drop(found.end)
            self._send_ready(found)
        return found.messages > 0

    def _send_ready(self, found: Answered) -> None:
        """Send answers, and count them and their queries."""
        self._note_asked(found.messages)
        stats = self._dispatcher.stats
        stats.messages += found.messages
        if self._transport is not None:
            self._written += len(found.octets)
            stats.responses += found.messages
            self._transport.write(found.octets)

    def _settle(self) -> None:
        """Read on, wait or close, with no query that could be asked now."""
        if self._deaf:
            self._filled = 0
        elif self._filled == len(self._buffer):
            self._drop(0)
        if self._finishing and not self._filled and not self._in_flight:
            self._close()
        else:
            self._read(self._may_ask)

    @property
    def _open(self) -> bool:
        """Whether there is anybody to write to: neither side has ended the connection, reset ones included."""
        return self._transport is not None and not self._closing and not self._transport.is_closing()

    @property
    def _may_ask(self) -> bool:
        return not (self._write_full or self._closing or self._deaf or self._streams or self._in_flight >= PIPELINE)

    @property
    def _has_query(self) -> bool:
        """Whether a whole message is in the buffer, or a length that no message has, and may be looked at now."""
        if self._filled < PREFIX or not self._may_ask or not self._open:
            return False
        length = int.from_bytes(self._buffer[:PREFIX], "big")
        return length < HEADER_SIZE or self._filled >= PREFIX + length

    def _next_message(self) -> bytes | None:
        """Return the message in the buffer; None, and understand nothing more, where its length says it cannot be."""
        length = int.from_bytes(self._buffer[:PREFIX], "big")
        if length < HEADER_SIZE:
            self._dispatcher.stats.bad_lengths += 1
            self._finishing = self._deaf = True  # what follows cannot be told apart
            return None
        return bytes(self._buffer[PREFIX : PREFIX + length])

    def _whole(self) -> int:
        """Return how many octets of the buffer belong to whole messages."""
        end = 0
        while end + PREFIX <= self._filled:
            following = end + PREFIX + int.from_bytes(self._buffer[end : end + PREFIX], "big")
            if following > self._filled:
                break
            end = following
        return end

    def _note_asked(self, count: int) -> None:
        """Note that so many queries more were asked."""
        self._since = self._loop.time()
        self._asked += count
        if self._asked == self._most:
            self._finishing = self._deaf = True
        self._used(self)

    def _ask(self, message: bytes) -> None:
        self._in_flight += 1
        self._note_asked(1)
        if not self._dispatcher.ask(message, self._client, self._deliver):
            self._deliver(servfail(message))  # the client waits on this connection: silence would only cost it time

    def _deliver(self, response: Response) -> None:
        """Send one response and go on; one of several messages only begins here."""
        if response is None or isinstance(response, bytes):
            if response is not None:
                self._write(response)
            self._answered()
        else:
            self._streams.append(response)
            self._send_on()

    def _send_on(self) -> None:
        """Send more of the streams, if there is room, when all others have had their turn."""
        if self._streams and not self._write_full and not self._sending:
            self._sending = True
            self._loop.call_soon(self._send_next)

    def _send_next(self) -> None:
        """Send the next message of the first stream.

        A stream that fails ends the connection, for nothing else says that the answer is not whole (RFC 5936, section
        2.2).
        """
        self._sending = False
        if not self._streams or not self._open or self._write_full:
            return
        try:
            message = next(self._streams[0], None)
        except Exception:  # whatever a handler does, the listener goes on serving
            self._dispatcher.failed("its connection is ended")
            self.abort()
            return
        if message is None:
            self._streams.popleft()
            self._answered()
        elif message:
            self._write(message)
        self._send_on()

    def _write(self, message: bytes) -> None:
        """Send one message, its length in the same write (RFC 7766, section 8)."""
        if self._transport is not None and self._open and len(message) <= MAX_MESSAGE:
            self._transport.write(len(message).to_bytes(PREFIX, "big") + message)
            self._written += PREFIX + len(message)
            self._dispatcher.stats.responses += 1

    def _answered(self) -> None:
        """Note that a query has had all of its answer, and go on."""
        self._in_flight -= 1
        if self._open and not self._in_turn:
            if not self._filled:
                self._since = self._loop.time()
            self._process()

    def _drop(self, start: int) -> None:
        """Move what was not asked yet to the front of a buffer that has room for more of the message under way.

        A length is only a promise: memory follows what really comes, by doubling.
        """
        left = bytes(self._buffer[start : self._filled]) if start < self._filled else b""
        needed = PREFIX + int.from_bytes(left[:PREFIX], "big") if len(left) >= PREFIX else 0
        size = max(READ_BUFFER, min(needed, 2 * len(left)), len(left))
        if size != len(self._buffer):
            self._buffer = bytearray(size)  # a new one: the event loop may still hold a view of the old
        self._buffer[: len(left)] = left
        self._filled = len(left)

    def _read(self, wanted: bool) -> None:
        """Pause or resume reading; a client that ended its side has nothing more to say."""
        if self._transport is None or not self._open or self._at_eof or wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _close(self) -> None:
        """Close once what was written has been read; `expire` ends a client that does not."""
        if self._transport is not None and not self._closing:
            self._closing = True
            self._closing_since = self._loop.time()
            self._transport.close()
