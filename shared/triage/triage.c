/* SPDX-License-Identifier: Apache-2.0 */
#include "triage/triage.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

int64_t triage_expected_loss(double probability, int64_t amount_minor, int64_t review_cost_minor)
{
    double p = probability > 0 ? fmin(probability, 1) : 0;

    return (int64_t)llround(p * (double)amount_minor) - review_cost_minor;
}

static double share(struct triage_past past, double prior)
{
    return ((double)past.frauds + TRIAGE_WEIGHT * prior) / ((double)past.decided + TRIAGE_WEIGHT);
}

double triage_unscored(struct triage_past account, struct triage_past rules)
{
    return share(rules, share(account, TRIAGE_PRIOR));
}

struct place {
    int64_t day;
    double key;
    size_t row;
};

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    if (x->key > y->key || x->key < y->key)
        return x->key > y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

struct triage_worth triage_worth(const double *keys, const int64_t *amounts_minor, const uint8_t *is_fraud,
                                 const int64_t *days, size_t count, size_t most)
{
    struct place *places = mem_new_n(struct place, count + 1);
    struct triage_worth worth = { 0 };
    size_t today = 0;

    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){ days[i], keys[i], i };
    qsort(places, count, sizeof *places, compare);
    for (size_t i = 0; i < count; i++) {
        size_t row = places[i].row;

        today = i > 0 && places[i].day == places[i - 1].day ? today + 1 : 0;
        if (today >= most)
            continue;
        worth.reviews++;
        worth.frauds += is_fraud[row];
        worth.stopped_minor += is_fraud[row] ? amounts_minor[row] : 0;
    }
    mem_free(places);
    return worth;
}
