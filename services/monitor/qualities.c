/* SPDX-License-Identifier: Apache-2.0 */
#include "qualities.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "json/json.h"
#include "lifestore/row.h"
#include "modelstore/modelstore.h"
#include "monitorstore/quality.h"
#include "quality/day.h"
#include "trainingstore/trainingstore.h"

enum { DAYS_HELD = 24 }; /* 1.4 MB; labels are counted in the order of their days */

/* A day that this batch touches. */
struct held {
    int32_t lane;
    int64_t version, day;
    struct quality_day counts;
};

struct book {
    struct qualities *q;
    struct pg_session *s;
    const struct intake *in;
    uint64_t after;
    struct held *days[DAYS_HELD];
    size_t count;
};

void qualities_drop(struct qualities *q)
{
    q->known_count = 0;
}

/* ---- which models ---- */

static bool is_passing(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT;
}

static double figure_of(const json_t *metrics, const char *name)
{
    const json_t *value = json_object_get(metrics, name);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static struct quality_promise promise_of(const struct bundle *bundle)
{
    struct quality_promise promise;
    json_t *metrics = NULL;
    struct why ignored;

    if (json_parse(&metrics, bundle_metrics(bundle), JSON_DEPTH_MAX, &ignored))
        metrics = NULL;
    promise.average_precision = figure_of(metrics, "average_precision");
    promise.frauds = figure_of(metrics, "held_out_frauds");
    json_decref(metrics);
    return promise;
}

static enum err add_model(struct pg_session *s, int32_t lane, int64_t version, bool *is_counted,
                          struct why *why)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    buf_release(&bytes);
    *is_counted = !err;
    if (!err)
        err = judged_model_add(
            s,
            &(struct judged_model){ .lane = lane,
                                    .version = version,
                                    .name = bundle_name(bundle),
                                    .label_delay_days =
                                        (bundle_training(bundle).label_delay_us + DAY_US - 1) / DAY_US,
                                    .promise = promise_of(bundle) },
            why);
    else if (!is_passing(err))
        err = ERR_OK; /* drifts.c has told it */
    bundle_close(bundle);
    return err;
}

static enum err is_counted(struct qualities *q, struct pg_session *s, int32_t lane, int64_t version, bool *is,
                           struct why *why)
{
    struct arena arena = { 0 };
    struct judged_model model;
    enum err err;

    *is = false;
    if (!version)
        return ERR_OK;
    for (size_t i = 0; i < q->known_count; i++)
        if (q->known[i].lane == lane && q->known[i].version == version) {
            *is = q->known[i].is_counted;
            return ERR_OK;
        }
    err = judged_model_read(s, lane, version, &model, is, &arena, why);
    arena_release(&arena);
    if (!err && !*is)
        err = add_model(s, lane, version, is, why);
    if (err)
        return err;
    if (q->known_count == QUALITIES_KNOWN)
        q->known_count = 0;
    q->known[q->known_count++] = (struct qualities_known){ lane, version, *is };
    return ERR_OK;
}

/* ---- which days ---- */

static enum err write_days(struct book *b, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < b->count; i++) {
        const struct held *d = b->days[i];

        if (!err)
            err = judged_day_write(b->s, d->lane, d->version, d->day, &d->counts, why);
        mem_free(b->days[i]);
    }
    b->count = 0;
    return err;
}

/* *out is the book's, until the next call; NULL: the model is not counted. */
static enum err find_day(struct book *b, int32_t lane, int64_t version, int64_t day, struct quality_day **out,
                         struct why *why)
{
    bool is = false;
    enum err err;

    *out = NULL;
    for (size_t i = b->count; i-- > 0;)
        if (b->days[i]->lane == lane && b->days[i]->version == version && b->days[i]->day == day) {
            *out = &b->days[i]->counts;
            return ERR_OK;
        }
    err = is_counted(b->q, b->s, lane, version, &is, why);
    if (err || !is)
        return err;
    if (b->count == DAYS_HELD)
        err = write_days(b, why);
    if (err)
        return err;
    b->days[b->count] = mem_new(struct held);
    *b->days[b->count] = (struct held){ .lane = lane, .version = version, .day = day };
    *out = &b->days[b->count++]->counts;
    return judged_day_read(b->s, lane, version, day, *out, why);
}

/* ---- decisions ---- */

/* What was declined without a chance, and has a label because somebody looked, is no sample of anything. */
static double chance_of_label(enum action action, double p_allow)
{
    struct trainingstore_standing standing = trainingstore_standing(action, p_allow);

    return standing.needs_label || !(standing.weight > 0) ? 0 : 1 / standing.weight;
}

static enum err add_decision(struct book *b, const struct decided *d, struct why *why)
{
    struct quality_row row = { .score = d->score,
                               .action = d->action,
                               .p_label = chance_of_label(d->action, d->p_allow),
                               .amount_minor = d->amount_base_minor };
    struct quality_day *day;
    enum err err = find_day(b, d->txn.lane, d->version, quality_day_of(d->txn.known_at_us), &day, why);

    if (!err && day)
        quality_day_add(day, &row);
    return err;
}

/* ---- labels ---- */

/* What holds of each payment by the labels up to a place in the log. Of the decisions, those that are counted: neither
 * awaited nor behind the batch. */
#define HOLDS(upto)                                                                                          \
    "LEFT JOIN LATERAL (SELECT l.is_fraud, min(l.known_at) FILTER (WHERE l.is_fraud) OVER () AS told_at "    \
    "FROM labels l WHERE l.account = k.account AND l.transaction_id = k.id AND l.n <= " upto                 \
    " ORDER BY l.source DESC, l.labelled_at DESC, l.is_fraud DESC LIMIT 1)"
