/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"

#define T(literal)                                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }
#define RULE(called, when, does, weight)                                                                     \
    {                                                                                                        \
        .id = T(called), .name = T(called), .expression = T(when), .action = does, .priority = weight,       \
        .is_enabled = true                                                                                   \
    }

static struct policy *policy;
static struct arena arena;
static struct txn txn;
static struct policy_input in;
static struct policy_verdict verdict;

static const struct slice plan[] = { T("customer_count_24h"), T("amount_ratio"), T("unused") };
static const float row[] = { 37, NAN, 0 };
static struct policy_columns *columns;

static void setup(void)
{
    policy = policy_new();
    txn = (struct txn){
        .account = 1,
        .id = SLICE("t1"),
        .occurred_at_us = 12 * HOUR_US,
        .known_at_us = 12 * HOUR_US,
        .amount_minor = 120000,
        .amount_base_minor = 110000,
        .currency = SLICE("USD"),
    };
    txn.text[TXN_customer_id] = SLICE("c7");
    txn.text[TXN_country] = SLICE("DE");
    txn.text[TXN_ip] = SLICE("192.0.2.7");
    in = (struct policy_input){ .txn = &txn,
                                .now_us = txn.known_at_us,
                                .has_score = true,
                                .score = 0.1,
                                .thresholds = { 0.3, 0.6, 0.9 } };
}

static void teardown(void)
{
    policy_columns_free(columns);
    columns = NULL;
    policy_free(policy);
    arena_release(&arena);
}

TestSuite(policy, .init = setup, .fini = teardown);

static void publish_for(uint32_t account, const char *version, const struct policy_rule *rules, size_t count)
{
    struct ruleset set = {
        .account = account, .version = slice_str(version), .rules = rules, .count = count
    };
    struct why why = { 0 };

    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
}

#define PUBLISH(...)                                                                                         \
    do {                                                                                                     \
        const struct policy_rule rules[] = { __VA_ARGS__ };                                                  \
        publish_for(0, "7", rules, ARRAY_LEN(rules));                                                        \
    } while (0)

static void add_list(uint32_t account, const char *name, enum list_purpose purpose, enum txn_text field,
                     const char *value)
{
    struct list *list = list_new(account, slice_str(name), purpose, field);
    struct why why;

    cr_assert_eq(list_add(list, slice_str(value), LIST_NO_EXPIRY, &why), ERR_OK);
    policy_add_list(policy, list);
    list_unref(list);
}

static enum action decide(void)
{
    policy_decide(policy, &in, &arena, &verdict);
    return verdict.action;
}

static void bind(void)
{
    columns = policy_bind(policy, plan, ARRAY_LEN(plan));
    in.columns = columns;
    in.vector = row;
    in.vector_count = ARRAY_LEN(row);
}

static bool fired(const char *id)
{
    for (size_t i = 0; i < verdict.fired_count; i++) {
        if (slice_eq_str(verdict.fired[i].rule->id, id))
            return true;
    }
    return false;
}

static void print_reason(struct buf *out, const struct policy_reason *r)
{
    buf_printf(out, "%s%.*s | %.*s | %.*s\n", r->is_public ? "*" : "", SLICE_ARG(r->code), SLICE_ARG(r->text),
               SLICE_ARG(r->detail));
}

/* The reasons, one a line: code | text | detail, with a star before what is public. */
static const char *reasons(void)
{
    static struct buf out;

    buf_clear(&out);
    for (size_t i = 0; i < verdict.reason_count; i++)
        print_reason(&out, &verdict.reasons[i]);
    return buf_str(&out);
}

Test(policy, without_rules_the_thresholds_decide)
{
    static const struct {
        double score;
        enum action action;
    } cases[] = {
        { 0, ACTION_APPROVE },  { 0.299, ACTION_APPROVE }, { 0.3, ACTION_CHALLENGE },
        { 0.6, ACTION_REVIEW }, { 0.899, ACTION_REVIEW },  { 0.9, ACTION_DECLINE },
        { 1, ACTION_DECLINE },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        in.score = cases[i].score;
        cr_expect_eq(decide(), cases[i].action, "%g", cases[i].score);
    }
    cr_assert(slice_eq_str(verdict.version, "none"));
    in.thresholds = (struct policy_thresholds){ 2, 2, 2 };
    cr_assert_eq(decide(), ACTION_APPROVE);
}

