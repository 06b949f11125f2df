/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/gates.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "dataset/label_queue.h"
#include "simulate/simulate.h"
#include "stats/interval.h"
#include "training/trainer.h"

/* A made-up world of 45 days, and models of it: each candidate is trained the usual way, one thing being wrong. */
enum { PAYMENTS = 36000, DELAY_DAYS = 3 };

static const char catalogue_text[] =
    "entities: {customer: customer_id, terminal: terminal_id, device: device_id}\n"
    "features:\n"
    "  - {name: amount, expr: tx.amount}\n"
    "  - {name: hour, expr: tx.hour}\n"
    "  - {name: count_1h, count: customer, window: 1h}\n"
    "  - {name: mean_30d, mean: amount, by: customer, window: 30d}\n"
    "  - {name: ratio, expr: \"tx.amount / (mean_30d + 100.0)\"}\n"
    "  - {name: device_customers, distinct: customer_id, by: device, window: 1h}\n"
    "  - {name: device_age, first_seen: device}\n"
    "  - {name: customer_frauds, fraud_count: customer, window: 14d}\n"
    "  - {name: terminal_frauds, fraud_count: terminal, window: 14d}\n";

static struct {
    struct arena arena;
    struct plan *plan;
    struct rows rows; /* as they were served */
    struct trainer trainer;
    struct trainer_split split;
    struct buf champion_bytes, bytes;
    struct bundle *champion;
    struct gate_settings settings;
    struct gate_input input;
    struct evidence_row *evidence;
    float *trained, *served;
    size_t *vector_rows;
    struct verdicts verdicts;
} w;

/* The same stream each time. `early_labels`: features know each fraud the moment after it happened. */
static void fill(struct rows *rows, bool early_labels)
{
    struct simulate_params params = { .seed = 5,
                                      .account = 1,
                                      .start_us = civil_days(2024, 1, 1) * DAY_US,
                                      .customers = (uint32_t)(PAYMENTS / (45 * simulate_daily_rate())),
                                      .fraud_factor = 3 };
    struct simulate *world = simulate_new(&params);
    struct label_queue queue = { 0 };
    struct label label;
    struct txn txn;

    rows_init(rows, w.plan);
    for (size_t i = 0; i < PAYMENTS; i++) {
        simulate_next(world, &txn, &label);
        while (label_queue_first(&queue) && label_queue_first(&queue)->known_at_us <= txn.known_at_us) {
            struct label due = label_queue_take(&queue);

            rows_add_label(rows, &due);
        }
        rows_add_txn(rows, &txn);
        if (!label.is_fraud)
            continue;
        label.known_at_us = txn.known_at_us + (early_labels ? 1 : DELAY_DAYS * DAY_US);
        label.labelled_at_us = label.known_at_us;
        label_queue_put(&queue, &label);
    }
    label_queue_release(&queue);
    simulate_free(world);
}

static void train(struct buf *out, const struct trainer *trainer, const struct rows *rows)
{
    struct trainer_result result;
    struct why why = { 0 };

    buf_init(out, 0);
    cr_assert_eq(trainer_run(trainer, rows, w.plan, out, &result, &why), ERR_OK, "%s", why.text);
}

/* What each row of the split's judging part would have been answered. */
static void score(struct slice bytes, double *scores)
{
    struct forest_scratch *scratch;
    struct bundle *bundle;

    cr_assert_eq(bundle_open(&bundle, bytes, NULL), ERR_OK);
    scratch = forest_scratch_new(bundle_forest(bundle));
    for (size_t i = 0; i < w.split.judge.count; i++)
        scores[i] = bundle_score(bundle, forest_margin(bundle_forest(bundle),
                                                       rows_vector(&w.rows, w.split.judge.rows[i]), scratch));
    forest_scratch_free(scratch);
    bundle_close(bundle);
}

