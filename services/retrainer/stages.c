/* SPDX-License-Identifier: Apache-2.0 */
#include "stages.h"

#include <stddef.h>
#include <string.h>

#include "base/array.h"
#include "json/json.h"
#include "json/settings.h"

#define AT(field) offsetof(struct stages, field)
static const struct json_setting members[] = {
    { "automatic", SETTING_BOOL, AT(steps.is_automatic), 0, 0, NULL },
    { "shadow", SETTING_BOOL, AT(steps.has_shadow), 0, 0, NULL },
    { "ab", SETTING_BOOL, AT(steps.has_ab), 0, 0, NULL },
    { "promotes_first", SETTING_BOOL, AT(steps.promotes_first), 0, 0, NULL },
    { "rolls_back", SETTING_BOOL, AT(steps.rolls_back), 0, 0, NULL },
    { "watch_days", SETTING_DAYS, AT(steps.watch_us), 0, 365, NULL },
    { "label_delay_days", SETTING_DOUBLE, AT(label_delay_days), 0, 365, NULL },
    { "look_hours", SETTING_DOUBLE, AT(look_hours), 0.01, 720, NULL },
    { "gate_rows", SETTING_SIZE, AT(gates.rows_least), 1, 1e9, NULL },
    { "gate_frauds", SETTING_SIZE, AT(gates.frauds_least), 1, 1e9, NULL },
    { "gate_average_precision_margin", SETTING_DOUBLE, AT(gates.average_precision_margin), 0, 1, NULL },
    { "gate_card_precision_margin", SETTING_DOUBLE, AT(gates.card_precision_margin), 0, 1, NULL },
    { "gate_calibration_margin", SETTING_DOUBLE, AT(gates.calibration_margin), 0, 10, NULL },
    { "gate_psi", SETTING_DOUBLE, AT(gates.psi_most), 0, 100, NULL },
    { "gate_row_ns", SETTING_I64, AT(gates.row_ns_most), 0, 1e9, NULL },
    { "shadow_days", SETTING_I64, AT(shadow.days_least), 0, 365, NULL },
    { "shadow_days_most", SETTING_I64, AT(shadow.days_most), 1, 365, NULL },
    { "shadow_rows", SETTING_SIZE, AT(shadow.rows_least), 1, 1e9, NULL },
    { "shadow_frauds", SETTING_SIZE, AT(shadow.frauds_least), 1, 1e9, NULL },
    { "shadow_flips", SETTING_DOUBLE, AT(shadow.flips_most), 0, 1, NULL },
    { "shadow_psi", SETTING_DOUBLE, AT(shadow.psi_most), 0, 100, NULL },
    { "ab_share", SETTING_DOUBLE, AT(ab.share), 0, 1, NULL },
    { "ab_days", SETTING_DOUBLE, AT(ab_days), 1, 365, NULL },
    { "ab_margin", SETTING_DOUBLE, AT(ab.margin), 0, 10, NULL },
    { "guard_approval_rate_drop", SETTING_DOUBLE, AT(guardrails.approval_rate_drop), 0, 1, NULL },
    { "guard_review_load_rise", SETTING_DOUBLE, AT(guardrails.review_load_rise), 0, 1, NULL },
    { "guard_error_rate_rise", SETTING_DOUBLE, AT(guardrails.error_rate_rise), 0, 1, NULL },
    { "guard_slow_ms", SETTING_MS, AT(guardrails.slow_us), 1, 60000, NULL },
    { "guard_slow_rate_rise", SETTING_DOUBLE, AT(guardrails.slow_rate_rise), 0, 1, NULL },
    { "guard_psi", SETTING_DOUBLE, AT(guardrails.psi_most), 0, 100, NULL },
};

static const struct {
    const char *name;
    size_t offset;
} unsure_members[] = {
    { "gates_unsure", AT(steps.gates_unsure) },
    { "shadow_unsure", AT(steps.shadow_unsure) },
    { "ab_unsure", AT(steps.ab_unsure) },
};

static enum err take_unsure(struct stages *s, const char *name, const json_t *value, struct why *why)
{
    for (size_t i = 0; i < ARRAY_LEN(unsure_members); i++) {
        enum when_unsure what;

        if (strcmp(unsure_members[i].name, name) != 0)
            continue;
        what = when_unsure_find(json_slice(value));
        if (what == UNSURE_COUNT)
            return err_set(why, ERR_INVALID, "%s is \"wait\", \"go_on\" or \"reject\"", name);
        *(enum when_unsure *)(void *)((char *)s + unsure_members[i].offset) = what;
        return ERR_OK;
    }
    return err_set(why, ERR_INVALID, "stages have no setting \"%s\"", name);
}

static enum err take(struct stages *s, const char *name, const json_t *value, struct why *why)
{
    enum err err = json_setting_take(s, members, ARRAY_LEN(members), name, value, why);

    return err == ERR_NOT_FOUND ? take_unsure(s, name, value, why) : err;
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
