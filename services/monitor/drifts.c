/* SPDX-License-Identifier: Apache-2.0 */
#include "drifts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "modelstore/modelstore.h"
#include "monitorstore/windows.h"

enum { PLANS_HELD = 8, HOURS_HELD = 4, LOOK_BACK = 20000 };

/* A plan that was served, and where the model's columns lie in its vectors. */
struct binding {
    unsigned char plan[SHA256_BYTES];
    size_t vector_bytes; /* 0: they cannot be read */
    uint16_t *from;
};

struct hour {
    int64_t hour_us; /* INT64_MIN: none */
    bool is_changed;
    struct drift_window window;
};

struct watched {
    int32_t lane;
    int64_t version;
    bool is_known; /* false: the registry has no such model that can be opened */
    bool is_changed;
    bool has_histograms;
    char name[BUNDLE_NAME_MAX + 1];
    struct drift_layout *layout;
    struct plan *plan; /* of the model */
    struct binding bindings[PLANS_HELD];
    size_t binding_count;
    float *row;
    struct drift_window reference; /* of the bundle; whole once the baseline is */
    struct drift_window baseline, open;
    struct drift_judge *judge; /* NULL until the baseline is whole */
    struct drift_alarms *alarms;
    int64_t number, first_us, last_us;
    struct hour hours[HOURS_HELD]; /* the newest used first */
    uint64_t used;                 /* when it was last looked for */
};

struct drifts {
    struct drifts_conf conf;
    drifts_closed_fn *on_closed;
    void *ctx;
    struct watched *held[DRIFTS_HELD];
    size_t count;
    uint64_t clock; /* of `used` */
    uint64_t left_out;
};

/* ---- what is held ---- */

static void watched_free(struct watched *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->binding_count; i++)
        mem_free(w->bindings[i].from);
    drift_judge_free(w->judge);
    drift_alarms_free(w->alarms);
    if (w->layout) {
        for (size_t i = 0; i < HOURS_HELD; i++)
            drift_window_release(&w->hours[i].window);
        drift_window_release(&w->reference);
        drift_window_release(&w->baseline);
        drift_window_release(&w->open);
    }
    drift_layout_free(w->layout);
    plan_free(w->plan);
    mem_free(w->row);
    mem_free(w);
}

struct drifts *drifts_new(const struct drifts_conf *conf, drifts_closed_fn *on_closed, void *ctx)
{
    struct drifts *d = mem_new(struct drifts);

    d->conf = *conf;
    d->on_closed = on_closed;
    d->ctx = ctx;
    return d;
}

void drifts_drop(struct drifts *d)
{
    for (size_t i = 0; i < d->count; i++)
        watched_free(d->held[i]);
    d->count = 0;
}

void drifts_free(struct drifts *d)
{
    if (!d)
        return;
    drifts_drop(d);
    mem_free(d);
}

uint64_t drifts_left_out(const struct drifts *d)
{
    return d->left_out;
}

/* ---- which categories there are ---- */

struct category {
    struct slice name;
    uint64_t count;
};

struct census {
    struct arena arena;
    struct category *of[DRIFT_FIELD_COUNT];
    size_t count[DRIFT_FIELD_COUNT], cap[DRIFT_FIELD_COUNT];
};

enum { CENSUS_MOST = 4096 }; /* different values of a field; what comes later is not looked at */

static void count_category(struct census *c, size_t field, struct slice value)
{
    if (!value.len || value.len > DRIFT_NAME_MAX)
        return;
    for (size_t i = 0; i < c->count[field]; i++)
        if (slice_eq(c->of[field][i].name, value)) {
            c->of[field][i].count++;
            return;
        }
    if (c->count[field] == CENSUS_MOST)
        return;
    ARRAY_RESERVE_ONE(c->of[field], c->count[field], c->cap[field]);
    c->of[field][c->count[field]++] = (struct category){ arena_slice(&c->arena, value), 1 };
}

static struct slice field_of(const struct sighting *txn, enum drift_field field)
{
    const struct slice values[DRIFT_FIELD_COUNT] = {
        [DRIFT_CHANNEL] = txn->channel, [DRIFT_COUNTRY] = txn->country, [DRIFT_MCC] = txn->mcc
    };

