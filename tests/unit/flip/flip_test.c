/* SPDX-License-Identifier: Apache-2.0
 * flip_test.c - the change that is shown flips the decision, and no smaller one does: against the live kernels, on
 * every value at which anything could change and its neighbours. */
#include "flip/flip.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "dataset/label_queue.h"
#include "base/mem.h"
#include "policy/list.h"
#include "stats/interval.h"
#include "unit/training/history.h"

#define T(literal)                                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }
#define RULE(called, when, does, weight)                                                                     \
    {                                                                                                        \
        .id = T(called), .name = T(called), .expression = T(when), .action = does, .priority = weight,       \
        .is_enabled = true                                                                                   \
    }

static const struct policy_rule rules[] = {
    RULE("small", "tx.amount <= 150 && count_1h < 3.0", ACTION_APPROVE, 90),
    RULE("often", "count_1h >= 6 && score > 0.02", ACTION_REVIEW, 80),
    RULE("much_at_night", "tx.amount > 30000 && hour < 6.0", ACTION_DECLINE, 70),
    RULE("times_the_mean", "amount / (mean_30d + 100.0) > 8.0", ACTION_REVIEW, 60),
    RULE("above_the_mean", "tx.amount - mean_30d * 3.0 > 20000.0 || device_customers in [4, 5, 9]",
         ACTION_CHALLENGE, 50),
    RULE("two_frauds", "terminal_frauds == 2.0 ? score > 0.001 : abs(hour - 12.0) > 11.5", ACTION_DECLINE,
         40),
    RULE("new_device", "has_value(device_age) && !(device_age >= 60.0) && -amount < -900.0", ACTION_REVIEW,
         30),
    RULE("basket", "tx.attributes.basket > 12 && sqrt(mean_30d) > 40.0", ACTION_CHALLENGE, 20),
};
/* What those compare with, for the case at hand. */
static size_t constants_of(double *out, double amount, double mean)
{
    const double all[] = { 150,
                           3,
                           6,
                           30000,
                           8 * (mean + 100),
                           amount / 8 - 100,
                           20000 + 3 * mean,
                           (amount - 20000) / 3,
                           4,
                           5,
                           9,
                           2,
                           0.5,
                           23.5,
                           60,
                           900,
                           12,
                           1600,
                           0,
                           1,
                           24 };

    memcpy(out, all, sizeof all);
    return ARRAY_LEN(all);
}

enum { COLUMNS_MAX = 64 };

static struct history w;
static struct why why;
static struct buf bytes;
static struct bundle *bundle;
static struct policy *policy;
static struct policy_columns *columns;
static struct forest_scratch *scratch;
static struct forest_splits *splits;
static struct flip *flip;
static struct arena arena, cases;
static struct policy_input in;
static struct txn txn;
static struct txn_attribute attribute;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static void publish(const struct policy_rule *some, size_t count)
{
    policy = policy_new();
    MUST(policy_add_ruleset(policy, &(struct ruleset){ .version = SLICE("1"), .rules = some, .count = count },
                            &why));
}

static void open_model(int64_t until_us)
{
    struct trainer t = small_trainer();
    struct trainer_result result;
    struct bundle_thresholds thresholds;

    t.until_us = until_us;
    t.params.depth = 5;
    t.params.trees = 60;
    buf_init(&bytes, 0);
    MUST(trainer_run(&t, &w.rows, w.plan, &bytes, &result, &why));
    MUST(bundle_open(&bundle, buf_slice(&bytes), &why));
    thresholds = bundle_thresholds(bundle);
    scratch = forest_scratch_new(bundle_forest(bundle));
    splits = forest_splits_new(bundle_forest(bundle));
    txn = (struct txn){ .account = 1, .attributes = &attribute, .attribute_count = 1 };
    in = (struct policy_input){ .txn = &txn, .thresholds = { 0.03, thresholds.review, thresholds.decline } };
    if (in.thresholds.review > 1)
        in.thresholds.review = 0.3;
}

static void setup(void)
{
    history_init(&w);
    history_live_through(&w, 20000);
    open_model(HISTORY_START + 34 * DAY_US);
}

