/* SPDX-License-Identifier: Apache-2.0
 * expression.h - how `expr` and `where` meet their catalogue: names are checked, and replaced by identities.
 * Internal to featurestore/. */
#ifndef ASSAY_FEATURESTORE_EXPRESSION_H
#define ASSAY_FEATURESTORE_EXPRESSION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "featurestore/catalogue.h"
#include "fraud/field.h"

/* f_<64 hex digits>: a feature by its identity. */
enum { FEATURE_REFERENCE_LEN = 2 + 2 * SHA256_BYTES };
bool feature_reference_read(struct slice name, unsigned char hash[SHA256_BYTES]);

/* "tx.amount", and the cel_kind of what it is. */
bool expression_field(struct slice name, struct txn_field *field);
int expression_field_kind(const struct txn_field *field);

/* The feature as one line of YAML: with name, words and hints, or the bare definition. */
void feature_print(const struct feature *f, bool is_named, struct buf *out);
/* Sets definition and hash from the rest, whose where and expr are normalised. */
void feature_seal(struct feature *f, struct arena *arena);

/* The features of one catalogue as a name space; borrows them. */
struct expressions *expressions_new(struct feature *features, size_t count);
void expressions_free(struct expressions *e);

/* Compiles what feature `i` says, to find faults and what it depends on. */
MUST_USE enum err expressions_check(struct expressions *e, size_t i, struct why *why);
/* Replaces where and expr of feature `i` by their normal form. False, and nothing done, while something it
 * depends on has no identity yet. */
bool expressions_normalise(struct expressions *e, size_t i, struct arena *arena);
/* Says that feature `i` has its identity now. */
void expressions_identify(struct expressions *e, size_t i);

#endif
