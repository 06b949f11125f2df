/* SPDX-License-Identifier: Apache-2.0
 * alone.h - the features service alone, with a PostgreSQL of its own, durable as in production. Whatever fails
 * ends the program. */
#ifndef ASSAY_BENCH_ALONE_H
#define ASSAY_BENCH_ALONE_H

#include <sys/types.h>

struct cluster;
struct pg_session;

struct alone {
    const char *home; /* a directory that postgres can get into */
    const char *catalogue;
    struct cluster *cluster;
    struct pg_session *session; /* of the superuser; migrated */
    char conninfo[512];
    pid_t features; /* 0: not running */
    int port;
};

/* PostgreSQL only. */
void alone_open(struct alone *a, const char *home, const char *catalogue);
/* Starts the service; milliseconds from the start of its process until it takes connections. */
double alone_start(struct alone *a);
void alone_kill(struct alone *a);
void alone_close(struct alone *a);

/* Runs SQL without results. */
void alone_sql(struct alone *a, const char *sql);
/* The integer that a query gives. */
long long alone_number(struct alone *a, const char *sql);

#endif
