/* SPDX-License-Identifier: Apache-2.0
 * server.c - the sockets of an HTTP server: accept, read, write, TLS, time. What the bytes mean is
 * session.c's. */
#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/session.h"
#include "http/tls.h"
#include "log/log.h"

enum {
    READ_BYTES = 64 << 10,      /* of one connection in a turn, when few have something to say */
    READ_LEAST_BYTES = 4 << 10, /* when many do */
    TURN_BYTES = 256 << 10, /* of all together: what has been let in must not wait for what may be refused */
    WRITE_BYTES = 64 << 10,
    TURN_WRITE_BYTES = 512 << 10, /* of all together, and half of it of one connection */
    ACCEPTS_PER_TURN = 8,
    LINGER_BYTES_MAX = 8 << 20, /* more than any body that a route takes */
    HANDSHAKES_PER_TURN = 1,    /* each takes a good part of a millisecond, and others wait */
    CANDIDATES_MAX = 64,        /* looked at for one that makes room */
    NEAR_LISTS = 1024,
    OTHER_DESCRIPTORS = 128, /* of the process, beside its connections */
    SLOW_READER_PATIENCE = 10,
    STATUS_MAX = 600,
    STALE_SWEEPS = 40, /* in which all connections with replaced certificates are told to end */
};

/* What a turn of the loop does, in steps of about a microsecond (session.h): more waits for the next turn, which
 * looks at all sockets again before. */
enum {
    TURN_STEPS = 256, /* where nobody else needs the loop */
    TURN_STEPS_MOST = 8192,
    STEPS_PER_US = 4, /* of what the others took since: so what waits in sockets does not grow old there */
    LEAST_STEPS = 32, /* for those that come last */
    FIRST_STEPS = 8,  /* of one connection, before others have theirs */
    NEXT_STEPS = 64,  /* each time it comes round again */
    READ_STEPS = 3,   /* a call of the kernel */
    STEP_BYTES = 4 << 10,
    HANDSHAKE_STEPS = 128,
    SWEEP_STEPS = 256,
    RELIEF_STEPS = 256,
    TALKS_MAX = 2, /* readings without a request in them, until others come first */
};

#define SWEEP_US        (500 * MS_US)
#define DRAIN_SWEEP_US  (20 * MS_US)
#define ACCEPT_PAUSE_US (100 * MS_US)
#define RELIEF_PAUSE_US (2 * MS_US) /* it looks at all connections */
#define LINGER_US       (2 * SECOND_US)

enum {
    M_REQUESTS,
    M_SECONDS,
    M_CONNECTIONS,
    M_OPENED,
    M_REFUSED,
    M_DISPLACED,
    M_HANDSHAKES,
    M_FLOODS,
    M_UNREAD,
    M_COUNT
};
static const struct metric metric_table[M_COUNT] = {
    [M_REQUESTS] = { "assay_http_requests_total",
                     METRIC_COUNTER,
                     "Requests replied to, by status",
                     { "server", "code" } },
    [M_SECONDS] = { "assay_http_request_seconds",
                    METRIC_HISTOGRAM,
                    "From the first byte of a request to its reply",
                    { "server", "route" } },
    [M_CONNECTIONS] = { "assay_http_connections", METRIC_GAUGE, "Open connections", { "server" } },
    [M_OPENED] = { "assay_http_connections_accepted_total",
                   METRIC_COUNTER,
                   "Connections accepted",
                   { "server" } },
    [M_REFUSED] = { "assay_http_connections_refused_total",
                    METRIC_COUNTER,
                    "Connections closed at once, too many being open",
                    { "server" } },
    [M_DISPLACED] = { "assay_http_connections_displaced_total",
                      METRIC_COUNTER,
                      "Connections closed to make room, for new ones or for their requests",
                      { "server" } },
    [M_HANDSHAKES] = { "assay_http_handshakes_failed_total",
                       METRIC_COUNTER,
                       "Connections ended in the TLS handshake",
                       { "server" } },
    [M_UNREAD] = { "assay_http_unread_seconds",
                   METRIC_HISTOGRAM,
                   "How long what was read may have waited in the socket: the loop's lag",
                   { "server" } },
    [M_FLOODS] = { "assay_http_floods_total",
                   METRIC_COUNTER,
                   "HTTP/2 connections ended because of what the peer did, by what it was",
                   { "server", "what" } },
};

/* Who is served first in a turn: a peer whose last bytes were a request or a few; then one of which nothing is known,
 * or which had much to say; then who goes on with that, or speaks without asking for anything. So one that asks now
 * and then does not wait for a crowd that talks. */
enum rank { RANK_ASKING, RANK_UNKNOWN, RANK_TALKING, RANK_COUNT };

/* One connection.
 *
 *   handshake (TLS only) -> session -> is over, all written -> lingering until the peer closes too */
