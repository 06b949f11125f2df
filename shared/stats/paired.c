/* SPDX-License-Identifier: Apache-2.0
 * paired.c - see paired.h. */
#include "stats/paired.h"

#include <math.h>

#include "base/mem.h"
#include "stats/distribution.h"
#include "stats/ranking.h"

struct mcnemar mcnemar(uint64_t only_a, uint64_t only_b)
{
    struct mcnemar m = { .only_a = only_a, .only_b = only_b, .exact = 1, .mid_p = 1 };
    uint64_t least = only_a < only_b ? only_a : only_b, n = only_a + only_b;
    double tail;

    if (n == 0)
        return m;
    tail = 2 * binomial_cdf(least, n, 0.5);
    m.exact = fmin(1, tail);
    m.mid_p = fmin(1, tail - binomial_mass(least, n, 0.5));
    return m;
}

/* One statistic of two models under the same draw. */
struct pair {
    double (*figure)(void *model, const uint32_t *times);
    void *models[2];
};

static void difference(void *context, const uint32_t *times, double *figures)
{
    const struct pair *pair = context;

    *figures = pair->figure(pair->models[0], times) - pair->figure(pair->models[1], times);
}

static struct paired run(struct pair *pair, const struct clusters *clusters,
                         const struct paired_settings *settings)
{
    struct paired result = { .a = pair->figure(pair->models[0], NULL),
                             .b = pair->figure(pair->models[1], NULL) };

    resample(clusters, difference, pair, 1, settings->rounds, settings->confidence, settings->seed,
             &result.difference);
    return result;
}

/* ---- average precision ---- */

static double ranked_figure(void *model, const uint32_t *times)
{
    return ranking_average_precision(model, times);
}

struct paired paired_average_precision(const struct paired_rows *rows, const struct paired_settings *settings)
{
    struct clusters clusters;
    struct ranking a, b;
    struct paired result;

    clusters_init(&clusters, rows->customers, rows->n);
    ranking_init(&a, rows->a, rows->labels, rows->weights, clusters.of, rows->n);
    ranking_init(&b, rows->b, rows->labels, rows->weights, clusters.of, rows->n);
    result = run(&(struct pair){ ranked_figure, { &a, &b } }, &clusters, settings);
    ranking_release(&a);
    ranking_release(&b);
    clusters_release(&clusters);
    return result;
}

/* ---- Card Precision@k ---- */

struct card_model {
    struct card_ranking ranking;
    size_t k;
};

static double card_figure(void *model, const uint32_t *times)
{
    struct card_model *m = model;

    return card_ranking_precision(&m->ranking, m->k, times, NULL);
}

struct paired paired_card_precision(const struct paired_rows *rows, size_t k,
                                    const struct paired_settings *settings)
{
    struct clusters clusters;
    struct card_model a = { .k = k }, b = { .k = k };
    struct paired result;

    clusters_init(&clusters, rows->customers, rows->n);
    card_ranking_init(&a.ranking, rows->a, rows->labels, rows->days, &clusters, rows->n);
    card_ranking_init(&b.ranking, rows->b, rows->labels, rows->days, &clusters, rows->n);
    result = run(&(struct pair){ card_figure, { &a, &b } }, &clusters, settings);
    card_ranking_release(&a.ranking);
    card_ranking_release(&b.ranking);
    clusters_release(&clusters);
    return result;
}

/* ---- means per row, from sums per cluster ---- */

struct mean_model {
    size_t clusters;
    const double *sums, *weights; /* [clusters] */
};

static double mean_figure(void *model, const uint32_t *times)
{
    const struct mean_model *m = model;
    double sum = 0, weight = 0;

    for (size_t c = 0; c < m->clusters; c++) {
        double drawn = times ? times[c] : 1;

        sum += drawn * m->sums[c];
        weight += drawn * m->weights[c];
    }
    return weight > 0 ? sum / weight : NAN;
}

struct paired paired_difference(const struct paired_rows *rows, const struct paired_settings *settings)
{
    struct clusters clusters;
    double *a, *b, *weights;
    struct paired result;

    clusters_init(&clusters, rows->customers, rows->n);
    a = mem_new_n(double, clusters.count + 1);
    b = mem_new_n(double, clusters.count + 1);
    weights = mem_new_n(double, clusters.count + 1);
    for (size_t i = 0; i < rows->n; i++) {
        double weight = rows->weights ? (double)rows->weights[i] : 1;

        a[clusters.of[i]] += weight * rows->a[i];
        b[clusters.of[i]] += weight * rows->b[i];
        weights[clusters.of[i]] += weight;
    }
    result = run(&(struct pair){ mean_figure,
                                 { &(struct mean_model){ clusters.count, a, weights },
                                   &(struct mean_model){ clusters.count, b, weights } } },
                 &clusters, settings);
    mem_free(a);
    mem_free(b);
    mem_free(weights);
    clusters_release(&clusters);
    return result;
}

/* ---- any statistic ---- */

struct any_model {
    paired_statistic statistic;
    void *context;
    const double *scores;
    const struct clusters *clusters;
    size_t n;
    uint32_t *row_times; /* [n], scratch */
};

static double any_figure(void *model, const uint32_t *times)
{
    const struct any_model *m = model;

    for (size_t i = 0; i < m->n && times; i++)
        m->row_times[i] = times[m->clusters->of[i]];
    return m->statistic(m->context, m->scores, times ? m->row_times : NULL, m->n);
}

struct paired paired_bootstrap(const struct paired_rows *rows, paired_statistic statistic, void *context,
                               const struct paired_settings *settings)
{
    struct clusters clusters;
    uint32_t *row_times = mem_new_n(uint32_t, rows->n + 1);
    struct paired result;

    clusters_init(&clusters, rows->customers, rows->n);
    result = run(
        &(struct pair){
            any_figure,
            { &(struct any_model){ statistic, context, rows->a, &clusters, rows->n, row_times },
              &(struct any_model){ statistic, context, rows->b, &clusters, rows->n, row_times } } },
        &clusters, settings);
    mem_free(row_times);
    clusters_release(&clusters);
    return result;
}
