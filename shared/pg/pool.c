/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/pool.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include "loop/resolver.h"
#include "pg/wire.h"

enum { QUEUE_MAX_DEFAULT = 4096, FREE_UNITS_MAX = 64 };

static const int64_t connect_limit_us = 10 * SECOND_US;
/* A unit whose deadline passed while it ran: how long its connection may still take before it is given up. */
static const int64_t abandoned_limit_us = 10 * SECOND_US;
static const int64_t backoff_least_us = 50 * MS_US, backoff_most_us = 500 * MS_US;

/* One statement of a unit. */
struct step {
    const char *name; /* prepared, or NULL */
    const char *sql;
    struct pg_params params;
};

struct pg_unit {
    struct pg_pool *pool;
    struct pg_unit *next, **place; /* in the queue, the failed or the free list; place NULL: in none */
    struct step *steps;
    size_t count, made, cap; /* steps used, initialised, allocated */
    bool is_read;
    struct loop_timer deadline;
    pg_done_fn *done;
    void *ctx;
    struct link *link; /* while it runs */

    enum err err;        /* the first thing that went wrong */
    bool is_rolled_back; /* the server itself said that it failed, so the outcome is certain */
    char sqlstate[PG_SQLSTATE_SIZE];
    size_t failed;
    struct why why;
    PGresult **results;
    size_t result_count, result_cap;
};

struct unit_list {
    struct pg_unit *first, **last;
    size_t count;
};

/*            PQconnectPoll            statements           unit sent
 *  DOWN ----> CONNECTING ----> PREPARING ----> IDLE <----> BUSY
 *    ^------------- any of them: lost, refused, too slow ------'
 *
 * A host that is a name is RESOLVING between DOWN and CONNECTING: libpq by itself would block on that. */
enum link_state { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_PREPARING, LINK_IDLE, LINK_BUSY };

struct link {
    struct pg_pool *pool;
    enum link_state state;
    PGconn *conn;
    struct event readable, writable;
    bool is_watched;         /* the two events are assigned */
    struct lookup *lookup;   /* while RESOLVING */
    struct loop_timer timer; /* DOWN: the next attempt; up to PREPARING: too slow; BUSY: abandoned */
    int64_t backoff_us;
    size_t prepared;      /* results of the preparing pipeline that have come */
    struct pg_unit *unit; /* that runs; NULL while an abandoned one is drained */
    size_t step;          /* which of its statements the next result belongs to */
};

struct pg_pool {
    struct loop *loop;
    struct pg_pool_options options;
    char *host; /* a name that has to be looked up; NULL: libpq can connect at once */
    struct resolver *resolver;
    struct link *links;
    struct unit_list queue, failed;
    struct pg_unit *free_units;
    size_t free_count;
    size_t up, busy;
    struct loop_task dispatch, answer_failed;
    bool is_closing;
    struct why trouble;
};

static void link_connect(void *ctx);
static void link_lost(struct link *l, const char *context, const char *message);

/* ---- units ---- */

static void list_init(struct unit_list *list)
{
    list->first = NULL;
    list->last = &list->first;
    list->count = 0;
}

static void list_add(struct unit_list *list, struct pg_unit *unit)
{
    unit->next = NULL;
    unit->place = list->last;
    *list->last = unit;
    list->last = &unit->next;
    list->count++;
}

static void list_remove(struct unit_list *list, struct pg_unit *unit)
{
    *unit->place = unit->next;
    if (unit->next)
        unit->next->place = unit->place;
    else
        list->last = unit->place;
    unit->place = NULL;
    list->count--;
}

static void unit_free(struct pg_unit *unit)
{
    for (size_t i = 0; i < unit->made; i++)
        pg_params_release(&unit->steps[i].params);
    mem_free(unit->steps);
    mem_free(unit->results);
    loop_timer_release(&unit->deadline);
    mem_free(unit);
}

