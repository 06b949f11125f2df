/* SPDX-License-Identifier: Apache-2.0 */
#include "comparison.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "fraud/txn.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "stats/calibration.h"
#include "stats/curves.h"
#include "stats/ranking.h"

enum { SIDES = 2, CURVE_STEPS = 60, BINS = 10, BINS_FINE = 20 };

/* The same truth as looks.c takes: of the strongest source, the newest within it. */
static const char rows_sql[] =
    "SELECT d.amount_base_minor, d.action, d.p_allow, d.plan, d.vector, coalesce(t.is_fraud, false) FROM "
    "(SELECT account, transaction_id, amount_base_minor, action, p_allow, plan, vector FROM decisions WHERE "
    "known_at >= '%s'::timestamptz AND known_at < '%s'::timestamptz ORDER BY known_at DESC LIMIT %d) d LEFT "
    "JOIN LATERAL (SELECT is_fraud FROM labels t WHERE t.account = d.account AND t.transaction_id = "
    "d.transaction_id AND t.known_at < '%s'::timestamptz ORDER BY source DESC, labelled_at DESC, n DESC "
    "LIMIT 1) t ON true";
enum { COL_AMOUNT, COL_ACTION, COL_P_ALLOW, COL_PLAN, COL_VECTOR, COL_IS_FRAUD };

/* A plan that vectors were served under, and where in them the columns of both sides lie. */
struct served {
    unsigned char hash[SHA256_BYTES];
    size_t columns;
    bool has_all;
    uint16_t *places[SIDES];
};

struct side {
    int64_t version;
    struct buf bytes;
    struct bundle *bundle;
    struct forest_scratch *scratch;
    float *row;
    double *scores;
};

struct reading {
    const struct comparison_query *query;
    struct side sides[SIDES];
    struct served *served;
    size_t served_count;

    size_t n, room; /* rows of the arrays */
    double *money;
    uint8_t *labels;
    float *weights;
    size_t frauds, read, declined, unscored;
};

/* ---- what was served ---- */

static enum err read_plans(struct reading *r, struct pg_session *s, struct why *why)
{
    struct pg_result *found = NULL;
    enum err err = pg_exec(s, "SELECT plan, definition FROM plans", NULL, &found, why);
    size_t count = err ? 0 : pg_rows(found);

    r->served = mem_new_n(struct served, count + 1);
    for (size_t i = 0; i < count && !err; i++) {
        struct served *at = &r->served[r->served_count++];
        struct plan *plan = NULL;

        err = plan_parse(&plan, pg_get_text(found, i, 1), why);
        if (err)
            break;
        memcpy(at->hash, pg_get_bytes(found, i, 0).ptr, SHA256_BYTES);
        at->columns = plan_columns(plan);
        at->has_all = true;
        for (size_t k = 0; k < SIDES; k++) {
            const struct plan *own = bundle_plan(r->sides[k].bundle);

            at->places[k] = mem_new_n(uint16_t, plan_columns(own) + 1);
            at->has_all = plan_map(own, plan, at->places[k]) == PLAN_NO_COLUMN && at->has_all;
        }
        plan_free(plan);
    }
    pg_result_free(found);
    return err;
}

static const struct served *find_plan(const struct reading *r, struct slice hash)
{
    for (size_t i = 0; i < r->served_count; i++)
        if (slice_eq(hash, slice_of((const char *)r->served[i].hash, SHA256_BYTES)))
            return &r->served[i];
    return NULL;
}

