/* SPDX-License-Identifier: Apache-2.0
 * checker.h - the reckoning: what was sent and answered against what PostgreSQL holds. */
#ifndef ASSAY_CHAOS_CHECKER_H
#define ASSAY_CHAOS_CHECKER_H

#include "record.h"

/* Waits until nothing is left in the outbox, and then counts as violations:
 *   an answered id without exactly one decision, or with another one than was answered
 *   an id that never got an answer
 *   a transaction that is not in the log exactly once
 *   an accepted label that is not stored as it was sent */
void check_record(struct record *r, const char *pg_url);

#endif
