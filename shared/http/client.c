/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/client_session.h"
#include "http/dial.h"
#include "log/log.h"
#include "loop/loop.h"

enum {
    CONNECT_MS = 2000,
    STREAMS_MOST = 1000,
    WAITING_MOST = 10000,
    BODY_MOST = 16 << 20,
    READ_BYTES = 64 << 10,
    READS_A_TURN = 16, /* so that one busy peer does not starve the loop */
    WRITE_BYTES = 64 << 10,
    SPARE_CALLS_MOST = 4096,
    SPARE_BYTES_MOST = 64 << 10, /* a spare call that holds more gives it back */
    PAUSE_FIRST_MS = 10,
    PAUSE_MOST_MS = 500,
};

/* One connection, from the attempt to its end. It stands in a slot of the client until the peer says GOAWAY;
 * then it finishes what it has on the list of the leaving, and the slot is free for another. When its TLS files
 * have been replaced it stays until its successor, made with the new ones, has heard from the peer: nobody waits
 * for a handshake, and certificates that the peer does not like cost nothing yet. */
struct connection {
    struct http_client *client;
    struct connection *next; /* among the leaving */
    size_t at;               /* which address */
    struct wire *wire;
    struct client_session *session; /* once the wire is open */
    bool waits_to_write, has_answered;
    bool is_retired; /* by us: it takes no more requests */
    struct connection *successor, *predecessor;
    struct buf out;
};

struct http_client {
    struct loop *loop;
    struct dialer *dialer;
    size_t address_at; /* which one is tried next */
    char *authority;
    size_t waiting_most;
    struct client_session_conf session_conf;

    struct connection **slots;
    size_t slot_count;
    struct connection *leaving;

    unsigned failures; /* rounds over all addresses, in a row, that came to nothing */
    size_t tried;      /* addresses in this round */
    int64_t not_before_mono_us, pause_most_ms;
    struct why last_failure;

    struct call_list waiting, ended, safe, spare;
    struct loop_task finish, flush;
    bool is_closing;
    char *read_buf;
    uint64_t connects, connect_failures, connections_lost, resent;
};

/* ---- calls ---- */

static void on_deadline(void *arg);

static struct http_call *call_get(struct http_client *c)
{
    struct http_call *call = c->spare.first;

    if (call) {
        call_list_remove(call);
        return call;
    }
    call = mem_new(struct http_call);
    call->client = c;
    loop_timer_init(&call->deadline, c->loop, on_deadline, call);
    return call;
}

static void call_free(struct http_call *call)
{
    loop_timer_release(&call->deadline);
    arena_release(&call->arena);
    buf_release(&call->answer);
    mem_free(call->got);
    mem_free(call);
}

static void call_put(struct http_call *call)
{
    struct http_client *c = call->client;

    loop_timer_stop(&call->deadline);
    if (c->spare.count >= SPARE_CALLS_MOST) {
        call_free(call);
        return;
    }
    if (call->arena.total > SPARE_BYTES_MOST)
        arena_release(&call->arena);
    else
        arena_reset(&call->arena);
    if (call->answer.room > SPARE_BYTES_MOST)
        buf_release(&call->answer);
    call->why.text[0] = '\0';
    call_list_add(&c->spare, call);
}

/* Ends it outside of the caller's stack: from the loop's work. */
static void call_end(struct http_call *call, enum err err)
{
    call->err = err;
    call_list_remove(call);
    call_list_add(&call->client->ended, call);
    loop_work(call->client->loop, &call->client->finish);
}

static void on_deadline(void *arg)
{
    struct http_call *call = arg;

    if (call->list == &call->client->ended)
        return;
    if (call->session) {
        client_session_drop(call);
        loop_flush(call->client->loop, &call->client->flush);
        err_set(&call->why, ERR_TIMEOUT, "no answer within the deadline");
    } else {
        err_set(&call->why, ERR_TIMEOUT, "not sent within the deadline");
    }
    call_end(call, ERR_TIMEOUT);
}

