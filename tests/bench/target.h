/* SPDX-License-Identifier: Apache-2.0
 * target.h - the running cluster that a bench drives: where its services are, and the stream that is sent to
 * it piece by piece. Whatever fails ends the program. */
#ifndef ASSAY_BENCH_TARGET_H
#define ASSAY_BENCH_TARGET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { TARGET_SERVICES_MAX = 16 };

struct target {
    const char *assay, *home, *key; /* the program, the cluster's home, an API key */
    char pg_url[512];
    struct target_service {
        char name[32];
        pid_t pid;
        int port, admin_port;
    } services[TARGET_SERVICES_MAX];
    size_t service_count;
    FILE *stream;
    char slice_path[512]; /* the piece under way */
    size_t left;          /* transactions that were not sent yet */
};

/* From the command line ASSAY HOME STREAM KEY. */
void target_open(struct target *t, int argc, char **argv);
void target_close(struct target *t);

const struct target_service *target_find(const struct target *t, const char *name);
/* The sum of a series of a service's metrics, by the text before its value:
 * `assay_ingestion_group_size_sum{stage="commit"}`. */
double target_metric(const struct target *t, const char *service, const char *series);

/* How a piece of the stream is sent. */
struct sending {
    size_t transactions; /* fewer when the stream has no more */
    double rate;         /* a second, open loop; 0: as fast as it goes */
    int in_flight;       /* requests at once; 0: the replay's default */
    int connections;     /* 0: the replay's default */
    const char *url;     /* another server than the cluster's; NULL: the cluster */
    const char *record;  /* a file for the decisions, or NULL */
    bool is_again;       /* the piece that was sent before, once more */
};
/* Sends it by `assay replay` and returns its figures (see `assay replay --json`), the caller's. */
json_t *target_send(struct target *t, const struct sending *s);

/* A number of an answer by its path: "latency_ms", "p50"; 0 when it is not there. */
double figure_of(const json_t *answer, const char *member, const char *inner);

#endif
