/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "featurestore/catalogue.h"
#include "featurestore/plan.h"

static struct arena arena;
static struct why why;

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(catalogue, .fini = teardown, .timeout = 120);

static struct catalogue read(const char *yaml)
{
    struct catalogue c;

    cr_assert_eq(catalogue_parse(&c, slice_str(yaml), &arena, &why), ERR_OK, "%s", why.text);
    return c;
}

static const struct feature *named(const struct catalogue *c, const char *name)
{
    size_t i = 0;

    while (i < c->count && !slice_eq_str(c->features[i].name, name))
        i++;
    cr_assert_lt(i, c->count, "no feature %s", name);
    return &c->features[i];
}

#define ENTITIES                                                                                             \
    "entities: {customer: customer_id, terminal: terminal_id, pair: [customer_id, merchant_id]}\n"

Test(catalogue, reads_the_examples_of_the_design)
{
    struct catalogue c =
        read(ENTITIES
             "features:\n"
             "  - {name: amount, expr: tx.amount}\n"
             "  - {name: customer_count_24h,        count: customer, window: 24h}\n"
             "  - {name: customer_mean_amount_30d,  mean: amount, by: customer, window: 30d}\n"
             "  - {name: amount_to_customer_mean,   expr: tx.amount / (customer_mean_amount_30d + 1.0)}\n"
             "  - {name: terminal_fraud_rate_28d,   fraud_rate: terminal, window: 28d, delay: 7d, prior: "
             "{rate: 0.008, "
             "weight: 20}}\n"
             "  - {name: customer_distinct_terminals_7d, distinct: terminal_id, by: customer, window: 7d}\n"
             "  - {name: seconds_since_last,        since_last: customer}\n"
             "  - {name: speed_kmh,                 speed: customer, describe: \"how fast\", monotone: "
             "increasing}\n"
             "  - {name: large_24h, count: customer, window: 24h, where: \"tx.amount > 3.0 * "
             "customer_mean_amount_30d\"}\n");
    const struct feature *f = named(&c, "terminal_fraud_rate_28d");

    cr_assert_eq(c.count, 9);
    cr_assert_eq(f->aggregate, AGGREGATE_FRAUD_RATE);
    cr_assert_eq(f->window_us, 28 * DAY_US);
    cr_assert_eq(f->delay_us, 7 * DAY_US);
    cr_assert_float_eq(f->prior_rate, 0.008, 0);
    cr_assert(!f->is_exact);
    cr_assert_eq(feature_hop_us(f), DAY_US);
    cr_assert_eq(feature_window_error_us(f), DAY_US - 1);
    cr_assert_eq(named(&c, "speed_kmh")->monotone, MONOTONE_INCREASING);
}

Test(catalogue, gives_a_feature_the_same_identity_however_it_is_spelt)
{
    struct catalogue a = read(ENTITIES "features:\n"
                                       "- {name: n, count: customer, window: 24h}\n"
                                       "- {name: x, expr: \"n>2.0&&(tx.amount   >1.0)\"}\n");
    struct catalogue b = read("entities:\n  who: [customer_id]\n"
                              "features:\n"
                              "- name: other_name\n"
                              "  describe: other words\n"
                              "  window: 1d\n"
                              "  mode: tiles\n"
                              "  include_current: false\n"
                              "  hidden: true\n"
                              "  count: who\n"
                              "- {name: y, expr: 'other_name > 2.0 && tx.amount > 1.0'}\n");

    cr_assert(slice_eq(a.features[0].definition, b.features[0].definition));
    cr_assert_arr_eq(a.features[0].hash, b.features[0].hash, SHA256_BYTES);
    cr_assert(slice_eq(a.features[1].definition, b.features[1].definition), "%.*s\n%.*s",
              SLICE_ARG(a.features[1].definition), SLICE_ARG(b.features[1].definition));
}

