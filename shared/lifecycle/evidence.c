/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/evidence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

const struct loss_costs LOSS_COSTS_DEFAULT = {
    .decline_cost = 0.5,
    .review_minor = 200,
    .challenge_cost = 0.05,
};

double decision_loss(const struct loss_costs *costs, enum action action, bool is_fraud, int64_t amount_minor)
{
    double amount = (double)amount_minor;
    const struct {
        double of_fraud, of_good;
    } loss[ACTION_COUNT] = {
        [ACTION_APPROVE] = { amount, 0 },
        [ACTION_CHALLENGE] = { 0, costs->challenge_cost * amount },
        [ACTION_REVIEW] = { costs->review_minor, costs->review_minor },
        [ACTION_DECLINE] = { 0, costs->decline_cost * amount },
    };

    return is_fraud ? loss[action].of_fraud : loss[action].of_good;
}

static const char *const outcome_names[] = {
    [OUTCOME_PASS] = "pass",
    [OUTCOME_INCONCLUSIVE] = "inconclusive",
    [OUTCOME_FAIL] = "fail",
};
static_assert(ARRAY_LEN(outcome_names) == OUTCOME_COUNT, "every outcome has a name");

const char *outcome_name(enum outcome outcome)
{
    return outcome_names[outcome];
}

static const char *const stage_names[] = {
    [STAGE_VALIDATION] = "validation",
    [STAGE_SHADOW] = "shadow",
    [STAGE_AB] = "ab",
    [STAGE_GUARDRAIL] = "guardrail",
};
static_assert(ARRAY_LEN(stage_names) == STAGE_COUNT, "every stage has a name");

const char *stage_name(enum stage stage)
{
    return stage_names[stage];
}

void verdicts_release(struct verdicts *v)
{
    mem_free(v->items);
    arena_release(&v->arena);
    *v = (struct verdicts){ 0 };
}

void verdicts_add(struct verdicts *v, enum stage stage, const char *gate, enum outcome outcome,
                  const struct buf *evidence, const char *reason, ...)
{
    struct slice json = evidence && evidence->len ? buf_slice(evidence) : SLICE("{}");
    char text[512];
    va_list args;

    va_start(args, reason);
    vsnprintf(text, sizeof text, reason, args);
    va_end(args);
    ARRAY_RESERVE_ONE(v->items, v->count, v->cap);
    v->items[v->count++] = (struct verdict){
        .stage = stage,
        .gate = gate,
        .outcome = outcome,
        .reason = arena_slice(&v->arena, slice_str(text)),
        .evidence = arena_slice(&v->arena, json),
    };
}

enum outcome verdicts_outcome(const struct verdicts *v, size_t from)
{
    enum outcome worst = OUTCOME_PASS;

    for (size_t i = from; i < v->count; i++)
        if (v->items[i].outcome > worst)
            worst = v->items[i].outcome;
    return worst;
}

const struct verdict *verdicts_find(const struct verdicts *v, const char *gate)
{
    for (size_t i = v->count; i-- > 0;)
        if (strcmp(v->items[i].gate, gate) == 0)
            return &v->items[i];
    return NULL;
}
