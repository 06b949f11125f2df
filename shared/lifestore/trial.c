/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/trial.h"

#include <inttypes.h>

#include "lifestore/row.h"
#include "modelstore/modelstore.h"

/* ---- experiments ---- */

void trial_write(struct json_out *o, const char *key, const struct trial *t)
{
    json_out_open(o, key);
    json_out_int(o, "experiment", t->experiment);
    json_out_text(o, "name", t->name);
    json_out_text(o, "stage", t->stage);
    json_out_text(o, "state", t->state);
    json_out_int(o, "champion", t->champion);
    json_out_int(o, "candidate", t->candidate);
    json_out_number(o, "share", t->share);
    json_out_json(o, "design", t->design);
    json_out_json(o, "progress", t->progress);
    json_out_time(o, "started_at", t->started_at_us);
    if (t->ended_at_us == TRIAL_NO_TIME)
        json_out_null(o, "ended_at");
    else
        json_out_time(o, "ended_at", t->ended_at_us);
    json_out_text(o, "ended_by", t->ended_by);
    json_out_end(o);
}

#define TRIAL_COLUMNS                                                                                        \
    "experiment, name, stage, state, champion, candidate, share, salt, design::text, progress::text, "       \
    "started_at, ended_at, ended_by"

static void take(struct trial *t, const struct pg_result *r, size_t row, struct arena *arena)
{
    *t = (struct trial){
        .experiment = pg_get_int(r, row, 0),
        .name = row_text(r, row, 1, arena),
        .stage = row_text(r, row, 2, arena),
        .state = row_text(r, row, 3, arena),
        .champion = pg_get_int(r, row, 4),
        .candidate = pg_get_int(r, row, 5),
        .share = pg_get_float(r, row, 6),
        .salt = pg_get_int(r, row, 7),
        .design = row_text(r, row, 8, arena),
        .progress = row_text(r, row, 9, arena),
        .started_at_us = row_time(r, row, 10),
        .ended_at_us = row_time(r, row, 11),
        .ended_by = row_text(r, row, 12, arena),
    };
}

/* None after an error. */
static void take_all(struct trial **out, size_t *count, const struct pg_result *r, enum err err,
                     struct arena *arena)
{
    *count = err ? 0 : pg_rows(r);
    *out = arena_new(arena, struct trial, *count + 1);
    for (size_t i = 0; i < *count; i++)
        take(&(*out)[i], r, i, arena);
}

enum err trial_list(struct pg_session *s, bool is_running, size_t most, struct trial **out, size_t *count,
                    struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_bool(&p, is_running);
    pg_add_i64(&p, (int64_t)most);
    err =
        row_ask(s,
                "SELECT " TRIAL_COLUMNS " FROM experiments WHERE NOT $1::bool OR state = 'running' ORDER BY "
                "experiment DESC LIMIT $2::int8",
                &p, &r, why);
    take_all(out, count, r, err, arena);
    pg_result_free(r);
    return err;
}

enum err trial_list_of(struct pg_session *s, int64_t version, size_t most, struct trial **out, size_t *count,
                       struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, version);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(s,
                  "SELECT " TRIAL_COLUMNS " FROM experiments WHERE $1::int8 IN (champion, candidate) ORDER "
                  "BY experiment DESC LIMIT $2::int8",
                  &p, &r, why);
    take_all(out, count, r, err, arena);
    pg_result_free(r);
    return err;
}

enum err trial_read(struct pg_session *s, int64_t experiment, struct trial *out, struct arena *arena,
                    struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, experiment);
    err = row_ask(s, "SELECT " TRIAL_COLUMNS " FROM experiments WHERE experiment = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no experiment %" PRId64, experiment);
    if (!err)
        take(out, r, 0, arena);
    pg_result_free(r);
    return err;
}

enum err trial_start(struct pg_session *s, const struct trial *t, int64_t *experiment, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, t->name);
    pg_add_text(&p, t->stage);
    pg_add_i64(&p, t->champion);
    pg_add_i64(&p, t->candidate);
    pg_add_f64(&p, t->share);
    pg_add_i64(&p, t->salt);
    row_add_object(&p, t->design);
    row_add_object(&p, t->progress);
    pg_add_time_us(&p, t->started_at_us);
    err = row_ask(s,
                  "INSERT INTO experiments (name, stage, champion, candidate, share, salt, design, progress, "
                  "started_at) VALUES ($1::text, $2::text, $3::int8, $4::int8, $5::float8, $6::int8, "
                  "$7::text::jsonb, $8::text::jsonb, $9::timestamptz) RETURNING experiment",
                  &p, &r, why);
    *experiment = err ? 0 : pg_get_int(r, 0, 0);
    pg_result_free(r);
    return err;
}

enum err trial_keep(struct pg_session *s, int64_t experiment, struct slice progress, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, experiment);
    row_add_object(&p, progress);
    return row_ask(
        s,
        "UPDATE experiments SET progress = $2::text::jsonb WHERE experiment = $1::int8 AND state = "
        "'running'",
        &p, NULL, why);
}

