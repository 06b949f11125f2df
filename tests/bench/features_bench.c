/* SPDX-License-Identifier: Apache-2.0
 * features_bench.c - what the features service does on this machine: appends a second, and how long a start
 * takes.
 *
 *   features_bench [entries] [items a call] [calls at once]
 *
 * Runs build/plain/bin/features against a cluster of its own below /tmp, durable as in production. Prints the
 * disk's fdatasync beside the figures, without which they mean nothing. */
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/must.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "grpc/client.h"
#include "log/log.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"

enum {
    CALLS_MAX = 64,
    ITEMS_MAX = 1000,
    CUSTOMERS = 5000,
    TERMINALS = 10000,
    PORT = 19001,
    ADMIN_PORT = 19101
};

struct bench;

struct call {
    struct bench *bench;
    struct arena arena;
    int64_t began_us;
};

struct bench {
    struct loop *loop;
    struct grpc_channel *channel;
    struct call calls[CALLS_MAX];
    int64_t entries, sent, answered, failed, items, at_once;
    int64_t *latencies_us;
    size_t call_count;
};

static pid_t features;
static char conninfo[PATH_MAX], home[64] = "/tmp/assay-bench-XXXXXX";

/* The handbook's shape: a second-scale stream of customers at terminals near them. */
static Assay__V1__ComputeRequest__Item *make_item(struct arena *arena, int64_t number)
{
    Assay__V1__ComputeRequest__Item *item = arena_new(arena, Assay__V1__ComputeRequest__Item, 1);
    Assay__V1__Transaction *t = arena_new(arena, Assay__V1__Transaction, 1);
    unsigned char *hash = (unsigned char *)arena_alloc(arena, 1, SHA256_BYTES);
    uint64_t mixed = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15);
    unsigned customer = (unsigned)(mixed >> 33) % CUSTOMERS;

    assay__v1__compute_request__item__init(item);
    assay__v1__transaction__init(t);
    t->account = 1;
    t->id = (char *)(uintptr_t)arena_printf(arena, "tx-%012" PRId64, number).ptr;
    t->occurred_at_us = INT64_C(1522540800000000) + number * 9 * SECOND_US;
    t->known_at_us = t->occurred_at_us;
    t->amount_minor = t->amount_base_minor = (int64_t)(mixed >> 40) % 20000;
    t->currency = arena_strndup(arena, "EUR", 3);
    t->customer_id = (char *)(uintptr_t)arena_printf(arena, "customer-%u", customer).ptr;
    t->terminal_id = (char *)(uintptr_t)arena_printf(arena, "terminal-%u",
                                                     (customer * 2 + (unsigned)(mixed & 31)) % TERMINALS)
                         .ptr;
    memcpy(hash, &mixed, sizeof(mixed));
    item->transaction = t;
    item->body_hash = (ProtobufCBinaryData){ SHA256_BYTES, hash };
    return item;
}

static void send_call(struct call *c);

static void on_reply(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct call *c = arg;
    struct bench *b = c->bench;

    (void)reply;
    if (err) {
        fprintf(stderr, "call failed: %s\n", why->text);
        b->failed++;
    }
    b->latencies_us[b->call_count++] = clock_mono_us() - c->began_us;
    b->answered += b->items;
    arena_reset(&c->arena);
    if (b->sent < b->entries)
        send_call(c);
    else if (b->answered >= b->sent)
        loop_stop(b->loop);
}

