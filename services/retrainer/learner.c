/* SPDX-License-Identifier: Apache-2.0 */
#include "learner.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fraud/txn.h"
#include "lifestore/follower.h"
#include "lifestore/row.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "onlinestore/onlinestore.h"
#include "retrainer.h"

enum { BATCH_LABELS = 200, NAME_SIZE = BUNDLE_NAME_MAX + 1 };

#define NEVER                                                                                                \
    2.0 /* a threshold that no probability reaches: the model is a canary, and decides nothing yet */

enum {
    METRIC_LABELS_SEEN,
    METRIC_EXAMPLES,
    METRIC_LOG_LOSS,
    METRIC_AP,
    METRIC_MEAN,
    METRIC_SHARE,
    METRIC_COUNT
};
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_LABELS_SEEN] = { "assay_online_labels_total",
                             METRIC_COUNTER,
                             "Labels that this process came to, by what was made of them: learned, "
                             "nothing_new, "
                             "no_vector",
                             { "what" } },
    [METRIC_EXAMPLES] = { "assay_online_examples",
                          METRIC_GAUGE,
                          "Examples the online model has seen",
                          { NULL } },
    [METRIC_LOG_LOSS] = { "assay_online_log_loss",
                          METRIC_GAUGE,
                          "Of what it said before it learned, over its last window",
                          { NULL } },
    [METRIC_AP] = { "assay_online_average_precision", METRIC_GAUGE, "The same", { NULL } },
    [METRIC_MEAN] = { "assay_online_mean_probability", METRIC_GAUGE, "The same", { NULL } },
    [METRIC_SHARE] = { "assay_online_fraud_share",
                       METRIC_GAUGE,
                       "Of the examples of its last window",
                       { NULL } },
};

enum taught { LEARNED, NOTHING_NEW, NO_VECTOR, TAUGHT_COUNT };
static const char *const taught_names[] = { "learned", "nothing_new", "no_vector" };
static_assert(ARRAY_LEN(taught_names) == TAUGHT_COUNT, "every way has a name");

/* What the metrics show: the thread writes, the loop reads. */
struct figures {
    uint64_t taught[TAUGHT_COUNT];
    struct online_progress progress;
};

struct learner {
    const struct retrainer_settings *conf;
    struct watch *watch;
    struct metric_set *metrics;
    size_t by_taught[TAUGHT_COUNT];
    pthread_mutex_t lock;
    struct figures figures, shown;
};

/* One SQL transaction. */
struct lesson {
    struct pg_session *s;
    char name[NAME_SIZE];
    int64_t champion, n; /* labels up to n are learned */
    struct online_row row;
    struct online_reference *reference;
    struct online_binding *binding; /* of the plan that came last */
    struct online_entry *entries;
    struct figures done;
    bool is_full;
    struct why *why;
};

static enum err find_champion(struct lesson *l)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(l->s,
                "SELECT name, version FROM aliases WHERE alias = 'champion' ORDER BY updated_at DESC, name "
                "LIMIT 1",
                NULL, &r, l->why);

    if (!err && pg_rows(r)) {
        snprintf(l->name, sizeof l->name, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
        l->champion = pg_get_int(r, 0, 1);
    }
    pg_result_free(r);
    return err;
}

/* The model as it stands, or a new one. Rows are encoded by the champion of now: bins are named by quantiles, so a
 * new reference of the same feature finds its bins again. */
static enum err read_model(struct lesson *l)
{
    bool is_new;
    enum err err = online_store_read(l->s, slice_str(l->name), -1, &l->row, &is_new, l->why);

    if (err == ERR_NOT_FOUND) {
        l->row = (struct online_row){ .model = online_new(&online_defaults),
                                      .thresholds = { NEVER, NEVER, NEVER } };
        err = ERR_OK;
    }
    l->row.reference = l->champion;
    if (!err)
        err = online_reference_read(&l->reference, l->s, l->champion, online_settings(l->row.model)->bits,
                                    l->why);
    return err;
}

