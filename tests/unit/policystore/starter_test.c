/* SPDX-License-Identifier: Apache-2.0
 * starter_test.c - each rule of models/rules-starter.yaml on a payment that it is for, and on one beside it.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "../../../services/cli/yaml_json.h"
#include "base/array.h"
#include "base/clock.h"
#include "policystore/document.h"

static struct arena arena;
static struct policy *policy;

static void setup(void)
{
    static char text[DOCUMENT_TEXT_MAX];
    struct document document = { 0 };
    struct buf json;
    struct why why = { 0 };
    FILE *file = fopen("models/rules-starter.yaml", "r");

    cr_assert_not_null(file, "tests run in the repository's root");
    buf_init(&json, DOCUMENT_TEXT_MAX);
    cr_assert_eq(yaml_to_json(&json, slice_of(text, fread(text, 1, sizeof text, file)), &why), ERR_OK, "%s",
                 why.text);
    fclose(file);
    cr_assert_eq(document_read(&document, buf_slice(&json), &arena, &why), ERR_OK, "%s", why.text);
    policy = policy_new();
    for (size_t i = 0; i < document.list_count; i++) {
        const struct document_list *l = &document.lists[i];
        struct list *list = list_new(0, l->name, l->purpose, l->field);

        cr_assert_eq(
            list_add(list, l->field == TXN_ip ? SLICE("192.0.2.0/24") : l->name, LIST_NO_EXPIRY, &why),
            ERR_OK);
        policy_add_list(policy, list);
        list_unref(list);
    }
    cr_assert_eq(policy_add_ruleset(policy, &document.set, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(policy_unknown_list(policy).len, 0);
    buf_release(&json);
}

static void teardown(void)
{
    policy_free(policy);
    arena_release(&arena);
}

TestSuite(starter_rules, .init = setup, .fini = teardown);

struct payment {
    int64_t amount;
    double score;
    int hour, day; /* since 1970-01-01, a Thursday */
    const char *channel, *mcc, *customer, *device, *ip, *card, *merchant;
    const char *past[4]; /* features, and velocities by their calls */
    float past_is[4];
};

static bool fires(const struct payment *p, const char *id, enum action *action)
{
    struct txn txn = { .account = 1,
                       .currency = SLICE("EUR"),
                       .amount_minor = p->amount,
                       .amount_base_minor = p->amount,
                       .occurred_at_us = (24 * p->day + p->hour) * HOUR_US };
    struct policy_columns *columns;
    struct policy_verdict verdict;
    struct slice past[4];
    size_t past_count = 0;

    for (; past_count < ARRAY_LEN(past) && p->past[past_count]; past_count++)
        past[past_count] = slice_str(p->past[past_count]);
    columns = policy_bind(policy, past, past_count);
    txn.text[TXN_channel] = slice_str(p->channel);
    txn.text[TXN_mcc] = slice_str(p->mcc);
    txn.text[TXN_customer_id] = slice_str(p->customer);
    txn.text[TXN_device_id] = slice_str(p->device);
    txn.text[TXN_ip] = slice_str(p->ip);
    txn.text[TXN_card_id] = slice_str(p->card);
    txn.text[TXN_merchant_id] = slice_str(p->merchant);
    policy_decide(policy,
                  &(struct policy_input){ .txn = &txn,
                                          .vector = p->past_is,
                                          .vector_count = past_count,
                                          .columns = columns,
                                          .has_score = true,
                                          .score = p->score,
                                          .thresholds = { 2, 2, 2 } },
                  &arena, &verdict);
    policy_columns_free(columns);
    *action = verdict.action;
    cr_expect_eq(verdict.erred_count, 0);
    for (size_t i = 0; i < verdict.fired_count; i++) {
        if (slice_eq_str(verdict.fired[i].rule->id, id))
            return true;
    }
    for (size_t i = 0; i < verdict.noted_count; i++) {
        if (slice_eq_str(verdict.noted[i].rule->id, id))
            return true;
    }
    return false;
}

