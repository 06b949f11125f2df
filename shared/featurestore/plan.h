/* SPDX-License-Identifier: Apache-2.0
 * plan.h - which features are computed, in which order: the union of what models and rules need.
 *
 * A plan is immutable and self-contained; its text is what lives in PostgreSQL (`plans`), in the log's PLAN
 * entries and inside a bundle. Columns are the features that are not hidden, in order. A plan's identity is
 * the SHA-256 over its columns' identities in order, so equal identities mean equal vectors, whatever the
 * features are called. */
#ifndef ASSAY_FEATURESTORE_PLAN_H
#define ASSAY_FEATURESTORE_PLAN_H

#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "featurestore/catalogue.h"

struct plan;

enum { PLAN_COLUMNS_MAX = 1024 };
#define PLAN_NO_COLUMN SIZE_MAX
#define PLAN_NO_PLACE  UINT16_MAX

/* All features of a catalogue, in its order.
 *   ERR_INVALID  more than the kernel's limits allow (columns, conditions or values per entity) */
MUST_USE enum err plan_build(struct plan **out, const struct catalogue *catalogue, struct why *why);

/* The union: the first plan's columns in order, then what each next one adds. A column shown by any is shown.
 * No plans give the empty plan, which has no column. */
MUST_USE enum err plan_merge(struct plan **out, const struct plan *const *plans, size_t count,
                             struct why *why);

/* The columns with these names, in this order; what they depend on comes along hidden.
 *   ERR_NOT_FOUND  no column of that name */
MUST_USE enum err plan_select(struct plan **out, const struct plan *plan, const struct slice *names,
                              size_t count, struct why *why);

/* Reads what plan_text() wrote; validated as hostile input, identities recomputed. */
MUST_USE enum err plan_parse(struct plan **out, struct slice text, struct why *why);
void plan_free(struct plan *plan);

/* The plan's own bytes, NUL-terminated. plan_parse(plan_text(p)) gives the same text again. */
struct slice plan_text(const struct plan *plan);
/* SHA256_BYTES bytes. */
const unsigned char *plan_hash(const struct plan *plan);

size_t plan_columns(const struct plan *plan);
/* Name, words, definition and identity of a column; the plan's own. */
const struct feature *plan_column(const struct plan *plan, size_t column);
/* The column with this identity (SHA256_BYTES bytes) or name, or PLAN_NO_COLUMN. Where a union brought the
 * same name for two definitions, the first has it. */
size_t plan_find(const struct plan *plan, const unsigned char *hash);
size_t plan_find_name(const struct plan *plan, struct slice name);
/* Where the columns of `own` lie in the vectors of `served`: from[plan_columns(own)] gets their places, matched by
 * identity, PLAN_NO_PLACE for those that it lacks. Returns PLAN_NO_COLUMN when it has them all, else the first that it
 * lacks. */
size_t plan_map(const struct plan *own, const struct plan *served, uint16_t *from);

#endif
