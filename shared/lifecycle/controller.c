/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/controller.h"

#include "base/array.h"
#include "base/clock.h"

const struct lifecycle_settings LIFECYCLE_SETTINGS_DEFAULT = {
    .is_automatic = true,
    .has_shadow = true,
    .has_ab = true,
    .promotes_first = true,
    .gates_unsure = UNSURE_WAIT,
    .shadow_unsure = UNSURE_WAIT,
    .ab_unsure = UNSURE_WAIT,
    .rolls_back = true,
    .watch_us = 7 * DAY_US,
};

/* ---- names ---- */

static const char *const candidate_names[] = {
    [CANDIDATE_NONE] = "none",
    [CANDIDATE_REGISTERED] = "registered",
    [CANDIDATE_VALIDATED] = "validated",
    [CANDIDATE_SHADOW] = "shadow",
    [CANDIDATE_AB] = "ab",
};
static_assert(ARRAY_LEN(candidate_names) == CANDIDATE_COUNT, "every state has a name");

const char *candidate_name(enum candidate candidate)
{
    return candidate_names[candidate];
}

static const char *const unsure_names[] = {
    [UNSURE_WAIT] = "wait",
    [UNSURE_GO_ON] = "go_on",
    [UNSURE_REJECT] = "reject",
};
static_assert(ARRAY_LEN(unsure_names) == UNSURE_COUNT, "every answer to doubt has a name");

const char *when_unsure_name(enum when_unsure what)
{
    return unsure_names[what];
}

enum when_unsure when_unsure_find(struct slice name)
{
    enum when_unsure w = UNSURE_WAIT;

    while (w < UNSURE_COUNT && !slice_eq_str(name, unsure_names[w]))
        w++;
    return w;
}

const char *lifecycle_step_name(enum lifecycle_step step)
{
    static const char *const names[] = {
#define STEP_NAME(step, name) name,
        LIFECYCLE_STEPS(STEP_NAME)
#undef STEP_NAME
    };

    return names[step];
}

/* ---- the table ---- */

struct view {
    const struct lifecycle_settings *s;
    const struct lifecycle_facts *f;
};

typedef bool condition(const struct view *v);

static bool always(const struct view *v)
{
    (void)v;
    return true;
}

static bool is_watch_broken(const struct view *v)
{
    return v->s->rolls_back && v->f->is_watch_broken && v->f->has_previous && v->f->promoted_at_us &&
           v->f->now_us < v->f->promoted_at_us + v->s->watch_us;
}

static bool is_arm_broken(const struct view *v)
{
    return v->f->is_arm_broken;
}

static bool may_be_scheduled(const struct view *v)
{
    return !v->f->is_run_active && (v->s->trains_beside || v->f->candidate == CANDIDATE_NONE);
}

static bool is_asked(const struct view *v)
{
    return !v->f->is_run_active && v->f->is_run_asked;
}

static bool is_running(const struct view *v)
{
    return v->f->is_run_active;
}

static bool is_due(const struct view *v)
{
    return may_be_scheduled(v) && v->f->schedule_at_us <= v->f->now_us;
}

static bool said_promote(const struct view *v)
{
    return v->f->person == PERSON_PROMOTES;
}

static bool said_reject(const struct view *v)
{
    return v->f->person == PERSON_REJECTS;
}

static bool has_none(const struct view *v)
{
    return !v->f->has_verdict;
}

static bool has_look(const struct view *v)
{
    return !v->f->has_verdict && v->f->look_at_us <= v->f->now_us;
}

static bool has_failed(const struct view *v)
{
    return v->f->has_verdict && v->f->verdict == OUTCOME_FAIL;
}

static bool is_first(const struct view *v)
{
    return !v->f->has_champion && v->s->promotes_first;
}

static bool has_no_champion(const struct view *v)
{
    return !v->f->has_champion;
}

static bool has_shadow(const struct view *v)
{
    return v->s->has_shadow && v->f->has_champion;
}

static bool has_ab(const struct view *v)
{
    return v->s->has_ab && v->f->has_champion;
}

static bool is_automatic(const struct view *v)
{
    return v->s->is_automatic;
}

/* What settings make of an inconclusive end, by the state it ended. */
static enum when_unsure unsure(const struct view *v)
{
    switch (v->f->candidate) {
    case CANDIDATE_SHADOW:
        return v->s->shadow_unsure;
    case CANDIDATE_AB:
        return v->s->ab_unsure;
    default:
        return v->s->gates_unsure;
    }
}

static bool is_unsure(const struct view *v)
{
    return v->f->has_verdict && v->f->verdict == OUTCOME_INCONCLUSIVE && v->f->person != PERSON_GOES_ON;
}

static bool is_unsure_reject(const struct view *v)
{
    return is_unsure(v) && unsure(v) == UNSURE_REJECT;
}

