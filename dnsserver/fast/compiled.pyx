# cython: language_level=3
"""The door to loop.h, for octets and numbers: compiled.pyi describes it, layout.py and ready.py know what they mean."""

from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cdef extern from *:
    """
    #include "loop.h"
    #define PYTHON_HASH PyHash_GetFuncDef()->hash /* SipHash with a random key */
    #define MADE(memory) ({ void *made = memory; made ? made : PyErr_NoMemory(); })
    static const uint64_t layout[] = {MAX_ZONES, MAX_READERS, TYPES, SIZES, TIMES, sizeof(struct settings),
        sizeof(struct node), sizeof(struct kind), sizeof(struct zones), sizeof(struct zone), sizeof(struct reader),
        sizeof(struct waiting)};
    """
    enum: ROOM
    struct reader:
        pass
    struct table:
        const void* settings
        void* hash
        uint64_t kept, readers
        reader reader[1]
    struct loop:
        uint64_t stop
        table* table
        reader* reader
        int fd
        int queue[2]
        uint16_t port
    void* GONE
    void* PYTHON_HASH
    void* MADE(void*) except NULL
    const uint64_t layout[12]
    void* look(table*, const uint8_t*, size_t)
    bint is_node(void*)
    void* grow(table*, uint64_t)
    void* say(table*, const uint8_t*, size_t, void*)
    void put_zones(table*, void*)
    bint sweep(table*, uint64_t)
    void retire(table*, void*)
    size_t answer(table*, reader*, uint8_t*, size_t, bint, uint64_t**)
    void count_time(table*, uint64_t*, uint64_t)
    uint64_t nanoseconds()
    void* take(loop*)
    void run(loop*) nogil
    void STORE(uint64_t, uint64_t)

LAYOUT = tuple(layout)

cdef void* copied(bytes octets) except NULL:
    return memcpy(MADE(malloc(len(octets))), <const char*>octets, len(octets))

cdef class Core:
    cdef table* table
    cdef bytes settings  # which the table points to

    def __cinit__(self, bytes settings not None):
        self.table = <table*>MADE(calloc(1, sizeof(table)))
        self.settings = settings
        self.table.settings, self.table.hash = <const void*><const char*>settings, PYTHON_HASH

    def __dealloc__(self):
        if self.table is not NULL:  # and every loop has ended
            put_zones(self.table, NULL)
            sweep(self.table, UINT64_MAX)
            retire(self.table, NULL)
            retire(self.table, NULL)
            free(self.table)

    def __len__(self):
        return self.table.kept

    def has(self, bytes name not None):
        return is_node(look(self.table, name, len(name)))

    def say(self, bytes name not None, bint exists, bytes node=b""):
        MADE(say(self.table, name, len(name), NULL if exists else GONE))
        if node:  # there is a place for it now
            say(self.table, name, len(name), copied(node))

    def make_room(self, uint64_t names):
        MADE(grow(self.table, names))

    def put_zones(self, bytes zones not None):
        put_zones(self.table, copied(zones) if zones else NULL)

    def sweep(self, uint64_t limit):
        return sweep(self.table, limit)

    def counted(self, unsigned reader, size_t size):
        return (<char*>&self.table.reader[reader])[:size]

    def answer(self, bytes wire not None, unsigned reader, bint udp):
        cdef uint8_t room[ROOM]
        cdef uint64_t begun = nanoseconds()
        cdef uint64_t* counts
        cdef size_t size = min(len(wire), ROOM)  # what is longer is not plain
        memcpy(room, <const char*>wire, size)
        size = answer(self.table, &self.table.reader[reader], room, size, udp, &counts)
        if not size:
            return None
        count_time(self.table, counts, nanoseconds() - begun)
        return (<char*>room)[:size]

cdef class Loop:
    cdef loop* loop
    cdef Core core  # which must outlive it

    def __cinit__(self, Core core not None, unsigned reader, int fd, int queue_end, int queue_start, uint16_t port):
        self.loop = <loop*>MADE(calloc(1, sizeof(loop)))
        self.core, self.loop.table, self.loop.reader = core, core.table, &core.table.reader[reader]
        core.table.readers = max(core.table.readers, reader + 1)
        self.loop.fd, self.loop.port, self.loop.queue[0], self.loop.queue[1] = fd, port, queue_end, queue_start

    def __dealloc__(self):
        free(self.loop)

    def run(self):
        with nogil:
            run(self.loop)

    def stop(self):
        STORE(self.loop.stop, 1)

    def state(self, size_t size):
        return (<char*>self.loop)[:size]

    def take_octets(self):
        cdef void* one = take(self.loop)
        if one is NULL:
            return None
        found = (<char*>one)[: (<size_t*>one)[0]]  # its size comes first
        free(one)
        return found
