/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/verdicts.h"

#include <math.h>
#include <stddef.h>

#include "lifestore/row.h"
#include "lifestore/run.h"

/* The figures in the order of their columns; they have the same names in JSON. */
static const struct {
    const char *name;
    size_t offset;
} figures[] = {
    { "psi", offsetof(struct found, psi) },
    { "psi_critical", offsetof(struct found, psi_critical) },
    { "js", offsetof(struct found, js) },
    { "js_critical", offsetof(struct found, js_critical) },
    { "missing", offsetof(struct found, missing) },
    { "missing_reference", offsetof(struct found, missing_reference) },
    { "missing_critical", offsetof(struct found, missing_critical) },
    { "unseen", offsetof(struct found, unseen) },
    { "unseen_reference", offsetof(struct found, unseen_reference) },
    { "unseen_critical", offsetof(struct found, unseen_critical) },
};
enum { FIGURES = sizeof figures / sizeof *figures };

static double *figure_of(struct found *f, size_t i)
{
    return (double *)(void *)((char *)f + figures[i].offset);
}

#define COLUMNS                                                                                              \
    "lane, version, number, kind, field, name, at, rows, reference_rows, psi, psi_critical, js, "            \
    "js_critical, "                                                                                          \
    "missing, missing_reference, missing_critical, unseen, unseen_reference, unseen_critical, is_beyond, "   \
    "is_alarm, text"
enum { FIRST_FIGURE = 9 };

static const char add_sql[] = "INSERT INTO monitor_verdicts (" COLUMNS
                              ") SELECT $1::int4, $2::int8, $3::int8, k.* FROM unnest($4::text[], "
                              "$5::text[], $6::text[], $7::timestamptz[], $8::int8[], $9::int8[], "
                              "$10::float8[], $11::float8[], $12::float8[], "
                              "$13::float8[], $14::float8[], $15::float8[], $16::float8[], $17::float8[], "
                              "$18::float8[], $19::float8[], "
                              "$20::bool[], $21::bool[], $22::text[]) AS k";

enum err found_add(struct pg_session *s, const struct found *all, size_t count, struct why *why)
{
    static const enum pg_type first[] = { PG_TEXT, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ, PG_INT8, PG_INT8 };
    struct pg_params p = { 0 };
    struct pg_array *columns[6 + FIGURES + 3];
    size_t n = 0;

    if (!count)
        return ERR_OK;
    pg_add_i32(&p, all[0].lane);
    pg_add_i64(&p, all[0].version);
    pg_add_i64(&p, all[0].number);
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        columns[n++] = pg_add_array(&p, first[i]);
    for (size_t i = 0; i < FIGURES; i++)
        columns[n++] = pg_add_array(&p, PG_FLOAT8);
    columns[n++] = pg_add_array(&p, PG_BOOL);
    columns[n++] = pg_add_array(&p, PG_BOOL);
    columns[n++] = pg_add_array(&p, PG_TEXT);
    for (size_t i = 0; i < count; i++) {
        struct found f = all[i];

        n = 0;
        pg_array_text(columns[n++], f.kind);
        pg_array_text(columns[n++], f.field);
        pg_array_text(columns[n++], f.name);
        pg_array_time_us(columns[n++], f.at_us);
        pg_array_i64(columns[n++], f.rows);
        pg_array_i64(columns[n++], f.reference_rows);
        for (size_t k = 0; k < FIGURES; k++, n++) {
            if (isnan(*figure_of(&f, k)))
                pg_array_null(columns[n]);
            else
                pg_array_f64(columns[n], *figure_of(&f, k));
        }
        pg_array_bool(columns[n++], f.is_beyond);
        pg_array_bool(columns[n++], f.is_alarm);
        pg_array_text(columns[n++], f.text);
    }
    return row_ask(s, add_sql, &p, NULL, why);
}

static void read_row(struct found *f, const struct pg_result *r, size_t row, struct arena *arena)
{
    *f = (struct found){ .lane = (int32_t)pg_get_int(r, row, 0),
                         .version = pg_get_int(r, row, 1),
                         .number = pg_get_int(r, row, 2),
                         .kind = row_text(r, row, 3, arena),
                         .field = row_text(r, row, 4, arena),
                         .name = row_text(r, row, 5, arena),
                         .at_us = pg_get_time_us(r, row, 6),
                         .rows = pg_get_int(r, row, 7),
                         .reference_rows = pg_get_int(r, row, 8),
                         .is_beyond = pg_get_bool(r, row, FIRST_FIGURE + FIGURES),
                         .is_alarm = pg_get_bool(r, row, FIRST_FIGURE + FIGURES + 1),
                         .text = row_text(r, row, FIRST_FIGURE + FIGURES + 2, arena) };
    for (size_t k = 0; k < FIGURES; k++)
        *figure_of(f, k) = pg_get_float(r, row, FIRST_FIGURE + (int)k);
}

static enum err read_all(struct pg_session *s, const char *sql, struct pg_params *p, struct found **out,
                         size_t *count, struct arena *arena, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, p, &r, why);

    *count = 0;
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct found, *count + 1);
        for (size_t i = 0; i < *count; i++)
            read_row(&(*out)[i], r, i, arena);
    }
    pg_result_free(r);
    return err;
}

