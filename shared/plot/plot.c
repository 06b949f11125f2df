/* SPDX-License-Identifier: Apache-2.0 */
#include "plot/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

enum { COLOURS = 7, TICKS_WANTED = 6, TICKS_MAX = 32, LABEL_SIZE = 32 };

/* Where the data are drawn, in pixels. */
enum { LEFT = 64, RIGHT = 16, TOP = 34, LEGEND = 20, BOTTOM = 46, EDGE = 4, WIDTH = 640, HEIGHT = 400 };

static const struct {
    const char *light, *dark, *dashes;
} colours[COLOURS] = {
    { "#0072B2", "#56B4E9", "none" }, { "#D55E00", "#E69F00", "none" },    { "#009E73", "#2DC99C", "6 3" },
    { "#CC79A7", "#E3A5C7", "2 3" },  { "#8C6D00", "#F0E442", "8 3 2 3" }, { "#444444", "#CCCCCC", "4 4" },
    { "#7A3E9D", "#BE9BDB", "1 3" },
};

/* An axis with its ends, its ticks and its place. */
struct scale {
    enum plot_kind kind;
    double from, to;   /* of the data; of their logarithms for PLOT_LOG */
    double begin, end; /* pixels */
    double ticks[TICKS_MAX];
    size_t tick_count;
    double step;
};

/* ---- text ---- */

static void escaped(struct buf *out, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++) {
        switch (*p) {
        case '<':
            buf_add_str(out, "&lt;");
            break;
        case '>':
            buf_add_str(out, "&gt;");
            break;
        case '&':
            buf_add_str(out, "&amp;");
            break;
        case '"':
            buf_add_str(out, "&quot;");
            break;
        default:
            buf_add_char(out, (unsigned char)*p < ' ' ? ' ' : *p);
        }
    }
}

static void text_at(struct buf *out, double x, double y, const char *class, const char *text)
{
    buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    escaped(out, text);
    buf_add_str(out, "</text>\n");
}

/* As many digits as the step between ticks asks for. */
static void tick_label(char label[LABEL_SIZE], const struct scale *s, double tick)
{
    double value = s->kind == PLOT_LOG ? pow(10, tick) : tick, size = fabs(value);
    int digits = 0, year, month, day;

    switch (s->kind) {
    case PLOT_DATE:
        if (size > 1e17) { /* beyond the years that we write */
            snprintf(label, LABEL_SIZE, "%g", value);
            return;
        }
        civil_from_days((int64_t)floor(value / (double)DAY_US), &year, &month, &day);
        snprintf(label, LABEL_SIZE, "%04d-%02d-%02d", year, month, day);
        return;
    case PLOT_LOG:
        if (fabs(tick) > 5)
            snprintf(label, LABEL_SIZE, "1e%.0f", tick);
        else
            snprintf(label, LABEL_SIZE, "%g", value);
        return;
    case PLOT_PERCENT:
        digits = s->step * 100 < 1 ? (int)ceil(-log10(s->step * 100) - 1e-9) : 0;
        snprintf(label, LABEL_SIZE, "%.*f%%", digits, value * 100);
        return;
    case PLOT_NUMBER:
        break;
    }
    if (size >= 1e6 || s->step >= 1e6)
        snprintf(label, LABEL_SIZE, "%.6gM", value / 1e6);
    else if (s->step >= 1e3)
        snprintf(label, LABEL_SIZE, "%.6gk", value / 1e3);
    else
        snprintf(label, LABEL_SIZE, "%.*f", s->step < 1 ? (int)ceil(-log10(s->step) - 1e-9) : 0, value);
}

/* ---- scales ---- */

/* What is so large that differences overflow is a gap, like NaN. */
static bool is_number(double value)
{
    return fabs(value) <= 1e300;
}

/* Of a value, or of its logarithm on a logarithmic axis; far outside is as good as farther. */
static double place(const struct scale *s, double value)
{
    double at = s->begin + (value - s->from) / (s->to - s->from) * (s->end - s->begin);

    return fmin(fmax(at, -1e5), 1e5);
}

