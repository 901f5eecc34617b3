/* Answers by question, and the loop that sends them: the only code of this server that runs without the interpreter.
 *
 * One thread writes: the event loop's. Any number of loops read, each in a thread of its own. What a writer replaces is
 * one pointer: a reader sees the old or the new and never a half. The old one is freed once every loop has been between
 * two batches since it was replaced (`retire`). What the table holds is laid out by layout.py.
 *
 * `answer` is `Table.respond` of table.py step by step; tests/fast compares both with the responder, packet by packet.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ZONES = 32, MAX_READERS = 32, MAX_NAME = 255, MAX_LABELS = 128, HEADER = 12, OPT = 11 };
/* octets of a response over UDP (OWN_UDP_SIZE of message.py), and over TCP: what is ready is that, and an OPT */
enum { OWN_SIZE = 1232, PLAIN_SIZE = 512, ROOM = 1500 };
/* datagrams in one call, which Linux does well; batches at the end, more than receive buffers hold; octets of any
 * datagram and its control messages; octets that wait for the event loop, and as how many one counts at least */
enum { BATCH = 64, LAST = 256, PACKET = 65536, CONTROL = 128, QUEUE = 2 << 20, SHARE = 2048 };
/* types as they are counted, first any other; in place of the responder's; bars of histograms */
enum { TYPES = 17, OTHERS = 255, SIZES = 15, TIMES = 17 };
#define GONE ((struct node *)1)
#define TAKEN (1ULL << 63) /* in every hash */

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
/* counters have one writer, and readers that may be a little late */
#define COUNT(place, value) __atomic_store_n(&(place), (place) + (value), __ATOMIC_RELAXED)

struct kind { /* one type of a name: what follows the question; without records it is the responder's */
    uint16_t qtype, records, length, size;
    uint32_t start;         /* of the body, from the name on */
    uint8_t lower, rotates; /* see `Rendered` */
};
struct node { /* what a name answers; behind it are its kinds, its octets and the bodies */
    void *next; /* in a list of what is to be freed: all that is replaced one day begins with it */
    uint16_t length, kinds;
    uint8_t closed; /* a type that it does not have is NODATA */
};
struct entry { /* what is known of the names of one hash; that is 0 where it is free */
    uint64_t hash;
    struct node *node; /* NULL: it exists and is the responder's; GONE: it does not exist */
};
struct names { /* open addressing; replaced as a whole when it grows, so a hash stays where it is */
    void *next;
    uint64_t mask;
    struct entry entry[];
};
struct zone { /* a suffix of names; those not `listed` may exist without being noted; offsets are from `zones` on */
    uint32_t start, denial;
    uint16_t length, labels, denial_length, denial_size; /* size: without compression */
    uint16_t pointer[3];                                 /* where the denial points to the origin */
    uint8_t index, listed, missing, rotates;             /* missing: what was not noted is NXDOMAIN */
};
struct zones { /* one version of all, the most specific first, and behind them what they refer to */
    void *next;
    uint64_t count;
    struct zone zone[];
};
enum { QUERY_OCTETS, RESPONSE_OCTETS, NANOSECONDS, QUERIES, RESPONSES = QUERIES + SIZES, DURATIONS = RESPONSES + SIZES,
       COUNTS = DURATIONS + TIMES };
struct reader { /* one loop, or the event loop itself */
    uint64_t round, turn; /* odd while a batch is being answered; of addresses that rotate */
    uint64_t counts[MAX_ZONES][TYPES][2][2][COUNTS]; /* 2: whether it is NXDOMAIN, and DO; see admin/metrics.py */
};
struct settings {
    uint64_t most, quick; /* nodes that are kept; nanoseconds of the first bar, each has twice those of the last */
    uint8_t type[256];    /* of each: its number as it is counted, or OTHERS */
    uint8_t bar[1 << 17]; /* of each number of octets */
};
struct table {
    const struct settings *settings;
    ssize_t (*hash)(const void *octets, ssize_t length); /* keyed: who names things must not choose what collides */
    struct zones *zones;                                 /* NULL: everything is the responder's, */
    struct names *names;                                 /* and so is every name */
    uint64_t used, present, kept, swept;                 /* entries, names that exist, nodes; see `sweep` */
    uint64_t readers;                                    /* the first so many of them */
    struct reader reader[MAX_READERS];
    void *waiting, *leaving;                             /* to be freed: since the last look, and before it */
    uint64_t rounds[MAX_READERS];                        /* as they were when `leaving` began to wait */
};

