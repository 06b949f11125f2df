/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/noise.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/distribution.h"
#include "stats/drift.h"
#include "stats/interval.h"

/* Draws rows one by one, which no code of noise.c does. */
static void draw(struct random *r, const double *p, size_t bins, size_t n, uint64_t *counts)
{
    for (size_t i = 0; i < bins; i++)
        counts[i] = 0;
    for (size_t i = 0; i < n; i++) {
        double u = random_unit(r);
        size_t bin = 0;

        while (bin + 1 < bins && u >= p[bin])
            u -= p[bin++];
        counts[bin]++;
    }
}

/* Both samples are drawn anew each time: the law must hold whatever the reference turned out to be. Sparse bins are
 * among them, where the chi-squared law raises several times too many. */
Test(noise, false_alarms_are_at_most_the_nominal_share_with_sparse_bins_too)
{
    const double p[] = { 0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05, 0.03, 0.015, 0.004, 0.001 };
    enum { BINS = ARRAY_LEN(p), ROUNDS = 1500 };
    static const struct {
        size_t m, n;
    } sizes[] = { { 2000, 100 }, { 5000, 1000 }, { 1000, 1000 }, { 20000, 3000 } };
    struct random r = { 77 };

    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        static struct noise_law law;
        uint64_t a[BINS], b[BINS], wrong[4] = { 0 };
        static const double levels[] = { 0.05, 0.01 };

        for (int round = 0; round < ROUNDS; round++) {
            if (round % 150 == 0) {
                draw(&r, p, BINS, sizes[s].m, a);
                noise_law_init(&law, a, BINS, (double)sizes[s].n);
            }
            draw(&r, p, BINS, sizes[s].n, b);
            for (size_t l = 0; l < 2; l++) {
                wrong[l] +=
                    noise_p(&law, NOISE_JS, jensen_shannon(a, b, BINS), (double)sizes[s].n) <= levels[l];
                wrong[2 + l] += noise_p(&law, NOISE_PSI, psi(a, b, BINS), (double)sizes[s].n) <= levels[l];
            }
        }
        for (size_t l = 0; l < 4; l++) {
            /* Ten references for 1,500 windows: what they share widens the interval by about three. */
            double nominal = levels[l % 2], sd = sqrt(nominal * (1 - nominal) / ROUNDS);

            cr_expect_lt((double)wrong[l] / ROUNDS, nominal + 3 * 2 * sd, "m %zu n %zu, figure %zu: %g",
                         sizes[s].m, sizes[s].n, l, (double)wrong[l] / ROUNDS);
            cr_expect_gt((double)wrong[l] / ROUNDS, nominal / 4, "m %zu n %zu, figure %zu: %g", sizes[s].m,
                         sizes[s].n, l, (double)wrong[l] / ROUNDS);
        }
    }
}

Test(noise, law_of_well_filled_bins_is_chi_squared_and_the_simulated_one_agrees)
{
    uint64_t many[10], few[10];
    static struct noise_law exact, simulated;

    for (size_t i = 0; i < 10; i++) {
        many[i] = 100000;
        few[i] = 9990; /* 99.9 rows a bin of 999 */
    }
    noise_law_init(&exact, many, 10, 10000);
    cr_assert(exact.is_chi_squared);
    cr_assert_float_eq(noise_critical(&exact, NOISE_PSI, 0.05, 10000), psi_noise_95(10, 1000000, 10000),
                       1e-9);
    cr_assert_float_eq(noise_p(&exact, NOISE_PSI, psi_noise_95(10, 1000000, 10000), 10000), 0.05, 1e-9);
    noise_law_init(&simulated, few, 10, 999);
    cr_assert_not(simulated.is_chi_squared);
    for (double chance = 0.1; chance > 0.0005; chance /= 3) {
        double wanted = chi_squared_upper_quantile(chance, 9) * (1.0 / 999 + 1.0 / 99900);

        cr_expect_float_eq(noise_critical(&simulated, NOISE_PSI, chance, 999) / wanted, 1, 0.12, "at %g",
                           chance);
        cr_expect_float_eq(noise_critical(&simulated, NOISE_JS, chance, 999) * 8 * log(2) / wanted, 1, 0.12,
                           "at %g", chance);
    }
}

Test(noise, p_falls_and_the_critical_value_is_where_it_passes)
{
    const uint64_t reference[] = { 500, 300, 150, 48, 2, 0 };
    static struct noise_law law;
    double last = 1;

    noise_law_init(&law, reference, ARRAY_LEN(reference), 200);
    for (double value = 0; value < 0.3; value += 0.0005) {
        double p = noise_p(&law, NOISE_JS, value, 200);

        cr_assert_leq(p, last);
        cr_assert_gt(p, 0);
        last = p;
    }
    for (double chance = 0.3; chance > 1e-6; chance /= 2) {
        double critical = noise_critical(&law, NOISE_JS, chance, 200);

        cr_assert_leq(noise_p(&law, NOISE_JS, critical * (1 + 1e-9), 200), chance * (1 + 1e-6));
    }
}

/* The beta-binomial, summed term by term over all x. */
static double brute_upper(double a, double b, uint64_t x, uint64_t n)
{
    double sum = 0;

    for (uint64_t k = x; k <= n; k++) {
        double kd = (double)k, nd = (double)n;

        sum += exp(lgamma(nd + 1) - lgamma(kd + 1) - lgamma(nd - kd + 1) + lgamma(kd + a) +
                   lgamma(nd - kd + b) - lgamma(nd + a + b) + lgamma(a + b) - lgamma(a) - lgamma(b));
    }
    return sum;
}

Test(noise, share_is_judged_by_the_beta_binomial_law)
{
    for (uint64_t x0 = 0; x0 <= 40; x0 += 8) {
        for (uint64_t x = 0; x <= 60; x++) {
            double upper = brute_upper((double)x0 + 0.5, 40.5 - (double)x0, x, 60);

            cr_assert_float_eq(share_upper_p(x0, 40, x, 60), fmin(upper, 1), 1e-9);
            cr_assert_float_eq(share_lower_p(x0, 40, x, 60),
                               fmin(brute_upper(40.5 - (double)x0, (double)x0 + 0.5, 60 - x, 60), 1), 1e-9);
        }
    }
    /* Against a reference without end it is the binomial. */
    cr_assert_float_eq(share_upper_p(1000000000, 100000000000, 5, 100), 1 - binomial_cdf(4, 100, 0.01), 1e-5);
    cr_assert_lt(share_upper_p(0, 1000000, 10, 1000), 1e-12);
}

/* The example of Benjamini and Hochberg 1995, section 3.2: 15 p-values at 0.05, of which four are believed. */
Test(noise, benjamini_hochberg_believes_what_the_paper_does)
{
    const double p[] = { 0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                         0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000 };
    double some[] = { 0.5, (double)NAN, 0.001, 0.9 }, cut = benjamini_hochberg(p, ARRAY_LEN(p), 0.05);
    size_t believed = 0;

    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        believed += p[i] <= cut;
    cr_assert_eq(believed, 4);
    cr_assert_float_eq(cut, 0.05 * 4 / 15, 1e-12);
    cr_assert_float_eq(benjamini_hochberg(some, 4, 0.03), 0.01, 1e-12);
    cr_assert_eq(benjamini_hochberg(NULL, 0, 0.05), 0);
}
