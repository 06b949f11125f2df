/* SPDX-License-Identifier: Apache-2.0
 * gate.h - who of the callers is let in: an admission for each kind of work, what is counted of it, and the
 * answer to those who are turned away.
 *
 * Kinds do not share a bound: however many decisions are asked for, a stored one can be read, and the other
 * way round. A request is turned away when its head and its key are known and before its body is looked at,
 * so that it costs little; only a batch is judged once more by how much it lists. */
#ifndef ASSAY_INGESTION_GATE_H
#define ASSAY_INGESTION_GATE_H

#include "admission.h"
#include "http/server.h"
#include "keys.h"

struct ingestion;
struct gate;

enum work { WORK_DECIDE, WORK_READ, WORK_LABEL, WORK_COUNT };

struct gate *gate_new(struct ingestion *in);
void gate_free(struct gate *g); /* passes that are still out must not be used any more */

/* Tells keys apart: their prefix as a number. */
uint64_t caller_number(const struct caller *key);

/* Whether `units` of work of this caller may come in, with `left_us` to do them (INT64_MAX: as long as it
 * takes). If not, `req` has been answered with 503 and Retry-After. */
bool gate_ask(struct gate *g, enum work work, const struct caller *key, size_t units, int64_t left_us,
              struct http_request *req);

/* Units that are in. They leave one by one, or those that are left all together. */
struct pass {
    struct gate *gate; /* NULL: none is in */
    enum work work;
    struct flow *flow;
    size_t units;
    int64_t entered_us;
};
struct pass gate_enter(struct gate *g, enum work work, const struct caller *key, size_t units);
/* One unit for itself. */
struct pass pass_split(struct pass *p);
void pass_done(struct pass *p);  /* all that is in it has been worked on */
void pass_leave(struct pass *p); /* nothing was begun */

/* How many decisions should be on their way at once; who is in beyond that waits at the entrance. */
size_t gate_at_work(const struct gate *g);

#endif
