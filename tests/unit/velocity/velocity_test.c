/* SPDX-License-Identifier: Apache-2.0 */
#include "velocity/velocity.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "featurestore/catalogue.h"
#include "policy/policy.h"

static struct velocities *v;

static enum cel_claim claim(void *context, const struct cel_call *call, size_t *at, struct why *why)
{
    return velocities_claim(context, call, at, why);
}

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    *out = (struct cel_name){ 0, CEL_DOUBLE };
    return velocities_find(context, name) != VELOCITY_NONE || slice_eq_str(name, "tx.amount");
}

static enum err compile(const char *text, struct why *why)
{
    struct cel_env env = { .resolve = resolve, .claim = claim, .context = v, .dialect = CEL_ASSAY };
    struct cel_program *program;
    enum err err = cel_compile(&program, slice_str(text), &env, why);

    cel_free(program);
    return err;
}

static void setup(void)
{
    v = velocities_new();
}

static void teardown(void)
{
    velocities_free(v);
}

TestSuite(velocity, .init = setup, .fini = teardown);

Test(velocity, is_the_feature_that_a_catalogue_would_declare)
{
    static const struct {
        const char *call, *declared;
    } pairs[] = {
        { "count(card, '10m')", "count: card, window: 10m" },
        { "count(tx.card_id, '600s')", "count: card, window: 10m" },
        { "count(customer, '1d', tx.amount > 500)", "count: customer, window: 24h, where: tx.amount>500" },
        { "sum(amount, card, '24h')", "sum: amount, by: card, window: 24h" },
        { "sum(tx.amount, card, '24h', 'including')",
          "sum: amount, by: card, window: 24h, include_current: true" },
        { "mean(attributes.fee, customer, '30d', 'scale=2')",
          "mean: attributes.fee, by: customer, window: 30d, scale: 2" },
        { "min(amount, card, '1h')", "min: amount, by: card, window: 1h" },
        { "max(amount, card, '2h', 'exact')", "max: amount, by: card, window: 2h, mode: exact" },
        { "distinct(merchant, card, '7d')", "distinct: merchant_id, by: card, window: 7d" },
        { "count([card, merchant], '1h')", "count: pair, window: 1h" },
        { "count(attributes.bin, '5m', tx.channel == \"web\", 'including')",
          "count: bin, window: 5m, where: tx.channel == \"web\", include_current: true" },
        { "since_last(card)", "since_last: card" },
        { "first_seen(device, tx.country == 'DE')",
          "first_seen: device, where: \"tx.country == \\\"DE\\\"\"" },
    };
    static const char entities[] = "entities: {card: card_id, customer: customer_id, device: device_id, "
                                   "bin: attributes.bin, pair: [card_id, merchant_id]}\n";

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct arena arena = { 0 };
        struct catalogue catalogue;
        struct why why = { 0 };
        struct slice yaml =
            arena_printf(&arena, "%sfeatures:\n- {name: x, %s}\n", entities, pairs[i].declared);
        const struct feature *made;

        velocities_free(v);
        v = velocities_new();
        cr_assert_eq(compile(pairs[i].call, &why), ERR_OK, "%s: %s", pairs[i].call, why.text);
        cr_assert_eq(catalogue_parse(&catalogue, yaml, &arena, &why), ERR_OK, "%s", why.text);
        cr_assert_eq(velocities_count(v), 1);
        made = velocities_at(v, 0);
        cr_expect(slice_eq(made->definition, catalogue.features[0].definition), "%s: %.*s, not %.*s",
                  pairs[i].call, SLICE_ARG(made->definition), SLICE_ARG(catalogue.features[0].definition));
        cr_expect_eq(memcmp(made->hash, catalogue.features[0].hash, SHA256_BYTES), 0);
        cr_expect(velocity_is_column(made));
        arena_release(&arena);
    }
}

Test(velocity, is_one_feature_however_it_is_spelt)
{
    struct plan *plan;
    struct why why = { 0 };

    cr_assert_eq(compile("count(card, '10m') + count( tx.card_id,\"600s\") + sum(amount, card, '24h') > "
                         "count(card, '10m')",
                         &why),
                 ERR_OK, "%s", why.text);
    cr_assert_eq(velocities_count(v), 2);
    cr_assert_eq(velocities_plan(&plan, v, &why), ERR_OK, "%s", why.text);
    cr_expect_eq(plan_columns(plan), 2);
    cr_expect_eq(plan_find(plan, velocities_at(v, 1)->hash), 1);
    cr_expect_eq(velocities_find(v, SLICE("count(card, \"10m\")")), 0);
    cr_expect_eq(velocities_find(v, SLICE("count(card, \"11m\")")), VELOCITY_NONE);
    cr_expect(slice_eq_str(velocities_at(v, 0)->describe, "count(card, \"10m\")"));
    plan_free(plan);
}