static void send_call(struct call *c)
{
    struct bench *b = c->bench;
    Assay__V1__ComputeRequest request = ASSAY__V1__COMPUTE_REQUEST__INIT;

    request.n_items = (size_t)b->items;
    request.items = arena_new(&c->arena, Assay__V1__ComputeRequest__Item *, request.n_items);
    for (size_t i = 0; i < request.n_items; i++)
        request.items[i] = make_item(&c->arena, ++b->sent);
    c->began_us = clock_mono_us();
    grpc_call(b->channel, &assay__v1__features__descriptor, "Compute", &request.base, 0, &c->arena, on_reply,
              c);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Milliseconds from the start of the process until it takes connections. */
static double start_features(const char *program, const char *catalogue)
{
    int64_t began = clock_mono_us();
    char ready[128];
    int status;

    snprintf(ready, sizeof(ready), "%s/ready", home);
    unlink(ready);
    features = fork();
    if (features == 0) {
        char port[16], admin[16], log[128];
        int fd;

        snprintf(port, sizeof(port), "%d", PORT);
        snprintf(admin, sizeof(admin), "%d", ADMIN_PORT);
        snprintf(log, sizeof(log), "%s/features.log", home);
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(fd, STDERR_FILENO);
        setenv("ASSAY_PG_URL", conninfo, 1);
        setenv("ASSAY_CATALOGUE", catalogue, 1);
        setenv("ASSAY_FEATURES_PORT", port, 1);
        setenv("ASSAY_FEATURES_ADMIN_PORT", admin, 1);
        setenv("ASSAY_READY_FILE", ready, 1);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    while (access(ready, R_OK)) {
        if (waitpid(features, &status, WNOHANG) == features) {
            fprintf(stderr, "features ended: see %s/features.log\n", home);
            exit(EXIT_FAILURE);
        }
        usleep(1000);
    }
    return (double)(clock_mono_us() - began) / MS_US;
}

static void kill_features(void)
{
    kill(features, SIGKILL);
    waitpid(features, NULL, 0);
}

static double fdatasync_us(void)
{
    enum { ROUNDS = 200 };
    char path[128], block[8192] = { 0 };
    int64_t began;
    int fd;

    snprintf(path, sizeof(path), "%s/sync", home);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    began = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++)
        if (pwrite(fd, block, sizeof(block), 0) < 0 || fdatasync(fd))
            break;
    close(fd);
    return (double)(clock_mono_us() - began) / ROUNDS;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct bench b = { .entries = argc > 1 ? atoll(argv[1]) : 200000,
                       .items = argc > 2 ? atoll(argv[2]) : 20,
                       .at_once = argc > 3 ? atoll(argv[3]) : 16 };
    struct http_client_conf conf = { .address = "127.0.0.1:19001" };
    char self[PATH_MAX] = "", program[PATH_MAX + 32];
    const char *catalogue = getenv("ASSAY_CATALOGUE");
    struct cluster *cluster;
    struct pg_session *s;
    struct why why = { 0 };
    struct rusage usage;
    int64_t began;
    double seconds;

    if (b.items < 1 || b.items > ITEMS_MAX || b.at_once < 1 || b.at_once > CALLS_MAX ||
        readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || !mkdtemp(home) || chmod(home, 0755))
        return 2;
    log_open("bench", LOG_ERROR);
    snprintf(program, sizeof(program), "%s/bin/features", dirname(dirname(self)));
    must(cluster_open(&cluster, home, false, &why), "open a cluster", &why);
    must(cluster_start(cluster, &why), "start a cluster", &why);
    snprintf(conninfo, sizeof(conninfo), "%s", cluster_conninfo(cluster));
    must(pg_session_open(&s, conninfo, "bench", &why), "connect", &why);
    must(pg_migrate(s, migrations, migration_count, NULL, NULL, &why), "migrate", &why);
    printf("fdatasync of 8 KiB            %8.0f us\n", fdatasync_us());
    start_features(program, catalogue ? catalogue : "models/handbook-published.yaml");

    must(loop_open(&b.loop, &why), "open a loop", &why);
    must(grpc_channel_open(&b.channel, b.loop, &conf, &why), "open a channel", &why);
    b.latencies_us = mem_new_n(int64_t, (size_t)(b.entries / b.items + b.at_once + 1));
    began = clock_mono_us();
    for (int64_t i = 0; i < b.at_once; i++) {
        b.calls[i].bench = &b;
        send_call(&b.calls[i]);
    }
    loop_run(b.loop);
    seconds = (double)(clock_mono_us() - began) / SECOND_US;
    qsort(b.latencies_us, b.call_count, sizeof(b.latencies_us[0]), compare);
    printf("appended                      %8" PRId64 " entries, %" PRId64 " a call, %" PRId64
           " calls at once, %" PRId64 " failed\n",
           b.answered, b.items, b.at_once, b.failed);
    printf("rate                          %8.0f entries/s\n", (double)b.answered / seconds);
    printf("a call, p50 / p99             %8.2f / %.2f ms\n",
           (double)b.latencies_us[b.call_count / 2] / MS_US,
           (double)b.latencies_us[b.call_count * 99 / 100] / MS_US);
    grpc_channel_close(b.channel);
    loop_close(b.loop);

    kill_features();
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("CPU of features               %8.2f us an entry\n",
           (double)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SECOND_US + usage.ru_utime.tv_usec +
                    usage.ru_stime.tv_usec) /
               (double)b.answered);
    printf("start, newest snapshots there %8.0f ms\n",
           start_features(program, catalogue ? catalogue : "models/handbook-published.yaml"));
    kill_features();
    must(pg_exec_script(s, "DELETE FROM snapshots", &why), "delete the snapshots", &why);
    printf("start, from the whole log     %8.0f ms\n",
           start_features(program, catalogue ? catalogue : "models/handbook-published.yaml"));
    kill_features();
    pg_session_close(s);
    cluster_kill(cluster);
    cluster_close(cluster);
    nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return b.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
