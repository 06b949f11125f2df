/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "json/json_out.h"
#include "policy/control.h"

enum { LEAK_ROWS = 20000, STEPS_MOST = 32, PAST_DAYS = 28 };

struct life_settings life_settings_default(void)
{
    struct life_settings s = {
        .trainer = trainer_usual(),
        .steps = LIFECYCLE_SETTINGS_DEFAULT,
        .gates = GATE_SETTINGS_DEFAULT,
        .shadow = SHADOW_SETTINGS_DEFAULT,
        .ab = AB_DESIGN_DEFAULT,
        .guardrails = GUARDRAIL_SETTINGS_DEFAULT,
        .first_us = 30 * DAY_US,
        .label_delay_us = 7 * DAY_US,
        .ab_days = 7,
        .seed = 1,
    };
    enum err err = cron_parse(&s.cron, SLICE("0 3 * * 1"), NULL);

    assert(!err);
    (void)err;
    s.steps.wait_most_us = DAY_US; /* there is nobody to decide */
    return s;
}

void life_init(struct life *l, const struct plan *plan, const struct life_settings *settings)
{
    *l = (struct life){ .settings = *settings, .plan = plan, .look_at_us = INT64_MAX };
    rows_init(&l->rows, plan);
}

static void model_free(struct life_model *m)
{
    bundle_close(m->bundle);
    buf_release(&m->bytes);
    mem_free(m);
}

void life_release(struct life *l)
{
    for (size_t i = 0; i < l->model_count; i++)
        model_free(l->models[i]);
    mem_free(l->models);
    rows_release(&l->rows);
    mem_free(l->row);
    ab_free(l->ab);
    for (size_t a = 0; a < ARM_COUNT; a++)
        mem_free(l->days[a]);
    mem_free(l->declined_on);
    verdicts_release(&l->verdicts);
    mem_free(l->events);
    arena_release(&l->arena);
    *l = (struct life){ 0 };
}

/* ---- deciding ---- */

/* The chosen rows' vectors lie side by side: scores and actions by one model. */
static void score_rows(const struct life *l, const struct life_model *m, size_t from, size_t count,
                       double *scores)
{
    const struct forest *forest = bundle_forest(m->bundle);
    struct forest_scratch *scratch = forest_scratch_new(forest);
    float *margins = mem_new_n(float, count + 1);

    forest_margins(forest, rows_vector(&l->rows, from), count, margins, scratch);
    for (size_t i = 0; i < count; i++)
        scores[i] = bundle_score(m->bundle, margins[i]);
    mem_free(margins);
    forest_scratch_free(scratch);
}

static uint8_t action_of(const struct life_model *m, double score)
{
    struct bundle_thresholds t = bundle_thresholds(m->bundle);
    struct policy_thresholds thresholds = { t.challenge, t.review, t.decline };

    return (uint8_t)policy_score_action(score, &thresholds);
}

/* Whether this decline is in the frame of the control slice: the customer's first of the day. */
static bool is_in_frame(struct life *l, size_t i)
{
    struct control_slice slice = { .share = l->settings.control_share, .amount_most = INT64_MAX };
    const struct row *row = &l->rows.row[i];
    int32_t day = control_day(row->known_at_us);

    if (!(slice.share > 0) ||
        !control_is_candidate(&slice, POLICY_BY_THRESHOLD, (enum action)l->row[i].action, row->amount_minor))
        return false;
    if (row->customer >= l->customer_cap) {
        size_t cap = 2 * (size_t)row->customer + 1024;

        l->declined_on = mem_grow(l->declined_on, cap, sizeof *l->declined_on);
        for (size_t c = l->customer_cap; c < cap; c++)
            l->declined_on[c] = INT32_MIN;
        l->customer_cap = cap;
    }
    if (l->declined_on[row->customer] == day)
        return false;
    l->declined_on[row->customer] = day;
    return true;
}

/* What can be learnt of it, and how much it counts in training: see trainingstore/trainingstore.h. */
static void set_label_chance(struct life *l, size_t i)
{
    struct life_row *r = &l->row[i];
    bool is_hidden = l->settings.hides_labels && r->action == ACTION_DECLINE;
    bool is_framed = is_hidden && is_in_frame(l, i);

    r->is_let_through = is_framed && r->is_drawn;
    r->p_label = !is_hidden ? 1 : r->is_let_through ? (float)l->settings.control_share : 0;
    l->rows.row[i].weight = r->p_label > 0 ? 1 / r->p_label : 1;
    l->rows.row[i].needs_label = !(r->p_label > 0);
}