static float float_at(const char *bytes)
{
    uint32_t bits = 0;
    float value;

    for (int k = 0; k < 4; k++)
        bits |= (uint32_t)(unsigned char)bytes[k] << (8 * k);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double score(struct side *side, const uint16_t *places, struct slice vector)
{
    size_t columns = plan_columns(bundle_plan(side->bundle));

    for (size_t i = 0; i < columns; i++)
        side->row[i] = float_at(vector.ptr + (size_t)4 * places[i]);
    return bundle_score(side->bundle, forest_margin(bundle_forest(side->bundle), side->row, side->scratch));
}

static bool on_row(void *ctx, const struct slice *f, size_t count)
{
    struct reading *r = ctx;
    const struct served *served = find_plan(r, f[COL_PLAN]);
    double p_allow = pg_bytes_float(f[COL_P_ALLOW]);

    (void)count;
    r->read++;
    if (pg_bytes_int(f[COL_ACTION]) == ACTION_DECLINE || !(p_allow > 0)) {
        r->declined++;
        return true;
    }
    if (!served || !served->has_all || f[COL_VECTOR].len != 4 * served->columns) {
        r->unscored++;
        return true;
    }
    for (size_t k = 0; k < SIDES; k++)
        r->sides[k].scores[r->n] = score(&r->sides[k], served->places[k], f[COL_VECTOR]);
    r->money[r->n] = (double)pg_bytes_int(f[COL_AMOUNT]);
    r->weights[r->n] = (float)(1 / p_allow);
    r->labels[r->n] = f[COL_IS_FRAUD].len == 1 && f[COL_IS_FRAUD].ptr[0] != 0;
    r->frauds += r->labels[r->n++];
    return true;
}

static enum err read_rows(struct reading *r, struct pg_session *s, struct why *why)
{
    char from[RFC3339_SIZE], until[RFC3339_SIZE], now[RFC3339_SIZE], query[1024];

    rfc3339_format(r->query->from_us, from);
    rfc3339_format(r->query->until_us, until);
    rfc3339_format(r->query->now_us, now);
    snprintf(query, sizeof query, rows_sql, from, until, COMPARISON_ROWS, now);
    return pg_copy_out(s, query, on_row, r, why);
}

/* ---- telling ---- */

static void put_numbers(struct json_out *o, const double *values, size_t count)
{
    json_out_list(o, NULL);
    for (size_t i = 0; i < count; i++)
        json_out_number(o, NULL, values[i]);
    json_out_end(o);
}

static void put_point(struct json_out *o, const char *key, const struct curve_point *p, double all,
                      double decline_cost)
{
    json_out_open(o, key);
    json_out_number(o, "threshold", p->threshold);
    json_out_number(o, "recall", p->recall);
    json_out_number(o, "precision", p->precision);
    json_out_number(o, "flagged", all > 0 ? p->flagged / all : (double)NAN);
    json_out_number(o, "saved_minor", p->caught - decline_cost * p->turned_away);
    json_out_number(o, "caught_minor", p->caught);
    json_out_number(o, "turned_away_minor", p->turned_away);
    json_out_end(o);
}

static void put_thresholds(struct json_out *o, const struct reading *r, const struct side *side,
                           const struct curve_rows *rows)
{
    struct bundle_thresholds at = bundle_thresholds(side->bundle);
    const struct {
        const char *name;
        double at;
    } all[] = { { "challenge", at.challenge }, { "review", at.review }, { "decline", at.decline } };
    double weight = 0;

    for (size_t i = 0; i < r->n; i++)
        weight += (double)r->weights[i];
    json_out_open(o, "thresholds");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct curve_point p = curve_at(rows, all[i].at);

        if (all[i].at < 2)
            put_point(o, all[i].name, &p, weight, r->query->decline_cost);
        else
            json_out_null(o, all[i].name); /* no probability reaches it */
    }
    json_out_end(o);
}

static void put_curves(struct json_out *o, const struct reading *r, const struct curve_rows *rows)
{
    struct curve_point points[CURVE_STEPS + 2];
    struct reliability_bin bins[BINS];
    size_t count = curve_points(rows, CURVE_BY_RECALL, CURVE_STEPS, points);

    json_out_list(o, "precision_recall");
    for (size_t i = 0; i < count; i++)
        put_numbers(o, (double[]){ points[i].recall, points[i].precision, points[i].threshold }, 3);
    json_out_end(o);
    count = curve_points(rows, CURVE_BY_SHARE, CURVE_STEPS, points);
    json_out_list(o, "money");
    for (size_t i = 0; i < count; i++)
        put_numbers(o,
                    (double[]){ points[i].threshold,
                                points[i].caught - r->query->decline_cost * points[i].turned_away,
                                points[i].caught, points[i].turned_away },
                    4);
    json_out_end(o);
    count = r->n ? reliability(rows->scores, r->labels, r->weights, r->n, bins, BINS) : 0;
    json_out_list(o, "reliability");
    for (size_t i = 0; i < count; i++)
        put_numbers(o,
                    (double[]){ bins[i].expected / bins[i].weight, bins[i].happened / bins[i].weight,
                                bins[i].weight },
                    3);
    json_out_end(o);
}

