/* SPDX-License-Identifier: Apache-2.0
 * up_test.c - `assay up` and what it keeps: everything from one command, services that die and come back, and
 * nothing left at the end. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 16, OUTPUT_BYTES = 64 << 10 };

static char home[] = "/tmp/assay-up-XXXXXX", program[PATH_MAX], output[OUTPUT_BYTES];

/* Runs `assay <arguments>` and keeps what it prints; its exit status. */
static int assay(const char *arguments)
{
    char command[2 * PATH_MAX];
    size_t len;
    FILE *f;
    int status;

    snprintf(command, sizeof command, "%s %s 2>&1", program, arguments);
    f = popen(command, "r");
    cr_assert_not_null(f);
    len = fread(output, 1, sizeof output - 1, f);
    output[len] = '\0';
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static json_t *status_of_all(void)
{
    json_t *root;

    assay("status --json");
    root = json_loads(output, 0, NULL);
    cr_assert_not_null(root, "%s", output);
    return root;
}

/* A number of one service in `assay status`. */
static long long ask(const char *service, const char *what)
{
    json_t *root = status_of_all(), *row;
    long long value = -1;
    size_t i;

    json_array_foreach(json_object_get(root, "services"), i,
                       row) if (strcmp(json_string_value(json_object_get(row, "name")), service) == 0) value =
        json_integer_value(json_object_get(row, what));
    json_decref(root);
    return value;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void kill_hard(const char *service)
{
    long long pid = ask(service, "pid"), restarts = ask(service, "restarts");

    cr_assert_gt(pid, 1, "%s", service);
    cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
    while (ask(service, "restarts") == restarts || ask(service, "pid") <= 0)
        pause_ms(20);
}

static bool is_alive(long long pid)
{
    char path[64], state = 'Z';
    FILE *f;

    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    f = fopen(path, "r");
    if (!f)
        return false;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state != 'Z';
}

static void setup(void)
{
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 32);

    cr_assert_gt(len, 0);
    program[len] = '\0';
    strcpy(strrchr(program, '/'), "/bin/assay");
    cr_assert_not_null(mkdtemp(home));
    chmod(home, 0755); /* the user that runs PostgreSQL goes through it */
    setenv("ASSAY_HOME", home, 1);
    unsetenv("ASSAY_PG_URL");
}

static void teardown(void)
{
    char command[64];

    assay("down");
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(system(command), 0);
}

TestSuite(up, .init = setup, .fini = teardown, .timeout = 180);

static void make_key(void)
{
    cr_assert_eq(assay("accounts create replay --clock simulated"), 0, "%s", output);
    cr_assert_eq(assay("keys create replay --scopes all --quiet"), 0, "%s", output);
    output[strcspn(output, "\n")] = '\0';
    setenv("ASSAY_KEY", output, 1);
}

/* 300 transactions and their labels, other ones for each seed. */
static void replay(int seed)
{
    char arguments[512];

    snprintf(arguments, sizeof arguments, "simulate --transactions 300 --seed %d --out %s/stream.ndjson",
             seed, home);
    cr_assert_eq(assay(arguments), 0, "%s", output);
    snprintf(arguments, sizeof arguments, "replay %s/stream.ndjson --quiet --json", home);
    cr_assert_eq(assay(arguments), 0, "%s", output);
}

Test(up, decides_a_stream_whatever_dies_and_leaves_nothing_behind)
{
    long long pids[PROCESSES_MAX];
    char load[128];
    size_t count = 0, i;
    json_t *root, *row;

    cr_assert_eq(assay("status"), 3, "nothing runs yet");
    cr_assert_eq(assay("up --free-ports --ingestion 2 --standby"), 0, "%s", output);
    cr_assert_eq(assay("status"), 3, "no model yet");
    cr_assert_neq(strstr(output, "no model"), NULL, "%s", output);
    cr_assert_neq(strstr(output, "standby "), NULL, "%s", output);
    cr_assert_eq(assay("up"), 0, "twice is fine: %s", output);
    make_key();
    replay(1);
    cr_assert_eq(assay("get s1t0"), 0, "%s", output);
    cr_assert_eq(assay("get nothing"), 4, "%s", output);

    kill_hard("features"); /* the other one goes on */
    snprintf(load, sizeof load, "load --account replay %s/stream.ndjson", home);
    cr_assert_eq(assay(load), 0, "whichever is active: %s", output);
    kill_hard("features-standby");
    replay(2);
    kill_hard("rules");
    kill_hard("ingestion");
    replay(3);
    kill_hard("postgres");
    replay(4);
    cr_assert_eq(assay("logs -n 5"), 0);
    cr_assert_neq(strstr(output, "ingestion-2"), NULL, "%s", output);

    root = status_of_all();
    json_array_foreach(json_object_get(root, "services"), i,
                       row) if (json_integer_value(json_object_get(row, "pid"))) pids[count++] =
        json_integer_value(json_object_get(row, "pid"));
    pids[count++] = json_integer_value(json_object_get(root, "supervisor_pid"));
    json_decref(root);
    cr_assert_eq(assay("down"), 0, "%s", output);
    for (i = 0; i < count; i++)
        cr_assert_not(is_alive(pids[i]), "pid %lld", pids[i]);
    cr_assert_eq(assay("status"), 3);
    cr_assert_eq(assay("down"), 0, "twice is fine: %s", output);
}

Test(up, comes_back_with_its_data_after_its_supervisor_was_killed)
{
    long long pid, supervisor;
    json_t *root;

    cr_assert_eq(assay("up --free-ports"), 0, "%s", output);
    make_key();
    replay(1);
    root = status_of_all();
    supervisor = json_integer_value(json_object_get(root, "supervisor_pid"));
    json_decref(root);
    pid = ask("ingestion", "pid");
    cr_assert_eq(kill((pid_t)supervisor, SIGKILL), 0);
    while (is_alive(pid))
        pause_ms(10);
    cr_assert_eq(assay("up --free-ports"), 0, "%s", output);
    cr_assert_eq(assay("get s1t0"), 0, "%s", output);
    replay(1); /* the same ids: what was decided is answered again */
}
