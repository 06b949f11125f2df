/* SPDX-License-Identifier: Apache-2.0
 * answer.c - see answer.h. */
#include "policystore/answer.h"

#include "proto/txn_proto.h"

static_assert((int)POLICY_BY_LIST == (int)ASSAY__V1__DECIDED_BY__BY_LIST &&
                  (int)POLICY_BY_RULE == (int)ASSAY__V1__DECIDED_BY__BY_RULE &&
                  (int)POLICY_BY_THRESHOLD == (int)ASSAY__V1__DECIDED_BY__BY_THRESHOLD &&
                  (int)POLICY_BY_MISSING == (int)ASSAY__V1__DECIDED_BY__BY_MISSING,
              "the message has the kernel's numbers");

/* protobuf-c wants NUL-terminated strings. */
static char *text(struct slice s, struct arena *arena)
{
    return arena_strndup(arena, s.ptr, s.len);
}

static struct policy_thresholds thresholds_of(const Assay__V1__Thresholds *message)
{
    if (!message)
        return (struct policy_thresholds){ 2, 2, 2 };
    return (struct policy_thresholds){ message->challenge, message->review, message->decline };
}

/* float32, little-endian on the wire; the machines that this runs on are, too, but a bytes field need not be
 * aligned. */
static const float *vector_of(const ProtobufCBinaryData *bytes, struct arena *arena, size_t *count)
{
    float *vector;

    *count = bytes->len / sizeof *vector;
    if (*count == 0)
        return NULL;
    vector = arena_new(arena, float, *count);
    memcpy(vector, bytes->data, *count * sizeof *vector);
    return vector;
}

static void put_reasons(Assay__V1__DecideResponse__Item *out, const struct policy_verdict *verdict,
                        struct arena *arena)
{
    out->n_reasons = verdict->reason_count;
    out->reasons = arena_new(arena, Assay__V1__Reason *, verdict->reason_count + 1);
    for (size_t i = 0; i < verdict->reason_count; i++) {
        const struct policy_reason *r = &verdict->reasons[i];
        Assay__V1__Reason *message = arena_new(arena, Assay__V1__Reason, 1);

        assay__v1__reason__init(message);
        message->code = text(r->code, arena);
        message->text = text(r->text, arena);
        message->detail = text(r->detail, arena);
        message->is_public = r->is_public;
        out->reasons[i] = message;
    }
}

static Assay__V1__FiredRule **rules_of(const struct policy_fired *fired, size_t count, struct arena *arena)
{
    Assay__V1__FiredRule **rules = arena_new(arena, Assay__V1__FiredRule *, count + 1);

    for (size_t i = 0; i < count; i++) {
        const struct policy_rule *rule = fired[i].rule;
        Assay__V1__FiredRule *message = arena_new(arena, Assay__V1__FiredRule, 1);

        assay__v1__fired_rule__init(message);
        message->id = text(rule->id, arena);
        message->name = text(rule->name, arena);
        message->action = (Assay__V1__Action)rule->action;
        message->expression = text(rule->expression, arena);
        message->values = text(fired[i].values, arena);
        message->tag = text(rule->tag, arena);
        message->is_shadow = rule->is_shadow;
        rules[i] = message;
    }
    return rules;
}

/* A few are told: a set in which more rules err has one fault, not many. */
static Assay__V1__RuleError **errors_of(const struct policy_verdict *verdict, size_t *count,
                                        struct arena *arena)
{
    size_t told = verdict->erred_count < ANSWER_ERRORS_MAX ? verdict->erred_count : ANSWER_ERRORS_MAX;
    Assay__V1__RuleError **errors = arena_new(arena, Assay__V1__RuleError *, told + 1);

    for (size_t i = 0; i < told; i++) {
        Assay__V1__RuleError *message = arena_new(arena, Assay__V1__RuleError, 1);

        assay__v1__rule_error__init(message);
        message->id = text(verdict->erred[i].rule->id, arena);
        message->what = text(slice_str(verdict->erred[i].what), arena);
        errors[i] = message;
    }
    *count = told;
    return errors;
}

