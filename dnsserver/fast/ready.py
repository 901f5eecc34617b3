"""The table and the loop of loop.h as `Answers` and `Loop`: what to say when, in Python; the octets are layout.py's.

Invariant: what a reader finds is in no case wrong. A name that changes is taken back before its zone's next version is
there, and called gone only after that; a table that ran out of memory says nothing until it has begun anew.
"""

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from dnsserver.fast import compiled, layout
from dnsserver.fast.datagrams import Datagram, datagram
from dnsserver.fast.rendering import Denial, Node, render
from dnsserver.fast.table import Answers, Cell, FastZone, Tally, Way, new_tally
from dnsserver.names import Name, fold, is_at_or_below
from dnsserver.wire import HEADER_SIZE
from dnsserver.zone import Zone

_LAST_UDP = Way.UDP6
_AT_ONCE = 20_000  # entries that are forgotten in one go: a millisecond or so
_RENDERING = 100  # steps of preparing that rendering one name counts for

if compiled.LAYOUT != layout.SIZES_IN_C:
    raise ImportError(f"compiled from other sources: {compiled.LAYOUT}, expected {layout.SIZES_IN_C}")
if not sys.hash_info.algorithm.startswith("siphash"):
    raise ImportError(f"names could be chosen to collide: {sys.hash_info.algorithm}")  # it is Python's, with its key