struct conn {
    struct http_server *server;
    struct conn *next_ready, **ready_place;       /* of those that have something to be read, of their rank */
    enum rank ready_in, rank;                     /* where it stands, and where it would be put */
    int talks;                                    /* readings in a row without a request */
    struct conn *next, **place;                   /* those that were not answered for longest come first */
    struct conn *next_stranger, **stranger_place; /* the same for those that never were */
    struct conn *next_near, **near_place;         /* of addresses with the same hash; for max_per_address */
    struct http_session *session;                 /* NULL before the TLS handshake is done */
    struct tls_conn *tls;                         /* NULL in the clear */
    struct http_peer peer;
    int fd;
    struct event can_read, can_write;
    bool is_reading, is_writing; /* the events are added */
    bool has_ended;              /* the peer sends no more */
    bool is_lingering;
    bool is_retired; /* told to end, its certificates having been replaced */
    bool is_dirty;
    struct conn *next_dirty, **dirty_place; /* first come, first served */
    size_t replies;                         /* when it was last moved behind the others */
    struct buf out;                         /* what the socket did not take */
    size_t unsent_bytes;                    /* of that, counted as held */
    int64_t opened_us;
    int64_t read_us;   /* when it was last read */
    int64_t unread_us; /* since when something may be in the socket; of a drained one, when it was drained */
    int64_t kept_us;   /* since when what its session keeps was there */
    bool is_drained;   /* the last reading took all there was */
    int64_t progress_us; /* when the socket last took something, or nothing had to be taken */
    int64_t kept_up_us;  /* when nothing had to be taken */
    int64_t linger_us;
    size_t lingered_bytes;
};

