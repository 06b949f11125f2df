/* SPDX-License-Identifier: Apache-2.0
 * sequential.c - see sequential.h. */
#include "stats/sequential.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "stats/distribution.h"

double spending_at(enum spending spending, double alpha, double t)
{
    if (t <= 0)
        return 0;
    if (t >= 1)
        return alpha;
    if (spending == SPENDING_POCOCK)
        return alpha * log1p((M_E - 1) * t);
    return 2 * normal_upper(normal_upper_quantile(alpha / 2) / sqrt(t));
}

static enum err check_design(const struct sequential_design *design, struct why *why)
{
    if (design->sides != 1 && design->sides != 2)
        return err_set(why, ERR_INVALID, "a sequential test has one or two sides, not %d", design->sides);
    if (!(design->alpha > 0 && design->alpha <= 0.5))
        return err_set(why, ERR_INVALID, "a chance of error of %g", design->alpha);
    if ((unsigned)design->spending >= SPENDING_COUNT)
        return err_set(why, ERR_INVALID, "no such spending");
    return ERR_OK;
}

static enum err check_fractions(const double *fractions, size_t looks, struct why *why)
{
    for (size_t i = 0; i < looks; i++) {
        if (!(fractions[i] - (i ? fractions[i - 1] : 0) >= SEQUENTIAL_STEP_MIN && fractions[i] <= 1e6))
            return err_set(why, ERR_INVALID, "the information does not rise to look %zu", i + 1);
    }
    return ERR_OK;
}

/* ---- the density of B(t) among the paths that went on ----
 *
 * A grid of equal steps over [-bound, bound] (as far as there is mass), each point's density multiplied by its
 * weight in Simpson's rule. The kernel of the next step, a normal density of variance dt, must be resolved by
 * the grid that it is summed over; so a grid is made only once the next dt is known, with steps of a POINTS-th
 * of the narrower of the kernels on its two sides. Until then `grid` is the one before, and the paths are
 * where it leads in `dt`, cut at `low` and `high`. */

enum { POINTS = 8 };
#define REACH 8.5 /* deviations beyond which there is no mass: 1e-17 */

struct sequential_density {
    double drift;
    int sides;
    /* the grid, at time t - dt */
    size_t count;
    double from, step;
    double *mass; /* [count] */
    /* since then */
    double t, dt, low, high;
    double last_bound;
};

static struct sequential_density *density_new(int sides, double drift)
{
    struct sequential_density *d = mem_new(struct sequential_density);

    d->drift = drift;
    d->sides = sides;
    d->count = 1; /* all mass at 0 */
    d->mass = mem_new_n(double, 1);
    d->mass[0] = 1;
    d->last_bound = 4;
    return d;
}

static void density_free(struct sequential_density *d)
{
    if (!d)
        return;
    mem_free(d->mass);
    mem_free(d);
}

/* Sum over the grid of mass * exp(-(y - x)^2 / (2 dt)). The exponentials of equally spaced points follow from
 * each other by two products, from the point nearest to y outwards, where they fall. */
static double gauss_sum(const struct sequential_density *d, double y, double dt)
{
    double place = d->step > 0 ? (y - d->from) / d->step : 0, last = (double)(d->count - 1), off, start;
    double shrink = exp(-d->step * d->step / dt), half = exp(-d->step * d->step / (2 * dt)), sum, g, ratio;
    size_t middle = place <= 0 ? 0 : place >= last ? d->count - 1 : (size_t)(place + 0.5);

    off = y - d->from - (double)middle * d->step;
    start = exp(-off * off / (2 * dt));
    if (start < 1e-300)
        return 0;
    sum = start * d->mass[middle];
    g = start;
    ratio = exp(off * d->step / dt) * half;
    for (size_t i = middle + 1; i < d->count && g > 1e-22 * start; i++) {
        g *= ratio;
        ratio *= shrink;
        sum += g * d->mass[i];
    }
    g = start;
    ratio = exp(-off * d->step / dt) * half;
    for (size_t i = middle; i-- > 0 && g > 1e-22 * start;) {
        g *= ratio;
        ratio *= shrink;
        sum += g * d->mass[i];
    }
    return sum;
}