static double on_axis(const struct scale *s, double value)
{
    if (s->kind == PLOT_LOG)
        return value > 0 ? place(s, log10(value)) : NAN;
    return is_number(value) ? place(s, value) : NAN;
}

/* The smallest of 1, 2, 5 times a power of ten that is at least `least`; for days, of 1, 2, 7, 14 and months. */
static double round_step(double least, enum plot_kind kind)
{
    static const double of_ten[] = { 1, 2, 5, 10 }, of_days[] = { 1, 2, 7, 14, 28, 91, 182, 364 };
    double power;

    if (kind == PLOT_DATE) {
        for (size_t i = 0; i < ARRAY_LEN(of_days); i++)
            if (of_days[i] * (double)DAY_US >= least)
                return of_days[i] * (double)DAY_US;
        return ceil(least / (364 * (double)DAY_US)) * 364 * (double)DAY_US;
    }
    if (kind == PLOT_LOG)
        return fmax(1, ceil(least));
    power = pow(10, floor(log10(least)));
    for (size_t i = 0; i < ARRAY_LEN(of_ten); i++)
        if (of_ten[i] * power >= least * (1 - 1e-9))
            return of_ten[i] * power;
    return 10 * power;
}

static void widen(double *low, double *high, double value, enum plot_kind kind)
{
    if (kind == PLOT_LOG)
        value = value > 0 ? log10(value) : NAN;
    if (!is_number(value))
        return;
    *low = fmin(*low, value);
    *high = fmax(*high, value);
}

/* Sets the ends, from what is given or from the data between *low and *high, and the ticks between them. */
static void set_scale(struct scale *s, const struct plot_axis *axis, double low, double high)
{
    bool is_given = axis->from < axis->to && (axis->kind != PLOT_LOG || axis->from > 0);
    double first;

    s->kind = axis->kind;
    if (is_given) {
        low = axis->kind == PLOT_LOG ? log10(axis->from) : axis->from;
        high = axis->kind == PLOT_LOG ? log10(axis->to) : axis->to;
    } else if (!(low < high)) {
        double room = axis->kind == PLOT_DATE ? (double)DAY_US : low == 0 ? 1 : fabs(low) / 2;

        low -= room;
        high += room;
    }
    s->step = round_step((high - low) / TICKS_WANTED, s->kind);
    if (!is_given && s->kind != PLOT_DATE) {
        low = floor(low / s->step + 1e-9) * s->step;
        high = ceil(high / s->step - 1e-9) * s->step;
    }
    s->from = low;
    s->to = high;
    first = ceil(low / s->step - 1e-9);
    for (size_t i = 0; i < TICKS_MAX && (first + (double)i) * s->step <= high + s->step * 1e-9; i++)
        s->ticks[s->tick_count++] = (first + (double)i) * s->step;
}

/* False when there is nothing to show. */
static bool set_scales(const struct plot *p, struct scale *x, struct scale *y)
{
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;

    for (size_t k = 0; k < p->series_count; k++) {
        const struct plot_series *s = &p->series[k];

        for (size_t i = 0; i < s->n; i++) {
            if (!is_number(s->x[i]) || !is_number(s->y[i]))
                continue;
            widen(&x_low, &x_high, s->x[i], p->x.kind);
            widen(&y_low, &y_high, s->y[i], p->y.kind);
            if (s->low)
                widen(&y_low, &y_high, s->low[i], p->y.kind);
            if (s->high)
                widen(&y_low, &y_high, s->high[i], p->y.kind);
            if (s->mark == PLOT_BARS)
                widen(&y_low, &y_high, 0, p->y.kind);
        }
    }
    if (!isfinite(x_low) || !isfinite(y_low))
        return false;
    for (size_t i = 0; i < p->rule_count; i++)
        if (p->rules[i].is_vertical)
            widen(&x_low, &x_high, p->rules[i].at, p->x.kind);
        else
            widen(&y_low, &y_high, p->rules[i].at, p->y.kind);
    set_scale(x, &p->x, x_low, x_high);
    set_scale(y, &p->y, y_low, y_high);
    return true;
}