    return values[field];
}

/* The most frequent first; of two the lesser name. */
static int by_count(const void *a, const void *b)
{
    const struct category *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return slice_compare(x->name, y->name);
}

static const char look_back_sql[] =
    "SELECT " LOG_COLUMNS " FROM log l WHERE l.n <= $1::int8 AND l.n > $2::int8 AND l.kind = 1 ORDER BY l.n";

/* By the transactions of the log before entry `n`, of all accounts. */
static enum err take_census(struct census *c, struct pg_session *s, uint64_t n, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, (int64_t)n);
    pg_add_i64(&p, (int64_t)n - LOOK_BACK);
    err = row_ask(s, look_back_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        struct sighting txn;

        if (sighting_read(&txn, &e))
            for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++)
                count_category(c, f, field_of(&txn, (enum drift_field)f));
    }
    pg_result_free(r);
    for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++)
        if (c->count[f])
            qsort(c->of[f], c->count[f], sizeof *c->of[f], by_count);
    return err;
}

static void census_release(struct census *c)
{
    for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++)
        mem_free(c->of[f]);
    arena_release(&c->arena);
}

static enum err make_layout(struct watched *w, struct pg_session *s, const struct bundle *bundle, uint64_t n,
                            struct why *why)
{
    struct drift_categories fields[DRIFT_FIELD_COUNT] = { 0 };
    struct census census = { 0 };
    enum err err = take_census(&census, s, n, why);

    for (size_t f = 0; f < DRIFT_FIELD_COUNT && !err; f++) {
        struct slice *names = arena_new(&census.arena, struct slice, census.count[f] + 1);

        for (size_t i = 0; i < census.count[f]; i++)
            names[i] = census.of[f][i].name;
        fields[f] = (struct drift_categories){ names, census.count[f] };
    }
    if (!err)
        err = drift_layout_of_bundle(&w->layout, bundle, fields, why);
    census_release(&census);
    return err;
}

/* ---- a model is met ---- */

static bool is_passing(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT;
}

static void init_windows(struct watched *w)
{
    drift_window_init(&w->reference, w->layout);
    drift_window_init(&w->baseline, w->layout);
    drift_window_init(&w->open, w->layout);
    for (size_t i = 0; i < HOURS_HELD; i++) {
        w->hours[i].hour_us = INT64_MIN;
        drift_window_init(&w->hours[i].window, w->layout);
    }
}

/* A window that is stored; an empty slice is an empty window. */
static enum err open_window(struct drift_window *w, const struct drift_layout *layout, struct slice bytes,
                            struct why *why)
{
    drift_window_release(w);
    if (bytes.len)
        return drift_window_open(w, layout, bytes, why);
    drift_window_init(w, layout);
    return ERR_OK;
}

static enum err take_stored(struct watched *w, const struct watched_model *stored, struct why *why)
{
    enum err err = drift_layout_open(&w->layout, stored->layout, why);

    if (err)
        return err;
    init_windows(w);
    w->number = stored->number;
    w->first_us = stored->first_us;
    w->last_us = stored->last_us;
    err = drift_alarms_open(&w->alarms, w->layout, stored->alarms, why);
    if (err)
        return err;
    err = open_window(&w->baseline, w->layout, stored->baseline, why);
    return err ? err : open_window(&w->open, w->layout, stored->open, why);
}

static enum err take_new(struct watched *w, struct pg_session *s, const struct bundle *bundle,
                         const struct decided *d, struct why *why)
{
    enum err err = make_layout(w, s, bundle, d->txn.n, why);

    if (err)
        return err;
    init_windows(w);
    w->alarms = drift_alarms_new(w->layout);
    w->number = 1;
    w->first_us = w->last_us = d->txn.known_at_us;
    w->is_changed = true;
    log_event(LOG_INFO, "model_watched", "lane=%d version=%" PRId64 " histograms=%s", (int)w->lane,
              w->version, w->has_histograms ? "yes" : "no");
    return ERR_OK;
}

