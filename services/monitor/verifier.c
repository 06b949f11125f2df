/* SPDX-License-Identifier: Apache-2.0 */
#include "verifier.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "app/watch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cards.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"
#include "metrics/metrics.h"
#include "monitor.h"
#include "monitorstore/condition.h"
#include "sighting.h"
#include "trainingstore/trainingstore.h"

#define VERIFIER_LOCK "4707174031187263830"

/* From the newest RECENT entries, without those of the last moment, whose decision may be on its way. */
enum { SAMPLE = 500, RECENT = 100000, RESTS_PER_WORK = 50, LOOK_US = 60000000 };

enum { METRIC_RECOMPUTED, METRIC_MISMATCHED, METRIC_SECONDS, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_RECOMPUTED] = { "assay_monitor_recomputed_total",
                            METRIC_COUNTER,
                            "Decisions whose features were computed again from the log",
                            { NULL } },
    [METRIC_MISMATCHED] = { "assay_monitor_mismatched_total",
                            METRIC_COUNTER,
                            "Of them, those with a feature that differs in a bit; must be 0",
                            { NULL } },
    [METRIC_SECONDS] = { "assay_monitor_recompute_seconds",
                         METRIC_GAUGE,
                         "What the last sample took",
                         { NULL } },
};

struct figures {
    uint64_t recomputed, mismatched;
    double seconds;
};

struct verifier {
    const struct monitor_settings *conf;
    int64_t cards; /* customers that are looked at of a day */
    struct watch *watch;
    struct metric_set *metrics;
    const atomic_bool *is_ending; /* of the turn under way */
    struct figures figures;
    pthread_mutex_t lock;
    struct figures shown; /* under the lock */
};

/* What is compared. */
struct sample {
    struct arena arena;
    unsigned char plan_id[SHA256_BYTES];
    struct plan *plan;
    uint64_t places[SAMPLE]; /* rising */
    struct slice served[SAMPLE];
    size_t count, mismatched;
    uint64_t first; /* place of the first that differs */
    struct slice feature;
};

/* ---- choosing ---- */

static const char choose_sql[] =
    "SELECT " LOG_COLUMNS
    " FROM log l WHERE l.kind = 1 AND l.n > (SELECT max(n) FROM log) - $1::int8 AND l.known_at > "
    "'-infinity' ORDER BY hashint8(l.n + $2::int8) LIMIT $3::int8";

static const char served_sql[] = "SELECT k.n, d.plan, d.vector FROM unnest($1::int8[], $2::int4[], "
                                 "$3::text[], $4::timestamptz[]) AS k (n, account, "
                                 "id, known_at) JOIN decisions d ON d.account = k.account AND "
                                 "d.transaction_id = k.id AND d.known_at = k.known_at "
                                 "WHERE octet_length(d.plan) = 32 ORDER BY k.n";

static enum err choose(struct pg_session *s, struct pg_params *keys, size_t *count, struct why *why)
{
    struct pg_array *ns = pg_add_array(keys, PG_INT8), *accounts = pg_add_array(keys, PG_INT4),
                    *ids = pg_add_array(keys, PG_TEXT), *times = pg_add_array(keys, PG_TIMESTAMPTZ);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i64(&p, RECENT);
    pg_add_i64(&p, clock_wall_us() / SECOND_US);
    pg_add_i64(&p, SAMPLE);
    err = row_ask(s, choose_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        struct sighting txn;

        if (!sighting_read(&txn, &e))
            continue;
        pg_array_i64(ns, (int64_t)txn.n);
        pg_array_i32(accounts, (int32_t)txn.account);
        pg_array_text(ids, txn.id);
        pg_array_time_us(times, txn.known_at_us);
        ++*count;
    }
    pg_result_free(r);
    return err;
}

/* Those that were served under the plan of the newest of them. */
static void take_served(struct sample *sample, const struct pg_result *r)
{
    if (!pg_rows(r))
        return;
    memcpy(sample->plan_id, pg_get_bytes(r, pg_rows(r) - 1, 1).ptr, SHA256_BYTES);
    for (size_t i = 0; i < pg_rows(r) && sample->count < SAMPLE; i++) {
        if (memcmp(pg_get_bytes(r, i, 1).ptr, sample->plan_id, SHA256_BYTES) != 0)
            continue;
        sample->places[sample->count] = (uint64_t)pg_get_int(r, i, 0);
        sample->served[sample->count++] = arena_slice(&sample->arena, pg_get_bytes(r, i, 2));
    }
}

