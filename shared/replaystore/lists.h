/* SPDX-License-Identifier: Apache-2.0
 * lists.h - the lists of one moment, asked value by value: what was in them then is in `list_changes`, and a value's
 * history is read when a rule, or a list that acts, asks for it.
 *
 * A change reaches a process that decides within a second or so (policystore/store.h). So of what changed around the
 * decision only the decision itself knows whether it was in force. Lists_then has all the answers that there could have
 * been: first those of the moment; lists_then_next() goes to others, as long as there are any. */
#ifndef ASSAY_REPLAYSTORE_LISTS_H
#define ASSAY_REPLAYSTORE_LISTS_H

#include "replaystore/shelf.h"

struct lists_then;

enum { LISTS_LAG_S = 60, LISTS_AHEAD_S = 5, LISTS_TRIES_MAX = 256 };

/* Gives `policy` the lists as they were at `at_us`, until lists_then_close(); both are borrowed, as the shelf (which
 * has looked at lists) and the session are. */
struct lists_then *lists_then_open(struct policy *policy, const struct shelf *shelf, struct pg_session *s,
                                   int64_t at_us);
/* Takes the lists from the policy again. */
void lists_then_close(struct lists_then *then);

/* Goes to the next of the answers that could have been, for what was asked so far: of changes of at most LISTS_LAG_S
 * before the moment and LISTS_AHEAD_S after it (clocks differ). False when there is none left. */
bool lists_then_next(struct lists_then *then);
/* How far the oldest change lies before the moment that is left out now, in microseconds; 0: none is. */
int64_t lists_then_lag_us(const struct lists_then *then);
/* What went wrong while rules asked, which cannot be told to them. */
enum err lists_then_err(const struct lists_then *then, struct why *why);

#endif
