/* SPDX-License-Identifier: Apache-2.0
 * weighting.c - see weighting.h. */
#include "stats/weighting.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#include "base/mem.h"
#include "stats/ranking.h"

const char *weighted_figure_name(enum weighted_figure figure)
{
    static const char *const names[] = {
#define WEIGHTED_NAME(name, meaning) [WEIGHTED_##name] = #name,
        WEIGHTED_LIST(WEIGHTED_NAME)
    };

    return names[figure];
}

double effective_size(const double *weights, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += weights[i];
        squares += weights[i] * weights[i];
    }
    return squares > 0 ? sum * sum / squares : 0;
}

/* What a cluster adds to the totals, by what the rows are. */
enum { GOOD_BELOW, GOOD_ABOVE, FRAUD_BELOW, FRAUD_ABOVE, KINDS };
struct totals {
    double rows[KINDS], money[KINDS]; /* each seen row times 1 / p */
    double could;                     /* rows with p > 0, seen or not */
};

struct weighing {
    struct totals *clusters; /* [count] */
    size_t count;
    struct ranking ranking;
    bool is_hajek, has_money;
};

static double share(double part, double rest)
{
    return part + rest > 0 ? part / (part + rest) : NAN;
}

static void figures_of(void *context, const uint32_t *times, double *f)
{
    const struct weighing *w = context;
    struct totals t = { 0 };
    double seen = 0, scale;

    for (size_t c = 0; c < w->count; c++) {
        double drawn = times ? times[c] : 1;

        if (drawn == 0)
            continue;
        for (int k = 0; k < KINDS; k++) {
            t.rows[k] += drawn * w->clusters[c].rows[k];
            t.money[k] += drawn * w->clusters[c].money[k];
        }
        t.could += drawn * w->clusters[c].could;
    }
    for (int k = 0; k < KINDS; k++)
        seen += t.rows[k];
    scale = !w->is_hajek ? 1 : seen > 0 ? t.could / seen : NAN;
    f[WEIGHTED_precision] = share(t.rows[FRAUD_ABOVE], t.rows[GOOD_ABOVE]);
    f[WEIGHTED_recall] = share(t.rows[FRAUD_ABOVE], t.rows[FRAUD_BELOW]);
    f[WEIGHTED_false_positive_rate] = share(t.rows[GOOD_ABOVE], t.rows[GOOD_BELOW]);
    f[WEIGHTED_frauds] = scale * (t.rows[FRAUD_ABOVE] + t.rows[FRAUD_BELOW]);
    f[WEIGHTED_flagged] = scale * (t.rows[FRAUD_ABOVE] + t.rows[GOOD_ABOVE]);
    f[WEIGHTED_money_caught] = w->has_money ? scale * t.money[FRAUD_ABOVE] : NAN;
    f[WEIGHTED_money_lost] = w->has_money ? scale * t.money[FRAUD_BELOW] : NAN;
    f[WEIGHTED_money_turned_away] = w->has_money ? scale * t.money[GOOD_ABOVE] : NAN;
    f[WEIGHTED_average_precision] = ranking_average_precision(&w->ranking, times);
}

static enum err check_rows(const struct weighted_rows *rows, struct why *why)
{
    for (size_t i = 0; i < rows->n; i++) {
        double p = rows->chances[i];

        if (!(p >= 0 && p <= 1))
            return err_set(why, ERR_INVALID, "row %zu has a chance of %g", i, p);
        if (p == 0 && rows->seen[i])
            return err_set(why, ERR_INVALID, "row %zu was seen, with a chance of 0", i);
        if (!isfinite(rows->scores[i]) || (rows->money && !isfinite(rows->money[i])))
            return err_set(why, ERR_INVALID, "row %zu has a score or money that is not finite", i);
    }
    return ERR_OK;
}

enum err weighted_estimate(struct weighted *out, const struct weighted_rows *rows, double threshold,
                           enum weighted_total total, size_t rounds, double confidence, uint64_t seed,
                           struct why *why)
{
    enum err err = check_rows(rows, why);
    size_t n = rows->n, seen = 0, above = 0;
    struct clusters clusters;
    struct weighing w = { .is_hajek = total == WEIGHTED_HAJEK, .has_money = rows->money != NULL };
    double *scores, *weights_above;
    float *weights; /* of the seen, for the ranking */
    uint8_t *labels;
    uint32_t *units;

    static_assert((int)WEIGHTED_COUNT <= (int)RESAMPLE_FIGURES_MAX, "all figures come from one draw");
    *out = (struct weighted){ .rows = n };
    if (err)
        return err;
    clusters_init(&clusters, rows->customers, n);
    w.count = clusters.count;
    w.clusters = mem_new_n(struct totals, clusters.count + 1);
    scores = mem_new_n(double, n + 1);
    weights = mem_new_n(float, n + 1);
    weights_above = mem_new_n(double, n + 1);
    labels = mem_new_n(uint8_t, n + 1);
    units = mem_new_n(uint32_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct totals *t = &w.clusters[clusters.of[i]];
        bool is_above = rows->scores[i] >= threshold, is_fraud = rows->seen[i] && rows->labels[i];
        int kind = 2 * is_fraud + is_above;
        double weight = 1 / rows->chances[i];

        if (rows->chances[i] == 0) {
            out->excluded++;
            out->excluded_flagged += is_above;
            continue;
        }
        t->could++;
        if (!rows->seen[i])
            continue;
        scores[seen] = rows->scores[i];
        weights[seen] = (float)weight;
        labels[seen] = is_fraud;
        units[seen] = clusters.of[i];
        t->rows[kind] += weight;
        t->money[kind] += rows->money ? weight * rows->money[i] : 0;
        if (is_above)
            weights_above[above++] = weight;
        seen++;
    }
    out->seen = seen;
    out->effective = effective_size(weights_above, above);
    ranking_init(&w.ranking, scores, labels, weights, units, seen);
    resample(&clusters, figures_of, &w, WEIGHTED_COUNT, rounds, confidence, seed, out->figures);
    ranking_release(&w.ranking);
    clusters_release(&clusters);
    mem_free(w.clusters);
    mem_free(scores);
    mem_free(weights);
    mem_free(weights_above);
    mem_free(labels);
    mem_free(units);
    return ERR_OK;
}
