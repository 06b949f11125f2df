/* SPDX-License-Identifier: Apache-2.0
 * simulate.h - a made-up world of customers, merchants, terminals, devices and places, and the fraud in it.
 *
 * For demonstrations and tests where no real data may be used. The same parameters give the same stream on
 * every machine. Memory is that of the world, whatever the number of transactions.
 *
 * Base behaviour: each customer pays at a rate of its own, by day more than by night, mostly at a few usual
 * merchants near home, with amounts around its own level for the merchant's kind; some pay online, from one
 * or two devices of their own. On top of it campaigns come and go:
 *
 *   large amounts          one payment, many times the customer's level, for goods that sell again
 *   compromised terminal   a terminal near which cards are copied sees ordinary-looking frauds for days
 *   stolen credentials     a card is used online for days from addresses and devices that are not its owner's
 *   card testing           one device tries dozens of cards with tiny amounts within minutes
 *   account takeover       a new device in another place, payments that grow, over in hours
 *
 * Labels come late, each source at its own pace: analysts within hours, customers and issuers within days,
 * chargebacks within weeks. */
#ifndef ASSAY_SIMULATE_SIMULATE_H
#define ASSAY_SIMULATE_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fraud/txn.h"

enum scenario {
    SCENARIO_GENUINE,
    SCENARIO_LARGE_AMOUNT,
    SCENARIO_COMPROMISED_TERMINAL,
    SCENARIO_STOLEN_CREDENTIALS,
    SCENARIO_CARD_TESTING,
    SCENARIO_ACCOUNT_TAKEOVER,
    SCENARIO_COUNT
};
const char *scenario_name(enum scenario scenario);

struct simulate_params {
    uint64_t seed;
    uint32_t account;
    int64_t start_us;    /* event time of the first moment */
    uint32_t customers;  /* 1 and more; merchants and terminals follow from it */
    double fraud_factor; /* 1: about one payment in a hundred; 0: none */
};

struct simulate;

/* The caller's, to free. */
struct simulate *simulate_new(const struct simulate_params *params);
void simulate_free(struct simulate *s);

/* The next transaction in event time, without end. What *txn and *label point to is valid until the next
 * call. *label says the truth about it, by whom and when that becomes known. */
enum scenario simulate_next(struct simulate *s, struct txn *txn, struct label *label);

/* How many payments a customer makes in a day, on average: what a number of transactions means in days. */
double simulate_daily_rate(void);

#endif
