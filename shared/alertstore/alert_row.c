/* SPDX-License-Identifier: Apache-2.0 */
#include "alertstore/alert_row.h"

#include <inttypes.h>
#include <math.h>

#include "json/json.h"
#include "lifestore/row.h"

/* ---- alerts ---- */

#define COLUMNS                                                                                              \
    "alert, fingerprint, labels::text, severity, text, value, threshold, state, since, true_at, fired_at, "  \
    "resolved_at, told_at, told_severity, is_end_told, is_silenced, is_inhibited "

static double figure(const struct pg_result *r, size_t row, int column)
{
    return pg_is_null(r, row, column) ? (double)NAN : pg_get_float(r, row, column);
}

static void add_figure(struct pg_params *p, double value)
{
    if (isfinite(value))
        pg_add_f64(p, value);
    else
        pg_add_null(p);
}

static enum err read_labels(struct alert *a, struct slice text, struct arena *arena, struct why *why)
{
    json_t *tree = NULL;
    enum err err = json_parse(&tree, text, JSON_DEPTH_MAX, why);

    if (!err)
        err = alert_labels_read(&a->labels, tree, arena, why);
    json_decref(tree);
    return err;
}

static enum err read_row(struct alert *a, const struct pg_result *r, size_t row, struct arena *arena,
                         struct why *why)
{
    struct slice print = pg_get_bytes(r, row, 1);

    *a = (struct alert){ .id = pg_get_int(r, row, 0),
                         .text = row_text(r, row, 4, arena),
                         .value = figure(r, row, 5),
                         .threshold = figure(r, row, 6),
                         .since_us = row_time(r, row, 8),
                         .true_us = row_time(r, row, 9),
                         .fired_us = row_time(r, row, 10),
                         .resolved_us = row_time(r, row, 11),
                         .told_us = row_time(r, row, 12),
                         .is_end_told = pg_get_bool(r, row, 14),
                         .is_silenced = pg_get_bool(r, row, 15),
                         .is_inhibited = pg_get_bool(r, row, 16) };
    memcpy(a->print.bytes, print.ptr, print.len < sizeof a->print.bytes ? print.len : sizeof a->print.bytes);
    alert_severity_find(pg_get_text(r, row, 3), &a->severity);
    alert_severity_find(pg_get_text(r, row, 13), &a->told_severity);
    alert_state_find(pg_get_text(r, row, 7), &a->state);
    return read_labels(a, pg_get_text(r, row, 2), arena, why);
}

static enum err read_rows(struct pg_session *s, const char *sql, struct pg_params *p, struct alert **out,
                          size_t *count, struct arena *arena, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, p, &r, why);

    *count = 0;
    if (!err)
        *out = arena_new(arena, struct alert, pg_rows(r) + 1);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = read_row(&(*out)[(*count)++], r, i, arena, why);
    pg_result_free(r);
    return err;
}

enum err alert_row_list(struct pg_session *s, const struct alert_filter *filter, struct alert **out,
                        size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, filter->before ? filter->before : INT64_MAX);
    pg_add_text(&p, filter->state.len ? filter->state : SLICE(""));
    pg_add_text(&p, filter->severity.len ? filter->severity : SLICE(""));
    pg_add_bool(&p, filter->is_open);
    pg_add_i64(&p, (int64_t)filter->most);
    return read_rows(s,
                     "SELECT " COLUMNS
                     "FROM alerts WHERE alert < $1::int8 AND ($2::text = '' OR state = $2::text) "
                     "AND ($3::text = '' OR severity = $3::text) AND (NOT $4::bool OR state <> 'resolved') "
                     "ORDER BY alert DESC LIMIT $5::int8",
                     &p, out, count, arena, why);
}

enum err alert_row_current(struct pg_session *s, int64_t since_us, struct alert **out, size_t *count,
                           struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_time_us(&p, since_us);
    return read_rows(s,
                     "SELECT " COLUMNS
                     "FROM alerts WHERE (state = 'firing' AND NOT is_silenced AND NOT is_inhibited) "
                     "OR (state = 'resolved' AND resolved_at > $1::timestamptz) ORDER BY alert LIMIT 1000",
                     &p, out, count, arena, why);
}

