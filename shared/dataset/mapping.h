/* SPDX-License-Identifier: Apache-2.0
 * mapping.h - how the columns of a CSV file become transactions and labels, declared in YAML.
 *
 *   transaction_id: {column: TRANSACTION_ID, prefix: t}
 *   occurred_at:    {column: TX_DATETIME, format: "YYYY-MM-DD hh:mm:ss"}
 *   amount:         {column: TX_AMOUNT}
 *   currency:       {value: EUR}
 *   customer_id:    {column: CUSTOMER_ID, prefix: c}
 *   card_id:        {column: cc_num, token: true}
 *   attributes:
 *     category:     {column: category}
 *     city_people:  {column: city_pop, kind: number}
 *     account_age:  {column: signup_time, kind: seconds_before, format: "M/D/YYYY h:mm"}
 *   label:          {column: TX_FRAUD, fraud: "1", source: chargeback, delay: 7d}
 *
 * A field has a `column` or a constant `value`; `prefix` goes before the column's text. `token: true`
 * replaces the text by a keyed token before anything else sees it: the same text gives the same token under
 * the same key, and nobody without the key can tell which. An empty column is a field that is not given.
 *
 *   amount    decimal in major units of the currency, kept to its minor units
 *   times     `format` of YYYY, MM, DD, hh, mm, ss (M, D, h take one digit or two), all UTC, or `unix`
 *             (seconds), `unix_ms`, `rfc3339`. Without a column: {start: "2009-01-01T00:00:00Z", step: 80s}
 *             counts rows
 *   kind      of an attribute: text (default), number, bool, seconds_before (the event, of a time); of a
 *             text field also ipv4_number and row_number (from 0, without a column)
 *   label     fraud: the text that means fraud. delay: how long after the event it becomes known */
#ifndef ASSAY_DATASET_MAPPING_H
#define ASSAY_DATASET_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fraud/txn.h"

struct mapping;

/* Reads a mapping. *out is the caller's, to free.
 *   ERR_SYNTAX   not YAML; *why has line and column
 *   ERR_INVALID  YAML, but not a mapping; *why says in which line */
MUST_USE enum err mapping_parse(struct mapping **out, struct slice yaml, struct why *why);
void mapping_free(struct mapping *m);

/* Whether it makes tokens, so that a key is needed. */
bool mapping_needs_key(const struct mapping *m);
void mapping_set_key(struct mapping *m, const struct hash_key *key);
int64_t mapping_label_delay_us(const struct mapping *m);
void mapping_set_label_delay(struct mapping *m, int64_t delay_us);

/* "90s", "10m", "24h", "7d": how durations are written here. */
bool duration_parse(struct slice text, int64_t *us);

/* Finds the columns by the file's first record. Must come before mapping_apply().
 *   ERR_INVALID  a column is not there, or there twice */
MUST_USE enum err mapping_bind(struct mapping *m, const struct slice *header, size_t count, struct why *why);

/* One record as a transaction of `account`; what *txn and *label point to is in `arena` or in `fields`. `row`
 * counts records from 0. *has_label is false when the mapping has none or the label's column is empty.
 *   ERR_INVALID  a value cannot be read; *why names the column, never its value: it may hold anything */
MUST_USE enum err mapping_apply(const struct mapping *m, const struct slice *fields, size_t count,
                                uint64_t row, uint32_t account, struct txn *txn, struct label *label,
                                bool *has_label, struct arena *arena, struct why *why);

#endif
