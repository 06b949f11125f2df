/* SPDX-License-Identifier: Apache-2.0
 * explain_print.h - how rules came to what they say, for a person at a terminal. */
#ifndef ASSAY_CLI_EXPLAIN_PRINT_H
#define ASSAY_CLI_EXPLAIN_PRINT_H

#include "replaystore/explain.h"

/* Each rule with the value of every part of its condition, on standard output. */
void explain_print(const struct explanation *e);

#endif