Test(catalogue, gives_different_meanings_different_identities)
{
    static const char *const variants[] = {
        "count: customer, window: 24h",
        "count: customer, window: 25h",
        "count: customer, window: 24h, delay: 1h",
        "count: customer, window: 24h, mode: exact",
        "count: customer, window: 24h, include_current: true",
        "count: terminal, window: 24h",
        "count: pair, window: 24h",
        "count: customer, window: all",
        "count: customer, window: 24h, where: 'tx.amount > 1.0'",
        "count: customer, window: 24h, where: 'tx.amount > 2.0'",
        "fraud_rate: customer, window: 24h",
        "fraud_rate: customer, window: 24h, default: 0",
        "fraud_rate: customer, window: 24h, prior: {rate: 0.1, weight: 1}",
        "fraud_rate: customer, window: 24h, prior: {rate: 0.1, weight: 2}",
        "sum: attributes.x, by: customer, window: 24h",
        "sum: attributes.x, by: customer, window: 24h, scale: 2",
        "sum: amount, by: customer, window: 24h",
        "mean: amount, by: customer, window: 24h",
        "since_last: customer",
        "first_seen: customer",
        "expr: 'base + 1.0'",
        "expr: 'base + 2.0'",
    };
    struct buf yaml;

    buf_init(&yaml, 0);
    buf_add_str(&yaml, ENTITIES "features:\n- {name: base, sum: amount, by: pair, window: 1h}\n");
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        buf_printf(&yaml, "- {name: v%zu, %s}\n", i, variants[i]);
    cr_assert_eq(read(buf_str(&yaml)).count, ARRAY_LEN(variants) + 1); /* equals would be refused */
    buf_release(&yaml);
}

/* An identity covers what lies below it, and what it is called does not matter. */
Test(catalogue, changes_an_identity_with_what_the_feature_stands_on)
{
    struct catalogue a =
        read(ENTITIES "features:\n- {name: n, count: customer, window: 24h}\n- {name: x, expr: n * "
                      "2.0}\n");
    struct catalogue b =
        read(ENTITIES "features:\n- {name: n, count: customer, window: 48h}\n- {name: x, expr: n * "
                      "2.0}\n");

    cr_assert(memcmp(a.features[1].hash, b.features[1].hash, SHA256_BYTES) != 0);
}

Test(catalogue, orders_features_that_stand_on_later_ones)
{
    struct catalogue c = read(ENTITIES "features:\n"
                                       "- {name: c, expr: b + a}\n"
                                       "- {name: b, expr: a + 1.0}\n"
                                       "- {name: a, count: customer, window: 1h, where: 'd > 0.0'}\n"
                                       "- {name: d, expr: 'tx.amount - 5.0'}\n");

    cr_assert_eq(c.count, 4);
    cr_assert_not_null(memmem(c.features[0].expr.ptr, c.features[0].expr.len, "f_", 2));
}

