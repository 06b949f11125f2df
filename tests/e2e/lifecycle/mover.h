/* SPDX-License-Identifier: Apache-2.0
 * mover.h - the operator: a thread that promotes the one model and rolls back to the other, again and again,
 * over a connection of its own, and writes down when each change was made and when all who score said that they
 * serve it. */
#ifndef ASSAY_LIFECYCLE_MOVER_H
#define ASSAY_LIFECYCLE_MOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "../chaos/chance.h"

enum { MOVES_MAX = 20000 };

/* Times are monotonic. */
struct move {
    bool is_rollback;
    int64_t to;       /* the champion that is wanted */
    int64_t began_us; /* just before the call */
    int64_t done_us;  /* it has returned */
    int64_t told_us;  /* every process that scores said so; 0: not yet */
    int64_t ended_us; /* the next one may begin; 0: it has not ended */
    enum err err;     /* of the call: then it is not known whether it was made */
    struct why why;
};

struct mover {
    const char *conninfo, *name; /* of the models */
    int64_t versions[2];         /* the champion at the beginning, and the other */
    int64_t processes;           /* that score */
    size_t moves_wanted;         /* 0: until it is stopped */
    int64_t pause_us;            /* at most, between two */
    bool is_patient;             /* a call may fail, and a process that scores may be away */
    bool retrains;               /* a run of training is asked for whenever none waits */
    struct chance chance;

    pthread_t thread;
    bool stops, has_ended; /* across threads */
    struct move *moves;
    size_t count; /* published: those before are whole */
    size_t runs;  /* of training, asked for */
};

void mover_start(struct mover *m);
/* Lets the move that is under way end. */
void mover_stop(struct mover *m);
bool mover_has_ended(const struct mover *m);

#endif
