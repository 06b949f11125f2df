/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../services/cli/lifecycle.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../../services/cli/lifecycle_report.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dataset/label_queue.h"
#include "simulate/simulate.h"

/* Forty days of a made-up world, whose frauds become known after two days. */
enum { PAYMENTS = 20000, DAYS = 40, DELAY_DAYS = 2, WINDOW_DAYS = 14 };
#define START_US (INT64_C(19723) * DAY_US) /* 2024-01-01, a Monday */

static const char catalogue_text[] =
    "entities: {customer: customer_id, terminal: terminal_id, device: device_id}\n"
    "features:\n"
    "  - {name: amount, expr: tx.amount}\n"
    "  - {name: count_1h, count: customer, window: 1h}\n"
    "  - {name: mean_30d, mean: amount, by: customer, window: 30d}\n"
    "  - {name: ratio, expr: \"tx.amount / (mean_30d + 100.0)\"}\n"
    "  - {name: device_customers, distinct: customer_id, by: device, window: 1h}\n"
    "  - {name: device_age, first_seen: device}\n"
    "  - {name: customer_frauds, fraud_count: customer, window: 14d, mode: exact}\n"
    "  - {name: terminal_frauds, fraud_count: terminal, window: 14d, mode: exact}\n";

static struct {
    struct arena arena;
    struct plan *plan;
    struct life_settings settings;
    struct life life, other;
} w;

static void setup(void)
{
    struct catalogue catalogue;
    struct life_settings *s = &w.settings;
    struct why why = { 0 };

    cr_assert_eq(catalogue_parse(&catalogue, slice_str(catalogue_text), &w.arena, &why), ERR_OK, "%s",
                 why.text);
    cr_assert_eq(plan_build(&w.plan, &catalogue, &why), ERR_OK, "%s", why.text);
    *s = life_settings_default();
    s->trainer.name = SLICE("made_up");
    s->trainer.warm_up_us = DAY_US;
    s->trainer.tune = s->trainer.judge = 0.25;
    s->trainer.params = BOOSTER_PARAMS_DEFAULT;
    s->trainer.params.trees = 25;
    s->trainer.params.depth = 3;
    s->trainer.params.threads = 1;
    s->trainer.params.max_bin = 64;
    s->first_us = 12 * DAY_US;
    s->label_delay_us = DELAY_DAYS * DAY_US;
    s->gates.rows_least = s->shadow.rows_least = 200;
    s->gates.frauds_least = s->shadow.frauds_least = 10;
    s->gates.rounds = s->shadow.rounds = 50;
    s->gates.average_precision_margin = s->gates.card_precision_margin = 0.3;
    s->gates.calibration_margin = 2;
    s->gates.psi_most = s->gates.psi_champion_most = 100;
    s->shadow.days_least = 2;
    s->shadow.average_precision_margin = 0.3;
    s->shadow.money_margin = 10;
    s->shadow.psi_most = 100;
    s->ab.margin = 20;
    s->ab.control_least = 1;
    s->ab.effective_least = 2;
    s->ab_days = 2;
    s->guardrails.psi_most = 100;
    s->guardrails.approval_rate_drop = 0.2;
    s->guardrails.review_load_rise = 0.2;
}

static void teardown(void)
{
    life_release(&w.life);
    life_release(&w.other);
    plan_free(w.plan);
    arena_release(&w.arena);
}

TestSuite(lifecycle, .init = setup, .fini = teardown, .timeout = 240);

/* What is done to the labels that become known from `from_us` on. */
struct change {
    int64_t from_us, shift_us;
    bool is_flipped;
};
#define UNCHANGED ((struct change){ .from_us = INT64_MAX })

static void feed_labels(struct life *l, struct label_queue *queue, int64_t until_us)
{
    struct why why = { 0 };

    while (label_queue_first(queue) && label_queue_first(queue)->known_at_us <= until_us) {
        struct label due = label_queue_take(queue);

        cr_assert_eq(life_label(l, &due, &why), ERR_OK, "%s", why.text);
    }
}

