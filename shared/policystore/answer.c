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

static void put_rules(Assay__V1__DecideResponse__Item *out, const struct policy_verdict *verdict,
                      struct arena *arena)
{
    out->n_rules = verdict->fired_count;
    out->rules = arena_new(arena, Assay__V1__FiredRule *, verdict->fired_count + 1);
    for (size_t i = 0; i < verdict->fired_count; i++) {
        const struct policy_fired *fired = &verdict->fired[i];
        Assay__V1__FiredRule *message = arena_new(arena, Assay__V1__FiredRule, 1);

        assay__v1__fired_rule__init(message);
        message->id = text(fired->rule->id, arena);
        message->name = text(fired->rule->name, arena);
        message->action = (Assay__V1__Action)fired->rule->action;
        message->expression = text(fired->rule->expression, arena);
        message->values = text(fired->values, arena);
        out->rules[i] = message;
    }
}

static Assay__V1__DecideResponse__Item *decide_item(const struct policy *policy,
                                                    const struct policy_columns *columns,
                                                    const Assay__V1__DecideRequest__Item *item,
                                                    struct arena *arena, size_t *errors)
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
    *errors += verdict.errors;

    out->action = (Assay__V1__Action)verdict.action;
    out->decided_by = (Assay__V1__DecidedBy)verdict.decider;
    out->score_action = (Assay__V1__Action)verdict.score_action;
    out->ruleset_version = text(verdict.version, arena);
    put_reasons(out, &verdict, arena);
    put_rules(out, &verdict, arena);
    return out;
}

Assay__V1__DecideResponse *answer_decide(const struct policy *policy, const struct policy_columns *columns,
                                         const Assay__V1__DecideRequest *request, struct arena *arena,
                                         size_t *errors)
{
    Assay__V1__DecideResponse *response = arena_new(arena, Assay__V1__DecideResponse, 1);

    assay__v1__decide_response__init(response);
    response->ruleset_version = text(policy_version(policy, 0), arena);
    response->n_items = request->n_items;
    response->items = arena_new(arena, Assay__V1__DecideResponse__Item *, request->n_items + 1);
    for (size_t i = 0; i < request->n_items; i++)
        response->items[i] = decide_item(policy, columns, request->items[i], arena, errors);
    return response;
}
