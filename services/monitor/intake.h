/* SPDX-License-Identifier: Apache-2.0
 * intake.h - reads the log in its order, with the decision of each transaction, a batch at a time: every entry once,
 * and every decision once.
 *
 * The log has no holes (logstore/reader.h), so a number says how far it was read. A decision is committed after its
 * entry, in no order. An entry at the end of the log whose decision is not there yet ends the batch, and is looked at
 * again; one that was there a second ago already goes to `monitor_pending` instead and is looked up there, ever more
 * rarely, until its decision comes or patience ends (an import is never decided).
 *
 * All of it happens in the caller's SQL transaction. Memory is a batch's. Blocking; errors are those of pg/pg.h. */
#ifndef ASSAY_MONITOR_INTAKE_H
#define ASSAY_MONITOR_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fraud/txn.h"
#include "pg/session.h"
#include "sighting.h"

enum { INTAKE_BATCH = 1000, INTAKE_PENDING_BATCH = 500, INTAKE_PENDING_MAX = 100000 };

/* A decision, with the transaction it is about. Slices live as long as the batch. */
struct decided {
    struct sighting txn;
    enum action action;
    double score;  /* NaN: none */
    double margin; /* NaN: none */
    double p_allow;
    int64_t version; /* of the model; 0: none of the registry */
    struct slice arm, plan, vector;
    int64_t amount_base_minor;
    bool is_degraded;
};

/* A batch; zero-initialise, intake_end() after use. */
struct intake {
    struct arena arena;
    struct pg_result *entries, *found, *waiting; /* what the slices below point into */
    struct sighting *txns;                       /* of the log, in its order, */
    size_t txn_count;
    struct told_label *labels;
    size_t label_count;
    struct decided
        *decided; /* and the decisions that belong to them or to entries before; in the log's order */
    size_t decided_count;
    uint64_t n;      /* all entries up to it are in this batch or before */
    uint64_t newest; /* of the log */
    size_t given_up, pending, unreadable;
    bool is_full; /* there is more to read at once */
};

/* Reads behind `after`. `settled`: entries up to it were there a second ago. `patience_us`: how long a decision is
 * awaited; 0: give none up now, and leave `given_up` and `pending` 0. */
MUST_USE enum err intake_read(struct intake *in, struct pg_session *s, uint64_t after, uint64_t settled,
                              int64_t patience_us, struct why *why);
void intake_end(struct intake *in);

#endif
