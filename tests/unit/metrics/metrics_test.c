/* SPDX-License-Identifier: Apache-2.0
 * metrics_test.c - what a scrape sees. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "metrics/metrics.h"

enum { M_DONE, M_QUEUE, M_TIME, M_BATCH, M_BY, M_COUNT };
static const struct metric table[M_COUNT] = {
    [M_DONE] = { "assay_test_done_total", METRIC_COUNTER, "Things done" },
    [M_QUEUE] = { "assay_test_queue", METRIC_GAUGE, "Things waiting" },
    [M_TIME] = { "assay_test_seconds", METRIC_HISTOGRAM, "Time taken", { "route" } },
    [M_BATCH] = { "assay_test_batch", METRIC_SIZES, "Items in a batch" },
    [M_BY] = { "assay_test_by_total", METRIC_COUNTER, "By two labels", { "a", "b" } },
};

static struct metrics *metrics;
static struct metric_set *set;
static struct buf text;

static void setup(void)
{
    metrics = metrics_new();
    set = metrics_add(metrics, table, M_COUNT);
    buf_init(&text, 0);
}

static void teardown(void)
{
    metrics_free(metrics);
    buf_release(&text);
}

TestSuite(metrics, .init = setup, .fini = teardown, .timeout = 120);

static void shows(const char *line)
{
    buf_clear(&text);
    metrics_write(metrics, &text);
    cr_assert_not_null(strstr(buf_str(&text), line), "no %s in\n%s", line, buf_str(&text));
}

static void shows_not(const char *line)
{
    buf_clear(&text);
    metrics_write(metrics, &text);
    cr_assert_null(strstr(buf_str(&text), line), "%s in\n%s", line, buf_str(&text));
}

Test(metrics, shows_a_counter_at_zero_before_anything_happened)
{
    shows("# HELP assay_test_done_total Things done\n# TYPE assay_test_done_total counter\n"
          "assay_test_done_total 0\n");
}

Test(metrics, counts_and_puts)
{
    metric_inc(set, M_DONE, 0);
    metric_add(set, M_DONE, 0, 2);
    metric_put(set, M_QUEUE, 0, -1.5);
    shows("assay_test_done_total 3\n");
    shows("assay_test_queue -1.5\n");
    cr_assert_eq(metric_value(set, M_DONE, 0), 3);
}

Test(metrics, puts_a_duration_into_the_bucket_whose_bound_it_does_not_pass)
{
    size_t get = metric_series(set, M_TIME, "/v1/x", NULL);

    metric_observe_us(set, M_TIME, get, 50);
    metric_observe_us(set, M_TIME, get, 51);
    metric_observe_us(set, M_TIME, get, 1000000);
    metric_observe_us(set, M_TIME, get, 1000001);
    shows("assay_test_seconds_bucket{route=\"/v1/x\",le=\"5e-05\"} 1\n");
    shows("assay_test_seconds_bucket{route=\"/v1/x\",le=\"0.0001\"} 2\n");
    shows("assay_test_seconds_bucket{route=\"/v1/x\",le=\"0.5\"} 2\n");
    shows("assay_test_seconds_bucket{route=\"/v1/x\",le=\"1\"} 3\n");
    shows("assay_test_seconds_bucket{route=\"/v1/x\",le=\"+Inf\"} 4\n");
    shows("assay_test_seconds_sum{route=\"/v1/x\"} 2.000");
    shows("assay_test_seconds_count{route=\"/v1/x\"} 4\n");
}

Test(metrics, counts_sizes_in_powers_of_two)
{
    metric_observe_size(set, M_BATCH, 0, 1);
    metric_observe_size(set, M_BATCH, 0, 3);
    metric_observe_size(set, M_BATCH, 0, 5000);
    shows("assay_test_batch_bucket{le=\"1\"} 1\n");
    shows("assay_test_batch_bucket{le=\"2\"} 1\n");
    shows("assay_test_batch_bucket{le=\"4\"} 2\n");
    shows("assay_test_batch_bucket{le=\"1024\"} 2\n");
    shows("assay_test_batch_bucket{le=\"+Inf\"} 3\n");
    shows("assay_test_batch_sum 5004\n");
}

Test(metrics, finds_a_series_again_by_its_values_and_escapes_them)
{
    size_t one = metric_series(set, M_BY, "x", "say \"hi\"\\\n"), two = metric_series(set, M_BY, "y", "");

    cr_assert_neq(one, two);
    cr_assert_eq(metric_series(set, M_BY, "x", "say \"hi\"\\\n"), one);
    metric_inc(set, M_BY, one);
    shows("assay_test_by_total{a=\"x\",b=\"say \\\"hi\\\"\\\\\\n\"} 1\n");
    shows("assay_test_by_total{a=\"y\",b=\"\"} 0\n");
}

Test(metrics, bounds_the_series_of_a_metric)
{
    char name[16];

    for (int i = 0; i < 10 * METRIC_SERIES_MAX; i++) {
        snprintf(name, sizeof name, "v%d", i);
        metric_inc(set, M_BY, metric_series(set, M_BY, name, "b"));
    }
    shows("assay_test_by_total{a=\"v0\",b=\"b\"} 1\n");
    shows("assay_test_by_total{a=\"other\",b=\"other\"} 1153\n");
    shows_not("a=\"v127\"");
}

static void collect(void *ctx)
{
    metric_put(set, M_QUEUE, 0, *(const int *)ctx);
}

Test(metrics, asks_for_gauges_when_it_writes)
{
    int waiting = 7;

    metrics_on_write(metrics, collect, &waiting);
    shows("assay_test_queue 7\n");
    shows("# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes ");
}

Test(metrics, shows_of_a_cleared_metric_only_what_is_put_again)
{
    metric_put(set, M_BY, metric_series(set, M_BY, "x", "1"), 5);
    metric_put(set, M_QUEUE, 0, 7);
    metric_clear(set, M_BY);
    metric_clear(set, M_QUEUE);
    shows_not("\nassay_test_by_total");
    shows_not("\nassay_test_queue");
    metric_put(set, M_BY, metric_series(set, M_BY, "y", "2"), 6);
    metric_put(set, M_QUEUE, metric_series(set, M_QUEUE, NULL, NULL), 8);
    shows("assay_test_by_total{a=\"y\",b=\"2\"} 6\n");
    shows_not("a=\"x\"");
    shows("assay_test_queue 8\n");
}

Test(metrics, tells_of_the_process)
{
    shows("# TYPE process_max_fds gauge\nprocess_max_fds ");
    shows("# TYPE process_virtual_memory_bytes gauge\nprocess_virtual_memory_bytes ");
    shows("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds ");
    shows_not("NaN");
}

Test(metrics, says_what_a_metric_means_before_it_has_a_series)
{
    shows("# HELP assay_test_by_total By two labels\n# TYPE assay_test_by_total counter\n");
    shows_not("\nassay_test_by_total");
}
