/* SPDX-License-Identifier: Apache-2.0
 * ranking.c - see ranking.h. One sort, and walks over groups of equal scores. */
#include "stats/ranking.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct ranked {
    double score;
    uint32_t row;
    uint8_t label;
};

static int highest_first(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;

    return (x < y) - (x > y);
}

static struct ranked *rank_rows(const double *scores, const uint8_t *labels, size_t n)
{
    struct ranked *rows = mem_new_n(struct ranked, n ? n : 1);

    for (size_t i = 0; i < n; i++)
        rows[i] = (struct ranked){ scores[i], (uint32_t)i, labels[i] != 0 };
    qsort(rows, n, sizeof *rows, highest_first);
    return rows;
}

/* The rows of the next group of equal scores, which starts at `from`: its end and its frauds. */
static size_t group_end(const struct ranked *rows, size_t n, size_t from, size_t *frauds)
{
    size_t end = from;

    *frauds = 0;
    for (; end < n && rows[end].score == rows[from].score; end++)
        *frauds += rows[end].label;
    return end;
}

static size_t count_frauds(const uint8_t *labels, size_t n)
{
    size_t frauds = 0;

    for (size_t i = 0; i < n; i++)
        frauds += labels[i] != 0;
    return frauds;
}

/* The same with a weight for each row. */
struct weighed {
    double score, fraud, good; /* weights: one of them is 0 */
};

static int highest_weighed_first(const void *a, const void *b)
{
    double x = ((const struct weighed *)a)->score, y = ((const struct weighed *)b)->score;

    return (x < y) - (x > y);
}

/* Highest score first, rows of equal scores put together; *count groups. */
static struct weighed *weigh_rows(const double *scores, const uint8_t *labels, const float *weights, size_t n,
                                  size_t *count)
{
    struct weighed *rows = mem_new_n(struct weighed, n ? n : 1);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        double weight = weights ? (double)weights[i] : 1;

        rows[i] = (struct weighed){ scores[i], labels[i] ? weight : 0, labels[i] ? 0 : weight };
    }
    qsort(rows, n, sizeof *rows, highest_weighed_first);
    for (size_t i = 0; i < n; i++) {
        if (kept && rows[kept - 1].score == rows[i].score) {
            rows[kept - 1].fraud += rows[i].fraud;
            rows[kept - 1].good += rows[i].good;
        } else {
            rows[kept++] = rows[i];
        }
    }
    *count = kept;
    return rows;
}

double auc_roc_weighted(const double *scores, const uint8_t *labels, const float *weights, size_t n)
{
    size_t count;
    struct weighed *groups = weigh_rows(scores, labels, weights, n, &count);
    double twice_won = 0, frauds = 0, goods = 0; /* whole numbers without weights: exact up to 2^53 pairs */

    for (size_t i = count; i-- > 0;) {
        twice_won += groups[i].fraud * (2 * goods + groups[i].good);
        goods += groups[i].good;
        frauds += groups[i].fraud;
    }
    mem_free(groups);
    return frauds > 0 && goods > 0 ? twice_won / 2 / (frauds * goods) : NAN;
}

double auc_roc(const double *scores, const uint8_t *labels, size_t n)
{
    return auc_roc_weighted(scores, labels, NULL, n);
}

/* ---- average precision of rows that were sorted once ---- */

enum { IS_FRAUD = 1, IS_LAST = 2 }; /* of its group of equal scores */

void ranking_init(struct ranking *r, const double *scores, const uint8_t *labels, const float *weights,
                  const uint32_t *units, size_t n)
{
    struct ranked *rows = rank_rows(scores, labels, n);

    *r = (struct ranking){ .n = n,
                           .units = mem_new_n(uint32_t, n ? n : 1),
                           .flags = mem_new_n(uint8_t, n ? n : 1),
                           .weights = weights ? mem_new_n(float, n ? n : 1) : NULL };
    for (size_t i = 0; i < n; i++) {
        r->units[i] = units ? units[rows[i].row] : rows[i].row;
        r->flags[i] = rows[i].label ? IS_FRAUD : 0;
        if (i + 1 == n || rows[i + 1].score != rows[i].score)
            r->flags[i] |= IS_LAST;
        if (weights)
            r->weights[i] = weights[rows[i].row];
    }
    mem_free(rows);
}

void ranking_release(struct ranking *r)
{
    if (!r)
        return;
    mem_free(r->units);
    mem_free(r->flags);
    mem_free(r->weights);
    *r = (struct ranking){ 0 };
}

double ranking_average_precision(const struct ranking *r, const uint32_t *times)
{
    double flagged = 0, caught = 0, in_group = 0, sum = 0;

    for (size_t i = 0; i < r->n; i++) {
        double weight = times ? times[r->units[i]] : 1;

        if (r->weights)
            weight *= r->weights[i];
        flagged += weight;
        if (r->flags[i] & IS_FRAUD)
            in_group += weight;
        if (r->flags[i] & IS_LAST && in_group > 0) {
            caught += in_group;
            sum += in_group * (caught / flagged);
            in_group = 0;
        }
    }
    return caught > 0 ? sum / caught : NAN;
}

double average_precision_weighted(const double *scores, const uint8_t *labels, const float *weights, size_t n)
{
    struct ranking r;
    double figure;

    ranking_init(&r, scores, labels, weights, NULL, n);
    figure = ranking_average_precision(&r, NULL);
    ranking_release(&r);
    return figure;
}

double average_precision(const double *scores, const uint8_t *labels, size_t n)
{
    return average_precision_weighted(scores, labels, NULL, n);
}

