/* SPDX-License-Identifier: Apache-2.0
 * features.h - the process as a whole: who it is at the moment, its state, and what waits to be appended.
 *
 *   BUILDING ----> STANDBY ----> TAKING_OVER ----> ACTIVE
 *   no state yet   follows the   has the lock:     appends and serves
 *                  log           next epoch, the
 *                     ^          rest of the log,
 *                     |          the outbox           |
 *                     +--- the lock's connection is lost
 *
 * One connection (`session`) holds the log's advisory lock and does all that writes, one transaction at a
 * time; keeper_step() says which is next. Another (`reader`) follows the log while standing by, and looks for
 * models. What blocks runs in `worker`. */
#ifndef ASSAY_FEATURES_FEATURES_H
#define ASSAY_FEATURES_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/service.h"
#include "batch.h"
#include "job.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "pg/pool.h"
#include "replica.h"
#include "worker.h"

enum role { ROLE_BUILDING, ROLE_STANDBY, ROLE_TAKING_OVER, ROLE_ACTIVE, ROLE_COUNT };
const char *role_name(enum role role);

struct features_conf {
    const char *pg_url, *catalogue, *instance;
    int64_t recent_vectors, snapshot_entries, silence_limit_ms, rules_kept_ms;
};

enum features_metric {
    M_ENTRIES,
    M_CALLS,
    M_APPEND_SECONDS,
    M_APPEND_ITEMS,
    M_ROLE,
    M_EPOCH,
    M_LAST,
    M_WAITING,
    M_PLAN_COLUMNS,
    M_ENTITIES,
    M_STATE_BYTES,
    M_LATE_DROPPED,
    M_SNAPSHOT,
    M_METRIC_COUNT
};

struct features {
    struct features_conf conf;
    struct service *app;
    struct loop *loop;
    struct metric_set *metrics;
    size_t series_txn, series_label, series_plan;

    enum role role;
    uint64_t epoch;            /* while TAKING_OVER and ACTIVE */
    struct replica *replica;   /* what is served; NULL while BUILDING */
    struct replica *upcoming;  /* under the next plan, catching up */
    struct replica *discarded; /* to be freed beside the loop */

    struct pg_pool *session, *reader;
    bool session_is_busy, reader_is_busy;
    uint64_t tail_after;      /* the entry behind which the reader was last asked for more */
    int64_t session_asked_us; /* when it became busy */
    struct loop_task step;    /* keeper_step() */
    struct loop_timer clock;  /* every 20 ms: what is not called for by an event */

    /* The keeper's: when it does something again, monotonic; and how far a takeover has come. */
    int64_t lock_at_us, fence_at_us, outbox_at_us, models_at_us, build_at_us, snapshot_try_us,
        partitions_at_us;
    bool is_listening;
    bool has_epoch, is_caught_up, is_outbox_short, upcoming_is_near;
    bool wants_build; /* models or rule sets have changed since the last one began */
    char *models;     /* the versions that aliases point to, and the rule sets, as last seen; NULL: not yet */
    uint64_t snapshot_n, upcoming_snapshot_n; /* the newest snapshot under the plan, and under the next one */
    int64_t snapshot_at_us, upcoming_snapshot_at_us; /* when they were written */
    int64_t outbox_after;                            /* rows up to here could not be stored and stay */
    unsigned char months[256]; /* a bit for each month since 1970 whose partitions are there */

    struct worker worker;
    struct job job;

    struct call *waiting, **waiting_last; /* in order of arrival */
    size_t waiting_items;
    struct batch batch;
};

#endif
