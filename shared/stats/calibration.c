/* SPDX-License-Identifier: Apache-2.0
 * calibration.c - see calibration.h. */
#include "stats/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void calibration_release(struct calibration *c)
{
    if (!c)
        return;
    mem_free(c->x);
    mem_free(c->y);
    *c = (struct calibration){ 0 };
}

static void calibration_init(struct calibration *c, size_t count)
{
    c->count = count;
    c->x = mem_new_n(double, count);
    c->y = mem_new_n(double, count);
}

enum err calibration_check(const struct calibration *c, struct why *why)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!isfinite(c->x[i]) || !isfinite(c->y[i]))
            return err_set(why, ERR_INVALID, "calibration: knot %zu is not finite", i);
        if (i > 0 && (c->x[i] <= c->x[i - 1] || c->y[i] <= c->y[i - 1]))
            return err_set(why, ERR_INVALID, "calibration: knot %zu does not rise", i);
    }
    return ERR_OK;
}

static double sigmoid(double log_odds)
{
    return 1 / (1 + exp(-log_odds));
}

static double log_odds_of(double probability)
{
    return log(probability) - log1p(-probability);
}

double calibration_eval(const struct calibration *c, double margin)
{
    size_t low = 0, high = c->count;

    if (c->count == 0 || isnan(margin))
        return sigmoid(margin);
    while (low < high) { /* the first knot above the margin */
        size_t middle = low + (high - low) / 2;

        if (c->x[middle] > margin)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0)
        return sigmoid(c->y[0] + (margin - c->x[0]));
    if (low == c->count)
        return sigmoid(c->y[low - 1] + (margin - c->x[low - 1]));
    double share = (margin - c->x[low - 1]) / (c->x[low] - c->x[low - 1]);
    return sigmoid(c->y[low - 1] + share * (c->y[low] - c->y[low - 1]));
}

static double weight_of(const float *weights, size_t row)
{
    return weights ? (double)weights[row] : 1;
}

/* How many rows, and frauds among them, by weight. */
struct totals {
    double rows, frauds;
};

static enum err check_rows(const double *margins, const uint8_t *labels, const float *weights, size_t n,
                           struct totals *totals, struct why *why)
{
    size_t frauds = 0;

    *totals = (struct totals){ 0 };
    for (size_t i = 0; i < n; i++) {
        double weight = weight_of(weights, i);

        if (!isfinite(margins[i]))
            return err_set(why, ERR_INVALID, "calibration: margin %zu is not finite", i);
        if (!(weight > 0) || !isfinite(weight))
            return err_set(why, ERR_INVALID, "calibration: weight %zu is not above 0", i);
        frauds += labels[i] != 0;
        totals->rows += weight;
        totals->frauds += labels[i] ? weight : 0;
    }
    if (frauds == 0 || frauds == n)
        return err_set(why, ERR_INVALID, "calibration: %zu rows with %zu frauds; both kinds are needed", n,
                       frauds);
    return ERR_OK;
}

/* ---- isotonic ---- */

struct block {
    double x_sum, rows, frauds;
    double share;
};

struct margin_row {
    double margin;
    double weight;
    double fraud; /* the weight of a fraud, 0 of another */
};

static struct margin_row *margin_rows(const double *margins, const uint8_t *labels, const float *weights,
                                      size_t n)
{
    struct margin_row *rows = mem_new_n(struct margin_row, n);

    for (size_t i = 0; i < n; i++) {
        double weight = weight_of(weights, i);

        rows[i] = (struct margin_row){ margins[i], weight, labels[i] ? weight : 0 };
    }
    return rows;
}

static int by_margin(const void *a, const void *b)
{
    double x = ((const struct margin_row *)a)->margin, y = ((const struct margin_row *)b)->margin;

    return (x > y) - (x < y);
}

static void block_join(struct block *into, const struct block *next, double prior)
{
    into->x_sum += next->x_sum;
    into->rows += next->rows;
    into->frauds += next->frauds;
    into->share = (into->frauds + prior) / (into->rows + 1);
}

/* Blocks of equal margins, merged until the shares rise strictly. */
static size_t pool(struct block *blocks, const struct margin_row *rows, size_t n, double prior)
{
    size_t count = 0;

    for (size_t i = 0, end; i < n; i = end) {
        blocks[count] = (struct block){ 0 };
        for (end = i; end < n && rows[end].margin == rows[i].margin; end++)
            block_join(
                &blocks[count],
                &(struct block){ rows[end].weight * rows[end].margin, rows[end].weight, rows[end].fraud, 0 },
                prior);
        count++;
        for (; count > 1 && blocks[count - 1].share <= blocks[count - 2].share; count--)
            block_join(&blocks[count - 2], &blocks[count - 1], prior);
    }
    return count;
}