/* Decides every row that came since the last time. Models only change at ticks, before which this is called, and
 * no label can depend on a decision that is not made yet. */
static void decide(struct life *l)
{
    size_t from = l->scored, count = l->rows.count - from;
    bool is_tried = l->candidate_state == CANDIDATE_SHADOW || l->candidate_state == CANDIDATE_AB;
    double *scores;

    l->scored = l->rows.count;
    if (!count || !l->champion)
        return;
    scores = mem_new_n(double, count);
    score_rows(l, l->first, from, count, scores);
    for (size_t i = 0; i < count; i++)
        l->row[from + i].first = scores[i];
    score_rows(l, l->champion, from, count, scores);
    for (size_t i = 0; i < count; i++) {
        l->row[from + i].champion = scores[i];
        l->row[from + i].champion_action = action_of(l->champion, scores[i]);
    }
    if (is_tried) {
        score_rows(l, l->candidate, from, count, scores);
        for (size_t i = 0; i < count; i++) {
            l->row[from + i].candidate = scores[i];
            l->row[from + i].candidate_action = action_of(l->candidate, scores[i]);
            if (l->candidate_state == CANDIDATE_SHADOW)
                guard_count(&l->own, (enum action)l->row[from + i].candidate_action, scores[i], false, false);
        }
    }
    mem_free(scores);
    for (size_t i = from; i < l->scored; i++) {
        struct life_row *r = &l->row[i];

        if (l->candidate_state == CANDIDATE_AB)
            r->arm = (uint8_t)arm_of(r->customer, l->candidate->version, l->settings.ab.share);
        r->score = r->arm == ARM_CANDIDATE ? r->candidate : r->champion;
        r->action = r->arm == ARM_CANDIDATE ? r->candidate_action : r->champion_action;
        r->version = r->arm == ARM_CANDIDATE ? l->candidate->version : l->champion->version;
        set_label_chance(l, i);
        guard_count(&l->today[r->arm], (enum action)r->action, r->score, false, false);
    }
}

/* ---- what happened ---- */

/* Tells of it; `message` is copied. */
static void happen(struct life *l, int64_t now_us, const struct life_model *about, enum lifecycle_step step,
                   const char *reason, const char *message, size_t verdicts_from)
{
    ARRAY_RESERVE_ONE(l->events, l->event_count, l->event_cap);
    l->events[l->event_count++] = (struct life_event){ .at_us = now_us,
                                                       .version = about ? about->version : 0,
                                                       .step = step,
                                                       .reason = reason,
                                                       .message = arena_slice(&l->arena, slice_str(message)),
                                                       .verdicts_from = verdicts_from,
                                                       .verdicts_until = l->verdicts.count };
    if (l->settings.hook)
        l->settings.hook(l->settings.context, l, &l->events[l->event_count - 1]);
}

static void enter(struct life *l, enum candidate state, int64_t now_us)
{
    l->candidate_state = state;
    l->candidate_since_us = now_us;
    l->has_verdict = l->is_arm_broken = false;
    l->look_at_us = INT64_MAX;
    l->stage_from = l->rows.count;
}

static void end_stage(struct life *l, enum outcome verdict)
{
    l->has_verdict = true;
    l->verdict = verdict;
    l->look_at_us = INT64_MAX;
}

static void leave(struct life *l)
{
    ab_free(l->ab);
    l->ab = NULL;
    l->candidate = NULL;
    l->candidate_state = CANDIDATE_NONE;
    l->has_verdict = l->is_arm_broken = false;
    l->look_at_us = INT64_MAX;
}

/* ---- training and gates ---- */

static struct trainer trainer_at(const struct life *l, int64_t now_us)
{
    struct trainer t = l->settings.trainer;

    t.until_us = t.created_at_us = now_us;
    t.label_delay_us = l->settings.label_delay_us;
    return t;
}

static enum err step_train(struct life *l, int64_t now_us, struct why *why)
{
    struct trainer t = trainer_at(l, now_us);
    struct life_model *m = mem_new(struct life_model);
    enum err err;

