/* SPDX-License-Identifier: Apache-2.0
 * txn.h - the domain: a transaction, a label, an action. No I/O, no parsing; only what they are.
 *
 * Every slice is borrowed: it points into the request, the log entry or the arena that the transaction was
 * read from. An empty slice means "not given". */
#ifndef ASSAY_FRAUD_TXN_H
#define ASSAY_FRAUD_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* The text fields that a transaction may carry, in the public API's spelling.
 * X(field, longest in bytes, meaning) */
#define TXN_TEXT_FIELDS(X)                                                                                   \
    X(customer_id, 128, "who pays")                                                                          \
    X(card_id, 128, "a token for the card, never its number")                                                \
    X(merchant_id, 128, "who is paid")                                                                       \
    X(terminal_id, 128, "where the card was presented")                                                      \
    X(mcc, 4, "merchant category code, ISO 18245")                                                           \
    X(channel, 32, "how: ecommerce, pos, atm, ...")                                                          \
    X(country, 2, "ISO 3166-1 alpha-2, upper case")                                                          \
    X(ip, 45, "IPv4 or IPv6 address of the customer, canonical text")                                        \
    X(device_id, 128, "the customer's device")                                                               \
    X(email_hash, 128, "a hash of the customer's e-mail address")

enum txn_text {
#define TXN_TEXT_ENUM(field, max, meaning) TXN_##field,
    TXN_TEXT_FIELDS(TXN_TEXT_ENUM)
#undef TXN_TEXT_ENUM
        TXN_TEXT_COUNT
};

enum { TXN_ID_MAX = 128, TXN_ATTRIBUTES_MAX = 64, TXN_ATTRIBUTE_NAME_MAX = 64, TXN_ATTRIBUTE_TEXT_MAX = 256 };

enum attribute_kind { ATTRIBUTE_NUMBER, ATTRIBUTE_TEXT, ATTRIBUTE_BOOL };

struct txn_attribute {
    struct slice name; /* [a-z][a-z0-9_]{0,63} */
    enum attribute_kind kind;
    double number;
    struct slice text;
    bool is_true;
};

struct txn {
    uint32_t account;          /* our number for the account; ids are unique within it */
    struct slice id;           /* transaction_id */
    int64_t occurred_at_us;    /* when it happened */
    int64_t known_at_us;       /* when it became known: server time, or the request's on a simulated clock */
    int64_t amount_minor;      /* in `currency` */
    struct slice currency;     /* ISO 4217 */
    int64_t amount_base_minor; /* in the base currency, at the rate of the day it was taken in */
    struct slice text[TXN_TEXT_COUNT];
    bool has_place;
    double lat, lon;                  /* degrees, when has_place */
    struct txn_attribute *attributes; /* sorted by name, no name twice */
    size_t attribute_count;
};

/* The public spelling of a text field, its longest value, and back: TXN_TEXT_COUNT when there is none. */
const char *txn_text_name(enum txn_text field);
size_t txn_text_max(enum txn_text field);
enum txn_text txn_text_find(struct slice name);

/* NULL when the transaction has no such attribute. */
const struct txn_attribute *txn_attribute_find(const struct txn *txn, struct slice name);

/* Where a label comes from, weakest first: a stronger source holds over a weaker one whatever their order,
 * and the newest within one. */
enum label_source { LABEL_CUSTOMER, LABEL_ANALYST, LABEL_ISSUER, LABEL_CHARGEBACK, LABEL_SOURCE_COUNT };

struct label {
    uint32_t account;
    struct slice transaction_id;
    bool is_fraud;
    enum label_source source;
    int64_t labelled_at_us; /* when the source said so */
    int64_t known_at_us;    /* when it became known here */
};

/* "customer", "analyst", "issuer", "chargeback"; LABEL_SOURCE_COUNT when there is none. */
const char *label_source_name(enum label_source source);
enum label_source label_source_find(struct slice name);

/* What is done with a payment, mildest first, so that between equals the greater holds:
 * decline > review > challenge > approve. */
enum action { ACTION_APPROVE, ACTION_CHALLENGE, ACTION_REVIEW, ACTION_DECLINE, ACTION_COUNT };

const char *action_name(enum action action);
enum action action_find(struct slice name); /* ACTION_COUNT when there is none */

#endif
