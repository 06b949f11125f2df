/* SPDX-License-Identifier: Apache-2.0
 * health.h - how the processes of an installation are, asked now. */
#ifndef ASSAY_CLI_HEALTH_H
#define ASSAY_CLI_HEALTH_H

#include "home.h"

enum health {
    HEALTH_DOWN,      /* no process */
    HEALTH_SILENT,    /* a process that does not answer */
    HEALTH_NOT_READY, /* it answers that it is not */
    HEALTH_NO_MODEL,  /* scoring, before the first model is promoted: decisions come without scores */
    HEALTH_STANDBY,   /* a second features: it takes over when the first is gone */
    HEALTH_READY,     /* also: a step that is done */
    HEALTH_COUNT
};
const char *health_name(enum health h);

/* Of the service whose admin port is at `url` ("http://127.0.0.1:9101"). `detail` gets what stands in the
 * way, where it says so. Blocks for a second at the worst, as does the next. */
enum health health_at(const char *url, struct why *detail);
enum health health_of(const struct process_state *p, struct why *detail);

/* Whether an installation is as far as it can be by itself: each is ready or has its excuse, and one features
 * is active. */
bool health_is_up(const struct state *s, const enum health *health);
/* Whether nothing is missing: the same, with a model. */
bool health_is_well(const struct state *s, const enum health *health);

#endif
