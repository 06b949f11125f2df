/* SPDX-License-Identifier: Apache-2.0
 * parts.h - features, scoring and rules as small as they can be, each a process of its own, so that a test of
 * ingestion says exactly what they answer and can take each away.
 *
 *   features  takes ids as the real one does; the vector is {amount, 1}, under the plan in the
 *             table `plans`, when it holds one
 *   scoring   0.9 for amounts from 10,000 on, 0.5 when the amount is missing, else 0.1;
 *             thresholds 0.6, 0.7, 0.8; version 7, the champion, but for amounts from 4,000 to 4,999 8, the challenger
 *   rules     the thresholds; a customer "deny-me" is declined by a rule; one public and one private reason */
#ifndef ASSAY_HARNESS_PARTS_H
#define ASSAY_HARNESS_PARTS_H

#include "harness/process.h"

enum fake { FAKE_FEATURES, FAKE_SCORING, FAKE_RULES };

/* Serves on `port` until it is killed. `conninfo` is for features. */
void fake_start(struct process *p, enum fake which, int port, const char *conninfo);

#endif
