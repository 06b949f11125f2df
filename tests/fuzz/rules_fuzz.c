/* SPDX-License-Identifier: Apache-2.0
 * rules_fuzz.c - a rule set as a person wrote it, YAML or JSON: refused in words, or compiled, and decides.
 * Its velocities make a plan that reads back the same.
 * What follows a line "---" is a list's entries, one a line. */
#include <stdlib.h>
#include <string.h>

#include "../../services/cli/yaml_json.h"
#include "featurestore/plan.h"
#include "policystore/document.h"
#include "velocity/velocity.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void decide(const struct policy *policy, struct arena *arena)
{
    static const float vector[VELOCITIES_MAX] = { 1.5F, 0.0F };
    struct policy_columns *columns = NULL;
    struct plan *plan = NULL, *again = NULL;
    struct why why;
    struct txn txn = { .account = 1, .id = SLICE("t"), .known_at_us = INT64_C(1700000000000000) };
    struct policy_verdict verdict;
    struct policy_input in = { .txn = &txn,
                               .now_us = txn.known_at_us,
                               .vector = vector,
                               .vector_count = VELOCITIES_MAX,
                               .has_score = true,
                               .score = 0.7,
                               .thresholds = { 0.5, 0.6, 0.8 } };

    for (int i = 0; i < TXN_TEXT_COUNT; i++)
        txn.text[i] = SLICE("10.0.0.1");
    if (velocities_plan(&plan, policy_velocities(policy), &why) == ERR_OK) {
        if (plan_parse(&again, plan_text(plan), &why) ||
            memcmp(plan_hash(plan), plan_hash(again), SHA256_BYTES) != 0)
            abort();
        in.columns = columns = policy_bind_plan(policy, plan);
    }
    policy_decide(policy, &in, arena, &verdict);
    if ((unsigned)verdict.action >= ACTION_COUNT || verdict.reason_count > POLICY_REASONS_MAX)
        abort();
    policy_columns_free(columns);
    plan_free(again);
    plan_free(plan);
}

/* Each entry that is taken is found again, as the same one. */
static void fill(struct list *list, struct slice lines)
{
    while (lines.len) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        struct slice line = slice_of(lines.ptr, end ? (size_t)(end - lines.ptr) : lines.len);
        size_t before = list_count(list);
        struct why why = { 0 };

        if (list_add(list, line, LIST_NO_EXPIRY, &why) != ERR_OK) {
            if (!why.text[0] || list_count(list) != before)
                abort();
        } else if (list_field(list) != TXN_ip && !list_has(list, line, 0)) {
            abort();
        } else if (list_field(list) == TXN_ip) {
            (void)list_has(list, line, 0); /* a network is no address */
        }
        lines = slice_of(lines.ptr + line.len + (end ? 1 : 0), lines.len - line.len - (end ? 1 : 0));
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char mark[] = "\n---\n";
    const char *cut = size ? memmem(data, size, mark, sizeof mark - 1) : NULL;
    struct slice text = slice_of(data, cut ? (size_t)(cut - (const char *)data) : size);
    struct arena arena = { 0 };
    struct policy *policy = policy_new();
    struct document document;
    struct why why = { 0 };
    struct buf json;

    if (cut) {
        struct slice entries = slice_of(cut + sizeof mark - 1, size - text.len - (sizeof mark - 1));

        for (int ip = 0; ip < 2; ip++) {
            struct list *list = list_new(0, SLICE("l"), LIST_DENY, ip ? TXN_ip : TXN_customer_id);

            fill(list, entries);
            policy_add_list(policy, list);
            list_unref(list);
        }
    }
    buf_init(&json, DOCUMENT_TEXT_MAX);
    if (yaml_to_json(&json, text, &why) == ERR_OK) {
        why.text[0] = '\0';
        if (document_read(&document, buf_slice(&json), &arena, &why) == ERR_OK) {
            why.text[0] = '\0';
            document.set.version = SLICE("1");
            if (policy_add_ruleset(policy, &document.set, &why) && !why.text[0])
                abort();
        } else if (!why.text[0]) {
            abort();
        }
    } else if (!why.text[0]) {
        abort();
    }
    decide(policy, &arena);
    buf_release(&json);
    policy_free(policy);
    arena_release(&arena);
    return 0;
}
