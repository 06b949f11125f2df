/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "app/service.h"
#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "http/server.h"
#include "lifestore/row.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "routes.h"
#include "visitor.h"

enum {
    TURN_US = 500000,
    IDLE_US = 60000000, /* nobody listens */
    QUEUE_TURNS = 4,    /* so many turns from one look at the queue and the alerts to the next, */
    SESSION_TURNS = 10, /* and at the sessions */
    HEARTBEAT_US = 15000000,
    DEAF_BEATS = 4,          /* heartbeats in a row that were not taken */
    GREETING_DECISIONS = 20, /* for who has just come */
    COUNTED_MOST = 10000,    /* decisions between two turns; beyond, "so many at least" */
    RESTS = 4,               /* app/watch.h */
};

/* All but the request is read, and is_over written, by the thread too. */
struct listener {
    struct live *live;
    bool is_used, is_over;
    uint64_t serial;
    unsigned char token[SHA256_BYTES];          /* of its session */
    char name[sizeof((struct call *)0)->actor]; /* whose that is */
    struct http_request *req;
    bool is_greeted; /* it has had the first look */
    int deaf;
};

struct live {
    const struct dashboard_settings *conf;
    struct loop *loop;
    struct watch *watch;
    struct loop_timer heartbeat;
    uint64_t serials;
    bool is_closing;
    atomic_bool must_look; /* at the sessions */

    pthread_mutex_t lock; /* of what follows */
    struct listener listeners[STREAMS_MOST];
    struct buf events, greeting; /* for those who were greeted, and for the others */

    /* The thread's. */
    int64_t seen_n, looked_us;
    unsigned turns;
    struct buf queue, alerts; /* as last told */

    char limit_sql[64]; /* of its session */
};

/* ---- the thread: what is new ---- */

static const char start_sql[] = "SELECT coalesce(max(n), 0) FROM payments";

static const char decisions_sql[] =
    "WITH fresh AS (SELECT * FROM payments WHERE n > $1::int8 ORDER BY n DESC LIMIT $2::int8) SELECT (SELECT "
    "coalesce(max(n), $1::int8) FROM fresh), (SELECT count(*) FROM (SELECT 1 FROM payments WHERE n > "
    "$1::int8 "
    "LIMIT $3::int8) x), (SELECT jsonb_agg(jsonb_build_object('account', (SELECT name FROM accounts a WHERE "
    "a.account = f.account), 'transaction_id', f.transaction_id, 'action', action_word(f.action), 'score', "
    "f.score, 'amount_minor', f.amount_minor, 'currency', f.currency, 'amount_base_minor', "
    "f.amount_base_minor, 'decided_at', rfc3339(f.decided_at), 'case', (SELECT c.\"case\" FROM review_cases "
    "c "
    "WHERE c.account = f.account AND c.transaction_id = f.transaction_id)) ORDER BY n)::text FROM fresh f)";

/* The sum of versions rises with each change of a case that stays among them. */
static const char queue_sql[] =
    "SELECT jsonb_build_object('open', count(*) FILTER (WHERE state = 'open'), 'assigned', count(*) FILTER "
    "(WHERE state = 'assigned'), 'overdue', count(*) FILTER (WHERE due_at < now()), 'newest', max(\"case\"), "
    "'changes', coalesce(sum(version), 0))::text FROM review_cases WHERE state IN ('open', 'assigned')";

static const char alerts_sql[] =
    "SELECT jsonb_build_object('pending', count(*) FILTER (WHERE state = 'pending'), 'firing', count(*) "
    "FILTER "
    "(WHERE state = 'firing'), 'newest', max(alert))::text FROM alerts WHERE state <> 'resolved'";

static void add_event(struct buf *out, const char *name, struct slice data)
{
    buf_printf(out, "event: %s\ndata: %.*s\n\n", name, SLICE_ARG(data));
}

static void add_decisions(struct buf *out, const struct pg_result *r, int64_t took_us)
{
    buf_printf(out, "event: decisions\ndata: {\"count\": %lld, \"in_ms\": %lld, \"decisions\": %.*s}\n\n",
               (long long)pg_get_int(r, 0, 1), (long long)(took_us / 1000), SLICE_ARG(pg_get_text(r, 0, 2)));
}

