/* SPDX-License-Identifier: Apache-2.0
 * fallback.c - see fallback.h.
 *
 *   reader:  look --nothing new--> wait a second --> look
 *             | newer weights, or another plan
 *             v
 *            read, open, bind --> `next` --loop_post--> loop: `now` = next, the old one to `retired` --> reader frees
 */
#include "fallback.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "app/service.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/plan.h"
#include "log/log.h"
#include "onlinestore/onlinestore.h"
#include "pipeline_impl.h"

enum {
    PLANS = 8 /* the newest; older ones do not come back */,
    LOOK_EVERY_S = 1,
    CLOSE_WITHIN_S = 5,
    VERSION_SIZE = 32
};

enum { METRIC_SCORED, METRIC_LEARNED, METRIC_FALLBACK_COUNT };
static const struct metric metric_table[METRIC_FALLBACK_COUNT] = {
    [METRIC_SCORED] = { "assay_ingestion_fallback_total",
                        METRIC_COUNTER,
                        "Transactions that scoring did not answer for, by what the fallback score did",
                        { "outcome" } },
    [METRIC_LEARNED] = { "assay_ingestion_fallback_labels",
                         METRIC_GAUGE,
                         "Labels that the online model in use has learned from; 0: there is none",
                         { NULL } },
};

/* The features of a version, and who encodes by them; counted by the reader alone. */
struct encoding {
    int64_t version;
    int bits;
    struct online_reference *reference;
    size_t refs;
};

/* All that a score takes. Never changes once the loop has it. */
struct model {
    struct online_row row;
    char version[VERSION_SIZE];
    struct encoding *encoding;
    struct online_binding *bindings[PLANS];
    size_t count;
    struct model *next; /* retired before */
};

struct fallback {
    struct ingestion *in;
    struct metric_set *metrics;
    struct model *now;

    pthread_t reader;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock: */
    struct model *next, *retired;
    bool has_next, is_closing; /* has_next with `next` NULL: there is no model any more */

    /* The reader's: */
    struct pg_session *pg;
    struct encoding *encoding;
    struct plan *plans[PLANS];
    size_t plan_count;
    int64_t n; /* that was handed over; -1: none */
    bool was_refused;
};

/* ---- the reader ---- */

static void encoding_unref(struct encoding *e)
{
    if (!e || --e->refs > 0)
        return;
    online_reference_free(e->reference);
    mem_free(e);
}

static void model_free(struct model *m)
{
    while (m) {
        struct model *next = m->next;

        for (size_t i = 0; i < m->count; i++)
            online_binding_free(m->bindings[i]);
        encoding_unref(m->encoding);
        online_free(m->row.model);
        mem_free(m);
        m = next;
    }
}

static void drop_plans(struct fallback *f)
{
    for (size_t i = 0; i < f->plan_count; i++)
        plan_free(f->plans[i]);
    f->plan_count = 0;
}

/* Whether the newest plans are others than those that are held. */
static enum err plans_have_changed(struct fallback *f, bool *have_changed, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(f->pg, "SELECT plan FROM plans ORDER BY created_at DESC, plan LIMIT 8", NULL, &r, why);

    *have_changed = !err && pg_rows(r) != f->plan_count;
    for (size_t i = 0; !err && !*have_changed && i < f->plan_count; i++)
        *have_changed = !slice_eq(pg_get_bytes(r, i, 0), slice_of(plan_hash(f->plans[i]), SHA256_BYTES));
    pg_result_free(r);
    return err;
}

static enum err read_plans(struct fallback *f, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(f->pg, "SELECT definition FROM plans ORDER BY created_at DESC, plan LIMIT 8", NULL, &r, why);

    if (!err)
        drop_plans(f);
    for (size_t i = 0; !err && i < pg_rows(r) && i < PLANS; i++) {
        err = plan_parse(&f->plans[f->plan_count], pg_get_text(r, i, 0), why);
        if (!err)
            f->plan_count++;
    }
    pg_result_free(r);
    return err;
}

static enum err read_encoding(struct fallback *f, const struct online_row *row, struct why *why)
{
    int bits = online_settings(row->model)->bits;
    struct encoding *e;
    enum err err;

    if (f->encoding && f->encoding->version == row->reference && f->encoding->bits == bits)
        return ERR_OK;
    e = mem_new(struct encoding);
    *e = (struct encoding){ .version = row->reference, .bits = bits, .refs = 1 };
    err = online_reference_read(&e->reference, f->pg, row->reference, bits, why);
    if (err) {
        encoding_unref(e);
        return err;
    }
    encoding_unref(f->encoding);
    f->encoding = e;
    return ERR_OK;
}

static void on_next(void *ctx);

static void hand_over(struct fallback *f, struct model *m)
{
    struct model *unseen;

    pthread_mutex_lock(&f->lock);
    unseen = f->next;
    f->next = m;
    f->has_next = true;
    pthread_mutex_unlock(&f->lock);
    model_free(unseen);
    loop_post(f->in->loop, on_next, f);
}

static struct model *model_new(struct fallback *f, const struct online_row *row)
{
    struct model *m = mem_new(struct model);

    m->row = *row;
    snprintf(m->version, sizeof m->version, "online:%" PRId64, row->n);
    m->encoding = f->encoding;
    m->encoding->refs++;
    for (; m->count < f->plan_count; m->count++)
        m->bindings[m->count] = online_bind(f->encoding->reference, f->plans[m->count]);
    return m;
}

static enum err look(struct fallback *f, struct why *why)
{
    struct online_row row;
    bool is_new, have_plans_changed;
    enum err err = plans_have_changed(f, &have_plans_changed, why);