class ReadyTable:
    """The table in C. Loops read it in their threads; everything else is for the event loop's thread."""

    def __init__(self, zones: Iterable[FastZone] = ()) -> None:
        """Answer for zones, the most specific of a name first."""
        self.core = compiled.Core(layout.settings())
        self._zones: list[FastZone] = []
        self._names: Iterator[tuple[FastZone, Name]] | None = None  # still to be noted; None: all are
        self._swept = True  # False while what was known before is being forgotten
        self._shown: tuple[bool, list[Denial]] | None = None  # what the zones that loops see were made of
        self._asked: dict[Name, None] = {}  # names that were ready before they changed
        self._ways = list(Way)  # of each reader; the first are the event loop's
        self._idle: list[int] = []  # readers whose loops have ended
        self._counted: dict[int, bytes] = {}  # memory of each reader as it was for `tallies`
        self.serve(zones)

    def __len__(self) -> int:
        return len(self.core)

    def serve(self, zones: Iterable[FastZone]) -> None:
        """Answer for these zones from now on, the most specific of a name first."""
        self._zones = list(zones)[: layout.MAX_ZONES]  # the responder answers for more
        self._begin_anew()

    def move(self, fast: FastZone, zone: Zone) -> None:
        """Answer from the next version of one of them."""
        fast.move_to(zone)
        if fast not in self._zones:
            return
        if zone.changed is None:
            self._begin_anew()
        elif self._swept:
            try:
                self._change(zone.changed)
            except MemoryError:
                self._begin_anew()

    def _change(self, names: Iterable[Name]) -> None:
        """Move on to zones in which names differ; those that were ready `prepare` makes ready again.

        Whoever asked for them asks again, and a loop that had to pass the question on would cost more than that.
        """
        gone = []
        for name in names:
            if self.core.has(name):
                self._asked[name] = None
            self.core.say(name, exists=True)
            if not any(fast.zone.lists(name) for fast in self._zones):
                gone.append(name)
        self._put_zones()
        for name in gone:
            self.core.say(name, exists=False)

    def _begin_anew(self) -> None:
        """Say nothing, then forget everything, then note which names exist; what is not done here `prepare` does."""
        self.core.put_zones(b"")
        self._shown = None
        self._asked.clear()
        self._swept = False
        self._names = ((fast, name) for fast in tuple(self._zones) for name in fast.zone.names())
        with suppress(MemoryError):
            self._forget(_AT_ONCE)

    def _forget(self, limit: int) -> bool:
        """Forget so many of the old entries; once there are none answer from the zones, but for what is missing."""
        if not self._swept and self.core.sweep(limit):
            # at once, for growing little by little would move ever more names in one go
            self.core.make_room(sum(fast.zone.size + len(fast.zone.tree) for fast in self._zones))
            self._swept = True
            self._put_zones()
        return self._swept

    def _put_zones(self) -> None:
        """Have loops see the zones; changes within a second share a serial, and then nothing of them is another."""
        made_of = self._names is None, [fast.denial for fast in self._zones]
        if made_of != self._shown:
            self.core.put_zones(layout.zones(self._zones, all_noted=self._names is None))
            self._shown = made_of

    def prepare(self, limit: int) -> bool:
        """Note at most so many of the names that exist; say whether nothing more can be done.

        Before all are noted no name is missing for certain, and what is not known is the responder's. Without memory
        that remains so until there is another version of a zone.
        """
        try:
            return self._forget(limit) and self._note(limit) and self._render_again(max(1, limit // _RENDERING))
        except MemoryError:
            self._begin_anew()
            return True

    def _note(self, limit: int) -> bool:
        """Note names; say whether all are."""
        if self._names is None:
            return True
        some = list(islice(self._names, limit))
        for fast, name in some:
            if fast.zone.lists(name):  # also now
                self.core.say(name, exists=True)
        if len(some) < limit:
            self._names = None
            self._put_zones()
        return self._names is None

    def _render_again(self, limit: int) -> bool:
        """Render so many names that were ready before they changed; say whether none is left."""
        for name in list(islice(self._asked, limit)):
            del self._asked[name]
            if not self.core.has(name):  # else somebody has asked meanwhile
                self._render(name)
        return not self._asked

    def respond(self, wire: bytes, way: Way = Way.UDP4) -> bytes | None:
        """Return the response to a message, None where it is the responder's to answer."""
        response = self.core.answer(wire, way, way <= _LAST_UDP)
        if response is None and self._learn(wire):
            response = self.core.answer(wire, way, way <= _LAST_UDP)
        return response

    def _learn(self, wire: bytes) -> bool:
        """Render the name that is asked for; say whether there is something new."""
        name = _asked(wire)
        return not self.core.has(name) and self._render(name)

    def _render(self, name: Name) -> bool:
        """Render a name, if it is one that a zone lists; say whether it is."""
        fast = next((one for one in self._zones if is_at_or_below(name, one.zone.origin)), None)
        if fast is None or not self._swept or not fast.has(name) or not fast.zone.lists(name):
            return False
        found = render(fast.zone, name) or Node({}, closed=False)
        with suppress(MemoryError):
            self.core.say(name, exists=True, node=layout.node(name, found))
        return True

    def tallies(self) -> dict[Cell, Tally]:
        """Return what was counted since the last time."""
        found: dict[Cell, Tally] = {}
        for reader, way in enumerate(self._ways):
            before = self._counted.get(reader, b"")
            now = self.core.counted(reader, layout.reader_size(len(self._zones)))
            self._counted[reader] = now + before[len(now) :]
            for one in layout.counted(before, now):
                cell = Cell(self._zones[one.zone].index, one.qtype, one.rcode, one.dnssec_ok, way)
                layout.add(found.get(cell) or found.setdefault(cell, new_tally()), one.values)
        return found

    def new_reader(self, way: Way) -> int:
        """Return the number of a reader that counts queries of this way, for one loop."""
        for reader in self._idle:
            if self._ways[reader] == way:
                self._idle.remove(reader)
                return reader
        if len(self._ways) == layout.MAX_READERS:
            raise RuntimeError("too many readers of one table")
        self._ways.append(way)
        return len(self._ways) - 1

    def end_reader(self, reader: int) -> None:
        """Have another loop take this reader."""
        self._idle.append(reader)


def _asked(wire: bytes) -> Name:
    """Return the name of a plain question; of any other message, some octets."""
    at = HEADER_SIZE
    while at < len(wire) and wire[at]:
        at += 1 + wire[at]
    return fold(wire[HEADER_SIZE : at + 1])


class ReadyLoop(compiled.Loop):
    """Reads a bound blocking socket with a receive timeout, answers what is ready, and keeps the rest for `take`."""

    table: ReadyTable
    reader: int
    descriptors: list[int]  # of a pipe, out and in, and of the socket until `run` has ended

    def fileno(self) -> int:
        """Return the descriptor that is readable while a datagram waits."""
        return self.descriptors[0]

    def run(self) -> None:
        """Answer until `stop`; for a thread of its own."""
        super().run()
        os.close(self.descriptors.pop())

    def error(self) -> int:
        """Return the errno that has ended the loop, 0 for none."""
        _, error, *_ = self._state()
        return error

    def counters(self) -> tuple[int, int, int, int, int]:
        """Return messages, responses, send errors, send drops, and what was shed, all so far."""
        _, _, messages, responses, send_errors, send_drops, shed = self._state()
        return messages, responses, send_errors, send_drops, shed

    def _state(self) -> tuple[int, ...]:
        return layout.STATE.unpack(self.state(layout.STATE.size))

    def take(self) -> Datagram | None:
        """Return the datagram that has waited longest, its peer and its control messages; None where none waits."""
        octets = self.take_octets()
        return None if octets is None else datagram(octets)

    def __del__(self) -> None:
        while self.take_octets() is not None:
            pass
        for one in self.descriptors:
            os.close(one)
        self.table.end_reader(self.reader)


def new_loop(table: Answers, fd: int, port: int, way: Way) -> ReadyLoop:
    """Prepare to read a socket, by a descriptor of our own.

    The thread must not end up with what gets the other's number once that is closed. Raises `OSError`.
    """
    if not isinstance(table, ReadyTable):
        raise TypeError("not a table of loop.h")
    reader, descriptors = table.new_reader(way), list[int]()
    try:
        descriptors += os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        descriptors.append(os.dup(fd))
        out, into, sock = descriptors
        loop = ReadyLoop(table.core, reader, sock, out, into, socket.htons(port))
    except BaseException:
        for one in descriptors:
            os.close(one)
        table.end_reader(reader)
        raise
    loop.table, loop.reader, loop.descriptors = table, reader, descriptors
    return loop
