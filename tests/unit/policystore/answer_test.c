/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/answer.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"

static struct arena arena;
static struct policy *policy;

static void setup(void)
{
    policy = policy_new();
}

static void teardown(void)
{
    policy_free(policy);
    arena_release(&arena);
}

TestSuite(answer, .init = setup, .fini = teardown);

static void publish(uint32_t account, const char *version, const char *when, enum action action)
{
    struct policy_rule rule = { .id = SLICE("r"),
                                .name = SLICE("R"),
                                .expression = slice_str(when),
                                .action = action,
                                .is_enabled = true };
    struct ruleset set = { .account = account, .version = slice_str(version), .rules = &rule, .count = 1 };
    struct why why;

    cr_assert_eq(policy_add_ruleset(policy, &set, &why), ERR_OK, "%s", why.text);
}

Test(answer, decides_each_item_in_order_by_its_own_account)
{
    Assay__V1__Transaction mine = ASSAY__V1__TRANSACTION__INIT, yours = ASSAY__V1__TRANSACTION__INIT;
    Assay__V1__DecideRequest__Item first = ASSAY__V1__DECIDE_REQUEST__ITEM__INIT, second = first,
                                   third = first;
    Assay__V1__DecideRequest__Item *items[] = { &first, &second, &third };
    Assay__V1__DecideRequest request = ASSAY__V1__DECIDE_REQUEST__INIT;
    const Assay__V1__DecideResponse *response;

    publish(0, "3", "tx.amount > 10", ACTION_REVIEW);
    publish(7, "4", "tx.amount > 10", ACTION_DECLINE);
    mine.account = 7;
    mine.amount_base_minor = yours.amount_base_minor = 11;
    first.transaction = &mine;
    second.transaction = &yours;
    request.items = items;
    request.n_items = 3; /* the third has no transaction at all */
    response = answer_decide(policy, NULL, &request, &arena);
    cr_assert_eq(response->n_items, 3);
    cr_assert_str_eq(response->ruleset_version, "3");
    cr_assert_eq((int)response->items[0]->action, ACTION_DECLINE);
    cr_assert_str_eq(response->items[0]->ruleset_version, "4");
    cr_assert_eq((int)response->items[1]->action, ACTION_REVIEW);
    cr_assert_str_eq(response->items[1]->ruleset_version, "3");
    cr_assert_eq((int)response->items[2]->action, ACTION_APPROVE);
    cr_assert_str_eq(response->items[1]->rules[0]->values, "tx.amount=11");
}

Test(answer, passes_vectors_scores_and_thresholds_on)
{
    static const struct slice names[] = { { "a", 1 }, { "b", 1 } };
    const float vector[] = { NAN, 2.5f };
    Assay__V1__Transaction transaction = ASSAY__V1__TRANSACTION__INIT;
    Assay__V1__Thresholds thresholds = ASSAY__V1__THRESHOLDS__INIT;
    Assay__V1__DecideRequest__Item item = ASSAY__V1__DECIDE_REQUEST__ITEM__INIT, *items[] = { &item };
    Assay__V1__DecideRequest request = ASSAY__V1__DECIDE_REQUEST__INIT;
    const Assay__V1__DecideResponse__Item *decided;
    struct policy_columns *columns;
    char *degraded[] = { "features" };

    publish(0, "1", "b > 2 && !has(a) && score > 0.5", ACTION_CHALLENGE);
    columns = policy_bind(policy, names, ARRAY_LEN(names));
    thresholds.challenge = thresholds.review = thresholds.decline = 0.9;
    item.transaction = &transaction;
    item.vector = (ProtobufCBinaryData){ sizeof vector, (uint8_t *)(uintptr_t)vector };
    item.has_score = true;
    item.score = 0.8;
    item.thresholds = &thresholds;
    item.degraded = degraded;
    item.n_degraded = 1;
    request.items = items;
    request.n_items = 1;
    decided = answer_decide(policy, columns, &request, &arena)->items[0];
    cr_assert_eq((int)decided->action, ACTION_CHALLENGE);
    cr_assert_str_eq(decided->rules[0]->values, "b=2.5 a=none score=0.8");
    cr_assert_eq(decided->n_reasons, 2);
    cr_assert_str_eq(decided->reasons[1]->code, "degraded:features");

    item.vector.len = 7; /* not even two floats */
    decided = answer_decide(policy, columns, &request, &arena)->items[0];
    cr_assert_eq((int)decided->action, ACTION_APPROVE);
    policy_columns_free(columns);
}
