/* Answers by question, and the loop that sends them; the only code of this server that runs without the interpreter.
 *
 * One thread writes: the event loop's. Any number of loops read, each in a thread of its own. What a writer replaces is
 * one pointer: a reader sees the old or the new and never a half. The old one is freed once every loop has been between
 * two batches since it was replaced (`struct reader`, `settled`).
 *
 * `answer` is `Table.respond` of table.py step by step; tests/fast compares both with the responder, packet by packet.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* recvmmsg, in_pktinfo */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_ZONES 32
#define MAX_READERS 64
#define MAX_NAME 255
#define MAX_LABELS 128
#define MAX_DENIAL 160
#define BATCH 64      /* datagrams taken and sent at a time: what Linux does well in one call */
#define PACKET 65536  /* octets: any datagram; only those that come take memory */
#define OWN_SIZE 1232 /* OWN_UDP_SIZE of message.py */
#define PLAIN_SIZE 512
#define CONTROL 128 /* octets of control messages */
#define QUEUE 1024  /* datagrams that wait for the event loop, */
#define QUEUE_OCTETS (2 << 20) /* and octets: whoever sends large ones gets no more memory for it */
#define TYPES 17    /* that are counted: COUNTED_TYPES of table.py, the first is "other" */
#define SIZE_BOUNDS 15
#define TIME_BOUNDS 17
#define VACATED ((struct node *)1)

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_SEQ_CST)
/* counters have one writer, and readers that may be a little late */
#define READ(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define COUNT(place, value) __atomic_store_n(&(place), (place) + (value), __ATOMIC_RELAXED)

struct kind { /* one type of a name: what follows the question */
    uint16_t qtype, records, length, size;
    uint32_t start;               /* of the body, from the name on */
    uint8_t ready, lower, rotates; /* see `Rendered`; what is not ready is the responder's */
};
struct node { /* a name that exists; behind it are its kinds, its octets and the bodies */
    uint64_t hash;
    uint16_t length, kinds;
    uint8_t zone, closed; /* closed: a type that it does not have is NODATA */
};
struct nodes { /* open addressing; replaced as a whole when it grows */
    uint64_t mask;
    struct node *place[];
};
struct names { /* which names exist, by their hashes: what is in doubt is the responder's */
    uint64_t mask;
    uint64_t place[];
};
struct zone { /* one version; replaced as a whole */
    uint16_t length, labels;             /* of the origin */
    uint16_t denial_length, denial_size; /* size: without compression */
    uint16_t pointer[3];                 /* where the denial points to the origin */
    uint8_t missing, rotates;
    uint16_t outsides, mades;    /* suffixes: of other server blocks; of names made on demand */
    uint8_t denial[MAX_DENIAL];
    uint8_t octets[]; /* the origin, then the suffixes, each after its length and number of labels */
};
struct cell { /* what is counted together: zone, type, RCODE and DO; see admin/metrics.py */
    uint64_t queries, query_octets, response_octets, nanoseconds;
    uint64_t query_sizes[SIZE_BOUNDS], response_sizes[SIZE_BOUNDS], times[TIME_BOUNDS];
};
struct reader { /* one loop, or the event loop itself */
    uint64_t round; /* odd while a batch is being answered */
    uint64_t turn;  /* of addresses that rotate */
    struct cell *cells;
};
struct retired {
    struct retired *next;
    void *what;
};
struct table {
    uint64_t key[2];
    struct nodes *nodes;
    struct names *names;
    struct zone *zone[MAX_ZONES];
    uint64_t used, kept, names_used, names_kept; /* used: with what is vacated */
    struct reader *reader[MAX_READERS];
    struct retired *waiting, *leaving; /* to be freed: since the last look, and before it */
    uint64_t rounds[MAX_READERS];      /* as they were when `leaving` began to wait */
    uint8_t type_index[256], other_type[256];
    double size_bounds[SIZE_BOUNDS - 1], time_bounds[TIME_BOUNDS - 1];
};

/* -- hashing ------------------------------------------------------------------------------------------------------ */

