# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The door to loop.h: its table as `dnsserver.fast.table.Table` has it, and its loop as a listener drives it."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import os
import socket
import struct
import sys

from dnsserver.fast.rendering import OTHER_TYPES, Node, render
from dnsserver.fast.table import COUNTED_TYPES, DURATIONS, MAX_KEPT, SIZES, Cell, Way, new_tally
from dnsserver.names import is_at_or_below

cdef extern from "loop.h" nogil:
    """
    #define READ_INT(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
    #define STORE_INT(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
    #define STORE_ZONE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
    #define STORE_NAMES(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
    """
    const unsigned MAX_ZONES, MAX_READERS, MAX_DENIAL, TYPES, SIZE_BOUNDS, TIME_BOUNDS, QUEUE
    struct kind:
        uint16_t qtype, records, length, size
        unsigned start
        uint8_t ready, lower, rotates
    struct node:
        uint16_t length, kinds
        uint8_t zone, closed
    struct zone:
        uint16_t length, labels, denial_length, denial_size, outsides, mades
        uint16_t pointer[3]
        uint8_t missing, rotates
        uint8_t denial[160]
        uint8_t* octets
    struct cell:
        uint64_t queries, query_octets, response_octets, nanoseconds
        uint64_t query_sizes[15]
        uint64_t response_sizes[15]
        uint64_t times[17]
    struct reader:
        uint64_t round
        cell* cells
    struct retired:
        retired* next
        void* what
    struct nodes:
        uint64_t mask
    struct names:
        uint64_t mask
    struct table:
        uint64_t key[2]
        nodes* nodes
        names* names
        zone* zone[32]
        uint64_t used, kept, names_used, names_kept
        reader* reader[64]
        retired* waiting
        retired* leaving
        uint8_t type_index[256]
        uint8_t other_type[256]
        double size_bounds[14]
        double time_bounds[16]
    struct question:
        uint16_t length, qtype
        uint8_t name[256]
    struct sockaddr_storage:
        pass
    struct waiting:
        sockaddr_storage peer
        uint8_t control[128]
        size_t control_length, length
        uint8_t* data
    struct loop:
        int fd, event, stop, error
        uint64_t messages, responses, send_errors, send_drops, shed, port_zero
    uint64_t hash_of(table*, const uint8_t*, size_t)
    node* find(nodes*, uint64_t, const uint8_t*, size_t)
    kind* kinds_of(node*)
    uint8_t* name_of(node*)
    int keep(table*, node*)
    void forget(table*, const uint8_t*, size_t)
    void forget_all(table*)
    int note(table*, const uint8_t*, size_t, int)
    void retire(table*, void*)
    int parse(question*, const uint8_t*, size_t)
    size_t answer(table*, reader*, question*, uint8_t*, int, cell**)
    loop* new_loop(table*, reader*, int, uint16_t)
    void free_loop(loop*)
    waiting* take(loop*)
    void run(loop*)
    uint64_t nanoseconds()
    uint64_t READ(uint64_t)
    void COUNT(uint64_t, uint64_t)
    int READ_INT(int)
    void STORE_INT(int, int)
    void STORE_ZONE(zone*, zone*)
    void STORE_NAMES(names*, names*)
    unsigned bound_of(const double*, unsigned, double)

