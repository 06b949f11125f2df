/* SPDX-License-Identifier: Apache-2.0
 * control.h - the control slice: a small share of what the score alone would decline is let through, so that
 * some of it gets labels. Who is let through is drawn here; what may be let through in a day is counted in
 * PostgreSQL (claim_control_slice() in migrations/0009_lifecycle.sql).
 *
 * The draw is a keyed hash over (account, customer, UTC day of known_at): it needs no memory, is the same in
 * every process and on every retry, and nobody without the key can foresee it. So a customer is in or out for
 * a whole day, and trying again does not help.
 *
 * `p_allow` of a decision is the probability, before the draw, that its payment is not declined:
 *
 *   not declined by the policy                                    1
 *   declined by a list, a rule or for what was missing            0
 *   declined by the score, the slice being off or having no room  0
 *   declined by the score, and in the slice's frame               share, whichever way the draw went
 *
 * Weights of 1 / p_allow on what was not declined then make sums over the frame unbiased (Horvitz and Thompson
 * 1952), provided that being in the frame does not depend on the payment's own draw. Two rules see to that:
 *   - a customer's first declined payment of a day is in the frame, later ones never are. So whether there is
 *     room depends on the draws of other customers only;
 *   - room is looked for, and used up, by the same work whichever way the draw went: what fails on the way
 *     (and is declined with 0) fails for both. */
#ifndef ASSAY_POLICY_CONTROL_H
#define ASSAY_POLICY_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "policy/policy.h"

#define CONTROL_SHARE_MOST 0.5

/* The reason that a payment gets which is let through, before those of the decline. */
#define CONTROL_REASON_CODE "control_slice"
#define CONTROL_REASON_TEXT "Approved although the fraud score is high: it belongs to the control slice"

/* What the draw and the frame need of a slice's settings; all caps are the database's. */
struct control_slice {
    uint32_t account;    /* 0: of every account without a slice of its own */
    double share;        /* 0..CONTROL_SHARE_MOST */
    int64_t amount_most; /* of one payment, in minor units of the base currency */
    struct hash_key key;
};

/* The UTC day, from 1970-01-01 = 0. */
int32_t control_day(int64_t known_at_us);

/* Whether the payment may be let through at all: the score alone declined it, and it is not too large.
 * `slice` NULL: never. */
bool control_is_candidate(const struct control_slice *slice, enum policy_decider decider, enum action action,
                          int64_t amount_base_minor);

/* Whether this customer is in the slice on that day; true with the probability `slice->share`. */
bool control_is_drawn(const struct control_slice *slice, uint32_t account, struct slice customer,
                      int32_t day);

#endif
