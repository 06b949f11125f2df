/* SPDX-License-Identifier: Apache-2.0
 * clustered.h - means per transaction, and their variance, where transactions come in clusters.
 *
 * Payments of one customer are not independent: a stolen card is used ten times. Arms are drawn by customer,
 * so the customer is the unit, and a mean per transaction is a ratio of two sums over customers,
 *
 *   R = sum(y) / sum(n)        y: a customer's total (loss, approvals), n: the customer's transactions
 *
 * with the variance of the linearised ratio (Cochran 1977, section 6.4, and section 9A; without a finite
 * population), which is also the cluster-robust ("sandwich") variance of the mean:
 *
 *   V = C / (C - 1) * sum (y - R n)^2 / sum(n)^2        C: clusters with n > 0
 *
 * The sums can be kept over a whole experiment: cluster_sums_move() takes a customer's totals from what they
 * were to what they are, so a day costs as much as there were customers on it.
 *
 * How far the normal approximation holds. Loss per transaction is mostly zero and long-tailed: what counts is
 * not the number of transactions but of customers with a loss, and of them the large ones. `effective` is how
 * many equal ones would make so sure a variance: (sum d^2)^2 / sum d^4, d = y - R n (Satterthwaite's degrees of
 * freedom). Measured on payments of which 0.8 % are frauds with log-normal losses (deviation 1.3 times the mean)
 * that come in bursts, with 28 daily looks and no effect, share promoted by the one-sided test at 5 %:
 *
 *   customers | in the small arm | effective there | each arm's own variance | one variance for both
 *        1000 | 50 %             |               3 |                   4.1 % |                     -
 *        2000 | 50 %             |               4 |                       - |                 4.2 %
 *        4000 | 50 %             |               7 |                   4.6 % |                     -
 *        1000 | 10 %             |               2 |                    38 % |                   0 %
 *        4000 | 10 %             |               3 |                    29 % |                 1.0 %
 *       16000 | 10 %             |               8 |                    16 % |                 2.4 %
 *
 * Arms of equal size may have any size: what is skewed cancels. In a small arm a few large losses are missing
 * more often than not, and then its mean and its own variance are both too low. So hold a candidate's arm that
 * is smaller than the champion's to cluster_difference(), whose one variance mostly comes from the large arm;
 * that it then errs to the other side ("worse") more often than promised at small sizes is the cautious error.
 * With equal arms and 250 expected losses in all, power is within 5 points of the design's
 * (tests/unit/stats/simulation_test.c).
 *
 * Money is in minor units as double: exact up to 2^53; sums of squares are rounded, which is why a figure
 * that was moved in and out again is equal only to about 1e-15 of the largest sum it was part of. */
#ifndef ASSAY_STATS_CLUSTERED_H
#define ASSAY_STATS_CLUSTERED_H

#include <stddef.h>
#include <stdint.h>

#include "stats/interval.h"

/* What is kept of an arm; zero-initialise. Plain figures: may be stored, added up and sent. `moments[i]` is
 * the sum over clusters of y^(4-i) n^i for fourth moments, i = 0..4. */
struct cluster_sums {
    double clusters; /* with n > 0 */
    double y, n, yy, yn, nn;
    double moments[5];
};

/* A customer's totals were (y_before, n_before), n_before = 0 for a new one, and are now (y_after, n_after);
 * n_after = 0 takes the customer out. */
void cluster_sums_move(struct cluster_sums *s, double y_before, double n_before, double y_after,
                       double n_after);
/* As if each y had been `factor` times as much. */
void cluster_sums_scale(struct cluster_sums *s, double factor);

struct estimate {
    double value;
    double variance;  /* of the value; NaN with fewer than two clusters */
    double clusters;  /* that it is made of */
    double effective; /* see above; 0 where nothing varies */
};
struct estimate cluster_ratio(const struct cluster_sums *s);
/* a - b of two arms that share no cluster; `clusters` and `effective` are the smaller ones'. */
struct estimate estimate_difference(struct estimate a, struct estimate b);
/* The same with one variance of a customer's deviation for both arms, as there is without an effect: for tests
 * of whether there is one. `effective` is that of both arms' customers together. NaN where either arm has less than
 * two clusters. */
struct estimate cluster_difference(const struct cluster_sums *a, const struct cluster_sums *b);
/* value / sqrt(variance): 0 when both are 0, NaN when the variance is NaN. */
double estimate_z(struct estimate e);

#endif
