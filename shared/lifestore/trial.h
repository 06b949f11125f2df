/* SPDX-License-Identifier: Apache-2.0
 * trial.h - experiments and verdicts: a candidate beside the champion, and what was found about it.
 *
 * Moves of states and aliases are modelstore's; the functions that write here are made to be its `also`, so
 * that a move, its verdict and the experiment's row are one SQL transaction.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_LIFESTORE_TRIAL_H
#define ASSAY_LIFESTORE_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

#define TRIAL_NO_TIME INT64_MIN

/* A row of `experiments`; texts are the arena's. */
struct trial {
    int64_t experiment;
    struct slice name, stage, state; /* stage: "shadow", "ab"; state: "running", "passed", ... */
    int64_t champion, candidate;     /* versions */
    double share;                    /* of the customers, to the candidate */
    int64_t salt;
    struct slice design, progress; /* JSON */
    int64_t started_at_us, ended_at_us;
    struct slice ended_by;
};

void trial_write(struct json_out *o, const char *key, const struct trial *trial);

/* The newest first; `is_running`: only those that run. *out is the arena's. */
MUST_USE enum err trial_list(struct pg_session *s, bool is_running, size_t most, struct trial **out,
                             size_t *count, struct arena *arena, struct why *why);
/* Those that a version is or was the champion or the candidate of, the newest first. */
MUST_USE enum err trial_list_of(struct pg_session *s, int64_t version, size_t most, struct trial **out,
                                size_t *count, struct arena *arena, struct why *why);
/* ERR_NOT_FOUND  no such experiment */
MUST_USE enum err trial_read(struct pg_session *s, int64_t experiment, struct trial *out, struct arena *arena,
                             struct why *why);

/* Writes a new running experiment; `experiment`, `state` and the end of `trial` are not looked at.
 *   ERR_INVALID  one of that name and stage runs already */
MUST_USE enum err trial_start(struct pg_session *s, const struct trial *trial, int64_t *experiment,
                              struct why *why);
/* What the sequential test has seen. */
MUST_USE enum err trial_keep(struct pg_session *s, int64_t experiment, struct slice progress,
                             struct why *why);
/* ERR_CONFLICT  it does not run any more */
MUST_USE enum err trial_end(struct pg_session *s, int64_t experiment, const char *state, struct slice by,
                            int64_t now_us, struct why *why);

/* A person stops an experiment: it becomes 'stopped' and its candidate, where it is still in that stage,
 * validated, with the alias taken away, in one SQL transaction.
 *   ERR_NOT_FOUND  no such experiment      ERR_CONFLICT  it does not run */
MUST_USE enum err trial_stop(struct pg_session *s, int64_t experiment, struct slice actor, int64_t now_us,
                             struct why *why);

/* A row of `verdicts`. */
struct verdict_row {
    int64_t verdict, version, experiment; /* experiment 0: none */
    struct slice stage, gate, outcome;    /* as the table has them */
    struct slice reason, evidence;        /* evidence: a JSON object; empty: {} */
    int64_t at_us;
};
void verdict_row_write(struct json_out *o, const char *key, const struct verdict_row *v);

MUST_USE enum err verdict_add(struct pg_session *s, const struct verdict_row *v, struct why *why);
/* Of a version, or with `version` 0 of an experiment; in the order in which they were found. */
MUST_USE enum err verdict_list(struct pg_session *s, int64_t version, int64_t experiment,
                               struct verdict_row **out, size_t *count, struct arena *arena, struct why *why);

#endif