/* What is wrong, and what the message must say. */
static const struct {
    const char *yaml, *says;
    enum err err;
} faults[] = {
    { "", "line 1: the catalogue is empty", ERR_INVALID },
    { "features: [", "line", ERR_SYNTAX },
    { "a: b: c", "line 1", ERR_SYNTAX },
    { "- 1", "a catalogue is a map", ERR_INVALID },
    { "entities: {c: customer_id}", "has no features", ERR_INVALID },
    { "features: 1", "line 1: features must be a list", ERR_INVALID },
    { "features: []\nfeatures: []", "each there once", ERR_INVALID },
    { "features: []\nrules: []", "line 2: a catalogue has entities and features", ERR_INVALID },
    { "entities: [a]\nfeatures: []", "entities must be a map", ERR_INVALID },
    { "entities: {c: amount}\nfeatures: []", "\"amount\" is not a field that names something", ERR_INVALID },
    { "entities: {c: nonsense}\nfeatures: []", "\"nonsense\" is not a field", ERR_INVALID },
    { "entities: {c: [customer_id, customer_id]}\nfeatures: []", "twice", ERR_INVALID },
    { "entities: {c: []}\nfeatures: []", "1 to 4 fields", ERR_INVALID },
    { "entities: {c: {a: b}}\nfeatures: []", "a field or a list of fields", ERR_INVALID },
    { "entities: {C: customer_id}\nfeatures: []", "an entity's name", ERR_INVALID },
    { "entities: {c: customer_id, c: card_id}\nfeatures: []", "the entity c is there twice", ERR_INVALID },
    { ENTITIES "features:\n- 1", "line 3: a feature is a map", ERR_INVALID },
    { ENTITIES "features:\n- {}", "line 3: what the feature is has not been said", ERR_INVALID },
    { ENTITIES "features:\n- {name: a}", "line 3: a: what the feature is", ERR_INVALID },
    { ENTITIES "features:\n- {count: customer, window: 1h}", "has no name", ERR_INVALID },
    { ENTITIES "features:\n- {name: A, count: customer, window: 1h}", "a name is 1 to 64", ERR_INVALID },
    { ENTITIES "features:\n- {name: tx, count: customer, window: 1h}", "means something else", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, windw: 1h}", "a: \"windw\" is not a key",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer}", "count needs a window", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 30}", "a time such as 10m, 24h or 30d",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 30s}", "from 1m to 90d", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 91d}", "from 1m to 90d", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: -1h}", "from 1m to 90d", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 99999999999999999d}", "from 1m",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, delay: 1}", "delay must be a time",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, window: 2h}", "window is there twice",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, sum: amount, window: 1h}", "it has count and sum",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: card, window: 1h}", "no entity \"card\"", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, sum: amount, window: 1h}", "sum needs by", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, sum: mcc, by: customer, window: 1h}", "sum cannot be had of \"mcc\"",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, sum: lat, by: customer, window: 1h}", "use amount or attributes",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, distinct: amount, by: customer, window: 1h}", "use a text field",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, by: customer, window: 1h}",
      "by has no meaning for count", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, since_last: customer, window: 1h}",
      "window has no meaning for since_last", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: tx.amount, where: 'true'}", "where has no meaning for expr",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, distinct: mcc, by: customer, window: all}",
      "distinct cannot have window: all", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: all}", "cannot have window: all",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: all, delay: 1d}", "neither mode nor delay",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, mode: fuzzy}", "exact or tiles",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, include_current: 1}", "true or false",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, delay: 1h, include_current: true}",
      "never in the window", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: 1h, include_current: true}",
      "no meaning for fraud_rate", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, default: 0}",
      "default has no meaning for count", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, mean: amount, by: customer, window: 1h, default: .nan}",
      "default must be a number", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, mean: amount, by: customer, window: 1h, scale: 2}", "takes no scale",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, sum: attributes.x, by: customer, window: 1h, scale: 10}", "0 to 9",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, since_last_fraud: customer}", "needs a window", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, since_last_legit: customer, window: 7d, mode: tiles}", "always exact",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: 1h, prior: 1}", "prior must be such as",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: 1h, prior: {rate: 1}}",
      "both rate and weight", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: 1h, prior: {rate: 2, weight: 1}}",
      "rate must be a number from 0 to 1", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, fraud_rate: customer, window: 1h, prior: {rate: 0.1, weight: 0}}",
      "weight must be", ERR_INVALID },
    { ENTITIES
      "features:\n- {name: a, fraud_rate: customer, window: 1h, prior: {rate: 0.1, weight: 1}, default: 0}",
      "nothing is left to default", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, monotone: up}",
      "increasing or decreasing", ERR_INVALID },
    { ENTITIES
      "features:\n- {name: a, count: customer, window: 1h}\n- {name: a, count: terminal, window: 1h}",
      "line 4: a: the name is taken by the feature in line 3", ERR_INVALID },
    { ENTITIES
      "features:\n- {name: a, count: customer, window: 1h}\n- {name: b, count: customer, window: 60m}",
      "line 4: b: it is the same as a in line 3", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: 'tx.amount +'}", "line 3: a: expr", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: tx.nothing}", "nothing", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: tx.channel}", "a number or a bool", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: b}", "a: expr", ERR_INVALID },
    { ENTITIES "features:\n- {name: a, count: customer, window: 1h, where: tx.amount}", "a: where",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: b + 1.0}\n- {name: b, expr: a + 1.0}", "depends on itself",
      ERR_INVALID },
    { ENTITIES "features:\n- {name: a, expr: a + 1.0}", "depends on itself", ERR_INVALID },
    { ENTITIES
      "features:\n- {name: a, expr: f_0000000000000000000000000000000000000000000000000000000000000000}",
      "not in the catalogue", ERR_INVALID },
};

Test(catalogue, says_in_which_line_what_is_wrong)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct catalogue c;
        struct why reason = { 0 };
        enum err err = catalogue_parse(&c, slice_str(faults[i].yaml), &arena, &reason);

        cr_expect_eq(err, faults[i].err, "%s\ngave %s: %s", faults[i].yaml, err_name(err), reason.text);
        cr_expect_not_null(strstr(reason.text, faults[i].says), "%s\nsays: %s\nnot: %s", faults[i].yaml,
                           reason.text, faults[i].says);
        cr_expect_not_null(strstr(reason.text, "line "), "%s", reason.text);
        cr_expect_eq(c.count, 0);
    }
}

/* ---- plans ---- */

static struct plan *plan_of(const char *yaml)
{
    struct catalogue c = read(yaml);
    struct plan *p;

    cr_assert_eq(plan_build(&p, &c, &why), ERR_OK, "%s", why.text);
    return p;
}

