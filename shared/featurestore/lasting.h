/* SPDX-License-Identifier: Apache-2.0
 * lasting.h - what an entity keeps that has no window: the last few times and places, and totals of
 * everything ever. Internal to featurestore/. */
#ifndef ASSAY_FEATURESTORE_LASTING_H
#define ASSAY_FEATURESTORE_LASTING_H

#include "featurestore/cells.h"

struct place {
    int64_t at_us;
    double lat, lon;
};
size_t recent_bytes(const struct recent *r);
/* The last one not after `at_us`; false when none is held. */
bool recent_find(const struct recent *r, const unsigned char *block, int64_t at_us, struct place *out);
void recent_insert(const struct recent *r, unsigned char *block, const struct place *place);
/* Whether what was read from a snapshot can have been written by this code. */
bool recent_is_valid(const struct recent *r, const unsigned char *block, int64_t newest_us);

size_t lifetime_bytes(const struct lifetime *l);
void lifetime_add(const struct lifetime *l, unsigned char *block, const struct event *event);

#endif
