/* SPDX-License-Identifier: Apache-2.0 */
#include "drift/verdict.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/interval.h"

enum { COLUMNS = 8, EDGES = 9 };

static const struct slice names[COLUMNS] = { { "a", 1 }, { "b", 1 }, { "c", 1 }, { "d", 1 },
                                             { "e", 1 }, { "f", 1 }, { "g", 1 }, { "h", 1 } };
static const struct slice channels[] = { { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 } };
static struct drift_layout *layout;
static struct drift_window reference;
static struct drift_verdict *verdicts;
static struct random dice;
static struct why why;

/* What a world may do otherwise than the reference. */
struct world {
    double scale;   /* of feature a */
    double missing; /* more of feature b */
    double new_channel;
    bool is_zero; /* feature c */
};
static const struct world usual = { .scale = 1 };

static void count(struct drift_window *w, const struct world *world, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        float features[COLUMNS];
        struct drift_row row = { .at_us = (int64_t)i, .features = features, .margin = random_unit(&dice) };

        for (size_t c = 0; c < COLUMNS; c++) /* exponential, 2 % missing */
            features[c] = random_unit(&dice) < 0.02 ? NAN : (float)-log(1 - random_unit(&dice));
        features[0] *= (float)world->scale;
        if (random_unit(&dice) < world->missing)
            features[1] = NAN;
        if (world->is_zero)
            features[2] = 0;
        row.action = random_unit(&dice) < 0.05 ? ACTION_REVIEW : ACTION_APPROVE;
        row.fields[0] =
            random_unit(&dice) < world->new_channel ? SLICE("voice") : channels[random_below(&dice, 3)];
        drift_window_add(w, &row);
    }
}

static void setup(void)
{
    double edges[EDGES];
    struct histogram histograms[COLUMNS], margins;
    struct drift_source source = { .features = names,
                                   .histograms = histograms,
                                   .columns = COLUMNS,
                                   .margins = &margins,
                                   .fields = { { channels, ARRAY_LEN(channels) } } };

    for (size_t i = 0; i < EDGES; i++)
        edges[i] = -log(1 - (double)(i + 1) / (EDGES + 1));
    for (size_t c = 0; c < COLUMNS; c++)
        histogram_init_edges(&histograms[c], edges, EDGES);
    histogram_init_edges(&margins, edges, 4);
    cr_assert_eq(drift_layout_new(&layout, &source, &why), ERR_OK, "%s", why.text);
    for (size_t c = 0; c < COLUMNS; c++)
        histogram_release(&histograms[c]);
    histogram_release(&margins);
    dice.state = 4;
    drift_window_init(&reference, layout);
    count(&reference, &usual, 50000);
    verdicts = mem_new_n(struct drift_verdict, drift_layout_subjects(layout));
}

static void finish(void)
{
    drift_window_release(&reference);
    drift_layout_free(layout);
    mem_free(verdicts);
}

TestSuite(drift_verdict, .init = setup, .fini = finish, .timeout = 120);

static const struct drift_verdict *of(enum drift_kind kind, const char *name)
{
    return &verdicts[drift_layout_find(layout, kind, DRIFT_CHANNEL, slice_str(name))];
}

static size_t judge_world(struct drift_judge *judge, const struct world *world, size_t rows)
{
    struct drift_window w;
    size_t beyond;

    drift_window_init(&w, layout);
    count(&w, world, rows);
    beyond = drift_judge_window(judge, &w, verdicts);
    drift_window_release(&w);
    return beyond;
}

Test(drift_verdict, windows_in_which_nothing_changed_seldom_say_otherwise)
{
    static const size_t sizes[] = { 100, 1000 };
    struct drift_settings settings = drift_settings_default;
    enum { ROUNDS = 250 };

    settings.js_least = settings.missing_least = settings.unseen_least = 0; /* the noise floor alone */
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct drift_judge *judge = drift_judge_new(&reference, &settings);
        int wrong = 0;

        for (int i = 0; i < ROUNDS; i++)
            wrong += judge_world(judge, &usual, sizes[s]) > 0;
        /* 5 % of 250 are 12.5, with a deviation of 3.4. */
        cr_expect_leq(wrong, 23, "%d of %d windows of %zu", wrong, (int)ROUNDS, sizes[s]);
        drift_judge_free(judge);
    }
}

