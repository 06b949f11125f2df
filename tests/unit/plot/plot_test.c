/* SPDX-License-Identifier: Apache-2.0 */
#include "plot/plot.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

static struct buf out;

static const char *draw(const struct plot *p)
{
    buf_clear(&out);
    plot_svg(&out, p);
    return buf_str(&out);
}

static void setup(void)
{
    buf_init(&out, 0);
}

static void teardown(void)
{
    buf_release(&out);
}

TestSuite(plot, .init = setup, .fini = teardown, .timeout = 120);

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        n++;
    }
    return n;
}

Test(plot, puts_the_points_where_the_axes_say)
{
    const double x[] = { 0, 0.5, 1 }, y[] = { 0, 1, 0.25 };
    const struct plot_series series = { .mark = PLOT_LINE, .x = x, .y = y, .n = 3 };
    const char *svg = draw(&(struct plot){ .title = "T",
                                           .x = { "x", PLOT_NUMBER, 0, 1 },
                                           .y = { "y", PLOT_NUMBER, 0, 1 },
                                           .series = &series,
                                           .series_count = 1,
                                           .width = 280,
                                           .height = 280 });

    /* 64 from the left to 16 from the right; 46 from below to 34 from above. */
    cr_assert(strstr(svg, "d=\"M64.0 234.0L164.0 34.0L264.0 184.0\"") != NULL, "%s", svg);
}

Test(plot, holds_a_value_until_the_next_in_steps_and_leaves_gaps)
{
    const double x[] = { 0, 1, 2, 3, 4 }, y[] = { 0, 4, NAN, 2, 4 };
    struct plot_series series = { .mark = PLOT_STEPS, .x = x, .y = y, .n = 5 };
    const struct plot p = { .title = "T",
                            .x = { "x", PLOT_NUMBER, 0, 4 },
                            .y = { "y", PLOT_NUMBER, 0, 4 },
                            .series = &series,
                            .series_count = 1,
                            .width = 480,
                            .height = 480 };

    cr_assert(strstr(draw(&p), "d=\"M64.0 434.0H164.0L164.0 34.0M364.0 234.0H464.0L464.0 34.0\"") != NULL);
    series.mark = PLOT_LINE;
    cr_assert(strstr(draw(&p), "d=\"M64.0 434.0L164.0 34.0M364.0 234.0L464.0 34.0\"") != NULL);
    series.mark = PLOT_DOTS;
    cr_assert_eq(count(draw(&p), "<circle"), 4);
    series.mark = PLOT_BARS;
    cr_assert_eq(count(draw(&p), "class=\"bar"), 4);
}

Test(plot, chooses_round_ticks_of_every_kind)
{
    static const struct {
        struct plot_axis axis;
        double low, high;
        const char *ticks[8];
    } cases[] = {
        { { "", PLOT_NUMBER, 0, 0 }, 0, 4.7, { ">0<", ">1<", ">4<", ">5<" } },
        { { "", PLOT_NUMBER, 0, 0 }, 0.71, 0.79, { ">0.70<", ">0.72<", ">0.80<" } },
        { { "", PLOT_NUMBER, 0, 0 }, -20000, 35000, { ">-20k<", ">0k<", ">40k<" } },
        { { "", PLOT_NUMBER, 0, 0 }, 0, 12e6, { ">0M<", ">2M<", ">12M<" } },
        { { "", PLOT_PERCENT, 0, 1 }, 0.1, 0.2, { ">0%<", ">20%<", ">100%<" } },
        { { "", PLOT_PERCENT, 0, 0 }, 0.001, 0.004, { ">0.10%<", ">0.15%<", ">0.40%<" } },
        { { "", PLOT_LOG, 0, 0 }, 0.002, 30, { ">0.001<", ">0.01<", ">1<", ">10<", ">100<" } },
        { { "", PLOT_DATE, 0, 0 },
          17622 * (double)DAY_US,
          17652 * (double)DAY_US,
          { ">2018-04-05<", ">2018-04-26<" } },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const double x[] = { 1, 2 }, y[] = { cases[i].low, cases[i].high };
        const struct plot_series series = { .mark = PLOT_LINE, .x = x, .y = y, .n = 2 };
        const char *svg =
            draw(&(struct plot){ .title = "T", .y = cases[i].axis, .series = &series, .series_count = 1 });

        for (size_t t = 0; cases[i].ticks[t]; t++)
            cr_assert(strstr(svg, cases[i].ticks[t]) != NULL, "case %zu lacks %s: %s", i, cases[i].ticks[t],
                      svg);
    }
}

