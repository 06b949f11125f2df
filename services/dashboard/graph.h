/* SPDX-License-Identifier: Apache-2.0
 * graph.h - who and what a case is tied to: cards, customers, devices, addresses and merchants, by the payments that they
 * have in common, to two hops.
 *
 *   the payment ─▶ its entities (hop 0) ─▶ those that share a payment with them (1) ─▶ with those (2)
 *
 * A merchant or an address with more customers than GRAPH_HUB_CUSTOMERS among its newest payments is a hub: it ties
 * together what has nothing to do with each other, so it is shown with how much it has and not followed. Merchants are
 * followed from the payment itself alone. Of what is followed the newest payments count, and frauds before the others. */
#ifndef ASSAY_DASHBOARD_GRAPH_H
#define ASSAY_DASHBOARD_GRAPH_H

#include "base/err.h"

struct call;
struct pg_session;

enum {
    GRAPH_HUB_CUSTOMERS = 25,
    GRAPH_FIRST_PAYMENTS = 60,  /* of an entity of the payment itself */
    GRAPH_SECOND_PAYMENTS = 30, /* of one that they led to */
    GRAPH_NODES = 64,
    GRAPH_PAYMENTS = 300,
    GRAPH_COUNTED = 10000, /* payments of what is not followed, or not to its end */
};

enum err case_graph(struct call *c, struct pg_session *s, struct why *why);

#endif