struct http_server {
    struct http_host host;
    struct loop *loop;
    struct metric_set *metrics;
    size_t code_series[STATUS_MAX]; /* + 1; 0: not known yet */
    size_t series;                  /* of metrics with the server's name only */
    size_t no_route_series;
    char *name;
    int listen_fd;
    int port;
    struct event can_accept;
    bool is_accepting;
    struct loop_timer accept_again, sweep;
    struct loop_task serve, flush, flush_later, sweep_on;
    struct conn *conns, **last_conn, *strangers, **last_stranger, *dirty, **last_dirty;
    struct conn *ready[RANK_COUNT], **last_ready[RANK_COUNT];
    struct conn *near[NEAR_LISTS];
    struct hash_key near_key;
    struct conn *sweep_next; /* of a sweep that is under way */
    size_t sweep_left;       /* connections that it is to look at, at most */
    size_t conn_count;
    struct tls *tls;         /* the owner's; NULL in the clear */
    unsigned tls_generation; /* that the connections have been looked through for */
    int64_t tls_replaced_us;
    size_t stale_a_sweep;
    int64_t relieved_us;           /* when some last had to let go of memory */
    int64_t handshakes_us;         /* the turn in which */
    int handshakes;                /* so many were worked on */
    char *in;                      /* READ_BYTES */
    size_t turn_steps;             /* what this turn may do */
    int64_t left_us;               /* when the last turn left something for the next; 0: it did not */
    int64_t turn_us;               /* which turn of the loop it is, by its time */
    size_t turn_reads, last_reads; /* connections read from in this turn and in the one before */
    size_t read_bytes;             /* by the last reading */
    struct buf out;                /* of one connection in one flush */
    bool is_draining;
    int64_t drain_deadline_us;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void conn_close(struct conn *c);

/* ---- metrics and clocks for the sessions ---- */

static int64_t turn_mono_us(void *ctx)
{
    return loop_mono_us(((struct http_server *)ctx)->loop);
}

static int64_t turn_wall_us(void *ctx)
{
    return loop_wall_us(((struct http_server *)ctx)->loop);
}

static void count_reply(void *ctx, const struct http_router_entry *entry, int status, int64_t took_us)
{
    struct http_server *s = ctx;
    size_t code = (size_t)status < STATUS_MAX ? (size_t)status : 0;
    char text[16];

    if (!s->metrics)
        return;
    if (!s->code_series[code]) {
        snprintf(text, sizeof text, "%d", status);
        s->code_series[code] = metric_series(s->metrics, M_REQUESTS, s->name, text) + 1;
    }
    metric_inc(s->metrics, M_REQUESTS, s->code_series[code] - 1);
    metric_observe_us(s->metrics, M_SECONDS, entry ? entry->series : s->no_route_series, took_us);
}

static void count_flood(void *ctx, const struct http_peer *peer, const char *what)
{
    struct http_server *s = ctx;

    if (s->metrics)
        metric_inc(s->metrics, M_FLOODS, metric_series(s->metrics, M_FLOODS, s->name, what));
    log_limited(LOG_WARN, "http_flood", "server=%s peer=%s what=%s", s->name, peer->address, what);
}

static void count_connections(struct http_server *s)
{
    s->host.is_crowded = s->conn_count > s->host.limits.max_connections / 4 * 3;
    if (s->metrics)
        metric_put(s->metrics, M_CONNECTIONS, s->series, (double)s->conn_count);
}

/* ---- reading and writing ---- */

static void set_reading(struct conn *c, bool on)
{
    if (c->is_reading == on)
        return;
    c->is_reading = on;
    if (on)
        event_add(&c->can_read, NULL);
    else
        event_del(&c->can_read);
}

static void set_writing(struct conn *c, bool on)
{
    if (c->is_writing == on)
        return;
    c->is_writing = on;
    if (on)
        event_add(&c->can_write, NULL);
    else
        event_del(&c->can_write);
}

/* Like read(2): bytes, 0 at the end, -1 with errno (EAGAIN: later). */
static ssize_t conn_read(struct conn *c, void *to, size_t room)
{
    return c->tls ? tls_conn_read(c->tls, to, room) : read(c->fd, to, room);
}

static ssize_t conn_write(struct conn *c, const void *from, size_t len)
{
    return c->tls ? tls_conn_write(c->tls, from, len) : write(c->fd, from, len);
}

static bool is_transient(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

static void mark_dirty(void *ctx)
{
    struct conn *c = ctx;
    struct http_server *s = c->server;

    if (c->is_dirty)
        return;
    c->is_dirty = true;
    c->next_dirty = NULL;
    c->dirty_place = s->last_dirty;
    *s->last_dirty = c;
    s->last_dirty = &c->next_dirty;
    loop_flush(s->loop, &s->flush);
}

/* Writes `bytes` as far as the socket takes them; how many that was, or -1 when it is broken. */
static ssize_t write_some(struct conn *c, struct slice bytes)
{
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t n = conn_write(c, bytes.ptr + done, bytes.len - done);

        if (n < 0 && is_transient(errno))
            break;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    if (done)
        c->progress_us = loop_mono_us(c->server->loop);
    return (ssize_t)done;
}

/* Our side is done. Closing at once could reset the connection before the peer has read our last words, so
 * its rest is read and thrown away for a while. */
static void linger(struct conn *c)
{
    if (c->has_ended) {
        conn_close(c);
        return;
    }
    c->is_lingering = true;
    c->linger_us = loop_mono_us(c->server->loop);
    if (c->tls)
        tls_conn_shutdown(c->tls);
    shutdown(c->fd, SHUT_WR);
    set_writing(c, false);
    set_reading(c, true);
}

static void undirty(struct conn *c)
{
    if (!c->is_dirty)
        return;
    *c->dirty_place = c->next_dirty;
    if (c->next_dirty)
        c->next_dirty->dirty_place = c->dirty_place;
    else
        c->server->last_dirty = c->dirty_place;
    c->is_dirty = false;
}

/* The caller sees to it that serve() is called. */
static void make_ready(struct conn *c, enum rank rank)
{
    struct http_server *s = c->server;

    if (c->ready_place)
        return;
    c->ready_in = rank;
    c->next_ready = NULL;
    c->ready_place = s->last_ready[rank];
    *s->last_ready[rank] = c;
    s->last_ready[rank] = &c->next_ready;
}

static void unready(struct conn *c)
{
    if (!c->ready_place)
        return;
    *c->ready_place = c->next_ready;
    if (c->next_ready)
        c->next_ready->ready_place = c->ready_place;
    else
        c->server->last_ready[c->ready_in] = c->ready_place;
    c->ready_place = NULL;
}

static void conn_unlink(struct conn *c)
{
    if (c->server->sweep_next == c)
        c->server->sweep_next = c->next;
    *c->place = c->next;
    if (c->next)
        c->next->place = c->place;
    else
        c->server->last_conn = c->place;
}

static void meet(struct conn *c)
{
    struct http_server *s = c->server;

    c->stranger_place = s->last_stranger;
    *s->last_stranger = c;
    s->last_stranger = &c->next_stranger;
}

/* No stranger any more, if it was one. */
static void know(struct conn *c)
{
    if (!c->stranger_place)
        return;
    *c->stranger_place = c->next_stranger;
    if (c->next_stranger)
        c->next_stranger->stranger_place = c->stranger_place;
    else
        c->server->last_stranger = c->stranger_place;
    c->next_stranger = NULL;
    c->stranger_place = NULL;
}

static void conn_link(struct conn *c)
{
    struct http_server *s = c->server;

    c->next = NULL;
    c->place = s->last_conn;
    *s->last_conn = c;
    s->last_conn = &c->next;
}

/* What is not sent yet counts as held: it is of no request any more. */
static void count_unsent(struct conn *c)
{
    c->server->host.held_bytes += c->out.len - c->unsent_bytes;
    c->unsent_bytes = c->out.len;
}

/* The session keeps something for which its turn was too short, and its answers are taken. */
static bool can_go_on(const struct conn *c)
{
    return c->session && c->out.len <= c->server->host.limits.max_unsent_bytes &&
           http_session_can_go_on(c->session);
}

/* What a turn of more steps may read or write. */
static size_t turn_bytes(const struct http_server *s, size_t bytes)
{
    return bytes / TURN_STEPS * s->turn_steps;
}

/* Sends what the session has, until it has no more, the socket takes no more or others must have their turn. How
 * much that was. */
static size_t conn_flush(struct conn *c)
{
    struct http_server *s = c->server;
    size_t enough = s->host.limits.max_unsent_bytes, sent = 0;
    ssize_t n;

    if (c->is_lingering || !c->session)
        return 0;
    if (http_session_replies(c->session) != c->replies) {
        c->replies = http_session_replies(c->session);
        know(c);
        conn_unlink(c);
        conn_link(c);
    }
    while (sent < turn_bytes(s, TURN_WRITE_BYTES / 2)) {
        struct buf *from = c->out.len ? &c->out : &s->out;

        if (!c->out.len) {
            buf_clear(&s->out);
            http_session_send(c->session, &s->out, WRITE_BYTES);
            if (!s->out.len)
                break;
        }
        n = write_some(c, buf_slice(from));
        if (n < 0) {
            conn_close(c);
            return sent;
        }
        sent += (size_t)n;
        buf_take(from, (size_t)n);
        if (!from->len)
            continue;
        if (from == &s->out)
            buf_add_slice(&c->out, buf_slice(from));
        break;
    }
    count_unsent(c);
    if (sent >= turn_bytes(s, TURN_WRITE_BYTES / 2))
        mark_dirty(c); /* there may be more */
    else if (!c->out.len && http_session_is_over(c->session)) {
        linger(c);
        return sent;
    }
    if (!c->out.len)
        buf_release(&c->out);
    set_writing(c, c->out.len > 0);
    set_reading(c, !c->has_ended && c->out.len <= enough && http_session_wants_input(c->session));
    if (can_go_on(c)) {
        make_ready(c, RANK_TALKING);
        loop_later(s->loop, &s->serve);
    }
    return sent;
}

static void flush_all(void *ctx)
{
    struct http_server *s = ctx;
    int64_t began_us = s->left_us ? clock_mono_us() : 0;
    size_t sent = 0;

    while (s->dirty && sent < turn_bytes(s, TURN_WRITE_BYTES)) {
        struct conn *c = s->dirty;

        undirty(c);
        sent += conn_flush(c);
    }
    if (s->left_us)
        s->left_us += clock_mono_us() - began_us; /* its own time is not the others' */
    loop_cancel(s->loop, &s->flush);
    if (s->dirty)
        loop_later(s->loop, &s->flush_later);
}

static void flush_later(void *ctx)
{
    struct http_server *s = ctx;

    loop_flush(s->loop, &s->flush);
}

static void on_can_write(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    mark_dirty(ctx);
}

/* False when that was all of it. */
static bool read_lingering(struct conn *c)
{
    struct http_server *s = c->server;
    ssize_t n = conn_read(c, s->in, READ_BYTES);

    if (n > 0)
        c->lingered_bytes += (size_t)n;
    if (n > 0 ? c->lingered_bytes <= LINGER_BYTES_MAX : n < 0 && is_transient(errno))
        return true;
    conn_close(c);
    return false;
}

static void start_session(struct conn *c, enum http_protocol protocol)
{
    c->session = http_session_new(&c->server->host, protocol, &c->peer, mark_dirty, c);
    if (c->server->is_draining)
        http_session_drain(c->session);
    mark_dirty(c);
}

static void complain_of_handshake(const struct conn *c)
{
    struct http_server *s = c->server;

    if (s->metrics)
        metric_inc(s->metrics, M_HANDSHAKES, s->series);
    log_limited(LOG_WARN, "tls_handshake_failed", "server=%s peer=%s why=%s", s->name, c->peer.address,
                log_quoted(slice_str(tls_conn_reason(c->tls))));
}

/* True when the handshake is done and the session can begin. */
static bool shake_hands(struct conn *c)
{
    struct http_server *s = c->server;
    int64_t turn_us = loop_mono_us(s->loop);
    int result;

    s->handshakes = s->handshakes_us == turn_us ? s->handshakes + 1 : 1;
    s->handshakes_us = turn_us;
    if (s->handshakes > HANDSHAKES_PER_TURN)
        return false; /* it can still be read in the next turn */
    result = tls_conn_handshake(c->tls);
    if (result < 0 && is_transient(errno)) {
        set_writing(c, tls_conn_wants_write(c->tls));
        return false;
    }
    if (result < 0) {
        complain_of_handshake(c);
        conn_close(c);
        return false;
    }
    set_writing(c, false);
    tls_conn_name(c->tls, c->peer.certificate_name, sizeof c->peer.certificate_name);
    start_session(c, tls_conn_is_h2(c->tls) ? HTTP_2 : HTTP_1);
    return true;
}

/* The socket has something to say, which came after the turn before looked. But where that one read, and left
 * something behind, it may be as old as what was read. */
static void note_arrival(struct conn *c)
{
    int64_t since_us = loop_mono_us(c->server->loop) - loop_lag_us(c->server->loop);

    if ((c->is_drained || since_us > c->read_us) && since_us > c->unread_us)
        c->unread_us = since_us;
}

/* What the session is about to be given has been there since then. */
static void note_waiting(struct conn *c)
{
    struct http_server *s = c->server;

    s->host.unread_us = loop_mono_us(s->loop) - c->kept_us;
    if (s->metrics)
        metric_observe_us(s->metrics, M_UNREAD, s->series, s->host.unread_us);
}

/* In bytes times microseconds. */
static double burden_of(const struct conn *c)
{
    double unsent = (double)c->unsent_bytes * (double)(loop_mono_us(c->server->loop) - c->kept_up_us + 1);

    return c->session ? http_session_burden(c->session) + unsent : 0;
}

/* Memory runs out: those go that have held the most for longest, some in each turn, until half of it is free. An
 * honest peer holds for moments what a hostile one does not let go. */
static void relieve(struct http_server *s, const struct conn *but)
{
    double sum = 0;
    size_t count = 0, steps = 0, most = s->host.limits.max_buffered_bytes;
    struct conn *next;

    if (loop_mono_us(s->loop) - s->relieved_us < RELIEF_PAUSE_US && s->host.held_bytes <= most / 8 * 7)
        return; /* but nobody who asks for little may find no room at all */
    for (const struct conn *c = s->conns; c; c = c->next) {
        double burden = burden_of(c);

        sum += burden;
        count += burden > 0;
    }
    for (struct conn *c = s->conns; c && steps < RELIEF_STEPS && s->host.held_bytes > most / 2; c = next) {
        double burden = burden_of(c);

        next = c->next;
        if (c == but || burden <= 0 || burden * (double)count < sum)
            continue;
        steps += READ_STEPS + http_session_open_requests(c->session);
        conn_close(c);
        if (s->metrics)
            metric_inc(s->metrics, M_DISPLACED, s->series);
    }
    s->relieved_us = loop_mono_us(s->loop);
}

/* How much is read at once: an equal part for each, as many as there were in the turn before. */
static size_t fair_bytes(struct http_server *s)
{
    size_t part;

    if (s->turn_us != loop_mono_us(s->loop)) {
        s->turn_us = loop_mono_us(s->loop);
        s->last_reads = s->turn_reads;
        s->turn_reads = 0;
    }
    s->turn_reads++;
    part = turn_bytes(s, TURN_BYTES) / (s->last_reads + 1);
    return part > READ_BYTES ? READ_BYTES : part < READ_LEAST_BYTES ? READ_LEAST_BYTES : part;
}

/* Reads once. False when there was nothing, and the connection may be closed. */
static bool read_more(struct conn *c)
{
    struct http_server *s = c->server;
    size_t room = fair_bytes(s);
    ssize_t n = conn_read(c, s->in, room);

    if (n < 0 && is_transient(errno)) {
        c->is_drained = true;
        return false;
    }
    if (n < 0) {
        conn_close(c);
        return false;
    }
    if (n == 0) {
        c->has_ended = true;
        set_reading(c, false);
        http_session_end(c->session);
        mark_dirty(c);
        return false;
    }
    c->kept_us = c->unread_us;
    c->read_us = loop_mono_us(s->loop);
    c->is_drained = (size_t)n < room && !(c->tls && tls_conn_has_pending(c->tls));
    if (c->is_drained)
        c->unread_us = c->read_us;
    note_waiting(c);
    if (!http_session_recv(c->session, s->in, (size_t)n))
        set_reading(c, false);
    s->read_bytes = (size_t)n;
    return true;
}

/* Gives a connection its turn; how many steps that took. */
static size_t serve_one(struct conn *c)
{
    struct http_server *s = c->server;
    size_t open = c->session ? http_session_open_requests(c->session) : 0, count = s->conn_count;
    size_t steps, requests, took = READ_STEPS;

    if (c->is_lingering)
        return read_lingering(c) ? READ_STEPS : READ_STEPS + open;
    if (!c->session) {
        if (!shake_hands(c))
            return s->handshakes > HANDSHAKES_PER_TURN ? 1 : HANDSHAKE_STEPS;
        took += HANDSHAKE_STEPS;
    }
    if (http_host_is_burdened(&s->host)) {
        relieve(s, c);
        count = s->conn_count;
    }
    steps = http_session_steps(c->session);
    requests = http_session_requests(c->session);
    s->host.quota = c->ready_in == RANK_TALKING ? NEXT_STEPS : FIRST_STEPS;
    s->read_bytes = 0;
    if (can_go_on(c)) {
        note_waiting(c);
        http_session_go_on(c->session);
    } else if (!read_more(c)) {
        return s->conn_count < count ? took + open : took;
    }
    c->talks = http_session_requests(c->session) > requests ? 0 : c->talks + 1;
    if (c->talks >= TALKS_MAX)
        c->rank = RANK_TALKING;
    else if (can_go_on(c) || !c->is_drained || !http_session_requests(c->session))
        c->rank = RANK_UNKNOWN;
    else
        c->rank = RANK_ASKING;
    if (can_go_on(c) || (c->tls && tls_conn_has_pending(c->tls))) /* the socket will not tell */
        make_ready(c, RANK_TALKING);
    return took + http_session_steps(c->session) - steps + s->read_bytes / STEP_BYTES;
}

/* Peers that leave something for the next turn get a share of the loop, not of its turns: those are long when what
 * was let in takes much of it, and then it is by reading that one learns whom to refuse. */
static size_t steps_of_turn(const struct http_server *s)
{
    int64_t others_us = s->left_us ? clock_mono_us() - s->left_us : 0;

    if (others_us * STEPS_PER_US <= TURN_STEPS)
        return TURN_STEPS;
    return others_us < TURN_STEPS_MOST / STEPS_PER_US ? (size_t)others_us * STEPS_PER_US : TURN_STEPS_MOST;
}

static void serve(void *ctx)
{
    struct http_server *s = ctx;
    size_t left = s->turn_steps = steps_of_turn(s);
    bool is_more = false;

    for (int rank = 0; rank < RANK_COUNT; rank++) {
        size_t may = left > LEAST_STEPS ? left : LEAST_STEPS, took = 0;

        while (s->ready[rank] && took < may) {
            struct conn *c = s->ready[rank];

            unready(c);
            took += serve_one(c);
        }
        left -= took < left ? took : left;
        is_more = is_more || s->ready[rank];
    }
    s->left_us = is_more ? clock_mono_us() : 0;
    if (is_more)
        loop_later(s->loop, &s->serve);
}

static void on_can_read(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;

    (void)fd;
    (void)what;
    if (c->ready_place)
        return;
    note_arrival(c);
    make_ready(c, c->is_lingering ? RANK_TALKING : c->rank);
    loop_work(c->server->loop, &c->server->serve);
}

/* In a TLS handshake it may be writing that lets us go on. */
static void on_can_write_or_shake(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;

    if (c->session)
        on_can_write(fd, what, ctx);
    else
        on_can_read(fd, what, ctx);
}

/* ---- connections ---- */

/* Without the port, with the colon before it. */
static struct slice address_of(const struct http_peer *peer)
{
    const char *colon = strrchr(peer->address, ':');

    return slice_of(peer->address, colon ? (size_t)(colon - peer->address) + 1 : 0);
}

static struct conn **near_list(struct http_server *s, const struct http_peer *peer)
{
    return &s->near[hash64(&s->near_key, address_of(peer)) % NEAR_LISTS];
}

static void come_near(struct conn *c)
{
    struct conn **list = near_list(c->server, &c->peer);

    c->next_near = *list;
    c->near_place = list;
    if (c->next_near)
        c->next_near->near_place = &c->next_near;
    *list = c;
}

static void go_away(struct conn *c)
{
    *c->near_place = c->next_near;
    if (c->next_near)
        c->next_near->near_place = c->near_place;
}

static void conn_close(struct conn *c)
{
    struct http_server *s = c->server;

    undirty(c);
    unready(c);
    c->is_dirty = true; /* nothing of it is to be flushed any more */
    s->host.held_bytes -= c->unsent_bytes;
    set_reading(c, false);
    set_writing(c, false);
    http_session_free(c->session);
    tls_conn_free(c->tls);
    close(c->fd);
    buf_release(&c->out);
    know(c);
    go_away(c);
    conn_unlink(c);
    s->conn_count--;
    count_connections(s);
    mem_free(c);
}

static void name_peer(struct http_peer *peer, const struct sockaddr_storage *from)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(peer->address, sizeof peer->address, "%s:%d", host, ntohs(in->sin_port));
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)from;

        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(peer->address, sizeof peer->address, "[%s]:%d", host, ntohs(in->sin6_port));
    }
}

