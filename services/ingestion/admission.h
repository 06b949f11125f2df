/* SPDX-License-Identifier: Apache-2.0
 * admission.h - whether one more piece of work may come in, so that what comes in is done in time. No sockets
 * and no clock of its own; the unit of work is a transaction, or a row that is read or labelled.
 *
 * By Little's law what is let in now is done after (under way + 1) / rate. Three things follow from it:
 *
 *   limit = rate * wait    so many may be under way at once; more would only wait longer
 *   deadline               who has less time than that is told at once, not when the time is over
 *   share                  each key (a flow) gets an equal part of the limit, and what others leave of theirs
 *
 * The rate is what was completed in each tenth of a second, smoothed. Such a sample says nothing about what
 * could be done while little was asked for: then it may raise the rate and never lowers it.
 * Source: Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016, the rule for
 * application-limited samples; here the bound is on the wait and not on the pipe's own time, because larger
 * groups are cheaper ones and want a queue. A limit that is too low lifts itself: as long as work passes in
 * less than `wait`, more is completed than the rate says. Where work takes about as long without any queue
 * (a slow disk, a busy machine), the wait is half as much again as it takes. That is learnt in quiet times;
 * while there always is a queue, every two seconds half the limit is let in for two samples, to see (BBR's
 * PROBE_RTT).
 *
 * Two thirds of the wait's worth keep the work going, or what it takes by itself and a quarter, if that is
 * more. Who is in beyond that is to wait where he can still be sent away.
 *
 * The share: a flow is let in below limit / flows, and above that while it has less than 8 times what is
 * free. So one busy flow leaves a ninth of the limit free, and a newcomer never finds it taken; several
 * divide it equally. While the limit falls, or a newcomer takes its part of it, half as much again as the limit
 * is let in. Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
 * switches", IEEE/ACM Transactions on Networking 6(2), 1998. */
#ifndef ASSAY_INGESTION_ADMISSION_H
#define ASSAY_INGESTION_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct admission;
struct flow;

struct admission_conf {
    size_t most;          /* units under way, whatever the rate */
    size_t least;         /* so many are let in, however slow it is: at least 1, at most `most` */
    int64_t wait_us;      /* how long a unit should be under way when there is more to do than can be done */
    int64_t wait_most_us; /* and when the work takes that long by itself */
    int64_t rate_per_s;   /* taken for granted until there is something to measure */
};

struct admission *admission_new(const struct admission_conf *conf);
void admission_free(struct admission *a); /* what is under way is forgotten */

enum verdict {
    VERDICT_ENTER,
    VERDICT_QUEUE,    /* `most` are under way */
    VERDICT_DEADLINE, /* it would be done too late */
    VERDICT_SHARE,    /* this flow has its share of what is under way */
    VERDICT_COUNT
};
extern const char *const verdict_names[VERDICT_COUNT];

/* Whether `units` of the flow `key` would be let in, who have `left_us` (INT64_MAX: for ever). Changes
 * nothing but what it counts. More units than the limit count as a limit's worth: what is large waits until
 * there is little else, but not for ever. */
enum verdict admission_ask(struct admission *a, uint64_t key, size_t units, int64_t left_us, int64_t now_us);
/* Lets them in, whatever was answered. Each unit then ends by one of the two below. */
struct flow *admission_enter(struct admission *a, uint64_t key, size_t units, int64_t now_us);
/* It is done, however it ended, or it never began (it then says nothing about the rate). */
void admission_done(struct admission *a, struct flow *flow, int64_t entered_us, int64_t now_us);
void admission_leave(struct admission *a, struct flow *flow, int64_t now_us);

/* Whole seconds after which one that was refused should ask again: the more are refused for each that is
 * done, the longer; spread, so that they do not come back together. */
int64_t admission_retry_after_s(struct admission *a);

struct admission_state {
    size_t under_way, flows, limit;
    size_t at_work; /* so many of them, up to the limit, keep the work going; the others wait */
    double rate_per_s;
    int64_t wait_us; /* of what would be let in now */
};
struct admission_state admission_state(const struct admission *a);

#endif