enum err alert_row_read(struct pg_session *s, int64_t alert, struct alert *out, struct arena *arena,
                        struct why *why)
{
    struct pg_params p = { 0 };
    struct alert *rows;
    size_t count;
    enum err err;

    pg_add_i64(&p, alert);
    err = read_rows(s, "SELECT " COLUMNS "FROM alerts WHERE alert = $1::int8", &p, &rows, &count, arena, why);
    if (!err && count == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no alert %" PRId64, alert);
    if (!err)
        *out = rows[0];
    return err;
}

static const char make_sql[] = "INSERT INTO alerts (fingerprint, labels, severity, text, value, threshold, "
                               "state, since, true_at, fired_at, "
                               "resolved_at, told_at, told_severity, is_end_told, is_silenced, is_inhibited) "
                               "VALUES ($2::bytea, $3::text::jsonb, "
                               "$4::text, $5::text, $6::float8, $7::float8, $8::text, $9::timestamptz, "
                               "$10::timestamptz, $11::timestamptz, "
                               "$12::timestamptz, $13::timestamptz, $14::text, $15::bool, $16::bool, "
                               "$17::bool) RETURNING coalesce($1::int8, "
                               "alert)";

static const char put_sql[] =
    "UPDATE alerts SET fingerprint = $2::bytea, labels = $3::text::jsonb, severity = $4::text, text = "
    "$5::text, "
    "value = $6::float8, threshold = $7::float8, state = $8::text, since = $9::timestamptz, true_at = "
    "$10::timestamptz, fired_at = $11::timestamptz, resolved_at = $12::timestamptz, told_at = "
    "$13::timestamptz, "
    "told_severity = $14::text, is_end_told = $15::bool, is_silenced = $16::bool, is_inhibited = $17::bool "
    "WHERE alert = $1::int8 RETURNING alert";

enum err alert_row_put(struct pg_session *s, struct alert *a, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct buf labels;
    struct json_out o;
    enum err err;

    buf_init(&labels, 0);
    o = json_out_to(&labels);
    alert_labels_write(&o, NULL, &a->labels);
    if (a->id)
        pg_add_i64(&p, a->id);
    else
        pg_add_null(&p);
    pg_add_bytes(&p, slice_of(a->print.bytes, sizeof a->print.bytes));
    pg_add_text(&p, buf_slice(&labels));
    pg_add_text(&p, slice_str(alert_severity_name(a->severity)));
    pg_add_text(&p, a->text);
    add_figure(&p, a->value);
    add_figure(&p, a->threshold);
    pg_add_text(&p, slice_str(alert_state_name(a->state)));
    row_add_time(&p, a->since_us);
    row_add_time(&p, a->true_us);
    row_add_time(&p, a->fired_us);
    row_add_time(&p, a->resolved_us);
    row_add_time(&p, a->told_us);
    pg_add_text(&p, slice_str(alert_severity_name(a->told_severity)));
    pg_add_bool(&p, a->is_end_told);
    pg_add_bool(&p, a->is_silenced);
    pg_add_bool(&p, a->is_inhibited);
    err = row_ask(s, a->id ? put_sql : make_sql, &p, &r, why);
    if (!err && pg_rows(r))
        a->id = pg_get_int(r, 0, 0);
    pg_result_free(r);
    buf_release(&labels);
    return err;
}

enum err alert_row_forget(struct pg_session *s, int64_t alert, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, alert);
    return row_ask(s, "DELETE FROM alerts WHERE alert = $1::int8", &p, NULL, why);
}

/* ---- silences ---- */

