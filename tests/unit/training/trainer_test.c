/* SPDX-License-Identifier: Apache-2.0
 * trainer_test.c - who is in which part, what may be known there, and what a search owes to the one that it takes
 * up again. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "stats/interval.h"
#include "unit/training/history.h"

#define START HISTORY_START

static struct history w;
static struct why why;

static void setup(void)
{
    history_init(&w);
}

static void teardown(void)
{
    history_release(&w);
}

TestSuite(trainer, .init = setup, .fini = teardown, .timeout = 120);

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static size_t add(int64_t at_us)
{
    struct txn txn = {
        .account = 1, .occurred_at_us = at_us, .known_at_us = at_us, .amount_base_minor = 100
    };

    return rows_append(&w.rows, &txn);
}

static void attach(size_t row, enum label_source source, bool is_fraud, int64_t labelled_at_us,
                   int64_t known_at_us)
{
    rows_attach_label(&w.rows, row,
                      &(struct label){ .is_fraud = is_fraud,
                                       .source = source,
                                       .labelled_at_us = labelled_at_us,
                                       .known_at_us = known_at_us });
}

/* 100 days, four payments a day at six-hour steps, the first of each day a fraud that is known two days later. */
static void live_by_the_day(void)
{
    for (int64_t i = 0; i < 400; i++) {
        size_t row = add(START + i * 6 * HOUR_US);

        if (i % 4 == 0)
            attach(row, LABEL_ISSUER, true, START, START + i * 6 * HOUR_US + 2 * DAY_US);
    }
}

static struct trainer daily_trainer(void)
{
    struct trainer t = small_trainer();

    t.until_us = START + 100 * DAY_US;
    t.warm_up_us = 3 * DAY_US;
    t.label_delay_us = 7 * DAY_US;
    t.tune = 0.1;
    t.judge = 0.2; /* of the 90 days between warm-up and what is too young */
    return t;
}

static void expect_part(const struct trainer_part *p, int64_t from_day, int64_t until_day, int64_t known_day,
                        size_t frauds)
{
    cr_assert_eq(p->from_us, START + from_day * DAY_US);
    cr_assert_eq(p->until_us, START + until_day * DAY_US);
    cr_assert_eq(p->known_us, START + known_day * DAY_US);
    cr_assert_eq(p->count, (size_t)(until_day - from_day) * 4);
    cr_assert_eq(p->frauds, frauds);
    for (size_t i = 0; i < p->count; i++)
        cr_assert_eq(p->rows[i], (uint32_t)(from_day * 4) + i);
}

/* ---- the split ---- */

Test(trainer, splits_by_time_with_the_label_delay_before_what_tunes_and_after_what_judges)
{
    struct trainer t = daily_trainer();
    struct trainer_split s;

    live_by_the_day();
    MUST(trainer_split(&s, &t, &w.rows, &why));
    expect_part(&s.train, 3, 59, 66, 56);
    expect_part(&s.tune, 66, 75, 100, 9);
    expect_part(&s.judge, 75, 93, 100, 18);
    trainer_split_release(&s);

    t.tune_most_us = 4 * DAY_US;
    t.judge_most_us = 10 * DAY_US;
    t.history_us = 30 * DAY_US;
    MUST(trainer_split(&s, &t, &w.rows, &why));
    expect_part(&s.train, 42, 72, 79, 30);
    expect_part(&s.tune, 79, 83, 100, 4);
    expect_part(&s.judge, 83, 93, 100, 10);
    trainer_split_release(&s);
}

Test(trainer, a_label_counts_in_a_part_only_when_it_was_known_before_its_end)
{
    struct trainer t = daily_trainer();
    struct trainer_split s;
    const size_t row = 3 * 4 + 1; /* a good payment of the first training day */

    live_by_the_day();
    attach(row, LABEL_CHARGEBACK, true, START, START + 66 * DAY_US - 1);
    MUST(trainer_split(&s, &t, &w.rows, &why));
    cr_assert_eq(s.train.frauds, 57);
    trainer_split_release(&s);

    w.rows.labels[w.rows.row[row].labels].known_at_us = START + 66 * DAY_US;
    MUST(trainer_split(&s, &t, &w.rows, &why));
    cr_assert_eq(s.train.frauds, 56);
    trainer_split_release(&s);
}