/* Free a block, or NULL, that nobody finds any more, once every loop has been between two batches since then. */
static void retire(struct table *table, void *block) {
    if (block) {
        *(void **)block = table->waiting;
        table->waiting = block;
    }
    for (unsigned i = 0; i < table->readers; i++)
        if ((table->rounds[i] & 1) && LOAD(table->reader[i].round) == table->rounds[i])
            return;
    while ((block = table->leaving)) {
        table->leaving = *(void **)block;
        free(block);
    }
    table->leaving = table->waiting;
    table->waiting = NULL;
    for (unsigned i = 0; i < table->readers; i++)
        table->rounds[i] = LOAD(table->reader[i].round);
}

static int is_node(const struct node *node) { return node && node != GONE; }
static struct kind *kinds_of(const struct node *node) { return (struct kind *)(node + 1); }
static uint8_t *name_of(const struct node *node) { return (uint8_t *)(kinds_of(node) + node->kinds); }

/* The entry of a hash, or the free one where it would be: there is always one. */
static struct entry *entry_of(struct names *names, uint64_t hash) {
    for (uint64_t i = hash;; i++) {
        struct entry *entry = &names->entry[i & names->mask];
        uint64_t found = LOAD(entry->hash);
        if (found == hash || !found)
            return entry;
    }
}

/* What is known of a name by its hash; looks at that twice, because what was free may be taken by now. */
static struct node *look(const struct table *table, const uint8_t *name, size_t length) {
    uint64_t hash = table->hash(name, length) | TAKEN;
    struct names *names = LOAD(table->names);
    struct entry *entry = names ? entry_of(names, hash) : NULL;
    return !entry ? NULL : LOAD(entry->hash) == hash ? LOAD(entry->node) : GONE;
}

static void set(struct table *table, struct entry *entry, struct node *node) {
    struct node *old = entry->node;
    STORE(entry->node, node);
    table->present += (node != GONE) - (old != GONE);
    table->kept += is_node(node) - is_node(old);
    if (is_node(old))
        retire(table, old);
}

/* Have room for so many more names: no more than three quarters are ever used. Returns NULL without memory. */
static struct names *grow(struct table *table, uint64_t more) {
    struct names *old = table->names, *new;
    uint64_t size = 64;
    if (old && (table->used + more) * 4 <= (old->mask + 1) * 3)
        return old;
    while (size < (table->present + more) * 2)
        size *= 2;
    if (!(new = calloc(1, sizeof *new + size * sizeof *new->entry)))
        return NULL;
    new->mask = size - 1;
    for (uint64_t i = 0; old && i <= old->mask; i++) /* in this order the new one is filled nearly in a row */
        if (old->entry[i].hash && old->entry[i].node != GONE)
            *entry_of(new, old->entry[i].hash) = old->entry[i];
    table->used = table->present;
    STORE(table->names, new);
    retire(table, old);
    return new;
}

/* Say of a name that it exists (NULL), that it does not (GONE), or what it answers: a node, which is the table's from
 * now on, in place of some other where there are too many. Returns NULL without memory, for a new name alone. */
static struct entry *say(struct table *table, const uint8_t *name, size_t length, struct node *node) {
    uint64_t hash = table->hash(name, length) | TAKEN;
    struct entry *entry = table->names ? entry_of(table->names, hash) : NULL;
    if (!entry || !entry->hash) {
        if (!grow(table, 1))
            return NULL;
        entry = entry_of(table->names, hash);
        STORE(entry->node, GONE);
        STORE(entry->hash, hash); /* by which readers find it */
        table->used++;
    }
    for (uint64_t i = hash; is_node(node) && table->kept >= table->settings->most; i++) {
        struct entry *other = &table->names->entry[i & table->names->mask];
        set(table, other, is_node(other->node) ? NULL : other->node);
    }
    set(table, entry, node);
    return entry;
}

static void put_zones(struct table *table, struct zones *zones) {
    struct zones *old = table->zones;
    STORE(table->zones, zones);
    retire(table, old);
}

/* Forget so many entries, which nobody looks for while there are no zones; returns whether nothing is left. */
static int sweep(struct table *table, uint64_t limit) {
    struct names *old = table->names;
    for (; old && table->swept <= old->mask; table->swept++, limit--) {
        if (!limit)
            return 0;
        set(table, &old->entry[table->swept], NULL);
    }
    STORE(table->names, NULL);
    table->used = table->present = table->swept = 0;
    retire(table, old);
    return 1;
}

