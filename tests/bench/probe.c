/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/probe.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/child.h"
#include "bench/report.h"

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t count, double q)
{
    size_t at = (size_t)ceil(q * (double)count);

    return sorted[at > 0 ? at - 1 : 0];
}

struct spread spread_of(double *samples, size_t count)
{
    struct spread s = { .count = count };

    if (count == 0)
        return s;
    qsort(samples, count, sizeof *samples, by_size);
    for (size_t i = 0; i < count; i++)
        s.mean += samples[i] / (double)count;
    s.p50 = quantile(samples, count, 0.5);
    s.p99 = quantile(samples, count, 0.99);
    s.p999 = quantile(samples, count, 0.999);
    s.max = samples[count - 1];
    return s;
}

double median(double *figures, size_t count)
{
    return spread_of(figures, count).p50;
}

static double mono_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct spread probe_fdatasync(const char *dir, size_t rounds)
{
    enum { BLOCK = 8192, BLOCKS = 64 };
    static char block[BLOCK];
    double *us = mem_new_n(double, rounds);
    struct spread s;
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/fdatasync.probe", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    /* Room is made first: PostgreSQL writes its log into files that are there. */
    for (int i = 0; i < BLOCKS; i++)
        if (fd < 0 || pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
            bench_fail("cannot write %s", path);
    fsync(fd);
    for (size_t i = 0; i < rounds; i++) {
        double began;

        memset(block, (int)i, BLOCK);
        began = mono_us();
        if (pwrite(fd, block, BLOCK, (off_t)(i % BLOCKS) * BLOCK) != BLOCK || fdatasync(fd))
            bench_fail("cannot write %s", path);
        us[i] = mono_us() - began;
    }
    close(fd);
    unlink(path);
    s = spread_of(us, rounds);
    mem_free(us);
    return s;
}

struct jitter probe_jitter(double seconds)
{
    enum { GAP_US = 50 }; /* a turn of the loop below takes well under one */
    double began = mono_us(), last = began, lost = 0;
    struct jitter j = { 0 };

    while (last - began < seconds * 1e6) {
        double now = mono_us(), gap = now - last;

        if (gap > GAP_US) {
            lost += gap;
            j.worst_us = gap > j.worst_us ? gap : j.worst_us;
        }
        last = now;
    }
    j.lost_share = lost / (last - began);
    return j;
}

/* ---- HTTP/2 ---- */

bool nghttpd_is_there(void)
{
    return program_exists("nghttpd") && program_exists("h2load");
}

void nghttpd_start(struct nghttpd *n, const char *dir)
{
    char port[16];

    n->port = free_port();
    snprintf(port, sizeof port, "%d", n->port);
    n->pid = child_start((const char *[]){ "nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", dir, port, NULL },
                         NULL, NULL);
    if (!wait_for_port(n->port, 5000))
        bench_fail("nghttpd does not listen");
}

void nghttpd_end(struct nghttpd *n)
{
    child_end(n->pid, false);
    n->pid = 0;
}

/* "312.20ms", "41us", "1.02s" in microseconds. */
static double time_us(const char *text)
{
    char *unit;
    double x = strtod(text, &unit);

    return x * (strncmp(unit, "us", 2) == 0 ? 1 : strncmp(unit, "ms", 2) == 0 ? 1e3 : 1e6);
}

/* The log has a line for each request: when it began, its status, the microseconds it took. */
static struct spread read_log(const char *path, size_t requests)
{
    double *us = mem_new_n(double, requests);
    size_t count = 0;
    long long began, took;
    struct spread s;
    int status;
    FILE *f = fopen(path, "r");

    while (f && count < requests && fscanf(f, "%lld %d %lld", &began, &status, &took) == 3)
        us[count++] = (double)took;
    if (f)
        fclose(f);
    s = spread_of(us, count);
    mem_free(us);
    return s;
}

struct h2load h2load_run(int port, const char *path, size_t requests, const char *const *options,
                         const char *body_path, bool wants_each)
{
    const char *argv[32] = { "h2load" };
    char number[24], url[512], log[] = "/tmp/assay-bench-h2load.XXXXXX";
    struct h2load h = { 0 };
    size_t argc = 1;
    const char *at;
    int status, fd = wants_each ? mkstemp(log) : -1;
    char *text;

    snprintf(number, sizeof number, "%zu", requests);
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    while (*options && argc < 20)
        argv[argc++] = *options++;
    argv[argc++] = "-n";
    argv[argc++] = number;
    if (body_path) {
        argv[argc++] = "-d";
        argv[argc++] = body_path;
    }
    if (wants_each) {
        close(fd);
        unlink(log); /* it appends, and wants to make the file itself */
        argv[argc++] = "--log-file";
        argv[argc++] = log;
    }
    argv[argc++] = url;
    argv[argc] = NULL;
    text = child_read(argv, &status);
    if ((at = strstr(text, "finished in ")) && (at = strchr(at, ',')))
        h.requests_per_s = strtod(at + 1, NULL);
    /* "time for request:  min  max  mean  sd  +/- sd" */
    if ((at = strstr(text, "time for request:"))) {
        char mean[32] = "";

        if (sscanf(at, "time for request: %*s %*s %31s", mean) == 1)
            h.mean_us = time_us(mean);
    }
    snprintf(number, sizeof number, " %zu 2xx", requests);
    h.is_good = status == 0 && strstr(text, number) != NULL;
    if (wants_each) {
        h.us = read_log(log, requests);
        unlink(log);
    }
    free(text);
    return h;
}

void write_file(const char *path, struct slice bytes)
{
    FILE *f = fopen(path, "w");

    if (!f || fwrite(bytes.ptr, 1, bytes.len, f) != bytes.len || fclose(f))
        bench_fail("cannot write %s", path);
}