static void put_side(struct json_out *o, const char *key, const struct reading *r, const struct side *side)
{
    struct curve_rows rows = { r->n, side->scores, r->labels, r->weights, r->money };

    json_out_open(o, key);
    json_out_int(o, "version", side->version);
    json_out_number(o, "average_precision",
                    average_precision_weighted(side->scores, r->labels, r->weights, r->n));
    json_out_number(o, "auc_roc", auc_roc_weighted(side->scores, r->labels, r->weights, r->n));
    json_out_number(o, "calibration_error",
                    r->n ? calibration_error_weighted(side->scores, r->labels, r->weights, r->n, BINS_FINE)
                         : (double)NAN);
    put_thresholds(o, r, side, &rows);
    put_curves(o, r, &rows);
    json_out_end(o);
}

static void put_all(struct json_out *o, const struct reading *r)
{
    json_out_time(o, "from", r->query->from_us);
    json_out_time(o, "until", r->query->until_us);
    json_out_int(o, "decisions", (int64_t)r->read);
    json_out_bool(o, "is_cut", r->read == COMPARISON_ROWS);
    json_out_int(o, "declined", (int64_t)r->declined);
    json_out_int(o, "unscored", (int64_t)r->unscored);
    json_out_int(o, "rows", (int64_t)r->n);
    json_out_int(o, "frauds", (int64_t)r->frauds);
    json_out_number(o, "decline_cost", r->query->decline_cost);
    put_side(o, "champion", r, &r->sides[0]);
    put_side(o, "challenger", r, &r->sides[1]);
}

/* ---- both ---- */

static enum err load(struct side *side, struct pg_session *s, int64_t version, struct why *why)
{
    enum err err;

    side->version = version;
    buf_init(&side->bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &side->bytes, why);
    if (!err)
        err = bundle_open(&side->bundle, buf_slice(&side->bytes), why);
    if (err)
        return err;
    side->scratch = forest_scratch_new(bundle_forest(side->bundle));
    side->row = mem_new_n(float, plan_columns(bundle_plan(side->bundle)) + 1);
    side->scores = mem_new_n(double, COMPARISON_ROWS + 1);
    return ERR_OK;
}

static void release(struct reading *r)
{
    for (size_t k = 0; k < SIDES; k++) {
        if (r->sides[k].scratch)
            forest_scratch_free(r->sides[k].scratch);
        mem_free(r->sides[k].row);
        mem_free(r->sides[k].scores);
        bundle_close(r->sides[k].bundle);
        buf_release(&r->sides[k].bytes);
        for (size_t i = 0; i < r->served_count; i++)
            mem_free(r->served[i].places[k]);
    }
    mem_free(r->served);
    mem_free(r->money);
    mem_free(r->labels);
    mem_free(r->weights);
}

enum err comparison_write(struct json_out *o, struct pg_session *s, const struct comparison_query *query,
                          struct why *why)
{
    struct reading r = { .query = query };
    enum err err = ERR_OK;

    r.money = mem_new_n(double, COMPARISON_ROWS + 1);
    r.labels = mem_new_n(uint8_t, COMPARISON_ROWS + 1);
    r.weights = mem_new_n(float, COMPARISON_ROWS + 1);
    for (size_t k = 0; k < SIDES && !err; k++)
        err = load(&r.sides[k], s, query->versions[k], why);
    if (!err)
        err = read_plans(&r, s, why);
    if (!err)
        err = read_rows(&r, s, why);
    if (!err)
        put_all(o, &r);
    release(&r);
    return err;
}