/* ---- marks ---- */

static bool has_place(const struct scale *s, double value)
{
    return is_number(value) && (s->kind != PLOT_LOG || value > 0);
}

static bool is_shown(const struct plot_series *s, size_t i, const struct scale *x, const struct scale *y)
{
    return has_place(x, s->x[i]) && has_place(y, s->y[i]);
}

static bool has_interval(const struct plot_series *s, size_t i, const struct scale *y)
{
    return s->low && s->high && has_place(y, s->low[i]) && has_place(y, s->high[i]);
}

/* One path, which begins anew behind a gap. */
static void draw_line(struct buf *out, const struct plot_series *s, size_t colour, const struct scale *x,
                      const struct scale *y)
{
    bool is_begun = false;

    buf_printf(out, "<path class=\"l c%zu\" d=\"", colour);
    for (size_t i = 0; i < s->n; i++) {
        if (!is_shown(s, i, x, y)) {
            is_begun = false;
            continue;
        }
        if (is_begun && s->mark == PLOT_STEPS)
            buf_printf(out, "H%.1f", on_axis(x, s->x[i]));
        buf_printf(out, "%c%.1f %.1f", is_begun ? 'L' : 'M', on_axis(x, s->x[i]), on_axis(y, s->y[i]));
        is_begun = true;
    }
    buf_add_str(out, "\"/>\n");
}

/* From the low ends to the right and along the high ends back, between gaps. */
static void draw_band(struct buf *out, const struct plot_series *s, size_t colour, const struct scale *x,
                      const struct scale *y)
{
    for (size_t begin = 0, end; begin < s->n; begin = end + 1) {
        for (end = begin; end < s->n && is_shown(s, end, x, y) && has_interval(s, end, y);)
            end++;
        if (end - begin < 2)
            continue;
        buf_printf(out, "<path class=\"b f%zu\" d=\"", colour);
        for (size_t i = begin; i < end; i++)
            buf_printf(out, "%c%.1f %.1f", i > begin ? 'L' : 'M', on_axis(x, s->x[i]), on_axis(y, s->low[i]));
        for (size_t i = end; i-- > begin;)
            buf_printf(out, "L%.1f %.1f", on_axis(x, s->x[i]), on_axis(y, s->high[i]));
        buf_add_str(out, "Z\"/>\n");
    }
}

static void draw_dots(struct buf *out, const struct plot_series *s, size_t colour, const struct scale *x,
                      const struct scale *y)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!is_shown(s, i, x, y))
            continue;
        if (has_interval(s, i, y))
            buf_printf(out, "<path class=\"w c%zu\" d=\"M%.1f %.1fV%.1f\"/>\n", colour, on_axis(x, s->x[i]),
                       on_axis(y, s->low[i]), on_axis(y, s->high[i]));
        buf_printf(out, "<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colour,
                   on_axis(x, s->x[i]), on_axis(y, s->y[i]));
    }
}

/* Halfway to the neighbour, or as far as to the other one at the ends. */
static double bar_side(const struct plot_series *s, size_t i, bool is_right, const struct scale *x)
{
    double here = on_axis(x, s->x[i]), half = 8;

    if (is_right ? i + 1 < s->n : i > 0)
        half = fabs(on_axis(x, s->x[is_right ? i + 1 : i - 1]) - here) / 2;
    else if (s->n > 1)
        half = fabs(on_axis(x, s->x[is_right ? i - 1 : i + 1]) - here) / 2;
    return is_right ? here + half : here - half;
}

