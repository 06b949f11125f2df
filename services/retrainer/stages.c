/* SPDX-License-Identifier: Apache-2.0 */
#include "stages.h"

#include <math.h>
#include <stddef.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json.h"

enum kind { KIND_BOOL, KIND_DOUBLE, KIND_I64, KIND_SIZE, KIND_DAYS, KIND_MS, KIND_UNSURE };

#define AT(field) offsetof(struct stages, field)
static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
    double least, most;
} members[] = {
    { "automatic", KIND_BOOL, AT(steps.is_automatic), 0, 0 },
    { "shadow", KIND_BOOL, AT(steps.has_shadow), 0, 0 },
    { "ab", KIND_BOOL, AT(steps.has_ab), 0, 0 },
    { "promotes_first", KIND_BOOL, AT(steps.promotes_first), 0, 0 },
    { "rolls_back", KIND_BOOL, AT(steps.rolls_back), 0, 0 },
    { "gates_unsure", KIND_UNSURE, AT(steps.gates_unsure), 0, 0 },
    { "shadow_unsure", KIND_UNSURE, AT(steps.shadow_unsure), 0, 0 },
    { "ab_unsure", KIND_UNSURE, AT(steps.ab_unsure), 0, 0 },
    { "watch_days", KIND_DAYS, AT(steps.watch_us), 0, 365 },
    { "label_delay_days", KIND_DOUBLE, AT(label_delay_days), 0, 365 },
    { "look_hours", KIND_DOUBLE, AT(look_hours), 0.01, 720 },
    { "gate_rows", KIND_SIZE, AT(gates.rows_least), 1, 1e9 },
    { "gate_frauds", KIND_SIZE, AT(gates.frauds_least), 1, 1e9 },
    { "gate_average_precision_margin", KIND_DOUBLE, AT(gates.average_precision_margin), 0, 1 },
    { "gate_card_precision_margin", KIND_DOUBLE, AT(gates.card_precision_margin), 0, 1 },
    { "gate_calibration_margin", KIND_DOUBLE, AT(gates.calibration_margin), 0, 10 },
    { "gate_psi", KIND_DOUBLE, AT(gates.psi_most), 0, 100 },
    { "gate_row_ns", KIND_I64, AT(gates.row_ns_most), 0, 1e9 },
    { "shadow_days", KIND_I64, AT(shadow.days_least), 0, 365 },
    { "shadow_days_most", KIND_I64, AT(shadow.days_most), 1, 365 },
    { "shadow_rows", KIND_SIZE, AT(shadow.rows_least), 1, 1e9 },
    { "shadow_frauds", KIND_SIZE, AT(shadow.frauds_least), 1, 1e9 },
    { "shadow_flips", KIND_DOUBLE, AT(shadow.flips_most), 0, 1 },
    { "shadow_psi", KIND_DOUBLE, AT(shadow.psi_most), 0, 100 },
    { "ab_share", KIND_DOUBLE, AT(ab.share), 0, 1 },
    { "ab_days", KIND_DOUBLE, AT(ab_days), 1, 365 },
    { "ab_margin", KIND_DOUBLE, AT(ab.margin), 0, 10 },
    { "guard_approval_rate_drop", KIND_DOUBLE, AT(guardrails.approval_rate_drop), 0, 1 },
    { "guard_review_load_rise", KIND_DOUBLE, AT(guardrails.review_load_rise), 0, 1 },
    { "guard_error_rate_rise", KIND_DOUBLE, AT(guardrails.error_rate_rise), 0, 1 },
    { "guard_slow_ms", KIND_MS, AT(guardrails.slow_us), 1, 60000 },
    { "guard_slow_rate_rise", KIND_DOUBLE, AT(guardrails.slow_rate_rise), 0, 1 },
    { "guard_psi", KIND_DOUBLE, AT(guardrails.psi_most), 0, 100 },
};

static enum err take_number(char *at, size_t member, const json_t *value, struct why *why)
{
    double number = json_number_value(value);
    bool is_whole = members[member].kind == KIND_I64 || members[member].kind == KIND_SIZE;

    if (!json_is_number(value) || !(number >= members[member].least && number <= members[member].most) ||
        (is_whole && number != floor(number)))
        return err_set(why, ERR_INVALID, "%s is %s from %g to %g", members[member].name,
                       is_whole ? "a whole number" : "a number", members[member].least, members[member].most);
    if (members[member].kind == KIND_I64)
        *(int64_t *)(void *)at = (int64_t)number;
    else if (members[member].kind == KIND_SIZE)
        *(size_t *)(void *)at = (size_t)number;
    else if (members[member].kind == KIND_DAYS)
        *(int64_t *)(void *)at = (int64_t)(number * (double)DAY_US);
    else if (members[member].kind == KIND_MS)
        *(int64_t *)(void *)at = (int64_t)(number * (double)MS_US);
    else
        *(double *)(void *)at = number;
    return ERR_OK;
}

static enum err take(struct stages *s, const char *name, const json_t *value, struct why *why)
{
    size_t i = 0;
    char *at;

    while (i < ARRAY_LEN(members) && strcmp(members[i].name, name) != 0)
        i++;
    if (i == ARRAY_LEN(members))
        return err_set(why, ERR_INVALID, "stages have no setting \"%s\"", name);
    at = (char *)s + members[i].offset;
    if (members[i].kind == KIND_BOOL) {
        if (!json_is_boolean(value))
            return err_set(why, ERR_INVALID, "%s is true or false", name);
        *(bool *)(void *)at = json_is_true(value);
        return ERR_OK;
    }
    if (members[i].kind == KIND_UNSURE) {
        enum when_unsure what = when_unsure_find(json_slice(value));

        if (what == UNSURE_COUNT)
            return err_set(why, ERR_INVALID, "%s is \"wait\", \"go_on\" or \"reject\"", name);
        *(enum when_unsure *)(void *)at = what;
        return ERR_OK;
    }
    return take_number(at, i, value, why);
}

enum err stages_read(struct stages *out, const char *json, struct why *why)
{
    json_t *tree = NULL, *value;
    const char *name;
    enum err err = json_parse(&tree, slice_str(*json ? json : "{}"), JSON_DEPTH_MAX, why);

    *out = (struct stages){
        .steps = LIFECYCLE_SETTINGS_DEFAULT,
        .gates = GATE_SETTINGS_DEFAULT,
        .shadow = SHADOW_SETTINGS_DEFAULT,
        .ab = AB_DESIGN_DEFAULT,
        .guardrails = GUARDRAIL_SETTINGS_DEFAULT,
        .ab_days = 14,
        .label_delay_days = 7,
        .look_hours = 24,
    };
    if (!err && !json_is_object(tree))
        err = err_set(why, ERR_SYNTAX, "stages are a JSON object");
    json_object_foreach(tree, name, value)
    {
        if (!err)
            err = take(out, name, value, why);
    }
    json_decref(tree);
    return err ? err_wrap(why, err, "ASSAY_RETRAINER_STAGES") : ERR_OK;
}
