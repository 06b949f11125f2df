/* SPDX-License-Identifier: Apache-2.0
 * calls_fuzz.c - any bytes as the message of a gRPC call: to features up to its log, which is away, and to
 * the health service. Each is answered with a status. The first byte chooses the method. */
#include <stdlib.h>

#include "../../services/features/calls.h"
#include "../../services/features/features.h"
#include "app/must.h"
#include "base/array.h"
#include "fuzz/exchange.h"
#include "grpc/server.h"
#include "log/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct features f; /* BUILDING: it serves nothing yet */
static struct http_server *http;
static struct metrics *volatile metrics; /* only kept: what nobody points to counts as leaked */
static struct grpc_server *server;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct metric table[M_METRIC_COUNT];
    struct why why = { 0 };

    (void)argc;
    (void)argv;
    log_open("fuzz", LOG_ERROR);
    must(loop_open(&f.loop, &why), "open a loop", &why);
    must(http_server_open(&http, f.loop, &(struct http_server_conf){ 0 }, NULL, &why), "listen", &why);
    for (size_t i = 0; i < M_METRIC_COUNT; i++)
        table[i] = (struct metric){ "fuzz", METRIC_COUNTER, "Calls", { "method", "outcome" } };
    metrics = metrics_new();
    f.metrics = metrics_add(metrics, table, M_METRIC_COUNT);
    batch_init(&f.batch);
    server = grpc_server_new(http, NULL);
    grpc_server_add(server, calls_methods, CALLS_METHODS, &f);
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const paths[] = { "assay.v1.Features/Compute", "assay.v1.Features/AppendLabels",
                                         "grpc.health.v1.Health/Check", "assay.v1.Features/Nothing" };
    struct buf head, out;

    if (!size)
        return 0;
    buf_init(&head, 0);
    buf_init(&out, 0);
    buf_printf(&head, "POST /%s HTTP/1.1\r\nContent-Type: application/grpc\r\nTE: trailers\r\n",
               paths[data[0] % ARRAY_LEN(paths)]);
    exchange(http_server_host(http), buf_slice(&head), slice_of(data + 1, size - 1), &out, NULL);
    if (!memmem(buf_slice(&out).ptr, out.len, "grpc-status: ", 13))
        abort();
    buf_release(&head);
    buf_release(&out);
    return 0;
}