static void live(struct life *l, struct change change)
{
    struct simulate_params params = { .seed = 21,
                                      .account = 1,
                                      .start_us = START_US,
                                      .customers = (uint32_t)(PAYMENTS / (DAYS * simulate_daily_rate())),
                                      .fraud_factor = 4 };
    struct simulate *world = simulate_new(&params);
    struct label_queue queue = { 0 };
    struct why why = { 0 };
    struct label label;
    struct txn txn;

    life_init(l, w.plan, &w.settings);
    for (size_t i = 0; i < PAYMENTS; i++) {
        simulate_next(world, &txn, &label);
        feed_labels(l, &queue, txn.known_at_us);
        cr_assert_eq(life_txn(l, &txn, &why), ERR_OK, "%s", why.text);
        if (!label.is_fraud)
            continue;
        label.source = LABEL_ISSUER;
        label.known_at_us = label.labelled_at_us = txn.known_at_us + DELAY_DAYS * DAY_US;
        if (label.known_at_us >= change.from_us) {
            label.known_at_us += change.shift_us;
            label.is_fraud = !change.is_flipped;
        }
        label_queue_put(&queue, &label);
    }
    label_queue_release(&queue);
    simulate_free(world);
    life_end(l);
}

/* ---- what two lives have in common ---- */

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_vector(size_t i)
{
    return memcmp(rows_vector(&w.life.rows, i), rows_vector(&w.other.rows, i),
                  w.life.rows.columns * sizeof(float)) == 0;
}

static bool same_decision(size_t i)
{
    const struct life_row *a = &w.life.row[i], *b = &w.other.row[i];

    return same_bits(a->score, b->score) && same_bits(a->first, b->first) &&
           same_bits(a->champion, b->champion) && same_bits(a->candidate, b->candidate) &&
           same_bits((double)a->p_label, (double)b->p_label) && a->version == b->version &&
           a->action == b->action && a->arm == b->arm && a->is_let_through == b->is_let_through;
}

static bool same_event(size_t i)
{
    const struct life_event *a = &w.life.events[i], *b = &w.other.events[i];

    if (a->at_us != b->at_us || a->version != b->version || a->step != b->step ||
        a->verdicts_until - a->verdicts_from != b->verdicts_until - b->verdicts_from)
        return false;
    for (size_t v = 0; v < a->verdicts_until - a->verdicts_from; v++) {
        const struct verdict *x = &w.life.verdicts.items[a->verdicts_from + v],
                             *y = &w.other.verdicts.items[b->verdicts_from + v];

        if (strcmp(x->gate, y->gate) != 0 || x->outcome != y->outcome || !slice_eq(x->evidence, y->evidence))
            return false;
    }
    return true;
}

static size_t count_steps(const struct life *l, enum lifecycle_step step)
{
    size_t count = 0;

    for (size_t i = 0; i < l->event_count; i++)
        count += l->events[i].step == step;
    return count;
}

static void tell(const struct life *l)
{
    for (size_t i = 0; i < l->event_count; i++) {
        const struct life_event *e = &l->events[i];

        printf("day %5.2f model %u %s: %s %.*s\n", (double)(e->at_us - START_US) / (double)DAY_US, e->version,
               lifecycle_step_name(e->step), e->reason, SLICE_ARG(e->message));
        for (size_t v = e->verdicts_from; v < e->verdicts_until; v++)
            printf("          %s %s %.*s\n", outcome_name(l->verdicts.items[v].outcome),
                   l->verdicts.items[v].gate, SLICE_ARG(l->verdicts.items[v].reason));
    }
}

/* ---- the life ---- */

Test(lifecycle, candidates_earn_their_place_one_after_another)
{
    enum candidate at = CANDIDATE_NONE;
    size_t decided = 0;

    live(&w.life, UNCHANGED);
    tell(&w.life);
    cr_assert_geq(count_steps(&w.life, STEP_PROMOTE), 2);
    for (size_t i = 0; i < w.life.event_count; i++) {
        const struct life_event *e = &w.life.events[i];

        /* Nothing is promoted that was not gated, shadowed and tested before, but the very first. */
        switch (e->step) {
        case STEP_TRAIN:
            cr_assert_eq(at, CANDIDATE_NONE);
            at = CANDIDATE_REGISTERED;
            break;
        case STEP_GATE:
            cr_assert_eq(at, CANDIDATE_REGISTERED);
            cr_assert_geq(e->verdicts_until - e->verdicts_from, 9);
            break;
        case STEP_VALIDATE:
            at = CANDIDATE_VALIDATED;
            break;
        case STEP_BEGIN_SHADOW:
            cr_assert_eq(at, CANDIDATE_VALIDATED);
            at = CANDIDATE_SHADOW;
            break;
        case STEP_BEGIN_AB:
            cr_assert_eq(at, CANDIDATE_SHADOW);
            at = CANDIDATE_AB;
            break;
        case STEP_PROMOTE:
            cr_assert(at == CANDIDATE_AB || e->version == 1);
            at = CANDIDATE_NONE;
            break;
        case STEP_REJECT:
            at = CANDIDATE_NONE;
            break;
        default:
            break;
        }
    }
    for (size_t i = 0; i < w.life.rows.count; i++) {
        const struct life_row *r = &w.life.row[i];

        decided += r->version != 0;
        cr_assert_eq(r->version != 0, !isnan(r->score));
        if (r->arm == ARM_CANDIDATE)
            cr_assert(same_bits(r->score, r->candidate));
    }
    cr_assert_gt(decided, PAYMENTS / 2);
}