Test(policy, a_list_goes_before_rules_and_deny_before_allow)
{
    PUBLISH(RULE("hold", "tx.amount > 1000", ACTION_REVIEW, 1000));
    add_list(0, "trusted", LIST_ALLOW, TXN_customer_id, "c7");
    in.score = 0.99;
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert(fired("hold"), "what fired is told, whatever decides");

    add_list(1, "exits", LIST_DENY, TXN_ip, "192.0.2.0/24");
    in.score = 0;
    cr_assert_eq(decide(), ACTION_DECLINE);
}

Test(policy, the_rule_of_highest_priority_decides)
{
    PUBLISH(RULE("low", "tx.amount > 1000", ACTION_DECLINE, 1),
            RULE("high", "tx.country == 'DE'", ACTION_APPROVE, 9),
            RULE("off_topic", "tx.country == 'FR'", ACTION_DECLINE, 99));
    in.score = 0.99;
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_eq(verdict.fired_count, 2);
    cr_assert(slice_eq_str(verdict.fired[0].rule->id, "high"));
    cr_assert(slice_eq_str(verdict.fired[1].rule->id, "low"));
    cr_assert(slice_eq_str(verdict.version, "7"));
}

Test(policy, between_equals_the_harder_action_holds)
{
    PUBLISH(RULE("a", "true", ACTION_APPROVE, 5), RULE("b", "true", ACTION_REVIEW, 5),
            RULE("c", "true", ACTION_DECLINE, 5), RULE("d", "true", ACTION_CHALLENGE, 5));
    cr_assert_eq(decide(), ACTION_DECLINE);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(verdict.fired[i].rule->id.ptr[0], "cbda"[i]);
}

Test(policy, a_rule_without_a_value_does_not_fire)
{
    PUBLISH(RULE("no_device", "tx.device_id != 'x'", ACTION_DECLINE, 1),
            RULE("no_feature", "amount_ratio > 1 || customer_count_24h > 30", ACTION_REVIEW, 1),
            RULE("nan", "amount_ratio > 0", ACTION_DECLINE, 1),
            RULE("absent", "nowhere > 0", ACTION_DECLINE, 1),
            RULE("has", "!has(tx.device_id) && !has(amount_ratio)", ACTION_CHALLENGE, 1));
    bind();
    cr_assert_eq(decide(), ACTION_REVIEW);
    cr_assert_eq(verdict.fired_count, 2);
    cr_assert(fired("no_feature") && fired("has"));
    cr_assert_eq(policy_columns_missing(columns), 1);
    cr_assert_eq(verdict.erred_count, 0);
}

Test(policy, counts_rules_that_cannot_be_evaluated)
{
    PUBLISH(RULE("text", "tx.attributes.risk > 3", ACTION_DECLINE, 1),
            RULE("list", "in_list(tx.ip, 'gone')", ACTION_DECLINE, 1));
    txn.attributes =
        &(struct txn_attribute){ .name = SLICE("risk"), .kind = ATTRIBUTE_TEXT, .text = SLICE("high") };
    txn.attribute_count = 1;
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_eq(verdict.erred_count, 2);
    cr_assert(slice_eq_str(policy_unknown_list(policy), "gone"));
    add_list(0, "gone", LIST_NAMED, TXN_ip, "192.0.2.7");
    cr_assert_eq(policy_unknown_list(policy).len, 0);
    cr_assert_eq(decide(), ACTION_DECLINE);
}