/* The payments after `after`; *newest is the last of them. Without any, nothing is added. */
static enum err look_at_decisions(struct pg_session *s, int64_t after, int64_t most, int64_t took_us,
                                  struct buf *out, int64_t *newest, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, after);
    pg_add_i64(&p, most);
    pg_add_i64(&p, COUNTED_MOST);
    err = row_ask(s, decisions_sql, &p, &r, why);
    if (!err && !pg_is_null(r, 0, 2)) {
        add_decisions(out, r, took_us);
        *newest = pg_get_int(r, 0, 0);
    }
    pg_result_free(r);
    return err;
}

/* What `sql` says; in `out` too when it is not what was `told` last. */
static enum err look_for_change(struct pg_session *s, const char *sql, const char *event, struct buf *told,
                                struct buf *out, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, sql, NULL, &r, why);

    if (!err && !slice_eq(buf_slice(told), pg_get_text(r, 0, 0))) {
        buf_clear(told);
        buf_add_slice(told, pg_get_text(r, 0, 0));
        add_event(out, event, buf_slice(told));
    }
    pg_result_free(r);
    return err;
}

static enum err first_look(struct live *st, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = ERR_OK;

    if (st->looked_us)
        return ERR_OK;
    err = pg_exec(s, start_sql, NULL, &r, why);
    if (!err) {
        st->seen_n = pg_get_int(r, 0, 0);
        st->looked_us = clock_mono_us();
    }
    pg_result_free(r);
    return err;
}

static enum err look(struct live *st, struct pg_session *s, struct buf *out, struct why *why)
{
    int64_t now_us = clock_mono_us();
    enum err err = look_at_decisions(s, st->seen_n, STREAM_DECISIONS_MOST, now_us - st->looked_us, out,
                                     &st->seen_n, why);

    st->looked_us = now_us;
    if (!err && st->turns % QUEUE_TURNS == 0)
        err = look_for_change(s, queue_sql, "queue", &st->queue, out, why);
    if (!err && st->turns % QUEUE_TURNS == 0)
        err = look_for_change(s, alerts_sql, "alerts", &st->alerts, out, why);
    return err;
}

/* What those get who have just come: the newest decisions, of no time at all, and how things stand. */
static enum err greet(struct live *st, struct pg_session *s, struct buf *out, struct why *why)
{
    int64_t newest;
    enum err err = look_at_decisions(s, 0, GREETING_DECISIONS, 0, out, &newest, why);

    if (st->queue.len)
        add_event(out, "queue", buf_slice(&st->queue));
    if (st->alerts.len)
        add_event(out, "alerts", buf_slice(&st->alerts));
    return err;
}

/* ---- the thread: whose session is over ---- */

static const char sessions_sql[] =
    "SELECT t.ord FROM unnest($1::bytea[]) WITH ORDINALITY AS t (token, ord) WHERE NOT EXISTS (SELECT FROM "
    "sessions s JOIN users u USING (name) WHERE s.token_sha256 = t.token AND NOT u.is_disabled AND "
    "s.expires_at > now() AND s.seen_at > now() - $2::int8 * interval '1 ms')";

struct seen {
    size_t slots[STREAMS_MOST];
    uint64_t serials[STREAMS_MOST];
    size_t count, fresh;
};

static void see_listeners(struct live *st, struct seen *seen, struct pg_array *tokens)
{
    *seen = (struct seen){ 0 };
    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; i < STREAMS_MOST; i++) {
        const struct listener *l = &st->listeners[i];

        if (!l->is_used)
            continue;
        seen->fresh += !l->is_greeted;
        seen->slots[seen->count] = i;
        seen->serials[seen->count++] = l->serial;
        if (tokens)
            pg_array_bytes(tokens, slice_of(l->token, sizeof l->token));
    }
    pthread_mutex_unlock(&st->lock);
}

