/* SPDX-License-Identifier: Apache-2.0
 * load.h - the callers: an open loop that sends a record's things at a steady rate, whatever becomes of those
 * before, and tries again until each has its answer, first here, then there. Some that were answered are
 * asked again seconds later and must hear the same.
 *
 * What an answer must not be is counted as a violation of the record. */
#ifndef ASSAY_CHAOS_LOAD_H
#define ASSAY_CHAOS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chance.h"
#include "http/client.h"
#include "loop/loop.h"
#include "record.h"

enum { LOAD_TARGETS = 2 };

struct load {
    struct loop *loop;
    struct record *record;
    struct http_client *targets[LOAD_TARGETS]; /* the ingestion processes */
    char authorization[256];
    double rate; /* transactions and labels a second */
    struct chance chance;

    /* Of each decision: when its request was sent, the target that gave it, and what it says. `is_first`: it was
     * asked for once only, so what it says is of now. */
    void (*on_decision)(void *ctx, int64_t sent_us, size_t target, const struct answer *answer,
                        bool is_first);
    void *ctx;

    struct loop_timer tick;
    int64_t began_us, stops_us; /* stops_us 0: it goes on */
    double sent;
    bool is_exhausted; /* the stream has ended */
    size_t in_flight;
    size_t answers, retries, conflicts, degraded, echoes;
};

/* Ports are those of the ingestion processes. */
void load_open(struct load *l, struct loop *loop, struct record *record, const int ports[LOAD_TARGETS],
               const char *key, double rate, uint64_t seed);
void load_close(struct load *l);

void load_start(struct load *l);
/* Nothing new from now on; what is under way goes on until in_flight is 0. */
void load_stop(struct load *l);

#endif
