/* SPDX-License-Identifier: Apache-2.0
 * decay.c - see decay.h. */
#include "quality/decay.h"

#include <math.h>

#include "base/mem.h"
#include "quality/figures.h"
#include "stats/distribution.h"

enum { DAYS_LEAST = 3 };

const struct quality_decay_settings quality_decay_default = { .alpha = 0.01,
                                                              .least = 0.1,
                                                              .frauds_least = 50 };

/* P(T > t) of Student's distribution. */
static double student_upper(double t, double df)
{
    double tail = beta_regularised(df / (df + t * t), df / 2, 0.5) / 2;

    return t > 0 ? tail : 1 - tail;
}

static void merge_but(struct quality_day *sum, const struct quality_day *const *days, size_t count,
                      size_t but)
{
    *sum = (struct quality_day){ 0 };
    for (size_t i = 0; i < count; i++)
        if (i != but)
            quality_day_merge(sum, days[i]);
}

static double precision_of(const struct quality_day *day, double *frauds)
{
    struct quality_figures figures;

    quality_realised(&figures, day, ACTION_CHALLENGE);
    if (frauds)
        *frauds = figures.values[QUALITY_frauds];
    return figures.values[QUALITY_average_precision];
}

/* The sum of squares around the mean of what is left without each day that has decisions to rank. */
static double jackknife(struct quality_day *sum, const struct quality_day *const *days, size_t count,
                        size_t *used)
{
    double mean = 0, squares = 0;

    *used = 0;
    for (size_t i = 0; i < count; i++) {
        double rows = 0, value, step;

        for (size_t a = 0; a < ACTION_COUNT; a++)
            rows += (double)days[i]->action_seen[a];
        if (rows <= 0)
            continue;
        merge_but(sum, days, count, i);
        value = precision_of(sum, NULL);
        if (isnan(value))
            continue;
        ++*used;
        step = value - mean;
        mean += step / (double)*used;
        squares += step * (value - mean);
    }
    return squares;
}

void quality_decay(struct quality_decay *out, const struct quality_day *const *days, size_t count,
                   const struct quality_promise *promise, const struct quality_decay_settings *settings)
{
    struct quality_day *sum = mem_new(struct quality_day);
    double squares, m, error, lost;
    size_t used;

    *out = (struct quality_decay){ .value = (double)NAN, .error = (double)NAN, .p = (double)NAN };
    merge_but(sum, days, count, count);
    out->value = precision_of(sum, &out->frauds);
    squares = jackknife(sum, days, count, &used);
    mem_free(sum);
    if (used < DAYS_LEAST)
        return;
    m = (double)used;
    out->error = sqrt((m - 1) / m * squares);
    if (isnan(promise->average_precision) || isnan(out->value) || out->frauds < settings->frauds_least)
        return;
    out->is_tested = true;
    error = out->error;
    if (promise->frauds > 0)
        error = hypot(error, out->error * sqrt(out->frauds / promise->frauds));
    lost = promise->average_precision - out->value;
    out->p = error > 0 ? student_upper(lost / error, m - 1) : lost > 0 ? 0 : 1;
    out->is_beyond = out->p <= settings->alpha && lost >= settings->least * promise->average_precision;
}