static enum err check_sessions(struct live *st, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct seen seen;
    enum err err;

    see_listeners(st, &seen, pg_add_array(&p, PG_BYTEA));
    pg_add_i64(&p, st->conf->idle_ms);
    err = row_ask(s, sessions_sql, &p, &r, why);
    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        size_t at = (size_t)pg_get_int(r, i, 0) - 1;
        struct listener *l = &st->listeners[seen.slots[at]];

        l->is_over = l->is_over || (l->is_used && l->serial == seen.serials[at]);
    }
    pthread_mutex_unlock(&st->lock);
    pg_result_free(r);
    return err;
}

/* ---- the loop: to those who listen; all of it under the lock ---- */

static void let_go(struct listener *l)
{
    l->is_used = false;
    l->req->on_gone = NULL;
    http_stream_end(l->req);
}

static void on_gone(struct http_request *req)
{
    struct listener *l = req->user;
    struct live *st = l->live;

    pthread_mutex_lock(&st->lock);
    let_go(l);
    pthread_mutex_unlock(&st->lock);
}

static void tell(struct listener *l, struct slice text)
{
    if (text.len && !l->is_over && http_stream_write(l->req, text))
        l->deaf = 0;
    if (l->is_over)
        let_go(l);
}

/* What the thread has found. */
static void deliver(void *ctx)
{
    struct live *st = ctx;

    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; i < STREAMS_MOST; i++) {
        struct listener *l = &st->listeners[i];
        bool is_greeted = l->is_greeted;

        if (!l->is_used)
            continue;
        l->is_greeted = is_greeted || st->greeting.len;
        tell(l, buf_slice(is_greeted ? &st->events : &st->greeting));
    }
    buf_clear(&st->events);
    buf_clear(&st->greeting);
    pthread_mutex_unlock(&st->lock);
}

static void on_heartbeat(void *ctx)
{
    struct live *st = ctx;

    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; i < STREAMS_MOST; i++) {
        struct listener *l = &st->listeners[i];

        if (!l->is_used)
            continue;
        l->is_over = l->is_over || ++l->deaf > DEAF_BEATS;
        tell(l, SLICE(": here\n\n"));
    }
    pthread_mutex_unlock(&st->lock);
    loop_timer_set(&st->heartbeat, HEARTBEAT_US);
}

static void end_all(void *ctx)
{
    struct live *st = ctx;

    pthread_mutex_lock(&st->lock);
    st->is_closing = true;
    for (size_t i = 0; i < STREAMS_MOST; i++)
        if (st->listeners[i].is_used)
            let_go(&st->listeners[i]);
    pthread_mutex_unlock(&st->lock);
}

/* ---- the thread's turn ---- */

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct live *st = ctx;
    struct buf events, greeting;
    struct seen seen;
    enum err err = ERR_OK;

    (void)is_ending;
    see_listeners(st, &seen, NULL);
    *rest_us = seen.count ? TURN_US : IDLE_US;
    if (!seen.count) {
        st->looked_us = 0; /* what passes meanwhile is nobody's news */
        st->turns = 0;
        return ERR_OK;
    }
    if (!s)
        return ERR_UNAVAILABLE;
    buf_init(&events, 0);
    buf_init(&greeting, 0);
    err = first_look(st, s, why);
    if (!err)
        err = look(st, s, &events, why);
    if (!err && seen.fresh)
        err = greet(st, s, &greeting, why);
    if (!err && (++st->turns % SESSION_TURNS == 0 || atomic_exchange(&st->must_look, false)))
        err = check_sessions(st, s, why);
    pthread_mutex_lock(&st->lock);
    if (!err && st->events.len < HTTP_STREAM_BYTES) /* the loop may be late */
        buf_add_slice(&st->events, buf_slice(&events));
    if (!err && !st->greeting.len)
        buf_add_slice(&st->greeting, buf_slice(&greeting));
    pthread_mutex_unlock(&st->lock);
    buf_release(&events);
    buf_release(&greeting);
    loop_post(st->loop, deliver, st);
    return err;
}

/* ---- who comes ---- */