static const char silence_sql[] =
    "WITH made AS (INSERT INTO alert_silences (matchers, starts_at, ends_at, author, comment) VALUES "
    "($1::text::jsonb, $2::timestamptz, $3::timestamptz, $4::text, $5::text) RETURNING silence), noted AS "
    "(INSERT INTO "
    "audit (actor, action, subject, detail) SELECT $6::text, 'silence.create', silence::text, "
    "jsonb_build_object('matchers', $1::text::jsonb, 'starts_at', $2::timestamptz, 'ends_at', "
    "$3::timestamptz, "
    "'comment', $5::text) FROM made) SELECT silence FROM made";

enum err silence_row_add(struct pg_session *s, struct silence *silence, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct buf matchers;
    struct json_out o;
    enum err err = silence_check(silence, why);

    if (err)
        return err;
    buf_init(&matchers, 0);
    o = json_out_to(&matchers);
    silence_matchers_write(&o, NULL, silence);
    pg_add_text(&p, buf_slice(&matchers));
    pg_add_time_us(&p, silence->starts_us);
    pg_add_time_us(&p, silence->ends_us);
    pg_add_text(&p, silence->author);
    pg_add_text(&p, silence->comment);
    pg_add_text(&p, actor);
    err = row_ask(s, silence_sql, &p, &r, why);
    if (!err)
        silence->id = pg_get_int(r, 0, 0);
    pg_result_free(r);
    buf_release(&matchers);
    return err;
}

enum err silence_row_expire(struct pg_session *s, int64_t silence, int64_t now_us, struct slice actor,
                            struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, silence);
    pg_add_time_us(&p, now_us);
    pg_add_text(&p, actor);
    err = row_ask(
        s,
        "WITH ended AS (UPDATE alert_silences SET ends_at = greatest(starts_at, $2::timestamptz) WHERE "
        "silence "
        "= $1::int8 AND ends_at > $2::timestamptz RETURNING silence), noted AS (INSERT INTO audit (actor, "
        "action, subject) SELECT $3::text, 'silence.expire', silence::text FROM ended) SELECT silence FROM "
        "alert_silences WHERE silence = $1::int8",
        &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no silence %" PRId64, silence);
    pg_result_free(r);
    return err;
}

static enum err read_silence(struct silence *out, const struct pg_result *r, size_t row, struct arena *arena,
                             struct why *why)
{
    json_t *tree = NULL;
    enum err err = json_parse(&tree, pg_get_text(r, row, 1), JSON_DEPTH_MAX, why);

    *out = (struct silence){ .id = pg_get_int(r, row, 0),
                             .starts_us = pg_get_time_us(r, row, 2),
                             .ends_us = pg_get_time_us(r, row, 3),
                             .author = row_text(r, row, 4, arena),
                             .comment = row_text(r, row, 5, arena) };
    if (!err)
        err = silence_matchers_read(out, tree, arena, why);
    json_decref(tree);
    return err;
}

enum err silence_row_list(struct pg_session *s, int64_t now_us, size_t most, struct silence **out,
                          size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    row_add_time(&p, now_us);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT silence, matchers::text, starts_at, ends_at, author, comment FROM alert_silences WHERE "
        "$1::timestamptz IS NULL OR ends_at > $1::timestamptz ORDER BY silence DESC LIMIT $2::int8",
        &p, &r, why);
    *count = 0;
    if (!err)
        *out = arena_new(arena, struct silence, pg_rows(r) + 1);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = read_silence(&(*out)[(*count)++], r, i, arena, why);
    pg_result_free(r);
    return err;
}

void silence_row_write(struct json_out *o, const char *key, const struct silence *silence, int64_t now_us)
{
    json_out_open(o, key);
    json_out_int(o, "id", silence->id);
    json_out_str(o, "state",
                 silence_is_on(silence, now_us) ? "active"
                 : now_us >= silence->ends_us   ? "expired"
                                                : "pending");
    silence_matchers_write(o, "matchers", silence);
    json_out_time(o, "starts_at", silence->starts_us);
    json_out_time(o, "ends_at", silence->ends_us);
    json_out_text(o, "author", silence->author);
    json_out_text(o, "comment", silence->comment);
    json_out_end(o);
}