static void call_finish(struct http_call *call)
{
    size_t at = call->in_trailers ? call->trailers_at : call->got_count;
    struct http_client_answer answer = {
        .status = call->status,
        .fields = call->got,
        .field_count = at,
        .trailers = call->got + at,
        .trailer_count = call->got_count - at,
        .body = buf_slice(&call->answer),
    };

    call_list_remove(call);
    loop_timer_stop(&call->deadline);
    call->done(call->arg, call->err, call->err ? NULL : &answer, &call->why);
    call_put(call);
}

/* Work at the end of a turn: tells the callers of all that has ended. */
static void on_finish(void *arg)
{
    struct http_client *c = arg;

    while (c->ended.first)
        call_finish(c->ended.first);
}

/* What the peer did not look at goes out once more; the second time it is for the caller to decide. */
static void take_safe(struct http_client *c)
{
    while (c->safe.last) {
        struct http_call *call = c->safe.last; /* from behind, so that their order stays */

        if (call->was_resent || c->is_closing) {
            call_end(call, ERR_UNAVAILABLE);
            continue;
        }
        call->was_resent = true;
        call->why.text[0] = '\0';
        c->resent++;
        call_list_remove(call);
        call_list_add_first(&c->waiting, call);
    }
    if (c->waiting.first)
        loop_flush(c->loop, &c->flush);
    if (c->ended.first)
        loop_work(c->loop, &c->finish);
}

static void fail_waiting(struct http_client *c)
{
    while (c->waiting.first) {
        err_set(&c->waiting.first->why, ERR_UNAVAILABLE, "%s", c->last_failure.text);
        call_end(c->waiting.first, ERR_UNAVAILABLE);
    }
}

/* ---- connections ---- */

static bool is_connecting_or_open(const struct http_client *c)
{
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i])
            return true;
    return false;
}

/* Its successor, if it has one, stands there now. */
static void slot_clear(struct connection *k)
{
    struct http_client *c = k->client;

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] == k)
            c->slots[i] = k->successor;
    if (k->successor)
        k->successor->predecessor = NULL;
    k->successor = NULL;
    for (struct connection **p = &c->leaving; *p; p = &(*p)->next)
        if (*p == k) {
            *p = k->next;
            return;
        }
}

static void connection_free(struct connection *k)
{
    slot_clear(k);
    if (k->predecessor)
        k->predecessor->successor = NULL;
    client_session_free(k->session);
    wire_close(k->wire);
    buf_release(&k->out);
    mem_free(k);
}

static const char *address_of(const struct connection *k)
{
    return dialer_address(k->client->dialer, k->at);
}

/* The next attempt waits: 10 ms, 20 ms, ... up to the most, and a quarter more so that peers do not march in
 * step. */
static void set_pause(struct http_client *c)
{
    int64_t ms = PAUSE_FIRST_MS;

    for (unsigned i = 0; i < c->failures && ms < c->pause_most_ms; i++)
        ms *= 2;
    if (ms > c->pause_most_ms)
        ms = c->pause_most_ms;
    ms += (int64_t)((uintptr_t)c / 64 + (unsigned)getpid() + c->failures * 7) % (ms / 4 + 1);
    c->failures++;
    c->not_before_mono_us = clock_mono_us() + ms * MS_US;
}

/* The next attempt goes to the next address; after a round over all of them there is a pause. Several
 * connections that fail together are one attempt. */
static void turn_to_next(struct http_client *c, size_t failed)
{
    if (failed != c->address_at || clock_mono_us() < c->not_before_mono_us)
        return;
    c->address_at = (c->address_at + 1) % dialer_count(c->dialer);
    if (++c->tried >= dialer_count(c->dialer)) {
        c->tried = 0;
        set_pause(c);
    }
}

