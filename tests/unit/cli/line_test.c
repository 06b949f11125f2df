/* SPDX-License-Identifier: Apache-2.0
 * line_test.c - cutting a line of a stream apart, and adding up what came of it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "../../../services/cli/line.h"
#include "../../../services/cli/tally.h"
#include "base/array.h"

static struct buf body;
static struct line item;
static struct why why;

static void teardown(void)
{
    buf_release(&body);
}

TestSuite(line, .fini = teardown);

static enum err read_line(const char *line)
{
    buf_clear(&body);
    return line_read(&item, slice_str(line), &body, &why);
}

Test(line, gives_the_body_of_a_transaction_without_its_type)
{
    cr_assert_eq(read_line("{\"type\":\"transaction\",\"transaction_id\":\"a\\\"b\",\"amount\":-12, \"x\": "
                           "{\"type\":[1,{}]} }"),
                 ERR_OK, "%s", why.text);
    cr_assert_eq(item.kind, LINE_TRANSACTION);
    cr_assert(slice_eq_str(item.id, "a\\\"b"));
    cr_assert_eq(item.amount_minor, -12);
    cr_assert_str_eq(buf_str(&body),
                     "{\"transaction_id\":\"a\\\"b\",\"amount\":-12,\"x\": {\"type\":[1,{}]}}");
}

Test(line, gives_the_body_of_a_label_wherever_its_type_stands)
{
    cr_assert_eq(
        read_line(
            "{\"transaction_id\":\"t\",\"is_fraud\":true,\"source\":\"chargeback\",\"type\":\"label\"}"),
        ERR_OK);
    cr_assert_eq(item.kind, LINE_LABEL);
    cr_assert(item.is_fraud);
    cr_assert_str_eq(buf_str(&body),
                     "{\"transaction_id\":\"t\",\"is_fraud\":true,\"source\":\"chargeback\"}");
}

Test(line, refuses_what_is_no_line_of_a_stream)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{",
        "{\"type\":\"transaction\"}",
        "{\"type\":\"transaction\",\"transaction_id\":\"a\"",
        "{\"type\":\"other\",\"transaction_id\":\"a\"}",
        "{\"transaction_id\":\"a\"}",
        "{\"type\":\"transaction\" \"transaction_id\":\"a\"}",
        "{\"type\":\"transaction\",\"transaction_id\":\"a\",}",
        "{\"type\":\"transaction\",\"transaction_id\":\"a",
        "{\"type\":\"transaction\",\"transaction_id\":7}",
        "{\"type\":\"transaction\",\"transaction_id\":\"a\",\"amount\":1.5}",
        "{\"type\":,\"transaction_id\":\"a\"}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(read_line(bad[i]), ERR_SYNTAX, "%s", bad[i]);
}

Test(line, steps_through_the_elements_of_a_list)
{
    struct slice list = SLICE(" [ {\"a\":[1,2]} , \"x,]\" ,3]"), value;
    static const char *const wanted[] = { "{\"a\":[1,2]}", "\"x,]\"", "3" };
    bool is_broken;
    size_t at = 0, n = 0;

    for (; line_next_element(list, &at, &value, &is_broken); n++)
        cr_assert(slice_eq_str(value, wanted[n]));
    cr_assert_eq(n, ARRAY_LEN(wanted));
    cr_assert_not(is_broken);
    at = 0;
    cr_assert_not(line_next_element(SLICE("[]"), &at, &value, &is_broken));
    cr_assert_not(is_broken);
}

Test(tally, joins_decisions_and_labels_whichever_comes_first)
{
    struct tally t = { 0 };
    struct tally_figures f;
    char id[16];

    tally_label(&t, SLICE("early"), true);
    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "t%d", i);
        tally_decision(&t, slice_str(id), 100, ACTION_APPROVE, 0.1, false);
        tally_latency(&t, i);
    }
    tally_decision(&t, SLICE("early"), 700, ACTION_DECLINE, 0.9, true);
    tally_decision(&t, SLICE("unscored"), 50, ACTION_REVIEW, NAN, true);
    tally_label(&t, SLICE("t7"), true);
    tally_label(&t, SLICE("t8"), true);
    tally_label(&t, SLICE("t8"), false);
    tally_label(&t, SLICE("never seen"), true);
    tally_figures(&t, &f);
    cr_assert_eq(f.frauds, 2);
    cr_assert_eq(f.scored, 5001);
    cr_assert_eq(f.cells[ACTION_DECLINE][1].amount_minor, 700);
    cr_assert_eq(f.cells[ACTION_APPROVE][1].count, 1);
    cr_assert_eq(f.cells[ACTION_APPROVE][0].count, 4999);
    cr_assert_eq(f.cells[ACTION_REVIEW][0].count, 1);
    cr_assert_eq(t.degraded, 2);
    cr_assert_float_eq(f.auc_roc, 0.75, 1e-9);
    cr_assert_float_eq(f.latency_us.p50, 2499.5, 1e-9);
    tally_release(&t);
}
