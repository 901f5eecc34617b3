/* Feeds loop.h without an interpreter, so that sanitizers see every access; sanitize.py builds and runs it.
 *
 *   harness packets SECONDS SEED   well-formed, nearly well-formed and random packets, in memory of exactly their size
 *   harness readers SECONDS SEED   threads that answer while the table changes as fast as it can
 *   harness loops SECONDS SEED     the same with `run` on sockets of 127.0.0.1
 *
 * What a name has is a function of the zone's version (`state_of`), and each answer carries the version that it is
 * from: in the address its epoch, in a denial the serial. So a mixture of two versions, or one that is too old, shows.
 */
#define _GNU_SOURCE
#include "../../dnsserver/fast/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#define NAMES 128  /* even ones are in z.test, odd ones in sub.z.test, which is not always there */
#define FILLERS 3000
#define READERS 3
#define EPOCH 4    /* versions between two changes of a name */
#define LAYOUT 64  /* versions between two changes of the zones */
#define DENIAL 51  /* octets */
#define SERIAL 31  /* its place in a denial */
#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

enum state { ABSENT, EMPTY, FOUR, BOTH }; /* of a name: without records, with A, with A and AAAA */

static struct table table;
static struct settings settings = {.most = NAMES + FILLERS / 2, .quick = 1000};
static uint32_t published; /* the version that everybody must have by now */
static uint32_t begun;     /* the one that somebody may have already */
static int stopping;
static uint64_t answered, denied, passed;

/* -- chance ------------------------------------------------------------------------------------------------------- */

static _Thread_local uint64_t seed;
static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (seed >> 11) % below;
}

/* -- what is served ----------------------------------------------------------------------------------------------- */

static const uint8_t origins[2][12] = {"\1z\4test", "\3sub\1z\4test"};
static const unsigned origin_length[2] = {8, 12};

static int has_sub(uint32_t version) { return version / LAYOUT & 1; }
static uint32_t epoch_of(unsigned number, uint32_t version) { return (version + number) / EPOCH; }
static enum state state_of(unsigned number, uint32_t version)
{
    uint32_t mixed = (epoch_of(number, version) * NAMES + number) * 2654435761u;
    return number & 1 && !has_sub(version) ? ABSENT : mixed >> 30;
}

static size_t name_into(uint8_t *out, unsigned number)
{
    size_t label = sprintf((char *)out + 1, "n%u", number), zone = number & 1;
    out[0] = label;
    memcpy(out + 1 + label, origins[zone], origin_length[zone]);
    return 1 + label + origin_length[zone];
}

/* Put a version of both zones: each has its suffixes below which names may exist, then its origin with the denial. */
static void put_version(uint32_t version, int missing)
{
    static const char *const apart[2] = {"\3out\1z\4test", "\3pod\1z\4test"};
    struct zones *zones = calloc(1, sizeof *zones + 8 * (sizeof(struct zone) + 12 + DENIAL));
    uint8_t *at = (uint8_t *)(zones->zone + 8);
    uint32_t serial = htonl(version);
    for (unsigned which = has_sub(version) ? 0 : 1; which < 2; which++) /* the lower one first */
        for (unsigned i = 0; i < 3; i++, at += 12 + DENIAL) {
            const char *name = i < 2 ? apart[i] : (const char *)origins[!which];
            size_t length = i < 2 ? 12 : origin_length[!which];
            uint8_t *denial = at + 12;
            memcpy(at, name, length);
            memcpy(denial + 2, "\0\6\0\1\0\0\0\5\0\47\3dns\0\0\12hostmaster", 27);
            memcpy(denial + SERIAL, &serial, 4);
            zones->zone[zones->count++] = (struct zone){
                .start = at - (uint8_t *)zones, .denial = denial - (uint8_t *)zones, .length = length,
                .labels = i < 2 || !which ? 3 : 2, .denial_length = DENIAL, .denial_size = 100,
                .pointer = {0, 16, 29}, .index = which, .listed = i == 2, .missing = missing, .rotates = 1};
        }
    put_zones(&table, zones);
}

