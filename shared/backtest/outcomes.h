/* SPDX-License-Identifier: Apache-2.0
 * outcomes.h - what one rule said of the decisions of many chunks, in memory and as the bytes of a file.
 *
 *   "ASSAYRO1", then for each chunk: identity u64, bytes u64, hash u64, the bits (backtest.h), padded to 8 */
#ifndef ASSAY_BACKTEST_OUTCOMES_H
#define ASSAY_BACKTEST_OUTCOMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { OUTCOMES_BYTES_MAX = 1 << 30 };

struct outcomes_of_rule;

/* Of a file's bytes, which are borrowed; hostile input. What is damaged is left out, as it can be found again; empty
 * bytes give empty outcomes. */
struct outcomes_of_rule *rule_outcomes_open(struct slice bytes);
void rule_outcomes_close(struct outcomes_of_rule *o);

/* NULL: nothing is known of that chunk, or another number of bytes. Stays where it is. */
const uint8_t *rule_outcomes_find(const struct outcomes_of_rule *o, uint64_t chunk, size_t bytes);
/* Takes a copy. */
void rule_outcomes_add(struct outcomes_of_rule *o, uint64_t chunk, const uint8_t *bits, size_t bytes);
bool rule_outcomes_changed(const struct outcomes_of_rule *o);
/* Only of the chunks for which `is_kept` says so. */
void rule_outcomes_write(const struct outcomes_of_rule *o, bool (*is_kept)(void *context, uint64_t chunk),
                         void *context, struct buf *out);

#endif
