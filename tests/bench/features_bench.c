/* SPDX-License-Identifier: Apache-2.0
 * features_bench.c - what the features service appends to the log a second, durable, and how long a call takes.
 *
 *   features_bench DIR       a directory that postgres can get into */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bench/child.h"
#include "bench/alone.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "grpc/client.h"
#include "loop/loop.h"
#include "proto/assay.pb-c.h"

enum { ENTRIES = 100000, ITEMS = 20, AT_ONCE = 16, CUSTOMERS = 5000, TERMINALS = 10000 };

struct bench;

struct call {
    struct bench *bench;
    struct arena arena;
    int64_t began_us;
};

struct bench {
    struct loop *loop;
    struct grpc_channel *channel;
    struct call calls[AT_ONCE];
    int64_t sent, answered;
    double *latencies_us;
    size_t call_count;
};

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
    if (err)
        bench_fail("features: a call failed: %s", why->text);
    b->latencies_us[b->call_count++] = (double)(clock_mono_us() - c->began_us);
    b->answered += ITEMS;
    arena_reset(&c->arena);
    if (b->sent < ENTRIES)
        send_call(c);
    else if (b->answered >= b->sent)
        loop_stop(b->loop);
}

static void send_call(struct call *c)
{
    struct bench *b = c->bench;
    Assay__V1__ComputeRequest request = ASSAY__V1__COMPUTE_REQUEST__INIT;

    request.n_items = ITEMS;
    request.items = arena_new(&c->arena, Assay__V1__ComputeRequest__Item *, request.n_items);
    for (size_t i = 0; i < request.n_items; i++)
        request.items[i] = make_item(&c->arena, ++b->sent);
    c->began_us = clock_mono_us();
    grpc_call(b->channel, &assay__v1__features__descriptor, "Compute", &request.base, 0, &c->arena, on_reply,
              c);
}

int main(int argc, char **argv)
{
    struct alone k;
    struct bench b = { .latencies_us = mem_new_n(double, ENTRIES / ITEMS + AT_ONCE) };
    char home[512], address[32], note[128];
    struct http_client_conf conf = { .address = address };
    struct why why = { 0 };
    struct spread calls, sync;
    int64_t began;
    double seconds, cpu_us;

    if (argc != 2)
        bench_fail("usage: features_bench DIR");
    snprintf(home, sizeof home, "%s/features", argv[1]);
    alone_open(&k, home, "models/handbook-published.yaml");
    alone_start(&k);
    sync = probe_fdatasync(home, 200);
    snprintf(address, sizeof address, "127.0.0.1:%d", k.port);
    if (loop_open(&b.loop, &why) || grpc_channel_open(&b.channel, b.loop, &conf, &why))
        bench_fail("features: %s", why.text);
    cpu_us = child_cpu_us(k.features, false);
    began = clock_mono_us();
    for (size_t i = 0; i < AT_ONCE; i++) {
        b.calls[i].bench = &b;
        send_call(&b.calls[i]);
    }
    loop_run(b.loop);
    seconds = (double)(clock_mono_us() - began) / SECOND_US;
    cpu_us = child_cpu_us(k.features, false) - cpu_us;
    calls = spread_of(b.latencies_us, b.call_count);
    snprintf(note, sizeof note, "%d a call, %d calls at once, p50 %.2f ms, p99 %.2f ms; fdatasync %.0f us",
             ITEMS, AT_ONCE, calls.p50 / 1e3, calls.p99 / 1e3, sync.p50);
    report(&(struct result){ .name = "features/appended, durable",
                             .value = (double)b.answered / seconds,
                             .unit = "a second",
                             .note = note });
    report(&(struct result){
        .name = "features/CPU of an entry", .value = cpu_us / (double)b.answered, .unit = "us" });
    grpc_channel_close(b.channel);
    loop_close(b.loop);
    for (size_t i = 0; i < AT_ONCE; i++)
        arena_release(&b.calls[i].arena);
    alone_close(&k);
    mem_free(b.latencies_us);
    return EXIT_SUCCESS;
}
