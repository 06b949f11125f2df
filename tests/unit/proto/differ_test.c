/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "proto/assay.pb-c.h"
#include "proto/differ.h"

static struct buf told;

static void setup(void)
{
    buf_init(&told, 0);
}

static void teardown(void)
{
    buf_release(&told);
}

TestSuite(differ, .init = setup, .fini = teardown, .timeout = 120);

static void on_difference(void *context, struct slice field, struct slice a, struct slice b)
{
    (void)context;
    buf_printf(&told, "%.*s: %.*s | %.*s\n", SLICE_ARG(field), SLICE_ARG(a), SLICE_ARG(b));
}

static const char *between(const Assay__V1__DecisionRecord *a, const Assay__V1__DecisionRecord *b)
{
    buf_clear(&told);
    proto_differ(&a->base, &b->base, on_difference, NULL);
    return buf_str(&told);
}

Test(differ, fields_of_all_kinds_are_told_with_their_way_and_both_values)
{
    Assay__V1__DecisionRecord a = ASSAY__V1__DECISION_RECORD__INIT, b = a;
    Assay__V1__FiredRule one = ASSAY__V1__FIRED_RULE__INIT, other = one, more = one;
    Assay__V1__FiredRule *of_a[] = { &one }, *of_b[] = { &other, &more };
    Assay__V1__Thresholds t = ASSAY__V1__THRESHOLDS__INIT;

    cr_assert_str_eq(between(&a, &a), "");
    one.id = (char *)"large";
    other.id = (char *)"large";
    other.values = (char *)"tx.amount=2";
    other.action = ASSAY__V1__ACTION__DECLINE;
    more.id = (char *)"second";
    a.rules = of_a;
    a.n_rules = 1;
    b.rules = of_b;
    b.n_rules = 2;
    b.thresholds = &t;
    b.features_us = 7;
    b.is_control = true;
    cr_assert_str_eq(between(&a, &b), "rules[0].action: APPROVE | DECLINE\n"
                                      "rules[0].values:  | tx.amount=2\n"
                                      "rules[1]: (none) | second\n"
                                      "thresholds: (none) | (there)\n"
                                      "features_us: 0 | 7\n"
                                      "is_control: false | true\n");
}

Test(differ, numbers_are_the_same_when_their_bits_are)
{
    Assay__V1__DecisionRecord a = ASSAY__V1__DECISION_RECORD__INIT, b = a;
    Assay__V1__Thresholds x = ASSAY__V1__THRESHOLDS__INIT, y = x;
    uint64_t bits = UINT64_C(0x7ff8000000000001);

    a.thresholds = &x;
    b.thresholds = &y;
    x.decline = y.decline = NAN;
    y.review = -0.0;
    cr_assert_str_eq(between(&a, &b), "thresholds.review: 0 | -0\n");
    y.review = 0;
    x.decline = NAN;
    memcpy(&y.decline, &bits, sizeof bits);
    cr_assert_str_eq(between(&a, &b),
                     "thresholds.decline: nan (bits 7ff8000000000000) | nan (bits 7ff8000000000001)\n");
}
