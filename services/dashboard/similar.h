/* SPDX-License-Identifier: Apache-2.0
 * similar.h - past decisions that the champion takes for most like one, with what became of them.
 *
 * Two are alike as far as their vectors share leaves of its forest (neighbours/neighbours.h). A thread fills an index of
 * each: decisions with a label, as far back as there is room and frauds for longer; and a sample of those without one, so
 * that it shows how usual a payment is. Both are in memory, made anew after a start and when the champion changes; what
 * asks meanwhile is answered from what is there. */
#ifndef ASSAY_DASHBOARD_SIMILAR_H
#define ASSAY_DASHBOARD_SIMILAR_H

#include "base/err.h"

struct call;
struct dashboard_settings;
struct pg_session;
struct similar;

/* Errors are those of watch_open(). */
MUST_USE enum err similar_open(struct similar **out, const struct dashboard_settings *conf, struct why *why);
void similar_close(struct similar *s);

enum err case_similar(struct call *c, struct pg_session *s, struct why *why);

#endif
