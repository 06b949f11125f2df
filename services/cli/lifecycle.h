/* SPDX-License-Identifier: Apache-2.0
 * lifecycle.h - the whole life of models over a stream, on the stream's own clock: features in the log's order,
 * labels when they become known, training by a schedule, and every candidate through gates, shadow and an
 * experiment with arms before it decides for all. What decides is shared/lifecycle, as in the services; this only
 * keeps the rows and the clock.
 *
 * Days and the schedule's times are ticks: what is due is done then, from what was known before. Between two
 * ticks nothing but scores changes. No I/O; the same stream and settings give the same life. */
#ifndef ASSAY_CLI_LIFECYCLE_H
#define ASSAY_CLI_LIFECYCLE_H

#include "cron/cron.h"
#include "lifecycle/ab.h"
#include "lifecycle/controller.h"
#include "lifecycle/gates.h"
#include "lifecycle/guardrail.h"
#include "lifecycle/shadow.h"
#include "training/trainer.h"

/* Something that happened. */
struct life_event {
    int64_t at_us;
    uint32_t version; /* the model it was about; 0: none */
    enum lifecycle_step step;
    const char *reason;                   /* a constant */
    struct slice message;                 /* of a run that failed; else empty */
    size_t verdicts_from, verdicts_until; /* in life->verdicts */
};

struct life;
struct life_settings {
    struct trainer trainer; /* until_us and created_at_us are filled in */
    struct lifecycle_settings steps;
    struct gate_settings gates;
    struct shadow_settings shadow;
    struct ab_design ab;
    struct guardrail_settings guardrails;
    struct cron cron;
    int64_t first_us; /* after the stream's first transaction: when the first model is trained */
    int64_t label_delay_us;
    int64_t ab_days;      /* planned for an experiment */
    bool hides_labels;    /* of what was declined, unless the control slice let it through */
    double control_share; /* of the declines by score; 0: no slice */
    uint64_t seed;        /* of arms and of the slice */
    void (*hook)(void *context, const struct life *l, const struct life_event *event); /* may be NULL */
    void *context;
};
/* Everything but the trainer's name: weekly, what waits for a person is rejected after a day. */
struct life_settings life_settings_default(void);

/* What became of one transaction. */
struct life_row {
    double score;               /* of the model that decided; NaN before there was one */
    double first;               /* of the first model, which was never trained again */
    double champion, candidate; /* NaN where that one did not score it */
    float p_label;              /* lifecycle/evidence.h */
    uint32_t version;           /* that decided; 0: none */
    uint8_t action, champion_action, candidate_action; /* enum action */
    uint8_t arm;                                       /* enum arm */
    bool is_drawn;                                     /* its customer is in the control slice today */
    bool is_let_through;                               /* declined, and let through all the same */
    bool is_fraud;                                     /* the stream's truth, whenever it became known */
    uint64_t customer;                                 /* from which arms are drawn */
};

struct life_model {
    uint32_t version;
    int64_t created_at_us;
    struct buf bytes;
    struct bundle *bundle;
    struct trainer_result result;
};

struct life {
    struct life_settings settings;
    const struct plan *plan;
    struct rows rows;
    struct life_row *row; /* [rows.count] */
    size_t row_cap, scored;

    struct life_model **models; /* [model_count], by version - 1 */
    size_t model_count, model_cap;
    struct life_model *first, *champion, *previous, *candidate; /* first: champion */
    enum candidate candidate_state;
    int64_t candidate_since_us, look_at_us, promoted_at_us, fired_us, tick_us;
    bool has_verdict, is_arm_broken, is_watch_broken, is_first_asked;
    enum outcome verdict;

    size_t stage_from; /* the first row of the running stage */
    struct ab *ab;
    size_t ab_from;                       /* the next row for it */
    struct guard_counts *days[ARM_COUNT]; /* of the experiment, or of the watch */
    size_t day_count, day_cap;
    struct guard_counts before;                   /* the champion before the last promotion */
    struct guard_counts own, champion_own;        /* of the newest candidate and of the champion, in shadow */
    struct guard_counts today[ARM_COUNT], lately; /* not yet a period; of the champion, lately */

    int32_t *declined_on; /* [customers], the last UTC day with a decline in the slice's frame */
    size_t customer_cap;

    struct verdicts verdicts;
    struct life_event *events;
    size_t event_count, event_cap;
    struct arena arena;
};

/* The plan is borrowed and must outlive it. */
void life_init(struct life *l, const struct plan *plan, const struct life_settings *settings);
void life_release(struct life *l);

/* The next entry of the stream, in the order in which they became known.
 *   ERR_INTERNAL and the like  training failed for another reason than too little history */
MUST_USE enum err life_txn(struct life *l, const struct txn *txn, struct why *why);
MUST_USE enum err life_label(struct life *l, const struct label *label, struct why *why);
/* What is left is scored. */
void life_end(struct life *l);

#endif
