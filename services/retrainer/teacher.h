/* SPDX-License-Identifier: Apache-2.0
 * teacher.h - follows the log, and teaches an online model what became known of payments, in the log's order.
 *
 * Two things teach. A label, when it changes what holds of its payment: the first does; one of a weaker source
 * does not. And silence: a payment of which nobody has said anything when it is as old as the label delay that the
 * champion was trained with counts as good, as it does in training (training/trainer.h). It is that old at the
 * first entry of its account with a known_at so much later; so the log alone says when, and no clock does. Of such
 * payments a share is drawn, each of which stands for 1 / share; they wait in `online_pending`. What a decision's
 * payment stands for besides is trainingstore_standing(); its features are the vector stored with the decision.
 *
 *   log ─▶ labels, payments that come of age ─▶ model and thresholds    with the follower's place and the payments
 *           in the order of the entries                                 that wait, in one SQL transaction
 *
 * A lesson reads and learns outside of any transaction, in small pieces, and rests after each five times as long as
 * PostgreSQL took. The transaction at its end only writes, does not wait for the disk, and is given up when somebody
 * else has gone on from the same place. So each counts once, whatever dies, and the same log gives the same bytes.
 * With two exceptions.
 *
 * Where a label comes before the decision on its payment is stored (it is on its way, or waits for a retry), it is
 * remembered in the follower's place and teaches when its decision is found: that is looked for after 20 ms, and then
 * ever more seldom, up to once a minute. The oldest of more than AWAITED_MAX are given up: imported payments never get
 * a decision.
 *
 * And the payments that wait have `room`. While half of it is free, the whole share is drawn; while a quarter is,
 * half of that; and so on; each stands for as many more. Which lesson finds how much room is a matter of time. What
 * is drawn and finds none, as by chance it may, is counted as no_room.
 *
 * The place: {"n": 17, "waiting": 12, "clocks": {"1": known_at_us, ...}, "awaited": [n of a label, ...]}. */
#ifndef ASSAY_RETRAINER_TEACHER_H
#define ASSAY_RETRAINER_TEACHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bundle/bundle.h"
#include "online/online.h"

struct pg_session;
struct teacher;

/* What was made of a label, or of a payment that came of age; TAUGHT_LABEL and TAUGHT_SILENCE were learned. */
enum taught {
    TAUGHT_LABEL,
    TAUGHT_SILENCE,
    TAUGHT_NOTHING_NEW,
    TAUGHT_LEFT_OUT,
    TAUGHT_NO_VECTOR,
    TAUGHT_NO_ROOM,
    TAUGHT_COUNT
};
extern const char *const taught_names[TAUGHT_COUNT];

struct lesson {
    uint64_t taught[TAUGHT_COUNT];
    size_t awaited; /* labels whose decision is not stored yet */
    size_t waiting; /* payments that are too young */
    double drawn;   /* share that was drawn to wait */
    bool is_full;   /* there is more to read at once */
    bool has_model; /* the rest is set */
    struct online_progress progress;
    struct bundle_thresholds thresholds;
};

/* What a session needs that is given to teacher_go_on(). */
extern const char teacher_session_sql[];

/* keep  share of the payments without a label that teach, 0 < keep <= 1
 * room  at most so many of them wait, above 0 */
struct teacher *teacher_new(double keep, size_t room);
void teacher_free(struct teacher *t);
/* Reads on from where it was, for the name whose champion was promoted last; does nothing when there is none.
 * Blocking; when told to end it gives up the lesson with ERR_TIMEOUT, and nothing of it is kept. Errors are those of
 * pg/pg.h, onlinestore/onlinestore.h and, of a plan, featurestore/plan.h. */
MUST_USE enum err teacher_go_on(struct teacher *t, struct pg_session *s, const atomic_bool *is_ending,
                                struct lesson *done, struct why *why);

#endif