/* Two addresses each, all with the name's number and epoch. */
static void keep_name(unsigned number, uint32_t version)
{
    uint8_t name[64];
    enum state state = state_of(number, version);
    size_t length = name_into(name, number), kinds = state == BOTH ? 2 : state == FOUR;
    struct node *node = calloc(1, sizeof *node + kinds * sizeof(struct kind) + length + 2 * 16 + 2 * 28);
    node->length = length, node->kinds = kinds, node->closed = 1;
    uint8_t *at = memcpy(name_of(node), name, length);
    uint32_t epoch = htonl(epoch_of(number, version)), start = length;
    for (unsigned i = 0; i < kinds; i++) {
        unsigned size = i ? 16 : 4, body = 2 * (12 + size);
        kinds_of(node)[i] = (struct kind){i ? 28 : 1, 2, body, body, start, number % 8 == 6, 1};
        for (unsigned j = 0; j < 2; j++, start += 12 + size) {
            memcpy(at + start, "\300\14\0\1\0\1\0\0\0\5\0", 11);
            at[start + 3] = i ? 28 : 1, at[start + 11] = size;
            memset(at + start + 12, number, size);
            memcpy(at + start + 12, &epoch, 4);
        }
    }
    if (!say(&table, name, length, node))
        FAIL("no memory");
}

static void say_name(unsigned number, struct node *known)
{
    uint8_t name[64];
    if (!say(&table, name, name_into(name, number), known))
        FAIL("no memory");
}

/* Names that nobody asks for: they make the table grow. */
static void filler(unsigned number, int is_there)
{
    uint8_t name[32];
    size_t length = 1 + (name[0] = sprintf((char *)name + 1, "f%u", number));
    struct node *node = calloc(1, sizeof *node + length + 1);
    name[length++] = 0;
    node->length = length;
    memcpy(name_of(node), name, length);
    if (!is_there)
        free(node), node = GONE;
    if (!say(&table, name, length, node))
        FAIL("no memory");
}

/* A name that is longer than most: sometimes too long for a question's limit, sometimes just not. */
static void keep_long_one(void)
{
    unsigned body = 200 + chance(OWN_SIZE - 200 - 12 - 8 - 4 - 2), length = origin_length[0];
    struct node *node = calloc(1, sizeof *node + sizeof(struct kind) + length + body);
    node->length = length, node->kinds = 1;
    *kinds_of(node) = (struct kind){16, 1, body, body, length, 0, 0};
    memcpy(name_of(node), origins[0], length);
    say(&table, origins[0], length, node);
}

/* -- what ready.py does with the table ------------------------------------------------------------------------------ */

static void begin_anew(uint32_t version)
{
    put_zones(&table, NULL);
    while (!sweep(&table, 100))
        retire(&table, NULL);
    put_version(version, 0);
    for (unsigned i = 0; i < NAMES; i++)
        if (state_of(i, version) != ABSENT)
            say_name(i, NULL);
    put_version(version, 1);
}

static void move(uint32_t version)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (epoch_of(i, version) != epoch_of(i, version - 1))
            say_name(i, NULL);
    put_version(version, 1);
    for (unsigned i = 0; i < NAMES; i++)
        if (epoch_of(i, version) != epoch_of(i, version - 1) && state_of(i, version) == ABSENT)
            say_name(i, GONE);
}

static void next_version(void)
{
    uint32_t version = published + 1;
    STORE(begun, version);
    if (version % LAYOUT == 0 || version % 23 == 0)
        begin_anew(version);
    else
        move(version);
    STORE(published, version);
    for (unsigned i = 0; i < NAMES / 2; i++) {
        unsigned number = chance(NAMES);
        if (state_of(number, version) != ABSENT)
            keep_name(number, version);
    }
    if (version % 16 == 0)
        for (unsigned i = 0, start = chance(FILLERS); i < 100; i++)
            filler((start + i) % FILLERS, version % 32 == 0);
}

/* -- queries and what they may get ---------------------------------------------------------------------------------- */

/* Write a query for a name; returns its length. The first two octets are the number, the third of the name is kept. */
static size_t query_into(uint8_t *out, unsigned number, unsigned qtype)
{
    int opt = chance(2);
    memcpy(out, (uint8_t[]){number >> 8, number, chance(2), 0, 0, 1, 0, 0, 0, 0, 0, opt}, 12);
    size_t at = 12 + name_into(out + 12, number);
    if (chance(3) == 0)
        out[13] = 'N';
    memcpy(out + at, (uint8_t[]){0, qtype, 0, 1}, 4);
    if (opt)
        memcpy(out + at + 4, (uint8_t[]){0, 0, 41, 4, 208, 0, 0, chance(2) << 7, 0, 0, 0}, 11);
    return at + 4 + (opt ? 11 : 0);
}