static void conn_open(struct http_server *s, int fd, const struct sockaddr_storage *from)
{
    struct conn *c = mem_new(struct conn);
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *c = (struct conn){ .server = s, .fd = fd };
    conn_link(c);
    meet(c);
    s->conn_count++;
    buf_init(&c->out, 0);
    name_peer(&c->peer, from);
    come_near(c);
    c->opened_us = c->progress_us = c->kept_up_us = c->unread_us = loop_mono_us(s->loop);
    c->is_drained = true;
    c->rank = RANK_UNKNOWN;
    event_assign(&c->can_read, loop_base(s->loop), fd, EV_READ | EV_PERSIST, on_can_read, c);
    event_assign(&c->can_write, loop_base(s->loop), fd, EV_WRITE | EV_PERSIST, on_can_write_or_shake, c);
    if (s->metrics)
        metric_inc(s->metrics, M_OPENED, s->series);
    count_connections(s);
    set_reading(c, true);
    if (s->tls) {
        c->peer.is_tls = true;
        c->tls = tls_accept(s->tls, fd);
    } else {
        start_session(c, HTTP_SNIFF);
    }
}

/* Of all ports of the peer's address. It stops counting at what is too many. */
static bool has_too_many(struct http_server *s, const struct sockaddr_storage *from)
{
    size_t most = s->host.limits.max_per_address, count = 0;
    struct http_peer peer = { 0 };

    if (!most)
        return false;
    name_peer(&peer, from);
    for (const struct conn *c = *near_list(s, &peer); c && count < most; c = c->next_near)
        count += slice_eq(address_of(&c->peer), address_of(&peer));
    return count >= most;
}

