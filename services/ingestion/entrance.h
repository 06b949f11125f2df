/* SPDX-License-Identifier: Apache-2.0
 * entrance.h - the wait before the first step of the pipeline: who is next, and who is sent away while nothing
 * has been done for him.
 *
 *   submit -> [a lane for each key] -> in turns, while there is room -> FEATURES ... COMMIT
 *
 * So much is let in at once as keeps the steps busy (gate.h says how much); the others wait here and not on
 * the way, where it is too late to refuse them. Who has waited until what is left of his time does not cover
 * what the way takes (transit.h) is refused: nothing of his has been logged, so the refusal is final and costs
 * little, and what does go in is done in time. */
#ifndef ASSAY_INGESTION_ENTRANCE_H
#define ASSAY_INGESTION_ENTRANCE_H

#include "lanes.h"
#include "loop/loop.h"
#include "transit.h"

struct job;
struct pipeline;

struct entrance {
    struct pipeline *pipeline;
    struct loop_task task;
    struct lanes lanes;
    struct job *oldest, *newest; /* on their way, in the order in which they began */
    size_t begun;
    struct transit transit;
};

void entrance_init(struct entrance *e, struct pipeline *p);
/* A new job; it goes on to FEATURES, or is refused with ERR_UNAVAILABLE. Never from within here. */
void entrance_add(struct entrance *e, struct job *job);
/* It is done, however it ended. */
void entrance_done(struct entrance *e, struct job *job);
/* Looks whether someone can go in now. */
void entrance_wake(struct entrance *e);
/* A group has come through; the longest of its jobs took so long from the entrance on. */
void entrance_observe(struct entrance *e, int64_t took_us);

/* How long `units` more of this key would take, from now until they are done. */
int64_t entrance_expects_us(const struct entrance *e, uint64_t key, size_t units, double rate_per_s);

#endif
