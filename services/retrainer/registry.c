/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <inttypes.h>
#include <stdio.h>

#include "auditstore/audit.h"
#include "base/buf.h"
#include "bundle/bundle.h"
#include "lifestore/row.h"
#include "lifestore/run.h"
#include "lifestore/trial.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"

enum { HISTORY_MOST = 200, EXPERIMENTS_MOST = 50 };

/* ---- the row of a version ---- */

/* Figures are the plain numbers of the metrics: curves and tables are the card's. */
#define ROW_COLUMNS                                                                                          \
    "SELECT m.version, m.name, m.state, coalesce((SELECT jsonb_agg(a.alias ORDER BY a.alias) FROM aliases "  \
    "a WHERE a.version = m.version AND a.is_way_back), '[]')::text, m.created_at, m.sha256, m.signer, "      \
    "octet_length(m.bundle)::int8, coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(m.metrics)" \
    " WHERE jsonb_typeof(value) = 'number'), '{}')::text, made.actor, last.actor, last.at, last.action, "    \
    "last.reason, t.run, t.cause, t.requested_by "                                                           \
    "FROM models m LEFT JOIN LATERAL (SELECT actor FROM audit WHERE action = 'model.register' AND subject "  \
    "= m.version::text ORDER BY id LIMIT 1) made ON true LEFT JOIN LATERAL (SELECT actor, at, action, "      \
    "detail ->> 'reason' AS reason FROM audit WHERE action LIKE 'model.%' AND action <> 'model.register' "   \
    "AND subject = m.version::text ORDER BY id DESC LIMIT 1) last ON true LEFT JOIN LATERAL (SELECT run, "   \
    "cause, requested_by FROM training_runs WHERE version = m.version ORDER BY run LIMIT 1) t ON true "

enum {
    COL_VERSION,
    COL_NAME,
    COL_STATE,
    COL_ALIASES,
    COL_CREATED_AT,
    COL_SHA256,
    COL_SIGNER,
    COL_BYTES,
    COL_FIGURES,
    COL_REGISTERED_BY,
    COL_CHANGED_BY,
    COL_CHANGED_AT,
    COL_CHANGE,
    COL_REASON,
    COL_RUN,
    COL_CAUSE,
    COL_REQUESTED_BY,
};

static void put_text(struct json_out *o, const char *key, const struct pg_result *r, size_t i, int column)
{
    if (pg_is_null(r, i, column))
        json_out_null(o, key);
    else
        json_out_text(o, key, pg_get_text(r, i, column));
}

static void put_row(struct json_out *o, const char *key, const struct pg_result *r, size_t i)
{
    json_out_open(o, key);
    json_out_int(o, "version", pg_get_int(r, i, COL_VERSION));
    json_out_text(o, "name", pg_get_text(r, i, COL_NAME));
    json_out_text(o, "state", pg_get_text(r, i, COL_STATE));
    json_out_json(o, "aliases", pg_get_text(r, i, COL_ALIASES));
    json_out_time(o, "created_at", pg_get_time_us(r, i, COL_CREATED_AT));
    put_text(o, "registered_by", r, i, COL_REGISTERED_BY);
    json_out_hex(o, "sha256", pg_get_bytes(r, i, COL_SHA256));
    if (pg_is_null(r, i, COL_SIGNER))
        json_out_null(o, "signer");
    else
        json_out_hex(o, "signer", pg_get_bytes(r, i, COL_SIGNER));
    json_out_int(o, "bytes", pg_get_int(r, i, COL_BYTES));
    json_out_json(o, "figures", pg_get_text(r, i, COL_FIGURES));
    if (pg_is_null(r, i, COL_CHANGED_AT)) {
        json_out_null(o, "change");
    } else {
        json_out_open(o, "change");
        json_out_text(o, "action", pg_get_text(r, i, COL_CHANGE));
        json_out_time(o, "at", pg_get_time_us(r, i, COL_CHANGED_AT));
        json_out_text(o, "by", pg_get_text(r, i, COL_CHANGED_BY));
        put_text(o, "reason", r, i, COL_REASON);
        json_out_end(o);
    }
    if (pg_is_null(r, i, COL_RUN)) {
        json_out_null(o, "run");
    } else {
        json_out_open(o, "run");
        json_out_int(o, "run", pg_get_int(r, i, COL_RUN));
        json_out_text(o, "cause", pg_get_text(r, i, COL_CAUSE));
        json_out_text(o, "requested_by", pg_get_text(r, i, COL_REQUESTED_BY));
        json_out_end(o);
    }
    json_out_end(o);
}

enum err registry_list(struct json_out *o, struct pg_session *s, struct slice name, int64_t before,
                       int64_t most, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name.ptr ? name : SLICE(""));
    pg_add_i64(&p, before);
    pg_add_i64(&p, most);
    err = row_ask(s,
                  ROW_COLUMNS "WHERE $1::text IN ('', m.name) AND ($2::int8 = 0 OR m.version < $2::int8) "
                              "ORDER BY m.version DESC LIMIT $3::int8",
                  &p, &r, why);
    if (!err) {
        json_out_open(o, NULL);
        json_out_list(o, "models");
        for (size_t i = 0; i < pg_rows(r); i++)
            put_row(o, NULL, r, i);
        json_out_end(o);
        json_out_end(o);
    }
    pg_result_free(r);
    return err;
}

/* ---- the card ---- */