#define FIRST                                                                                                \
    ENTITIES                                                                                                 \
    "features:\n"                                                                                            \
    "- {name: x, expr: tx.amount / (mean + 1.0), describe: \"over \\\"usual\\\" \\u00e9\\U0001F600\"}\n"     \
    "- {name: mean, mean: amount, by: customer, window: 7d, hidden: true}\n"                                 \
    "- {name: n, count: customer, window: 1h, where: 'tx.amount > mean', monotone: decreasing}\n"
#define SECOND                                                                                               \
    ENTITIES "features:\n"                                                                                   \
             "- {name: n, count: terminal, window: 24h}\n"                                                   \
             "- {name: usual, mean: amount, by: customer, window: 7d}\n"                                     \
             "- {name: same, count: customer, window: 1h, where: 'tx.amount > usual'}\n"

Test(catalogue, makes_a_plan_whose_text_reads_back_as_itself)
{
    struct plan *p = plan_of(FIRST), *again;

    cr_assert_eq(plan_columns(p), 2);
    cr_assert_eq(plan_parse(&again, plan_text(p), &why), ERR_OK, "%s\n%.*s", why.text,
                 SLICE_ARG(plan_text(p)));
    cr_assert(slice_eq(plan_text(p), plan_text(again)));
    cr_assert_arr_eq(plan_hash(p), plan_hash(again), SHA256_BYTES);
    for (size_t i = 0; i < plan_columns(p); i++) {
        cr_assert_arr_eq(plan_column(p, i)->hash, plan_column(again, i)->hash, SHA256_BYTES);
        cr_assert(slice_eq(plan_column(p, i)->describe, plan_column(again, i)->describe));
        cr_assert_eq(plan_find(p, plan_column(again, i)->hash), i);
    }
    cr_assert_eq(plan_find_name(p, SLICE("n")), 1);
    cr_assert_eq(plan_find_name(p, SLICE("mean")), PLAN_NO_COLUMN, "hidden");
    plan_free(p);
    plan_free(again);
}

Test(catalogue, merges_plans_without_moving_the_columns_of_the_first)
{
    struct plan *plans[2] = { plan_of(FIRST), plan_of(SECOND) }, *both, *again, *none;

    cr_assert_eq(plan_merge(&both, (const struct plan *const *)plans, 2, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(plan_columns(both),
                 4); /* x, n, the other n, usual (hidden in the first, shown by the second) */
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < plan_columns(plans[p]); i++) {
            size_t column = plan_find(both, plan_column(plans[p], i)->hash);

            cr_assert_neq(column, PLAN_NO_COLUMN);
            cr_assert(p == 1 || column == i);
        }
    }
    cr_assert_eq(plan_parse(&again, plan_text(both), &why), ERR_OK, "%s", why.text);
    cr_assert_arr_eq(plan_hash(both), plan_hash(again), SHA256_BYTES);
    cr_assert_eq(plan_merge(&none, NULL, 0, &why), ERR_OK);
    cr_assert_eq(plan_columns(none), 0);
    plan_free(again);
    cr_assert_eq(plan_parse(&again, plan_text(none), &why), ERR_OK, "%s", why.text);
    plan_free(again);
    plan_free(none);
    plan_free(both);
    plan_free(plans[0]);
    plan_free(plans[1]);
}

Test(catalogue, selects_columns_with_what_they_stand_on)
{
    struct plan *p = plan_of(FIRST), *some;
    struct slice name = SLICE("n"), missing = SLICE("mean");

    cr_assert_eq(plan_select(&some, p, &name, 1, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(plan_columns(some), 1);
    cr_assert_arr_eq(plan_column(some, 0)->hash, plan_column(p, 1)->hash, SHA256_BYTES);
    cr_assert_not_null(memmem(plan_text(some).ptr, plan_text(some).len, "\"hidden\": true", 14));
    plan_free(some);
    cr_assert_eq(plan_select(&some, p, &missing, 1, &why), ERR_NOT_FOUND);
    cr_assert_null(some);
    plan_free(p);
}

Test(catalogue, refuses_a_plan_text_that_was_touched)
{
    struct plan *p = plan_of(FIRST), *again;
    struct slice text = plan_text(p);

    for (size_t i = 0; i < text.len; i++) {
        char *touched = arena_strndup(&arena, text.ptr, text.len);

        touched[i] ^= 1;
        if (plan_parse(&again, slice_of(touched, text.len), &why) == ERR_OK) {
            cr_assert(slice_eq(plan_text(again), slice_of(touched, text.len)));
            plan_free(again);
        }
    }
    plan_free(p);
}
