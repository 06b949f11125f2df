/* SPDX-License-Identifier: Apache-2.0
 * needs.h - which features must be computed: those of the catalogue file that the operator names, those of every
 * bundle that an alias points to, and the velocities of every rule set that is in force, in shadow, prepared, or was in
 * force a short while ago. Blocks: for a thread of its own. */
#ifndef ASSAY_FEATURES_NEEDS_H
#define ASSAY_FEATURES_NEEDS_H

#include <stdbool.h>

#include "base/err.h"
#include "featurestore/plan.h"

struct pg_session;

/* The union, the catalogue's first, then the bundles by version, then the rule sets, those in force first. `catalogue_path`
 * "": none. Without any it is the empty plan. What cannot be read, and a rule set whose velocities do not fit in a plan
 * any more, is left out and logged: one bad row must not stop the log. Rule sets that were in force, and drafts that
 * were prepared, count for `kept_ms`.
 *   ERR_NOT_FOUND  no such catalogue    ERR_SYNTAX, ERR_INVALID  it is not one */
MUST_USE enum err needs_read(struct plan **out, struct pg_session *s, const char *catalogue_path,
                             int64_t kept_ms, struct why *why);

/* Whether every column of `needed` is one of `plan`. */
bool needs_are_met(const struct plan *plan, const struct plan *needed);
/* Whether `plan` has velocities that are not `needed`: what rules asked for goes when they do. */
bool needs_have_gone(const struct plan *plan, const struct plan *needed);

#endif