static enum err bind(struct lesson *l, struct slice id)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct plan *plan = NULL;
    enum err err;

    if (l->binding && memcmp(online_binding_plan(l->binding), id.ptr, SHA256_BYTES) == 0)
        return ERR_OK;
    online_binding_free(l->binding);
    mem_free(l->entries);
    l->binding = NULL;
    l->entries = NULL;
    pg_add_bytes(&p, id);
    err = row_ask(l->s, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, l->why);
    if (!err && pg_rows(r))
        err = plan_parse(&plan, pg_get_text(r, 0, 0), l->why);
    if (plan) {
        l->binding = online_bind(l->reference, plan);
        l->entries = mem_new_n(struct online_entry, online_binding_entries_max(l->binding) + 1);
    }
    plan_free(plan);
    pg_result_free(r);
    return err;
}

static const char labels_sql[] =
    "SELECT l.n, l.account, l.transaction_id, b.is_fraud, a.is_fraud, d.plan, d.vector, d.action, d.p_allow "
    "FROM "
    "(SELECT * FROM labels WHERE n > $1::int8 ORDER BY n LIMIT $2::int8) l "
    "JOIN LATERAL (SELECT t.is_fraud FROM labels t WHERE t.account = l.account AND t.transaction_id = "
    "l.transaction_id AND t.n <= l.n ORDER BY t.source DESC, t.labelled_at DESC, t.n DESC LIMIT 1) a ON true "
    "LEFT JOIN LATERAL (SELECT t.is_fraud FROM labels t WHERE t.account = l.account AND t.transaction_id = "
    "l.transaction_id AND t.n < l.n ORDER BY t.source DESC, t.labelled_at DESC, t.n DESC LIMIT 1) b ON true "
    "LEFT JOIN transaction_ids i ON i.account = l.account AND i.id = l.transaction_id "
    "LEFT JOIN decisions d ON d.account = l.account AND d.transaction_id = l.transaction_id AND d.known_at = "
    "i.known_at ORDER BY l.n";

enum { COL_N, COL_ACCOUNT, COL_ID, COL_BEFORE, COL_AFTER, COL_PLAN, COL_VECTOR, COL_ACTION, COL_P_ALLOW };

static uint64_t key_of(const struct pg_result *r, size_t row)
{
    struct hash_key key = { "assay online" };
    int32_t account = (int32_t)pg_get_int(r, row, COL_ACCOUNT);

    memcpy(key.bytes + 12, &account, sizeof account);
    return hash64(&key, pg_get_text(r, row, COL_ID));
}

static enum err teach(struct lesson *l, const struct pg_result *r, size_t row)
{
    struct slice plan = pg_get_bytes(r, row, COL_PLAN), vector = pg_get_bytes(r, row, COL_VECTOR);
    bool is_fraud = pg_get_bool(r, row, COL_AFTER);
    double p_allow = pg_get_float(r, row, COL_P_ALLOW);
    bool stands_for_others = pg_get_int(r, row, COL_ACTION) != ACTION_DECLINE && p_allow > 0 && p_allow < 1;
    enum taught what = LEARNED;
    size_t count;
    enum err err = ERR_OK;

    l->n = pg_get_int(r, row, COL_N);
    if (!pg_is_null(r, row, COL_BEFORE) && pg_get_bool(r, row, COL_BEFORE) == is_fraud)
        what = NOTHING_NEW;
    else if (plan.len != SHA256_BYTES || vector.len == 0)
        what = NO_VECTOR;
    else
        err = bind(l, plan);
    if (what == LEARNED && !l->binding)
        what = NO_VECTOR;
    if (!err && what == LEARNED) {
        count = online_binding_encode(l->binding, vector, l->entries);
        online_learn(l->row.model, l->entries, count, is_fraud, stands_for_others ? 1 / p_allow : 1,
                     key_of(r, row));
        l->row.labels++;
    }
    l->done.taught[what]++;
    return err;
}

static enum err learn_batch(struct lesson *l)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, l->n);
    pg_add_i64(&p, BATCH_LABELS);
    err = row_ask(l->s, labels_sql, &p, &r, l->why);
    l->is_full = !err && pg_rows(r) == BATCH_LABELS;
    if (!err && pg_rows(r))
        err = read_model(l);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = teach(l, r, i);
    if (!err && pg_rows(r)) {
        l->row.n = l->n;
        err = online_store_write(l->s, slice_str(l->name), &l->row, l->why);
    }
    pg_result_free(r);
    return err;
}