static void on_failed(void *arg, const char *reason)
{
    struct connection *k = arg;
    struct http_client *c = k->client;

    c->connect_failures++;
    err_set(&c->last_failure, ERR_UNAVAILABLE, "cannot connect to %s: %s", address_of(k), reason);
    if (c->failures == 0)
        log_limited(LOG_WARN, "peer_away", "peer=%s why=%s", address_of(k), log_quoted(slice_str(reason)));
    turn_to_next(c, k->at);
    connection_free(k);
    if (is_connecting_or_open(c))
        return;
    if (c->tried)
        loop_flush(c->loop, &c->flush);
    else
        fail_waiting(c);
}

static bool is_leaving(const struct connection *k)
{
    return k->is_retired || client_session_is_draining(k->session);
}

static void connection_lost(struct connection *k, const char *reason)
{
    struct http_client *c = k->client;

    if (client_session_calls(k->session) || !is_leaving(k)) {
        c->connections_lost++;
        log_limited(LOG_DEBUG, "connection_lost", "peer=%s in_flight=%zu why=%s", address_of(k),
                    client_session_calls(k->session), log_quoted(slice_str(reason)));
    }
    /* A peer that takes connections only to drop them is away all the same. */
    if (!k->has_answered && !k->is_retired) {
        err_set(&c->last_failure, ERR_UNAVAILABLE, "%s: %s", address_of(k), reason);
        turn_to_next(c, k->at);
    }
    client_session_lost(k->session, reason);
    connection_free(k);
    take_safe(c);
}

static void leave(struct connection *k)
{
    slot_clear(k);
    k->next = k->client->leaving;
    k->client->leaving = k;
}

/* A slot is given up as soon as the peer wants no more requests here. */
static void leave_if_told(struct connection *k)
{
    struct http_client *c = k->client;

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] == k && is_leaving(k))
            leave(k);
}

/* And to its successor. */
static void succeed(struct connection *k)
{
    struct connection *old = k->predecessor;

    k->has_answered = true; /* it has greeted us, and the one before was in good use */
    old->is_retired = true;
    leave(old);
    loop_flush(k->client->loop, &k->client->flush);
}

/* Writes what the session has until the socket is full. False when the connection is gone. */
static bool connection_write(struct connection *k)
{
    const char *reason = NULL;
    struct why why = { 0 };

    if (k->waits_to_write)
        return true;
    for (;;) {
        ssize_t n;

        if (client_session_send(k->session, &k->out, WRITE_BYTES, &why)) {
            connection_lost(k, why.text);
            return false;
        }
        if (!k->out.len)
            break;
        n = wire_write(k->wire, buf_slice(&k->out), &reason);
        if (n < 0) {
            connection_lost(k, reason);
            return false;
        }
        if (n == 0) {
            k->waits_to_write = true;
            wire_await_room(k->wire);
            return true;
        }
        buf_take(&k->out, (size_t)n);
    }
    leave_if_told(k);
    if (client_session_is_over(k->session) || (is_leaving(k) && !client_session_calls(k->session))) {
        connection_lost(k, "no more is wanted here");
        return false;
    }
    return true;
}

static void connection_read(struct connection *k)
{
    struct http_client *c = k->client;
    const char *reason = NULL;
    struct why why = { 0 };

    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = wire_read(k->wire, c->read_buf, READ_BYTES, &reason);

        if (n < 0) {
            connection_lost(k, reason);
            return;
        }
        if (n == 0)
            break;
        if (client_session_receive(k->session, c->read_buf, (size_t)n, &why)) {
            log_limited(LOG_WARN, "peer_broke_protocol", "peer=%s why=%s", address_of(k),
                        log_quoted(slice_str(why.text)));
            connection_lost(k, why.text);
            return;
        }
        if (k->predecessor)
            succeed(k);
        if (n < READ_BYTES) /* what is left, if anything, is told of in the next turn */
            break;
    }
    if (c->ended.first) {
        if (c->failures)
            log_event(LOG_INFO, "peer_back", "peer=%s attempts=%u", address_of(k), c->failures);
        k->has_answered = true;
        c->failures = 0;
        c->tried = 0;
    }
    leave_if_told(k);
    take_safe(c);
    loop_flush(c->loop, &c->flush); /* acknowledgements, windows, what there is room for now */
}

