/* SPDX-License-Identifier: Apache-2.0
 * supervisor_test.c - the home directory's lock and state, and the supervisor with sleepers for services. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../../services/cli/home.h"
#include "../../../services/cli/leftovers.h"
#include "../../../services/cli/supervisor.h"
#include "base/array.h"

static char template[] = "/tmp/assay-home-XXXXXX", home[PATH_MAX];
static struct state state;
static struct why why;
static char *env[] = { (char *)(uintptr_t) "WHO=sleeper", NULL };

static const struct planned processes[] = {
    { .kind = PLANNED_STEP, .name = "step", .argv = { "/bin/sh", "-c", "echo first" } },
    { .kind = PLANNED_SERVICE,
      .name = "one",
      .argv = { "/bin/sh", "-c", "echo $WHO; exec sleep 600" },
      .env = env,
      .port = 1 },
    { .kind = PLANNED_SERVICE, .name = "two", .argv = { "/bin/sleep", "600" }, .admin_port = 2 },
};
static const struct planned dying[] = {
    { .kind = PLANNED_SERVICE, .name = "dying", .argv = { "/bin/false" } },
    { .kind = PLANNED_SERVICE, .name = "missing", .argv = { "/no/such/program" } },
};

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void setup(void)
{
    cr_assert_neq(mkdtemp(template), NULL);
    cr_assert_eq(home_open(home, template, &why), ERR_OK, "%s", why.text);
}

static void teardown(void)
{
    char command[PATH_MAX + 16];

    if (!state_read(home, &state, NULL) && process_is_alive(state.supervisor_pid, state.supervisor_ticks))
        kill(state.supervisor_pid, SIGTERM);
    while (home_is_locked(home))
        pause_ms(5);
    snprintf(command, sizeof command, "rm -rf %s", template);
    cr_assert_eq(system(command), 0);
}

TestSuite(home, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(supervisor, .init = setup, .fini = teardown, .timeout = 120);

Test(home, keeps_the_state_as_it_was_written)
{
    struct state s = {
        .supervisor_pid = 12, .supervisor_ticks = 1 << 30, .pg_url = "host='/x y'", .process_count = 2
    };

    s.processes[0] = (struct process_state){ "a", PROCESS_RUNNING, 7, 99, 8080, 9100, 3, 1234567 };
    s.processes[1] = (struct process_state){ "b", PROCESS_DONE, 0, 0, 0, 0, 0, 0 };
    cr_assert_eq(state_read(home, &state, &why), ERR_NOT_FOUND);
    cr_assert_eq(state_write(home, &s, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(state_read(home, &state, &why), ERR_OK, "%s", why.text);
    cr_assert_arr_eq(&state, &s, sizeof s);
    cr_assert_eq(state_find(&state, "b"), &state.processes[1]);
    cr_assert_null(state_find(&state, "c"));
    state_remove(home);
    cr_assert_eq(state_read(home, &state, &why), ERR_NOT_FOUND);
}

Test(home, says_when_its_state_is_damaged)
{
    char path[PATH_MAX];
    FILE *f;

    cr_assert(home_path(path, home, "run/state.json"));
    f = fopen(path, "w");
    fputs("{\"supervisor\": 1, \"processes\": [1]}", f);
    fclose(f);
    cr_assert_eq(state_read(home, &state, &why), ERR_SYNTAX);
}

Test(home, can_be_locked_once)
{
    int one, two;

    cr_assert_eq(home_lock(home, &one, &why), ERR_OK);
    cr_assert(home_is_locked(home));
    cr_assert_eq(home_lock(home, &two, &why), ERR_CONFLICT);
    close(one);
    cr_assert_not(home_is_locked(home));
}

Test(home, knows_a_process_by_its_start_and_not_by_its_number_alone)
{
    uint64_t ticks = process_ticks(getpid());

    cr_assert(process_is_alive(getpid(), ticks));
    cr_assert_not(process_is_alive(getpid(), ticks + 1));
    cr_assert_not(process_is_alive(0, 0));
}

static void start(const struct planned *planned, size_t count)
{
    struct plan plan = { .home = home, .pg_url = "host=x", .processes = planned, .count = count };
    int lock;

    cr_assert_eq(home_lock(home, &lock, &why), ERR_OK);
    cr_assert_eq(supervisor_start(&plan, lock, &why), ERR_OK);
}

/* Reads the state until `name` runs under another pid than `other`. */
static pid_t wait_for(const char *name, pid_t other)
{
    for (;; pause_ms(5)) {
        const struct process_state *p = state_read(home, &state, &why) ? NULL : state_find(&state, name);

        if (p && p->phase == PROCESS_RUNNING && p->pid != other)
            return p->pid;
    }
}

static void wait_until_gone(pid_t pid)
{
    while (process_ticks(pid))
        pause_ms(5);
}

Test(supervisor, starts_again_what_was_killed_and_ends_all_when_told)
{
    pid_t one, two, again;
    char path[PATH_MAX], line[32] = "";
    FILE *f;

    start(processes, ARRAY_LEN(processes));
    one = wait_for("one", 0);
    two = wait_for("two", 0);
    cr_assert_eq(state_find(&state, "step")->phase, PROCESS_DONE);
    cr_assert_eq(state_find(&state, "one")->port, 1);
    kill(one, SIGKILL);
    again = wait_for("one", one);
    cr_assert_eq(state_find(&state, "one")->restarts, 1);
    cr_assert_eq(wait_for("two", 0), two);
    kill(state.supervisor_pid, SIGTERM);
    while (home_is_locked(home))
        pause_ms(5);
    cr_assert_eq(process_ticks(again), 0);
    cr_assert_eq(process_ticks(two), 0);
    cr_assert_eq(state_read(home, &state, &why), ERR_NOT_FOUND);
    cr_assert(home_path(path, home, "log/one.log"));
    f = fopen(path, "r");
    cr_assert_not_null(fgets(line, sizeof line, f));
    fclose(f);
    cr_assert_str_eq(line, "sleeper\n");
}

Test(supervisor, leaves_nothing_behind_when_it_is_killed_itself)
{
    pid_t one, two;

    start(processes, ARRAY_LEN(processes));
    one = wait_for("one", 0);
    two = wait_for("two", 0);
    kill(state.supervisor_pid, SIGKILL);
    wait_until_gone(one);
    wait_until_gone(two);
    while (home_is_locked(home))
        pause_ms(5);
    cr_assert_eq(leftovers_end(home, &why), ERR_OK);
    cr_assert_eq(state_read(home, &state, &why), ERR_NOT_FOUND);
}

Test(supervisor, pauses_longer_and_longer_for_what_keeps_dying)
{
    const struct process_state *p;
    int64_t restarts;

    start(dying, ARRAY_LEN(dying));
    do {
        pause_ms(20);
        p = state_read(home, &state, &why) ? NULL : state_find(&state, "dying");
    } while (!p || p->restarts < 3);
    restarts = p->restarts;
    cr_assert_lt(restarts, 10); /* not as fast as the machine can */
    cr_assert_gt(state_find(&state, "missing")->restarts, 0);
}
