/* SPDX-License-Identifier: Apache-2.0
 * overload_bench.c - asks a cluster for 2 and 5 times the decisions that it can make, and says what became of
 * them: how many were good, whether what was let in was in time, whether memory stays, how soon all is well
 * again, what a refusal costs, and whether one key's flood costs another its decisions.
 *
 *   overload_bench ASSAY HOME STREAM KEY [check]    a running cluster, a stream, a key of a simulated account
 *
 * The most that can be decided is the best of 64, 128 and 256 requests under way in a closed loop. Generator
 * and cluster do not take from each other: the last CPU is the generator's while this runs, and the others
 * are the cluster's, in the closed loop as in the open one. (A generator on the same CPUs would take the more
 * from the cluster the more it sends, and the most would not be the most any more.)
 *
 * With `check` it takes a few seconds, no figure counts and the CPUs are everybody's; status 1 when a rule was
 * broken that holds on any machine (flood.h, and below). */
#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/child.h"
#include "bench/flood.h"
#include "bench/report.h"
#include "bench/target.h"

enum {
    DEADLINE_MS = 150,
    CHECK_DEADLINE_MS = 1000, /* on a machine that others keep busy */
    CONNECTIONS = 32,
#ifdef __SANITIZE_ADDRESS__
    GROWTH_MOST_KIB = 512 << 10, /* what was freed is kept for a while, to notice who still uses it */
#else
    GROWTH_MOST_KIB = 64 << 10,
#endif
};

struct bench {
    struct target target;
    struct flood *flood;
    char address[64], small_key[128];
    bool only_checks;
    int64_t deadline_ms;
    double seconds; /* of a flood */

    double most, calm_ms;            /* what a good day is like */
    double ingestion_us, cluster_us; /* CPU of one decision */
    long calm_kib;
};

/* ---- the cluster ---- */

/* The account may be there from a run before; its key is new. */
static void make_small_key(struct bench *b)
{
    const struct target *t = &b->target;
    const char *account[] = { t->assay, "accounts", "create", "overload-small", "--clock", "simulated",
                              "--home", t->home,    NULL };
    const char *key[] = { t->assay,   "keys", "create", "overload-small", "--quiet",
                          "--scopes", "all",  "--home", t->home,          NULL };
    int status;
    char *text;

    free(child_read(account, &status));
    text = child_read(key, &status);
    if (status)
        bench_fail("cannot make a key: %s", text);
    text[strcspn(text, "\n")] = '\0';
    snprintf(b->small_key, sizeof b->small_key, "%s", text);
    free(text);
}

static double cluster_cpu_us(const struct bench *b)
{
    double sum = 0;

    for (size_t i = 0; i < b->target.service_count; i++)
        if (b->target.services[i].pid > 0)
            sum += child_cpu_us(b->target.services[i].pid, true);
    return sum;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], line[512], *rest;
    int parent = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (f && fgets(line, sizeof line, f) && (rest = strrchr(line, ')')))
        sscanf(rest + 2, "%*c %d", &parent);
    if (f)
        fclose(f);
    return parent;
}

/* Every thread of a process. */
static void confine_process(pid_t pid, const cpu_set_t *cpus)
{
    char path[64];
    struct dirent *task;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    while (tasks && (task = readdir(tasks)))
        if (task->d_name[0] != '.')
            sched_setaffinity((pid_t)strtol(task->d_name, NULL, 10), sizeof *cpus, cpus);
    if (tasks)
        closedir(tasks);
}

/* The services, and the children that PostgreSQL has. */
static void confine_cluster(const struct bench *b, const cpu_set_t *cpus)
{
    DIR *all = opendir("/proc");
    struct dirent *each;

    while (all && (each = readdir(all))) {
        pid_t pid = (pid_t)strtol(each->d_name, NULL, 10), parent = pid > 0 ? parent_of(pid) : 0;

        for (size_t i = 0; pid > 0 && i < b->target.service_count; i++)
            if (b->target.services[i].pid > 0 &&
                (b->target.services[i].pid == pid || b->target.services[i].pid == parent))
                confine_process(pid, cpus);
    }
    if (all)
        closedir(all);
}

/* The last CPU for the generator, the others for the cluster; or all for all again. */
static void divide_cpus(const struct bench *b, bool on)
{
    static cpu_set_t all;
    cpu_set_t ours, theirs;
    size_t last = 0;

    if (on)
        sched_getaffinity(0, sizeof all, &all);
    theirs = all;
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all))
            last = i;
    if (CPU_COUNT(&all) < 2)
        return;
    CPU_ZERO(&ours);
    CPU_SET(last, &ours);
    CPU_CLR(last, &theirs);
    confine_process(getpid(), on ? &ours : &all);
    confine_cluster(b, on ? &theirs : &all);
}