static void on_open(void *arg)
{
    struct connection *k = arg;
    struct http_client *c = k->client;

    k->session = client_session_new(&c->session_conf, &c->ended, &c->safe);
    c->connects++;
    log_event(LOG_DEBUG, "connected", "peer=%s", address_of(k));
    if (k->predecessor)
        connection_write(k);
    else
        loop_flush(c->loop, &c->flush);
}

static void on_readable(void *arg)
{
    connection_read(arg);
}

static void on_writable(void *arg)
{
    struct connection *k = arg;

    k->waits_to_write = false;
    connection_write(k);
}

static const struct wire_events wire_events = { on_open, on_failed, on_readable, on_writable };

static struct connection *connection_new(struct http_client *c)
{
    struct connection *k = mem_new(struct connection);

    k->client = c;
    k->at = c->address_at;
    buf_init(&k->out, 0);
    k->wire = wire_open(c->dialer, k->at, &wire_events, k);
    return k;
}

static void connect_slots(struct http_client *c)
{
    if (clock_mono_us() < c->not_before_mono_us)
        return;
    for (size_t i = 0; i < c->slot_count; i++) {
        struct connection *k = c->slots[i];

        if (!k) {
            c->slots[i] = connection_new(c);
        } else if (k->session && !k->successor && wire_is_stale(k->wire)) {
            k->successor = connection_new(c);
            k->successor->predecessor = k;
        }
    }
}

/* The open connection with the fewest requests; NULL when none has room. */
static struct client_session *session_with_room(const struct http_client *c)
{
    struct client_session *best = NULL;

    for (size_t i = 0; i < c->slot_count; i++) {
        struct connection *k = c->slots[i];

        if (k && k->session && client_session_room(k->session) &&
            (!best || client_session_calls(k->session) < client_session_calls(best)))
            best = k->session;
    }
    return best;
}

/* The end of a turn: submits what waits, then one write per connection. */
static void on_flush(void *arg)
{
    struct http_client *c = arg;
    struct client_session *s;

    if (c->waiting.first)
        connect_slots(c);
    while (c->waiting.first && (s = session_with_room(c))) {
        struct http_call *call = c->waiting.first;

        call_list_remove(call);
        client_session_submit(s, call);
    }
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] && c->slots[i]->session)
            connection_write(c->slots[i]);
    for (struct connection *k = c->leaving, *next; k; k = next) {
        next = k->next;
        connection_write(k);
    }
    if (c->waiting.first && !is_connecting_or_open(c))
        fail_waiting(c);
    if (c->ended.first)
        loop_work(c->loop, &c->finish);
}

/* ---- the client ---- */

enum err http_client_open(struct http_client **out, struct loop *loop, const struct http_client_conf *conf,
                          struct why *why)
{
    struct http_client *c = mem_new(struct http_client);
    enum err err;

