/* SPDX-License-Identifier: Apache-2.0
 * answer.h - one policy, one request, one answer: between the messages and the kernel. No I/O. */
#ifndef ASSAY_POLICYSTORE_ANSWER_H
#define ASSAY_POLICYSTORE_ANSWER_H

#include "base/arena.h"
#include "policy/policy.h"
#include "proto/assay.pb-c.h"

enum { ANSWER_ERRORS_MAX = 8 }; /* rules that erred, told with one decision */

/* `columns` NULL: without features. A transaction that breaks the domain's limits (attributes out of order)
 * is decided without its attributes: lists still hold. */
Assay__V1__DecideResponse *answer_decide(const struct policy *policy, const struct policy_columns *columns,
                                         const Assay__V1__DecideRequest *request, struct arena *arena);

#endif
