/* SPDX-License-Identifier: Apache-2.0
 * candidates_test.c - bad candidates are as bad as they say, and in no other way. */
#include "unit/training/candidates.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/clock.h"
#include "stats/ranking.h"
#include "unit/training/history.h"

static struct history w;
static struct trainer t;
static struct why why;

static void setup(void)
{
    history_init(&w);
    history_live_through(&w, 20000);
    t = small_trainer();
    t.tune = 0.2;
    t.judge = 0.25;
}

static void teardown(void)
{
    history_release(&w);
}

TestSuite(candidates, .init = setup, .fini = teardown, .timeout = 180);

static struct trainer_result train(struct buf *out)
{
    struct trainer_result result;

    buf_init(out, 0);
    cr_assert_eq(trainer_run(&t, &w.rows, w.plan, out, &result, &why), ERR_OK, "%s", why.text);
    return result;
}

Test(candidates, of_shuffled_labels_rank_by_chance)
{
    struct trainer_result honest, shuffled;
    struct buf out;

    honest = train(&out);
    buf_release(&out);
    candidate_shuffle_labels(&w.rows, 3);
    shuffled = train(&out);
    buf_release(&out);
    cr_assert_gt(honest.figures.auc_roc, 0.7);
    cr_assert_float_eq(shuffled.figures.auc_roc, 0.5, 0.15);
    cr_assert_float_eq((double)shuffled.judge_frauds, (double)honest.judge_frauds,
                       6 * sqrt((double)honest.judge_frauds));
}

Test(candidates, that_leak_know_everything)
{
    struct trainer_result result;
    struct buf out;

    candidate_leak(&w.rows, plan_find_name(w.plan, SLICE("hour")));
    result = train(&out);
    buf_release(&out);
    cr_assert_gt(result.figures.auc_roc, 0.99);
}

Test(candidates, miscalibrated_rank_as_before_and_promise_something_else)
{
    struct buf out, other;
    struct bundle *before, *after;
    double last = -1;

    train(&out);
    buf_init(&other, 0);
    candidate_miscalibrate(&other, buf_slice(&out), 1, 2);
    cr_assert_eq(bundle_open(&before, buf_slice(&out), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(bundle_open(&after, buf_slice(&other), &why), ERR_OK, "%s", why.text);
    for (float margin = -8; margin < 8; margin += 0.01F) {
        double p = bundle_score(before, margin), q = bundle_score(after, margin);

        cr_assert_gt(q, last);
        cr_assert_float_eq(log(q / (1 - q)) - log(p / (1 - p)), 2, 1e-6);
        last = q;
    }
    bundle_close(before);
    bundle_close(after);
    buf_release(&out);
    buf_release(&other);
}

Test(candidates, that_are_slow_keep_all_their_trees)
{
    struct trainer_result result;
    struct buf out;

    candidate_slow_down(&t);
    cr_assert_geq(t.params.trees, 4000);
    t.params.trees = 150; /* of which this model would need a few: the others would be no other test */
    result = train(&out);
    buf_release(&out);
    cr_assert_eq(result.trees, 150);
}
