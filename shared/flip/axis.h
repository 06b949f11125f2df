/* SPDX-License-Identifier: Apache-2.0
 * axis.h - inside flip/: the values that a number can take, in their order, numbered one by one.
 *
 * Neighbours have neighbouring keys, so that halving a range of keys ends at two values with none between them.
 * A feature is a float32, a field a double; whole numbers stay whole, also those that float32 has no more of. */
#ifndef ASSAY_FLIP_AXIS_H
#define ASSAY_FLIP_AXIS_H

#include <stdbool.h>
#include <stdint.h>

#include "featurestore/plan.h"
#include "fraud/field.h"

struct axis {
    bool is_float; /* float32, else double */
    bool is_whole;
    int64_t least, most; /* keys */
};

/* Of a feature, as far as its definition says what it can be: counts are whole and at least 0, ... */
struct axis axis_of_feature(const struct feature *feature);
/* Of any float32. */
struct axis axis_of_any(void);
/* Of a field that now has this value. False when the field is not a number of its own: the calendar's follow from one
 * time. */
bool axis_of_field(struct axis *axis, const struct txn_field *field, double now);

double axis_value(const struct axis *axis, int64_t key);
/* The first key whose value is at or above `value`, which is finite; within least .. most + 1. */
int64_t axis_ceil(const struct axis *axis, double value);
/* Whether it is one of the values. */
bool axis_has(const struct axis *axis, double value);

#endif