struct question { /* a plain one */
    uint16_t length, qtype, labels; /* length: of the name; labels: without the root */
    uint16_t limit;                 /* octets of the response over UDP */
    uint8_t opt, dnssec_ok;         /* opt: octets of it */
    uint8_t name[MAX_NAME];         /* in lower case */
    uint8_t start[MAX_LABELS];      /* of each label */
};

/* Take a query apart, as far as it is plain: one look at each octet, and nothing is trusted before it is checked. */
static int parse(struct question *q, const uint8_t *wire, size_t size) {
    static const uint8_t counts[7] = {0, 1}, opt_head[3] = {0, 0, 41}, opt_tail[3];
    size_t at = HEADER;
    if (size < HEADER + 5 || (wire[2] & 0xfe) || (wire[3] & 0xcf) || memcmp(wire + 4, counts, 7) || wire[11] > 1)
        return 0;
    q->opt = wire[11] ? OPT : 0;
    for (q->labels = 0; at < size && wire[at]; at += 1 + wire[at]) {
        if (wire[at] > 63 || at >= HEADER + MAX_NAME - 2)
            return 0;
        q->start[q->labels++] = at - HEADER;
    }
    q->length = at - HEADER + 1;
    if (q->length > MAX_NAME || size != at + 5 + q->opt || wire[at + 3] || wire[at + 4] != 1)
        return 0;
    for (unsigned i = 0; i < q->length; i++) { /* no length is a letter */
        uint8_t octet = wire[HEADER + i];
        q->name[i] = octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet;
    }
    q->qtype = wire[at + 1] << 8 | wire[at + 2];
    q->limit = PLAIN_SIZE;
    q->dnssec_ok = 0;
    if (q->opt) { /* root, type, size, extended RCODE, version, flags, no options */
        const uint8_t *opt = wire + at + 5;
        unsigned asked = opt[3] << 8 | opt[4];
        if (memcmp(opt, opt_head, 3) || opt[5] || opt[6] || (opt[7] & 0x7f) || memcmp(opt + 8, opt_tail, 3))
            return 0;
        q->dnssec_ok = opt[7] >> 7;
        q->limit = asked < PLAIN_SIZE ? PLAIN_SIZE : asked > OWN_SIZE ? OWN_SIZE : asked;
    }
    return 1;
}

static const struct zone *zone_of(const struct zones *zones, const struct question *q) {
    for (const struct zone *zone = zones->zone; zone < zones->zone + zones->count; zone++)
        if (q->labels >= zone->labels && q->length - q->start[q->labels - zone->labels] == zone->length &&
            !memcmp(q->name + q->length - zone->length, (uint8_t *)zones + zone->start, zone->length))
            return zone;
    return NULL;
}

/* Whether a name may be another way to write one that is there: `http.tcp.` for `_http._tcp.`, or one with `_zone`. */
static int may_be_made(const struct question *q) {
    static const char *const made[] = {"\3tcp", "\4_tcp", "\3udp", "\4_udp", "\4sctp", "\5_sctp", "\5_zone"};
    for (unsigned i = 0; i < 3 && i < q->labels; i++)
        for (unsigned j = 0; j < sizeof made / sizeof *made; j++)
            if (q->name[q->start[i]] == made[j][0] && !memcmp(q->name + q->start[i], made[j], 1 + made[j][0]))
                return 1;
    return 0;
}

static void count_time(const struct table *table, uint64_t *counts, uint64_t spent) {
    unsigned bar = 0;
    while (bar < TIMES - 1 && spent > table->settings->quick << bar)
        bar++;
    COUNT(counts[DURATIONS + bar], 1);
    COUNT(counts[NANOSECONDS], spent);
}

/* Write the records of an answer, another one first than in the last turn. */
static void write_records(uint8_t *at, const struct node *node, const struct kind *kind, uint64_t turn) {
    const uint8_t *from = name_of(node) + kind->start;
    unsigned first = turn % kind->records * (kind->length / kind->records);
    memcpy(at, from + first, kind->length - first);
    memcpy(at + kind->length - first, from, first);
}

/* Make a query the response where that is ready; the buffer has room for it. Returns its length and where its time is
 * counted; 0 where it is the responder's to answer, and the query is as it was.
 *
 * The zones are looked at before the name and, for a denial, after it: a writer takes back what changes, puts the next
 * version of the zones, and only then says what is gone. So what the name says is of the version that the SOA names. */
