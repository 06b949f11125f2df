/* SPDX-License-Identifier: Apache-2.0 */
#include "casefile.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "fraud/txn.h"
#include "json/json.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "proto/txn_proto.h"

enum { TIMELINE_MOST = 500, VELOCITY_ROWS_MOST = 20000, MINUTES_MOST = 1440 };

static enum err read_number(const struct call *c, int64_t *number, struct why *why)
{
    if (slice_to_i64(c->id, number) && *number > 0)
        return ERR_OK;
    return err_set(why, ERR_NOT_FOUND, "there is no such case");
}

/* A statement of one JSON text; no row: no such case. */
static enum err answer(struct call *c, struct pg_session *s, const char *sql, struct pg_params *p,
                       struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, sql, p, &r, why);

    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no such case");
    if (!err)
        buf_add_slice(&c->out, pg_get_text(r, 0, 0));
    pg_result_free(r);
    return err;
}

/* ---- the payment ---- */

static void write_payment(struct json_out *o, const struct txn *txn)
{
    json_out_open(o, "payment");
    json_out_text(o, "transaction_id", txn->id);
    json_out_time(o, "occurred_at", txn->occurred_at_us);
    json_out_time(o, "known_at", txn->known_at_us);
    json_out_int(o, "amount", txn->amount_minor);
    json_out_text(o, "currency", txn->currency);
    json_out_int(o, "amount_base_minor", txn->amount_base_minor);
    for (int i = 0; i < TXN_TEXT_COUNT; i++)
        if (txn->text[i].len)
            json_out_text(o, txn_text_name((enum txn_text)i), txn->text[i]);
    if (txn->has_place) {
        json_out_number(o, "lat", txn->lat);
        json_out_number(o, "lon", txn->lon);
    }
    json_out_open(o, "attributes");
    for (size_t i = 0; i < txn->attribute_count; i++) {
        const struct txn_attribute *a = &txn->attributes[i];

        json_out_text_key(o, a->name);
        if (a->kind == ATTRIBUTE_NUMBER)
            json_out_number(o, NULL, a->number);
        else if (a->kind == ATTRIBUTE_BOOL)
            json_out_bool(o, NULL, a->is_true);
        else
            json_out_text(o, NULL, a->text);
    }
    json_out_end(o);
    json_out_end(o);
}

/* ---- the decision ---- */

