/* SPDX-License-Identifier: Apache-2.0
 * catalogue.h - what a deployment knows about its entities, declared in YAML, as definitions that never
 * change.
 *
 *   entities: {customer: customer_id, terminal: terminal_id, pair: [customer_id, merchant_id]}
 *   features:
 *     - {name: amount, expr: tx.amount}
 *     - {name: customer_count_24h, count: customer, window: 24h, include_current: true}
 *     - {name: customer_mean_30d, mean: amount, by: customer, window: 30d, mode: exact}
 *     - {name: night_share, expr: "customer_night_7d / (customer_count_7d + 1.0)"}
 *     - {name: customer_night_7d, count: customer, window: 7d, where: "tx.hour < 6", hidden: true}
 *     - {name: risk, fraud_rate: terminal, window: 28d, delay: 7d, prior: {rate: 0.008, weight: 20}}
 *
 * An aggregate is one key: `count since_last first_seen speed distance fraud_count fraud_rate
 * since_last_fraud since_last_legit` name an entity; `sum mean std min max distinct` name a field and have `by: <entity>`. Fields that are summed are
 * `amount` (in minor units of the base currency) and `attributes.<name>` (kept at `scale` decimals, 0 if not
 * said); `distinct` and entities take any text field of a transaction or attribute. Then:
 *
 * `window`: 1m to 90d in s, m, h, d; or `all`: count, sum, mean, std, min, max of everything ever applied.
 *
 * `delay`: shifts the window into the past: (t-delay-window, t-delay].
 *
 * `mode`: `exact`, both ends to the microsecond (what windows up to 1h are if nothing is said), or `tiles`,
 * where the ends lie on multiples of a hop, see feature_window_error_us().
 *
 * since_last_fraud and since_last_legit: the time since the newest event of the window that is known as fraud,
 * or that is not; missing where there is none. As with the counts, a label changes from its entry in the log on
 * what is known of its event. With a delay, what is too young to be judged is neither. Always exact.
 *
 * `include_current`: also counts the transaction that is asked about. Default false; not with a delay.
 *
 * `where`: CEL over tx.* and other features; an event for which it did not hold when it came is not counted.
 *
 * `default`: the value where nothing is in the window. Without it counts and sums are 0, others missing.
 *
 * `prior`: fraud_rate only: (frauds + rate * weight) / (count + weight).
 *
 * `describe`: words for people. `monotone`: increasing or decreasing, a hint for training. `hidden: true`
 * computes the feature for others without showing it. These three and the name are no part of the identity.
 *
 * Units: amounts in minor units, since_last, since_last_* and first_seen in seconds, distance in km, speed in km/h. Missing
 * is NaN: where the transaction lacks the entity's field, the place, or a value that an `expr` needs. std is
 * that of the population. The transaction's fields for `expr` and `where` are those of fraud/field.h; an
 * `expr` that is true or false is 1 or 0. */
#ifndef ASSAY_FEATURESTORE_CATALOGUE_H
#define ASSAY_FEATURESTORE_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"

/* X(aggregate, key in YAML, what the key names: an entity, a field with `by`, or an expression) */
#define AGGREGATES(X)                                                                                        \
    X(AGGREGATE_EXPR, "expr", EXPRESSION)                                                                    \
    X(AGGREGATE_COUNT, "count", ENTITY)                                                                      \
    X(AGGREGATE_SUM, "sum", FIELD)                                                                           \
    X(AGGREGATE_MEAN, "mean", FIELD)                                                                         \
    X(AGGREGATE_STD, "std", FIELD)                                                                           \
    X(AGGREGATE_MIN, "min", FIELD)                                                                           \
    X(AGGREGATE_MAX, "max", FIELD)                                                                           \
    X(AGGREGATE_DISTINCT, "distinct", FIELD)                                                                 \
    X(AGGREGATE_FRAUD_COUNT, "fraud_count", ENTITY)                                                          \
    X(AGGREGATE_FRAUD_RATE, "fraud_rate", ENTITY)                                                            \
    X(AGGREGATE_SINCE_LAST, "since_last", ENTITY)                                                            \
    X(AGGREGATE_FIRST_SEEN, "first_seen", ENTITY)                                                            \
    X(AGGREGATE_SPEED, "speed", ENTITY)                                                                      \
    X(AGGREGATE_DISTANCE, "distance", ENTITY)                                                                \
    X(AGGREGATE_SINCE_FRAUD, "since_last_fraud", ENTITY)                                                     \
    X(AGGREGATE_SINCE_LEGIT, "since_last_legit", ENTITY)

enum aggregate {
#define AGGREGATE_ENUM(code, key, names) code,
    AGGREGATES(AGGREGATE_ENUM)
#undef AGGREGATE_ENUM
        AGGREGATE_COUNT_OF
};

enum monotone { MONOTONE_NONE = 0, MONOTONE_INCREASING = 1, MONOTONE_DECREASING = -1 };

enum {
    CATALOGUE_TEXT_MAX = 1 << 20,
    CATALOGUE_FEATURES_MAX = 1024,
    ENTITY_FIELDS_MAX = 4,
    FEATURE_NAME_MAX = 64,
};
#define WINDOW_ALL INT64_C(-1)

/* One feature. `definition` is its normalised text, `hash` the SHA-256 of that: the identity. Names of other
 * features stand in it as f_<64 hex digits>, so an identity covers everything that the value depends on. */
struct feature {
    struct slice name; /* [a-z][a-z0-9_]{0,63} */
    struct slice describe;
    enum monotone monotone;
    bool is_hidden;

    struct slice definition;
    unsigned char hash[SHA256_BYTES];

    enum aggregate aggregate;
    struct slice entity[ENTITY_FIELDS_MAX]; /* the fields' names, in order */
    size_t entity_fields;
    struct slice field; /* of sum .. distinct */
    int scale;
    struct slice where; /* canonical CEL over hashes; empty when always */
    struct slice expr;  /* the same for AGGREGATE_EXPR */
    int64_t window_us, delay_us;
    bool is_exact, includes_current;
    bool has_default;
    double default_value;
    bool has_prior;
    double prior_rate, prior_weight;
    size_t line; /* in the file it came from, for messages */
};

struct catalogue {
    struct feature *features; /* in the file's order */
    size_t count;
};

/* Reads a catalogue; everything in it is a copy in `arena`.
 *   ERR_SYNTAX   not YAML; *why has line and column
 *   ERR_INVALID  YAML, but not a catalogue: *why says in which line what is wrong and what would be right */
MUST_USE enum err catalogue_parse(struct catalogue *catalogue, struct slice yaml, struct arena *arena,
                                  struct why *why);

/* A text as catalogues have it: between double quotes, with all but printable ASCII escaped. `s` is UTF-8. */
void catalogue_quote(struct buf *out, struct slice s);

/* Where tiles end: 5 min for windows below 12 h, 1 h below 12 d, 1 day from there; 1 us when exact.
 * Source: Chronon's FiveMinuteResolution. */
int64_t feature_hop_us(const struct feature *feature);
/* How far an end of the window may lie from where the definition says, at the most: 0 when exact. Without a
 * delay a window is (floor(t-window), t] with floor to the hop, so it is never too short; with a delay both
 * ends are floored. */
int64_t feature_window_error_us(const struct feature *feature);

#endif
