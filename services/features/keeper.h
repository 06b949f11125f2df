/* SPDX-License-Identifier: Apache-2.0
 * keeper.h - keeps the process in its role: the lock and the epoch, following the log, taking over,
 * changes of plan, snapshots. */
#ifndef ASSAY_FEATURES_KEEPER_H
#define ASSAY_FEATURES_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/pool.h"

struct features;

/* Starts connecting and building the state; all else follows from events.
 *   ERR_INVALID  the URL of PostgreSQL cannot be read */
MUST_USE enum err keeper_open(struct features *f, struct why *why);
/* Gives the lock back and ends the threads. What still waits is failed. */
void keeper_close(struct features *f);

/* One transaction at a time on the session: `done` (with `f` as its ctx) first calls keeper_session_done().
 */
void keeper_session_send(struct features *f, struct pg_unit *unit, pg_done_fn *done);
void keeper_session_done(struct features *f);
/* PostgreSQL has not answered for a second: callers do better without us. */
bool keeper_session_is_silent(const struct features *f);

#endif