static enum err meet(struct watched *w, struct pg_session *s, const struct decided *d, struct bundle *bundle,
                     struct why *why)
{
    struct arena arena = { 0 };
    struct watched_model stored;
    struct slice name = bundle_name(bundle);
    bool is_there;
    enum err err = plan_parse(&w->plan, plan_text(bundle_plan(bundle)), why);

    if (err)
        return err;
    memcpy(w->name, name.ptr, name.len);
    w->row = mem_new_n(float, plan_columns(w->plan) + 1);
    w->has_histograms = bundle_histograms(bundle) != NULL;
    err = watched_model_read(s, w->lane, w->version, &stored, &is_there, &arena, why);
    if (!err)
        err = is_there ? take_stored(w, &stored, why) : take_new(w, s, bundle, d, why);
    if (!err) {
        drift_reference(&w->reference, bundle);
        w->is_known = true;
    }
    arena_release(&arena);
    return err;
}

static enum err load(struct watched *w, struct pg_session *s, const struct decided *d, struct why *why)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, w->version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    buf_release(&bytes);
    if (!err)
        err = meet(w, s, d, bundle, why);
    bundle_close(bundle);
    if (err && !is_passing(err) && !w->layout) {
        log_event(LOG_WARN, "model_not_watched", "version=%" PRId64 " why=%s", w->version,
                  log_quoted(slice_str(why->text)));
        err = ERR_OK;
    }
    return err;
}

/* ---- storing ---- */

static enum err store_hour(struct watched *w, struct hour *h, struct pg_session *s, struct why *why)
{
    struct buf bytes;
    enum err err;

    if (!h->is_changed)
        return ERR_OK;
    buf_init(&bytes, 0);
    drift_window_pack(&h->window, &bytes);
    err = watched_hour_write(s, w->lane, w->version, h->hour_us, (int64_t)h->window.rows, buf_slice(&bytes),
                             why);
    buf_release(&bytes);
    h->is_changed = err != ERR_OK;
    return err;
}

static enum err store_model(struct watched *w, struct pg_session *s, struct why *why)
{
    struct buf layout, baseline, open, alarms;
    enum err err;

    if (!w->is_changed)
        return ERR_OK;
    buf_init(&layout, 0);
    buf_init(&baseline, 0);
    buf_init(&open, 0);
    buf_init(&alarms, 0);
    drift_layout_pack(w->layout, &layout);
    drift_window_pack(&w->baseline, &baseline);
    drift_window_pack(&w->open, &open);
    drift_alarms_pack(w->alarms, &alarms);
    err = watched_model_write(s,
                              &(struct watched_model){ .lane = w->lane,
                                                       .version = w->version,
                                                       .name = slice_str(w->name),
                                                       .layout = buf_slice(&layout),
                                                       .baseline = buf_slice(&baseline),
                                                       .open = buf_slice(&open),
                                                       .alarms = buf_slice(&alarms),
                                                       .number = w->number,
                                                       .first_us = w->first_us,
                                                       .last_us = w->last_us,
                                                       .has_histograms = w->has_histograms },
                              why);
    buf_release(&layout);
    buf_release(&baseline);
    buf_release(&open);
    buf_release(&alarms);
    w->is_changed = err != ERR_OK;
    return err;
}

static enum err store(struct watched *w, struct pg_session *s, struct why *why)
{
    enum err err = store_model(w, s, why);

    for (size_t i = 0; i < HOURS_HELD && !err && w->is_known; i++)
        err = store_hour(w, &w->hours[i], s, why);
    return err;
}

enum err drifts_store(struct drifts *d, struct pg_session *s, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < d->count && !err; i++)
        err = store(d->held[i], s, why);
    return err;
}

/* ---- looking up ---- */

/* The one that was not looked for the longest makes room. */
static enum err make_room(struct drifts *d, struct pg_session *s, struct why *why)
{
    size_t oldest = 0;
    enum err err;

    if (d->count < DRIFTS_HELD)
        return ERR_OK;
    for (size_t i = 1; i < d->count; i++)
        if (d->held[i]->used < d->held[oldest]->used)
            oldest = i;
    err = store(d->held[oldest], s, why);
    if (err)
        return err;
    watched_free(d->held[oldest]);
    d->held[oldest] = d->held[--d->count];
    return ERR_OK;
}

