/* SPDX-License-Identifier: Apache-2.0
 * registry.h - the models that aliases point to, as PostgreSQL has them, kept in memory.
 *
 *   aliases --(NOTIFY models, and a look each second)--> which versions --(worker thread)--> struct model
 *                                                                                               |
 *   serving <--(on each change, and every two seconds)-- what this process serves --------------+
 *
 * A version is read, opened and checked by a thread of its own and takes its place between two requests;
 * until then, or when it is refused, the model before it goes on. Its row in `serving` is written after that: a
 * call that comes once the row is there is not scored by the model before. (Unless its vectors lack a feature of the
 * new one, see README.md; and a decision that was under way may be scored by whichever serves when it comes to
 * that step.) While PostgreSQL is away, so do all.
 *
 * Except for that thread inside, one thread: the loop's. A model that was found is valid until the loop
 * turns. */
#ifndef ASSAY_SCORING_REGISTRY_H
#define ASSAY_SCORING_REGISTRY_H

#include "base/err.h"
#include "model.h"

struct loop;
struct metrics;
struct pg_pool;
struct registry;

struct registry_options {
    struct loop *loop;
    struct pg_pool *pool;   /* for reading aliases */
    const char *conninfo;   /* for the worker's own connection, */
    const char *role;       /* which takes this role; NULL: none */
    const char *name;       /* whose champion decides; empty: the one that became champion last */
    const char *model_keys; /* file of those whose signatures count, read for each version that is loaded;
                                      * empty: none is asked for */
    struct metrics *metrics;
    void (*on_change)(void *ctx); /* models came or went: what was derived from them is void */
    void *ctx;
};

/* Starts reading at once and keeps trying. Close it after the pool, with the loop still there. */
MUST_USE enum err registry_open(struct registry **out, const struct registry_options *options,
                                struct why *why);
void registry_close(struct registry *r);

/* Something changed: on NOTIFY models, and when the pool has come up. */
void registry_hear(struct registry *r);

/* The one whose champion decides; empty before there is one. */
struct slice registry_name(const struct registry *r);
/* NULL where the alias points nowhere or its model is not loaded yet. */
struct model *registry_find(const struct registry *r, struct slice name, const char *alias);
/* A version that some alias of `name` points to. */
struct model *registry_version(const struct registry *r, struct slice name, struct slice version);
/* Versions of `name` that are loaded, newest first; at most `most`. Returns how many. */
size_t registry_versions(const struct registry *r, struct slice name, struct model **out, size_t most);
/* The experiment that runs between the champion of `name` and its challenger. */
struct registry_trial {
    struct model *challenger;
    double share; /* of the customers, to the challenger */
    int64_t salt;
};
/* False when none runs, or its candidate is not what serves as challenger. */
bool registry_trial(const struct registry *r, struct slice name, struct registry_trial *out);
/* Why there is no champion, for /readyz. */
const char *registry_trouble(const struct registry *r);

#endif
