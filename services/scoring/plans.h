/* SPDX-License-Identifier: Apache-2.0
 * plans.h - which column of a served vector is which column of a model.
 *
 * A vector names its plan; the plan's text is one row of PostgreSQL away, read once. Features are matched by
 * identity (the hash of their definition), never by name or place. One thread: the loop's. */
#ifndef ASSAY_SCORING_PLANS_H
#define ASSAY_SCORING_PLANS_H

#include "base/err.h"
#include "model.h"

struct pg_pool;
struct plans;

/* `on_known` is called when a plan that was asked for came, or did not. Close after the pool. */
struct plans *plans_open(struct pg_pool *pool, void (*on_known)(void *ctx), void *ctx);
void plans_close(struct plans *p);

/* Reads the newest plans ahead, so that the first vector need not wait: when the pool has come up. */
void plans_hear(struct plans *p);
/* Models came or went. */
void plans_forget_models(struct plans *p);

enum plan_state {
    PLAN_KNOWN,
    PLAN_ASKED,  /* on its way; on_known will be called */
    PLAN_ABSENT, /* PostgreSQL does not have it */
    PLAN_AWAY,   /* PostgreSQL did not answer */
};
/* Asks for it when it is not known. `id` has SHA256_BYTES bytes. The answer comes, or fails, before the
 * deadline. */
enum plan_state plans_know(struct plans *p, struct slice id, int64_t deadline_mono_us);

/* How a model reads vectors of a plan. */
struct binding {
    const struct model *model;
    size_t vector_bytes;
    uint16_t *from;      /* [model's columns]: place in the vector */
    const char *missing; /* the first feature of the model that the plan lacks; NULL: it fits */
};
/* NULL while the plan is not known. Valid until the loop turns. */
const struct binding *plans_bind(struct plans *p, struct slice id, const struct model *model);

#endif