static enum err find(struct drifts *d, struct pg_session *s, const struct decided *decision,
                     struct watched **out, struct why *why)
{
    enum err err;

    for (size_t i = 0; i < d->count; i++) {
        *out = d->held[i];
        if ((*out)->version == decision->version && (*out)->lane == decision->txn.lane) {
            (*out)->used = ++d->clock;
            return ERR_OK;
        }
    }
    err = make_room(d, s, why);
    if (err)
        return err;
    *out = d->held[d->count++] = mem_new(struct watched);
    (*out)->lane = decision->txn.lane;
    (*out)->version = decision->version;
    (*out)->used = ++d->clock;
    return load(*out, s, decision, why);
}

/* The window of an hour comes to the front; that at the end is stored to make room. */
static enum err find_hour(struct watched *w, struct pg_session *s, int64_t at_us, struct drift_window **out,
                          struct why *why)
{
    int64_t hour_us = drift_slot(at_us, HOUR_US) * HOUR_US;
    struct arena arena = { 0 };
    struct slice bytes;
    struct hour found;
    size_t i = 0;
    enum err err = ERR_OK;

    while (i < HOURS_HELD - 1 && w->hours[i].hour_us != hour_us)
        i++;
    if (w->hours[i].hour_us != hour_us) {
        err = store_hour(w, &w->hours[i], s, why);
        if (!err)
            err = watched_hour_read(s, w->lane, w->version, hour_us, &bytes, &arena, why);
        if (!err)
            err = open_window(&w->hours[i].window, w->layout, bytes, why);
        w->hours[i].hour_us = err ? INT64_MIN : hour_us;
        arena_release(&arena);
    }
    found = w->hours[i];
    memmove(&w->hours[1], &w->hours[0], i * sizeof w->hours[0]);
    found.is_changed = !err;
    w->hours[0] = found;
    *out = &w->hours[0].window;
    return err;
}

/* ---- vectors ---- */

static enum err read_plan(struct plan **out, struct pg_session *s, struct slice id, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = NULL;
    pg_add_bytes(&p, id);
    err = row_ask(s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, why);
    if (!err && pg_rows(r) && plan_parse(out, pg_get_text(r, 0, 0), why))
        *out = NULL; /* as if it were not there */
    pg_result_free(r);
    return err;
}

static enum err bind(struct watched *w, struct pg_session *s, struct slice id, const struct binding **out,
                     struct why *why)
{
    struct binding *b = &w->bindings[0];
    struct plan *plan;
    enum err err;

    for (size_t i = 0; i < w->binding_count; i++) {
        *out = &w->bindings[i];
        if (memcmp(w->bindings[i].plan, id.ptr, SHA256_BYTES) == 0)
            return ERR_OK;
    }
    err = read_plan(&plan, s, id, why);
    if (err)
        return err;
    if (w->binding_count == PLANS_HELD)
        mem_free(w->bindings[--w->binding_count].from);
    memmove(b + 1, b, w->binding_count++ * sizeof *b);
    *b = (struct binding){ .from = mem_new_n(uint16_t, plan_columns(w->plan) + 1) };
    memcpy(b->plan, id.ptr, SHA256_BYTES);
    if (plan && plan_map(w->plan, plan, b->from) == PLAN_NO_COLUMN)
        b->vector_bytes = plan_columns(plan) * sizeof(float);
    plan_free(plan);
    *out = b;
    return ERR_OK;
}

/* *features is the model's row, or NULL where no vector was served that it could read. */
static enum err read_vector(struct watched *w, struct pg_session *s, const struct decided *d,
                            const float **features, struct why *why)
{
    const struct binding *b;
    enum err err;

    *features = NULL;
    if (d->plan.len != SHA256_BYTES || d->vector.len == 0)
        return ERR_OK;
    err = bind(w, s, d->plan, &b, why);
    if (err || b->vector_bytes != d->vector.len)
        return err;
    for (size_t i = 0; i < plan_columns(w->plan); i++)
        memcpy(&w->row[i], d->vector.ptr + sizeof(float) * b->from[i], sizeof(float));
    *features = w->row;
    return ERR_OK;
}

