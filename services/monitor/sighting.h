/* SPDX-License-Identifier: Apache-2.0
 * sighting.h - what is looked at of one entry of the log and of the decision that belongs to it, read out of the
 * packed bytes without unpacking them. No I/O. */
#ifndef ASSAY_MONITOR_SIGHTING_H
#define ASSAY_MONITOR_SIGHTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "logstore/entry.h"

/* A transaction of the log. Slices point into the entry's body. */
struct sighting {
    uint64_t n;
    uint32_t account;
    int32_t lane; /* see monitorstore/health.h */
    int64_t known_at_us, occurred_at_us;
    int64_t amount_minor;
    struct slice id, currency, customer, card, merchant, mcc, channel, country;
};
/* False: the body cannot be read. `lane` is left to the caller. */
bool sighting_read(struct sighting *out, const struct entry *e);

/* A label of the log. */
struct told_label {
    uint64_t n;
    uint32_t account;
    int32_t lane;
    int64_t known_at_us, labelled_at_us;
    uint32_t source;
    bool is_fraud;
    struct slice id; /* of its transaction */
};
bool told_label_read(struct told_label *out, const struct entry *e);

/* Whether something was missing when it was decided, by the packed DecisionRecord. */
bool sighting_is_degraded(struct slice record);

/* Equal for two payments that are the same but for their ids and times. */
uint64_t sighting_hash(const struct sighting *s);

#endif