static void unit_put(struct pg_unit *unit)
{
    struct pg_pool *pool = unit->pool;

    for (size_t i = 0; i < unit->result_count; i++)
        PQclear(unit->results[i]);
    unit->result_count = 0;
    loop_timer_stop(&unit->deadline);
    if (pool->free_count == FREE_UNITS_MAX) {
        unit_free(unit);
        return;
    }
    unit->next = pool->free_units;
    pool->free_units = unit;
    pool->free_count++;
}

/* Calls back and takes the unit's memory back. Nothing may be touched afterwards that the callback may have
 * changed. */
static void unit_answer(struct pg_unit *unit)
{
    struct pg_reply reply = { .err = unit->err, .failed = unit->failed };

    if (unit->err) {
        reply.why = unit->why;
        memcpy(reply.sqlstate, unit->sqlstate, sizeof(reply.sqlstate));
    } else {
        reply.count = unit->result_count;
        reply.results = unit->results;
    }
    if (unit->done)
        unit->done(unit->ctx, &reply);
    unit_put(unit);
}

static void answer_failed(void *ctx)
{
    struct pg_pool *pool = ctx;

    while (pool->failed.first) {
        struct pg_unit *unit = pool->failed.first;

        list_remove(&pool->failed, unit);
        unit_answer(unit);
    }
}

/* Answers later in this turn: never from inside the sender's call. */
static void unit_fail_soon(struct pg_unit *unit)
{
    loop_timer_stop(&unit->deadline);
    list_add(&unit->pool->failed, unit);
    loop_work(unit->pool->loop, &unit->pool->answer_failed);
}

static void fail_queue(struct pg_pool *pool, enum err err, const char *why)
{
    while (pool->queue.first) {
        struct pg_unit *unit = pool->queue.first;

        list_remove(&pool->queue, unit);
        unit->err = err_set(&unit->why, err, "%s", why);
        unit_fail_soon(unit);
    }
}

static void on_deadline(void *ctx)
{
    struct pg_unit *unit = ctx;

    if (!unit->link) {
        list_remove(&unit->pool->queue, unit);
        unit->err = err_set(&unit->why, ERR_TIMEOUT, "the deadline passed before a connection was free");
    } else {
        struct link *l = unit->link;

        /* Its results will still come; nobody waits for them. */
        l->unit = NULL;
        unit->link = NULL;
        loop_timer_set(&l->timer, abandoned_limit_us);
        unit->err = err_set(&unit->why, unit->is_read ? ERR_TIMEOUT : ERR_UNKNOWN,
                            "the deadline passed while PostgreSQL was at it");
    }
    unit_answer(unit);
}

struct pg_unit *pg_unit_new(struct pg_pool *pool)
{
    struct pg_unit *unit = pool->free_units;

    if (unit) {
        pool->free_units = unit->next;
        pool->free_count--;
    } else {
        unit = mem_new(struct pg_unit);
        unit->pool = pool;
        loop_timer_init(&unit->deadline, pool->loop, on_deadline, unit);
    }
    unit->next = NULL;
    unit->place = NULL;
    unit->count = 0;
    unit->is_read = unit->is_rolled_back = false;
    unit->err = ERR_OK;
    unit->sqlstate[0] = '\0';
    unit->failed = 0;
    unit->link = NULL;
    return unit;
}

static struct pg_params *step_add(struct pg_unit *unit, const char *name, const char *sql)
{
    struct step *step;

    if (unit->count == unit->made) {
        ARRAY_RESERVE_ONE(unit->steps, unit->made, unit->cap);
        unit->steps[unit->made++].params = (struct pg_params){ 0 };
    }
    step = &unit->steps[unit->count++];
    step->name = name;
    step->sql = sql;
    pg_params_clear(&step->params);
    return &step->params;
}

struct pg_params *pg_unit_add(struct pg_unit *unit, size_t statement)
{
    const struct pg_pool_options *o = &unit->pool->options;

