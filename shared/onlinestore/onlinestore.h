/* SPDX-License-Identifier: Apache-2.0
 * onlinestore.h - online models as the table `online_models` keeps them: packed weights, how rows are encoded
 * for them, and their own thresholds.
 *
 * Who learns and who serves must make the same entries of the same vector, bit for bit. So a row names the
 * version whose bundle says which features count and by which reference histograms they are encoded, and both
 * read that bundle and bind plans here. A feature that a plan does not have is missing in its rows.
 *
 *   online_store_read()  -->  row.model, row.reference (a version)
 *   online_reference_read(version)  -->  what to encode by         once for each version
 *   online_bind(reference, plan)    -->  where its columns lie     once for each plan
 *   online_binding_encode(vector)   -->  entries                   for online_margin(), online_learn()
 *
 * Blocking where there is a session (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_ONLINESTORE_ONLINESTORE_H
#define ASSAY_ONLINESTORE_ONLINESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "bundle/bundle.h"
#include "online/online.h"
#include "training/thresholds.h"

struct pg_session;

/* ---- encoding ---- */

/* Features and histograms of one bundle, for models of 2^bits coordinates. Never changes; any thread. */
struct online_reference;

/* Of an open bundle, from which everything is copied. */
struct online_reference *online_reference_new(const struct bundle *bundle, int bits);
/* Of a version in the registry.   ERR_NOT_FOUND  no such version; others as bundle_open() */
MUST_USE enum err online_reference_read(struct online_reference **out, struct pg_session *s, int64_t version,
                                        int bits, struct why *why);
void online_reference_free(struct online_reference *reference);
/* After how long the bundle's training took a payment without a label for a good one. */
int64_t online_reference_label_delay_us(const struct online_reference *reference);

/* ---- thresholds ---- */

/* What thresholds ask for before there are any, of the two windows of progressive validation. */
enum { ONLINE_FRAUDS_LEAST = 50, ONLINE_OTHERS_LEAST = 500 };

/* Those of an online model, by what it said of payments before it learned from them (online_buckets()): by expected
 * money under the capacity that the reference's bundle was trained for, the rule of training/thresholds.h, where
 * all payments of a bucket of margins count as of its lowest probability. All of them are THRESHOLD_NEVER, and it
 * decides nothing, until the two windows hold ONLINE_FRAUDS_LEAST frauds and ONLINE_OTHERS_LEAST others. They are
 * set anew with each lesson, so they follow the weights. */
struct bundle_thresholds online_thresholds(const struct online_reference *reference,
                                           const struct online *model);

/* Where the reference's features lie in the vectors of a plan. Borrows the reference; keeps nothing of the plan
 * but its hash. */
struct online_binding;
struct online_binding *online_bind(const struct online_reference *reference, const struct plan *plan);
void online_binding_free(struct online_binding *binding);
/* SHA256_BYTES bytes. */
const unsigned char *online_binding_plan(const struct online_binding *binding);
/* Features that the plan does not have. */
size_t online_binding_missing(const struct online_binding *binding);
/* At most this many entries come of a vector. */
size_t online_binding_entries_max(const struct online_binding *binding);
/* `vector` as it is stored: little-endian float32, NaN for missing, any alignment; of another length than the
 * plan's it gives no entries. Returns how many. */
size_t online_binding_encode(const struct online_binding *binding, struct slice vector,
                             struct online_entry *entries);

/* ---- the table ---- */

struct online_row {
    int64_t n;         /* the place in the log after which it stands: rises with every change */
    int64_t labels;    /* that it learned from */
    int64_t reference; /* the version whose bundle rows are encoded by */
    struct bundle_thresholds
        thresholds;       /* on its own probabilities, online_thresholds(); all 2: it is not to decide yet */
    struct online *model; /* to give to online_free() */
};
/* The model of `name`; an empty name is the one whose champion was promoted last. `known_n` is what the caller
 * has already: *is_new is false, and nothing else is read, when that is still it (-1: always read).
 *   ERR_NOT_FOUND  there is none      ERR_SYNTAX, ERR_INVALID  as online_open() */
MUST_USE enum err online_store_read(struct pg_session *s, struct slice name, int64_t known_n,
                                    struct online_row *out, bool *is_new, struct why *why);
/* Writes the row of `name`; `row->model` is packed. Belongs into the transaction that moves the follower. */
MUST_USE enum err online_store_write(struct pg_session *s, struct slice name, const struct online_row *row,
                                     struct why *why);

#endif