/* SipHash-1-3: whoever names things in a cluster must not choose which hashes collide. */
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND                                                                                                          \
    v0 += v1; v1 = ROTL(v1, 13) ^ v0; v0 = ROTL(v0, 32); v2 += v3; v3 = ROTL(v3, 16) ^ v2;                             \
    v0 += v3; v3 = ROTL(v3, 21) ^ v0; v2 += v1; v1 = ROTL(v1, 17) ^ v2; v2 = ROTL(v2, 32);

static uint64_t hash_of(const struct table *table, const uint8_t *octets, size_t length)
{
    uint64_t v0 = table->key[0] ^ 0x736f6d6570736575ULL, v1 = table->key[1] ^ 0x646f72616e646f6dULL;
    uint64_t v2 = table->key[0] ^ 0x6c7967656e657261ULL, v3 = table->key[1] ^ 0x7465646279746573ULL;
    uint64_t word;
    size_t index;
    for (index = 0; index + 8 <= length; index += 8) {
        memcpy(&word, octets + index, 8);
        v3 ^= word;
        ROUND v0 ^= word;
    }
    word = (uint64_t)length << 56;
    memcpy(&word, octets + index, length - index);
    v3 ^= word;
    ROUND v0 ^= word;
    v2 ^= 0xff;
    ROUND ROUND ROUND
    word = v0 ^ v1 ^ v2 ^ v3;
    return word > 1 ? word : word + 2; /* 0 is an empty place, 1 a vacated one */
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -- what one thread replaces while others read ------------------------------------------------------------------- */

/* Whether every loop has been between two batches since `rounds` was noted. */
static int settled(const struct table *table)
{
    for (int i = 0; i < MAX_READERS; i++)
        if (table->reader[i] && (table->rounds[i] & 1) && LOAD(table->reader[i]->round) == table->rounds[i])
            return 0;
    return 1;
}

static void retire(struct table *table, void *what)
{
    struct retired *one, *next;
    if (what && (one = malloc(sizeof *one))) { /* without memory even for this it is never freed */
        one->what = what;
        one->next = table->waiting;
        table->waiting = one;
    }
    if (!settled(table))
        return;
    for (one = table->leaving; one; one = next) {
        next = one->next;
        free(one->what);
        free(one);
    }
    table->leaving = table->waiting;
    table->waiting = NULL;
    for (int i = 0; i < MAX_READERS; i++)
        table->rounds[i] = table->reader[i] ? LOAD(table->reader[i]->round) : 0;
}

static struct kind *kinds_of(const struct node *node) { return (struct kind *)(node + 1); }
static uint8_t *name_of(const struct node *node) { return (uint8_t *)(kinds_of(node) + node->kinds); }

static struct node *find(const struct nodes *nodes, uint64_t hash, const uint8_t *name, size_t length)
{
    for (uint64_t i = hash;; i++) {
        struct node *node = LOAD(nodes->place[i & nodes->mask]);
        if (!node)
            return NULL;
        if (node != VACATED && node->hash == hash && node->length == length && !memcmp(name_of(node), name, length))
            return node;
    }
}

/* Make room for one more node; the table is never fuller than three quarters. Returns 0 without memory. */
static int grow_nodes(struct table *table)
{
    struct nodes *old = table->nodes, *new;
    uint64_t size = 64;
    if (old && (table->used + 1) * 4 <= (old->mask + 1) * 3)
        return 1;
    while (size < (table->kept + 1) * 2)
        size *= 2;
    if (!(new = calloc(1, sizeof *new + size * sizeof *new->place)))
        return 0;
    new->mask = size - 1;
    for (uint64_t i = 0; old && i <= old->mask; i++) {
        struct node *node = old->place[i];
        if (!node || node == VACATED)
            continue;
        uint64_t at = node->hash;
        while (new->place[at & new->mask])
            at++;
        new->place[at & new->mask] = node;
    }
    STORE(table->nodes, new);
    table->used = table->kept;
    retire(table, old);
    return 1;
}

static void forget(struct table *table, const uint8_t *name, size_t length)
{
    uint64_t hash = hash_of(table, name, length);
    struct nodes *nodes = table->nodes;
    for (uint64_t i = hash; nodes; i++) {
        struct node *node = nodes->place[i & nodes->mask];
        if (!node)
            return;
        if (node != VACATED && node->hash == hash && node->length == length && !memcmp(name_of(node), name, length)) {
            STORE(nodes->place[i & nodes->mask], VACATED);
            table->kept--;
            retire(table, node);
            return;
        }
    }
}

/* Add a node, which is the table's from now on, in place of the one of its name. Returns 0 without memory. */
static int keep(struct table *table, struct node *node)
{
    node->hash = hash_of(table, name_of(node), node->length);
    forget(table, name_of(node), node->length);
    if (!grow_nodes(table))
        return 0;
    struct nodes *nodes = table->nodes;
    uint64_t at = node->hash;
    while (nodes->place[at & nodes->mask])
        at++;
    STORE(nodes->place[at & nodes->mask], node);
    table->used++;
    table->kept++;
    return 1;
}

static void forget_all(struct table *table)
{
    struct nodes *old = table->nodes;
    STORE(table->nodes, NULL);
    table->used = table->kept = 0;
    for (uint64_t i = 0; old && i <= old->mask; i++)
        if (old->place[i] && old->place[i] != VACATED)
            retire(table, old->place[i]);
    retire(table, old);
}

/* Note that a name exists, or that it does not any more. Returns 0 without memory. */
static int note(struct table *table, const uint8_t *name, size_t length, int exists)
{
    uint64_t hash = hash_of(table, name, length), at;
    struct names *old = table->names, *new;
    if (!old || (exists && (table->names_used + 1) * 4 > (old->mask + 1) * 3)) {
        uint64_t size = 64;
        while (size < (table->names_kept + 1) * 2)
            size *= 2;
        if (!(new = calloc(1, sizeof *new + size * sizeof *new->place)))
            return 0;
        new->mask = size - 1;
        for (uint64_t i = 0; old && i <= old->mask; i++)
            if (old->place[i] > 1) {
                for (at = old->place[i]; new->place[at & new->mask]; at++)
                    ;
                new->place[at & new->mask] = old->place[i];
            }
        STORE(table->names, new);
        table->names_used = table->names_kept;
        retire(table, old);
        old = new;
    }
    for (at = hash; old->place[at & old->mask]; at++)
        if (old->place[at & old->mask] == hash) {
            if (!exists) {
                STORE(old->place[at & old->mask], 1);
                table->names_kept--;
            }
            return 1;
        }
    if (exists) {
        STORE(old->place[at & old->mask], hash);
        table->names_used++;
        table->names_kept++;
    }
    return 1;
}

static int exists(const struct names *names, uint64_t hash)
{
    for (uint64_t i = hash;; i++) {
        uint64_t found = LOAD(names->place[i & names->mask]);
        if (found == hash)
            return 1;
        if (!found)
            return 0;
    }
}

/* -- answering ---------------------------------------------------------------------------------------------------- */

struct question { /* a plain one */
    const uint8_t *wire;
    uint16_t length;        /* of the name */
    uint16_t qtype, labels; /* labels: without the root */
    uint16_t limit;         /* octets of the response over UDP */
    uint8_t opt, dnssec_ok, upper; /* upper: the name is not all in lower case */
    uint8_t name[MAX_NAME + 1];    /* folded */
    uint8_t start[MAX_LABELS];     /* of each label, and of the root */
};

/* Take a query apart, as far as it is plain: one look at each octet, and nothing is trusted before it is checked. */
static int parse(struct question *q, const uint8_t *wire, size_t size)
{
    static const uint8_t counts[7] = {0, 1, 0, 0, 0, 0, 0}, opt_head[3] = {0, 0, 41};
    size_t at = 12, end;
    if (size < 17 || (wire[2] & 0xfe) || (wire[3] & 0xcf) || memcmp(wire + 4, counts, 7) || wire[11] > 1)
        return 0;
    q->wire = wire;
    q->opt = wire[11];
    q->labels = q->upper = q->dnssec_ok = 0;
    for (;;) {
        uint8_t label = at < size ? wire[at] : 0xff;
        if (label > 63 || at - 12 + label >= MAX_NAME || at + label >= size || q->labels == MAX_LABELS - 1)
            return 0;
        q->start[q->labels] = at - 12;
        q->name[at - 12] = label;
        if (!label)
            break;
        q->labels++;
        for (end = at + label, at++; at <= end; at++) {
            uint8_t octet = wire[at];
            if (octet >= 'A' && octet <= 'Z') {
                octet |= 0x20;
                q->upper = 1;
            }
            q->name[at - 12] = octet;
        }
    }
    q->length = at + 1 - 12;
    at++;
    if (size != at + 4 + (q->opt ? 11 : 0) || wire[at + 2] || wire[at + 3] != 1)
        return 0;
    q->qtype = wire[at] << 8 | wire[at + 1];
    q->limit = PLAIN_SIZE;
    if (q->opt) { /* root, OPT, size, extended RCODE, version, flags, no options */
        const uint8_t *opt = wire + at + 4;
        if (memcmp(opt, opt_head, 3) || opt[5] || opt[6] || (opt[7] & 0x7f) || opt[8] || opt[9] || opt[10])
            return 0;
        q->dnssec_ok = opt[7] >> 7;
        unsigned asked = opt[3] << 8 | opt[4];
        q->limit = asked < PLAIN_SIZE ? PLAIN_SIZE : asked > OWN_SIZE ? OWN_SIZE : asked;
    }
    return 1;
}

static int ends_with(const struct question *q, const uint8_t *suffix, unsigned length, unsigned labels)
{
    return q->labels >= labels && (unsigned)(q->length - q->start[q->labels - labels]) == length &&
           !memcmp(q->name + q->length - length, suffix, length);
}

/* Whether one of `count` suffixes fits, which are stored one after the other; moves on behind them. */
static int any_ends(const struct question *q, const uint8_t **suffixes, unsigned count)
{
    int found = 0;
    for (; count; count--, *suffixes += 2 + (*suffixes)[0])
        found |= ends_with(q, *suffixes + 2, (*suffixes)[0], (*suffixes)[1]);
    return found;
}

/* Whether a name may be another way to write one that is there: `http.tcp.` for `_http._tcp.`, or one with `_zone`. */
static int may_be_made(const struct question *q)
{
    for (int i = 0; i < 3 && i < q->labels; i++) {
        const uint8_t *label = q->name + q->start[i];
        unsigned length = label[0];
        if (length == 5 && !memcmp(label + 1, "_zone", 5))
            return 1;
        if (length > 1 && label[1] == '_')
            label++, length--;
        if ((length == 3 && (!memcmp(label + 1, "tcp", 3) || !memcmp(label + 1, "udp", 3))) ||
            (length == 4 && !memcmp(label + 1, "sctp", 4)))
            return 1;
    }
    return 0;
}

static unsigned bound_of(const double *bounds, unsigned count, double value)
{
    unsigned i = 0;
    while (i < count && value > bounds[i])
        i++;
    return i;
}

/* The node of a question's name as the table is now. */
static const struct node *node_of(const struct table *table, const struct question *q, uint64_t hash)
{
    const struct nodes *nodes = LOAD(table->nodes);
    return nodes ? find(nodes, hash, q->name, q->length) : NULL;
}

/* The zone that a question's name is in as the table is now, and its index. */
static const struct zone *zone_of(const struct table *table, const struct question *q, unsigned *index)
{
    const struct zone *zone;
    for (*index = 0; *index < MAX_ZONES && (zone = LOAD(table->zone[*index])); ++*index)
        if (ends_with(q, zone->octets, zone->length, zone->labels))
            return zone;
    return NULL;
}

/* Write the response to a plain question that is ready; returns its length, 0 where it is the responder's to answer. */
static size_t answer(const struct table *table, struct reader *reader, const struct question *q, uint8_t *out, int udp,
                     struct cell **counted)
{
    uint64_t hash = hash_of(table, q->name, q->length);
    const struct node *node = node_of(table, q, hash);
    const struct zone *zone = NULL;
    const struct kind *kind = NULL;
    unsigned index = 0, rcode = 0, records_size, limit = udp ? q->limit : 65535;
    if (q->qtype < 256 && table->other_type[q->qtype])
        return 0;
    if (node) {
        index = node->zone;
        if (!(zone = LOAD(table->zone[index])))
            return 0;
        const struct kind *kinds = kinds_of(node);
        for (int i = 0; i < node->kinds; i++)
            if (kinds[i].qtype == q->qtype)
                kind = kinds + i;
        if (kind ? !kind->ready || (kind->lower && q->upper) : !node->closed)
            return 0;
        if (!kind && node_of(table, q, hash) != node) /* it may be older than the zone, whose serial the denial has */
            return 0;
    } else {
        unsigned again;
        if (!(zone = zone_of(table, q, &index)) || !zone->missing)
            return 0;
        const struct names *names = LOAD(table->names); /* after the zone: they know all that it has */
        const uint8_t *suffixes = zone->octets + zone->length;
        if (!names || any_ends(q, &suffixes, zone->outsides) || any_ends(q, &suffixes, zone->mades) ||
            may_be_made(q) || exists(names, hash) || zone_of(table, q, &again) != zone) /* they are not another's yet */
            return 0;
        rcode = 3;
    }
    unsigned question = 12 + q->length + 4, body = kind ? kind->length : zone->denial_length;
    if (question + body + (q->opt ? 11 : 0) > limit)
        return 0;
    uint8_t *at = out + question;
    memcpy(out, q->wire, question);
    out[2] = 0x84 | (q->wire[2] & 1); /* QR, AA, RD as it was */
    out[3] = (q->wire[3] & 0x10) | rcode; /* CD as it was */
    out[6] = kind ? kind->records >> 8 : 0;
    out[7] = kind ? kind->records & 0xff : 0;
    out[9] = !kind;
    if (kind) {
        const uint8_t *from = name_of(node) + kind->start;
        unsigned first = 0;
        records_size = kind->size;
        if (kind->rotates && zone->rotates) /* another record first each time */
            first = ++reader->turn % kind->records * (body / kind->records);
        memcpy(at, from + first, body - first);
        memcpy(at + body - first, from, first);
    } else {
        unsigned origin = 0xc000 | (12 + q->length - zone->length);
        records_size = zone->denial_size;
        memcpy(at, zone->denial, body);
        for (int i = 0; i < 3; i++) {
            at[zone->pointer[i]] = origin >> 8;
            at[zone->pointer[i] + 1] = origin & 0xff;
        }
    }
    at += body;
    if (q->opt) {
        static const uint8_t opt[11] = {0, 0, 41, OWN_SIZE >> 8, OWN_SIZE & 0xff};
        memcpy(at, opt, 11);
        at[7] = q->dnssec_ok << 7;
        at += 11;
    }
    unsigned type = q->qtype < 256 ? table->type_index[q->qtype] : 0, size = question + (q->opt ? 11 : 0);
    struct cell *cell = reader->cells + ((index * TYPES + type) * 2 + !!rcode) * 2 + q->dnssec_ok;
    COUNT(cell->queries, 1);
    COUNT(cell->query_octets, size);
    COUNT(cell->response_octets, size + records_size);
    COUNT(cell->query_sizes[bound_of(table->size_bounds, SIZE_BOUNDS - 1, size)], 1);
    COUNT(cell->response_sizes[bound_of(table->size_bounds, SIZE_BOUNDS - 1, size + records_size)], 1);
    *counted = cell;
    return at - out;
}

/* -- the loop ----------------------------------------------------------------------------------------------------- */

struct waiting { /* a datagram for the event loop */
    struct sockaddr_storage peer;
    uint8_t control[CONTROL];
    size_t control_length, length;
    uint8_t data[];
};
struct loop {
    struct table *table;
    struct reader *reader;
    int fd, event, stop, error; /* event: an eventfd, for what waits; error: the errno that ended the loop */
    uint16_t port;              /* our own, in network order */
    uint64_t messages, responses, send_errors, send_drops, shed, port_zero;
    pthread_mutex_t lock; /* of the queue: a loop takes it for what is not ready only */
    struct waiting *queue[QUEUE];
    unsigned first, count;
    size_t octets; /* of what waits */
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_octets[BATCH], out_octets[BATCH];
    struct sockaddr_storage peer[BATCH];
    struct cell *counted[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL], source[BATCH][CONTROL];
    uint8_t in_data[BATCH][PACKET], out_data[BATCH][OWN_SIZE];
};

/* Take out the datagram that has waited longest, NULL where none waits; the lock is held. */
static struct waiting *first_of(struct loop *loop)
{
    struct waiting *first = loop->queue[loop->first];
    if (!loop->count)
        return NULL;
    loop->first = (loop->first + 1) % QUEUE;
    loop->count--;
    loop->octets -= first->length;
    return first;
}

static struct waiting *take(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct waiting *first = first_of(loop);
    pthread_mutex_unlock(&loop->lock);
    return first;
}

/* Hand a datagram to the event loop; when too many wait, those that have waited longest are dropped. */
static void hand_over(struct loop *loop, struct mmsghdr *in)
{
    static const uint64_t one = 1;
    struct msghdr *head = &in->msg_hdr;
    struct waiting *new = malloc(sizeof *new + in->msg_len);
    if (!new) {
        COUNT(loop->shed, 1);
        return;
    }
    new->length = in->msg_len;
    new->control_length = head->msg_controllen;
    memcpy(&new->peer, head->msg_name, sizeof new->peer);
    memcpy(new->control, head->msg_control, head->msg_controllen);
    memcpy(new->data, head->msg_iov->iov_base, in->msg_len);
    pthread_mutex_lock(&loop->lock);
    while (loop->count == QUEUE || loop->octets + new->length > QUEUE_OCTETS) {
        free(first_of(loop));
        COUNT(loop->shed, 1);
    }
    loop->queue[(loop->first + loop->count++) % QUEUE] = new;
    loop->octets += new->length;
    pthread_mutex_unlock(&loop->lock);
    if (write(loop->event, &one, sizeof one) < 0)
        return; /* it is full of wake-ups already */
}

/* Make the response leave from the address that was asked (see transports/ancillary.py); returns octets of control. */
static size_t reply_from(const struct msghdr *in, uint8_t *control)
{
    struct msghdr *head = (struct msghdr *)in;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(head); one; one = CMSG_NXTHDR(head, one)) {
        if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_PKTINFO &&
            one->cmsg_len == CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(one);
            info->ipi_ifindex = 0;
            info->ipi_addr.s_addr = 0;
        } else if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_PKTINFO &&
                   one->cmsg_len == CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(one);
            if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr))
                return 0;
            if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                info->ipi6_ifindex = 0;
        } else
            continue;
        memcpy(control, one, one->cmsg_len);
        return CMSG_SPACE(one->cmsg_len - CMSG_LEN(0));
    }
    return 0;
}

