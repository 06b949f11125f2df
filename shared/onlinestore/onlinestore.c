/* SPDX-License-Identifier: Apache-2.0 */
#include "onlinestore/onlinestore.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "featurestore/plan.h"
#include "json/json.h"
#include "modelstore/modelstore.h"
#include "pg/pg.h"

struct online_reference {
    struct plan *plan; /* the bundle's */
    struct online_encoder *encoder;
    struct threshold_costs costs;
    int64_t label_delay_us;
};

struct online_binding {
    const struct online_reference *reference;
    unsigned char plan[SHA256_BYTES];
    size_t columns, vector_bytes, missing;
    uint16_t *from; /* as of plan_map() */
};

/* Those that the bundle was trained for; the defaults where it does not say. */
static struct threshold_costs read_costs(struct slice parameters)
{
    struct threshold_costs costs = THRESHOLD_COSTS_DEFAULT;
    const struct {
        const char *name;
        double *value;
    } members[] = { { "decline_cost", &costs.decline_cost },
                    { "review_capacity", &costs.review_capacity },
                    { "challenge_capacity", &costs.challenge_capacity } };
    json_t *tree = NULL, *value;
    struct why ignored;

    if (json_parse(&tree, parameters, JSON_DEPTH_MAX, &ignored))
        return costs;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        value = json_object_get(tree, members[i].name);
        if (json_is_number(value) && json_number_value(value) >= 0)
            *members[i].value = json_number_value(value);
    }
    json_decref(tree);
    return costs;
}

struct online_reference *online_reference_new(const struct bundle *bundle, int bits)
{
    const struct plan *plan = bundle_plan(bundle);
    struct online_reference *r = mem_new(struct online_reference);
    const unsigned char **identities;
    size_t columns = plan_columns(plan);
    enum err must_not_fail;

    must_not_fail =
        plan_merge(&r->plan, &plan, 1, NULL); /* a copy: it is within the limits, as the bundle's is */
    assert(must_not_fail == ERR_OK);
    (void)must_not_fail;
    identities = mem_new_n(const unsigned char *, columns + 1);
    for (size_t i = 0; i < columns; i++)
        identities[i] = plan_column(r->plan, i)->hash;
    r->encoder = online_encoder_new(identities, bundle_histograms(bundle), columns, bits);
    r->costs = read_costs(bundle_parameters(bundle));
    r->label_delay_us = bundle_training(bundle).label_delay_us;
    mem_free(identities);
    return r;
}

enum err online_reference_read(struct online_reference **out, struct pg_session *s, int64_t version, int bits,
                               struct why *why)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err;

    *out = NULL;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(s, version, NULL, &bytes, why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), why);
    if (!err)
        *out = online_reference_new(bundle, bits);
    bundle_close(bundle);
    buf_release(&bytes);
    return err;
}

void online_reference_free(struct online_reference *r)
{
    if (!r)
        return;
    online_encoder_free(r->encoder);
    plan_free(r->plan);
    mem_free(r);
}

int64_t online_reference_label_delay_us(const struct online_reference *r)
{
    return r->label_delay_us;
}

/* ---- thresholds ---- */

struct bundle_thresholds online_thresholds(const struct online_reference *reference,
                                           const struct online *model)
{
    struct bundle_thresholds never = { THRESHOLD_NEVER, THRESHOLD_NEVER, THRESHOLD_NEVER };
    struct online_progress p = online_progress(model);
    uint64_t examples = p.last.examples + p.running.examples, frauds = p.last.frauds + p.running.frauds;
    struct online_bucket buckets[2 * ONLINE_BUCKETS];
    struct threshold_row rows[2 * ONLINE_BUCKETS];
    size_t count;

    if (frauds < ONLINE_FRAUDS_LEAST || examples - frauds < ONLINE_OTHERS_LEAST)
        return never;
    count = online_buckets(model, buckets);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct threshold_row){ buckets[i].least, buckets[i].weight, buckets[i].money,
                                          buckets[i].is_fraud };
    return thresholds_set(&reference->costs, rows, count);
}

/* ---- encoding ---- */

struct online_binding *online_bind(const struct online_reference *reference, const struct plan *plan)
{
    struct online_binding *b = mem_new(struct online_binding);