/* Fail unless an answer is that of one version, and of none before `since`. */
static void check(const uint8_t *out, size_t size, uint32_t since)
{
    unsigned number = out[0] << 8 | out[1], rcode = out[3] & 15, records = out[6] << 8 | out[7];
    uint32_t until = LOAD(begun), word;
    uint8_t name[64];
    size_t length = name_into(name, number), at = 12 + length + 4;
    unsigned qtype = out[at - 3];
    if (size < at || memcmp(out + 14, name + 2, length - 2) || !(out[2] & 0x80))
        FAIL("not the question that was asked");
    if (records) {
        unsigned rdata = qtype == 28 ? 16 : 4;
        memcpy(&word, out + at + 12, 4);
        uint32_t epoch = ntohl(word);
        enum state state = NAMES; /* of the versions in that epoch it is one that is not before `since` */
        for (uint32_t version = since; version <= until && epoch_of(number, version) <= epoch; version++)
            if (epoch_of(number, version) == epoch && state_of(number, version) >= (qtype == 28 ? BOTH : FOUR))
                state = state_of(number, version);
        if (state == NAMES || rcode || records != 2)
            FAIL("n%u has epoch %u, between versions %u and %u", number, epoch, since, until);
        for (unsigned i = 0; i < 2; i++, at += 12 + rdata)
            for (unsigned j = 0; j < rdata; j++)
                if (j < 4 ? out[at + 12 + j] != ((uint8_t *)&word)[j] : out[at + 12 + j] != number)
                    FAIL("n%u has a torn record", number);
        return;
    }
    memcpy(&word, out + at + SERIAL, 4);
    uint32_t version = ntohl(word);
    enum state state = state_of(number, version);
    unsigned zone = number & 1 && has_sub(version), origin = 0xc000 | (12 + length - origin_length[zone]);
    if (version < since || version > until)
        FAIL("n%u is denied by version %u, between %u and %u", number, version, since, until);
    if (rcode == 3 ? state != ABSENT : state == ABSENT || state >= (qtype == 28 ? BOTH : qtype == 1 ? FOUR : NAMES))
        FAIL("n%u of type %u has RCODE %u in version %u, but state %d", number, qtype, rcode, version, state);
    for (unsigned i = 0, places[3] = {0, 16, 29}; i < 3; i++)
        if ((out[at + places[i]] << 8 | out[at + places[i] + 1]) != (int)origin)
            FAIL("n%u is denied by another zone", number);
}

static unsigned some_type(void) { return (uint8_t[]){1, 28, 16}[chance(3)]; }

/* -- packets -------------------------------------------------------------------------------------------------------- */

static size_t random_name(uint8_t *out)
{
    size_t at = 0;
    unsigned long_ones = chance(4) ? 0 : 2 + chance(2);
    for (unsigned labels = chance(long_ones ? 130 : 5); labels; labels--) {
        unsigned length = !long_ones ? chance(20) : long_ones & 1 ? 1 : 1 + chance(63);
        if (at + length > 400)
            break;
        out[at++] = length;
        for (; length; length--)
            out[at++] = "abAB_-*\0\377zZ[@`{09."[chance(18)];
    }
    memcpy(out + at, origins[chance(2)], 12);
    return at + (out[at] == 1 ? 8 : 12);
}

static size_t packet_into(uint8_t *out)
{
    unsigned which = chance(6);
    if (which < 2)
        return query_into(out, chance(NAMES), some_type());
    uint8_t head[12] = {chance(256), chance(256), chance(2), chance(4) << 4, 0, 1, 0, 0, 0, 0, 0, chance(2)};
    memcpy(out, head, 12);
    size_t at = 12 + (which > 2 ? random_name(out + 12) : origin_length[0]);
    if (which == 2)
        memcpy(out + 12, origins[0], origin_length[0]);
    memcpy(out + at, (uint8_t[]){which > 2 && chance(8) == 0, which > 2 ? chance(256) : 16, 0, 1}, 4);
    at += 4;
    if (head[11]) {
        memcpy(out + at, (uint8_t[]){0, 0, 41, chance(8), chance(256), 0, 0, chance(2) << 7, 0, 0, 0}, 11);
        at += 11;
    }
    return at;
}

