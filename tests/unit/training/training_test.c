/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "unit/training/history.h"

#define START HISTORY_START

static struct history w;

static void setup(void)
{
    history_init(&w);
}

static void teardown(void)
{
    history_release(&w);
}

TestSuite(training, .init = setup, .fini = teardown, .timeout = 180);

static struct txn payment(const char *id, int64_t at_us)
{
    struct txn txn = { .account = 1,
                       .id = slice_str(id),
                       .occurred_at_us = at_us,
                       .known_at_us = at_us,
                       .amount_base_minor = 500,
                       .currency = SLICE("EUR") };

    txn.text[TXN_customer_id] = SLICE("anna");
    txn.text[TXN_terminal_id] = SLICE("t");
    return txn;
}

Test(training, a_vector_knows_the_labels_of_its_moment_and_no_later_ones)
{
    struct txn first = payment("a", START), second = payment("b", START + DAY_US),
               third = payment("c", START + 3 * DAY_US);
    struct label label = { .account = 1,
                           .transaction_id = SLICE("a"),
                           .is_fraud = true,
                           .source = LABEL_ISSUER,
                           .known_at_us = START + 2 * DAY_US };
    size_t frauds = plan_find_name(w.plan, SLICE("terminal_frauds"));

    rows_add_txn(&w.rows, &first);
    rows_add_txn(&w.rows, &second);
    rows_add_label(&w.rows, &label);
    rows_add_txn(&w.rows, &third);
    cr_assert_eq(w.rows.count, 3);
    cr_assert_eq(rows_vector(&w.rows, 1)[frauds], 0.0f);
    cr_assert_eq(rows_vector(&w.rows, 2)[frauds], 1.0f);
    cr_assert(w.rows.row[0].is_fraud && !w.rows.row[1].is_fraud);
    cr_assert_eq(w.rows.row[0].label_at_us, label.known_at_us);
    cr_assert_eq(w.rows.row[1].label_at_us, ROW_NEVER);
    cr_assert_eq(w.rows.row[0].customer, w.rows.row[2].customer);
}

Test(training, older_rows_fill_the_windows_and_are_not_kept)
{
    struct txn first = payment("a", START), second = payment("b", START + MINUTE_US);
    size_t count = plan_find_name(w.plan, SLICE("count_1h"));

    w.rows.keep_from_us = START + 1;
    rows_add_txn(&w.rows, &first);
    rows_add_txn(&w.rows, &second);
    cr_assert_eq(w.rows.count, 1);
    cr_assert_eq(rows_vector(&w.rows, 0)[count], 1.0f);
}

Test(training, ids_of_two_accounts_are_not_the_same)
{
    struct id_table t = { 0 };

    for (uint32_t i = 0; i < 3000; i++) {
        char id[16];

        snprintf(id, sizeof id, "t%u", i);
        cr_assert_eq(id_table_add(&t, 1, slice_str(id), i), i);
        cr_assert_eq(id_table_add(&t, 1, slice_str(id), 7), i);
    }
    cr_assert_eq(id_table_find(&t, 1, SLICE("t2999")), 2999);
    cr_assert_eq(id_table_find(&t, 2, SLICE("t2999")), UINT32_MAX);
    id_table_release(&t);
}

Test(training, gives_a_bundle_that_opens_with_thresholds_in_their_order)
{
    struct trainer t = small_trainer();
    struct trainer_result result;
    struct bundle_thresholds thresholds;
    struct bundle *bundle;
    struct why why = { 0 };
    struct buf out;

    history_live_through(&w, 20000);
    buf_init(&out, 0);
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &result, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(bundle_open(&bundle, buf_slice(&out), &why), ERR_OK, "%s", why.text);
    cr_assert(slice_eq(bundle_name(bundle), SLICE("small")));
    cr_assert_gt(result.figures.auc_roc, 0.7);
    cr_assert_gt(result.logistic.auc_roc, 0.7);
    cr_assert_gt(result.online.auc_roc, 0.7);
    cr_assert_gt(result.figures.average_precision,
                 5.0 * (double)result.judge_frauds / (double)result.judge_rows);
    thresholds = bundle_thresholds(bundle);
    cr_assert(thresholds.challenge <= thresholds.review && thresholds.review <= thresholds.decline);
    cr_assert_leq(result.review_share, t.costs.review_capacity);
    cr_assert_leq(result.challenge_share, t.costs.challenge_capacity);
    cr_assert_not_null(bundle_histograms(bundle));
    cr_assert_geq(bundle_golden_rows(bundle), 100);
    cr_assert_eq(bundle_training(bundle).rows, result.train_rows);
    cr_assert(bundle_training(bundle).until_us + t.label_delay_us <= bundle_training(bundle).labels_known_us);
    bundle_close(bundle);
    buf_release(&out);
}

Test(training, what_became_known_too_late_is_not_learnt)
{
    struct trainer t = small_trainer();
    struct trainer_result early, late;
    struct why why = { 0 };
    struct buf out;
    size_t frauds = 0;

    history_live_through(&w, 15000);
    buf_init(&out, 0);
    t.tune = t.judge = 0.2;
    t.until_us = START + 30 * DAY_US;
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &early, &why), ERR_OK, "%s", why.text);
    for (size_t i = 0; i < w.rows.label_count; i++) /* the same world, where every label took longer */
        w.rows.labels[i].known_at_us += 3 * DAY_US;
    for (size_t i = 0; i < w.rows.count; i++)
        frauds += w.rows.row[i].is_fraud;
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &late, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(early.train_rows, late.train_rows);
    cr_assert_lt(late.train_frauds, early.train_frauds);
    cr_assert_gt(frauds, early.train_frauds);
    buf_release(&out);
}

Test(training, says_so_when_there_is_too_little_history)
{
    struct trainer t = small_trainer();
    struct trainer_result result;
    struct why why = { 0 };
    struct buf out;

    buf_init(&out, 0);
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &result, &why), ERR_INVALID);
    history_live_through(&w, 300);
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &result, &why), ERR_INVALID);
    cr_assert_str_not_empty(why.text);
    buf_release(&out);
}