Test(policy, a_feature_is_found_by_name_in_each_plan)
{
    static const struct slice other[] = { T("x"), T("amount_ratio"), T("customer_count_24h") };
    const float other_row[] = { 1, 2, 3 };
    const struct slice *names;
    struct policy_columns *others;

    PUBLISH(RULE("busy", "customer_count_24h > 30", ACTION_REVIEW, 1));
    bind();
    cr_assert_eq(policy_features(policy, &names), 1);
    cr_assert(slice_eq_str(names[0], "customer_count_24h"));
    cr_assert_eq(decide(), ACTION_REVIEW);
    others = policy_bind(policy, other, 3);
    in.columns = others;
    in.vector = other_row;
    in.vector_count = 3;
    cr_assert_eq(decide(), ACTION_APPROVE);
    in.vector = NULL;
    cr_assert_eq(decide(), ACTION_APPROVE);
    policy_columns_free(others);
}

Test(policy, a_tag_and_a_rule_in_shadow_are_told_and_decide_nothing)
{
    struct policy_rule rules[] = { RULE("large", "tx.amount > 50000", ACTION_DECLINE, 9),
                                   RULE("german", "tx.country == 'DE'", ACTION_APPROVE, 99),
                                   RULE("usual", "tx.amount > 100", ACTION_CHALLENGE, 1) };

    rules[0].is_shadow = true;
    rules[1].tag = SLICE("from_germany");
    publish_for(0, "7", rules, 3);
    cr_assert_eq(decide(), ACTION_CHALLENGE);
    cr_assert_eq(verdict.fired_count, 1);
    cr_assert_eq(verdict.noted_count, 2);
    cr_assert(slice_eq_str(verdict.noted[0].rule->tag, "from_germany"));
    cr_assert(slice_eq_str(verdict.noted[1].rule->id, "large"));
    cr_assert(slice_eq_str(verdict.noted[1].values, "tx.amount=110000"));
    cr_assert_eq(verdict.reason_count, 1, "what decides nothing is no reason");
    cr_assert_null(verdict.shadow);
    txn.amount_base_minor = 100;
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_eq(verdict.decider, POLICY_BY_THRESHOLD);
}

Test(policy, a_set_in_shadow_says_what_it_would_do_and_changes_nothing)
{
    const struct policy_rule strict[] = { RULE("any", "tx.amount > 0", ACTION_DECLINE, 1),
                                          RULE("bad", "tx.attributes.risk > 3", ACTION_DECLINE, 1) };
    struct ruleset set = {
        .version = SLICE("8"), .rules = strict, .count = 2, .missing = { ACTION_REVIEW, 0 }, .is_shadow = true
    };
    struct txn_attribute risk = { .name = SLICE("risk"), .kind = ATTRIBUTE_TEXT, .text = SLICE("high") };
    struct policy_verdict alone;
    struct why why;

    PUBLISH(RULE("huge", "tx.amount > 500000", ACTION_DECLINE, 1),
            RULE("german", "tx.country == 'DE'", ACTION_CHALLENGE, 1));
    txn.attributes = &risk;
    txn.attribute_count = 1;
    decide();
    alone = verdict;
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
    cr_assert(slice_eq_str(policy_version(policy, 0), "7"));
    cr_assert(slice_eq_str(policy_shadow_version(policy, 0), "8"));
    cr_assert_eq(decide(), alone.action);
    cr_assert_eq(verdict.fired_count, alone.fired_count);
    cr_assert_eq(verdict.reason_count, alone.reason_count);
    cr_assert_eq(verdict.erred_count, 0);
    cr_assert_eq(verdict.shadow->action, ACTION_DECLINE);
    cr_assert_eq(verdict.shadow->decider, POLICY_BY_RULE);
    cr_assert(slice_eq_str(verdict.shadow->version, "8"));
    cr_assert_eq(verdict.shadow->fired_count, 1);
    cr_assert_eq(verdict.shadow->erred_count, 1);
    cr_assert(slice_eq_str(verdict.shadow->erred[0].rule->id, "bad"));
    add_list(0, "vip", LIST_ALLOW, TXN_customer_id, "c7");
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_eq(verdict.shadow->action, ACTION_APPROVE, "lists are of both");
}