static bool is_unsure_wait(const struct view *v)
{
    return is_unsure(v) && unsure(v) == UNSURE_WAIT;
}

static bool has_waited(const struct view *v)
{
    return v->s->wait_most_us && is_unsure_wait(v) &&
           v->f->now_us - v->f->candidate_since_us >= v->s->wait_most_us;
}

enum { ANY = -1, NONE = CANDIDATE_NONE, REGISTERED = CANDIDATE_REGISTERED };
enum { VALIDATED = CANDIDATE_VALIDATED, SHADOW = CANDIDATE_SHADOW, AB = CANDIDATE_AB };

/* Read from the top: the first row of the candidate's state whose condition holds is what is done. A row that
 * is reached says that those above it did not hold. */
static const struct rule {
    int state;
    condition *when;
    enum lifecycle_step step;
    const char *reason;
} rules[] = {
    { ANY, is_watch_broken, STEP_ROLL_BACK, "a guardrail broke after the promotion" },

    { ANY, said_reject, STEP_REJECT, "a person rejects it" },
    { ANY, said_promote, STEP_PROMOTE, "a person promotes it" },
    { AB, is_arm_broken, STEP_REJECT, "a guardrail broke in its arm" },
    { ANY, has_failed, STEP_REJECT, "it failed" },
    { ANY, has_waited, STEP_REJECT, "nobody decided in time" },
    { ANY, is_unsure_reject, STEP_REJECT, "the stage ended inconclusive" },

    { ANY, is_asked, STEP_TRAIN, "a run is asked for" },
    { ANY, is_due, STEP_TRAIN, "the schedule is due" },
    { NONE, is_running, STEP_NOTHING, "a run is under way" },
    { NONE, always, STEP_NOTHING, "nothing is due" },

    { ANY, is_unsure_wait, STEP_WAIT, "the stage ended inconclusive: a person decides" },

    { REGISTERED, has_none, STEP_GATE, "it has not been through the gates" },
    { REGISTERED, always, STEP_VALIDATE, "it passed the gates" },

    { VALIDATED, has_shadow, STEP_BEGIN_SHADOW, "it is validated" },
    { VALIDATED, has_ab, STEP_BEGIN_AB, "it is validated; there is no shadow stage" },
    { VALIDATED, is_first, STEP_PROMOTE, "there is no champion to compare it with" },
    { VALIDATED, has_no_champion, STEP_WAIT, "there is no champion to compare it with: a person promotes" },

    { SHADOW, has_look, STEP_LOOK_SHADOW, "there is something new to look at" },
    { SHADOW, has_none, STEP_NOTHING, "the shadow goes on" },
    { SHADOW, has_ab, STEP_BEGIN_AB, "the shadow is passed" },

    { AB, has_look, STEP_LOOK_AB, "a day has matured" },
    { AB, has_none, STEP_NOTHING, "the experiment goes on" },

    /* Every stage that there is has been passed. */
    { ANY, is_automatic, STEP_PROMOTE, "it passed every stage" },
    { ANY, always, STEP_WAIT, "it passed every stage: a person promotes" },
};

static int64_t sooner(int64_t at_us, int64_t than_us, int64_t now_us)
{
    return at_us > now_us && at_us < than_us ? at_us : than_us;
}

/* When a later time alone would change the answer. */
static int64_t ask_again_us(const struct view *v)
{
    const struct lifecycle_facts *f = v->f;
    int64_t at_us = INT64_MAX;

    if (may_be_scheduled(v))
        at_us = sooner(f->schedule_at_us, at_us, f->now_us);
    if (!f->has_verdict && (f->candidate == CANDIDATE_SHADOW || f->candidate == CANDIDATE_AB))
        at_us = sooner(f->look_at_us, at_us, f->now_us);
    if (v->s->wait_most_us && is_unsure_wait(v))
        at_us = sooner(f->candidate_since_us + v->s->wait_most_us, at_us, f->now_us);
    return at_us;
}

struct lifecycle_next lifecycle_next(const struct lifecycle_settings *settings,
                                     const struct lifecycle_facts *facts)
{
    struct view v = { settings, facts };
    struct lifecycle_facts known = *facts;

    v.f = &known;
    if (known.candidate == CANDIDATE_NONE)
        known.person = PERSON_SILENT;
    if (known.candidate == CANDIDATE_NONE || known.candidate == CANDIDATE_VALIDATED)
        known.has_verdict = false; /* nothing is being tried */
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct rule *r = &rules[i];

        if ((r->state == ANY || r->state == (int)known.candidate) && r->when(&v))
            return (struct lifecycle_next){ r->step, r->reason, ask_again_us(&v) };
    }
    return (struct lifecycle_next){ STEP_WAIT, "nothing is known to do",
                                    INT64_MAX }; /* the last row is always */
}