static void put_training(struct json_out *o, const struct bundle *b)
{
    struct bundle_training t = bundle_training(b);

    json_out_open(o, "training");
    json_out_time(o, "from", t.from_us);
    json_out_time(o, "until", t.until_us);
    json_out_time(o, "labels_known", t.labels_known_us);
    json_out_number(o, "label_delay_days", (double)t.label_delay_us / 86400e6);
    json_out_int(o, "rows", (int64_t)t.rows);
    json_out_int(o, "frauds", (int64_t)t.frauds);
    json_out_end(o);
}

static void put_threshold(struct json_out *o, const char *key, double at)
{
    if (at < 2)
        json_out_number(o, key, at);
    else
        json_out_null(o, key); /* no probability reaches it */
}

static void put_bundle(struct json_out *o, const struct bundle *b)
{
    const struct plan *plan = bundle_plan(b);
    struct bundle_thresholds at = bundle_thresholds(b);

    put_training(o, b);
    json_out_open(o, "thresholds");
    put_threshold(o, "challenge", at.challenge);
    put_threshold(o, "review", at.review);
    put_threshold(o, "decline", at.decline);
    json_out_end(o);
    json_out_open(o, "forest");
    json_out_int(o, "trees", (int64_t)forest_trees(bundle_forest(b)));
    json_out_int(o, "depth", (int64_t)forest_depth(bundle_forest(b)));
    json_out_int(o, "nodes", (int64_t)forest_nodes(bundle_forest(b)));
    json_out_int(o, "golden_rows", (int64_t)bundle_golden_rows(b));
    json_out_end(o);
    json_out_hex(o, "plan", slice_of((const char *)plan_hash(plan), SHA256_BYTES));
    json_out_list(o, "features");
    for (size_t i = 0; i < plan_columns(plan); i++) {
        json_out_open(o, NULL);
        json_out_text(o, "name", plan_column(plan, i)->name);
        json_out_text(o, "describe", plan_column(plan, i)->describe);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_json(o, "metrics", bundle_metrics(b));
    json_out_json(o, "parameters", bundle_parameters(b));
    json_out_text(o, "card", bundle_card(b));
}

static enum err put_experiments(struct json_out *o, struct pg_session *s, int64_t version,
                                struct arena *arena, struct why *why)
{
    struct trial *all;
    size_t count;
    enum err err = trial_list_of(s, version, EXPERIMENTS_MOST, &all, &count, arena, why);

    if (err)
        return err;
    json_out_list(o, "experiments");
    for (size_t i = 0; i < count; i++)
        trial_write(o, NULL, &all[i]);
    json_out_end(o);
    return ERR_OK;
}

static enum err put_verdicts(struct json_out *o, struct pg_session *s, int64_t version, struct arena *arena,
                             struct why *why)
{
    struct verdict_row *all;
    size_t count;
    enum err err = verdict_list(s, version, 0, &all, &count, arena, why);

    if (err)
        return err;
    json_out_list(o, "verdicts");
    for (size_t i = 0; i < count; i++)
        verdict_row_write(o, NULL, &all[i]);
    json_out_end(o);
    return ERR_OK;
}

/* Who did what with it, the newest first. */
static enum err put_history(struct json_out *o, struct pg_session *s, int64_t version, struct arena *arena,
                            struct why *why)
{
    char subject[24];
    struct audit_row *rows;
    size_t count;
    struct audit_filter filter = { .action = SLICE("model."), .most = HISTORY_MOST };
    enum err err;

    snprintf(subject, sizeof subject, "%" PRId64, version);
    filter.subject = slice_str(subject);
    err = audit_list(s, &filter, &rows, &count, arena, why);
    if (err)
        return err;
    json_out_list(o, "history");
    for (size_t i = 0; i < count; i++) {
        json_out_open(o, NULL);
        json_out_time(o, "at", rows[i].at_us);
        json_out_text(o, "actor", rows[i].actor);
        json_out_text(o, "action", rows[i].action);
        json_out_json(o, "detail", rows[i].detail);
        json_out_end(o);
    }
    json_out_end(o);
    return ERR_OK;
}

static enum err put_version(struct json_out *o, struct pg_session *s, const struct pg_result *r,
                            struct arena *arena, struct why *why)
{
    int64_t version = pg_get_int(r, 0, COL_VERSION);
    struct bundle *bundle = NULL;
    struct run run;
    struct buf bytes;
    enum err err;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    if (!err && !pg_is_null(r, 0, COL_RUN))
        err = run_read(s, pg_get_int(r, 0, COL_RUN), &run, arena, why);
    if (!err) {
        json_out_open(o, NULL);
        put_row(o, "model", r, 0);
        put_bundle(o, bundle);
        if (pg_is_null(r, 0, COL_RUN))
            json_out_null(o, "run");
        else
            run_write(o, "run", &run);
        err = put_experiments(o, s, version, arena, why);
    }
    if (!err)
        err = put_verdicts(o, s, version, arena, why);
    if (!err)
        err = put_history(o, s, version, arena, why);
    if (!err)
        json_out_end(o);
    bundle_close(bundle);
    buf_release(&bytes);
    return err;
}

enum err registry_show(struct json_out *o, struct pg_session *s, struct slice name, int64_t version,
                       struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_i64(&p, version);
    err = row_ask(s, ROW_COLUMNS "WHERE m.name = $1::text AND m.version = $2::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "%.*s has no model %" PRId64, SLICE_ARG(name), version);
    if (!err)
        err = put_version(o, s, r, arena, why);
    pg_result_free(r);
    return err;
}