static void bind(void)
{
    columns = policy_bind_plan(policy, w.plan);
    MUST(flip_new(&flip, bundle, w.plan, policy, 1, &why));
}

static void teardown(void)
{
    flip_free(flip);
    forest_splits_free(splits);
    forest_scratch_free(scratch);
    policy_columns_free(columns);
    policy_free(policy);
    bundle_close(bundle);
    buf_release(&bytes);
    arena_release(&arena);
    arena_release(&cases);
    history_release(&w);
}

TestSuite(flip, .init = setup, .fini = teardown, .timeout = 300);

static void take_case(size_t row)
{
    txn.amount_base_minor = txn.amount_minor = w.rows.row[row].amount_minor;
    txn.occurred_at_us = w.rows.row[row].at_us;
    txn.known_at_us = in.now_us = w.rows.row[row].known_at_us;
    attribute = (struct txn_attribute){ .name = SLICE("basket"), .number = (double)(row % 17) };
    in.vector = rows_vector(&w.rows, row);
    in.vector_count = w.rows.columns;
    in.columns = NULL;
}

/* The live way: forest, calibration, rules. */
static enum action decide(const float *vector, const struct txn *payment)
{
    const struct plan *own = bundle_plan(bundle);
    struct policy_input live = in;
    struct policy_verdict verdict;
    uint16_t from[COLUMNS_MAX];
    float row[COLUMNS_MAX];

    cr_assert_eq(plan_map(own, w.plan, from), PLAN_NO_COLUMN);
    for (size_t c = 0; c < plan_columns(own); c++)
        row[c] = vector[from[c]];
    live.txn = payment;
    live.vector = vector;
    live.columns = columns;
    live.has_score = true;
    live.score = bundle_score(bundle, forest_margin(bundle_forest(bundle), row, scratch));
    policy_decide(policy, &live, &arena, &verdict);
    return verdict.action;
}

static enum action decide_with(const struct flip_change *change)
{
    float vector[COLUMNS_MAX];
    struct txn changed = txn;

    memcpy(vector, in.vector, in.vector_count * sizeof *vector);
    flip_apply(change, vector, &changed, &arena);
    return decide(vector, &changed);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every value at which the forest or a rule may change, its neighbours, what lies between, and some others. */
static size_t values_of(double *out, const struct trial_number *what, bool is_whole, double now,
                        struct random *r)
{
    size_t mean = plan_find_name(w.plan, SLICE("mean_30d")), amount = plan_find_name(w.plan, SLICE("amount"));
    double around[1024];
    size_t count =
        constants_of(around, what->is_field ? (double)txn.amount_base_minor : (double)in.vector[amount],
                     mean == PLAN_NO_COLUMN || isnan(in.vector[mean]) ? 0 : (double)in.vector[mean]);
    size_t own, n = 0, thresholds;
    const float *values;

    if (!what->is_field) {
        own = plan_find(bundle_plan(bundle), plan_column(w.plan, what->column)->hash);
        thresholds = own == PLAN_NO_COLUMN ? 0 : forest_splits_of(splits, own, &values);
        for (size_t i = 0; i < thresholds && count < 900; i++)
            around[count++] = (double)values[i];
    }
    for (int i = 0; i < 20; i++)
        around[count++] = now * 2 * random_unit(r);
    around[count++] = now;
    qsort(around, count, sizeof *around, by_value);
    for (size_t i = 0; i < count; i++) {
        double v = what->is_field ? around[i] : (double)(float)around[i];
        double below = what->is_field ? nextafter(v, -INFINITY) : (double)nextafterf((float)v, -INFINITY);
        double above = what->is_field ? nextafter(v, INFINITY) : (double)nextafterf((float)v, INFINITY);
        double middle = i + 1 < count ? (v + around[i + 1]) / 2 : v + 1000;
        const double some[] = { v, below, above, middle };

        for (size_t k = 0; k < ARRAY_LEN(some); k++) {
            double x = what->is_field ? some[k] : (double)(float)some[k];

            if (is_whole) {
                out[n++] = floor(x);
                out[n++] = ceil(x);
            } else {
                out[n++] = x;
            }
        }
    }
    return n;
}

static bool is_better(enum action action, enum action was, bool is_milder)
{
    return is_milder ? action < was : action > was;
}

static const struct flip_change *shown(const struct flip_side *side, const struct flip_change *like,
                                       enum flip_way way)
{
    for (size_t i = 0; i < side->count; i++) {
        const struct flip_change *c = &side->changes[i];

        if (c->way == way && c->what.is_field == like->what.is_field && slice_eq(c->name, like->name))
            return c;
    }
    return NULL;
}

struct tally {
    size_t cases, shown, tried, whole;
};

/* No value on the way to what is shown does it; where nothing is shown, none does at all. */
static void expect_smallest(const struct flip_side *side, bool is_milder, const struct flip_change *like,
                            enum action was, const double *values, const enum action *actions, size_t count)
{
    const struct flip_change *up = shown(side, like, FLIP_UP), *down = shown(side, like, FLIP_DOWN);

