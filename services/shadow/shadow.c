/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "app/service.h"
#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "candidates.h"
#include "lifestore/awaited.h"
#include "lifestore/follower.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "modelstore/keys.h"

enum {
    BATCH_ENTRIES = 1000,
    PENDING_MAX = 10000, /* entries whose decision is awaited; the oldest are given up for newer ones */
};

enum { METRIC_ROWS, METRIC_UNSCORED, METRIC_BEHIND, METRIC_PENDING, METRIC_GIVEN_UP, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_ROWS] = { "assay_shadow_rows_total",
                      METRIC_COUNTER,
                      "Decisions scored, over all versions",
                      { NULL } },
    [METRIC_UNSCORED] = { "assay_shadow_unscored_total",
                          METRIC_COUNTER,
                          "Decisions left out, by reason: no_vector, plan",
                          { "reason" } },
    [METRIC_BEHIND] = { "assay_shadow_behind_entries",
                        METRIC_GAUGE,
                        "Entries of the log that the last of its followers has not come to yet",
                        { NULL } },
    [METRIC_PENDING] = { "assay_shadow_pending_entries",
                         METRIC_GAUGE,
                         "Entries whose decision is awaited",
                         { NULL } },
    [METRIC_GIVEN_UP] = { "assay_shadow_given_up_total",
                          METRIC_COUNTER,
                          "Entries given up, whose decision never came",
                          { NULL } },
};

static const char *const reasons[] = {
    [SCORED] = "", [UNSCORED_NO_VECTOR] = "no_vector", [UNSCORED_PLAN] = "plan"
};
static_assert(ARRAY_LEN(reasons) == SCORED_COUNT, "every way has a name");

/* What the metrics show: the thread writes, the loop reads. */
struct figures {
    uint64_t scored[SCORED_COUNT], given_up;
    uint64_t behind, pending;
};

struct shadow {
    struct shadow_conf conf;
    struct watch *watch;
    struct candidates *candidates;
    struct metric_set *metrics;
    size_t by_reason[SCORED_COUNT];
    pthread_mutex_t lock;
    struct figures figures, shown;
    int64_t looked_ms; /* the thread's: when it looked last, 0: never */
};

/* An entry whose decision is looked up. */
struct wanted {
    uint64_t n;
    uint32_t account;
    int64_t known_at_us;
    struct slice id;
    int64_t since_ms; /* when it was read; 0: long ago */
    bool is_found;
};

/* One SQL transaction of one follower. */
struct batch {
    struct shadow *shadow;
    struct candidate *candidate;
    struct pg_session *s;
    struct arena arena;
    char follower[64];
    uint64_t n; /* all entries up to it were read */
    struct wanted *wanted;
    size_t count;
    size_t was_pending;     /* how many of them came from the place */
    size_t *due, due_count; /* those whose decision is looked up in this turn */
    int64_t now_ms;
    uint64_t newest; /* of the log */
    bool is_first, is_full;
    struct figures done;
    struct why *why;
};

/* ---- the place: {"n": 17, "pending": [[n, account, known_at_us, "id", since_ms], ...]} ---- */

static void want(struct batch *b, uint64_t n, uint32_t account, int64_t known_at_us, struct slice id,
                 int64_t since_ms)
{
    b->wanted[b->count++] = (struct wanted){ .n = n,
                                             .account = account,
                                             .known_at_us = known_at_us,
                                             .id = arena_slice(&b->arena, id),
                                             .since_ms = since_ms };
}

static void read_place(struct batch *b, const json_t *place)
{
    json_t *pending = json_object_get(place, "pending"), *each;
    size_t i;

    b->n = (uint64_t)json_integer_value(json_object_get(place, "n"));
    b->wanted = arena_new(&b->arena, struct wanted, json_array_size(pending) + BATCH_ENTRIES);
    json_array_foreach(pending, i, each)
    {
        const char *id = json_string_value(json_array_get(each, 3));

        if (id)
            want(b, (uint64_t)json_integer_value(json_array_get(each, 0)),
                 (uint32_t)json_integer_value(json_array_get(each, 1)),
                 json_integer_value(json_array_get(each, 2)), slice_str(id),
                 json_integer_value(json_array_get(each, 4)));
    }
    b->was_pending = b->count;
}

