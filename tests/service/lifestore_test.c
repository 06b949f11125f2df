/* SPDX-License-Identifier: Apache-2.0
 * lifestore_test.c - runs, schedules, experiments and followers on a real PostgreSQL. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "harness/cluster.h"
#include "lifestore/follower.h"
#include "lifestore/run.h"
#include "lifestore/schedule.h"
#include "pg/session.h"

static const char *conninfo;
static struct pg_session *pg, *other;
static struct arena arena;
static struct why why;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static void setup(void)
{
    conninfo = test_database();
    MUST(pg_session_open(&pg, conninfo, "test", &why));
    MUST(pg_session_open(&other, conninfo, "test", &why));
}

static void teardown(void)
{
    pg_session_close(pg);
    pg_session_close(other);
    arena_release(&arena);
}

TestSuite(lifestore, .init = setup, .fini = teardown, .timeout = 180);

static int64_t ask_for(const char *name)
{
    const struct run_wish wish = {
        .name = slice_str(name), .cause = "request", .requested_by = SLICE("test"), .as_of_us = RUN_NO_TIME
    };
    int64_t run;

    MUST(run_request(pg, &wish, &run, NULL, &why));
    return run;
}

static struct run look(int64_t run)
{
    struct run r;

    MUST(run_read(pg, run, &r, &arena, &why));
    return r;
}

static int64_t next(void)
{
    int64_t run;

    MUST(run_next(other, &run, &why));
    return run;
}

static bool begin(int64_t run)
{
    bool is_begun;

    MUST(run_begin(pg, run, 2, DAY_US, &is_begun, &why));
    return is_begun;
}

Test(lifestore, makes_one_run_of_two_wishes_for_the_same_name)
{
    int64_t first = ask_for("a"), second = ask_for("a"), third = ask_for("b");

    cr_assert_gt(first, 0);
    cr_assert_eq(first, second);
    cr_assert_neq(first, third);
}

Test(lifestore, refuses_what_is_no_name_or_no_settings)
{
    struct run_wish wish = { .name = SLICE("No Name"), .cause = "request", .requested_by = SLICE("test") };
    int64_t run;

    cr_assert_eq(run_request(pg, &wish, &run, NULL, &why), ERR_INVALID);
    wish.name = SLICE("a");
    wish.settings = SLICE("[1]");
    cr_assert_eq(run_request(pg, &wish, &run, NULL, &why), ERR_INVALID);
}

Test(lifestore, takes_up_an_interrupted_run_before_one_that_waits_and_none_while_one_is_under_way)
{
    int64_t first = ask_for("a"), second = ask_for("b");
    bool is_taken;

    MUST(run_lock(pg, &is_taken, &why));
    cr_assert(is_taken);
    MUST(run_lock(other, &is_taken, &why));
    cr_assert_not(is_taken);
    cr_assert_eq(next(), 0, "somebody trains");
    cr_assert(begin(second));
    pg_session_close(pg); /* as if its process had died */
    MUST(pg_session_open(&pg, conninfo, "test", &why));
    for (int i = 0; i < 100 && next() == 0; i++) /* the server notices a moment later */
        MUST(pg_exec_script(other, "SELECT pg_sleep(0.05)", &why));
    cr_assert_eq(next(), second);
    cr_assert(begin(second));
    MUST(run_end(pg, second, RUN_SUCCEEDED, 0, SLICE(""), &why));
    cr_assert_eq(next(), first);
    cr_assert_eq(look(second).attempts, 2);
    cr_assert_eq(look(second).as_of_us, DAY_US);
}

Test(lifestore, gives_up_a_run_that_never_ends_and_says_where_it_was)
{
    int64_t run = ask_for("a");
    bool is_cancelled;

    cr_assert(begin(run));
    MUST(run_progress(pg, run, "search", 0.5, &is_cancelled, &why));
    cr_assert_not(is_cancelled);
    cr_assert(begin(run));
    cr_assert_not(begin(run));
    cr_assert_eq(look(run).state, RUN_FAILED);
    cr_assert_not_null(strstr(look(run).message.ptr, "begun 2 times"));
    cr_assert_not_null(strstr(look(run).message.ptr, "search"));
    cr_assert_eq(next(), 0);
}

