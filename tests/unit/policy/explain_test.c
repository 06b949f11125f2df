/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "policy/policy.h"

static struct policy *policy;
static struct policy_columns *columns;
static struct arena arena;
static struct why why;

#define TEXT(literal)                                                                                        \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }
static const struct policy_rule rules[] = {
    { .id = TEXT("large"),
      .expression = TEXT("tx.amount > 500 && tx.channel == \"pos\""),
      .action = ACTION_DECLINE,
      .priority = 2,
      .is_enabled = true },
    { .id = TEXT("ratio"),
      .expression = TEXT("amount_ratio > 3 || (has(tx.device_id) ? tx.amount > 200 : score > 0.5)"),
      .action = ACTION_REVIEW,
      .is_enabled = true },
    { .id = TEXT("listed"),
      .expression = TEXT("in_list(tx.card_id, \"cards\")"),
      .tag = TEXT("seen"),
      .is_enabled = true },
    { .id = TEXT("broken"),
      .expression = TEXT("int(tx.amount) / (int(tx.amount) % 3) > 100"),
      .is_enabled = true },
    { .id = TEXT("off"), .expression = TEXT("true") },
};

static bool ends_in_seven(void *context, const struct list *list, struct slice value, int64_t now_us)
{
    (void)context;
    (void)list;
    (void)now_us;
    return value.ptr[value.len - 1] == '7';
}

static const struct policy_list_source source = { .has = ends_in_seven };

static void setup(void)
{
    struct list *cards = list_new(0, SLICE("cards"), LIST_NAMED, TXN_card_id);
    const struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = ARRAY_LEN(rules) };
    const struct slice names[] = { SLICE("amount_ratio") };

    policy = policy_new();
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
    policy_add_list(policy, cards);
    list_unref(cards);
    columns = policy_bind(policy, names, 1);
}

static void teardown(void)
{
    policy_columns_free(columns);
    policy_free(policy);
    arena_release(&arena);
}

TestSuite(policy_explain, .init = setup, .fini = teardown, .timeout = 120);

/* A payment of a number, with and without what rules ask for. */
static struct policy_input input_of(int i, struct txn *txn, float *vector)
{
    *txn = (struct txn){ .id = SLICE("t"),
                         .amount_base_minor = i * 37 % 1000,
                         .amount_minor = i * 37 % 1000,
                         .currency = SLICE("USD") };
    txn->text[TXN_channel] = i % 3 ? SLICE("pos") : SLICE("atm");
    txn->text[TXN_card_id] = arena_printf(&arena, "card-%d", i % 13);
    if (i % 2)
        txn->text[TXN_device_id] = SLICE("d");
    *vector = i % 5 ? (float)(i % 7) : NAN;
    return (struct policy_input){ .txn = txn,
                                  .vector = vector,
                                  .vector_count = 1,
                                  .columns = columns,
                                  .has_score = i % 4 != 0,
                                  .score = i % 10 / 10.0,
                                  .thresholds = { 2, 2, 2 } };
}

static bool is_among(const struct policy_rule *rule, const struct policy_fired *fired, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fired[i].rule == rule)
            return true;
    return false;
}

struct root {
    size_t steps;
    struct cel_value first;
};

static void on_step(void *context, const struct cel_step *step)
{
    struct root *root = context;

    if (root->steps++ == 0)
        root->first = step->value;
}

Test(policy_explain, a_rule_is_explained_as_true_exactly_when_it_fires)
{
    size_t fired = 0;

    policy_ask_lists(policy, &source);
    cr_assert_eq(policy_rules(policy, 0, false), 4, "one is switched off");
    cr_assert_eq(policy_rules(policy, 0, true), 0, "none is in shadow");
    for (int i = 0; i < 1000; i++) {
        struct policy_verdict verdict;
        struct txn txn;
        float vector;
        struct policy_input in = input_of(i, &txn, &vector);

        policy_decide(policy, &in, &arena, &verdict);
        for (size_t k = 0; k < 4; k++) {
            const struct policy_rule *rule = policy_rule_at(policy, 0, false, k);
            bool does_fire = is_among(rule, verdict.fired, verdict.fired_count) ||
                             is_among(rule, verdict.noted, verdict.noted_count);
            struct root root = { 0 };
            struct cel_value value = policy_explain(policy, &in, false, k, &arena, on_step, &root);

            fired += does_fire;
            cr_assert_eq(value.kind == CEL_BOOL && value.b, does_fire, "payment %d, rule %.*s", i,
                         SLICE_ARG(rule->id));
            cr_assert_gt(root.steps, 1);
            cr_assert_eq(root.first.kind, value.kind);
        }
        arena_reset(&arena);
    }
    cr_assert_gt(fired, 500);
}

Test(policy_explain, who_answers_for_lists_is_asked_in_the_place_of_their_entries)
{
    struct policy_verdict verdict;
    struct txn txn;
    float vector;
    struct policy_input in = input_of(7, &txn, &vector);

    policy_decide(policy, &in, &arena, &verdict);
    cr_assert_eq(verdict.noted_count, 0, "the list is empty");
    policy_ask_lists(policy, &source);
    policy_decide(policy, &in, &arena, &verdict);
    cr_assert_eq(verdict.noted_count, 1);
    policy_ask_lists(policy, NULL);
    policy_decide(policy, &in, &arena, &verdict);
    cr_assert_eq(verdict.noted_count, 0);
}
