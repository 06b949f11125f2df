/* SPDX-License-Identifier: Apache-2.0 */
#include "training/thresholds.h"

#include <math.h>
#include <stdlib.h>

static int by_score_falling(const void *a, const void *b)
{
    double x = ((const struct threshold_row *)a)->score, y = ((const struct threshold_row *)b)->score;

    return (x < y) - (x > y);
}

/* The lowest score among the highest rows behind `from` that weigh at most `capacity`, no row of equal score being
 * left out, and none taken that is not above `least`; *end is where they end. */
static double by_capacity(const struct threshold_row *rows, size_t n, size_t from, double capacity,
                          double least, size_t *end)
{
    double weight = 0;
    size_t at = from;

    *end = from;
    while (at < n && rows[at].score > least) {
        size_t next = at;

        while (next < n && rows[next].score == rows[at].score)
            weight += rows[next++].weight;
        if (weight > capacity)
            break;
        at = *end = next;
    }
    return *end > from ? rows[*end - 1].score : THRESHOLD_NEVER;
}

struct bundle_thresholds thresholds_set(const struct threshold_costs *costs, struct threshold_row *rows,
                                        size_t n)
{
    struct bundle_thresholds out;
    size_t declined = 0, end;
    double saved = 0, best = 0, frauds = 0, total = 0;

    for (size_t i = 0; i < n; i++) {
        total += rows[i].weight;
        frauds += rows[i].is_fraud ? rows[i].weight : 0;
    }
    if (n)
        qsort(rows, n, sizeof *rows, by_score_falling);
    for (size_t i = 0; i < n; i++) {
        saved += rows[i].money * (rows[i].is_fraud ? 1 : -costs->decline_cost);
        if ((i + 1 == n || rows[i + 1].score < rows[i].score) && saved > best) {
            best = saved;
            declined = i + 1;
        }
    }
    out.decline = declined ? rows[declined - 1].score : THRESHOLD_NEVER;
    out.review = by_capacity(rows, n, declined, costs->review_capacity * total, frauds / total, &end);
    out.challenge = by_capacity(rows, n, end, costs->challenge_capacity * total, frauds / total, &end);
    /* A stricter action never begins above a milder one. */
    out.review = fmin(out.review, out.decline);
    out.challenge = fmin(out.challenge, out.review);
    return out;
}