Test(trainer, what_holds_of_a_payment_is_the_strongest_source_and_the_newest_within_it_at_that_moment)
{
    const struct {
        int day; /* of the question */
        struct row_truth truth;
    } moments[] = {
        { 1, { .is_labelled = false } },
        { 2, { true, true, LABEL_CUSTOMER, START + DAY_US } },
        { 3, { true, false, LABEL_ANALYST, START + 2 * DAY_US } },
        { 4, { true, false, LABEL_ANALYST, START + 2 * DAY_US } }, /* a customer is weaker */
        { 5, { true, true, LABEL_ANALYST, START + 4 * DAY_US } },
        { 6, { true, true, LABEL_ANALYST, START + 4 * DAY_US } }, /* said earlier, though known later */
        { 7, { true, false, LABEL_CHARGEBACK, START + 6 * DAY_US } },
        { 8, { true, true, LABEL_CHARGEBACK, START + 7 * DAY_US } }, /* of equal times the later entry */
    };
    size_t row = add(START);

    attach(row, LABEL_CUSTOMER, true, START + 10, START + DAY_US);
    attach(row, LABEL_ANALYST, false, START + 10, START + 2 * DAY_US);
    attach(row, LABEL_CUSTOMER, true, START + 30, START + 3 * DAY_US);
    attach(row, LABEL_ANALYST, true, START + 20, START + 4 * DAY_US);
    attach(row, LABEL_ANALYST, false, START + 15, START + 5 * DAY_US);
    attach(row, LABEL_CHARGEBACK, false, START, START + 6 * DAY_US);
    attach(row, LABEL_CHARGEBACK, true, START, START + 7 * DAY_US);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct row_truth truth = rows_truth(&w.rows, row, START + moments[i].day * DAY_US);

        cr_assert_eq(truth.is_labelled, moments[i].truth.is_labelled, "day %d", moments[i].day);
        cr_assert_eq(truth.is_fraud, moments[i].truth.is_fraud, "day %d", moments[i].day);
        cr_assert_eq(truth.source, moments[i].truth.source, "day %d", moments[i].day);
        cr_assert_eq(truth.known_at_us, moments[i].truth.known_at_us, "day %d", moments[i].day);
    }
    cr_assert(w.rows.row[row].is_fraud);
    cr_assert_eq(w.rows.row[row].label_at_us, START + DAY_US);
}

Test(trainer, a_declined_payment_is_a_row_from_its_label_on)
{
    struct trainer t = daily_trainer();
    struct trainer_split s;

    live_by_the_day();
    w.rows.row[3 * 4].needs_label = true;     /* known in time */
    w.rows.row[3 * 4 + 1].needs_label = true; /* never */
    attach(3 * 4 + 2, LABEL_ANALYST, true, START, START + 70 * DAY_US);
    w.rows.row[3 * 4 + 2].needs_label = true; /* too late for what trains */
    MUST(trainer_split(&s, &t, &w.rows, &why));
    cr_assert_eq(s.train.count, 56 * 4 - 2);
    cr_assert_eq(s.train.rows[0], 3 * 4);
    cr_assert_eq(s.train.rows[1], 3 * 4 + 3);
    trainer_split_release(&s);
}

Test(trainer, a_row_that_stands_for_no_payment_is_in_no_part)
{
    struct trainer t = daily_trainer();
    struct trainer_split s;

    live_by_the_day();
    w.rows.row[3 * 4].weight = 0;
    MUST(trainer_split(&s, &t, &w.rows, &why));
    cr_assert_eq(s.train.count, 56 * 4 - 1);
    cr_assert_eq(s.train.rows[0], 3 * 4 + 1);
    trainer_split_release(&s);
}

/* ---- no future ---- */

/* Of the time and for the model that small_trainer() makes. */
static struct trainer fixed_trainer(void)
{
    struct trainer t = small_trainer();

    t.tune = 0.2;
    t.judge = 0.25;
    t.until_us = START + 40 * DAY_US;
    return t;
}