    l->fired_us = now_us;
    m->version = (uint32_t)l->model_count + 1;
    m->created_at_us = now_us;
    buf_init(&m->bytes, BUNDLE_BYTES_MAX);
    err = trainer_run(&t, &l->rows, l->plan, &m->bytes, &m->result, why);
    if (!err)
        err = bundle_open(&m->bundle, buf_slice(&m->bytes), why);
    if (err) {
        model_free(m);
        if (err != ERR_INVALID) /* that is too little history: the next run has more */
            return err;
        happen(l, now_us, NULL, STEP_TRAIN, "the run failed", why->text, l->verdicts.count);
        return ERR_OK;
    }
    l->is_first_asked = false;
    ARRAY_RESERVE_ONE(l->models, l->model_count, l->model_cap);
    l->models[l->model_count++] = m;
    l->candidate = m;
    enter(l, CANDIDATE_REGISTERED, now_us);
    return ERR_OK;
}

/* A row as both judged it, with what is known of it before now. */
static struct evidence_row evidence_at(const struct life *l, size_t i, int64_t now_us)
{
    const struct row *row = &l->rows.row[i];
    const struct life_row *r = &l->row[i];

    return (struct evidence_row){
        .at_us = row->known_at_us,
        .amount_minor = row->amount_minor,
        .customer = row->customer,
        .p_label = (double)r->p_label,
        .champion = r->champion,
        .candidate = r->candidate,
        .champion_action = r->champion_action,
        .candidate_action = r->candidate_action,
        .is_fraud = rows_truth(&l->rows, i, now_us).is_fraud,
        .is_matured = row->known_at_us + l->settings.label_delay_us <= now_us,
    };
}

/* The judging rows of the split, scored by both on what was served. */
static enum err step_gate(struct life *l, int64_t now_us, struct why *why)
{
    struct trainer t = trainer_at(l, now_us);
    struct trainer_split split;
    struct gate_input in = { .bundle = buf_slice(&l->candidate->bytes), .known = l->plan };
    enum err err = trainer_split(&split, &t, &l->rows, why);
    size_t count, first, span, columns = l->rows.columns;
    double *candidate, *champion;
    struct evidence_row *rows;
    size_t *picked;
    float *vectors;

    if (err)
        return err;
    count = split.judge.count;
    first = split.judge.rows[0];
    span = split.judge.rows[count - 1] - first + 1;
    candidate = mem_new_n(double, span);
    champion = mem_new_n(double, span);
    score_rows(l, l->candidate, first, span, candidate);
    if (l->champion)
        score_rows(l, l->champion, first, span, champion);
    rows = mem_new_n(struct evidence_row, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = split.judge.rows[i];

        rows[i] = evidence_at(l, at, now_us);
        rows[i].candidate = candidate[at - first];
        rows[i].champion = l->champion ? champion[at - first] : NAN;
    }
    in.vector_count = count < LEAK_ROWS ? count : LEAK_ROWS;
    picked = mem_new_n(size_t, in.vector_count + 1);
    vectors = mem_new_n(float, in.vector_count *columns + 1);
    for (size_t i = 0; i < in.vector_count; i++) {
        picked[i] = i * count / in.vector_count;
        memcpy(vectors + i * columns, rows_vector(&l->rows, split.judge.rows[picked[i]]),
               columns * sizeof(float));
    }
    in.champion = l->champion ? l->champion->bundle : NULL;
    in.rows = rows;
    in.row_count = count;
    in.vector_rows = picked;
    in.trained_vectors = in.served_vectors =
        vectors; /* training reads what was served: there is no second place */
    end_stage(l, gates_run(&l->settings.gates, &in, &l->verdicts));
    mem_free(vectors);
    mem_free(picked);
    mem_free(rows);
    mem_free(candidate);
    mem_free(champion);
    trainer_split_release(&split);
    return ERR_OK;
}

static enum err step_validate(struct life *l, int64_t now_us, struct why *why)
{
    (void)why;
    enter(l, CANDIDATE_VALIDATED, now_us);
    return ERR_OK;
}

/* ---- shadow ---- */

static enum err step_begin_shadow(struct life *l, int64_t now_us, struct why *why)
{
    (void)why;
    enter(l, CANDIDATE_SHADOW, now_us);
    l->own = (struct guard_counts){ 0 };
    l->look_at_us = now_us + l->settings.shadow.days_least * DAY_US + l->settings.label_delay_us;
    return ERR_OK;
}

static enum err step_look_shadow(struct life *l, int64_t now_us, struct why *why)
{
    size_t count = l->rows.count - l->stage_from;
    struct evidence_row *rows = mem_new_n(struct evidence_row, count + 1);

