/* SPDX-License-Identifier: Apache-2.0
 * oracle.h - the features again, in the plainest way: every event is kept, and every value is counted from
 * all of them. Shares nothing with the kernel but the definitions. */
#ifndef TESTS_FEATURESTORE_ORACLE_H
#define TESTS_FEATURESTORE_ORACLE_H

#include "featurestore/plan.h"
#include "fraud/txn.h"

/* Whether a feature's `where` holds, written in C by the test. */
typedef bool oracle_where(const struct feature *feature, const struct txn *txn);

struct oracle;
struct oracle *oracle_new(const struct plan *plan, oracle_where *where);
void oracle_free(struct oracle *o);
/* `vector` gets a value for each column; NaN also for expressions, which the oracle leaves out. */
void oracle_apply_txn(struct oracle *o, const struct txn *txn, double *vector);
void oracle_apply_label(struct oracle *o, const struct label *label);

#endif
