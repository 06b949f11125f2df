/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/windows.h"

#include "lifestore/row.h"

static void add_key(struct pg_params *p, int32_t lane, int64_t version)
{
    pg_add_i32(p, lane);
    pg_add_i64(p, version);
}

static struct slice row_bytes(const struct pg_result *r, size_t row, int column, struct arena *arena)
{
    return arena_slice(arena, pg_get_bytes(r, row, column));
}

/* ---- models ---- */

enum err watched_model_read(struct pg_session *s, int32_t lane, int64_t version, struct watched_model *out,
                            bool *is_there, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *is_there = false;
    add_key(&p, lane, version);
    err = row_ask(s,
                  "SELECT name, layout, baseline, open, number, first_at, last_at, has_histograms, alarms "
                  "FROM monitor_models "
                  "WHERE lane = $1::int4 AND version = $2::int8",
                  &p, &r, why);
    if (!err && pg_rows(r)) {
        *is_there = true;
        *out = (struct watched_model){ .lane = lane,
                                       .version = version,
                                       .name = row_text(r, 0, 0, arena),
                                       .layout = row_bytes(r, 0, 1, arena),
                                       .baseline = row_bytes(r, 0, 2, arena),
                                       .open = row_bytes(r, 0, 3, arena),
                                       .number = pg_get_int(r, 0, 4),
                                       .first_us = pg_get_time_us(r, 0, 5),
                                       .last_us = pg_get_time_us(r, 0, 6),
                                       .has_histograms = pg_get_bool(r, 0, 7),
                                       .alarms = row_bytes(r, 0, 8, arena) };
    }
    pg_result_free(r);
    return err;
}

static const char write_model_sql[] =
    "INSERT INTO monitor_models (lane, version, name, layout, baseline, open, number, first_at, last_at, "
    "has_histograms, alarms) VALUES ($1::int4, $2::int8, $3::text, $4::bytea, $5::bytea, $6::bytea, "
    "$7::int8, "
    "$8::timestamptz, $9::timestamptz, $10::bool, $11::bytea) ON CONFLICT (lane, version) DO UPDATE SET "
    "baseline = EXCLUDED.baseline, open = EXCLUDED.open, number = EXCLUDED.number, first_at = "
    "EXCLUDED.first_at, "
    "last_at = EXCLUDED.last_at, alarms = EXCLUDED.alarms";

enum err watched_model_write(struct pg_session *s, const struct watched_model *m, struct why *why)
{
    struct pg_params p = { 0 };

    add_key(&p, m->lane, m->version);
    pg_add_text(&p, m->name);
    pg_add_bytes(&p, m->layout);
    pg_add_bytes(&p, m->baseline);
    pg_add_bytes(&p, m->open);
    pg_add_i64(&p, m->number);
    pg_add_time_us(&p, m->first_us);
    pg_add_time_us(&p, m->last_us);
    pg_add_bool(&p, m->has_histograms);
    pg_add_bytes(&p, m->alarms);
    return row_ask(s, write_model_sql, &p, NULL, why);
}

enum err watched_model_list(struct pg_session *s, int32_t lane, struct watched_model **out, size_t *count,
                            struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i32(&p, lane);
    err = row_ask(
        s,
        "SELECT version, name, number, first_at, last_at, has_histograms FROM monitor_models WHERE lane = "
        "$1::int4 ORDER BY last_at DESC, version DESC",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct watched_model, *count + 1);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = (struct watched_model){ .lane = lane,
                                                .version = pg_get_int(r, i, 0),
                                                .name = row_text(r, i, 1, arena),
                                                .number = pg_get_int(r, i, 2),
                                                .first_us = pg_get_time_us(r, i, 3),
                                                .last_us = pg_get_time_us(r, i, 4),
                                                .has_histograms = pg_get_bool(r, i, 5) };
    }
    pg_result_free(r);
    return err;
}

enum err watched_lane(struct pg_session *s, int32_t *lane, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, "SELECT coalesce(min(lane), 0) FROM monitor_models", NULL, &r, why);

    *lane = err ? 0 : (int32_t)pg_get_int(r, 0, 0);
    pg_result_free(r);
    return err;
}