/* ---- phases ---- */

static struct phase *run(struct bench *b, struct phase phase)
{
    struct phase *p = mem_new(struct phase);

    *p = phase;
    flood_run(b->flood, p);
    return p;
}

static void end(struct phase *p)
{
    phase_release(p);
    mem_free(p);
}

static double per_s(size_t count, const struct phase *p)
{
    return (double)count / p->seconds;
}

/* The tenth of a second whose p99 is the worst. */
static double worst_window_ms(struct phase *p)
{
    double worst = 0;

    for (size_t i = 0; i < FLOOD_WINDOWS_MAX; i++)
        worst = fmax(worst, latencies_ms(&p->windows[i], 0.99));
    return worst;
}

/* When answers were as quick again as they were in the worst tenth of a second of a quiet time. */
static double recovered_ms(struct phase *after, double calm_ms)
{
    for (size_t i = 0; i < FLOOD_WINDOWS_MAX; i++)
        if (after->windows[i].count && latencies_ms(&after->windows[i], 0.99) <= calm_ms)
            return (double)i * FLOOD_WINDOW_US / 1e3;
    return after->seconds * 1e3;
}

static long kib_most(const struct phase *p)
{
    return p->kib_first > p->kib_second ? p->kib_first : p->kib_second;
}

static void find_most(struct bench *b)
{
    static const size_t under_way[] = { 64, 128, 256 };
    pid_t ingestion = target_find(&b->target, "ingestion")->pid;
    struct phase *p;

    end(run(b, (struct phase){ .name = "warm", .in_flight = 64, .seconds = b->seconds / 2 }));
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++) {
        double ingestion_us = child_cpu_us(ingestion, false), cluster_us = cluster_cpu_us(b), good;

        p = run(b, (struct phase){ .name = "most", .in_flight = under_way[i], .seconds = b->seconds / 2 });
        good = per_s(p->of[0].good, p);
        if (good > b->most)
            b->most = good;
        if (!p->of[0].refused) { /* what decisions alone take */
            b->ingestion_us = (child_cpu_us(ingestion, false) - ingestion_us) / (double)p->of[0].good;
            b->cluster_us = (cluster_cpu_us(b) - cluster_us) / (double)p->of[0].good;
        }
        if (kib_most(p) > b->calm_kib)
            b->calm_kib = kib_most(p);
        end(p);
    }
    if (b->most <= 0)
        bench_fail("nothing is decided");
    p = run(b, (struct phase){ .name = "calm", .rates = { b->most / 4 }, .seconds = b->seconds / 2 });
    b->calm_ms = worst_window_ms(p);
    end(p);
}

/* ---- 2 and 5 times the most ---- */

static void tell(const char *name, double value, const char *unit, double baseline, const char *against,
                 enum goal_kind kind, double limit, const char *note)
{
    report(&(struct result){ .name = name,
                             .value = value,
                             .unit = unit,
                             .baseline = baseline,
                             .against = against,
                             .goals = { { kind, limit } },
                             .note = note });
}

static void report_flood(struct bench *b, double factor, struct phase *flood, struct phase *after)
{
    struct outcome *out = &flood->of[0];
    double too_late = (double)(out->late + out->timed_out);
    char name[64], note[256];

    snprintf(
        note, sizeof note,
        "%.0f/s asked, the generator took %.2f of its CPU and was %.1f ms late at most; refused after p50 "
        "%.1f ms, p99 %.1f ms",
        per_s(out->sent, flood), flood->generator_cpu, (double)flood->send_lag_us / 1e3,
        latencies_ms(&out->refusals, 0.5), latencies_ms(&out->refusals, 0.99));
    snprintf(name, sizeof name, "overload/good at %g times the most", factor);
    tell(name, per_s(out->good, flood), "decisions/s", b->most, "the most, closed loop", RATIO_AT_LEAST, 0.9,
         note);
    snprintf(note, sizeof note, "of %zu let in: %zu answered 200 after their deadline, %zu answered 504",
             out->good + out->late + out->timed_out, out->late, out->timed_out);
    snprintf(name, sizeof name, "overload/let in and too late at %g times", factor);
    tell(name, too_late, "decisions", 0, NULL, VALUE_AT_MOST, 0, note);
    snprintf(name, sizeof name, "overload/p99 of what was let in at %g times", factor);
    tell(name, latencies_ms(&out->decided, 0.99), "ms", (double)b->deadline_ms, "the deadline", RATIO_AT_MOST,
         1, "from the intended time, by the generator's clock");
    snprintf(name, sizeof name, "overload/memory of ingestion at %g times", factor);
    tell(name, (double)flood->kib_second / 1024, "MiB", (double)flood->kib_first / 1024,
         "the first half of the flood", RATIO_AT_MOST, 1.05, "resident, the most of the second half");
    snprintf(name, sizeof name, "overload/quick again after %g times", factor);
    tell(name, recovered_ms(after, b->calm_ms), "ms", 0, NULL, VALUE_AT_MOST, 1000,
         "until the p99 of a tenth of a second is no worse than the worst one before the flood");
}