static Assay__V1__ShadowOutcome *shadow_of(const struct policy_verdict *verdict, struct arena *arena)
{
    Assay__V1__ShadowOutcome *out = arena_new(arena, Assay__V1__ShadowOutcome, 1);

    assay__v1__shadow_outcome__init(out);
    out->ruleset_version = text(verdict->version, arena);
    out->action = (Assay__V1__Action)verdict->action;
    out->decided_by = (Assay__V1__DecidedBy)verdict->decider;
    out->n_rules = verdict->fired_count;
    out->rules = rules_of(verdict->fired, verdict->fired_count, arena);
    out->n_noted = verdict->noted_count;
    out->noted = rules_of(verdict->noted, verdict->noted_count, arena);
    out->errors = errors_of(verdict, &out->n_errors, arena);
    return out;
}

static Assay__V1__DecideResponse__Item *decide_item(const struct policy *policy,
                                                    const struct policy_columns *columns,
                                                    const Assay__V1__DecideRequest__Item *item,
                                                    struct arena *arena)
{
    static const Assay__V1__Transaction nothing = ASSAY__V1__TRANSACTION__INIT;
    Assay__V1__DecideResponse__Item *out = arena_new(arena, Assay__V1__DecideResponse__Item, 1);
    struct slice *degraded = arena_new(arena, struct slice, item->n_degraded + 1);
    const Assay__V1__Transaction *transaction = item->transaction ? item->transaction : &nothing;
    struct policy_verdict verdict;
    struct policy_input in;
    struct txn txn;

    assay__v1__decide_response__item__init(out);
    if (txn_from_proto(&txn, transaction, arena, NULL)) {
        Assay__V1__Transaction bare = *transaction;

        bare.n_attributes = 0;
        if (txn_from_proto(&txn, &bare, arena, NULL))
            txn = (struct txn){ 0 };
    }
    for (size_t i = 0; i < item->n_degraded; i++)
        degraded[i] = slice_str(item->degraded[i]);
    in = (struct policy_input){
        .txn = &txn,
        .now_us = txn.known_at_us,
        .columns = columns,
        .has_score = item->has_score,
        .score = item->score,
        .thresholds = thresholds_of(item->thresholds),
        .degraded = degraded,
        .degraded_count = item->n_degraded,
    };
    in.vector = vector_of(&item->vector, arena, &in.vector_count);
    policy_decide(policy, &in, arena, &verdict);

    out->action = (Assay__V1__Action)verdict.action;
    out->decided_by = (Assay__V1__DecidedBy)verdict.decider;
    out->score_action = (Assay__V1__Action)verdict.score_action;
    out->ruleset_version = text(verdict.version, arena);
    if (verdict.has_own_thresholds) {
        out->own_thresholds = arena_new(arena, Assay__V1__Thresholds, 1);
        assay__v1__thresholds__init(out->own_thresholds);
        out->own_thresholds->challenge = verdict.thresholds.challenge;
        out->own_thresholds->review = verdict.thresholds.review;
        out->own_thresholds->decline = verdict.thresholds.decline;
    }
    put_reasons(out, &verdict, arena);
    out->n_rules = verdict.fired_count;
    out->rules = rules_of(verdict.fired, verdict.fired_count, arena);
    out->n_noted = verdict.noted_count;
    out->noted = rules_of(verdict.noted, verdict.noted_count, arena);
    out->errors = errors_of(&verdict, &out->n_errors, arena);
    if (verdict.shadow)
        out->shadow = shadow_of(verdict.shadow, arena);
    return out;
}

Assay__V1__DecideResponse *answer_decide(const struct policy *policy, const struct policy_columns *columns,
                                         const Assay__V1__DecideRequest *request, struct arena *arena)
{
    Assay__V1__DecideResponse *response = arena_new(arena, Assay__V1__DecideResponse, 1);

    assay__v1__decide_response__init(response);
    response->ruleset_version = text(policy_version(policy, 0), arena);
    response->n_items = request->n_items;
    response->items = arena_new(arena, Assay__V1__DecideResponse__Item *, request->n_items + 1);
    for (size_t i = 0; i < request->n_items; i++)
        response->items[i] = decide_item(policy, columns, request->items[i], arena);
    return response;
}
