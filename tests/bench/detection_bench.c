/* SPDX-License-Identifier: Apache-2.0
 * detection_bench.c - how well fraud is found: `assay evaluate --protocol handbook`, beside the best published
 * figures of each kind. Not a matter of speed; here so that a change that buys speed with detection is seen.
 *
 *   detection_bench ASSAY */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "bench/child.h"
#include "bench/report.h"

enum { DAYS = 7, NO_DATA = 3 }; /* of training in the published protocol; the exit status without the data */

static const struct {
    const char *name, *member;
    double published;
    struct goal goals[RESULT_GOALS];
} figures[] = {
    { "detection/AUC ROC", "auc_roc", 0.879, { { VALUE_AT_LEAST, 0.88 } } },
    { "detection/average precision",
      "average_precision",
      0.687,
      { { VALUE_AT_LEAST, 0.735 }, { VALUE_AT_LEAST, 0.76 } } },
    { "detection/card precision at 100", "card_precision_100", 0.305, { { VALUE_AT_LEAST, 0.31 } } },
};

static const json_t *find_model(const json_t *said)
{
    const json_t *model;
    size_t i;

    json_array_foreach(json_object_get(said, "models"), i, model)
    {
        if (strcmp(json_string_value(json_object_get(model, "name")), "gbdt") == 0 &&
            strcmp(json_string_value(json_object_get(model, "split")), "folds") == 0 &&
            fabs(json_number_value(json_object_get(model, "history_days")) - DAYS) < 0.5)
            return model;
    }
    bench_fail("detection: no model of %d days among the answers", (int)DAYS);
}

int main(int argc, char **argv)
{
    const json_t *model;
    json_t *said;
    int status;

    if (argc != 2)
        bench_fail("usage: detection_bench ASSAY");
    said = child_json((const char *[]){ argv[1], "evaluate", "--protocol", "handbook", "--json", NULL },
                      &status);
    if (status == NO_DATA) {
        report_skipped("detection", "the Fraud Detection Handbook's data is not there (ASSAY_TEST_DATA)");
        return 0;
    }
    if (!said || status)
        bench_fail("detection: `assay evaluate` failed with status %d", status);
    model = find_model(said);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        report(&(struct result){ .name = figures[i].name,
                                 .value = json_number_value(json_object_get(model, figures[i].member)),
                                 .baseline = figures[i].published,
                                 .against = "the best published (quoted, not measured)",
                                 .goals = { figures[i].goals[0], figures[i].goals[1] },
                                 .note = "models/handbook.yaml, 7 days of training, mean of four folds" });
    json_decref(said);
    return 0;
}
