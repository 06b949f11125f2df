/* SPDX-License-Identifier: Apache-2.0
 * admission_test.c - admission before a queue that is only simulated: a thousand steps a second, first in
 * first out, as much done in each step as the capacity says, nothing before it has been under way for a
 * while. */
#include <criterion/criterion.h>

#include "../../../services/ingestion/admission.h"

#include "base/clock.h"
#include "base/mem.h"

enum { FLOWS = 4, QUEUE = 1 << 16, DEADLINE_US = 150000 };

static const struct admission_conf conf = {
    .most = 4096, .least = 32, .wait_us = 75000, .wait_most_us = 112000, .rate_per_s = 4000
};

/* One caller: what it asks for, and what became of it. */
struct caller {
    double per_s, owed;
    size_t asked, refused, good, late;
};

static struct {
    struct admission *a;
    int64_t now_us;
    double per_s, owed; /* what is done */
    int64_t own_us;     /* how long each takes at least */
    struct caller callers[FLOWS];
    struct waiting {
        struct flow *flow;
        size_t caller;
        int64_t since_us;
    } queue[QUEUE];
    size_t head, tail;
} sim;

static void setup(void)
{
    sim.a = admission_new(&conf);
    sim.now_us = 1000 * SECOND_US;
    sim.per_s = 8000;
    sim.own_us = 5000;
}

static void finish_one(void)
{
    struct waiting *w = &sim.queue[sim.head++ % QUEUE];

    admission_done(sim.a, w->flow, w->since_us, sim.now_us);
    if (sim.now_us - w->since_us <= DEADLINE_US)
        sim.callers[w->caller].good++;
    else
        sim.callers[w->caller].late++;
}

static void teardown(void)
{
    while (sim.head < sim.tail)
        finish_one();
    admission_free(sim.a);
}

static void ask(size_t caller)
{
    struct caller *c = &sim.callers[caller];

    c->asked++;
    if (admission_ask(sim.a, caller + 1, 1, DEADLINE_US, sim.now_us) != VERDICT_ENTER) {
        c->refused++;
        return;
    }
    sim.queue[sim.tail++ % QUEUE] =
        (struct waiting){ admission_enter(sim.a, caller + 1, 1, sim.now_us), caller, sim.now_us };
}

static void step(void)
{
    sim.now_us += 1000;
    /* In turns, so that none is always the first to find what has become free. */
    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < FLOWS; i++) {
            struct caller *c = &sim.callers[i];

            if (c->owed < 1)
                continue;
            c->owed--;
            ask(i);
            any = true;
        }
    }
    for (size_t i = 0; i < FLOWS; i++)
        sim.callers[i].owed += sim.callers[i].per_s / 1000;
    for (sim.owed += sim.per_s / 1000; sim.owed >= 1; sim.owed--) {
        if (sim.head == sim.tail || sim.now_us - sim.queue[sim.head % QUEUE].since_us < sim.own_us) {
            sim.owed = 0; /* what nobody used is gone */
            return;
        }
        finish_one();
    }
}

/* Lets the time pass; what is counted afterwards is of this time only. */
static void run_ms(int64_t ms)
{
    for (size_t i = 0; i < FLOWS; i++)
        sim.callers[i] = (struct caller){ .per_s = sim.callers[i].per_s, .owed = sim.callers[i].owed };
    for (; ms > 0; ms--)
        step();
}

TestSuite(admission, .init = setup, .fini = teardown, .timeout = 180);

Test(admission, refuses_nothing_that_can_be_done)
{
    sim.callers[0].per_s = 0.9 * sim.per_s;
    run_ms(5000);
    cr_expect_eq(sim.callers[0].refused, 0);
    cr_expect_eq(sim.callers[0].late, 0);
}