static size_t answer(const struct table *table, struct reader *reader, uint8_t *wire, size_t size, int udp,
                     uint64_t **counted) {
    struct question q;
    const struct zones *zones = LOAD(table->zones);
    const struct zone *zone = zones && parse(&q, wire, size) ? zone_of(zones, &q) : NULL;
    unsigned type = zone && q.qtype < 256 ? table->settings->type[q.qtype] : 0;
    if (!zone || !zone->listed || type == OTHERS)
        return 0;
    const struct node *node = look(table, q.name, q.length);
    const struct kind *kind = NULL;
    if (is_node(node)) {
        if (node->length != q.length || memcmp(name_of(node), q.name, q.length))
            return 0; /* it is another name that has this hash */
        for (unsigned i = 0; i < node->kinds; i++)
            if (kinds_of(node)[i].qtype == q.qtype)
                kind = kinds_of(node) + i;
        if (kind ? !kind->records || (kind->lower && memcmp(q.name, wire + HEADER, q.length)) : !node->closed)
            return 0;
    } else if (!node || !zone->missing || may_be_made(&q))
        return 0;
    unsigned question = HEADER + q.length + 4, body = kind ? kind->length : zone->denial_length;
    unsigned whole = size + (kind ? kind->size : zone->denial_size); /* without compression */
    if ((!kind && LOAD(table->zones) != zones) || size + body > (udp ? q.limit : ROOM))
        return 0;
    wire[2] |= 0x84; /* QR and AA, RD as it was */
    wire[3] = (wire[3] & 0x10) | (node == GONE ? 3 : 0); /* CD as it was, RCODE */
    wire[6] = kind ? kind->records >> 8 : 0;
    wire[7] = kind ? kind->records & 0xff : 0;
    wire[9] = !kind;
    if (kind)
        write_records(wire + question, node, kind, kind->rotates && zone->rotates ? ++reader->turn : 0);
    else { /* the zone's SOA, which points to where the question spells the origin */
        unsigned place = HEADER + q.length - zone->length;
        const uint8_t origin[2] = {0xc0 | place >> 8, place & 0xff};
        memcpy(wire + question, (uint8_t *)zones + zone->denial, body);
        for (int i = 0; i < 3; i++)
            memcpy(wire + question + zone->pointer[i], origin, 2);
    }
    const uint8_t opt[OPT] = {0, 0, 41, OWN_SIZE >> 8, OWN_SIZE & 0xff, 0, 0, q.dnssec_ok << 7};
    memcpy(wire + question + body, opt, q.opt);
    uint64_t *counts = *counted = reader->counts[zone->index][type][node == GONE][q.dnssec_ok];
    COUNT(counts[QUERY_OCTETS], size);
    COUNT(counts[RESPONSE_OCTETS], whole);
    COUNT(counts[QUERIES + table->settings->bar[size]], 1);
    COUNT(counts[RESPONSES + table->settings->bar[whole]], 1);
    return size + body;
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct waiting { /* a datagram for the event loop */
    uint64_t size; /* of all of it */
    struct sockaddr_in6 peer; /* or a sockaddr_in */
    uint32_t control_length;
    uint8_t control[CONTROL], data[];
};
struct loop {
    uint64_t stop, error, messages, responses, send_errors, send_drops, shed; /* error: the errno that has ended it */
    const struct table *table;
    struct reader *reader;
    int fd, queue[2]; /* the socket; a pipe of pointers to what waits */
    uint16_t port;    /* our own, in network order */
    uint64_t octets;  /* of what waits, in shares */
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in6 peer[BATCH];
    uint64_t *counted[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL];
    uint8_t data[BATCH][PACKET]; /* the query, and then its response */
};

static uint64_t share_of(uint64_t size) { return size < SHARE ? SHARE : size; }

/* Take out the datagram that has waited longest, NULL where none waits. */
static struct waiting *take(struct loop *loop) {
    struct waiting *first;
    if (read(loop->queue[0], &first, sizeof first) != sizeof first)
        return NULL;
    __atomic_sub_fetch(&loop->octets, share_of(first->size - sizeof *first), __ATOMIC_SEQ_CST);
    return first;
}

/* Hand a datagram to the event loop; when too many wait, those that have waited longest are dropped. */
static void hand_over(struct loop *loop, unsigned index) {
    size_t length = loop->in[index].msg_len;
    struct waiting *old, *new = malloc(sizeof *new + length);
    while (LOAD(loop->octets) + share_of(length) > QUEUE && (old = take(loop))) {
        free(old);
        COUNT(loop->shed, 1);
    }
    if (new) {
        *new = (struct waiting){sizeof *new + length, loop->peer[index], loop->in[index].msg_hdr.msg_controllen, {0}};
        memcpy(new->control, loop->control[index], CONTROL);
        memcpy(new->data, loop->data[index], length);
        if (write(loop->queue[1], &new, sizeof new) == sizeof new) { /* else it is a small one: see pipe(7) */
            __atomic_add_fetch(&loop->octets, share_of(length), __ATOMIC_SEQ_CST);
            return;
        }
    }
    free(new);
    COUNT(loop->shed, 1);
}

/* Make a response leave from the address that was asked (see transports/ancillary.py). */
static void reply_from(struct msghdr *in, struct msghdr *out) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(in); one; one = CMSG_NXTHDR(in, one)) {
        struct in6_pktinfo *six = (struct in6_pktinfo *)CMSG_DATA(one);
        if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)six)->ipi_ifindex = 0;
        else if (one->cmsg_level != IPPROTO_IPV6 || one->cmsg_type != IPV6_PKTINFO ||
                 IN6_IS_ADDR_MULTICAST(&six->ipi6_addr))
            continue;
        else if (!IN6_IS_ADDR_LINKLOCAL(&six->ipi6_addr))
            six->ipi6_ifindex = 0;
        out->msg_control = one;
        out->msg_controllen = CMSG_SPACE(one->cmsg_len - CMSG_LEN(0));
    }
}

