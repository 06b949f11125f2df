/* SPDX-License-Identifier: Apache-2.0
 * distribution.c - see distribution.h. */
#include "stats/distribution.h"

#include <math.h>
#include <stdbool.h>

/* ---- normal ---- */

double normal_cdf(double z)
{
    return 0.5 * erfc(-z * M_SQRT1_2);
}

double normal_upper(double z)
{
    return 0.5 * erfc(z * M_SQRT1_2);
}

double normal_density(double z)
{
    return 0.3989422804014326779 * exp(-0.5 * z * z);
}

/* By bisection on the half where the tail is small: exact to the last bits, and quick enough for what a report
 * or a boundary needs. */
double normal_upper_quantile(double probability)
{
    double low = 0, high = 40;

    if (!(probability > 0 && probability < 1))
        return probability == 0 ? INFINITY : probability == 1 ? -INFINITY : NAN;
    if (probability > 0.5)
        return -normal_quantile(probability);
    for (int i = 0; i < 64 && low < high; i++) {
        double middle = low + (high - low) / 2;

        if (normal_upper(middle) > probability)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

double normal_quantile(double probability)
{
    double low = 0, high = 40;

    if (!(probability > 0 && probability < 1))
        return probability == 0 ? -INFINITY : probability == 1 ? INFINITY : NAN;
    if (probability < 0.5)
        return -normal_upper_quantile(probability);
    for (int i = 0; i < 64 && low < high; i++) {
        double middle = low + (high - low) / 2;

        if (normal_cdf(middle) < probability)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

/* ---- chi-squared ---- */

/* The regularised incomplete gamma functions, lower P(a, x) and upper Q(a, x) = 1 - P: P's series below a + 1,
 * Lentz's continued fraction for Q above (Abramowitz and Stegun 6.5.29 and 6.5.31). */
static double gamma_front(double a, double x)
{
    return exp(-x + a * log(x) - lgamma(a));
}

static double gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;

    for (double n = 1; n < 10000 && term > sum * 1e-17; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return gamma_front(a, x) * sum;
}

static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;

    for (double n = 1; n < 10000; n++) {
        double an = -n * (n - a), step;

        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        step = d * c;
        h *= step;
        if (fabs(step - 1) < 1e-16)
            break;
    }
    return gamma_front(a, x) * h;
}

static double gamma_p(double a, double x)
{
    if (x <= 0)
        return 0;
    return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}

static double gamma_q(double a, double x)
{
    if (x <= 0)
        return 1;
    return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

double chi_squared_upper(double x, double df)
{
    return df > 0 ? gamma_q(df / 2, x / 2) : NAN;
}

double chi_squared_upper_quantile(double probability, double df)
{
    double low = 0, high = df + 10;

    if (!(probability > 0 && probability <= 1) || !(df > 0))
        return NAN;
    while (chi_squared_upper(high, df) > probability)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        double middle = low + (high - low) / 2;

        if (chi_squared_upper(middle, df) > probability)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

double chi_squared_quantile(double probability, double df)
{
    double low = 0, high = df + 10;

    if (!(probability >= 0 && probability < 1) || !(df > 0))
        return NAN;
    while (gamma_p(df / 2, high / 2) < probability)
        high *= 2;
    for (int i = 0; i < 200 && low < high; i++) {
        double middle = low + (high - low) / 2;

        if (gamma_p(df / 2, middle / 2) < probability)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

/* ---- binomial ---- */

/* Lentz's continued fraction of the incomplete beta function (DLMF 8.17.22), which converges fast for
 * x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1), h;

    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    h = d;
    for (int m = 1; m < 100000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step;

        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        h *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        step = d * c;
        h *= step;
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return h;
}

double beta_regularised(double x, double a, double b)
{
    double front;

    if (!(a > 0 && b > 0) || isnan(x))
        return NAN;
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double binomial_cdf(uint64_t k, uint64_t n, double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    if (k >= n)
        return 1;
    return beta_regularised(1 - p, (double)(n - k), (double)k + 1);
}

double binomial_mass(uint64_t k, uint64_t n, double p)
{
    double rows = (double)n, some = (double)k;

    if (!(p >= 0 && p <= 1))
        return NAN;
    if (k > n)
        return 0;
    if (p == 0 || p == 1)
        return k == (p == 0 ? 0 : n);
    return exp(lgamma(rows + 1) - lgamma(some + 1) - lgamma(rows - some + 1) + some * log(p) +
               (rows - some) * log1p(-p));
}

/* The x at which I_x(a, b), which rises, is `probability`. */
static double beta_quantile(double probability, double a, double b)
{
    double low = 0, high = 1;

    for (int i = 0; i < 100 && low < high; i++) {
        double middle = low + (high - low) / 2;

        if (beta_regularised(middle, a, b) < probability)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

struct interval clopper_pearson(uint64_t successes, uint64_t n, double confidence)
{
    double tail = (1 - confidence) / 2, some = (double)successes, rest = (double)(n - successes);

    if (n == 0)
        return (struct interval){ 0, 1 };
    return (struct interval){ successes == 0 ? 0 : beta_quantile(tail, some, rest + 1),
                              successes == n ? 1 : beta_quantile(1 - tail, some + 1, rest) };
}
