/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/schedule.h"

#include "lifestore/row.h"

void schedule_write(struct json_out *o, const char *key, const struct schedule *schedule, int64_t next_us)
{
    json_out_open(o, key);
    json_out_text(o, "name", schedule->name);
    json_out_text(o, "cron", schedule->cron);
    json_out_text(o, "zone", schedule->zone);
    json_out_json(o, "settings", schedule->settings);
    json_out_bool(o, "is_enabled", schedule->is_enabled);
    if (schedule->fired_at_us == SCHEDULE_NEVER)
        json_out_null(o, "fired_at");
    else
        json_out_time(o, "fired_at", schedule->fired_at_us);
    if (next_us == SCHEDULE_NEVER)
        json_out_null(o, "next_at");
    else
        json_out_time(o, "next_at", next_us);
    json_out_end(o);
}

enum err schedule_list(struct pg_session *s, struct schedule **out, size_t *count, struct arena *arena,
                       struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s,
                           "SELECT name, cron, zone, settings::text, is_enabled, fired_at, updated_at FROM "
                           "retrain_schedules ORDER BY name",
                           NULL, &r, why);

    *count = 0;
    if (!err) {
        *out = arena_new(arena, struct schedule, pg_rows(r) + 1);
        for (size_t i = 0; i < pg_rows(r); i++)
            (*out)[(*count)++] = (struct schedule){
                .name = row_text(r, i, 0, arena),
                .cron = row_text(r, i, 1, arena),
                .zone = row_text(r, i, 2, arena),
                .settings = row_text(r, i, 3, arena),
                .is_enabled = pg_get_bool(r, i, 4),
                .fired_at_us = row_time(r, i, 5),
                .updated_at_us = row_time(r, i, 6),
            };
    }
    pg_result_free(r);
    return err;
}

static const char put_sql[] =
    "WITH made AS (INSERT INTO retrain_schedules (name, cron, zone, settings, is_enabled) SELECT $1::text, "
    "$2::text, $3::text, $4::text::jsonb, $5::bool WHERE $1::text ~ '^[a-z][a-z0-9_-]{0,63}$' AND "
    "jsonb_typeof($4::text::jsonb) = 'object' ON CONFLICT (name) DO UPDATE SET cron = $2::text, zone = "
    "$3::text, settings = $4::text::jsonb, is_enabled = $5::bool, fired_at = NULL, updated_at = now() "
    "RETURNING "
    "name), noted AS (INSERT INTO audit (actor, action, subject, detail) SELECT $6::text, 'schedule.set', "
    "name, "
    "jsonb_build_object('cron', $2::text, 'zone', $3::text, 'is_enabled', $5::bool) FROM made) SELECT name "
    "FROM "
    "made";

enum err schedule_put(struct pg_session *s, const struct schedule *schedule, struct slice actor,
                      struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, schedule->name);
    pg_add_text(&p, schedule->cron);
    pg_add_text(&p, schedule->zone);
    row_add_object(&p, schedule->settings);
    pg_add_bool(&p, schedule->is_enabled);
    pg_add_text(&p, actor);
    err = row_ask(s, put_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(
            why, ERR_INVALID,
            "\"%.*s\" is no name of a model ([a-z][a-z0-9_-]{0,63}), or the settings are no JSON object",
            SLICE_ARG(schedule->name));
    pg_result_free(r);
    return err;
}

enum err schedule_begin(struct pg_session *s, const struct schedule *schedule, int64_t now_us,
                        struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, schedule->name);
    pg_add_time_us(&p, now_us);
    return row_ask(
        s,
        "UPDATE retrain_schedules SET fired_at = $2::timestamptz WHERE name = $1::text AND fired_at IS "
        "NULL",
        &p, NULL, why);
}

enum err schedule_remove(struct pg_session *s, struct slice name, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, actor);
    err =
        row_ask(s,
                "WITH gone AS (DELETE FROM retrain_schedules WHERE name = $1::text RETURNING name), noted AS "
                "(INSERT INTO audit (actor, action, subject) SELECT $2::text, 'schedule.remove', name FROM "
                "gone) SELECT name FROM gone",
                &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "%.*s has no schedule", SLICE_ARG(name));
    pg_result_free(r);
    return err;
}

/* Two at once: the second waits for the first's row lock, and then finds another fired_at. */
static const char fire_sql[] =
    "WITH fired AS (UPDATE retrain_schedules SET fired_at = $3::timestamptz WHERE "
    "name = $1::text AND is_enabled "
    "AND fired_at IS NOT DISTINCT FROM $2::timestamptz AND cron = $4::text AND "
    "zone = $5::text RETURNING name, "
    "settings), made AS (INSERT INTO training_runs (name, cause, reason, "
    "requested_by, as_of, settings) SELECT "
    "name, 'schedule', $4::text || ' ' || $5::text, 'schedule', $3::timestamptz, "
    "settings FROM fired WHERE NOT "
    "EXISTS (SELECT FROM training_runs t WHERE t.name = $1::text AND t.state = "
    "'queued') ON CONFLICT (name) WHERE state = 'queued' DO NOTHING RETURNING run) SELECT run "
    "FROM made";

enum err schedule_fire(struct pg_session *s, const struct schedule *schedule, int64_t due_us, int64_t *run,
                       struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, schedule->name);
    row_add_time(&p, schedule->fired_at_us);
    pg_add_time_us(&p, due_us);
    pg_add_text(&p, schedule->cron);
    pg_add_text(&p, schedule->zone);
    err = row_ask(s, fire_sql, &p, &r, why);
    *run = !err && pg_rows(r) ? pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return err;
}
