/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/document.h"

#include <criterion/criterion.h>

#include "base/array.h"

static struct arena arena;

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(document, .fini = teardown);

Test(document, reads_rules_lists_and_what_is_done_when_something_is_missing)
{
    static const char text[] =
        "{\"missing\": {\"score\": \"closed\", \"features\": \"review\"},"
        " \"lists\": [{\"name\": \"vip\", \"field\": \"customer_id\", \"purpose\": \"allow\", \"note\": "
        "\"n\"},"
        "            {\"name\": \"any\"}],"
        " \"rules\": [{\"id\": \"a\", \"name\": \"A\", \"when\": \"true\", \"action\": \"challenge\", "
        "\"priority\": -5,"
        "             \"reason\": \"r\", \"public_reason\": \"p\", \"enabled\": false},"
        "            {\"id\": \"b\", \"when\": \"false\", \"action\": \"decline\"}]}";
    struct document d = { 0 };
    struct why why = { 0 };

    cr_assert_eq(document_read(&d, slice_str(text), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(d.set.missing.score, ACTION_DECLINE);
    cr_assert_eq(d.set.missing.features, ACTION_REVIEW);
    cr_assert_eq(d.list_count, 2);
    cr_assert(slice_eq_str(d.lists[0].name, "vip"));
    cr_assert_eq(d.lists[0].field, TXN_customer_id);
    cr_assert_eq(d.lists[0].purpose, LIST_ALLOW);
    cr_assert_eq(d.lists[1].field, TXN_TEXT_COUNT);
    cr_assert_eq(d.lists[1].purpose, LIST_NAMED);
    cr_assert_eq(d.set.count, 2);
    cr_assert(slice_eq_str(d.set.rules[0].name, "A"));
    cr_assert_eq(d.set.rules[0].action, ACTION_CHALLENGE);
    cr_assert_eq(d.set.rules[0].priority, -5);
    cr_assert_not(d.set.rules[0].is_enabled);
    cr_assert(slice_eq_str(d.set.rules[0].public_reason, "p"));
    cr_assert(slice_eq_str(d.set.rules[1].name, "b"), "a rule without a name is called by its id");
    cr_assert(d.set.rules[1].is_enabled);
}

Test(document, thresholds_rise_and_what_is_left_out_is_never_reached)
{
    static const char *const wrong[] = {
        "{\"thresholds\": {\"review\": 0}, \"rules\": []}",
        "{\"thresholds\": {\"review\": 2.5}, \"rules\": []}",
        "{\"thresholds\": {\"review\": \"0.5\"}, \"rules\": []}",
        "{\"thresholds\": {\"review\": 0.9, \"decline\": 0.5}, \"rules\": []}",
        "{\"thresholds\": {\"challenge\": 0.6, \"review\": 0.5}, \"rules\": []}",
        "{\"thresholds\": {\"approve\": 0.6}, \"rules\": []}",
        "{\"thresholds\": 0.6, \"rules\": []}",
    };
    struct document d = { 0 };
    struct why why = { 0 };

    cr_assert_eq(document_read(&d, SLICE("{\"rules\": []}"), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert(!d.set.has_thresholds);
    cr_assert_eq(document_read(&d,
                               SLICE("{\"thresholds\": {\"review\": 0.25, \"decline\": 1}, \"rules\": []}"),
                               &arena, &why),
                 ERR_OK, "%s", why.text);
    cr_assert(d.set.has_thresholds);
    cr_assert_float_eq(d.set.thresholds.review, 0.25, 1e-12);
    cr_assert_float_eq(d.set.thresholds.decline, 1, 1e-12);
    cr_assert_float_eq(d.set.thresholds.challenge, 2, 1e-12);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_expect_eq(document_read(&d, slice_str(wrong[i]), &arena, &why), ERR_INVALID, "%s", wrong[i]);
}

Test(document, a_rule_may_tag_or_be_in_shadow_and_has_an_owner)
{
    static const char text[] =
        "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"tag\", \"owner\": \"ann\"},"
        " {\"id\": \"b\", \"tag\": \"seen\", \"when\": \"true\", \"action\": \"tag\"},"
        " {\"id\": \"c\", \"when\": \"true\", \"action\": \"decline\", \"shadow\": true}]}";
    struct document d = { 0 };
    struct why why = { 0 };

    cr_assert_eq(document_read(&d, slice_str(text), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert(slice_eq_str(d.set.rules[0].tag, "a"), "a tag is called as its rule");
    cr_assert(slice_eq_str(d.set.rules[0].owner, "ann"));
    cr_assert(slice_eq_str(d.set.rules[1].tag, "seen"));
    cr_assert(d.set.rules[2].is_shadow && d.set.rules[2].tag.len == 0 && !d.set.rules[1].is_shadow);
    cr_assert_eq(document_read(&d,
                               SLICE("{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": "
                                     "\"review\", \"tag\": \"x\"}]}"),
                               &arena, &why),
                 ERR_INVALID);
}

Test(document, refuses_what_is_not_a_rule_set_and_says_where)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "{}", "the rule set: rules is missing" },
        { "[]", "the rule set: must be an object" },
        { "{\"rules\": {}}", "the rule set: rules must be a list of at most 1000" },
        { "{\"rules\": [], \"x\": 1}", "the rule set: unknown member 'x'" },
        { "{\"rules\": [1]}", "rule 1: must be an object" },
        { "{\"rules\": [{\"id\": \"a\", \"action\": \"review\"}]}", "rule 1 (a): when is missing" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": \"true\"}]}", "rule 1 (a): action is missing" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"stop\"}]}",
          "rule 1 (a): action must be approve, challenge, review, decline or tag" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": true, \"action\": \"review\"}]}",
          "rule 1 (a): when must be a text" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"review\", \"priority\": 1.5}]}",
          "rule 1 (a): priority must be an integer within a million" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"review\", \"priorty\": 1}]}",
          "rule 1 (a): unknown member 'priorty'" },
        { "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"review\", \"enabled\": \"no\"}]}",
          "rule 1 (a): enabled must be true or false" },
        { "{\"rules\": [], \"missing\": {\"score\": \"perhaps\"}}",
          "missing: score must be approve, challenge, review or decline" },
        { "{\"rules\": [], \"lists\": [{\"name\": \"Bad\"}]}",
          "list 1 (Bad): name must begin with a-z and go on with a-z, 0-9 and _" },
        { "{\"rules\": [], \"lists\": [{\"name\": \"a\", \"field\": \"amount\"}]}",
          "list 1 (a): field must be a text field of a transaction, as customer_id" },
        { "{\"rules\": [], \"lists\": [{\"name\": \"a\", \"purpose\": \"block\"}]}",
          "list 1 (a): purpose must be named, deny or allow" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct document d = { 0 };
        struct why why = { 0 };

        cr_expect_eq(document_read(&d, slice_str(cases[i].text), &arena, &why), ERR_INVALID, "%s",
                     cases[i].text);
        cr_expect_str_eq(why.text, cases[i].why);
    }
    cr_assert_eq(document_read(&(struct document){ 0 }, SLICE("{\"rules\": ["), &arena, NULL), ERR_SYNTAX);
}
