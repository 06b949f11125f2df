/* SPDX-License-Identifier: Apache-2.0
 * protocols.h - how models are judged on each public data set, and what others reached on it. */
#ifndef ASSAY_CLI_PROTOCOLS_H
#define ASSAY_CLI_PROTOCOLS_H

#include "base/arena.h"
#include "experiment.h"

/* A figure from elsewhere, to stand beside ours; 0 where none was given. */
struct reference {
    const char *split, *name;
    struct figures figures;
};

/* Which figures a protocol reports. */
enum {
    FIGURE_CARD_PRECISION = 1 << 0,
    FIGURE_RECALL_1 = 1 << 1,
    FIGURE_RECALL_01 = 1 << 2,
    FIGURE_LIFT = 1 << 3,
};

struct trial;

struct protocol {
    const char *name;      /* and that of its mapping and its catalogue */
    const char *file;      /* below the data directory */
    const char *published; /* a second catalogue, of features published with the data; or NULL */
    const char *title;
    unsigned figures;
    const struct reference *references;
    size_t reference_count;
    bool needs_unlabelled; /* rows whose features never saw a label */
    /* What is read, in event time; when `validates`, for the folds on which parameters are chosen. */
    void (*span)(bool validates, int64_t *keep_from_us, int64_t *stop_us);
    /* Adds the experiments. */
    void (*plan)(struct trial *t);
};

extern const struct protocol protocols[];
extern const size_t protocol_count;

/* One run of a protocol. */
struct trial {
    const struct protocol *protocol;
    bool validates;
    struct rows rows, unlabelled;
    size_t *own, *published; /* columns of the rows */
    size_t own_count, published_count;
    struct experiment *experiments;
    size_t count, cap;
    struct picks *picks;
    size_t pick_count, pick_cap;
};

void trial_release(struct trial *t);

#endif
