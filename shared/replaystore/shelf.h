/* SPDX-License-Identifier: Apache-2.0
 * shelf.h - what decisions were made with, read from PostgreSQL and kept for the next that was made with the same:
 * models, plans, rule sets, and which lists there ever were.
 *
 * Bounded: of each kind the last few that were asked for stay. What is handed out is the shelf's, and valid until
 * SHELF_*_MAX - 1 others of its kind have been asked for. One thread at a time.
 *
 * Blocking (pg/session.h); errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_REPLAYSTORE_SHELF_H
#define ASSAY_REPLAYSTORE_SHELF_H

#include <stdint.h>

#include "bundle/bundle.h"
#include "policy/policy.h"

struct pg_session;
struct shelf;

enum { SHELF_MODELS_MAX = 4, SHELF_PLANS_MAX = 16, SHELF_POLICIES_MAX = 16 };

struct shelf *shelf_new(void);
void shelf_free(struct shelf *shelf);

/* A model with what a row needs. */
struct shelf_model {
    int64_t version;
    struct bundle *bundle;
    struct forest_scratch *scratch;
    float *row;            /* [columns of the forest]: the row under way */
    double *contributions; /* [columns + 1] */
};
/* A version of the registry. Its bytes are compared with their digest, and a signature that is there is checked.
 *   ERR_NOT_FOUND  no such version; others as model_read() and bundle_open() have them */
MUST_USE enum err shelf_model(struct shelf *shelf, struct pg_session *s, int64_t version,
                              const struct shelf_model **out, struct why *why);

/*   ERR_NOT_FOUND  no plan of that hash (SHA256_BYTES bytes) */
MUST_USE enum err shelf_plan(struct shelf *shelf, struct pg_session *s, struct slice hash,
                             const struct plan **out, struct why *why);

/* A policy of the rule set `version`, and beside it the one in shadow; 0 is none of either. It has no lists yet:
 * lists.h gives it those of a moment. The caller may give it others.
 *   ERR_NOT_FOUND  no such rule set      ERR_INVALID  it cannot be compiled any more */
MUST_USE enum err shelf_policy(struct shelf *shelf, struct pg_session *s, int64_t version, int64_t shadow,
                               struct policy **out, struct why *why);

/* A list that there is, or was. */
struct shelf_list {
    int64_t number, created_at_us, dropped_at_us; /* INT64_MAX: it is there */
    struct list *list;                            /* without its entries */
};
/* Reads anew which there are, in the order of their numbers; both are the shelf's until the next call. */
MUST_USE enum err shelf_look_at_lists(struct shelf *shelf, struct pg_session *s, struct why *why);
size_t shelf_lists(const struct shelf *shelf, const struct shelf_list **lists);

#endif