    for (size_t i = 0; i < count; i++) {
        const struct flip_change *found = values[i] > like->before ? up : down;

        if (values[i] == like->before || !is_better(actions[i], was, is_milder))
            continue;
        cr_assert_not_null(found, "%.*s from %.17g: %.17g flips to %s and nothing is shown",
                           SLICE_ARG(like->name), like->before, values[i], action_name(actions[i]));
        cr_assert_leq(fabs(found->after - like->before), fabs(values[i] - like->before),
                      "%.*s from %.17g: %.17g flips before %.17g", SLICE_ARG(like->name), like->before,
                      values[i], found->after);
    }
}

static void check_number(const struct flip_answer *answer, const struct flip_change *like, struct random *r,
                         struct tally *tally)
{
    static double values[16384];
    static enum action actions[16384];
    size_t count = values_of(values, &like->what, like->is_whole, like->before, r), kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct flip_change change = *like;

        change.after = values[i];
        if (values[i] < 0 && !isnan(like->before)) /* none of what is tried here can be */
            continue;
        values[kept] = values[i];
        actions[kept++] = decide_with(&change);
    }
    expect_smallest(&answer->milder, true, like, answer->action, values, actions, kept);
    expect_smallest(&answer->harder, false, like, answer->action, values, actions, kept);
    tally->tried += kept;
    arena_reset(&arena);
}

static void check_changes(const struct flip_answer *answer, const struct flip_side *side, bool is_milder,
                          struct tally *tally)
{
    for (size_t i = 0; i < side->count; i++) {
        const struct flip_change *c = &side->changes[i];

        cr_assert_eq(decide_with(c), c->action, "%.*s from %g to %g", SLICE_ARG(c->name), c->before,
                     c->after);
        cr_assert(is_better(c->action, answer->action, is_milder));
        cr_assert(c->is_smallest);
        cr_assert(!c->is_whole || isnan(c->after) || c->after == floor(c->after));
        cr_assert(i == 0 || side->changes[i - 1].size <= c->size);
        tally->shown++;
        tally->whole += c->is_whole;
    }
    arena_reset(&arena);
}

static bool is_whole_column(size_t column)
{
    const struct feature *f = plan_column(w.plan, column);

    return f->aggregate == AGGREGATE_COUNT || f->aggregate == AGGREGATE_DISTINCT ||
           f->aggregate == AGGREGATE_FRAUD_COUNT ||
           ((f->aggregate == AGGREGATE_SUM || f->aggregate == AGGREGATE_MIN ||
             f->aggregate == AGGREGATE_MAX) &&
            slice_eq_str(f->field, "amount")) ||
           slice_eq_str(f->expr, "tx.amount") || slice_eq_str(f->expr, "tx.hour");
}

