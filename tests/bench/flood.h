/* SPDX-License-Identifier: Apache-2.0
 * flood.h - a load generator that does not wait for answers, and counts what became of each request.
 *
 * Open loop: each request has its time, and is sent then whatever the answers; its latency counts from that
 * time, also when it was sent late or waited here for a stream. Good is an answer 200 within the deadline by
 * this clock. Closed loop: so many are under way at once, and one that was refused is sent again after 10 ms.
 *
 * What must hold whatever the load is checked as it goes, see flood_violated(). */
#ifndef ASSAY_BENCH_FLOOD_H
#define ASSAY_BENCH_FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FLOOD_KEYS = 2, FLOOD_WINDOW_US = 100000, FLOOD_WINDOWS_MAX = 600 };

struct flood_conf {
    const char *address; /* "127.0.0.1:8080" */
    const char *keys[FLOOD_KEYS];
    const char *stream; /* as `assay simulate` writes it; ids are our own */
    int64_t deadline_ms;
    size_t connections;
    pid_t server; /* whose memory is watched */
    bool reads_answers;
};

struct latencies {
    uint32_t *us;
    size_t count, cap;
};
/* In milliseconds; 0 of none. Sorts. */
double latencies_ms(struct latencies *l, double quantile);

/* What became of the requests of one key. */
struct outcome {
    size_t sent, good, late, refused, timed_out, other;
    struct latencies decided; /* from the intended time */
    struct latencies refusals;
};

struct phase {
    const char *name;
    double rates[FLOOD_KEYS]; /* a second, open loop */
    size_t in_flight;         /* closed loop, with the first key */
    double seconds;

    /* The rest is filled by flood_run(). */
    struct outcome of[FLOOD_KEYS];
    struct latencies windows[FLOOD_WINDOWS_MAX]; /* of what was due in each tenth of a second */
    int64_t send_lag_us;                         /* the longest that one was sent after its time */
    size_t waiting_most;                         /* here, for a stream */
    long kib_first, kib_second;                  /* the most memory in each half */
    double generator_cpu;                        /* seconds a second */
};

struct flood;

/* Ends the program when it cannot. */
struct flood *flood_open(const struct flood_conf *conf);
void flood_close(struct flood *f);

/* Sends what the phase says, and returns when all is answered. Prints a line on standard error. */
void flood_run(struct flood *f, struct phase *p);
void phase_release(struct phase *p);

/* A rule was broken; the first ones are printed.
 *   a refusal is 503 with Retry-After, and there is an answer to each request
 *   with reads_answers: a decision took its time or less by the server's own account */
void flood_violated(struct flood *f, const char *rule, const char *detail);
/* Compares what was answered 200 with what PostgreSQL has; how often rules were broken in all. */
size_t flood_reckon(struct flood *f, const char *pg_url);

#endif