Test(policy, a_list_of_numbers_is_asked_with_numbers)
{
    struct list *list = list_new_of(LIST_OF_NUMBERS, 0, SLICE("amounts"), LIST_NAMED, TXN_TEXT_COUNT);
    struct why why;

    PUBLISH(RULE("seen", "in_list(tx.amount, 'amounts')", ACTION_REVIEW, 1),
            RULE("typed", "in_list(110000, 'amounts')", ACTION_CHALLENGE, 9),
            RULE("wrong", "in_list(tx.amount, 'texts')", ACTION_DECLINE, 1));
    cr_assert_eq(list_add(list, SLICE("110000"), LIST_NO_EXPIRY, &why), ERR_OK);
    policy_add_list(policy, list);
    list_unref(list);
    add_list(0, "texts", LIST_NAMED, TXN_card_id, "x");
    cr_assert_eq(decide(), ACTION_CHALLENGE);
    cr_assert(fired("seen") && fired("typed") && !fired("wrong"));
    cr_assert_eq(verdict.erred_count, 1, "a number is no entry of a list of texts");
}

Test(policy, finds_each_of_many_lists_by_its_name)
{
    char name[32], texts[40][64];
    struct policy_rule rules[40];
    size_t odd = 0;

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        snprintf(texts[i], sizeof texts[i], "in_list(tx.customer_id, 'list_%zu')", 7 * i);
        rules[i] = (struct policy_rule)RULE("x", "", ACTION_DECLINE, 1);
        snprintf(name, sizeof name, "r%zu", i);
        rules[i].id = arena_slice(&arena, slice_str(name));
        rules[i].expression = slice_str(texts[i]);
        odd += 7 * i % 2;
    }
    publish_for(0, "7", rules, ARRAY_LEN(rules));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "list_%d", i);
            add_list(i % 3 == 0 ? 1 : 0, name, LIST_NAMED, TXN_customer_id, i % 2 ? "c7" : "c8");
        }
        decide();
        cr_assert_eq(verdict.fired_count, odd);
        cr_assert_eq(verdict.erred_count, 0);
        policy_drop_lists(policy);
        decide();
        cr_assert_eq(verdict.fired_count, 0);
        cr_assert_eq(verdict.erred_count, ARRAY_LEN(rules));
    }
}

Test(policy, an_account_has_its_own_rules_and_lists)
{
    static const struct policy_rule own[] = { RULE("own", "in_list(tx.customer_id, 'vip')", ACTION_CHALLENGE,
                                                   1) };
    static const struct policy_rule common[] = { RULE("common", "in_list(tx.customer_id, 'vip')",
                                                      ACTION_REVIEW, 1) };

    publish_for(0, "3", common, 1);
    publish_for(1, "4", own, 1);
    add_list(0, "vip", LIST_NAMED, TXN_customer_id, "c7");
    cr_assert_eq(decide(), ACTION_CHALLENGE);
    cr_assert(slice_eq_str(verdict.version, "4"));
    txn.account = 2;
    cr_assert_eq(decide(), ACTION_REVIEW);
    cr_assert(slice_eq_str(verdict.version, "3"));

    add_list(1, "vip", LIST_NAMED, TXN_customer_id, "c8"); /* hides the common one for account 1 */
    cr_assert_eq(decide(), ACTION_REVIEW);
    txn.account = 1;
    cr_assert_eq(decide(), ACTION_APPROVE);
    add_list(2, "stolen", LIST_DENY, TXN_customer_id, "c7");
    cr_assert_eq(decide(), ACTION_APPROVE, "another account's list is nobody else's");
}

Test(policy, a_rule_that_is_off_does_not_fire_but_is_checked)
{
    struct policy_rule off = RULE("off", "true", ACTION_DECLINE, 1);
    struct ruleset set = { .version = SLICE("1"), .rules = &off, .count = 1 };
    struct why why;

    off.is_enabled = false;
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK);
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_eq(policy_rule_count(policy, 1), 0);
    off.expression = SLICE("true &&");
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_INVALID);
}