/* A free place; NULL when there is none, or none for this session or person. */
static struct listener *find_place(struct live *st, const unsigned char token[SHA256_BYTES], const char *name)
{
    struct listener *place = NULL;
    size_t of_session = 0, of_person = 0;

    for (size_t i = 0; i < STREAMS_MOST; i++) {
        struct listener *l = &st->listeners[i];

        if (!l->is_used) {
            place = place ? place : l;
        } else {
            of_session += memcmp(l->token, token, SHA256_BYTES) == 0;
            of_person += strcmp(l->name, name) == 0;
        }
    }
    return of_session < STREAMS_A_SESSION && of_person < STREAMS_A_PERSON ? place : NULL;
}

static void begin(struct http_request *req)
{
    struct http_header headers[DESK_HEADERS_MAX + 1];
    size_t count = 0;

    for (size_t i = 0; i < rest_header_count; i++)
        headers[count++] = rest_headers[i];
    headers[count++] = (struct http_header){ SLICE("x-accel-buffering"), SLICE("no") };
    http_stream_begin(req, &(struct http_reply){ .status = 200,
                                                 .type = "text/event-stream",
                                                 .body = SLICE("retry: 3000\n\n"),
                                                 .headers = headers,
                                                 .header_count = count });
}

static void take_over(struct call *c)
{
    struct live *st = dashboard_live(c->ctx);
    struct http_request *req = c->req;
    unsigned char token[SHA256_BYTES];
    struct listener *l;

    if (!visitor_token(c, token) || req->is_gone || slice_eq_str(req->method, "HEAD")) {
        http_reply(req, &(struct http_reply){ .status = 200, .type = "text/event-stream" });
        return;
    }
    l = find_place(st, token, c->actor);
    if (!l || st->is_closing) {
        http_reply_problem(req, 503, "too many streams are open");
        return;
    }
    begin(req);
    req->user = l;
    req->on_gone = on_gone;
    pthread_mutex_lock(&st->lock);
    *l = (struct listener){ .live = st, .is_used = true, .serial = ++st->serials, .req = req };
    memcpy(l->token, token, sizeof token);
    snprintf(l->name, sizeof l->name, "%s", c->actor);
    pthread_mutex_unlock(&st->lock);
    watch_wake(st->watch);
}

enum err live_get(struct call *c, struct pg_session *s, struct why *why)
{
    (void)s;
    (void)why;
    c->take_over = take_over;
    return ERR_OK;
}

void live_look(struct live *st)
{
    atomic_store(&st->must_look, true);
    watch_wake(st->watch);
}

/* ---- its life ---- */

enum err live_open(struct live **out, struct service *app, const struct dashboard_settings *conf,
                   struct why *why)
{
    struct live *st = mem_new(struct live);
    enum err err;

    *out = NULL;
    st->conf = conf;
    snprintf(st->limit_sql, sizeof st->limit_sql, "SET statement_timeout = %lld",
             (long long)conf->statement_ms);
    st->loop = service_loop(app);
    pthread_mutex_init(&st->lock, NULL);
    buf_init(&st->events, 0);
    buf_init(&st->greeting, 0);
    buf_init(&st->queue, 0);
    buf_init(&st->alerts, 0);
    loop_timer_init(&st->heartbeat, st->loop, on_heartbeat, st);
    err = watch_open(&st->watch,
                     &(struct watch_conf){ .name = "stream",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-dashboard-stream",
                                           .role = conf->pg_role,
                                           .session_sql = st->limit_sql,
                                           .rests = RESTS,
                                           .turn = turn,
                                           .ctx = st },
                     why);
    if (err) {
        live_close(st);
        return err;
    }
    service_on_drain(app, end_all, st);
    loop_timer_set(&st->heartbeat, HEARTBEAT_US);
    *out = st;
    return ERR_OK;
}

void live_close(struct live *st)
{
    if (!st)
        return;
    watch_close(st->watch);
    end_all(st);
    loop_timer_release(&st->heartbeat);
    pthread_mutex_destroy(&st->lock);
    buf_release(&st->events);
    buf_release(&st->greeting);
    buf_release(&st->queue);
    buf_release(&st->alerts);
    mem_free(st);
}