/* The bundle's SHA-256. */
static void train(const struct trainer *t, char sha[SHA256_HEX_SIZE])
{
    struct trainer_result result;
    struct buf out;

    buf_init(&out, 0);
    MUST(trainer_run(t, &w.rows, w.plan, &out, &result, &why));
    sha256_hex(buf_slice(&out), sha);
    buf_release(&out);
}

Test(trainer, a_label_that_came_later_than_its_part_allows_changes_no_byte)
{
    struct trainer t = fixed_trainer();
    char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE];
    struct trainer_split s;
    size_t late = 0, first_late = SIZE_MAX;
    int64_t known_us;

    history_live_through(&w, 24000);
    cr_assert_gt(w.rows.row[w.rows.count - 1].at_us, t.until_us);
    train(&t, before);
    MUST(trainer_split(&s, &t, &w.rows, &why));

    /* Labels that a part does not know yet: they come later still, and say the other thing. */
    for (size_t i = 0; i < w.rows.count; i++) {
        int64_t at_us = w.rows.row[i].at_us;

        known_us = at_us < s.train.until_us ? s.train.known_us : t.until_us;
        for (uint32_t l = w.rows.row[i].labels; l != ROW_NO_LABEL; l = w.rows.labels[l].next) {
            if (w.rows.labels[l].known_at_us < known_us)
                continue;
            w.rows.labels[l].known_at_us += 5 * DAY_US;
            w.rows.labels[l].is_fraud = !w.rows.labels[l].is_fraud;
            late++;
            if (at_us >= s.train.from_us && at_us < s.train.until_us)
                first_late = l;
        }
    }
    cr_assert_gt(late, 10);
    /* And new ones, stronger than all that is known, on payments of every part. */
    for (size_t i = 0; i < w.rows.count; i += 7)
        attach(i, LABEL_CHARGEBACK, true, START + 1000 * DAY_US,
               w.rows.row[i].at_us < s.train.until_us ? s.train.known_us : t.until_us);
    train(&t, after);
    cr_assert_str_eq(before, after);

    /* One of them a moment earlier is seen. */
    cr_assert_neq(first_late, SIZE_MAX);
    w.rows.labels[first_late].known_at_us = s.train.known_us - 1;
    w.rows.labels[first_late].is_fraud = true;
    train(&t, after);
    cr_assert_str_neq(before, after);
    trainer_split_release(&s);
}

Test(trainer, a_payment_that_became_known_later_changes_no_byte)
{
    struct trainer t = fixed_trainer();
    char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE];
    size_t row;

    history_live_through(&w, 24000);
    train(&t, before);
    row = add(START - 90 * DAY_US); /* it happened before all others, and nobody knew */
    w.rows.row[row].known_at_us = t.until_us;
    attach(row, LABEL_ISSUER, true, START, START);
    train(&t, after);
    cr_assert_str_eq(before, after);
}

Test(trainer, equal_rows_and_settings_give_equal_bytes)
{
    struct trainer t = fixed_trainer();
    char first[SHA256_HEX_SIZE], second[SHA256_HEX_SIZE];

    t.search = TRAINER_SEARCH_DEFAULT;
    t.search.trials = 3;
    history_live_through(&w, 24000);
    train(&t, first);
    train(&t, second);
    cr_assert_str_eq(first, second);
    t.search.seed++;
    train(&t, second);
    cr_assert_str_neq(first, second);
}

/* ---- weights ---- */

/* A row that stands for three is as three rows: in what depends on the sums of weights only, to the bit; trees and
 * thresholds then are the same, too. */