/* ---- by time ---- */

enum err watched_hour_read(struct pg_session *s, int32_t lane, int64_t version, int64_t hour_us,
                           struct slice *out, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = SLICE("");
    add_key(&p, lane, version);
    pg_add_time_us(&p, hour_us);
    err = row_ask(s,
                  "SELECT counts FROM monitor_hours WHERE lane = $1::int4 AND version = $2::int8 AND hour = "
                  "$3::timestamptz",
                  &p, &r, why);
    if (!err && pg_rows(r))
        *out = row_bytes(r, 0, 0, arena);
    pg_result_free(r);
    return err;
}

enum err watched_hour_write(struct pg_session *s, int32_t lane, int64_t version, int64_t hour_us,
                            int64_t rows, struct slice window, struct why *why)
{
    struct pg_params p = { 0 };

    add_key(&p, lane, version);
    pg_add_time_us(&p, hour_us);
    pg_add_i64(&p, rows);
    pg_add_bytes(&p, window);
    return row_ask(
        s,
        "INSERT INTO monitor_hours (lane, version, hour, rows, counts) VALUES ($1::int4, $2::int8, "
        "$3::timestamptz, $4::int8, $5::bytea) ON CONFLICT (lane, version, hour) DO UPDATE SET rows = "
        "EXCLUDED.rows, counts = EXCLUDED.counts",
        &p, NULL, why);
}

enum err watched_hours(struct pg_session *s, int32_t lane, int64_t version, int64_t from_us, int64_t until_us,
                       struct slice **out, size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    add_key(&p, lane, version);
    pg_add_time_us(&p, from_us);
    pg_add_time_us(&p, until_us);
    err = row_ask(s,
                  "SELECT counts FROM monitor_hours WHERE lane = $1::int4 AND version = $2::int8 AND hour >= "
                  "$3::timestamptz AND hour < $4::timestamptz ORDER BY hour",
                  &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct slice, *count + 1);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = row_bytes(r, i, 0, arena);
    }
    pg_result_free(r);
    return err;
}

/* ---- by count ---- */

enum err watched_window_add(struct pg_session *s, int32_t lane, int64_t version,
                            const struct watched_window *w, struct why *why)
{
    struct pg_params p = { 0 };

    add_key(&p, lane, version);
    pg_add_i64(&p, w->number);
    pg_add_i64(&p, w->rows);
    pg_add_time_us(&p, w->first_us);
    pg_add_time_us(&p, w->last_us);
    pg_add_bytes(&p, w->window);
    return row_ask(
        s,
        "INSERT INTO monitor_windows (lane, version, number, rows, first_at, last_at, counts) VALUES "
        "($1::int4, $2::int8, $3::int8, $4::int8, $5::timestamptz, $6::timestamptz, $7::bytea)",
        &p, NULL, why);
}

enum err watched_windows(struct pg_session *s, int32_t lane, int64_t version, int64_t upto, size_t most,
                         struct watched_window **out, size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    add_key(&p, lane, version);
    pg_add_i64(&p, upto);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT number, rows, first_at, last_at, counts FROM monitor_windows WHERE lane = $1::int4 AND "
        "version = $2::int8 AND number <= $3::int8 ORDER BY number DESC LIMIT $4::int8",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct watched_window, *count + 1);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = (struct watched_window){ .number = pg_get_int(r, i, 0),
                                                 .rows = pg_get_int(r, i, 1),
                                                 .first_us = pg_get_time_us(r, i, 2),
                                                 .last_us = pg_get_time_us(r, i, 3),
                                                 .window = row_bytes(r, i, 4, arena) };
    }
    pg_result_free(r);
    return err;
}

enum err watched_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_time_us(&p, before_us);
    return row_ask(
        s,
        "WITH hours AS (DELETE FROM monitor_hours WHERE lane = $1::int4 AND hour < $2::timestamptz) "
        "DELETE FROM monitor_windows WHERE lane = $1::int4 AND last_at < $2::timestamptz",
        &p, NULL, why);
}
