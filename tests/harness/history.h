/* SPDX-License-Identifier: Apache-2.0
 * history.h - a made-up past in PostgreSQL, as the services would have left it: log, labels, ids, the plan that
 * was served, and a decision with its vector for every transaction, all of them approved.
 *
 * What fails here fails the test. */
#ifndef ASSAY_HARNESS_HISTORY_H
#define ASSAY_HARNESS_HISTORY_H

#include "dataset/label_queue.h"
#include "featurestore/store.h"
#include "pg/session.h"
#include "simulate/simulate.h"

#define HISTORY_START (INT64_C(1577836800) * INT64_C(1000000)) /* 2020-01-01 */

struct history {
    struct pg_session *pg;
    struct arena arena;
    struct plan *plan;
    struct store *store;
    double *vector;
    struct simulate *world;
    struct label_queue labels;
    struct pg_params params;
    uint64_t n; /* the newest entry of the log */
    int64_t now_us;
    size_t transactions, frauds, labelled;
};

/* Serves the features of `catalogue` (its text) from HISTORY_START on; an account on a simulated clock is made. */
void history_open(struct history *h, struct pg_session *pg, const char *catalogue, uint32_t customers);
void history_close(struct history *h);
/* Goes on until that time; one SQL transaction. */
void history_live_until(struct history *h, int64_t until_us);

#endif
