/* SPDX-License-Identifier: Apache-2.0
 * trainee.h - the child process that trains, seen from its parent. It is told to stop when its parent dies; what
 * it had finished it has kept (training.h). */
#ifndef ASSAY_RETRAINER_TRAINEE_H
#define ASSAY_RETRAINER_TRAINEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct trainee {
    pid_t pid; /* 0: none */
    int64_t run;
    bool is_told; /* to stop */
};

/* Starts this very program as `--run N`, `nice` steps back. The thread that calls must live as long as the
 * child is to.
 *   ERR_INTERNAL  no process */
MUST_USE enum err trainee_start(struct trainee *t, int64_t run, int nice, struct why *why);
/* Whether it has ended, without waiting; *status is then what waitpid() gives. */
bool trainee_has_ended(struct trainee *t, int *status);
/* SIGTERM, once. */
void trainee_tell_to_stop(struct trainee *t);
/* The same, waits a while, and then does not wait any more: SIGKILL. */
void trainee_end(struct trainee *t);

#endif
