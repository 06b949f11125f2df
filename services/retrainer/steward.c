/* SPDX-License-Identifier: Apache-2.0 */
#include "steward.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "candidate.h"
#include "lifestore/due.h"
#include "lifestore/run.h"
#include "lifestore/schedule.h"
#include "log/log.h"
#include "lifestore/row.h"
#include "metrics/metrics.h"
#include "modelstore/keys.h"
#include "pg/session.h"
#include "retrainer.h"
#include "trainee.h"
#include "training.h"

enum { METRIC_FIRED, METRIC_STARTED, METRIC_ENDED, METRIC_ACTIVE, METRIC_PROGRESS, METRIC_NOW, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_FIRED] = { "assay_retrainer_schedules_fired_total",
                       METRIC_COUNTER,
                       "Runs that this process queued because a schedule was due",
                       { NULL } },
    [METRIC_STARTED] = { "assay_retrainer_trainings_started_total",
                         METRIC_COUNTER,
                         "Processes that this one started to train in",
                         { NULL } },
    [METRIC_ENDED] = { "assay_retrainer_trainings_ended_total",
                       METRIC_COUNTER,
                       "How they ended: done, busy, stopped, died",
                       { "how" } },
    [METRIC_ACTIVE] = { "assay_retrainer_run",
                        METRIC_GAUGE,
                        "The run that is trained here, 0 for none",
                        { NULL } },
    [METRIC_PROGRESS] = { "assay_retrainer_run_progress",
                          METRIC_GAUGE,
                          "How far it has come, 0 to 1",
                          { NULL } },
    [METRIC_NOW] = { "assay_retrainer_clock_timestamp_seconds",
                     METRIC_GAUGE,
                     "Its clock, in seconds since 1970",
                     { NULL } },
};

enum { SCHEDULES_REMEMBERED = 64 };

enum ending { ENDED_DONE, ENDED_BUSY, ENDED_STOPPED, ENDED_DIED, ENDING_COUNT };
static const char *const ending_names[] = { "done", "busy", "stopped", "died" };
static_assert(ARRAY_LEN(ending_names) == ENDING_COUNT, "every ending has a name");

/* What the metrics show: the thread writes, the loop reads. */
struct figures {
    uint64_t fired, started, ended[ENDING_COUNT];
    int64_t run, now_us;
    double progress;
};

struct steward {
    const struct retrainer_settings *conf;
    struct watch *watch;
    struct stages stages;
    uint64_t
        unreadable[SCHEDULES_REMEMBERED]; /* hashes of schedules that were complained of; the oldest goes */
    size_t unreadable_count;
    struct guard_times guard_times;
    struct trainee trainee;
    int64_t no_trainee_before_mono_us; /* after one that died young */
    struct metric_set *metrics;
    size_t by_ending[ENDING_COUNT];
    pthread_mutex_t lock;
    struct figures figures, shown;
};

/* ---- schedules ---- */

/* Once for what it says: it is read at every turn. */
static void complain(struct steward *st, const struct schedule *schedule, const struct why *trouble)
{
    const struct hash_key key = { "assay schedules" };
    char text[1024];
    int len = snprintf(text, sizeof text, "%.*s\n%.*s\n%.*s", SLICE_ARG(schedule->name),
                       SLICE_ARG(schedule->cron), SLICE_ARG(schedule->zone));
    uint64_t hash = hash64(&key, slice_of(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1));

    for (size_t i = 0; i < st->unreadable_count && i < SCHEDULES_REMEMBERED; i++)
        if (st->unreadable[i] == hash)
            return;
    st->unreadable[st->unreadable_count++ % SCHEDULES_REMEMBERED] = hash;
    log_event(LOG_WARN, "schedule_unreadable", "name=%s why=%s", log_quoted(schedule->name),
              log_quoted(slice_str(trouble->text)));
}

static enum err keep_schedule(struct steward *st, struct pg_session *s, const struct schedule *schedule,
                              int64_t now_us, struct why *why)
{
    struct why trouble = { 0 };
    struct due *due;
    int64_t due_us, run = 0;
    enum err err;

    if (!schedule->is_enabled)
        return ERR_OK;
    if (schedule->fired_at_us == SCHEDULE_NEVER)
        return schedule_begin(s, schedule, now_us, why);
    if (due_open(&due, schedule->cron, schedule->zone, &trouble)) {
        complain(st, schedule, &trouble);
        return ERR_OK; /* the others are not to suffer */
    }
    due_us = due_last(due, schedule->fired_at_us, now_us);
    due_close(due);
    if (due_us == SCHEDULE_NEVER)
        return ERR_OK;
    err = schedule_fire(s, schedule, due_us, &run, why);
    if (!err && run) {
        char at[RFC3339_SIZE];

        rfc3339_format(due_us, at);
        log_event(LOG_INFO, "schedule_fired", "name=%s due=%s run=%" PRId64, log_quoted(schedule->name), at,
                  run);
        st->figures.fired++;
    }
    return err;
}

static enum err keep_schedules(struct steward *st, struct pg_session *s, int64_t now_us, struct why *why)
{
    struct arena arena = { 0 };
    struct schedule *all;
    size_t count = 0;
    enum err err = schedule_list(s, &all, &count, &arena, why);

    for (size_t i = 0; i < count && !err; i++)
        err = keep_schedule(st, s, &all[i], now_us, why);
    arena_release(&arena);
    return err;
}

/* ---- the one that trains ---- */

