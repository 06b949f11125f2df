/* SPDX-License-Identifier: Apache-2.0
 * field.h - the names by which expressions and catalogues speak of a transaction: tx.amount, tx.hour,
 * tx.attributes.x.
 *
 * One table, so that a rule, a feature and a page mean the same by a name. */
#ifndef ASSAY_FRAUD_FIELD_H
#define ASSAY_FRAUD_FIELD_H

#include <stdbool.h>

#include "base/slice.h"
#include "fraud/txn.h"

/* X(field, meaning): numbers. The calendar is UTC. */
#define TXN_NUMBER_FIELDS(X)                                                                                 \
    X(amount, "amount in minor units of the base currency")                                                  \
    X(amount_local, "amount in minor units of its own currency")                                             \
    X(lat, "latitude in degrees")                                                                            \
    X(lon, "longitude in degrees")                                                                           \
    X(hour, "hour of the day, 0 to 23")                                                                      \
    X(minute_of_day, "minute of the day, 0 to 1439")                                                         \
    X(weekday, "day of the week, 0 = Sunday to 6 = Saturday")                                                \
    X(day_of_month, "1 to 31")                                                                               \
    X(month, "1 to 12")                                                                                      \
    X(unix_seconds, "seconds since 1970-01-01T00:00:00Z, with a fraction")

enum txn_field_kind { TXN_FIELD_NUMBER, TXN_FIELD_TEXT, TXN_FIELD_ATTRIBUTE };

/* A name, looked up once. */
struct txn_field {
    enum txn_field_kind kind;
    int index;              /* into numbers or texts (enum txn_text, or TXN_FIELD_ID, TXN_FIELD_CURRENCY) */
    struct slice attribute; /* TXN_FIELD_ATTRIBUTE: its name; the caller's bytes */
};
enum { TXN_FIELD_ID = TXN_TEXT_COUNT, TXN_FIELD_CURRENCY };

enum txn_value_kind { TXN_VALUE_MISSING, TXN_VALUE_NUMBER, TXN_VALUE_TEXT, TXN_VALUE_BOOL };
struct txn_value {
    enum txn_value_kind kind;
    double number;
    struct slice text;
    bool is_true;
};

/* "amount", "channel", "currency", "id", "attributes.basket_size"; without "tx.". False when there is no such
 * field; attributes are there by any well-formed name. */
bool txn_field_find(struct slice name, struct txn_field *out);
struct txn_value txn_field_get(const struct txn *txn, const struct txn_field *field);

#endif
