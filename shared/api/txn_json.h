/* SPDX-License-Identifier: Apache-2.0
 * txn_json.h - between the public API's JSON and `struct txn` / `struct label`: every fault of a request at
 * once.
 *
 * No I/O and no clock: `now_us` comes in. The manual of each field is docs/api/openapi.yaml. */
#ifndef ASSAY_API_TXN_JSON_H
#define ASSAY_API_TXN_JSON_H

#include "api/problem.h"
#include "base/arena.h"
#include "fraud/money.h"
#include "fraud/txn.h"
#include "json/json.h"
#include "json/json_in.h"

#define TXN_PAST_US     (90 * DAY_US)             /* how old a live event may be */
#define TXN_FUTURE_US   (5 * MINUTE_US)           /* how far a client's clock may be ahead */
#define TXN_AMOUNT_MAX  INT64_C(1000000000000000) /* 10^15 minor units */
#define TXN_INTEGER_MAX (INT64_C(1) << 53) /* attributes are doubles: beyond, an integer would change */

/* What an account allows, as the reader of one request needs it. */
struct txn_rules {
    uint32_t account;
    bool is_simulated;       /* known_at comes with the request; else it must not */
    bool allows_numeric_ids; /* all-digit ids in id fields are not taken for card numbers */
    struct slice base_currency;
    const struct fx *fx;
    int64_t now_us; /* the server's time */
};

/* Reads a transaction. What `txn` points to is in the faults' arena, not in `value`. `at` is where `value`
 * stands in the request. False when faults were added: then `txn` is not complete, but its id is there if it
 * was sound. */
bool txn_from_json(struct txn *txn, const struct json_value *value, const struct txn_rules *rules,
                   const struct json_path *at, struct faults *faults);

/* Reads {"transaction_id", "is_fraud", "source", "labelled_at"[, "known_at"]}. */
bool label_from_json(struct label *label, const struct json_value *value, const struct txn_rules *rules,
                     const struct json_path *at, struct faults *faults);

/* Writes a transaction as the API takes it. */
void txn_to_json(struct json_out *o, const char *key, const struct txn *txn, bool is_simulated);
void label_to_json(struct json_out *o, const char *key, const struct label *label, bool is_simulated);

#endif
