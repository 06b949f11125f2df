/* SPDX-License-Identifier: Apache-2.0 */
#include "quality/cards.h"

#include <math.h>

void quality_cards_init(struct quality_cards *c, size_t k, const uint64_t *left_out, size_t left_out_count)
{
    c->k = k;
    c->count = c->found = 0;
    c->left_out = left_out;
    c->left_out_count = left_out_count;
}

static bool is_left_out(const struct quality_cards *c, uint64_t customer)
{
    size_t from = 0, until = c->left_out_count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;

        if (c->left_out[middle] < customer)
            from = middle + 1;
        else
            until = middle;
    }
    return from < c->left_out_count && c->left_out[from] == customer;
}

/* Its place, or count. */
static size_t place_of(const struct quality_cards *c, uint64_t customer)
{
    size_t at = 0;

    while (at < c->count && c->customers[at] != customer)
        at++;
    return at;
}

bool quality_cards_offer(struct quality_cards *c, uint64_t customer)
{
    if (c->count < c->k && place_of(c, customer) == c->count && !is_left_out(c, customer)) {
        c->customers[c->count] = customer;
        c->is_fraud[c->count++] = false;
    }
    return c->count < c->k;
}

void quality_cards_fraud(struct quality_cards *c, uint64_t customer)
{
    size_t at = place_of(c, customer);

    if (at == c->count || c->is_fraud[at])
        return;
    c->is_fraud[at] = true;
    c->found++;
}

double quality_cards_precision(const struct quality_cards *c)
{
    return c->count ? (double)c->found / (double)c->k : (double)NAN;
}
