/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/past.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/report.h"

enum { CUSTOMERS = 5000, MAPPING_MAX = 1 << 16 };

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("history: %s: %s", what, why->text);
}

static struct mapping *read_mapping(const char *path)
{
    static char text[MAPPING_MAX];
    struct mapping *mapping;
    struct why why = { 0 };
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;

    if (!f || len == sizeof text)
        bench_fail("history: cannot read %s", path);
    fclose(f);
    must_work(mapping_parse(&mapping, slice_of(text, len), &why), path, &why);
    return mapping;
}

void past_open(struct past *p)
{
    const char *dir = getenv("ASSAY_TEST_DATA");
    char path[PATH_MAX];
    struct why why = { 0 };

    *p = (struct past){ .name = "simulated" };
    snprintf(path, sizeof path, "%s/handbook/transactions.csv.zst", dir ? dir : "../shared/data");
    if (access(path, R_OK) == 0) {
        p->name = "of the Fraud Detection Handbook";
        p->mapping = read_mapping("models/mappings/handbook.yaml");
        must_work(
            dataset_open_csv(&p->data, path, p->mapping, &(struct dataset_options){ .account = 1 }, &why),
            path, &why);
    } else {
        p->world = simulate_new(&(struct simulate_params){ .seed = 11,
                                                           .account = 1,
                                                           .start_us = INT64_C(1522540800000000),
                                                           .customers = CUSTOMERS,
                                                           .fraud_factor = 1 });
    }
}

void past_close(struct past *p)
{
    dataset_close(p->data);
    mapping_free(p->mapping);
    simulate_free(p->world);
    label_queue_release(&p->labels);
}

bool past_next(struct past *p, struct dataset_event *event)
{
    struct why why = { 0 };
    struct label label;
    bool is_end = false;

    if (p->data) {
        must_work(dataset_next(p->data, event, &is_end, &why), "read the history", &why);
        return !is_end;
    }
    if (!p->is_waiting) {
        p->waiting.kind = DATASET_TXN;
        simulate_next(p->world, &p->waiting.txn, &label);
        if (label.is_fraud)
            label_queue_put(&p->labels, &label);
    }
    p->is_waiting = label_queue_first(&p->labels) &&
                    label_queue_first(&p->labels)->known_at_us <= p->waiting.txn.known_at_us;
    if (p->is_waiting)
        *event = (struct dataset_event){ .kind = DATASET_LABEL, .label = label_queue_take(&p->labels) };
    else
        *event = p->waiting;
    return true;
}
