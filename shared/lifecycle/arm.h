/* SPDX-License-Identifier: Apache-2.0
 * arm.h - which model decides for a customer while two are compared: the one function that scoring, shadow
 * replay and the analysis of an experiment use.
 *
 * Customers are drawn, not transactions: velocities and fraudsters' learning would leak from one arm to the
 * other. `arm_hash` stands for the customer (Scoring.Score carries it), `salt` for the experiment, so that
 * another experiment draws other customers. */
#ifndef ASSAY_LIFECYCLE_ARM_H
#define ASSAY_LIFECYCLE_ARM_H

#include <stdint.h>

enum arm { ARM_CHAMPION, ARM_CANDIDATE, ARM_COUNT };

/* The candidate's for a `share` (0..1) of all customers; the same on every machine, and who is in the
 * candidate's arm stays there when the share grows. */
enum arm arm_of(uint64_t arm_hash, int64_t salt, double share);
/* "champion", "challenger": what stands in decisions and in the protocol. */
const char *arm_name(enum arm arm);

#endif
