/* SPDX-License-Identifier: Apache-2.0
 * report.h - what a bench has measured: each result a line of JSON on standard output, from which table_bench
 * makes the table and build/bench.json. README.md describes the members. */
#ifndef ASSAY_BENCH_REPORT_H
#define ASSAY_BENCH_REPORT_H

#include <stddef.h>

enum goal_kind { GOAL_NONE, VALUE_AT_MOST, VALUE_AT_LEAST, RATIO_AT_MOST, RATIO_AT_LEAST };

struct goal {
    enum goal_kind kind;
    double limit;
};

enum { RESULT_GOALS = 2 };

struct result {
    const char *name; /* "forest/one row" */
    double value;
    const char *unit;
    double baseline;                 /* in the same unit, measured in the same run; 0: there is none */
    const char *against;             /* what the baseline is */
    struct goal goals[RESULT_GOALS]; /* the first one, and the one after it */
    const char *note;                /* under which conditions, or NULL */
};

/* One line for each goal, or one when there is none. The ratio is value / baseline; whether a goal is met is
 * computed from the very figures that are printed. */
void report(const struct result *result);
/* A fact about the machine or the run that is no number. */
void report_text(const char *name, const char *text);
/* What could not be measured, and why. */
void report_skipped(const char *name, const char *reason);

/* Ends the program with a line on standard error: without this step there is nothing to measure. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
