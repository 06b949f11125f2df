/* SPDX-License-Identifier: Apache-2.0
 * decisions_bench.c - durable decisions over REST, end to end: how many a second at most, beside what
 * PostgreSQL takes at all; how long one takes at 25, 50, 75 and 90 % of that; how long one takes on an idle
 * system. Load generator, services and PostgreSQL share the machine.
 *
 *   decisions_bench ASSAY HOME STREAM KEY     a running cluster, and a stream that it has not seen
 *
 * The labels of the stream are sent too as they come (about one to 75 transactions); they are not counted. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "bench/child.h"
#include "bench/copy.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "bench/target.h"

enum {
    WARM_UP = 10000,
    IDLE_ROUNDS = 3,
    IDLE_REQUESTS = 500,
    FDATASYNCS = 300,
    COPY_ROWS = 60000,
};
#define RUN_SECONDS  6.0 /* of each piece of load, when the stream is long enough */
#define COPY_SECONDS 4.0

struct bench {
    struct target target;
    struct nghttpd floor; /* serves a decision that was made here, for the same requests */
    bool has_floor;
    char floor_dir[512], floor_url[64], body_path[600];
    double seconds; /* of each piece of load */
};

static int cpus(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* What keeps a figure from meaning what it says; empty when nothing does. */
static void say_trouble(char *note, size_t size, const json_t *answer)
{
    static const char *const troubles[] = { "lost", "retries", "degraded" };
    size_t len = strlen(note);

    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        double n = figure_of(answer, troubles[i], NULL);

        if (n > 0 && len < size)
            len += (size_t)snprintf(note + len, size - len, "; %.0f %s", n, troubles[i]);
    }
}

/* ---- the floor ---- */

/* The first line of a file, without its end. */
static char *first_line(const char *path, const char *after)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    while (f && getline(&line, &room, f) > 0 && after && !strstr(line, after))
        continue;
    if (!f || !line)
        bench_fail("nothing in %s", path);
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* nghttpd answers POST /v1/transactions with a decision that was recorded, to requests with a transaction
 * that was sent. */
static void open_floor(struct bench *b, const char *record)
{
    char path[600], *decision = first_line(record, NULL),
                    *transaction = first_line(b->target.slice_path, "\"type\":\"transaction\"");

    b->has_floor = nghttpd_is_there();
    snprintf(b->floor_dir, sizeof b->floor_dir, "%s/floor", b->target.home);
    snprintf(path, sizeof path, "%s/v1", b->floor_dir);
    if ((mkdir(b->floor_dir, 0755) || mkdir(path, 0755)) && access(path, W_OK))
        bench_fail("cannot make %s", path);
    snprintf(path, sizeof path, "%s/v1/transactions", b->floor_dir);
    write_file(path, slice_str(decision));
    snprintf(b->body_path, sizeof b->body_path, "%s/body", b->floor_dir);
    write_file(b->body_path, slice_str(transaction));
    free(decision);
    free(transaction);
    if (!b->has_floor)
        return;
    nghttpd_start(&b->floor, b->floor_dir);
    snprintf(b->floor_url, sizeof b->floor_url, "http://127.0.0.1:%d", b->floor.port);
}

/* ---- one decision on an idle system ---- */

static void measure_idle(struct bench *b)
{
    static const char *const options[] = { "-c1", "-m1", NULL };
    double ours[IDLE_ROUNDS], http[IDLE_ROUNDS], sync[IDLE_ROUNDS], floor = 0, p50;
    char note[160];

    for (size_t i = 0; i < IDLE_ROUNDS; i++) {
        json_t *said = target_send(
            &b->target, &(struct sending){ .transactions = IDLE_REQUESTS, .in_flight = 1, .connections = 1 });

        ours[i] = figure_of(said, "latency_ms", "p50") * 1e3;
        json_decref(said);
        sync[i] = probe_fdatasync(b->target.home, FDATASYNCS).p50;
        http[i] =
            b->has_floor
                ? h2load_run(b->floor.port, "/v1/transactions", 2000, options, b->body_path, true).us.p50
                : 0;
    }
    p50 = median(ours, IDLE_ROUNDS);
    if (b->has_floor)
        floor = median(http, IDLE_ROUNDS) + 2 * median(sync, IDLE_ROUNDS);
    snprintf(note, sizeof note, "nghttpd %.0f us, fdatasync %.0f us; medians of %d rounds",
             median(http, IDLE_ROUNDS), median(sync, IDLE_ROUNDS), IDLE_ROUNDS);
    report(&(struct result){ .name = "decisions/one on an idle system, p50",
                             .value = p50,
                             .unit = "us",
                             .baseline = floor,
                             .against = "one request to nghttpd and two fdatasync",
                             .goals = { { RATIO_AT_MOST, 6 } },
                             .note = note });
}

