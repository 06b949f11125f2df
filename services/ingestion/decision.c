/* SPDX-License-Identifier: Apache-2.0 */
#include "decision.h"

#include "base/array.h"
#include "policy/policy.h"
#include "proto/txn_proto.h"

static void write_reason(struct json_out *o, const struct policy_reason *r, bool explains)
{
    json_out_open(o, NULL);
    json_out_text(o, "code", r->code);
    json_out_text(o, "text", r->text);
    if (explains) {
        json_out_text(o, "detail", r->detail);
        json_out_bool(o, "public", r->is_public);
    }
    json_out_end(o);
}

static bool is_of_feature(const Assay__V1__Reason *r)
{
    return slice_starts_with(slice_str(r->code), SLICE("feature:"));
}

/* What moved the score, behind what decided. */
static void write_feature_reasons(struct json_out *o, const struct decision *d)
{
    const Assay__V1__DecisionRecord *record = &d->record;
    size_t shown = record->n_reasons;
    struct arena words = { 0 };

    for (size_t i = 0; i < record->n_contributions && shown < POLICY_REASONS_MAX; i++) {
        const Assay__V1__Contribution *m = record->contributions[i];
        struct policy_contribution c = { slice_str(m->feature), slice_str(m->describe), m->value, m->margin };
        struct policy_reason reason;

        if (!policy_contribution_is_reason(&c, d->action))
            continue;
        reason = policy_contribution_reason(&c, &words);
        write_reason(o, &reason, true);
        shown++;
    }
    arena_release(&words);
}

static void write_reasons(struct json_out *o, const struct decision *d, bool explains)
{
    const Assay__V1__DecisionRecord *record = &d->record;
    bool has_features = false; /* as old records do */

    json_out_list(o, "reasons");
    for (size_t i = 0; i < record->n_reasons; i++) {
        const Assay__V1__Reason *r = record->reasons[i];

        has_features |= is_of_feature(r);
        if (explains || r->is_public)
            write_reason(o,
                         &(struct policy_reason){ slice_str(r->code), slice_str(r->text),
                                                  slice_str(r->detail), r->is_public },
                         explains);
    }
    if (explains && !has_features)
        write_feature_reasons(o, d);
    json_out_end(o);
}

static void write_rules(struct json_out *o, const char *key, Assay__V1__FiredRule *const *rules, size_t count,
                        bool explains)
{
    json_out_list(o, key);
    for (size_t i = 0; i < count; i++) {
        const Assay__V1__FiredRule *r = rules[i];

        json_out_open(o, NULL);
        json_out_str(o, "id", r->id);
        json_out_str(o, "action", *r->tag ? "tag" : action_name((enum action)r->action));
        if (*r->tag)
            json_out_str(o, "tag", r->tag);
        if (r->is_shadow)
            json_out_bool(o, "shadow", true);
        if (explains) {
            json_out_str(o, "name", r->name);
            json_out_str(o, "expression", r->expression);
            json_out_str(o, "values", r->values);
        }
        json_out_end(o);
    }
    json_out_end(o);
}

static const char *const deciders[] = {
    [ASSAY__V1__DECIDED_BY__BY_LIST] = "list",
    [ASSAY__V1__DECIDED_BY__BY_RULE] = "rule",
    [ASSAY__V1__DECIDED_BY__BY_THRESHOLD] = "threshold",
    [ASSAY__V1__DECIDED_BY__BY_MISSING] = "missing",
};

static void write_by(struct json_out *o, size_t by)
{
    if (by < ARRAY_LEN(deciders) && deciders[by])
        json_out_str(o, "decided_by", deciders[by]);
    else
        json_out_null(o, "decided_by"); /* a record from before it was kept */
}

/* What came of whom: the payment's action may be another than the score's. */
static void write_decider(struct json_out *o, const struct decision *d)
{
    const Assay__V1__DecisionRecord *record = &d->record;
    size_t by = (size_t)record->decided_by;

    write_by(o, by);
    if (d->has_score && by)
        json_out_str(o, "score_action", action_name((enum action)record->score_action));
    else
        json_out_null(o, "score_action");
    json_out_bool(o, "control_slice", record->is_control);
}

static void write_errors(struct json_out *o, Assay__V1__RuleError *const *errors, size_t count)
{
    json_out_list(o, "rule_errors");
    for (size_t i = 0; i < count; i++) {
        json_out_open(o, NULL);
        json_out_str(o, "id", errors[i]->id);
        json_out_str(o, "error", errors[i]->what);
        json_out_end(o);
    }
    json_out_end(o);
}

