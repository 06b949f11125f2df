/* SPDX-License-Identifier: Apache-2.0
 * health.h - how the processes of an installation are, asked now. */
#ifndef ASSAY_CLI_HEALTH_H
#define ASSAY_CLI_HEALTH_H

#include "home.h"

enum health {
    HEALTH_DOWN,      /* no process */
    HEALTH_SILENT,    /* a process that does not answer */
    HEALTH_NOT_READY, /* it answers that it is not */
    HEALTH_READY,     /* also: a step that is done, a standby that stands by */
    HEALTH_COUNT
};
const char *health_name(enum health h);

/* `detail` gets what stands in the way, where the process says so. Blocks for a second at the worst. */
enum health health_of(const struct process_state *p, struct why *detail);

#endif