Test(velocity, that_makes_no_sense_is_refused_where_it_stands)
{
    static const struct {
        const char *text, *place, *says;
    } faults[] = {
        { "count(crd, '10m') > 5", "1:7:", "crd is no entity: card, customer" },
        { "count(amount, '10m') > 5", "1:7:", "amount is no entity" },
        { "count(card, '10x') > 5", "1:13:", "\"10x\" is no window: \"1m\" to \"90d\"" },
        { "count(card, '59s') > 5", "1:13:", "is no window" },
        { "count(card, '91d') > 5", "1:13:", "is no window" },
        { "count(card, '9223372036854775807d') > 5", "1:13:", "is no window" },
        { "count(card, '-1d') > 5", "1:13:", "is no window" },
        { "count(card) > 5", "1:1:", "needs a window" },
        { "count(card, tx.amount) > 5", "1:13:", "needs a window" },
        { "count() > 5", "1:1:", "needs an entity" },
        { "true && sum(merchant, card, '1h') > 5", "1:13:", "sum() cannot be had of merchant: amount or" },
        { "distinct(amount, card, '1h') > 5", "1:10:", "distinct() cannot be had of amount: merchant" },
        { "count(card, '1h', tx.amuont > 5) > 5", "1:22:", "unknown name 'tx.amuont' (only tx.*" },
        { "count(card, '1h', tx.amount > 5 && tx.amount) > 5", "1:39:", "&& takes bools, not double" },
        { "count(card, '1h', count(card, '1m') > 2) > 5", "1:25:", "unknown name 'card' (only tx.*" },
        { "count(card, '1h', 'includes') > 5", "1:19:", "knows no \"includes\" here: \"including\" or" },
        { "since_last(card, 'including') > 5", "1:18:", "only a condition may follow" },
        { "count(card, '1h', true, tx.amount > 5) > 5", "1:25:", "nothing but texts" },
        { "count([card, merchant, ip, device, email], '1h') > 5", "1:7:", "at most 4 fields" },
        { "count([card, 7], '1h') > 5", "1:7:", "is no entity" },
        { "count([card, card], '1h') > 5", "1:1:", "there twice" },
        { "sum(amount, card, '24h', 'scale=2') > 5", "1:1:", "takes no scale" },
    };

    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct why why = { 0 };

        cr_expect_eq(compile(faults[i].text, &why), ERR_INVALID, "%s", faults[i].text);
        cr_expect_eq(strncmp(why.text, faults[i].place, strlen(faults[i].place)), 0, "%s: %s", faults[i].text,
                     why.text);
        cr_expect(strstr(why.text, faults[i].says), "%s: %s", faults[i].text, why.text);
        cr_expect(strchr(why.text, '^'), "%s", why.text);
    }
}

Test(velocity, leaves_functions_of_numbers_alone)
{
    struct why why = { 0 };

    cr_expect_eq(compile("max(tx.amount, 5) > min(1.0, 2.0)", &why), ERR_OK, "%s", why.text);
    cr_expect_eq(velocities_count(v), 0);
}

Test(velocity, has_at_most_so_many_in_a_set)
{
    struct why why = { 0 };
    char text[64];

    for (int i = 1; i <= VELOCITIES_MAX; i++) {
        snprintf(text, sizeof text, "count(card, '%dm')", i);
        cr_assert_eq(compile(text, &why), ERR_OK, "%s", why.text);
    }
    cr_expect_eq(compile("count(card, '2000m')", &why), ERR_INVALID);
    cr_expect(strstr(why.text, "at most 256 different velocities"), "%s", why.text);
    cr_expect_eq(compile("count(card, '5m')", &why), ERR_OK, "one that is there already has room");
}

/* ---- in a policy ---- */

static struct policy *policy;
static struct arena arena;

static void open_policy(void)
{
    policy = policy_new();
}

static void close_policy(void)
{
    policy_free(policy);
    arena_release(&arena);
}

TestSuite(velocity_rules, .init = open_policy, .fini = close_policy);

static void add_rules(const char *const *when, size_t count)
{
    struct policy_rule rules[8] = { 0 };
    struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = count };
    struct why why = { 0 };

    for (size_t i = 0; i < count; i++)
        rules[i] = (struct policy_rule){ .id = arena_printf(&arena, "r%zu", i),
                                         .expression = slice_str(when[i]),
                                         .action = ACTION_REVIEW,
                                         .priority = 100 - (int)i,
                                         .reason = SLICE("{count(card, \"10m\")} payments"),
                                         .is_enabled = true };
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
}

static struct plan *served(const char *features)
{
    struct slice yaml = arena_printf(&arena, "entities: {card: card_id}\nfeatures:\n%s", features);
    struct catalogue catalogue;
    struct plan *plan;
    struct why why = { 0 };