cdef class CompiledTable:
    """The table in C. Loops read it in their threads; everything else is for the event loop's thread."""

    cdef table* _table
    cdef list _fast  # FastZone, in the order of the table's zones
    cdef list _readers  # Way of each
    cdef list _idle  # indices of readers whose loops have ended
    cdef dict _ways  # Way -> index of the reader that stands for the event loop
    cdef object _names  # iterator over the names that are still to be noted, None once all are
    cdef dict _counted  # what `tallies` has returned so far, by reader and cell

    def __cinit__(self):
        self._table = <table*>calloc(1, sizeof(table))
        if self._table is NULL:
            raise MemoryError

    def __init__(self, zones=()):
        cdef int index
        seed = os.urandom(16)
        memcpy(self._table.key, <const uint8_t*>seed, 16)
        for index, qtype in enumerate(sorted(COUNTED_TYPES), 1):
            self._table.type_index[qtype] = index
        for qtype in OTHER_TYPES:
            self._table.other_type[qtype] = 1
        for index, bound in enumerate(SIZES):
            self._table.size_bounds[index] = bound
        for index, bound in enumerate(DURATIONS):
            self._table.time_bounds[index] = bound * 1e9
        self._fast, self._readers, self._idle, self._ways, self._counted = [], [], [], {}, {}
        self._names = None
        self.serve(zones)

    def __dealloc__(self):
        cdef unsigned i
        cdef table* table = self._table
        if table is NULL:
            return
        for i in range(MAX_READERS):  # every loop has ended: each of them holds the table
            if table.reader[i] is not NULL:
                free(table.reader[i].cells)
                free(table.reader[i])
                table.reader[i] = NULL
        for i in range(MAX_ZONES):
            free(table.zone[i])
        forget_all(table)
        retire(table, table.names)
        retire(table, NULL)
        retire(table, NULL)
        free(table)

    cdef int _new_reader(self, object way) except -1:
        """Return the index of a new reader, or of one that is free by now: what it has counted is of the same way."""
        cdef int index = len(self._readers)
        cdef reader* new
        for idle in self._idle:
            if self._readers[idle] == way:
                self._idle.remove(idle)
                return idle
        if index == MAX_READERS:
            raise RuntimeError("too many readers of one table")
        new = <reader*>calloc(1, sizeof(reader))
        if new is NULL:
            raise MemoryError
        new.cells = <cell*>calloc(MAX_ZONES * TYPES * 4, sizeof(cell))
        if new.cells is NULL:
            free(new)
            raise MemoryError
        self._table.reader[index] = new
        self._readers.append(way)
        return index

    # -- writing -------------------------------------------------------------------------------------------------------

    def serve(self, zones):
        """Answer for these zones from now on, the most specific of a name first."""
        cdef unsigned i
        zones = list(zones)
        del zones[MAX_ZONES:]  # the responder answers for more; the most specific ones are first
        for i in range(MAX_ZONES):
            self._put_zone(i, NULL)
        forget_all(self._table)
        self._fast = zones
        self._note_anew()

    def move(self, fast, zone):
        """Answer from the next version of one of them."""
        cdef bytes name
        cdef list gone = []
        fast.move_to(zone)
        if fast not in self._fast:
            return
        if zone.changed is None:
            forget_all(self._table)
            self._note_anew()
            return
        for name in zone.changed:  # in this order no reader sees what neither version says; see `answer`
            if not any(one.zone.lists(name) for one in self._fast):
                gone.append(name)
            elif not note(self._table, name, len(name), 1):
                raise MemoryError
            forget(self._table, name, len(name))
        self._render_zone(self._fast.index(fast))
        for name in gone:
            note(self._table, name, len(name), 0)

    def prepare(self, limit):
        """Note at most so many of the names that exist; say whether all are noted.

        Before that no name is missing for certain, and what is not known is the responder's.
        """
        cdef bytes name
        cdef int count = 0
        if self._names is None:
            return True
        for fast, name in self._names:
            if fast.zone.lists(name) and not note(self._table, name, len(name), 1):
                raise MemoryError
            count += 1
            if count == limit:
                return False
        self._names = None
        self._render_zones()
        return True

    cdef _note_anew(self):
        """Begin to note which names exist."""
        cdef names* old = self._table.names
        self._names = ((fast, name) for fast in tuple(self._fast) for name in fast.zone.names())
        self._render_zones()  # without anything missing
        STORE_NAMES(self._table.names, <names*>NULL)
        self._table.names_used = self._table.names_kept = 0
        retire(self._table, old)

    cdef _render_zones(self):
        cdef int i
        for i in range(len(self._fast)):
            self._render_zone(i)

    cdef _render_zone(self, int index):
        """Put the present version of a zone in its place."""
        fast = self._fast[index]
        origin, pieces = fast.zone.origin, fast.denial.pieces
        body = b"\0\0".join(pieces)
        suffixes = b"".join(bytes((len(one), _labels(one))) + one for one in (*fast.outside, *fast.made))
        cdef zone* new = NULL
        if len(body) <= MAX_DENIAL and len(pieces) == 4:  # owner, MNAME and RNAME point to the origin
            new = <zone*>malloc(sizeof(zone) + len(origin) + len(suffixes))
            if new is NULL:
                raise MemoryError
            memset(new, 0, sizeof(zone))
            new.length, new.labels = len(origin), _labels(origin)
            new.denial_length, new.denial_size = len(body), fast.denial.size
            at = 0
            for i, piece in enumerate(pieces[:3]):
                at += len(piece)
                new.pointer[i] = at
                at += 2
            new.missing = fast.missing and self._names is None
            new.rotates = fast.rotates
            new.outsides, new.mades = len(fast.outside), len(fast.made)
            memcpy(new.denial, <const uint8_t*>(<bytes>body), len(body))
            octets = bytes(origin) + suffixes
            memcpy(<uint8_t*>new.octets, <const uint8_t*>(<bytes>octets), len(octets))
        self._put_zone(index, new)

    cdef _put_zone(self, unsigned index, zone* new):
        cdef zone* old = self._table.zone[index]
        STORE_ZONE(self._table.zone[index], new)
        retire(self._table, old)

    cdef int _keep(self, int index, bytes name, found) except -1:
        """Add what a name answers."""
        cdef kind* kinds
        cdef node* new
        cdef uint8_t* octets
        cdef unsigned start = len(name), i = 0
        types = sorted(found.types.items())
        bodies = b"".join(rendered.body for _, rendered in types if rendered is not None)
        new = <node*>calloc(1, sizeof(node) + len(types) * sizeof(kind) + len(name) + len(bodies))
        if new is NULL:
            raise MemoryError
        new.length, new.kinds, new.zone, new.closed = len(name), len(types), index, found.closed
        kinds = kinds_of(new)
        for qtype, rendered in types:
            kinds[i].qtype = qtype
            if rendered is not None:
                kinds[i].ready = 1
                kinds[i].records, kinds[i].length = rendered.records, len(rendered.body)
                kinds[i].size, kinds[i].start = rendered.size, start
                kinds[i].lower, kinds[i].rotates = rendered.lower, rendered.rotates
                start += len(rendered.body)
            i += 1
        octets = name_of(new)
        memcpy(octets, <const uint8_t*>name, len(name))
        memcpy(octets + len(name), <const uint8_t*>(<bytes>bodies), len(bodies))
        if not keep(self._table, new):
            free(new)
            raise MemoryError
        return 0

    # -- reading -------------------------------------------------------------------------------------------------------

    def respond(self, bytes wire, way=Way.UDP4):
        """Return the response to a message, None where it is the responder's to answer."""
        cdef int index
        if way not in self._ways:
            self._ways[way] = self._new_reader(way)
        index = self._ways[way]
        response = self._respond(wire, index, way <= 1)
        if response is None and self._learn(wire):
            response = self._respond(wire, index, way <= 1)
        return response

    cdef _respond(self, bytes wire, int index, bint udp):
        cdef question q
        cdef cell* counted
        cdef size_t size
        cdef uint64_t begun = nanoseconds()
        cdef uint8_t out[1500]
        cdef uint8_t* room = out
        if not parse(&q, wire, len(wire)):
            return None
        if not udp:
            room = <uint8_t*>malloc(65535)
            if room is NULL:
                raise MemoryError
        try:
            size = answer(self._table, self._table.reader[index], &q, room, udp, &counted)
            if not size:
                return None
            begun = nanoseconds() - begun
            COUNT(counted.nanoseconds, begun)
            COUNT(counted.times[bound_of(self._table.time_bounds, TIME_BOUNDS - 1, <double>begun)], 1)
            return PyBytes_FromStringAndSize(<char*>room, size)
        finally:
            if not udp:
                free(room)

    cdef _learn(self, bytes wire):
        """Render the name of a plain question, if it is one that a zone lists; say whether there is an answer now."""
        cdef question q
        cdef int index
        if not parse(&q, wire, len(wire)) or (q.qtype < 256 and self._table.other_type[q.qtype]):
            return False
        name = PyBytes_FromStringAndSize(<char*>q.name, q.length)
        for index, fast in enumerate(self._fast):
            if is_at_or_below(name, fast.zone.origin):
                break
        else:
            return False
        if self._knows(name) or not fast.has(name) or not fast.zone.lists(name):
            return False
        if self._table.kept >= MAX_KEPT:
            forget_all(self._table)
        self._keep(index, name, render(fast.zone, name) or Node({}, closed=False))
        return True

    cdef bint _knows(self, bytes name):
        cdef nodes* nodes = self._table.nodes
        return nodes is not NULL and find(nodes, hash_of(self._table, name, len(name)), name, len(name)) is not NULL

    def tallies(self):
        """Return what was counted since the last time."""
        found = {}
        for index, way in enumerate(self._readers):
            for zone in range(len(self._fast)):
                for number in range(TYPES * 4):
                    self._add(found, index, way, zone, number)
        return found

    cdef _add(self, dict found, int index, object way, int zone, int number):
        """Add what a reader has counted in one cell to what was found."""
        cdef int i
        cdef cell* counted = self._table.reader[index].cells + zone * TYPES * 4 + number
        if not READ(counted.queries):
            return
        now = [READ(counted.query_octets), READ(counted.response_octets), READ(counted.nanoseconds)]
        now += [READ(counted.query_sizes[i]) for i in range(SIZE_BOUNDS)]
        now += [READ(counted.response_sizes[i]) for i in range(SIZE_BOUNDS)]
        now += [READ(counted.times[i]) for i in range(TIME_BOUNDS)]
        before = self._counted.get((index, zone, number))
        self._counted[index, zone, number] = now
        new = now if before is None else [mine - old for mine, old in zip(now, before)]
        if not any(new):
            return
        qtype = (0, *sorted(COUNTED_TYPES))[number // 4]
        key = Cell(self._fast[zone].index, qtype, 3 if number & 2 else 0, bool(number & 1), way)
        tally = found.get(key)
        if tally is None:
            tally = found[key] = new_tally()
        tally.query_octets += new[0]
        tally.response_octets += new[1]
        tally.nanoseconds += new[2]
        _add_to(tally.query_sizes, new[3 : 3 + SIZE_BOUNDS])
        _add_to(tally.response_sizes, new[3 + SIZE_BOUNDS : 3 + 2 * SIZE_BOUNDS])
        _add_to(tally.durations, new[3 + 2 * SIZE_BOUNDS :])

    def __len__(self):
        """Return how many names are kept ready."""
        return self._table.kept


def _add_to(sums, more):
    for index, value in enumerate(more):
        sums[index] += value


def _labels(name):
    """Return how many labels a name has, without the root."""
    count = index = 0
    while name[index]:
        count += 1
        index += 1 + name[index]
    return count


cdef class Loop:
    """Reads a bound blocking socket with a receive timeout, answers what is ready, and keeps the rest for `take`."""

    cdef loop* _loop
    cdef CompiledTable _table  # lives as long as the loop
    cdef list _idle  # the table's
    cdef int _index  # of the reader

    def __cinit__(self, CompiledTable table not None, int fd, int port, way):
        self._index = table._new_reader(way)
        self._table, self._idle = table, table._idle
        self._loop = new_loop(table._table, table._table.reader[self._index], fd, port)
        if self._loop is NULL:
            self._idle.append(self._index)
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self._loop is not NULL:
            free_loop(self._loop)
            if self._idle is not None:  # a collector may have cleared it
                self._idle.append(self._index)

    def fileno(self):
        """Return the descriptor that becomes readable where a datagram waits."""
        return self._loop.event

    def run(self):
        """Answer until `stop`; for a thread of its own."""
        with nogil:
            run(self._loop)

    def stop(self):
        """Have `run` read what has come by now, and return."""
        STORE_INT(self._loop.stop, 1)

    def error(self):
        """Return the errno that has ended the loop, 0 for none."""
        return READ_INT(self._loop.error)

    def counters(self):
        """Return messages, responses, send errors, send drops, shed, and datagrams from port 0, all so far."""
        return (
            READ(self._loop.messages),
            READ(self._loop.responses),
            READ(self._loop.send_errors),
            READ(self._loop.send_drops),
            READ(self._loop.shed),
            READ(self._loop.port_zero),
        )

    def take(self):
        """Return the datagram that has waited longest, its peer and its control messages; None where none waits."""
        cdef waiting* one = take(self._loop)
        if one is NULL:
            return None
        try:
            data = PyBytes_FromStringAndSize(<char*>one.data, one.length)
            control = PyBytes_FromStringAndSize(<char*>one.control, one.control_length)
            peer = PyBytes_FromStringAndSize(<char*>&one.peer, 28)
        finally:
            free(one)
        return data, _peer(peer), _messages(control)


_FAMILY = struct.Struct("=H")
_PEER6 = struct.Struct("!HI16s")
_HEAD = struct.Struct("@Nii")


def _peer(octets):
    """Return a socket address as the socket module has it."""
    (family,) = _FAMILY.unpack_from(octets)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, octets[4:8]), int.from_bytes(octets[2:4], "big")
    port, flow, address = _PEER6.unpack_from(octets, 2)
    return socket.inet_ntop(family, address), port, flow, int.from_bytes(octets[24:28], sys.byteorder)


def _messages(octets):
    """Return control messages as `socket.recvmsg` does."""
    found, at = [], 0
    while at + _HEAD.size <= len(octets):
        length, level, kind = _HEAD.unpack_from(octets, at)
        if length < _HEAD.size:
            break
        found.append((level, kind, octets[at + _HEAD.size : at + length]))
        at += length + (-length % 8)
    return found