/* Makes the grid of the present time, ready for a step of `dt`. */
static void density_settle(struct sequential_density *d, double dt)
{
    double deviation = sqrt(d->dt), *mass, length = d->high - d->low, step;
    size_t intervals;

    if (d->dt <= 0)
        return;
    if (d->count == 0 || !(length > 0)) {
        d->count = 0;
        d->dt = 0;
        return;
    }
    intervals = 2 * ((size_t)(length * POINTS / fmin(deviation, sqrt(dt)) / 2) + 2);
    step = length / (double)intervals;
    mass = mem_new_n(double, intervals + 1);
    for (size_t i = 0; i <= intervals; i++) {
        double weight = (i == 0 || i == intervals ? 1 : i % 2 ? 4 : 2) * step / 3;
        double y = d->low + (double)i * step - d->drift * d->dt;

        /* Without drift both sides are one. */
        if (d->sides == 2 && d->drift == 0 && i > intervals / 2)
            mass[i] = mass[intervals - i];
        else
            mass[i] = weight * 0.39894228040143267794 / deviation * gauss_sum(d, y, d->dt);
    }
    mem_free(d->mass);
    d->mass = mass;
    d->count = intervals + 1;
    d->from = d->low;
    d->step = step;
    d->dt = 0;
}

/* After density_settle(d, dt): the chance to be above `b` a step of dt later, and its density there. */
static double density_above(const struct sequential_density *d, double dt, double b, double *density)
{
    double deviation = sqrt(dt), sum = 0;

    *density = 0;
    for (size_t i = d->count; i-- > 0;) {
        double off = (b - d->from - (double)i * d->step - d->drift * dt) / deviation;

        if (off > 37)
            break;
        sum += d->mass[i] * normal_upper(off);
        *density += d->mass[i] * normal_density(off) / deviation;
    }
    return sum;
}

static double density_below(const struct sequential_density *d, double dt, double b)
{
    double deviation = sqrt(dt), sum = 0;

    for (size_t i = 0; i < d->count; i++) {
        double off = (b - d->from - (double)i * d->step - d->drift * dt) / deviation;

        if (off < -37)
            break;
        sum += d->mass[i] * normal_cdf(off);
    }
    return sum;
}

/* Goes on by dt with the paths within the boundary on z. */
static void density_cut(struct sequential_density *d, double dt, double bound)
{
    double root, middle;

    d->t += dt;
    d->dt = dt;
    root = sqrt(d->t);
    middle = d->drift * d->t;
    d->high = fmin(bound * root, middle + REACH * root);
    d->low = middle - REACH * root;
    if (d->sides == 2)
        d->low = fmax(d->low, -bound * root);
    if (bound < SEQUENTIAL_NEVER)
        d->last_bound = bound;
}

/* The boundary on z that as much as `chance` is above, a step of dt later: Newton's method on the logarithm,
 * which is concave, so that from the second step on the values fall to the root. */
static double density_bound(const struct sequential_density *d, double dt, double chance)
{
    double root = sqrt(d->t + dt), b = d->last_bound * root, low = -REACH * root, high = 40 * root;

    for (int i = 0; i < 200; i++) {
        double density, above = density_above(d, dt, b, &density), next;

        if (above > chance)
            low = b;
        else
            high = b;
        next = above > 0 && density > 0 ? b + log(above / chance) * above / density : NAN;
        if (!(next > low && next < high))
            next = low + (high - low) / 2;
        if (fabs(next - b) <= 1e-14 * root || next == low || next == high)
            return next / root;
        b = next;
    }
    return b / root;
}

/* ---- boundaries and crossing ---- */

#define CHANCE_MIN 1e-15

/* One look of a design: spends up to `goal` (of a side), of which *spent is gone; gives the boundary. */
static double spend(struct sequential_density *d, double dt, double goal, double *spent)
{
    double chance = goal - *spent, bound = SEQUENTIAL_NEVER, density;

    density_settle(d, dt);
    if (chance > CHANCE_MIN && d->count > 0) {
        bound = density_bound(d, dt, chance);
        *spent += density_above(d, dt, bound * sqrt(d->t + dt), &density);
    }
    density_cut(d, dt, bound);
    return bound;
}

