/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/alert.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/runbook.h"
#include "base/array.h"
#include "base/clock.h"

static struct why why;

static struct alert_labels labels_of(const char *const *pairs, size_t count)
{
    struct alert_labels labels = { 0 };

    for (size_t i = 0; i < count; i++)
        cr_assert(!alert_labels_add(&labels, slice_str(pairs[2 * i]), slice_str(pairs[2 * i + 1]), &why),
                  "%s", why.text);
    return labels;
}

static struct alert_condition condition(bool is_true, enum alert_severity severity)
{
    return (struct alert_condition){
        .labels = labels_of((const char *const[]){ "alertname", "Drift", "feature", "amount" }, 2),
        .severity = severity,
        .is_true = is_true,
        .text = SLICE("it drifts"),
        .value = 0.3,
        .threshold = 0.2,
    };
}

TestSuite(alert, .timeout = 180);

/* ---- labels ---- */

Test(alert, the_order_of_labels_does_not_matter)
{
    struct alert_labels a =
        labels_of((const char *const[]){ "alertname", "X", "feature", "y", "model", "m" }, 3);
    struct alert_labels b =
        labels_of((const char *const[]){ "model", "m", "feature", "y", "alertname", "X" }, 3);
    struct alert_print pa = alert_print_of(&a), pb = alert_print_of(&b);

    cr_assert_eq(memcmp(&pa, &pb, sizeof pa), 0);
    cr_assert(slice_eq_str(b.items[0].name, "alertname"));
    cr_assert(slice_eq_str(alert_label(&a, "model"), "m"));
    cr_assert_eq(alert_label(&a, "other").len, 0);
}

Test(alert, where_a_name_ends_and_a_value_begins_matters)
{
    struct alert_labels a = labels_of((const char *const[]){ "ab", "c" }, 1);
    struct alert_labels b = labels_of((const char *const[]){ "a", "bc" }, 1);
    struct alert_labels c = labels_of((const char *const[]){ "a", "b1:c1:d" }, 1);
    struct alert_labels d = labels_of((const char *const[]){ "a", "b", "c", "d" }, 2);
    struct alert_print pa = alert_print_of(&a), pb = alert_print_of(&b), pc = alert_print_of(&c);
    struct alert_print pd = alert_print_of(&d);

    cr_assert_neq(memcmp(&pa, &pb, sizeof pa), 0);
    cr_assert_neq(memcmp(&pc, &pd, sizeof pc), 0);
}

Test(alert, an_empty_value_is_no_label)
{
    struct alert_labels a = labels_of((const char *const[]){ "alertname", "X", "feature", "" }, 2);

    cr_assert_eq(a.count, 1);
}

Test(alert, refuses_labels_that_are_none)
{
    static const char *const names[] = { "", "1a", "a-b", "a b", "\xc3\xa4", "a\n" };
    struct alert_labels labels = { 0 };
    char longest[ALERT_VALUE_MAX + 2] = "", name[ALERT_LABELS_MAX][16];

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        cr_assert_eq(alert_labels_add(&labels, slice_str(names[i]), SLICE("v"), &why), ERR_INVALID, "%s",
                     names[i]);
    memset(longest, 'x', sizeof longest - 1);
    cr_assert_eq(alert_labels_add(&labels, SLICE("a"), slice_str(longest), &why), ERR_INVALID);
    cr_assert_eq(alert_labels_add(&labels, SLICE("a"), SLICE("\xff"), &why), ERR_INVALID);
    for (int i = 0; i < ALERT_LABELS_MAX; i++) {
        snprintf(name[i], sizeof name[i], "n%d", i);
        cr_assert_eq(alert_labels_add(&labels, slice_str(name[i]), SLICE("v"), &why), ERR_OK);
    }
    cr_assert_eq(alert_labels_add(&labels, SLICE("n3"), SLICE("w"), &why), ERR_INVALID, "twice");
    cr_assert_eq(alert_labels_add(&labels, SLICE("one_more"), SLICE("v"), &why), ERR_INVALID, "too many");
}

