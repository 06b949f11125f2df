/* SPDX-License-Identifier: Apache-2.0 */
#include "monitorstore/condition.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "lifestore/row.h"

static const char *const severity_names[] = {
    [SEVERITY_INFO] = "info", [SEVERITY_WARNING] = "warning", [SEVERITY_CRITICAL] = "critical"
};
static_assert(ARRAY_LEN(severity_names) == SEVERITY_COUNT, "every severity has a name");

const char *severity_name(enum severity severity)
{
    return severity_names[severity];
}

static void add_figure(struct pg_params *p, double value)
{
    if (isnan(value))
        pg_add_null(p);
    else
        pg_add_f64(p, value);
}

/* A change is drawn only where is_raised changes, so that who follows them sees no other. */
static const char report_sql[] =
    "WITH before AS (SELECT is_raised FROM monitor_conditions WHERE condition = $1::text FOR UPDATE), "
    "put AS (INSERT INTO monitor_conditions AS c (condition, kind, subject, severity, lane, value, "
    "threshold, text, "
    "is_raised, since, change) SELECT $1::text, $2::text, $3::text, $4::text, $5::int4, $6::float8, "
    "$7::float8, "
    "$8::text, $9::bool, now(), nextval('monitor_condition_changes') "
    "WHERE coalesce((SELECT is_raised FROM before), false) <> $9::bool "
    "ON CONFLICT (condition) DO UPDATE SET severity = EXCLUDED.severity, value = EXCLUDED.value, "
    "threshold = EXCLUDED.threshold, text = EXCLUDED.text, is_raised = EXCLUDED.is_raised, since = "
    "EXCLUDED.since, "
    "updated_at = now(), change = EXCLUDED.change RETURNING 1), "
    "kept AS (UPDATE monitor_conditions SET severity = $4::text, value = $6::float8, threshold = $7::float8, "
    "text = $8::text, updated_at = now() WHERE condition = $1::text AND is_raised AND $9::bool "
    "AND NOT EXISTS (SELECT FROM put)) SELECT count(*) FROM put";

enum err condition_report(struct pg_session *s, const struct condition *c, bool *is_change, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, c->id);
    pg_add_text(&p, c->kind);
    pg_add_text(&p, c->subject);
    pg_add_text(&p, slice_str(severity_names[c->severity]));
    pg_add_i32(&p, c->lane);
    add_figure(&p, c->value);
    add_figure(&p, c->threshold);
    pg_add_text(&p, c->text);
    pg_add_bool(&p, c->is_raised);
    err = row_ask(s, report_sql, &p, &r, why);
    if (!err && is_change)
        *is_change = pg_get_int(r, 0, 0) > 0;
    pg_result_free(r);
    return err;
}

static enum severity severity_of(struct slice name)
{
    enum severity severity = SEVERITY_INFO;

    while (severity + 1 < SEVERITY_COUNT && !slice_eq_str(name, severity_names[severity]))
        severity++;
    return severity;
}

static void read_row(struct condition *c, const struct pg_result *r, size_t row, struct arena *arena)
{
    *c = (struct condition){ .id = row_text(r, row, 0, arena),
                             .kind = row_text(r, row, 1, arena),
                             .subject = row_text(r, row, 2, arena),
                             .severity = severity_of(pg_get_text(r, row, 3)),
                             .lane = (int32_t)pg_get_int(r, row, 4),
                             .value = pg_get_float(r, row, 5),
                             .threshold = pg_get_float(r, row, 6),
                             .text = row_text(r, row, 7, arena),
                             .is_raised = pg_get_bool(r, row, 8),
                             .since_us = pg_get_time_us(r, row, 9),
                             .change = pg_get_int(r, row, 10) };
}

enum err condition_list(struct pg_session *s, int64_t after, bool is_raised, size_t most,
                        struct condition **out, size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i64(&p, after);
    pg_add_bool(&p, !is_raised);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(
        s,
        "SELECT condition, kind, subject, severity, lane, value, threshold, text, is_raised, since, change "
        "FROM monitor_conditions WHERE change > $1::int8 AND (is_raised OR $2::bool) ORDER BY change "
        "LIMIT $3::int8",
        &p, &r, why);
    if (!err) {
        *count = pg_rows(r);
        *out = arena_new(arena, struct condition, *count + 1);
        for (size_t i = 0; i < *count; i++)
            read_row(&(*out)[i], r, i, arena);
    }
    pg_result_free(r);
    return err;
}

static void write_figure(struct json_out *o, const char *key, double value)
{
    if (isnan(value))
        json_out_null(o, key);
    else
        json_out_number(o, key, value);
}

void condition_write(struct json_out *o, const char *key, const struct condition *c)
{
    json_out_open(o, key);
    json_out_text(o, "id", c->id);
    json_out_text(o, "kind", c->kind);
    json_out_text(o, "subject", c->subject);
    json_out_str(o, "severity", severity_names[c->severity]);
    json_out_int(o, "lane", c->lane);
    write_figure(o, "value", c->value);
    write_figure(o, "threshold", c->threshold);
    json_out_text(o, "text", c->text);
    json_out_bool(o, "is_raised", c->is_raised);
    json_out_time(o, "since", c->since_us);
    json_out_int(o, "change", c->change);
    json_out_end(o);
}