enum err sequential_bounds(const struct sequential_design *design, const double *fractions, size_t looks,
                           double *bounds, struct why *why)
{
    struct sequential_density *d;
    double spent = 0, alpha = design->alpha / design->sides;
    enum err err = check_design(design, why);

    if (!err)
        err = check_fractions(fractions, looks, why);
    if (err)
        return err;
    d = density_new(design->sides, 0);
    for (size_t i = 0; i < looks; i++)
        bounds[i] = spend(d, fractions[i] - d->t, spending_at(design->spending, alpha, fractions[i]), &spent);
    density_free(d);
    return ERR_OK;
}

enum err sequential_crossing(int sides, const double *fractions, const double *bounds, size_t looks,
                             double drift, double *upper, double *lower, struct why *why)
{
    struct sequential_density *d;
    enum err err = check_fractions(fractions, looks, why);

    if (err)
        return err;
    d = density_new(sides, drift);
    for (size_t i = 0; i < looks; i++) {
        double dt = fractions[i] - d->t, at = bounds[i] * sqrt(fractions[i]), density;

        density_settle(d, dt);
        if (upper)
            upper[i] = density_above(d, dt, at, &density);
        if (lower)
            lower[i] = sides == 2 ? density_below(d, dt, -at) : 0;
        density_cut(d, dt, bounds[i]);
    }
    density_free(d);
    return ERR_OK;
}

static double chance_above(int sides, const double *fractions, const double *bounds, size_t looks,
                           double drift, double *each)
{
    double sum = 0;
    enum err err = sequential_crossing(sides, fractions, bounds, looks, drift, each, NULL, NULL);

    assert(!err);
    for (size_t i = 0; i < looks && !err; i++)
        sum += each[i];
    return sum;
}

enum err sequential_power(const struct sequential_design *design, const double *fractions, size_t looks,
                          double drift, double *power, struct why *why)
{
    double *bounds = mem_new_n(double, looks + 1), *each = mem_new_n(double, looks + 1);
    enum err err = sequential_bounds(design, fractions, looks, bounds, why);

    if (!err)
        *power = chance_above(design->sides, fractions, bounds, looks, drift, each);
    mem_free(bounds);
    mem_free(each);
    return err;
}

enum err sequential_drift(const struct sequential_design *design, const double *fractions, size_t looks,
                          double power, double *drift, struct why *why)
{
    double *bounds = mem_new_n(double, looks + 1), *each = mem_new_n(double, looks + 1);
    double low = 0, high = 1;
    enum err err = sequential_bounds(design, fractions, looks, bounds, why);

    if (!err && !(power > design->alpha / design->sides && power < 1))
        err = err_set(why, ERR_INVALID, "a power of %g", power);
    if (!err && (looks == 0 || bounds[looks - 1] >= SEQUENTIAL_NEVER))
        err = err_set(why, ERR_INVALID, "looks at which nothing may be spent");
    if (err)
        goto out;
    while (chance_above(design->sides, fractions, bounds, looks, high, each) < power) {
        low = high;
        high *= 2;
        if (high > 1e6) {
            err = err_set(why, ERR_INVALID, "no drift has a power of %g at these looks", power);
            goto out;
        }
    }
    for (int i = 0; i < 60 && high - low > 1e-12 * high; i++) {
        double middle = low + (high - low) / 2;

        if (chance_above(design->sides, fractions, bounds, looks, middle, each) < power)
            low = middle;
        else
            high = middle;
    }
    *drift = low + (high - low) / 2;
out:
    mem_free(bounds);
    mem_free(each);
    return err;
}

enum err sequential_information(const struct sequential_design *design, size_t looks, double power,
                                double effect, double *information_max, double *inflation, struct why *why)
{
    double *fractions = mem_new_n(double, looks + 1), drift, fixed;
    enum err err;

    for (size_t i = 0; i < looks; i++)
        fractions[i] = (double)(i + 1) / (double)looks;
    err = sequential_drift(design, fractions, looks, power, &drift, why);
    mem_free(fractions);
    if (!err && !(isfinite(effect) && effect != 0))
        err = err_set(why, ERR_INVALID, "an effect of %g", effect);
    if (err)
        return err;
    *information_max = drift / effect * (drift / effect);
    fixed = normal_upper_quantile(design->alpha / design->sides) + normal_quantile(power);
    if (inflation)
        *inflation = drift / fixed * (drift / fixed);
    return ERR_OK;
}

