/* SPDX-License-Identifier: Apache-2.0
 * must.h - at start-up a failure ends the process, with one line that says why. */
#ifndef ASSAY_APP_MUST_H
#define ASSAY_APP_MUST_H

#include "base/err.h"

/* Returns when `err` is ERR_OK; else logs "cannot <what>" with the reason and exits with status 1. */
void must(enum err err, const char *what, const struct why *why);

#endif