static void check_case(size_t row, struct random *r, struct tally *tally)
{
    struct flip_answer answer;
    struct flip_change like;

    take_case(row);
    flip_find(flip, &in, &FLIP_ANY, &cases, &answer);
    cr_assert_eq(answer.action, decide(in.vector, &txn));
    cr_assert_eq(answer.milder.untold_count + answer.harder.untold_count, 0);
    check_changes(&answer, &answer.milder, true, tally);
    check_changes(&answer, &answer.harder, false, tally);
    for (size_t c = 0; c < w.rows.columns; c++) {
        like = (struct flip_change){ .what = { .column = c },
                                     .name = plan_column(w.plan, c)->name,
                                     .before = (double)in.vector[c],
                                     .is_whole = is_whole_column(c) };
        if (!isnan(like.before) && (row + c) % (w.rows.columns > 8 ? 24 : 4) == 0)
            check_number(&answer, &like, r, tally);
    }
    like = (struct flip_change){ .what = { .is_field = true },
                                 .name = SLICE("tx.amount"),
                                 .before = (double)txn.amount_base_minor,
                                 .is_whole = true };
    cr_assert(txn_field_find(SLICE("amount"), &like.what.field));
    check_number(&answer, &like, r, tally);
    like.name = SLICE("tx.attributes.basket");
    like.before = attribute.number;
    cr_assert(txn_field_find(SLICE("attributes.basket"), &like.what.field));
    check_number(&answer, &like, r, tally);
    tally->cases++;
    arena_reset(&cases);
}

#ifdef __SANITIZE_ADDRESS__
enum { CASES = 100 };
#else
enum { CASES = 1000 };
#endif

Test(flip, what_is_shown_flips_the_decision_and_nothing_smaller_does_on_a_thousand_cases)
{
    struct random r = { 11 };
    struct tally tally = { 0 };

    publish(rules, ARRAY_LEN(rules));
    bind();
    for (size_t i = 0; i < CASES; i++)
        check_case(2000 + i * (w.rows.count - 2000) / CASES, &r, &tally);
    cr_log_info("%zu cases: %zu changes shown, %zu of whole numbers, %zu values tried", tally.cases,
                tally.shown, tally.whole, tally.tried);
    cr_assert_eq(tally.cases, CASES);
    cr_assert_gt(tally.shown, CASES);
    cr_assert_gt(tally.whole, CASES / 10);
}

/* ---- what cannot be proven is not claimed ---- */

static void add_numbers(const char *name, const char *const *values, size_t count)
{
    struct list *list = list_new_of(LIST_OF_NUMBERS, 0, slice_str(name), LIST_NAMED, TXN_TEXT_COUNT);

    for (size_t i = 0; i < count; i++)
        MUST(list_add(list, slice_str(values[i]), LIST_NO_EXPIRY, &why));
    policy_add_list(policy, list);
    list_unref(list);
}

static bool is_untold(const struct flip_side *side, const char *name)
{
    for (size_t i = 0; i < side->untold_count; i++) {
        if (slice_eq_str(side->untold[i], name))
            return true;
    }
    return false;
}

Test(flip, a_rule_that_cannot_be_followed_is_tried_value_by_value_and_beyond_that_nothing_is_claimed)
{
    static const struct policy_rule asking[] = { RULE("listed", "in_list(tx.amount, 'odd')", ACTION_DECLINE,
                                                      9) };
    static const char *const near[] = { "10007" }, *const far[] = { "90000001" };
    struct flip_answer answer;
    const struct flip_change like = { .what = { .is_field = true }, .name = SLICE("tx.amount") }, *up;

    publish(asking, 1);
    add_numbers("odd", near, 1);
    bind();
    take_case(3000);
    txn.amount_base_minor = 10000;
    in.thresholds = (struct policy_thresholds){ 2, 2, 2 };
    flip_find(flip, &in, &FLIP_ANY, &cases, &answer);
    up = shown(&answer.harder, &like, FLIP_UP);
    cr_assert_not_null(up);
    cr_assert_eq(up->after, 10007);
    cr_assert(up->is_smallest, "a few values in between, all tried");
    cr_assert(is_untold(&answer.harder, "tx.amount"), "but not all those below");
    cr_assert_null(shown(&answer.harder, &like, FLIP_DOWN));

    policy_drop_lists(policy);
    add_numbers("odd", far, 1);
    flip_find(flip, &in, &FLIP_ANY, &cases, &answer);
    cr_assert_null(shown(&answer.harder, &like, FLIP_UP));
    cr_assert(is_untold(&answer.harder, "tx.amount"));
}

static bool has_left(const void *ctx)
{
    return *(const bool *)ctx;
}

