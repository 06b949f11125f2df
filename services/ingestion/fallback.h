/* SPDX-License-Identifier: Apache-2.0
 * fallback.h - decides without the rules service: the same policy kernel, with the lists and rules last seen.
 */
#ifndef ASSAY_INGESTION_FALLBACK_H
#define ASSAY_INGESTION_FALLBACK_H

#include "base/arena.h"
#include "proto/assay.pb-c.h"

struct fallback;
struct ingestion;

struct fallback *fallback_new(struct ingestion *in);
void fallback_free(struct fallback *f);
/* What the rules service would have answered. It belongs to `arena`, and may point into the request. */
const Assay__V1__DecideResponse *fallback_decide(struct fallback *f, const Assay__V1__DecideRequest *request,
                                                 struct arena *arena);

#endif
