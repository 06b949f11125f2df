/* SPDX-License-Identifier: Apache-2.0
 * sql.h - all that features says to PostgreSQL on its event loop, by name. */
#ifndef ASSAY_FEATURES_SQL_H
#define ASSAY_FEATURES_SQL_H

#include <stddef.h>

#include "pg/pool.h"

enum sql {
    SQL_TRY_LOCK,
    SQL_END_SILENT_HOLDER,
    SQL_NEXT_EPOCH,
    SQL_TAIL,
    SQL_MODELS,
    SQL_ENSURE_PARTITIONS,
    SQL_CHECK_EPOCH,
    SQL_LOOKUP_IDS,
    SQL_LOOKUP_LABELS,
    SQL_ADD_IDS,
    SQL_SET_IDS,
    SQL_ADD_LABELS,
    SQL_ADD_ENTRIES,
    SQL_ADD_PLAN,
    SQL_READ_OUTBOX,
    SQL_DELETE_OUTBOX,
    SQL_COUNT
};

extern const struct pg_statement sql_statements[SQL_COUNT];

#endif