Test(alert, labels_come_back_from_their_json)
{
    struct alert_labels a = labels_of((const char *const[]){ "alertname", "X\"\n", "feature", "\xc3\xa4" },
                                      2),
                        b;
    struct arena arena = { 0 };
    struct buf text;
    struct json_out o;
    json_t *tree;
    struct alert_print pa = alert_print_of(&a), pb;

    buf_init(&text, 0);
    o = json_out_to(&text);
    alert_labels_write(&o, NULL, &a);
    cr_assert(!json_parse(&tree, buf_slice(&text), JSON_DEPTH_MAX, &why), "%s", why.text);
    cr_assert(!alert_labels_read(&b, tree, &arena, &why), "%s", why.text);
    json_decref(tree);
    pb = alert_print_of(&b);
    cr_assert_eq(memcmp(&pa, &pb, sizeof pa), 0);
    buf_release(&text);
    arena_release(&arena);
}

/* ---- states ---- */

static const struct alert_times times = { .hold_us = 60 * SECOND_US, .keep_us = 300 * SECOND_US };

Test(alert, fires_once_it_has_been_true_for_long_enough)
{
    struct alert_condition yes = condition(true, ALERT_WARNING);
    struct alert a = alert_begin(&yes, &times, 1000 * SECOND_US);

    cr_assert_eq(a.state, ALERT_PENDING);
    cr_assert(alert_step(&a, &yes, &times, 1059 * SECOND_US));
    cr_assert_eq(a.state, ALERT_PENDING);
    cr_assert(alert_step(&a, &yes, &times, 1060 * SECOND_US));
    cr_assert_eq(a.state, ALERT_FIRING);
    cr_assert_eq(a.since_us, 1000 * SECOND_US);
    cr_assert_eq(a.fired_us, 1060 * SECOND_US);
}

Test(alert, what_passes_by_itself_is_forgotten)
{
    struct alert_condition yes = condition(true, ALERT_WARNING), no = condition(false, ALERT_WARNING);
    struct alert a = alert_begin(&yes, &times, 0);

    cr_assert_not(alert_step(&a, &no, &times, 59 * SECOND_US));
}

Test(alert, what_comes_and_goes_is_one_alert)
{
    struct alert_condition yes = condition(true, ALERT_WARNING);
    struct alert a = alert_begin(&yes, &(struct alert_times){ .keep_us = times.keep_us }, 0);
    int64_t now_us = 0;

    cr_assert_eq(a.state, ALERT_FIRING, "at once: nothing is to be held");
    for (int i = 0; i < 50; i++) {
        now_us += 200 * SECOND_US;
        cr_assert(alert_step(&a, i % 2 ? &yes : NULL, &times, now_us));
        cr_assert_eq(a.state, i % 2 || i < 2 ? ALERT_FIRING : a.state);
    }
    cr_assert_neq(a.state, ALERT_PENDING);
}

Test(alert, is_over_when_nobody_says_anything_of_it_any_more)
{
    struct alert_condition yes = condition(true, ALERT_WARNING);
    struct alert a = alert_begin(&yes, &(struct alert_times){ .keep_us = times.keep_us }, 0);

    cr_assert(alert_step(&a, NULL, &times, 299 * SECOND_US));
    cr_assert_eq(a.state, ALERT_FIRING);
    cr_assert(alert_step(&a, NULL, &times, 300 * SECOND_US));
    cr_assert_eq(a.state, ALERT_RESOLVED);
    cr_assert_eq(a.resolved_us, 300 * SECOND_US);
    cr_assert(alert_step(&a, &yes, &times, 301 * SECOND_US));
    cr_assert_eq(a.state, ALERT_RESOLVED, "what comes back is another one");
}

