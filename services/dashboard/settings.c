/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "base/clock.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "proto/assay.pb-c.h"
#include "proto/txn_proto.h"

enum {
    DAYS = 30, /* that are counted */
    MATURE_DAYS =
        7 /* without a label for so long a payment counts as good, as in training (training/trainer.h) */
};

enum err settings_get(struct call *c, struct pg_session *s, struct why *why)
{
    const struct dashboard_settings *conf = dashboard_conf(c->ctx);
    struct json_out o = json_out_to(&c->out);

    (void)s;
    (void)why;
    json_out_open(&o, NULL);
    json_out_str(&o, "base_currency", conf->base_currency);
    json_out_int(&o, "review_cost_base_minor", conf->review_cost);
    json_out_str(&o, "case_actions", conf->case_actions);
    json_out_str(&o, "case_score", conf->case_score);
    json_out_int(&o, "sla_s", conf->sla_ms / 1000);
    json_out_int(&o, "lock_s", conf->lock_ms / 1000);
    json_out_int(&o, "undo_s", conf->undo_ms / 1000);
    json_out_int(&o, "idle_s", conf->idle_ms / 1000);
    json_out_int(&o, "session_s", conf->longest_ms / 1000);
    json_out_end(&o);
    return ERR_OK;
}

/* ---- thresholds ---- */

/* The thresholds that hold ($4) are edges beside those of score_edges(); $2 days, $3 days until an unlabelled payment is
 * good. The strongest source's newest label holds (fraud/txn.h). An account on a simulated clock lives in the time of its
 * newest payment. 0 fraud, 1 good, 2 not known yet.
 *
 * Whole hours are counted already (`hours`). Payments themselves are read where an hour is not whole: at both ends of
 * what is not known yet, and where a threshold parts what lies between two edges (`single`). All of these count as good
 * or unknown by their time; those with a label, which are few, are then taken from there to what the label says. */
static const char histogram_sql[] =
    "WITH edges AS (SELECT array_agg(e ORDER BY e) AS all_of FROM (SELECT unnest(score_edges()) AS e UNION "
    "SELECT t FROM unnest($4::float8[]) t WHERE t BETWEEN 0 AND 1) x), "
    "parted AS MATERIALIZED (SELECT edge, (score_edges())[edge] AS low, coalesce((score_edges())[edge + 1], "
    "'infinity') AS high FROM (SELECT DISTINCT width_bucket(t, score_edges()) AS edge FROM "
    "unnest($4::float8[]) t WHERE t BETWEEN 0 AND 1 AND t <> ALL (score_edges())) x), "
    "newest AS (SELECT a.account, CASE WHEN a.clock = 'simulated' THEN (SELECT max(p.known_at) FROM payments "
    "p WHERE p.account = a.account) ELSE now() END AS until FROM accounts a WHERE a.account > 0 AND "
    "($1::text = '' OR a.name = $1::text)), "
    "span AS MATERIALIZED (SELECT account, since, ripe, score_hour(since) + interval '1 h' AS whole_from, "
    "score_hour(ripe) AS ripe_from, score_hour(ripe) + interval '1 h' AS ripe_to FROM (SELECT account, until "
    "- $2::int4 * interval '1 day' AS since, until - $3::int4 * interval '1 day' AS ripe FROM newest) x), "
    "hours AS (SELECT (score_edges())[h.edge] AS score, h.hour AS known_at, s.ripe, h.count, "
    "h.amount_base_minor FROM span s JOIN score_hours h ON h.account = s.account AND h.hour >= s.whole_from "
    "AND h.hour <> s.ripe_from WHERE h.edge NOT IN (SELECT edge FROM parted)), "
    "single AS (SELECT p.score, p.known_at, s.ripe, 1, p.amount_base_minor FROM span s, "
    "payments_in_time(s.account, "
    "s.since + interval '1 us', s.whole_from) p UNION ALL SELECT p.score, p.known_at, s.ripe, 1, "
    "p.amount_base_minor "
    "FROM span s, payments_in_time(s.account, s.ripe_from, s.ripe_to) p UNION ALL SELECT p.score, "
    "p.known_at, s.ripe, "
    "1, p.amount_base_minor FROM span s, parted e, payments_in_score(s.account, e.low, e.high, s.whole_from) "
    "p WHERE "
    "p.known_at < s.ripe_from OR p.known_at >= s.ripe_to), "
    "labelled AS MATERIALIZED (SELECT p.*, s.ripe FROM span s, payments_labelled(s.account, s.since + "
    "interval '1 "
    "us') p), "
    "seen AS (SELECT score, CASE WHEN known_at < ripe THEN 1 ELSE 2 END AS kind, count, amount_base_minor "
    "FROM (SELECT * FROM hours UNION ALL SELECT * FROM single UNION ALL SELECT score, known_at, ripe, -1, "
    "-amount_base_minor FROM labelled) x UNION ALL SELECT score, CASE WHEN is_fraud THEN 0 ELSE 1 END, 1, "
    "amount_base_minor FROM labelled) "
    "SELECT edge, (SELECT all_of FROM edges)[edge + 1], coalesce(sum(count) FILTER (WHERE kind = 0), "
    "0)::int8, coalesce(sum(count) FILTER (WHERE kind = 1), 0)::int8, coalesce(sum(count) FILTER (WHERE kind "
    "= 2), 0)::int8, coalesce(sum(amount_base_minor) FILTER (WHERE kind = 0), 0)::int8, "
    "coalesce(sum(amount_base_minor) FILTER (WHERE kind = 1), 0)::int8, coalesce(sum(amount_base_minor) "
    "FILTER (WHERE kind = 2), 0)::int8 FROM (SELECT width_bucket(score, (SELECT all_of FROM edges)) - 1 AS "
    "edge, kind, count, amount_base_minor FROM seen) x GROUP BY edge ORDER BY edge";