static size_t mutate(uint8_t *out, size_t size)
{
    for (unsigned times = chance(4); times; times--)
        switch (chance(5)) {
        case 0: out[chance(size)] = chance(256); break;
        case 1: out[chance(size)] ^= 1 << chance(8); break;
        case 2: size = 1 + chance(size); break;
        case 3: memset(out + size, chance(256), 16), size += chance(16); break;
        default: out[12 + chance(size > 12 ? size - 12 : 1)] = (uint8_t[]){0, 63, 64, 192, 255}[chance(5)];
        }
    return chance(2000) ? size : chance(2) ? PACKET - 1 : chance(size);
}

#ifdef __SANITIZE_ADDRESS__
#define MARGIN 0 /* the sanitizer sees the first octet too far */
#else
#define MARGIN 16
#endif
static uint8_t *exactly(size_t size)
{
    uint8_t *room = malloc(size + MARGIN + !size);
    for (int i = 0; i < MARGIN; i++)
        room[size + i] = 0xa5;
    return room;
}
static void release(uint8_t *room, size_t size)
{
    for (int i = 0; i < MARGIN; i++)
        if (room[size + i] != 0xa5)
            FAIL("written behind the end");
    free(room);
}

static void one_packet(struct reader *reader, uint8_t *work)
{
    struct question q;
    uint64_t *counts;
    size_t size = mutate(work, packet_into(work));
    uint8_t *wire = exactly(size);
    memcpy(wire, work, size);
    if (parse(&q, wire, size)) {
        int udp = chance(4) != 0;
        size_t limit = udp ? q.limit : ROOM, length, room = limit > size ? limit : size;
        uint8_t *out = exactly(room);
        memcpy(out, wire, size);
        length = answer(&table, reader, out, size, udp, &counts);
        if (length ? length > limit || length < 12u + q.length + 4 : memcmp(out, wire, size))
            FAIL("%zu octets where %zu are allowed", length, limit);
        if (length)
            count_time(&table, counts, chance(1 << 20)), answered++;
        else
            passed++;
        release(out, room);
    }
    release(wire, size);
}

/* -- threads -------------------------------------------------------------------------------------------------------- */

static struct reader *new_reader(void) { return &table.reader[table.readers++]; }

static void *read_on(void *reader_)
{
    struct reader *reader = reader_;
    uint64_t *counts;
    uint8_t wire[OWN_SIZE];
    seed = (uintptr_t)&counts | 1;
    while (!LOAD(stopping)) {
        STORE(reader->round, reader->round + 1);
        for (unsigned i = 0; i < BATCH; i++) {
            size_t size = query_into(wire, chance(NAMES), some_type());
            uint32_t since = LOAD(published);
            size = answer(&table, reader, wire, size, 1, &counts);
            __atomic_add_fetch(!size ? &passed : wire[7] ? &answered : &denied, 1, __ATOMIC_RELAXED);
            if (size)
                check(wire, size, since);
        }
        STORE(reader->round, reader->round + 1);
    }
    return NULL;
}

static void *run_loop(void *loop)
{
    run(loop);
    return NULL;
}

/* Ask over a socket, junk now and then, a few questions at a time; `check` whatever comes back. */
static void *ask_on(void *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = {0, 1000};
    uint8_t work[PACKET + 64];
    uint32_t since[NAMES] = {0};
    seed = (uintptr_t)&since | 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, address, sizeof(struct sockaddr_in)))
        FAIL("no connection");
    while (!LOAD(stopping)) {
        for (unsigned i = 0; i < 16; i++) {
            unsigned number = chance(NAMES);
            size_t size = query_into(work, number, some_type());
            if (!since[number]) /* what comes late is as old as the first that is not answered */
                since[number] = LOAD(published);
            if (chance(8) == 0)
                size = mutate(work, 12); /* a header alone, so never an answer */
            send(fd, work, size, 0);
        }
        for (unsigned i = 0; i < 16; i++) {
            ssize_t size = recv(fd, work, sizeof work, 0);
            if (size < 0)
                break;
            check(work, size, since[work[0] << 8 | work[1]]);
            __atomic_add_fetch(work[7] ? &answered : &denied, 1, __ATOMIC_RELAXED);
        }
    }
    close(fd);
    return NULL;
}