static void draw_bars(struct buf *out, const struct plot_series *s, size_t colour, const struct scale *x,
                      const struct scale *y)
{
    double floor_at = y->kind == PLOT_LOG || y->from > 0 ? y->begin : on_axis(y, 0);

    for (size_t i = 0; i < s->n; i++) {
        double left, right, top;

        if (!is_shown(s, i, x, y))
            continue;
        left = fmax(bar_side(s, i, false, x), fmin(x->begin, x->end));
        right = fmin(bar_side(s, i, true, x), fmax(x->begin, x->end));
        top = on_axis(y, s->y[i]);
        buf_printf(out, "<rect class=\"bar f%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                   colour, left, fmin(top, floor_at), fmax(right - left - 0.5, 0.5), fabs(floor_at - top));
    }
}

static void draw_series(struct buf *out, const struct plot_series *s, size_t colour, const struct scale *x,
                        const struct scale *y)
{
    typedef void draw_fn(struct buf *, const struct plot_series *, size_t, const struct scale *,
                         const struct scale *);
    static draw_fn *const by_mark[] = {
        [PLOT_LINE] = draw_line,
        [PLOT_STEPS] = draw_line,
        [PLOT_DOTS] = draw_dots,
        [PLOT_BARS] = draw_bars,
    };

    if (s->low && s->high && s->mark != PLOT_DOTS)
        draw_band(out, s, colour, x, y);
    by_mark[s->mark](out, s, colour, x, y);
}

/* ---- the whole ---- */

static void write_style(struct buf *out)
{
    buf_add_str(out, "<style>\n"
                     "text{font:12px system-ui,sans-serif;fill:#333}\n"
                     ".t{font-weight:600;font-size:14px}.m{text-anchor:middle}.e{text-anchor:end}\n"
                     ".g{stroke:#8884;fill:none}.a{stroke:#888;fill:none}.r{stroke:#888;stroke-dasharray:3 "
                     "3;fill:none}\n"
                     ".l{fill:none;stroke-width:2;stroke-linejoin:round}.w{fill:none}.b{fill-opacity:.18}"
                     ".bar{fill-opacity:.55}\n");
    for (size_t i = 0; i < COLOURS; i++)
        buf_printf(out, ".c%zu{stroke:%s;stroke-dasharray:%s}.f%zu{fill:%s}\n", i, colours[i].light,
                   colours[i].dashes, i, colours[i].light);
    buf_add_str(out, ".w{stroke-dasharray:none}\n@media(prefers-color-scheme:dark){text{fill:#ddd}\n");
    for (size_t i = 0; i < COLOURS; i++)
        buf_printf(out, ".c%zu{stroke:%s}.f%zu{fill:%s}\n", i, colours[i].dark, i, colours[i].dark);
    buf_add_str(out, "}\n</style>\n");
}

static void draw_axes(struct buf *out, const struct plot *p, const struct scale *x, const struct scale *y)
{
    double middle = (y->begin + y->end) / 2;
    char label[LABEL_SIZE];

    for (size_t i = 0; i < x->tick_count; i++) {
        double at = place(x, x->ticks[i]);

        buf_printf(out, "<path class=\"g\" d=\"M%.1f %.1fV%.1f\"/>\n", at, y->begin, y->end);
        tick_label(label, x, x->ticks[i]);
        text_at(out, at, y->begin + 16, "m", label);
    }
    for (size_t i = 0; i < y->tick_count; i++) {
        double at = place(y, y->ticks[i]);

        buf_printf(out, "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/>\n", x->begin, at, x->end);
        tick_label(label, y, y->ticks[i]);
        text_at(out, x->begin - 6, at + 4, "e", label);
    }
    buf_printf(out, "<path class=\"a\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", x->begin, y->end, y->begin, x->end);
    text_at(out, (x->begin + x->end) / 2, y->begin + 36, "m", p->x.label);
    buf_printf(out, "<text transform=\"translate(14 %.1f) rotate(-90)\" class=\"m\">", middle);
    escaped(out, p->y.label);
    buf_add_str(out, "</text>\n");
}

static void draw_rules(struct buf *out, const struct plot *p, const struct scale *x, const struct scale *y)
{
    if (p->has_diagonal && x->kind == y->kind) {
        double low = fmax(x->from, y->from), high = fmin(x->to, y->to);

        if (low < high)
            buf_printf(out, "<path class=\"r\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", place(x, low), place(y, low),
                       place(x, high), place(y, high));
    }
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct plot_rule *r = &p->rules[i];
        const struct scale *axis = r->is_vertical ? x : y;
        double at = on_axis(axis, r->at);

        if (!(at >= fmin(axis->begin, axis->end) && at <= fmax(axis->begin, axis->end)))
            continue;
        if (r->is_vertical)
            buf_printf(out, "<path class=\"r\" d=\"M%.1f %.1fV%.1f\"/>\n", at, y->begin, y->end);
        else
            buf_printf(out, "<path class=\"r\" d=\"M%.1f %.1fH%.1f\"/>\n", x->begin, at, x->end);
        if (r->label == NULL)
            continue;
        if (r->is_vertical) { /* on the side where there is room, each a line lower */
            bool is_right = at > (x->begin + x->end) / 2;

            text_at(out, is_right ? at - 4 : at + 4, y->end + 14 + 14 * (double)(i % 6), is_right ? "e" : "",
                    r->label);
        } else {
            text_at(out, x->end - 4, at - 4, "e", r->label);
        }
    }
}