static void set_accepting(struct http_server *s, bool on)
{
    if (s->is_accepting == on)
        return;
    s->is_accepting = on;
    if (on)
        event_add(&s->can_accept, NULL);
    else
        event_del(&s->can_accept);
}

static void accept_again(void *ctx)
{
    struct http_server *s = ctx;

    if (s->listen_fd >= 0)
        set_accepting(s, true);
}

static bool waits_for_handler(const struct conn *c)
{
    return c->session && http_session_is_handling(c->session);
}

/* Whether a new connection has a place; one that is of little use may have to go for it. */
static bool make_room(struct http_server *s)
{
    struct conn *c = s->strangers;

    if (s->conn_count < s->host.limits.max_connections)
        return true;
    for (int i = 0; i < CANDIDATES_MAX && c && waits_for_handler(c); i++)
        c = c->next_stranger;
    if (!c || waits_for_handler(c))
        c = s->conns;
    for (int i = 0; i < CANDIDATES_MAX && c && waits_for_handler(c); i++)
        c = c->next;
    if (!c || waits_for_handler(c))
        return false;
    conn_close(c);
    if (s->metrics)
        metric_inc(s->metrics, M_DISPLACED, s->series);
    return true;
}

static void complain_of_accept(const struct http_server *s, int e)
{
    log_limited(LOG_WARN, "accept_failed", "server=%s why=%s", s->name, log_quoted(slice_str(strerror(e))));
}