    assert(statement < o->statement_count);
    return step_add(unit, o->statements[statement].name, NULL);
}

struct pg_params *pg_unit_add_sql(struct pg_unit *unit, const char *sql)
{
    return step_add(unit, NULL, sql);
}

void pg_unit_is_read(struct pg_unit *unit)
{
    unit->is_read = true;
}

void pg_unit_send(struct pg_unit *unit, int64_t deadline_mono_us, pg_done_fn *done, void *ctx)
{
    struct pg_pool *pool = unit->pool;
    size_t most = pool->options.queue_max ? pool->options.queue_max : QUEUE_MAX_DEFAULT;

    unit->done = done;
    unit->ctx = ctx;
    if (!pool->up) {
        unit->err = err_set(&unit->why, ERR_UNAVAILABLE, "no connection to PostgreSQL%s%s",
                            pool->trouble.text[0] ? ": " : "", pool->trouble.text);
        unit_fail_soon(unit);
        return;
    }
    if (pool->queue.count >= most) {
        unit->err = err_set(&unit->why, ERR_UNAVAILABLE, "%zu units wait for PostgreSQL already", most);
        unit_fail_soon(unit);
        return;
    }
    list_add(&pool->queue, unit);
    if (deadline_mono_us) {
        int64_t left = deadline_mono_us - clock_mono_us();

        loop_timer_set(&unit->deadline, left > 0 ? left : 0);
    }
    loop_flush(pool->loop, &pool->dispatch);
}

bool pg_reply_is_data_error(const struct pg_reply *reply)
{
    return reply->err == ERR_INVALID;
}

bool pg_reply_is_conflict(const struct pg_reply *reply)
{
    return strncmp(reply->sqlstate, "40", 2) == 0;
}

/* ---- links ---- */

static void unwatch(struct link *l)
{
    if (!l->is_watched)
        return;
    event_del(&l->readable);
    event_del(&l->writable);
    l->is_watched = false;
}

/* Writes what libpq has buffered, and waits for room when the socket is full. False when the link is lost. */
static bool link_flush(struct link *l)
{
    int left = PQflush(l->conn);

    if (left < 0) {
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
        return false;
    }
    if (left > 0)
        event_add(&l->writable, NULL);
    return true;
}

/* A check constraint has a name; what a partition takes by its bounds has none. */
static bool is_misrouted(const char *sqlstate, const PGresult *r)
{
    return strcmp(sqlstate, "23514") == 0 && !PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
}

