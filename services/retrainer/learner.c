/* SPDX-License-Identifier: Apache-2.0 */
#include "learner.h"

#include <pthread.h>

#include "app/watch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "retrainer.h"
#include "teacher.h"

enum {
    METRIC_TAUGHT,
    METRIC_AWAITED,
    METRIC_WAITING,
    METRIC_DRAWN,
    METRIC_EXAMPLES,
    METRIC_LOG_LOSS,
    METRIC_AP,
    METRIC_MEAN,
    METRIC_SHARE,
    METRIC_DECIDES,
    METRIC_COUNT
};
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_TAUGHT] = { "assay_online_taught_total",
                        METRIC_COUNTER,
                        "What this process came to, by what was made of it: label and silence (the label "
                        "delay has passed without one) were learned; nothing_new, left_out, no_vector, "
                        "no_room were not",
                        { "what" } },
    [METRIC_AWAITED] = { "assay_online_awaited_labels",
                         METRIC_GAUGE,
                         "Labels whose decision is not stored yet",
                         { NULL } },
    [METRIC_WAITING] = { "assay_online_waiting",
                         METRIC_GAUGE,
                         "Payments that wait for the label delay in online_pending",
                         { NULL } },
    [METRIC_DRAWN] = { "assay_online_drawn_share",
                       METRIC_GAUGE,
                       "Share of the payments that are drawn to wait; it falls as their room fills",
                       { NULL } },
    [METRIC_EXAMPLES] = { "assay_online_examples",
                          METRIC_GAUGE,
                          "Examples the online model has seen",
                          { NULL } },
    [METRIC_LOG_LOSS] = { "assay_online_log_loss",
                          METRIC_GAUGE,
                          "Of what it said before it learned, over its last window",
                          { NULL } },
    [METRIC_AP] = { "assay_online_average_precision",
                    METRIC_GAUGE,
                    "Of what it said before it learned, over its last window",
                    { NULL } },
    [METRIC_MEAN] = { "assay_online_mean_probability",
                      METRIC_GAUGE,
                      "Of what it said before it learned, over its last window",
                      { NULL } },
    [METRIC_SHARE] = { "assay_online_fraud_share",
                       METRIC_GAUGE,
                       "Of the examples of its last window",
                       { NULL } },
    [METRIC_DECIDES] = { "assay_online_may_decide",
                         METRIC_GAUGE,
                         "1 when it has thresholds, and so may stand in for scoring",
                         { NULL } },
};

/* What the metrics show: the thread writes, the loop reads. */
struct figures {
    uint64_t taught[TAUGHT_COUNT];
    size_t awaited, waiting;
    double drawn;
    struct online_progress progress;
    bool may_decide;
};

struct learner {
    const struct retrainer_settings *conf;
    struct watch *watch;
    struct teacher *teacher;
    struct metric_set *metrics;
    size_t by_taught[TAUGHT_COUNT];
    pthread_mutex_t lock;
    struct figures figures, shown;
};

static void show(struct learner *learner, const struct lesson *l)
{
    struct figures *f = &learner->figures;

    for (size_t i = 0; i < TAUGHT_COUNT; i++)
        f->taught[i] += l->taught[i];
    if (l->has_model) {
        f->awaited = l->awaited;
        f->waiting = l->waiting;
        f->drawn = l->drawn;
        f->progress = l->progress;
        f->may_decide = bundle_thresholds_reach(&l->thresholds);
    }
    pthread_mutex_lock(&learner->lock);
    learner->shown = *f;
    pthread_mutex_unlock(&learner->lock);
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct learner *learner = ctx;
    struct lesson lesson;
    enum err err;

    *rest_us = learner->conf->turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = teacher_go_on(learner->teacher, s, is_ending, &lesson, why);
    if (err == ERR_TIMEOUT && atomic_load(is_ending))
        err = ERR_OK; /* the lesson is taught again by whoever comes next */
    else if (!err)
        show(learner, &lesson);
    if (lesson.is_full)
        *rest_us = 0;
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
        metric_put(l->metrics, METRIC_TAUGHT, l->by_taught[i], (double)f.taught[i]);
    w = f.progress.last.examples ? &f.progress.last : &f.progress.running;
    metric_put(l->metrics, METRIC_AWAITED, 0, (double)f.awaited);
    metric_put(l->metrics, METRIC_WAITING, 0, (double)f.waiting);
    metric_put(l->metrics, METRIC_DRAWN, 0, f.drawn);
    metric_put(l->metrics, METRIC_DECIDES, 0, f.may_decide);
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
    l->teacher = teacher_new(1 / (double)conf->online_others, (size_t)conf->online_waiting);
    pthread_mutex_init(&l->lock, NULL);
    l->metrics = metrics_add(metrics, metric_table, METRIC_COUNT);
    for (size_t i = 0; i < TAUGHT_COUNT; i++)
        l->by_taught[i] = metric_series(l->metrics, METRIC_TAUGHT, taught_names[i], NULL);
    metrics_on_write(metrics, collect, l);
    err = watch_open(&l->watch,
                     &(struct watch_conf){ .name = "learner",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-retrainer-learner",
                                           .role = conf->pg_role,
                                           .session_sql = teacher_session_sql,
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
    teacher_free(l->teacher);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

bool learner_is_well(struct learner *l, struct why *trouble)
{
    return watch_is_well(l->watch, trouble);
}