static void send_all(struct loop *loop, unsigned count)
{
    for (unsigned sent = 0; sent < count;) {
        int now = sendmmsg(loop->fd, loop->out + sent, count - sent, MSG_DONTWAIT);
        if (now > 0) {
            sent += now;
            COUNT(loop->responses, now);
        } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
            COUNT(loop->send_drops, count - sent); /* nothing waits here: the client asks again instead */
            return;
        } else if (errno != EINTR) {
            COUNT(loop->send_errors, 1);
            sent++;
        }
    }
}

/* Answer a batch: one look at the clock before and after it, and one call to the kernel for all responses. */
static void serve(struct loop *loop, unsigned count)
{
    struct question q;
    unsigned ready = 0;
    uint64_t begun = nanoseconds(), each;
    struct reader *reader = loop->reader;
    STORE(reader->round, reader->round + 1);
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *in = &loop->in[i].msg_hdr, *out = &loop->out[ready].msg_hdr;
        uint16_t port = ((struct sockaddr_in *)in->msg_name)->sin_port; /* as in sockaddr_in6 */
        size_t length = 0;
        if (!port) {
            COUNT(loop->port_zero, 1);
            continue;
        }
        if (port != loop->port && parse(&q, loop->in_data[i], loop->in[i].msg_len))
            length = answer(loop->table, reader, &q, loop->out_data[ready], 1, &loop->counted[ready]);
        if (!length) {
            hand_over(loop, &loop->in[i]);
            continue;
        }
        out->msg_name = in->msg_name;
        out->msg_namelen = in->msg_namelen;
        out->msg_control = loop->source[ready];
        out->msg_controllen = in->msg_controllen ? reply_from(in, loop->source[ready]) : 0;
        loop->out_octets[ready++].iov_len = length;
    }
    STORE(reader->round, reader->round + 1);
    if (!ready)
        return;
    COUNT(loop->messages, ready);
    send_all(loop, ready);
    each = (nanoseconds() - begun) / ready;
    for (unsigned i = 0; i < ready; i++) {
        COUNT(loop->counted[i]->nanoseconds, each);
        COUNT(loop->counted[i]->times[bound_of(loop->table->time_bounds, TIME_BOUNDS - 1, (double)each)], 1);
    }
}