Test(policy, what_is_missing_is_decided_by_setting)
{
    struct policy_rule rule = RULE("odd", "tx.country == 'FR'", ACTION_REVIEW, 1);
    struct ruleset set = { .version = SLICE("1"),
                           .rules = &rule,
                           .count = 1,
                           .missing = { .score = ACTION_DECLINE, .features = ACTION_CHALLENGE } };
    struct slice degraded[] = { T("features") };
    struct why why;

    in.has_score = false;
    cr_assert_eq(decide(), ACTION_APPROVE, "open when nothing says otherwise");
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK);
    cr_assert_eq(decide(), ACTION_DECLINE);
    cr_assert_str_eq(reasons(),
                     "*degraded:scoring | The fraud score was not available: declined by policy | \n");
    txn.text[TXN_country] = SLICE("FR");
    cr_assert_eq(decide(), ACTION_REVIEW, "a rule that fires decides");
    txn.text[TXN_country] = SLICE("DE");

    in.has_score = true;
    in.degraded = degraded;
    in.degraded_count = 1;
    cr_assert_eq(decide(), ACTION_CHALLENGE);
    cr_assert_str_eq(reasons(),
                     "*degraded:features | Part of the history was not available: challenged by policy | \n");
    in.score = 0.95;
    cr_assert_eq(decide(), ACTION_DECLINE, "a worse score holds");
    in.score = NAN;
    cr_assert_eq(decide(), ACTION_DECLINE, "a score that is no number is none");
}

Test(policy, tells_the_values_that_fired_a_rule)
{
    PUBLISH(RULE("all", "tx.amount > 1000 && score > 0 && tx.country == 'DE' && !has(amount_ratio)",
                 ACTION_REVIEW, 1));
    bind();
    decide();
    cr_assert_eq(verdict.fired_count, 1);
    cr_assert(slice_eq_str(verdict.fired[0].values,
                           "tx.amount=110000 score=0.1 tx.country=\"DE\" amount_ratio=none"));
}

Test(policy, gives_at_most_five_reasons)
{
    struct policy_rule rules[] = { RULE("a", "true", ACTION_DECLINE, 1), RULE("b", "true", ACTION_DECLINE, 1),
                                   RULE("c", "true", ACTION_DECLINE, 1),
                                   RULE("d", "true", ACTION_DECLINE, 1) };
    struct slice degraded[] = { T("features"), T("rules") };

    publish_for(0, "1", rules, ARRAY_LEN(rules));
    in.score = 0.95;
    in.degraded = degraded;
    in.degraded_count = 2;
    cr_assert_eq(decide(), ACTION_DECLINE);
    cr_assert_eq(verdict.reason_count, 5);
    cr_assert(slice_eq_str(verdict.reasons[3].code, "threshold:decline"));
    cr_assert(slice_eq_str(verdict.reasons[4].code, "degraded:features"));
}

Test(policy, gives_reasons_with_what_decided_first)
{
    struct policy_rule rules[] = {
        RULE("busy", "customer_count_24h > 30 && tx.amount > 100", ACTION_DECLINE, 9),
        RULE("mild", "true", ACTION_REVIEW, 1),
        RULE("quiet", "true", ACTION_DECLINE, 1),
    };

    rules[0].reason = SLICE("{customer_count_24h} payments in a day, now {tx.amount}");
    rules[0].public_reason = SLICE("Unusually many payments");
    publish_for(0, "1", rules, ARRAY_LEN(rules));
    bind();
    in.score = 0.95;
    cr_assert_eq(decide(), ACTION_DECLINE);
    cr_assert_str_eq(
        reasons(),
        "*rule:busy | Unusually many payments | 37 payments in a day, now 1200.00 USD "
        "(customer_count_24h=37 tx.amount=110000)\n"
        "rule:quiet | quiet | \n"
        "*threshold:decline | The fraud score is high | score 0.95 is at or above 0.9 (decline)\n");
}