/* Merging two blocks in the middle of a rising row keeps it rising, but for the prior's pull on small blocks:
 * so it is pooled once more. */
static size_t thin(struct block *blocks, size_t count, size_t max_knots, double prior)
{
    while (count > max_knots) {
        size_t cheapest = 1;
        double least = INFINITY;

        for (size_t i = 1; i < count; i++) {
            double gap = blocks[i].share - blocks[i - 1].share;
            double cost =
                gap * gap * blocks[i].rows * blocks[i - 1].rows / (blocks[i].rows + blocks[i - 1].rows);

            if (cost < least) {
                least = cost;
                cheapest = i;
            }
        }
        block_join(&blocks[cheapest - 1], &blocks[cheapest], prior);
        count--;
        memmove(&blocks[cheapest], &blocks[cheapest + 1], (count - cheapest) * sizeof *blocks);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        blocks[kept++] = blocks[i];
        for (; kept > 1 && blocks[kept - 1].share <= blocks[kept - 2].share; kept--)
            block_join(&blocks[kept - 2], &blocks[kept - 1], prior);
    }
    return kept;
}

enum err calibration_fit_isotonic_weighted(struct calibration *c, const double *margins,
                                           const uint8_t *labels, const float *weights, size_t n,
                                           size_t max_knots, struct why *why)
{
    struct margin_row *rows;
    struct block *blocks;
    struct totals totals;
    size_t count;
    enum err err = check_rows(margins, labels, weights, n, &totals, why);

    *c = (struct calibration){ 0 };
    if (err)
        return err;
    rows = margin_rows(margins, labels, weights, n);
    blocks = mem_new_n(struct block, n);
    qsort(rows, n, sizeof *rows, by_margin);

    double prior = totals.frauds / totals.rows;
    count = thin(blocks, pool(blocks, rows, n, prior), max_knots < 2 ? 2 : max_knots, prior);
    calibration_init(c, count);
    for (size_t i = 0; i < count; i++) {
        c->x[i] = blocks[i].x_sum / blocks[i].rows;
        c->y[i] = log_odds_of(blocks[i].share);
    }
    mem_free(rows);
    mem_free(blocks);
    return ERR_OK;
}

enum err calibration_fit_isotonic(struct calibration *c, const double *margins, const uint8_t *labels,
                                  size_t n, size_t max_knots, struct why *why)
{
    return calibration_fit_isotonic_weighted(c, margins, labels, NULL, n, max_knots, why);
}

/* ---- Platt ---- */

/* The negative log-likelihood of sigmoid(a * margin + b), written so that nothing overflows. */
static double platt_loss(const double *margins, const uint8_t *labels, const float *weights, size_t n,
                         const double target[2], double a, double b)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double z = a * margins[i] + b, t = target[labels[i] != 0];

        sum += weight_of(weights, i) * (z >= 0 ? (1 - t) * z + log1p(exp(-z)) : -t * z + log1p(exp(z)));
    }
    return sum;
}

static enum err platt_fit_weighted(struct platt *out, const double *margins, const uint8_t *labels,
                                   const float *weights, size_t n, struct why *why)
{
    struct totals totals;
    enum err err = check_rows(margins, labels, weights, n, &totals, why);
    double goods = totals.rows - totals.frauds;
    double target[2], a = 0, b, loss;

    *out = (struct platt){ 0 };
    if (err)
        return err;
    target[0] = 1 / (goods + 2);
    target[1] = (totals.frauds + 1) / (totals.frauds + 2);
    b = log((totals.frauds + 1) / (goods + 1));
    loss = platt_loss(margins, labels, weights, n, target, a, b);
    for (int step = 0; step < 100; step++) {
        double h11 = 1e-12, h22 = 1e-12, h21 = 0, g1 = 0, g2 = 0;

        for (size_t i = 0; i < n; i++) {
            double w = weight_of(weights, i), p = sigmoid(a * margins[i] + b);
            double weight = w * p * (1 - p), slope = w * (p - target[labels[i] != 0]);

            h11 += margins[i] * margins[i] * weight;
            h22 += weight;
            h21 += margins[i] * weight;
            g1 += margins[i] * slope;
            g2 += slope;
        }
        if (fabs(g1) < 1e-9 * totals.rows && fabs(g2) < 1e-9 * totals.rows)
            break;
        double det = h11 * h22 - h21 * h21, da = -(h22 * g1 - h21 * g2) / det,
               db = -(h11 * g2 - h21 * g1) / det;
        double descent = g1 * da + g2 * db, size = 1, next = loss;

        for (; size >= 1e-10; size /= 2) {
            next = platt_loss(margins, labels, weights, n, target, a + size * da, b + size * db);
            if (next < loss + 1e-4 * size * descent)
                break;
        }
        if (size < 1e-10) /* nothing better in this direction: as good as it gets */
            break;
        a += size * da;
        b += size * db;
        loss = next;
    }
    *out = (struct platt){ a, b };
    return ERR_OK;
}

