/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/health.h"

#include "base/array.h"
#include "base/clock.h"
#include "lifestore/row.h"

const int64_t health_late_bounds_us[HEALTH_LATE_BOUNDS] = { SECOND_US,      10 * SECOND_US, MINUTE_US,
                                                            10 * MINUTE_US, HOUR_US,        DAY_US,
                                                            7 * DAY_US };

size_t health_late_bin(int64_t late_us)
{
    size_t bin = 0;

    while (bin < HEALTH_LATE_BOUNDS && late_us > health_late_bounds_us[bin])
        bin++;
    return bin;
}

/* The counts in the order of their columns. */
enum { COUNTS = 8 };
static const struct {
    const char *name;
    size_t offset;
} counts_of[COUNTS] = {
    { "transactions", offsetof(struct health_hour, transactions) },
    { "decisions", offsetof(struct health_hour, decisions) },
    { "unscored", offsetof(struct health_hour, unscored) },
    { "degraded", offsetof(struct health_hour, degraded) },
    { "duplicates", offsetof(struct health_hour, duplicates) },
    { "labels", offsetof(struct health_hour, labels) },
    { "frauds", offsetof(struct health_hour, frauds) },
    { "ahead", offsetof(struct health_hour, ahead) },
};

static int64_t *count_of(struct health_hour *h, size_t i)
{
    return (int64_t *)(void *)((char *)h + counts_of[i].offset);
}

static const char add_sql[] =
    "INSERT INTO monitor_health AS h (lane, hour, transactions, decisions, unscored, degraded, duplicates, "
    "labels, "
    "frauds, ahead, late) VALUES ($1::int4, $2::timestamptz, $3::int8, $4::int8, $5::int8, $6::int8, "
    "$7::int8, "
    "$8::int8, $9::int8, $10::int8, $11::int8[]) ON CONFLICT (lane, hour) DO UPDATE SET "
    "transactions = h.transactions + EXCLUDED.transactions, decisions = h.decisions + EXCLUDED.decisions, "
    "unscored = h.unscored + EXCLUDED.unscored, degraded = h.degraded + EXCLUDED.degraded, "
    "duplicates = h.duplicates + EXCLUDED.duplicates, labels = h.labels + EXCLUDED.labels, "
    "frauds = h.frauds + EXCLUDED.frauds, ahead = h.ahead + EXCLUDED.ahead, "
    "late = ARRAY(SELECT a + b FROM unnest(h.late, EXCLUDED.late) WITH ORDINALITY AS x(a, b, i) ORDER BY i)";

enum err health_add(struct pg_session *s, const struct health_hour *hours, size_t count, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < count && !err; i++) {
        struct health_hour h = hours[i];
        struct pg_params p = { 0 };
        struct pg_array *late;

        pg_add_i32(&p, h.lane);
        pg_add_time_us(&p, h.hour_us);
        for (size_t k = 0; k < COUNTS; k++)
            pg_add_i64(&p, *count_of(&h, k));
        late = pg_add_array(&p, PG_INT8);
        for (size_t k = 0; k < HEALTH_LATE_BINS; k++)
            pg_array_i64(late, h.late[k]);
        err = row_ask(s, add_sql, &p, NULL, why);
    }
    return err;
}

static void read_row(struct health_hour *h, const struct pg_result *r, size_t row)
{
    h->lane = (int32_t)pg_get_int(r, row, 0);
    h->hour_us = pg_get_time_us(r, row, 1);
    for (size_t k = 0; k < COUNTS; k++)
        *count_of(h, k) = pg_get_int(r, row, 2 + (int)k);
    for (size_t k = 0; k < HEALTH_LATE_BINS; k++)
        h->late[k] = pg_bytes_int(pg_get_array_item(r, row, 2 + COUNTS, k));
}

enum err health_read(struct pg_session *s, int32_t lane, int64_t from_us, int64_t until_us,
                     struct health_hour **out, size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i32(&p, lane);
    pg_add_time_us(&p, from_us);
    pg_add_time_us(&p, until_us);
    err = row_ask(
        s,
        "SELECT lane, hour, transactions, decisions, unscored, degraded, duplicates, labels, frauds, ahead, "
        "late FROM monitor_health WHERE lane = $1::int4 AND hour >= $2::timestamptz AND hour < "
        "$3::timestamptz ORDER BY hour",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct health_hour, *count + 1);
        for (size_t i = 0; i < *count; i++)
            read_row(&(*out)[i], r, i);
    }
    pg_result_free(r);
    return err;
}

struct health_hour health_sum(const struct health_hour *hours, size_t count)
{
    struct health_hour sum = { 0 };

    for (size_t i = 0; i < count; i++) {
        struct health_hour h = hours[i];

        if (i == 0)
            sum.lane = h.lane, sum.hour_us = h.hour_us;
        for (size_t k = 0; k < COUNTS; k++)
            *count_of(&sum, k) += *count_of(&h, k);
        for (size_t k = 0; k < HEALTH_LATE_BINS; k++)
            sum.late[k] += h.late[k];
    }
    return sum;
}

enum err health_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_time_us(&p, before_us);
    return row_ask(s, "DELETE FROM monitor_health WHERE lane = $1::int4 AND hour < $2::timestamptz", &p, NULL,
                   why);
}

void health_write(struct json_out *o, const char *key, const struct health_hour *hour)
{
    struct health_hour h = *hour;

    json_out_open(o, key);
    json_out_time(o, "from", h.hour_us);
    for (size_t k = 0; k < COUNTS; k++)
        json_out_int(o, counts_of[k].name, *count_of(&h, k));
    json_out_list(o, "late");
    for (size_t k = 0; k < HEALTH_LATE_BINS; k++) {
        json_out_open(o, NULL);
        if (k < HEALTH_LATE_BOUNDS)
            json_out_int(o, "up_to_seconds", health_late_bounds_us[k] / SECOND_US);
        else
            json_out_null(o, "up_to_seconds");
        json_out_int(o, "count", h.late[k]);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
}