Test(starter_rules, fire_on_what_they_are_for_and_not_beside_it)
{
    static const struct {
        const char *id;
        enum action action;
        struct payment on, beside;
    } cases[] = {
        { "beyond_any_limit", ACTION_DECLINE, { .amount = 1000001 }, { .amount = 1000000 } },
        { "trusted_small",
          ACTION_APPROVE,
          { .amount = 20000, .customer = "trusted_customers" },
          { .amount = 20000, .customer = "c" } },
        { "watched_device", ACTION_REVIEW, { .device = "watched_devices" }, { .device = "d" } },
        { "score_and_amount",
          ACTION_REVIEW,
          { .amount = 50000, .score = 0.3 },
          { .amount = 50000, .score = 0.29 } },
        { "card_testing",
          ACTION_DECLINE,
          { .amount = 100, .score = 0.2, .channel = "ecommerce" },
          { .amount = 100, .score = 0.2, .channel = "pos" } },
        { "anonymous_network",
          ACTION_CHALLENGE,
          { .amount = 2001, .ip = "192.0.2.9" },
          { .amount = 2001, .ip = "192.0.3.9" } },
        { "resale_goods",
          ACTION_REVIEW,
          { .amount = 100000, .score = 0.05, .mcc = "5732" },
          { .amount = 100000, .score = 0.05, .mcc = "5411" } },
        { "cash_like",
          ACTION_CHALLENGE,
          { .amount = 30000, .score = 0.05, .mcc = "6051" },
          { .amount = 29999, .score = 0.05, .mcc = "6051" } },
        { "online_night",
          ACTION_CHALLENGE,
          { .amount = 50000, .score = 0.02, .channel = "ecommerce", .hour = 4, .device = "d" },
          { .amount = 50000, .score = 0.02, .channel = "ecommerce", .hour = 5, .device = "d" } },
        { "online_without_device",
          ACTION_CHALLENGE,
          { .amount = 20000, .channel = "ecommerce" },
          { .amount = 20000, .channel = "ecommerce", .device = "d" } },
        { "certain_fraud",
          ACTION_DECLINE,
          { .amount = 1000, .score = 0.95 },
          { .amount = 999, .score = 0.95 } },
        { "watched_merchant",
          ACTION_REVIEW,
          { .amount = 5000, .merchant = "watched_merchants" },
          { .amount = 5000, .merchant = "m" } },
        { "large_in_person",
          ACTION_REVIEW,
          { .amount = 500000, .channel = "pos" },
          { .amount = 499999, .channel = "pos" } },
        { "crypto_large",
          ACTION_REVIEW,
          { .amount = 100000, .mcc = "6051" },
          { .amount = 99999, .mcc = "6051" } },
        { "transfer_large",
          ACTION_REVIEW,
          { .amount = 200000, .mcc = "4829" },
          { .amount = 200000, .mcc = "5411" } },
        { "gambling_night",
          ACTION_CHALLENGE,
          { .amount = 20000, .mcc = "7995", .hour = 5 },
          { .amount = 20000, .mcc = "7995", .hour = 6 } },
        { "gift_cards",
          ACTION_CHALLENGE,
          { .amount = 10000, .mcc = "5947", .score = 0.05 },
          { .amount = 10000, .mcc = "5947", .score = 0.04 } },
        { "round_online",
          ACTION_CHALLENGE,
          { .amount = 120000, .score = 0.02, .channel = "ecommerce", .device = "d", .hour = 12 },
          { .amount = 120001, .score = 0.02, .channel = "ecommerce", .device = "d", .hour = 12 } },
        { "weekend_large",
          ACTION_CHALLENGE,
          { .amount = 300000, .score = 0.02, .day = 2 },
          { .amount = 300000, .score = 0.02, .day = 1 } },
        { "device_tests_cards",
          ACTION_DECLINE,
          { .amount = 120,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(card, device, \"1h\")" },
            .past_is = { 2 } },
          { .amount = 120,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(card, device, \"1h\")" },
            .past_is = { 1 } } },
        { "one_device_more",
          ACTION_DECLINE,
          { .amount = 9000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(device, customer, \"7d\")", "count([customer, device], \"30d\")" },
            .past_is = { 2, 0 } },
          { .amount = 9000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(device, customer, \"7d\")", "count([customer, device], \"30d\")" },
            .past_is = { 3, 1 } } },
        { "addresses_change",
          ACTION_CHALLENGE,
          { .amount = 9000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(ip, customer, \"3d\")", "count([customer, device], \"30d\")" },
            .past_is = { 2, 2 } },
          { .amount = 9000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "distinct(ip, customer, \"3d\")", "count([customer, device], \"30d\")" },
            .past_is = { 4, 3 } } },
        { "new_device_spends",
          ACTION_DECLINE,
          { .amount = 50000,
            .hour = 12,
            .channel = "ecommerce",
            .device = "d",
            .past = { "first_seen([customer, device])", "since_last([customer, device])",
                      "sum(amount, [customer, device], \"3h\")" },
            .past_is = { 5000, 900, 30000 } },
          { .amount = 50000,
            .hour = 12,
            .channel = "ecommerce",
            .device = "d",
            .past = { "first_seen([customer, device])", "since_last([customer, device])",
                      "sum(amount, [customer, device], \"3h\")" },
            .past_is = { 500000, 900, 30000 } } },
        { "dearest_on_new_device",
          ACTION_CHALLENGE,
          { .amount = 19000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "count([customer, device], \"30d\")",
                      "count(customer, \"30d\", tx.channel == \"ecommerce\")",
                      "max(amount, customer, \"30d\")" },
            .past_is = { 0, 3, 18999 } },
          { .amount = 19000,
            .channel = "ecommerce",
            .device = "d",
            .past = { "count([customer, device], \"30d\")",
                      "count(customer, \"30d\", tx.channel == \"ecommerce\")",
                      "max(amount, customer, \"30d\")" },
            .past_is = { 0, 2, 5000 } } },
        { "far_beyond_habit",
          ACTION_REVIEW,
          { .amount = 100000,
            .channel = "pos",
            .past = { "count(customer, \"30d\")", "max(amount, customer, \"30d\")" },
            .past_is = { 10, 24999 } },
          { .amount = 100000,
            .channel = "pos",
            .past = { "count(customer, \"30d\")", "max(amount, customer, \"30d\")" },
            .past_is = { 10, 25000 } } },
        { "terminal_with_fraud",
          ACTION_DECLINE,
          { .amount = 4000,
            .channel = "pos",
            .past = { "terminal_frauds_7d", "count(customer, \"30d\")",
                      "count([customer, country], \"30d\")" },
            .past_is = { 1, 3, 0 } },
          { .amount = 4000,
            .channel = "pos",
            .past = { "terminal_frauds_7d", "count(customer, \"30d\")",
                      "count([customer, country], \"30d\")" },
            .past_is = { 3, 20, 18 } } },
        { "tiny_online",
          ACTION_APPROVE,
          { .amount = 99, .channel = "ecommerce" },
          { .amount = 100, .channel = "ecommerce" } },
        { "stricter_score",
          ACTION_APPROVE,
          { .amount = 20000, .score = 0.15 },
          { .amount = 20000, .score = 0.14 } },
    };
    enum action action;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect(fires(&cases[i].on, cases[i].id, &action), "%s must fire", cases[i].id);
        cr_expect_eq(action, cases[i].action, "%s", cases[i].id);
        cr_expect_not(fires(&cases[i].beside, cases[i].id, &action), "%s must not fire", cases[i].id);
    }
    cr_assert_eq(policy_rule_count(policy, 1), ARRAY_LEN(cases), "every rule has its case");
    fires(&(struct payment){ .card = "blocked_cards" }, "", &action);
    cr_assert_eq(action, ACTION_DECLINE);
}
