/* SPDX-License-Identifier: Apache-2.0
 * probe.h - what the machine itself takes: the disk, the scheduler, and HTTP/2 by nghttp2's own server and
 * load generator. Figures of Assay mean nothing without these of the same minute. */
#ifndef ASSAY_BENCH_PROBE_H
#define ASSAY_BENCH_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"

struct spread {
    size_t count;
    double mean, p50, p99, p999, max;
};
/* Sorts the samples. */
struct spread spread_of(double *samples, size_t count);
/* Of `count` figures, which are sorted: the middle one. */
double median(double *figures, size_t count);

/* Microseconds of fdatasync() after 8 KiB were written over a block of a file in `dir`, as PostgreSQL does
 * with its log. */
struct spread probe_fdatasync(const char *dir, size_t rounds);

/* A thread that does nothing but read the clock, for so long: the share of time it did not run, and the
 * longest it was kept waiting. */
struct jitter {
    double lost_share, worst_us;
};
struct jitter probe_jitter(double seconds);

/* ---- HTTP/2 ---- */

/* nghttpd (cleartext) over the files of a directory. */
struct nghttpd {
    pid_t pid;
    int port;
};
bool nghttpd_is_there(void); /* with h2load */
void nghttpd_start(struct nghttpd *n, const char *dir);
void nghttpd_end(struct nghttpd *n);

/* One run of h2load: "-c16 -m32" and further options (NULL-terminated), `requests` of them, POST with the
 * bytes of `body_path` when that is not NULL. */
struct h2load {
    double requests_per_s, mean_us;
    bool is_good;     /* all were answered, with 2xx */
    struct spread us; /* of single requests, by its log; only when `wants_each` */
};
struct h2load h2load_run(int port, const char *path, size_t requests, const char *const *options,
                         const char *body_path, bool wants_each);

/* Writes a file, or ends the program. */
void write_file(const char *path, struct slice bytes);

#endif