static const char told_sql[] =
    "SELECT t.n, k.account, t.known_at, d.action, d.score, d.p_allow, d.model_version, d.amount_base_minor, "
    "coalesce(before.is_fraud, false), before.told_at, coalesce(behind.is_fraud, false), behind.told_at "
    "FROM (SELECT DISTINCT account, id FROM unnest($1::int4[], $2::text[]) AS k (account, id)) k "
    "JOIN transaction_ids t ON t.account = k.account AND t.id = k.id "
    "JOIN decisions d ON d.account = k.account AND d.transaction_id = k.id AND d.known_at = "
    "t.known_at " HOLDS("$3::int8") " before ON true " HOLDS(
        "$4::int8") " behind ON true "
                    "WHERE t.n <= $4::int8 AND NOT EXISTS (SELECT FROM monitor_pending p WHERE p.n = t.n) "
                    "ORDER BY t.n";
enum { N, ACCOUNT, KNOWN_AT, ACTION, SCORE, P_ALLOW, VERSION, AMOUNT, WAS, WAS_AT, IS, IS_AT };

/* Whether the decision is of this batch: no label of it was counted yet. They are in the log's order. */
static const struct decided *find_decided(const struct intake *in, uint64_t n)
{
    size_t from = 0, until = in->decided_count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;

        if (in->decided[middle].txn.n < n)
            from = middle + 1;
        else
            until = middle;
    }
    return from < in->decided_count && in->decided[from].txn.n == n ? &in->decided[from] : NULL;
}

/* A decision that was given up, and came all the same, was never added: no day has more frauds than decisions. */
static void add_fraud(struct quality_day *day, const struct quality_row *row, int64_t delay_days)
{
    size_t bin = quality_bin(row->score);

    quality_day_label(day, row, delay_days);
    if (!isnan(row->score) && (day->frauds[bin] > day->seen[bin] ||
                               day->action_frauds[row->action] > day->action_seen[row->action]))
        quality_day_unlabel(day, row, delay_days);
}

static enum err take_told(struct book *b, const struct pg_result *r, size_t row, int32_t lane,
                          struct why *why)
{
    bool was = pg_get_bool(r, row, WAS) && !find_decided(b->in, (uint64_t)pg_get_int(r, row, N));
    bool is = pg_get_bool(r, row, IS);
    int64_t own = quality_day_of(pg_get_time_us(r, row, KNOWN_AT)), version;
    int64_t was_day = was ? quality_day_of(pg_get_time_us(r, row, WAS_AT)) - own : 0;
    int64_t is_day = is ? quality_day_of(pg_get_time_us(r, row, IS_AT)) - own : 0;
    enum action action = (enum action)pg_get_int(r, row, ACTION);
    struct quality_row decision = { .score = pg_get_float(r, row, SCORE),
                                    .action = action,
                                    .p_label = chance_of_label(action, pg_get_float(r, row, P_ALLOW)),
                                    .amount_minor = pg_get_int(r, row, AMOUNT) };
    struct quality_day *day;
    enum err err;

    if (was == is && was_day == is_day)
        return ERR_OK;
    if (!slice_to_i64(pg_get_text(r, row, VERSION), &version) || version < 0)
        return ERR_OK;
    err = find_day(b, lane, version, own, &day, why);
    if (err || !day)
        return err;
    if (was)
        quality_day_unlabel(day, &decision, was_day);
    if (is)
        add_fraud(day, &decision, is_day);
    return ERR_OK;
}

/* Payments whose labels may say something else than before the batch: those that a label of it is about, and those
 * whose decision was awaited while their labels came. */
static size_t add_keys(const struct book *b, struct pg_params *p)
{
    const struct intake *in = b->in;
    struct pg_array *accounts = pg_add_array(p, PG_INT4), *ids = pg_add_array(p, PG_TEXT);
    size_t count = 0;

    for (size_t i = 0; i < in->label_count; i++, count++) {
        pg_array_i32(accounts, (int32_t)in->labels[i].account);
        pg_array_text(ids, in->labels[i].id);
    }
    for (size_t i = 0; i < in->decided_count && in->decided[i].txn.n <= b->after; i++, count++) {
        pg_array_i32(accounts, (int32_t)in->decided[i].txn.account);
        pg_array_text(ids, in->decided[i].txn.id);
    }
    return count;
}

static enum err add_labels(struct book *b, const struct lanes *lanes, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (!add_keys(b, &p)) {
        pg_params_release(&p);
        return ERR_OK;
    }
    pg_add_i64(&p, (int64_t)b->after);
    pg_add_i64(&p, (int64_t)b->in->n);
    err = row_ask(b->s, told_sql, &p, &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        err = take_told(b, r, i, lanes_of(lanes, (uint32_t)pg_get_int(r, i, ACCOUNT)), why);
    pg_result_free(r);
    return err;
}

/* ---- the whole ---- */

enum err qualities_count(struct qualities *q, struct pg_session *s, const struct intake *in, uint64_t after,
                         const struct lanes *lanes, struct why *why)
{
    struct book b = { .q = q, .s = s, .in = in, .after = after };
    enum err err = ERR_OK;

    for (size_t i = 0; i < in->decided_count && !err; i++)
        err = add_decision(&b, &in->decided[i], why);
    if (!err)
        err = add_labels(&b, lanes, why);
    if (!err)
        return write_days(&b, why);
    for (size_t i = 0; i < b.count; i++)
        mem_free(b.days[i]);
    return err;
}
