/* SPDX-License-Identifier: Apache-2.0
 * database_figures.h - what there is to watch of PostgreSQL and of the queues in it, for /metrics:
 * assay_postgres_*, assay_outbox_*, assay_retraining_*.
 *
 * A thread with a connection of its own asks the function database_figures() (migrations) every half minute; a
 * scrape shows the newest answer and waits for nothing. While PostgreSQL does not answer, assay_postgres_up is 0
 * and the others are not shown. Every process that has this open shows the same, so take max() over them. */
#ifndef ASSAY_APP_DATABASE_FIGURES_H
#define ASSAY_APP_DATABASE_FIGURES_H

#include "base/err.h"

struct database_figures;
struct metrics;

/* Starts at once. `conninfo` and `role` (which may run the function) are borrowed until it is closed; so is
 * `metrics`, which must not be written from after that. On success *out is the caller's.
 *   ERR_INTERNAL  no thread */
MUST_USE enum err database_figures_open(struct database_figures **out, struct metrics *metrics,
                                        const char *conninfo, const char *role, struct why *why);
void database_figures_close(struct database_figures *d);

#endif
