/* SPDX-License-Identifier: Apache-2.0
 * command.h - the command `assay` as tests run it: the one of the build that the test belongs to. */
#ifndef ASSAY_HARNESS_COMMAND_H
#define ASSAY_HARNESS_COMMAND_H

#include "base/buf.h"

/* Runs `assay WORDS` with that database. `settings` ("TZDIR=/tmp") are for the shell, before it. Returns its exit
 * status, -1 when it was killed; all that it printed replaces what is in `said`, which may be NULL. */
int command_run(struct buf *said, const char *conninfo, const char *settings, const char *words);

#endif
