/* SPDX-License-Identifier: Apache-2.0
 * canonical.h - one spelling per request, so that two requests that mean the same have the same hash.
 *
 * The form is made from the parsed transaction: the order of members, white space, the spelling of numbers,
 * the offset of a time and the notation of an address make no difference; absent and null are the same. What
 * the server adds (account, converted amount, and known_at on a live clock) is not in it. Version 1; a change
 * of the form would make every stored hash differ, so it never changes. */
#ifndef ASSAY_FRAUD_CANONICAL_H
#define ASSAY_FRAUD_CANONICAL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/hash.h"
#include "fraud/txn.h"

/* SHA-256 of the canonical form; `scratch` is cleared and used. On a simulated clock known_at is the
 * client's. */
void txn_hash(const struct txn *txn, bool is_simulated, struct buf *scratch,
              unsigned char digest[SHA256_BYTES]);

#endif