    b->reference = reference;
    memcpy(b->plan, plan_hash(plan), SHA256_BYTES);
    b->vector_bytes = plan_columns(plan) * sizeof(float);
    b->columns = plan_columns(reference->plan);
    b->from = mem_new_n(uint16_t, b->columns + 1);
    plan_map(reference->plan, plan, b->from);
    for (size_t i = 0; i < b->columns; i++)
        b->missing += b->from[i] == PLAN_NO_PLACE;
    return b;
}

void online_binding_free(struct online_binding *b)
{
    if (!b)
        return;
    mem_free(b->from);
    mem_free(b);
}

const unsigned char *online_binding_plan(const struct online_binding *b)
{
    return b->plan;
}

size_t online_binding_missing(const struct online_binding *b)
{
    return b->missing;
}

size_t online_binding_entries_max(const struct online_binding *b)
{
    return online_entries_max(b->reference->encoder);
}

size_t online_binding_encode(const struct online_binding *b, struct slice vector,
                             struct online_entry *entries)
{
    float values[PLAN_COLUMNS_MAX];

    if (vector.len != b->vector_bytes)
        return 0;
    for (size_t i = 0; i < b->columns; i++) {
        values[i] = NAN;
        if (b->from[i] != PLAN_NO_PLACE)
            memcpy(&values[i], vector.ptr + b->from[i] * sizeof(float), sizeof(float));
    }
    return online_encode(b->reference->encoder, values, entries);
}

/* ---- the table ---- */

static const char read_sql[] =
    "SELECT n, labels, reference, challenge, review, decline, CASE WHEN n <> $2::int8 THEN state END "
    "FROM online_models o WHERE $1::text IN ('', name) "
    "ORDER BY (SELECT max(a.updated_at) FROM aliases a WHERE a.name = o.name AND a.alias = 'champion') "
    "DESC NULLS LAST, name LIMIT 1";

static const char write_sql[] =
    "INSERT INTO online_models (name, n, labels, reference, challenge, review, decline, state) "
    "VALUES ($1::text, $2::int8, $3::int8, $4::int8, $5::float8, $6::float8, $7::float8, $8::bytea) "
    "ON CONFLICT (name) DO UPDATE SET n = EXCLUDED.n, labels = EXCLUDED.labels, "
    "reference = EXCLUDED.reference, challenge = EXCLUDED.challenge, review = EXCLUDED.review, "
    "decline = EXCLUDED.decline, state = EXCLUDED.state, updated_at = now()";

enum err online_store_read(struct pg_session *s, struct slice name, int64_t known_n, struct online_row *out,
                           bool *is_new, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = (struct online_row){ 0 };
    *is_new = false;
    pg_add_text(&p, name);
    pg_add_i64(&p, known_n);
    err = pg_exec(s, read_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no online model");
    if (!err && !pg_is_null(r, 0, 6)) {
        *is_new = true;
        out->n = pg_get_int(r, 0, 0);
        out->labels = pg_get_int(r, 0, 1);
        out->reference = pg_get_int(r, 0, 2);
        out->thresholds =
            (struct bundle_thresholds){ pg_get_float(r, 0, 3), pg_get_float(r, 0, 4), pg_get_float(r, 0, 5) };
        err = online_open(&out->model, pg_get_bytes(r, 0, 6), why);
    }
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err online_store_write(struct pg_session *s, struct slice name, const struct online_row *row,
                            struct why *why)
{
    struct pg_params p = { 0 };
    struct buf state;
    enum err err;

    buf_init(&state, 0);
    online_pack(row->model, &state);
    pg_add_text(&p, name);
    pg_add_i64(&p, row->n);
    pg_add_i64(&p, row->labels);
    pg_add_i64(&p, row->reference);
    pg_add_f64(&p, row->thresholds.challenge);
    pg_add_f64(&p, row->thresholds.review);
    pg_add_f64(&p, row->thresholds.decline);
    pg_add_bytes(&p, buf_slice(&state));
    err = pg_exec(s, write_sql, &p, NULL, why);
    pg_params_release(&p);
    buf_release(&state);
    return err;
}