    (void)why;
    for (size_t i = 0; i < count; i++)
        rows[i] = evidence_at(l, l->stage_from + i, now_us);
    if (shadow_is_over(&l->settings.shadow, rows, count, l->candidate_since_us, now_us,
                       l->settings.label_delay_us))
        end_stage(l, shadow_judge(&l->settings.shadow, rows, count, &l->verdicts));
    else
        l->look_at_us = now_us + DAY_US;
    mem_free(rows);
    return ERR_OK;
}

/* ---- the experiment ---- */

static void clear_days(struct life *l)
{
    l->day_count = 0;
    memset(l->today, 0, sizeof l->today);
}

static struct ab_row ab_row_at(const struct life *l, size_t i, int64_t now_us)
{
    struct evidence_row e = evidence_at(l, i, now_us);
    const struct life_row *r = &l->row[i];

    return (struct ab_row){ .at_us = e.at_us,
                            .amount_minor = e.amount_minor,
                            .customer = e.customer,
                            .arm = (enum arm)r->arm,
                            .action = (enum action)r->action,
                            .p_label = e.p_label,
                            .is_fraud = e.is_fraud };
}

/* The first row that became known at that time or later. */
static size_t row_since(const struct life *l, int64_t at_us)
{
    size_t i = l->rows.count;

    while (i > 0 && l->rows.row[i - 1].known_at_us >= at_us)
        i--;
    return i;
}

/* Whether what is planned is enough, by what the champion's last matured weeks say. */
static void tell_plan(struct life *l, const struct ab_design *design, double rows_a_day, int64_t now_us)
{
    int64_t until_us = now_us - l->settings.label_delay_us;
    size_t from = row_since(l, until_us - PAST_DAYS * DAY_US), until = row_since(l, until_us), count = 0;
    struct ab_row *past = mem_new_n(struct ab_row, until - from + 1);
    int64_t needed;
    struct buf json;
    struct json_out o;

    for (size_t i = from; i < until; i++)
        if (l->row[i].version == l->champion->version)
            past[count++] = ab_row_at(l, i, now_us);
    needed = ab_rows_needed(design, past, count, AB_EFFECT, AB_POWER);
    mem_free(past);
    buf_init(&json, 0);
    o = json_out_to(&json);
    json_out_open(&o, NULL);
    json_out_int(&o, "planned_rows", design->planned_rows);
    json_out_int(&o, "needed_rows", needed);
    json_out_number(&o, "rows_a_day", rows_a_day);
    json_out_number(&o, "effect", AB_EFFECT);
    json_out_number(&o, "power", AB_POWER);
    json_out_end(&o);
    if (needed > 0)
        verdicts_add(
            &l->verdicts, STAGE_AB, "plan",
            needed <= design->planned_rows ? OUTCOME_PASS : OUTCOME_INCONCLUSIVE, &json,
            "a loss that is lower by %.0f %% is found with a chance of %.0f %% in %.0f days; %" PRId64
            " are planned",
            100 * AB_EFFECT, 100 * AB_POWER, ceil((double)needed / rows_a_day), l->settings.ab_days);
    else
        verdicts_add(&l->verdicts, STAGE_AB, "plan", OUTCOME_INCONCLUSIVE, &json,
                     "the champion's past has too few losses to say what can be found in %" PRId64 " days",
                     l->settings.ab_days);
    buf_release(&json);
}

static enum err step_begin_ab(struct life *l, int64_t now_us, struct why *why)
{
    struct ab_design design = l->settings.ab;
    double rows_a_day = (double)(l->rows.count - row_since(l, now_us - 7 * DAY_US)) / 7;

    (void)why;
    ab_plan(&design, rows_a_day, (double)l->settings.ab_days);
    tell_plan(l, &design, rows_a_day, now_us);
    enter(l, CANDIDATE_AB, now_us);
    l->ab = ab_new(&design);
    l->ab_from = l->rows.count;
    l->look_at_us = now_us + DAY_US + l->settings.label_delay_us;
    clear_days(l);
    return ERR_OK;
}

/* Whole days that are matured go in; then the look. */
static enum err step_look_ab(struct life *l, int64_t now_us, struct why *why)
{
    int64_t until_us = (now_us - l->settings.label_delay_us) / DAY_US * DAY_US;
    struct ab_look look;