/* ---- the most ---- */

struct peak {
    double rate;
    int in_flight;
    double group; /* mean of what was committed together */
};

/* Whose CPU a decision takes. */
static const struct {
    const char *name;
    bool whole_family;
} processes[] = { { "ingestion", false },
                  { "features", false },
                  { "scoring", false },
                  { "rules", false },
                  { "postgres", true } };

enum { PROCESSES = ARRAY_LEN(processes) };

/* Of the processes above, and at last of the load generators that have ended. */
static void read_cpu(const struct target *t, double us[PROCESSES + 1])
{
    for (size_t i = 0; i < PROCESSES; i++)
        us[i] = child_cpu_us(target_find(t, processes[i].name)->pid, processes[i].whole_family);
    us[PROCESSES] = children_cpu_us();
}

static void report_cpu(const double *before, const double *after, double decided)
{
    char name[64];

    for (size_t i = 0; i <= PROCESSES; i++) {
        snprintf(name, sizeof name, "decisions/CPU of one at peak, %s",
                 i < PROCESSES ? processes[i].name : "load generator");
        report(&(struct result){ .name = name, .value = (after[i] - before[i]) / decided, .unit = "us" });
    }
}

static double group_figure(const struct target *t, const char *what)
{
    char series[96];

    snprintf(series, sizeof series, "assay_ingestion_group_size_%s{stage=\"commit\"}", what);
    return target_metric(t, "ingestion", series);
}

static struct peak find_peak(struct bench *b, double rate)
{
    static const int in_flight[] = { 64, 256 };
    struct peak best = { 0 };
    double before[PROCESSES + 1], after[PROCESSES + 1];

    for (size_t i = 0; i < ARRAY_LEN(in_flight); i++) {
        double groups = group_figure(&b->target, "count"), sum = group_figure(&b->target, "sum");
        char name[64], note[128] = "";
        struct peak this = { .in_flight = in_flight[i] };
        json_t *said;

        read_cpu(&b->target, before);
        said = target_send(&b->target, &(struct sending){ .transactions = (size_t)(rate * b->seconds),
                                                          .in_flight = in_flight[i] });
        read_cpu(&b->target, after);
        groups = group_figure(&b->target, "count") - groups;
        this.group = groups > 0 ? (group_figure(&b->target, "sum") - sum) / groups : 1;
        this.rate = figure_of(said, "decisions_per_s", NULL);
        snprintf(name, sizeof name, "decisions/most, %d in flight", in_flight[i]);
        snprintf(note, sizeof note, "p50 %.2f ms, p99 %.2f ms; %.1f committed together",
                 figure_of(said, "latency_ms", "p50"), figure_of(said, "latency_ms", "p99"), this.group);
        say_trouble(note, sizeof note, said);
        report(&(struct result){ .name = name, .value = this.rate, .unit = "a second", .note = note });
        if (i + 1 == ARRAY_LEN(in_flight))
            report_cpu(before, after, figure_of(said, "decided", NULL));
        json_decref(said);
        if (this.rate > best.rate)
            best = this;
    }
    return best;
}