static void accept_some(struct http_server *s, int most)
{
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage from = { 0 };
        socklen_t len = sizeof from;
        int fd = accept4(s->listen_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0 && !has_too_many(s, &from) && make_room(s)) {
            conn_open(s, fd, &from);
        } else if (fd >= 0) {
            close(fd);
            if (s->metrics)
                metric_inc(s->metrics, M_REFUSED, s->series);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* It stays readable, so polling it would spin. */
            complain_of_accept(s, errno);
            set_accepting(s, false);
            loop_timer_set(&s->accept_again, ACCEPT_PAUSE_US);
            return;
        } else if (is_transient(errno)) {
            return;
        }
    }
}

static void on_can_accept(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    accept_some(ctx, ACCEPTS_PER_TURN);
}

/* ---- time ---- */

static void conn_tick(struct conn *c, int64_t now_us)
{
    const struct http_server_conf *limits = &c->server->host.limits;
    int64_t write_us = http_host_patience(&c->server->host, limits->write_timeout_us);

    if (c->is_lingering) {
        if (now_us - c->linger_us >= LINGER_US)
            conn_close(c);
        return;
    }
    if (!c->session) {
        if (now_us - c->opened_us >= http_host_patience(&c->server->host, limits->header_timeout_us))
            conn_close(c);
        return;
    }
    if (!c->out.len)
        c->progress_us = c->kept_up_us = now_us;
    if (now_us - c->progress_us >= write_us || now_us - c->kept_up_us >= SLOW_READER_PATIENCE * write_us) {
        conn_close(c);
        return;
    }
    http_session_tick(c->session);
    if (http_session_is_over(c->session))
        mark_dirty(c);
}