    cr_assert_eq(catalogue_parse(&catalogue, yaml, &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(plan_build(&plan, &catalogue, &why), ERR_OK, "%s", why.text);
    return plan;
}

/* How many rules fire with this value of the plan's second column. */
static size_t fired(const struct policy_columns *columns, const float *vector, const char *degraded,
                    struct policy_verdict *verdict)
{
    struct slice parts[] = { slice_str(degraded) };
    struct txn txn = { .account = 1, .id = SLICE("t"), .currency = SLICE("EUR") };
    struct policy_input in = { .txn = &txn, .vector = vector, .vector_count = 2, .columns = columns };

    in.degraded = parts;
    in.degraded_count = *degraded ? 1 : 0;
    policy_decide(policy, &in, &arena, verdict);
    return verdict->fired_count;
}

Test(velocity_rules, find_their_column_by_identity_and_say_the_call_as_it_was_written)
{
    static const char *const when[] = { "count(card,'10m') > 5 && max(count(card, \"10m\"), 3) < 9" };
    static const float vector[] = { 1, 7 };
    struct plan *plan = served("- {name: other, count: card, window: 24h}\n"
                               "- {name: called_so, count: card, window: 10m}\n");
    struct policy_columns *columns;
    struct policy_verdict verdict;
    const struct slice *names;

    add_rules(when, 1);
    columns = policy_bind_plan(policy, plan);
    cr_expect_eq(policy_columns_missing(columns), 0);
    cr_expect_eq(policy_features(policy, &names), 0, "no feature by name");
    cr_expect_eq(velocities_count(policy_velocities(policy)), 1);
    cr_assert_eq(fired(columns, vector, "", &verdict), 1);
    cr_expect(slice_eq_str(verdict.fired[0].values, "count(card, \"10m\")=7"), "%.*s",
              SLICE_ARG(verdict.fired[0].values));
    cr_expect(slice_eq_str(verdict.reasons[0].text, "7 payments"), "%.*s",
              SLICE_ARG(verdict.reasons[0].text));
    policy_columns_free(columns);
    plan_free(plan);
}

Test(velocity_rules, tell_fresh_from_stale_from_absent)
{
    static const char *const when[] = { "is_fresh(count(card, \"10m\"))", "is_stale(count(card, \"10m\"))",
                                        "has_value(count(card, \"10m\"))",
                                        "is_fresh(called_so) && count(card, \"10m\") > 0",
                                        "!has_value(count(card, \"10m\")) || count(card, \"10m\") < 0" };
    static const float there[] = { 0, 7 }, missing[] = { 0, NAN };
    struct plan *plan = served("- {name: other, count: card, window: 24h}\n"
                               "- {name: called_so, count: card, window: 10m}\n");
    struct plan *older = served("- {name: other, count: card, window: 24h}\n");
    struct policy_columns *columns, *none;
    struct policy_verdict verdict;

    struct policy_rule rules[ARRAY_LEN(when)];
    struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = ARRAY_LEN(when) };
    struct why why = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(when); i++) {
        rules[i] = (struct policy_rule){ .id = arena_printf(&arena, "r%zu", i),
                                         .expression = slice_str(when[i]),
                                         .action = ACTION_REVIEW,
                                         .is_enabled = true };
    }
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
    columns = policy_bind_plan(policy, plan);
    none = policy_bind_plan(policy, older);
    cr_expect_eq(policy_columns_missing(none), 2);

#define IDS(...)                                                                                             \
    do {                                                                                                     \
        static const char *const ids[] = { __VA_ARGS__ };                                                    \
        cr_expect_eq(verdict.fired_count, ARRAY_LEN(ids));                                                   \
        for (size_t k = 0; k < verdict.fired_count && k < ARRAY_LEN(ids); k++)                               \
            cr_expect(slice_eq_str(verdict.fired[k].rule->id, ids[k]), "%.*s, not %s",                       \
                      SLICE_ARG(verdict.fired[k].rule->id), ids[k]);                                         \
        cr_expect_eq(verdict.erred_count, 0);                                                                \
    } while (0)
    fired(columns, there, "", &verdict);
    IDS("r0", "r2", "r3");
    fired(columns, there, "older_features", &verdict);
    IDS("r1", "r2");
    fired(columns, missing, "", &verdict);
    IDS("r4");
    fired(none, there, "", &verdict);
    IDS("r4");
    fired(NULL, NULL, "features", &verdict);
    IDS("r4");
#undef IDS
    policy_columns_free(columns);
    policy_columns_free(none);
    plan_free(plan);
    plan_free(older);
}

Test(velocity_rules, ask_for_states_of_features_alone)
{
    struct policy_rule rules[] = {
        { .id = SLICE("r"), .expression = SLICE("is_fresh(tx.amount)"), .is_enabled = true }
    };
    struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = 1 };
    struct why why = { 0 };

    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_INVALID);
    cr_expect(strstr(why.text, "1:10: is_fresh() takes a feature or a velocity"), "%s", why.text);
}