Test(policy, tells_a_feature_that_pulls_towards_the_action_in_words)
{
    static const struct policy_contribution contributions[] = {
        { T("customer_count_24h"), T("{} transactions by this customer in 24 h"), 37, 1.25 },
        { T("amount_ratio"), T(""), NAN, -0.5 },
        { T("terminal_risk"), T("share of frauds at this terminal"), 0.0123456789, 0.5 },
        { T("hour"), T("hour of the day"), 3, 0 },
    };
    struct buf out = { 0 };

    for (enum action action = ACTION_APPROVE; action <= ACTION_CHALLENGE; action++) {
        buf_printf(&out, "%s:\n", action_name(action));
        for (size_t i = 0; i < ARRAY_LEN(contributions); i++) {
            struct policy_reason reason = policy_contribution_reason(&contributions[i], &arena);

            if (policy_contribution_is_reason(&contributions[i], action))
                print_reason(&out, &reason);
        }
    }
    cr_assert_str_eq(buf_str(&out), "approve:\n"
                                    "feature:amount_ratio | amount_ratio: unknown | "
                                    "amount_ratio=nan, -0.50 log-odds\n"
                                    "challenge:\n"
                                    "feature:customer_count_24h | 37 transactions by this customer in 24 h | "
                                    "customer_count_24h=37, +1.25 log-odds\n"
                                    "feature:terminal_risk | share of frauds at this terminal: 0.0123457 | "
                                    "terminal_risk=0.0123457, +0.50 log-odds\n");
    buf_release(&out);
}

Test(policy, says_why_a_payment_is_approved)
{
    struct slice degraded[] = { T("rules") };

    in.degraded = degraded;
    in.degraded_count = 1;
    cr_assert_eq(decide(), ACTION_APPROVE);
    cr_assert_str_eq(reasons(), "*threshold:approve | The fraud score is low | score 0.1 is below 0.3\n"
                                "*degraded:rules | Decided without rules | \n");
}

Test(policy, does_not_tell_everybody_which_list_it_was)
{
    add_list(0, "stolen_2026", LIST_DENY, TXN_customer_id, "c7");
    decide();
    cr_assert_str_eq(reasons(), "*list:stolen_2026 | The customer is on a deny list | customer_id c7 is on "
                                "the deny list stolen_2026\n");
}

Test(policy, refuses_faulty_rules_and_says_which)
{
    static const struct {
        struct policy_rule rule;
        const char *start;
    } cases[] = {
        { RULE("Bad Id", "true", ACTION_REVIEW, 1), "rule 1: 'Bad Id' is no id" },
        { RULE("r", "tx.amount", ACTION_REVIEW, 1), "rule r: 1:4: this is a double, where a bool is wanted" },
        { RULE("r", "tx.nothing > 1", ACTION_REVIEW, 1), "rule r: 1:4: unknown name 'tx.nothing'" },
        { RULE("r", "Score > 1", ACTION_REVIEW, 1), "rule r: 1:1: unknown name 'Score'" },
        { RULE("r", "in_list(tx.amount, 3)", ACTION_REVIEW, 1),
          "rule r: 1:1: in_list does not take (double, int)" },
        { RULE("r", "true", ACTION_COUNT, 1), "rule r: no such action" },
        { { .id = T("r"), .expression = T("true"), .action = ACTION_REVIEW, .reason = T("x {score}") },
          "rule r: the reason names {score}, which the expression does not use" },
    };
    struct policy_rule twice[] = { RULE("r", "true", ACTION_REVIEW, 1),
                                   RULE("r", "false", ACTION_REVIEW, 1) };
    struct ruleset set = { .version = SLICE("1"), .count = 1 };
    struct why why;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set.rules = &cases[i].rule;
        cr_expect_eq(policy_add_ruleset(policy, &set, &why), ERR_INVALID);
        cr_expect(strncmp(why.text, cases[i].start, strlen(cases[i].start)) == 0, "%s", why.text);
    }
    set.rules = twice;
    set.count = 2;
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "rule r is there twice");
    cr_assert_eq(decide(), ACTION_APPROVE, "a refused set leaves nothing behind");
    cr_assert(slice_eq_str(verdict.version, "none"));
}

static enum policy_decider decider(void)
{
    decide();
    return verdict.decider;
}