static void report_peak(const struct bench *b, const struct peak *peak)
{
    struct copy_figures copy = { 0 };
    struct why why = { 0 };
    size_t group = (size_t)lround(peak->group);
    char note[160];

    if (copy_measure(b->target.pg_url, COPY_ROWS, group ? group : 1, COPY_SECONDS, &copy, &why))
        bench_fail("COPY: %s", why.text);
    snprintf(note, sizeof note, "%d CPUs for load generator, services and PostgreSQL; %d in flight", cpus(),
             peak->in_flight);
    report(&(struct result){ .name = "decisions/durable, for each vCPU",
                             .value = peak->rate / cpus(),
                             .unit = "a second",
                             .baseline = 56,
                             .against =
                                 "56 a second for each vCPU, published by run-true (quoted, not measured)",
                             .goals = { { VALUE_AT_LEAST, 4000 }, { VALUE_AT_LEAST, 10000 } },
                             .note = note });
    snprintf(note, sizeof note, "rows of %.0f bytes with indexes, %zu a commit", copy.bytes_per_row,
             copy.group);
    report(
        &(struct result){ .name = "decisions/durable, against bare rows",
                          .value = peak->rate,
                          .unit = "a second",
                          .baseline = copy.rows_per_s,
                          .against = "rows of a decision's bytes and indexes by binary COPY, two connections",
                          .goals = { { RATIO_AT_LEAST, 0.06 }, { RATIO_AT_LEAST, 0.15 } },
                          .note = note });
}

/* ---- latency at a rate ---- */

static void report_quantile(int percent, const char *label, const char *member, const json_t *ours,
                            const json_t *floor, struct goal goal, const char *note)
{
    char name[64];

    snprintf(name, sizeof name, "latency/at %d %% of the most, %s", percent, label);
    report(&(struct result){ .name = name,
                             .value = figure_of(ours, "latency_ms", member),
                             .unit = "ms",
                             .baseline = floor ? figure_of(floor, "latency_ms", member) : 0,
                             .against = floor ? "nghttpd under the same generator and rate" : NULL,
                             .goals = { goal },
                             .note = note });
}

static void measure_latency(struct bench *b, const struct peak *peak, int percent)
{
    struct jitter jitter = probe_jitter(0.5);
    double rate = peak->rate * percent / 100, got;
    char note[200];
    json_t *ours, *floor = NULL;

    ours = target_send(&b->target,
                       &(struct sending){ .transactions = (size_t)(rate * b->seconds), .rate = rate });
    if (b->has_floor)
        floor =
            target_send(&b->target, &(struct sending){ .rate = rate, .url = b->floor_url, .is_again = true });
    got = figure_of(ours, "decisions_per_s", NULL);
    snprintf(note, sizeof note, "%.0f a second; a ready thread waited %.1f ms at most%s", rate,
             jitter.worst_us / 1e3, got < 0.97 * rate ? "; the rate was not kept" : "");
    say_trouble(note, sizeof note, ours);
    report_quantile(percent, "p50", "p50", ours, floor, (struct goal){ 0 }, note);
    report_quantile(percent, "p99", "p99", ours, floor,
                    percent == 50 ? (struct goal){ VALUE_AT_MOST, 10 } : (struct goal){ 0 }, NULL);
    report_quantile(percent, "p99.9", "p99_9", ours, floor, (struct goal){ 0 }, NULL);
    json_decref(ours);
    json_decref(floor);
}

int main(int argc, char **argv)
{
    static const int percents[] = { 25, 50, 75, 90 };
    struct bench b = { .seconds = RUN_SECONDS };
    char record[600];
    struct peak peak;
    double rate, runs;
    json_t *said;

    target_open(&b.target, argc, argv);
    snprintf(record, sizeof record, "%s/warm-up.ndjson", b.target.home);
    said = target_send(&b.target,
                       &(struct sending){ .transactions = WARM_UP, .in_flight = 256, .record = record });
    rate = figure_of(said, "decisions_per_s", NULL);
    json_decref(said);
    open_floor(&b, record);
    measure_idle(&b);
    /* Two runs for the most and 0.25 + 0.5 + 0.75 + 0.9 of one after it, each up to a fifth faster than now.
     */
    runs = 1.2 * (2 + 2.4) * rate;
    b.seconds = fmin(RUN_SECONDS, (double)b.target.left / runs);
    peak = find_peak(&b, rate);
    report_peak(&b, &peak);
    for (size_t i = 0; i < ARRAY_LEN(percents); i++)
        measure_latency(&b, &peak, percents[i]);
    nghttpd_end(&b.floor);
    target_close(&b.target);
    return EXIT_SUCCESS;
}
