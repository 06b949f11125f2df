/* SPDX-License-Identifier: Apache-2.0
 * velocity.h - aggregates over an entity's past that are asked for where they are used, in a rule's condition:
 *
 *   count(card, "10m") > 5 && sum(amount, card, "24h") > 100000
 *
 *   count(entity, window[, where])            how many payments
 *   sum | mean | min | max(field, entity, window[, where])
 *   distinct(field, entity, window[, where])  how many different values
 *   since_last(entity[, where])               seconds since the last payment
 *   first_seen(entity[, where])               seconds since the first one
 *
 * An entity is a field that names something (card_id, also as card and tx.card_id; attributes.<name>), or a list of up
 * to ENTITY_FIELDS_MAX of them. A window is 1m to 90d. The payment itself is not in the window, unless the last
 * argument is "including". Other texts at the end: "exact" (both ends to the microsecond, whatever the window; windows
 * up to 1h are so anyhow), "scale=2" (so many decimals are kept of an attribute that is summed). `where` is a condition
 * over tx.*; a payment for which it did not hold when it came is not counted.
 *
 * Each call is a feature of the feature store by the catalogue's own definition (featurestore/catalogue.h), so what two
 * rules ask for, or a rule and a model, is computed once, and every promise about features holds: the log alone gives
 * it, bit for bit. As with features, NaN is no value.
 *
 * A set of them is filled while expressions are compiled (struct cel_env.claim) and then only read. */
#ifndef ASSAY_VELOCITY_VELOCITY_H
#define ASSAY_VELOCITY_VELOCITY_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "cel/cel.h"
#include "featurestore/plan.h"

enum { VELOCITIES_MAX = 256 }; /* different features in one set */
#define VELOCITY_NONE SIZE_MAX

struct velocities;
struct velocities *velocities_new(void);
void velocities_free(struct velocities *v);

/* For a cel_claimer: takes the calls above, and leaves all others. min() and max() are velocities when a text is among
 * their arguments, else functions of numbers. A fault says what is wrong and what would be right, at its place. */
enum cel_claim velocities_claim(struct velocities *v, const struct cel_call *call, size_t *at,
                                struct why *why);

/* The feature that a claimed call stands for, by the call's canonical spelling; VELOCITY_NONE when it is none. */
size_t velocities_find(const struct velocities *v, struct slice call);

/* The features, each once, in the order of first use. Their names begin with VELOCITY_PREFIX and follow from the
 * identity; `describe` is the call. Valid as long as `v`. */
#define VELOCITY_PREFIX "velocity_"
size_t velocities_count(const struct velocities *v);
const struct feature *velocities_at(const struct velocities *v, size_t i);

/* The plan that has these features and no others, in order; the caller's.
 *   ERR_INVALID  the kernel's limits are passed */
MUST_USE enum err velocities_plan(struct plan **out, const struct velocities *v, struct why *why);

/* Whether a plan's column is there for rules alone. */
bool velocity_is_column(const struct feature *feature);

#endif