static json_t *write_place(struct batch *b)
{
    json_t *pending = json_array();
    size_t left = 0, skip;

    for (size_t i = 0; i < b->count; i++)
        left += !b->wanted[i].is_found;
    skip = left > PENDING_MAX ? left - PENDING_MAX : 0;
    b->done.given_up = skip;
    b->done.pending = left - skip;
    for (size_t i = 0; i < b->count; i++) {
        const struct wanted *w = &b->wanted[i];

        if (w->is_found)
            continue;
        if (skip) {
            skip--;
            continue;
        }
        json_array_append_new(pending, json_pack("[I,I,I,s%,I]", (json_int_t)w->n, (json_int_t)w->account,
                                                 (json_int_t)w->known_at_us, w->id.ptr, w->id.len,
                                                 (json_int_t)w->since_ms));
    }
    return json_pack("{s:I,s:o}", "n", (json_int_t)b->n, "pending", pending);
}

/* ---- one batch ---- */

static enum err read_newest(struct batch *b)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(b->s, "SELECT n FROM log ORDER BY n DESC LIMIT 1", NULL, &r, b->why);

    b->newest = !err && pg_rows(r) ? (uint64_t)pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return err;
}

static enum err read_log(struct batch *b)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, (int64_t)b->n);
    pg_add_i64(&p, BATCH_ENTRIES);
    err = row_ask(b->s, "SELECT " LOG_COLUMNS " FROM log l WHERE l.n > $1::int8 ORDER BY l.n LIMIT $2::int8",
                  &p, &r, b->why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        union entry_body body;
        struct why why;

        b->n = e.n;
        if (e.kind != ENTRY_TXN)
            continue;
        if (entry_open(&body, &e, &b->arena, &why))
            log_event(LOG_ERROR, "entry_unreadable", "n=%" PRIu64 " why=%s", e.n,
                      log_quoted(slice_str(why.text)));
        else
            want(b, e.n, e.account, e.known_at_us, body.txn.id, b->now_ms);
    }
    b->is_full = !err && pg_rows(r) == BATCH_ENTRIES;
    pg_result_free(r);
    return err;
}

/* What has just come, what is given up after this turn, and whose moment it is (lifestore/awaited.h). */
static void choose_due(struct batch *b)
{
    size_t too_many = b->count > PENDING_MAX ? b->count - PENDING_MAX : 0;

    b->due = arena_new(&b->arena, size_t, b->count + 1);
    for (size_t i = 0; i < b->count; i++) {
        const struct wanted *w = &b->wanted[i];

        if (i < too_many || i >= b->was_pending ||
            awaited_is_due((int64_t)w->n, w->since_ms, b->shadow->looked_ms, b->now_ms))
            b->due[b->due_count++] = i;
    }
}

/* By the primary key, row by row: a scan of months of decisions for a thousand of them is never meant. */
static const char decisions_sql[] =
    "SELECT k.ord, d.plan, d.vector FROM unnest($1::int4[], $2::text[], $3::timestamptz[]) WITH ORDINALITY "
    "AS k "
    "(account, id, known_at, ord) JOIN decisions d ON d.account = k.account AND d.transaction_id = k.id AND "
    "d.known_at = k.known_at";

static const char insert_sql[] =
    "INSERT INTO shadow_scores (version, account, transaction_id, known_at, margin, score, action) SELECT "
    "$1::int8, k.account, k.id, k.known_at, k.margin, k.score, k.action FROM unnest($2::int4[], $3::text[], "
    "$4::timestamptz[], $5::float4[], $6::float8[], $7::int2[]) AS k (account, id, known_at, margin, score, "
    "action) ON CONFLICT DO NOTHING";

enum { COL_ACCOUNT, COL_ID, COL_KNOWN_AT, COL_MARGIN, COL_SCORE, COL_ACTION, COL_COUNT };

