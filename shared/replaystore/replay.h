/* SPDX-License-Identifier: Apache-2.0
 * replay.h - makes a past decision again, with the model and the rule set that made it and the lists as they were, and
 * compares it bit for bit with what is stored.
 *
 *   payment   the request's hash is that of the payment which is kept
 *   score     vector -> margin, score, contributions and thresholds, by the bundle of its version
 *   rules     lists, rules with their values, thresholds, reasons, action; the set in shadow too
 *   record    the packed bytes of all that: equal but for what nobody could compute again (how long things took)
 *
 * The kernels are those that decide: forest/, bundle/, policystore/answer.h. The vector is the stored one; that it is the
 * log's, `assay verify` shows of all decisions, and replay_vector() of one.
 *
 * What could not be made again is said, and not taken for a match: a score of the online model, which has learned since
 * (the rules then go by the score that is stored); who was drawn for the control slice.
 *
 * Blocking (pg/session.h); errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_REPLAYSTORE_REPLAY_H
#define ASSAY_REPLAYSTORE_REPLAY_H

#include "json/json_out.h"
#include "replaystore/past.h"
#include "replaystore/shelf.h"

enum replay_step { REPLAY_PAYMENT, REPLAY_SCORE, REPLAY_RULES, REPLAY_RECORD, REPLAY_STEP_COUNT };
const char *replay_step_name(enum replay_step step);

enum replay_outcome {
    REPLAY_MATCHES,
    REPLAY_DIFFERS,
    REPLAY_AS_STORED, /* it cannot be made again, and was taken as it is stored */
    REPLAY_LOST,      /* what it was made with is not there any more */
};
const char *replay_outcome_name(enum replay_outcome outcome); /* "matches", "differs", "as_stored", "lost" */

/* A field that is another one now. Texts are the arena's. */
struct replay_difference {
    enum replay_step step;
    struct slice field, stored, computed;
};

enum { REPLAY_DIFFERENCES_MAX = 32 };

struct replay {
    enum replay_outcome outcome; /* of the whole: the worst of its steps */
    enum replay_outcome steps[REPLAY_STEP_COUNT];
    struct slice notes[REPLAY_STEP_COUNT]; /* what is to be said of it besides; may be empty */
    struct replay_difference differences[REPLAY_DIFFERENCES_MAX];
    size_t difference_count; /* of all; the first REPLAY_DIFFERENCES_MAX are told */
    int64_t lists_lag_us;    /* how old a change was that had not reached the process; 0: none */
};

/* Needs shelf_look_at_lists() before. Errors are of PostgreSQL only: what is not there or cannot be read is an outcome. */
MUST_USE enum err replay_decision(struct replay *out, struct shelf *shelf, struct pg_session *s,
                                  const struct past *p, struct arena *arena, struct why *why);

/* {"outcome", "transaction_id", "model_version", "ruleset_version", "arm", "degraded": [part], "decided_at",
 *  "lists_lag_us", "steps": [{"step", "outcome", "note"}], "differences": [{"step", "field", "stored", "computed"}],
 *  "difference_count"} */
void replay_write(struct json_out *o, const char *key, const struct past *p, const struct replay *r);

/* The vector once more from the log alone, by the plan of the decision. Reads all entries of the account before its own
 * (*entries), not only those that share something with it: what an entity still holds depends on how far it lies behind
 * the newest payment of its account (featurestore/store.h, "Held"). *differing gets the bytes that differ.
 *   ERR_NOT_FOUND  it was decided without a vector, or its entry is not in the log */
MUST_USE enum err replay_vector(const struct past *p, struct shelf *shelf, struct pg_session *s,
                                int64_t *entries, int64_t *differing, struct why *why);

/* ---- many ---- */

struct replay_sample {
    uint32_t account;
    struct slice id;
};
/* `count` decisions drawn by `seed`, all of them where there are fewer; those of one model and rule set follow each
 * other. The arena's. */
MUST_USE enum err replay_draw(struct pg_session *s, int64_t count, int64_t seed, struct arena *arena,
                              struct replay_sample **out, size_t *drawn, struct why *why);

#endif
