/* SPDX-License-Identifier: Apache-2.0
 * queue_table.h - what the order of the review queue is worth: the money that 100 reviews a day stop, by expected loss
 * (triage/triage.h) and by each single column instead.
 *
 * A model is trained, tuned and calibrated as `assay train` does it; the days after, which it never saw, are the queue.
 * The probability is the bundle's, the one that scoring answers. */
#ifndef ASSAY_CLI_QUEUE_TABLE_H
#define ASSAY_CLI_QUEUE_TABLE_H

#include <stdbool.h>

#include "base/err.h"

enum queue_data { QUEUE_SIMULATOR, QUEUE_HANDBOOK };

/* `path` is the handbook's file. Prints the table, or a JSON object on a line of its own.
 * Errors are those of shipped_plan(), stream_open(), dataset_next() and trainer_run(). */
MUST_USE enum err queue_table_print(enum queue_data data, const char *path, bool as_json, struct why *why);

#endif