static void open_arrays(struct pg_params *p, struct pg_array **columns, size_t count)
{
    static const enum pg_type types[COL_COUNT] = { PG_INT4,   PG_TEXT,   PG_TIMESTAMPTZ,
                                                   PG_FLOAT4, PG_FLOAT8, PG_INT2 };

    for (size_t i = 0; i < count; i++)
        columns[i] = pg_add_array(p, types[i]);
}

static void add_key(struct pg_array **columns, const struct wanted *w)
{
    pg_array_i32(columns[COL_ACCOUNT], (int32_t)w->account);
    pg_array_text(columns[COL_ID], w->id);
    pg_array_time_us(columns[COL_KNOWN_AT], w->known_at_us);
}

static enum err read_decisions(struct batch *b, struct pg_result **r)
{
    struct pg_params p = { 0 };
    struct pg_array *columns[COL_COUNT];
    enum err err = pg_exec_script(b->s,
                                  "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
                                  "SET LOCAL enable_seqscan = off; SET LOCAL jit = off",
                                  b->why);

    if (err)
        return err;
    open_arrays(&p, columns, COL_KNOWN_AT + 1);
    for (size_t i = 0; i < b->due_count; i++)
        add_key(columns, &b->wanted[b->due[i]]);
    return row_ask(b->s, decisions_sql, &p, r, b->why);
}

static enum err score_all(struct batch *b, const struct pg_result *r, struct pg_params *p, size_t *scored)
{
    struct pg_array *columns[COL_COUNT];
    enum err err = ERR_OK;

    pg_add_i64(p, candidate_version(b->candidate));
    open_arrays(p, columns, COL_COUNT);
    *scored = 0;
    for (size_t i = 0; i < pg_rows(r) && !err; i++) {
        struct wanted *w = &b->wanted[b->due[pg_get_int(r, i, 0) - 1]];
        struct shadow_score score;
        enum scored how;

        w->is_found = true;
        err = candidate_score(b->candidate, b->s, pg_get_bytes(r, i, 1), pg_get_bytes(r, i, 2), &score, &how,
                              b->why);
        if (err)
            break;
        b->done.scored[how]++;
        if (how != SCORED)
            continue;
        add_key(columns, w);
        pg_array_f32(columns[COL_MARGIN], score.margin);
        pg_array_f64(columns[COL_SCORE], score.score);
        pg_array_i16(columns[COL_ACTION], (int16_t)score.action);
        ++*scored;
    }
    return err;
}

static enum err score_batch(struct batch *b)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    size_t scored = 0;
    enum err err;

    choose_due(b);
    err = b->due_count ? read_decisions(b, &r) : ERR_OK;
    if (!err && r)
        err = score_all(b, r, &p, &scored);
    if (!err && scored)
        err = row_ask(b->s, insert_sql, &p, NULL, b->why);
    else
        pg_params_release(&p);
    pg_result_free(r);
    return err;
}

/* Whether the place is another than before. */
static bool has_moved(const struct batch *b, uint64_t n_before)
{
    for (size_t i = 0; i < b->was_pending; i++)
        if (b->wanted[i].is_found)
            return true;
    return b->is_first || b->n != n_before;
}

static void count(struct shadow *shadow, const struct batch *b)
{
    for (size_t i = 0; i < SCORED_COUNT; i++)
        shadow->figures.scored[i] += b->done.scored[i];
    shadow->figures.given_up += b->done.given_up;
}

static enum err follow_in_transaction(struct batch *b, const json_t *place)
{
    uint64_t n_before;
    json_t *after;
    enum err err;

    b->is_first = place == NULL;
    read_place(b, place);
    err = read_newest(b);
    if (b->is_first)
        b->n = b->newest;
    n_before = b->n;
    if (!err && !b->is_first)
        err = read_log(b);
    if (!err)
        err = score_batch(b);
    if (err)
        return err;
    after = write_place(b);
    if (has_moved(b, n_before)) {
        err = follower_commit(b->s, b->follower, after, b->why);
        if (!err)
            count(b->shadow, b);
    } else {
        follower_abandon(b->s);
    }
    json_decref(after);
    return err;
}