static void note_end(struct steward *st, int status)
{
    enum ending ending = ENDED_DIED;

    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        ending = ENDED_DONE;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == TRAINING_BUSY)
        ending = ENDED_BUSY;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == TRAINING_STOPPED)
        ending = ENDED_STOPPED;
    log_event(ending == ENDED_DIED ? LOG_WARN : LOG_INFO, "training_ended", "run=%" PRId64 " how=%s %s=%d",
              st->trainee.run, ending_names[ending], WIFSIGNALED(status) ? "signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    st->figures.ended[ending]++;
    st->figures.run = 0;
    st->figures.progress = 0;
    if (ending == ENDED_DIED) /* its server session may take a moment to see it */
        st->no_trainee_before_mono_us = clock_mono_us() + SECOND_US;
}

static enum err look_at_trainee(struct steward *st, struct pg_session *s, struct why *why)
{
    struct arena arena = { 0 };
    struct run run;
    enum err err = run_read(s, st->trainee.run, &run, &arena, why);

    if (!err) {
        st->figures.progress = run.progress;
        if (run.is_cancelled)
            trainee_tell_to_stop(&st->trainee);
    }
    arena_release(&arena);
    return err;
}

static enum err keep_training(struct steward *st, struct pg_session *s, struct why *why)
{
    int64_t run = 0;
    int status;
    enum err err;

    if (st->trainee.pid && !trainee_has_ended(&st->trainee, &status))
        return look_at_trainee(st, s, why);
    if (st->trainee.run) {
        note_end(st, status);
        st->trainee.run = 0;
    }
    if (clock_mono_us() < st->no_trainee_before_mono_us)
        return ERR_OK;
    err = run_next(s, &run, why);
    if (err || !run)
        return err;
    err = trainee_start(&st->trainee, run, (int)st->conf->nice, why);
    if (!err) {
        log_event(LOG_INFO, "training_started", "run=%" PRId64 " pid=%d", run, (int)st->trainee.pid);
        st->figures.started++;
        st->figures.run = run;
    }
    return err;
}

/* ---- candidates ---- */

#define STEWARD_LOCK "7308604896967881574"

/* One retrainer takes candidates further; the lock is the session's, and taken once in it. */
static enum err is_first(struct pg_session *s, bool *is_ours, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(s,
                "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = "
                "pg_backend_pid() AND granted) THEN true ELSE pg_try_advisory_lock(" STEWARD_LOCK ") END",
                NULL, &r, why);

    *is_ours = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

static enum err keep_candidates(struct steward *st, struct pg_session *s, struct why *why)
{
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    bool is_ours;
    enum err err = is_first(s, &is_ours, why);

    if (err || !is_ours)
        return err;
    err = model_keys_read(&keys, st->conf->model_keys, &arena, why); /* whom to trust may have changed */
    if (!err)
        err = candidates_step(s, &st->stages, keys, &st->guard_times, st->figures.now_us, why);
    arena_release(&arena);
    return err;
}

/* ---- the whole ---- */

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct steward *st = ctx;
    enum err err;

    (void)is_ending;
    *rest_us = st->conf->turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = retrainer_now(st->conf, s, &st->figures.now_us, why);
    if (!err)
        err = keep_schedules(st, s, st->figures.now_us, why);
    if (!err)
        err = keep_training(st, s, why);
    if (!err)
        err = keep_candidates(st, s, why);
    pthread_mutex_lock(&st->lock);
    st->shown = st->figures;
    pthread_mutex_unlock(&st->lock);
    return err;
}

static void collect(void *ctx)
{
    struct steward *st = ctx;
    struct figures f;

    pthread_mutex_lock(&st->lock);
    f = st->shown;
    pthread_mutex_unlock(&st->lock);
    metric_put(st->metrics, METRIC_FIRED, 0, (double)f.fired);
    metric_put(st->metrics, METRIC_STARTED, 0, (double)f.started);
    for (enum ending e = 0; e < ENDING_COUNT; e++)
        metric_put(st->metrics, METRIC_ENDED, st->by_ending[e], (double)f.ended[e]);
    metric_put(st->metrics, METRIC_ACTIVE, 0, (double)f.run);
    metric_put(st->metrics, METRIC_PROGRESS, 0, f.progress);
    metric_put(st->metrics, METRIC_NOW, 0, (double)f.now_us / 1e6);
}

enum err steward_open(struct steward **out, struct metrics *metrics, const struct retrainer_settings *conf,
                      struct why *why)
{
    struct steward *st = mem_new(struct steward);
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    enum err err;

    *out = NULL;
    st->conf = conf;
    pthread_mutex_init(&st->lock, NULL);
    st->metrics = metrics_add(metrics, metric_table, METRIC_COUNT);
    for (enum ending e = 0; e < ENDING_COUNT; e++)
        st->by_ending[e] = metric_series(st->metrics, METRIC_ENDED, ending_names[e], NULL);
    metrics_on_write(metrics, collect, st);
    err = stages_read(&st->stages, conf->stages, why);
    if (!err)
        err = model_keys_read(&keys, conf->model_keys, &arena,
                              why); /* so that a wrong path is noticed at once */
    arena_release(&arena);
    if (err) {
        steward_close(st);
        return err;
    }
    err = watch_open(&st->watch,
                     &(struct watch_conf){ .name = "steward",
                                           .conninfo = conf->pg_url,
                                           .application = "assay-retrainer",
                                           .role = conf->pg_role,
                                           .turn = turn,
                                           .ctx = st },
                     why);
    if (err) {
        steward_close(st);
        return err;
    }
    *out = st;
    return ERR_OK;
}

void steward_close(struct steward *st)
{
    if (!st)
        return;
    watch_close(st->watch); /* with its thread's end the trainee is told to stop */
    trainee_end(&st->trainee);
    pthread_mutex_destroy(&st->lock);
    mem_free(st);
}

void steward_wake(struct steward *st)
{
    watch_wake(st->watch);
}

bool steward_is_well(struct steward *st, struct why *trouble)
{
    return watch_is_well(st->watch, trouble);
}
