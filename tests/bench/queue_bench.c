/* SPDX-License-Identifier: Apache-2.0
 * queue_bench.c - what the order of the review queue is worth: `assay evaluate --queue`, the money that 100 reviews a
 * day stop beside the best order by a single column. Not a matter of speed; here so that a change of scores that
 * spoils their calibration is seen.
 *
 *   queue_bench ASSAY */
#include <stdio.h>
#include <string.h>

#include "bench/child.h"
#include "bench/report.h"

enum { NO_DATA = 3 }; /* the exit status without the data */

static double stopped(const json_t *order)
{
    return (double)json_integer_value(json_object_get(order, "stopped_minor")) /
           (double)json_integer_value(json_object_get(order, "reviews"));
}

static void tell(const json_t *queue)
{
    const json_t *orders = json_object_get(queue, "orders"), *each, *best = NULL;
    char name[128], against[128];
    size_t i;

    json_array_foreach(orders, i, each)
    {
        if (i > 0 && (!best || stopped(each) > stopped(best)))
            best = each;
    }
    if (!best)
        bench_fail("queue: no orders among the answers");
    snprintf(name, sizeof name, "queue/%s, %s", json_string_value(json_object_get(queue, "data")),
             json_string_value(json_object_get(queue, "queue")));
    snprintf(against, sizeof against, "the best single column: %s",
             json_string_value(json_object_get(best, "order")));
    report(&(struct result){ .name = name,
                             .value = stopped(json_array_get(orders, 0)),
                             .unit = "money by 100 reviews",
                             .baseline = stopped(best),
                             .against = against,
                             .goals = { { RATIO_AT_LEAST, 1 } },
                             .note = "by expected loss, 100 reviews a day, days after training" });
}

static void run(const char *assay, const char *data)
{
    const json_t *queue;
    json_t *said;
    size_t i;
    int status;

    said = child_json((const char *[]){ assay, "evaluate", "--queue", "--protocol", data, "--json", NULL },
                      &status);
    if (status == NO_DATA) {
        report_skipped("queue", "the Fraud Detection Handbook's data is not there (ASSAY_TEST_DATA)");
        return;
    }
    if (!said || status)
        bench_fail("queue: `assay evaluate --queue` failed with status %d", status);
    json_array_foreach(json_object_get(said, "queues"), i, queue) tell(queue);
    json_decref(said);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        bench_fail("usage: queue_bench ASSAY");
    run(argv[1], "handbook");
    run(argv[1], "simulator");
    return 0;
}
