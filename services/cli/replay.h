/* SPDX-License-Identifier: Apache-2.0
 * replay.h - sends a stream through the public API: as fast as it goes with a bounded number under way, or at
 * a rate, each at its own time whatever became of those before (open loop), and counts what comes back.
 *
 * Latency counts from the moment a transaction was to be sent, so that a server which stands still is charged
 * with what it kept waiting (no coordinated omission). What fails for want of a service is sent again with
 * the same id until it is answered: the API decides an id once. */
#ifndef ASSAY_CLI_REPLAY_H
#define ASSAY_CLI_REPLAY_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "tally.h"

enum { REPLAY_TARGETS_MAX = 16 };

struct replay_conf {
    const char *from;    /* file, or "-" */
    const char *urls;    /* "http://127.0.0.1:8080", several with commas between */
    const char *key;     /* API key; NULL: none */
    const char *ca;      /* PEM file, for https; NULL: the system's */
    double rate;         /* transactions a second; 0: as fast as it goes */
    int64_t in_flight;   /* requests under way at most */
    int64_t connections; /* to each target */
    int64_t batch;       /* transactions in a request; 1: POST /v1/transactions */
    int64_t limit;       /* stop after so many transactions; 0: at the end */
    int64_t deadline_ms; /* Assay-Deadline-Ms of each request; 0: the server's */
    int64_t patience_s;  /* how long one request is tried again */
    bool sends_no_labels;
    FILE *record;   /* each decision, a line; NULL: nowhere */
    FILE *progress; /* a line that is written over and over; NULL: none */
};

struct replay_result {
    struct tally tally;
    double seconds;
    uint64_t requests, transactions;
    struct why first_fault; /* of what could not be sent or was refused */
};

/* Runs to the end of the stream, or until SIGINT or SIGTERM.
 *   ERR_NOT_FOUND  the file   ERR_INVALID  a URL   ERR_SYNTAX  a line is not of a stream; *why has its number
 */
MUST_USE enum err replay_run(const struct replay_conf *conf, struct replay_result *result, struct why *why);

#endif
