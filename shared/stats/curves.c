/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/curves.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct ranked {
    double score, weight, money;
    bool is_fraud;
};

static int by_score_falling(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;

    return (x < y) - (x > y);
}

static struct ranked row_at(const struct curve_rows *rows, size_t i)
{
    return (struct ranked){ rows->scores[i], rows->weights ? (double)rows->weights[i] : 1,
                            rows->money ? rows->money[i] : 0, rows->labels[i] != 0 };
}

static void flag(struct curve_point *sums, const struct ranked *row)
{
    sums->flagged += row->weight;
    sums->frauds += row->is_fraud ? row->weight : 0;
    *(row->is_fraud ? &sums->caught : &sums->turned_away) += row->weight * row->money;
}

static void rate(struct curve_point *p, double threshold, double frauds)
{
    p->threshold = threshold;
    p->recall = frauds > 0 ? p->frauds / frauds : (double)NAN;
    p->precision = p->flagged > 0 ? p->frauds / p->flagged : (double)NAN;
}

static double all_frauds(const struct curve_rows *rows)
{
    double frauds = 0;

    for (size_t i = 0; i < rows->n; i++)
        frauds += rows->labels[i] ? row_at(rows, i).weight : 0;
    return frauds;
}

size_t curve_points(const struct curve_rows *rows, enum curve_by by, size_t steps, struct curve_point *out)
{
    struct ranked *sorted = mem_new_n(struct ranked, rows->n + 1);
    struct curve_point sums = { 0 };
    double frauds = all_frauds(rows), next = 0;
    size_t count = 0;

    for (size_t i = 0; i < rows->n; i++)
        sorted[i] = row_at(rows, i);
    qsort(sorted, rows->n, sizeof *sorted, by_score_falling);
    for (size_t i = 0; i < rows->n; i++) {
        bool is_last = i + 1 == rows->n;
        double place;

        flag(&sums, &sorted[i]);
        if (!is_last && sorted[i + 1].score == sorted[i].score)
            continue;
        rate(&sums, sorted[i].score, frauds);
        place = by == CURVE_BY_SHARE ? sqrt((double)(i + 1) / (double)rows->n) : frauds > 0 ? sums.recall : 0;
        if (place * (double)steps < next && !is_last)
            continue;
        next = floor(place * (double)steps) + 1;
        out[count++] = sums;
    }
    mem_free(sorted);
    return count;
}

struct curve_point curve_at(const struct curve_rows *rows, double threshold)
{
    struct curve_point sums = { 0 };

    for (size_t i = 0; i < rows->n; i++) {
        struct ranked row = row_at(rows, i);

        if (row.score >= threshold)
            flag(&sums, &row);
    }
    rate(&sums, threshold, all_frauds(rows));
    return sums;
}