/* Scoring was away, and a simpler model stood in: its score decides, and everybody is told. */
Test(policy, says_that_the_score_is_a_fallback)
{
    struct slice scoring = SLICE("scoring");

    in.score = 0.95;
    in.degraded = &scoring;
    in.degraded_count = 1;
    cr_assert_eq(decide(), ACTION_DECLINE);
    cr_assert_eq(verdict.decider, POLICY_BY_THRESHOLD);
    cr_assert_not_null(strstr(reasons(), "*degraded:scoring | The fraud score is that of a simpler model | "),
                       "%s", reasons());
}

Test(policy, a_rule_set_may_have_thresholds_in_the_place_of_the_models)
{
    struct ruleset set = { .version = SLICE("1"), .has_thresholds = true, .thresholds = { 0.05, 0.5, 2 } };
    struct ruleset shadow = { .version = SLICE("2"), .is_shadow = true };
    struct slice scoring = SLICE("scoring");
    struct why why = { 0 };

    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(policy_add_ruleset(policy, &shadow, &why), ERR_OK, "%s", why.text);
    in.score = 0.95;
    cr_assert_eq(decide(), ACTION_REVIEW, "softer than the model's");
    cr_assert_eq(verdict.decider, POLICY_BY_THRESHOLD,
                 "so the control slice and what is missing go on as before");
    cr_assert_eq(verdict.score_action, ACTION_REVIEW);
    cr_assert(verdict.has_own_thresholds && verdict.thresholds.review < 0.51);
    cr_assert_not_null(strstr(reasons(), "at or above 0.5 (review)"), "%s", reasons());
    cr_assert_eq(verdict.shadow->action, ACTION_DECLINE, "one in shadow without any has the model's");
    in.score = 0.06;
    cr_assert_eq(decide(), ACTION_CHALLENGE, "harder than the model's");
    in.degraded = &scoring;
    in.degraded_count = 1;
    cr_assert_eq(decide(), ACTION_APPROVE, "the score of a fallback keeps its own");
    cr_assert(!verdict.has_own_thresholds);
}

/* A control slice may let through what the score alone declined, and nothing else. */
Test(policy, says_what_decided_and_what_the_score_alone_would_do)
{
    struct ruleset set = { .version = SLICE("1"), .missing = { ACTION_REVIEW, ACTION_REVIEW } };
    struct policy_rule rule = RULE("r", "tx.country == \"FR\"", ACTION_DECLINE, 0);
    struct slice features = SLICE("features");
    struct why why = { 0 };

    set.rules = &rule;
    set.count = 1;
    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
    in.score = 0.95;
    cr_assert_eq(decider(), POLICY_BY_THRESHOLD);
    cr_assert_eq(verdict.action, ACTION_DECLINE);
    cr_assert_eq(verdict.score_action, ACTION_DECLINE);
    in.degraded = &features;
    in.degraded_count = 1;
    cr_assert_eq(decider(), POLICY_BY_THRESHOLD, "the score is harder than what is missing asks for");
    in.score = 0.2;
    cr_assert_eq(decider(), POLICY_BY_MISSING);
    cr_assert_eq(verdict.score_action, ACTION_APPROVE);
    in.degraded_count = 0;
    txn.text[TXN_country] = SLICE("FR");
    in.score = 0.95;
    cr_assert_eq(decider(), POLICY_BY_RULE, "the rule says the same as the score, and decides");
    cr_assert_eq(verdict.score_action, ACTION_DECLINE);
    add_list(0, "good", LIST_ALLOW, TXN_customer_id, "c7");
    cr_assert_eq(decider(), POLICY_BY_LIST);
    cr_assert_eq(verdict.action, ACTION_APPROVE);
    cr_assert_eq(verdict.score_action, ACTION_DECLINE);
    in.has_score = false;
    txn.text[TXN_customer_id] = SLICE("c8");
    txn.text[TXN_country] = SLICE("DE");
    cr_assert_eq(decider(), POLICY_BY_MISSING);
    cr_assert_eq(verdict.score_action, ACTION_APPROVE);
}