static void flood_at(struct bench *b, double factor, const char *name)
{
    pid_t ingestion = target_find(&b->target, "ingestion")->pid;
    double cpu_us = child_cpu_us(ingestion, false);
    struct phase *flood =
        run(b, (struct phase){ .name = name, .rates = { factor * b->most }, .seconds = b->seconds });
    struct outcome *out = &flood->of[0];
    struct phase *after;

    cpu_us = child_cpu_us(ingestion, false) - cpu_us;
    after = run(b, (struct phase){ .name = "after", .rates = { b->most / 4 }, .seconds = b->seconds / 2 });
    if (!b->only_checks)
        report_flood(b, factor, flood, after);
    if (!b->only_checks && factor > 4 && out->refused && b->ingestion_us > 0)
        tell("overload/one refusal", (cpu_us - (double)out->good * b->ingestion_us) / (double)out->refused,
             "us", b->cluster_us, "one decision, all of the cluster", GOAL_NONE, 0,
             "CPU of ingestion, less what its decisions take by themselves");
    if (kib_most(flood) > b->calm_kib + GROWTH_MOST_KIB)
        flood_violated(b->flood, "memory grew under overload", name);
    if (!out->good)
        flood_violated(b->flood, "nothing was decided under overload", name);
    if (!after->of[0].good)
        flood_violated(b->flood, "nothing was decided after overload", name);
    end(flood);
    end(after);
}

/* One key asks for 5 times the most, another for a fifth of it. */
static void flood_beside_small_key(struct bench *b)
{
    struct phase *p = run(
        b, (struct phase){ .name = "shared", .rates = { 5 * b->most, b->most / 5 }, .seconds = b->seconds });
    struct outcome *small = &p->of[1], *large = &p->of[0];
    char note[128];

    snprintf(note, sizeof note, "%zu refused, %zu late, %zu answered 504; the flood beside it got %.0f/s",
             small->refused, small->late, small->timed_out, per_s(large->good, p));
    if (!b->only_checks)
        tell("overload/a small key beside a flood", per_s(small->good, p), "decisions/s",
             per_s(small->sent, p), "what it asked for", RATIO_AT_LEAST, 0.9, note);
    if ((double)small->good / (double)small->sent <= (double)large->good / (double)large->sent)
        flood_violated(b->flood, "a small key fared no better than a flood", note);
    end(p);
}

int main(int argc, char **argv)
{
    struct bench b = { .only_checks = argc == 6 && strcmp(argv[5], "check") == 0 };
    const struct target_service *ingestion;
    size_t violations;

    target_open(&b.target, b.only_checks ? 5 : argc, argv);
    ingestion = target_find(&b.target, "ingestion");
    b.seconds = b.only_checks ? 2 : 6;
    b.deadline_ms = b.only_checks ? CHECK_DEADLINE_MS : DEADLINE_MS;
    snprintf(b.address, sizeof b.address, "127.0.0.1:%d", ingestion->port);
    make_small_key(&b);
    b.flood = flood_open(&(struct flood_conf){ .address = b.address,
                                               .keys = { b.target.key, b.small_key },
                                               .stream = argv[3],
                                               .deadline_ms = b.deadline_ms,
                                               .connections = CONNECTIONS,
                                               .server = ingestion->pid,
                                               .reads_answers = b.only_checks });
    if (!b.only_checks)
        divide_cpus(&b, true);
    find_most(&b);
    if (!b.only_checks)
        tell("overload/most", b.most, "decisions/s", 0, NULL, GOAL_NONE, 0,
             "closed loop; the generator has the last CPU, the cluster the others");
    flood_at(&b, 2, "2 times");
    flood_at(&b, 5, "5 times");
    flood_beside_small_key(&b);
    if (!b.only_checks)
        divide_cpus(&b, false);
    violations = flood_reckon(b.flood, b.target.pg_url);
    fprintf(stderr, "overload: %zu violations\n", violations);
    flood_close(b.flood);
    target_close(&b.target);
    return violations > 0;
}