/* What the rule set in shadow would have done; null when there was none. */
static void write_shadow(struct json_out *o, const Assay__V1__ShadowOutcome *shadow)
{
    if (!shadow) {
        json_out_null(o, "shadow");
        return;
    }
    json_out_open(o, "shadow");
    json_out_str(o, "ruleset_version", shadow->ruleset_version);
    json_out_str(o, "action", action_name((enum action)shadow->action));
    write_by(o, (size_t)shadow->decided_by);
    write_rules(o, "rules", shadow->rules, shadow->n_rules, true);
    write_rules(o, "noted_rules", shadow->noted, shadow->n_noted, true);
    write_errors(o, shadow->errors, shadow->n_errors);
    json_out_end(o);
}

static void write_explanation(struct json_out *o, const struct decision *d)
{
    const Assay__V1__DecisionRecord *record = &d->record;
    const Assay__V1__Thresholds *held = record->own_thresholds ? record->own_thresholds : record->thresholds;

    write_rules(o, "noted_rules", record->noted, record->n_noted, true);
    write_errors(o, record->errors, record->n_errors);
    write_shadow(o, record->shadow);
    json_out_list(o, "contributions");
    for (size_t i = 0; i < record->n_contributions; i++) {
        const Assay__V1__Contribution *c = record->contributions[i];

        json_out_open(o, NULL);
        json_out_str(o, "feature", c->feature);
        json_out_number(o, "value", c->value);
        json_out_number(o, "margin", c->margin);
        json_out_str(o, "describe", c->describe);
        json_out_end(o);
    }
    json_out_end(o);
    write_decider(o, d);
    if (held) {
        json_out_open(o, "thresholds");
        json_out_number(o, "challenge", held->challenge);
        json_out_number(o, "review", held->review);
        json_out_number(o, "decline", held->decline);
        json_out_end(o);
    }
    if (d->has_score)
        json_out_number(o, "margin", (double)d->margin);
    else
        json_out_null(o, "margin");
    if (d->n)
        json_out_int(o, "log_entry", (int64_t)d->n);
    else
        json_out_null(o, "log_entry");
    if (d->plan.len)
        json_out_hex(o, "plan", d->plan);
}

void decision_write(struct json_out *o, const char *key, struct slice transaction_id,
                    const struct decision *d, bool explains)
{
    const Assay__V1__DecisionRecord *record = &d->record;

    json_out_open(o, key);
    json_out_text(o, "transaction_id", transaction_id);
    json_out_str(o, "action", action_name(d->action));
    if (d->has_score)
        json_out_number(o, "score", d->score);
    else
        json_out_null(o, "score");
    write_reasons(o, d, explains);
    write_rules(o, "rules", record->rules, record->n_rules, explains);
    json_out_text(o, "model_version", d->model_version);
    json_out_text(o, "ruleset_version", d->ruleset_version);
    json_out_text(o, "arm", d->arm);
    json_out_number(o, "p_allow", d->p_allow);
    json_out_list(o, "degraded");
    for (size_t i = 0; i < record->n_degraded; i++)
        json_out_str(o, NULL, record->degraded[i]);
    json_out_end(o);
    json_out_time(o, "known_at", d->known_at_us);
    json_out_time(o, "decided_at", d->decided_at_us);
    if (explains)
        write_explanation(o, d);
    json_out_open(o, "timings_us");
    json_out_int(o, "queue", record->queue_us);
    json_out_int(o, "features", record->features_us);
    json_out_int(o, "scoring", record->scoring_us);
    json_out_int(o, "rules", record->rules_us);
    json_out_end(o);
    json_out_end(o);
}

struct slice decision_record_pack(const struct decision *d, struct arena *arena)
{
    size_t len = assay__v1__decision_record__get_packed_size(&d->record);
    uint8_t *bytes = arena_alloc(arena, len, 1);

    assay__v1__decision_record__pack(&d->record, bytes);
    return slice_of(bytes, len);
}

bool decision_rules_are_known(Assay__V1__FiredRule *const *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((unsigned)rules[i]->action >= ACTION_COUNT)
            return false;
    return true;
}

bool decision_shadow_is_known(const Assay__V1__ShadowOutcome *shadow)
{
    return !shadow || ((unsigned)shadow->action < ACTION_COUNT &&
                       decision_rules_are_known(shadow->rules, shadow->n_rules) &&
                       decision_rules_are_known(shadow->noted, shadow->n_noted));
}

enum err decision_record_unpack(struct decision *d, struct slice bytes, struct arena *arena, struct why *why)
{
    Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(arena), bytes.len, (const uint8_t *)bytes.ptr);

    if (!record)
        return err_set(why, ERR_SYNTAX, "%zu bytes that are not a record of a decision", bytes.len);
    if (!decision_rules_are_known(record->rules, record->n_rules) ||
        !decision_rules_are_known(record->noted, record->n_noted) ||
        !decision_shadow_is_known(record->shadow) || (unsigned)record->score_action >= ACTION_COUNT)
        return err_set(why, ERR_SYNTAX, "a record with an action that has no name");
    d->record = *record;
    return ERR_OK;
}