static size_t legend_count(const struct plot *p)
{
    size_t count = 0;

    for (size_t i = 0; i < p->series_count; i++)
        count += p->series[i].name != NULL;
    return count;
}

static void draw_legend(struct buf *out, const struct plot *p, double top)
{
    double at = LEFT;

    for (size_t i = 0; i < p->series_count; i++) {
        const struct plot_series *s = &p->series[i];

        if (s->name == NULL)
            continue;
        if (s->mark == PLOT_BARS || s->mark == PLOT_DOTS)
            buf_printf(out, "<rect class=\"%sf%zu\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"10\"/>\n",
                       s->mark == PLOT_BARS ? "bar " : "", i % COLOURS, at + 6, top - 9);
        else
            buf_printf(out, "<path class=\"l c%zu\" d=\"M%.1f %.1fh22\"/>\n", i % COLOURS, at, top - 4);
        text_at(out, at + 27, top, "", s->name);
        at += 44 + 6.6 * (double)strlen(s->name);
    }
}

void plot_svg(struct buf *out, const struct plot *p)
{
    double width = p->width > 0 ? p->width : WIDTH, height = p->height > 0 ? p->height : HEIGHT;
    double top = TOP + (legend_count(p) > 1 ? LEGEND : 0);
    struct scale x = { .begin = LEFT, .end = width - RIGHT }, y = { .begin = height - BOTTOM, .end = top };

    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
               "height=\"%.0f\" role=\"img\">\n<title>",
               width, height, width, height);
    escaped(out, p->title);
    buf_add_str(out, "</title>\n");
    write_style(out);
    text_at(out, LEFT, 20, "t", p->title);
    if (set_scales(p, &x, &y)) {
        draw_axes(out, p, &x, &y);
        /* A picture within the picture cuts off what lies outside. */
        buf_printf(
            out,
            "<svg x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" viewBox=\"%.0f %.0f %.0f %.0f\">\n",
            x.begin - EDGE, y.end - EDGE, x.end - x.begin + 2 * EDGE, y.begin - y.end + 2 * EDGE,
            x.begin - EDGE, y.end - EDGE, x.end - x.begin + 2 * EDGE, y.begin - y.end + 2 * EDGE);
        for (size_t i = 0; i < p->series_count; i++)
            draw_series(out, &p->series[i], i % COLOURS, &x, &y);
        buf_add_str(out, "</svg>\n");
        draw_rules(out, p, &x, &y);
        if (legend_count(p) > 1)
            draw_legend(out, p, TOP + 8);
    } else {
        text_at(out, width / 2, height / 2, "m", "there is nothing to show");
    }
    buf_add_str(out, "</svg>\n");
}