Test(lifecycle, the_same_stream_is_the_same_life)
{
    live(&w.life, UNCHANGED);
    live(&w.other, UNCHANGED);
    cr_assert_eq(w.life.event_count, w.other.event_count);
    for (size_t i = 0; i < w.life.event_count; i++)
        cr_assert(same_event(i));
    for (size_t i = 0; i < w.life.rows.count; i++)
        cr_assert(same_decision(i) && same_vector(i));
}

/* ---- no future ---- */

/* Up to `until_us` two lives are one: each decision with its score, each event with its evidence, each model with
 * all of its bytes. */
static void same_until(int64_t until_us)
{
    size_t events = 0, models = 0;

    for (size_t i = 0; i < w.life.rows.count && w.life.rows.row[i].known_at_us < until_us; i++)
        cr_assert(same_decision(i) && same_vector(i), "row %zu", i);
    for (; events < w.life.event_count && w.life.events[events].at_us <= until_us; events++)
        cr_assert(events < w.other.event_count && same_event(events), "event %zu", events);
    for (; models < w.life.model_count && w.life.models[models]->created_at_us <= until_us; models++)
        cr_assert(
            slice_eq(buf_slice(&w.life.models[models]->bytes), buf_slice(&w.other.models[models]->bytes)));
    cr_assert_geq(events, 8, "something must have happened by then");
    cr_assert_geq(models, 2);
}

static bool is_any_decision_other(int64_t from_us)
{
    for (size_t i = 0; i < w.life.rows.count; i++)
        if (w.life.rows.row[i].known_at_us >= from_us && !same_decision(i))
            return true;
    return false;
}

/* In the middle of the life, with a model in every stage behind it. */
#define TURN_US (START_US + 26 * DAY_US + 7 * HOUR_US)

Test(lifecycle, nothing_changes_before_the_first_label_that_comes_a_day_later)
{
    live(&w.life, UNCHANGED);
    live(&w.other, (struct change){ .from_us = TURN_US, .shift_us = DAY_US });
    same_until(TURN_US);
    cr_assert(is_any_decision_other(TURN_US), "or the test could not fail");
}

Test(lifecycle, labels_that_never_come_change_nothing_before_they_would_have)
{
    live(&w.life, UNCHANGED);
    live(&w.other, (struct change){ .from_us = TURN_US, .shift_us = 3650 * DAY_US });
    same_until(TURN_US);
    cr_assert(is_any_decision_other(TURN_US));
}

Test(lifecycle, labels_that_say_the_opposite_change_nothing_before_they_come)
{
    live(&w.life, UNCHANGED);
    live(&w.other, (struct change){ .from_us = TURN_US, .is_flipped = true });
    same_until(TURN_US);
    cr_assert(is_any_decision_other(TURN_US));
}

/* Labels whose time lies behind every time at which anything was asked: the whole life is the same. */
Test(lifecycle, labels_that_come_after_everything_change_nothing_at_all)
{
    int64_t last_us;

    live(&w.life, UNCHANGED);
    last_us = w.life.rows.row[w.life.rows.count - 1].known_at_us;
    live(&w.other, (struct change){ .from_us = last_us + 1, .shift_us = DAY_US, .is_flipped = true });
    same_until(last_us + 1);
    cr_assert_eq(w.life.event_count, w.other.event_count);
    cr_assert_eq(w.life.model_count, w.other.model_count);
}