Test(admission, keeps_the_goodput_and_every_deadline_at_any_overload)
{
    static const double factors[] = { 1.2, 2, 5, 50 };

    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        sim.callers[0].per_s = factors[i] * sim.per_s;
        run_ms(1000); /* it begins with a limit for half of this */
        run_ms(2000);
        cr_expect_eq(sim.callers[0].late, 0, "at %g times", factors[i]);
        cr_expect_geq((double)sim.callers[0].good, 0.98 * 2 * sim.per_s, "at %g times: %zu", factors[i],
                      sim.callers[0].good);
        cr_expect_leq(admission_state(sim.a).under_way, admission_state(sim.a).limit);
    }
}

Test(admission, is_not_late_from_the_first_moment_of_a_flood_on)
{
    sim.callers[0].per_s = 10 * sim.per_s;
    run_ms(1000);
    cr_expect_eq(sim.callers[0].late, 0);
    cr_expect_gt((double)sim.callers[0].good, 0.9 * sim.per_s);
}

Test(admission, lets_in_less_when_less_can_be_done_and_more_again)
{
    sim.callers[0].per_s = 3 * sim.per_s;
    run_ms(1000);
    sim.per_s = 1000;
    run_ms(1000);
    run_ms(1000);
    cr_expect_eq(sim.callers[0].late, 0, "%zu late of %zu", sim.callers[0].late, sim.callers[0].good);
    sim.per_s = 8000;
    run_ms(1000);
    run_ms(1000);
    cr_expect_eq(sim.callers[0].late, 0);
    cr_expect_gt(sim.callers[0].good, 7800);
}

Test(admission, is_itself_again_a_second_after_nothing_went_through_for_one)
{
    sim.callers[0].per_s = 3 * sim.per_s;
    run_ms(1000);
    sim.per_s = 0;
    run_ms(1000);
    cr_expect_leq(admission_state(sim.a).under_way, 8000 * 75 / 1000 * 3 / 2, "it does not pile up");
    sim.per_s = 8000;
    run_ms(1000);
    run_ms(1000);
    cr_expect_eq(sim.callers[0].late, 0);
    cr_expect_gt(sim.callers[0].good, 7800);
}

Test(admission, does_not_throttle_work_that_takes_long_by_itself)
{
    sim.own_us = 70000;
    sim.callers[0].per_s = 3 * sim.per_s;
    run_ms(3000);
    run_ms(12000);
    cr_expect_eq(sim.callers[0].late, 0);
    cr_expect_geq((double)sim.callers[0].good, 0.95 * 12 * sim.per_s, "%zu", sim.callers[0].good);
    cr_expect_geq(admission_state(sim.a).at_work, 8000 * 70 / 1000, "all that it takes is on its way");
    cr_expect_leq(admission_state(sim.a).at_work, admission_state(sim.a).limit);
    sim.own_us = 5000;
    run_ms(16000);
    cr_expect_eq(sim.callers[0].late, 0);
    cr_expect_leq(admission_state(sim.a).limit, 8000 * 80 / 1000, "it is looked for again");
}

Test(admission, has_two_thirds_at_work_and_the_rest_waiting)
{
    sim.callers[0].per_s = 3 * sim.per_s;
    run_ms(5000);
    cr_expect_float_eq((double)admission_state(sim.a).at_work / (double)admission_state(sim.a).limit, 2.0 / 3,
                       0.01);
}

Test(admission, learns_nothing_from_quiet_times)
{
    size_t limit;

    sim.callers[0].per_s = 2 * sim.per_s;
    run_ms(3000);
    limit = admission_state(sim.a).limit;
    sim.callers[0].per_s = 10;
    run_ms(1000); /* the flood's last */
    run_ms(60000);
    cr_expect_geq(admission_state(sim.a).limit, limit * 9 / 10, "%zu became %zu", limit,
                  admission_state(sim.a).limit);
    cr_expect_eq(sim.callers[0].refused, 0);
}