/* The newest decision by score says which thresholds hold, and whose they are. */
#define PRESENT_SQL(which)                                                                                   \
    "SELECT d.record, d.model_version, d.ruleset_version FROM (SELECT * FROM payments p WHERE p.score IS "   \
    "NOT NULL AND " which " DESC LIMIT 1) p JOIN decisions d USING (account, transaction_id, known_at)"
static const char present_sql[] = PRESENT_SQL("$1::text = '' ORDER BY p.n");
static const char present_of_account_sql[] =
    PRESENT_SQL("p.account = (SELECT account FROM accounts WHERE name = $1::text) ORDER BY p.known_at");

struct present {
    bool is_there, is_of_rules;
    double challenge, review, decline;
    struct slice model_version, ruleset_version; /* the arena's */
};

static enum err read_present(struct call *c, struct pg_session *s, struct slice account, struct present *out,
                             struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    const Assay__V1__DecisionRecord *record = NULL;
    const Assay__V1__Thresholds *t = NULL;
    enum err err;

    *out = (struct present){ 0 };
    pg_add_text(&p, account);
    err = row_ask(s, account.len ? present_of_account_sql : present_sql, &p, &r, why);
    if (!err && pg_rows(r)) {
        struct slice bytes = pg_get_bytes(r, 0, 0);

        record = assay__v1__decision_record__unpack(proto_arena_allocator(&c->arena), bytes.len,
                                                    (const uint8_t *)bytes.ptr);
        t = !record ? NULL : record->own_thresholds ? record->own_thresholds : record->thresholds;
    }
    if (t)
        *out = (struct present){ .is_there = true,
                                 .is_of_rules = t == record->own_thresholds,
                                 .challenge = t->challenge,
                                 .review = t->review,
                                 .decline = t->decline,
                                 .model_version = row_text(r, 0, 1, &c->arena),
                                 .ruleset_version = row_text(r, 0, 2, &c->arena) };
    pg_result_free(r);
    return err;
}

static void write_present(struct json_out *o, const struct present *t)
{
    if (!t->is_there) {
        json_out_null(o, "present");
        return;
    }
    json_out_open(o, "present");
    json_out_number(o, "challenge", t->challenge);
    json_out_number(o, "review", t->review);
    json_out_number(o, "decline", t->decline);
    json_out_bool(o, "is_of_rules", t->is_of_rules);
    json_out_text(o, "model_version", t->model_version);
    json_out_text(o, "ruleset_version", t->ruleset_version);
    json_out_end(o);
}

static void write_counts(struct json_out *o, const struct pg_result *r, size_t row, const char *name,
                         int column)
{
    json_out_list(o, name);
    for (int i = 0; i < 3; i++)
        json_out_int(o, NULL, pg_get_int(r, row, column + i));
    json_out_end(o);
}

enum err thresholds_get(struct call *c, struct pg_session *s, struct why *why)
{
    struct slice account = c->query[QUERY_ACCOUNT].len ? c->query[QUERY_ACCOUNT] : SLICE("");
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_array *edges;
    struct pg_result *r = NULL;
    struct present present;
    enum err err = read_present(c, s, account, &present, why);

    if (err)
        return err;
    pg_add_text(&p, account);
    pg_add_i32(&p, DAYS);
    pg_add_i32(&p, MATURE_DAYS);
    edges = pg_add_array(&p, PG_FLOAT8);
    if (present.is_there) {
        pg_array_f64(edges, present.challenge);
        pg_array_f64(edges, present.review);
        pg_array_f64(edges, present.decline);
    }
    err = row_ask(s, histogram_sql, &p, &r, why);
    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_int(&o, "days", DAYS);
    json_out_int(&o, "mature_days", MATURE_DAYS);
    json_out_int(&o, "review_cost_base_minor", dashboard_conf(c->ctx)->review_cost);
    write_present(&o, &present);
    json_out_list(&o, "buckets");
    for (size_t i = 0; i < pg_rows(r); i++) {
        json_out_open(&o, NULL);
        json_out_number(&o, "from", pg_get_float(r, i, 1));
        write_counts(&o, r, i, "counts", 2);
        write_counts(&o, r, i, "amounts_base_minor", 5);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    pg_result_free(r);
    return err;
}