    (void)why;
    for (; l->ab_from < l->rows.count && l->rows.row[l->ab_from].known_at_us < until_us; l->ab_from++) {
        struct ab_row row = ab_row_at(l, l->ab_from, now_us);

        ab_add(l->ab, &row);
    }
    look = ab_take_look(l->ab, now_us, &l->verdicts);
    if (look.is_last)
        end_stage(l, look.outcome);
    else
        l->look_at_us = now_us + DAY_US;
    return ERR_OK;
}

/* ---- ends ---- */

static enum err step_promote(struct life *l, int64_t now_us, struct why *why)
{
    (void)why;
    l->before = l->lately;
    l->champion_own = l->own;
    l->previous = l->champion;
    l->champion = l->candidate;
    if (!l->first)
        l->first = l->champion;
    l->promoted_at_us = now_us;
    l->is_watch_broken = false;
    leave(l);
    clear_days(l);
    l->lately = (struct guard_counts){ 0 };
    return ERR_OK;
}

static enum err step_reject(struct life *l, int64_t now_us, struct why *why)
{
    (void)now_us;
    (void)why;
    leave(l);
    clear_days(l);
    return ERR_OK;
}

/* The way back ends what was going on against the champion that is no more. */
static enum err step_roll_back(struct life *l, int64_t now_us, struct why *why)
{
    (void)now_us;
    (void)why;
    leave(l);
    l->champion = l->previous;
    l->previous = NULL;
    l->promoted_at_us = 0;
    l->is_watch_broken = false;
    l->lately = l->before;
    clear_days(l);
    return ERR_OK;
}

static enum err (*const steps[STEP_COUNT])(struct life *l, int64_t now_us, struct why *why) = {
    [STEP_TRAIN] = step_train,
    [STEP_GATE] = step_gate,
    [STEP_VALIDATE] = step_validate,
    [STEP_BEGIN_SHADOW] = step_begin_shadow,
    [STEP_LOOK_SHADOW] = step_look_shadow,
    [STEP_BEGIN_AB] = step_begin_ab,
    [STEP_LOOK_AB] = step_look_ab,
    [STEP_PROMOTE] = step_promote,
    [STEP_REJECT] = step_reject,
    [STEP_ROLL_BACK] = step_roll_back,
};

/* ---- the clock ---- */

/* The day that has ended is one more period of the experiment or of the watch. */
static void look_at_guardrails(struct life *l, int64_t now_us)
{
    bool is_watched =
        l->promoted_at_us && l->previous && now_us <= l->promoted_at_us + l->settings.steps.watch_us;
    size_t from = l->verdicts.count;
    enum outcome outcome;

    guard_add(&l->lately, &l->today[ARM_CHAMPION]);
    if (l->day_count == l->day_cap) {
        l->day_cap = l->day_cap ? 2 * l->day_cap : 32;
        for (size_t a = 0; a < ARM_COUNT; a++)
            l->days[a] = mem_grow(l->days[a], l->day_cap, sizeof **l->days);
    }
    for (size_t a = 0; a < ARM_COUNT; a++)
        l->days[a][l->day_count] = l->today[a];
    l->day_count++;
    memset(l->today, 0, sizeof l->today);

    if (l->candidate_state == CANDIDATE_AB) {
        outcome = guardrails_judge(&l->settings.guardrails, l->days[ARM_CHAMPION], l->days[ARM_CANDIDATE],
                                   l->day_count, false, &l->own, &l->verdicts);
        l->is_arm_broken = outcome == OUTCOME_FAIL;
    } else if (is_watched) {
        struct guard_counts *before = mem_new_n(struct guard_counts, l->day_count);

        for (size_t d = 0; d < l->day_count; d++)
            before[d] = l->before;
        outcome = guardrails_judge(&l->settings.guardrails, before, l->days[ARM_CHAMPION], l->day_count, true,
                                   &l->champion_own, &l->verdicts);
        l->is_watch_broken = outcome == OUTCOME_FAIL;
        mem_free(before);
    } else {
        return;
    }
    if (outcome == OUTCOME_FAIL)
        happen(l, now_us, l->is_arm_broken ? l->candidate : l->champion, STEP_NOTHING, "a guardrail broke",
               "", from);
    else
        l->verdicts.count = from; /* nothing to tell */
}