enum err trial_end(struct pg_session *s, int64_t experiment, const char *state, struct slice by,
                   int64_t now_us, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, experiment);
    pg_add_text(&p, slice_str(state));
    pg_add_text(&p, by);
    pg_add_time_us(&p, now_us);
    err = row_ask(
        s,
        "UPDATE experiments SET state = $2::text, ended_by = $3::text, ended_at = $4::timestamptz WHERE "
        "experiment = $1::int8 AND state = 'running' RETURNING experiment",
        &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "experiment %" PRId64 " does not run", experiment);
    pg_result_free(r);
    return err;
}

/* What model_move() does beside the move. */
struct stopping {
    int64_t experiment, now_us;
    struct slice actor;
};

static enum err end_stopped(void *ctx, struct pg_session *s, struct why *why)
{
    const struct stopping *stop = ctx;

    return trial_end(s, stop->experiment, "stopped", stop->actor, stop->now_us, why);
}

enum err trial_stop(struct pg_session *s, int64_t experiment, struct slice actor, int64_t now_us,
                    struct why *why)
{
    struct stopping stop = { experiment, now_us, actor };
    struct arena arena = { 0 };
    struct model_info candidate;
    struct trial trial;
    enum model_state stage = MODEL_SHADOW;
    enum err err = trial_read(s, experiment, &trial, &arena, why);

    if (!err && !slice_eq_str(trial.state, "running"))
        err = err_set(why, ERR_CONFLICT, "experiment %" PRId64 " does not run", experiment);
    if (!err && slice_eq_str(trial.stage, "ab"))
        stage = MODEL_AB;
    if (!err)
        err = model_find(s, trial.candidate, &candidate, why);
    if (!err && candidate.state != stage)
        err = end_stopped(&stop, s, why); /* somebody has moved the candidate */
    else if (!err)
        err = model_move(s, trial.candidate, stage, MODEL_VALIDATED,
                         &(struct model_change){ .actor = actor,
                                                 .reason = SLICE("the experiment was stopped"),
                                                 .now_us = now_us,
                                                 .also = end_stopped,
                                                 .ctx = &stop },
                         why);
    arena_release(&arena);
    return err;
}

/* ---- verdicts ---- */

void verdict_row_write(struct json_out *o, const char *key, const struct verdict_row *v)
{
    json_out_open(o, key);
    json_out_int(o, "verdict", v->verdict);
    json_out_int(o, "version", v->version);
    if (v->experiment)
        json_out_int(o, "experiment", v->experiment);
    else
        json_out_null(o, "experiment");
    json_out_text(o, "stage", v->stage);
    json_out_text(o, "gate", v->gate);
    json_out_text(o, "outcome", v->outcome);
    json_out_text(o, "reason", v->reason);
    json_out_json(o, "evidence", v->evidence);
    json_out_time(o, "at", v->at_us);
    json_out_end(o);
}

enum err verdict_add(struct pg_session *s, const struct verdict_row *v, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, v->version);
    pg_add_i64(&p, v->experiment);
    pg_add_text(&p, v->stage);
    pg_add_text(&p, v->gate);
    pg_add_text(&p, v->outcome);
    pg_add_text(&p, v->reason.len ? v->reason : SLICE(""));
    row_add_object(&p, v->evidence);
    pg_add_time_us(&p, v->at_us);
    return row_ask(
        s,
        "INSERT INTO verdicts (version, experiment, stage, gate, outcome, reason, evidence, at) VALUES "
        "($1::int8, nullif($2::int8, 0), $3::text, $4::text, $5::text, $6::text, $7::text::jsonb, "
        "$8::timestamptz)",
        &p, NULL, why);
}

enum err verdict_list(struct pg_session *s, int64_t version, int64_t experiment, struct verdict_row **out,
                      size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i64(&p, version);
    pg_add_i64(&p, experiment);
    err = row_ask(
        s,
        "SELECT verdict, version, experiment, stage, gate, outcome, reason, evidence::text, at FROM "
        "verdicts WHERE version = $1::int8 OR ($1::int8 = 0 AND experiment = $2::int8) ORDER BY verdict",
        &p, &r, why);
    if (!err) {
        *out = arena_new(arena, struct verdict_row, pg_rows(r) + 1);
        for (size_t i = 0; i < pg_rows(r); i++)
            (*out)[(*count)++] = (struct verdict_row){
                .verdict = pg_get_int(r, i, 0),
                .version = pg_get_int(r, i, 1),
                .experiment = pg_get_int(r, i, 2),
                .stage = row_text(r, i, 3, arena),
                .gate = row_text(r, i, 4, arena),
                .outcome = row_text(r, i, 5, arena),
                .reason = row_text(r, i, 6, arena),
                .evidence = row_text(r, i, 7, arena),
                .at_us = row_time(r, i, 8),
            };
    }
    pg_result_free(r);
    return err;
}
