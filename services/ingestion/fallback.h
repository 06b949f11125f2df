/* SPDX-License-Identifier: Apache-2.0
 * fallback.h - decides without the rules service: the same policy kernel, with the lists and rules last seen.
 */
#ifndef ASSAY_INGESTION_FALLBACK_H
#define ASSAY_INGESTION_FALLBACK_H

#include "pipeline.h"

struct fallback;

struct fallback *fallback_new(struct ingestion *in);
void fallback_free(struct fallback *f);
/* Fills action, reasons, rules and ruleset_version of the job's decision. */
void fallback_decide(struct fallback *f, struct job *job);

#endif
