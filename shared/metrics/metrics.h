/* SPDX-License-Identifier: Apache-2.0
 * metrics.h - counters, gauges and histograms in the Prometheus text format 0.0.4.
 *
 * A part declares its metrics in one table beside the code that counts them, with an enum of the same order:
 *
 *   enum { M_DECISIONS, M_DECIDE, M_COUNT };
 *   static const struct metric table[M_COUNT] = {
 *       [M_DECISIONS] = { "assay_decisions_total", METRIC_COUNTER, "Decisions by action", { "action" } },
 *       [M_DECIDE] = { "assay_decide_seconds", METRIC_HISTOGRAM, "Time from arrival to the decision" },
 *   };
 *   part->set = metrics_add(metrics, table, M_COUNT);
 *   part->approve = metric_series(part->set, M_DECISIONS, "approve", NULL);    once, or per rare event
 *   metric_inc(part->set, M_DECISIONS, part->approve);                         an array index, no hashing
 *
 * Names: assay_<part>_<what>_<unit>, base units (seconds, bytes), counters end in _total. One thread. */
#ifndef ASSAY_METRICS_METRICS_H
#define ASSAY_METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_kind {
    METRIC_COUNTER,   /* only rises */
    METRIC_GAUGE,     /* goes up and down */
    METRIC_HISTOGRAM, /* of durations: 50us to 1s, three bounds a decade */
    METRIC_SIZES,     /* a histogram of counts: 1 2 4 8 ... 1024 (batch sizes, queue lengths) */
};

enum { METRIC_LABELS = 2, METRIC_SERIES_MAX = 128 };

struct metric {
    const char *name;
    enum metric_kind kind;
    const char *help;
    const char *labels[METRIC_LABELS]; /* names; none, one or two */
};

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4"

struct metrics;    /* all of a process */
struct metric_set; /* those of one table */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Registers a table, which is borrowed for ever (a static const one). Given again, it is the same set: two of
 * a kind tell themselves apart by a label. The set belongs to `m`. */
struct metric_set *metrics_add(struct metrics *m, const struct metric *table, size_t count);

/* The series of these label values: found or made. A metric without labels has the one series 0 and needs no
 * call. At most METRIC_SERIES_MAX per metric; beyond, the last one, whose values are all "other", takes the
 * rest. Values are copied. */
size_t metric_series(struct metric_set *set, size_t metric, const char *value, const char *value2);

/* `series` from metric_series(), 0 for a metric without labels. */
void metric_inc(struct metric_set *set, size_t metric, size_t series);
void metric_add(struct metric_set *set, size_t metric, size_t series, double amount);
void metric_put(struct metric_set *set, size_t metric, size_t series, double value);
void metric_observe_us(struct metric_set *set, size_t metric, size_t series, int64_t us);
void metric_observe_size(struct metric_set *set, size_t metric, size_t series, uint64_t size);

/* Drops all series of a metric, so that nothing is shown which is not put again: for gauges that are read from
 * elsewhere at each writing. Indices of these series end; one without labels has its series 0 again after
 * metric_series(). */
void metric_clear(struct metric_set *set, size_t metric);

double metric_value(const struct metric_set *set, size_t metric, size_t series); /* a histogram's count */

/* `collect` is called before each writing, to put gauges that are cheaper to ask than to keep. */
void metrics_on_write(struct metrics *m, void (*collect)(void *ctx), void *ctx);

/* Appends all series (of a metric without any, what it means and its type), with the process's own (CPU, memory, descriptors and their limit, start time) after them. */
void metrics_write(struct metrics *m, struct buf *out);

#endif