static void setup(void)
{
    struct catalogue catalogue;
    struct why why = { 0 };
    size_t count;
    double *scores;

    cr_assert_eq(catalogue_parse(&catalogue, slice_str(catalogue_text), &w.arena, &why), ERR_OK, "%s",
                 why.text);
    cr_assert_eq(plan_build(&w.plan, &catalogue, &why), ERR_OK, "%s", why.text);
    fill(&w.rows, false);
    w.trainer = TRAINER_DEFAULT;
    w.trainer.name = SLICE("made_up");
    w.trainer.label_delay_us = DELAY_DAYS * DAY_US;
    w.trainer.warm_up_us = 3 * DAY_US;
    w.trainer.tune = w.trainer.judge = 0.25;
    w.trainer.params = BOOSTER_PARAMS_DEFAULT;
    w.trainer.params.trees = 60;
    w.trainer.params.depth = 4;
    w.trainer.params.patience = 15;
    w.trainer.params.min_child_weight = 5;
    w.trainer.params.subsample = 0.8;
    w.trainer.params.threads = 1;
    w.trainer.params.max_bin = 128;
    train(&w.champion_bytes, &w.trainer, &w.rows);
    cr_assert_eq(bundle_open(&w.champion, buf_slice(&w.champion_bytes), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(trainer_split(&w.split, &w.trainer, &w.rows, &why), ERR_OK, "%s", why.text);
    w.trainer.params.seed = 7; /* candidates differ at least in what they drew */

    count = w.split.judge.count;
    scores = mem_new_n(double, count);
    w.evidence = mem_new_n(struct evidence_row, count);
    w.vector_rows = mem_new_n(size_t, count);
    w.trained = mem_new_n(float, count *w.rows.columns);
    w.served = mem_new_n(float, count *w.rows.columns);
    score(buf_slice(&w.champion_bytes), scores);
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &w.rows.row[w.split.judge.rows[i]];

        w.evidence[i] = (struct evidence_row){ .at_us = row->known_at_us,
                                               .amount_minor = row->amount_minor,
                                               .customer = row->customer,
                                               .p_label = 1,
                                               .champion = scores[i],
                                               .is_fraud = w.split.judge.labels[i],
                                               .is_matured = true };
        w.vector_rows[i] = i;
        memcpy(w.served + i * w.rows.columns, rows_vector(&w.rows, w.split.judge.rows[i]),
               w.rows.columns * sizeof *w.served);
        memcpy(w.trained + i * w.rows.columns, w.served + i * w.rows.columns,
               w.rows.columns * sizeof *w.served);
    }
    mem_free(scores);
    w.settings = GATE_SETTINGS_DEFAULT;
    w.settings.rows_least = 1000;
    w.settings.row_steps_most = 1000;
    w.input = (struct gate_input){ .champion = w.champion,
                                   .known = w.plan,
                                   .rows = w.evidence,
                                   .row_count = count,
                                   .trained_vectors = w.trained,
                                   .served_vectors = w.served,
                                   .vector_rows = w.vector_rows,
                                   .vector_count = count };
}

static void teardown(void)
{
    verdicts_release(&w.verdicts);
    bundle_close(w.champion);
    buf_release(&w.champion_bytes);
    buf_release(&w.bytes);
    trainer_split_release(&w.split);
    mem_free(w.evidence);
    mem_free(w.vector_rows);
    mem_free(w.trained);
    mem_free(w.served);
    rows_release(&w.rows);
    plan_free(w.plan);
    arena_release(&w.arena);
}

TestSuite(gates, .init = setup, .fini = teardown, .timeout = 180);

static enum outcome run_gates(void)
{
    double *scores = mem_new_n(double, w.input.row_count);
    enum outcome outcome;

    w.input.bundle = buf_slice(&w.bytes);
    score(w.input.bundle, scores);
    for (size_t i = 0; i < w.input.row_count; i++)
        w.evidence[i].candidate = scores[i];
    mem_free(scores);
    outcome = gates_run(&w.settings, &w.input, &w.verdicts);
    for (size_t i = 0; i < w.verdicts.count; i++)
        printf("%-12s %-17s %.*s %.*s\n", outcome_name(w.verdicts.items[i].outcome), w.verdicts.items[i].gate,
               SLICE_ARG(w.verdicts.items[i].reason), SLICE_ARG(w.verdicts.items[i].evidence));
    return outcome;
}

/* The gate fails, and none but it and `besides` does. */
static void stopped_by(const char *gate, const char *besides)
{
    cr_assert_eq(run_gates(), OUTCOME_FAIL);
    cr_assert_eq(verdicts_find(&w.verdicts, gate)->outcome, OUTCOME_FAIL);
    for (size_t i = 0; i < w.verdicts.count; i++) {
        const struct verdict *v = &w.verdicts.items[i];

        if (strcmp(v->gate, gate) != 0 && !strstr(besides, v->gate))
            cr_assert_eq(v->outcome, OUTCOME_PASS, "%s: %.*s", v->gate, SLICE_ARG(v->reason));
    }
}

Test(gates, a_good_candidate_passes_all_of_them)
{
    static const char *const all[] = { "golden_rows",       "features",       "size",
                                       "latency",           "leak",           "calibration",
                                       "average_precision", "card_precision", "score_psi" };

    train(&w.bytes, &w.trainer, &w.rows);
    cr_assert_eq(run_gates(), OUTCOME_PASS);
    cr_assert_eq(w.verdicts.count, ARRAY_LEN(all));
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        cr_assert_str_eq(w.verdicts.items[i].gate, all[i]);
}

Test(gates, shuffled_labels_are_stopped_by_the_average_precision)
{
    struct random random = { 3 };

    for (size_t i = w.rows.count; i-- > 1;) {
        size_t near = i < 500 ? i : 500; /* about the same day, so that the rate of frauds stays */
        struct row *a = &w.rows.row[i], *b = &w.rows.row[i - random_below(&random, near)], old = *a;

        a->labels = b->labels;
        a->label_at_us = b->label_at_us;
        a->is_fraud = b->is_fraud;
        b->labels = old.labels;
        b->label_at_us = old.label_at_us;
        b->is_fraud = old.is_fraud;
    }
    train(&w.bytes, &w.trainer, &w.rows);
    /* Its scores are worth nothing, so they lie elsewhere than the champion's, too. */
    stopped_by("average_precision", "card_precision score_psi");
}

Test(gates, a_feature_that_knows_the_future_is_stopped_by_the_leak_gate)
{
    struct rows early;

    fill(&early, true);
    train(&w.bytes, &w.trainer, &early);
    for (size_t i = 0; i < w.input.vector_count; i++)
        memcpy(w.trained + i * w.rows.columns, rows_vector(&early, w.split.judge.rows[i]),
               w.rows.columns * sizeof *w.trained);
    rows_release(&early);
    /* On what was served the feature does not keep what it promised: other gates may see that as well. */
    stopped_by("leak", "average_precision card_precision calibration score_psi");
    cr_assert(strstr(verdicts_find(&w.verdicts, "leak")->reason.ptr, "_frauds is another value"));
}

/* A column that was filled in after the fact in history and log alike: nothing differs, but nothing that is known
 * beforehand ranks like that. */
Test(gates, a_feature_that_is_the_label_is_stopped_by_the_leak_gate)
{
    size_t hour = plan_find_name(w.plan, SLICE("hour"));

    for (size_t i = 0; i < w.rows.count; i++)
        rows_vector_of(&w.rows, i)[hour] = w.rows.row[i].is_fraud;
    for (size_t i = 0; i < w.input.vector_count; i++)
        w.trained[i * w.rows.columns + hour] = w.served[i * w.rows.columns + hour] = w.evidence[i].is_fraud;
    train(&w.bytes, &w.trainer, &w.rows);
    stopped_by("leak", "score_psi");
    cr_assert(strstr(verdicts_find(&w.verdicts, "leak")->reason.ptr, "hour alone"));
}

/* Frauds counted fiftyfold, and nothing put right: the order stays, the probabilities do not. */
Test(gates, a_miscalibrated_candidate_is_stopped_by_the_calibration)
{
    for (size_t i = 0; i < w.rows.count; i++)
        w.rows.row[i].weight = w.rows.row[i].is_fraud ? 50 : 1;
    train(&w.bytes, &w.trainer, &w.rows);
    stopped_by("calibration", "score_psi");
}

Test(gates, a_slow_candidate_is_stopped_by_the_latency)
{
    w.trainer.params.trees = 200;
    w.trainer.params.depth = 6;
    w.trainer.params.eta = 0.02;
    w.trainer.params.patience = 0;
    train(&w.bytes, &w.trainer, &w.rows);
    stopped_by("latency", "");
}

static int64_t tired_clock(void *context)
{
    int64_t *now_ns = context;

    return *now_ns += 1000 * 1000 * 1000;
}

Test(gates, a_candidate_that_takes_its_time_is_stopped_by_the_latency)
{
    int64_t now_ns = 0;

    train(&w.bytes, &w.trainer, &w.rows);
    w.input.clock = tired_clock;
    w.input.clock_context = &now_ns;
    stopped_by("latency", "");
}

Test(gates, damage_is_stopped_by_the_golden_rows)
{
    train(&w.bytes, &w.trainer, &w.rows);
    w.bytes.data[w.bytes.taken + w.bytes.len / 2] ^= 1;
    w.input.bundle = buf_slice(&w.bytes);
    cr_assert_eq(gates_run(&w.settings, &w.input, &w.verdicts), OUTCOME_FAIL);
    cr_assert_eq(w.verdicts.count, 1, "nothing else can be said of it");
    cr_assert_str_eq(w.verdicts.items[0].gate, "golden_rows");
}

Test(gates, a_feature_that_nobody_declares_is_stopped)
{
    static const struct slice names[] = { { "amount", 6 }, { "hour", 4 } };
    struct plan *known;

    cr_assert_eq(plan_select(&known, w.plan, names, 2, NULL), ERR_OK);
    train(&w.bytes, &w.trainer, &w.rows);
    w.input.known = known;
    stopped_by("features", "");
    plan_free(known);
}

Test(gates, a_bundle_that_is_too_large_is_stopped)
{
    train(&w.bytes, &w.trainer, &w.rows);
    w.settings.bytes_most = 1000;
    stopped_by("size", "");
}

Test(gates, too_few_frauds_are_inconclusive)
{
    train(&w.bytes, &w.trainer, &w.rows);
    w.settings.frauds_least = 1000000;
    cr_assert_eq(run_gates(), OUTCOME_INCONCLUSIVE);
    cr_assert_eq(verdicts_find(&w.verdicts, "calibration")->outcome, OUTCOME_INCONCLUSIVE);
    cr_assert_eq(verdicts_find(&w.verdicts, "golden_rows")->outcome, OUTCOME_PASS);
}

Test(gates, without_a_champion_it_must_beat_chance)
{
    train(&w.bytes, &w.trainer, &w.rows);
    w.input.champion = NULL;
    cr_assert_eq(run_gates(), OUTCOME_PASS);
    for (size_t i = 0; i < w.input.row_count; i++)
        w.evidence[i].candidate = (double)(i * 7919 % 1000) / 1e5;
    verdicts_release(&w.verdicts);
    gates_run(&w.settings, &w.input, &w.verdicts);
    cr_assert_eq(verdicts_find(&w.verdicts, "average_precision")->outcome, OUTCOME_FAIL);
}
