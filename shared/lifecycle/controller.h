/* SPDX-License-Identifier: Apache-2.0
 * controller.h - what to do next with a model of a name: a pure function of the facts and the time.
 *
 *               train            gates           shadow          A/B              watch
 *   (nothing) ─────────▶ registered ───▶ validated ───▶ shadow ───▶ ab ───▶ champion ───▶ (at rest)
 *                            │               │             │         │          │
 *                            └──────────── rejected ◀──────┴─────────┘   roll back to the one before it
 *
 * Whoever calls it does what it says, writes down what came of it, and asks again; "nothing" means until
 * something changes or `at_us`. It never says two things at once: after a crash the facts are read again and
 * the same step comes out. */
#ifndef ASSAY_LIFECYCLE_CONTROLLER_H
#define ASSAY_LIFECYCLE_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "lifecycle/evidence.h"

/* How far the candidate is: `models.state` of one that is neither live nor out. Of several that are registered
 * or validated the newest is the candidate; the older ones are rejected, being superseded. */
enum candidate {
    CANDIDATE_NONE,
    CANDIDATE_REGISTERED,
    CANDIDATE_VALIDATED,
    CANDIDATE_SHADOW,
    CANDIDATE_AB,
    CANDIDATE_COUNT
};
const char *candidate_name(enum candidate candidate); /* "none", else the state's name */

/* What is done when a stage ends inconclusive. */
enum when_unsure { UNSURE_WAIT, UNSURE_GO_ON, UNSURE_REJECT, UNSURE_COUNT };
const char *when_unsure_name(enum when_unsure what); /* "wait", "go_on", "reject" */
enum when_unsure when_unsure_find(struct slice name);

struct lifecycle_settings {
    bool is_automatic; /* false: everything is measured, a person promotes */
    bool has_shadow, has_ab;
    bool
        trains_beside; /* the schedule also fires while a candidate is being tried; what is asked for always */
    bool
        promotes_first; /* the first model of a name goes live on its gates alone: there is nothing to compare */
    enum when_unsure gates_unsure, shadow_unsure, ab_unsure;
    bool rolls_back;      /* when a guardrail breaks after a promotion */
    int64_t watch_us;     /* after a promotion */
    int64_t wait_most_us; /* a candidate that waits for a person so long is rejected; 0: it waits for ever */
};
extern const struct lifecycle_settings LIFECYCLE_SETTINGS_DEFAULT;

/* What is so now. Times are 0 for "never". */
struct lifecycle_facts {
    int64_t now_us;
    bool is_run_asked;  /* a run is queued: by a person or the monitor */
    bool is_run_active; /* one is being trained */
    int64_t
        schedule_at_us; /* when the schedule fires next, counted from when it fired last; INT64_MAX: none */

    bool has_champion, has_previous;
    int64_t promoted_at_us; /* of the champion; 0: no watch */
    bool is_watch_broken;   /* a guardrail of the champion's watch */

    enum candidate candidate;
    int64_t candidate_since_us; /* in that state */
    /* What the stage that the candidate is in came to: the gates when registered, the shadow, the experiment. */
    bool has_verdict; /* it ended */
    enum outcome verdict;
    int64_t
        look_at_us; /* when the running stage has something new to look at; INT64_MAX: nothing is awaited */
    bool is_arm_broken; /* a guardrail of the running experiment */
    /* What a person said of this candidate in this state: to take an inconclusive stage as passed, or that it is
     * the champion, or nothing. */
    enum person { PERSON_SILENT, PERSON_GOES_ON, PERSON_PROMOTES, PERSON_REJECTS } person;
};

#define LIFECYCLE_STEPS(X)                                                                                   \
    X(STEP_NOTHING, "nothing")                                                                               \
    X(STEP_TRAIN, "train")               /* start a run */                                                   \
    X(STEP_GATE, "gate")                 /* run the gates on the registered candidate */                     \
    X(STEP_VALIDATE, "validate")         /* registered -> validated */                                       \
    X(STEP_BEGIN_SHADOW, "begin_shadow") /* validated -> shadow */                                           \
    X(STEP_LOOK_SHADOW, "look_shadow")                                                                       \
    X(STEP_BEGIN_AB, "begin_ab") /* validated or shadow -> ab */                                             \
    X(STEP_LOOK_AB, "look_ab")                                                                               \
    X(STEP_PROMOTE, "promote")     /* any -> champion */                                                     \
    X(STEP_REJECT, "reject")       /* any -> rejected; what runs for it is stopped */                        \
    X(STEP_WAIT, "wait")           /* for a person */                                                        \
    X(STEP_ROLL_BACK, "roll_back") /* champion := previous champion */
enum lifecycle_step {
#define LIFECYCLE_STEP_ENUM(step, name) step,
    LIFECYCLE_STEPS(LIFECYCLE_STEP_ENUM)
#undef LIFECYCLE_STEP_ENUM
        STEP_COUNT
};
const char *lifecycle_step_name(enum lifecycle_step step);

struct lifecycle_next {
    enum lifecycle_step step;
    const char *reason; /* a constant, for logs and for `verdicts` */
    int64_t at_us; /* with STEP_NOTHING and STEP_WAIT: ask again then; INT64_MAX: when something changes */
};
struct lifecycle_next lifecycle_next(const struct lifecycle_settings *settings,
                                     const struct lifecycle_facts *facts);

#endif