static enum err read_sample(struct sample *sample, struct pg_session *s, struct why *why)
{
    struct pg_params keys = { 0 };
    struct pg_result *r = NULL;
    size_t count;
    enum err err = choose(s, &keys, &count, why);

    if (err || !count) {
        pg_params_release(&keys);
        return err;
    }
    err = row_ask(s, served_sql, &keys, &r, why);
    if (!err)
        take_served(sample, r);
    pg_result_free(r);
    if (err || !sample->count)
        return err;
    pg_add_bytes(&keys, slice_of((const char *)sample->plan_id, SHA256_BYTES));
    r = NULL;
    err = row_ask(s, "SELECT definition FROM plans WHERE plan = $1::bytea", &keys, &r, why);
    if (!err && pg_rows(r))
        err = plan_parse(&sample->plan, pg_get_text(r, 0, 0), why);
    pg_result_free(r);
    return err;
}

/* ---- comparing ---- */

static bool is_same(float served, float computed)
{
    return memcmp(&served, &computed, sizeof served) == 0 || (isnan(served) && isnan(computed));
}

static void compare(struct sample *sample, const float *vectors)
{
    size_t columns = plan_columns(sample->plan);

    for (size_t i = 0; i < sample->count; i++) {
        size_t c = 0;

        for (; c < columns && sample->served[i].len == columns * sizeof(float); c++) {
            float served;

            memcpy(&served, sample->served[i].ptr + c * sizeof(float), sizeof served);
            if (!is_same(served, vectors[i * columns + c]))
                break;
        }
        if (c == columns)
            continue;
        if (sample->mismatched++ == 0) {
            sample->first = sample->places[i];
            sample->feature = plan_column(sample->plan, c)->name;
        }
    }
}

static bool goes_on(void *ctx, uint64_t entries)
{
    const struct verifier *v = ctx;

    (void)entries;
    return !atomic_load(v->is_ending);
}

static enum err keep_check(struct pg_session *s, size_t count, size_t mismatched, double seconds,
                           struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, (int64_t)count);
    pg_add_i64(&p, (int64_t)mismatched);
    pg_add_f64(&p, seconds);
    return row_ask(s,
                   "INSERT INTO monitor_checks (recomputed, mismatched, seconds) VALUES ($1::int8, $2::int8, "
                   "$3::float8)",
                   &p, NULL, why);
}

/* What cannot be held is not tried again at once, and nothing is said of what was found before. */
static enum err give_up(struct pg_session *s, double seconds, struct why *why)
{
    log_event(LOG_WARN, "features_unverified", "why=%s", log_quoted(slice_str(why->text)));
    return keep_check(s, 0, 0, seconds, why);
}

static enum err tell(struct pg_session *s, const struct sample *sample, double seconds, struct why *why)
{
    struct arena arena = { 0 };
    bool is_raised = sample->mismatched > 0;
    enum err err = keep_check(s, sample->count, sample->mismatched, seconds, why);

    if (!err)
        err = condition_report(
            s,
            &(struct condition){
                .id = SLICE("mismatch"),
                .kind = SLICE("mismatch"),
                .subject = SLICE("features"),
                .severity = SEVERITY_CRITICAL,
                .value = (double)sample->mismatched,
                .threshold = 0,
                .text =
                    is_raised
                        ? arena_printf(
                              &arena,
                              "%zu of %zu decisions were served features that the log does not give, first "
                              "%.*s of entry %" PRIu64 ". Run `assay verify`, and train nothing until it is "
                              "explained.",
                              sample->mismatched, sample->count, SLICE_ARG(sample->feature), sample->first)
                        : SLICE("Features that were served are those that the log gives."),
                .is_raised = is_raised },
            NULL, why);
    arena_release(&arena);
    return err;
}

static enum err verify(struct verifier *v, struct pg_session *s, struct sample *sample, struct why *why)
{
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    int64_t began_us = clock_mono_us();
    float *vectors;
    enum err err = read_sample(sample, s, why);

