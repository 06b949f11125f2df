/* SPDX-License-Identifier: Apache-2.0
 * partitions.h - the months of the partitioned tables, made before the first row that belongs there. */
#ifndef ASSAY_FEATURES_PARTITIONS_H
#define ASSAY_FEATURES_PARTITIONS_H

#include <stdbool.h>
#include <stdint.h>

struct features;

/* True when the partitions for that time are not there yet and are being made now, on the session: go on in
 * the next step. */
bool partitions_are_made(struct features *f, int64_t from_us, int64_t to_us);

#endif