static enum err learn_in_transaction(struct lesson *l, const char *follower, const json_t *place)
{
    int64_t n_before = json_integer_value(json_object_get(place, "n"));
    json_t *after;
    enum err err;

    l->n = n_before;
    err = learn_batch(l);
    if (err)
        return err;
    if (l->n == n_before) {
        follower_abandon(l->s);
        return ERR_OK;
    }
    after = json_pack("{s:I}", "n", (json_int_t)l->n);
    err = follower_commit(l->s, follower, after, l->why);
    json_decref(after);
    return err;
}

static enum err learn(struct lesson *l)
{
    char follower[NAME_SIZE + 16];
    json_t *place = NULL;
    enum err err;

    snprintf(follower, sizeof follower, "online:%s", l->name);
    err = follower_begin(l->s, follower, &place, l->why);
    if (err)
        return err;
    err = learn_in_transaction(l, follower, place);
    if (err)
        follower_abandon(l->s);
    json_decref(place);
    return err;
}

/* ---- the whole ---- */

static void show(struct learner *learner, const struct lesson *l)
{
    struct figures *f = &learner->figures;

    for (size_t i = 0; i < TAUGHT_COUNT; i++)
        f->taught[i] += l->done.taught[i];
    if (l->row.model)
        f->progress = online_progress(l->row.model);
    pthread_mutex_lock(&learner->lock);
    learner->shown = *f;
    pthread_mutex_unlock(&learner->lock);
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct learner *learner = ctx;
    struct lesson l = { .s = s, .why = why };
    enum err err;

    (void)is_ending;
    *rest_us = learner->conf->turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = find_champion(&l);
    if (!err && *l.name)
        err = learn(&l);
    if (!err)
        show(learner, &l);
    if (l.is_full)
        *rest_us = 0;
    online_binding_free(l.binding);
    online_reference_free(l.reference);
    online_free(l.row.model);
    mem_free(l.entries);
    return err;
}

static void collect(void *ctx)
{
    struct learner *l = ctx;
    const struct online_window *w;
    struct figures f;

    pthread_mutex_lock(&l->lock);
    f = l->shown;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < TAUGHT_COUNT; i++)
        metric_put(l->metrics, METRIC_LABELS_SEEN, l->by_taught[i], (double)f.taught[i]);
    w = f.progress.last.examples ? &f.progress.last : &f.progress.running;
    metric_put(l->metrics, METRIC_EXAMPLES, 0, (double)f.progress.examples);
    metric_put(l->metrics, METRIC_LOG_LOSS, 0, w->log_loss);
    metric_put(l->metrics, METRIC_AP, 0, w->average_precision);
    metric_put(l->metrics, METRIC_MEAN, 0, w->mean_probability);
    metric_put(l->metrics, METRIC_SHARE, 0, w->fraud_share);
}

enum err learner_open(struct learner **out, struct metrics *metrics, const struct retrainer_settings *conf,
                      struct why *why)
{
    struct learner *l = mem_new(struct learner);
    enum err err;

    *out = NULL;
    l->conf = conf;
    pthread_mutex_init(&l->lock, NULL);
    l->metrics = metrics_add(metrics, metric_table, METRIC_COUNT);
    for (size_t i = 0; i < TAUGHT_COUNT; i++)
        l->by_taught[i] = metric_series(l->metrics, METRIC_LABELS_SEEN, taught_names[i], NULL);
    metrics_on_write(metrics, collect, l);
    err = watch_open(&l->watch,
                     &(struct watch_conf){ .name = "learner",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-retrainer-learner",
                                           .role = conf->pg_role,
                                           .turn = turn,
                                           .ctx = l },
                     why);
    if (err) {
        learner_close(l);
        return err;
    }
    *out = l;
    return ERR_OK;
}

void learner_close(struct learner *l)
{
    if (!l)
        return;
    watch_close(l->watch);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

bool learner_is_well(struct learner *l, struct why *trouble)
{
    return watch_is_well(l->watch, trouble);
}
