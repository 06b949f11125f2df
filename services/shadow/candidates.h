/* SPDX-License-Identifier: Apache-2.0
 * candidates.h - the models that are being tried, and how they read vectors of the plans that were served.
 *
 * Blocking (pg/session.h), one thread. Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_SHADOW_CANDIDATES_H
#define ASSAY_SHADOW_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "fraud/txn.h"

struct pg_session;
struct candidates;
struct candidate;

/* `model_keys` is the path of those whose signatures are asked for, read for each version that is loaded, and
 * outlives it; empty: nobody's. */
struct candidates *candidates_new(const char *model_keys);
void candidates_free(struct candidates *c);

/* Reads which versions have the aliases, loads those that are new and lets go of the others. A bundle that cannot
 * be opened, or that none of the keys signed, is told of and left out, until it is signed or the file of the keys
 * changes. */
MUST_USE enum err candidates_look(struct candidates *c, struct pg_session *s, struct why *why);
size_t candidates_count(const struct candidates *c);
struct candidate *candidates_at(const struct candidates *c, size_t i);
int64_t candidate_version(const struct candidate *candidate);

enum scored {
    SCORED,
    UNSCORED_NO_VECTOR, /* the decision was made without features */
    UNSCORED_PLAN,      /* its plan lacks a feature of the model, or is not known */
    SCORED_COUNT
};
struct shadow_score {
    float margin;
    double score;
    enum action action; /* by the model's own thresholds */
};
/* Scores a stored vector as scoring would have.
 *   plan, vector  as they stand in `decisions` */
MUST_USE enum err candidate_score(struct candidate *candidate, struct pg_session *s, struct slice plan,
                                  struct slice vector, struct shadow_score *out, enum scored *how,
                                  struct why *why);

#endif
