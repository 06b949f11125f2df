/* SPDX-License-Identifier: Apache-2.0
 * loop_test.c - turns, their two ends, timers, signals and posts. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "loop/loop.h"

static struct loop *loop;
static struct buf said;

static void setup(void)
{
    struct why why = { 0 };

    cr_assert_eq(loop_open(&loop, &why), ERR_OK, "%s", why.text);
    buf_init(&said, 0);
}

static void teardown(void)
{
    loop_close(loop);
    buf_release(&said);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 120);

static void say(void *ctx)
{
    buf_add_str(&said, ctx);
}

static void say_and_stop(void *ctx)
{
    say(ctx);
    loop_stop(loop);
}

static struct loop_task work_a = { .run = say, .ctx = "a" }, work_b = { .run = say, .ctx = "b" },
                        flush = { .run = say_and_stop, .ctx = "|" };

static void say_and_queue(void *ctx)
{
    say(ctx);
    loop_flush(loop, &flush);
    loop_work(loop, &work_a);
    loop_work(loop, &work_a);
}

Test(loop, runs_work_that_work_queued_before_any_flush_and_each_task_once)
{
    struct loop_task first = { .run = say_and_queue, .ctx = "1" };
    struct loop_timer timer;

    loop_timer_init(&timer, loop, say_and_queue, "t");
    loop_timer_set(&timer, 0);
    loop_work(loop, &first);
    loop_work(loop, &work_b);
    loop_run(loop); /* what was queued before comes before the first poll */
    cr_expect_str_eq(buf_str(&said), "1ba|");
    loop_run(loop);
    cr_expect_str_eq(buf_str(&said), "1ba|ta|");
    loop_timer_release(&timer);
}

Test(loop, forgets_a_cancelled_task_wherever_it_stands)
{
    loop_work(loop, &work_a);
    loop_work(loop, &work_b);
    loop_cancel(loop, &work_b);
    loop_work(loop, &work_b);
    loop_cancel(loop, &work_a);
    loop_cancel(loop, &work_a);
    loop_flush(loop, &flush);
    loop_turn(loop, false);
    cr_assert_str_eq(buf_str(&said), "b|");
    loop_flush(loop, &flush);
    loop_cancel(loop, &flush);
    loop_flush(loop, &flush);
    loop_turn(loop, false);
    cr_assert_str_eq(buf_str(&said), "b||");
}

static void say_and_go_on_later(void *ctx)
{
    struct loop_task *task = ctx;

    buf_add_str(&said, "l");
    if (said.len < 10)
        loop_later(loop, task);
}

Test(loop, runs_later_work_in_the_next_turn_and_does_not_wait_for_it)
{
    struct loop_task task = { .run = say_and_go_on_later, .ctx = &task };

    loop_work(loop, &task);
    loop_turn(loop, true);
    cr_assert_str_eq(buf_str(&said), "l");
    loop_later(loop, &work_b);
    loop_turn(loop, true);
    cr_assert_str_eq(buf_str(&said), "llb", "no turn waits, and each runs it once");
    loop_cancel(loop, &task);
    loop_turn(loop, false);
    cr_assert_str_eq(buf_str(&said), "llb");
}

static void say_of_socket(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    say(ctx);
}

Test(loop, looks_once_at_a_socket_that_always_has_something_to_say_while_work_waits)
{
    struct loop_task task = { .run = say_and_go_on_later, .ctx = &task };
    struct event readable;
    int pipes[2];

    cr_assert_eq(pipe(pipes), 0);
    cr_assert_eq(write(pipes[1], "x", 1), 1);
    event_assign(&readable, loop_base(loop), pipes[0], EV_READ | EV_PERSIST, say_of_socket, "s");
    event_add(&readable, NULL);
    loop_later(loop, &task);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, true);
    cr_assert_str_eq(buf_str(&said), "slslsl");
    event_del(&readable);
    close(pipes[0]);
    close(pipes[1]);
}

Test(loop, fires_timers_in_the_order_of_their_delays_and_not_when_stopped)
{
    struct loop_timer early, late, never;

    loop_timer_init(&early, loop, say, "early ");
    loop_timer_init(&late, loop, say_and_stop, "late");
    loop_timer_init(&never, loop, say, "never");
    loop_timer_set(&late, 20 * MS_US);
    loop_timer_set(&never, 1 * MS_US);
    loop_timer_set(&early, 2 * MS_US);
    cr_assert(loop_timer_is_set(&never));
    loop_timer_stop(&never);
    cr_assert_not(loop_timer_is_set(&never));
    loop_run(loop);
    cr_assert_str_eq(buf_str(&said), "early late");
    loop_timer_release(&early);
    loop_timer_release(&late);
    loop_timer_release(&never);
}

Test(loop, keeps_one_time_for_a_turn_and_reads_it_again_in_the_next)
{
    int64_t first = loop_mono_us(loop);

    usleep(2000);
    cr_assert_eq(loop_mono_us(loop), first);
    loop_turn(loop, false);
    cr_assert_gt(loop_mono_us(loop), first);
    cr_assert_gt(loop_wall_us(loop), INT64_C(1500000000) * SECOND_US);
}

Test(loop, tells_the_first_signal_and_stops_at_the_second)
{
    loop_on_stop(loop, say, "stop");
    raise(SIGTERM);
    loop_turn(loop, false);
    cr_assert_str_eq(buf_str(&said), "stop");
    raise(SIGINT);
    loop_run(loop);
    cr_assert_str_eq(buf_str(&said), "stop");
}

Test(loop, reloads_at_each_hangup)
{
    loop_on_reload(loop, say, "again ");
    for (int i = 0; i < 2; i++) {
        raise(SIGHUP);
        loop_turn(loop, false);
    }
    cr_assert_str_eq(buf_str(&said), "again again ");
}

static void *post_from_a_thread(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++)
        loop_post(loop, say, "x");
    loop_post(loop, say_and_stop, "!");
    return NULL;
}

Test(loop, takes_posts_from_another_thread_in_order)
{
    pthread_t thread;

    pthread_create(&thread, NULL, post_from_a_thread, NULL);
    loop_run(loop);
    pthread_join(thread, NULL);
    cr_assert_eq(said.len, 1001);
    cr_assert_eq(buf_str(&said)[1000], '!');
}
