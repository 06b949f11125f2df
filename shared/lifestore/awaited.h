/* SPDX-License-Identifier: Apache-2.0
 * awaited.h - how often a follower looks for a decision that is not there yet.
 *
 * An entry comes into the log a moment before its decision, and what was imported never has one; nothing tells the two
 * apart for certain. So whoever follows looks for it less and less: twice a second for five seconds, and every 32 s after
 * two minutes. Each entry has moments of its own, so that every turn has a share of them. No I/O, no clock. */
#ifndef ASSAY_LIFESTORE_AWAITED_H
#define ASSAY_LIFESTORE_AWAITED_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a moment of entry `n`, awaited since `since_ms`, lies after the last look and not after now. */
bool awaited_is_due(int64_t n, int64_t since_ms, int64_t looked_ms, int64_t now_ms);

#endif