enum err platt_fit(struct platt *out, const double *margins, const uint8_t *labels, size_t n, struct why *why)
{
    return platt_fit_weighted(out, margins, labels, NULL, n, why);
}

enum err calibration_fit_platt_weighted(struct calibration *c, const double *margins, const uint8_t *labels,
                                        const float *weights, size_t n, struct why *why)
{
    struct platt fit;
    enum err err = platt_fit_weighted(&fit, margins, labels, weights, n, why);

    *c = (struct calibration){ 0 };
    if (err)
        return err;
    if (!(fit.a > 0))
        return err_set(why, ERR_INVALID, "calibration: frauds do not score higher than the rest");
    calibration_init(c, 2);
    for (int i = 0; i < 2; i++) {
        c->x[i] = i ? PLATT_REACH : -PLATT_REACH;
        c->y[i] = fit.a * c->x[i] + fit.b;
    }
    return ERR_OK;
}

enum err calibration_fit_platt(struct calibration *c, const double *margins, const uint8_t *labels, size_t n,
                               struct why *why)
{
    return calibration_fit_platt_weighted(c, margins, labels, NULL, n, why);
}

/* ---- how good it is ---- */

size_t reliability(const double *probabilities, const uint8_t *labels, const float *weights, size_t n,
                   struct reliability_bin *bins, size_t count)
{
    struct margin_row *rows;
    double total = 0, before = 0;
    size_t used = 0;

    if (n == 0 || count == 0)
        return 0;
    rows = margin_rows(probabilities, labels, weights, n);
    qsort(rows, n, sizeof *rows, by_margin);
    for (size_t i = 0; i < n; i++)
        total += rows[i].weight;
    for (size_t i = 0; i < n;) {
        struct reliability_bin *bin = &bins[used++];
        double place = floor(before * (double)count / total);
        double edge = rows[i].margin;

        *bin = (struct reliability_bin){ 0 };
        while (i < n && (floor(before * (double)count / total) == place || rows[i].margin == edge)) {
            edge = rows[i].margin;
            bin->expected += rows[i].weight * rows[i].margin;
            bin->happened += rows[i].fraud;
            bin->weight += rows[i].weight;
            before += rows[i++].weight;
        }
    }
    mem_free(rows);
    return used;
}

double calibration_error_weighted(const double *probabilities, const uint8_t *labels, const float *weights,
                                  size_t n, size_t bins)
{
    struct reliability_bin *all = mem_new_n(struct reliability_bin, bins ? bins : 1);
    size_t used = reliability(probabilities, labels, weights, n, all, bins);
    double sum = 0, total = 0;

    for (size_t i = 0; i < used; i++) {
        sum += fabs(all[i].expected - all[i].happened);
        total += all[i].weight;
    }
    mem_free(all);
    return used ? sum / total : NAN;
}

double calibration_error(const double *probabilities, const uint8_t *labels, size_t n, size_t bins)
{
    return calibration_error_weighted(probabilities, labels, NULL, n, bins);
}

double brier_score(const double *probabilities, const uint8_t *labels, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double off = probabilities[i] - (labels[i] != 0);

        sum += off * off;
    }
    return n ? sum / (double)n : NAN;
}

double log_loss(const double *probabilities, const uint8_t *labels, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double p = fmin(fmax(probabilities[i], 1e-15), 1 - 1e-15);

        sum -= labels[i] ? log(p) : log1p(-p);
    }
    return n ? sum / (double)n : NAN;
}
