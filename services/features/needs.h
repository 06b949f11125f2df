/* SPDX-License-Identifier: Apache-2.0
 * needs.h - which features must be computed: those of every bundle that an alias points to, and those of the
 * catalogue file that the operator names. Blocks: for a thread of its own. */
#ifndef ASSAY_FEATURES_NEEDS_H
#define ASSAY_FEATURES_NEEDS_H

#include <stdbool.h>

#include "base/err.h"
#include "featurestore/plan.h"

struct pg_session;

/* The union, the catalogue's first, then the bundles by version. `catalogue_path` "": none. Without either it
 * is the empty plan. A bundle that cannot be read is left out and logged: one bad row must not stop the log.
 *   ERR_NOT_FOUND  no such catalogue    ERR_SYNTAX, ERR_INVALID  it is not one */
MUST_USE enum err needs_read(struct plan **out, struct pg_session *s, const char *catalogue_path,
                             struct why *why);

/* Whether every column of `needed` is one of `plan`. */
bool needs_are_met(const struct plan *plan, const struct plan *needed);

#endif