enum err found_newest(struct pg_session *s, int32_t lane, int64_t version, struct found **out, size_t *count,
                      struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_i64(&p, version);
    return read_all(
        s,
        "SELECT " COLUMNS " FROM monitor_verdicts WHERE lane = $1::int4 AND version = $2::int8 AND number = "
        "(SELECT max(number) FROM monitor_verdicts WHERE lane = $1::int4 AND version = $2::int8) "
        "ORDER BY is_alarm DESC, is_beyond DESC, js / nullif(js_critical, 0) DESC NULLS LAST, kind, name",
        &p, out, count, arena, why);
}

enum err found_history(struct pg_session *s, int32_t lane, int64_t version, struct slice kind,
                       struct slice field, struct slice name, size_t most, struct found **out, size_t *count,
                       struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_i64(&p, version);
    pg_add_text(&p, kind.len ? kind : SLICE(""));
    pg_add_text(&p, name);
    pg_add_i64(&p, (int64_t)most);
    pg_add_text(&p, field.len ? field : SLICE(""));
    return read_all(s,
                    "SELECT " COLUMNS
                    " FROM monitor_verdicts WHERE lane = $1::int4 AND version = $2::int8 AND ($3::text "
                    "= '' OR kind = $3::text) AND name = $4::text AND ($6::text = '' OR field = $6::text) "
                    "ORDER BY number DESC, kind, field LIMIT $5::int8",
                    &p, out, count, arena, why);
}

enum err found_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, lane);
    pg_add_time_us(&p, before_us);
    return row_ask(s, "DELETE FROM monitor_verdicts WHERE lane = $1::int4 AND at < $2::timestamptz", &p, NULL,
                   why);
}

void found_write(struct json_out *o, const char *key, const struct found *found)
{
    struct found f = *found;

    json_out_open(o, key);
    json_out_text(o, "kind", f.kind);
    if (f.field.len)
        json_out_text(o, "field", f.field);
    json_out_text(o, "name", f.name);
    json_out_int(o, "window", f.number);
    json_out_time(o, "at", f.at_us);
    json_out_int(o, "rows", f.rows);
    json_out_int(o, "reference_rows", f.reference_rows);
    for (size_t k = 0; k < FIGURES; k++)
        json_out_number(o, figures[k].name, *figure_of(&f, k)); /* NaN is null */
    json_out_bool(o, "is_beyond", f.is_beyond);
    json_out_bool(o, "is_alarm", f.is_alarm);
    json_out_text(o, "text", f.text);
    json_out_end(o);
}

/* ---- asking for a model ---- */

static const char recent_sql[] = "SELECT EXISTS (SELECT FROM monitor_requests WHERE name = $1::text AND lane "
                                 "= $2::int4 AND at > $3::timestamptz)";

static enum err is_recent(struct pg_session *s, const struct asked *a, int64_t cooldown_us, bool *is,
                          struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, a->name);
    pg_add_i32(&p, a->lane);
    pg_add_time_us(&p, a->at_us - cooldown_us);
    err = row_ask(s, recent_sql, &p, &r, why);
    *is = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

enum err asked_make(struct pg_session *s, const struct asked *a, int64_t as_of_us, int64_t cooldown_us,
                    bool *is_made, struct why *why)
{
    struct pg_params p = { 0 };
    bool is_too_soon;
    int64_t run;
    enum err err = is_recent(s, a, cooldown_us, &is_too_soon, why);

    *is_made = false;
    if (err || is_too_soon)
        return err;
    err = run_request(s,
                      &(struct run_wish){ .name = a->name,
                                          .cause = "drift",
                                          .reason = a->reason,
                                          .requested_by = SLICE("monitor"),
                                          .as_of_us = as_of_us },
                      &run, NULL, why);
    if (err)
        return err;
    pg_add_text(&p, a->name);
    pg_add_i32(&p, a->lane);
    pg_add_i64(&p, a->version);
    pg_add_i64(&p, run);
    pg_add_text(&p, a->reason);
    pg_add_time_us(&p, a->at_us);
    err = row_ask(
        s,
        "INSERT INTO monitor_requests (name, lane, version, run, reason, at) VALUES ($1::text, $2::int4, "
        "$3::int8, $4::int8, $5::text, $6::timestamptz)",
        &p, NULL, why);
    *is_made = !err;
    return err;
}

enum err asked_list(struct pg_session *s, size_t most, struct asked **out, size_t *count, struct arena *arena,
                    struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT request, name, lane, version, run, reason, at, requested_at FROM monitor_requests ORDER BY "
        "request DESC LIMIT $1::int8",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct asked, *count + 1);
        for (size_t i = 0; i < *count; i++)
            (*out)[i] = (struct asked){ .request = pg_get_int(r, i, 0),
                                        .name = row_text(r, i, 1, arena),
                                        .lane = (int32_t)pg_get_int(r, i, 2),
                                        .version = pg_get_int(r, i, 3),
                                        .run = pg_get_int(r, i, 4),
                                        .reason = row_text(r, i, 5, arena),
                                        .at_us = pg_get_time_us(r, i, 6),
                                        .requested_at_us = pg_get_time_us(r, i, 7) };
    }
    pg_result_free(r);
    return err;
}

void asked_write(struct json_out *o, const char *key, const struct asked *a)
{
    json_out_open(o, key);
    json_out_int(o, "request", a->request);
    json_out_text(o, "name", a->name);
    json_out_int(o, "lane", a->lane);
    json_out_int(o, "version", a->version);
    json_out_int(o, "run", a->run);
    json_out_text(o, "reason", a->reason);
    json_out_time(o, "at", a->at_us);
    json_out_time(o, "requested_at", a->requested_at_us);
    json_out_end(o);
}