static struct operating_point point_make(double threshold, size_t flagged, size_t caught, size_t frauds,
                                         size_t n)
{
    return (struct operating_point){
        .threshold = threshold,
        .precision = flagged ? (double)caught / (double)flagged : NAN,
        .recall = frauds ? (double)caught / (double)frauds : NAN,
        .false_positive_rate = n > frauds ? (double)(flagged - caught) / (double)(n - frauds) : NAN,
        .flagged = flagged,
        .caught = caught,
    };
}

struct operating_point point_at_fpr(const double *scores, const uint8_t *labels, size_t n, double fpr)
{
    size_t frauds = count_frauds(labels, n), caught = 0, in_group;
    struct ranked *rows = rank_rows(scores, labels, n);
    struct operating_point best = point_make(INFINITY, 0, 0, frauds, n);

    for (size_t i = 0, end; i < n; i = end) {
        end = group_end(rows, n, i, &in_group);
        caught += in_group;
        if ((double)(end - caught) > fpr * (double)(n - frauds))
            break;
        if (caught > best.caught) /* more good customers stopped for nothing is not a better point */
            best = point_make(rows[i].score, end, caught, frauds, n);
    }
    mem_free(rows);
    return best;
}

struct operating_point point_at_threshold(const double *scores, const uint8_t *labels, size_t n,
                                          double threshold)
{
    size_t flagged = 0, caught = 0;

    for (size_t i = 0; i < n; i++) {
        if (scores[i] >= threshold) {
            flagged++;
            caught += labels[i] != 0;
        }
    }
    return point_make(threshold, flagged, caught, count_frauds(labels, n), n);
}

/* ---- Card Precision@k ---- */

struct card_row {
    int64_t day;
    double score;
    uint32_t customer;
    uint8_t label;
};

static int by_day_and_customer(const void *a, const void *b)
{
    const struct card_row *x = a, *y = b;

    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    return (x->customer > y->customer) - (x->customer < y->customer);
}

static int by_score_then_customer(const void *a, const void *b)
{
    const struct card_row *x = a, *y = b;

    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->customer > y->customer) - (x->customer < y->customer);
}

/* Joins each customer's rows of a day, which stand together, into one; returns how many are left. */
static size_t join_customers(struct card_row *rows, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct card_row *last = kept ? &rows[kept - 1] : NULL;

        if (!last || last->day != rows[i].day || last->customer != rows[i].customer) {
            rows[kept++] = rows[i];
            continue;
        }
        if (rows[i].score > last->score)
            last->score = rows[i].score;
        last->label |= rows[i].label;
    }
    return kept;
}

void card_ranking_init(struct card_ranking *r, const double *scores, const uint8_t *labels,
                       const int64_t *days, const struct clusters *customers, size_t n)
{
    struct card_row *rows = mem_new_n(struct card_row, n ? n : 1);

    for (size_t i = 0; i < n; i++)
        rows[i] = (struct card_row){ days[i], scores[i], customers->of[i], labels[i] != 0 };
    qsort(rows, n, sizeof *rows, by_day_and_customer);
    n = join_customers(rows, n);
    *r = (struct card_ranking){ .starts = mem_new_n(size_t, n + 1),
                                .customers = mem_new_n(uint32_t, n ? n : 1),
                                .labels = mem_new_n(uint8_t, n ? n : 1),
                                .left = mem_new_n(uint32_t, customers->count ? customers->count : 1),
                                .customer_count = customers->count };
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && rows[end].day == rows[i].day; end++)
            ;
        qsort(rows + i, end - i, sizeof *rows, by_score_then_customer);
        r->starts[++r->days] = end;
    }
    for (size_t i = 0; i < n; i++) {
        r->customers[i] = rows[i].customer;
        r->labels[i] = rows[i].label;
    }
    mem_free(rows);
}

void card_ranking_release(struct card_ranking *r)
{
    if (!r)
        return;
    mem_free(r->starts);
    mem_free(r->customers);
    mem_free(r->labels);
    mem_free(r->left);
    *r = (struct card_ranking){ 0 };
}

double card_ranking_precision(struct card_ranking *r, size_t k, const uint32_t *times, double *per_day)
{
    double sum = 0;

    for (size_t c = 0; c < r->customer_count; c++)
        r->left[c] = times ? times[c] : 1;
    for (size_t day = 0; day < r->days; day++) {
        size_t looked_at = 0, caught = 0;

        for (size_t i = r->starts[day]; i < r->starts[day + 1] && looked_at < k; i++) {
            uint32_t *left = &r->left[r->customers[i]];
            size_t taken = *left < k - looked_at ? *left : k - looked_at;

            looked_at += taken;
            if (r->labels[i]) {
                caught += taken;
                *left -= (uint32_t)taken;
            }
        }
        if (per_day)
            per_day[day] = (double)caught / (double)k;
        sum += (double)caught / (double)k;
    }
    return r->days ? sum / (double)r->days : NAN;
}

double card_precision_at_k(const double *scores, const uint8_t *labels, const int64_t *days,
                           const int64_t *customers, size_t n, size_t k, double *per_day)
{
    struct clusters clusters;
    struct card_ranking r;
    double figure;

    clusters_init(&clusters, customers, n);
    card_ranking_init(&r, scores, labels, days, &clusters, n);
    figure = card_ranking_precision(&r, k, NULL, per_day);
    card_ranking_release(&r);
    clusters_release(&clusters);
    return figure;
}
