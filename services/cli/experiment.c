/* SPDX-License-Identifier: Apache-2.0 */
#include "experiment.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "stats/logistic.h"
#include "stats/ranking.h"

void picks_add(struct picks *p, size_t row)
{
    ARRAY_RESERVE_ONE(p->rows, p->count, p->cap);
    p->rows[p->count++] = (uint32_t)row;
}

void picks_release(struct picks *p)
{
    mem_free(p->rows);
    *p = (struct picks){ 0 };
}

/* The chosen columns of the chosen rows, side by side; the caller's. */
static float *gather(const struct experiment *e, const uint32_t *picked, size_t count)
{
    float *x = mem_new_n(float, count * e->column_count);

    for (size_t i = 0; i < count; i++) {
        const float *from = rows_vector(e->rows, picked[i]);

        for (size_t c = 0; c < e->column_count; c++)
            x[i * e->column_count + c] = from[e->columns[c]];
    }
    return x;
}

static enum err train_gbdt(struct experiment *e, const float *train, const float *labels, const float *test,
                           double *scores)
{
    struct booster_matrix *matrix = NULL;
    struct booster *booster = NULL;
    float *margins = mem_new_n(float, e->test_count);
    enum err err = booster_matrix_new(&matrix, train, e->train_count, e->column_count, labels, NULL,
                                      e->params.threads, &e->why);

    if (!err)
        err = booster_train(&booster, &e->params, matrix, NULL, NULL, NULL, &e->why);
    if (!err)
        err = booster_margins(booster, test, e->test_count, e->column_count, margins, &e->why);
    for (size_t i = 0; !err && i < e->test_count; i++)
        scores[i] = (double)margins[i];
    booster_close(booster);
    booster_matrix_free(matrix);
    mem_free(margins);
    return err;
}

static enum err train_logistic(struct experiment *e, const float *train, const uint8_t *labels,
                               const float *test, double *scores)
{
    struct logistic model = { 0 };
    enum err err = logistic_fit(&model, train, labels, e->train_count, e->column_count, 1.0, &e->why);

    for (size_t i = 0; !err && i < e->test_count; i++)
        scores[i] = logistic_margin(&model, test + i * e->column_count);
    if (!err)
        logistic_release(&model);
    return err;
}

static int by_score_falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Frauds among the highest fifth of the rows, over what chance would find there; of rows that share the score
 * at the edge, their share of frauds counts. */
static double lift(const double *scores, const uint8_t *labels, size_t n)
{
    double *sorted = mem_new_n(double, n + 1), edge, found = 0;
    size_t top = n / 5, above = 0, equal = 0, frauds = 0, frauds_equal = 0;

    for (size_t i = 0; i < n; i++)
        sorted[i] = scores[i];
    qsort(sorted, n, sizeof *sorted, by_score_falling);
    edge = top ? sorted[top - 1] : INFINITY;
    for (size_t i = 0; i < n; i++) {
        frauds += labels[i];
        above += scores[i] > edge;
        equal += scores[i] == edge;
        found += scores[i] > edge ? labels[i] : 0;
        frauds_equal += scores[i] == edge ? labels[i] : 0U;
    }
    mem_free(sorted);
    if (!frauds || !top)
        return NAN;
    found += (double)frauds_equal * (double)(top - above) / (double)equal;
    return found / (double)frauds * (double)n / (double)top;
}

static void judge(struct experiment *e, const double *scores, const uint8_t *labels)
{
    int64_t *days = mem_new_n(int64_t, e->test_count), *customers = mem_new_n(int64_t, e->test_count);
    struct figures *f = &e->figures;

    for (size_t i = 0; i < e->test_count; i++) {
        days[i] = e->rows->row[e->test[i]].at_us / DAY_US;
        customers[i] = e->rows->row[e->test[i]].customer;
        f->test_frauds += labels[i];
    }
    f->train_rows = e->train_count;
    f->test_rows = e->test_count;
    f->auc_roc = auc_roc(scores, labels, e->test_count);
    f->average_precision = average_precision(scores, labels, e->test_count);
    f->card_precision_100 = card_precision_at_k(scores, labels, days, customers, e->test_count, 100, NULL);
    f->recall_fpr_1 = point_at_fpr(scores, labels, e->test_count, 0.01).recall;
    f->recall_fpr_01 = point_at_fpr(scores, labels, e->test_count, 0.001).recall;
    f->lift_20 = lift(scores, labels, e->test_count);
    mem_free(days);
    mem_free(customers);
}

static void run_one(struct experiment *e)
{
    float *train = gather(e, e->train, e->train_count), *test = gather(e, e->test, e->test_count);
    float *labels = mem_new_n(float, e->train_count);
    uint8_t *flags = mem_new_n(uint8_t, e->train_count), *truth = mem_new_n(uint8_t, e->test_count);
    double *scores = mem_new_n(double, e->test_count);

    for (size_t i = 0; i < e->train_count; i++) {
        flags[i] = e->rows->row[e->train[i]].is_fraud;
        labels[i] = flags[i];
        e->figures.train_frauds += flags[i];
    }
    for (size_t i = 0; i < e->test_count; i++)
        truth[i] = e->rows->row[e->test[i]].is_fraud;
    e->params.threads = 1;
    e->err = e->learner == LEARNER_GBDT ? train_gbdt(e, train, labels, test, scores)
                                        : train_logistic(e, train, flags, test, scores);
    if (!e->err)
        judge(e, scores, truth);
    mem_free(train);
    mem_free(test);
    mem_free(labels);
    mem_free(flags);
    mem_free(truth);
    mem_free(scores);
}

struct work {
    struct experiment *all;
    size_t count;
    atomic_size_t next, done;
};

static void *worker(void *context)
{
    struct work *w = context;
    size_t i;

    while ((i = atomic_fetch_add(&w->next, 1)) < w->count) {
        struct experiment *e = &w->all[i];

        run_one(e);
        fprintf(stderr, "%zu of %zu: %s, %g days, %s %d: %s", atomic_fetch_add(&w->done, 1) + 1, w->count,
                e->name, e->history_days, e->split, e->fold + 1, e->err ? e->why.text : "");
        if (!e->err)
            fprintf(stderr, "AP %.3f AUC %.3f", e->figures.average_precision, e->figures.auc_roc);
        fputc('\n', stderr);
    }
    return NULL;
}

enum err experiments_run(struct experiment *all, size_t count, size_t threads, struct why *why)
{
    struct work w = { .all = all, .count = count };
    pthread_t *workers = mem_new_n(pthread_t, threads);
    size_t started = 0;

    while (started + 1 < threads && pthread_create(&workers[started], NULL, worker, &w) == 0)
        started++;
    worker(&w);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i], NULL);
    mem_free(workers);
    for (size_t i = 0; i < count; i++)
        if (all[i].err)
            return err_set(why, all[i].err, "%s, %s %d: %s", all[i].name, all[i].split, all[i].fold + 1,
                           all[i].why.text);
    return ERR_OK;
}
