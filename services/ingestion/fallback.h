/* SPDX-License-Identifier: Apache-2.0
 * fallback.h - the score when scoring cannot answer: by the online model, which learns from each label as it
 * arrives (onlinestore/onlinestore.h).
 *
 * A thread of its own looks once a second whether there are newer weights or plans, reads and binds them, and hands
 * them over; the loop only changes a pointer between two groups. A decision made by it says degraded "scoring",
 * arm "fallback", model "online:<n>", and goes by thresholds that belong to that model. Without a model that may
 * decide, without a vector, or under a plan that is not known yet there is no score, and the rule set's `missing`
 * section says what happens. */
#ifndef ASSAY_INGESTION_FALLBACK_H
#define ASSAY_INGESTION_FALLBACK_H

#include "base/err.h"

struct fallback;
struct ingestion;
struct job;

/* ERR_INTERNAL when there can be no thread. */
MUST_USE enum err fallback_open(struct fallback **out, struct ingestion *in, struct why *why);
void fallback_close(struct fallback *f);

/* Scores the job if it can; else it stays without a score. */
void fallback_score(struct fallback *f, struct job *job);

#endif
