/* SPDX-License-Identifier: Apache-2.0
 * order.h - in which order a plan computes: an expression after what it uses. Internal to featurestore/. */
#ifndef ASSAY_FEATURESTORE_ORDER_H
#define ASSAY_FEATURESTORE_ORDER_H

#include "featurestore/layout.h"

/* Compiles the conditions and expressions of a plan whose features are booked, and gives what they use its
 * slots. */
MUST_USE enum err order_compile(struct plan *p, struct why *why);
/* Then makes the steps. */
void order_steps(struct plan *p);

#endif