static void result_failed(struct pg_unit *unit, size_t step, const PGresult *r)
{
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (unit->err || !sqlstate)
        return; /* the first counts; libpq's own errors come with the loss of the link */
    if (is_misrouted(sqlstate, r))
        sqlstate = "40001";
    unit->failed = step;
    memcpy(unit->sqlstate, sqlstate, PG_SQLSTATE_SIZE - 1);
    unit->sqlstate[PG_SQLSTATE_SIZE - 1] = '\0';
    /* FATAL ends the session, and may have come too late to stop a commit. */
    unit->is_rolled_back = severity && strcmp(severity, "ERROR") == 0;
    unit->err = pg_err_set(&unit->why, pg_err_of_sqlstate(sqlstate), sqlstate,
                           PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
}

/* The end of a unit's pipeline. */
static void link_done(struct link *l)
{
    struct pg_pool *pool = l->pool;
    struct pg_unit *unit = l->unit;

    l->unit = NULL;
    l->state = LINK_IDLE;
    pool->busy--;
    loop_timer_stop(&l->timer);
    loop_flush(pool->loop, &pool->dispatch);
    if (unit) {
        unit->link = NULL;
        unit_answer(unit);
    }
}

/* One result of the running unit. True when it was the last: the callback has run, and `l` may be anything.
 */
static bool take_unit_result(struct link *l, PGresult *r)
{
    struct pg_unit *unit = l->unit;
    bool is_mine = false;

    if (!r) {
        l->step++;
        return false;
    }
    switch (PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(r);
        link_done(l);
        return true;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        if (unit) {
            ARRAY_RESERVE_ONE(unit->results, unit->result_count, unit->result_cap);
            unit->results[unit->result_count++] = r;
            is_mine = true;
        }
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    default:
        if (unit)
            result_failed(unit, l->step, r);
        break;
    }
    if (!is_mine)
        PQclear(r);
    return false;
}

static void link_up(struct link *l)
{
    struct pg_pool *pool = l->pool;
    const struct pg_pool_options *o = &pool->options;

    l->state = LINK_IDLE;
    l->backoff_us = backoff_least_us;
    loop_timer_stop(&l->timer);
    pool->trouble.text[0] = '\0';
    if (pool->up++ == 0) {
        log_event(LOG_INFO, "pg_up", "connections=%zu", o->connections);
        if (o->on_up)
            o->on_up(o->ctx);
    }
    if (l == &pool->links[0] && o->on_notify)
        for (const char *const *c = o->channels; c && *c; c++)
            o->on_notify(o->ctx, *c, "");
    loop_flush(pool->loop, &pool->dispatch);
}

/* Names the `at`-th command of the preparing pipeline: the role, the setup, the channels, the statements. */
static const char *setup_name(const struct link *l, size_t at)
{
    const struct pg_pool_options *o = &l->pool->options;

    if (o->role && at-- == 0)
        return o->role;
    for (const char *const *c = o->setup; c && *c; c++)
        if (at-- == 0)
            return *c;
    for (const char *const *c = o->channels; l == &l->pool->links[0] && c && *c; c++)
        if (at-- == 0)
            return *c;
    return at < o->statement_count ? o->statements[at].name : "setup";
}

/* True when the link is up or lost, so that the reader must stop. */
static bool take_setup_result(struct link *l, PGresult *r)
{
    bool is_over = false;

    if (!r) {
        l->prepared++;
        return false;
    }
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
        break;
    case PGRES_PIPELINE_SYNC:
        link_up(l);
        is_over = true;
        break;
    default:
        link_lost(l, setup_name(l, l->prepared), PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
        is_over = true;
        break;
    }
    PQclear(r);
    return is_over;
}

static void take_notifications(struct link *l)
{
    const struct pg_pool_options *o = &l->pool->options;
    PGnotify *n;

    while (l->conn && (n = PQnotifies(l->conn)) != NULL) {
        if (o->on_notify)
            o->on_notify(o->ctx, n->relname, n->extra);
        PQfreemem(n);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct link *l = ctx;
    bool is_alive = PQconsumeInput(l->conn) != 0;

    (void)fd;
    (void)what;
    if (is_alive && PQflush(l->conn) > 0)
        event_add(&l->writable, NULL);
    /* What came before the connection ended still counts. */
    while ((l->state == LINK_PREPARING || l->state == LINK_BUSY) && !PQisBusy(l->conn)) {
        PGresult *r = PQgetResult(l->conn);
        bool is_over;

        if (!is_alive && (!r || PQstatus(l->conn) == CONNECTION_BAD)) {
            if (r && l->unit)
                result_failed(l->unit, l->step, r);
            PQclear(r);
            break;
        }
        is_over = l->state == LINK_PREPARING ? take_setup_result(l, r) : take_unit_result(l, r);
        if (is_over)
            break;
    }
    take_notifications(l); /* also those that came between the results */
    if (!is_alive && l->state != LINK_DOWN)
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    link_flush(ctx);
}

static void on_connecting(evutil_socket_t fd, short what, void *ctx);

/* libpq may close its socket and open another in each step of connecting, so each step watches anew. */
static void watch_connecting(struct link *l, PostgresPollingStatusType wants)
{
    int fd = PQsocket(l->conn);

    event_assign(&l->readable, loop_base(l->pool->loop), fd,
                 wants == PGRES_POLLING_WRITING ? EV_WRITE : EV_READ, on_connecting, l);
    event_assign(&l->writable, loop_base(l->pool->loop), fd, EV_WRITE, on_writable, l);
    l->is_watched = true;
    event_add(&l->readable, NULL);
}

/* Sends everything that a connection needs before its first unit, in one pipeline. */
static void link_prepare(struct link *l)
{
    const struct pg_pool_options *o = &l->pool->options;
    struct buf sql;
    bool is_ok = PQsetnonblocking(l->conn, 1) == 0 && PQenterPipelineMode(l->conn) == 1;

    l->state = LINK_PREPARING;
    l->prepared = 0;
    buf_init(&sql, 0);
    if (o->role) {
        buf_printf(&sql, "SET ROLE \"%s\"", o->role);
        is_ok = is_ok && PQsendQueryParams(l->conn, buf_str(&sql), 0, NULL, NULL, NULL, NULL, 1);
    }
    for (const char *const *c = o->setup; c && *c; c++)
        is_ok = is_ok && PQsendQueryParams(l->conn, *c, 0, NULL, NULL, NULL, NULL, 1);
    for (const char *const *c = o->channels; l == &l->pool->links[0] && c && *c; c++) {
        buf_clear(&sql);
        buf_printf(&sql, "LISTEN \"%s\"", *c);
        is_ok = is_ok && PQsendQueryParams(l->conn, buf_str(&sql), 0, NULL, NULL, NULL, NULL, 1);
    }
    for (size_t i = 0; i < o->statement_count; i++)
        is_ok = is_ok && PQsendPrepare(l->conn, o->statements[i].name, o->statements[i].sql, 0, NULL);
    buf_release(&sql);
    if (!is_ok || !PQpipelineSync(l->conn)) {
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
        return;
    }
    event_assign(&l->readable, loop_base(l->pool->loop), PQsocket(l->conn), EV_READ | EV_PERSIST, on_readable,
                 l);
    event_assign(&l->writable, loop_base(l->pool->loop), PQsocket(l->conn), EV_WRITE, on_writable, l);
    l->is_watched = true;
    event_add(&l->readable, NULL);
    link_flush(l);
}

static void connect_step(struct link *l)
{
    PostgresPollingStatusType wants;

    unwatch(l);
    wants = PQconnectPoll(l->conn);
    if (wants == PGRES_POLLING_OK)
        link_prepare(l);
    else if (wants == PGRES_POLLING_FAILED)
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
    else
        watch_connecting(l, wants);
}

static void on_connecting(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    connect_step(ctx);
}

static void ignore_notice(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

/* `numeric` is the host's address, or NULL when the conninfo has all that is needed. */
static void link_connect_to(struct link *l, const char *numeric)
{
    const struct pg_pool_options *o = &l->pool->options;
    /* Those before "dbname", which carries the conninfo, are defaults that it may override. */
    const char *keys[] = { "tcp_user_timeout",
                           "keepalives_idle",
                           "fallback_application_name",
                           "dbname",
                           "client_encoding",
                           numeric ? "hostaddr" : NULL,
                           NULL };
    const char *values[] = { "10000", "10", o->service, o->conninfo, "UTF8", numeric, NULL };

    l->conn = PQconnectStartParams(keys, values, 1);
    l->state = LINK_CONNECTING;
    if (PQstatus(l->conn) == CONNECTION_BAD) {
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
        return;
    }
    PQsetNoticeReceiver(l->conn, ignore_notice, NULL);
    loop_timer_set(&l->timer, connect_limit_us);
    watch_connecting(l, PGRES_POLLING_WRITING);
}

static void on_address(void *ctx, const struct sockaddr *address, socklen_t len, const char *reason)
{
    struct link *l = ctx;
    char numeric[64];

    l->lookup = NULL;
    if (!address)
        link_lost(l, l->pool->host, reason);
    else if (getnameinfo(address, len, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST))
        link_lost(l, l->pool->host, "its address cannot be written");
    else
        link_connect_to(l, numeric);
}

/* The link's timer: what it means depends on the state. */
static void link_connect(void *ctx)
{
    struct link *l = ctx;
    struct pg_pool *pool = l->pool;

    if (l->state != LINK_DOWN) {
        link_lost(l, "PostgreSQL",
                  l->state == LINK_BUSY ? "an abandoned statement did not end" : "no connection within 10 s");
    } else if (!pool->host) {
        link_connect_to(l, NULL);
    } else {
        l->state = LINK_RESOLVING;
        loop_timer_set(&l->timer, connect_limit_us);
        l->lookup = resolver_look_up(pool->resolver, pool->host, 0, on_address, l);
    }
}

/* Closes the connection and plans the next attempt. The unit that ran is answered; so are those that wait,
 * when no connection is left. */
static void link_lost(struct link *l, const char *context, const char *message)
{
    struct pg_pool *pool = l->pool;
    const struct pg_pool_options *o = &pool->options;
    struct pg_unit *unit = l->unit;
    struct why trouble = { 0 };
    bool was_up = l->state == LINK_IDLE || l->state == LINK_BUSY, was_last;

    pg_err_set(&trouble, ERR_UNAVAILABLE, context, message);
    if (!pool->is_closing && strcmp(trouble.text, pool->trouble.text) != 0)
        log_event(LOG_WARN, "pg_lost", "why=%s", log_quoted(slice_str(trouble.text)));
    pool->trouble = trouble;
    if (l->state == LINK_BUSY)
        pool->busy--;
    l->state = LINK_DOWN;
    l->unit = NULL;
    lookup_cancel(l->lookup);
    l->lookup = NULL;
    unwatch(l);
    PQfinish(l->conn);
    l->conn = NULL;
    if (!pool->is_closing) {
        loop_timer_set(&l->timer, was_up ? 0 : l->backoff_us);
        l->backoff_us = l->backoff_us * 2 < backoff_most_us ? l->backoff_us * 2 : backoff_most_us;
    }
    was_last = was_up && --pool->up == 0;
    if (unit) {
        unit->link = NULL;
        if (!unit->is_rolled_back)
            unit->err = err_set(&unit->why, unit->is_read ? ERR_UNAVAILABLE : ERR_UNKNOWN,
                                "the connection was lost on the way: %s", trouble.text);
        unit_fail_soon(unit);
    }
    if (was_last || (was_up && o->is_session)) {
        fail_queue(pool, ERR_UNAVAILABLE, trouble.text);
        if (o->on_down && !pool->is_closing)
            o->on_down(o->ctx);
    }
}

/* Gives the first unit of the queue to an idle link. */
static void link_run(struct link *l, struct pg_unit *unit)
{
    struct pg_pool *pool = l->pool;
    bool is_ok = true;

    list_remove(&pool->queue, unit);
    unit->link = l;
    l->unit = unit;
    l->step = 0;
    l->state = LINK_BUSY;
    pool->busy++;
    for (size_t i = 0; is_ok && i < unit->count; i++) {
        struct step *s = &unit->steps[i];
        struct pg_wire w;

        pg_wire_init(&w, &s->params);
        if (s->name)
            is_ok = PQsendQueryPrepared(l->conn, s->name, w.count, w.values, w.lengths, w.formats, 1);
        else
            is_ok = PQsendQueryParams(l->conn, s->sql, w.count, w.types, w.values, w.lengths, w.formats, 1);
    }
    if (!is_ok || !PQpipelineSync(l->conn)) {
        link_lost(l, "PostgreSQL", PQerrorMessage(l->conn));
        return;
    }
    link_flush(l);
}

static void dispatch(void *ctx)
{
    struct pg_pool *pool = ctx;

    for (size_t i = 0; pool->queue.first && i < pool->options.connections; i++)
        if (pool->links[i].state == LINK_IDLE)
            link_run(&pool->links[i], pool->queue.first);
}

/* ---- the pool ---- */

/* The host of the conninfo, or of libpq's environment, when it is one name. Sockets, addresses and lists of
 * hosts are libpq's: the first two block nothing. */
static char *name_to_look_up(const PQconninfoOption *options)
{
    const char *host = NULL;
    unsigned char address[sizeof(struct in6_addr)];

    for (; options->keyword; options++) {
        const char *value = options->val ? options->val : options->envvar ? getenv(options->envvar) : NULL;

        if (strcmp(options->keyword, "hostaddr") == 0 && value && *value)
            return NULL;
        if (strcmp(options->keyword, "host") == 0)
            host = value;
    }
    if (!host || !*host || strpbrk(host, "/@,") || inet_pton(AF_INET, host, address) == 1 ||
        inet_pton(AF_INET6, host, address) == 1)
        return NULL;
    return mem_strdup(host);
}

enum err pg_pool_open(struct pg_pool **out, struct loop *loop, const struct pg_pool_options *options,
                      struct why *why)
{
    struct pg_pool *pool;
    char *trouble = NULL;
    PQconninfoOption *parsed = PQconninfoParse(options->conninfo, &trouble);

    *out = NULL;
    if (!parsed) {
        enum err err = pg_err_set(why, ERR_INVALID, "PostgreSQL's URL", trouble);

        PQfreemem(trouble);
        return err;
    }
    assert(options->connections > 0 && (!options->is_session || options->connections == 1));
    pool = mem_new(struct pg_pool);
    pool->loop = loop;
    pool->options = *options;
    pool->host = name_to_look_up(parsed);
    pool->resolver = pool->host ? resolver_new(loop) : NULL;
    PQconninfoFree(parsed);
    list_init(&pool->queue);
    list_init(&pool->failed);
    pool->dispatch = (struct loop_task){ .run = dispatch, .ctx = pool };
    pool->answer_failed = (struct loop_task){ .run = answer_failed, .ctx = pool };
    pool->links = mem_new_n(struct link, options->connections);
    for (size_t i = 0; i < options->connections; i++) {
        struct link *l = &pool->links[i];

        l->pool = pool;
        l->backoff_us = backoff_least_us;
        loop_timer_init(&l->timer, loop, link_connect, l);
        loop_timer_set(&l->timer, 0);
    }
    *out = pool;
    return ERR_OK;
}

void pg_pool_close(struct pg_pool *pool)
{
    if (!pool)
        return;
    pool->is_closing = true;
    for (size_t i = 0; i < pool->options.connections; i++) {
        if (pool->links[i].state != LINK_DOWN)
            link_lost(&pool->links[i], "PostgreSQL", "the pool is closed");
        loop_timer_release(&pool->links[i].timer);
    }
    fail_queue(pool, ERR_UNAVAILABLE, "the pool is closed");
    answer_failed(pool);
    loop_cancel(pool->loop, &pool->dispatch);
    loop_cancel(pool->loop, &pool->answer_failed);
    while (pool->free_units) {
        struct pg_unit *next = pool->free_units->next;

        unit_free(pool->free_units);
        pool->free_units = next;
    }
    resolver_free(pool->resolver);
    mem_free(pool->host);
    mem_free(pool->links);
    mem_free(pool);
}

bool pg_pool_is_up(const struct pg_pool *pool)
{
    return pool->up > 0;
}

size_t pg_pool_pending(const struct pg_pool *pool)
{
    return pool->queue.count + pool->failed.count + pool->busy;
}

const char *pg_pool_trouble(const struct pg_pool *pool)
{
    return pool->trouble.text;
}

void pg_pool_reset(struct pg_pool *pool)
{
    for (size_t i = 0; i < pool->options.connections; i++)
        if (pool->links[i].state != LINK_DOWN)
            link_lost(&pool->links[i], "PostgreSQL", "reset");
}
