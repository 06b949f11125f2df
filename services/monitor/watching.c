/* SPDX-License-Identifier: Apache-2.0 */
#include "watching.h"

#include <stddef.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json.h"
#include "json/settings.h"
#include "quality/cards.h"

#define AT(field) offsetof(struct watching, field)
static const struct json_setting members[] = {
    { "learn_entries", SETTING_I64, AT(drifts.learn_entries), 0, 1e9, NULL },
    { "baseline_rows", SETTING_I64, AT(drifts.baseline_rows), 1, 1e9, NULL },
    { "window_rows", SETTING_I64, AT(drifts.window_rows), 10, 1e9, NULL },
    { "window_rows_least", SETTING_I64, AT(drifts.least_rows), 1, 1e9, NULL },
    { "window_days", SETTING_DAYS, AT(drifts.oldest_us), 0.001, 3650, NULL },
    { "windows", SETTING_U32, AT(drifts.judging.windows), 1, 255, NULL },
    { "alpha", SETTING_DOUBLE, AT(drifts.judging.alpha), 1e-6, 0.5, NULL },
    { "js", SETTING_DOUBLE, AT(drifts.judging.js_least), 0, 1, NULL },
    { "missing", SETTING_DOUBLE, AT(drifts.judging.missing_least), 0, 1, NULL },
    { "unseen", SETTING_DOUBLE, AT(drifts.judging.unseen_least), 0, 1, NULL },
    { "design_effect", SETTING_DOUBLE, AT(drifts.judging.design_effect), 1, 1000, NULL },
    { "rows_least", SETTING_I64, AT(drifts.judging.rows_least), 1, 1e9, NULL },
    { "segment_rows_least", SETTING_I64, AT(drifts.judging.segment_rows_least), 1, 1e9, NULL },
    { "asks_for_models", SETTING_BOOL, AT(findings.asks_for_models), 0, 0, NULL },
    { "cooldown_days", SETTING_DAYS, AT(findings.cooldown_us), 0, 3650, NULL },
    { "silent_minutes", SETTING_I64, AT(state.silent_minutes), 1, 1e6, NULL },
    { "degraded", SETTING_DOUBLE, AT(state.degraded), 0, 1, NULL },
    { "unscored", SETTING_DOUBLE, AT(state.unscored), 0, 1, NULL },
    { "late", SETTING_DOUBLE, AT(state.late), 0, 1, NULL },
    { "duplicates", SETTING_DOUBLE, AT(state.duplicates), 0, 1, NULL },
    { "quality_days", SETTING_I64, AT(decays.window_days), 3, DECAYS_WINDOW_DAYS_MAX, NULL },
    { "quality_windows", SETTING_U32, AT(decays.windows), 1, DECAYS_WINDOWS_MAX, NULL },
    { "quality_alpha", SETTING_DOUBLE, AT(decays.judging.alpha), 1e-6, 0.5, NULL },
    { "quality_loss", SETTING_DOUBLE, AT(decays.judging.least), 0, 1, NULL },
    { "quality_frauds_least", SETTING_DOUBLE, AT(decays.judging.frauds_least), 1, 1e9, NULL },
    { "quality_cards", SETTING_I64, AT(cards), 0, QUALITY_CARDS_MAX, NULL },
    { "calibration", SETTING_DOUBLE, AT(decays.calibration), 0, 100, NULL },
};

enum err watching_read(struct watching *out, const char *json, struct why *why)
{
    json_t *tree = NULL, *value;
    const char *name;
    enum err err = json_parse(&tree, slice_str(*json ? json : "{}"), JSON_DEPTH_MAX, why);

    *out = (struct watching){ .drifts = { .learn_entries = 1000,
                                          .baseline_rows = 5000,
                                          .window_rows = 10000,
                                          .least_rows = 500,
                                          .oldest_us = 7 * DAY_US,
                                          .judging = drift_settings_default },
                              .findings = { .asks_for_models = true, .cooldown_us = 7 * DAY_US },
                              .state = STATE_CONF_DEFAULT,
                              .decays = DECAYS_CONF_DEFAULT,
                              .cards = 100 };
    if (!err && !json_is_object(tree))
        err = err_set(why, ERR_INVALID, "it is no JSON object");
    json_object_foreach(tree, name, value)
    {
        if (err)
            break;
        err = json_setting_take(out, members, ARRAY_LEN(members), name, value, why);
        if (err == ERR_NOT_FOUND)
            err = err_set(why, ERR_INVALID, "there is no setting \"%s\"", name);
    }
    json_decref(tree);
    return err ? err : drift_settings_check(&out->drifts.judging, why);
}