/* ---- counting ---- */

static enum err keep_window(const struct watched *w, struct pg_session *s, struct why *why)
{
    struct buf bytes;
    enum err err;

    buf_init(&bytes, 0);
    drift_window_pack(&w->open, &bytes);
    err = watched_window_add(s, w->lane, w->version,
                             &(struct watched_window){ .number = w->number,
                                                       .rows = (int64_t)w->open.rows,
                                                       .first_us = w->open.first_us,
                                                       .last_us = w->open.last_us,
                                                       .window = buf_slice(&bytes) },
                             why);
    buf_release(&bytes);
    return err;
}

static enum err judge_window(struct drifts *d, struct watched *w, struct pg_session *s, struct slice arm,
                             struct why *why)
{
    size_t subjects = drift_layout_subjects(w->layout);
    struct drift_verdict *verdicts = mem_new_n(struct drift_verdict, subjects);
    struct drift_alarm *changes = mem_new_n(struct drift_alarm, subjects * DRIFT_TEST_COUNT);
    struct drifts_closed closed = { .lane = w->lane,
                                    .version = w->version,
                                    .name = slice_str(w->name),
                                    .number = w->number,
                                    .arm = arm,
                                    .layout = w->layout,
                                    .window = &w->open,
                                    .verdicts = verdicts,
                                    .alarms = w->alarms,
                                    .changes = changes,
                                    .has_histograms = w->has_histograms };
    enum err err;

    if (!w->judge) {
        drift_reference_complete(&w->reference, &w->baseline);
        w->judge = drift_judge_new(&w->reference, &d->conf.judging);
    }
    drift_judge_window(w->judge, &w->open, verdicts);
    closed.change_count = drift_alarms_step(w->alarms, verdicts, d->conf.judging.windows, changes);
    err = d->on_closed(d->ctx, s, &closed, why);
    mem_free(verdicts);
    mem_free(changes);
    return err;
}

static enum err close_window(struct drifts *d, struct watched *w, struct pg_session *s, struct slice arm,
                             struct why *why)
{
    enum err err = keep_window(w, s, why);

    if (!err && w->baseline.rows >= d->conf.baseline_rows)
        err = judge_window(d, w, s, arm, why);
    drift_window_clear(&w->open);
    w->number++;
    return err;
}

static bool is_old(const struct drifts *d, const struct watched *w, int64_t at_us)
{
    return w->open.rows >= d->conf.least_rows && at_us - w->open.first_us >= d->conf.oldest_us;
}

static enum err count(struct drifts *d, struct watched *w, struct pg_session *s, const struct drift_row *row,
                      struct slice arm, struct why *why)
{
    struct drift_window *hour;
    enum err err = find_hour(w, s, row->at_us, &hour, why);

    if (err)
        return err;
    drift_window_add(hour, row);
    if (w->baseline.rows < d->conf.baseline_rows)
        drift_window_add(&w->baseline, row);
    if (is_old(d, w, row->at_us))
        err = close_window(d, w, s, arm, why);
    drift_window_add(&w->open, row);
    if (!err && w->open.rows >= d->conf.window_rows)
        err = close_window(d, w, s, arm, why);
    if (row->at_us > w->last_us)
        w->last_us = row->at_us;
    if (row->at_us < w->first_us)
        w->first_us = row->at_us;
    w->is_changed = true;
    return err;
}

enum err drifts_add(struct drifts *d, struct pg_session *s, const struct decided *decision, struct why *why)
{
    struct drift_row row = { .at_us = decision->txn.known_at_us,
                             .margin = decision->margin,
                             .action = decision->action };
    struct watched *w;
    enum err err;

    if (!decision->version || decision->txn.n < d->conf.learn_entries) {
        d->left_out++;
        return ERR_OK;
    }
    err = find(d, s, decision, &w, why);
    if (err || !w->is_known) {
        d->left_out++;
        return err;
    }
    err = read_vector(w, s, decision, &row.features, why);
    for (size_t f = 0; f < DRIFT_FIELD_COUNT; f++)
        row.fields[f] = field_of(&decision->txn, (enum drift_field)f);
    return err ? err : count(d, w, s, &row, decision->arm, why);
}
