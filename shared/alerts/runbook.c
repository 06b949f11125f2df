/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/runbook.h"

#include "base/array.h"

/* By the label alertname. tests/e2e/monitoring/rules.py reads this table, and looks for each entry. */
static const struct {
    const char *name, *entry;
} entries[] = {
    { "Behind", "docs/operations.md#behind" },
    { "Degraded", "docs/operations.md#decisionsdegraded" },
    { "Drift", "docs/operations.md#featuredrifted" },
    { "Duplicates", "docs/operations.md#duplicates" },
    { "Labels", "docs/operations.md#labelsstopped" },
    { "Late", "docs/operations.md#late" },
    { "Mismatch", "docs/operations.md#featuresdiffer" },
    { "Quality", "docs/operations.md#quality" },
    { "Reference", "docs/operations.md#reference" },
    { "Retraining", "docs/operations.md#retrainingfailed" },
    { "Silent", "docs/operations.md#decisionsstopped" },
    { "Unscored", "docs/operations.md#scoringwithoutmodel" },
};

struct slice alert_runbook(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (slice_eq_str(name, entries[i].name))
            return slice_str(entries[i].entry);
    return SLICE("");
}