static enum err follow(struct batch *b)
{
    json_t *place = NULL;
    enum err err;

    snprintf(b->follower, sizeof b->follower, "shadow:%" PRId64, candidate_version(b->candidate));
    err = follower_begin(b->s, b->follower, &place, b->why);
    if (err)
        return err;
    err = follow_in_transaction(b, place);
    if (err)
        follower_abandon(b->s);
    json_decref(place);
    return err;
}

/* ---- the whole ---- */

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct shadow *shadow = ctx;
    struct figures *f = &shadow->figures;
    int64_t now_ms = clock_wall_us() / MS_US;
    enum err err;

    (void)is_ending;
    *rest_us = shadow->conf.turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = candidates_look(shadow->candidates, s, why);
    f->behind = f->pending = 0;
    for (size_t i = 0; !err && i < candidates_count(shadow->candidates); i++) {
        struct batch b = { .shadow = shadow,
                           .candidate = candidates_at(shadow->candidates, i),
                           .s = s,
                           .now_ms = now_ms,
                           .why = why };

        err = follow(&b);
        if (b.is_full)
            *rest_us = 0;
        f->pending += b.done.pending;
        if (b.newest > b.n && b.newest - b.n > f->behind)
            f->behind = b.newest - b.n;
        arena_release(&b.arena);
    }
    if (!err)
        shadow->looked_ms = now_ms;
    pthread_mutex_lock(&shadow->lock);
    shadow->shown = *f;
    pthread_mutex_unlock(&shadow->lock);
    return err;
}

static void collect(void *ctx)
{
    struct shadow *s = ctx;
    struct figures f;

    pthread_mutex_lock(&s->lock);
    f = s->shown;
    pthread_mutex_unlock(&s->lock);
    metric_put(s->metrics, METRIC_ROWS, 0, (double)f.scored[SCORED]);
    for (size_t i = SCORED + 1; i < SCORED_COUNT; i++)
        metric_put(s->metrics, METRIC_UNSCORED, s->by_reason[i], (double)f.scored[i]);
    metric_put(s->metrics, METRIC_BEHIND, 0, (double)f.behind);
    metric_put(s->metrics, METRIC_PENDING, 0, (double)f.pending);
    metric_put(s->metrics, METRIC_GIVEN_UP, 0, (double)f.given_up);
}

static bool is_well(void *arg, struct why *detail)
{
    const struct shadow *s = arg;

    return watch_is_well(s->watch, detail);
}

enum err shadow_open(struct shadow **out, struct service *app, const struct shadow_conf *conf,
                     struct why *why)
{
    struct shadow *s = mem_new(struct shadow);
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    enum err err;

    *out = NULL;
    s->conf = *conf;
    pthread_mutex_init(&s->lock, NULL);
    err = model_keys_read(&keys, conf->model_keys, &arena, why); /* so that a wrong path is noticed at once */
    arena_release(&arena);
    if (err) {
        shadow_close(s);
        return err;
    }
    s->candidates = candidates_new(conf->model_keys);
    s->metrics = metrics_add(service_metrics(app), metric_table, METRIC_COUNT);
    for (size_t i = SCORED + 1; i < SCORED_COUNT; i++)
        s->by_reason[i] = metric_series(s->metrics, METRIC_UNSCORED, reasons[i], NULL);
    metrics_on_write(service_metrics(app), collect, s);
    err = watch_open(&s->watch,
                     &(struct watch_conf){ .name = "shadow",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-shadow",
                                           .role = conf->pg_role,
                                           .rests = 4,
                                           .turn = turn,
                                           .ctx = s },
                     why);
    if (err) {
        shadow_close(s);
        return err;
    }
    service_check(app, "follower", is_well, s);
    *out = s;
    return ERR_OK;
}

void shadow_close(struct shadow *s)
{
    if (!s)
        return;
    watch_close(s->watch);
    candidates_free(s->candidates);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