Test(alert, a_clock_that_goes_back_makes_nothing_early)
{
    struct alert_condition yes = condition(true, ALERT_WARNING);
    struct alert a = alert_begin(&yes, &times, 1000 * SECOND_US);

    cr_assert(alert_step(&a, &yes, &times, 500 * SECOND_US));
    cr_assert(alert_step(&a, &yes, &times, 559 * SECOND_US));
    cr_assert_eq(a.state, ALERT_PENDING);
    cr_assert(alert_step(&a, &yes, &times, 560 * SECOND_US));
    cr_assert_eq(a.state, ALERT_FIRING);
    cr_assert(alert_step(&a, NULL, &times, 100 * SECOND_US));
    cr_assert_eq(a.state, ALERT_FIRING);
    cr_assert(alert_step(&a, NULL, &times, 400 * SECOND_US));
    cr_assert_eq(a.state, ALERT_RESOLVED);
}

Test(alert, a_long_text_is_cut_between_two_characters)
{
    char text[ALERT_TEXT_MAX + 8];
    struct alert_condition yes = condition(true, ALERT_INFO);
    struct alert a;

    memset(text, 'x', sizeof text);
    memcpy(text + ALERT_TEXT_MAX - 1, "\xc3\xa4", 2);
    yes.text = slice_of(text, sizeof text);
    a = alert_begin(&yes, &times, 0);
    cr_assert_eq(a.text.len, ALERT_TEXT_MAX - 1);
    cr_assert(slice_is_utf8(a.text));
}

/* The whole past at once, by the definition: what the steps must come to, look by look. */
static enum alert_state by_definition(const bool *was_true, const int64_t *at_us, size_t looks,
                                      const struct alert_times *t, bool *exists)
{
    size_t begin = looks;
    bool fires = false;
    int64_t last_true = 0;

    *exists = false;
    for (size_t i = 0; i < looks; i++) {
        if (!*exists && was_true[i]) {
            *exists = true;
            begin = i;
        }
        if (!*exists)
            continue;
        if (was_true[i])
            last_true = at_us[i];
        if (!fires && !was_true[i])
            *exists = false;
        else if (!fires && at_us[i] - at_us[begin] >= t->hold_us)
            fires = true;
        else if (fires && !was_true[i] && at_us[i] - last_true >= t->keep_us)
            return ALERT_RESOLVED;
    }
    return fires ? ALERT_FIRING : ALERT_PENDING;
}

Test(alert, any_past_leads_where_the_definition_says)
{
    enum { LOOKS = 60 };
    bool was_true[LOOKS];
    int64_t at_us[LOOKS];

    srand(7);
    for (int round = 0; round < 3000; round++) {
        struct alert_times t = { .hold_us = rand() % 30, .keep_us = rand() % 30 };
        int odds = 1 + rand() % 9;
        struct alert a = { 0 };
        bool exists = false;

        for (size_t i = 0; i < LOOKS; i++) {
            bool wanted;
            enum alert_state state;
            struct alert_condition c = condition(true, ALERT_WARNING);

            was_true[i] = rand() % 10 < odds;
            at_us[i] = (i ? at_us[i - 1] : 0) + rand() % 12;
            c.is_true = was_true[i];
            state = by_definition(was_true, at_us, i + 1, &t, &wanted);
            if (exists)
                exists = alert_step(&a, &c, &t, at_us[i]);
            else if (was_true[i]) {
                a = alert_begin(&c, &t, at_us[i]);
                exists = true;
            }
            cr_assert_eq(exists, wanted, "round %d, look %zu", round, i);
            cr_assert(!exists || a.state == state, "round %d, look %zu: %s, not %s", round, i,
                      alert_state_name(a.state), alert_state_name(state));
            if (exists && a.state == ALERT_RESOLVED)
                break;
        }
    }
}

Test(alert, the_manual_says_what_to_do_about_what_it_knows)
{
    cr_assert(slice_eq_str(alert_runbook(SLICE("Drift")), "docs/operations.md#featuredrifted"));
    cr_assert_eq(alert_runbook(SLICE("Nonsense")).len, 0);
}
