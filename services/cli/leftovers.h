/* SPDX-License-Identifier: Apache-2.0
 * leftovers.h - ends what a supervisor that is no more has left behind. */
#ifndef ASSAY_CLI_LEFTOVERS_H
#define ASSAY_CLI_LEFTOVERS_H

#include "base/err.h"

/* Ends the services that the state file names and that still are the same processes (SIGTERM, SIGKILL after
 * 20 s), and the private PostgreSQL. Only while no supervisor runs.
 *   ERR_TIMEOUT  PostgreSQL did not end */
MUST_USE enum err leftovers_end(const char *home, struct why *why);

#endif