static void write_fired(struct json_out *o, const char *key, Assay__V1__FiredRule *const *rules, size_t count)
{
    json_out_list(o, key);
    for (size_t i = 0; i < count; i++) {
        const Assay__V1__FiredRule *r = rules[i];

        json_out_open(o, NULL);
        json_out_str(o, "id", r->id);
        json_out_str(o, "name", r->name);
        json_out_str(o, "action",
                     *r->tag                              ? "tag"
                     : (unsigned)r->action < ACTION_COUNT ? action_name((enum action)r->action)
                                                          : "unknown");
        json_out_str(o, "tag", r->tag);
        json_out_bool(o, "shadow", r->is_shadow);
        json_out_str(o, "expression", r->expression);
        json_out_str(o, "values", r->values);
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_record(struct json_out *o, const Assay__V1__DecisionRecord *record)
{
    const Assay__V1__Thresholds *held = record->own_thresholds ? record->own_thresholds : record->thresholds;

    json_out_list(o, "reasons");
    for (size_t i = 0; i < record->n_reasons; i++) {
        json_out_open(o, NULL);
        json_out_str(o, "code", record->reasons[i]->code);
        json_out_str(o, "text", record->reasons[i]->text);
        json_out_str(o, "detail", record->reasons[i]->detail);
        json_out_bool(o, "public", record->reasons[i]->is_public);
        json_out_end(o);
    }
    json_out_end(o);
    write_fired(o, "rules", record->rules, record->n_rules);
    write_fired(o, "noted_rules", record->noted, record->n_noted);
    json_out_list(o, "contributions");
    for (size_t i = 0; i < record->n_contributions; i++) {
        json_out_open(o, NULL);
        json_out_str(o, "feature", record->contributions[i]->feature);
        json_out_number(o, "value", record->contributions[i]->value);
        json_out_number(o, "margin", record->contributions[i]->margin);
        json_out_str(o, "describe", record->contributions[i]->describe);
        json_out_end(o);
    }
    json_out_end(o);
    if (held) {
        json_out_open(o, "thresholds");
        json_out_number(o, "challenge", held->challenge);
        json_out_number(o, "review", held->review);
        json_out_number(o, "decline", held->decline);
        json_out_end(o);
    } else {
        json_out_null(o, "thresholds");
    }
    json_out_list(o, "degraded");
    for (size_t i = 0; i < record->n_degraded; i++)
        json_out_str(o, NULL, record->degraded[i]);
    json_out_end(o);
    json_out_open(o, "timings_us");
    json_out_int(o, "queue", record->queue_us);
    json_out_int(o, "features", record->features_us);
    json_out_int(o, "scoring", record->scoring_us);
    json_out_int(o, "rules", record->rules_us);
    json_out_end(o);
}

enum { CASE, BODY, RECORD, ACTION, SCORE, MARGIN, MODEL, RULESET, ARM, DECIDED_AT, TIMELINE };

/* The timeline: the newest entries of each kind, the oldest first. */
static const char case_sql[] =
    "WITH c AS (SELECT * FROM review_cases WHERE \"case\" = $1::int8), "
    "line AS ((SELECT d.decided_at AS at, 'decision' AS kind, 'assay' AS actor, action_word(d.action) AS "
    "text, "
    "jsonb_build_object('model_version', d.model_version, 'ruleset_version', d.ruleset_version) AS detail "
    "FROM c JOIN "
    "decisions d USING (account, transaction_id, known_at)) "
    "UNION ALL (SELECT l.known_at, 'label', (ARRAY['customer', 'analyst', 'issuer', 'chargeback'])[l.source "
    "+ 1], "
    "CASE WHEN l.is_fraud THEN 'fraud' ELSE 'legit' END, jsonb_build_object('labelled_at', "
    "rfc3339(l.labelled_at)) "
    "FROM c JOIN labels l USING (account, transaction_id) ORDER BY l.n DESC LIMIT $2::int8) "
    "UNION ALL (SELECT n.at, 'note', n.author, n.text, '{}' FROM c JOIN review_notes n USING (\"case\") "
    "ORDER BY "
    "n.note DESC LIMIT $2::int8) "
    "UNION ALL (SELECT v.known_at, 'shadow', 'model ' || v.version, action_word(v.action), "
    "jsonb_build_object('score', v.score) FROM c JOIN (SELECT DISTINCT candidate FROM experiments) e ON true "
    "JOIN "
    "shadow_scores v ON "
    "v.version = e.candidate AND v.account = c.account AND v.transaction_id = c.transaction_id AND "
    "v.known_at = "
    "c.known_at) "
    "UNION ALL (SELECT a.at, 'audit', a.actor, a.action, a.detail || jsonb_build_object('id', a.id) FROM c "
    "JOIN audit "
    "a ON a.subject = c.\"case\"::text AND starts_with(a.action, 'case.') AND a.action <> 'case.note' ORDER "
    "BY a.id DESC LIMIT "
    "$2::int8)) "
    "SELECT case_json(c::review_cases)::text, l.body, d.record, d.action, d.score, d.margin, "
    "d.model_version, "
    "d.ruleset_version, d.arm, d.decided_at, (SELECT coalesce(jsonb_agg(jsonb_build_object('at', "
    "rfc3339(at), 'kind', "
    "kind, 'actor', actor, 'text', text, 'detail', detail) ORDER BY at), '[]') FROM line)::text FROM c JOIN "
    "decisions d "
    "USING (account, transaction_id, known_at) JOIN log l ON l.n = c.n AND l.known_at = c.known_at";

/* What the rule set in shadow would have done stands in the record, and in the timeline beside the decision. */
static enum err write_timeline(struct json_out *o, struct call *c, struct slice entries,
                               const Assay__V1__ShadowOutcome *shadow, int64_t decided_at_us, struct why *why)
{
    char at[RFC3339_SIZE];
    json_t *line, *entry, *rules;
    size_t place = 0;
    char *text;
    enum err err;

    if (!shadow || (unsigned)shadow->action >= ACTION_COUNT) {
        json_out_json(o, "timeline", entries);
        return ERR_OK;
    }
    err = json_parse(&line, entries, JSON_DEPTH_MAX, why);
    if (err)
        return ERR_INTERNAL;
    rules = json_array();
    for (size_t i = 0; i < shadow->n_rules; i++)
        json_array_append_new(rules, json_string(shadow->rules[i]->id));
    rfc3339_format(decided_at_us, at);
    entry = json_pack("{s:s,s:s,s:s+,s:s,s:{s:s,s:o}}", "at", at, "kind", "shadow", "actor", "rules ",
                      shadow->ruleset_version, "text", action_name((enum action)shadow->action), "detail",
                      "ruleset_version", shadow->ruleset_version, "rules", rules);
    while (place < json_array_size(line) &&
           strcmp(json_string_value(json_object_get(json_array_get(line, place), "kind")), "decision") != 0)
        place++;
    json_array_insert_new(line, place < json_array_size(line) ? place + 1 : place, entry);
    text = json_dumps(line, JSON_COMPACT);
    json_out_json(o, "timeline", arena_slice(&c->arena, slice_str(text)));
    free(text);
    json_decref(line);
    return ERR_OK;
}

static enum err write_file(struct call *c, const struct pg_result *r, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct slice bytes = pg_get_bytes(r, 0, RECORD);
    Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(&c->arena), bytes.len, (const uint8_t *)bytes.ptr);
    int64_t action = pg_get_int(r, 0, ACTION);
    struct txn txn;
    enum err err = txn_unpack(&txn, pg_get_bytes(r, 0, BODY), &c->arena, why);

    if (!err && (!record || action < 0 || action >= ACTION_COUNT))
        err = err_set(why, ERR_INTERNAL, "the stored decision cannot be read");
    if (err)
        return ERR_INTERNAL;
    json_out_open(&o, NULL);
    json_out_json(&o, "case", pg_get_text(r, 0, CASE));
    write_payment(&o, &txn);
    json_out_open(&o, "decision");
    json_out_str(&o, "action", action_name((enum action)action));
    if (pg_is_null(r, 0, SCORE))
        json_out_null(&o, "score");
    else
        json_out_number(&o, "score", pg_get_float(r, 0, SCORE));
    if (pg_is_null(r, 0, MARGIN))
        json_out_null(&o, "margin");
    else
        json_out_number(&o, "margin", pg_get_float(r, 0, MARGIN));
    write_record(&o, record);
    json_out_text(&o, "model_version", pg_get_text(r, 0, MODEL));
    json_out_text(&o, "ruleset_version", pg_get_text(r, 0, RULESET));
    json_out_text(&o, "arm", pg_get_text(r, 0, ARM));
    json_out_time(&o, "decided_at", pg_get_time_us(r, 0, DECIDED_AT));
    json_out_end(&o);
    err = write_timeline(&o, c, pg_get_text(r, 0, TIMELINE), record->shadow, pg_get_time_us(r, 0, DECIDED_AT),
                         why);
    json_out_end(&o);
    return err;
}

enum err case_get(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (err)
        return err;
    pg_add_i64(&p, number);
    pg_add_i64(&p, TIMELINE_MOST);
    err = row_ask(s, case_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    if (!err)
        err = write_file(c, r, why);
    pg_result_free(r);
    return err;
}

/* ---- what its entities did before ---- */

/* The newest of thirty days up to the payment, by the index of their kind. */
#define PAST_OF(kind, column)                                                                                \
    "(SELECT '" kind                                                                                         \
    "' AS kind, x.* FROM c CROSS JOIN LATERAL (SELECT extract(epoch FROM c.occurred_at - p.occurred_at) AS " \
    "ago, p.amount_base_minor FROM payments p WHERE p.account = c.account AND p." column " = c." column      \
    " AND p." column " <> '' AND p.occurred_at <= c.occurred_at AND p.occurred_at > c.occurred_at - "        \
    "interval '30 days' ORDER BY p.occurred_at DESC LIMIT $2::int4) x)"

/* Steps are numbered from the oldest, 1 to 30; the last ends with the payment. */
static const char velocity_sql[] =
    "WITH c AS (SELECT * FROM review_cases WHERE \"case\" = $1::int8), "
    "entity AS (SELECT v.kind, v.value FROM c, LATERAL (VALUES ('card', c.card_id), ('customer', "
    "c.customer_id), ('device', c.device_id), ('ip', c.ip), ('merchant', c.merchant_id)) AS v (kind, value) "
    "WHERE v.value <> ''), "
    "past AS (" PAST_OF("card", "card_id") " UNION ALL " PAST_OF(
        "customer",
        "customer_id") " UNION "
                       "ALL " PAST_OF("device", "device_id") " UNION ALL " PAST_OF(
                           "ip",
                           "ip") " UNION ALL " PAST_OF("merchant",
                                                       "merchant_id") "), "
                                                                      "span AS (SELECT * FROM (VALUES (600), "
                                                                      "(3600), (86400), (2592000)) AS s "
                                                                      "(seconds)), "
                                                                      "hit AS (SELECT x.kind, s.seconds, 30 "
                                                                      "- floor(x.ago * 30 / s.seconds)::int4 "
                                                                      "AS step, count(*) AS count, "
                                                                      "sum(x.amount_base_minor) AS amount "
                                                                      "FROM past x JOIN span s ON x.ago < "
                                                                      "s.seconds GROUP BY 1, 2, 3), "
                                                                      "series AS (SELECT e.kind, e.value, "
                                                                      "s.seconds, "
                                                                      "jsonb_agg(coalesce(h.count, 0) ORDER "
                                                                      "BY g) AS counts, "
                                                                      "jsonb_agg(coalesce(h.amount, 0) ORDER "
                                                                      "BY g) AS amounts FROM entity e CROSS "
                                                                      "JOIN span s CROSS JOIN "
                                                                      "generate_series(1, 30) g LEFT JOIN "
                                                                      "hit h ON h.kind = e.kind AND "
                                                                      "h.seconds = s.seconds AND h.step = g "
                                                                      "GROUP BY 1, 2, 3) "
                                                                      "SELECT jsonb_build_object('series', "
                                                                      "coalesce((SELECT "
                                                                      "jsonb_agg(jsonb_build_object('entity',"
                                                                      " kind, "
                                                                      "'value', value, 'window_s', seconds, "
                                                                      "'step_s', seconds / 30, 'counts', "
                                                                      "counts, 'amounts_base_minor', "
                                                                      "amounts) ORDER BY kind, seconds) FROM "
                                                                      "series), '[]'))::text FROM c";

enum err case_velocity(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    int64_t number;
    enum err err = read_number(c, &number, why);

    if (err)
        return err;
    pg_add_i64(&p, number);
    pg_add_i32(&p, VELOCITY_ROWS_MOST);
    return answer(c, s, velocity_sql, &p, why);
}

/* ---- the overview ---- */

/* A percentile is the upper end of the first bucket that reaches it. */
static const char overview_sql[] =
    "WITH m AS (SELECT * FROM decision_minutes WHERE minute > now() - $1::int8 * interval '1 min'), "
    "l AS (SELECT stage, bucket, sum(count) AS count FROM decision_latency WHERE minute > now() - $1::int8 * "
    "interval '1 "
    "min' GROUP BY 1, 2), "
    "run AS (SELECT stage, bucket, sum(count) OVER (PARTITION BY stage ORDER BY bucket) AS upto, sum(count) "
    "OVER "
    "(PARTITION BY stage) AS of FROM l), "
    "cut AS (SELECT stage, q, min(2::numeric ^ (bucket + 1))::int8 AS us FROM run, (VALUES ('p50', 0.5), "
    "('p95', 0.95), "
    "('p99', 0.99)) AS v (q, share) WHERE upto >= share * of GROUP BY 1, 2), "
    "stage AS (SELECT stage, jsonb_object_agg(q, us) AS cuts FROM cut GROUP BY 1), "
    "minute AS (SELECT minute, jsonb_object_agg(action_word(action), count) AS counts, "
    "jsonb_object_agg(action_word(action), amount_base_minor::int8) AS amounts FROM m GROUP BY 1), "
    "waiting AS (SELECT state, due_at, expected_loss FROM review_cases WHERE state IN ('open', 'assigned', "
    "'snoozed')) "
    "SELECT (jsonb_build_object('now', rfc3339(now()), 'minutes', $1::int8, 'decisions', (SELECT "
    "coalesce(sum(count), 0) "
    "FROM m), 'per_s', (SELECT coalesce(sum(count), 0)::float8 FROM m) / ($1::int8 * 60), 'actions', (SELECT "
    "coalesce(jsonb_object_agg(action_word(action), n), '{}') FROM (SELECT action, sum(count) AS n FROM m "
    "GROUP BY 1) "
    "x), 'latency_us', (SELECT coalesce(jsonb_object_agg(stage, cuts), '{}') FROM stage), "
    "'money_base_minor', "
    "(SELECT jsonb_build_object('stopped', coalesce(sum(amount_base_minor) FILTER (WHERE action = 3), "
    "0)::int8, "
    "'let_through', coalesce(sum(amount_base_minor) FILTER (WHERE action IN (0, 1)), 0)::int8, 'in_review', "
    "coalesce(sum(amount_base_minor) FILTER (WHERE action = 2), 0)::int8) FROM m), 'series', (SELECT "
    "coalesce(jsonb_agg(jsonb_build_object('at', rfc3339(minute), 'actions', counts, 'amounts_base_minor', "
    "amounts) "
    "ORDER BY minute), '[]') FROM minute)) || jsonb_build_object('queue', (SELECT jsonb_build_object('open', "
    "count(*) "
    "FILTER (WHERE state = 'open'), 'assigned', count(*) FILTER (WHERE state = 'assigned'), 'snoozed', "
    "count(*) FILTER "
    "(WHERE state = 'snoozed'), 'overdue', count(*) FILTER (WHERE due_at < now() AND state <> 'snoozed'), "
    "'expected_loss_base_minor', coalesce(sum(expected_loss), 0)) FROM waiting), 'services', (SELECT "
    "jsonb_agg(jsonb_build_object('name', name, 'is_well', coalesce(at > now() - interval '30 s', false), "
    "'detail', "
    "coalesce('last heard of at ' || rfc3339(at), 'never heard of'))) FROM (SELECT 'scoring' AS name, "
    "(SELECT max(at) "
    "FROM serving) AS at UNION ALL SELECT 'rules', (SELECT max(at) FROM rules_serving WHERE process LIKE "
    "'rules%') "
    "UNION ALL SELECT 'ingestion', (SELECT max(at) FROM rules_serving WHERE process LIKE 'ingestion%')) x), "
    "'alerts', "
    "(SELECT coalesce(jsonb_agg(jsonb_build_object('alert', alert, 'severity', severity, 'state', state, "
    "'text', text, "
    "'since', rfc3339(since)) ORDER BY alert DESC), '[]') FROM (SELECT * FROM alerts WHERE state <> "
    "'resolved' ORDER BY "
    "alert DESC LIMIT 50) a)))::text";

enum err overview_get(struct call *c, struct pg_session *s, struct why *why)
{
    struct slice text = c->query[QUERY_MINUTES];
    struct pg_params p = { 0 };
    int64_t minutes = 60;

    if (text.len && (!slice_to_i64(text, &minutes) || minutes < 1 || minutes > MINUTES_MOST))
        return err_set(why, ERR_INVALID, "minutes is 1 to %d", MINUTES_MOST);
    pg_add_i64(&p, minutes);
    return answer(c, s, overview_sql, &p, why);
}