    *out = NULL;
    c->loop = loop;
    c->finish = (struct loop_task){ .run = on_finish, .ctx = c };
    c->flush = (struct loop_task){ .run = on_flush, .ctx = c };
    c->slot_count = conf->connections ? conf->connections : 1;
    c->slots = mem_new_n(struct connection *, c->slot_count);
    c->read_buf = mem_new_n(char, READ_BYTES);
    c->waiting_most = conf->waiting_most ? conf->waiting_most : WAITING_MOST;
    c->pause_most_ms = conf->pause_most_ms ? conf->pause_most_ms : PAUSE_MOST_MS;
    err = dialer_open(&c->dialer, loop, conf->address, conf->tls, conf->tls_name,
                      conf->connect_ms ? conf->connect_ms : CONNECT_MS, why);
    if (err) {
        http_client_close(c);
        return err;
    }
    c->authority = mem_strdup(conf->authority ? conf->authority : dialer_address(c->dialer, 0));
    c->session_conf = (struct client_session_conf){
        .scheme = conf->tls ? "https" : "http",
        .authority = c->authority,
        .streams_most = conf->streams_most ? conf->streams_most : STREAMS_MOST,
        .body_most = conf->body_most ? conf->body_most : BODY_MOST,
    };
    *out = c;
    return ERR_OK;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    c->is_closing = true;
    err_set(&c->last_failure, ERR_UNAVAILABLE, "the client is closed");
    while (c->leaving) {
        client_session_lost(c->leaving->session, "the client was closed");
        connection_free(c->leaving);
    }
    for (size_t i = 0; i < c->slot_count; i++)
        while (c->slots[i]) { /* and its successor */
            if (c->slots[i]->session)
                client_session_lost(c->slots[i]->session, "the client was closed");
            connection_free(c->slots[i]);
        }
    take_safe(c);
    fail_waiting(c);
    on_finish(c);
    loop_cancel(c->loop, &c->finish);
    loop_cancel(c->loop, &c->flush);
    while (c->spare.first) {
        struct http_call *call = c->spare.first;

        call_list_remove(call);
        call_free(call);
    }
    dialer_close(c->dialer);
    mem_free(c->slots);
    mem_free(c->read_buf);
    mem_free(c->authority);
    mem_free(c);
}

static void copy_request(struct http_call *call, const struct http_client_request *r)
{
    struct arena *a = &call->arena;

    call->method = arena_strndup(a, r->method, strlen(r->method));
    call->path = arena_slice(a, r->path);
    call->body = arena_slice(a, r->body);
    call->fields = arena_new(a, struct http_header, r->field_count + 1);
    call->field_count = r->field_count;
    for (size_t i = 0; i < r->field_count; i++)
        call->fields[i] =
            (struct http_header){ arena_slice(a, r->fields[i].name), arena_slice(a, r->fields[i].value) };
    if (r->body.len)
        call->fields[call->field_count++] =
            (struct http_header){ SLICE("content-length"), arena_printf(a, "%zu", r->body.len) };
}

struct http_call *http_client_send(struct http_client *c, const struct http_client_request *request,
                                   http_client_done_fn *done, void *arg)
{
    struct http_call *call = call_get(c);
    int64_t left_us = request->deadline_mono_us - clock_mono_us();

    call->done = done;
    call->arg = arg;
    call->was_resent = false;
    call->in_trailers = false;
    call->got_count = 0;
    if (c->is_closing) {
        err_set(&call->why, ERR_UNAVAILABLE, "the client is closed");
        call_end(call, ERR_UNAVAILABLE);
    } else if (request->deadline_mono_us && left_us <= 0) {
        err_set(&call->why, ERR_TIMEOUT, "the deadline had passed before it was sent");
        call_end(call, ERR_TIMEOUT);
    } else if (c->waiting.count >= c->waiting_most) {
        err_set(&call->why, ERR_LIMIT, "%zu requests to %s are waiting already", c->waiting.count,
                c->authority);
        call_end(call, ERR_LIMIT);
    } else {
        copy_request(call, request);
        if (request->deadline_mono_us)
            loop_timer_set(&call->deadline, left_us);
        call_list_add(&c->waiting, call);
        loop_flush(c->loop, &c->flush);
    }
    return call;
}

void http_call_cancel(struct http_call *call)
{
    struct http_client *c = call->client;

    if (call->session) {
        client_session_drop(call);
        loop_flush(c->loop, &c->flush);
    } else {
        call_list_remove(call);
    }
    call_put(call);
}

struct http_client_stats http_client_stats(const struct http_client *c)
{
    struct http_client_stats stats = {
        .waiting = c->waiting.count,
        .connects = c->connects,
        .connect_failures = c->connect_failures,
        .connections_lost = c->connections_lost,
        .resent = c->resent,
    };

    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i] && c->slots[i]->session) {
            stats.connections++;
            stats.in_flight += client_session_calls(c->slots[i]->session);
        }
    for (const struct connection *k = c->leaving; k; k = k->next) {
        stats.connections++;
        stats.in_flight += client_session_calls(k->session);
    }
    return stats;
}