/* ---- a test as its looks come in ---- */

enum err sequential_init(struct sequential_test *test, const struct sequential_design *design,
                         double information_max, struct why *why)
{
    enum err err = check_design(design, why);

    *test = (struct sequential_test){ 0 };
    if (!err && !(information_max > 0 && isfinite(information_max)))
        err = err_set(why, ERR_INVALID, "information of %g at the most", information_max);
    if (err)
        return err;
    *test = (struct sequential_test){ .design = *design,
                                      .information_max = information_max,
                                      .density = density_new(design->sides, 0) };
    return ERR_OK;
}

void sequential_release(struct sequential_test *test)
{
    if (!test)
        return;
    mem_free(test->looks);
    density_free(test->density);
    *test = (struct sequential_test){ 0 };
}

static void note(struct sequential_test *test, double information, double z, double bound, bool is_last)
{
    test->looks = mem_grow(test->looks, test->count + 1, sizeof *test->looks);
    test->looks[test->count++] = (struct sequential_look){ information, z, bound };
    if (z >= bound)
        test->outcome = SEQUENTIAL_UPPER;
    else if (test->design.sides == 2 && z <= -bound)
        test->outcome = SEQUENTIAL_LOWER;
    else if (is_last)
        test->outcome = SEQUENTIAL_ENDED;
}

enum sequential_outcome sequential_look(struct sequential_test *test, double information, double z,
                                        bool is_last)
{
    double t = information / test->information_max, alpha = test->design.alpha / test->design.sides, bound;

    if (test->outcome != SEQUENTIAL_CONTINUE)
        return test->outcome;
    if (isnan(z) || !(t - test->density->t >= SEQUENTIAL_STEP_MIN && t <= 1e6)) {
        if (is_last)
            test->outcome = SEQUENTIAL_ENDED;
        return test->outcome;
    }
    is_last = is_last || t >= 1 || test->count + 1 == SEQUENTIAL_LOOKS_MAX;
    bound = spend(test->density, t - test->density->t,
                  is_last ? alpha : spending_at(test->design.spending, alpha, t), &test->spent);
    note(test, information, z, bound, is_last);
    return test->outcome;
}

enum err sequential_restore(struct sequential_test *test, const struct sequential_design *design,
                            double information_max, const struct sequential_look *looks, size_t count,
                            bool is_ended, struct why *why)
{
    enum err err = sequential_init(test, design, information_max, why);

    if (!err && count > SEQUENTIAL_LOOKS_MAX)
        err = err_set(why, ERR_INVALID, "%zu looks", count);
    for (size_t i = 0; i < count && !err; i++) {
        struct sequential_density *d = test->density;
        double dt = looks[i].information / information_max - d->t, density;

        if (!(dt >= SEQUENTIAL_STEP_MIN && d->t + dt <= 1e6) || isnan(looks[i].z) || isnan(looks[i].bound)) {
            err = err_set(why, ERR_INVALID, "the information does not rise to look %zu", i + 1);
        } else if (test->outcome != SEQUENTIAL_CONTINUE) {
            err = err_set(why, ERR_INVALID, "look %zu is behind the end", i + 1);
        } else {
            density_settle(d, dt);
            if (looks[i].bound < SEQUENTIAL_NEVER)
                test->spent += density_above(d, dt, looks[i].bound * sqrt(d->t + dt), &density);
            density_cut(d, dt, looks[i].bound);
            note(test, looks[i].information, looks[i].z, looks[i].bound,
                 looks[i].information >= information_max);
        }
    }
    if (err)
        sequential_release(test);
    else if (is_ended && test->outcome == SEQUENTIAL_CONTINUE)
        test->outcome = SEQUENTIAL_ENDED;
    return err;
}