Test(trainer, a_row_of_weight_three_is_as_three_rows)
{
    struct trainer t = fixed_trainer();
    struct trainer_result weighed, repeated;
    struct history three;
    struct buf out;
    size_t copies = 0;

    history_live_through(&w, 16000);
    t.until_us = START + 27 * DAY_US;
    buf_init(&out, 0);
    history_init(&three);
    for (size_t i = 0; i < w.rows.count; i++) {
        int times = i % 5 == 0 ? 3 : 1;

        w.rows.row[i].weight = (float)times;
        for (int k = 0; k < times; k++) {
            struct txn txn = { .occurred_at_us = w.rows.row[i].at_us,
                               .known_at_us = w.rows.row[i].known_at_us,
                               .amount_base_minor = w.rows.row[i].amount_minor };
            size_t row = rows_append(&three.rows, &txn);

            three.rows.row[row].customer = w.rows.row[i].customer;
            memcpy(rows_vector_of(&three.rows, row), rows_vector(&w.rows, i), w.rows.columns * sizeof(float));
            for (uint32_t l = w.rows.row[i].labels; l != ROW_NO_LABEL; l = w.rows.labels[l].next)
                rows_attach_label(&three.rows, row,
                                  &(struct label){ .is_fraud = w.rows.labels[l].is_fraud,
                                                   .source = w.rows.labels[l].source,
                                                   .known_at_us = w.rows.labels[l].known_at_us });
            copies += k > 0;
        }
    }
    cr_assert_gt(copies, 1000);
    MUST(trainer_run(&t, &w.rows, w.plan, &out, &weighed, &why));
    MUST(trainer_run(&t, &three.rows, three.plan, &out, &repeated, &why));
    cr_assert_lt(weighed.judge_rows, repeated.judge_rows);
    /* XGBoost's histograms are of floats, and its sketch of weights is its own; so nearly, not to the bit. */
    cr_assert_float_eq(weighed.figures.average_precision, repeated.figures.average_precision, 0.01);
    cr_assert_float_eq(weighed.figures.auc_roc, repeated.figures.auc_roc, 0.005);
    cr_assert_float_eq(weighed.calibration_error, repeated.calibration_error, 0.0005);
    cr_assert_eq(weighed.fraud_minor, repeated.fraud_minor);
    cr_assert_float_eq(weighed.decline_share, repeated.decline_share, 0.0005);
    history_release(&three);
    buf_release(&out);
}

/* ---- the search ---- */

/* Keeps the finished trials, and says stop after so many of them. */
struct notebook {
    struct trainer_trial trials[16];
    size_t count, stop_after;
    double share;
    bool is_falling;
};

static bool on_progress(void *context, const struct trainer_progress *p)
{
    struct notebook *n = context;

    n->is_falling |= p->share < n->share;
    n->share = p->share;
    if (p->finished)
        n->trials[n->count++] = *p->finished;
    return !n->stop_after || n->count < n->stop_after;
}

Test(trainer, a_search_that_is_taken_up_again_gives_the_bytes_of_one_that_never_stopped)
{
    struct trainer t = fixed_trainer();
    struct notebook whole = { .count = 0 };
    char expected[SHA256_HEX_SIZE], found[SHA256_HEX_SIZE];
    struct trainer_result result;
    struct buf out;

    history_live_through(&w, 20000);
    t.until_us = START + 34 * DAY_US;
    t.search = TRAINER_SEARCH_DEFAULT;
    t.search.trials = 5;
    t.search.seed = 12;
    t.hook = on_progress;
    t.context = &whole;
    train(&t, expected);
    cr_assert_eq(whole.count, 5);
    cr_assert_not(whole.is_falling);

    buf_init(&out, 0);
    for (size_t stop = 1; stop <= 5; stop++) {
        struct notebook first = { .stop_after = stop }, second = { .count = 0 };
        struct trainer_trial *done;
        struct buf checkpoint;

        buf_clear(&out);
        t.search.done = NULL;
        t.search.done_count = 0;
        t.context = &first;
        cr_assert_eq(trainer_run(&t, &w.rows, w.plan, &out, &result, &why), ERR_TIMEOUT);
        cr_assert_eq(out.len, 0);
        buf_init(&checkpoint, 0);
        trainer_trials_write(&checkpoint, first.trials, first.count);
        MUST(trainer_trials_read(&done, &t.search.done_count, buf_slice(&checkpoint), &why));
        cr_assert_eq(t.search.done_count, stop);
        t.search.done = done;
        t.context = &second;
        train(&t, found);
        cr_assert_str_eq(found, expected, "stopped after %zu trials", stop);
        cr_assert_eq(second.count, 5 - stop);
        mem_free(done);
        buf_release(&checkpoint);
    }
    buf_release(&out);
}

