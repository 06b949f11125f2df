/* SPDX-License-Identifier: Apache-2.0
 * qualities.h - counts decisions by day once more for quality (monitorstore/quality.h), and what labels say of them,
 * also weeks later.
 *
 * A label and its decision may be read in either order. What a label changes is told by the labels that there are up to
 * a place in the log, before the batch and after it; so whoever reads the log in other batches, or again after being
 * killed, counts the same. Of a payment the strongest source holds, the newest within it; its fraud was known when a
 * label first said so. Decisions whose model the registry does not hold are not counted.
 *
 * All of it happens in the caller's SQL transaction; nothing but which models there are is held in memory. */
#ifndef ASSAY_MONITOR_QUALITIES_H
#define ASSAY_MONITOR_QUALITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "intake.h"
#include "lanes.h"

struct pg_session;

enum { QUALITIES_KNOWN = 64 };

/* Zero-initialise. */
struct qualities {
    struct qualities_known {
        int32_t lane;
        int64_t version;
        bool is_counted;
    } known[QUALITIES_KNOWN];
    size_t known_count;
};

/* Counts a batch that was read behind `after`. Errors are those of pg/pg.h. */
MUST_USE enum err qualities_count(struct qualities *q, struct pg_session *s, const struct intake *in,
                                  uint64_t after, const struct lanes *lanes, struct why *why);
/* Forgets which models there are: it was not committed. */
void qualities_drop(struct qualities *q);

#endif