Test(flip, a_search_ends_after_so_many_values_and_says_so_and_what_it_found_holds)
{
    static const struct policy_rule asking[] = { RULE("large", "tx.amount > 500 && count_1h > 3",
                                                      ACTION_DECLINE, 9) };
    struct flip_answer whole, cut, alone;
    bool is_gone = true;

    publish(asking, 1);
    bind();
    take_case(3000);
    flip_find(flip, &in, &FLIP_ANY, &cases, &whole);
    cr_assert(!whole.is_cut);
    cr_assert_gt(whole.steps, 20);
    flip_decide(flip, &in, &cases, &alone);
    cr_assert(alone.action == whole.action && alone.decider == whole.decider && alone.steps == 0);
    cr_assert(alone.has_score == whole.has_score && alone.score == whole.score);
    for (size_t most = 1; most < whole.steps; most += 1 + most / 2) {
        flip_limit(flip, most, NULL, NULL);
        flip_find(flip, &in, &FLIP_ANY, &cases, &cut);
        cr_assert(cut.is_cut && cut.steps <= most, "%zu of %zu", cut.steps, most);
        cr_assert(cut.action == whole.action && cut.score == whole.score);
        for (size_t i = 0; i < cut.milder.count; i++) {
            const struct flip_change *found = &cut.milder.changes[i],
                                     *again = shown(&whole.milder, found, found->way);

            cr_assert(again && (!found->is_smallest || again->after == found->after || isnan(found->after)));
        }
    }
    flip_limit(flip, whole.steps + 1, NULL, NULL);
    flip_find(flip, &in, &FLIP_ANY, &cases, &cut);
    cr_assert(!cut.is_cut && cut.steps == whole.steps, "as much as it takes is enough");
    flip_limit(flip, 0, has_left, &is_gone);
    flip_find(flip, &in, &FLIP_ANY, &cases, &cut);
    cr_assert(cut.is_cut && cut.steps == 0, "nobody waits for it");
}

Test(flip, a_value_that_is_given_is_the_smallest_only_when_both_ways_have_been_followed)
{
    static const struct policy_rule asking[] = {
        RULE("listed", "in_list(count_1h, 'odd')", ACTION_DECLINE, 9),
        RULE("none", "count_1h < 1.0", ACTION_DECLINE, 8),
    };
    static const char *const far[] = { "9000001" };
    struct flip_change like = { .what = { .column = plan_find_name(w.plan, SLICE("count_1h")) },
                                .name = SLICE("count_1h") };
    const struct flip_change *given;
    struct flip_answer answer;
    float vector[COLUMNS_MAX];

    publish(asking, ARRAY_LEN(asking));
    add_numbers("odd", far, 1);
    bind();
    take_case(3000);
    in.thresholds = (struct policy_thresholds){ 2, 2, 2 };
    memcpy(vector, in.vector, in.vector_count * sizeof *vector);
    vector[like.what.column] = NAN;
    in.vector = vector;
    flip_find(flip, &in, &FLIP_ANY, &cases, &answer);
    given = shown(&answer.harder, &like, FLIP_GIVEN);
    cr_assert_not_null(given);
    cr_assert_eq(given->after, 0, "all those below the median were tried");
    cr_assert(!given->is_smallest, "but not all those above");
}

Test(flip, what_a_list_decided_no_number_changes)
{
    struct list *list = list_new(0, SLICE("blocked"), LIST_DENY, TXN_card_id);
    struct flip_answer answer;

    publish(rules, ARRAY_LEN(rules));
    MUST(list_add(list, SLICE("card-1"), LIST_NO_EXPIRY, &why));
    policy_add_list(policy, list);
    list_unref(list);
    bind();
    take_case(3000);
    txn.text[TXN_card_id] = SLICE("card-1");
    flip_find(flip, &in, &FLIP_ANY, &cases, &answer);
    cr_assert_eq(answer.action, ACTION_DECLINE);
    cr_assert_eq(answer.decider, POLICY_BY_LIST);
    cr_assert_eq(answer.milder.count + answer.harder.count, 0);
}