/* Read and answer until told to stop, and then what the kernel holds by that time. Blocks; the socket's receive timeout
 * is how soon `stop` is seen. */
static void run(struct loop *loop)
{
    uint64_t last = 0;
    unsigned failed = 0; /* times, one after the other */
    while (!last || nanoseconds() < last) {
        for (unsigned i = 0; i < BATCH; i++) {
            loop->in[i].msg_hdr.msg_namelen = sizeof loop->peer[i];
            loop->in[i].msg_hdr.msg_controllen = CONTROL;
        }
        int count = recvmmsg(loop->fd, loop->in, BATCH, last ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        int error = count < 0 ? errno : 0;
        if (!error || error == EAGAIN)
            failed = 0;
        if (!error)
            serve(loop, count);
        else if (error == EAGAIN && last)
            break;
        else if (error != EAGAIN && error != EINTR) {
            COUNT(loop->send_errors, 1); /* what ICMP reports of an earlier response; what every call says is the end */
            if (++failed == BATCH) {
                STORE(loop->error, error);
                break;
            }
        }
        if (!last && LOAD(loop->stop))
            last = nanoseconds() + 500000000;
    }
    close(loop->fd);
    loop->fd = -1;
}

static void free_loop(struct loop *loop)
{
    struct waiting *one;
    while ((one = take(loop)))
        free(one);
    if (loop->fd >= 0)
        close(loop->fd);
    if (loop->event >= 0)
        close(loop->event);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

/* Prepare to read a socket, by a descriptor of our own: the thread must not end up with what gets the other's number
 * once that is closed. Returns NULL with errno. */
static struct loop *new_loop(struct table *table, struct reader *reader, int fd, uint16_t port)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->table = table;
    loop->reader = reader;
    loop->port = htons(port);
    pthread_mutex_init(&loop->lock, NULL);
    loop->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    loop->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->fd < 0 || loop->event < 0) {
        int error = errno;
        free_loop(loop);
        errno = error;
        return NULL;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        loop->in_octets[i] = (struct iovec){loop->in_data[i], PACKET};
        loop->out_octets[i] = (struct iovec){loop->out_data[i], 0};
        loop->in[i].msg_hdr = (struct msghdr){&loop->peer[i], 0, &loop->in_octets[i], 1, loop->control[i], 0, 0};
        loop->out[i].msg_hdr = (struct msghdr){.msg_iov = &loop->out_octets[i], .msg_iovlen = 1};
    }
    return loop;
}