static void close_all(struct http_server *s)
{
    while (s->conns)
        conn_close(s->conns);
}

/* Tells peers that came with certificates which have been replaced to come again: a few each time, so that
 * they do not all shake hands at once. */
static void retire_stale(struct http_server *s, int64_t now_us)
{
    unsigned now = tls_generation(s->tls);
    size_t told = 0;

    if (s->tls_generation != now) {
        s->tls_generation = now;
        s->tls_replaced_us = now_us;
        s->stale_a_sweep = 1 + s->conn_count / STALE_SWEEPS;
    }
    if (now_us - s->tls_replaced_us < s->host.limits.stale_timeout_us)
        return; /* peers that look at their own files come again by themselves */
    for (struct conn *c = s->conns; c && told < s->stale_a_sweep; c = c->next)
        if (c->session && !c->is_retired && tls_conn_generation(c->tls) != now) {
            http_session_retire(c->session);
            c->is_retired = true;
            told++;
        }
}

/* Looks at some connections in a turn until it has seen all that there were. Meanwhile some go, and others are
 * answered and so stand behind those that are still to be seen. */
static void sweep_on(void *ctx)
{
    struct http_server *s = ctx;
    int64_t now_us = loop_mono_us(s->loop);
    size_t steps = 0;

    while (s->sweep_next && s->sweep_left && steps < SWEEP_STEPS) {
        struct conn *c = s->sweep_next;

        s->sweep_next = c->next;
        s->sweep_left--;
        steps += 1 + (c->session ? http_session_open_requests(c->session) : 0);
        conn_tick(c, now_us);
    }
    if (s->sweep_next && s->sweep_left) {
        loop_later(s->loop, &s->sweep_on);
        return;
    }
    s->sweep_next = NULL;
    if (s->tls)
        retire_stale(s, now_us);
    if (s->is_draining && now_us >= s->drain_deadline_us)
        close_all(s);
    if (s->is_draining && !s->conns) {
        if (s->drained)
            s->drained(s->drained_ctx);
        return;
    }
    loop_timer_set(&s->sweep, s->is_draining ? DRAIN_SWEEP_US : SWEEP_US);
}

static void sweep(void *ctx)
{
    struct http_server *s = ctx;

    s->sweep_next = s->conns;
    s->sweep_left = s->conn_count;
    loop_cancel(s->loop, &s->sweep_on);
    sweep_on(s);
}

/* ---- the server ---- */

/* Each connection is a descriptor. What the process may have is raised as far as it goes; where that is not
 * enough, fewer connections leave the others to the rest of the process. */
static void fit_descriptors(struct http_server *s)
{
    size_t *most = &s->host.limits.max_connections;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < *most + OTHER_DESCRIPTORS) {
        *most =
            limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : limit.rlim_cur / 2;
        log_event(LOG_WARN, "few_descriptors", "server=%s limit=%llu connections=%zu", s->name,
                  (unsigned long long)limit.rlim_cur, *most);
    }
}

/* The first address of a name, or the numeric address that it is. May wait for a name service: callers listen before
 * their loop runs. */
static enum err find_address(const char *host, int port, struct sockaddr_storage *at, socklen_t *len,
                             struct why *why)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    int code = getaddrinfo(host, NULL, &hints, &found);

    if (code)
        return err_set(why, ERR_INVALID, "%s is no address, and no name of one: %s", host,
                       gai_strerror(code));
    memcpy(at, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    if (at->ss_family == AF_INET)
        ((struct sockaddr_in *)at)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)at)->sin6_port = htons((uint16_t)port);
    return ERR_OK;
}

static enum err listen_on(struct http_server *s, const struct http_server_conf *conf, struct why *why)
{
    const char *host = conf->host ? conf->host : "127.0.0.1";
    struct sockaddr_storage at = { 0 };
    socklen_t len;
    int on = 1;
    enum err err = find_address(host, conf->port, &at, &len, why);

