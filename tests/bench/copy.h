/* SPDX-License-Identifier: Apache-2.0
 * copy.h - how fast PostgreSQL takes rows that weigh as much as decisions, by the fastest way it has: binary
 * COPY over two connections, a commit after each group.
 *
 * A row has every column of the three rows that a decision leaves (decisions, transaction_ids, log), with the
 * values that they have there, and the three primary keys as indexes: the bytes and indexes of one decision.
 * The rows are those of decisions made by this cluster; the table is plain, neither partitioned nor checked
 * for conflicts, which makes the baseline harder. Same server, same settings, same disk. */
#ifndef ASSAY_BENCH_COPY_H
#define ASSAY_BENCH_COPY_H

#include <stddef.h>

#include "base/err.h"

struct copy_figures {
    double rows_per_s;
    size_t rows, group;
    double bytes_per_row; /* on disk, with indexes */
};

/* Copies the newest `rows_most` decisions in groups of `group`, again and again until `seconds` have passed.
 *   ERR_NOT_FOUND    no decision was made here
 *   ERR_UNAVAILABLE  PostgreSQL refused; *why has its reason */
MUST_USE enum err copy_measure(const char *conninfo, size_t rows_most, size_t group, double seconds,
                               struct copy_figures *out, struct why *why);

#endif