static int listening(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), yes = 1;
    struct timeval timeout = {0, 20000};
    socklen_t size = sizeof *address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, size) || getsockname(fd, (struct sockaddr *)address, &size))
        FAIL("no socket");
    return fd;
}

/* -- the three ------------------------------------------------------------------------------------------------------ */

static void packets(uint64_t until)
{
    uint8_t *work = malloc(PACKET + 64);
    struct reader *reader = new_reader();
    uint64_t count = 0;
    for (; count % 1024 || nanoseconds() < until; count++) {
        if (count % 4096 == 0)
            next_version();
        if (count % 16 == 0)
            keep_long_one();
        one_packet(reader, work);
    }
    free(work);
    printf("%lu packets, %lu plain and not ready, %lu answered\n", count, passed, answered);
}

static void readers(uint64_t until)
{
    pthread_t threads[READERS];
    table.readers = READERS; /* before any of them runs */
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(threads + i, NULL, read_on, &table.reader[i]);
    while (nanoseconds() < until)
        next_version();
    STORE(stopping, 1);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    printf("%u versions, %lu answers, %lu denials, %lu not ready\n", published, answered, denied, passed);
}

static void loops(uint64_t until)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct loop *loop[2];
    pthread_t threads[4];
    uint64_t messages = 0, responses = 0, waited = 0;
    for (unsigned i = 0; i < 2; i++) {
        loop[i] = calloc(1, sizeof *loop[i]);
        loop[i]->table = &table, loop[i]->reader = new_reader(), loop[i]->fd = listening(&address);
        loop[i]->port = address.sin_port;
        if (pipe2(loop[i]->queue, O_NONBLOCK | O_CLOEXEC))
            FAIL("no pipe");
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(threads + i, NULL, run_loop, loop[i]);
        pthread_create(threads + 2 + i, NULL, ask_on, &address);
    }
    while (nanoseconds() < until) {
        next_version();
        for (unsigned i = 0; i < 2; i++)
            for (struct waiting *one; (one = take(loop[i])); waited++)
                free(one);
    }
    STORE(stopping, 1);
    for (unsigned i = 2; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 2; i++) {
        STORE(loop[i]->stop, 1);
        pthread_join(threads[i], NULL);
        messages += loop[i]->messages, responses += loop[i]->responses + loop[i]->send_drops + loop[i]->send_errors;
        for (struct waiting *one; (one = take(loop[i]));)
            free(one);
        free(loop[i]);
    }
    if (messages != responses || !waited)
        FAIL("%lu messages, %lu responses, %lu waited", messages, responses, waited);
    printf("%u versions, %lu messages, %lu answers and %lu denials seen, %lu waited\n", published, messages, answered,
           denied, waited);
}

static void clean_up(void)
{
    put_zones(&table, NULL);
    sweep(&table, UINT64_MAX);
    for (unsigned i = 0; i < 2; i++)
        retire(&table, NULL);
}

/* FNV-1a, then mixed: here nobody chooses names. */
static ssize_t hash(const void *octets, ssize_t length)
{
    uint64_t value = 0xcbf29ce484222325;
    for (ssize_t i = 0; i < length; i++)
        value = (value ^ ((const uint8_t *)octets)[i]) * 0x100000001b3;
    return value ^ value >> 32;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint64_t until = nanoseconds() + (uint64_t)(atof(argv[2]) * 1e9);
    seed = strtoull(argv[3], NULL, 10) * 2 + 1;
    table.settings = &settings, table.hash = hash;
    settings.type[1] = 1, settings.type[28] = 2, settings.type[255] = OTHERS;
    begin_anew(published = begun = 1);
    if (!strcmp(argv[1], "packets"))
        packets(until);
    else if (!strcmp(argv[1], "readers"))
        readers(until);
    else
        loops(until);
    clean_up();
    if (!answered)
        FAIL("nothing was answered");
    return 0;
}
