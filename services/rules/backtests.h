/* SPDX-License-Identifier: Apache-2.0
 * backtests.h - backtests beside the service that decides: asked for in PostgreSQL, run one at a time in a thread that
 * gives way to all others.
 *
 *   the table `backtests` ──▶ runner: one thread, nice, one session for the run and one to tell how far it is
 *   a draft being written ──▶ ground: history, labels and lists, held open by a thread of its own while somebody
 *                             writes, so that one draft over the last days is answered at once
 *
 * Any number of rules services share the table: whoever runs one holds an advisory lock, so what a process leaves behind
 * is begun again by the next, three times at most. */
#ifndef ASSAY_RULES_BACKTESTS_H
#define ASSAY_RULES_BACKTESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct backtests;
struct pg_session;

enum {
    BACKTEST_ATTEMPTS = 3,
    TRIAL_ROWS_MOST = 120000, /* of more decisions a sample is looked at */
    TRIAL_EXAMPLES = 20,
    TRIAL_MATCHES = 10, /* of each outcome */
    GROUND_FRESH_US = 5 * 60 * 1000000,
    GROUND_WANTED_US = 15 * 60 * 1000000,
};

struct backtests_conf {
    const char *pg_url, *pg_role; /* borrowed, as the other */
    const char *directory;        /* where the history is kept as columns; empty: in memory only */
    int64_t disk_gb;              /* that it may take; 0: no limit */
};

/* Starts the threads. Errors are those of watch_open(). */
MUST_USE enum err backtests_open(struct backtests **out, const struct backtests_conf *conf, struct why *why);
/* What runs is given back, to be begun again. */
void backtests_close(struct backtests *b);
/* There is a new one to run. Any thread. */
void backtests_wake(struct backtests *b);

/* One draft over the newest days. */
struct trial_question {
    struct slice document; /* JSON */
    bool as_it_was;        /* instead: each decision by the set of its time */
    int64_t days;          /* before the newest decision */
    struct slice rule;     /* whose matches are wanted; may be empty */
};

/* Writes {"state": "ready", "opened_at": time, "answer": as backteststore/run.h has it}, or, while the history is opened,
 * {"state": "opening", "done": n, "total": n}. Blocks for well under a second once it is open; one thread.
 *   errors are those of backtest_ask() */
MUST_USE enum err backtests_try(struct backtests *b, struct pg_session *s, const struct trial_question *q,
                                struct buf *out, struct why *why);

#endif