/* One model, so that a decision depends on labels through its vector alone. Then a label that comes a day later may
 * change what is decided in that day about its customer and its terminal, while its payment is in the window, and
 * nothing else; and there the vector does change. Who that is, is found here from the stream itself. */
Test(lifecycle, labels_a_day_later_change_exactly_the_decisions_that_knew_them)
{
    int64_t turn_us = START_US + 14 * DAY_US;
    struct simulate_params params = { .seed = 21,
                                      .account = 1,
                                      .start_us = START_US,
                                      .customers = (uint32_t)(PAYMENTS / (DAYS * simulate_daily_rate())),
                                      .fraud_factor = 4 };
    struct simulate *world = simulate_new(&params);
    struct place {
        char customer[32], terminal[32];
        int64_t at_us;
        bool is_fraud;
    } *places = mem_new_n(struct place, PAYMENTS);
    size_t should = 0, changed = 0;
    struct why why = { 0 };

    cr_assert_eq(cron_parse(&w.settings.cron, SLICE("@yearly"), &why), ERR_OK, "%s", why.text);
    w.settings.trainer.params.trees = 100; /* enough to use every feature */
    w.settings.trainer.params.depth = 4;
    w.settings.trainer.params.colsample_bytree = 0.3;
    live(&w.life, UNCHANGED);
    live(&w.other, (struct change){ .from_us = turn_us, .shift_us = DAY_US });
    cr_assert_eq(w.life.model_count, 1);
    cr_assert_eq(w.other.model_count, 1);
    cr_assert_lt(w.life.models[0]->created_at_us, turn_us);

    for (size_t i = 0; i < PAYMENTS; i++) {
        struct label label;
        struct txn txn;
        bool knew = false;

        simulate_next(world, &txn, &label);
        snprintf(places[i].customer, sizeof places[i].customer, "%.*s", SLICE_ARG(txn.text[TXN_customer_id]));
        snprintf(places[i].terminal, sizeof places[i].terminal, "%.*s", SLICE_ARG(txn.text[TXN_terminal_id]));
        places[i].at_us = txn.known_at_us;
        places[i].is_fraud = label.is_fraud;
        for (size_t j = 0; j < i && !knew; j++) {
            int64_t known_us = places[j].at_us + DELAY_DAYS * DAY_US;

            knew = places[j].is_fraud && known_us >= turn_us && known_us <= places[i].at_us &&
                   known_us + DAY_US > places[i].at_us &&
                   places[j].at_us > places[i].at_us - WINDOW_DAYS * DAY_US &&
                   ((*places[i].customer && strcmp(places[j].customer, places[i].customer) == 0) ||
                    (*places[i].terminal && strcmp(places[j].terminal, places[i].terminal) == 0));
        }
        should += knew;
        cr_assert_eq(!same_vector(i), knew, "row %zu: its vector %s", i, knew ? "stayed" : "changed");
        if (!knew)
            cr_assert(same_decision(i), "row %zu", i);
        changed += !same_decision(i);
    }
    printf("%zu vectors knew a label that came later, %zu decisions changed\n", should, changed);
    cr_assert_gt(should, 50);
    cr_assert_gt(changed, 10);
    mem_free(places);
    simulate_free(world);
}

/* ---- declines without labels ---- */

Test(lifecycle, a_declined_payment_has_no_label_unless_the_slice_lets_it_through)
{
    size_t hidden = 0, seen = 0, declined = 0, learnt = 0;

    w.settings.hides_labels = true;
    w.settings.control_share = 0.3;
    live(&w.life, UNCHANGED);
    for (size_t i = 0; i < w.life.rows.count; i++) {
        const struct life_row *r = &w.life.row[i];
        const struct row *row = &w.life.rows.row[i];

        if (r->action != ACTION_DECLINE || !r->version) {
            cr_assert_eq((double)r->p_label, 1.0);
            continue;
        }
        declined++;
        if (r->is_let_through) {
            cr_assert_float_eq((double)r->p_label, 0.3, 1e-6);
            cr_assert_float_eq((double)row->weight, 1 / 0.3, 1e-5);
            seen++;
            learnt += row->label_at_us != ROW_NEVER;
        } else {
            cr_assert_eq(row->label_at_us, ROW_NEVER, "nobody ever knows");
            cr_assert(row->needs_label, "and nobody learns from it");
            hidden += r->is_fraud;
        }
    }
    cr_assert_gt(hidden, 20);
    cr_assert_gt(seen, 20);
    cr_assert_gt(learnt, 10);
    cr_assert_lt((double)seen, 0.3 * (double)declined, "only a customer's first decline of a day may be");
}

