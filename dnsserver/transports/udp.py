"""DNS over UDP (RFC 1035, section 4.2.1): one socket, one message a datagram.

The socket is read here and not by asyncio's transport, which does not tell to which address a datagram was sent, nor
when; which queues responses without bound while the kernel takes none; and which closes the socket where one datagram
fails in a way that it does not know.
"""

import asyncio
import errno
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from dnsserver.message import Client, Transport
from dnsserver.transports.ancillary import (
    SPACE,
    ControlMessages,
    arrival,
    kernel_drops,
    sender,
    sender_address,
    want_arrivals,
    want_destinations,
)
from dnsserver.transports.backlog import MAX_AGE, Backlog
from dnsserver.transports.dispatch import (
    Dispatcher,
    OnLost,
    Response,
    bound_address,
    without_scope,
)

MAX_DATAGRAM = 65535  # octets
BATCH = 64  # datagrams read before everything else on the event loop has its turn,
TURN = 0.01  # or seconds: what needs more than 0.2 ms for an answer gets smaller batches
CHECK_EVERY = 1.0  # seconds; a descriptor that somebody else has closed reports no event
LAST_READ = 0.5  # seconds at most for what the kernel still holds at the end

Ready: TypeAlias = Callable[[bytes], bytes | None]  # the response to a message where that is at hand

_NO_SOCKET = frozenset({errno.EBADF, errno.ENOTSOCK})
_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})


class UdpListener:
    """Reads a bound socket, a batch a turn of the event loop, and sends what the dispatcher has to say."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        server_name: str,
        on_lost: OnLost | None = None,
        ready: Ready = lambda _: None,
    ) -> None:
        self._sock = sock
        self._dispatcher = dispatcher
        self._stats = dispatcher.stats
        self._ready = ready
        self._server_name = server_name
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._name = sock.getsockname()
        self.address = bound_address(sock)
        self._everywhere = ipaddress.ip_address(self.address[0]).is_unspecified and want_destinations(sock)
        self._dated = want_arrivals(sock)
        self._backlog = Backlog()
        self._check: asyncio.TimerHandle | None = None
        self._drops = 0  # by the kernel, as it last said
        self._reading = False
        self._open = True
        self.lost = False
        self.reason: Exception | None = None  # of the loss

    def start(self) -> None:
        """Read from now on."""
        self._start_reading()
        self._reading = True
        self._check = self._loop.call_later(CHECK_EVERY, self._check_socket)

    def _start_reading(self) -> None:
        self._loop.add_reader(self._sock, self._readable)

    def _end_reading(self) -> None:
        self._loop.remove_reader(self._sock)

    async def close(self, grace: float) -> None:
        """Let answers in flight finish, then answer what else has come so far, and close the socket.

        Queries that come while answers are waited for are served like any other: the process is only going to end.
        """
        ends = self._loop.time() + grace
        try:
            await self._dispatcher.settle(grace)
            self._stop_reading()
            await self._read_out()
            await self._dispatcher.drain(max(0.0, ends - self._loop.time()))
            await self._read_out()
        finally:
            self._stop_reading()
            self._close_socket()
            await self._dispatcher.drain(0)

    async def _read_out(self) -> None:
        """Answer what the kernel holds, within `LAST_READ`: those who go on asking cannot be waited for."""
        ends = self._loop.time() + LAST_READ
        while not self.lost and not self._readable() and self._loop.time() < ends:  # noqa: ASYNC110 -- it works, not waits
            await asyncio.sleep(0)

    def _readable(self) -> bool:
        """Read a batch, whatever happens; say whether nothing is left to be read."""
        try:
            return self._read()
        except Exception:  # MemoryError, for one; the next turn tries again
            self._dispatcher.failed("the listener goes on")
            return False

    def _read(self) -> bool:
        """Answer up to `BATCH` datagrams within `TURN`; say whether nothing is left to be read."""
        now = time.monotonic()
        ends = now + TURN
        shedding = self._backlog.turn(now, time.time()) and self._dated
        space = SPACE if shedding or self._everywhere else 0
        errors = 0
        for _ in range(BATCH):
            try:
                data, messages, _, peer = self._sock.recvmsg(MAX_DATAGRAM, space)
            except BlockingIOError:
                self._backlog.emptied()
                return True
            except OSError as error:
                # What ICMP reports of an earlier response costs one call; what every call says is the socket's end.
                errors += 1
                self._stats.send_errors += 1
                if error.errno in _NO_SOCKET or errors == BATCH:
                    self._lose(error)
                    return True
                continue
            if shedding and time.time() - (arrival(messages) or time.time()) > MAX_AGE:
                self._stats.shed += 1
            else:
                self._take(data, peer, sender(messages) if self._everywhere else [])
                if time.monotonic() >= ends:
                    break
        return False

    def _take(self, data: bytes, peer: tuple[Any, ...], source: ControlMessages) -> None:
        """Ask for the answer to one datagram, unless it would lead nowhere or back here."""
        host, port = peer[:2]
        if "%" in host:  # the scope's number is in the address as well, and quicker to use
            host = without_scope(host)
            peer = (host, *peer[1:])
        if not port:
            self._stats.port_zero += 1
        elif port == self.address[1] and self._is_own(host, source):
            self._stats.own_address += 1
        elif (response := self._ready(data)) is not None:
            self._stats.messages += 1
            self._send(peer, source, response)
        else:
            client = Client(host, port, Transport.UDP, self._server_name)
            self._dispatcher.ask(data, client, partial(self._send, peer, source))

    def _is_own(self, host: str, source: ControlMessages) -> bool:
        """Say whether an address is the one that was asked; with our port, nobody but a forger sends from there."""
        if not self._everywhere:
            return host == without_scope(self.address[0])
        return socket.inet_pton(self._sock.family, host) == sender_address(source)

    def _send(self, peer: tuple[Any, ...], source: ControlMessages, response: Response) -> None:
        """Hand a response to the kernel, which takes it or not: nothing waits here, the client asks again instead."""
        if not isinstance(response, bytes) or not self._open:
            return  # silence; a datagram is one message, so several are silence too
        try:
            if source:
                self._sock.sendmsg((response,), source, socket.MSG_DONTWAIT, peer)
            else:
                self._sock.sendto(response, socket.MSG_DONTWAIT, peer)
        except MemoryError:
            self._stats.send_drops += 1
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._stats.send_drops += 1
            else:
                self._stats.send_errors += 1
            if error.errno in _NO_SOCKET:
                self._lose(error)
        else:
            self._stats.responses += 1

    def _check_socket(self) -> None:
        """Look whether the descriptor is still this socket's, and note what the kernel has dropped."""
        self._check = self._loop.call_later(CHECK_EVERY, self._check_socket)
        if error := self._missing():
            self._lose(error)
            return
        drops = kernel_drops(self._sock)
        if drops is not None:
            self._stats.kernel_drops += (drops - self._drops) & 0xFFFFFFFF
            self._drops = drops

    def _missing(self) -> OSError | None:
        """Return what is wrong with the descriptor: closed, or somebody else's by now; None if nothing is."""
        try:
            found = self._sock.getsockname()
        except OSError as error:
            return error
        return None if found == self._name else OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _lose(self, error: OSError) -> None:
        """Note the end of the socket, once, and tell."""
        if self.lost:
            return
        self.lost = True
        self.reason = error
        self._stop_reading()
        if self._on_lost is not None:
            self._on_lost(error)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._end_reading()
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _close_socket(self) -> None:
        """Close the socket; a descriptor that has become another's is left to that one."""
        self._open = False
        if self._missing():
            self._sock.detach()
        else:
            self._sock.close()
