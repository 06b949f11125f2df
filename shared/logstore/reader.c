/* SPDX-License-Identifier: Apache-2.0 */
#include "logstore/reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { COLUMN_N, COLUMN_KIND, COLUMN_ACCOUNT, COLUMN_KNOWN_AT, COLUMN_BODY, COLUMN_COUNT };
static_assert((int)COLUMN_COUNT == (int)LOG_COLUMN_COUNT, "every column of LOG_COLUMNS is read");

struct entry entry_of_row(const struct pg_result *rows, size_t row)
{
    return (struct entry){ .n = (uint64_t)pg_get_int(rows, row, COLUMN_N),
                           .kind = (enum entry_kind)pg_get_int(rows, row, COLUMN_KIND),
                           .account = (uint32_t)pg_get_int(rows, row, COLUMN_ACCOUNT),
                           .known_at_us = pg_get_time_us(rows, row, COLUMN_KNOWN_AT),
                           .body = pg_get_bytes(rows, row, COLUMN_BODY) };
}

struct entry entry_of_fields(const struct slice *fields)
{
    return (struct entry){ .n = (uint64_t)pg_bytes_int(fields[COLUMN_N]),
                           .kind = (enum entry_kind)pg_bytes_int(fields[COLUMN_KIND]),
                           .account = (uint32_t)pg_bytes_int(fields[COLUMN_ACCOUNT]),
                           .known_at_us = pg_bytes_time_us(fields[COLUMN_KNOWN_AT]),
                           .body = fields[COLUMN_BODY] };
}

struct reading {
    log_entry_fn *each;
    void *ctx;
};

static bool on_fields(void *ctx, const struct slice *fields, size_t count)
{
    const struct reading *r = ctx;
    struct entry e = entry_of_fields(fields);

    (void)count;
    return r->each(r->ctx, &e);
}

static uint64_t bigint(uint64_t n)
{
    return n < INT64_MAX ? n : INT64_MAX;
}

enum err log_read(struct pg_session *s, const struct log_range *range, log_entry_fn *each, void *ctx,
                  struct why *why)
{
    struct reading r = { each, ctx };
    char query[256];

    snprintf(query, sizeof query,
             "SELECT " LOG_COLUMNS " FROM log l WHERE n > %" PRIu64 " AND n <= %" PRIu64 " AND %" PRIu32
             " IN (0, account) ORDER BY n",
             bigint(range->after), bigint(range->upto), range->account);
    return pg_copy_out(s, query, on_fields, &r, why);
}
