/* SPDX-License-Identifier: Apache-2.0
 * pipeline_impl.h - what the steps of the pipeline share; for its own files only.
 *
 *   job.c       one transaction: its life, who waits for it, who else has its id
 *   entrance.c  the wait before the first step, and who is refused there
 *   group.c     the queue before a stage, and how a group of jobs leaves it together
 *   compute.c   FEATURES: the place in the log, and the vector
 *   score.c     SCORE: the model's score and what made it
 *   decide.c    DECIDE: the action
 *   control.c   CLAIM, for what the score declined while a control slice is on: whether it is let through
 *   commit.c    COMMIT, and RESERVE for what has no place in the log yet: the decision is stored
 *   lookup.c    LOOKUP: what PostgreSQL knows of an id */
#ifndef ASSAY_INGESTION_PIPELINE_IMPL_H
#define ASSAY_INGESTION_PIPELINE_IMPL_H

#include "base/buf.h"
#include "entrance.h"
#include "ingestion.h"
#include "pipeline.h"

enum { ID_BUCKETS = 8192 /* a power of two */, PLAN_BYTES = 32, SQL_SILENT_US = 1000000 };

/* Jobs that go through one stage together. It lives as long as anyone points into its arena. */
struct group {
    struct pipeline *pipeline;
    struct stage *stage;
    struct arena arena;
    size_t refs;
    struct job **jobs; /* in the arena */
    size_t count;
    int64_t started_mono_us;
    struct trace *spans; /* in the arena: one below each request whose trace is sampled */
    size_t span_count;
    struct group *next_free;
};

struct stage {
    struct pipeline *pipeline;
    const char *label;
    void (*start)(struct group *group); /* ends with group_end() and group_unref() */
    bool is_sql, by_plan;               /* by_plan: the jobs of a group have the same plan, or none */
    size_t most;                        /* groups under way at once */

    struct job *head, **tail; /* the queue */
    size_t in_flight;
    struct loop_task task;
    size_t series; /* of M_STAGE and M_GROUP */
};

struct pipeline {
    struct ingestion *in;
    struct stage stages[STAGE_COUNT];
    struct entrance entrance;
    struct job *ids[ID_BUCKETS]; /* the jobs on their way, by account and id */
    struct hash_key id_key;
    size_t jobs;

    void (*idle)(void *ctx);
    void *idle_ctx;

    struct job *free_jobs;
    size_t free_job_count;
    struct group *free_groups;

    /* The plan that features served last, and a row of it in which everything is missing. */
    unsigned char plan[PLAN_BYTES];
    struct buf missing_row;

    /* A PostgreSQL that has not answered for SQL_SILENT_US is as good as missing. When what it was asked timed
     * out it stays so for as long again; then one group finds out. */
    size_t sql_in_flight;
    int64_t sql_answered_mono_us, sql_silent_until_mono_us;
};

/* Calls whoever waits for the pipeline to be idle, if it is. */
void pipeline_tell_idle(struct pipeline *p);

/* ---- a job's way (job.c) */

void job_enter(struct job *job, enum stage_name stage);
/* Tells who waits; the job may be gone afterwards. */
void job_finish(struct job *job, enum err err);
void job_fail(struct job *job, enum err err, const char *reason);
/* Notes that the decision is made without `part`, a literal. */
void job_degrade(struct job *job, const char *part);
/* Keeps what `group` was answered with as long as the job lives. */
void job_keep(struct job *job, struct group *group);
void job_free_all(struct pipeline *p);

/* ---- groups (group.c) */

struct group *group_new(struct stage *s);
void group_begin(struct group *group);
/* The answer is here and has been read, or there is none: `err` is how it ended. Returns how long it took. */
uint32_t group_end(struct group *group, enum err err);
/* The same for a group that PostgreSQL was asked about. */
void group_end_sql(struct group *group, enum err err);
/* What was done here instead of a call that came to nothing, as a span below those of the stage; after group_end(). */
void group_tell_instead(struct group *group, const char *name, int64_t began_us);
void group_unref(struct group *group);
void group_free_all(struct pipeline *p);
/* When it should be answered: half of what is left to the one with the most patience, so that there is time
 * for doing without. */
int64_t group_deadline(const struct group *group);
/* What its call carries. A call is made for many traces and can be below one: it is within the first that is sampled,
 * and linked with the spans that the others have of it. */
const char *group_trace(const struct group *group);
void stage_init(struct stage *s, struct pipeline *p);

/* ---- the steps: each `start` is a row of the table in pipeline.c */

void compute_start(struct group *group);
void score_start(struct group *group);
void decide_start(struct group *group);
void claim_start(struct group *group);
void commit_start(struct group *group);
void reserve_start(struct group *group);
void lookup_start(struct group *group);
/* Asks what PostgreSQL knows of the job's id; it goes on to `next` when that is no decision. */
void lookup_before(struct job *job, enum stage_name next);

#endif