Test(drift_verdict, finds_each_change_where_it_is)
{
    struct drift_judge *judge = drift_judge_new(&reference, &drift_settings_default);
    struct buf text;

    buf_init(&text, 0);
    cr_assert_gt(judge_world(judge, &(struct world){ .scale = 1.2 }, 5000), 0);
    cr_assert(of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].is_beyond);
    cr_assert_gt(of(DRIFT_FEATURE, "a")->psi, of(DRIFT_FEATURE, "a")->psi_critical);
    cr_assert_not(of(DRIFT_FEATURE, "b")->tests[DRIFT_SHAPE].is_beyond);

    cr_assert_gt(judge_world(judge, &(struct world){ .scale = 1, .missing = 0.05 }, 2000), 0);
    cr_assert(of(DRIFT_FEATURE, "b")->tests[DRIFT_MISSING].is_beyond);
    cr_assert_float_eq(of(DRIFT_FEATURE, "b")->tests[DRIFT_MISSING].reference, 0.02, 0.003);
    cr_assert_gt(of(DRIFT_FEATURE, "b")->tests[DRIFT_MISSING].value,
                 of(DRIFT_FEATURE, "b")->tests[DRIFT_MISSING].critical);

    cr_assert_gt(judge_world(judge, &(struct world){ .scale = 1, .new_channel = 0.01 }, 1000), 0);
    cr_assert(of(DRIFT_FIELD, "channel")->tests[DRIFT_UNSEEN].is_beyond);
    cr_assert_eq(of(DRIFT_FIELD, "channel")->tests[DRIFT_UNSEEN].reference, 0);
    drift_explain(layout, of(DRIFT_FIELD, "channel"), DRIFT_UNSEEN, &text);
    cr_assert_not_null(strstr(buf_str(&text), "unseen, 0 % in the reference"), "%s", buf_str(&text));

    cr_assert_gt(judge_world(judge, &(struct world){ .scale = 1, .is_zero = true }, 100), 0);
    cr_assert(of(DRIFT_FEATURE, "c")->tests[DRIFT_SHAPE].is_beyond);
    cr_assert_eq(of(DRIFT_FEATURE, "c")->bin, 0);
    buf_clear(&text);
    drift_explain(layout, of(DRIFT_FEATURE, "c"), DRIFT_SHAPE, &text);
    cr_assert(slice_starts_with(buf_slice(&text), SLICE("c: 100 % of decisions are < 0.105361, ")), "%s",
              buf_str(&text));
    buf_release(&text);
    drift_judge_free(judge);
}

Test(drift_verdict, what_is_certain_but_small_is_no_finding)
{
    struct drift_settings settings = drift_settings_default;
    struct drift_judge *judge;

    settings.js_least = 0.05;
    judge = drift_judge_new(&reference, &settings);
    judge_world(judge, &(struct world){ .scale = 1.2 }, 20000);
    cr_assert_lt(of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].p, 1e-6);
    cr_assert_not(of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].is_beyond);
    drift_judge_free(judge);
}

Test(drift_verdict, too_few_decisions_are_not_judged)
{
    struct drift_judge *judge = drift_judge_new(&reference, &drift_settings_default);

    cr_assert_eq(judge_world(judge, &(struct world){ .scale = 100, .is_zero = true }, 49), 0);
    cr_assert_not(of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].is_tested);
    cr_assert(isnan(of(DRIFT_FEATURE, "a")->psi));
    cr_assert_eq(judge_world(judge, &usual, 0), 0);
    drift_judge_free(judge);
}