    if (err)
        return err;
    err = online_store_read(f->pg, slice_str(f->in->conf.scoring_model), have_plans_changed ? -1 : f->n, &row,
                            &is_new, why);
    if (err == ERR_NOT_FOUND) {
        if (f->n >= 0)
            hand_over(f, NULL);
        f->n = -1;
        return ERR_OK;
    }
    if (err || !is_new)
        return err;
    err = have_plans_changed ? read_plans(f, why) : ERR_OK;
    if (!err)
        err = read_encoding(f, &row, why);
    if (err) {
        online_free(row.model);
        return err;
    }
    hand_over(f, model_new(f, &row));
    f->n = row.n;
    return ERR_OK;
}

static enum err open_session(struct fallback *f, struct why *why)
{
    enum err err = pg_session_open(&f->pg, f->in->conf.pg_url, "assay-ingestion-fallback", why);

    if (!err)
        err = pg_exec_script(f->pg, "SET ROLE assay_ingestion; SET statement_timeout = '5s'", why);
    return err;
}

/* PostgreSQL that is away is the pipeline's to complain about; a model that cannot be used is told once. */
static void look_again(struct fallback *f)
{
    struct why why = { 0 };
    enum err err = f->pg ? ERR_OK : open_session(f, &why);
    bool is_away;

    if (!err)
        err = look(f, &why);
    is_away = err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT;
    if (is_away) {
        pg_session_close(f->pg);
        f->pg = NULL;
    } else if (err && !f->was_refused) {
        log_event(LOG_ERROR, "online_model_refused", "err=%s why=%s", err_name(err),
                  log_quoted(slice_str(why.text)));
    }
    if (!is_away)
        f->was_refused = err != ERR_OK;
}

static void *reader_main(void *arg)
{
    struct fallback *f = arg;
    struct timespec until;

    pthread_mutex_lock(&f->lock);
    while (!f->is_closing) {
        struct model *retired = f->retired;

        f->retired = NULL;
        pthread_mutex_unlock(&f->lock);
        model_free(retired);
        look_again(f);
        pthread_mutex_lock(&f->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LOOK_EVERY_S;
        if (!f->is_closing)
            pthread_cond_timedwait(&f->wake, &f->lock, &until);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the loop ---- */

static void on_next(void *ctx)
{
    struct fallback *f = ctx;
    struct model *old = NULL;

    pthread_mutex_lock(&f->lock);
    if (f->has_next) {
        old = f->now;
        f->now = f->next;
        f->next = NULL;
        f->has_next = false;
    }
    if (old) {
        old->next = f->retired;
        f->retired = old;
    }
    pthread_mutex_unlock(&f->lock);
    metric_put(f->metrics, METRIC_LEARNED, 0, f->now ? (double)f->now->row.labels : 0);
}

enum err fallback_open(struct fallback **out, struct ingestion *in, struct why *why)
{
    struct fallback *f = mem_new(struct fallback);

    f->in = in;
    f->n = -1;
    f->metrics = metrics_add(service_metrics(in->app), metric_table, METRIC_FALLBACK_COUNT);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    if (pthread_create(&f->reader, NULL, reader_main, f) != 0) {
        mem_free(f);
        return err_set(why, ERR_INTERNAL, "no thread for reading the online model");
    }
    *out = f;
    return ERR_OK;
}

void fallback_close(struct fallback *f)
{
    struct timespec until;

    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->is_closing = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_WITHIN_S;
    if (pthread_timedjoin_np(f->reader, NULL, &until) != 0)
        return; /* PostgreSQL does not answer it, and the process ends anyway */
    model_free(f->now);
    model_free(f->next);
    model_free(f->retired);
    encoding_unref(f->encoding);
    drop_plans(f);
    pg_session_close(f->pg);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

static const struct online_binding *find_binding(const struct model *m, struct slice plan)
{
    for (size_t i = 0; plan.len == SHA256_BYTES && i < m->count; i++) {
        if (memcmp(online_binding_plan(m->bindings[i]), plan.ptr, SHA256_BYTES) == 0)
            return m->bindings[i];
    }
    return NULL;
}

static const char *score(struct fallback *f, struct job *job)
{
    const struct model *m = f->now;
    struct decision *d = &job->decision;
    const struct online_binding *binding;
    struct online_entry *entries;
    double margin;
    size_t count;

    if (!m || !bundle_thresholds_reach(&m->row.thresholds))
        return "no_model";
    if (d->vector.len == 0)
        return "no_vector";
    binding = find_binding(m, d->plan);
    if (!binding)
        return "no_plan";
    entries = arena_new(&job->arena, struct online_entry, online_binding_entries_max(binding));
    count = online_binding_encode(binding, d->vector, entries);
    if (count == 0)
        return "no_vector";
    margin = online_margin(m->row.model, entries, count);
    d->has_score = true;
    d->score = online_probability(margin);
    d->margin = (float)margin;
    d->arm = SLICE("fallback");
    d->model_version = arena_slice(&job->arena, slice_str(m->version));
    d->record.thresholds = arena_new(&job->arena, Assay__V1__Thresholds, 1);
    assay__v1__thresholds__init(d->record.thresholds);
    d->record.thresholds->challenge = m->row.thresholds.challenge;
    d->record.thresholds->review = m->row.thresholds.review;
    d->record.thresholds->decline = m->row.thresholds.decline;
    return "scored";
}

void fallback_score(struct fallback *f, struct job *job)
{
    const char *outcome = score(f, job);

    metric_inc(f->metrics, METRIC_SCORED, metric_series(f->metrics, METRIC_SCORED, outcome, NULL));
}