Test(admission, refuses_who_has_less_time_than_the_others_need)
{
    sim.callers[0].per_s = 2 * sim.per_s;
    run_ms(3000);
    cr_expect_eq(admission_ask(sim.a, 9, 1, 10000, sim.now_us), VERDICT_DEADLINE);
    cr_expect_eq(admission_ask(sim.a, 9, 1, DEADLINE_US, sim.now_us), VERDICT_ENTER);
    cr_expect_eq(admission_ask(sim.a, 9, 1, INT64_MAX, sim.now_us), VERDICT_ENTER);
}

Test(admission, refuses_what_is_late_already_even_when_nothing_is_under_way)
{
    cr_expect_eq(admission_ask(sim.a, 9, 1, 0, sim.now_us), VERDICT_DEADLINE);
    cr_expect_eq(admission_ask(sim.a, 9, 1, 1, sim.now_us), VERDICT_ENTER);
}

Test(admission, never_refuses_a_small_key_for_a_flood)
{
    sim.callers[0].per_s = 5 * sim.per_s;
    sim.callers[1].per_s = 0.2 * sim.per_s;
    run_ms(1000);
    run_ms(12000);
    cr_expect_eq(sim.callers[1].refused, 0);
    cr_expect_eq(sim.callers[1].late, 0);
    cr_expect_geq((double)sim.callers[0].good, 0.78 * 12 * sim.per_s, "the flood gets what is left");
}

Test(admission, shares_equally_what_all_want_and_gives_the_rest_to_those_who_want_more)
{
    sim.callers[0].per_s = 5 * sim.per_s;
    sim.callers[1].per_s = 1 * sim.per_s;
    sim.callers[2].per_s = 0.1 * sim.per_s;
    run_ms(1000);
    run_ms(3000);
    cr_expect_eq(sim.callers[2].refused, 0);
    for (size_t i = 0; i < 2; i++)
        cr_expect_float_eq((double)sim.callers[i].good / (3 * sim.per_s), 0.45, 0.05, "%zu got %zu", i,
                           sim.callers[i].good);
}

Test(admission, counts_a_batch_as_what_it_lists)
{
    struct flow *flow;

    cr_expect_eq(admission_ask(sim.a, 1, 1000, SECOND_US, sim.now_us), VERDICT_ENTER);
    flow = admission_enter(sim.a, 1, 1000, sim.now_us);
    cr_expect_eq(admission_state(sim.a).under_way, 1000);
    cr_expect_eq(admission_ask(sim.a, 2, 1, INT64_MAX, sim.now_us), VERDICT_SHARE);
    for (int i = 0; i < 990; i++)
        admission_done(sim.a, flow, sim.now_us - 1000, sim.now_us);
    cr_expect_eq(admission_ask(sim.a, 2, 1000, SECOND_US, sim.now_us), VERDICT_ENTER,
                 "what is larger than the limit comes in when there is little else");
    for (int i = 0; i < 10; i++)
        admission_leave(sim.a, flow, sim.now_us);
    cr_expect_eq(admission_state(sim.a).flows, 0);
}

Test(admission, never_has_more_under_way_than_the_most)
{
    struct flow *flow = admission_enter(sim.a, 1, conf.most - 10, sim.now_us);

    cr_expect_eq(admission_ask(sim.a, 2, 11, INT64_MAX, sim.now_us), VERDICT_QUEUE);
    for (size_t i = 0; i < conf.most - 10; i++)
        admission_leave(sim.a, flow, sim.now_us);
}

Test(admission, sends_the_refused_back_over_more_seconds_the_more_they_are)
{
    int64_t longest = 0, times[10] = { 0 };

    cr_expect_eq(admission_retry_after_s(sim.a), 1);
    sim.callers[0].per_s = 5 * sim.per_s;
    run_ms(3000);
    for (int i = 0; i < 1000; i++) {
        int64_t s = admission_retry_after_s(sim.a);

        cr_assert(s >= 1 && s < 10);
        times[s]++;
        longest = s > longest ? s : longest;
    }
    cr_expect(longest == 4 || longest == 5, "four are refused for each that is done: %d s", (int)longest);
    cr_expect_float_eq((double)times[1] / (double)times[2], 1, 0.1, "and they come back evenly");
}
