"""UDP where the compiled loop is there: a thread reads the socket, answers what is ready, and leaves the rest to us."""

import asyncio
import atexit
import contextlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from dnsserver.fast.best import Loop, NewLoop
from dnsserver.fast.table import Answers, Way
from dnsserver.transports.ancillary import sender
from dnsserver.transports.dispatch import Dispatcher, OnLost
from dnsserver.transports.udp import BATCH, TURN, UdpListener

STOPS_WITHIN = 0.2  # seconds: how long the thread may sleep in the kernel before it looks whether it is to stop
NICER = 5  # the niceness of the event loop's thread: a third of the weight of those that answer
_TIMEVAL = struct.Struct("@ll")  # seconds, microseconds
_COUNTERS = ("messages", "responses", "send_errors", "send_drops", "shed")

_starter = ThreadPoolExecutor(1, thread_name_prefix="starter")  # its thread keeps the niceness of the process


def start_before_us(thread: threading.Thread) -> None:
    """Start a thread that is to have the processor before the calling one, where they have to share one.

    The caller, which is the event loop's thread, becomes nicer: else it would go on for milliseconds when a datagram
    comes. Niceness weighs threads of one container against each other; how much it gets is its cgroup's matter.
    """
    _starter.submit(thread.start).result()
    with contextlib.suppress(OSError):
        mine = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, mine) < NICER:
            os.setpriority(os.PRIO_PROCESS, mine, NICER)


class FastUdpListener(UdpListener):
    """A listener whose thread answers what is ready; whatever else comes waits in its queue for the event loop.

    A queue that is full drops its oldest datagram, so nothing that is read from it has waited for long.
    """

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        server_name: str,
        on_lost: OnLost | None,
        table: Answers,
        way: Way,
        new_loop: NewLoop,
    ) -> None:
        super().__init__(sock, dispatcher, server_name, on_lost, lambda wire: table.respond(wire, way))
        sock.setblocking(True)
        timeout = _TIMEVAL.pack(0, int(STOPS_WITHIN * 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._answering: Loop = new_loop(table, sock.fileno(), self.address[1], way)
        self._thread = threading.Thread(target=self._answering.run, name=f"udp {server_name}", daemon=True)
        self._counted = (0, 0, 0, 0, 0)
        self._handed_back = False

    def _start_reading(self) -> None:
        self._loop.add_reader(self._answering.fileno(), self._readable)
        start_before_us(self._thread)
        atexit.register(self._end_thread)  # whatever else goes wrong: the interpreter must not end under the thread

    def _end_reading(self) -> None:
        self._answering.stop()

    def _end_thread(self) -> None:
        """Wait until the thread has answered what it still finds."""
        self._answering.stop()
        if self._thread.ident is not None:  # else it has never started: out of descriptors, or of threads
            self._thread.join()

    async def _read_out(self) -> None:
        """Let the thread answer what it still finds, answer what it leaves, and then read the socket ourselves."""
        if not self._handed_back:
            await asyncio.to_thread(self._end_thread)
            atexit.unregister(self._end_thread)
            while self._take_one():  # noqa: ASYNC110 -- it works, not waits
                await asyncio.sleep(0)
            self._loop.remove_reader(self._answering.fileno())
            self._count()
            with contextlib.suppress(OSError):  # a socket that is lost
                self._sock.setblocking(False)
            self._handed_back = True
        await super()._read_out()

    def _read(self) -> bool:
        """Answer what the thread has left, up to `BATCH` datagrams within `TURN`; say whether nothing is left.

        What is left stays readable, so there is another turn.
        """
        if self._handed_back:
            return super()._read()
        ends = time.monotonic() + TURN
        for _ in range(BATCH):
            if not self._take_one():
                return True
            if time.monotonic() >= ends:
                break
        return False

    def _take_one(self) -> bool:
        """Answer one datagram; say whether there was one."""
        found = self._answering.take()
        if found is None:
            return False
        data, peer, messages = found
        self._take(data, peer, sender(messages) if self._everywhere else [])
        return True

    def _check_socket(self) -> None:
        self._count()
        if error := self._answering.error():
            self._lose(OSError(error, os.strerror(error)))
            return
        super()._check_socket()

    def _count(self) -> None:
        """Add to the statistics what the thread has counted."""
        now = self._answering.counters()
        for name, before, after in zip(_COUNTERS, self._counted, now, strict=True):
            setattr(self._stats, name, getattr(self._stats, name) + after - before)
        self._counted = now