/* Send responses; what the kernel has no room for is dropped: the client asks again instead. */
static void send_all(struct loop *loop, unsigned count) {
    for (unsigned sent = 0; sent < count;) {
        int now = sendmmsg(loop->fd, loop->out + sent, count - sent, MSG_DONTWAIT);
        sent += now > 0 ? now : 1;
        if (now > 0)
            COUNT(loop->responses, now);
        else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
            COUNT(loop->send_drops, 1);
        else
            COUNT(loop->send_errors, 1);
    }
}

/* Answer a batch: one look at the clock before and after it, and one call to the kernel for all responses. */
static void serve(struct loop *loop, unsigned count) {
    unsigned ready = 0;
    uint64_t begun = nanoseconds();
    STORE(loop->reader->round, loop->reader->round + 1);
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *in = &loop->in[i].msg_hdr, *out = &loop->out[ready].msg_hdr;
        size_t length = 0, size = loop->in[i].msg_len;
        uint16_t port = loop->peer[i].sin6_port; /* where a sockaddr_in has it; 0 and our own may be forged */
        if (port && port != loop->port)
            length = answer(loop->table, loop->reader, loop->data[i], size, 1, &loop->counted[ready]);
        if (length) {
            loop->iov[i].iov_len = length;
            *out = (struct msghdr){in->msg_name, in->msg_namelen, in->msg_iov, 1, NULL, 0, 0};
            reply_from(in, out);
            ready++;
        } else
            hand_over(loop, i);
    }
    STORE(loop->reader->round, loop->reader->round + 1);
    COUNT(loop->messages, ready);
    send_all(loop, ready);
    uint64_t each = ready ? (nanoseconds() - begun) / ready : 0;
    for (unsigned i = 0; i < ready; i++)
        count_time(loop->table, loop->counted[i], each);
}

/* Read and answer until told to stop, and then what the kernel holds by that time. Blocks; the socket's receive timeout
 * is how soon `stop` is seen. */
static void run(struct loop *loop) {
    uint64_t stopping = 0;
    unsigned failed = 0; /* times, one after the other */
    int count = BATCH;   /* headers that were used */
    for (unsigned left = LAST; left && failed < BATCH; left -= stopping) {
        for (int i = 0; i < count; i++) {
            loop->iov[i] = (struct iovec){loop->data[i], PACKET};
            loop->in[i].msg_hdr =
                (struct msghdr){&loop->peer[i], sizeof *loop->peer, &loop->iov[i], 1, loop->control[i], CONTROL, 0};
        }
        stopping = LOAD(loop->stop);
        count = recvmmsg(loop->fd, loop->in, BATCH, stopping ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        if (count >= 0)
            serve(loop, count);
        else if (errno == EAGAIN && stopping)
            break;
        failed = count >= 0 || errno == EAGAIN || errno == EINTR ? 0 : failed + 1;
        COUNT(loop->send_errors, failed > 0); /* what ICMP reports of an earlier response, say; */
    }
    STORE(loop->error, failed == BATCH ? errno : 0); /* and what every call says is the end */
}
