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

/* Edges are finer where most scores and most thresholds are, and the thresholds that hold ($4) are among them; $2 days, $3
 * days until an unlabelled payment is good. The strongest source's newest label holds (fraud/txn.h). An account on a simulated
 * clock lives in the time of its newest payment, which is looked up once. 0 fraud, 1 good, 2 not known yet. */
static const char histogram_sql[] =
    "WITH edges AS (SELECT array_agg(e ORDER BY e) AS all_of FROM (SELECT i / 1000.0::float8 AS e FROM "
    "generate_series(0, 99) i UNION SELECT i / 200.0::float8 FROM generate_series(20, 199) i UNION "
    "SELECT t FROM unnest($4::float8[]) t WHERE t BETWEEN 0 AND 1) x), newest AS MATERIALIZED (SELECT "
    "a.account, CASE WHEN a.clock = 'simulated' THEN (SELECT max(p.known_at) FROM payments p WHERE "
    "p.account = a.account) ELSE now() END AS until FROM accounts a WHERE a.account > 0 AND ($1::text = "
    "'' OR a.name = $1::text)), held AS (SELECT DISTINCT ON (account, transaction_id) account, "
    "transaction_id, is_fraud FROM labels ORDER BY account, transaction_id, source DESC, labelled_at "
    "DESC, n DESC), seen AS (SELECT width_bucket(p.score, (SELECT all_of FROM edges)) - 1 AS edge, CASE "
    "WHEN h.is_fraud THEN 0 WHEN h.is_fraud IS NOT NULL OR p.known_at < n.until - $3::int4 * interval "
    "'1 day' THEN 1 ELSE 2 END AS kind, p.amount_base_minor FROM newest n JOIN payments p ON p.account "
    "= n.account AND p.known_at > n.until - $2::int4 * interval '1 day' LEFT JOIN held h ON h.account = "
    "p.account AND h.transaction_id = p.transaction_id WHERE p.score IS NOT NULL) SELECT edge, (SELECT "
    "all_of FROM edges)[edge + 1], count(*) FILTER (WHERE kind = 0), count(*) FILTER (WHERE kind = 1), "
    "count(*) FILTER (WHERE kind = 2), coalesce(sum(amount_base_minor) FILTER (WHERE kind = 0), "
    "0)::int8, coalesce(sum(amount_base_minor) FILTER (WHERE kind = 1), 0)::int8, "
    "coalesce(sum(amount_base_minor) FILTER (WHERE kind = 2), 0)::int8 FROM seen GROUP BY edge ORDER BY "
    "edge";

/* The newest decision by score says which thresholds hold, and whose they are. */
static const char present_sql[] = "SELECT d.record, d.model_version, d.ruleset_version FROM (SELECT * FROM "
                                  "payments p WHERE p.score IS NOT NULL AND "
                                  "($1::text = '' OR p.account = (SELECT account FROM accounts WHERE name = "
                                  "$1::text)) ORDER BY p.n DESC LIMIT 1) p "
                                  "JOIN decisions d USING (account, transaction_id, known_at)";

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
    err = row_ask(s, present_sql, &p, &r, why);
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