Test(lifestore, does_not_count_an_attempt_that_was_told_to_stop)
{
    int64_t run = ask_for("a");

    for (int i = 0; i < 5; i++) {
        cr_assert(begin(run));
        MUST(run_leave(pg, run, &why));
    }
    cr_assert_eq(look(run).attempts, 0);
}

Test(lifestore, cancels_a_waiting_run_at_once_and_tells_one_under_way)
{
    int64_t waiting = ask_for("a"), running = ask_for("b");
    bool is_cancelled;

    MUST(run_cancel(pg, waiting, SLICE("test"), &why));
    MUST(run_cancel(pg, waiting, SLICE("test"), &why));
    cr_assert_eq(look(waiting).state, RUN_CANCELLED);
    cr_assert(begin(running));
    MUST(run_cancel(other, running, SLICE("test"), &why));
    cr_assert_eq(look(running).state, RUN_RUNNING);
    MUST(run_progress(pg, running, "search", 0.5, &is_cancelled, &why));
    cr_assert(is_cancelled);
    MUST(run_end(pg, running, RUN_SUCCEEDED, 0, SLICE(""), &why));
    cr_assert_eq(run_cancel(pg, running, SLICE("test"), &why), ERR_CONFLICT, "it has ended otherwise");
    cr_assert_eq(run_cancel(pg, 12345, SLICE("test"), &why), ERR_NOT_FOUND);
    running = ask_for("b");
    cr_assert(begin(running));
    MUST(run_end(pg, running, RUN_FAILED, 0, SLICE("for a reason"), &why));
    cr_assert_eq(run_cancel(pg, running, SLICE("test"), &why), ERR_CONFLICT);
}

Test(lifestore, fires_a_due_time_once_whoever_sees_it)
{
    const struct schedule put = {
        .name = SLICE("a"), .cron = SLICE("0 4 * * *"), .zone = SLICE("UTC"), .is_enabled = true
    };
    struct schedule *seen;
    size_t count;
    int64_t run, again;

    MUST(schedule_put(pg, &put, SLICE("test"), &why));
    MUST(schedule_list(pg, &seen, &count, &arena, &why));
    MUST(schedule_begin(pg, &seen[0], 0, &why));
    MUST(schedule_begin(pg, &seen[0], DAY_US, &why));
    MUST(schedule_list(pg, &seen, &count, &arena, &why));
    cr_assert_eq(count, 1);
    cr_assert_eq(seen[0].fired_at_us, 0);
    MUST(schedule_fire(pg, &seen[0], 4 * HOUR_US, &run, &why));
    MUST(schedule_fire(other, &seen[0], 4 * HOUR_US, &again, &why));
    cr_assert_gt(run, 0);
    cr_assert_eq(again, 0);
    cr_assert_eq(look(run).as_of_us, 4 * HOUR_US);
    MUST(schedule_remove(pg, SLICE("a"), SLICE("test"), &why));
    cr_assert_eq(schedule_remove(pg, SLICE("a"), SLICE("test"), &why), ERR_NOT_FOUND);
}

Test(lifestore, moves_a_place_with_what_was_made_or_not_at_all)
{
    json_t *position, *next_place = json_pack("{si}", "n", 7);

    MUST(follower_begin(pg, "test", &position, &why));
    cr_assert_null(position);
    MUST(pg_exec_script(pg, "INSERT INTO audit (actor, action) VALUES ('test', 'made')", &why));
    MUST(follower_commit(pg, "test", next_place, &why));
    MUST(follower_begin(pg, "test", &position, &why));
    cr_assert_eq(json_integer_value(json_object_get(position, "n")), 7);
    json_decref(position);
    json_object_set_new(next_place, "n", json_integer(8));
    MUST(pg_exec_script(pg, "INSERT INTO audit (actor, action) VALUES ('test', 'lost')", &why));
    follower_abandon(pg);
    MUST(follower_begin(pg, "test", &position, &why));
    cr_assert_eq(json_integer_value(json_object_get(position, "n")), 7);
    follower_abandon(pg);
    json_decref(position);
    json_decref(next_place);
}
