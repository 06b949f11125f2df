/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "history.h"
#include "needs.h"

enum { SNAPSHOTS_KEPT = 5, BACKGROUND_NICE = 19 };

/* Which plan to build: none while the served one has all that is needed, and no velocities that nobody asks for any
 * more; after a start the one of the log's
 * newest PLAN entry, if it will do, since its snapshots are there. */
static enum err choose_plan(struct job *job, struct pg_session *s, struct plan **out, struct plan **logged,
                            struct why *why)
{
    struct plan *needed = NULL;
    enum err err = needs_read(&needed, s, job->catalogue, job->rules_kept_ms, why);

    *out = *logged = NULL;
    if (!err)
        err = history_last_plan(s, logged, why);
    if (err || (job->plan && needs_are_met(job->plan, needed) && !needs_have_gone(job->plan, needed))) {
        plan_free(needed);
        return err;
    }
    if (!job->plan && *logged && needs_are_met(*logged, needed)) {
        plan_free(needed);
        return plan_parse(out, plan_text(*logged), why);
    }
    *out = needed;
    return ERR_OK;
}

static enum err build(struct job *job, struct pg_session *s, const atomic_bool *is_cancelled, struct why *why)
{
    struct plan *plan, *logged;
    uint64_t tip = 0;
    enum err err = choose_plan(job, s, &plan, &logged, why);

    if (!err && plan) {
        err = history_tip(s, &tip, why);
        if (err)
            plan_free(plan);
        else /* from so early a snapshot that the newest vectors are computed again */
            err = history_build(&job->replica, s, plan, tip > job->recent_max ? tip - job->recent_max : 0,
                                UINT64_MAX, job->recent_max, is_cancelled, &job->from, why);
    }
    if (!err && job->replica) {
        if (logged && !replica_logged_plan(job->replica))
            replica_note_plan(job->replica, plan_hash(logged));
        err = history_newest(s, replica_plan(job->replica), &job->snapshot_n, &job->snapshot_at_us, why);
    }
    plan_free(logged);
    return err;
}

static enum err snapshot(struct job *job, struct pg_session *s, const atomic_bool *is_cancelled,
                         struct why *why)
{
    struct replica *replica = NULL;
    struct plan *plan = NULL;
    enum err err = plan_parse(&plan, plan_text(job->plan), why);

    if (!err)
        err = history_build(&replica, s, plan, job->n, job->n, 1, is_cancelled, &job->from, why);
    if (!err)
        err = history_save(s, replica, job->epoch, job->is_kept, SNAPSHOTS_KEPT, &job->bytes, why);
    replica_free(replica);
    return err;
}

/* Payments come first where there is more work than processors: a state of a million transactions takes seconds
 * to read and to compress. On Linux the priority is the thread's own. */
static void step_back(void)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
}

void job_run(void *ctx, const atomic_bool *is_cancelled)
{
    struct job *job = ctx;
    struct pg_session *s = NULL;
    int64_t began = clock_mono_us();

    if (job->kind != JOB_BUILD) /* somebody may wait for that one */
        step_back();
    if (job->kind == JOB_FREE) {
        replica_free(job->replica);
        job->replica = NULL;
        return;
    }
    job->err = history_open(&s, job->pg_url, &job->why);
    if (!job->err)
        job->err = job->kind == JOB_BUILD ? build(job, s, is_cancelled, &job->why)
                                          : snapshot(job, s, is_cancelled, &job->why);
    if (job->err) {
        replica_free(job->replica);
        job->replica = NULL;
    }
    pg_session_close(s);
    job->took_us = clock_mono_us() - began;
}