/* Counts of rows that come five at a time are five times as uncertain; told so, the verdict is as of a fifth. */
Test(drift_verdict, dependent_decisions_count_as_fewer)
{
    struct drift_settings settings = drift_settings_default;
    struct drift_judge *plain, *careful;
    double critical;

    settings.design_effect = 5;
    plain = drift_judge_new(&reference, &drift_settings_default);
    careful = drift_judge_new(&reference, &settings);
    judge_world(plain, &usual, 5000);
    critical = of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].critical;
    judge_world(careful, &usual, 5000);
    cr_assert_float_eq(of(DRIFT_FEATURE, "a")->tests[DRIFT_SHAPE].critical / critical, 5, 0.8);
    drift_judge_free(plain);
    drift_judge_free(careful);
}

Test(drift_verdict, laws_are_made_one_at_a_time_and_then_kept)
{
    struct drift_judge *judge = drift_judge_new(&reference, &drift_settings_default);
    struct drift_window w;
    size_t made = 0;

    drift_window_init(&w, layout);
    count(&w, &usual, 100);
    while (drift_judge_prepare(judge, &w))
        made++;
    cr_assert_eq(made, COLUMNS + 2 + 3); /* segments have too few */
    drift_judge_window(judge, &w, verdicts);
    cr_assert_not(drift_judge_prepare(judge, &w));
    drift_window_release(&w);
    drift_judge_free(judge);
}

Test(drift_verdict, alarm_needs_windows_running_and_ends_so_too)
{
    struct drift_alarms *alarms = drift_alarms_new(layout), *again;
    struct drift_alarm *changes =
        mem_new_n(struct drift_alarm, drift_layout_subjects(layout) * DRIFT_TEST_COUNT);
    static const struct {
        bool is_tested, is_beyond;
        int change;
    } steps[] = { { true, true, 0 },
                  { true, false, 0 },
                  { true, true, 0 },
                  { false, false, 0 },
                  { true, true, 0 },
                  { true, true, DRIFT_RAISED },
                  { true, true, 0 },
                  { true, false, 0 },
                  { true, false, 0 },
                  { true, true, 0 },
                  { true, false, 0 },
                  { true, false, 0 },
                  { true, false, DRIFT_RESOLVED } };
    struct buf bytes;

    memset(verdicts, 0, drift_layout_subjects(layout) * sizeof *verdicts);
    buf_init(&bytes, 0);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        size_t changed;

        verdicts[4].tests[DRIFT_MISSING].is_tested = steps[i].is_tested;
        verdicts[4].tests[DRIFT_MISSING].is_beyond = steps[i].is_beyond;
        changed = drift_alarms_step(alarms, verdicts, 3, changes);
        cr_assert_eq(changed, steps[i].change != 0, "step %zu", i);
        if (changed) {
            cr_assert_eq(changes[0].subject, 4);
            cr_assert_eq(changes[0].test, DRIFT_MISSING);
            cr_assert_eq((int)changes[0].change, steps[i].change);
        }
        buf_clear(&bytes); /* stopped and begun again after each */
        drift_alarms_pack(alarms, &bytes);
        cr_assert_eq(drift_alarms_open(&again, layout, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
        drift_alarms_free(alarms);
        alarms = again;
    }
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_neq(drift_alarms_open(&again, layout, slice_of(buf_slice(&bytes).ptr, len), &why), ERR_OK);
    buf_release(&bytes);
    mem_free(changes);
    drift_alarms_free(alarms);
}

Test(drift_verdict, settings_out_of_range_are_refused)
{
    struct drift_settings settings = drift_settings_default;

    cr_assert_eq(drift_settings_check(&settings, &why), ERR_OK);
    settings.alpha = 1;
    cr_assert_eq(drift_settings_check(&settings, &why), ERR_INVALID);
    settings = drift_settings_default;
    settings.windows = 0;
    cr_assert_eq(drift_settings_check(&settings, &why), ERR_INVALID);
    settings = drift_settings_default;
    settings.js_least = (double)NAN;
    cr_assert_eq(drift_settings_check(&settings, &why), ERR_INVALID);
}
