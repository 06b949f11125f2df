/* SPDX-License-Identifier: Apache-2.0
 * plot.h - a chart as SVG text: series of numbers in, one self-contained picture out.
 *
 *   const struct plot_series series[] = {
 *       { .name = "champion", .mark = PLOT_LINE, .x = weeks, .y = precision, .n = count },
 *   };
 *   plot_svg(&out, &(struct plot){ .title = "Average precision by week",
 *                                  .x = { .label = "week", .kind = PLOT_DATE },
 *                                  .y = { .label = "average precision", .from = 0, .to = 1 },
 *                                  .series = series, .series_count = 1 });
 *
 * The picture follows the reader's choice of light or dark (prefers-color-scheme) and has no background of its
 * own. Its colours are Okabe and Ito's ("Color Universal Design", 2008), which people who see fewer colours
 * can tell apart; each series also has a dash pattern of its own. The same input gives the same bytes.
 *
 * No state; any thread. Everything that a plot points to is borrowed for the call; texts are UTF-8. */
#ifndef ASSAY_PLOT_PLOT_H
#define ASSAY_PLOT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum plot_kind {
    PLOT_NUMBER,
    PLOT_PERCENT, /* 0.25 is written 25% */
    PLOT_DATE,    /* microseconds since 1970, as a double; written as days in UTC */
    PLOT_LOG,     /* logarithmic; what is not above 0 is left out */
};

struct plot_axis {
    const char *label;
    enum plot_kind kind;
    double from, to; /* the same (0 and 0): from the data, with round ends */
};

enum plot_mark {
    PLOT_LINE,
    PLOT_STEPS, /* a value holds until the next */
    PLOT_DOTS,
    PLOT_BARS, /* from 0 up, between the middles of neighbouring x; series side by side lie over each other */
};

/* Points in the order of x. A NaN or an infinity is a gap. */
struct plot_series {
    const char *name; /* for the legend; NULL: it stands in none */
    enum plot_mark mark;
    const double *x, *y;
    size_t n;
    const double *low, *high; /* an interval around each point: a band, or whiskers of dots; NULL: none */
};

/* A line across the whole chart. */
struct plot_rule {
    double at;
    bool is_vertical;
    const char *label; /* NULL: none */
};

struct plot {
    const char *title;
    struct plot_axis x, y;
    const struct plot_series *series;
    size_t series_count;
    const struct plot_rule *rules;
    size_t rule_count;
    bool has_diagonal;    /* y = x, where both axes have the same unit */
    double width, height; /* in pixels; 0: 640 by 400 */
};

/* Adds the picture, from "<svg" to "</svg>" and a newline. Without a point to show it says so inside. */
void plot_svg(struct buf *out, const struct plot *p);

#endif
