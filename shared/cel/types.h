/* SPDX-License-Identifier: Apache-2.0
 * types.h - inside cel/: types with parameters, and which may stand where which is asked for. After "Gradual
 * Type Checking" and "Types" of the specification: dyn fits everywhere, and a parameter becomes the most
 * general of what it meets. */
#ifndef ASSAY_CEL_TYPES_H
#define ASSAY_CEL_TYPES_H

#include "cel/ast.h"

struct param {
    struct cel_type type;         /* CEL_PARAM; first, so that a param is a type */
    const struct cel_type *bound; /* what it became; NULL: still open */
};

struct types {
    struct arena *arena;
    struct {
        struct param *param;
        const struct cel_type *before;
    } * trail; /* what was bound, to be undone */
    size_t trail_count, trail_cap;
    size_t work; /* comparisons so far */
};

enum { TYPES_WORK_MAX = 1 << 20 };

void types_release(struct types *ts);

/* A kind alone: a list or map of dyn, an optional of dyn. */
const struct cel_type *type_of(enum cel_kind kind);
const struct cel_type *type_with(struct types *ts, enum cel_kind kind, const struct cel_type *a,
                                 const struct cel_type *b);
const struct cel_type *type_open(struct types *ts);
/* What a bound parameter stands for. */
const struct cel_type *type_deref(const struct cel_type *type);
/* Its kind; an open parameter is CEL_DYN. */
enum cel_kind type_kind(const struct cel_type *type);
/* Number i of what is inside; dyn where there is none. */
const struct cel_type *type_param(const struct cel_type *type, size_t i);

/* The signature's types, its parameters opened anew; `opened` has the two of one call. */
const struct cel_type *type_parse(struct types *ts, const char **text, const struct cel_type *opened[2]);
struct opened_params {
    struct {
        struct slice name;
        const struct cel_type *type;
    } items[8];
    size_t count;
};
const struct cel_type *type_instance(struct types *ts, const struct cel_type *type, struct opened_params *p);

/* Whether a value of the type `have` may stand where `want` is asked for; binds what is open on either side.
 */
bool type_fits(struct types *ts, const struct cel_type *have, const struct cel_type *want);
size_t types_mark(const struct types *ts);
void types_undo(struct types *ts, size_t mark);
/* The type of a list with such items: the more general one, or dyn. `a` may be NULL. */
const struct cel_type *type_join(struct types *ts, const struct cel_type *a, const struct cel_type *b);
/* With everything bound in its place, and dyn for what stayed open. */
const struct cel_type *type_final(struct types *ts, const struct cel_type *type);

#endif