Test(plot, writes_any_text_so_that_it_stays_text)
{
    const double x[] = { 1, 2 }, y[] = { 1, 2 };
    const struct plot_series series[] = {
        { .name = "a<script>&\"", .x = x, .y = y, .n = 2 },
        { .name = "b", .x = x, .y = y, .n = 2 },
    };
    const char *svg = draw(&(struct plot){ .title = "1 < 2\n", .series = series, .series_count = 2 });

    cr_assert(strstr(svg, "<script") == NULL);
    cr_assert(strstr(svg, "a&lt;script&gt;&amp;&quot;") != NULL);
    cr_assert(strstr(svg, "1 &lt; 2 <") != NULL);
}

Test(plot, says_when_there_is_nothing_to_show)
{
    const double x[] = { 1, 2 }, y[] = { NAN, INFINITY };
    const struct plot_series series = { .x = x, .y = y, .n = 2 };

    cr_assert(strstr(draw(&(struct plot){ .title = "T" }), "nothing to show") != NULL);
    cr_assert(strstr(draw(&(struct plot){ .series = &series, .series_count = 1 }), "nothing to show") !=
              NULL);
    cr_assert(
        strstr(draw(&(struct plot){
                   .y = { "", PLOT_LOG, 0, 0 },
                   .series = &(struct plot_series){ .x = (double[]){ 1 }, .y = (double[]){ -1 }, .n = 1 },
                   .series_count = 1 }),
               "nothing to show") != NULL);
}

/* No number that a plot could meet makes a picture that is no XML: another program reads all of them. */
Test(plot, is_well_formed_for_whatever_numbers_come)
{
    static const double odd[] = { 0,    -0.0,     1,         -1,          1e300,     -1e300, 1e-300, 5e-324,
                                  1e15, INFINITY, -INFINITY, (double)NAN, 0.1 + 0.2, 1e18,   -7e9,   3 };
    double x[12], y[12], low[12], high[12];
    uint64_t state = 7;
    struct buf all;
    FILE *check;

    buf_init(&all, 0);
    buf_add_str(&all, "<all>");
    for (size_t round = 0; round < 200; round++) {
        struct plot_series series[2];
        struct plot_rule rules[2];

        for (size_t i = 0; i < 12; i++) {
            double *const targets[] = { x, y, low, high };

            for (size_t t = 0; t < 4; t++) {
                state = state * 6364136223846793005U + 1442695040888963407U;
                targets[t][i] = odd[(state >> 33) % ARRAY_LEN(odd)];
            }
        }
        for (size_t i = 0; i < 2; i++) {
            series[i] = (struct plot_series){ .name = i ? "b" : "a",
                                              .mark = (enum plot_mark)((round + i) % 4),
                                              .x = x,
                                              .y = y,
                                              .n = round % 13,
                                              .low = round % 3 ? low : NULL,
                                              .high = round % 3 ? high : NULL };
            rules[i] = (struct plot_rule){ y[i], i == 0, "rule" };
        }
        draw(&(struct plot){ .title = "T",
                             .x = { "x", (enum plot_kind)(round % 4), 0, 0 },
                             .y = { "y", (enum plot_kind)(round / 4 % 4), 0, 0 },
                             .series = series,
                             .series_count = 2,
                             .rules = rules,
                             .rule_count = 2,
                             .has_diagonal = true });
        cr_assert(strstr(buf_str(&out), "nan") == NULL && strstr(buf_str(&out), "inf") == NULL, "%s",
                  buf_str(&out));
        buf_add_slice(&all, buf_slice(&out));
    }
    buf_add_str(&all, "</all>");
    check = popen("python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.stdin.buffer)'", "w");
    cr_assert(check != NULL);
    cr_assert_eq(fwrite(buf_str(&all), 1, all.len, check), all.len);
    cr_assert_eq(pclose(check), 0);
    buf_release(&all);
}