    if (err)
        return err;
    s->listen_fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return err_set(why, ERR_INTERNAL, "socket: %s", strerror(errno));
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (conf->reuse_port)
        setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(s->listen_fd, (struct sockaddr *)&at, len) || listen(s->listen_fd, SOMAXCONN))
        return err_set(why, errno == EADDRINUSE ? ERR_CONFLICT : ERR_INVALID, "listen on %s port %d: %s",
                       host, conf->port, strerror(errno));
    if (getsockname(s->listen_fd, (struct sockaddr *)&at, &len))
        return err_set(why, ERR_INTERNAL, "getsockname: %s", strerror(errno));
    s->port = ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port
                                            : ((struct sockaddr_in6 *)&at)->sin6_port);
    return ERR_OK;
}

enum err http_server_open(struct http_server **out, struct loop *loop, const struct http_server_conf *conf,
                          struct metrics *metrics, struct why *why)
{
    struct http_server *s = mem_new(struct http_server);
    enum err err;

    *out = NULL;
    s->loop = loop;
    s->listen_fd = -1;
    s->turn_steps = TURN_STEPS;
    s->name = mem_strdup(conf->name ? conf->name : "http");
    s->in = mem_alloc(READ_BYTES, 1);
    buf_init(&s->out, 0);
    http_host_init(&s->host, conf);
    s->host.ctx = s;
    s->last_conn = &s->conns;
    s->last_stranger = &s->strangers;
    s->last_dirty = &s->dirty;
    for (int rank = 0; rank < RANK_COUNT; rank++)
        s->last_ready[rank] = &s->ready[rank];
    fit_descriptors(s);
    randombytes_buf(s->near_key.bytes, sizeof s->near_key.bytes);
    s->host.mono_us = turn_mono_us;
    s->host.wall_us = turn_wall_us;
    s->host.on_replied = count_reply;
    s->host.on_flood = count_flood;
    s->serve = (struct loop_task){ .run = serve, .ctx = s };
    s->flush = (struct loop_task){ .run = flush_all, .ctx = s };
    s->flush_later = (struct loop_task){ .run = flush_later, .ctx = s };
    s->sweep_on = (struct loop_task){ .run = sweep_on, .ctx = s };
    loop_timer_init(&s->accept_again, loop, accept_again, s);
    loop_timer_init(&s->sweep, loop, sweep, s);
    s->tls = conf->tls;
    s->tls_generation = s->tls ? tls_generation(s->tls) : 0;
    err = listen_on(s, conf, why);
    if (err)
        goto out;
    s->metrics = metrics ? metrics_add(metrics, metric_table, M_COUNT) : NULL;
    if (s->metrics) {
        s->series = metric_series(s->metrics, M_CONNECTIONS, s->name, NULL);
        metric_series(s->metrics, M_OPENED, s->name, NULL);
        metric_series(s->metrics, M_REFUSED, s->name, NULL);
        metric_series(s->metrics, M_DISPLACED, s->name, NULL);
        metric_series(s->metrics, M_HANDSHAKES, s->name, NULL);
        metric_series(s->metrics, M_UNREAD, s->name, NULL);
        s->no_route_series = metric_series(s->metrics, M_SECONDS, s->name, "none");
    }
    event_assign(&s->can_accept, loop_base(loop), s->listen_fd, EV_READ | EV_PERSIST, on_can_accept, s);
    set_accepting(s, true);
    loop_timer_set(&s->sweep, SWEEP_US);
    *out = s;
    s = NULL;
out:
    http_server_close(s);
    return err;
}

void http_server_add_routes(struct http_server *s, const struct http_route *routes, size_t count,
                            void *service)
{
    for (size_t i = 0; i < count; i++) {
        http_router_add(&s->host.router, &routes[i], service);
        if (s->metrics)
            s->host.router.entries[s->host.router.count - 1].series =
                metric_series(s->metrics, M_SECONDS, s->name, routes[i].path);
    }
}

void http_server_on_refusal(struct http_server *s,
                            bool (*refuse)(void *ctx, struct http_request *req, int status), void *ctx)
{
    s->host.refuse = refuse;
    s->host.refuse_ctx = ctx;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

struct http_host *http_server_host(struct http_server *s)
{
    return &s->host;
}

static void stop_listening(struct http_server *s)
{
    if (s->listen_fd < 0)
        return;
    set_accepting(s, false);
    loop_timer_stop(&s->accept_again);
    close(s->listen_fd);
    s->listen_fd = -1;
}

void http_server_drain(struct http_server *s, int64_t deadline_us, void (*done)(void *ctx), void *ctx)
{
    s->is_draining = true;
    s->drain_deadline_us = loop_mono_us(s->loop) + deadline_us;
    s->drained = done;
    s->drained_ctx = ctx;
    if (s->listen_fd >= 0 && s->is_accepting)
        accept_some(s, SOMAXCONN); /* those that the kernel has already greeted */
    stop_listening(s);
    for (struct conn *c = s->conns; c; c = c->next)
        if (c->session)
            http_session_drain(c->session);
    loop_timer_set(&s->sweep, 0);
}

void http_server_close(struct http_server *s)
{
    if (!s)
        return;
    stop_listening(s);
    close_all(s);
    loop_cancel(s->loop, &s->serve);
    loop_cancel(s->loop, &s->flush);
    loop_cancel(s->loop, &s->flush_later);
    loop_cancel(s->loop, &s->sweep_on);
    loop_timer_release(&s->accept_again);
    loop_timer_release(&s->sweep);
    http_host_release(&s->host);
    buf_release(&s->out);
    mem_free(s->in);
    mem_free(s->name);
    mem_free(s);
}