    if (err || !sample->plan)
        return err;
    query.hook = goes_on;
    query.context = v;
    query.memory_most = (size_t)v->conf->verify_mb << 20;
    vectors = mem_new_n(float, sample->count *plan_columns(sample->plan) + 1);
    err = trainingstore_recompute(s, &query, sample->plan, sample->places, sample->count, vectors, why);
    if (!err) {
        compare(sample, vectors);
        v->figures.seconds = (double)(clock_mono_us() - began_us) / 1e6;
        v->figures.recomputed += sample->count;
        v->figures.mismatched += sample->mismatched;
        if (sample->mismatched)
            log_event(LOG_ERROR, "features_differ", "sample=%zu mismatched=%zu n=%" PRIu64, sample->count,
                      sample->mismatched, sample->first);
        err = tell(s, sample, v->figures.seconds, why);
    } else if (err == ERR_LIMIT) {
        err = give_up(s, (double)(clock_mono_us() - began_us) / 1e6, why);
    }
    mem_free(vectors);
    return err;
}

/* ---- the whole ---- */

/* Whether it is time: by the checks that anybody has made. */
static enum err is_due(struct verifier *v, struct pg_session *s, bool *is, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, v->conf->verify_ms);
    pg_add_i64(&p, RESTS_PER_WORK);
    err = row_ask(
        s,
        "SELECT CASE WHEN EXISTS (SELECT FROM monitor_checks WHERE at > now() - greatest($1::int8 * interval "
        "'1 "
        "millisecond', $2::int8 * seconds * interval '1 second')) OR NOT EXISTS (SELECT FROM decisions) THEN "
        "false ELSE pg_try_advisory_lock(" VERIFIER_LOCK ") END",
        &p, &r, why);
    *is = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct verifier *v = ctx;
    struct sample *sample;
    bool is;
    enum err err, last;

    *rest_us = v->conf->verify_ms * MS_US < LOOK_US ? v->conf->verify_ms * MS_US : LOOK_US;
    if (!s)
        return ERR_OK;
    v->is_ending = is_ending;
    err = cards_look(s, v->cards, &is, why);
    if (!err && is)
        *rest_us = 0; /* there may be another day */
    if (!err && !is)
        err = is_due(v, s, &is, why);
    else
        is = false;
    if (err || !is)
        return err;
    sample = mem_new(struct sample);
    err = verify(v, s, sample, why);
    plan_free(sample->plan);
    arena_release(&sample->arena);
    mem_free(sample);
    if (err == ERR_TIMEOUT && atomic_load(is_ending))
        err = ERR_OK; /* it was told to stop */
    last = row_ask(s, "SELECT pg_advisory_unlock(" VERIFIER_LOCK ")", NULL, NULL, why);
    pthread_mutex_lock(&v->lock);
    v->shown = v->figures;
    pthread_mutex_unlock(&v->lock);
    return err ? err : last;
}

static void collect(void *ctx)
{
    struct verifier *v = ctx;
    struct figures f;

    pthread_mutex_lock(&v->lock);
    f = v->shown;
    pthread_mutex_unlock(&v->lock);
    metric_put(v->metrics, METRIC_RECOMPUTED, 0, (double)f.recomputed);
    metric_put(v->metrics, METRIC_MISMATCHED, 0, (double)f.mismatched);
    metric_put(v->metrics, METRIC_SECONDS, 0, f.seconds);
}

enum err verifier_open(struct verifier **out, struct metrics *metrics, const struct monitor_settings *conf,
                       int64_t cards, struct why *why)
{
    struct verifier *v = mem_new(struct verifier);
    enum err err;

    *out = NULL;
    v->conf = conf;
    v->cards = cards;
    pthread_mutex_init(&v->lock, NULL);
    v->metrics = metrics_add(metrics, metric_table, METRIC_COUNT);
    metrics_on_write(metrics, collect, v);
    err = watch_open(&v->watch,
                     &(struct watch_conf){ .name = "verifier",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-monitor-verifier",
                                           .role = conf->pg_role,
                                           .turn = turn,
                                           .ctx = v },
                     why);
    if (err) {
        verifier_close(v);
        return err;
    }
    *out = v;
    return ERR_OK;
}

void verifier_close(struct verifier *v)
{
    if (!v)
        return;
    watch_close(v->watch);
    pthread_mutex_destroy(&v->lock);
    mem_free(v);
}
