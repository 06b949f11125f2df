/* SPDX-License-Identifier: Apache-2.0
 * sequential.h - group-sequential tests: looking at an experiment each day without paying for it with errors.
 *
 * A test spends its chance of error as information comes in (Lan and DeMets 1983): at look k the boundary is
 * set so that the chance to have crossed one by then, if there is no effect, is spending(t_k). Neither the
 * number of looks nor their times need be known before; they must not depend on what was seen.
 *
 *   information   1 / variance of the estimated effect, of which only the ratio to the most that is planned,
 *                 t = information / information_max, sets how much may be spent. Tell it by what only grows
 *                 and is in proportion to it: transactions (of both arms of equal size), against those that
 *                 are planned. 1 / an estimated variance shrinks when a large loss comes in, and a look at
 *                 which it has not grown cannot be counted
 *   z             estimate / sqrt(variance), cluster-robust (clustered.h)
 *   drift         the mean of z at t = 1: effect * sqrt(information_max)
 *
 * The joint law of z at the looks is that of a Brownian motion seen at the informations: B(t) = z sqrt(t) has
 * independent increments of variance dt and mean drift * dt (Jennison and Turnbull 2000, chapter 3; for an
 * efficient estimate, Scharfstein, Tsiatis and Robins 1997). Boundaries are found by the recursion of
 * Armitage, McPherson and Rowe 1969: the density of B among the paths that have not stopped is carried from
 * look to look by numerical integration (Simpson), with boundaries right to about 2e-6. They agree with the
 * published tables (tests/unit/stats/sequential_test.c).
 *
 * A two-sided test spends alpha / 2 on each side; its lower boundary is the upper one's mirror image. A
 * one-sided test spends alpha on the upper side and has no lower boundary. There is no boundary for futility:
 * who stops without crossing has not shown an effect, whatever the reason. */
#ifndef ASSAY_STATS_SEQUENTIAL_H
#define ASSAY_STATS_SEQUENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "stats/interval.h"

/* Both as Lan and DeMets give them for one side with error a:
 *   obrien_fleming  2 - 2 Phi(z_{a/2} / sqrt(t)): hardly anything early, nearly a fixed test at the end
 *   pocock          a ln(1 + (e - 1) t): about the same boundary at each look */
enum spending { SPENDING_OBRIEN_FLEMING, SPENDING_POCOCK, SPENDING_COUNT };
/* What one side with error `alpha` may have spent at information fraction t: 0 at t <= 0, alpha at t >= 1. */
double spending_at(enum spending spending, double alpha, double t);

struct sequential_design {
    enum spending spending;
    int sides;    /* 1 or 2 */
    double alpha; /* of all sides together, above 0 and at most 0.5 */
};

enum { SEQUENTIAL_LOOKS_MAX = 1024 };
/* Information grows by at least this share of the most planned from look to look. */
#define SEQUENTIAL_STEP_MIN 1e-6
/* The boundary where next to nothing (below 1e-15) may be spent yet: a figure that no z reaches, and that JSON
 * can hold. */
#define SEQUENTIAL_NEVER 1e9

/* The boundaries on z for looks at `fractions` (rising, above 0). The last look need not be at 1: what is not
 * spent stays unspent; past 1 all is spent.
 *   bounds  out  [looks]; SEQUENTIAL_NEVER where nothing may be spent yet
 *   ERR_INVALID  no design, or fractions that do not rise by SEQUENTIAL_STEP_MIN */
MUST_USE enum err sequential_bounds(const struct sequential_design *design, const double *fractions,
                                    size_t looks, double *bounds, struct why *why);

/* The chance to cross given boundaries first at each look, under a drift; for any boundaries, Pocock's and
 * O'Brien and Fleming's own too. A lower boundary is at -bounds[k] when `sides` is 2.
 *   upper, lower  out  [looks], each may be NULL; their sums are the chances to stop above and below */
MUST_USE enum err sequential_crossing(int sides, const double *fractions, const double *bounds, size_t looks,
                                      double drift, double *upper, double *lower, struct why *why);

/* The chance to end above (an effect of the positive sign is found) under a drift; and the drift that gives
 * it the wanted chance `power` (alpha / sides < power < 1). */
MUST_USE enum err sequential_power(const struct sequential_design *design, const double *fractions,
                                   size_t looks, double drift, double *power, struct why *why);
MUST_USE enum err sequential_drift(const struct sequential_design *design, const double *fractions,
                                   size_t looks, double power, double *drift, struct why *why);

/* For `looks` looks at equal steps of information: the most information needed to find an effect with chance
 * `power`, and how many times that is what a test with one look at the end needs (the inflation factor).
 *   effect      in  in the estimate's unit, its sign does not matter, not 0
 *   inflation   out may be NULL */
MUST_USE enum err sequential_information(const struct sequential_design *design, size_t looks, double power,
                                         double effect, double *information_max, double *inflation,
                                         struct why *why);

/* ---- a test as its looks come in ---- */

enum sequential_outcome {
    SEQUENTIAL_CONTINUE,
    SEQUENTIAL_UPPER, /* a positive effect is shown */
    SEQUENTIAL_LOWER, /* a negative one */
    SEQUENTIAL_ENDED, /* all information is in, or the last look was taken: no effect is shown */
};
struct sequential_look {
    double information;
    double z;
    double bound; /* that z was held against: above it is upper, below -bound (two sides) is lower */
};

/* To be read; changed by the functions below only. What has to be stored of a test is its design,
 * information_max, the looks, and whether it has ended: sequential_restore() makes the rest again, and a test
 * that was restored goes on with bit-equal boundaries. */
struct sequential_test {
    struct sequential_design design;
    double information_max;
    enum sequential_outcome outcome;
    size_t count;
    struct sequential_look *looks;      /* [count] */
    double spent;                       /* of one side */
    struct sequential_density *density; /* of the paths that went on; made again from the looks */
};

/* *test is the caller's, to release. ERR_INVALID  no design, or information_max not above 0 */
MUST_USE enum err sequential_init(struct sequential_test *test, const struct sequential_design *design,
                                  double information_max, struct why *why);
/* The test as it was after `count` looks that were stored: their bounds are taken as they are, since they are
 * what was held against, and the outcome follows from them. `is_ended` when the last of them was the last of
 * all. ERR_INVALID  looks that do not rise, or go on after a crossing */
MUST_USE enum err sequential_restore(struct sequential_test *test, const struct sequential_design *design,
                                     double information_max, const struct sequential_look *looks,
                                     size_t count, bool is_ended, struct why *why);
void sequential_release(struct sequential_test *test);

/* Takes a look and gives the outcome so far.
 *   information  any; when it has not grown by SEQUENTIAL_STEP_MIN of the most since the last look, or is not
 *                above 0, or z is NaN, the look is not counted: nothing is spent or added. (A variance that
 *                is estimated anew may shrink the information of a poor day.) At or past information_max this
 *                is the last look; past it (over-running) all of alpha is spent, and the boundary is the
 *                right one for the information that is really there.
 *   is_last      no look will follow whatever is seen (the planned time is over): spends all that is left,
 *                though the information has not been reached. The end must not be chosen by looking at z.
 * Once the outcome is not SEQUENTIAL_CONTINUE further looks change nothing. SEQUENTIAL_LOOKS_MAX looks are
 * taken at most; the last of them is the last. */
enum sequential_outcome sequential_look(struct sequential_test *test, double information, double z,
                                        bool is_last);

#endif