static struct lifecycle_facts facts_at(const struct life *l, int64_t now_us)
{
    return (struct lifecycle_facts){
        .now_us = now_us,
        .is_run_asked = l->is_first_asked,
        .schedule_at_us = l->fired_us ? cron_next(&l->settings.cron, NULL, l->fired_us) : INT64_MAX,
        .has_champion = l->champion != NULL,
        .has_previous = l->previous != NULL,
        .promoted_at_us = l->promoted_at_us,
        .is_watch_broken = l->is_watch_broken,
        .candidate = l->candidate_state,
        .candidate_since_us = l->candidate_since_us,
        .has_verdict = l->has_verdict,
        .verdict = l->verdict,
        .look_at_us = l->look_at_us,
        .is_arm_broken = l->is_arm_broken,
    };
}

static enum err tick(struct life *l, int64_t now_us, struct why *why)
{
    decide(l);
    if (l->champion && now_us % DAY_US == 0)
        look_at_guardrails(l, now_us);
    if (!l->model_count && now_us >= l->rows.row[0].known_at_us + l->settings.first_us)
        l->is_first_asked = true;
    for (size_t i = 0; i < STEPS_MOST; i++) {
        struct lifecycle_facts facts = facts_at(l, now_us);
        struct lifecycle_next next = lifecycle_next(&l->settings.steps, &facts);
        size_t from = l->verdicts.count, before = l->event_count;
        const struct life_model *about = l->candidate, *left = l->champion;
        enum err err;

        if (!steps[next.step])
            break;
        err = steps[next.step](l, now_us, why);
        if (err)
            return err_wrap(why, err, "%s", lifecycle_step_name(next.step));
        if (l->event_count > before)
            break; /* a run that failed has told so itself; the next tick tries again when it is due */
        if (next.step == STEP_TRAIN)
            about = l->candidate;
        else if (next.step == STEP_ROLL_BACK)
            about = left;
        happen(l, now_us, about, next.step, next.reason, "", from);
    }
    return ERR_OK;
}

/* All ticks up to and at `at_us`; what comes at a tick's own time comes after it. */
static enum err advance(struct life *l, int64_t at_us, struct why *why)
{
    while (l->tick_us && l->tick_us <= at_us) {
        int64_t now_us = l->tick_us, fires_us;
        enum err err = tick(l, now_us, why);

        if (err)
            return err;
        fires_us = cron_next(&l->settings.cron, NULL, now_us);
        l->tick_us = (now_us / DAY_US + 1) * DAY_US;
        if (fires_us < l->tick_us)
            l->tick_us = fires_us;
    }
    return ERR_OK;
}

enum err life_txn(struct life *l, const struct txn *txn, struct why *why)
{
    struct control_slice slice = { .share = l->settings.control_share };
    struct hash_key key = { "assay life arms" };
    struct slice customer = txn->text[TXN_customer_id];
    enum err err = advance(l, txn->known_at_us, why);
    struct life_row *r;

    if (err)
        return err;
    if (!l->tick_us)
        l->tick_us = (txn->known_at_us / DAY_US + 1) * DAY_US;
    rows_add_txn(&l->rows, txn);
    if (l->rows.count > l->row_cap) {
        l->row_cap = l->row_cap ? l->row_cap + l->row_cap / 2 : 1 << 16;
        l->row = mem_grow(l->row, l->row_cap, sizeof *l->row);
    }
    r = &l->row[l->rows.count - 1];
    memcpy(slice.key.bytes, &l->settings.seed, sizeof l->settings.seed);
    memcpy(key.bytes + 8, &l->settings.seed, sizeof l->settings.seed);
    *r = (struct life_row){
        .score = NAN,
        .first = NAN,
        .champion = NAN,
        .candidate = NAN,
        .p_label = 1,
        .is_drawn = slice.share > 0 &&
                    control_is_drawn(&slice, txn->account, customer, control_day(txn->known_at_us)),
        .customer = hash64(&key, customer),
    };
    return ERR_OK;
}

enum err life_label(struct life *l, const struct label *label, struct why *why)
{
    enum err err = advance(l, label->known_at_us, why);
    uint32_t row = id_table_find(&l->rows.ids, label->account, label->transaction_id);

    if (err)
        return err;
    if (row != UINT32_MAX) {
        if (row >= l->scored)
            decide(l); /* whether the label can be seen depends on what was decided */
        l->row[row].is_fraud = label->is_fraud;
        if (!(l->row[row].p_label > 0))
            return ERR_OK;
    }
    rows_add_label(&l->rows, label);
    return ERR_OK;
}

void life_end(struct life *l)
{
    decide(l);
}
