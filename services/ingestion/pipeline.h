/* SPDX-License-Identifier: Apache-2.0
 * pipeline.h - from a sound transaction to a committed decision, in groups without a timer.
 *
 *   submit -> [FEATURES] -> [SCORE] -> [DECIDE] -> [COMMIT] -> done
 *                 |  known already                  |  lost, or outcome not seen
 *                 +----------> [LOOKUP] <-----------+
 *
 * Between DECIDE and COMMIT stands [CLAIM] for what the score declined while a control slice is on (control.h).
 * Before FEATURES is the entrance (entrance.h), where keys take turns and what has become too late is refused.
 *
 * Each stage has a queue. What arrives while a stage's call is under way forms its next call, up to a cap; an
 * idle stage takes what one turn of the loop brought. Calls of different stages overlap; FEATURES has one at
 * a time, so the log has the order in which a key's transactions arrived. A transaction id is on its way once
 * at most: a second request for it waits for the first and is then looked up.
 *
 * A stage that fails is stepped over: the decision says so in `degraded`. Only PostgreSQL cannot be done
 * without. How much may be under way is the gate's to say (gate.h). */
#ifndef ASSAY_INGESTION_PIPELINE_H
#define ASSAY_INGESTION_PIPELINE_H

#include "base/arena.h"
#include "base/hash.h"
#include "decision.h"
#include "fraud/txn.h"
#include "lanes.h"
#include "loop/loop.h"
#include "trace/context.h"

struct ingestion;
struct pipeline;
struct job;
struct group;

enum job_state { JOB_NEW, JOB_ON_ITS_WAY, JOB_DONE };
enum { JOB_GROUPS = 3, JOB_DEGRADED_MAX = 4 };

enum stage_name {
    STAGE_FEATURES,
    STAGE_SCORE,
    STAGE_DECIDE,
    STAGE_CLAIM,
    STAGE_COMMIT,
    STAGE_RESERVE,
    STAGE_LOOKUP,
    STAGE_COUNT
};

typedef void job_done_fn(void *ctx, struct job *job);

/* One transaction. Who made it fills the first part, then submits. */
struct job {
    struct arena arena; /* holds what `txn` points to */
    struct txn txn;
    unsigned char hash[SHA256_BYTES];
    int64_t arrived_mono_us, deadline_mono_us;
    uint64_t key; /* whose turn it takes: caller_number() */
    struct trace trace;

    /* When done. ERR_OK: `decision`, fresh or as it was stored. Else a reason:
     *   ERR_CONFLICT     the id belongs to another transaction
     *   ERR_TIMEOUT      the deadline passed before anything was done: nothing is stored
     *   ERR_UNAVAILABLE  PostgreSQL is missing, or was lost on the way, or it waited too long to be begun: the
     *                    same id may be sent again
     *   ERR_INTERNAL     PostgreSQL cannot store this one */
    enum err err;
    struct why why;
    struct decision decision;
    bool is_replayed;
    bool is_refused; /* at the entrance; ERR_UNAVAILABLE */
    bool waits;      /* there: nothing has been done for it, and if its time is over nothing will be */

    /* The pipeline's. */
    struct pipeline *pipeline;
    job_done_fn *done;
    void *ctx;
    enum job_state state;
    struct job *next;                   /* in a stage's queue, or free */
    struct job *bucket_next;            /* among those on their way, by id */
    struct job *waiting, *waiting_next; /* for the same id */
    Assay__V1__Transaction *message;
    struct group *groups[JOB_GROUPS]; /* whose answers the decision points into */
    size_t group_count;
    char *degraded[JOB_DEGRADED_MAX];
    enum stage_name after_lookup; /* where to go when the id has no decision yet */
    bool has_place;               /* its id is in transaction_ids */
    unsigned lookups;
    int64_t entered_mono_us; /* the stage it is in */
    int64_t begun_mono_us;   /* when it was let in; 0: it waits, or is done */
    struct job *begun_before, *begun_after;
    struct laned place; /* at the entrance */
};

struct pipeline *pipeline_new(struct ingestion *in);
void pipeline_free(struct pipeline *p); /* when nothing is on its way */

/* `idle` is called once, when no job is left; at once when there is none now. */
void pipeline_when_idle(struct pipeline *p, void (*idle)(void *ctx), void *ctx);
/* Jobs under way. */
size_t pipeline_jobs(const struct pipeline *p);

/* How long `units` more of the key would take, at `rate_per_s` and by what is under way. */
int64_t pipeline_expects_us(const struct pipeline *p, uint64_t key, size_t units, double rate_per_s);

/* An empty job; give it back with job_release() whether or not it was submitted. */
struct job *job_new(struct pipeline *p);
/* `done` is called once, never from within here. */
void job_submit(struct job *job, job_done_fn *done, void *ctx);
/* Only reads: ERR_NOT_FOUND when the id has no decision. Needs account and id only. */
void job_look_up(struct job *job, job_done_fn *done, void *ctx);
void job_release(struct job *job);

#endif