Test(flip, a_wish_for_a_certain_action_is_kept)
{
    struct flip_answer answer;
    size_t shown_count = 0;

    publish(rules, ARRAY_LEN(rules));
    bind();
    for (size_t row = 2000; row < 4000; row += 50) {
        take_case(row);
        flip_find(flip, &in, &(struct flip_wish){ ACTION_APPROVE, ACTION_DECLINE }, &cases, &answer);
        for (size_t i = 0; i < answer.milder.count; i++)
            cr_assert_eq(answer.milder.changes[i].action, ACTION_APPROVE);
        for (size_t i = 0; i < answer.harder.count; i++)
            cr_assert_eq(answer.harder.changes[i].action, ACTION_DECLINE);
        shown_count += answer.milder.count + answer.harder.count;
    }
    cr_assert_gt(shown_count, 20);
}

Test(flip, without_a_forest_the_score_stays_and_rules_alone_are_tried)
{
    struct flip_answer answer;
    struct flip *bare;

    publish(rules, ARRAY_LEN(rules));
    bind();
    MUST(flip_new(&bare, NULL, NULL, policy, 1, &why));
    take_case(3000);
    txn.amount_base_minor = 100;
    in.vector = NULL;
    in.vector_count = 0;
    in.has_score = true;
    in.score = 0.5;
    in.thresholds = (struct policy_thresholds){ 0.3, 2, 2 };
    flip_find(bare, &in, &FLIP_ANY, &cases, &answer);
    cr_assert_eq(answer.action, ACTION_CHALLENGE, "no count is known, so the first rule is an error");
    cr_assert_eq(answer.score, 0.5);
    for (size_t i = 0; i < answer.milder.count; i++)
        cr_assert(answer.milder.changes[i].what.is_field);
    flip_free(bare);
}

Test(flip, a_row_that_is_changed_column_by_column_has_the_margin_of_the_changed_row)
{
    const struct forest *f = bundle_forest(bundle);
    struct forest_walk *walk = forest_walk_new(splits);
    struct random r = { 3 };
    float row[COLUMNS_MAX];

    for (size_t i = 0; i < 200; i++) {
        memcpy(row, rows_vector(&w.rows, 3000 + i), forest_columns(f) * sizeof *row);
        cr_assert_eq(forest_walk_begin(walk, row), forest_margin(f, row, scratch));
        for (size_t k = 0; k < 50; k++) {
            size_t c = (size_t)random_below(&r, forest_columns(f));
            const float *values;
            size_t count = forest_splits_of(splits, c, &values);

            row[c] = count ? values[random_below(&r, count)] : 1.0F;
            if (k % 3 == 0)
                row[c] = nextafterf(row[c], -INFINITY);
            if (k % 7 == 0)
                row[c] = NAN;
            cr_assert_eq(forest_walk_set(walk, c, row[c]), forest_margin(f, row, scratch));
        }
    }
    forest_walk_free(walk);
}

Test(flip, places_in_a_histogram_rise_with_the_value)
{
    double edges[] = { 0, 10, 20 };
    uint64_t counts[] = { 10, 20, 60, 10, 5 };
    struct histogram h = { 3, edges, counts };

    cr_assert_float_eq(flip_place(&h, -3), 0.05, 1e-12, "in the middle of an open bin");
    cr_assert_float_eq(flip_place(&h, 0), 0.1, 1e-12);
    cr_assert_float_eq(flip_place(&h, 5), 0.2, 1e-12);
    cr_assert_float_eq(flip_place(&h, 15), 0.6, 1e-12);
    cr_assert_float_eq(flip_place(&h, 1e9), 0.95, 1e-12);
    cr_assert(isnan(flip_place(&h, NAN)));
    cr_assert(isnan(flip_place(NULL, 1)));
}

/* ---- the Fraud Detection Handbook's data ---- */

static const struct policy_rule handbook_rules[] = {
    RULE("small", "tx.amount <= 150 && customer_count_1d < 3.0", ACTION_APPROVE, 90),
    RULE("often", "customer_count_7d >= 30 && score > 0.01", ACTION_REVIEW, 80),
    RULE("much", "tx.amount > 22000", ACTION_DECLINE, 70),
    RULE("basket", "tx.attributes.basket > 12 && score * 100.0 > 0.5", ACTION_CHALLENGE, 20),
};