Test(trainer, trials_lie_within_their_bounds_and_the_first_is_what_was_given)
{
    struct trainer t = fixed_trainer();
    struct notebook n = { .count = 0 };
    char sha[SHA256_HEX_SIZE];
    double low[TRIAL_PARAM_COUNT], high[TRIAL_PARAM_COUNT];

    history_live_through(&w, 20000);
    t.until_us = START + 34 * DAY_US;
    t.params.trees = 3;
    t.search = TRAINER_SEARCH_DEFAULT;
    t.search.bounds[TRIAL_lambda] = (struct trial_bounds){ 0 };
    t.search.trials = 16;
    t.hook = on_progress;
    t.context = &n;
    train(&t, sha);
    cr_assert_eq(n.trials[0].values[TRIAL_eta], t.params.eta);
    cr_assert_eq(n.trials[0].values[TRIAL_depth], t.params.depth);
    for (size_t p = 0; p < TRIAL_PARAM_COUNT; p++) {
        const struct trial_bounds *b = &t.search.bounds[p];

        low[p] = INFINITY;
        high[p] = -INFINITY;
        for (size_t i = 1; i < n.count; i++) {
            double value = n.trials[i].values[p];

            low[p] = fmin(low[p], value);
            high[p] = fmax(high[p], value);
            cr_assert(p == TRIAL_lambda ? value == t.params.lambda : value >= b->low && value <= b->high);
            cr_assert(p != TRIAL_depth || value == floor(value));
        }
        cr_assert(p == TRIAL_lambda || high[p] - low[p] > (b->high - b->low) / 4);
    }
}

Test(trainer, refuses_what_is_no_list_of_trials)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[1]",
        "[{}]",
        "[{\"number\":0,\"depth\":3,\"eta\":0.1,\"min_child_weight\":1,\"subsample\":1,\"colsample_bytree\":"
        "1,"
        "\"lambda\":1,\"scale_pos_weight\":1,\"trees\":-1,\"average_precision\":0.5}]",
        "[{\"number\":0,\"depth\":3,\"eta\":\"x\",\"min_child_weight\":1,\"subsample\":1,\"colsample_"
        "bytree\":1,"
        "\"lambda\":1,\"scale_pos_weight\":1,\"trees\":1,\"average_precision\":0.5}]",
    };
    struct trainer_trial *trials;
    size_t count;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        cr_assert_eq(trainer_trials_read(&trials, &count, slice_str(texts[i]), &why), ERR_SYNTAX, "%s",
                     texts[i]);
        cr_assert(trials == NULL && count == 0);
    }
    MUST(trainer_trials_read(&trials, &count, SLICE("[]"), &why));
    cr_assert_eq(count, 0);
    mem_free(trials);
}

/* ---- what the bundle says ---- */

Test(trainer, the_catalogues_hints_hold_in_every_tree)
{
    struct trainer t = fixed_trainer();
    struct trainer_result result;
    struct forest_scratch *scratch;
    struct bundle *bundle;
    struct buf out;
    size_t amount = plan_find_name(w.plan, SLICE("amount"));

    history_live_through(&w, 20000);
    t.until_us = START + 34 * DAY_US;
    t.params.depth = 6;
    t.params.trees = 60;
    buf_init(&out, 0);
    MUST(trainer_run(&t, &w.rows, w.plan, &out, &result, &why));
    MUST(bundle_open(&bundle, buf_slice(&out), &why));
    scratch = forest_scratch_new(bundle_forest(bundle));
    for (size_t i = 0; i < 500; i++) {
        float x[16], last = -INFINITY;

        memcpy(x, rows_vector(&w.rows, i * 37), w.rows.columns * sizeof *x);
        for (float value = 1; value < 1e6F; value *= 1.7F) {
            float margin;

            x[amount] = value;
            margin = forest_margin(bundle_forest(bundle), x, scratch);
            cr_assert_geq(margin, last);
            last = margin;
        }
    }
    forest_scratch_free(scratch);
    bundle_close(bundle);
    buf_release(&out);
}
