/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/json_out.h"

/* Five digits: more than any of these measurements has. */
static double rounded(double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.5g", x);
    return strtod(text, NULL);
}

static void write_goal(struct json_out *o, const struct result *r, double value, double ratio,
                       const struct goal *goal)
{
    bool is_of_ratio = goal->kind == RATIO_AT_MOST || goal->kind == RATIO_AT_LEAST;
    bool is_at_most = goal->kind == RATIO_AT_MOST || goal->kind == VALUE_AT_MOST;
    double measured = is_of_ratio ? ratio : value;
    char text[64];

    if (goal->kind == GOAL_NONE) {
        json_out_null(o, "goal");
        json_out_null(o, "met");
        return;
    }
    snprintf(text, sizeof text, "%s %s %g%s%s", is_of_ratio ? "ratio" : "value",
             is_at_most ? "<=" : ">=", goal->limit, is_of_ratio || !r->unit ? "" : " ",
             is_of_ratio || !r->unit ? "" : r->unit);
    json_out_str(o, "goal", text);
    if (isfinite(measured))
        json_out_bool(o, "met", is_at_most ? measured <= goal->limit : measured >= goal->limit);
    else
        json_out_null(o, "met");
}

static void print_line(const struct result *r, const char *text, const struct goal *goal)
{
    double value = rounded(r->value), baseline = rounded(r->baseline);
    double ratio = baseline != 0 ? rounded(value / baseline) : NAN;
    struct buf line;
    struct json_out o;

    buf_init(&line, 0);
    o = json_out_to(&line);
    json_out_open(&o, NULL);
    json_out_str(&o, "name", r->name);
    if (text)
        json_out_str(&o, "value", text);
    else
        json_out_number(&o, "value", value);
    json_out_str(&o, "unit", r->unit);
    json_out_number(&o, "baseline", baseline != 0 ? baseline : NAN);
    json_out_number(&o, "ratio", ratio);
    write_goal(&o, r, value, ratio, goal);
    json_out_str(&o, "against", r->against);
    json_out_str(&o, "note", r->note);
    json_out_end(&o);
    puts(buf_str(&line));
    fflush(stdout);
    buf_release(&line);
}

void report(const struct result *r)
{
    print_line(r, NULL, &r->goals[0]);
    for (size_t i = 1; i < RESULT_GOALS; i++)
        if (r->goals[i].kind != GOAL_NONE)
            print_line(r, NULL, &r->goals[i]);
}

void report_text(const char *name, const char *text)
{
    print_line(&(struct result){ .name = name, .unit = "text" }, text, &(struct goal){ GOAL_NONE, 0 });
}

void report_skipped(const char *name, const char *reason)
{
    print_line(&(struct result){ .name = name, .value = NAN, .note = reason }, NULL,
               &(struct goal){ GOAL_NONE, 0 });
}

void bench_fail(const char *format, ...)
{
    va_list args;

    fputs("bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}