Test(lifecycle, without_a_slice_nothing_is_promoted_by_itself)
{
    w.settings.hides_labels = true;
    w.settings.ab.margin = 0;
    live(&w.life, UNCHANGED);
    cr_assert_gt(w.life.model_count, 1);
    cr_assert_eq(count_steps(&w.life, STEP_PROMOTE), 1, "the first has nothing to be compared with");
    cr_assert_geq(count_steps(&w.life, STEP_REJECT), 1);
}

/* ---- the way back ---- */

/* Thresholds that decline nearly everything pass where only scores are looked at, and break a guardrail on the first
 * day. */
static void turn_stern(void *context, const struct life *l, const struct life_event *e)
{
    (void)l;
    if (e->step == STEP_PROMOTE && e->version == 1)
        ((struct life *)context)->settings.trainer.costs.decline_cost = -1;
}

Test(lifecycle, a_guardrail_that_breaks_after_the_promotion_rolls_back)
{
    bool is_back = false;

    w.settings.steps.has_shadow = w.settings.steps.has_ab = false;
    w.settings.guardrails.approval_rate_drop = 0.05;
    w.settings.guardrails.rows_least = 200;
    w.settings.hook = turn_stern;
    w.settings.context = &w.life;
    live(&w.life, UNCHANGED);
    tell(&w.life);
    for (size_t i = 0; i < w.life.event_count && !is_back; i++) {
        const struct life_event *e = &w.life.events[i];

        if (e->step != STEP_ROLL_BACK)
            continue;
        is_back = true;
        cr_assert_eq(e->version, 2);
        cr_assert_str_eq(w.life.events[i - 1].reason, "a guardrail broke");
        for (size_t r = 0; r < w.life.rows.count; r++)
            if (w.life.rows.row[r].known_at_us >= e->at_us &&
                w.life.rows.row[r].known_at_us < e->at_us + HOUR_US)
                cr_assert_eq(w.life.row[r].version, 1);
    }
    cr_assert(is_back);
}

/* ---- the report ---- */

Test(lifecycle, the_report_has_whole_weeks_and_what_happened)
{
    struct life_report report;
    struct buf text;

    live(&w.life, UNCHANGED);
    life_report(&report, &w.life);
    cr_assert_geq(report.week_count, 3);
    for (size_t i = 0; i < report.week_count; i++) {
        const struct life_week *week = &report.weeks[i];

        cr_assert_gt(week->rows, 2000);
        cr_assert_leq(week->new_rows, week->rows);
        cr_assert(week->live > 0.1 && week->live <= 1);
        cr_assert(week->first > 0.1 && week->first <= 1);
        if (i)
            cr_assert_eq(week->from_us, report.weeks[i - 1].from_us + 7 * DAY_US);
    }
    cr_assert_eq(report.trained, w.life.model_count);
    buf_init(&text, 0);
    life_report_json(&text, &report, &w.life, NULL, 0);
    cr_assert(strstr(buf_str(&text), "\"gate\":\"average_precision\""));
    buf_clear(&text);
    life_report_plot(&text, &report, &w.life, NULL, 0);
    cr_assert(strstr(buf_str(&text), "</svg>"));
    buf_release(&text);
    life_report_release(&report);
}

Test(lifecycle, the_report_says_what_an_experiment_without_a_verdict_needed)
{
    struct life_report report;
    const char *text, *plan;
    struct buf json;

    w.settings.hides_labels = true;
    w.settings.control_share = 0.3;
    w.settings.ab.control_least = 10000;
    w.settings.steps.wait_most_us = DAY_US;
    live(&w.life, UNCHANGED);
    life_report(&report, &w.life);
    buf_init(&json, 0);
    life_report_json(&json, &report, &w.life, NULL, 0);
    cr_assert_eq(count_steps(&w.life, STEP_PROMOTE), 1, "the first one only");
    plan = strstr(buf_str(&json), "\"gate\":\"plan\"");
    text = strstr(buf_str(&json), "of 10000 that each needs");
    cr_assert(plan && text);
    cr_assert_not_null(strstr(text, "it takes about"));
    cr_assert_not_null(strstr(text, "\"days_needed\":"));
    buf_release(&json);
    life_report_release(&report);
}
