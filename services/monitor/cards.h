/* SPDX-License-Identifier: Apache-2.0
 * cards.h - Card Precision@k (quality/cards.h) of each day that has matured, read once from its decisions, its entries
 * of the log (which know the customer) and its labels, and kept in `monitor_cards`.
 *
 * Of decisions those whose label can be seen and that stand for themselves: what was let through. A day's decisions are
 * sorted by score in PostgreSQL, in one pass, and read from the best on through a cursor until enough customers are
 * looked at; so memory does not depend on how many there are. */
#ifndef ASSAY_MONITOR_CARDS_H
#define ASSAY_MONITOR_CARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pg_session;

/* Looks at the oldest day that has matured and was not looked at, of any lane and version: *is_one false, there is none.
 * A day that another monitor looks at too gives the same row. In a session of its own. Errors are those of pg/pg.h. */
MUST_USE enum err cards_look(struct pg_session *s, int64_t k, bool *is_one, struct why *why);

#endif