/* One customer of twenty over its first weeks, labels a week after their payments. False: the data is not there. */
static bool live_through_handbook(int64_t days)
{
    const char *data = getenv("ASSAY_TEST_DATA");
    char command[512], line[256], customer[16], terminal[16], id[16];
    struct label_queue labels = { 0 };
    FILE *f;

    snprintf(command, sizeof command, "%s/handbook/transactions.csv.zst", data ? data : "../shared/data");
    if (access(command, R_OK) != 0)
        return false;
    snprintf(command, sizeof command, "zstd -dcq '%s/handbook/transactions.csv.zst'",
             data ? data : "../shared/data");
    f = popen(command, "r");
    cr_assert_not_null(f);
    cr_assert_not_null(fgets(line, sizeof line, f));
    while (fgets(line, sizeof line, f)) {
        long number, who, where, seconds;
        char *at = line;
        double amount;
        struct txn payment;

        number = strtol(at, &at, 10);
        at = strchr(at + 1, ',') + 1; /* past TX_DATETIME */
        who = strtol(at, &at, 10);
        where = strtol(at + 1, &at, 10);
        amount = strtod(at + 1, &at);
        seconds = strtol(at + 1, &at, 10);
        strtol(at + 1, &at, 10);
        if (seconds >= days * 86400)
            break;
        if (who % 20)
            continue;
        snprintf(id, sizeof id, "%ld", number);
        snprintf(customer, sizeof customer, "%ld", who);
        snprintf(terminal, sizeof terminal, "%ld", where);
        payment = (struct txn){ .account = 1,
                                .id = slice_str(id),
                                .occurred_at_us = HISTORY_START + seconds * SECOND_US,
                                .known_at_us = HISTORY_START + seconds * SECOND_US,
                                .amount_minor = llround(amount * 100),
                                .amount_base_minor = llround(amount * 100) };
        payment.text[TXN_customer_id] = slice_str(customer);
        payment.text[TXN_terminal_id] = slice_str(terminal);
        while (label_queue_first(&labels) && label_queue_first(&labels)->known_at_us <= payment.known_at_us) {
            struct label due = label_queue_take(&labels);

            rows_add_label(&w.rows, &due);
        }
        rows_add_txn(&w.rows, &payment);
        if (at[1] == '1')
            label_queue_put(&labels, &(struct label){ .account = 1,
                                                      .transaction_id = payment.id,
                                                      .is_fraud = true,
                                                      .source = LABEL_ISSUER,
                                                      .labelled_at_us = payment.known_at_us + 7 * DAY_US,
                                                      .known_at_us = payment.known_at_us + 7 * DAY_US });
    }
    label_queue_release(&labels);
    pclose(f);
    return true;
}

static void open_handbook(void)
{
    struct catalogue catalogue;
    struct buf yaml = { 0 };
    char piece[4096];
    size_t len;
    FILE *f = fopen("models/handbook.yaml", "r");

    cr_assert_not_null(f);
    while ((len = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&yaml, piece, len);
    fclose(f);
    w = (struct history){ 0 };
    MUST(catalogue_parse(&catalogue, buf_slice(&yaml), &w.arena, &why));
    MUST(plan_build(&w.plan, &catalogue, &why));
    buf_release(&yaml);
    cr_assert_leq(plan_columns(w.plan), COLUMNS_MAX);
    rows_init(&w.rows, w.plan);
}

Test(flip_handbook, what_is_shown_flips_the_decision_and_nothing_smaller_does, .timeout = 300,
     .init = open_handbook, .fini = teardown)
{
    struct random r = { 12 };
    struct tally tally = { 0 };

    if (!live_through_handbook(50))
        cr_skip_test("no handbook data");
    open_model(HISTORY_START + 50 * DAY_US);
    publish(handbook_rules, ARRAY_LEN(handbook_rules));
    bind();
    for (size_t i = 0; i < CASES; i++)
        check_case(5000 + i * (w.rows.count - 5000) / CASES, &r, &tally);
    cr_log_info("%zu cases of %zu payments: %zu changes shown, %zu values tried", tally.cases, w.rows.count,
                tally.shown, tally.tried);
    cr_assert_gt(tally.shown, CASES);
}
