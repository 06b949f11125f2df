/* SPDX-License-Identifier: Apache-2.0
 * logistic.c - see logistic.h. */
#include "stats/logistic.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { STEPS_MAX = 50 };

void logistic_release(struct logistic *model)
{
    if (!model)
        return;
    mem_free(model->mean);
    mem_free(model->scale);
    mem_free(model->weights);
    *model = (struct logistic){ 0 };
}

static void standardise(struct logistic *model, const float *rows, size_t n)
{
    for (size_t j = 0; j < model->columns; j++) {
        double count = 0, sum = 0, squares = 0;

        for (size_t i = 0; i < n; i++) {
            float v = rows[i * model->columns + j];

            if (!isnan(v)) {
                count++;
                sum += v;
            }
        }
        model->mean[j] = count > 0 ? sum / count : 0;
        for (size_t i = 0; i < n; i++) {
            double off = rows[i * model->columns + j] - model->mean[j];

            if (!isnan(off))
                squares += off * off;
        }
        model->scale[j] = count > 0 ? sqrt(squares / count) : 0;
        /* A constant column has no deviation but rounding's. */
        if (model->scale[j] <= 1e-12 * fabs(model->mean[j]))
            model->scale[j] = 0;
    }
}

/* The standardised row, with a 1 behind it for the intercept. */
static void prepare(const struct logistic *model, const float *row, double *z)
{
    for (size_t j = 0; j < model->columns; j++)
        z[j] = isnan(row[j]) || model->scale[j] == 0 ? 0 : (row[j] - model->mean[j]) / model->scale[j];
    z[model->columns] = 1;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* log(1 + exp(-t)) without overflow. */
static double softplus_negative(double t)
{
    return t > 0 ? log1p(exp(-t)) : -t + log1p(exp(t));
}

struct problem {
    const struct logistic *model;
    const float *rows;
    const uint8_t *labels;
    size_t n, size; /* size: columns and the intercept */
    double c;
    double *z; /* one prepared row */
};

static double objective(const struct problem *p, const double *w)
{
    double sum = dot(w, w, p->size - 1) / 2;

    for (size_t i = 0; i < p->n; i++) {
        prepare(p->model, p->rows + i * p->model->columns, p->z);
        double margin = dot(w, p->z, p->size);

        sum += p->c * softplus_negative(p->labels[i] ? margin : -margin);
    }
    return sum;
}

/* Gradient and Hessian (lower triangle) at w. */
static void derivatives(const struct problem *p, const double *w, double *gradient, double *hessian)
{
    size_t size = p->size;

    memset(gradient, 0, size * sizeof *gradient);
    memset(hessian, 0, size * size * sizeof *hessian);
    for (size_t i = 0; i < p->n; i++) {
        prepare(p->model, p->rows + i * p->model->columns, p->z);
        double share = 1 / (1 + exp(-dot(w, p->z, size))), slope = p->c * (share - (p->labels[i] != 0));
        double weight = p->c * share * (1 - share);

        for (size_t j = 0; j < size; j++) {
            gradient[j] += slope * p->z[j];
            for (size_t k = 0; k <= j; k++)
                hessian[j * size + k] += weight * p->z[j] * p->z[k];
        }
    }
    for (size_t j = 0; j + 1 < size; j++) {
        gradient[j] += w[j];
        hessian[j * size + j] += 1;
    }
    hessian[size * size - 1] += 1e-12; /* the intercept alone has no penalty that keeps it positive */
}

/* Solves a * x = b for a positive definite `a` (lower triangle, overwritten); b becomes x. */
static void cholesky_solve(double *a, double *b, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        a[j * n + j] = sqrt(a[j * n + j] - dot(a + j * n, a + j * n, j));
        for (size_t i = j + 1; i < n; i++)
            a[i * n + j] = (a[i * n + j] - dot(a + i * n, a + j * n, j)) / a[j * n + j];
    }
    for (size_t i = 0; i < n; i++)
        b[i] = (b[i] - dot(a + i * n, b, i)) / a[i * n + i];
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
}

/* Newton's method; each step is halved until the objective falls. True once the gradient is as good as zero.
 */
static bool descend(const struct problem *p, double *w, int *steps)
{
    double *gradient = mem_new_n(double, p->size), *step = mem_new_n(double, p->size);
    double *next = mem_new_n(double, p->size), *hessian = mem_new_n(double, p->size * p->size);
    double value = objective(p, w), tolerance = 1e-8 * (1 + p->c * (double)p->n);
    bool is_done = false;

    for (*steps = 0; *steps < STEPS_MAX && !is_done; ++*steps) {
        double size = 1, next_value = value;

        derivatives(p, w, gradient, hessian);
        memcpy(step, gradient, p->size * sizeof *step);
        cholesky_solve(hessian, step, p->size);
        double descent = dot(gradient, step, p->size);

        for (; size > 1e-10; size /= 2) {
            for (size_t j = 0; j < p->size; j++)
                next[j] = w[j] - size * step[j];
            next_value = objective(p, next);
            if (next_value <= value - 1e-4 * size * descent)
                break;
        }
        if (size <= 1e-10) { /* rounding hides any better point */
            is_done = sqrt(dot(gradient, gradient, p->size)) <= tolerance;
            break;
        }
        memcpy(w, next, p->size * sizeof *w);
        value = next_value;
        is_done = descent <= 1e-12 * (1 + value);
    }
    mem_free(gradient);
    mem_free(step);
    mem_free(next);
    mem_free(hessian);
    return is_done;
}

enum err logistic_fit(struct logistic *model, const float *rows, const uint8_t *labels, size_t n,
                      size_t columns, double c, struct why *why)
{
    struct logistic m = { .columns = columns };
    struct problem p = { &m, rows, labels, n, columns + 1, c, NULL };
    double *w;
    size_t frauds = 0;
    enum err err = ERR_OK;

    *model = (struct logistic){ 0 };
    for (size_t i = 0; i < n; i++)
        frauds += labels[i] != 0;
    if (frauds == 0 || frauds == n)
        return err_set(why, ERR_INVALID, "logistic: %zu rows with %zu frauds; both kinds are needed", n,
                       frauds);
    if (!(c > 0) || !isfinite(c))
        return err_set(why, ERR_INVALID, "logistic: c must be above 0");

    m.mean = mem_new_n(double, columns + 1);
    m.scale = mem_new_n(double, columns + 1);
    m.weights = mem_new_n(double, columns + 1);
    p.z = mem_new_n(double, columns + 1);
    w = mem_new_n(double, columns + 1);
    standardise(&m, rows, n);
    w[columns] = log((double)frauds / (double)(n - frauds)); /* where all weights are zero this is the best */
    if (descend(&p, w, &m.steps)) {
        memcpy(m.weights, w, columns * sizeof *w);
        m.intercept = w[columns];
        *model = m;
        m = (struct logistic){ 0 };
    } else {
        err = err_set(why, ERR_INTERNAL, "logistic: no convergence in %d steps", STEPS_MAX);
    }
    logistic_release(&m);
    mem_free(p.z);
    mem_free(w);
    return err;
}

double logistic_margin(const struct logistic *model, const float *row)
{
    double margin = model->intercept;

    for (size_t j = 0; j < model->columns; j++) {
        if (!isnan(row[j]) && model->scale[j] != 0)
            margin += model->weights[j] * ((row[j] - model->mean[j]) / model->scale[j]);
    }
    return margin;
}

double logistic_probability(const struct logistic *model, const float *row)
{
    return 1 / (1 + exp(-logistic_margin(model, row)));
}
