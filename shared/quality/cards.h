/* SPDX-License-Identifier: Apache-2.0
 * cards.h - Card Precision@k of one day: if k customers a day could be looked at, those with the highest scores, in how
 * many of them would fraud be found?
 *
 * It is stats/ranking.h's card_precision_at_k() for days that come one after the other and are too large to be held:
 * rows are offered by falling score, and only the k customers that are looked at are kept. Each counts once, by its
 * highest score; those in whom fraud was found on an earlier day are left out. The figure is found / k, also when fewer
 * than k customers paid. Customers are numbers (hashes) here. No I/O. */
#ifndef ASSAY_QUALITY_CARDS_H
#define ASSAY_QUALITY_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUALITY_CARDS_MAX = 1000 };

struct quality_cards {
    size_t k, count, found; /* wanted, looked at, and of them with fraud */
    uint64_t customers[QUALITY_CARDS_MAX];
    bool is_fraud[QUALITY_CARDS_MAX];
    const uint64_t *left_out; /* [left_out_count], rising; borrowed */
    size_t left_out_count;
};

/* `k` is 1 to QUALITY_CARDS_MAX. */
void quality_cards_init(struct quality_cards *c, size_t k, const uint64_t *left_out, size_t left_out_count);
/* The next row's customer, by falling score. False: k are looked at, and no more rows are wanted. */
bool quality_cards_offer(struct quality_cards *c, uint64_t customer);
/* Some payment of the customer on that day was fraud; after all rows were offered, any number of times. */
void quality_cards_fraud(struct quality_cards *c, uint64_t customer);
/* NaN when nobody was looked at. */
double quality_cards_precision(const struct quality_cards *c);

#endif
