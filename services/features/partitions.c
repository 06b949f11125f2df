/* SPDX-License-Identifier: Apache-2.0 */
#include "partitions.h"

#include <string.h>

#include "base/clock.h"
#include "features.h"
#include "keeper.h"
#include "log/log.h"
#include "sql.h"

enum { MONTHS_AHEAD = 2, MONTHS_MAX = 600 };

static int month_of(int64_t at_us)
{
    int year, month, day;

    civil_from_days(at_us / DAY_US, &year, &month, &day);
    return (year - 1970) * 12 + month - 1;
}

static bool has_month(const struct features *f, int month)
{
    return (size_t)month / 8 < sizeof(f->months) && (f->months[month / 8] >> (month % 8) & 1);
}

static void on_partitions(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;

    keeper_session_done(f);
    if (!reply->err)
        return;
    /* DEFAULT has the rows until it works. */
    log_event(LOG_WARN, "partitions_wait", "why=%s", log_quoted(slice_str(reply->why.text)));
    memset(f->months, 0, sizeof(f->months));
    f->partitions_at_us = clock_mono_us() + 5 * SECOND_US;
}

bool partitions_are_made(struct features *f, int64_t from_us, int64_t to_us)
{
    int first = month_of(from_us), last = month_of(to_us), year, made = 0;
    struct pg_unit *unit;
    struct pg_params *p;

    while (first <= last && has_month(f, first))
        first++;
    while (last > first && has_month(f, last))
        last--;
    if (first > last || loop_mono_us(f->loop) < f->partitions_at_us)
        return false;
    for (size_t i = 0; i < sizeof(f->months); i++)
        made += __builtin_popcount(f->months[i]);
    /* Times strewn over centuries are no reason to make thousands of tables. */
    if (last - first > MONTHS_MAX / 4 || made > MONTHS_MAX)
        return false;
    last += MONTHS_AHEAD;
    year = 1970 + first / 12;
    unit = pg_unit_new(f->session);
    p = pg_unit_add(unit, SQL_ENSURE_PARTITIONS);
    pg_add_time_us(p, civil_days(year, first % 12 + 1, 1) * DAY_US);
    pg_add_time_us(p, civil_days(1970 + last / 12, last % 12 + 1, 1) * DAY_US);
    for (int m = first; m <= last && (size_t)m / 8 < sizeof(f->months); m++)
        f->months[m / 8] = (unsigned char)(f->months[m / 8] | 1U << (m % 8));
    keeper_session_send(f, unit, on_partitions);
    return true;
}
