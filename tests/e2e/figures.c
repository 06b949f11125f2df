/* SPDX-License-Identifier: Apache-2.0
 * figures.c - our statistics of vectors that others made: what tests/interop/statistics_agree.py compares with SciPy
 * and scikit-learn. Reads lines of numbers from standard input, answers each with a line of figures, 17 digits.
 *
 *   drift B  reference[B] current[B]                     -> psi, jensen_shannon
 *   rank N K  score[N] label[N] day[N] customer[N]       -> average_precision, auc_roc, card_precision_at_k
 *   calibration N B  probability[N] label[N]             -> calibration_error
 *   share  reference_x reference_n x n                   -> share_upper_p, share_lower_p
 *   believed N Q  p[N]                                   -> how many Benjamini-Hochberg believes
 *   chi2  x df                                           -> chi_squared_upper */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stats/calibration.h"
#include "stats/distribution.h"
#include "stats/drift.h"
#include "stats/noise.h"
#include "stats/ranking.h"

static double number(void)
{
    double x;

    if (scanf("%lf", &x) != 1) {
        fputs("figures: a number is missing\n", stderr);
        exit(EXIT_FAILURE);
    }
    return x;
}

static size_t length(void)
{
    double n = number();

    if (!(n >= 1 && n <= 1e7)) {
        fprintf(stderr, "figures: %g is no length\n", n);
        exit(EXIT_FAILURE);
    }
    return (size_t)n;
}

static double *numbers(size_t n)
{
    double *x = mem_new_n(double, n);

    for (size_t i = 0; i < n; i++)
        x[i] = number();
    return x;
}

static uint64_t *counts(size_t n)
{
    uint64_t *x = mem_new_n(uint64_t, n);

    for (size_t i = 0; i < n; i++)
        x[i] = (uint64_t)number();
    return x;
}

static uint8_t *flags(size_t n)
{
    uint8_t *x = mem_new_n(uint8_t, n);

    for (size_t i = 0; i < n; i++)
        x[i] = number() > 0;
    return x;
}

static void tell_drift(void)
{
    size_t bins = length();
    uint64_t *reference = counts(bins), *current = counts(bins);

    printf("%.17g %.17g\n", psi(reference, current, bins), jensen_shannon(reference, current, bins));
    mem_free(reference);
    mem_free(current);
}

static void tell_rank(void)
{
    size_t n = length(), k = length();
    double *scores = numbers(n);
    uint8_t *labels = flags(n);
    int64_t *days = (int64_t *)counts(n), *customers = (int64_t *)counts(n);

    printf("%.17g %.17g %.17g\n", average_precision(scores, labels, n), auc_roc(scores, labels, n),
           card_precision_at_k(scores, labels, days, customers, n, k, NULL));
    mem_free(scores);
    mem_free(labels);
    mem_free(days);
    mem_free(customers);
}

static void tell_calibration(void)
{
    size_t n = length(), bins = length();
    double *probabilities = numbers(n);
    uint8_t *labels = flags(n);

    printf("%.17g\n", calibration_error(probabilities, labels, n, bins));
    mem_free(probabilities);
    mem_free(labels);
}

static void tell_share(void)
{
    uint64_t *s = counts(4);

    printf("%.17g %.17g\n", share_upper_p(s[0], s[1], s[2], s[3]), share_lower_p(s[0], s[1], s[2], s[3]));
    mem_free(s);
}

static void tell_believed(void)
{
    size_t n = length(), believed = 0;
    double q = number(), *p = numbers(n), cut = benjamini_hochberg(p, n, q);

    for (size_t i = 0; i < n; i++)
        believed += p[i] <= cut;
    printf("%zu\n", believed);
    mem_free(p);
}

static void tell_chi2(void)
{
    double x = number(), df = number();

    printf("%.17g\n", chi_squared_upper(x, df));
}

int main(void)
{
    static const struct {
        const char *name;
        void (*tell)(void);
    } commands[] = {
        { "drift", tell_drift }, { "rank", tell_rank },         { "calibration", tell_calibration },
        { "share", tell_share }, { "believed", tell_believed }, { "chi2", tell_chi2 },
    };
    char name[32];

    while (scanf("%31s", name) == 1) {
        size_t i = 0;

        while (i < sizeof commands / sizeof commands[0] && strcmp(name, commands[i].name) != 0)
            i++;
        if (i == sizeof commands / sizeof commands[0]) {
            fprintf(stderr, "figures: there is no %s\n", name);
            return EXIT_FAILURE;
        }
        commands[i].tell();
    }
    return EXIT_SUCCESS;
}
